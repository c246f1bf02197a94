#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "filter_random.h"

#include "base/buf.h"
#include "filter_short.h"
#include "flow/fields.h"
#include "flow/wire.h"

/* A text of the flow @m, or any other. */
static const char *text_near(struct random *r, const char *own, const char *other)
{
	return random_below(r, 3) && *own ? own : other;
}

static const char *number_text(uint64_t n)
{
	char *text = pool_take(24);

	(void)snprintf(text, 24, "%llu", (unsigned long long)n);
	return text;
}

void random_field(struct random *r, Flow__FlowFilter *ff, const Flow__Flow *m)
{
	static const char *const protocols[] = { "tcp",  "udp",  "icmp", "icmpv4", "icmpv6",
						 "sctp", "vrrp", "igmp", "dns" };
	const Flow__Endpoint *src = m->source ? m->source : NEW(flow__endpoint);
	const Flow__Endpoint *dst = m->destination ? m->destination : NEW(flow__endpoint);
	const Flow__Service *svc =
		m->destination_service ? m->destination_service : NEW(flow__service);
	const Flow__IP *ip = m->ip ? m->ip : NEW(flow__ip);
	const Flow__TCP *tcp = m->l4 && m->l4->protocol_case == FLOW__LAYER4__PROTOCOL_TCP
				       ? m->l4->tcp
				       : NEW(flow__tcp);
	char path[300];

	switch (random_below(r, 24)) {
	case 0:
		set_texts(ff, uuid, 2, text_near(r, m->uuid, "x"), "y");
		break;
	case 1:
		set_texts(ff, source_ip, 2, text_near(r, ip->source, "10.0.0.1"), "::2");
		break;
	case 2:
		set_texts(ff, source_ip_xlated, 1, text_near(r, ip->source_xlated, "10.0.0.1"));
		break;
	case 3:
		set_texts(ff, destination_ip, 1, text_near(r, ip->destination, "fd00::1"));
		break;
	case 4:
		set_texts(ff, source_cluster_name, 1, text_near(r, src->cluster_name, "shop"));
		break;
	case 5:
		set_texts(ff, destination_cluster_name, 2, text_near(r, dst->cluster_name, "a"),
			  "shop");
		break;
	case 6:
		set_texts(ff, trace_id, 1, random_bool(r) ? "" : "shop");
		break;
	case 7:
		set_numbers(ff, verdict, Flow__Verdict,
			    random_bool(r) ? m->verdict : FLOW__VERDICT__FORWARDED,
			    FLOW__VERDICT__ERROR);
		break;
	case 8:
		set_numbers(ff, traffic_direction, Flow__TrafficDirection,
			    (Flow__TrafficDirection)random_below(r, 3));
		break;
	case 9:
		set_numbers(ff, ip_version, Flow__IPVersion, (Flow__IPVersion)random_below(r, 3));
		break;
	case 10:
		set_numbers(ff, encrypted, protobuf_c_boolean, random_bool(r));
		break;
	case 11:
		set_numbers(ff, ip_trace_id, uint64_t,
			    m->ip_trace_id && random_bool(r) ? m->ip_trace_id->trace_id : 0, 7);
		break;
	case 12:
		set_numbers(ff, drop_reason_desc, Flow__DropReason,
			    random_bool(r) ? m->drop_reason_desc : 0);
		break;
	case 13:
		set_numbers(ff, source_identity, uint32_t, random_bool(r) ? src->identity : 0, 1);
		break;
	case 14:
		set_numbers(ff, destination_identity, uint32_t, random_bool(r) ? dst->identity : 0);
		break;
	case 15:
		(void)snprintf(path, sizeof path, "%s/%.1s",
			       random_bool(r) ? src->namespace_ : "shop",
			       random_bool(r) ? "c" : "");
		set_texts(ff, source_pod, 2, path, "kube-system/");
		break;
	case 16:
		(void)snprintf(path, sizeof path, "/%s", random_bool(r) ? svc->name : "ca");
		set_texts(ff, destination_service, 2, path, "shop");
		break;
	case 17: {
		Flow__Workload *w = NEW(flow__workload);

		w->name = src->n_workloads && random_bool(r) ? src->workloads[0]->name : w->name;
		w->kind = random_bool(r) ? pool_text(random_text(r)) : w->kind;
		ff->n_source_workload = 1;
		ff->source_workload = copy_of(&w, sizeof(void *));
		break;
	}
	case 18:
		set_texts(ff, source_port, 2, number_text(tcp->source_port), "0");
		break;
	case 19:
		set_texts(ff, destination_port, 5, number_text(tcp->destination_port), "65535", "2",
			  "3", "4");
		break;
	case 20:
		set_texts(ff, protocol, 2, protocols[random_below(r, ARRAY_LEN(protocols))],
			  protocols[random_below(r, ARRAY_LEN(protocols))]);
		break;
	case 21:
		set_texts(ff, dns_query, 1, random_bool(r) ? "a" : "qqq");
		break;
	case 22:
		set_texts(ff, destination_fqdn, 2, "shop", "cart-0");
		break;
	default:
		if (random_bool(r)) {
			set_numbers(ff, reply, protobuf_c_boolean, random_bool(r));
			break;
		}
		add_event_type(ff, m->event_type && random_bool(r) ? m->event_type->type : 0,
			       random_bool(r), m->event_type ? m->event_type->sub_type : 0);
	}
}

void make_consistent(struct flow *f)
{
	struct str ext = str_n(f->ext, f->ext_len), found;

	if (!flow_is(f, FLOW_HAS_IP)) {
		f->bits &= ~(uint32_t)(FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_XLATED |
				       FLOW_ENCRYPTED);
		f->ip_version = 0;
	}
	if (wire_find(ext, FLOW_FIELD_DESTINATION_NAMES, &found))
		f->bits |= FLOW_HAS_NAMES;
	if (wire_find(ext, FLOW_FIELD_TRACE_CONTEXT, &found))
		f->bits |= FLOW_HAS_TRACE_CONTEXT;
	if (random_below(&(struct random){ f->seq }, 4) == 0)
		f->verdict = FLOW__VERDICT__DROPPED;
}
