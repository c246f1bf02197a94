/*
 * parse - from a packet on an interface to the connection it belongs to.
 *
 *	Ethernet ─► VLAN tags ─► IPv4 | IPv6 ─► extension headers ─► TCP | UDP | SCTP | ICMP
 *
 * Never changes a packet. What cannot be read any further is filed under what is known up to there.
 */
#ifndef TYCHO_BPF_PARSE_H
#define TYCHO_BPF_PARSE_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* IANA protocol numbers that <linux/in.h> has not. */
enum {
	PROTO_V6_HOP = 0,
	PROTO_V6_ROUTING = 43,
	PROTO_V6_FRAGMENT = 44,
	PROTO_ICMPV6 = 58,
	PROTO_V6_DEST = 60,
};
enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 }; /* RFC 9293 §3.1 */
enum { PORT_DNS = 53 };

enum conn_kind {
	CONN_TWO_WAY = 1, /* TCP, UDP, SCTP, echo: has a reply direction */
	CONN_ONE_WAY,     /* other ICMP, by type and code: known, but nothing answers it */
	CONN_UNTRACKED,   /* anything else: by addresses and protocol, or by EtherType alone */
};

/* One connection at one observation point. Both directions find the same key: the lower of the two
 * (address, port) pairs comes first. Every byte is set: the table hashes them all. */
struct conn_key {
	__u8 a[16], b[16]; /* IPv4 mapped into IPv6; zero if not IP */
	/* Echo: both the identifier. Other ICMP: both type << 8 | code. Without ports: 0. */
	__be16 a_port, b_port;
	__u32 ifindex;
	__u16 ethertype; /* of the network layer, host order */
	__u16 vlan_id;   /* of the outermost tag, 0 none */
	__u8 proto;
	__u8 kind; /* enum conn_kind */
	/* Direction (0: a to b) XOR hook (1: ingress). The two directions of a connection pass an
	 * interface by opposite hooks and so agree here; a packet that passes both (loopback,
	 * hairpin) is told apart and not counted twice. */
	__u8 parity;
	__u8 zero;
};
_Static_assert(sizeof(struct conn_key) == 48, "no holes: the table hashes every byte");

struct packet {
	struct conn_key key;
	__u32 payload_off;   /* TCP, UDP: where the payload starts */
	__u32 payload_bytes; /* by the lengths of IP: link padding is none */
	__u32 seq, ack;      /* TCP */
	__u8 dir;            /* 0: from a to b */
	__u8 note;           /* TCP flags, ICMP type */
	__u8 ingress;
	__u8 answers;        /* can only be a reply: SYN+ACK, echo reply */
	__u8 fragment;       /* of a larger packet */
	__u8 later_fragment; /* without a transport header */
};

/* Ports of fragmented packets, from their first fragment to the others. */
struct frag_key {
	__u8 src[16], dst[16];
	__u32 id;
	__u32 ifindex;
	__u8 proto, ingress;
	__u16 zero;
};
struct frag {
	__be16 src_port, dst_port;
	__u8 kind, zero[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct frag_key);
	__type(value, struct frag);
} fragments SEC(".maps");

/* What the walk over the headers carries along. */
struct walk {
	__u32 off;     /* of the next header */
	__u32 end;     /* end of the packet by IP's length */
	__u32 frag_id; /* network order */
	__u8 more_fragments;
};

typedef __u32 __attribute__((may_alias)) word;

/* Copies @n (a constant, whole words) bytes of the packet to @to, which is aligned to words. Nearly
 * always they lie in its linear part, and are read there; what lies in pages is fetched by the
 * helper, which copes with all and costs more. Not by bpf_skb_pull_data, which would move them:
 * that is a change to the packet's layout.
 * @return 0 on success. */
static __always_inline long load(struct __sk_buff *skb, __u32 off, void *to, const __u32 n)
{
	enum { NEAR_BYTES = 0x3ff }; /* the verifier wants to know that offsets are small */
	void *start = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (off <= NEAR_BYTES) {
		/* Else the compiler forgets the bound, or adds in an order that the verifier
		 * cannot follow. */
		__u64 near = off & NEAR_BYTES;

		asm volatile("%0 += %1" : "+r"(start) : "r"(near));
		if (start + n <= end) {
			/* Words: a plain copy of what may be unaligned goes byte by byte. */
			for (__u32 i = 0; i < n / 4; i++)
				((word *)to)[i] = ((word *)start)[i];
			return 0;
		}
	}
	return bpf_skb_load_bytes(skb, off, to, n);
}

static __always_inline void swap_address(__u64 *x, __u64 *y)
{
	__u64 hi = x[0], lo = x[1];

	x[0] = y[0], x[1] = y[1];
	y[0] = hi, y[1] = lo;
}

/* Puts the lower end first. Any fixed order will do, so addresses are compared as two integers. */
static __always_inline void normalise(struct packet *p)
{
	struct conn_key *k = &p->key;
	__u64 a[2], b[2];

	__builtin_memcpy(a, k->a, 16);
	__builtin_memcpy(b, k->b, 16);
	if (a[0] > b[0] ||
	    (a[0] == b[0] && (a[1] > b[1] || (a[1] == b[1] && k->a_port > k->b_port)))) {
		__be16 port = k->a_port;

		swap_address(a, b);
		__builtin_memcpy(k->a, a, 16);
		__builtin_memcpy(k->b, b, 16);
		k->a_port = k->b_port;
		k->b_port = port;
		p->dir = 1;
	}
	k->parity = p->dir ^ p->ingress;
}

static __always_inline bool parse_ipv4(struct __sk_buff *skb, struct packet *p, struct walk *w)
{
	struct iphdr ip;

	if (load(skb, w->off, &ip, sizeof ip) || ip.version != 4 || ip.ihl < 5)
		return false;
	p->key.a[10] = p->key.a[11] = p->key.b[10] = p->key.b[11] = 0xff;
	__builtin_memcpy(p->key.a + 12, &ip.saddr, 4);
	__builtin_memcpy(p->key.b + 12, &ip.daddr, 4);
	p->key.proto = ip.protocol;
	/* BIG TCP says 0: longer than 16 bits can tell. */
	w->end = ip.tot_len ? w->off + bpf_ntohs(ip.tot_len) : skb->len;
	w->off += ip.ihl * 4;
	w->frag_id = ip.id;
	w->more_fragments = !!(ip.frag_off & bpf_htons(0x2000));
	p->later_fragment = !!(ip.frag_off & bpf_htons(0x1fff));
	return true;
}

static __always_inline bool parse_ipv6(struct __sk_buff *skb, struct packet *p, struct walk *w)
{
	enum { EXTENSIONS = 6 }; /* headers we step over; more is nothing a stack sends */
	struct ipv6hdr ip;

	if (load(skb, w->off, &ip, sizeof ip) || ip.version != 6)
		return false;
	__builtin_memcpy(p->key.a, &ip.saddr, 16);
	__builtin_memcpy(p->key.b, &ip.daddr, 16);
	p->key.proto = ip.nexthdr;
	w->off += sizeof ip;
	/* Jumbograms and BIG TCP say 0. */
	w->end = ip.payload_len ? w->off + bpf_ntohs(ip.payload_len) : skb->len;
	for (int i = 0; i < EXTENSIONS; i++) {
		_Alignas(4) __u8 h[8]; /* every extension header has that much */
		__u8 proto = p->key.proto;

		if (proto != PROTO_V6_HOP && proto != PROTO_V6_ROUTING &&
		    proto != PROTO_V6_FRAGMENT && proto != PROTO_V6_DEST && proto != IPPROTO_AH)
			break;
		if (p->later_fragment || load(skb, w->off, h, sizeof h))
			break;
		p->key.proto = h[0];
		if (proto == PROTO_V6_FRAGMENT) { /* RFC 8200 §4.5 */
			__u16 offset = (__u16)h[2] << 8 | h[3];

			w->off += sizeof h;
			__builtin_memcpy(&w->frag_id, h + 4, 4);
			w->more_fragments = offset & 1;
			p->later_fragment = (offset & ~7) != 0;
		} else if (proto == IPPROTO_AH) {
			w->off += (h[1] + 2) * 4; /* RFC 4302 §2.2 */
		} else {
			w->off += (h[1] + 1) * 8;
		}
	}
	return true;
}

static __always_inline bool parse_tcp(struct __sk_buff *skb, struct packet *p, const struct walk *w)
{
	struct tcphdr tcp;
	__u8 flags;

	if (load(skb, w->off, &tcp, sizeof tcp))
		return false;
	flags = ((__u8 *)&tcp)[13];
	p->key.a_port = tcp.source;
	p->key.b_port = tcp.dest;
	p->note = flags;
	p->answers = (flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
	p->seq = bpf_ntohl(tcp.seq);
	p->ack = bpf_ntohl(tcp.ack_seq);
	p->payload_off = w->off + tcp.doff * 4;
	return true;
}

static __always_inline bool parse_udp(struct __sk_buff *skb, struct packet *p, const struct walk *w)
{
	struct udphdr udp;

	if (load(skb, w->off, &udp, sizeof udp))
		return false;
	p->key.a_port = udp.source;
	p->key.b_port = udp.dest;
	p->payload_off = w->off + sizeof udp;
	return true;
}

/* Echo is a conversation, known by its identifier; everything else says one thing (RFC 792,
 * RFC 4443). */
static __always_inline bool parse_icmp(struct __sk_buff *skb, struct packet *p,
				       const struct walk *w)
{
	bool v6 = p->key.proto == PROTO_ICMPV6;
	__u8 request = v6 ? 128 : 8, reply = v6 ? 129 : 0;
	_Alignas(4) __u8 h[8];

	if (load(skb, w->off, h, sizeof h))
		return false;
	p->note = h[0];
	if (h[0] == request || h[0] == reply) {
		__builtin_memcpy(&p->key.a_port, h + 4, 2);
		p->answers = h[0] == reply;
	} else {
		p->key.a_port = bpf_htons((__u16)h[0] << 8 | h[1]);
		p->key.kind = CONN_ONE_WAY;
	}
	p->key.b_port = p->key.a_port;
	return true;
}

static __always_inline bool parse_transport(struct __sk_buff *skb, struct packet *p,
					    const struct walk *w)
{
	p->key.kind = CONN_TWO_WAY;
	switch (p->key.proto) {
	case IPPROTO_TCP:
		return parse_tcp(skb, p, w);
	case IPPROTO_UDP:
		return parse_udp(skb, p, w);
	case IPPROTO_SCTP: /* RFC 9260 §3: ports first, as UDP; its common header is 12 bytes */
		return !load(skb, w->off, &p->key.a_port, 4);
	case IPPROTO_ICMP:
	case PROTO_ICMPV6:
		return parse_icmp(skb, p, w);
	}
	return false;
}

/* Ports of a fragmented packet: kept from the first fragment, found again by the later ones. */
static __always_inline bool parse_fragment(struct __sk_buff *skb, struct packet *p,
					   const struct walk *w)
{
	struct frag_key fk = { .id = w->frag_id,
			       .ifindex = p->key.ifindex,
			       .proto = p->key.proto,
			       .ingress = p->ingress };
	struct frag f = { 0 };
	const struct frag *known;

	__builtin_memcpy(fk.src, p->key.a, 16);
	__builtin_memcpy(fk.dst, p->key.b, 16);
	p->fragment = 1;
	if (!p->later_fragment) {
		if (!parse_transport(skb, p, w))
			return false;
		f.src_port = p->key.a_port;
		f.dst_port = p->key.b_port;
		f.kind = p->key.kind;
		bpf_map_update_elem(&fragments, &fk, &f, BPF_ANY);
		return true;
	}
	known = bpf_map_lookup_elem(&fragments, &fk);
	if (!known)
		return false;
	p->key.a_port = known->src_port;
	p->key.b_port = known->dst_port;
	p->key.kind = known->kind;
	return true;
}

/* Fills *@p, which is zero but for @ingress. @l3: the interface has no link layer, @skb starts at
 * the network header. */
static __always_inline void parse_packet(struct __sk_buff *skb, bool l3, struct packet *p)
{
	struct walk w = { .off = l3 ? 0 : ETH_HLEN };
	__be16 ethertype = skb->protocol;
	bool ok = false;

	if (skb->vlan_present)
		p->key.vlan_id = skb->vlan_tci & 0xfff;
	for (int i = 0; i < 2 && !l3; i++) { /* in-band tags: one, or two with 802.1ad */
		_Alignas(4) __be16 tag[2];

		if (ethertype != bpf_htons(ETH_P_8021Q) && ethertype != bpf_htons(ETH_P_8021AD))
			break;
		if (load(skb, w.off, tag, sizeof tag))
			break;
		if (!p->key.vlan_id)
			p->key.vlan_id = bpf_ntohs(tag[0]) & 0xfff;
		ethertype = tag[1];
		w.off += sizeof tag;
	}
	p->key.ifindex = skb->ifindex;
	p->key.ethertype = bpf_ntohs(ethertype);
	if (ethertype == bpf_htons(ETH_P_IP))
		ok = parse_ipv4(skb, p, &w);
	else if (ethertype == bpf_htons(ETH_P_IPV6))
		ok = parse_ipv6(skb, p, &w);
	if (ok && (w.more_fragments || p->later_fragment))
		ok = parse_fragment(skb, p, &w);
	else if (ok)
		ok = parse_transport(skb, p, &w);
	if (!ok) {
		p->key.kind = CONN_UNTRACKED;
		p->key.a_port = p->key.b_port = 0;
	}
	if (p->payload_off && w.end > p->payload_off)
		p->payload_bytes = w.end - p->payload_off;
	normalise(p);
}

#endif
