/*
 * event - what a BPF program of ours says, and how: the one layout that kernel and user space
 * share.
 *
 * Two ring buffers: `verdicts` for drops (and later policy), `traces` for the rest, so that a flood
 * of traces can never push a drop out. A record is a struct bpf_event followed by @cap_bytes of the
 * packet. Host byte order.
 *
 * A trace that stands for no single whole packet (what a silent connection has left, a fragment)
 * carries headers made from the connection instead: flag BPF_EVENT_L3, checksums and TTL 0;
 * packet_bytes 0 if there is no packet at all.
 */
#ifndef TYCHO_BPF_EVENT_H
#define TYCHO_BPF_EVENT_H

#ifndef __bpf__
#include <linux/types.h>
#endif

enum bpf_event_kind {
	BPF_EVENT_TRACE = 1, /* tc: a packet passed the interface */
	BPF_EVENT_DROP = 2,  /* kfree_skb: the kernel threw a packet away */
};

/* Why a trace was reported now. */
enum bpf_event_cause {
	BPF_CAUSE_NEW = 1,       /* first packet of the connection at this observation point */
	BPF_CAUSE_FLAGS = 2,     /* TCP flags (SYN, FIN, RST) not seen before in this direction */
	BPF_CAUSE_CLOSE = 3,     /* the last FIN was acknowledged, or RST */
	BPF_CAUSE_INTERVAL = 4,  /* it goes on: first packet of the other direction, or the report
				    interval passed */
	BPF_CAUSE_UNTRACKED = 5, /* not a connection (ARP, unknown protocols, fragments whose first
				    was not seen): each interval */
	BPF_CAUSE_DNS = 6,       /* DNS payload: every message is reported, names are inside */
};

enum bpf_event_flags {
	BPF_EVENT_INGRESS = 1 << 0, /* trace: seen on ingress of the interface (else egress) */
	BPF_EVENT_REPLY = 1 << 1,   /* trace: against the direction seen first */
	BPF_EVENT_REPLY_KNOWN = 1 << 2,
	BPF_EVENT_L3 = 1 << 3,         /* the packet starts at the network header: no Ethernet */
	BPF_EVENT_PEER_NETNS = 1 << 4, /* the interface's peer lives in another network namespace */
};

enum { BPF_EVENT_CAP_BYTES = 192, BPF_EVENT_DNS_CAP_BYTES = 1472 };

struct bpf_event {
	__u64 mono_ns; /* bpf_ktime_get_ns() */
	__u64 packets; /* since this connection and direction's previous event, this one included */
	__u64 bytes;   /* the same; skb->len, as the interface sees it (link layer included) */
	__u32 packet_bytes; /* length of this packet */
	__u32 ifindex;      /* 0 unknown */
	__u32 netns;        /* inode number of the network namespace */
	__u32 drop_reason;  /* drop: the kernel's enum skb_drop_reason */
	__u16 cap_bytes;    /* packet bytes that follow */
	__u16 protocol;     /* skb->protocol, host order (EtherType): decides the L3 decoder if
			       BPF_EVENT_L3 */
	__u8 kind;          /* enum bpf_event_kind */
	__u8 cause;         /* enum bpf_event_cause */
	__u8 flags;         /* enum bpf_event_flags */
	__u8 vlan;          /* 1 if a VLAN tag was offloaded; its id is in vlan_id */
	__u16 vlan_id;
	__u16 cpu;
	__u32 reserved;
	char ifname[16]; /* as the kernel had it at that moment; "" unknown */
};
_Static_assert(sizeof(struct bpf_event) == 72, "one layout for both sides");

#endif
