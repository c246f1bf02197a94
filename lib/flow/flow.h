/*
 * flow - what a flow is inside Tycho: one fixed-size, plain record, plus wire bytes for what is
 * rare.
 *
 *	┌─────────────────────────────────────────────┐
 *	│ time, addresses, ports, verdict, ids, …     │  compared, filtered, stored as numbers
 *	│ src_ep, dst_ep ──► struct flow_dict         │  names: said once, held as ids
 *	│ ext ──► protobuf bytes of flow.Flow fields  │  L7, tunnel, policies, DNS names, …
 *	└─────────────────────────────────────────────┘
 *
 * Two kinds of record, one meaning:
 *  - *Made* (from a packet): the numbers are the truth; @ext holds, as flow.Flow wire bytes, only
 *    those fields that have no member here. Written out, a flow is its members followed by @ext.
 *  - *Whole* (FLOW_WHOLE: from JSON or from another server): @ext is the entire flow.Flow message
 *    as it came, unknown fields included, and is what goes out again. The members repeat what
 *    filters and printers ask for. Texts that the members cannot hold exactly (an address that is
 *    not in canonical form, say) set a FLOW_ODD_ bit; the accessors below then look into @ext. So
 *    every reader uses the accessors, and none need care.
 *
 * Owner    plain data: copy with =. @ext is borrowed; its owner says for how long (flow_log: until
 *          the flow is overwritten and the reader is told; flow_decode: as long as the message's
 *          bytes).
 * Source   field meanings are those of flow.proto (Cilium 1.19.4); enums hold its numbers, unknown
 *          ones included.
 */
#ifndef TYCHO_FLOW_FLOW_H
#define TYCHO_FLOW_FLOW_H

#include <endian.h>

#include "base/str.h"
#include "base/time.h"

struct buf;
struct flow_dict;

/* What a record of the log is. Everything but FLOW_KIND_FLOW has its message in @ext. */
enum flow_kind {
	FLOW_KIND_FLOW,
	FLOW_KIND_LOST,        /* ext: flow.LostEvent */
	FLOW_KIND_AGENT,       /* ext: flow.AgentEvent */
	FLOW_KIND_DEBUG,       /* ext: flow.DebugEvent */
	FLOW_KIND_NODE_STATUS, /* ext: relay.NodeStatusEvent; in answers only, never in the log */
};

/* Members of the oneof flow.Layer4, numbered as its fields. */
enum flow_l4 {
	FLOW_L4_NONE,
	FLOW_L4_TCP,
	FLOW_L4_UDP,
	FLOW_L4_ICMP4,
	FLOW_L4_ICMP6,
	FLOW_L4_SCTP,
	FLOW_L4_VRRP,
	FLOW_L4_IGMP,
};

enum flow_reply { FLOW_REPLY_ABSENT, FLOW_REPLY_FALSE, FLOW_REPLY_TRUE };

enum {
	FLOW_TCP_FIN =
		1 << 0, /* bits of tcp_flags; names as flow.TCPFlags, order of its field numbers */
	FLOW_TCP_SYN = 1 << 1,
	FLOW_TCP_RST = 1 << 2,
	FLOW_TCP_PSH = 1 << 3,
	FLOW_TCP_ACK = 1 << 4,
	FLOW_TCP_URG = 1 << 5,
	FLOW_TCP_ECE = 1 << 6,
	FLOW_TCP_CWR = 1 << 7,
	FLOW_TCP_NS = 1 << 8,
};

enum flow_bits {
	FLOW_WHOLE = 1 << 0, /* ext is the entire message */
	FLOW_HAS_TIME = 1 << 1,
	FLOW_HAS_ETHERNET = 1 << 2, /* the message is present, even if empty */
	FLOW_HAS_IP = 1 << 3,
	FLOW_HAS_TCP_FLAGS = 1 << 4,
	FLOW_HAS_SRC_IP = 1 << 5, /* an address, not "" */
	FLOW_HAS_DST_IP = 1 << 6,
	FLOW_HAS_XLATED = 1 << 7, /* source_xlated */
	FLOW_ENCRYPTED = 1 << 8,
	FLOW_HAS_UUID = 1 << 9,
	FLOW_HAS_EVENT_TYPE = 1 << 10,
	FLOW_HAS_IFACE = 1 << 11,
	FLOW_HAS_IP_TRACE_ID = 1 << 12,
	FLOW_HAS_L7 = 1 << 13,       /* ext has field l7 */
	FLOW_HAS_NAMES = 1 << 14,    /* ext has source_names or destination_names */
	FLOW_HAS_POLICIES = 1 << 15, /* ext has one of the *_allowed_by, *_denied_by lists */
	FLOW_HAS_SUMMARY =
		1 << 16, /* whole: ext has Summary. Made flows compose theirs (flow_summary) */
	FLOW_HAS_DETAIL = 1 << 17, /* packets, bytes, kernel_reason, netns say something */
	FLOW_HAS_TRACE_CONTEXT = 1 << 18,
	FLOW_HAS_SVC = 1 << 19, /* one of the service messages is present */
	/* Whole flows whose text a member cannot hold: ask the accessor. */
	FLOW_ODD_TIME = 1 << 24,  /* outside wall_ns: time_ns is clamped */
	FLOW_ODD_IP = 1 << 25,    /* one of the three addresses is not canonical text; its member is
				   * what the text    means, or zeros if it is no address */
	FLOW_ODD_MAC = 1 << 26,   /* one of the two is missing or not canonical text */
	FLOW_ODD_UUID = 1 << 27,  /* not 36 lower-case characters; the member is 0 */
	FLOW_ODD_L4 = 1 << 28,    /* a port or type beyond its wire width, an IGMP group that is no
				     IPv4 text */
	FLOW_ODD_IFACE = 1 << 29, /* name longer than 15 bytes, or with a NUL; the member is "" */
};

enum { FLOW_IFNAME_BYTES = 16 };

/* A label of flow.Policy in the *_allowed_by, *_denied_by lists: the policy was not told by whoever
 * decided but found by evaluating the policies in force (tycho.v1.PolicySource). */
#define FLOW_POLICY_DERIVED_LABEL "tycho:derived"
/* And who gave that policy, after it: "tycho:from=files". */
#define FLOW_POLICY_ORIGIN_LABEL "tycho:from="

/* Ids into a flow_dict; 0 is "none". Types of their own, so that one cannot pass for another. */
struct endpoint_id {
	uint32_t v;
};
struct service_id {
	uint32_t v;
};
struct node_id {
	uint32_t v;
};

struct flow {
	uint64_t seq;        /* number on this node, never repeated; 0 for flows from elsewhere */
	struct wall_ns time; /* if FLOW_HAS_TIME */
	uint64_t uuid[2];    /* if FLOW_HAS_UUID: the 16 bytes in network order, as two big-endian
				numbers */
	uint32_t bits;       /* enum flow_bits */
	uint8_t kind;        /* enum flow_kind */
	uint8_t verdict; /* flow.Verdict; in all enums of 8 bits, numbers beyond 254 are 255: ask
			    flow_enum */
	uint8_t type;    /* flow.FlowType */
	uint8_t l4;      /* enum flow_l4 */
	uint8_t src_ip[16], dst_ip[16], src_xlated[16]; /* IPv4 mapped (::ffff:a.b.c.d) */
	uint8_t src_mac[6], dst_mac[6];
	uint8_t ip_version; /* flow.IPVersion: 0 not IP, 1 IPv4, 2 IPv6 */
	uint8_t is_reply;   /* enum flow_reply */
	uint8_t direction;  /* flow.TrafficDirection */
	uint8_t auth_type;  /* flow.AuthType */
	union {             /* by l4 */
		struct {
			uint16_t src_port, dst_port; /* host order; TCP, UDP, SCTP */
			uint16_t tcp_flags;          /* FLOW_TCP_ bits, if FLOW_HAS_TCP_FLAGS */
		};
		struct {
			uint8_t icmp_type, icmp_code;
		};
		struct {
			uint8_t vrrp_type, vrrp_vrid, vrrp_priority;
		};
		struct {
			uint8_t igmp_type;
			uint8_t igmp_group[4]; /* IPv4, network order */
		};
		uint8_t l4_bytes[6]; /* all of it */
	};
	uint8_t trace_point;                /* flow.TraceObservationPoint */
	uint8_t trace_reason;               /* flow.TraceReason */
	uint8_t capture_point;              /* flow.DebugCapturePoint */
	uint8_t sock_point;                 /* flow.SocketTranslationPoint */
	int32_t event_type, event_sub_type; /* flow.CiliumEventType, if FLOW_HAS_EVENT_TYPE */
	uint32_t drop_reason;               /* flow.Flow.drop_reason */
	uint32_t drop_desc;                 /* flow.Flow.drop_reason_desc: enum flow.DropReason */
	uint32_t policy_match_type;
	uint32_t proxy_port;
	struct endpoint_id src_ep, dst_ep;  /* 0: message absent */
	struct service_id src_svc, dst_svc; /* 0: message absent */
	struct node_id node;                /* node_name, node_labels, emitter */
	uint32_t ifindex;                   /* if FLOW_HAS_IFACE */
	char ifname[FLOW_IFNAME_BYTES];     /* terminated; "" unknown */
	uint64_t ip_trace_id;               /* if FLOW_HAS_IP_TRACE_ID */
	uint64_t socket_cookie, cgroup_id;
	/* tycho.v1.FlowDetail, if FLOW_HAS_DETAIL */
	uint64_t packets, bytes;
	uint32_t netns;         /* inode of the network namespace */
	uint16_t kernel_reason; /* id into the dictionary's kernel reasons, 0 none */
	uint16_t reserved_;
	uint32_t ext_len; /* bytes */
	const uint8_t *ext;
};
_Static_assert(sizeof(struct flow) <= 264, "the record is meant to stay within a few cache lines");

/* --- accessors: right for made, whole and odd flows alike ------------------------------------- */

enum { FLOW_IP_TEXT_BYTES = 46, FLOW_UUID_TEXT_BYTES = 37, FLOW_MAC_TEXT_BYTES = 18 };
enum flow_side { FLOW_SRC, FLOW_DST, FLOW_XLATED };

static inline bool flow_is(const struct flow *f, uint32_t bits)
{
	return (f->bits & bits) == bits;
}
/* Lets ext go, where it cannot be kept: what is left is a made flow of its members, which claims nothing
 * that only ext could tell. */
void flow_drop_ext(struct flow *f);

/* Number of an enum field of flow.Flow that is held in 8 bits: @member, or ext's own number where
 * that is 255. @field is the field's number in flow.proto: flow_enum(f, 2, f->verdict). */
int32_t flow_enum(const struct flow *f, uint32_t field, uint8_t member);
/* Text of an address of IP{source, destination, source_xlated}; "" if absent. Written to @tmp, or
 * borrowed from ext where the text is odd. */
struct str flow_ip_text(const struct flow *f, enum flow_side side, char tmp[FLOW_IP_TEXT_BYTES]);
/* ethernet.source / .destination. */
struct str flow_mac_text(const struct flow *f, enum flow_side side, char tmp[FLOW_MAC_TEXT_BYTES]);
struct str flow_uuid_text(const struct flow *f, char tmp[FLOW_UUID_TEXT_BYTES]);
/* False if the flow has no time. */
bool flow_time(const struct flow *f, struct timestamp *ret);
/* Port of TCP, UDP or SCTP; false for other layers. Up to 32 bits: odd flows have ports beyond
 * 65,535. */
bool flow_port(const struct flow *f, enum flow_side side, uint32_t *ret);
/* Interface name, "" if none. */
struct str flow_ifname(const struct flow *f);
/* Summary text: of a whole flow as it came, of a made flow composed from its members and ext ("TCP
 * Flags: SYN", "ICMPv4 EchoRequest", "DNS Query a.example. A"; a kernel drop appends "; " and the
 * kernel's reason). */
void flow_summary_put(struct buf *b, const struct flow *f, const struct flow_dict *dict);

/* Canonical text of 16 bytes (IPv4-mapped prints as IPv4; IPv6 per RFC 5952, as Go's netip). */
struct str ip_text(const uint8_t ip[16], char tmp[FLOW_IP_TEXT_BYTES]);
/* Any valid text of an IPv4 or IPv6 address, as Go's net.ParseIP takes it (no zone, no leading
 * zeros in IPv4). */
bool ip_parse(struct str s, uint8_t ret[16]);
static inline bool ip_is_v4(const uint8_t ip[16])
{
	static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };
	return memcmp(ip, prefix, 12) == 0;
}
/* An empty record, as an initializer makes it; but that one compilers make a loop of, a word a
 * turn. */
static inline void flow_clear(struct flow *f)
{
	_Static_assert(sizeof *f % sizeof(uint64_t) == 0, "a record is made of words");
	uint64_t *words = (uint64_t *)(void *)f; /* -fno-strict-aliasing */

#pragma GCC unroll 40
	for (size_t i = 0; i < sizeof *f / sizeof *words; i++)
		words[i] = 0;
}
static inline void ip_from_v4(uint8_t ret[16], const uint8_t v4[4])
{
	uint32_t ip;
	memcpy(&ip, v4, sizeof ip);
	/* In halves, as a hash will read it a moment later: a processor gives the bytes of one
	 * store to a load that is within it, and lets one that spans two wait until both are done.
	 */
	const uint64_t half[2] = { 0, htobe64(UINT64_C(0xffff00000000) | be32toh(ip)) };
	memcpy(ret, half, sizeof half);
}

#endif
