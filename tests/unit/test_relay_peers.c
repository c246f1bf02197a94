/* relay/{keeper,discovery,dns}: who asks whether others live and who they are, and does nothing while it
 * waits. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <netinet/in.h>

#include "relay/discovery.h"
#include "relay/dns.h"
#include "relay/keeper.h"
#include "rpc/server.h"

/* A server that takes connections and never says a word. */
struct silent {
	int fd;
	char address[32];
};

static struct silent silent_of(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct silent s = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	socklen_t len = sizeof at;

	assert_true(s.fd >= 0);
	assert_int_equal(bind(s.fd, (const struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(s.fd, 8), 0);
	assert_int_equal(getsockname(s.fd, (struct sockaddr *)&at, &len), 0);
	(void)snprintf(s.address, sizeof s.address, "127.0.0.1:%d", ntohs(at.sin_port));
	return s;
}

static void on_changed(void *ctx)
{
	(void)ctx;
}

static struct peers *peers_of(struct rpc_fan *f)
{
	struct peers *p = NULL;

	assert_int_equal(
		peers_new(&(struct peers_config){ .fan = f, .changed = on_changed }, &p, NULL),
		ERR_OK);
	return p;
}

static struct mono_ns later(struct mono_ns t, uint64_t seconds)
{
	return (struct mono_ns){ t.v + seconds * NS_PER_S };
}

/* Longer than any of this takes. */
#define PATIENCE_NS (600 * NS_PER_S)

static void a_keeper_that_waits_for_an_answer_longer_than_its_interval_sleeps(void **state)
{
	struct silent s = silent_of();
	struct mono_ns now = mono_now(), next;
	struct rpc_fan *f = NULL;
	struct keeper *k = NULL;

	(void)state;
	assert_int_equal(rpc_fan_new(&f, NULL), ERR_OK);
	assert_int_equal(keeper_new(f, PATIENCE_NS, NS_PER_S, &k, NULL), ERR_OK);
	struct peers *p = peers_of(f);
	const struct peer_spec spec = { .name = STR("a"), .address = str_of(s.address) };
	assert_int_equal(peers_set(p, PEER_STATIC, &spec, 1, NULL), ERR_OK);

	(void)keeper_run(k, p, now, &next);
	assert_in_range(next.v, now.v + 1, later(now, 1).v);
	for (uint64_t i = 1; i <= 5; i++) { /* asked at once, and nobody answers */
		(void)keeper_run(k, p, later(now, i), &next);
		assert_in_range(next.v, later(now, i).v + 1, later(now, i + 1).v);
	}
	peers_free(p);
	keeper_free(k);
	rpc_fan_free(f);
	(void)close(s.fd);
}

static void a_tls_name_in_the_file_is_no_plain_text(void **state)
{
	struct silent s = silent_of();
	struct rpc_fan *f = NULL;
	struct err e;

	(void)state;
	assert_int_equal(rpc_fan_new(&f, NULL), ERR_OK);
	struct peers *p = peers_of(f); /* without TLS */
	const struct peer_spec named = { .name = STR("a"),
					 .address = str_of(s.address),
					 .tls_name = STR("a.example") };
	assert_int_equal(peers_set(p, PEER_FILE, &named, 1, &e), ERR_INVALID);
	assert_string_equal(e.msg, "peer 'a': a TLS name needs --peer-tls or --peer-ca-file");
	peers_free(p);
	rpc_fan_free(f);
	(void)close(s.fd);
}

static void a_silent_peer_service_is_waited_for_asleep(void **state)
{
	struct silent s = silent_of();
	struct mono_ns now = mono_now(), next;
	struct rpc_fan *f = NULL;
	struct discovery *d = NULL;

	(void)state;
	assert_int_equal(rpc_fan_new(&f, NULL), ERR_OK);
	struct peers *p = peers_of(f);
	assert_int_equal(discovery_new(f, s.address, NULL, PATIENCE_NS, NS_PER_S, p, &d, NULL),
			 ERR_OK);
	for (uint64_t i = 0; i <= 5; i++) { /* from the first second on its health is asked for */
		discovery_run(d, later(now, i), &next);
		assert_true(next.v > later(now, i).v);
	}
	discovery_free(d);
	peers_free(p);
	rpc_fan_free(f);
	(void)close(s.fd);
}

/* A peer service that tells the names of the moment to who comes, and no more; its own thread reads
 * them. */
struct service {
	struct rpc_server *server;
	char address[32];
	const char *_Atomic names; /* one letter each; NULL: it is away, and ends what there is */
};

struct telling {
	struct service *service;
	const char *names; /* still to be told */
};

static enum rpc_fill tell(struct rpc_call *call, void *state)
{
	struct telling *t = state;
	char notification[] = { 0x0a, 0x01, 'a', 0x12, 0x09, 'u', 'n',  'i',
				'x',  ':',  '/', '/',  '/',  'a', 0x18, 0x01 }; /* added */

	if (!atomic_load(&t->service->names)) {
		rpc_call_end(call, RPC_UNAVAILABLE, "going away");
		return RPC_ENDED;
	}
	for (; *t->names; t->names++) {
		notification[2] = notification[13] = *t->names;
		if (!rpc_call_send(call, str_n(notification, sizeof notification)))
			return RPC_MORE;
	}
	return RPC_IDLE;
}

static void notify(struct rpc_call *call, struct str request, void *ctx)
{
	static const struct rpc_stream_ops ops = { tell, free };
	struct service *s = ctx;
	struct telling *t = calloc(1, sizeof *t);

	(void)request;
	assert_non_null(t);
	*t = (struct telling){ s, atomic_load(&s->names) };
	rpc_call_stream(call, &ops, t);
}

static void service_start(struct service *s, const char *names)
{
	const struct rpc_method method = { "/peer.Peer/Notify", notify, s };
	const struct rpc_listen listen = { .address = "127.0.0.1:0" };
	const struct rpc_server_config config = {
		.methods = &method, .method_count = 1, .listens = &listen, .listen_count = 1
	};

	atomic_store(&s->names, names);
	assert_int_equal(rpc_server_new(&config, &s->server, NULL), ERR_OK);
	(void)snprintf(s->address, sizeof s->address, "127.0.0.1:%d",
		       rpc_server_port(s->server, 0));
}

static bool are_named(struct peers *p, const char *names)
{
	struct peer_list list;

	assert_int_equal(peers_snapshot(p, &list, NULL), ERR_OK);
	bool same = list.count == strlen(names);
	for (size_t i = 0; same && i < list.count; i++)
		same = list.peers[i]->name[0] == names[i];
	peer_list_done(&list);
	return same;
}

/* Lets @d work, at @now, until it has heard these. */
static void hear(struct discovery *d, struct peers *p, struct mono_ns now, const char *names,
		 struct mono_ns *ret_next)
{
	struct pollfd fd = { .fd = discovery_fd(d), .events = POLLIN };

	discovery_run(d, now, ret_next);
	while (!are_named(p, names)) {
		assert_true(poll(&fd, 1, 120 * 1000) > 0);
		discovery_run(d, now, ret_next);
	}
}

/* Ends its streams, and lets @d learn of it. *@now goes on to when that asks again. */
static void go_away(struct service *s, struct discovery *d, struct mono_ns *now)
{
	struct pollfd fd = { .fd = discovery_fd(d), .events = POLLIN };
	struct mono_ns next = { UINT64_MAX };

	atomic_store(&s->names, NULL);
	rpc_server_wake(s->server);
	while (next.v >
	       now->v + 2 * NS_PER_S) { /* the first pause is shorter, all else is longer */
		assert_true(poll(&fd, 1, 120 * 1000) > 0);
		discovery_run(d, *now, &next);
	}
	*now = next;
}

static void peers_that_went_while_their_service_was_away_go_when_it_has_settled(void **state)
{
	static struct service s;
	struct mono_ns now = mono_now(), next;
	struct rpc_fan *f = NULL;
	struct discovery *d = NULL;
	const struct peer_spec written = { .name = STR("f"), .address = STR("unix:///f") };

	(void)state;
	service_start(&s, "abc");
	assert_int_equal(rpc_fan_new(&f, NULL), ERR_OK);
	struct peers *p = peers_of(f);
	assert_int_equal(peers_set(p, PEER_FILE, &written, 1, NULL), ERR_OK);
	assert_int_equal(discovery_new(f, s.address, NULL, PATIENCE_NS, PATIENCE_NS, p, &d, NULL),
			 ERR_OK);
	hear(d, p, now, "abcf", &next);
	now.v += DISCOVERY_SETTLE_NS;
	discovery_run(d, now, &next);
	assert_true(are_named(p, "abcf"));

	go_away(&s, d, &now);
	assert_true(are_named(p, "abcf"));
	atomic_store(&s.names, "be");
	hear(d, p, now, "abcef", &next); /* not yet: it may still be telling */
	assert_true(next.v <= now.v + DISCOVERY_SETTLE_NS);
	now.v += DISCOVERY_SETTLE_NS - 1;
	discovery_run(d, now, &next);
	assert_true(are_named(p, "abcef"));
	assert_int_equal(next.v, now.v + 1);

	go_away(&s, d, &now); /* before it has settled: what it told is no more than a part */
	now.v += DISCOVERY_SETTLE_NS;
	atomic_store(&s.names, "bgh"); /* the last one is new: then all have come */
	hear(d, p, now, "abcefgh", &next);
	now = next;
	discovery_run(d, now, &next);
	assert_true(are_named(p, "bfgh"));
	assert_true(next.v > now.v);

	discovery_free(d);
	peers_free(p);
	rpc_server_free(s.server, 0);
	rpc_fan_free(f);
}

static bool has_peers(struct peers *p, size_t count)
{
	struct peer_list list;

	assert_int_equal(peers_snapshot(p, &list, NULL), ERR_OK);
	bool same = list.count == count;
	peer_list_done(&list);
	return same;
}

static void two_names_of_one_node_are_one_peer(void **state)
{
	/* addresses: no name service is asked */
	static const struct dns_question questions[] = { { false, "127.0.0.1:4244" },
							 { false, "127.0.0.2:4244" },
							 { false, "127.0.0.1:4244" } };
	struct rpc_fan *f = NULL;
	struct dns_peers *d = NULL;

	(void)state;
	assert_int_equal(rpc_fan_new(&f, NULL), ERR_OK);
	struct peers *p = peers_of(f);
	assert_int_equal(dns_peers_new(questions, ARRAY_LEN(questions), PATIENCE_NS, p, &d, NULL),
			 ERR_OK);
	struct pollfd news = { .fd = dns_peers_fd(d), .events = POLLIN };
	assert_int_equal(poll(&news, 1, 60000), 1);
	dns_peers_run(d);
	assert_true(has_peers(p, 2));
	dns_peers_free(d);
	peers_free(p);
	rpc_fan_free(f);
}

/* Names as "b=1 c=2": peers with the last digit of their address. */
static void expect_peers(struct peers *p, const char *want)
{
	struct peer_list list;
	char seen[256] = "";

	assert_int_equal(peers_snapshot(p, &list, NULL), ERR_OK);
	for (size_t i = 0; i < list.count; i++) {
		const struct peer *one = list.peers[i];
		size_t len = strlen(seen);
		(void)snprintf(seen + len, sizeof seen - len, "%s%s=%c", i ? " " : "", one->name,
			       one->address[strlen(one->address) - 1]);
	}
	peer_list_done(&list);
	assert_string_equal(seen, want);
}

static const struct peer *peer_at(struct peers *p, size_t i)
{
	struct peer_list list;

	assert_int_equal(peers_snapshot(p, &list, NULL), ERR_OK);
	assert_true(i < list.count);
	const struct peer *peer = list.peers[i];
	peer_list_done(&list);
	return peer; /* the list has it */
}

static struct peer_spec spec_of(const char *name, const char *address)
{
	return (struct peer_spec){ .name = str_of(name), .address = str_of(address) };
}

static void the_list_is_in_order_whoever_changes_it(void **state)
{
	struct rpc_fan *f = NULL;
	struct err e;

	(void)state;
	assert_int_equal(rpc_fan_new(&f, NULL), ERR_OK);
	struct peers *p = peers_of(f);
	const struct peer_spec put[] = { spec_of("m", "unix:///1"), spec_of("z", "unix:///2"),
					 spec_of("a", "unix:///3"), spec_of("n", "unix:///4") };
	for (size_t i = 0; i < ARRAY_LEN(put); i++)
		assert_int_equal(peers_put(p, &put[i], &e), ERR_OK);
	expect_peers(p, "a=3 m=1 n=4 z=2");
	const struct peer_spec files[] = { spec_of("y", "unix:///5"), spec_of("b", "unix:///6"),
					   spec_of("o", "unix:///7") };
	assert_int_equal(peers_set(p, PEER_FILE, files, ARRAY_LEN(files), &e), ERR_OK);
	expect_peers(p, "a=3 b=6 m=1 n=4 o=7 y=5 z=2");
	const struct peer *kept = peer_at(p, 4);
	/* one goes, one has another address, one is new, one stays */
	const struct peer_spec later[] = { spec_of("y", "unix:///8"), spec_of("c", "unix:///9"),
					   spec_of("o", "unix:///7") };
	assert_int_equal(peers_set(p, PEER_FILE, later, ARRAY_LEN(later), &e), ERR_OK);
	expect_peers(p, "a=3 c=9 m=1 n=4 o=7 y=8 z=2");
	assert_ptr_equal(peer_at(p, 4), kept);
	const struct peer_spec moved = spec_of("m", "unix:///0");
	assert_int_equal(peers_put(p, &moved, &e), ERR_OK);
	peers_drop(p, STR("a"));
	peers_drop(p, STR("o")); /* a file's */
	expect_peers(p, "c=9 m=0 n=4 o=7 y=8 z=2");
	peers_free(p);
	rpc_fan_free(f);
}

/* Whoever still knows it asks it nothing more, and says so. */
static void a_peer_that_is_off_the_list_is_gone_for_all_who_know_it(void **state)
{
	struct rpc_fan *f = NULL;
	struct peer_list before;
	struct err e;

	(void)state;
	assert_int_equal(rpc_fan_new(&f, NULL), ERR_OK);
	struct peers *p = peers_of(f);
	struct peer_spec told = spec_of("a", "unix:///1"), kept = spec_of("b", "unix:///2");
	const struct peer_spec written[] = { spec_of("c", "unix:///3") };
	told.tells_tls = true;
	assert_int_equal(peers_put(p, &told, &e), ERR_OK);
	assert_int_equal(peers_put(p, &kept, &e), ERR_OK);
	assert_int_equal(peers_set(p, PEER_FILE, written, 1, &e), ERR_OK);
	assert_int_equal(peers_snapshot(p, &before, &e), ERR_OK);
	assert_int_equal(before.count, 3);
	static const bool has_tls[] = { true, false, false }; /* as it says; as configured */
	for (size_t i = 0; i < before.count; i++) {
		assert_false(atomic_load(&before.peers[i]->is_gone));
		assert_int_equal(before.peers[i]->has_tls, has_tls[i]);
	}
	peers_drop(p, STR("a"));
	assert_int_not_equal(peers_generation(p), before.generation);
	assert_int_equal(peers_set(p, PEER_FILE, NULL, 0, &e), ERR_OK);
	expect_peers(p, "b=2");
	for (size_t i = 0; i < before.count; i++)
		assert_int_equal(atomic_load(&before.peers[i]->is_gone), i != 1);
	peer_list_done(&before);
	peers_free(p);
	rpc_fan_free(f);
}

static void a_name_is_on_the_list_once(void **state)
{
	struct rpc_fan *f = NULL;
	struct err e;

	(void)state;
	assert_int_equal(rpc_fan_new(&f, NULL), ERR_OK);
	struct peers *p = peers_of(f);
	const struct peer_spec twice[] = { spec_of("b", "unix:///1"), spec_of("a", "unix:///2"),
					   spec_of("c", "unix:///3"), spec_of("b", "unix:///4") };
	assert_int_equal(peers_set(p, PEER_STATIC, twice, 4, &e), ERR_EXISTS);
	assert_string_equal(e.msg, "peer 'b' is given twice");
	assert_int_equal(peers_set(p, PEER_STATIC, twice, 3, &e), ERR_OK);
	const struct peer_spec files[] = { spec_of("d", "unix:///5"), spec_of("c", "unix:///6") };
	assert_int_equal(peers_set(p, PEER_FILE, files, 2, &e), ERR_EXISTS);
	assert_string_equal(e.msg, "peer 'c' is given twice");
	assert_int_equal(peers_put(p, &files[1], &e), ERR_EXISTS);
	expect_peers(p, "a=2 b=1 c=3");
	peers_free(p);
	rpc_fan_free(f);
}

static int begin(void **state)
{
	(void)state;
	rpc_init();
	return 0;
}

static int end(void **state)
{
	(void)state;
	rpc_shutdown();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_keeper_that_waits_for_an_answer_longer_than_its_interval_sleeps),
		cmocka_unit_test(a_tls_name_in_the_file_is_no_plain_text),
		cmocka_unit_test(a_silent_peer_service_is_waited_for_asleep),
		cmocka_unit_test(
			peers_that_went_while_their_service_was_away_go_when_it_has_settled),
		cmocka_unit_test(two_names_of_one_node_are_one_peer),
		cmocka_unit_test(the_list_is_in_order_whoever_changes_it),
		cmocka_unit_test(a_peer_that_is_off_the_list_is_gone_for_all_who_know_it),
		cmocka_unit_test(a_name_is_on_the_list_once),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
