/*
 * kernel - the few kernel structures we read, and nothing of what we do not.
 *
 * libbpf finds the true place of each field in the running kernel's BTF when a program is loaded
 * (CO-RE), so only names and types matter here: order and size do not. Written by hand rather than
 * dumped into a vmlinux.h, so that the build depends on no kernel, and works where none has BTF.
 *
 * Source: include/linux/skbuff.h, netdevice.h, ns_common.h, nsproxy.h, sched.h,
 * include/net/{sock,net_namespace}.h.
 */
#ifndef TYCHO_BPF_KERNEL_H
#define TYCHO_BPF_KERNEL_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum; /* what /proc/<pid>/ns/net shows */
};

struct net {
	struct ns_common ns;
};

struct nsproxy {
	struct net *net_ns;
};

struct task_struct {
	struct task_struct *real_parent; /* the idle task's is itself */
	struct nsproxy *nsproxy;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct net_device {
	char name[16];
	int ifindex;
	possible_net_t nd_net;
};

struct sock_common {
	possible_net_t skc_net;
};

struct sock {
	struct sock_common __sk_common;
};

struct sk_buff {
	/* Shares its place with other uses while a packet waits in a TCP or UDP queue. */
	struct net_device *dev;
	struct sock *sk;
	unsigned int len, data_len;
	__be16 protocol;
	__u16 mac_header, network_header; /* offsets from head */
	__u16 vlan_tci;
	int skb_iif;
	unsigned char *head, *data;
};

/* How "a VLAN tag was offloaded" is said: since 6.2 by a tag that is not zero, before by a bit. */
struct sk_buff___vlan_all {
	__u32 vlan_all;
};
struct sk_buff___vlan_bit {
	__u8 vlan_present : 1;
};

#pragma clang attribute pop

#endif
