/* The bpf source's traces: what is told of a connection, when, and that the counts add up. */
#include "source_bpf_place.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

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
	assert_memory_equal(causes,
			    ((uint8_t[]){ BPF_CAUSE_NEW, BPF_CAUSE_FLAGS, BPF_CAUSE_FLAGS,
					  BPF_CAUSE_FLAGS, BPF_CAUSE_CLOSE }),
			    5);
	for (size_t i = 0; i < n; i++) {
		const struct seen *s = nth(w, IPPROTO_TCP, port, i);

		assert_true(s->reply_known && s->endpoint_side);
		assert_int_equal(s->reply, s->src_port == port);
		assert_int_equal(s->direction, s->reply ? RAW_DIR_INGRESS : RAW_DIR_EGRESS);
		assert_string_equal(s->ifname, "v0");
		assert_int_equal(s->ifindex, if_nametoindex("v0"));
		assert_int_equal(s->netns, place.node_inode);
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
	int fd = socket_in(place.node_ns, SOCK_DGRAM, node_ip, 0);
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
		assert_int_equal(
			sendto(fd, echo, sizeof echo, 0, (struct sockaddr *)&to, sizeof to),
			sizeof echo);
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
	int fd = socket_in(place.node_ns, SOCK_DGRAM, node_ip, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };

	(void)state;
	assert_int_equal(inet_pton(AF_INET, pod_ip, &to.sin_addr), 1);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
	drain_all(w);
	assert_int_equal(w->count, 2);
	assert_int_equal(w->seen[1].proto, IPPROTO_ICMP);
	assert_memory_equal(w->seen[1].l4, ((uint8_t[]){ 3, 3 }),
			    2); /* destination unreachable, port */
	assert_int_equal(w->seen[1].cause, BPF_CAUSE_NEW);
	assert_false(w->seen[1].reply_known);
	unwatch(w);
	(void)close(fd);
}

static void ipv6_is_told_as_ipv4_is(void **state)
{
	static char big[4000];
	struct watch *w;
	struct sum sum;
	uint16_t port;
	uint8_t causes[5];
	int a, b;

	(void)state;
	MUST_RUN("sysctl -qw net.ipv6.conf.v0.disable_ipv6=0 && ip addr add fd77::1/64 dev v0 "
		 "nodad && "
		 "ip neigh replace fd77::2 lladdr 02:00:00:00:00:02 nud permanent dev v0");
	MUST_RUN(IN_POD "sh -c 'sysctl -qw net.ipv6.conf.v1.disable_ipv6=0 && ip addr add "
			"fd77::2/64 dev v1 nodad && "
			"ip neigh replace fd77::1 lladdr 02:00:00:00:00:01 nud permanent dev v1'",
		 place.pod_pid);
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
	assert_memory_equal(causes,
			    ((uint8_t[]){ BPF_CAUSE_NEW, BPF_CAUSE_FLAGS, BPF_CAUSE_FLAGS,
					  BPF_CAUSE_FLAGS, BPF_CAUSE_CLOSE }),
			    5);
	IS_EVENT(nth(w, IPPROTO_UDP, port_of(b), 0), BPF_CAUSE_NEW, false, 1, 14 + 40 + 8 + 8);
	assert_int_equal(send(a, "1", 1, 0), 1);
	drain_all(w);
	IS_EVENT(nth(w, IPPROTO_UDP, port_of(b), 1), BPF_CAUSE_INTERVAL, false, 1, 14 + 40 + 8 + 1);
	assert_int_equal(nth(w, IPPROTO_UDP, port_of(b), 1)->version, 6);
	/* 4000 bytes: three fragments, each with a fragment header of 8; payload of the first two
	 * 1448 */
	(void)close(a);
	(void)close(b);
	udp_pair("fd77::1", "fd77::2", 0, &a, &b);
	assert_int_equal(send(a, big, sizeof big, 0), sizeof big);
	drain_all(w);
	IS_EVENT(nth(w, IPPROTO_UDP, port_of(b), 0), BPF_CAUSE_NEW, false, 1, 14 + 40 + 8 + 1448);
	sum = sum_of(w, IPPROTO_UDP, port_of(b), false);
	assert_int_equal(sum.packets, 3);
	assert_int_equal(sum.bytes, 4008 + 3 * (14 + 40 + 8));
	unwatch(w);
	(void)close(a);
	(void)close(b);
	MUST_RUN("sysctl -qw net.ipv6.conf.v0.disable_ipv6=1");
	MUST_RUN(IN_POD "sysctl -qw net.ipv6.conf.v1.disable_ipv6=1", place.pod_pid);
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

static void loopback_is_two_places(void **state)
{
	struct source_bpf_config config = traces_of_v0;
	struct watch *w;
	int a, b;

	(void)state;
	config.interfaces = (const char *const[]){ "lo" };
	w = watch_with(&config);
	a = socket_in(place.node_ns, SOCK_DGRAM, "127.0.0.1", 0);
	b = socket_in(place.node_ns, SOCK_DGRAM, "127.0.0.1", 0);
	assert_int_equal(connect_to(a, b), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(send(a, "12345678", 8, 0), 8);
	drain_all(w);
	assert_int_equal(w->count, 4); /* leaving and coming in; the first, and the rest */
	IS_EVENT(&w->seen[0], BPF_CAUSE_NEW, false, 1, 50);
	IS_EVENT(&w->seen[1], BPF_CAUSE_NEW, false, 1, 50);
	assert_int_equal(w->seen[0].direction, RAW_DIR_EGRESS);
	assert_int_equal(w->seen[1].direction, RAW_DIR_INGRESS);
	assert_int_equal(bytes_of_all(w), 4 * 50);
	unwatch(w);
	(void)close(a);
	(void)close(b);
}

/* --- packets made by hand
 * ------------------------------------------------------------------------------------------------
 */

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

static struct frame frame_of(uint16_t vlan, uint8_t proto, const void *l4, size_t l4_bytes,
			     bool back)
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
	at.sll_ifindex = (int)if_nametoindex(ns == place.node_ns ? "v0" : "v1");
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	enter(place.node_ns);
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
	inject(back ? place.pod_ns : place.node_ns,
	       frame_of(0, IPPROTO_TCP, tcp, sizeof tcp, back));
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
		inject(place.node_ns, frame_of(vlan, IPPROTO_UDP, udp, sizeof udp, false));
		inject(place.node_ns, frame_of(vlan, IPPROTO_UDP, udp, sizeof udp, false));
		inject(place.pod_ns,
		       frame_of(vlan, IPPROTO_UDP, (uint8_t[]){ 0x20, 0, 0x10, 0, 0, 8, 0, 0 }, 8,
				true));
	}
	drain(w);
	assert_int_equal(w->count, 6);
	for (uint16_t vlan = 0; vlan < 3; vlan++) {
		assert_int_equal(w->seen[2 * vlan].vlan, vlan); /* in the frame on the way out */
		IS_EVENT(&w->seen[2 * vlan], BPF_CAUSE_NEW, false, 1, vlan ? 46 : 42);
		/* the kernel has taken it out of the frame on the way in: bytes as the interface
		 * passes them on */
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
		inject(place.node_ns, frame_of(0, IPPROTO_SCTP, sctp, sizeof sctp, false));
		inject(place.node_ns, frame_of(0, IPPROTO_ESP, esp, sizeof esp, false));
		inject(place.node_ns, arp);
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

/* --- loss
 * ----------------------------------------------------------------------------------------------------------------
 */

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
		inject(place.node_ns,
		       frame_of(0, IPPROTO_UDP, (uint8_t[]){ 0x10, i, 0x20, 0, 0, 8, 0, 0 }, 8,
				false));
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
		inject(place.node_ns,
		       frame_of(0, IPPROTO_UDP, (uint8_t[]){ 0x10, i, 0x20, 0, 0, 8, 0, 0 }, 8,
				false));
	assert_int_equal(source_drain(w->source, &w->sink, 0), 0);
	assert_int_equal(source_drain(w->source, &w->sink, 3), 3);
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(source_drain(w->source, &w->sink, 3), 2);
	assert_int_equal(source_drain(w->source, &w->sink, 3), 0);
	unwatch(w);
}

/* --- order
 * -----------------------------------------------------------------------------------------------------------------
 */

/* Connections of their own: a trace each, @n from source port @first on. By UDP rather than by
 * frames, for the kernel closes a packet socket slowly; to an address that is nobody's. */
static void make_traces(uint16_t first, uint16_t n)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };

	assert_int_equal(inet_pton(AF_INET, "10.77.0.9", &to.sin_addr), 1);
	for (uint16_t i = 0; i < n; i++) {
		int fd = socket_in(place.node_ns, SOCK_DGRAM, node_ip, first + i);

		assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
		(void)close(fd);
	}
}

/* Nobody listens there: one drop, and no trace of v0 (it is loopback's). */
static void make_drop(void)
{
	int fd = socket_in(place.node_ns, SOCK_DGRAM, "127.0.0.1", 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
	(void)close(fd);
}

/* 10.77.0.9 has a neighbour entry, so that packets to it leave. */
static int add_nobody(void **state)
{
	(void)state;
	return run("ip neigh replace 10.77.0.9 lladdr 02:00:00:00:00:99 nud permanent dev v0");
}

static struct watch *watch_both(size_t verdict_ring_bytes)
{
	struct source_bpf_config config = traces_of_v0;

	config.drops = true;
	config.verdict_ring_bytes = verdict_ring_bytes;
	return watch_with(&config);
}

static void a_drain_hands_over_in_order_of_time(void **state)
{
	enum { TURNS = 100 };
	struct watch *w = watch_both(0);
	size_t traces = 0, drops = 0;

	(void)state;
	for (uint16_t i = 0; i < TURNS; i++) {
		make_traces(0x1000 + i, 1);
		make_drop();
	}
	drain(w);
	for (size_t i = 0; i < w->count; i++) {
		traces += w->seen[i].kind == RAW_TRACE;
		drops += w->seen[i].kind == RAW_DROP;
		assert_true(i == 0 || w->seen[i].mono_ns >= w->seen[i - 1].mono_ns);
	}
	assert_int_equal(traces, TURNS);
	assert_int_equal(drops, TURNS);
	unwatch(w);
}

static void drops_go_first_when_their_ring_fills(void **state)
{
	/* A page: a quarter of it is less than four drops of 8 + 72 + 192 bytes. */
	struct watch *w = watch_both((size_t)sysconf(_SC_PAGESIZE));

	(void)state;
	make_traces(0x1000, 50);
	make_drop();
	assert_int_equal(source_drain(w->source, &w->sink, 10), 10);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(w->seen[i].kind, RAW_TRACE); /* it can wait */
	for (int i = 0; i < 3; i++)
		make_drop();
	assert_int_equal(source_drain(w->source, &w->sink, 10), 10);
	for (size_t i = 10; i < 20; i++)
		assert_int_equal(w->seen[i].kind, i < 14 ? RAW_DROP : RAW_TRACE);
	drain(w);
	assert_int_equal(w->count, 54);
	unwatch(w);
}

/* --- the sweep
 * ----------------------------------------------------------------------------------------------------------------
 */

/* More than one read of the sweep takes in, and more than a full ring holds. */
static void a_flush_of_many_connections_ends_and_tells_each_once(void **state)
{
	enum { CONNECTIONS = 3000 };
	struct source_bpf_config config = traces_of_v0;
	struct watch *w;
	uint64_t packets = 0;
	int turns = 0;

	(void)state;
	config.trace_ring_bytes = 64 * 1024; /* some 400 events */
	w = watch_with(&config);
	for (uint16_t i = 0; i < CONNECTIONS; i += 100) {
		make_traces(0x1000 + i, 100);
		make_traces(0x1000 + i, 100); /* held back */
		drain(w);
	}
	assert_int_equal(w->count, CONNECTIONS);
	for (bool more = true; more; turns++) {
		more = source_flush(w->source);
		drain(w);
	}
	assert_true(turns > 1);
	assert_int_equal(w->count, 2 * CONNECTIONS);
	for (size_t i = 0; i < w->count; i++)
		packets += w->seen[i].packets;
	assert_int_equal(packets, 2 * CONNECTIONS);
	assert_int_equal(source_bpf_stats(w->source).pushed_out, 0);
	unwatch(w);
}

static void connections_that_a_full_table_pushed_out_are_counted(void **state)
{
	enum { ROOM = 512, CONNECTIONS = 3000 };
	struct source_bpf_config config = traces_of_v0;
	struct watch *w;

	(void)state;
	config.connections = ROOM;
	w = watch_with(&config);
	make_traces(0x1000, CONNECTIONS);
	while (source_flush(w->source))
		drain(w);
	assert_in_range(source_bpf_stats(w->source).pushed_out, CONNECTIONS - ROOM, CONNECTIONS);
	unwatch(w);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_teardown(tcp_is_told_at_its_turns, stop_watching),
	cmocka_unit_test_teardown(bytes_add_up_to_what_the_interface_counts, stop_watching),
	cmocka_unit_test_teardown(udp_counts_each_direction_exactly, stop_watching),
	cmocka_unit_test_teardown(what_a_silent_connection_has_left_is_told_with_its_ports,
				  stop_watching),
	cmocka_unit_test_teardown(a_silent_connection_is_told_without_being_asked, stop_watching),
	cmocka_unit_test_teardown(echo_is_a_connection_by_its_identifier, stop_watching),
	cmocka_unit_test_teardown(an_icmp_error_is_told_on_its_own, stop_watching),
	cmocka_unit_test_teardown(ipv6_is_told_as_ipv4_is, stop_watching),
	cmocka_unit_test_teardown(fragments_count_with_their_first, stop_watching),
	cmocka_unit_test_teardown(every_dns_message_is_told_whole, stop_watching),
	cmocka_unit_test_teardown(loopback_is_two_places, stop_watching),
	cmocka_unit_test_teardown(close_waits_for_the_last_fin_to_be_acknowledged, stop_watching),
	cmocka_unit_test_teardown(a_syn_ack_seen_first_is_a_reply, stop_watching),
	cmocka_unit_test_teardown(vlans_are_told_apart, stop_watching),
	cmocka_unit_test_teardown(sctp_has_ports_and_other_protocols_are_untracked, stop_watching),
	cmocka_unit_test_teardown(a_full_ring_loses_events_but_counts_them_and_keeps_the_bytes,
				  stop_watching),
	cmocka_unit_test_teardown(a_drain_stops_at_its_limit_and_comes_back_for_the_rest,
				  stop_watching),
	cmocka_unit_test_setup_teardown(a_drain_hands_over_in_order_of_time, add_nobody,
					stop_watching),
	cmocka_unit_test_setup_teardown(drops_go_first_when_their_ring_fills, add_nobody,
					stop_watching),
	cmocka_unit_test_setup_teardown(a_flush_of_many_connections_ends_and_tells_each_once,
					add_nobody, stop_watching),
	cmocka_unit_test_setup_teardown(connections_that_a_full_table_pushed_out_are_counted,
					add_nobody, stop_watching),
};

int main(void)
{
	return cmocka_run_group_tests(tests, build_place, leave_place);
}
