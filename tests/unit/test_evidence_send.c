/* Checkpoints to syslog and to HTTP servers: what is refused, hung or broken off is counted and
 * comes again, in order. (Files: test_evidence_parts.c; TLS: tests/evidence.) */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <fcntl.h>
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

/* A name service that gives no answer until it is told to: it is asked by way of this, as the
 * program's own function goes before the library's. */
static int stuck[2] = { -1, -1 };

int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	char byte;

	if (strcmp(host, "stuck.test") == 0) {
		(void)!read(stuck[0], &byte, 1);
		return EAI_AGAIN;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real(host, port, hints, ret);
}

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

/* --- by UDP --- */

/* A socket of UDP at *@port; at one that nobody else has, if that is 0. */
static int udp_socket(uint16_t *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(*port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

/* Holds a port, but hears only itself there: others are told that nobody listens. */
static int deaf_socket(uint16_t *port)
{
	struct sockaddr_in at;
	socklen_t len = sizeof at;
	int fd = udp_socket(port);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
	return fd;
}

/* The number of the line in the next datagram, which is as RFC 5424 wants it. */
static int read_datagram(int fd)
{
	char got[SYSLOG_UDP_MAX + 1], stamp[40], host[260];
	int pid = 0, used = 0, number = 0;
	ssize_t n = recv(fd, got, sizeof got - 1, 0);

	assert_true(n > 0);
	got[n] = 0;
	assert_int_equal(sscanf(got, "<29>1 %39s %259s tycho-observer %d checkpoint - %n", stamp,
				host, &pid, &used),
			 3);
	assert_int_equal(pid, getpid());
	assert_int_equal(sscanf(got + used, "{\"line\":%d}", &number), 1);
	assert_int_equal(got[n - 1], '}');
	return number;
}

static void datagrams_that_nobody_heard_come_again(void **state)
{
	(void)state;
	char target[64];
	uint16_t port = 0;
	int deaf = deaf_socket(&port), last = 0;

	(void)snprintf(target, sizeof target, "syslog+udp://127.0.0.1:%u", port);
	AUTO(evidence_sender_free) struct evidence_sender *s = sender_to(target, 0);
	struct evidence_sender_counts c = { 0 };
	/* A host's word may come too late to be heard (RFC 1122 does not promise it at all). */
	for (; !c.failed; c = evidence_sender_counts(s)) {
		put_line(s, ++last);
		while (c.sent + c.failed < (uint64_t)last) {
			(void)poll(NULL, 0, 1);
			c = evidence_sender_counts(s);
		}
	}
	int fd = udp_socket(&port);
	put_line(s, last + 1);
	for (int number = (int)c.sent + 1; number <= last + 1; number++)
		assert_int_equal(read_datagram(fd), number);
	while (evidence_sender_counts(s).sent < (uint64_t)last + 1)
		(void)poll(NULL, 0, 1);
	assert_int_equal(evidence_sender_counts(s).dropped, 0);
	(void)close(fd);
	(void)close(deaf);
}

static void what_no_datagram_can_hold_is_dropped_and_the_next_is_sent(void **state)
{
	(void)state;
	static const char big[SYSLOG_UDP_MAX] = { [0 ... SYSLOG_UDP_MAX - 1] = 'x' };
	char target[64];
	uint16_t port = 0;
	int fd = udp_socket(&port);

	(void)snprintf(target, sizeof target, "syslog+udp://127.0.0.1:%u", port);
	AUTO(evidence_sender_free) struct evidence_sender *s = sender_to(target, 0);
	evidence_sender_put(s, str_n(big, sizeof big));
	put_line(s, 2);
	assert_int_equal(read_datagram(fd), 2);
	while (!evidence_sender_counts(s).sent)
		(void)poll(NULL, 0, 1);
	assert_int_equal(evidence_sender_counts(s).dropped, 1);
	assert_int_equal(evidence_sender_counts(s).failed, 0);
	(void)close(fd);
}

static void a_datagram_has_room_for_what_it_may_hold_and_not_a_byte_more(void **state)
{
	(void)state;
	static const char xs[SYSLOG_UDP_MAX] = { [0 ... SYSLOG_UDP_MAX - 1] = 'x' };
	struct syslog_place place;
	char target[64], got[SYSLOG_UDP_MAX + 1];
	uint16_t port = 0;
	int fd = udp_socket(&port);
	size_t len = 0;
	struct err e = { .msg = "" };

	(void)snprintf(target, sizeof target, "syslog+udp://127.0.0.1:%u", port);
	assert_true(syslog_place_parse(target, &place));
	/* The head's length is the system's affair: host name, process, microseconds. */
	while (len < sizeof xs && syslog_takes(&place, str_n(xs, len + 1)))
		len++;
	assert_true(len > SYSLOG_UDP_MAX - 400 && len < SYSLOG_UDP_MAX - 40);
	assert_int_not_equal(send_to_syslog(&place, str_n(xs, sizeof xs), NULL, 0, &e), ERR_OK);
	assert_int_equal(send_to_syslog(&place, str_n(xs, len - 8), NULL, 0, &e), ERR_OK);
	ssize_t n = recv(fd, got, sizeof got, 0);
	assert_true(n > SYSLOG_UDP_MAX - 32 && n <= SYSLOG_UDP_MAX);
	(void)close(fd);
}

/* --- names --- */

static void a_name_that_nobody_looks_up_holds_up_nobody(void **state)
{
	(void)state;
	char dir[] = "/tmp/tycho-stuck-XXXXXX", path[64], file[80], said[2048] = "";

	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/lines", dir);
	(void)snprintf(file, sizeof file, "file:%s", path);
	const char *const targets[] = { "syslog+udp://stuck.test:514", file,
					"syslog+tcp://stuck.test:514" };
	const struct evidence_sender_config config = { .targets = targets,
						       .target_count = ARRAY_LEN(targets),
						       .grace_ms = SHORT_MS };
	struct evidence_sender *s = NULL;
	struct err e;
	int log[2], err_fd = dup(STDERR_FILENO);

	assert_int_equal(pipe2(stuck, O_CLOEXEC), 0);
	assert_int_equal(evidence_sender_new(&config, &s, &e), ERR_OK);
	put_line(s, 1);
	put_line(s, 2);
	while (evidence_sender_counts(s).sent < 2) /* the file has them */
		(void)poll(NULL, 0, 1);
	assert_int_equal(pipe2(log, O_CLOEXEC), 0);
	assert_true(dup2(log[1], STDERR_FILENO) >= 0);
	evidence_sender_free(s); /* and does not wait for ever */
	assert_true(dup2(err_fd, STDERR_FILENO) >= 0);
	assert_true(read(log[0], said, sizeof said - 1) > 0);
	assert_non_null(strstr(
		said, "target=syslog+udp://stuck.test:514 lines=2 why=\"the program ends\""));
	assert_non_null(strstr(
		said, "target=syslog+tcp://stuck.test:514 lines=2 why=\"the program ends\""));
	assert_null(strstr(said, "target=file"));
	(void)close(stuck[1]); /* lets them go; who is left frees what is left */
	(void)close(log[0]);
	(void)close(log[1]);
	(void)close(err_fd);
	(void)unlink(path);
	(void)rmdir(dir);
}

static void places_are_paths_or_hosts_with_ports(void **state)
{
	(void)state;
	static const struct {
		const char *text, *where;
		int by;
	} good[] = { { "syslog", "/dev/log", SYSLOG_LOCAL },
		     { "syslog:/run/log", "/run/log", SYSLOG_LOCAL },
		     { "syslog://log.example:514", "log.example:514", SYSLOG_TCP },
		     { "syslog+tcp://[::1]:6514", "[::1]:6514", SYSLOG_TCP },
		     { "syslog+tls://log.example:6514", "log.example:6514", SYSLOG_TLS },
		     { "syslog+udp://10.0.0.1:1", "10.0.0.1:1", SYSLOG_UDP },
		     { "syslog+udp://[fe80::1%lo]:514", "[fe80::1%lo]:514", SYSLOG_UDP } };
	static const char *const bad[] = { "",
					   "syslogd",
					   "syslog:",
					   "syslog:log",
					   "syslog://",
					   "syslog://h",
					   "syslog://h:",
					   "syslog://:514",
					   "syslog://[]:1",
					   "syslog://h:0",
					   "syslog://h:65536",
					   "syslog://h:x",
					   "syslog://h:1/",
					   "syslog://::1:1",
					   "syslog://[h]:1",
					   "syslog://[::1]",
					   "syslog+udp://h",
					   "syslog+udp:/log",
					   "syslog+ssl://h:1",
					   "syslog+tls://h",
					   "syslog+udp",
					   "SYSLOG://h:1",
					   "syslog+tcp://::1" };
	struct syslog_place place = { .where = "" };
	char long_path[200] = "syslog:";

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(syslog_place_parse(good[i].text, &place));
		assert_string_equal(place.where, good[i].where);
		assert_int_equal(place.by, good[i].by);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (syslog_place_parse(bad[i], &place))
			fail_msg("%s", bad[i]);
	memset(long_path + 7, '/', sizeof long_path - 8);
	assert_false(syslog_place_parse(long_path, &place));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_server_refuses_breaks_or_holds_up_comes_again),
		cmocka_unit_test(a_local_daemon_gets_what_came_before_it),
		cmocka_unit_test(a_far_daemon_gets_frames_of_rfc_5424),
		cmocka_unit_test(datagrams_that_nobody_heard_come_again),
		cmocka_unit_test(what_no_datagram_can_hold_is_dropped_and_the_next_is_sent),
		cmocka_unit_test(a_datagram_has_room_for_what_it_may_hold_and_not_a_byte_more),
		cmocka_unit_test(a_name_that_nobody_looks_up_holds_up_nobody),
		cmocka_unit_test(places_are_paths_or_hosts_with_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
