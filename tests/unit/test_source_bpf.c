/*
 * The bpf source against the real kernel. Needs root. All of it happens in network namespaces of our own, which have no name
 * and go when this program ends:
 *
 *	node (this process)                        pod (held by a child)
 *	10.77.0.1, fd77::1  v0 ────── veth ────── v1  10.77.0.2, fd77::2
 *	10.78.0.1           dead0 (veth, its far end unused): a way on, for what the node forwards
 *
 * The observer is in the node. IPv6 is off but where a test turns it on, so that no router solicitation or multicast
 * report comes in between, and neighbours are entered by hand, so that no ARP does.
 */
#include "observer/source/bpf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "bpf/event.h"

static const char node_ip[] = "10.77.0.1", pod_ip[] = "10.77.0.2";
static int node_ns = -1, pod_ns = -1;
static uint32_t node_inode, pod_inode;
static pid_t pod_pid;

/* --- the place ---------------------------------------------------------------------------------------------------------- */

static int FORMAT(1, 2) run(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(command, sizeof command, format, args);
	va_end(args);
	return system(command);
}
#define MUST_RUN(...) assert_int_equal(run(__VA_ARGS__), 0)

static void enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

static uint32_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint32_t)st.st_ino;
}

static pid_t start_pod(void)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) != 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	(void)close(ready[0]);
	return pid;
}

#define IN_POD "nsenter -t %d -n "

static int build_place(void **state)
{
	char path[64];

	(void)state;
	if (geteuid() != 0) {
		(void)fprintf(stderr, "this test loads BPF programs and makes network namespaces: run it as root\n");
		return -1;
	}
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	node_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	pod_pid = start_pod();
	(void)snprintf(path, sizeof path, "/proc/%d/ns/net", pod_pid);
	pod_ns = open(path, O_RDONLY | O_CLOEXEC);
	node_inode = inode_of(node_ns);
	pod_inode = inode_of(pod_ns);
	for (int i = 0; i < 2; i++) {
		enter(i ? node_ns : pod_ns);
		MUST_RUN("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 "
			 "net.ipv4.ip_forward=1 net.ipv4.ping_group_range='0 2147483647'");
		MUST_RUN("ip link set lo up");
	}
	MUST_RUN("ip link add v0 address 02:00:00:00:00:01 type veth peer name v1 address 02:00:00:00:00:02");
	MUST_RUN("ip link set v1 netns %d", pod_pid);
	MUST_RUN("ip addr add 10.77.0.1/24 dev v0 && ip link set v0 up");
	MUST_RUN("ip neigh replace 10.77.0.2 lladdr 02:00:00:00:00:02 nud permanent dev v0");
	MUST_RUN("ip link add dead0 type veth peer name dead1 && ip addr add 10.78.0.1/24 dev dead0 && ip link set dead0 up");
	MUST_RUN(IN_POD "sh -c 'ip addr add 10.77.0.2/24 dev v1 && ip link set v1 up && "
			"ip neigh replace 10.77.0.1 lladdr 02:00:00:00:00:01 nud permanent dev v1 && "
			"ip route add default via 10.77.0.1'", pod_pid);
	return 0;
}

static int leave_place(void **state)
{
	(void)state;
	if (pod_pid > 0) {
		(void)kill(pod_pid, SIGKILL);
		(void)waitpid(pod_pid, NULL, 0);
	}
	return 0;
}

/* What the kernel says has passed the interface, in bytes. */
static uint64_t interface_bytes(const char *name)
{
	FILE *f = fopen("/proc/thread-self/net/dev", "re");
	char line[512];
	uint64_t sum = 0;

	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		char *p = line + strspn(line, " ");
		unsigned long long rx, tx;

		if (strncmp(p, name, strlen(name)) == 0 && p[strlen(name)] == ':' &&
		    sscanf(p + strlen(name) + 1, "%llu %*u %*u %*u %*u %*u %*u %*u %llu", &rx, &tx) == 2)
			sum = rx + tx;
	}
	(void)fclose(f);
	return sum;
}

static unsigned lines_of(const char *command)
{
	FILE *p = popen(command, "re");
	char line[512];
	unsigned n = 0;

	assert_non_null(p);
	while (fgets(line, sizeof line, p))
		n++;
	(void)pclose(p);
	return n;
}

/* --- the observer -------------------------------------------------------------------------------------------------------- */

/* An event and what its packet says, read by a few lines of our own rather than by the decoder. */
struct seen {
	enum raw_kind kind;
	uint8_t cause;
	bool l3, reply_known, reply, endpoint_side;
	enum raw_direction direction;
	uint32_t ifindex, netns, packet_bytes, captured;
	uint64_t packets, bytes, lost;
	char ifname[16], reason[32];
	int version; /* 4, 6, 0: not IP */
	uint8_t proto, l4[40];
	uint16_t src_port, dst_port, ethertype, vlan; /* host order; vlan in-band */
	char last; /* last captured byte */
};

enum { SEEN_MAX = 8192 };

struct watch {
	struct raw_sink sink;
	struct source *source;
	struct seen seen[SEEN_MAX];
	size_t count;
};
static struct watch the_watch; /* too large for a stack */

static uint16_t be16_at(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void read_packet(struct seen *s, const uint8_t *p, size_t n)
{
	size_t off = 0;

	if (!s->l3) {
		if (n < 14)
			return;
		s->ethertype = be16_at(p + 12);
		off = 14;
		if (s->ethertype == ETH_P_8021Q && n >= 18) {
			s->vlan = be16_at(p + 14) & 0xfff;
			s->ethertype = be16_at(p + 16);
			off = 18;
		}
	}
	if (s->ethertype == ETH_P_IP && n >= off + 20) {
		s->version = p[off] >> 4;
		s->proto = p[off + 9];
		off += (p[off] & 15U) * 4;
	} else if (s->ethertype == ETH_P_IPV6 && n >= off + 40) {
		s->version = p[off] >> 4;
		s->proto = p[off + 6];
		off += 40;
	}
	if (s->version && n >= off + 4) {
		s->src_port = be16_at(p + off);
		s->dst_port = be16_at(p + off + 2);
		memcpy(s->l4, p + off, n - off < sizeof s->l4 ? n - off : sizeof s->l4);
	}
	s->last = (char)p[n - 1];
}

static void on_event(struct raw_sink *sink, const struct raw_event *ev)
{
	struct watch *w = (struct watch *)(void *)sink;
	struct seen *s = &w->seen[w->count];

	assert_true(w->count < SEEN_MAX);
	w->count++;
	*s = (struct seen){
		.kind = ev->kind, .cause = ev->cause, .l3 = ev->l3, .reply_known = ev->reply_known, .reply = ev->reply,
		.endpoint_side = ev->endpoint_side, .direction = ev->direction, .ifindex = ev->ifindex, .netns = ev->netns,
		.packet_bytes = ev->packet_bytes, .captured = (uint32_t)ev->packet.len, .packets = ev->packets,
		.bytes = ev->bytes, .lost = ev->lost, .ethertype = ev->ethertype,
	};
	(void)snprintf(s->ifname, sizeof s->ifname, "%s", ev->ifname ? ev->ifname : "");
	(void)snprintf(s->reason, sizeof s->reason, "%.*s", STR_FMT(ev->kernel_reason));
	if (ev->packet.len)
		read_packet(s, (const uint8_t *)ev->packet.p, ev->packet.len);
}

static struct watch *watch_with(const struct source_bpf_config *config)
{
	struct err e = { 0 };

	the_watch.sink.event = on_event;
	the_watch.count = 0;
	if (source_bpf_new(config, &the_watch.source, &e) != ERR_OK)
		fail_msg("%s: %s", err_code_name(e.code), e.msg);
	return &the_watch;
}

/* Traces of v0. The long interval keeps clocks out: nothing is reported because time has passed. */
static const struct source_bpf_config traces_of_v0 = {
	.interfaces = (const char *const[]){ "v0" }, .interface_count = 1, .traces = true, .interval_ns = 3600 * NS_PER_S,
};
static const struct source_bpf_config only_drops = { .drops = true };

static void unwatch(struct watch *w)
{
	source_free(w->source);
	w->source = NULL;
}

static void drain(struct watch *w)
{
	while (source_drain(w->source, &w->sink, 100) > 0)
		;
}

/* All that is known up to now: what the kernel has not reported yet included. */
static void drain_all(struct watch *w)
{
	drain(w);
	source_bpf_flush(w->source);
	drain(w);
}

/* Waits for the source's own readiness until @enough says so, for at most 10 s. */
static bool wait_until(struct watch *w, bool (*enough)(const struct watch *w))
{
	struct pollfd p = { .fd = source_fd(w->source), .events = POLLIN };
	uint64_t give_up_ns = mono_now().v + 10 * NS_PER_S;

	for (;;) {
		drain(w);
		if (enough(w))
			return true;
		if (mono_now().v > give_up_ns)
			return false;
		(void)poll(&p, 1, 1000);
	}
}

/* --- what was seen ------------------------------------------------------------------------------------------------------- */

static bool has_port(const struct seen *s, uint16_t port)
{
	return s->src_port == port || s->dst_port == port;
}

/* The @n-th trace of the connection with @port, or NULL. */
static const struct seen *nth(const struct watch *w, uint8_t proto, uint16_t port, size_t n)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->seen[i].kind == RAW_TRACE && w->seen[i].proto == proto && has_port(&w->seen[i], port) && n-- == 0)
			return &w->seen[i];
	return NULL;
}

struct sum {
	uint64_t events, packets, bytes;
};

static struct sum sum_of(const struct watch *w, uint8_t proto, uint16_t port, bool reply)
{
	struct sum sum = { 0 };

	for (size_t i = 0; i < w->count; i++) {
		const struct seen *s = &w->seen[i];

		if (s->kind != RAW_TRACE || s->proto != proto || !has_port(s, port) || s->reply != reply)
			continue;
		sum.events++;
		sum.packets += s->packets;
		sum.bytes += s->bytes;
	}
	return sum;
}

static uint64_t bytes_of_all(const struct watch *w)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < w->count; i++)
		sum += w->seen[i].bytes;
	return sum;
}

#define IS_EVENT(s, cause_, reply_, packets_, bytes_)                                                                            \
	do {                                                                                                                   \
		const struct seen *s_ = (s);                                                                                   \
		assert_non_null(s_);                                                                                           \
		assert_int_equal(s_->cause, (cause_));                                                                         \
		assert_int_equal(s_->reply, (reply_));                                                                         \
		assert_int_equal(s_->packets, (packets_));                                                                     \
		assert_int_equal(s_->bytes, (bytes_));                                                                         \
	} while (0)

/* --- traffic ------------------------------------------------------------------------------------------------------------- */

/* A socket in @ns, bound to @ip (any family) and a port of the kernel's choice, or @port. */
static int socket_in(int ns, int type, const char *ip, uint16_t port)
{
	struct sockaddr_storage at = { 0 };
	struct sockaddr_in *v4 = (void *)&at;
	struct sockaddr_in6 *v6 = (void *)&at;
	int fd, one = 1;

	if (strchr(ip, ':')) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		assert_int_equal(inet_pton(AF_INET6, ip, &v6->sin6_addr), 1);
	} else {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		assert_int_equal(inet_pton(AF_INET, ip, &v4->sin_addr), 1);
	}
	enter(ns);
	fd = socket(at.ss_family, type | SOCK_CLOEXEC, 0);
	enter(node_ns);
	assert_true(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, at.ss_family == AF_INET ? sizeof *v4 : sizeof *v6), 0);
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof at;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	return ntohs(((struct sockaddr_in *)(void *)&at)->sin_port); /* at the same place in both families */
}

static int connect_to(int fd, int to)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof at;

	assert_int_equal(getsockname(to, (struct sockaddr *)&at, &len), 0);
	return connect(fd, (struct sockaddr *)&at, len);
}

/* Two UDP sockets, connected to each other. */
static void udp_pair(const char *from, const char *to, uint16_t to_port, int *ret_node, int *ret_pod)
{
	*ret_node = socket_in(node_ns, SOCK_DGRAM, from, 0);
	*ret_pod = socket_in(pod_ns, SOCK_DGRAM, to, to_port);
	assert_int_equal(connect_to(*ret_node, *ret_pod), 0);
	assert_int_equal(connect_to(*ret_pod, *ret_node), 0);
}

/* Sends @n bytes on @fd, which may be more than a socket buffer, and reads them from @to. */
static void pour(int fd, int to, size_t n)
{
	static char block[65536];
	size_t sent = 0, got = 0;

	while (got < n) {
		ssize_t k;

		if (sent < n) {
			k = send(fd, block, n - sent < sizeof block ? n - sent : sizeof block, MSG_DONTWAIT);
			if (k > 0)
				sent += (size_t)k;
		}
		k = recv(to, block, sizeof block, sent < n ? MSG_DONTWAIT : 0);
		if (k > 0)
			got += (size_t)k;
	}
}

/* One TCP connection from node to pod: @out bytes there, @back bytes back, closed by the node first. @return its port. */
static uint16_t talk_tcp(const char *from, const char *to, size_t out, size_t back)
{
	int listener = socket_in(pod_ns, SOCK_STREAM, to, 0), client, server;
	uint16_t port = port_of(listener);
	char c;

	assert_int_equal(listen(listener, 1), 0);
	client = socket_in(node_ns, SOCK_STREAM, from, 0);
	assert_int_equal(connect_to(client, listener), 0);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	pour(client, server, out);
	pour(server, client, back);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	assert_int_equal(read(server, &c, 1), 0);
	(void)close(server);
	assert_int_equal(read(client, &c, 1), 0); /* the server's FIN is here, so is our acknowledgement out */
	(void)close(client);
	(void)close(listener);
	return port;
}

/* --- tests --------------------------------------------------------------------------------------------------------------- */

static void tcp_is_told_at_its_turns(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);
	uint16_t port = talk_tcp(node_ip, pod_ip, 0, 0);
	uint8_t causes[8] = { 0 };
	size_t n = 0;

	(void)state;
	drain(w);
	for (const struct seen *s; n < 8 && (s = nth(w, IPPROTO_TCP, port, n)); n++)
		causes[n] = s->cause;
	/* SYN; SYN+ACK; FIN of the node; FIN of the pod; acknowledgement of that */
	assert_int_equal(n, 5);
	assert_memory_equal(causes, ((uint8_t[]){ BPF_CAUSE_NEW, BPF_CAUSE_FLAGS, BPF_CAUSE_FLAGS, BPF_CAUSE_FLAGS, BPF_CAUSE_CLOSE }), 5);
	for (size_t i = 0; i < n; i++) {
		const struct seen *s = nth(w, IPPROTO_TCP, port, i);

		assert_true(s->reply_known && s->endpoint_side);
		assert_int_equal(s->reply, s->src_port == port);
		assert_int_equal(s->direction, s->reply ? RAW_DIR_INGRESS : RAW_DIR_EGRESS);
		assert_string_equal(s->ifname, "v0");
		assert_int_equal(s->ifindex, if_nametoindex("v0"));
		assert_int_equal(s->netns, node_inode);
	}
	unwatch(w);
}

static void bytes_add_up_to_what_the_interface_counts(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);
	uint64_t before = interface_bytes("v0");

	(void)state;
	(void)talk_tcp(node_ip, pod_ip, 3 << 20, 70001);
	(void)talk_tcp(node_ip, pod_ip, 1, 1);
	drain_all(w);
	assert_int_equal(bytes_of_all(w), interface_bytes("v0") - before);
	unwatch(w);
}

static void udp_counts_each_direction_exactly(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);
	int a, b;
	char c[600];
	struct sum out, back;
	uint16_t port;

	(void)state;
	udp_pair(node_ip, pod_ip, 0, &a, &b);
	port = port_of(b);
	for (size_t n = 0; n < 5; n++) /* payloads of 0, 100 … 400 bytes */
		assert_int_equal(send(a, (char[600]){ 0 }, n * 100, 0), n * 100);
	for (size_t n = 0; n < 5; n++)
		assert_int_equal(recv(b, c, sizeof c, 0), n * 100);
	assert_int_equal(send(b, "answer", 6, 0), 6);
	assert_int_equal(recv(a, c, sizeof c, 0), 6);
	drain(w);
	/* headers: Ethernet 14, IPv4 20, UDP 8 */
	IS_EVENT(nth(w, IPPROTO_UDP, port, 0), BPF_CAUSE_NEW, false, 1, 42);
	IS_EVENT(nth(w, IPPROTO_UDP, port, 1), BPF_CAUSE_INTERVAL, true, 1, 48);
	assert_null(nth(w, IPPROTO_UDP, port, 2));
	drain_all(w);
	out = sum_of(w, IPPROTO_UDP, port, false);
	back = sum_of(w, IPPROTO_UDP, port, true);
	assert_int_equal(out.packets, 5);
	assert_int_equal(out.bytes, 5 * 42 + 1000);
	assert_int_equal(back.packets, 1);
	assert_int_equal(back.bytes, 48);
	unwatch(w);
	(void)close(a);
	(void)close(b);
}

static void what_a_silent_connection_has_left_is_told_with_its_ports(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);
	const struct seen *s;
	int a, b;

	(void)state;
	udp_pair(node_ip, pod_ip, 0, &a, &b);
	for (int i = 0; i < 3; i++)
		assert_int_equal(send(a, "12345678", 8, 0), 8);
	drain_all(w);
	s = nth(w, IPPROTO_UDP, port_of(a), 1);
	IS_EVENT(s, BPF_CAUSE_INTERVAL, false, 2, 100);
	assert_true(s->l3);
	assert_int_equal(s->ethertype, ETH_P_IP);
	assert_int_equal(s->src_port, port_of(a));
	assert_int_equal(s->dst_port, port_of(b));
	assert_int_equal(s->direction, RAW_DIR_EGRESS);
	assert_string_equal(s->ifname, "v0");
	assert_int_equal(s->packet_bytes, 0);
	source_bpf_flush(w->source); /* nothing is told twice */
	drain(w);
	assert_null(nth(w, IPPROTO_UDP, port_of(a), 2));
	unwatch(w);
	(void)close(a);
	(void)close(b);
}

static uint16_t waited_for;

static bool three_packets_are_told(const struct watch *w)
{
	return sum_of(w, IPPROTO_UDP, waited_for, false).packets == 3;
}

static void a_silent_connection_is_told_without_being_asked(void **state)
{
	struct source_bpf_config config = traces_of_v0;
	struct watch *w;
	int a, b;

	(void)state;
	config.interval_ns = 100 * NS_PER_MS;
	w = watch_with(&config);
	udp_pair(node_ip, pod_ip, 0, &a, &b);
	waited_for = port_of(a);
	for (int i = 0; i < 3; i++)
		assert_int_equal(send(a, "x", 1, 0), 1);
	assert_true(wait_until(w, three_packets_are_told));
	assert_int_equal(sum_of(w, IPPROTO_UDP, waited_for, false).bytes, 3 * 43);
	unwatch(w);
	(void)close(a);
	(void)close(b);
}

static void echo_is_a_connection_by_its_identifier(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);
	int fd = socket_in(node_ns, SOCK_DGRAM, node_ip, 0);
	struct sockaddr_in to = { .sin_family = AF_INET };
	uint8_t echo[8 + 56] = { 8 };
	const struct seen *s;

	(void)state;
	(void)close(fd);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_ICMP);
	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, pod_ip, &to.sin_addr), 1);
	for (uint8_t i = 0; i < 4; i++) {
		echo[7] = i; /* sequence number */
		assert_int_equal(sendto(fd, echo, sizeof echo, 0, (struct sockaddr *)&to, sizeof to), sizeof echo);
		assert_int_equal(recv(fd, echo, sizeof echo, 0), sizeof echo);
		echo[0] = 8;
	}
	drain_all(w);
	assert_int_equal(w->count, 4); /* first and the other three, each way */
	for (size_t i = 0; i < 4; i++) {
		s = &w->seen[i];
		assert_int_equal(s->proto, IPPROTO_ICMP);
		assert_int_equal(s->l4[0], s->reply ? 0 : 8);
		assert_int_equal(be16_at(s->l4 + 4), be16_at(w->seen[0].l4 + 4));
	}
	IS_EVENT(&w->seen[0], BPF_CAUSE_NEW, false, 1, 98);
	IS_EVENT(&w->seen[1], BPF_CAUSE_INTERVAL, true, 1, 98);
	assert_int_equal(w->seen[2].packets + w->seen[3].packets, 6);
	assert_int_equal(w->seen[2].bytes + w->seen[3].bytes, 6 * 98);
	unwatch(w);
	(void)close(fd);
}

static void an_icmp_error_is_told_on_its_own(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);
	int fd = socket_in(node_ns, SOCK_DGRAM, node_ip, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };

	(void)state;
	assert_int_equal(inet_pton(AF_INET, pod_ip, &to.sin_addr), 1);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
	drain_all(w);
	assert_int_equal(w->count, 2);
	assert_int_equal(w->seen[1].proto, IPPROTO_ICMP);
	assert_memory_equal(w->seen[1].l4, ((uint8_t[]){ 3, 3 }), 2); /* destination unreachable, port */
	assert_int_equal(w->seen[1].cause, BPF_CAUSE_NEW);
	assert_false(w->seen[1].reply_known);
	unwatch(w);
	(void)close(fd);
}

static void ipv6_is_told_as_ipv4_is(void **state)
{
	struct watch *w;
	uint16_t port;
	uint8_t causes[5];
	int a, b;

	(void)state;
	MUST_RUN("sysctl -qw net.ipv6.conf.v0.disable_ipv6=0 && ip addr add fd77::1/64 dev v0 nodad && "
		 "ip neigh replace fd77::2 lladdr 02:00:00:00:00:02 nud permanent dev v0");
	MUST_RUN(IN_POD "sh -c 'sysctl -qw net.ipv6.conf.v1.disable_ipv6=0 && ip addr add fd77::2/64 dev v1 nodad && "
			"ip neigh replace fd77::1 lladdr 02:00:00:00:00:01 nud permanent dev v1'", pod_pid);
	w = watch_with(&traces_of_v0);
	port = talk_tcp("fd77::1", "fd77::2", 100, 100);
	udp_pair("fd77::1", "fd77::2", 0, &a, &b);
	assert_int_equal(send(a, "12345678", 8, 0), 8);
	drain(w);
	for (size_t i = 0; i < 5; i++) {
		const struct seen *s = nth(w, IPPROTO_TCP, port, i);

		assert_non_null(s);
		assert_int_equal(s->version, 6);
		causes[i] = s->cause;
	}
	assert_memory_equal(causes, ((uint8_t[]){ BPF_CAUSE_NEW, BPF_CAUSE_FLAGS, BPF_CAUSE_FLAGS, BPF_CAUSE_FLAGS, BPF_CAUSE_CLOSE }), 5);
	IS_EVENT(nth(w, IPPROTO_UDP, port_of(b), 0), BPF_CAUSE_NEW, false, 1, 14 + 40 + 8 + 8);
	assert_int_equal(send(a, "1", 1, 0), 1);
	drain_all(w);
	IS_EVENT(nth(w, IPPROTO_UDP, port_of(b), 1), BPF_CAUSE_INTERVAL, false, 1, 14 + 40 + 8 + 1);
	assert_int_equal(nth(w, IPPROTO_UDP, port_of(b), 1)->version, 6);
	unwatch(w);
	(void)close(a);
	(void)close(b);
	MUST_RUN("sysctl -qw net.ipv6.conf.v0.disable_ipv6=1");
	MUST_RUN(IN_POD "sysctl -qw net.ipv6.conf.v1.disable_ipv6=1", pod_pid);
}

static void fragments_count_with_their_first(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);
	uint64_t before = interface_bytes("v0");
	static char big[4000];
	const struct seen *s;
	struct sum sum;
	int a, b;

	(void)state;
	udp_pair(node_ip, pod_ip, 0, &a, &b);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(send(a, big, sizeof big, 0), sizeof big);
		assert_int_equal(recv(b, big, sizeof big, 0), sizeof big);
	}
	drain(w);
	s = nth(w, IPPROTO_UDP, port_of(b), 0);
	/* 1480 bytes of IP payload a fragment: 8 + 1472 of UDP */
	IS_EVENT(s, BPF_CAUSE_NEW, false, 1, 1514);
	assert_int_equal(s->src_port, port_of(a));
	assert_int_equal(s->packet_bytes, 1514);
	drain_all(w);
	assert_int_equal(w->count, 2); /* nothing is untracked */
	sum = sum_of(w, IPPROTO_UDP, port_of(b), false);
	assert_int_equal(sum.packets, 6);
	assert_int_equal(sum.bytes, 2 * (4008 + 3 * 34));
	assert_int_equal(sum.bytes, interface_bytes("v0") - before);
	unwatch(w);
	(void)close(a);
	(void)close(b);
}

static void every_dns_message_is_told_whole(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);
	char message[1200] = { [1199] = '!' };
	int a, b;

	(void)state;
	udp_pair(node_ip, pod_ip, 53, &a, &b);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(send(a, message, sizeof message, 0), sizeof message);
		assert_int_equal(send(b, message, 200, 0), 200);
	}
	drain(w);
	assert_int_equal(w->count, 6);
	for (size_t i = 0; i < 6; i++) {
		IS_EVENT(&w->seen[i], BPF_CAUSE_DNS, i % 2, 1, 42 + (i % 2 ? 200 : 1200));
		assert_int_equal(w->seen[i].captured, w->seen[i].packet_bytes);
	}
	assert_int_equal(w->seen[0].last, '!');
	unwatch(w);
	(void)close(a);
	(void)close(b);
}

/* --- packets made by hand ------------------------------------------------------------------------------------------------ */

/* A frame from 10.77.0.1 to 10.77.0.9, which is nobody: no stack answers. */
struct frame {
	uint8_t p[256];
	size_t len;
};

static void frame_put(struct frame *f, const void *p, size_t n)
{
	assert_true(f->len + n <= sizeof f->p);
	memcpy(f->p + f->len, p, n);
	f->len += n;
}

static struct frame frame_of(uint16_t vlan, uint8_t proto, const void *l4, size_t l4_bytes, bool back)
{
	struct frame f = { 0 };
	uint8_t ip[20] = { 0x45, 0, 0, (uint8_t)(20 + l4_bytes), 0, 1, 0, 0, 64, proto };

	frame_put(&f, "\2\0\0\0\0\x99\2\0\0\0\0\1", 12);
	if (vlan)
		frame_put(&f, (uint8_t[]){ 0x81, 0, (uint8_t)(vlan >> 8), (uint8_t)vlan }, 4);
	frame_put(&f, "\x08\0", 2);
	memcpy(ip + (back ? 16 : 12), "\x0a\x4d\0\1", 4);
	memcpy(ip + (back ? 12 : 16), "\x0a\x4d\0\x09", 4);
	frame_put(&f, ip, sizeof ip);
	frame_put(&f, l4, l4_bytes);
	return f;
}

/* From the node: leaves by v0. From the pod: comes in by it. */
static void inject(int ns, struct frame f)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET };
	int fd;

	enter(ns);
	at.sll_ifindex = (int)if_nametoindex(ns == node_ns ? "v0" : "v1");
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	enter(node_ns);
	assert_true(fd >= 0);
	assert_int_equal(sendto(fd, f.p, f.len, 0, (struct sockaddr *)&at, sizeof at), f.len);
	(void)close(fd);
}

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

static void inject_tcp(bool back, uint32_t seq, uint32_t ack, uint8_t flags)
{
	uint8_t tcp[20] = { 0x10, 0, 0, 80, [12] = 5 << 4, [13] = flags };

	if (back)
		memcpy(tcp, "\0\x50\x10\0", 4);
	for (int i = 0; i < 4; i++) {
		tcp[4 + i] = (uint8_t)(seq >> (24 - 8 * i));
		tcp[8 + i] = (uint8_t)(ack >> (24 - 8 * i));
	}
	inject(back ? pod_ns : node_ns, frame_of(0, IPPROTO_TCP, tcp, sizeof tcp, back));
}

static void is_told(struct watch *w, size_t *at, uint8_t cause)
{
	drain(w);
	assert_int_equal(w->count, *at + (cause != 0));
	if (cause)
		assert_int_equal(w->seen[(*at)++].cause, cause);
}

static void close_waits_for_the_last_fin_to_be_acknowledged(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);
	size_t at = 0;

	(void)state;
	inject_tcp(false, 100, 0, SYN), is_told(w, &at, BPF_CAUSE_NEW);
	inject_tcp(false, 100, 0, SYN), is_told(w, &at, 0); /* again */
	inject_tcp(true, 500, 101, SYN | ACK), is_told(w, &at, BPF_CAUSE_FLAGS);
	inject_tcp(false, 101, 501, ACK), is_told(w, &at, 0);
	inject_tcp(false, 101, 501, FIN | ACK), is_told(w, &at, BPF_CAUSE_FLAGS);
	inject_tcp(true, 501, 101, ACK), is_told(w, &at, 0);
	inject_tcp(true, 501, 102, FIN | ACK), is_told(w, &at, BPF_CAUSE_FLAGS);
	inject_tcp(false, 102, 501, ACK), is_told(w, &at, 0); /* not yet: the FIN is number 501 */
	inject_tcp(false, 102, 502, ACK), is_told(w, &at, BPF_CAUSE_CLOSE);
	inject_tcp(false, 102, 502, ACK), is_told(w, &at, 0);
	/* the same ports again, now the other way round */
	inject_tcp(true, 9000, 0, SYN), is_told(w, &at, BPF_CAUSE_NEW);
	assert_false(w->seen[at - 1].reply);
	inject_tcp(false, 7000, 9001, RST | ACK), is_told(w, &at, BPF_CAUSE_CLOSE);
	assert_true(w->seen[at - 1].reply);
	drain_all(w);
	assert_int_equal(bytes_of_all(w), 12 * 54);
	unwatch(w);
}

static void a_syn_ack_seen_first_is_a_reply(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);

	(void)state;
	inject_tcp(true, 500, 101, SYN | ACK);
	inject_tcp(false, 101, 501, ACK);
	drain(w);
	IS_EVENT(&w->seen[0], BPF_CAUSE_NEW, true, 1, 54);
	IS_EVENT(&w->seen[1], BPF_CAUSE_INTERVAL, false, 1, 54);
	unwatch(w);
}

static void vlans_are_told_apart(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);
	uint8_t udp[8] = { 0x10, 0, 0x20, 0, 0, 8 };

	(void)state;
	for (uint16_t vlan = 0; vlan < 3; vlan++) { /* 0: none */
		inject(node_ns, frame_of(vlan, IPPROTO_UDP, udp, sizeof udp, false));
		inject(node_ns, frame_of(vlan, IPPROTO_UDP, udp, sizeof udp, false));
		inject(pod_ns, frame_of(vlan, IPPROTO_UDP, (uint8_t[]){ 0x20, 0, 0x10, 0, 0, 8, 0, 0 }, 8, true));
	}
	drain(w);
	assert_int_equal(w->count, 6);
	for (uint16_t vlan = 0; vlan < 3; vlan++) {
		assert_int_equal(w->seen[2 * vlan].vlan, vlan); /* in the frame on the way out */
		IS_EVENT(&w->seen[2 * vlan], BPF_CAUSE_NEW, false, 1, vlan ? 46 : 42);
		/* the kernel has taken it out of the frame on the way in: bytes as the interface passes them on */
		IS_EVENT(&w->seen[2 * vlan + 1], BPF_CAUSE_INTERVAL, true, 1, 42);
		assert_int_equal(w->seen[2 * vlan + 1].dst_port, 0x1000);
	}
	unwatch(w);
}

static void sctp_has_ports_and_other_protocols_are_untracked(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);
	uint8_t sctp[12] = { 0x10, 0, 0x20, 0 }, esp[16] = { 1, 2, 3, 4 };
	struct frame arp = { .len = 42 };

	(void)state;
	memcpy(arp.p, "\2\0\0\0\0\x99\2\0\0\0\0\1\x08\x06\0\1\x08\0\6\4\0\1", 22);
	for (int i = 0; i < 2; i++) {
		inject(node_ns, frame_of(0, IPPROTO_SCTP, sctp, sizeof sctp, false));
		inject(node_ns, frame_of(0, IPPROTO_ESP, esp, sizeof esp, false));
		inject(node_ns, arp);
	}
	drain(w);
	assert_int_equal(w->count, 3);
	IS_EVENT(&w->seen[0], BPF_CAUSE_NEW, false, 1, 46);
	assert_int_equal(w->seen[0].dst_port, 0x2000);
	IS_EVENT(&w->seen[1], BPF_CAUSE_UNTRACKED, false, 1, 50);
	IS_EVENT(&w->seen[2], BPF_CAUSE_UNTRACKED, false, 1, 42);
	assert_true(w->seen[0].reply_known);
	assert_false(w->seen[1].reply_known || w->seen[2].reply_known);
	assert_int_equal(w->seen[2].ethertype, ETH_P_ARP);
	drain_all(w);
	assert_int_equal(w->count, 6);
	assert_int_equal(bytes_of_all(w), 2 * (46 + 50 + 42));
	unwatch(w);
}

/* --- loss ---------------------------------------------------------------------------------------------------------------- */

static bool loss_is_told(const struct watch *w)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->seen[i].kind == RAW_LOST)
			return true;
	return false;
}

static void a_full_ring_loses_events_but_counts_them_and_keeps_the_bytes(void **state)
{
	struct source_bpf_config config = traces_of_v0;
	enum { FLOWS = 200 };
	struct watch *w;
	uint64_t lost = 0, told = 0, packets = 0;

	(void)state;
	config.trace_ring_bytes = (size_t)sysconf(_SC_PAGESIZE);
	w = watch_with(&config);
	for (uint8_t i = 0; i < FLOWS; i++) /* nobody drains: the ring holds some twenty */
		inject(node_ns, frame_of(0, IPPROTO_UDP, (uint8_t[]){ 0x10, i, 0x20, 0, 0, 8, 0, 0 }, 8, false));
	assert_true(wait_until(w, loss_is_told));
	for (size_t i = 0; i < w->count; i++) {
		lost += w->seen[i].lost;
		told += w->seen[i].kind == RAW_TRACE;
	}
	assert_true(lost > 0 && told > 0);
	assert_int_equal(lost + told, FLOWS);
	assert_int_equal(source_bpf_stats(w->source).lost_traces, lost);
	assert_int_equal(source_bpf_stats(w->source).lost_verdicts, 0);
	for (size_t before = 0; before != w->count;) { /* each flush fills the ring once */
		before = w->count;
		drain_all(w);
	}
	assert_int_equal(bytes_of_all(w), FLOWS * 42);
	for (size_t i = 0; i < w->count; i++)
		packets += w->seen[i].packets;
	assert_int_equal(packets, FLOWS);
	unwatch(w);
}

static void a_drain_stops_at_its_limit_and_comes_back_for_the_rest(void **state)
{
	struct watch *w = watch_with(&traces_of_v0);
	struct pollfd p = { .fd = source_fd(w->source), .events = POLLIN };

	(void)state;
	for (uint8_t i = 0; i < 5; i++)
		inject(node_ns, frame_of(0, IPPROTO_UDP, (uint8_t[]){ 0x10, i, 0x20, 0, 0, 8, 0, 0 }, 8, false));
	assert_int_equal(source_drain(w->source, &w->sink, 0), 0);
	assert_int_equal(source_drain(w->source, &w->sink, 3), 3);
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(source_drain(w->source, &w->sink, 3), 2);
	assert_int_equal(source_drain(w->source, &w->sink, 3), 0);
	unwatch(w);
}

/* --- drops --------------------------------------------------------------------------------------------------------------- */

/* Drops in our own namespaces; the machine has others. */
static size_t drops_in(const struct watch *w, uint32_t netns, uint16_t port, const struct seen **ret_last)
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
	int fd = socket_in(pod_ns, SOCK_DGRAM, pod_ip, 0);
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
		assert_int_equal(drops_in(w, node_inode, cases[i].port, &s), 1);
		assert_string_equal(s->reason, cases[i].reason);
		assert_int_equal(s->proto, IPPROTO_UDP);
		assert_int_equal(s->dst_port, cases[i].port);
		assert_false(s->l3);
		assert_int_equal(s->packet_bytes, 14 + 20 + 8 + 8);
		assert_int_equal(s->captured, s->packet_bytes);
		assert_int_equal(s->packets, 1);
		assert_int_equal(s->bytes, s->packet_bytes);
		if (i != 1) { /* there the node's answer finds its way out first, or not */
			assert_string_equal(s->ifname, "v0");
			assert_int_equal(s->ifindex, if_nametoindex("v0"));
		}
	}
	assert_int_equal(drops_in(w, node_inode, 0, &s), ARRAY_LEN(cases));
	unwatch(w);
	MUST_RUN("nft delete table ip t");
}

static void a_packet_dropped_on_its_way_out_starts_at_its_ip_header(void **state)
{
	int fd = socket_in(node_ns, SOCK_DGRAM, node_ip, 0);
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
	assert_int_equal(drops_in(w, node_inode, 7004, &s), 1);
	assert_string_equal(s->reason, "NETFILTER_DROP");
	assert_true(s->l3);
	assert_int_equal(s->ethertype, ETH_P_IP);
	assert_int_equal(s->packet_bytes, 29);
	unwatch(w);
	(void)close(fd);
	MUST_RUN("nft delete table ip t");
}

static void normal_operation_drops_nothing(void **state)
{
	struct watch *w = watch_with(&only_drops);
	const struct seen *s = NULL;
	int fds[2], netlink;

	(void)state;
	(void)talk_tcp(node_ip, pod_ip, 100000, 100000);
	MUST_RUN("ping -q -c 1 -W 5 %s > /dev/null", pod_ip);
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
		if (w->seen[i].netns == node_inode || w->seen[i].netns == pod_inode)
			print_message("drop: %s proto %d %d -> %d\n", w->seen[i].reason, w->seen[i].proto,
				      w->seen[i].src_port, w->seen[i].dst_port);
	assert_int_equal(drops_in(w, node_inode, 0, &s), 0);
	assert_int_equal(drops_in(w, pod_inode, 0, &s), 0);
	unwatch(w);
}

/* --- interfaces ---------------------------------------------------------------------------------------------------------- */

static unsigned wanted_interfaces;

static bool as_many_interfaces(const struct watch *w)
{
	return source_bpf_stats(w->source).interfaces == wanted_interfaces;
}

#define HAS_INTERFACES(w, n)                                                                                                     \
	do {                                                                                                                   \
		wanted_interfaces = (n);                                                                                       \
		assert_true(wait_until((w), as_many_interfaces));                                                              \
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
	assert_int_equal(lines_of("tc qdisc show dev old1 clsact"), 0);
	MUST_RUN("ip link set old1 name new1");
	HAS_INTERFACES(w, 2);
	MUST_RUN("ip link del new1");
	HAS_INTERFACES(w, 1);
	unwatch(w);
	assert_int_equal(lines_of("tc qdisc show | grep clsact"), 0);
	MUST_RUN("ip link del new2");
}

static void by_default_pods_and_ways_out_are_watched(void **state)
{
	struct source_bpf_config config = { .traces = true };
	struct watch *w;

	(void)state;
	w = watch_with(&config);
	HAS_INTERFACES(w, 1); /* v0: its peer is in the pod */
	assert_int_not_equal(lines_of("tc filter show dev v0 ingress"), 0);
	MUST_RUN("ip link set dead1 up && ip route add default via 10.78.0.2 dev dead0");
	HAS_INTERFACES(w, 2);
	assert_int_not_equal(lines_of("tc filter show dev dead0 egress"), 0);
	MUST_RUN("ip route del default");
	HAS_INTERFACES(w, 1);
	MUST_RUN("ip link add pod2 type veth peer name pod2p"); /* as a CNI plugin does it */
	MUST_RUN("ip link set pod2p netns %d", pod_pid);
	HAS_INTERFACES(w, 2);
	unwatch(w);
	MUST_RUN("ip link del pod2");
}

static void an_interface_without_ethernet_is_read_from_its_ip_header(void **state)
{
	struct source_bpf_config config = traces_of_v0;
	struct watch *w;
	int fd = socket_in(node_ns, SOCK_DGRAM, "0.0.0.0", 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(7005) };

	(void)state;
	MUST_RUN("ip tuntap add tun7 mode tun && ip addr add 10.79.0.1/24 dev tun7 && ip link set tun7 up");
	config.interfaces = (const char *const[]){ "tun7" };
	w = watch_with(&config);
	assert_int_equal(inet_pton(AF_INET, "10.79.0.2", &to.sin_addr), 1);
	/* Nobody holds the tun open: what is sent ends before or at it. */
	(void)sendto(fd, "12345678", 8, 0, (struct sockaddr *)&to, sizeof to);
	drain(w);
	if (w->count) { /* with a carrier-less tun some kernels do not get as far as the hook */
		IS_EVENT(&w->seen[0], BPF_CAUSE_NEW, false, 1, 36);
		assert_true(w->seen[0].l3);
		assert_int_equal(w->seen[0].dst_port, 7005);
	}
	unwatch(w);
	(void)close(fd);
	MUST_RUN("ip link del tun7");
}

/* --- hooks --------------------------------------------------------------------------------------------------------------- */

static void nothing_is_left_behind_and_the_filters_of_others_stay(void **state)
{
	(void)state;
	unwatch(watch_with(&traces_of_v0));
	assert_int_equal(lines_of("tc qdisc show dev v0 clsact"), 0);

	/* a qdisc of others */
	MUST_RUN("tc qdisc add dev v0 clsact");
	unwatch(watch_with(&traces_of_v0));
	assert_int_equal(lines_of("tc qdisc show dev v0 clsact"), 1);
	assert_int_equal(lines_of("tc filter show dev v0 ingress"), 0);
	assert_int_equal(lines_of("tc filter show dev v0 egress"), 0);
	MUST_RUN("tc qdisc del dev v0 clsact");

	/* a qdisc of ours that others use by now */
	(void)watch_with(&traces_of_v0);
	MUST_RUN("tc filter add dev v0 ingress prio 5 u32 match u32 0 0");
	unwatch(&the_watch);
	assert_int_not_equal(lines_of("tc filter show dev v0 ingress | grep 'pref 5'"), 0);
	assert_int_equal(lines_of("tc filter show dev v0 ingress | grep tycho"), 0);
	MUST_RUN("tc qdisc del dev v0 clsact");
}

static void what_a_killed_observer_left_is_removed_by_the_next(void **state)
{
	int ready[2];
	pid_t pid;
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct source *s;

		if (source_bpf_new(&traces_of_v0, &s, NULL) != ERR_OK || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	(void)close(ready[0]);
	(void)close(ready[1]);
	assert_int_not_equal(lines_of("tc filter show dev v0 ingress | grep tycho_"), 0);

	/* the next one watches something else, and yet */
	struct source_bpf_config config = traces_of_v0;

	config.interfaces = (const char *const[]){ "dead0" };
	(void)watch_with(&config);
	assert_int_equal(lines_of("tc qdisc show dev v0 clsact"), 0);
	unwatch(&the_watch);
	assert_int_equal(lines_of("tc qdisc show | grep clsact"), 0);
}

/* --- what a user can get wrong -------------------------------------------------------------------------------------------- */

static void mistakes_are_told_apart(void **state)
{
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

	(void)watch_with(&traces_of_v0);
	assert_int_equal(source_bpf_new(&traces_of_v0, &s, &e), ERR_EXISTS); /* one observer at a time */
	unwatch(&the_watch);

	MUST_RUN("tc qdisc add dev v0 clsact && tc filter add dev v0 egress prio 1 u32 match u32 0 0");
	assert_int_equal(source_bpf_new(&traces_of_v0, &s, &e), ERR_EXISTS);
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

		_exit(setuid(65534) != 0 || source_bpf_new(&traces_of_v0, &s, &e) != ERR_PERMISSION ||
		      !strstr(e.msg, "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN"));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(tcp_is_told_at_its_turns),
	cmocka_unit_test(bytes_add_up_to_what_the_interface_counts),
	cmocka_unit_test(udp_counts_each_direction_exactly),
	cmocka_unit_test(what_a_silent_connection_has_left_is_told_with_its_ports),
	cmocka_unit_test(a_silent_connection_is_told_without_being_asked),
	cmocka_unit_test(echo_is_a_connection_by_its_identifier),
	cmocka_unit_test(an_icmp_error_is_told_on_its_own),
	cmocka_unit_test(ipv6_is_told_as_ipv4_is),
	cmocka_unit_test(fragments_count_with_their_first),
	cmocka_unit_test(every_dns_message_is_told_whole),
	cmocka_unit_test(close_waits_for_the_last_fin_to_be_acknowledged),
	cmocka_unit_test(a_syn_ack_seen_first_is_a_reply),
	cmocka_unit_test(vlans_are_told_apart),
	cmocka_unit_test(sctp_has_ports_and_other_protocols_are_untracked),
	cmocka_unit_test(a_full_ring_loses_events_but_counts_them_and_keeps_the_bytes),
	cmocka_unit_test(a_drain_stops_at_its_limit_and_comes_back_for_the_rest),
	cmocka_unit_test(a_dropped_packet_is_told_with_the_kernels_reason),
	cmocka_unit_test(a_packet_dropped_on_its_way_out_starts_at_its_ip_header),
	cmocka_unit_test(normal_operation_drops_nothing),
	cmocka_unit_test(interfaces_are_followed_as_they_come_and_go),
	cmocka_unit_test(by_default_pods_and_ways_out_are_watched),
	cmocka_unit_test(an_interface_without_ethernet_is_read_from_its_ip_header),
	cmocka_unit_test(nothing_is_left_behind_and_the_filters_of_others_stay),
	cmocka_unit_test(what_a_killed_observer_left_is_removed_by_the_next),
	cmocka_unit_test(mistakes_are_told_apart),
	cmocka_unit_test(without_rights_it_says_which),
};

int main(void)
{
	return cmocka_run_group_tests(tests, build_place, leave_place);
}
