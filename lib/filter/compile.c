#include "filter/rule.h"

#include "flow/flow.pb-c.h"

/* CEL is the one field without a test. Saying so is better than answering as if it had not been
 * asked. */
static enum err_code refuse_cel(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				struct test **ret, struct err *e)
{
	(void)dict;
	(void)ret;
	if (!ff->experimental || !ff->experimental->n_cel_expression)
		return ERR_OK;
	return err_set(e, ERR_UNSUPPORTED, "filtering by CEL expression is not supported");
}

/* The order of the reference's filters (DefaultFilters): of several mistakes the first one is
 * reported. */
static test_maker *const makers[] = {
	test_uuid_new,
	test_event_type_new,
	test_verdict_new,
	test_drop_reason_new,
	test_reply_new,
	test_encrypted_new,
	test_source_identity_new,
	test_destination_identity_new,
	test_protocol_new,
	test_source_ip_new,
	test_source_ip_xlated_new,
	test_destination_ip_new,
	test_source_pod_new,
	test_destination_pod_new,
	test_source_workload_new,
	test_destination_workload_new,
	test_source_service_new,
	test_destination_service_new,
	test_source_fqdn_new,
	test_destination_fqdn_new,
	test_dns_query_new,
	test_source_label_new,
	test_destination_label_new,
	test_node_labels_new,
	test_source_port_new,
	test_destination_port_new,
	test_http_status_code_new,
	test_http_method_new,
	test_http_path_new,
	test_http_url_new,
	test_http_header_new,
	test_tcp_flags_new,
	test_node_name_new,
	test_source_cluster_name_new,
	test_destination_cluster_name_new,
	test_ip_version_new,
	test_trace_id_new,
	test_traffic_direction_new,
	refuse_cel,
	test_interface_new,
	test_ip_trace_id_new,
};
_Static_assert(ARRAY_LEN(makers) - 1 == RULE_TESTS, "a rule has room for one test of each field");

enum err_code rule_init(struct rule *r, const Flow__FlowFilter *ff, const struct flow_dict *dict,
			struct err *e)
{
	*r = (struct rule){ .count = 0 };
	for (size_t i = 0; i < ARRAY_LEN(makers); i++) {
		struct test *t = NULL;
		enum err_code code = makers[i](ff, dict, &t, e);

		if (code != ERR_OK) {
			rule_done(r);
			return code;
		}
		if (!t)
			continue;
		size_t at = r->count++;
		for (; at > 0 && r->tests[at - 1]->cost > t->cost; at--)
			r->tests[at] = r->tests[at - 1];
		r->tests[at] = t;
	}
	return ERR_OK;
}

void rule_done(struct rule *r)
{
	for (size_t i = 0; i < r->count; i++)
		test_free(r->tests[i]);
	r->count = 0;
}
