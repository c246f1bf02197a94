/* Checkpoints to syslog and to HTTP servers: what is refused, hung or broken off is counted and
 * comes again, in order. (Files: test_evidence_parts.c; TLS: tests/evidence.) */
#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "evidence/send.h"
#include "evidence/send_syslog.h"

enum { REQUEST_MAX = 8192, SHORT_MS = 300, LINES = 4 };

static struct evidence_sender *sender_to(const char *target, unsigned timeout_ms)
{
	const struct evidence_sender_config config = { .targets = &target,
						       .target_count = 1,
						       .timeout_ms = timeout_ms };
	struct evidence_sender *s = NULL;
	struct err e = { .msg = "" };

	if (evidence_sender_new(&config, &s, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return s;
}

static void put_line(struct evidence_sender *s, int number)
{
	char line[32];

	(void)snprintf(line, sizeof line, "{\"line\":%d}", number);
	evidence_sender_put(s, str_of(line));
}

static void wait_failed(struct evidence_sender *s, uint64_t n)
{
	while (evidence_sender_counts(s).failed < n)
		(void)poll(NULL, 0, 1);
}

/* A port that nobody listens on yet, and that nobody else gets. */
static int port_bound(uint16_t *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*ret_port = ntohs(at.sin_port);
	return fd;
}

static int accept_one(int listening)
{
	int fd = accept(listening, NULL, NULL);

	assert_true(fd >= 0);
	return fd;
}

/* --- HTTP --- */

/* A request's body: the line with its newline. False: the client gave up. */
static bool read_request(int fd, char body[REQUEST_MAX])
{
	char bytes[REQUEST_MAX];
	size_t len = 0;

	for (;;) {
		ssize_t n = read(fd, bytes + len, sizeof bytes - 1 - len);
		if (n <= 0)
			return false;
		len += (size_t)n;
		bytes[len] = 0;
		const char *end = strstr(bytes, "\r\n\r\n");
		if (!end || bytes[len - 1] != '\n' || end + 4 == bytes + len)
			continue;
		assert_true(strncmp(bytes, "POST /in HTTP/1.1\r\n", 19) == 0);
		assert_non_null(strstr(bytes, "Content-Type: application/json\r\n"));
		(void)snprintf(body, REQUEST_MAX, "%s", end + 4);
		return true;
	}
}

static void answer(int fd, const char *status)
{
	char text[128];
	int n = snprintf(text, sizeof text,
			 "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);

	(void)send(fd, text, (size_t)n, MSG_NOSIGNAL);
	(void)close(fd);
}

static void what_a_server_refuses_breaks_or_holds_up_comes_again(void **state)
{
	(void)state;
	char url[64], body[REQUEST_MAX], want[32];
	uint16_t port;
	int listening = port_bound(&port), next = 1;

	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u/in", port);
	AUTO(evidence_sender_free) struct evidence_sender *s = sender_to(url, SHORT_MS);
	put_line(s, 1); /* refused: nobody listens */
	wait_failed(s, 1);
	assert_int_equal(listen(listening, 8), 0);
	put_line(s, 2);
	int fd = accept_one(listening);
	assert_true(read_request(fd, body));
	assert_string_equal(body, "{\"line\":1}\n");
	answer(fd, "503 Service Unavailable");
	wait_failed(s, 2);
	put_line(s, 3);
	fd = accept_one(listening); /* and never a word */
	wait_failed(s, 3);
	(void)close(fd);
	put_line(s, 4);
	while (evidence_sender_counts(s).sent < LINES) {
		struct pollfd p = { .fd = listening, .events = POLLIN };
		if (poll(&p, 1, 5) <= 0)
			continue;
		fd = accept_one(listening);
		if (!read_request(fd, body)) { /* one that was given up before it was looked at */
			(void)close(fd);
			continue;
		}
		answer(fd, "204 No Content");
		(void)snprintf(want, sizeof want, "{\"line\":%d}\n", next);
		if (strcmp(body, want) == 0)
			next++;
		else /* came again, because our yes came too late */
			assert_int_equal(body[8], '0' + next - 1);
	}
	assert_int_equal(next, LINES + 1);
	assert_int_equal(evidence_sender_counts(s).dropped, 0);
	(void)close(listening);
}

/* --- syslog --- */

static void a_local_daemon_gets_what_came_before_it(void **state)
{
	(void)state;
	char dir[] = "/tmp/tycho-syslog-XXXXXX", target[128], got[512];
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	assert_non_null(mkdtemp(dir));
	(void)snprintf(at.sun_path, sizeof at.sun_path, "%s/log", dir);
	(void)snprintf(target, sizeof target, "syslog:%s", at.sun_path);
	AUTO(evidence_sender_free) struct evidence_sender *s = sender_to(target, 0);
	put_line(s, 1);
	wait_failed(s, 1);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
	put_line(s, 2);
	for (int i = 1; i <= 2; i++) {
		char want[64];
		ssize_t n = recv(fd, got, sizeof got - 1, 0);
		assert_true(n > 0);
		got[n] = 0;
		assert_true(strncmp(got, "<29>", 4) == 0); /* daemon 3 * 8 + notice 5 */
		(void)snprintf(want, sizeof want, "tycho-observer[%d]: checkpoint {\"line\":%d}",
			       (int)getpid(), i);
		assert_string_equal(got + n - strlen(want), want);
	}
	(void)close(fd);
	(void)unlink(at.sun_path);
	(void)rmdir(dir);
}

/* All that comes until the other side is through. */
static size_t read_frame(int fd, char *got, size_t size)
{
	size_t len = 0;

	for (ssize_t n; (n = read(fd, got + len, size - 1 - len)) > 0;)
		len += (size_t)n;
	got[len] = 0;
	return len;
}

static void a_far_daemon_gets_frames_of_rfc_5424(void **state)
{
	(void)state;
	char target[64], got[1024], stamp[40], host[260];
	int size = 0, pid = 0, used = 0;
	uint16_t port;
	int listening = port_bound(&port);

	(void)snprintf(target, sizeof target, "syslog://127.0.0.1:%u", port);
	AUTO(evidence_sender_free) struct evidence_sender *s = sender_to(target, SHORT_MS);
	put_line(s, 1);
	wait_failed(s, 1); /* refused */
	assert_int_equal(listen(listening, 8), 0);
	put_line(s, 2);
	int fd = accept_one(listening); /* taken, and broken off: a reset */
	const struct linger at_once = { .l_onoff = 1 };
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	(void)close(fd);
	wait_failed(s, 2);
	put_line(s, 3);
	fd = accept_one(listening);
	size_t len = read_frame(fd, got, sizeof got);
	(void)close(fd);
	assert_int_equal(sscanf(got, "%d <29>1 %39s %259s tycho-observer %d checkpoint - %n", &size,
				stamp, host, &pid, &used),
			 4);
	assert_int_equal(size + (int)(strchr(got, ' ') + 1 - got), len);
	assert_int_equal(pid, getpid());
	assert_string_equal(got + used, "{\"line\":1}");
	assert_true(stamp[strlen(stamp) - 1] == 'Z' && stamp[10] == 'T' && strlen(stamp) <= 27);
	while (evidence_sender_counts(s).sent < 3) {
		struct pollfd p = { .fd = listening, .events = POLLIN };
		if (poll(&p, 1, 5) <= 0)
			continue;
		fd = accept_one(listening);
		(void)read_frame(fd, got, sizeof got);
		(void)close(fd);
	}
	assert_string_equal(got + strlen(got) - 10, "{\"line\":3}");
	(void)close(listening);
}

static void places_are_paths_or_hosts_with_ports(void **state)
{
	(void)state;
	static const char *const good[] = { "/dev/log", "log.example:514", "[::1]:6514",
					    "10.0.0.1:1" },
				 *const bad[] = { "",       "log.example", "log.example:", ":514",
						  "[]:514", "h:0",         "h:65536",      "h:x" };
	char long_path[200];

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(syslog_where_is_valid(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(syslog_where_is_valid(bad[i]));
	memset(long_path, '/', sizeof long_path - 1);
	long_path[sizeof long_path - 1] = 0;
	assert_false(syslog_where_is_valid(long_path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_server_refuses_breaks_or_holds_up_comes_again),
		cmocka_unit_test(a_local_daemon_gets_what_came_before_it),
		cmocka_unit_test(a_far_daemon_gets_frames_of_rfc_5424),
		cmocka_unit_test(places_are_paths_or_hosts_with_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
