/* The small parts of the relay: options, lists of peers, addresses that are told, requests, how
 * they are resumed, notes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "observer/observer.pb-c.h"
#include "relay/discovery.h"
#include "relay/dns.h"
#include "relay/notes.h"
#include "relay/options.h"
#include "relay/request.h"
#include "relay/resume.h"

#define READ(o, e, ...)                                                                            \
	rly_options_read((int)ARRAY_LEN(((const char *[]){ "tycho-relay", __VA_ARGS__ })),         \
			 (const char *const[]){ "tycho-relay", __VA_ARGS__, NULL }, (o), (e))

/* ---- options */

static void both_spellings_of_a_value_are_read(void **state)
{
	(void)state;
	struct rly_options o;
	struct err e;
	assert_int_equal(READ(&o, &e, "--peer", "a=b:1", "--peer=c/d=unix:///x,name",
			      "--listen=[::1]:0", "--sort-buffer-len-max", "7",
			      "--sort-buffer-drain-timeout=250ms", "--peer-timeout", "2s",
			      "--peer-ca-file", "/ca"),
			 ERR_OK);
	assert_int_equal(o.peer_count, 2);
	assert_true(str_is(o.peers[0].name, "a") && str_is(o.peers[0].address, "b:1"));
	assert_true(str_is(o.peers[1].name, "c/d") && str_is(o.peers[1].address, "unix:///x"));
	assert_true(str_is(o.peers[1].tls_name, "name"));
	assert_string_equal(o.serve.listen[0], "[::1]:0");
	assert_int_equal(o.sort_window, 7);
	assert_true(o.drain_ns == 250 * NS_PER_MS && o.peer_timeout_ns == 2 * NS_PER_S);
	assert_true(o.peer_tls);
}

static void buffers_are_the_references_unless_told_otherwise(void **state)
{
	(void)state;
	struct rly_options o;
	assert_int_equal(READ(&o, NULL, "--peer", "a=b:1"), ERR_OK);
	assert_int_equal(o.sort_window, 100);
	assert_true(o.drain_ns == NS_PER_S);
	assert_int_equal(o.common.ready_fd, -1);
}

static void misuse_is_one_sentence_that_names_the_option(void **state)
{
	(void)state;
	static const struct {
		const char *words[4];
		const char *want;
	} cases[] = {
		{ { "x" }, "unexpected argument \"x\"; see --help" },
		{ { "--nope" }, "unknown option --nope; see --help" },
		{ { "--peer" }, "--peer needs a value: NAME=ADDRESS[,TLS-NAME]" },
		{ { "--peer=a" }, "--peer: 'a' is not NAME=ADDRESS or NAME=ADDRESS,TLS-NAME" },
		{ { "--peer-tls=1" }, "--peer-tls takes no value" },
		{ { "--ready-fd=x" }, "--ready-fd x: expected a file descriptor" },
		{ { "--sort-buffer-len-max=0" },
		  "--sort-buffer-len-max 0: expected a number of flows from 1 to 1000000" },
		{ { "--peer-timeout=1h" },
		  "--peer-timeout 1h: expected a time from 1ms to 1m, such as 500ms" },
		{ { "--peer-interval=0s" },
		  "--peer-interval 0s: expected a time from 1s to 1h, such as 20s" },
		{ { "--log-level=all" }, "--log-level all: expected debug, info, warn or error" },
		{ { "--peer=a=b:1", "--tls-cert-file=x" },
		  "--tls-cert-file and --tls-key-file are needed together" },
		{ { "--peer=a=b:1", "--tls-client-ca-file=x" },
		  "--tls-client-ca-file needs --tls-cert-file and --tls-key-file" },
		{ { "--peer=a=b:1", "--peer-cert-file=x", "--peer-key-file=y" },
		  "--peer-cert-file needs --peer-tls or --peer-ca-file" },
		{ { "--peer=a=b:1", "--peer-cert-file=x" },
		  "--peer-cert-file and --peer-key-file are needed together" },
		{ { "--peer=a=b:1", "--peer-service-tls-name=x", "--peer-tls" },
		  "--peer-service-tls-name needs --peer-service" },
		{ { "--peer-service=b:1", "--peer-service-tls-name=x" },
		  "--peer-service-tls-name needs --peer-tls or --peer-ca-file" },
		{ { "--peer=a=b:1", "--peer=c=d:1,e" },
		  "--peer c=…,e: a TLS name needs --peer-tls or --peer-ca-file" },
		{ { "--peer=a=b:1", "--peer-dns-interval=1s" },
		  "--peer-dns-interval needs --peer-dns or --peer-srv" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct rly_options o;
		struct err e;
		const char *argv[6] = { "tycho-relay" };
		int argc = 1;
		for (; argc <= 4 && cases[i].words[argc - 1]; argc++)
			argv[argc] = cases[i].words[argc - 1];
		assert_int_equal(rly_options_read(argc, argv, &o, &e), ERR_INVALID);
		assert_string_equal(e.msg, cases[i].want);
	}
}

static void the_last_peer_of_the_list_is_taken_and_one_more_refused(void **state)
{
	(void)state;
	const char *argv[RLY_OPTIONS_PEERS + 2] = { "tycho-relay" };
	struct rly_options o;
	struct err e;

	for (size_t i = 1; i < ARRAY_LEN(argv); i++)
		argv[i] = "--peer=a=b:1";
	assert_int_equal(rly_options_read(RLY_OPTIONS_PEERS + 1, argv, &o, &e), ERR_OK);
	assert_int_equal(rly_options_read(RLY_OPTIONS_PEERS + 2, argv, &o, &e), ERR_INVALID);
}

/* ---- peers and their addresses */

static void lines_of_peers_are_read_whole_or_refused(void **state)
{
	(void)state;
	struct peer_spec spec;
	struct err e;
	assert_int_equal(peer_spec_parse(STR(" n = [::1]:4244 , tls.name "), &spec, &e), ERR_OK);
	assert_true(str_is(spec.name, "n") && str_is(spec.address, "[::1]:4244") &&
		    str_is(spec.tls_name, "tls.name"));
	assert_int_equal(peer_spec_parse(STR("a=b=c"), &spec, &e), ERR_OK);
	assert_true(str_is(spec.name, "a") && str_is(spec.address, "b=c"));
	static const char *const bad[] = { "",  "=",      "a=",       "=b",
					   "a", "a=,tls", "a\tb=c:1", "\xff=c:1" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(peer_spec_parse(str_of(bad[i]), &spec, &e), ERR_INVALID);
}

/* reference: hubble-api.md section 6 */
static void addresses_that_are_told_become_addresses_that_can_be_called(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "", "" },
		{ "10.0.0.1", "10.0.0.1:4244" },
		{ "10.0.0.1:4245", "10.0.0.1:4245" },
		{ "10.0.0.1:", "10.0.0.1:4244" },
		{ "10.0.0.1:0", "10.0.0.1:4244" },
		{ "10.0.0.1:http", "10.0.0.1:4244" },
		{ "10.0.0.1:65536", "10.0.0.1:4244" },
		{ "node.example:1", "node.example:1" },
		{ "fd00::1", "[fd00::1]:4244" },
		{ "[fd00::1]", "[fd00::1]:4244" },
		{ "[fd00::1]:1", "[fd00::1]:1" },
		{ "[fd00::1]:x", "[fd00::1]:4244" },
		{ "unix:///run/hubble.sock", "unix:///run/hubble.sock" },
		{ "/run/hubble.sock", "unix:///run/hubble.sock" },
		{ ":", ":4244" },
		{ "[", "[:4244" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char out[DISCOVERY_ADDRESS_BYTES];
		discovery_address(str_of(cases[i][0]), out);
		assert_string_equal(out, cases[i][1]);
	}
	char huge[2000], out[DISCOVERY_ADDRESS_BYTES];
	memset(huge, 'x', sizeof huge);
	discovery_address(str_n(huge, sizeof huge), out);
	assert_string_equal(out, "");
}

/* ---- requests: protobuf-c is the judge */

static struct str pack(Observer__GetFlowsRequest *r, uint8_t *out)
{
	return str_n(out, observer__get_flows_request__pack(r, out));
}

static void requests_say_what_a_relay_must_know(void **state)
{
	(void)state;
	uint8_t wire[256];
	struct request got;
	Google__Protobuf__Timestamp since = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Observer__GetFlowsRequest r = OBSERVER__GET_FLOWS_REQUEST__INIT;

	assert_int_equal(request_read(STR(""), &got, NULL), ERR_OK);
	assert_true(!got.number && !got.first && !got.follow && !got.has_since);
	r.number = UINT64_MAX;
	r.follow = true;
	r.since = &since;
	assert_int_equal(request_read(pack(&r, wire), &got, NULL), ERR_OK);
	assert_true(got.number == UINT64_MAX && got.follow && got.has_since && !got.first);
	r.first = true;
	struct err e;
	assert_int_equal(request_read(pack(&r, wire), &got, &e), ERR_INVALID);
	assert_string_equal(e.msg, "first cannot be specified with follow");
	assert_int_equal(request_read(STR("\x08"), &got, &e), ERR_PARSE);
}

static void a_resumed_request_asks_from_there_on_and_for_nothing_else_anew(void **state)
{
	(void)state;
	uint8_t wire[512];
	AUTO_BUF struct buf b = buf_init(1024);
	Google__Protobuf__Timestamp since = GOOGLE__PROTOBUF__TIMESTAMP__INIT,
				    until = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Observer__GetFlowsRequest r = OBSERVER__GET_FLOWS_REQUEST__INIT;
	Flow__FlowFilter filter = FLOW__FLOW_FILTER__INIT;
	Flow__FlowFilter *filters[] = { &filter };
	char pod[] = "shop/cart", *pods[] = { pod };
	filter.n_source_pod = 1;
	filter.source_pod = pods;
	r.number = 20;
	r.follow = true;
	since.seconds = 5;
	r.since = &since;
	until.seconds = 99;
	r.until = &until;
	r.n_whitelist = 1;
	r.whitelist = filters;

	struct request read;
	struct str original = pack(&r, wire);
	assert_int_equal(request_read(original, &read, NULL), ERR_OK);
	request_put_resumed(&b, original, &read, (struct wall_ns){ 7 * NS_PER_S + 999999999 }, 5);
	Observer__GetFlowsRequest *got =
		observer__get_flows_request__unpack(NULL, b.len, (const uint8_t *)b.p);
	assert_non_null(got);
	assert_int_equal(got->number, 0);
	assert_true(got->follow);
	assert_int_equal(got->since->seconds, 7);
	assert_int_equal(got->since->nanos, 999999999);
	assert_int_equal(got->until->seconds, 99);
	assert_int_equal(got->n_whitelist, 1);
	assert_string_equal(got->whitelist[0]->source_pod[0], "shop/cart");
	observer__get_flows_request__free_unpacked(got, NULL);
}

static void a_resumed_request_asks_for_what_is_left_of_a_limit(void **state)
{
	(void)state;
	uint8_t wire[64];
	struct request read;
	AUTO_BUF struct buf b = buf_init(1024);
	Observer__GetFlowsRequest r = OBSERVER__GET_FLOWS_REQUEST__INIT;

	r.number = 20;
	r.first = true;
	struct str original = pack(&r, wire);
	assert_int_equal(request_read(original, &read, NULL), ERR_OK);
	request_put_resumed(&b, original, &read, (struct wall_ns){ NS_PER_S }, 19);
	struct request resumed;
	assert_int_equal(request_read(buf_str(&b), &resumed, NULL), ERR_OK);
	assert_int_equal(resumed.number, 1);
	assert_true(resumed.first && resumed.has_since);
	assert_false(request_is_filled(&read, 19));
	assert_true(request_is_filled(&read, 20));
	read.first =
		false; /* the last 20: all that is newer than what was received is among them */
	assert_false(request_is_filled(&read, 20));
}

/* ---- resume */

/* What comes of a request for the first @number flows, or for the last and then to follow. */
static struct request asked_again(struct resume *r, uint64_t number, bool first)
{
	uint8_t wire[64];
	struct request read, again = { .number = UINT64_MAX };
	AUTO_BUF struct buf b = buf_init(1024);
	Observer__GetFlowsRequest request = OBSERVER__GET_FLOWS_REQUEST__INIT;

	request.number = number;
	request.first = first;
	request.follow = !first;
	struct str as_asked = pack(&request, wire);
	assert_int_equal(request_read(as_asked, &read, NULL), ERR_OK);
	struct str got = resume_request(r, as_asked, &read, &b);
	assert_false(b.failed);
	if (got.p != as_asked.p)
		assert_int_equal(request_read(got, &again, NULL), ERR_OK);
	return again;
}

static bool is_as_asked(const struct request *again)
{
	return again->number == UINT64_MAX;
}

static bool takes(struct resume *r, uint64_t time_ns)
{
	return resume_take(r, (struct wall_ns){ time_ns });
}

static void a_stream_goes_on_behind_the_flows_of_its_newest_time(void **state)
{
	(void)state;
	struct resume r = { 0 };
	struct request again = asked_again(&r, 10, true);
	assert_true(is_as_asked(&again));
	resume_begun(&r, (struct wall_ns){ 100 });
	assert_true(takes(&r, 5) && takes(&r, 7) && takes(&r, 6) && takes(&r, 0) && takes(&r, 7));
	again = asked_again(&r, 10, true);
	assert_true(again.has_since);
	assert_int_equal(r.last.v, 7);
	assert_int_equal(again.number, 10 - 3); /* the two of 7 come again */
	resume_begun(&r, (struct wall_ns){ 200 });
	assert_false(takes(&r, 7));
	again = asked_again(&r, 10, true); /* it broke once more, between the two */
	assert_int_equal(again.number, 10 - 3);
	assert_false(takes(&r, 7));
	assert_false(takes(&r, 7));
	assert_true(takes(&r, 7)); /* a third */
	assert_true(takes(&r, 8));
	assert_int_equal(r.received, 7);
}

static void flows_of_the_newest_time_that_are_gone_by_now_are_not_waited_for(void **state)
{
	(void)state;
	struct resume r = { 0 };
	resume_begun(&r, (struct wall_ns){ 100 });
	assert_true(takes(&r, 7) && takes(&r, 7));
	(void)asked_again(&r, 10, true);
	assert_false(takes(&r, 7));
	assert_true(takes(&r, 8) && takes(&r, 8));
	assert_int_equal(r.received, 4);
}

static void who_has_said_nothing_is_asked_for_what_the_client_asked_for(void **state)
{
	(void)state;
	struct resume backlog = { 0 }, live = { 0 }, all = { 0 };
	resume_begun(&backlog, (struct wall_ns){ 100 });
	resume_begun(&live, (struct wall_ns){ 100 });
	resume_begun(&all, (struct wall_ns){ 100 });
	struct request again = asked_again(&backlog, 20, false);
	assert_true(is_as_asked(&again));
	again = asked_again(&all, 0, true); /* everything: no number, and no time */
	assert_true(is_as_asked(&again));
	again = asked_again(&live, 0, false);
	assert_true(again.has_since && again.follow);
	assert_int_equal(live.last.v, 100);
	resume_begun(&live, (struct wall_ns){ 300 });
	assert_int_equal(live.last.v, 100);
}

static void
who_does_not_know_the_call_is_asked_by_its_own_clock_unless_it_failed_before(void **state)
{
	(void)state;
	struct resume fresh = { 0 }, failed = { 0 }, spoken = { 0 };
	struct resume *all[] = { &fresh, &failed, &spoken };
	resume_failed(&failed, (struct mono_ns){ 9 });
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		resume_begun(all[i], (struct wall_ns){ 100 });
	assert_true(takes(&spoken, 7));
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		resume_not_begun(all[i]);
	struct request again = asked_again(&fresh, 0, false);
	assert_true(is_as_asked(&again));
	again = asked_again(&failed, 0, false); /* it would miss what happened since */
	assert_true(again.has_since);
	assert_int_equal(failed.last.v, 100);
	again = asked_again(&spoken, 0, false);
	assert_true(again.has_since);
	assert_int_equal(spoken.last.v, 7);
}

static void pauses_double_until_the_peer_has_something_new_to_say(void **state)
{
	(void)state;
	struct resume r = { 0 };
	uint64_t pause_ns = RESUME_PAUSE_NS;

	for (int i = 0; i < 10; i++, pause_ns *= 2) {
		uint64_t expected = pause_ns < RESUME_PAUSE_MAX_NS ? pause_ns : RESUME_PAUSE_MAX_NS;
		resume_failed(&r, (struct mono_ns){ 9 });
		assert_int_equal(r.retry_at.v, 9 + expected);
		resume_begun(&r, (struct wall_ns){ 100 });
	}
	assert_true(takes(&r, 7));
	resume_failed(&r, (struct mono_ns){ 9 });
	assert_int_equal(r.retry_at.v, 9 + RESUME_PAUSE_NS);
}

static void only_who_was_read_too_slowly_goes_on_and_only_for_what_is_left(void **state)
{
	(void)state;
	struct resume r = { 0 };
	const struct request two = { .number = 2, .first = true };
	assert_false(resume_was_cut_off(&r, &two, RPC_RESOURCE_EXHAUSTED)); /* for another reason */
	assert_true(resume_is_refused(&r, RPC_UNKNOWN));
	assert_true(takes(&r, 7));
	assert_true(resume_was_cut_off(&r, &two, RPC_RESOURCE_EXHAUSTED));
	assert_false(resume_was_cut_off(&r, &two, RPC_UNAVAILABLE));
	assert_false(resume_is_refused(&r, RPC_UNKNOWN));
	assert_true(resume_is_refused(&r, RPC_PERMISSION_DENIED));
	assert_false(resume_is_refused(&r, RPC_UNAVAILABLE));
	assert_true(takes(&r, 8));
	assert_false(resume_was_cut_off(&r, &two, RPC_RESOURCE_EXHAUSTED));
}

/* ---- notes */

static Observer__GetFlowsResponse *next_note(struct notes *n)
{
	struct str wire;

	if (!notes_next(n, &wire))
		return NULL;
	Observer__GetFlowsResponse *r =
		observer__get_flows_response__unpack(NULL, wire.len, (const uint8_t *)wire.p);
	assert_non_null(r);
	assert_int_equal(r->response_types_case,
			 OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_NODE_STATUS);
	assert_string_equal(r->node_name, "relay");
	assert_non_null(r->time);
	notes_sent(n);
	return r;
}

static void expect(struct notes *n, Relay__NodeState state, size_t names, const char *last,
		   const char *message)
{
	Observer__GetFlowsResponse *r = next_note(n);

	assert_non_null(r);
	assert_int_equal(r->node_status->state_change, state);
	assert_int_equal(r->node_status->n_node_names, names);
	assert_string_equal(r->node_status->node_names[names - 1], last);
	assert_string_equal(r->node_status->message, message);
	observer__get_flows_response__free_unpacked(r, NULL);
}

static void states_are_told_of_all_names_and_never_of_none(void **state)
{
	(void)state;
	struct notes n;
	notes_init(&n, "relay");
	notes_state(&n, RELAY__NODE_STATE__NODE_CONNECTED);
	assert_true(notes_is_empty(&n));
	notes_name(&n, "a");
	notes_name(&n, "b");
	notes_state(&n, RELAY__NODE_STATE__NODE_CONNECTED);
	notes_name(&n, "c");
	notes_state(&n, RELAY__NODE_STATE__NODE_UNAVAILABLE);
	expect(&n, RELAY__NODE_STATE__NODE_CONNECTED, 2, "b", "");
	expect(&n, RELAY__NODE_STATE__NODE_UNAVAILABLE, 1, "c", "");
	assert_null(next_note(&n));
	assert_true(notes_is_empty(&n) && !notes_failed(&n));
	notes_done(&n);
}

static void errors_of_equal_text_are_one_message_until_the_window_ends(void **state)
{
	(void)state;
	struct notes n;
	const struct mono_ns t0 = { 1000 }, early = { 1999 }, due = { 2000 };
	notes_init(&n, "relay");
	notes_error(&n, "a", "broken", t0);
	notes_error(&n, "b", "broken", early);
	notes_flush(&n, early, 1000);
	assert_null(next_note(&n));
	assert_false(notes_is_empty(&n));
	notes_flush(&n, due, 1000);
	expect(&n, RELAY__NODE_STATE__NODE_ERROR, 2, "b", "broken");
	assert_true(notes_is_empty(&n));
	notes_error(&n, "c", "broken", t0);
	notes_error(&n, "d", "torn \xff", t0); /* other words: the ones before are told */
	expect(&n, RELAY__NODE_STATE__NODE_ERROR, 1, "c", "broken");
	notes_name(&n, "e"); /* and so they are before a state */
	notes_state(&n, RELAY__NODE_STATE__NODE_GONE);
	expect(&n, RELAY__NODE_STATE__NODE_ERROR, 1, "d", "torn \xef\xbf\xbd");
	expect(&n, RELAY__NODE_STATE__NODE_GONE, 1, "e", "");
	notes_done(&n);
}

/* ---- SRV records */

/* An answer (RFC 1035 §4.1) to a question for "x", with @records behind it. */
static size_t srv_message(uint8_t *out, uint8_t count, const char *records, size_t bytes)
{
	const uint8_t head[] = { 0, 1, 0x81, 0x80, 0, 1, 0,  count, 0, 0,
				 0, 0, 1,    'x',  0, 0, 33, 0,     1 };

	memcpy(out, head, sizeof head);
	memcpy(out + sizeof head, records, bytes);
	return sizeof head + bytes;
}

/* Owner: a pointer to byte 12, "x"; type, class, time to live, and so many bytes of data. */
#define RR(type, bytes) "\xc0\x0c\0" type "\0\1\0\0\0\0\0" bytes
#define SRV_N1 RR("\x21", "\x0c") "\0\1\0\2\x10\x95\2n1\1x\0"    /* 4245, "n1.x" */
#define SRV_PACKED RR("\x21", "\x0b") "\0\0\0\0\0\1\2n2\xc0\x0c" /* 1, "n2.x" by a pointer */
#define SRV_NONE RR("\x21", "\7") "\0\0\0\0\0\0\0"               /* "." : no such service */
#define AN_ALIAS RR("\5", "\2") "\xc0\x0c"                       /* CNAME */

static void srv_records_are_targets_with_their_ports(void **state)
{
	static const char records[] = SRV_N1 AN_ALIAS SRV_PACKED SRV_NONE;
	struct dns_target t[4];
	uint8_t bytes[256];
	size_t n = 9;

	(void)state;
	size_t len = srv_message(bytes, 4, records, sizeof records - 1);
	assert_int_equal(dns_read_srv(str_n(bytes, len), t, 4, &n, NULL), ERR_OK);
	assert_int_equal(n, 2);
	assert_string_equal(t[0].host, "n1.x");
	assert_int_equal(t[0].port, 4245);
	assert_string_equal(t[1].host, "n2.x");
	assert_int_equal(t[1].port, 1);
	assert_int_equal(dns_read_srv(str_n(bytes, len), t, 1, &n, NULL), ERR_OK);
	assert_int_equal(n, 1); /* as many as there is room for */
}

static void an_answer_that_is_cut_short_is_refused(void **state)
{
	static const char records[] = SRV_N1 SRV_PACKED;
	struct dns_target t[4];
	uint8_t bytes[256];
	size_t n;

	(void)state;
	size_t len = srv_message(bytes, 2, records, sizeof records - 1);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(dns_read_srv(str_n(bytes, cut), t, 4, &n, NULL), ERR_PARSE);
	assert_int_equal(dns_read_srv(str_n(bytes, len), t, 4, &n, NULL), ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_spellings_of_a_value_are_read),
		cmocka_unit_test(buffers_are_the_references_unless_told_otherwise),
		cmocka_unit_test(misuse_is_one_sentence_that_names_the_option),
		cmocka_unit_test(the_last_peer_of_the_list_is_taken_and_one_more_refused),
		cmocka_unit_test(lines_of_peers_are_read_whole_or_refused),
		cmocka_unit_test(addresses_that_are_told_become_addresses_that_can_be_called),
		cmocka_unit_test(requests_say_what_a_relay_must_know),
		cmocka_unit_test(a_resumed_request_asks_from_there_on_and_for_nothing_else_anew),
		cmocka_unit_test(a_resumed_request_asks_for_what_is_left_of_a_limit),
		cmocka_unit_test(a_stream_goes_on_behind_the_flows_of_its_newest_time),
		cmocka_unit_test(flows_of_the_newest_time_that_are_gone_by_now_are_not_waited_for),
		cmocka_unit_test(who_has_said_nothing_is_asked_for_what_the_client_asked_for),
		cmocka_unit_test(
			who_does_not_know_the_call_is_asked_by_its_own_clock_unless_it_failed_before),
		cmocka_unit_test(pauses_double_until_the_peer_has_something_new_to_say),
		cmocka_unit_test(only_who_was_read_too_slowly_goes_on_and_only_for_what_is_left),
		cmocka_unit_test(states_are_told_of_all_names_and_never_of_none),
		cmocka_unit_test(errors_of_equal_text_are_one_message_until_the_window_ends),
		cmocka_unit_test(srv_records_are_targets_with_their_ports),
		cmocka_unit_test(an_answer_that_is_cut_short_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
