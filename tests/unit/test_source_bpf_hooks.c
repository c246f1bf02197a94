/* The bpf source on the machine: drops, interfaces, and the hooks it takes and gives back. */
#include "source_bpf_place.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* In one namespace of the place. */
static size_t drops_in(const struct watch *w, uint32_t netns, uint16_t port,
		       const struct seen **ret_last)
{
	size_t n = 0;

	for (size_t i = 0; i < w->count; i++) {
		const struct seen *s = &w->seen[i];

		if (s->kind == RAW_DROP && s->netns == netns && (!port || has_port(s, port))) {
			n++;
			*ret_last = s;
		}
	}
	return n;
}

static void send_from_pod(const char *ip, uint16_t port, int ttl)
{
	int fd = socket_in(place.pod_ns, SOCK_DGRAM, pod_ip, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, ip, &to.sin_addr), 1);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl), 0);
	assert_int_equal(sendto(fd, "12345678", 8, 0, (struct sockaddr *)&to, sizeof to), 8);
	(void)close(fd);
}

static void a_dropped_packet_is_told_with_the_kernels_reason(void **state)
{
	static const struct {
		const char *to;
		uint16_t port;
		int ttl;
		const char *reason;
	} cases[] = {
		{ "10.78.0.9", 7001, 64, "NETFILTER_DROP" }, /* the rule below */
		{ "10.78.0.9", 7002, 1, "IP_INHDR" },        /* may not be forwarded any further */
		{ "10.77.0.1", 7003, 64, "NO_SOCKET" },
	};
	struct watch *w;
	const struct seen *s = NULL;

	(void)state;
	MUST_RUN("nft 'add table ip t; add chain ip t f { type filter hook forward priority 0; }; "
		 "add rule ip t f udp dport 7001 drop'");
	w = watch_with(&only_drops);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		send_from_pod(cases[i].to, cases[i].port, cases[i].ttl);
	drain(w);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(drops_in(w, place.node_inode, cases[i].port, &s), 1);
		assert_string_equal(s->reason, cases[i].reason);
		assert_int_equal(s->proto, IPPROTO_UDP);
		assert_int_equal(s->dst_port, cases[i].port);
		assert_false(s->l3);
		assert_int_equal(s->packet_bytes, 14 + 20 + 8 + 8);
		assert_int_equal(s->captured, s->packet_bytes);
		assert_int_equal(s->packets, 1);
		assert_int_equal(s->bytes, s->packet_bytes);
		assert_string_equal(s->ifname, "v0");
		assert_int_equal(s->ifindex, if_nametoindex("v0"));
	}
	assert_int_equal(drops_in(w, place.node_inode, 0, &s), ARRAY_LEN(cases));
	unwatch(w);
	MUST_RUN("nft delete table ip t");
}

static void a_packet_dropped_on_its_way_out_starts_at_its_ip_header(void **state)
{
	int fd = socket_in(place.node_ns, SOCK_DGRAM, node_ip, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(7004) };
	const struct seen *s = NULL;
	struct watch *w;

	(void)state;
	MUST_RUN("nft 'add table ip t; add chain ip t o { type filter hook output priority 0; }; "
		 "add rule ip t o udp dport 7004 drop'");
	w = watch_with(&only_drops);
	assert_int_equal(inet_pton(AF_INET, pod_ip, &to.sin_addr), 1);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), -1);
	assert_int_equal(errno, EPERM);
	drain(w);
	assert_int_equal(drops_in(w, place.node_inode, 7004, &s), 1);
	assert_string_equal(s->reason, "NETFILTER_DROP");
	assert_true(s->l3);
	assert_int_equal(s->ethertype, ETH_P_IP);
	assert_int_equal(s->packet_bytes, 29);
	unwatch(w);
	(void)close(fd);
	MUST_RUN("nft delete table ip t");
}

/* As ping does it for root: the kernel gives the socket a copy of the answer and frees the packet
 * for want of a socket. */
static void echo_by_raw_socket(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	uint8_t echo[8] = { 8, 0, 0xf7, 0xfe, 0, 1 },
		answer[64]; /* identifier 1, and the checksum of that */
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, pod_ip, &to.sin_addr), 1);
	assert_int_equal(sendto(fd, echo, sizeof echo, 0, (struct sockaddr *)&to, sizeof to),
			 sizeof echo);
	assert_int_equal(recv(fd, answer, sizeof answer, 0), 28);
	(void)close(fd);
}

/* The node closes first; then, when that is there, the pod. */
static void close_one_after_the_other(void)
{
	int listener = socket_in(place.pod_ns, SOCK_STREAM, pod_ip, 0), client, server;
	int tries = 0;
	char c;

	assert_int_equal(listen(listener, 1), 0);
	client = socket_in(place.node_ns, SOCK_STREAM, node_ip, 0);
	assert_int_equal(connect_to(client, listener), 0);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	(void)close(client);
	assert_int_equal(read(server, &c, 1), 0);
	/* its FIN is acknowledged: what comes now comes to no socket any more */
	while (run("ss -Htn state fin-wait-2 dport = :%u | grep -q .", port_of(listener)) != 0)
		assert_true(++tries < 1000);
	(void)close(server);
	(void)close(listener);
}

static void normal_operation_drops_nothing(void **state)
{
	struct watch *w = watch_with(&only_drops);
	const struct seen *s = NULL;
	int fds[2], netlink;

	(void)state;
	(void)talk_tcp(node_ip, pod_ip, 100000, 100000);
	close_one_after_the_other();
	echo_by_raw_socket();
	/* messages of unix and netlink sockets that nobody read are no packets */
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(send(fds[0], "unread", 6, 0), 6);
	(void)close(fds[0]);
	(void)close(fds[1]);
	netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	(void)close(netlink);
	MUST_RUN("ip link show > /dev/null");
	drain(w);
	for (size_t i = 0; i < w->count; i++)
		if (w->seen[i].netns == place.node_inode || w->seen[i].netns == place.pod_inode)
			print_message("drop: %s proto %d %d -> %d\n", w->seen[i].reason,
				      w->seen[i].proto, w->seen[i].src_port, w->seen[i].dst_port);
	assert_int_equal(drops_in(w, place.node_inode, 0, &s), 0);
	assert_int_equal(drops_in(w, place.pod_inode, 0, &s), 0);
	unwatch(w);
}

/* --- whose drops
 * ---------------------------------------------------------------------------------------------------------
 */

/* Nobody listens there. */
static void drop_in(int ns, uint16_t port)
{
	int fd = socket_in(ns, SOCK_DGRAM, "127.0.0.1", 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
	(void)close(fd);
}

/* Drops in namespaces other than the two of the place, by port. */
static size_t drops_at(const struct watch *w, uint16_t port)
{
	size_t n = 0;

	for (size_t i = 0; i < w->count; i++)
		n += w->seen[i].kind == RAW_DROP && has_port(&w->seen[i], port);
	return n;
}

enum { PORT_OTHER = 7901, PORT_NODE, PORT_POD };

static struct other {
	int ns;
	pid_t pid;
} other;

static int make_other(void **state)
{
	(void)state;
	other.pid = start_namespace(&other.ns);
	return run(IN_POD "ip link set lo up", other.pid);
}

static int end_other(void **state)
{
	int status = stop_watching(state);

	(void)run("ip link del o0 2> /dev/null");
	(void)kill(other.pid, SIGKILL);
	(void)waitpid(other.pid, NULL, 0);
	(void)close(other.ns);
	return status;
}

static void drop_everywhere(void)
{
	drop_in(other.ns, PORT_OTHER);
	drop_in(place.node_ns, PORT_NODE);
	drop_in(place.pod_ns, PORT_POD);
}

static void drops_of_the_node_and_its_pods_are_told_and_no_others(void **state)
{
	struct watch *w = watch_with(&only_drops);

	(void)state;
	drop_everywhere();
	drain(w);
	assert_int_equal(drops_at(w, PORT_OTHER), 0);
	assert_int_equal(drops_at(w, PORT_NODE), 1);
	assert_int_equal(drops_at(w, PORT_POD), 1);
	unwatch(w);
}

static void drops_of_the_whole_machine_are_told_if_asked_for(void **state)
{
	struct source_bpf_config config = only_drops;
	struct watch *w;

	(void)state;
	config.drop_scope = BPF_SCOPE_MACHINE;
	w = watch_with(&config);
	drop_everywhere();
	drain(w);
	assert_int_equal(drops_at(w, PORT_OTHER), 1);
	assert_int_equal(drops_at(w, PORT_NODE), 1);
	assert_int_equal(drops_at(w, PORT_POD), 1);
	unwatch(w);
}

static void in_the_first_namespace_all_of_the_machine_is_the_node(void **state)
{
	struct watch *w;
	size_t told;

	(void)state;
	enter(place.start_ns);
	/* The kernel has this one only in the first (net/core/sysctl_net_core.c). Where tests run
	 * in a container, they do not start there, and nothing of ours is in sight. */
	told = access("/proc/sys/net/core/netdev_max_backlog", F_OK) == 0;
	w = watch_with(&only_drops);
	enter(place.node_ns);
	drop_everywhere();
	drain(w);
	assert_int_equal(drops_at(w, PORT_OTHER), told);
	assert_int_equal(drops_at(w, PORT_NODE), told);
	assert_int_equal(drops_at(w, PORT_POD), told);
	unwatch(w);
}

static size_t wanted_drops;

/* Drops there once more, until as many of the last one are told as wanted. */
static bool other_is_as_wanted(const struct watch *w)
{
	struct watch *again = (struct watch *)(uintptr_t)w;

	again->count = 0;
	drop_in(other.ns, PORT_OTHER);
	drain(again);
	return drops_at(w, PORT_OTHER) == wanted_drops;
}

#define OTHER_IS_TOLD(w, n)                                                                        \
	do {                                                                                       \
		wanted_drops = (n);                                                                \
		assert_true(wait_until((w), other_is_as_wanted));                                  \
	} while (0)

static void a_pod_is_in_scope_while_its_interface_leads_there(void **state)
{
	struct watch *w = watch_with(&only_drops);

	(void)state;
	MUST_RUN("ip link add o0 type veth peer name o1 && ip link set o1 netns %d", other.pid);
	OTHER_IS_TOLD(w, 1);
	MUST_RUN("ip link del o0");
	OTHER_IS_TOLD(w, 0);
	drop_in(place.pod_ns, PORT_POD);
	drain(w);
	assert_int_equal(drops_at(w, PORT_POD), 1);
	unwatch(w);
}

static void what_lies_behind_a_route_out_is_not_the_node(void **state)
{
	struct watch *w = watch_with(&only_drops);

	(void)state;
	MUST_RUN("ip link add o0 type veth peer name o1 && ip link set o1 netns %d && "
		 "ip addr add 10.79.0.1/24 dev o0 && ip link set o0 up",
		 other.pid);
	MUST_RUN(IN_POD "ip link set o1 up", other.pid);
	OTHER_IS_TOLD(w, 1);
	MUST_RUN("ip route add default via 10.79.0.2 dev o0");
	OTHER_IS_TOLD(w, 0);
	MUST_RUN("ip route del default");
	OTHER_IS_TOLD(w, 1);
	MUST_RUN("ip route add 10.80.0.0/16 via 10.79.0.2 dev o0"); /* another node's pods */
	OTHER_IS_TOLD(w, 0);
	unwatch(w);
}

/* --- interfaces
 * ----------------------------------------------------------------------------------------------------------
 */

/* enum bpf_attach_type of linux/bpf.h, since 6.6 */
enum { TCX_INGRESS = 46, TCX_EGRESS = 47 };

static unsigned programs_on(const char *interface, int point)
{
	uint32_t ids[8], n = ARRAY_LEN(ids);

	assert_int_equal(bpf_prog_query((int)if_nametoindex(interface), (enum bpf_attach_type)point,
					0, NULL, ids, &n),
			 0);
	return n;
}

static unsigned wanted_interfaces;

static bool as_many_interfaces(const struct watch *w)
{
	return source_bpf_stats(w->source).interfaces == wanted_interfaces;
}

#define HAS_INTERFACES(w, n)                                                                       \
	do {                                                                                       \
		wanted_interfaces = (n);                                                           \
		assert_true(wait_until((w), as_many_interfaces));                                  \
	} while (0)

static void interfaces_are_followed_as_they_come_and_go(void **state)
{
	struct source_bpf_config config = traces_of_v0;
	struct watch *w;

	(void)state;
	config.interfaces = (const char *const[]){ "new*", "!new2" };
	config.interface_count = 2;
	w = watch_with(&config);
	HAS_INTERFACES(w, 0);
	MUST_RUN("ip link add new1 type veth peer name far1");
	HAS_INTERFACES(w, 1);
	MUST_RUN("ip link add new2 type veth peer name new3");
	HAS_INTERFACES(w, 2);
	MUST_RUN("ip link set new1 name old1"); /* no longer chosen */
	HAS_INTERFACES(w, 1);
	assert_int_equal(programs_on("old1", TCX_INGRESS), 0);
	MUST_RUN("ip link set old1 name new1");
	HAS_INTERFACES(w, 2);
	MUST_RUN("ip link del new1");
	HAS_INTERFACES(w, 1);
	unwatch(w);
	assert_int_equal(programs_on("new2", TCX_INGRESS) + programs_on("new2", TCX_EGRESS), 0);
	MUST_RUN("ip link del new2");
}

static void by_default_pods_and_ways_out_are_watched(void **state)
{
	struct source_bpf_config config = { .traces = true };
	struct watch *w;

	(void)state;
	w = watch_with(&config);
	HAS_INTERFACES(w, 1); /* v0: its peer is in the pod */
	assert_int_equal(programs_on("v0", TCX_INGRESS), 1);
	MUST_RUN("ip link set dead1 up && ip route add default via 10.78.0.2 dev dead0");
	HAS_INTERFACES(w, 2);
	assert_int_equal(programs_on("dead0", TCX_EGRESS), 1);
	MUST_RUN("ip route del default");
	HAS_INTERFACES(w, 1);
	MUST_RUN("ip link add pod2 type veth peer name pod2p"); /* as a CNI plugin does it */
	MUST_RUN("ip link set pod2p netns %d", place.pod_pid);
	HAS_INTERFACES(w, 2);
	unwatch(w);
	MUST_RUN("ip link del pod2");
}

static void an_interface_without_ethernet_is_read_from_its_ip_header(void **state)
{
	struct source_bpf_config config = traces_of_v0;
	struct ifreq tun = { .ifr_name = "tun7", .ifr_flags = IFF_TUN | IFF_NO_PI };
	int far = open("/dev/net/tun", O_RDWR | O_CLOEXEC),
	    fd = socket_in(place.node_ns, SOCK_DGRAM, "0.0.0.0", 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(7005) };
	uint8_t back[36] = { 0x45, 0,  0,  36, 0, 0,  0,  0, 64, IPPROTO_UDP, 0,
			     0,    10, 79, 0,  2, 10, 79, 0, 1,  7005 >> 8,   7005 & 255 };
	struct watch *w;

	(void)state;
	assert_true(far >= 0);
	assert_int_equal(ioctl(far, TUNSETIFF, &tun), 0);
	MUST_RUN("ip addr add 10.79.0.1/24 dev tun7 && ip link set tun7 up");
	config.interfaces = (const char *const[]){ "tun7" };
	w = watch_with(&config);
	assert_int_equal(inet_pton(AF_INET, "10.79.0.2", &to.sin_addr), 1);
	assert_int_equal(sendto(fd, "12345678", 8, 0, (struct sockaddr *)&to, sizeof to), 8);
	back[22] = (uint8_t)(port_of(fd) >> 8);
	back[23] = (uint8_t)port_of(fd);
	assert_int_equal(write(far, back, sizeof back), sizeof back);
	drain(w);
	assert_int_equal(w->count, 2);
	IS_EVENT(&w->seen[0], BPF_CAUSE_NEW, false, 1, 36);
	IS_EVENT(&w->seen[1], BPF_CAUSE_INTERVAL, true, 1, 36);
	for (size_t i = 0; i < 2; i++) {
		assert_true(w->seen[i].l3);
		assert_true(has_port(&w->seen[i], 7005));
		assert_string_equal(w->seen[i].ifname, "tun7");
	}
	unwatch(w);
	(void)close(fd);
	(void)close(far);
}

/* --- hooks
 * ---------------------------------------------------------------------------------------------------------------
 */

static struct source_bpf_config by_clsact(void)
{
	struct source_bpf_config config = traces_of_v0;

	config.by_clsact = true;
	return config;
}

/* An observer in a process of its own, which is killed. */
static void watch_and_be_killed(const struct source_bpf_config *config)
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct source *s;

		if (source_bpf_new(config, &s, NULL) != ERR_OK || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	(void)close(ready[0]);
	(void)close(ready[1]);
}

/* A program that drops all that comes in by v0: a link to close. */
static int drop_all(void)
{
	const struct bpf_insn drop[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = TC_ACT_SHOT },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int program =
		bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "drop", "GPL", drop, ARRAY_LEN(drop), NULL);
	int link = bpf_link_create(program, (int)if_nametoindex("v0"),
				   (enum bpf_attach_type)TCX_INGRESS, NULL);

	assert_true(link >= 0);
	(void)close(program);
	return link;
}

/* What others drop on its way in is seen all the same, and they go on dropping. */
static void programs_stand_before_those_of_others(void **state)
{
	int link = drop_all();
	struct watch *w;

	(void)state;
	MUST_RUN(
		"tc qdisc add dev v0 clsact && tc filter add dev v0 ingress prio 1 u32 match u32 0 "
		"0");
	w = watch_with(&traces_of_v0);
	assert_int_equal(programs_on("v0", TCX_INGRESS), 2);
	assert_int_equal(programs_on("v0", TCX_EGRESS), 1);
	assert_int_equal(lines_of("tc filter show dev v0 ingress | grep tycho"), 0);
	send_from_pod(node_ip, 7006, 64);
	drain(w);
	IS_EVENT(nth(w, IPPROTO_UDP, 7006, 0), BPF_CAUSE_NEW, false, 1, 50);
	unwatch(w);
	assert_int_equal(programs_on("v0", TCX_INGRESS), 1);
	assert_int_equal(programs_on("v0", TCX_EGRESS), 0);
	assert_int_not_equal(lines_of("tc filter show dev v0 ingress"), 0);
	MUST_RUN("tc qdisc del dev v0 clsact");
	(void)close(link);
}

static void a_killed_observer_leaves_nothing(void **state)
{
	(void)state;
	watch_and_be_killed(&traces_of_v0);
	assert_int_equal(programs_on("v0", TCX_INGRESS) + programs_on("v0", TCX_EGRESS), 0);
	assert_int_equal(lines_of("tc qdisc show dev v0 clsact"), 0);
}

/* --- hooks, where there is no tcx
 * --------------------------------------------------------------------------------------------- */

static void packets_are_seen_by_filters_too(void **state)
{
	const struct source_bpf_config config = by_clsact();
	struct watch *w = watch_with(&config);

	(void)state;
	assert_int_equal(programs_on("v0", TCX_INGRESS) + programs_on("v0", TCX_EGRESS), 0);
	assert_int_not_equal(lines_of("tc filter show dev v0 ingress | grep tycho_in"), 0);
	assert_int_not_equal(lines_of("tc filter show dev v0 egress | grep tycho_out"), 0);
	send_from_pod(node_ip, 7007, 64);
	drain(w);
	IS_EVENT(nth(w, IPPROTO_UDP, 7007, 0), BPF_CAUSE_NEW, false, 1, 50);
	unwatch(w);
}

static void nothing_is_left_behind_and_the_filters_of_others_stay(void **state)
{
	const struct source_bpf_config config = by_clsact();
	struct watch *w;

	(void)state;
	unwatch(watch_with(&config));
	assert_int_equal(lines_of("tc qdisc show dev v0 clsact"), 0);

	/* a qdisc of others */
	MUST_RUN("tc qdisc add dev v0 clsact");
	unwatch(watch_with(&config));
	assert_int_equal(lines_of("tc qdisc show dev v0 clsact"), 1);
	assert_int_equal(lines_of("tc filter show dev v0 ingress"), 0);
	assert_int_equal(lines_of("tc filter show dev v0 egress"), 0);
	MUST_RUN("tc qdisc del dev v0 clsact");

	/* a qdisc of ours that others use by now */
	w = watch_with(&config);
	MUST_RUN("tc filter add dev v0 ingress prio 5 u32 match u32 0 0");
	unwatch(w);
	assert_int_not_equal(lines_of("tc filter show dev v0 ingress | grep 'pref 5'"), 0);
	assert_int_equal(lines_of("tc filter show dev v0 ingress | grep tycho"), 0);
	MUST_RUN("tc qdisc del dev v0 clsact");
}

static void what_a_killed_observer_left_is_removed_by_the_next(void **state)
{
	struct source_bpf_config config = by_clsact();
	struct watch *w;

	(void)state;
	watch_and_be_killed(&config);
	assert_int_not_equal(lines_of("tc filter show dev v0 ingress | grep tycho_"), 0);

	/* the next one watches something else, and in another way, and yet */
	config = traces_of_v0;
	config.interfaces = (const char *const[]){ "dead0" };
	w = watch_with(&config);
	assert_int_equal(lines_of("tc qdisc show dev v0 clsact"), 0);
	unwatch(w);
	assert_int_equal(lines_of("tc qdisc show | grep clsact"), 0);
}

/* --- what a user can get wrong
 * -------------------------------------------------------------------------------------------- */

static void mistakes_are_told_apart(void **state)
{
	struct watch *w;
	struct source_bpf_config config = traces_of_v0;
	struct source *s = NULL;
	struct err e = { 0 };

	(void)state;
	config.interfaces = (const char *const[]){ "v0", "nosuch0" };
	config.interface_count = 2;
	assert_int_equal(source_bpf_new(&config, &s, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "nosuch0"));
	config = traces_of_v0;
	config.interfaces = (const char *const[]){ "!" };
	assert_int_equal(source_bpf_new(&config, &s, &e), ERR_INVALID);
	config = traces_of_v0;
	config.trace_ring_bytes = 5000;
	assert_int_equal(source_bpf_new(&config, &s, &e), ERR_INVALID);
	assert_int_equal(source_bpf_new(&(struct source_bpf_config){ 0 }, &s, &e), ERR_INVALID);

	w = watch_with(&traces_of_v0);
	assert_int_equal(source_bpf_new(&traces_of_v0, &s, &e),
			 ERR_EXISTS); /* one observer at a time */
	unwatch(w);

	MUST_RUN("tc qdisc add dev v0 clsact && tc filter add dev v0 egress prio 1 u32 match u32 0 "
		 "0");
	config = by_clsact();
	assert_int_equal(source_bpf_new(&config, &s, &e), ERR_EXISTS);
	assert_non_null(strstr(e.msg, "v0"));
	assert_int_equal(lines_of("tc filter show dev v0 ingress"), 0); /* half done is undone */
	MUST_RUN("tc qdisc del dev v0 clsact");
	assert_null(s);
}

static void without_rights_it_says_which(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		struct source *s;
		struct err e = { 0 };

		_exit(setuid(65534) != 0 ||
		      source_bpf_new(&traces_of_v0, &s, &e) != ERR_PERMISSION ||
		      !strstr(e.msg, "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN"));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_teardown(a_dropped_packet_is_told_with_the_kernels_reason, stop_watching),
	cmocka_unit_test_teardown(a_packet_dropped_on_its_way_out_starts_at_its_ip_header,
				  stop_watching),
	cmocka_unit_test_teardown(normal_operation_drops_nothing, stop_watching),
	cmocka_unit_test_setup_teardown(drops_of_the_node_and_its_pods_are_told_and_no_others,
					make_other, end_other),
	cmocka_unit_test_setup_teardown(drops_of_the_whole_machine_are_told_if_asked_for,
					make_other, end_other),
	cmocka_unit_test_setup_teardown(in_the_first_namespace_all_of_the_machine_is_the_node,
					make_other, end_other),
	cmocka_unit_test_setup_teardown(a_pod_is_in_scope_while_its_interface_leads_there,
					make_other, end_other),
	cmocka_unit_test_setup_teardown(what_lies_behind_a_route_out_is_not_the_node, make_other,
					end_other),
	cmocka_unit_test_teardown(interfaces_are_followed_as_they_come_and_go, stop_watching),
	cmocka_unit_test_teardown(by_default_pods_and_ways_out_are_watched, stop_watching),
	cmocka_unit_test_teardown(an_interface_without_ethernet_is_read_from_its_ip_header,
				  stop_watching),
	cmocka_unit_test_teardown(programs_stand_before_those_of_others, stop_watching),
	cmocka_unit_test_teardown(a_killed_observer_leaves_nothing, stop_watching),
	cmocka_unit_test_teardown(packets_are_seen_by_filters_too, stop_watching),
	cmocka_unit_test_teardown(nothing_is_left_behind_and_the_filters_of_others_stay,
				  stop_watching),
	cmocka_unit_test_teardown(what_a_killed_observer_left_is_removed_by_the_next,
				  stop_watching),
	cmocka_unit_test_teardown(mistakes_are_told_apart, stop_watching),
	cmocka_unit_test_teardown(without_rights_it_says_which, stop_watching),
};

int main(void)
{
	return cmocka_run_group_tests(tests, build_place, leave_place);
}
