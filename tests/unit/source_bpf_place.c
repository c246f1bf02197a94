#include "source_bpf_place.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct place place = { .start_ns = -1, .node_ns = -1, .pod_ns = -1 };

static struct watch the_watch; /* too large for a stack */

/* --- the place
 * ----------------------------------------------------------------------------------------------------------
 */

int run(const char *format, ...)
{
	char command[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(command, sizeof command, format, args);
	va_end(args);
	return system(command);
}

void enter(int ns)
{
	assert_int_equal(setns(ns, CLONE_NEWNET), 0);
}

static uint32_t inode_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint32_t)st.st_ino;
}

pid_t start_namespace(int *ret_ns)
{
	int ready[2];
	char path[64], c;
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
	(void)snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
	*ret_ns = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(*ret_ns >= 0);
	return pid;
}

int build_place(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		(void)fprintf(stderr, "this test loads BPF programs and makes network namespaces: "
				      "run it as root\n");
		return -1;
	}
	place.start_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	place.node_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	place.pod_pid = start_namespace(&place.pod_ns);
	place.node_inode = inode_of(place.node_ns);
	place.pod_inode = inode_of(place.pod_ns);
	for (int i = 0; i < 2; i++) {
		enter(i ? place.node_ns : place.pod_ns);
		MUST_RUN("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 "
			 "net.ipv6.conf.default.disable_ipv6=1 "
			 "net.ipv4.ip_forward=1 net.ipv4.ping_group_range='0 2147483647'");
		MUST_RUN("ip link set lo up");
	}
	MUST_RUN("ip link add v0 address 02:00:00:00:00:01 type veth peer name v1 address "
		 "02:00:00:00:00:02");
	MUST_RUN("ip link set v1 netns %d", place.pod_pid);
	MUST_RUN("ip addr add 10.77.0.1/24 dev v0 && ip link set v0 up");
	MUST_RUN("ip neigh replace 10.77.0.2 lladdr 02:00:00:00:00:02 nud permanent dev v0");
	MUST_RUN("ip link add dead0 type veth peer name dead1 && ip addr add 10.78.0.1/24 dev "
		 "dead0 && ip link set dead0 up");
	MUST_RUN(IN_POD
		 "sh -c 'ip addr add 10.77.0.2/24 dev v1 && ip link set v1 up && "
		 "ip neigh replace 10.77.0.1 lladdr 02:00:00:00:00:01 nud permanent dev v1 && "
		 "ip route add default via 10.77.0.1'",
		 place.pod_pid);
	return 0;
}

int leave_place(void **state)
{
	(void)state;
	if (place.pod_pid > 0) {
		(void)kill(place.pod_pid, SIGKILL);
		(void)waitpid(place.pod_pid, NULL, 0);
	}
	return 0;
}

/* What the kernel says has passed the interface, in bytes. */
uint64_t interface_bytes(const char *name)
{
	FILE *f = fopen("/proc/thread-self/net/dev", "re");
	char line[512];
	uint64_t sum = 0;

	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		char *p = line + strspn(line, " ");
		unsigned long long rx, tx;

		if (strncmp(p, name, strlen(name)) == 0 && p[strlen(name)] == ':' &&
		    sscanf(p + strlen(name) + 1, "%llu %*u %*u %*u %*u %*u %*u %*u %llu", &rx,
			   &tx) == 2)
			sum = rx + tx;
	}
	(void)fclose(f);
	return sum;
}

unsigned lines_of(const char *command)
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

/* --- the observer
 * --------------------------------------------------------------------------------------------------------
 */

uint16_t be16_at(const uint8_t *p)
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
		.kind = ev->kind,
		.cause = ev->cause,
		.mono_ns = ev->mono.v,
		.l3 = ev->l3,
		.reply_known = ev->reply_known,
		.reply = ev->reply,
		.endpoint_side = ev->endpoint_side,
		.direction = ev->direction,
		.ifindex = ev->ifindex,
		.netns = ev->netns,
		.packet_bytes = ev->packet_bytes,
		.captured = (uint32_t)ev->packet.len,
		.packets = ev->packets,
		.bytes = ev->bytes,
		.lost = ev->lost,
		.ethertype = ev->ethertype,
	};
	(void)snprintf(s->ifname, sizeof s->ifname, "%s", ev->ifname ? ev->ifname : "");
	(void)snprintf(s->reason, sizeof s->reason, "%.*s", STR_FMT(ev->kernel_reason));
	if (ev->packet.len)
		read_packet(s, (const uint8_t *)ev->packet.p, ev->packet.len);
}

struct watch *watch_with(const struct source_bpf_config *config)
{
	struct err e = { 0 };

	the_watch.sink.event = on_event;
	the_watch.count = 0;
	if (source_bpf_new(config, &the_watch.source, &e) != ERR_OK)
		fail_msg("%s: %s", err_code_name(e.code), e.msg);
	return &the_watch;
}

void unwatch(struct watch *w)
{
	source_free(w->source);
	w->source = NULL;
}

int stop_watching(void **state)
{
	(void)state;
	unwatch(&the_watch);
	return 0;
}

void drain(struct watch *w)
{
	while (source_drain(w->source, &w->sink, 100) > 0)
		;
}

/* All that is known up to now: what the kernel has not reported yet included. */
void drain_all(struct watch *w)
{
	drain(w);
	source_bpf_flush(w->source);
	drain(w);
}

/* Waits for the source's own readiness until @enough says so, for at most 10 s. */
bool wait_until(struct watch *w, bool (*enough)(const struct watch *w))
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

/* --- what was seen
 * -------------------------------------------------------------------------------------------------------
 */

bool has_port(const struct seen *s, uint16_t port)
{
	return s->src_port == port || s->dst_port == port;
}

/* The @n-th trace of the connection with @port, or NULL. */
const struct seen *nth(const struct watch *w, uint8_t proto, uint16_t port, size_t n)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->seen[i].kind == RAW_TRACE && w->seen[i].proto == proto &&
		    has_port(&w->seen[i], port) && n-- == 0)
			return &w->seen[i];
	return NULL;
}

struct sum sum_of(const struct watch *w, uint8_t proto, uint16_t port, bool reply)
{
	struct sum sum = { 0 };

	for (size_t i = 0; i < w->count; i++) {
		const struct seen *s = &w->seen[i];

		if (s->kind != RAW_TRACE || s->proto != proto || !has_port(s, port) ||
		    s->reply != reply)
			continue;
		sum.events++;
		sum.packets += s->packets;
		sum.bytes += s->bytes;
	}
	return sum;
}

uint64_t bytes_of_all(const struct watch *w)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < w->count; i++)
		sum += w->seen[i].bytes;
	return sum;
}

/* --- traffic
 * -------------------------------------------------------------------------------------------------------------
 */

/* A socket in @ns, bound to @ip (any family) and a port of the kernel's choice, or @port. */
int socket_in(int ns, int type, const char *ip, uint16_t port)
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
	enter(place.node_ns);
	assert_true(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	assert_int_equal(
		bind(fd, (struct sockaddr *)&at, at.ss_family == AF_INET ? sizeof *v4 : sizeof *v6),
		0);
	return fd;
}

uint16_t port_of(int fd)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof at;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	return ntohs(((struct sockaddr_in *)(void *)&at)
			     ->sin_port); /* at the same place in both families */
}

int connect_to(int fd, int to)
{
	struct sockaddr_storage at;
	socklen_t len = sizeof at;

	assert_int_equal(getsockname(to, (struct sockaddr *)&at, &len), 0);
	return connect(fd, (struct sockaddr *)&at, len);
}

/* Two UDP sockets, connected to each other. */
void udp_pair(const char *from, const char *to, uint16_t to_port, int *ret_node, int *ret_pod)
{
	*ret_node = socket_in(place.node_ns, SOCK_DGRAM, from, 0);
	*ret_pod = socket_in(place.pod_ns, SOCK_DGRAM, to, to_port);
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
			k = send(fd, block, n - sent < sizeof block ? n - sent : sizeof block,
				 MSG_DONTWAIT);
			if (k > 0)
				sent += (size_t)k;
		}
		k = recv(to, block, sizeof block, sent < n ? MSG_DONTWAIT : 0);
		if (k > 0)
			got += (size_t)k;
	}
}

/* One TCP connection from node to pod: @out bytes there, @back bytes back, closed by the node
 * first. @return its port. */
uint16_t talk_tcp(const char *from, const char *to, size_t out, size_t back)
{
	int listener = socket_in(place.pod_ns, SOCK_STREAM, to, 0), client, server;
	uint16_t port = port_of(listener);
	char c;

	assert_int_equal(listen(listener, 1), 0);
	client = socket_in(place.node_ns, SOCK_STREAM, from, 0);
	assert_int_equal(connect_to(client, listener), 0);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	pour(client, server, out);
	pour(server, client, back);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	assert_int_equal(read(server, &c, 1), 0);
	(void)close(server);
	assert_int_equal(read(client, &c, 1),
			 0); /* the server's FIN is here, so is our acknowledgement out */
	(void)close(client);
	(void)close(listener);
	return port;
}
