/* observer/drop_events/whose: which drops are told, and to which pod. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "observer/drop_events/whose.h"

enum { EVENT_DROP = 1, EVENT_VERDICT = 5, NO_DIRECTION = 0 };

/* shop/here is a pod of this node, shop/there of another. */
struct host {
	struct flow_dict *dict;
	struct local_pods *pods;
	struct endpoint_id here, there;
};

static void host_done(struct host *n)
{
	local_pods_free(n->pods);
	flow_dict_free(n->dict);
}

static struct host host_new(void)
{
	struct host n = { 0 };

	assert_int_equal(flow_dict_new(100, &n.dict, NULL), ERR_OK);
	assert_int_equal(local_pods_new(&n.pods, NULL), ERR_OK);
	local_pods_put(n.pods, STR("shop"), STR("here"), STR("uid-1"));
	n.here = flow_dict_endpoint(
		n.dict, &(struct endpoint){ .namespace_ = STR("shop"), .pod = STR("here") });
	n.there = flow_dict_endpoint(
		n.dict, &(struct endpoint){ .namespace_ = STR("shop"), .pod = STR("there") });
	return n;
}

/* 'i' or 'o': told as incoming or outgoing; '-': to nobody. */
static char told(struct host *n, uint8_t direction, struct endpoint_id src, struct endpoint_id dst)
{
	struct flow f = { .direction = direction, .src_ep = src, .dst_ep = dst };
	struct drop_side side;

	if (!drop_whose(&f, n->dict, n->pods, &side))
		return '-';
	assert_true(str_is(side.pod->pod, "here"));
	assert_string_equal(side.uid, "uid-1");
	return side.incoming ? 'i' : 'o';
}

static void the_pod_on_the_side_that_dropped_is_told_if_it_is_here(void **state)
{
	const uint8_t in = FLOW__TRAFFIC_DIRECTION__INGRESS, out = FLOW__TRAFFIC_DIRECTION__EGRESS;
	(void)state;
	__attribute__((cleanup(host_done))) struct host n = host_new();
	const struct endpoint_id none = { 0 };

	assert_int_equal(told(&n, in, n.there, n.here), 'i');
	assert_int_equal(told(&n, in, n.here, n.there), '-');
	assert_int_equal(told(&n, in, n.here, none), '-');
	assert_int_equal(told(&n, out, n.here, n.there), 'o');
	assert_int_equal(told(&n, out, n.there, n.here), '-');
	assert_int_equal(told(&n, NO_DIRECTION, n.here, n.here), 'o');
	assert_int_equal(told(&n, NO_DIRECTION, n.there, n.here), 'i');
	assert_int_equal(told(&n, NO_DIRECTION, none, none), '-');
}

static void a_verdict_of_our_own_is_no_second_drop_where_the_kernels_are_seen(void **state)
{
	(void)state;
	struct drop_wanted w = drop_wanted_default();
	struct flow f = { .kind = FLOW_KIND_FLOW,
			  .verdict = FLOW__VERDICT__DROPPED,
			  .drop_desc = FLOW__DROP_REASON__POLICY_DENIED,
			  .bits = FLOW_HAS_EVENT_TYPE,
			  .event_type = EVENT_VERDICT };

	assert_true(drop_is_wanted(&w, &f, false));
	assert_false(drop_is_wanted(&w, &f, true));
	f.bits |= FLOW_WHOLE;
	assert_true(drop_is_wanted(&w, &f, true));
	f.bits = FLOW_HAS_EVENT_TYPE;
	f.event_type = EVENT_DROP;
	assert_true(drop_is_wanted(&w, &f, true));
}

static void only_drops_for_reasons_that_are_wanted_are_told(void **state)
{
	(void)state;
	struct drop_wanted w = drop_wanted_default();
	struct flow f = { .kind = FLOW_KIND_FLOW,
			  .verdict = FLOW__VERDICT__DROPPED,
			  .drop_desc = FLOW__DROP_REASON__POLICY_DENY };

	assert_false(drop_is_wanted(&w, &f, false));
	assert_int_equal(drop_wanted_reasons(&w, STR("policy_deny"), NULL), ERR_OK);
	assert_true(drop_is_wanted(&w, &f, false));
	f.verdict = FLOW__VERDICT__AUDIT;
	assert_false(drop_is_wanted(&w, &f, false));
	f.verdict = FLOW__VERDICT__DROPPED;
	f.kind = FLOW_KIND_LOST;
	assert_false(drop_is_wanted(&w, &f, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_pod_on_the_side_that_dropped_is_told_if_it_is_here),
		cmocka_unit_test(a_verdict_of_our_own_is_no_second_drop_where_the_kernels_are_seen),
		cmocka_unit_test(only_drops_for_reasons_that_are_wanted_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
