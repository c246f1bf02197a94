/* observer/source/kernel_log: lines as a kernel wrote them (Linux 6.18, nft … log prefix "…"), and
 * what becomes of a log that is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>

#include <cmocka.h>

#include "observer/decode/decode.h"
#include "observer/source/kernel_log.h"

#define MAC4 "MAC=00:00:00:00:00:00:00:00:00:00:00:00:08:00 "
#define TCP_LINE                                                                                   \
	"4,2604,31263660391,-;calico-packet: IN=lo OUT= " MAC4                                     \
	"SRC=127.0.0.1 DST=127.0.0.2 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=26303 DF PROTO=TCP "      \
	"SPT=50394 DPT=7777 SEQ=3068510785 ACK=0 WINDOW=65495 RES=0x00 SYN URGP=0 OPT "            \
	"(0204FFD70402080AB041A244000000000103030A) "
#define TCP6_LINE                                                                                  \
	"4,2605,31263660577,-;x IN=y IN=lo OUT= MAC=00:00:00:00:00:00:00:00:00:00:00:00:86:dd "    \
	"SRC=0000:0000:0000:0000:0000:0000:0000:0001 DST=0000:0000:0000:0000:0000:0000:0000:0002 " \
	"LEN=80 TC=0 HOPLIMIT=64 FLOWLBL=566377 PROTO=TCP SPT=42352 DPT=7779 WINDOW=65476 "        \
	"RES=0x00 ACK SYN URGP=0 "
#define UDP_LINE                                                                                   \
	"4,2606,31263660617,-;tycho:deny:ingress:db: IN=lo OUT= " MAC4                             \
	"SRC=127.0.0.1 DST=127.0.0.1 LEN=33 TOS=0x00 PREC=0x00 TTL=64 ID=49561 DF PROTO=UDP "      \
	"SPT=48888 DPT=7778 LEN=13 "
#define ICMP_LINE                                                                                  \
	"4,2607,31263820713,-;APE0|knp/shop/webIN=lo OUT= " MAC4                                   \
	"SRC=127.0.0.1 DST=127.0.0.1 LEN=84 TOS=0x00 PREC=0x00 TTL=64 ID=69 DF PROTO=ICMP TYPE=8 " \
	"CODE=0 ID=8051 SEQ=1 "
#define ICMP6_LINE                                                                                 \
	"4,2608,31263863890,-;calico-drop: IN=lo OUT= MAC=00:00:00:00:00:00:00:00:00:00:00:00:86:" \
	"dd SRC=0000:0000:0000:0000:0000:0000:0000:0001 "                                          \
	"DST=0000:0000:0000:0000:0000:0000:0000:0001 LEN=104 TC=0 HOPLIMIT=64 FLOWLBL=619255 "     \
	"PROTO=ICMPv6 TYPE=128 CODE=0 ID=8058 SEQ=1 "

static struct flow read_line(const char *record, struct kernel_log_line *line)
{
	struct flow f = { 0 };
	struct decode_payload payload;
	struct str message;
	uint64_t sequence;
	bool is_kernel;

	assert_true(kernel_log_head(str_of(record), &sequence, &is_kernel, &message));
	assert_true(is_kernel);
	assert_true(kernel_log_read(message, line));
	assert_true(decode_packet(str_n(line->packet, line->packet_bytes),
				  line->ethertype == 0x86dd ? DECODE_IPV6 : DECODE_IPV4, true, &f,
				  &payload));
	return f;
}

static void assert_str(struct str s, const char *text)
{
	if (!str_is(s, text))
		fail_msg("'%.*s' is not '%s'", STR_FMT(s), text);
}

static void assert_ip(const uint8_t ip[16], const char *text)
{
	uint8_t want[16];

	assert_true(ip_parse(str_of(text), want));
	assert_memory_equal(ip, want, 16);
}

static void tcp_over_both_families_is_what_the_kernel_logged(void **state)
{
	(void)state;
	struct kernel_log_line line;
	struct flow f = read_line(TCP_LINE, &line);

	assert_str(line.prefix, "calico-packet: ");
	assert_str(line.in, "lo");
	assert_str(line.out, "");
	assert_int_equal(line.length_bytes, 60);
	assert_ip(f.src_ip, "127.0.0.1");
	assert_ip(f.dst_ip, "127.0.0.2");
	assert_int_equal(f.l4, FLOW_L4_TCP);
	assert_int_equal(f.src_port, 50394);
	assert_int_equal(f.dst_port, 7777);
	assert_int_equal(f.tcp_flags, FLOW_TCP_SYN);
	f = read_line(TCP6_LINE, &line);
	assert_str(line.prefix, "x IN=y "); /* the prefix has an IN= of its own */
	assert_ip(f.dst_ip, "::2");
	assert_int_equal(f.dst_port, 7779);
	assert_int_equal(f.tcp_flags, FLOW_TCP_SYN | FLOW_TCP_ACK);
	assert_int_equal(line.length_bytes, 80);
}

static void udp_and_icmp_are_what_the_kernel_logged(void **state)
{
	(void)state;
	struct kernel_log_line line;
	struct flow f = read_line(UDP_LINE, &line);

	assert_int_equal(f.l4, FLOW_L4_UDP);
	assert_int_equal(f.dst_port, 7778);
	assert_int_equal(line.length_bytes, 33); /* not UDP's own LEN */
	f = read_line(ICMP_LINE, &line);
	assert_str(line.prefix, "APE0|knp/shop/web"); /* no blank before IN= */
	assert_int_equal(f.l4, FLOW_L4_ICMP4);
	assert_int_equal(f.icmp_type, 8);
	f = read_line(ICMP6_LINE, &line);
	assert_int_equal(f.l4, FLOW_L4_ICMP6);
	assert_int_equal(f.icmp_type, 128);
}

static void other_lines_are_no_packets(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"",
		"br0: port 3(f-node3) entered blocking state",
		"IN=lo",
		"IN=lo OUT=",
		"IN=lo OUT= SRC=1.2.3.4 DST=1.2.3.4 LEN=5", /* no protocol */
		"IN=lo OUT= SRC=1.2.3.4 DST=::1 PROTO=TCP SPT=1 DPT=2",
		"IN=lo OUT= SRC=1.2.3 DST=1.2.3.4 PROTO=TCP SPT=1 DPT=2",
		"IN=lo OUT= ARP HTYPE=1 PTYPE=0x0800 OPCODE=1",
	};
	struct kernel_log_line line;
	uint64_t sequence;
	bool is_kernel;
	struct str message;

	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (kernel_log_read(str_of(lines[i]), &line))
			fail_msg("'%s' was read", lines[i]);
	assert_false(kernel_log_head(STR(" SUBSYSTEM=net"), &sequence, &is_kernel, &message));
	assert_false(kernel_log_head(STR("6,x,1,-;text"), &sequence, &is_kernel, &message));
	assert_true(kernel_log_head(STR("12,7,1,-;text"), &sequence, &is_kernel, &message));
	assert_false(is_kernel); /* facility 1: a program wrote it */
}

/* --- a log that is read */

struct seen {
	struct raw_sink sink;
	enum raw_kind kinds[64];
	enum raw_verdict verdicts[64];
	char policies[64][32];
	uint64_t lost;
	size_t count;
};

static void take_event(struct raw_sink *sink, const struct raw_event *ev)
{
	struct seen *s = (struct seen *)sink;

	assert_in_range(s->count, 0, 63);
	s->kinds[s->count] = ev->kind;
	s->verdicts[s->count] = ev->verdict;
	s->lost += ev->kind == RAW_LOST ? ev->lost : 0;
	(void)snprintf(s->policies[s->count++], 32, "%.*s", (int)ev->policy.len,
		       ev->policy.len ? ev->policy.p : "");
}

struct pipe_log {
	char dir[64], path[96];
	int fd;
	struct source *source;
	struct seen seen;
};

static int setup(void **state)
{
	struct pipe_log *p = calloc(1, sizeof *p);

	(void)snprintf(p->dir, sizeof p->dir, "/tmp/kernel-log-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->path, sizeof p->path, "%s/kmsg", p->dir);
	assert_int_equal(mkfifo(p->path, 0600), 0);
	const struct source_kernel_log_config config = { .path = p->path };
	assert_int_equal(source_kernel_log_new(&config, &p->source, NULL), ERR_OK);
	p->fd = open(p->path, O_WRONLY | O_CLOEXEC);
	assert_true(p->fd >= 0);
	p->seen.sink.event = take_event;
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct pipe_log *p = *state;

	source_free(p->source);
	(void)close(p->fd);
	(void)unlink(p->path);
	(void)rmdir(p->dir);
	free(p);
	return 0;
}

static void hear(struct pipe_log *p, const char *text)
{
	assert_int_equal(write(p->fd, text, strlen(text)), strlen(text));
	while (source_drain(p->source, &p->seen.sink, 8))
		;
}

static void lines_become_verdicts_with_their_policies(void **state)
{
	struct pipe_log *p = *state;

	hear(p, TCP_LINE "\n" TCP6_LINE "\n SUBSYSTEM=x\n" UDP_LINE "\n" ICMP_LINE "\n" ICMP6_LINE
			 "\n");
	assert_int_equal(p->seen.count, 5);
	assert_int_equal(p->seen.verdicts[0], RAW_AUDIT); /* a Log rule was passed, no more */
	assert_int_equal(p->seen.verdicts[1], RAW_AUDIT);
	assert_int_equal(p->seen.verdicts[2], RAW_DENY);
	assert_string_equal(p->seen.policies[2], "db"); /* without the prefix's last colon */
	assert_int_equal(p->seen.verdicts[3], RAW_ALLOW);
	assert_string_equal(p->seen.policies[3], "web");
	assert_int_equal(p->seen.verdicts[4], RAW_DENY);
	assert_int_equal(p->seen.lost, 0);
}

static void a_line_that_comes_in_pieces_is_one(void **state)
{
	struct pipe_log *p = *state;

	hear(p, "4,1,1,-;tycho:deny:ingress:db IN=lo OUT= SRC=1.2.3.4 DST=1.2.");
	assert_int_equal(p->seen.count, 0);
	hear(p, "3.5 LEN=60 PROTO=TCP SPT=1 DPT=2 SYN \n");
	assert_int_equal(p->seen.count, 1);
	assert_string_equal(p->seen.policies[0], "db");
}

static void a_gap_in_the_numbers_is_loss_and_is_told_first(void **state)
{
	struct pipe_log *p = *state;

	hear(p, "6,10,1,-;something else\n6,11,1,-;more of it\n");
	assert_int_equal(p->seen.count, 0);
	hear(p, "4,15,1,-;IN=lo OUT= SRC=1.2.3.4 DST=1.2.3.5 LEN=60 PROTO=TCP SPT=1 DPT=2 SYN \n");
	assert_int_equal(p->seen.count, 2);
	assert_int_equal(p->seen.kinds[0], RAW_LOST);
	assert_int_equal(p->seen.lost, 3); /* 12, 13, 14 */
	assert_int_equal(p->seen.kinds[1], RAW_VERDICT);
}

static void what_a_program_wrote_is_not_believed(void **state)
{
	struct pipe_log *p = *state;

	hear(p,
	     "12,1,1,-;tycho:deny:ingress:db IN=lo OUT= SRC=1.2.3.4 DST=1.2.3.5 LEN=60 PROTO=TCP "
	     "SPT=1 DPT=2 \n");
	assert_int_equal(p->seen.count, 0);
}

static void a_line_that_is_too_long_is_lost_and_the_next_is_read(void **state)
{
	struct pipe_log *p = *state;
	char chunk[1001];

	memset(chunk, 'x', 1000);
	chunk[1000] = 0;
	for (int i = 0; i < 40; i++)
		hear(p, chunk);
	hear(p, "\n4,1,1,-;IN=lo OUT= SRC=1.2.3.4 DST=1.2.3.5 LEN=60 PROTO=TCP SPT=1 DPT=2 \n");
	assert_int_equal(p->seen.lost, 1);
	assert_int_equal(p->seen.kinds[p->seen.count - 1], RAW_VERDICT);
}

static void a_file_is_no_log(void **state)
{
	(void)state;
	struct source *s = NULL;
	struct err e;
	const struct source_kernel_log_config file = { .path = "/etc/hostname" };
	const struct source_kernel_log_config none = { .path = "/nonexistent/kmsg" };

	assert_int_equal(source_kernel_log_new(&file, &s, &e), ERR_INVALID);
	assert_string_equal(e.msg, "kernel log '/etc/hostname': no device and no pipe");
	assert_int_equal(source_kernel_log_new(&none, &s, &e), ERR_NOT_FOUND);
	assert_null(s);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp_over_both_families_is_what_the_kernel_logged),
		cmocka_unit_test(udp_and_icmp_are_what_the_kernel_logged),
		cmocka_unit_test(other_lines_are_no_packets),
		TEST(lines_become_verdicts_with_their_policies),
		TEST(a_line_that_comes_in_pieces_is_one),
		TEST(a_gap_in_the_numbers_is_loss_and_is_told_first),
		TEST(what_a_program_wrote_is_not_believed),
		TEST(a_line_that_is_too_long_is_lost_and_the_next_is_read),
		cmocka_unit_test(a_file_is_no_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
