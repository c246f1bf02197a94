#include "filter/rule.h"

#include "flow/flow.pb-c.h"

/* The order of the reference's filters (DefaultFilters): of several mistakes the first one is
 * reported. */
static pred_maker *const makers[] = {
	pred_uuid_new,
	pred_event_type_new,
	pred_verdict_new,
	pred_drop_reason_new,
	pred_reply_new,
	pred_encrypted_new,
	pred_source_identity_new,
	pred_destination_identity_new,
	pred_protocol_new,
	pred_source_ip_new,
	pred_destination_ip_new,
	pred_source_ip_xlated_new,
	pred_source_pod_new,
	pred_destination_pod_new,
	pred_source_workload_new,
	pred_destination_workload_new,
	pred_source_service_new,
	pred_destination_service_new,
	pred_source_fqdn_new,
	pred_destination_fqdn_new,
	pred_dns_query_new,
	pred_source_label_new,
	pred_destination_label_new,
	pred_node_labels_new,
	pred_source_port_new,
	pred_destination_port_new,
	pred_http_status_code_new,
	pred_http_method_new,
	pred_http_path_new,
	pred_http_url_new,
	pred_http_header_new,
	pred_tcp_flags_new,
	pred_node_name_new,
	pred_source_cluster_name_new,
	pred_destination_cluster_name_new,
	pred_ip_version_new,
	pred_trace_id_new,
	pred_traffic_direction_new,
	pred_cel_new,
	pred_interface_new,
	pred_ip_trace_id_new,
};
_Static_assert(ARRAY_LEN(makers) - 1 == RULE_PREDS,
	       "a rule has room for one predicate of each field");

enum err_code rule_init(struct rule *r, const Flow__FlowFilter *ff, const struct flow_dict *dict,
			struct err *e)
{
	*r = (struct rule){ .count = 0 };
	for (size_t i = 0; i < ARRAY_LEN(makers); i++) {
		struct pred *t = NULL;
		enum err_code code = makers[i](ff, dict, &t, e);

		if (code != ERR_OK) {
			rule_done(r);
			return code;
		}
		if (!t)
			continue;
		size_t at = r->count++;
		for (; at > 0 && r->preds[at - 1]->cost > t->cost; at--)
			r->preds[at] = r->preds[at - 1];
		r->preds[at] = t;
	}
	return ERR_OK;
}

void rule_done(struct rule *r)
{
	for (size_t i = 0; i < r->count; i++)
		pred_free(r->preds[i]);
	r->count = 0;
}
