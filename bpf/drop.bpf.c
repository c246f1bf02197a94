/*
 * drop - every packet the kernel throws away, with the kernel's reason, from the tracepoint
 * skb:kfree_skb.
 *
 * The tracepoint sees the whole machine, every network namespace; each event says which. Where user
 * space wants only some (`scoped`), the others are left out here, and so is what it names as part
 * of normal operation: before they cost anything. One kfree_skb is one event: a packet that was
 * cloned or cut up by the kernel and dropped in parts is told as these parts.
 *
 * Needs 5.17, where the tracepoint got its reason.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include "event.h"
#include "kernel.h"
#include "quiet.h"
#include "report.h"
#include "scope.h"

char LICENSE[] SEC("license") = "GPL";

/* Which reasons say nothing, as a set of enum quiet by reason; filled from the running kernel's
 * names. */
const volatile __u8 quiet[QUIET_REASONS];
/* The tracepoint has a fourth argument, the receiving socket (6.11). */
const volatile bool has_rx_sk;
/* Only drops in the namespaces of `scope` are wanted; set before the program is attached. */
bool scoped;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2 << 20); /* set before load */
} verdicts SEC(".maps");

/* Inode numbers of network namespaces; kept by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SCOPE_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u8);
} scope SEC(".maps");

enum { UNSET = 0xffff };
/* IANA protocol numbers. MLD comes behind a hop-by-hop header. */
enum { PROTO_IGMP = 2, PROTO_ICMPV6 = 58, PROTO_V6_HOP = 0 };

static __always_inline bool vlan_was_offloaded(struct sk_buff *skb)
{
	struct sk_buff___vlan_all *tag = (void *)skb;
	struct sk_buff___vlan_bit *bit = (void *)skb;

	if (bpf_core_field_exists(tag->vlan_all))
		return tag->vlan_all != 0;
	if (bpf_core_field_exists(bit->vlan_present))
		return BPF_CORE_READ_BITFIELD_PROBED(bit, vlan_present);
	return false;
}

/* ICMP, IGMP, neighbour discovery: what the network says about itself. */
static __always_inline bool is_control(const void *ip, __u16 protocol)
{
	__u8 proto = 0;

	bpf_probe_read_kernel(&proto, 1, ip + (protocol == ETH_P_IP ? 9 : 6));
	return protocol == ETH_P_IP ? proto == IPPROTO_ICMP || proto == PROTO_IGMP
				    : proto == PROTO_ICMPV6 || proto == PROTO_V6_HOP;
}

/* No payload, no SYN or RST: it acknowledges, or is the FIN of who closed last. */
static __always_inline bool is_bare_ack(const void *ip, __u16 protocol)
{
	__u8 h[40], tcp[14];
	__u32 header_bytes, total_bytes;

	if (protocol == ETH_P_IP) {
		if (bpf_probe_read_kernel(h, 20, ip) || h[9] != IPPROTO_TCP)
			return false;
		header_bytes = (h[0] & 15) * 4;
		total_bytes = h[2] << 8 | h[3];
	} else {
		if (bpf_probe_read_kernel(h, 40, ip) || h[6] != IPPROTO_TCP)
			return false;
		header_bytes = 40;
		total_bytes = header_bytes + (h[4] << 8 | h[5]);
	}
	if (bpf_probe_read_kernel(tcp, sizeof tcp, ip + header_bytes))
		return false;
	/* Of SYN, ACK and RST only ACK; data offset in words (RFC 9293 §3.1). */
	return (tcp[13] & 0x16) == 0x10 && header_bytes + (tcp[12] >> 4) * 4 == total_bytes;
}

static __always_inline bool is_quiet(__u8 how, const void *ip, __u16 protocol)
{
	if (protocol != ETH_P_IP && protocol != ETH_P_IPV6)
		return false;
	return (how & QUIET_CONTROL && is_control(ip, protocol)) ||
	       (how & QUIET_ACK && is_bare_ack(ip, protocol));
}

/* Where the packet starts, as an offset from skb->head: at its Ethernet header if it has one.
 * Negative: this is no packet (a message of a unix or netlink socket, a packet not built yet). */
static __always_inline int packet_start(struct sk_buff *skb, const void *head, __u16 protocol,
					bool *ret_l3)
{
	__u16 mac = skb->mac_header, network = skb->network_header;
	__be16 ethertype = 0;
	__u8 version = 0;

	if (!protocol || !network || network == UNSET)
		return -1;
	*ret_l3 = true;
	if (mac != UNSET && mac + ETH_HLEN <= network) {
		/* Left over from a tunnel or not Ethernet at all, unless it names what follows. */
		bpf_probe_read_kernel(&ethertype, sizeof ethertype, head + mac + 12);
		*ret_l3 = !(ethertype == skb->protocol && mac + ETH_HLEN == network) &&
			  ethertype != bpf_htons(ETH_P_8021Q) &&
			  ethertype != bpf_htons(ETH_P_8021AD);
	}
	if (protocol == ETH_P_IP || protocol == ETH_P_IPV6) {
		bpf_probe_read_kernel(&version, 1, head + network);
		if (version >> 4 != (protocol == ETH_P_IP ? 4 : 6))
			return -1;
	} else if (*ret_l3) {
		return -1; /* a protocol that only Ethernet can carry, without it */
	}
	return *ret_l3 ? network : mac;
}

static __always_inline __u8 how_quiet(__u64 reason)
{
	/* Else the compiler checks a copy, which tells the verifier nothing. */
	asm volatile("" : "+r"(reason));
	return reason < QUIET_REASONS ? quiet[reason] : 0;
}

/* Inode number of the namespace the packet was in, 0 unknown. */
static __always_inline __u32 netns_of(struct sk_buff *skb, struct sock *rx_sk)
{
	struct net_device *dev = skb->dev;
	struct sock *sk = skb->sk;

	if (dev)
		return dev->nd_net.net->ns.inum;
	if (rx_sk)
		return rx_sk->__sk_common.skc_net.net->ns.inum;
	if (sk)
		return sk->__sk_common.skc_net.net->ns.inum;
	return 0;
}

static __always_inline void fill_interface(struct bpf_event *ev, struct sk_buff *skb)
{
	struct net_device *dev = skb->dev;

	ev->ifindex = skb->skb_iif;
	if (dev) {
		ev->ifindex = dev->ifindex;
		bpf_probe_read_kernel_str(ev->ifname, sizeof ev->ifname, dev->name);
	}
}

SEC("tp_btf/kfree_skb")
int tycho_drop(__u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	__u32 reason = ctx[2];
	struct sock *rx_sk = has_rx_sk ? (struct sock *)ctx[3] : NULL;
	__u16 protocol = bpf_ntohs(skb->protocol);
	/* Copied, not followed: the verifier lets us reckon with a number, not with a kernel
	 * pointer. */
	const void *head = BPF_CORE_READ(skb, head);
	const void *data = BPF_CORE_READ(skb, data);
	__u8 how = how_quiet(reason);
	bool l3;
	int start;
	__s64 linear_bytes;
	__u32 cap, netns;
	struct bpf_event *ev;

	if (how & QUIET_ALWAYS)
		return 0;
	netns = netns_of(skb, rx_sk);
	if (scoped && !bpf_map_lookup_elem(&scope, &netns))
		return 0;
	start = packet_start(skb, head, protocol, &l3);
	if (start < 0)
		return 0;
	if (is_quiet(how, head + skb->network_header, protocol))
		return 0;
	ev = bpf_ringbuf_reserve(&verdicts, sizeof *ev + BPF_EVENT_CAP_BYTES, 0);
	if (!ev) {
		count_lost();
		return 0;
	}
	*ev = (struct bpf_event){
		.mono_ns = bpf_ktime_get_ns(),
		.packets = 1,
		.netns = netns,
		.drop_reason = reason,
		.protocol = protocol,
		.kind = BPF_EVENT_DROP,
		.flags = l3 ? BPF_EVENT_L3 : 0,
		.cpu = bpf_get_smp_processor_id(),
	};
	/* skb->data may stand before or after where the packet starts: layers below have been
	 * pulled, or pushed. */
	linear_bytes = data - head - start;
	ev->packet_bytes = linear_bytes + skb->len;
	ev->bytes = ev->packet_bytes;
	linear_bytes += (__s64)skb->len - skb->data_len;
	if (linear_bytes > 0) {
		cap = linear_bytes < BPF_EVENT_CAP_BYTES ? linear_bytes : BPF_EVENT_CAP_BYTES;
		if (!bpf_probe_read_kernel(ev + 1, cap, head + start))
			ev->cap_bytes = cap;
	}
	if (vlan_was_offloaded(skb)) {
		ev->vlan = 1;
		ev->vlan_id = skb->vlan_tci & 0xfff;
	}
	fill_interface(ev, skb);
	bpf_ringbuf_submit(ev, wakeup_flags(&verdicts));
	return 0;
}

/* Run by user space once: the inode number of the machine's first network namespace, to be told
 * from the observer's own. Up the line of parents to the idle task, whose it is; by /proc that
 * would not be seen from inside a container. */
SEC("syscall")
int tycho_first_netns(void *ctx)
{
	enum { GENERATIONS = 1000 };
	struct task_struct *task = (void *)bpf_get_current_task();

	for (int i = 0; i < GENERATIONS; i++) {
		struct task_struct *parent = BPF_CORE_READ(task, real_parent);

		if (parent == task)
			break;
		task = parent;
	}
	return BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
}
