#include "policy/flow.h"

#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"

enum {
	EVENT_VERDICT = 5, /* message type of Cilium's monitor */
	ECHO4 = 8,
	ECHO4_REPLY = 0,
	ECHO6 = 128,
	ECHO6_REPLY = 129,
};

const char *policy_protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "TCP";
	case IPPROTO_UDP:
		return "UDP";
	case IPPROTO_SCTP:
		return "SCTP";
	case IPPROTO_ICMP:
		return "ICMPv4";
	default:
		return "ICMPv6";
	}
}

void policy_names_read(struct policy_names *ret, struct str ext, bool is_reply)
{
	struct wire_reader r = wire_reader_of(ext);
	struct wire_field wf;

	ret->count[0] = ret->count[1] = 0;
	ret->hash = 0;
	while (wire_next(&r, &wf)) {
		bool is_source = wf.number == FLOW_FIELD_SOURCE_NAMES;
		size_t end = is_source != is_reply ? 0 : 1;

		if ((!is_source && wf.number != FLOW_FIELD_DESTINATION_NAMES) ||
		    wf.type != WIRE_LEN || ret->count[end] == POLICY_NAMES_MAX)
			continue;
		ret->of[end][ret->count[end]++] = wf.bytes;
		ret->hash = hash_bytes(wf.bytes.p, wf.bytes.len, ret->hash + end + 1);
	}
}

/* --- a flow as a connection ------------------------------------------------------------------- */

static bool is_verdict(const struct flow *f)
{
	return flow_is(f, FLOW_HAS_EVENT_TYPE) && f->event_type == EVENT_VERDICT;
}

/* What policies decided of it. False: something else did, or nothing was decided. */
static bool read_verdict(const struct flow *f, struct policy_asked *q)
{
	bool reason = f->drop_desc == FLOW__DROP_REASON__POLICY_DENIED ||
		      f->drop_desc == FLOW__DROP_REASON__POLICY_DENY;
	/* rules allowed it; it was not authenticated yet */
	bool allowed = f->drop_desc == FLOW__DROP_REASON__AUTH_REQUIRED;

	q->passed = q->through = false;
	q->audited = f->verdict == FLOW__VERDICT__AUDIT;
	if (f->type == FLOW__FLOW_TYPE__L7)
		return false;
	if (f->verdict == FLOW__VERDICT__FORWARDED || f->verdict == FLOW__VERDICT__REDIRECTED) {
		q->passed = true;
		q->through = f->is_reply == FLOW_REPLY_TRUE ||
			     f->direction == FLOW__TRAFFIC_DIRECTION__INGRESS ||
			     f->trace_point == FLOW__TRACE_OBSERVATION_POINT__TO_ENDPOINT;
		return true;
	}
	if (f->is_reply == FLOW_REPLY_TRUE)
		return false;
	return q->audited ||
	       (f->verdict == FLOW__VERDICT__DROPPED && (reason || (is_verdict(f) && !allowed)));
}

/* A reply, where the flow does not say what it is: 1 yes, 0 no, -1 nobody can tell. */
static int is_reply_of(const struct flow *f, const struct policy_asked *q)
{
	if (f->is_reply != FLOW_REPLY_ABSENT)
		return f->is_reply == FLOW_REPLY_TRUE;
	if (!q->passed || is_verdict(f))
		return 0; /* policies decide on who opens */
	if (f->l4 != FLOW_L4_TCP || !(f->tcp_flags & FLOW_TCP_SYN))
		return -1;
	return (f->tcp_flags & FLOW_TCP_ACK) != 0;
}

static bool read_ports(const struct flow *f, bool reply, struct policy_asked *q)
{
	uint8_t type = f->icmp_type;

	q->protocol = policy_protocol_of(f);
	switch (q->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		q->port = reply ? f->src_port : f->dst_port;
		return true;
	case IPPROTO_ICMP:
		q->port = reply ? ECHO4 : type;
		return type == (reply ? ECHO4_REPLY : ECHO4); /* others are answers to something */
	case IPPROTO_ICMPV6:
		q->port = reply ? ECHO6 : type;
		return type == (reply ? ECHO6_REPLY : ECHO6);
	default:
		return false;
	}
}

bool policy_asked_read(const struct flow_dict *dict, const struct flow *f, struct policy_asked *q)
{
	if (f->kind != FLOW_KIND_FLOW || !flow_is(f, FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP) ||
	    !read_verdict(f, q))
		return false;
	int reply = is_reply_of(f, q);
	if (reply < 0 || !read_ports(f, reply, q))
		return false;
	const struct endpoint_id ids[2] = { f->src_ep, f->dst_ep };
	const uint8_t *const ips[2] = { f->src_ip, f->dst_ip };
	const struct service_id to = reply ? f->src_svc : f->dst_svc;
	for (int i = 0; i < 2; i++) {
		q->ids[i] = ids[reply ? 1 - i : i];
		q->ips[i] = ips[reply ? 1 - i : i];
		q->ends[i] = flow_dict_get_endpoint(dict, q->ids[i]);
	}
	/* To a service's own address: the backend is not chosen yet. */
	if (to.v && !(q->ends[1] && q->ends[1]->pod.len))
		return false;
	policy_names_read(&q->names, str_n(f->ext, f->ext_len), reply);
	return true;
}

/* --- ends ------------------------------------------------------------------------------------- */

static bool has_label(const struct endpoint *ep, const char *label)
{
	for (size_t i = 0; i < ep->label_count; i++)
		if (str_is(ep->labels[i], label))
			return true;
	return false;
}

bool policy_end_is_known(const struct endpoint *ep)
{
	return ep && (ep->label_count || ep->namespace_.len) &&
	       !has_label(ep, "reserved:unknown") && !has_label(ep, FLOW_DICT_OVERFLOW_LABEL);
}

void policy_asked_put_end(const struct policy_asked *q, int i, struct buf *out)
{
	const struct endpoint *ep = q->ends[i];
	char ip[FLOW_IP_TEXT_BYTES];

	if (ep && ep->namespace_.len) {
		buf_str_put(out, ep->namespace_);
		buf_char(out, '/');
		buf_str_put(out, ep->workload_count ? ep->workloads[0].name : ep->pod);
	} else if (q->names.count[i]) {
		buf_str_put(out, q->names.of[i][0]);
	} else if (ep && ep->label_count && str_has_prefix(ep->labels[0], STR("reserved:")) &&
		   !str_has_prefix(ep->labels[0], STR("reserved:world")) &&
		   policy_end_is_known(ep)) {
		buf_str_put(out, str_from(ep->labels[0], strlen("reserved:")));
	} else {
		buf_str_put(out, ip_text(q->ips[i], ip));
	}
}
