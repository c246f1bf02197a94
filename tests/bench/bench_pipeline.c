/*
 * bench_pipeline - what an event costs on the capture thread: decode, name, append.
 *
 *	bench_pipeline               nanoseconds and allocations an event, beside the budget
 *	bench_pipeline once EVENTS   runs so many events and prints nothing: for callgrind, which
 *	                             counts the instructions inside compose_event
 *
 * Packets are built by hand as the kernel program would hand them over: 5,000 endpoints talk TCP
 * (60 of 100 events), UDP (20), TCP over IPv6 (10) and ICMP (5) to each other and to the world, and
 * some packets are dropped (5). The log holds 65,535 flows, so most of what is written is cold.
 */
#include <string.h>

#include "base/buf.h"
#include "bpf/event.h"
#include "observer/compose.h"
#include "tests/bench/bench.h"

enum {
	ENDPOINTS = 5000,
	CAPACITY = 65535,
	EVENTS = 8192, /* different ones; a round runs through all of them some times */
	PASSES = 8,
	ROUNDS = 40,
	PACKET_BYTES = 128,
};

static const double budget_ns = 100, budget_allocations = 0;

/* The C library's own, as malloc(3) names them for those who replace malloc. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);

static uint64_t allocations; /* of the whole program, libraries included */

void *malloc(size_t bytes)
{
	allocations++;
	return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
	allocations++;
	return __libc_calloc(n, bytes);
}

void *realloc(void *p, size_t bytes)
{
	allocations++;
	return __libc_realloc(p, bytes);
}

struct bench {
	struct flow_dict *dict;
	struct name_table *names;
	struct flow_log *log;
	struct flow_clock clock;
	struct compose compose;
	struct raw_event events[EVENTS];
	uint8_t packets[EVENTS][PACKET_BYTES];
	uint32_t random;
};

static uint32_t next(struct bench *b)
{
	b->random = b->random * 1664525u + 1013904223u; /* Numerical Recipes' generator */
	return b->random >> 8;
}

/* The pods' addresses: 10.0.0.0 on, and their like in IPv6. */
static void address4(uint8_t ret[4], uint32_t i)
{
	const uint8_t ip[4] = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };
	memcpy(ret, ip, sizeof ip);
}

static void address6(uint8_t ret[16], uint32_t i)
{
	memset(ret, 0, 16);
	ret[0] = 0xfd;
	address4(ret + 12, i);
}

static bool fill_names(struct bench *b)
{
	static const struct str labels[] = { STR("k8s:app=cart"), STR("k8s:env=prod"),
					     STR("k8s:io.kubernetes.pod.namespace=shop") };
	AUTO(own_free) struct name_prefix *p = calloc((size_t)2 * ENDPOINTS, sizeof *p);
	AUTO(own_free) char *pods = calloc(ENDPOINTS, 24);
	const struct name_service service = { .port = 80,
					      .service = { STR("cart"), STR("shop"), STR("") } };
	struct err e;

	if (!p || !pods)
		return false;
	for (uint32_t i = 0; i < ENDPOINTS; i++) {
		char *pod = pods + (size_t)i * 24;
		uint8_t ip[4];
		(void)snprintf(pod, 24, "cart-7f9c5d8b6-%u", i);
		address4(ip, i);
		ip_from_v4(p[2 * i].ip, ip);
		address6(p[2 * i + 1].ip, i);
		for (uint32_t k = 2 * i; k < 2 * i + 2; k++) {
			p[k].bits = 128;
			p[k].local = i % 50 == 0; /* a hundred pods of this node */
			p[k].endpoint = (struct endpoint){ .namespace_ = STR("shop"),
							   .pod = str_of(pod),
							   .labels = labels,
							   .label_count = ARRAY_LEN(labels) };
		}
	}
	return name_update(b->names, 0,
			   &(struct name_view){ .prefixes = p,
						.prefix_count = (size_t)2 * ENDPOINTS,
						.services = &service,
						.service_count = 1 },
			   &e) == ERR_OK;
}

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* RFC 791. @return bytes written. */
static size_t put_ip4(struct bench *b, uint8_t *at, uint8_t protocol, uint32_t payload_bytes)
{
	/* One in eight comes from outside: 11.0.0.0 on, which nobody claims. */
	uint32_t from = next(b) % ENDPOINTS + (next(b) % 8 ? 0 : 1u << 24);

	at[0] = 0x45;
	put16(at + 2, 20 + payload_bytes);
	at[6] = 0x40;
	at[8] = 64;
	at[9] = protocol;
	address4(at + 12, from);
	at[12] = from >> 24 ? 11 : 10;
	address4(at + 16, next(b) % ENDPOINTS);
	return 20;
}

/* RFC 8200. */
static size_t put_ip6(struct bench *b, uint8_t *at, uint8_t protocol, uint32_t payload_bytes)
{
	at[0] = 0x60;
	put16(at + 4, payload_bytes);
	at[6] = protocol;
	at[7] = 64;
	address6(at + 8, next(b) % ENDPOINTS);
	address6(at + 24, next(b) % ENDPOINTS);
	return 40;
}

/* RFC 9293, with the timestamps option. */
static size_t put_tcp(struct bench *b, uint8_t *at)
{
	static const uint8_t flags[] = { 0x02, 0x12, 0x10, 0x18, 0x11 }; /* SYN … FIN ACK */

	put16(at, 32768 + next(b) % 28000);
	put16(at + 2, next(b) % 4 ? 80 : 8080);
	at[12] = 0x80;
	at[13] = flags[next(b) % sizeof flags];
	at[20] = at[21] = 1;
	at[22] = 8;
	at[23] = 10;
	return 32;
}

static size_t put_udp(struct bench *b, uint8_t *at) /* RFC 768 */
{
	put16(at, 32768 + next(b) % 28000);
	put16(at + 2, 4789 + next(b) % 100);
	put16(at + 4, 40);
	return 40;
}

static void make_event(struct bench *b, struct raw_event *ev, uint8_t *packet)
{
	enum { TCP = 6, UDP = 17, ICMP = 1 };
	uint32_t kind = next(b) % 100;
	size_t at = 14;

	packet[0] = packet[6] = 2; /* locally administered addresses */
	put16(packet + 12, kind < 10 ? 0x86dd : 0x0800);
	if (kind < 10) {
		at += put_ip6(b, packet + at, TCP, 32);
		at += put_tcp(b, packet + at);
	} else if (kind < 30) {
		at += put_ip4(b, packet + at, UDP, 40);
		at += put_udp(b, packet + at);
	} else if (kind < 35) {
		at += put_ip4(b, packet + at, ICMP, 64);
		packet[at] = 8; /* echo request */
		at += 64;
	} else {
		at += put_ip4(b, packet + at, TCP, 32);
		at += put_tcp(b, packet + at);
	}
	*ev = (struct raw_event){
		.kind = kind < 95 ? RAW_TRACE : RAW_DROP,
		.mono = { NS_PER_S + (uint64_t)(ev - b->events) * 1000 },
		.packet = str_n((const char *)packet, at),
		.packet_bytes = (uint32_t)at,
		.packets = 1 + next(b) % 100,
		.bytes = 64 + next(b) % 100000,
		.ifindex = 12,
		.ifname = "veth1a2b3c4d",
		.netns = 4026531840,
		.reply_known = true,
		.reply = next(b) % 2,
		.endpoint_side = next(b) % 4 != 0,
		.cause = BPF_CAUSE_NEW,
		.direction = next(b) % 2 ? RAW_DIR_INGRESS : RAW_DIR_EGRESS,
		.cpu = -1,
	};
	if (ev->kind == RAW_DROP)
		ev->kernel_reason = STR("NETFILTER_DROP");
}

static void run(struct bench *b, size_t count)
{
	const struct mono_ns now = { 2 * NS_PER_S };

	for (size_t i = 0; i < count; i++)
		compose_event(&b->compose, &b->events[i % EVENTS], now);
}

static void measure(struct bench *b)
{
	const size_t count = (size_t)PASSES * EVENTS;
	double best = 0;

	run(b, 2 * CAPACITY); /* every page of the log has been touched */
	uint64_t before = allocations;
	for (int r = 0; r < ROUNDS; r++) {
		struct mono_ns start = mono_now();
		run(b, count);
		double ns = (double)(mono_now().v - start.v) / (double)count;
		best = r == 0 || ns < best ? ns : best;
	}
	double per_event = (double)(allocations - before) / (double)(count * ROUNDS);
	bench_at_most("an event: decode, name, append", best, "ns", budget_ns);
	bench_at_most("allocations an event", per_event, "", budget_allocations);
}

int main(int argc, char **argv)
{
	static const uint64_t seed[2] = { 1, 2 };
	struct bench *b = calloc(1, sizeof *b);
	uint64_t once = 0;
	struct err e;
	int status = 1;

	if (argc > 1 && (argc != 3 || strcmp(argv[1], "once") != 0 ||
			 !parse_u64(str_of(argv[2]), UINT32_MAX, &once))) {
		(void)fprintf(stderr, "usage: bench_pipeline [once EVENTS]\n");
		free(b);
		return 1;
	}
	if (b && flow_dict_new(65536, &b->dict, &e) == ERR_OK &&
	    name_table_new(&(struct name_config){ .node = "n1" }, b->dict, &b->names, &e) ==
		    ERR_OK &&
	    flow_log_new(&(struct flow_log_config){ CAPACITY, 0, 1 }, &b->log, &e) == ERR_OK &&
	    fill_names(b)) {
		b->clock = flow_clock_of((struct mono_ns){ 0 }, (struct wall_ns){ NS_PER_S });
		compose_init(&b->compose, b->log, b->dict, b->names, &b->clock, seed);
		for (size_t i = 0; i < EVENTS; i++)
			make_event(b, &b->events[i], b->packets[i]);
		if (once)
			run(b, once);
		else
			measure(b);
		bool all = compose_counts(&b->compose).refused == 0; /* they are what we meant */
		status = all ? 0 : 1;
		if (!all)
			(void)fprintf(stderr, "bench_pipeline: packets were refused\n");
	}
	if (b) {
		flow_log_free(b->log);
		name_table_free(b->names);
		flow_dict_free(b->dict);
	}
	free(b);
	return status;
}
