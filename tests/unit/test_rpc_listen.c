/* lib/rpc: addresses, ports and sockets; running out of descriptors. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/buf.h"
#include "rpc/address.h"
#include "rpc_fixture.h"

static void expect_echo(struct rpc_channel *ch)
{
	AUTO_BUF struct buf answer = buf_init(100);
	struct err e;

	if (rpc_unary(ch, "/test.T/Echo", STR("hi"), 30 * NS_PER_S, &answer, NULL, &e) != ERR_OK)
		fail_msg("echo: %s", e.msg);
	assert_true(str_is(buf_str(&answer), "hi"));
}

static int connect_tcp(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void addresses_are_read_in_every_form(void **state)
{
	(void)state;
	static const struct {
		const char *text, *target;
		bool tls;
	} good[] = {
		{ "localhost:4245", "dns:///localhost:4245", false },
		{ "tls://node1:443", "dns:///node1:443", true },
		{ "127.0.0.1:1", "ipv4:127.0.0.1:1", false },
		{ "[::1]:4245", "ipv6:%5B::1%5D:4245", false },
		{ ":65535", "dns:///localhost:65535", false },
		{ "unix:///run/t.sock", "unix:/run/t.sock", false },
		{ "unix:/run/t.sock", "unix:/run/t.sock", false },
		{ "unix:rel ative", "unix:rel%20ative", false },
	};
	static const char *const bad[] = {
		"",        ":",     "host",    "[::1]", "::1:80", "host:65536", "host:http",
		"host:-1", "unix:", "unix://", "a/b:1", "a b:1",  "tls://",     "http://host:80"
	};
	struct address a;
	struct err e;
	char target[ADDRESS_TARGET_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(address_parse(str_of(good[i].text), &a, &e), ERR_OK);
		address_target(&a, target);
		assert_string_equal(target, good[i].target);
		assert_int_equal(a.is_tls, good[i].tls);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (address_parse(str_of(bad[i]), &a, &e) != ERR_INVALID)
			fail_msg("'%s' was taken for an address", bad[i]);
	/* sun_path has 108 bytes, the terminator among them. */
	char path[5 + 108 + 1];
	memset(path, 'p', sizeof path - 1);
	memcpy(path, "unix:", 5);
	path[sizeof path - 1] = 0;
	assert_int_equal(address_parse(str_of(path), &a, &e), ERR_INVALID);
	path[sizeof path - 2] = 0;
	assert_int_equal(address_parse(str_of(path), &a, &e), ERR_OK);
}

static void others_are_told_what_they_can_call(void **state)
{
	(void)state;
	static const char *const as_they_are[] = { "127.0.0.1:4244", "[::1]:4244", "node1:4244",
						   "192.0.2.7:1", "[2001:db8::7]:65535" };
	static const char *const everywhere[] = { ":4244", "0.0.0.0:4244", "[::]:4244" };
	struct address a;
	char told[ADDRESS_TARGET_BYTES];

	for (size_t i = 0; i < ARRAY_LEN(as_they_are); i++) {
		assert_int_equal(address_parse(str_of(as_they_are[i]), &a, NULL), ERR_OK);
		assert_true(address_for_others(&a, told));
		assert_string_equal(told, as_they_are[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(everywhere); i++) {
		assert_int_equal(address_parse(str_of(everywhere[i]), &a, NULL), ERR_OK);
		if (!address_for_others(&a, told))
			continue; /* the loopback is all there is */
		assert_int_equal(address_parse(str_of(told), &a, NULL), ERR_OK);
		assert_int_equal(a.port, 4244);
		assert_true(*a.host && strcmp(a.host, "0.0.0.0") != 0 && strcmp(a.host, "::") != 0);
		assert_true(strncmp(a.host, "127.", 4) != 0 && strcmp(a.host, "::1") != 0);
		if (strcmp(everywhere[i], "0.0.0.0:4244") == 0)
			assert_null(strchr(a.host, ':'));
	}
	assert_int_equal(address_parse(STR("unix:///run/t.sock"), &a, NULL), ERR_OK);
	assert_false(address_for_others(&a, told));
}

static void a_port_in_use_is_refused(void **state)
{
	(void)state;
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 }), *second = NULL;
	char address[64];
	struct err e;

	(void)snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(s, 0));
	struct rpc_listen listen = { .address = address };
	struct rpc_server_config config = { .listens = &listen, .listen_count = 1 };
	assert_int_equal(rpc_server_new(&config, &second, &e), ERR_EXISTS);
	assert_null(second);
	assert_non_null(strstr(e.msg, address));
	assert_non_null(strstr(e.msg, "in use"));
	/* The name stands for more than one address: one of them taken is enough. */
	(void)snprintf(address, sizeof address, "localhost:%d", rpc_server_port(s, 0));
	assert_int_equal(rpc_server_new(&config, &second, &e), ERR_EXISTS);
	/* A second address that cannot be had gives the first one back. */
	struct rpc_listen two[] = { { .address = "127.0.0.1:0" }, { .address = address } };
	config = (struct rpc_server_config){ .listens = two, .listen_count = 2 };
	assert_int_equal(rpc_server_new(&config, &second, &e), ERR_EXISTS);
	struct rpc_channel *ch = fixture_channel(s);
	expect_echo(ch);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

static void bad_listen_addresses_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *address;
		enum err_code code;
	} bad[] = {
		{ "nonsense", ERR_INVALID },
		{ "tls://127.0.0.1:0", ERR_INVALID },
		{ "192.0.2.1:0", ERR_IO }, /* RFC 5737: not ours */
		{ "unix:///nonexistent/dir/s.sock", ERR_NOT_FOUND },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct rpc_listen listen = { .address = bad[i].address };
		struct rpc_server_config config = { .listens = &listen, .listen_count = 1 };
		struct rpc_server *s = NULL;
		struct err e;
		assert_int_equal(rpc_server_new(&config, &s, &e), bad[i].code);
		assert_null(s);
	}
}

static void localhost_and_any_interface_can_be_called(void **state)
{
	(void)state;
	const struct rpc_listen listens[] = { { .address = "localhost:0" }, { .address = ":0" } };
	struct rpc_server *s =
		fixture_serve((struct rpc_server_config){ .listens = listens, .listen_count = 2 });

	for (size_t i = 0; i < ARRAY_LEN(listens); i++) {
		char address[64];
		(void)snprintf(address, sizeof address, "localhost:%d", rpc_server_port(s, i));
		struct rpc_channel *ch = fixture_channel_to(address, NULL);
		expect_echo(ch);
		rpc_channel_free(ch);
	}
	assert_int_equal(rpc_server_port(s, 2), 0);
	rpc_server_free(s, NS_PER_S);
}

static void a_unix_socket_has_its_mode_and_goes_with_the_server(void **state)
{
	(void)state;
	static const unsigned modes[] = { 0600, 0660, 0666 };
	char address[200];

	(void)snprintf(address, sizeof address, "unix://%s/a b.sock", fixture_dir());
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		struct rpc_listen listen = { .address = address, .socket_mode = modes[i] };
		struct rpc_server *s = fixture_serve(
			(struct rpc_server_config){ .listens = &listen, .listen_count = 1 });
		struct stat st;
		assert_int_equal(stat(address + 7, &st), 0);
		assert_true(S_ISSOCK(st.st_mode));
		assert_int_equal(st.st_mode & 0777, modes[i]);
		assert_int_equal(rpc_server_port(s, 0), 0);
		struct rpc_channel *ch = fixture_channel_to(address, NULL);
		expect_echo(ch);
		/* A living socket is not taken away. */
		struct rpc_server *second = NULL;
		struct rpc_server_config config = { .listens = &listen, .listen_count = 1 };
		struct err e;
		assert_int_equal(rpc_server_new(&config, &second, &e), ERR_EXISTS);
		expect_echo(ch);
		rpc_channel_free(ch);
		rpc_server_free(s, NS_PER_S);
		assert_int_equal(stat(address + 7, &st), -1);
	}
}

static void a_stale_socket_is_replaced_and_a_file_is_not(void **state)
{
	(void)state;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char address[200];

	(void)snprintf(sun.sun_path, sizeof sun.sun_path, "%s/stale.sock", fixture_dir());
	(void)snprintf(address, sizeof address, "unix:%s", sun.sun_path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof sun), 0);
	assert_int_equal(listen(fd, 1), 0);
	(void)close(fd); /* a server that was killed leaves this behind */
	struct rpc_listen listen = { .address = address };
	struct rpc_server *s =
		fixture_serve((struct rpc_server_config){ .listens = &listen, .listen_count = 1 });
	struct rpc_channel *ch = fixture_channel_to(address, NULL);
	expect_echo(ch);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);

	fd = open(sun.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	(void)close(fd);
	struct rpc_server_config config = { .listens = &listen, .listen_count = 1 };
	struct err e;
	assert_int_equal(rpc_server_new(&config, &s, &e), ERR_EXISTS);
	struct stat st;
	assert_int_equal(stat(sun.sun_path, &st), 0);
}

static bool fds_are_at_most(void *max)
{
	return fixture_fds() <= *(size_t *)max;
}

/* What is forgotten in a round would be there twelve times: gRPC keeps a few of its own, and closes
 * others a while after the call that gives them back. */
static void no_descriptor_is_left_behind(void **state)
{
	(void)state;
	enum { ROUNDS = 12 };
	size_t max = fixture_fds() + ROUNDS - 1;

	for (int round = 0; round < ROUNDS; round++) {
		struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
		struct rpc_channel *ch = fixture_channel(s);
		struct rpc_stream *st = fixture_open(ch, "/test.T/Flood", "");
		assert_non_null(fixture_next(st));
		expect_echo(ch);
		rpc_stream_free(st);
		rpc_channel_free(ch);
		rpc_server_free(s, NS_PER_S);
	}
	fixture_wait(fds_are_at_most, &max, "the descriptors are closed");
}

static void peers_that_say_nothing_delay_nobody(void **state)
{
	(void)state;
	/* One connects and is silent; one greets (RFC 9113 §3.4), then closes its sending half. */
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	int silent = connect_tcp(rpc_server_port(s, 0)), half = connect_tcp(rpc_server_port(s, 0));

	assert_true(silent >= 0 && half >= 0);
	assert_int_equal(write(half, preface, sizeof preface - 1), sizeof preface - 1);
	assert_int_equal(shutdown(half, SHUT_WR), 0);
	struct rpc_channel *ch = fixture_channel(s);
	expect_echo(ch);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
	(void)close(silent);
	(void)close(half);
}

/* HTTP/2 by hand (RFC 9113, RFC 7541): a POST to /test.T/Echo whose request never comes. The header
 * block uses literals without indexing (0x00) and indexed names of the static table. */
static size_t put_headers_only(unsigned char *out)
{
	static const char *const fields[][2] = {
		{ ":method", "POST" },
		{ ":scheme", "http" },
		{ ":path", "/test.T/Echo" },
		{ ":authority", "x" },
		{ "content-type", "application/grpc" },
		{ "te", "trailers" },
	};
	size_t n = 9;

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		out[n++] = 0;
		for (size_t k = 0; k < 2; k++) {
			size_t len = strlen(fields[i][k]);
			out[n++] = (unsigned char)len;
			memcpy(out + n, fields[i][k], len);
			n += len;
		}
	}
	size_t block = n - 9;
	const unsigned char frame[9] = { 0,
					 (unsigned char)(block >> 8),
					 (unsigned char)block,
					 1 /* HEADERS */,
					 4 /* END_HEADERS */,
					 0,
					 0,
					 0,
					 1 };
	memcpy(out, frame, sizeof frame);
	return n;
}

static bool a_call_lives(void *s)
{
	return rpc_server_stats(s).live_calls == 1;
}

static void a_half_open_call_does_not_hold_the_server(void **state)
{
	(void)state;
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct rpc_server *s = fixture_serve((struct rpc_server_config){ 0 });
	unsigned char bytes[300];
	int fd = connect_tcp(rpc_server_port(s, 0));

	assert_int_equal(write(fd, preface, sizeof preface - 1), sizeof preface - 1);
	size_t n = put_headers_only(bytes);
	assert_int_equal(write(fd, bytes, n), (ssize_t)n);
	fixture_wait(a_call_lives, s, "the call has arrived");
	struct rpc_channel *ch = fixture_channel(s);
	expect_echo(ch);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S / 10);
	(void)close(fd);
}

static bool echo_works(void *server)
{
	struct rpc_channel *ch = fixture_channel(server);
	AUTO_BUF struct buf answer = buf_init(100);
	enum err_code code =
		rpc_unary(ch, "/test.T/Echo", STR("hi"), NS_PER_S, &answer, NULL, NULL);

	rpc_channel_free(ch);
	return code == ERR_OK;
}

static void a_server_out_of_descriptors_listens_again(void **state)
{
	(void)state;
	enum { MORE = 400 };
	char path[200];
	(void)snprintf(path, sizeof path, "unix://%s/emfile.sock", fixture_dir());
	const struct rpc_listen listens[] = { { .address = "127.0.0.1:0" },
					      { .address = path, .socket_mode = 0600 } };
	struct rpc_server *s =
		fixture_serve((struct rpc_server_config){ .listens = listens, .listen_count = 2 });
	struct rpc_channel *ch = fixture_channel(s);
	struct rpc_stream *before = fixture_open(ch, "/test.T/Idle", "tick");
	int port = rpc_server_port(s, 0), fds[MORE];
	size_t n = 0;
	struct rlimit limit, low;

	assert_string_equal(fixture_next(before), "tick");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = fixture_fds() + 40;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	/* Both ends are in this process: each connection takes two descriptors until accept() has
	 * none. */
	while (n < MORE && (fds[n] = connect_tcp(port)) >= 0)
		n++;
	assert_true(n > 10 && n < MORE);
	/* The stream lives on without new descriptors. */
	assert_string_equal(fixture_next(before), "tick");
	while (n > 0)
		(void)close(fds[--n]);
	fixture_wait(echo_works, s, "the port answers again");
	assert_int_equal(rpc_server_port(s, 0), port);
	struct rpc_channel *local = fixture_channel_to(path, NULL);
	expect_echo(local);
	struct stat st;
	assert_int_equal(stat(path + 7, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_string_equal(fixture_next(before), "tick");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	rpc_channel_free(local);
	rpc_stream_free(before);
	rpc_channel_free(ch);
	rpc_server_free(s, NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_in_every_form),
		cmocka_unit_test(others_are_told_what_they_can_call),
		cmocka_unit_test(a_port_in_use_is_refused),
		cmocka_unit_test(bad_listen_addresses_are_refused),
		cmocka_unit_test(localhost_and_any_interface_can_be_called),
		cmocka_unit_test(a_unix_socket_has_its_mode_and_goes_with_the_server),
		cmocka_unit_test(a_stale_socket_is_replaced_and_a_file_is_not),
		cmocka_unit_test(no_descriptor_is_left_behind),
		cmocka_unit_test(peers_that_say_nothing_delay_nobody),
		cmocka_unit_test(a_half_open_call_does_not_hold_the_server),
		cmocka_unit_test(a_server_out_of_descriptors_listens_again),
	};

	rpc_init();
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	rpc_shutdown();
	return failed;
}
