/* Policies beside flows when memory runs out: each allocation fails once, the sentence says so, nothing
 * leaks (the address sanitizer looks). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "flow/dict.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "policy/audit.h"
#include "tests/unit/nomem.h"

enum { FLOWS = 4 };

static const char policies[] =
	"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
	"metadata: {name: web, namespace: shop}\n"
	"spec: {endpointSelector: {matchLabels: {app: web}}, enableDefaultDeny: {egress: false}, "
	"egress: [{toEndpoints: [{matchLabels: {zone: \"1\"}}]}, {toCIDR: [10.0.0.0/8]}, "
	"{toFQDNs: [{matchPattern: \"*.example\"}]}]}\n";

static struct endpoint_id end(struct flow_dict *dict, const char *ns, const char *pod,
			      const char *label)
{
	const struct str labels[] = { str_of(label), STR("k8s:zone=1") };

	return flow_dict_endpoint(dict, &(struct endpoint){ .namespace_ = str_of(ns),
							    .pod = str_of(pod),
							    .labels = labels,
							    .label_count = 2 });
}

static void make_flows(struct flow_dict *dict, struct str name, struct flow flows[FLOWS])
{
	const struct endpoint_id web = end(dict, "shop", "web", "k8s:app=web"),
				 db = end(dict, "shop", "db", "k8s:app=db"),
				 out = end(dict, "", "", "reserved:world");
	const struct endpoint_id to[FLOWS] = { db, out, web, { 0 } };

	for (size_t i = 0; i < FLOWS; i++) {
		flows[i] = (struct flow){
			.bits = FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_NAMES |
				FLOW_HAS_POLICIES,
			.l4 = FLOW_L4_TCP,
			.is_reply = FLOW_REPLY_FALSE,
			.src_ep = i == 2 ? db : web,
			.dst_ep = to[i],
			.dst_port = 80,
			.verdict = FLOW__VERDICT__FORWARDED,
			.ext = (const uint8_t *)name.p,
			.ext_len = (uint32_t)name.len,
		};
		ip_from_v4(flows[i].dst_ip, (const uint8_t[]){ 10, 0, 0, (uint8_t)i });
	}
}

/* @return true if an allocation failed on the way. */
static bool audit(const struct policy_set *set, const struct flow_dict *dict,
		  const struct flow flows[FLOWS])
{
	AUTO(audit_free) struct audit *a = NULL;
	struct audit_report report;
	struct err e = { 0 };
	enum err_code code = audit_new(set, dict, &a, &e);

	for (size_t i = 0; code == ERR_OK && i < FLOWS; i++)
		code = audit_flow(a, &flows[i], &e);
	if (code == ERR_OK)
		code = audit_finish(a, &report, &e);
	bool failed = nomem_end();
	if (code == ERR_OK) {
		assert_int_equal(report.flows, FLOWS);
		assert_int_equal(report.rule_count, 3);
		assert_int_equal(report.results[AUDIT_WIDE], 3);
		assert_int_equal(report.elsewhere_count, 1);
		assert_int_equal(report.unknown_count, 1);
	} else {
		assert_int_equal(code, ERR_NOMEM);
		assert_true(*e.msg);
	}
	/* a failure that nobody noticed would be a finding that is none */
	assert_true(code != ERR_OK || !failed);
	return failed;
}

static void each_failed_allocation_is_told(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	AUTO(policy_set_free) struct policy_set *set = NULL;
	AUTO_BUF struct buf ext = buf_init(256);
	AUTO_BUF struct buf policy = buf_init(64);
	struct flow flows[FLOWS];
	long n = 0;

	assert_int_equal(policy_builder_new(&(struct policy_config){ 0 }, &b, NULL), ERR_OK);
	assert_int_equal(policy_builder_add_text(b, str_of(policies), NULL), ERR_OK);
	assert_int_equal(policy_builder_finish(b, &set, NULL), ERR_OK);
	assert_int_equal(flow_dict_new(100, &dict, NULL), ERR_OK);
	wire_put_str(&ext, FLOW_FIELD_DESTINATION_NAMES, STR("a.example"));
	wire_put_str(&policy, 1, STR("mesh"));
	wire_put_str(&ext, FLOW_FIELD_INGRESS_ALLOWED_BY, buf_str(&policy));
	make_flows(dict, buf_str(&ext), flows);
	do
		nomem_after(n++);
	while (audit(set, dict, flows));
	assert_true(n > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_failed_allocation_is_told) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
