/* observer/drop_events/event, wanted: events as the API server takes them; reasons by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "flow/flow.pb-c.h"
#include "observer/drop_events/event.h"
#include "observer/drop_events/wanted.h"

static struct drop_note note_of(struct str pod)
{
	return (struct drop_note){
		.what = { STR("shop"), pod, STR("u-1"), STR("Incoming \"packet\"") },
		.number = 0x17f3a5b2c4d60e81,
		.first = { UINT64_C(1700000000) * NS_PER_S + 999999999 },
		.last = { UINT64_C(1700000360) * NS_PER_S },
		.count = 340,
	};
}

static void is_name(struct str pod, const char *want)
{
	const struct drop_note n = note_of(pod);
	char text[DROP_EVENT_NAME_MAX];
	struct buf b = buf_fixed(text, sizeof text);

	drop_event_name_put(&b, &n);
	assert_false(b.failed);
	if (!str_is(buf_str(&b), want))
		fail_msg("'%.*s', but wanted '%s'", (int)b.len, text, want);
}

/* At most 253 bytes, of which 17 are the number; parts between dots end in a letter or digit. */
static void an_event_is_called_after_its_pod_as_far_as_that_fits(void **state)
{
	char pod[254], want[254];
	(void)state;

	is_name(STR("cart-0"), "cart-0.17f3a5b2c4d60e81");
	memset(pod, 'x', sizeof pod);
	(void)snprintf(want, sizeof want, "%.236s.17f3a5b2c4d60e81", pod);
	is_name(str_n(pod, 236), want);
	is_name(str_n(pod, 253), want);
	pod[235] = '-';
	pod[234] = '.';
	(void)snprintf(want, sizeof want, "%.234s.17f3a5b2c4d60e81", pod);
	is_name(str_n(pod, 253), want);
}

static json_t *event_of(const struct drop_note *n, const char *node)
{
	AUTO_BUF struct buf b = buf_init(16 << 10);

	drop_event_put(&b, n, node);
	assert_false(b.failed);
	json_t *v = json_loadb(b.p, b.len, 0, NULL);
	assert_non_null(v);
	return v;
}

static void an_event_is_all_that_the_api_asks_for(void **state)
{
	const struct drop_note n = note_of(STR("cart-0"));
	(void)state;
	json_t *v = event_of(&n, "node-a");
	json_t *want = json_loads(
		"{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"name\":"
		"\"cart-0.17f3a5b2c4d60e81\",\"namespace\":\"shop\"},\"involvedObject\":{\"kind\":"
		"\"Pod\",\"apiVersion\":\"v1\",\"namespace\":\"shop\",\"name\":\"cart-0\",\"uid\":"
		"\"u-1\"},\"type\":\"Warning\",\"reason\":\"PacketDrop\",\"message\":\"Incoming "
		"\\\"packet\\\"\",\"source\":{\"component\":\"tycho\",\"host\":\"node-a\"},"
		"\"reportingComponent\":\"tycho\",\"reportingInstance\":\"node-a\","
		"\"firstTimestamp\":\"2023-11-14T22:13:20Z\",\"lastTimestamp\":"
		"\"2023-11-14T22:19:20Z\",\"count\":340}",
		0, NULL);
	assert_non_null(want);
	assert_true(json_equal(v, want));
	json_decref(v);
	json_decref(want);
}

static void what_the_api_would_refuse_is_left_out_or_cut(void **state)
{
	struct drop_note n = note_of(STR("cart-0"));
	char node[300];
	(void)state;

	memset(node, 'n', sizeof node - 1);
	node[sizeof node - 1] = 0;
	n.what.uid = STR("");
	n.count = UINT64_C(1) << 40;
	json_t *v = event_of(&n, node);
	assert_null(json_object_get(json_object_get(v, "involvedObject"), "uid"));
	assert_int_equal(json_string_length(json_object_get(v, "reportingInstance")), 128);
	assert_int_equal(json_integer_value(json_object_get(v, "count")), INT32_MAX);
	json_decref(v);
}

static void a_patch_is_count_and_time_alone(void **state)
{
	const struct drop_note n = note_of(STR("cart-0"));
	AUTO_BUF struct buf b = buf_init(1000);
	(void)state;
	drop_event_patch_put(&b, &n);
	assert_string_equal(buf_cstr(&b),
			    "{\"count\":340,\"lastTimestamp\":\"2023-11-14T22:19:20Z\"}");
}

static void without_room_it_fails_and_does_not_lie(void **state)
{
	const struct drop_note n = note_of(STR("cart-0"));
	(void)state;
	AUTO_BUF struct buf b = buf_init(100);
	drop_event_put(&b, &n, "node-a");
	assert_true(b.failed);
}

/* ---- reasons */

static void usual_reasons_are_denied_and_not_authenticated(void **state)
{
	(void)state;
	const struct drop_wanted w = drop_wanted_default();
	for (uint32_t i = 0; i < 2 * DROP_REASONS; i++)
		assert_int_equal(drop_wanted_has(&w, i),
				 i == FLOW__DROP_REASON__POLICY_DENIED ||
					 i == FLOW__DROP_REASON__AUTH_REQUIRED);
	assert_false(w.on || w.extended);
	assert_int_equal(w.interval_ns, 120 * NS_PER_S);
	assert_int_equal(w.rate, 1);
}

static void reasons_are_separated_by_commas_or_blanks_in_either_case(void **state)
{
	(void)state;
	struct drop_wanted w = drop_wanted_default();
	assert_int_equal(
		drop_wanted_reasons(&w, STR(" Policy_Deny,,VLAN_FILTERED\tttl_exceeded "), NULL),
		ERR_OK);
	for (uint32_t i = 0; i < DROP_REASONS; i++)
		assert_int_equal(drop_wanted_has(&w, i),
				 i == FLOW__DROP_REASON__POLICY_DENY ||
					 i == FLOW__DROP_REASON__VLAN_FILTERED ||
					 i == FLOW__DROP_REASON__TTL_EXCEEDED);
}

static void a_reason_that_there_is_not_is_refused_with_those_that_are_near(void **state)
{
	static const char *const cases[][2] = {
		{ "policy_denyed", "there is no drop reason 'policy_denyed'; did you mean "
				   "policy_denied?" },
		{ "policy_denied,Policy_Den", "there is no drop reason 'policy_den'; did you mean "
					      "policy_denied or policy_deny?" },
		{ "133", "there is no drop reason '133'" },
		{ "", "a drop reason is wanted, such as policy_denied" },
		{ " , ", "a drop reason is wanted, such as policy_denied" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct drop_wanted w = drop_wanted_default();
		struct err e = { 0 };
		assert_int_equal(drop_wanted_reasons(&w, str_of(cases[i][0]), &e), ERR_INVALID);
		assert_string_equal(e.msg, cases[i][1]);
		assert_true(drop_wanted_has(&w, FLOW__DROP_REASON__AUTH_REQUIRED));
	}
	char lots[400];
	struct drop_wanted w = drop_wanted_default();
	memset(lots, 'x', sizeof lots);
	assert_int_equal(drop_wanted_reasons(&w, str_n(lots, sizeof lots), NULL), ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_called_after_its_pod_as_far_as_that_fits),
		cmocka_unit_test(an_event_is_all_that_the_api_asks_for),
		cmocka_unit_test(what_the_api_would_refuse_is_left_out_or_cut),
		cmocka_unit_test(a_patch_is_count_and_time_alone),
		cmocka_unit_test(without_room_it_fails_and_does_not_lie),
		cmocka_unit_test(usual_reasons_are_denied_and_not_authenticated),
		cmocka_unit_test(reasons_are_separated_by_commas_or_blanks_in_either_case),
		cmocka_unit_test(a_reason_that_there_is_not_is_refused_with_those_that_are_near),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
