/*
 * trace - who talks to whom, from tcx or clsact, both ways, of the chosen interfaces.
 *
 * A packet is parsed, counted with its connection, and reported only when that says something new
 * (enum bpf_event_cause). It is never changed, and the verdict is always TC_ACT_UNSPEC (TCX_NEXT is
 * the same): "not mine, ask the next one".
 *
 * Counts are gathered in the table and taken by whichever report comes next. A report that finds
 * the ring full is counted as lost, but its counts stay for the next one; what a connection that
 * fell silent has left is reported by tycho_sweep, which user space runs. So the bytes of all
 * reports add up to the bytes seen, with one exception: a connection pushed out of a table that is
 * too small takes its unreported counts along. The kernel does not say when that happens; user
 * space reckons how often from what came in (`begun`), what was taken out, and what is there.
 *
 * Program names start with "tycho_": by that an observer knows the filters that a killed one left
 * behind on clsact.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "event.h"
#include "parse.h"
#include "point.h"
#include "report.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u64 interval_ns = 5000000000;
const volatile __u32 netns; /* inode number of the network namespace we are attached in */

/* The sweep's: kept by user space, which also reads how many it has forgotten. */
__u64 sweep_silent_ns; /* report what was not reported for that long; 0: all */
__u64 swept;           /* connections taken out of the table, since start */

/* After that much silence a connection is forgotten, and its next packet starts anew; so the sweep
 * has only those to walk over that live. Cilium's figures for the same (its --bpf-ct-timeout-…
 * options); TCP says itself when it ends and begins. */
static const __u64 NS_PER_S = 1000000000;
enum { IDLE_S = 60, TCP_IDLE_S = 6 * 3600, TCP_CLOSED_S = 10 };

/* All that an ordinary packet reads and writes. */
struct conn_dir {
	__u64 packets, bytes; /* not reported yet */
	__u64 report_ns;      /* last report; 0: none */
	__u64 last_ns;        /* last packet */
	__u32 seen;           /* TCP flags seen, of SYN, FIN and RST */
	__u8 note;            /* of the last packet */
	__u8 fins[2];         /* TCP: FIN was seen, by direction; the same in both conn_dir */
	__u8 zero;
};

/* Two CPUs carry the two directions of a busy connection. A line of the cache that one writes and
 * the other uses costs both more than all the rest of this program, so they lie apart. (How an
 * element lies to the lines is not ours to say: it is 88 bytes from one direction to the other.) */
struct conn {
	struct conn_dir a_to_b;
	__u32 isn;     /* TCP: number of the SYN that began it */
	__u32 fin_end; /* TCP: number that acknowledges the last FIN */
	__u32 closed;
	__u8 original; /* index of the direction that began */
	__u8 fin_dir;  /* index of the direction that sent the last FIN */
	__u8 zero[2];
	__u64 apart[4];
	struct conn_dir b_to_a;
};

/* @dir 0: a to b. */
static __always_inline struct conn_dir *dir_of(struct conn *c, __u8 dir)
{
	return dir ? &c->b_to_a : &c->a_to_b;
}

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144); /* set before load */
	__type(key, struct conn_key);
	__type(value, struct conn);
} connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20); /* set before load */
} traces SEC(".maps");

/* Connections put into the table, per CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} begun SEC(".maps");

static __always_inline void count_begun(void)
{
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&begun, &zero);

	if (n)
		__sync_fetch_and_add(n, 1); /* a softirq may come in between */
}

/* Kept by user space: what the events say about the interface. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, POINTS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct point);
} points SEC(".maps");

/* What is the same for packets and made ones; takes the counts of @d. */
static __always_inline void fill_event(struct bpf_event *ev, const struct conn_key *k,
				       const struct conn *c, struct conn_dir *d, __u8 dir,
				       __u8 cause)
{
	__u32 ifindex = k->ifindex;
	const struct point *point = bpf_map_lookup_elem(&points, &ifindex);

	*ev = (struct bpf_event){
		.mono_ns = bpf_ktime_get_ns(),
		.packets = __sync_lock_test_and_set(&d->packets, 0),
		.bytes = __sync_lock_test_and_set(&d->bytes, 0),
		.ifindex = ifindex,
		.netns = netns,
		.kind = BPF_EVENT_TRACE,
		.cause = cause,
		.cpu = bpf_get_smp_processor_id(),
	};
	if (k->parity ^ dir)
		ev->flags |= BPF_EVENT_INGRESS;
	if (k->kind == CONN_TWO_WAY) {
		ev->flags |= BPF_EVENT_REPLY_KNOWN;
		if (dir != c->original)
			ev->flags |= BPF_EVENT_REPLY;
	}
	if (point) {
		__builtin_memcpy(ev->ifname, point->name, sizeof ev->ifname);
		if (point->peer_netns)
			ev->flags |= BPF_EVENT_PEER_NETNS;
	}
}

/* Reports @skb with up to @cap bytes of it. Inlined once per size: it has to be a constant. */
static __always_inline void report_packet(struct __sk_buff *skb, const struct packet *p,
					  const struct conn *c, struct conn_dir *d, __u8 cause,
					  bool l3, const __u32 cap)
{
	struct bpf_event *ev = bpf_ringbuf_reserve(&traces, sizeof *ev + cap, 0);
	__u32 len = skb->len;

	if (!ev) {
		count_lost();
		return;
	}
	fill_event(ev, &p->key, c, d, p->dir, cause);
	if (l3)
		ev->flags |= BPF_EVENT_L3;
	ev->packet_bytes = len;
	ev->protocol = bpf_ntohs(skb->protocol);
	if (skb->vlan_present) {
		ev->vlan = 1;
		ev->vlan_id = p->key.vlan_id;
	}
	if (len > cap)
		len = cap;
	if (len && !bpf_skb_load_bytes(skb, 0, ev + 1, len))
		ev->cap_bytes = len;
	bpf_ringbuf_submit(ev, wakeup_flags(&traces));
}

/* Room for the headers below. */
struct made_packet {
	union {
		struct iphdr v4;
		struct ipv6hdr v6;
	} ip;
	__u8 l4[20];
};

/* Reports the connection itself, where there is no packet that would tell its ports: the headers
 * are made from the key, and no link layer. False if the ring is full, which the caller counts if
 * it will not come back. */
static __noinline bool report_made(const struct conn_key *k, struct conn *c, __u8 dir, __u8 cause,
				   __u32 packet_bytes)
{
	struct conn_dir *d;
	struct bpf_event *ev;
	__u8 *l4;
	__u16 l4_bytes;
	__be16 ports[2];

	if (!k || !c || dir > 1)
		return true;
	d = dir_of(c, dir);
	ev = bpf_ringbuf_reserve(&traces, sizeof *ev + sizeof(struct made_packet), 0);
	if (!ev)
		return false;
	fill_event(ev, k, c, d, dir, cause);
	ev->flags |= BPF_EVENT_L3;
	ev->packet_bytes = packet_bytes;
	ev->protocol = k->ethertype;
	if (k->vlan_id) {
		ev->vlan = 1;
		ev->vlan_id = k->vlan_id;
	}
	if (k->proto == IPPROTO_TCP)
		l4_bytes = 20;
	else if (k->proto == IPPROTO_SCTP)
		l4_bytes = 12;
	else
		l4_bytes = k->kind == CONN_UNTRACKED ? 0 : 8;
	if (k->ethertype == ETH_P_IP) {
		struct iphdr *ip = (struct iphdr *)(ev + 1);

		*ip = (struct iphdr){ .version = 4, .ihl = 5, .protocol = k->proto };
		ip->tot_len = bpf_htons(sizeof *ip + l4_bytes);
		__builtin_memcpy(&ip->saddr, dir ? k->b + 12 : k->a + 12, 4);
		__builtin_memcpy(&ip->daddr, dir ? k->a + 12 : k->b + 12, 4);
		l4 = (__u8 *)(ip + 1);
		ev->cap_bytes = sizeof *ip + l4_bytes;
	} else if (k->ethertype == ETH_P_IPV6) {
		struct ipv6hdr *ip = (struct ipv6hdr *)(ev + 1);

		*ip = (struct ipv6hdr){ .version = 6, .nexthdr = k->proto };
		ip->payload_len = bpf_htons(l4_bytes);
		__builtin_memcpy(&ip->saddr, dir ? k->b : k->a, 16);
		__builtin_memcpy(&ip->daddr, dir ? k->a : k->b, 16);
		l4 = (__u8 *)(ip + 1);
		ev->cap_bytes = sizeof *ip + l4_bytes;
	} else {
		bpf_ringbuf_submit(ev, wakeup_flags(&traces));
		return true;
	}
	__builtin_memset(l4, 0, 20);
	ports[0] = dir ? k->b_port : k->a_port;
	ports[1] = dir ? k->a_port : k->b_port;
	if (k->proto == IPPROTO_ICMP || k->proto == PROTO_ICMPV6) {
		if (k->kind == CONN_ONE_WAY) {
			__builtin_memcpy(l4, ports, 2); /* type and code */
		} else {
			l4[0] = d->note;
			__builtin_memcpy(l4 + 4, ports, 2);
		}
	} else {
		__builtin_memcpy(l4, ports, 4);
		if (k->proto == IPPROTO_TCP) {
			l4[12] = 5 << 4; /* data offset */
			l4[13] = d->note;
		} else if (k->proto == IPPROTO_UDP) {
			l4[5] = 8; /* length */
		}
	}
	bpf_ringbuf_submit(ev, wakeup_flags(&traces));
	return true;
}

/* Starts @c with @p. Unreported counts stay: same ends, same direction. */
static __always_inline void conn_begin(struct conn *c, const struct packet *p)
{
	c->original = p->dir ^ p->answers;
	c->isn = p->seq;
	c->closed = 0;
	for (__u8 dir = 0; dir < 2; dir++) {
		struct conn_dir *d = dir_of(c, dir);

		d->report_ns = 0;
		d->seen = 0;
		d->fins[0] = d->fins[1] = 0;
	}
}

static __always_inline bool is_silent(const struct conn_dir *d, __u64 now_ns, __u32 for_s)
{
	return now_ns > d->last_ns && now_ns - d->last_ns > for_s * NS_PER_S;
}

/* True if nothing was heard of it for so long that it is over. Looks at direction @dir first. */
static __always_inline bool conn_is_over(const struct conn_key *k, struct conn *c, __u8 dir,
					 __u64 now_ns)
{
	__u32 for_s = IDLE_S;

	if (k->proto == IPPROTO_TCP && k->kind == CONN_TWO_WAY)
		for_s = c->closed ? TCP_CLOSED_S : TCP_IDLE_S;
	return is_silent(dir_of(c, dir), now_ns, for_s) &&
	       is_silent(dir_of(c, !dir), now_ns, for_s);
}

static __always_inline bool begins_anew(struct conn *c, const struct packet *p, __u64 now_ns)
{
	if (p->key.proto == IPPROTO_TCP)
		return !p->later_fragment && (p->note & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
		       p->seq != c->isn;
	return p->key.kind == CONN_TWO_WAY && conn_is_over(&p->key, c, p->dir, now_ns);
}

/* True for one packet of the connection: an RST, or the one that acknowledges the last of both
 * FINs. */
static __always_inline bool conn_closes(struct conn *c, const struct conn_dir *d,
					const struct packet *p)
{
	bool closes = p->note & TCP_RST;

	if (p->note & TCP_FIN) {
		/* RFC 9293 §3.4: SYN and FIN take a number each. */
		c->fin_end = p->seq + p->payload_bytes + 1 + !!(p->note & TCP_SYN);
		c->fin_dir = p->dir;
		c->a_to_b.fins[p->dir & 1] = c->b_to_a.fins[p->dir & 1] = 1;
	} else if (p->note & TCP_ACK) {
		closes |= d->fins[0] && d->fins[1] && c->fin_dir != p->dir &&
			  (__s32)(p->ack - c->fin_end) >= 0;
	}
	return closes && !__sync_fetch_and_or(&c->closed, 1);
}

/* @return enum bpf_event_cause, 0 for nothing to say. */
static __always_inline __u8 cause_of(struct conn *c, const struct packet *p, bool is_new,
				     __u64 now_ns)
{
	struct conn_dir *d = dir_of(c, p->dir);
	__u64 report_ns = d->report_ns;
	__u8 cause = is_new ? BPF_CAUSE_NEW : 0;

	if (p->key.proto == IPPROTO_TCP && p->key.kind == CONN_TWO_WAY) {
		__u32 flags = p->note & (TCP_SYN | TCP_FIN | TCP_RST);

		if ((flags & ~d->seen) && (flags & ~__sync_fetch_and_or(&d->seen, flags)) && !cause)
			cause = BPF_CAUSE_FLAGS;
		if (conn_closes(c, d, p))
			cause = BPF_CAUSE_CLOSE;
	}
	if (p->payload_bytes && !p->fragment &&
	    (p->key.a_port == bpf_htons(PORT_DNS) || p->key.b_port == bpf_htons(PORT_DNS)))
		cause = BPF_CAUSE_DNS;
	if (cause) {
		d->report_ns = now_ns;
	} else if (!report_ns || (now_ns > report_ns && now_ns - report_ns >= interval_ns)) {
		/* Also the first packet of the other direction. One CPU wins. */
		if (__sync_val_compare_and_swap(&d->report_ns, report_ns, now_ns) == report_ns)
			cause = BPF_CAUSE_INTERVAL;
	}
	if (cause && p->key.kind == CONN_UNTRACKED)
		cause = BPF_CAUSE_UNTRACKED;
	return cause;
}

/* Counts @p and reports it if that is due. */
static __always_inline void observe(struct __sk_buff *skb, bool ingress, bool l3)
{
	/* Enough for most: Ethernet 14, IPv6 40, TCP with timestamps 32. */
	enum { HEADERS_BYTES = 96 };
	struct packet p = { .ingress = ingress };
	/* Good to a tick, which is enough for intervals, at a tenth of the cost. */
	__u64 now_ns = bpf_ktime_get_coarse_ns();
	bool is_new = false;
	struct conn_dir *d;
	struct conn *c;
	__u8 cause;

	parse_packet(skb, l3, &p);
	c = bpf_map_lookup_elem(&connections, &p.key);
	if (!c) {
		struct conn fresh = { 0 };

		conn_begin(&fresh, &p);
		dir_of(&fresh, p.dir)->last_ns = now_ns;
		/* Of two CPUs that come at once, one begins it. */
		is_new = !bpf_map_update_elem(&connections, &p.key, &fresh, BPF_NOEXIST);
		if (is_new)
			count_begun();
		c = bpf_map_lookup_elem(&connections, &p.key);
		if (!c) { /* no room even after forgetting: nothing to count it in */
			count_lost();
			return;
		}
	} else if (begins_anew(c, &p, now_ns)) {
		conn_begin(c, &p);
		is_new = true;
	}
	d = dir_of(c, p.dir);
	d->last_ns = now_ns;
	d->note = p.note;
	__sync_fetch_and_add(&d->packets, 1);
	__sync_fetch_and_add(&d->bytes, skb->len);
	if (p.later_fragment && p.key.kind != CONN_UNTRACKED)
		return; /* its first fragment speaks for it */
	cause = cause_of(c, &p, is_new, now_ns);
	if (!cause)
		return;
	if (p.fragment && p.key.kind != CONN_UNTRACKED) {
		/* Decoders do not look into fragments: made headers tell the ports. */
		if (!report_made(&p.key, c, p.dir, cause, skb->len))
			count_lost();
	} else if (cause == BPF_CAUSE_DNS) {
		report_packet(skb, &p, c, d, cause, l3, BPF_EVENT_DNS_CAP_BYTES);
	} else if (p.payload_off && p.payload_off <= HEADERS_BYTES) {
		report_packet(skb, &p, c, d, cause, l3, HEADERS_BYTES);
	} else {
		report_packet(skb, &p, c, d, cause, l3, BPF_EVENT_CAP_BYTES);
	}
}

SEC("tc")
int tycho_in(struct __sk_buff *skb)
{
	observe(skb, true, false);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int tycho_out(struct __sk_buff *skb)
{
	observe(skb, false, false);
	return TC_ACT_UNSPEC;
}

/* The same for interfaces without a link layer: tun, WireGuard, IP tunnels. */
SEC("tc")
int tycho_in_l3(struct __sk_buff *skb)
{
	observe(skb, true, true);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int tycho_out_l3(struct __sk_buff *skb)
{
	observe(skb, false, true);
	return TC_ACT_UNSPEC;
}

/* What a BPF iterator over a map is called with, once per element (kernel/bpf/map_iter.c). */
struct seq_file;
struct bpf_iter_meta {
	struct seq_file *seq;
};
struct bpf_map;
struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key, *value; /* NULL: the end */
};

static __always_inline bool is_due(const struct conn_dir *d, __u64 now_ns)
{
	return d->packets && now_ns >= d->report_ns && now_ns - d->report_ns >= sweep_silent_ns;
}

/* False if the ring is full. */
static __always_inline bool sweep_dir(const struct conn_key *k, struct conn *c, __u8 dir,
				      __u64 now_ns)
{
	struct conn_dir *d = dir_of(c, dir);
	__u64 report_ns = d->report_ns;
	__u8 cause = k->kind == CONN_UNTRACKED ? BPF_CAUSE_UNTRACKED : BPF_CAUSE_INTERVAL;

	if (!is_due(d, now_ns) ||
	    __sync_val_compare_and_swap(&d->report_ns, report_ns, now_ns) != report_ns)
		return true; /* or a packet came and reports */
	if (report_made(k, c, dir, cause, 0))
		return true;
	d->report_ns = report_ns;
	return false;
}

/* The sweep: user space reads an iterator over `connections`, a byte for each, so the size of its
 * reads says how many are looked at before it has the thread back. A full ring ends a read with
 * EAGAIN, and the next goes on with the same connection. */
SEC("iter/bpf_map_elem")
int tycho_sweep(struct bpf_iter__bpf_map_elem *ctx)
{
	struct conn *seen = ctx->value;
	const struct conn_key *at = ctx->key;
	__u64 now_ns = bpf_ktime_get_ns();
	struct conn_key k;
	struct conn *c;

	if (!seen || !at)
		return 0;
	bpf_seq_write(ctx->meta->seq, "", 1);
	if (!is_due(&seen->a_to_b, now_ns) && !is_due(&seen->b_to_a, now_ns) &&
	    !conn_is_over(at, seen, 0, now_ns))
		return 0;
	/* Only what needs it is looked up: that makes an entry count as used. */
	__builtin_memcpy(&k, at, sizeof k);
	c = bpf_map_lookup_elem(&connections, &k);
	if (!c)
		return 0;
	if (!sweep_dir(&k, c, 0, now_ns) || !sweep_dir(&k, c, 1, now_ns))
		return 1;
	/* A packet that comes in this very moment, after all that silence, is counted in what is
	 * being forgotten. */
	if (!c->a_to_b.packets && !c->b_to_a.packets && conn_is_over(&k, c, 0, now_ns) &&
	    !bpf_map_delete_elem(&connections, &k))
		swept++;
	return 0;
}
