#include "policy_flow.h"

#include "flow/flow.pb-c.h"

struct flow flow_of(struct endpoint_id src, struct endpoint_id dst, uint16_t port)
{
	struct flow f = {
		.bits = FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP | FLOW_HAS_EVENT_TYPE | FLOW_HAS_IP |
			FLOW_HAS_TIME,
		.time = { 1700000000 * NS_PER_S },
		.l4 = FLOW_L4_TCP,
		.event_type = EVENT_TRACE,
		.is_reply = FLOW_REPLY_FALSE,
		.direction = FLOW__TRAFFIC_DIRECTION__INGRESS,
		.src_ep = src,
		.dst_ep = dst,
		.src_port = 40000,
		.dst_port = port,
		.verdict = FLOW__VERDICT__FORWARDED,
	};

	ip_from_v4(f.src_ip, (const uint8_t[]){ 10, 0, (uint8_t)(src.v >> 8), (uint8_t)src.v });
	ip_from_v4(f.dst_ip, (const uint8_t[]){ 10, 0, (uint8_t)(dst.v >> 8), (uint8_t)dst.v });
	return f;
}

struct flow drop_of(struct endpoint_id src, struct endpoint_id dst, uint16_t port)
{
	struct flow f = flow_of(src, dst, port);

	f.verdict = FLOW__VERDICT__DROPPED;
	f.drop_desc = DENIED_BY_DEFAULT;
	return f;
}

struct flow reply_to(struct flow f)
{
	struct flow r = flow_of(f.dst_ep, f.src_ep, f.src_port);

	r.src_port = f.dst_port;
	r.is_reply = FLOW_REPLY_TRUE;
	return r;
}
