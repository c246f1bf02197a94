/*
 * flow - what a flow has that policies decide on.
 */
#ifndef TYCHO_POLICY_FLOW_H
#define TYCHO_POLICY_FLOW_H

#include <netinet/in.h>

#include "base/buf.h"
#include "flow/dict.h"
#include "flow/flow.h"
#include "policy/policy.h"

/* Its protocol as policies know it, IPPROTO_; 0: none of them. In line, since each flow
 * that policies may have decided is asked. */
static inline uint8_t policy_protocol_of(const struct flow *f)
{
	enum { VRRP = 112 };
	static const uint8_t protocols[] = {
		[FLOW_L4_TCP] = IPPROTO_TCP,      [FLOW_L4_UDP] = IPPROTO_UDP,
		[FLOW_L4_SCTP] = IPPROTO_SCTP,    [FLOW_L4_ICMP4] = IPPROTO_ICMP,
		[FLOW_L4_ICMP6] = IPPROTO_ICMPV6, [FLOW_L4_VRRP] = VRRP,
		[FLOW_L4_IGMP] = IPPROTO_IGMP,
	};

	return f->l4 < sizeof protocols ? protocols[f->l4] : 0;
}

/* As policies write it: TCP, UDP, SCTP, ICMPv4, ICMPv6. No other is in a rule. */
const char *policy_protocol_name(uint8_t protocol);

/* One of its ends, at address @ip; all borrowed. */
static inline struct policy_end policy_end_of(const struct endpoint *ep, const uint8_t ip[16])
{
	return (struct policy_end){
		.cluster = ep->cluster,
		.namespace_ = ep->namespace_,
		.pod = ep->pod,
		.labels = ep->labels,
		.label_count = ep->label_count,
		.ip = ip,
	};
}

/* DNS names of one end that rules are shown: as many as an observer names, and more. Of others' flows with
 * more than that the rest is left out. */
enum { POLICY_NAMES_MAX = 128 };

/* DNS names that naming gave to the ends of a flow. */
struct policy_names {
	/* of who opened the connection, and of whom it was opened to; borrowed from the ext */
	struct str of[2][POLICY_NAMES_MAX];
	size_t count[2];
	uint64_t hash; /* of all of them; 0: there are none */
};

/* @ext: of a flow. @is_reply: it goes back to who opened the connection. */
void policy_names_read(struct policy_names *ret, struct str ext, bool is_reply);

/* A flow as a connection: from who opened it [0] to whom [1], whatever way the flow went. */
struct policy_asked {
	const struct endpoint *ends[2]; /* NULL: none in the flow */
	const uint8_t *ips[2];
	struct endpoint_id ids[2];
	struct policy_names names;
	uint8_t protocol;     /* IPPROTO_ */
	uint16_t port;        /* of who was asked; type of ICMP */
	bool passed, through; /* through: up to the other end; neither: denied by policies */
	bool audited;         /* denied, but for audit mode, which let it pass */
};
/* False: no policy decided it (records of proxies, drops for other reasons, packets to a service's own
 * address, answers of ICMP), or it does not say who opened the connection. Borrows from @f and @dict. */
bool policy_asked_read(const struct flow_dict *dict, const struct flow *f,
		       struct policy_asked *ret);
/* False of an end that nobody named, or that the dictionary had no room for; NULL is one. */
bool policy_end_is_known(const struct endpoint *ep);
/* An end as people call it: "shop/web", a DNS name, "host", "192.0.2.7". */
void policy_asked_put_end(const struct policy_asked *q, int end, struct buf *out);

#endif
