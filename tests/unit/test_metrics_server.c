/* lib/metrics/server: who asks for metrics is answered, over real sockets. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <zlib.h>

#include <cmocka.h>

#include "metrics/http.h"
#include "metrics/server.h"
#include "metrics/users.h"
#include "rpc/rpc.h"
#include "users_file.h"

struct served {
	struct metrics *metrics;
	struct metrics_server *server;
	bool is_ready;
	int held; /* an eventfd that the first to ask whether it is ready waits for; 0: none */
	_Atomic unsigned asked, asked_at_page; /* how often; and when a page was written */
};

static bool ready(void *ctx, char why[METRICS_WHY_BYTES])
{
	struct served *s = ctx;
	uint64_t n;

	if (s->held && !s->asked++)
		assert_int_equal(read(s->held, &n, sizeof n), sizeof n);
	(void)snprintf(why, METRICS_WHY_BYTES, "the well is dry");
	return s->is_ready;
}

static void note_page(void *ctx, struct metrics_page *page)
{
	struct served *s = ctx;

	(void)page;
	s->asked_at_page = s->asked;
}

static void serve_by(struct served *s, const char *users_file, const struct rpc_tls *tls)
{
	static const struct metric_label labels[] = { { "a", false } };
	static const struct metric_spec spec = {
		.name = "x_total", .help = "X", .labels = labels, .label_count = 1
	};
	struct metric_family *f;
	struct err e;

	*s = (struct served){ .is_ready = true };
	assert_int_equal(metrics_new(64, &s->metrics, NULL), ERR_OK);
	assert_int_equal(metric_family_new(s->metrics, &spec, &f, NULL), ERR_OK);
	metric_add(metric_series_get(f, (struct str[]){ STR("b") }), 7);
	assert_int_equal(metrics_collect(s->metrics, note_page, s, NULL), ERR_OK);
	const struct metrics_server_config config = { .address = "127.0.0.1:0",
						      .metrics = s->metrics,
						      .tls = tls,
						      .users_file = users_file,
						      .ready = ready,
						      .ctx = s };
	if (metrics_server_new(&config, &s->server, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

static void serve(struct served *s, const char *users_file)
{
	serve_by(s, users_file, NULL);
}

static void served_done(struct served *s)
{
	metrics_server_free(s->server);
	metrics_free(s->metrics);
}
#define AUTO_SERVED __attribute__((cleanup(served_done))) struct served

static int dial(const struct served *s)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)metrics_server_port(s->server)),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All there is until the server closes. */
static size_t hear(int fd, char *out, size_t size)
{
	size_t len = 0;

	for (ssize_t n; len < size - 1 && (n = recv(fd, out + len, size - 1 - len, 0)) > 0;)
		len += (size_t)n;
	out[len] = 0;
	return len;
}

static void ask(const struct served *s, const char *request, char *out, size_t size)
{
	AUTO_FD int fd = dial(s);

	say(fd, request);
	(void)hear(fd, out, size);
}

#define CLOSE "Host: x\r\nConnection: close\r\n"

static void a_page_comes_in_the_format_that_was_asked_for(void **state)
{
	char out[16384];

	(void)state;
	AUTO_SERVED s;
	serve(&s, NULL);
	ask(&s, "GET /metrics HTTP/1.1\r\n" CLOSE "\r\n", out, sizeof out);
	assert_non_null(strstr(out, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(out, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
	assert_non_null(strstr(out, "\r\n\r\n# HELP x_total X\n# TYPE x_total counter\n"
				    "x_total{a=\"b\"} 7\n"));
	ask(&s, "GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text\r\n" CLOSE "\r\n",
	    out, sizeof out);
	assert_non_null(strstr(out, "Content-Type: application/openmetrics-text; version=1.0.0; "
				    "charset=utf-8\r\n"));
	assert_non_null(
		strstr(out, "\r\n\r\n# HELP x X\n# TYPE x counter\nx_total{a=\"b\"} 7.0\n"));
	/* the second page tells of the first request */
	assert_non_null(
		strstr(out, "\nhubble_metrics_http_handler_requests_total{code=\"200\"} 1.0\n"));
	assert_non_null(strstr(out, "\n# EOF\n"));
}

static void a_compressed_page_is_the_same_page(void **state)
{
	char out[16384], page[16384];

	(void)state;
	AUTO_SERVED s;
	serve(&s, NULL);
	AUTO_FD int fd = dial(&s);
	say(fd, "GET /metrics HTTP/1.1\r\nAccept-Encoding: gzip\r\n" CLOSE "\r\n");
	size_t len = hear(fd, out, sizeof out);
	char *body = strstr(out, "\r\n\r\n");
	assert_non_null(body);
	assert_non_null(strstr(out, "Content-Encoding: gzip\r\n"));
	z_stream z = { .next_in = (Bytef *)body + 4,
		       .avail_in = (uInt)(len - (size_t)(body + 4 - out)),
		       .next_out = (Bytef *)page,
		       .avail_out = sizeof page };
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_memory_equal(page, "# HELP x_total X\n", 17);
	(void)inflateEnd(&z);
}

static void probes_and_strangers_are_answered(void **state)
{
	char out[4096], long_request[HTTP_REQUEST_BYTES + 100];

	(void)state;
	AUTO_SERVED s;
	serve(&s, NULL);
	ask(&s, "GET /healthz HTTP/1.0\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "200 OK"));
	ask(&s, "GET /readyz HTTP/1.0\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "200 OK"));
	ask(&s, "GET /nothing HTTP/1.0\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "404 Not Found"));
	ask(&s, "DELETE /metrics HTTP/1.0\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "405 Method Not Allowed"));
	ask(&s, "nonsense\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "400 Bad Request"));
	memset(long_request, 'a', sizeof long_request);
	memcpy(long_request, "GET /", 5);
	long_request[sizeof long_request - 1] = 0;
	AUTO_FD int fd = dial(&s);
	(void)send(fd, long_request, HTTP_REQUEST_BYTES, MSG_NOSIGNAL);
	(void)hear(fd, out, sizeof out);
	assert_non_null(strstr(out, "431 Request Header Fields Too Large"));
	ask(&s, "HEAD /metrics HTTP/1.0\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "200 OK"));
	assert_string_equal(strstr(out, "\r\n\r\n"), "\r\n\r\n");
}

static void who_is_not_ready_says_why(void **state)
{
	char out[4096];

	(void)state;
	AUTO_SERVED s;
	serve(&s, NULL);
	s.is_ready = false;
	ask(&s, "GET /readyz HTTP/1.0\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "503 Service Unavailable"));
	assert_non_null(strstr(out, "the well is dry\n"));
	ask(&s, "GET /healthz HTTP/1.0\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "200 OK"));
}

static void requests_on_one_connection_are_answered_in_turn(void **state)
{
	char out[16384];
	unsigned answers = 0;

	(void)state;
	AUTO_SERVED s;
	serve(&s, NULL);
	AUTO_FD int fd = dial(&s);
	say(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHo");
	say(fd, "st: x\r\n\r\nGET /healthz HTTP/1.1\r\n" CLOSE "\r\n");
	(void)hear(fd, out, sizeof out);
	for (const char *at = out; (at = strstr(at, "HTTP/1.1 ")); at++)
		answers++;
	assert_int_equal(answers, 3);
	assert_true(strstr(out, "404 Not Found") > strstr(out, "200 OK"));
}

static void who_asks_much_at_once_does_not_keep_others_waiting(void **state)
{
	enum { MANY = 100 };
	AUTO_BUF struct buf many = buf_init(64 << 10);
	char out[64 << 10];
	uint64_t one = 1;

	(void)state;
	AUTO_SERVED s;
	serve(&s, NULL);
	AUTO_FD int held = eventfd(0, EFD_CLOEXEC);
	s.held = held; /* the server reads it once it is asked */
	for (int i = 0; i < MANY; i++)
		buf_printf(&many, "GET /readyz HTTP/1.1\r\n%s\r\n", i + 1 < MANY ? "" : CLOSE);
	AUTO_FD int eager = dial(&s);
	say(eager, buf_cstr(&many));
	AUTO_FD int other = dial(&s);
	say(other, "GET /metrics HTTP/1.1\r\n" CLOSE "\r\n");
	assert_int_equal(write(held, &one, sizeof one), sizeof one);
	(void)hear(other, out, sizeof out);
	assert_non_null(strstr(out, "x_total{a=\"b\"} 7\n"));
	assert_in_range(s.asked_at_page, 1, MANY / 2);
	(void)hear(eager, out, sizeof out);
	assert_int_equal(s.asked, MANY);
}

static void more_connections_than_there_is_room_for_push_out_the_oldest(void **state)
{
	int fds[METRICS_CONNECTIONS];
	char out[4096];

	(void)state;
	AUTO_SERVED s;
	serve(&s, NULL);
	for (unsigned i = 0; i < METRICS_CONNECTIONS; i++) {
		fds[i] = dial(&s);
		say(fds[i], "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
		assert_true(recv(fds[i], out, sizeof out, 0) > 0);
	}
	ask(&s, "GET /healthz HTTP/1.0\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "200 OK"));
	assert_int_equal(recv(fds[0], out, sizeof out, 0), 0); /* the one that was silent longest */
	say(fds[1], "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_true(recv(fds[1], out, sizeof out, 0) > 0);
	for (unsigned i = 0; i < METRICS_CONNECTIONS; i++)
		(void)close(fds[i]);
}

static void a_password_is_asked_for_metrics_and_not_of_probes(void **state)
{
	char out[16384];

	(void)state;
	AUTO_FOLDER f = folder_of("prometheus:" SECRET_HASH "\n");
	AUTO_SERVED s;
	serve(&s, f.file);
	ask(&s, "GET /metrics HTTP/1.0\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "401 Unauthorized"));
	assert_non_null(strstr(out, "WWW-Authenticate: Basic realm=\"metrics\"\r\n"));
	assert_null(strstr(out, "x_total"));
	/* prometheus:secret, prometheus:wrong */
	ask(&s, "GET /metrics HTTP/1.0\r\nAuthorization: Basic cHJvbWV0aGV1czpzZWNyZXQ=\r\n\r\n",
	    out, sizeof out);
	assert_non_null(strstr(out, "x_total{a=\"b\"} 7\n"));
	ask(&s, "GET /metrics HTTP/1.0\r\nAuthorization: Basic cHJvbWV0aGV1czp3cm9uZw==\r\n\r\n",
	    out, sizeof out);
	assert_non_null(strstr(out, "401 Unauthorized"));
	ask(&s, "GET /healthz HTTP/1.0\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "200 OK"));
}

/* Of endless:guess and quick:secret. */
#define SCRAPE_ENDLESS                                                                             \
	"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ZW5kbGVzczpndWVzcw==\r\n\r\n"
#define SCRAPE_QUICK "GET /metrics HTTP/1.0\r\nAuthorization: Basic cXVpY2s6c2VjcmV0\r\n\r\n"

static void a_password_that_takes_for_ever_keeps_no_other_request_waiting(void **state)
{
	int slow[USERS_WAITING];
	char out[16384];

	(void)state;
	AUTO_FOLDER f = folder_of("endless:" ENDLESS_HASH "\nquick:" SECRET_HASH "\n");
	AUTO_SERVED s;
	serve(&s, f.file);
	ask(&s, SCRAPE_QUICK, out, sizeof out);
	assert_non_null(strstr(out, "x_total{a=\"b\"} 7\n"));
	for (unsigned i = 0; i < USERS_WAITING; i++) {
		slow[i] = dial(&s);
		say(slow[i], SCRAPE_ENDLESS);
	}
	ask(&s, "GET /healthz HTTP/1.0\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "200 OK"));
	ask(&s, SCRAPE_QUICK, out, sizeof out);
	assert_non_null(strstr(out, "x_total{a=\"b\"} 7\n"));
	ask(&s, "GET /metrics HTTP/1.0\r\n\r\n", out, sizeof out);
	assert_non_null(strstr(out, "401 Unauthorized"));
	AUTO_FD int one_more = dial(&s);
	say(one_more, SCRAPE_ENDLESS);
	assert_true(recv(one_more, out, sizeof out, 0) > 0);
	assert_non_null(strstr(out, "503 Service Unavailable\r\n"));
	assert_non_null(strstr(out, "Retry-After: 1\r\n"));
	assert_non_null(strstr(out, "too many passwords are being checked\n"));
	for (unsigned i = 0; i < USERS_WAITING; i++) {
		assert_int_equal(recv(slow[i], out, sizeof out, MSG_DONTWAIT), -1);
		assert_int_equal(close(slow[i]), 0);
	}
}

/* A certificate of its own making, and its key, in one file. */
static void write_identity(const char *path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	FILE *f = fopen(path, "we");

	assert_true(key && cert && f);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(cert), 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), -3600));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), 3600));
	assert_int_equal(X509_set_pubkey(cert, key), 1);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_X509(f, cert), 1);
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	assert_int_equal(fclose(f), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void say_by_tls(SSL *ssl, const char *text)
{
	assert_int_equal(SSL_write(ssl, text, (int)strlen(text)), strlen(text));
}

static void hear_ok_by_tls(SSL *ssl)
{
	char out[4096];
	int len = 0;

	do {
		int n = SSL_read(ssl, out + len, (int)sizeof out - 1 - len);
		if (n <= 0)
			fail_msg("the connection ended after %d bytes", len);
		len += n;
		out[len] = 0;
	} while (!strstr(out, "\r\n\r\nok\n"));
}

static void a_connection_that_fails_takes_no_other_with_it(void **state)
{
	char out[4096];

	(void)state;
	AUTO_FOLDER f = folder_of("");
	write_identity(f.file);
	const struct rpc_tls tls = { .cert_file = f.file, .key_file = f.file };
	AUTO_SERVED s;
	serve_by(&s, NULL, &tls);
	AUTO_FD int fd = dial(&s);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	assert_int_equal(SSL_set_fd(ssl, fd), 1);
	assert_int_equal(SSL_connect(ssl), 1);
	say_by_tls(ssl, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
	hear_ok_by_tls(ssl);
	for (int i = 0; i < 2; i++) { /* the second time the server waits for the rest of ours */
		ask(&s, "GET /healthz HTTP/1.0\r\n\r\n", out, sizeof out); /* not by TLS */
		assert_null(strstr(out, "ok"));
		say_by_tls(ssl, i ? "Host: x\r\n\r\n" : "GET /healthz HTTP/1.1\r\n");
	}
	hear_ok_by_tls(ssl);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

static void an_address_in_use_is_said_to_be(void **state)
{
	char address[32];

	(void)state;
	AUTO_SERVED s;
	struct metrics_server *other;
	struct err e;
	serve(&s, NULL);
	(void)snprintf(address, sizeof address, "127.0.0.1:%d", metrics_server_port(s.server));
	const struct metrics_server_config config = { .address = address, .metrics = s.metrics };
	assert_int_equal(metrics_server_new(&config, &other, &e), ERR_EXISTS);
	assert_non_null(strstr(e.msg, address));
}

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_comes_in_the_format_that_was_asked_for),
		cmocka_unit_test(a_compressed_page_is_the_same_page),
		cmocka_unit_test(probes_and_strangers_are_answered),
		cmocka_unit_test(who_is_not_ready_says_why),
		cmocka_unit_test(requests_on_one_connection_are_answered_in_turn),
		cmocka_unit_test(who_asks_much_at_once_does_not_keep_others_waiting),
		cmocka_unit_test(more_connections_than_there_is_room_for_push_out_the_oldest),
		cmocka_unit_test(a_password_is_asked_for_metrics_and_not_of_probes),
		cmocka_unit_test(a_password_that_takes_for_ever_keeps_no_other_request_waiting),
		cmocka_unit_test(a_connection_that_fails_takes_no_other_with_it),
		cmocka_unit_test(an_address_in_use_is_said_to_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
