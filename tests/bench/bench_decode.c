/* What taking a packet and a DNS message apart costs, beside the budgets. Best of many short
 * rounds: others share the machine. */
#include "base/time.h"
#include "observer/decode/decode.h"
#include "observer/decode/dns.h"
#include "tests/bench/bench.h"

enum { ROUNDS = 60, PACKETS = 50000 };

static const double packet_budget_ns = 25, dns_budget_ns = 100;

/* clang-format off */
/* RFC 9293 over RFC 791: an acknowledgement with the timestamps option. */
static const uint8_t tcp4[] = {
	2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,
	0x45, 0, 0, 52, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
	0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x10, 0xff, 0xff, 0, 0, 0, 0,
	1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2,
};

/* RFC 1035: www.example. A, answered by one address. */
static const uint8_t dns[] = {
	0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0,
	3, 'w', 'w', 'w', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 1, 0, 1,
	0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1,
};
/* clang-format on */

/* Keeps the compiler from taking work out of the loop: memory may have changed. */
static void fence(void)
{
	__asm__ volatile("" ::: "memory");
}

static double packet_round(void)
{
	struct flow f = { 0 };
	struct decode_payload payload;
	struct mono_ns start = mono_now();

	for (int i = 0; i < PACKETS; i++) {
		if (!decode_packet(str_n(tcp4, sizeof tcp4), DECODE_ETHERNET, true, &f, &payload))
			return -1;
		fence();
	}
	return (double)(mono_now().v - start.v) / PACKETS;
}

static double dns_round(void)
{
	static struct dns_message m;
	struct mono_ns start = mono_now();

	for (int i = 0; i < PACKETS; i++) {
		if (!dns_parse(str_n(dns, sizeof dns), false, &m))
			return -1;
		fence();
	}
	return (double)(mono_now().v - start.v) / PACKETS;
}

static void measure(const char *what, double (*round)(void), double budget_ns)
{
	double best = round();

	for (int i = 1; i < ROUNDS; i++) {
		double ns = round();
		best = ns < best ? ns : best;
	}
	bench_at_most(what, best, "ns", budget_ns);
}

int main(void)
{
	measure("TCP over IPv4 with options", packet_round, packet_budget_ns);
	measure("DNS answer", dns_round, dns_budget_ns);
	return 0;
}
