/* lib/flow over the recorded flows of the golden data: what the record and its accessors say is
 * what protobuf-c reads in the same bytes, the strange ones included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "recorded.h"

enum { MAX_BYTES = 1 << 24, MAX_NAMES = 1 << 17 };

/* protobuf-c ends a text at its first NUL; one of the recorded ones has one. */
static void assert_text(struct str got, const char *want)
{
	if (!str_is(str_upto(got, strnlen(got.p, got.len)), want))
		fail_msg("'%.*s' is not '%s'", STR_FMT(got), want);
}

static void assert_endpoint(const struct endpoint *got, const Flow__Endpoint *want)
{
	assert_int_equal(got != NULL, want != NULL);
	if (!got)
		return;
	assert_int_equal(got->id, want->id);
	assert_int_equal(got->identity, want->identity);
	assert_text(got->cluster, want->cluster_name);
	assert_text(got->namespace_, want->namespace_);
	assert_text(got->pod, want->pod_name);
	assert_int_equal(got->label_count, want->n_labels);
	for (size_t i = 0; i < got->label_count; i++)
		assert_text(got->labels[i], want->labels[i]);
	assert_int_equal(got->workload_count, want->n_workloads);
	for (size_t i = 0; i < got->workload_count; i++) {
		assert_text(got->workloads[i].name, want->workloads[i]->name);
		assert_text(got->workloads[i].kind, want->workloads[i]->kind);
	}
}

static void assert_service(const struct service *got, const Flow__Service *want)
{
	assert_int_equal(got != NULL, want != NULL);
	if (!got)
		return;
	assert_text(got->name, want->name);
	assert_text(got->namespace_, want->namespace_);
}

static void assert_addresses(const struct flow *f, const Flow__Flow *m)
{
	char tmp[FLOW_IP_TEXT_BYTES];

	assert_int_equal(flow_is(f, FLOW_HAS_IP), m->ip != NULL);
	assert_text(flow_ip_text(f, FLOW_SRC, tmp), m->ip ? m->ip->source : "");
	assert_text(flow_ip_text(f, FLOW_DST, tmp), m->ip ? m->ip->destination : "");
	assert_text(flow_ip_text(f, FLOW_XLATED, tmp), m->ip ? m->ip->source_xlated : "");
	assert_text(flow_mac_text(f, FLOW_SRC, tmp), m->ethernet ? m->ethernet->source : "");
	assert_text(flow_mac_text(f, FLOW_DST, tmp), m->ethernet ? m->ethernet->destination : "");
	assert_int_equal(flow_is(f, FLOW_ENCRYPTED), m->ip && m->ip->encrypted);
	assert_int_equal(f->ip_version, m->ip ? m->ip->ipversion : 0);
}

static void assert_ports(const struct flow *f, const Flow__Layer4 *l4)
{
	uint32_t src = 0, dst = 0;
	bool has = flow_port(f, FLOW_SRC, &src) && flow_port(f, FLOW_DST, &dst);

	assert_int_equal(f->l4, l4 ? (int)l4->protocol_case : 0);
	if (f->l4 == FLOW_L4_TCP) {
		assert_int_equal(src, l4->tcp->source_port);
		assert_int_equal(dst, l4->tcp->destination_port);
		assert_int_equal(flow_is(f, FLOW_HAS_TCP_FLAGS), l4->tcp->flags != NULL);
		assert_int_equal(!!(f->tcp_flags & FLOW_TCP_SYN),
				 l4->tcp->flags && l4->tcp->flags->syn);
		assert_int_equal(!!(f->tcp_flags & FLOW_TCP_ACK),
				 l4->tcp->flags && l4->tcp->flags->ack);
	} else if (f->l4 == FLOW_L4_UDP) {
		assert_int_equal(src, l4->udp->source_port);
		assert_int_equal(dst, l4->udp->destination_port);
	} else if (f->l4 == FLOW_L4_SCTP) {
		assert_int_equal(src, l4->sctp->source_port);
		assert_int_equal(dst, l4->sctp->destination_port);
	} else {
		assert_false(has);
	}
}

static void assert_numbers(const struct flow *f, const Flow__Flow *m)
{
	struct timestamp t = { 0 };

	assert_int_equal(flow_enum(f, FLOW_FIELD_VERDICT, f->verdict), (int32_t)m->verdict);
	assert_int_equal(flow_enum(f, FLOW_FIELD_TYPE, f->type), (int32_t)m->type);
	assert_int_equal(flow_enum(f, FLOW_FIELD_AUTH_TYPE, f->auth_type), (int32_t)m->auth_type);
	assert_int_equal(flow_enum(f, FLOW_FIELD_TRAFFIC_DIRECTION, f->direction),
			 (int32_t)m->traffic_direction);
	assert_int_equal(flow_enum(f, FLOW_FIELD_TRACE_OBSERVATION_POINT, f->trace_point),
			 (int32_t)m->trace_observation_point);
	assert_int_equal(flow_enum(f, FLOW_FIELD_SOCK_XLATE_POINT, f->sock_point),
			 (int32_t)m->sock_xlate_point);
	assert_int_equal((int32_t)f->drop_desc, (int32_t)m->drop_reason_desc);
	assert_int_equal(f->drop_reason, m->drop_reason);
	assert_int_equal(f->policy_match_type, m->policy_match_type);
	assert_int_equal(f->proxy_port, m->proxy_port);
	assert_int_equal(f->is_reply, !m->is_reply         ? FLOW_REPLY_ABSENT
				      : m->is_reply->value ? FLOW_REPLY_TRUE
							   : FLOW_REPLY_FALSE);
	assert_int_equal(flow_is(f, FLOW_HAS_EVENT_TYPE), m->event_type != NULL);
	assert_int_equal(f->event_type, m->event_type ? m->event_type->type : 0);
	assert_int_equal(f->event_sub_type, m->event_type ? m->event_type->sub_type : 0);
	assert_int_equal(flow_time(f, &t), m->time != NULL);
	assert_int_equal(t.s, m->time ? m->time->seconds : 0);
	assert_int_equal(t.ns, m->time ? m->time->nanos : 0);
	assert_int_equal(f->ip_trace_id, m->ip_trace_id ? m->ip_trace_id->trace_id : 0);
	assert_int_equal(f->ifindex, m->interface ? m->interface->index : 0);
}

static void assert_same(const struct flow *f, const Flow__Flow *m, const struct flow_dict *d)
{
	char tmp[FLOW_UUID_TEXT_BYTES];
	const struct node *node = flow_dict_get_node(d, f->node);
	AUTO_BUF struct buf summary = buf_init(MAX_BYTES);

	assert_numbers(f, m);
	assert_addresses(f, m);
	assert_ports(f, m->l4);
	assert_endpoint(flow_dict_get_endpoint(d, f->src_ep), m->source);
	assert_endpoint(flow_dict_get_endpoint(d, f->dst_ep), m->destination);
	assert_service(flow_dict_get_service(d, f->src_svc), m->source_service);
	assert_service(flow_dict_get_service(d, f->dst_svc), m->destination_service);
	assert_text(node ? node->name : STR(""), m->node_name);
	assert_int_equal(node ? node->label_count : 0, m->n_node_labels);
	assert_text(node ? node->emitter_name : STR(""), m->emitter ? m->emitter->name : "");
	assert_text(flow_uuid_text(f, tmp), m->uuid);
	assert_text(flow_ifname(f), m->interface ? m->interface->name : "");
	flow_summary_put(&summary, f, d);
	assert_text(buf_str(&summary), m->summary);
	assert_int_equal(flow_is(f, FLOW_HAS_L7), m->l7 != NULL);
	assert_int_equal(flow_is(f, FLOW_HAS_TRACE_CONTEXT), m->trace_context != NULL);
}

/* @return flows compared. */
static size_t compare_file(FILE *in)
{
	AUTO(flow_dict_free) struct flow_dict *d = NULL;
	assert_int_equal(flow_dict_new(MAX_NAMES, &d, NULL), ERR_OK);
	AUTO(own_free) char *line = NULL;
	AUTO_BUF struct buf wire = buf_init(MAX_BYTES);
	size_t room = 0, compared = 0;

	for (ssize_t len; (len = getline(&line, &room, in)) > 0;) {
		const struct json_options options = { 0 };
		struct flow_response response;
		struct flow f;
		buf_reset(&wire);
		if (json_read_message(str_n(line, (size_t)len), &observer__export_event__descriptor,
				      &options, &wire, NULL, NULL) != ERR_OK)
			continue; /* not JSON, by intent */
		assert_int_equal(flow_response_split(buf_str(&wire), &response, NULL), ERR_OK);
		if (!response.has_message || response.kind != FLOW_KIND_FLOW)
			continue;
		assert_int_equal(flow_decode(response.message, d, &f, NULL), ERR_OK);
		Flow__Flow *m = flow__flow__unpack(NULL, response.message.len,
						   (const uint8_t *)response.message.p);
		assert_non_null(m);
		assert_same(&f, m, d);
		flow__flow__free_unpacked(m, NULL);
		compared++;
	}
	assert_int_equal(flow_dict_counts(d).overflows, 0);
	return compared;
}

static void recorded_flows_say_what_protobuf_reads(void **state)
{
	size_t flows = recorded_each("golden/flows", ".jsonl", compare_file);

	(void)state;
	(void)printf("%zu flows\n", flows);
	assert_true(flows > 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_flows_say_what_protobuf_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
