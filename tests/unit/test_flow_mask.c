/* lib/flow: field masks. Rules: fieldmaskpb of Go's protobuf for paths, Hubble's server for what is
 * left of a flow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/mask.h"
#include "flow/wire.h"
#include "flow_random.h"

enum { MAX_BYTES = 1 << 20 };

static struct flow_mask *mask_of(const char *const *paths, size_t count)
{
	struct flow_mask *m = NULL;
	struct err e = { 0 };

	if (flow_mask_new(paths, count, &m, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return m;
}
#define MASK(...)                                                                                  \
	mask_of((const char *const[]){ __VA_ARGS__ },                                              \
		ARRAY_LEN(((const char *const[]){ __VA_ARGS__ })))

/* @message through a mask of the paths, as a message again. */
static Flow__Flow *masked(const Flow__Flow *message, struct flow_mask *mask)
{
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	flow_mask_apply(mask, pack(message), &b);
	flow_mask_free(mask);
	assert_false(b.failed);
	Flow__Flow *m = flow__flow__unpack(&pool_allocator, b.len, (const uint8_t *)b.p);
	assert_non_null(m);
	return m;
}

static Flow__Flow *tcp_flow(void)
{
	pool_reset();
	Flow__Flow *m = NEW(flow__flow);
	m->time = NEW(google__protobuf__timestamp);
	m->time->seconds = 100;
	m->time->nanos = 5;
	m->verdict = FLOW__VERDICT__DROPPED;
	m->node_name = pool_text(STR("edge/n1"));
	m->source = NEW(flow__endpoint);
	m->source->identity = 4001;
	m->source->pod_name = pool_text(STR("cart-0"));
	m->l4 = NEW(flow__layer4);
	m->l4->protocol_case = FLOW__LAYER4__PROTOCOL_TCP;
	m->l4->tcp = NEW(flow__tcp);
	m->l4->tcp->source_port = 41000;
	m->l4->tcp->destination_port = 8080;
	m->summary = pool_text(STR("TCP Flags: SYN"));
	return m;
}

static void no_paths_mean_everything(void **state)
{
	(void)state;
	struct flow_mask *m = (void *)state; /* anything but NULL */
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	assert_int_equal(flow_mask_new(NULL, 0, &m, NULL), ERR_OK);
	assert_null(m);
	flow_mask_apply(NULL, STR("any bytes"), &b);
	assert_bytes_equal(buf_str(&b), STR("any bytes"));
	assert_true(flow_mask_has(NULL, 11));
	flow_mask_free(NULL);
}

static void named_fields_survive_and_others_do_not(void **state)
{
	(void)state;
	Flow__Flow *m = masked(tcp_flow(), MASK("verdict", "Summary", "source"));

	assert_int_equal(m->verdict, FLOW__VERDICT__DROPPED);
	assert_string_equal(m->summary, "TCP Flags: SYN");
	assert_string_equal(m->source->pod_name, "cart-0");
	assert_null(m->time);
	assert_null(m->l4);
	assert_string_equal(m->node_name, "");
}

static void a_nested_path_leaves_only_that_part(void **state)
{
	(void)state;
	Flow__Flow *m = masked(tcp_flow(),
			       MASK("source.identity", "l4.TCP.destination_port", "time.nanos"));

	assert_int_equal(m->source->identity, 4001);
	assert_string_equal(m->source->pod_name, "");
	assert_int_equal(m->l4->tcp->destination_port, 8080);
	assert_int_equal(m->l4->tcp->source_port, 0);
	assert_int_equal(m->time->nanos, 5);
	assert_int_equal(m->time->seconds, 0);
	assert_int_equal(m->verdict, 0);
}

static void messages_on_a_nested_path_are_present_even_if_the_flow_lacks_them(void **state)
{
	(void)state;
	pool_reset();
	Flow__Flow *m = masked(NEW(flow__flow),
			       MASK("l4.TCP", "source.identity", "l7.dns.query", "IP", "is_reply"));

	assert_non_null(m->l4);
	assert_int_equal(m->l4->protocol_case, 0); /* the last element is only selected */
	assert_non_null(m->source);
	assert_int_equal(m->l7->record_case, FLOW__LAYER7__RECORD_DNS);
	assert_null(m->ip);
	assert_null(m->is_reply);
}

static void an_empty_member_never_takes_the_place_of_the_one_that_is_there(void **state)
{
	(void)state;
	Flow__Flow *m = masked(tcp_flow(), MASK("l4.TCP.source_port", "l4.UDP.source_port",
						"l4.SCTP.source_port"));

	assert_int_equal(m->l4->protocol_case, FLOW__LAYER4__PROTOCOL_TCP);
	assert_int_equal(m->l4->tcp->source_port, 41000);
}

static void a_path_to_the_whole_wins_over_paths_to_its_parts(void **state)
{
	(void)state;
	const struct {
		const char *first, *second;
	} orders[] = { { "source", "source.identity" }, { "source.identity", "source" } };

	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		Flow__Flow *m = masked(tcp_flow(), MASK(orders[i].first, orders[i].second));
		assert_string_equal(m->source->pod_name, "cart-0");
	}
}

static void a_path_may_be_named_twice(void **state)
{
	(void)state;
	Flow__Flow *m =
		masked(tcp_flow(), MASK("source.identity", "source.pod_name", "source.identity"));

	assert_int_equal(m->source->identity, 4001);
	assert_string_equal(m->source->pod_name, "cart-0");
}

static void a_message_in_pieces_is_masked_in_each(void **state)
{
	(void)state;
	/* source { identity: 3 pod_name: "p" } source { identity: 4 }, verdict as it should not be
	 */
	struct flow_mask *m = MASK("source.identity");
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	flow_mask_apply(m, STR("\x42\x05\x10\x03\x2a\x01p\x42\x02\x10\x04\x10\x01"), &b);
	assert_bytes_equal(buf_str(&b), STR("\x42\x02\x10\x03\x42\x02\x10\x04"));
	flow_mask_free(m);
}

static void repeated_fields_are_named_as_a_whole(void **state)
{
	(void)state;
	pool_reset();
	Flow__Flow *m = NEW(flow__flow);
	m->source = NEW(flow__endpoint);
	m->source->n_workloads = 1;
	m->source->workloads = (Flow__Workload *[]){ NEW(flow__workload) };
	m->source->workloads[0]->name = pool_text(STR("w"));
	m->source->n_labels = 2;
	m->source->labels = (char *[]){ pool_text(STR("a")), pool_text(STR("b")) };
	m = masked(m, MASK("source.workloads", "source.labels", "node_labels"));

	assert_string_equal(m->source->workloads[0]->name, "w");
	assert_int_equal(m->source->n_labels, 2);
	assert_string_equal(m->source->labels[1], "b");
}

/* Of a flow with a time and a node, the response that is left. */
static struct str response_of(const char *path, struct str flow, struct buf *b)
{
	AUTO(flow_mask_free) struct flow_mask *m = NULL;

	assert_int_equal(flow_mask_new(&path, 1, &m, NULL), ERR_OK);
	buf_reset(b);
	flow_mask_response(m, flow, b);
	assert_false(b->failed);
	return buf_str(b);
}

static void a_response_has_as_much_of_node_and_time_as_the_flow_that_is_left(void **state)
{
	(void)state;
	static const struct {
		const char *path, *response;
	} cases[] = {
		{ "node_name", "\x0a\x04\x5a\x02k8\xc2\x3e\x02k8" },
		{ "time", "\x0a\x06\x0a\x04\x08\x07\x10\x09\xca\x3e\x04\x08\x07\x10\x09" },
		{ "time.seconds", "\x0a\x04\x0a\x02\x08\x07\xca\x3e\x02\x08\x07" },
	};
	const struct str flow = STR("\x0a\x04\x08\x07\x10\x09\x5a\x02k8");
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_bytes_equal(response_of(cases[i].path, flow, &b), str_of(cases[i].response));
	assert_bytes_equal(response_of("uuid", flow, &b), str_n("\x0a\x00", 2));
	/* the mask leaves an empty time, which is not that of the flow */
	assert_bytes_equal(response_of("time.nanos", STR("\x5a\x02k8"), &b),
			   str_n("\x0a\x02\x0a\x00", 4));
	struct buf small = buf_fixed((char[8]){ 0 }, 8);
	AUTO(flow_mask_free) struct flow_mask *m = NULL;
	assert_int_equal(flow_mask_new((const char *[]){ "time" }, 1, &m, NULL), ERR_OK);
	flow_mask_response(m, flow, &small);
	assert_true(small.failed);
}

static void a_bad_path_is_named(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"bogus",
		"",
		"source.",
		".source",
		"source..identity",
		"source.bogus",
		"sourceService",
		"ip",
		"type",
		"verdict.x",
		"source.labels.x",
		"source.workloads.name",
		"egress_allowed_by.name",
		"l4.protocol",
		"*",
		"source.identity.x",
	};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const char *const paths[] = { "time", bad[i], "more_bogus" };
		struct flow_mask *m = NULL;
		struct err e;
		char want[128];
		if (flow_mask_new(paths, 3, &m, &e) != ERR_INVALID)
			fail_msg("'%s' was accepted", bad[i]);
		assert_null(m);
		(void)snprintf(want, sizeof want,
			       "proto: invalid path \"%s\" for message \"flow.Flow\"", bad[i]);
		assert_string_equal(e.msg, want);
	}
}

static void the_default_mask_of_the_cli_is_valid(void **state)
{
	(void)state;
	struct flow_mask *m = MASK("time", "verdict", "ethernet", "IP", "l4", "source.identity",
				   "source.namespace", "source.pod_name", "destination.identity",
				   "destination.namespace", "destination.pod_name", "Type",
				   "node_name", "l7", "event_type", "source_service",
				   "destination_service", "is_reply", "Summary", "ip_trace_id");

	assert_true(flow_mask_has(m, 1));
	assert_true(flow_mask_has(m, 8));
	assert_true(flow_mask_has(m, 100000));
	assert_false(flow_mask_has(m, 22));
	assert_false(flow_mask_has(m, 21001));
	assert_false(flow_mask_has(m, 0));
	flow_mask_free(m);
}

static void every_field_may_be_named(void **state)
{
	(void)state;
	const ProtobufCMessageDescriptor *desc = &flow__flow__descriptor;
	const char *paths[100];
	struct random r = random_of(__func__, 0x3a5c);
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1000);

	assert_true(desc->n_fields < ARRAY_LEN(paths));
	for (unsigned i = 0; i < desc->n_fields; i++)
		paths[i] = desc->fields[i].name;
	AUTO(flow_mask_free) struct flow_mask *m = mask_of(paths, desc->n_fields);
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);
	AUTO_BUF struct buf out = buf_init(MAX_BYTES);
	for (int i = 0; i < 500; i++) {
		pool_reset();
		struct flow f = random_made(&r, d);
		buf_reset(&b);
		buf_reset(&out);
		flow_encode(&b, &f, d);
		flow_mask_apply(m, buf_str(&b), &out);
		assert_bytes_equal(buf_str(&out), buf_str(&b));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_paths_mean_everything),
		cmocka_unit_test(named_fields_survive_and_others_do_not),
		cmocka_unit_test(a_nested_path_leaves_only_that_part),
		cmocka_unit_test(messages_on_a_nested_path_are_present_even_if_the_flow_lacks_them),
		cmocka_unit_test(an_empty_member_never_takes_the_place_of_the_one_that_is_there),
		cmocka_unit_test(a_path_to_the_whole_wins_over_paths_to_its_parts),
		cmocka_unit_test(a_path_may_be_named_twice),
		cmocka_unit_test(a_message_in_pieces_is_masked_in_each),
		cmocka_unit_test(repeated_fields_are_named_as_a_whole),
		cmocka_unit_test(a_response_has_as_much_of_node_and_time_as_the_flow_that_is_left),
		cmocka_unit_test(a_bad_path_is_named),
		cmocka_unit_test(the_default_mask_of_the_cli_is_valid),
		cmocka_unit_test(every_field_may_be_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
