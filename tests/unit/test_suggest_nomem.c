/* Policies from flows when memory runs out: each allocation fails once, the sentence says so, nothing
 * leaks (the address sanitizer looks). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "flow/dict.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "policy/suggest.h"
#include "tests/unit/nomem.h"

enum { FLOWS = 4 };

static struct endpoint_id end(struct flow_dict *dict, const char *ns, const char *pod,
			      const char *label)
{
	const struct str labels[] = { str_of(label), STR("k8s:zone=1") };

	return flow_dict_endpoint(dict, &(struct endpoint){ .namespace_ = str_of(ns),
							    .pod = str_of(pod),
							    .labels = labels,
							    .label_count = 2 });
}

static void make_flows(struct flow_dict *dict, const char *name, size_t name_bytes,
		       struct flow flows[FLOWS])
{
	const struct endpoint_id web = end(dict, "shop", "web", "k8s:app=web"),
				 db = end(dict, "shop", "db", "k8s:app=db"),
				 twin = end(dict, "shop", "twin", "k8s:zone=1"),
				 out = end(dict, "", "", "reserved:world");
	const struct endpoint_id to[FLOWS] = { db, web, twin, out };

	for (size_t i = 0; i < FLOWS; i++)
		flows[i] = (struct flow){
			.bits = FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_NAMES,
			.l4 = FLOW_L4_TCP,
			.is_reply = FLOW_REPLY_FALSE,
			.src_ep = web,
			.dst_ep = to[i],
			.dst_port = 80,
			.verdict = FLOW__VERDICT__FORWARDED,
			.ext = (const uint8_t *)name,
			.ext_len = (uint32_t)name_bytes,
		};
}

/* @return true if an allocation failed on the way. jansson has an allocator of its own, which is not
 * ours to fail. */
static bool suggest(const struct flow_dict *dict, const struct flow flows[FLOWS])
{
	static const struct suggest_config config = {
		.kind = SUGGEST_CILIUM, .ingress = true, .egress = true, .bits4 = 32, .bits6 = 128
	};
	AUTO(suggest_free) struct suggest *s = NULL;
	struct suggest_counts counts;
	json_t *policies = NULL;
	struct err e = { 0 };
	enum err_code code = suggest_new(&config, dict, &s, &e);

	for (size_t i = 0; code == ERR_OK && i < FLOWS; i++)
		code = suggest_flow(s, &flows[i], true, true, &e);
	if (code == ERR_OK)
		code = suggest_policies(s, &policies, &counts, &e);
	bool failed = nomem_end();
	if (code == ERR_OK) {
		assert_int_equal(json_array_size(policies), counts.policies);
		assert_int_equal(counts.flows + counts.left_out, FLOWS);
	} else {
		assert_int_equal(code, ERR_NOMEM);
		assert_true(*e.msg);
	}
	/* a failure that nobody noticed would be policies that lack something */
	assert_true(code != ERR_OK || !failed);
	json_decref(policies);
	return failed;
}

static void each_failed_allocation_is_told(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO_BUF struct buf name = buf_init(64);
	struct flow flows[FLOWS];
	long n = 0;

	assert_int_equal(flow_dict_new(100, &dict, NULL), ERR_OK);
	wire_put_str(&name, FLOW_FIELD_DESTINATION_NAMES, STR("a.example"));
	make_flows(dict, name.p, name.len, flows);
	do
		nomem_after(n++);
	while (suggest(dict, flows));
	assert_true(n > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_failed_allocation_is_told) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
