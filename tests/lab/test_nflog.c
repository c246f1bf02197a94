/*
 * observer/source/nflog with a real kernel: rules of nftables in a network namespace of our own.
 * Needs root.
 *
 *	sender ──lo──► input hook: nft rules ──► log groups ──► source_nflog
 *
 * UDP port 1001 is allowed, 1002 denied, 1003 audited, 1004 has a prefix that says nothing (group
 * 11); 1005 logs to group 12.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "observer/source/nflog.h"

static const char ruleset[] =
	"table inet lab {\n"
	"	chain in {\n"
	"		type filter hook input priority 0;\n"
	"		udp dport 1001 log group 11 prefix \"tycho:allow:ingress:web\" accept\n"
	"		udp dport 1002 log group 11 prefix \"tycho:deny:ingress:ns/no:1\" drop\n"
	"		udp dport 1003 log group 11 prefix \"tycho:audit:ingress:later\" accept\n"
	"		udp dport 1004 log group 11 prefix \"[OTHER] \" accept\n"
	"		udp dport 1005 log group 12 prefix \"tycho:allow:ingress:flood\" accept\n"
	"	}\n"
	"	chain out {\n"
	"		type filter hook output priority 0;\n"
	"		udp dport 1006 log group 11 prefix \"tycho:allow:egress:out\" accept\n"
	"	}\n"
	"}\n";

enum { WAIT_MS = 20000, QUIET_MS = 250, PAYLOAD_BYTES = 300, COPY_BYTES = 100 };

static int lab_up(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET) < 0) {
		print_error("this test needs root: %m\n");
		return -1;
	}
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		return -1;
	(void)close(fd);
	FILE *nft = popen("nft -f -", "w");
	if (!nft)
		return -1;
	(void)fputs(ruleset, nft);
	return pclose(nft);
}

static void send_udp(int family, uint16_t port, int packets)
{
	static const char payload[PAYLOAD_BYTES];
	struct sockaddr_in v4 = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
				   .sin6_port = htons(port),
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	const struct sockaddr *to =
		family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
	socklen_t len = family == AF_INET ? sizeof v4 : sizeof v6;
	/* Not connected: an ICMP "port unreachable" that comes back is nobody's error. */
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	for (int i = 0; i < packets; i++)
		assert_int_equal(sendto(fd, payload, sizeof payload, 0, to, len), sizeof payload);
	(void)close(fd);
}

struct seen {
	struct raw_sink sink;
	size_t events, verdicts[3], unknown_direction;
	uint64_t lost, first_loss;
	struct raw_event last; /* its pointers are stale */
	char policy[64], ifname[IF_NAMESIZE], prefix[64];
	uint8_t packet[COPY_BYTES];
};

static void see(struct raw_sink *sink, const struct raw_event *ev)
{
	struct seen *seen = (struct seen *)sink;

	if (ev->kind == RAW_LOST) {
		assert_true(ev->lost > 0);
		if (seen->lost == 0 && seen->events == 0)
			seen->first_loss = ev->lost;
		seen->lost += ev->lost;
		return;
	}
	assert_int_equal(ev->kind, RAW_VERDICT);
	seen->events++;
	seen->verdicts[ev->verdict]++;
	seen->unknown_direction += ev->direction == RAW_DIR_UNKNOWN;
	seen->last = *ev;
	assert_true(ev->packet.len <= sizeof seen->packet);
	memcpy(seen->packet, ev->packet.p, ev->packet.len);
	(void)snprintf(seen->policy, sizeof seen->policy, "%.*s", STR_FMT(ev->policy));
	(void)snprintf(seen->prefix, sizeof seen->prefix, "%.*s", STR_FMT(ev->prefix));
	(void)snprintf(seen->ifname, sizeof seen->ifname, "%s", ev->ifname);
}

/* Drains until @n packets were either seen or lost; fails if the source falls silent before. */
static void drain_until(struct source *s, struct seen *seen, uint64_t n)
{
	while (seen->events + seen->lost < n) {
		struct pollfd fd = { .fd = source_fd(s), .events = POLLIN };
		assert_int_equal(poll(&fd, 1, WAIT_MS), 1);
		assert_true(source_drain(s, &seen->sink, 7) <= 7);
	}
}

static struct source *open_groups(const uint16_t *groups, size_t n, uint32_t buffer_bytes)
{
	struct source *s = NULL;
	struct err e = { 0 };
	const struct source_nflog_config config = {
		.groups = groups,
		.group_count = n,
		.copy_bytes = COPY_BYTES,
		.buffer_bytes = buffer_bytes,
	};
	if (source_nflog_new(&config, &s, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return s;
}

static void every_logged_packet_becomes_one_verdict(void **state)
{
	(void)state;
	AUTO(source_free) struct source *s = open_groups((const uint16_t[]){ 11, 12 }, 2, 0);
	struct seen seen = { .sink = { see } };
	send_udp(AF_INET, 1001, 100);
	send_udp(AF_INET, 1002, 30);
	send_udp(AF_INET6, 1003, 7);
	send_udp(AF_INET, 1005, 50);
	drain_until(s, &seen, 187);
	assert_int_equal(seen.verdicts[RAW_ALLOW], 150);
	assert_int_equal(seen.verdicts[RAW_DENY], 30);
	assert_int_equal(seen.verdicts[RAW_AUDIT], 7);
	assert_int_equal(seen.unknown_direction, 0);
	assert_int_equal(seen.lost, 0);
	/* and nothing else */
	assert_int_equal(source_drain(s, &seen.sink, 10), 0);
	assert_false(source_ended(s));
}

static void a_verdict_carries_packet_interface_and_time(void **state)
{
	(void)state;
	AUTO(source_free) struct source *s = open_groups((const uint16_t[]){ 11 }, 1, 0);
	struct seen seen = { .sink = { see } };
	send_udp(AF_INET, 1002, 1);
	drain_until(s, &seen, 1);
	assert_int_equal(seen.last.verdict, RAW_DENY);
	assert_int_equal(seen.last.direction, RAW_DIR_INGRESS);
	assert_string_equal(seen.policy, "ns/no:1");
	assert_string_equal(seen.prefix, "tycho:deny:ingress:ns/no:1");
	assert_true(seen.last.l3);
	assert_int_equal(seen.last.ethertype, 0x0800);
	assert_int_equal(seen.last.packet.len, COPY_BYTES);
	assert_int_equal(seen.last.packet_bytes, 20 + 8 + PAYLOAD_BYTES);
	assert_int_equal(seen.packet[0], 0x45);
	assert_int_equal(seen.packet[9], IPPROTO_UDP);
	assert_int_equal(seen.packet[22] << 8 | seen.packet[23], 1002);
	assert_string_equal(seen.ifname, "lo");
	assert_int_equal(seen.last.ifindex, if_nametoindex("lo"));
	assert_int_equal(seen.last.cpu, -1);
	/* one of the two clocks */
	assert_true((seen.last.mono.v == 0) != (seen.last.wall.v == 0));

	seen = (struct seen){ .sink = { see } };
	send_udp(AF_INET6, 1006, 1);
	drain_until(s, &seen, 1);
	assert_int_equal(seen.last.direction, RAW_DIR_EGRESS);
	assert_int_equal(seen.last.ethertype, 0x86dd);
	assert_int_equal(seen.last.packet_bytes, 40 + 8 + PAYLOAD_BYTES);
	assert_string_equal(seen.ifname, "lo");
}

static void a_prefix_that_says_nothing_is_an_audit(void **state)
{
	(void)state;
	AUTO(source_free) struct source *s = open_groups((const uint16_t[]){ 11 }, 1, 0);
	struct seen seen = { .sink = { see } };
	send_udp(AF_INET, 1004, 3);
	drain_until(s, &seen, 3);
	assert_int_equal(seen.verdicts[RAW_AUDIT], 3);
	assert_int_equal(seen.unknown_direction, 3);
	assert_string_equal(seen.policy, "");
	assert_string_equal(seen.prefix, "[OTHER] ");
}

static void packets_that_overflow_the_socket_are_counted_to_the_packet(void **state)
{
	(void)state;
	enum { FLOOD = 20000 };
	/* the kernel doubles it and refuses less than some 2 KiB; a batch is larger */
	AUTO(source_free) struct source *s = open_groups((const uint16_t[]){ 12, 11 }, 2, 32 << 10);
	struct seen seen = { .sink = { see } };
	send_udp(AF_INET, 1005, FLOOD);
	/* Until it is quiet for longer than the kernel keeps a batch: there was a loss; how large
	 * it was, the next packet tells at the latest. */
	struct pollfd fd = { .fd = source_fd(s), .events = POLLIN };
	while (poll(&fd, 1, QUIET_MS) == 1)
		(void)source_drain(s, &seen.sink, 100);
	assert_true(seen.lost > 0);
	/* the kernel says that something was lost before it gives what was not */
	assert_int_equal(seen.first_loss, 1);
	assert_true(seen.events + seen.lost <= FLOOD);
	send_udp(AF_INET, 1005, 1);
	drain_until(s, &seen, FLOOD + 1);
	assert_int_equal(seen.events + seen.lost, FLOOD + 1);
	/* the other group lost nothing, and is not charged */
	send_udp(AF_INET, 1001, 1);
	drain_until(s, &seen, FLOOD + 2);
	assert_int_equal(seen.events + seen.lost, FLOOD + 2);
	assert_true(str_is(str_of(seen.policy), "web"));
}

static void a_group_has_one_reader(void **state)
{
	(void)state;
	const uint16_t groups[] = { 11 };
	struct source *s = open_groups(groups, 1, 0), *second = NULL;
	const struct source_nflog_config config = { .groups = groups, .group_count = 1 };
	struct err e;
	assert_int_equal(source_nflog_new(&config, &second, &e), ERR_EXISTS);
	assert_non_null(strstr(e.msg, "group 11"));
	assert_null(second);
	/* given up, it is free again */
	source_free(s);
	s = open_groups(groups, 1, 0);
	source_free(s);
}

static void without_the_right_one_is_told_how_to_get_it(void **state)
{
	(void)state;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		const uint16_t groups[] = { 13 };
		struct source *s = NULL;
		struct err e = { 0 };
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(2);
		enum err_code code = source_nflog_new(
			&(struct source_nflog_config){ .groups = groups, .group_count = 1 }, &s,
			&e);
		_exit(code == ERR_PERMISSION && strstr(e.msg, "CAP_NET_ADMIN") ? 0 : 1);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_logged_packet_becomes_one_verdict),
		cmocka_unit_test(a_verdict_carries_packet_interface_and_time),
		cmocka_unit_test(a_prefix_that_says_nothing_is_an_audit),
		cmocka_unit_test(packets_that_overflow_the_socket_are_counted_to_the_packet),
		cmocka_unit_test(a_group_has_one_reader),
		cmocka_unit_test(without_the_right_one_is_told_how_to_get_it),
	};

	return cmocka_run_group_tests(tests, lab_up, NULL);
}
