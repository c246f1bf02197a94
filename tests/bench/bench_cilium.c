/*
 * bench_cilium - what an event of Cilium's datapath costs, and how many a second its perf buffers
 * give without loss.
 *
 *	bench_cilium         nanoseconds and allocations an event: decode, name, append
 *	bench_cilium ring    events a second through a real perf ring; needs root and two CPUs
 *	bench_cilium dump F  the events into a file (bench_dump.h)
 *
 * Events are those of Cilium 1.19: traces (85 of 100), drops (5) and policy verdicts (10) of TCP,
 * UDP and TCP over IPv6 between 5,000 endpoints whose identities the agent knows; one endpoint in
 * twenty has just got another identity than is known. The log holds 65,535 flows.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "base/buf.h"
#include "observer/cilium/monitor.h"
#include "observer/cilium/perf.h"
#include "observer/compose.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_dump.h"
#include "tests/unit/perf_emitter.h"

enum {
	ENDPOINTS = 5000,
	IDENTITIES = 500,
	FIRST_IDENTITY = 30000,
	CAPACITY = 65535,
	EVENTS = 8192,
	PASSES = 1,
	ROUNDS = 320,
	EVENT_BYTES = 192,
};

static const double budget_ns = 100, budget_allocations = 0, budget_rate = 500000;

/* The C library's own, as malloc(3) names them for those who replace malloc. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);

static _Atomic uint64_t allocations; /* of the whole program, libraries included */

void *malloc(size_t bytes)
{
	atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
	return __libc_malloc(bytes);
}

void *calloc(size_t n, size_t bytes)
{
	atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
	return __libc_calloc(n, bytes);
}

void *realloc(void *p, size_t bytes)
{
	atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
	return __libc_realloc(p, bytes);
}

struct bench {
	struct raw_sink sink; /* first */
	struct flow_dict *dict;
	struct name_table *names;
	struct flow_log *log;
	struct flow_clock clock;
	struct cilium *cilium;
	struct compose compose;
	struct raw_event events[EVENTS];
	uint8_t bytes[EVENTS][EVENT_BYTES];
	uint32_t random;
	uint64_t lost;
};

static uint32_t next(struct bench *b)
{
	b->random = b->random * 1664525u + 1013904223u; /* Numerical Recipes' generator */
	return b->random >> 8;
}

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

static uint32_t identity_of(uint32_t endpoint)
{
	return FIRST_IDENTITY + endpoint % IDENTITIES;
}

static bool fill_names(struct bench *b)
{
	static const struct str labels[] = { STR("k8s:app=cart"), STR("k8s:env=prod"),
					     STR("k8s:io.kubernetes.pod.namespace=shop") };
	AUTO(own_free) struct name_prefix *p = calloc((size_t)2 * ENDPOINTS, sizeof *p);
	AUTO(own_free) struct name_identity *ids = calloc(IDENTITIES, sizeof *ids);
	AUTO(own_free) char *pods = calloc(ENDPOINTS, 24);
	const struct name_service service = { .port = 80,
					      .service = { STR("cart"), STR("shop"), STR("") } };
	struct err e;

	if (!p || !pods || !ids)
		return false;
	for (uint32_t i = 0; i < IDENTITIES; i++)
		ids[i] = (struct name_identity){ identity_of(i), labels, ARRAY_LEN(labels) };
	for (uint32_t i = 0; i < ENDPOINTS; i++) {
		char *pod = pods + (size_t)i * 24;
		uint8_t ip[4];
		(void)snprintf(pod, 24, "cart-7f9c5d8b6-%u", i);
		address4(ip, i);
		ip_from_v4(p[2 * i].ip, ip);
		address6(p[2 * i + 1].ip, i);
		for (uint32_t k = 2 * i; k < 2 * i + 2; k++) {
			p[k].bits = 128;
			p[k].verbatim = true;
			p[k].local = i % 50 == 0; /* a hundred pods of this node */
			p[k].endpoint = (struct endpoint){ .id = p[k].local ? i + 1 : 0,
							   .identity = identity_of(i),
							   .namespace_ = STR("shop"),
							   .pod = str_of(pod) };
		}
	}
	return name_update(b->names, 0,
			   &(struct name_view){ .prefixes = p,
						.prefix_count = (size_t)2 * ENDPOINTS,
						.services = &service,
						.service_count = 1,
						.identities = ids,
						.identity_count = IDENTITIES },
			   &e) == ERR_OK;
}

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v) /* host order, as the datapath writes */
{
	memcpy(at, &v, sizeof v);
}

/* Ethernet, IP, TCP or UDP from endpoint @src to @dst. @return bytes. */
static size_t put_packet(struct bench *b, uint8_t *p, uint32_t src, uint32_t dst, uint32_t kind)
{
	bool ipv6 = kind < 10, udp = kind >= 10 && kind < 30;
	size_t l4_bytes = udp ? 40 : 32, at = 14;

	p[0] = p[6] = 2; /* locally administered addresses */
	put16(p + 12, ipv6 ? 0x86dd : 0x0800);
	if (ipv6) {
		p[at] = 0x60;
		put16(p + at + 4, (uint32_t)l4_bytes);
		p[at + 6] = 6;
		address6(p + at + 8, src);
		address6(p + at + 24, dst);
		at += 40;
	} else {
		p[at] = 0x45;
		put16(p + at + 2, (uint32_t)(20 + l4_bytes));
		p[at + 9] = udp ? 17 : 6;
		address4(p + at + 12, src);
		address4(p + at + 16, dst);
		at += 20;
	}
	put16(p + at, 32768 + next(b) % 28000);
	put16(p + at + 2, next(b) % 4 ? 80 : 8080);
	if (udp) {
		put16(p + at + 4, (uint32_t)l4_bytes);
	} else {
		p[at + 12] = 0x80;
		p[at + 13] = next(b) % 2 ? 0x02 : 0x18;
		p[at + 20] = p[at + 21] = 1;
		p[at + 22] = 8;
		p[at + 23] = 10;
	}
	return at + l4_bytes;
}

/* reference/cilium-events.md section 3. @return bytes of the fixed part. */
static size_t put_fixed(struct bench *b, uint8_t *p, uint32_t src, uint32_t dst, uint32_t kind)
{
	uint32_t src_label = identity_of(src), dst_label = identity_of(dst);

	if (dst % 20 == 0)
		dst_label = identity_of(dst + 1);
	put32(p + 16, src_label);
	put32(p + 20, dst_label);
	p[2] = (uint8_t)(src + 1);
	p[3] = (uint8_t)((src + 1) >> 8);
	if (kind >= 95) { /* drop, version 3 */
		p[0] = 1;
		p[1] = 133;
		p[14] = 3;
		p[28] = 100;
		p[30] = 2;
		p[36] = kind < 10;
		return 48;
	}
	if (kind >= 85) { /* policy verdict */
		p[0] = 5;
		p[14] = 1;
		memset(p + 20, 0, 4);
		p[26] = 6;
		p[27] = 1 | 2 << 3;
		return 40;
	}
	p[0] = 4; /* trace, version 2 */
	p[1] = (uint8_t)(next(b) % 4);
	p[14] = 2;
	p[26] = (uint8_t)(next(b) % 3);
	p[27] = kind < 10;
	put32(p + 28, 12);
	return 56;
}

static void make_event(struct bench *b, struct raw_event *ev, uint8_t *bytes)
{
	uint32_t src = next(b) % ENDPOINTS, dst = next(b) % ENDPOINTS, kind = next(b) % 100;
	size_t at = put_fixed(b, bytes, src, dst, kind);

	at += put_packet(b, bytes + at, src, dst, kind);
	*ev = (struct raw_event){ .kind = RAW_CILIUM,
				  .mono = { NS_PER_S + (uint64_t)(ev - b->events) * 1000 },
				  .packet = str_n(bytes, at),
				  .cpu = 1 };
}

static bool link_name(void *ctx, uint32_t ifindex, struct mono_ns now, char ret[FLOW_IFNAME_BYTES])
{
	static const char name[FLOW_IFNAME_BYTES] = "lxc1a2b3c4d5e6f";

	(void)ctx;
	(void)now;
	memcpy(ret, name, sizeof name);
	return ifindex == 12;
}

/* --- an event ----------------------------------------------------------------------------- */

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

	run(b, 2 * CAPACITY); /* every page of the log has been touched, every name seen */
	uint64_t before = atomic_load(&allocations);
	for (int r = 0; r < ROUNDS; r++) {
		struct mono_ns start = mono_now();
		run(b, count);
		double ns = (double)(mono_now().v - start.v) / (double)count;
		best = r == 0 || ns < best ? ns : best;
	}
	double per_event = (double)(atomic_load(&allocations) - before) / (double)(count * ROUNDS);
	bench_at_most("an event of Cilium's: decode, name, append", best, "ns", budget_ns);
	bench_at_most("allocations an event of Cilium's", per_event, "", budget_allocations);
}

/* --- a ring ------------------------------------------------------------------------------- */

enum { READ_ON = 0, WRITE_ON = 1, BURST_MS = 1, LAST_MS = 2000 };

struct writer {
	const struct perf_emitter *em;
	struct str sample;
	uint32_t per_burst;
	uint64_t written;
	_Atomic bool done;
};

static void *write_bursts(void *arg)
{
	struct writer *w = arg;
	struct mono_ns start = mono_now();

	for (uint64_t burst = 0; burst < LAST_MS / BURST_MS; burst++) {
		while (mono_now().v - start.v < burst * BURST_MS * NS_PER_MS)
			;
		(void)perf_emit(w->em, WRITE_ON, w->sample, w->per_burst);
		w->written += w->per_burst;
	}
	atomic_store(&w->done, true);
	return NULL;
}

static void take(struct raw_sink *sink, const struct raw_event *ev)
{
	struct bench *b = (struct bench *)sink;

	if (ev->kind == RAW_LOST)
		b->lost += ev->lost;
	compose_event(&b->compose, ev, (struct mono_ns){ 2 * NS_PER_S });
}

static void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)sched_setaffinity(0, sizeof set, &set);
}

static void drain_once(struct bench *b, struct source *s)
{
	struct pollfd fd = { .fd = source_fd(s), .events = POLLIN };

	(void)poll(&fd, 1, 100);
	(void)source_drain(s, &b->sink, 4096);
}

/* @return the share that was lost at @rate events a second; *@ret_rate is the rate there was. */
static double flood(struct bench *b, const struct perf_emitter *em, struct source *s, double rate,
		    double *ret_rate)
{
	struct writer w = { .em = em,
			    .sample = b->events[0].packet,
			    .per_burst = (uint32_t)(rate * BURST_MS / 1000) };
	struct mono_ns start = mono_now();
	pthread_t thread;

	b->lost = 0;
	if (pthread_create(&thread, NULL, write_bursts, &w) != 0)
		return 1;
	while (!atomic_load(&w.done))
		drain_once(b, s);
	*ret_rate = (double)w.written * 1e9 / (double)(mono_now().v - start.v);
	(void)pthread_join(thread, NULL);
	(void)perf_emit(em, WRITE_ON, w.sample, 1); /* with it comes what was lost last */
	pin_to(READ_ON);
	for (int i = 0; i < 20; i++)
		drain_once(b, s);
	return (double)b->lost / (double)w.written;
}

static void measure_ring(struct bench *b)
{
	static const double rates[] = { 100e3, 250e3, 500e3, 750e3, 1000e3, 1500e3, 2000e3 };
	AUTO_EMITTER em = perf_emitter_open();
	struct source *s = NULL;
	double lossless = 0, at_budget = 1;
	struct err e;

	b->sink.event = take;
	if (source_cilium_perf_new(&(struct source_cilium_perf_config){ .path = em.path }, &s,
				   &e) != ERR_OK) {
		(void)fprintf(stderr, "bench_cilium: %s\n", e.msg);
		return;
	}
	pin_to(READ_ON);
	while (!source_cilium_perf_counts(s).opens)
		drain_once(b, s);
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		double rate = 0, lost = flood(b, &em, s, rates[i], &rate);
		if (rates[i] == budget_rate)
			at_budget = lost;
		(void)fprintf(stderr, "%.0f events/s asked, %.0f written, %.3g %% lost\n", rates[i],
			      rate, lost * 100);
		if (lost > 0)
			break;
		lossless = rate > lossless ? rate : lossless;
	}
	source_free(s);
	bench_at_least("perf ring, one writer, one core: without loss", lossless, "events/s",
		       budget_rate);
	bench_note("lost at 500,000 events/s", at_budget * 100, "%");
}

static bool dump(const struct bench *b, const char *path)
{
	FILE *file = bench_dump_open(path);
	bool ok = file != NULL;

	for (size_t i = 0; ok && i < EVENTS; i++)
		ok = bench_dump_record(file, b->events[i].packet);
	return bench_dump_close(file) && ok;
}

static bool open_all(struct bench *b, struct err *e)
{
	static const uint64_t seed[2] = { 1, 2 };
	struct cilium_config config = { .link_name = link_name, .release = CILIUM_RELEASE_1_19 };

	if (flow_dict_new(65536, &b->dict, e) != ERR_OK ||
	    name_table_new(&(struct name_config){ .node = "n1" }, b->dict, &b->names, e) !=
		    ERR_OK ||
	    flow_log_new(&(struct flow_log_config){ CAPACITY, 0, 1 }, &b->log, e) != ERR_OK ||
	    !fill_names(b))
		return false;
	config.dict = b->dict;
	config.names = b->names;
	if (cilium_new(&config, &b->cilium, e) != ERR_OK)
		return false;
	b->clock = flow_clock_of((struct mono_ns){ 0 }, (struct wall_ns){ NS_PER_S });
	compose_init(&b->compose, b->log, b->dict, b->names, &b->clock, seed);
	b->compose.cilium = b->cilium;
	for (size_t i = 0; i < EVENTS; i++)
		make_event(b, &b->events[i], b->bytes[i]);
	return true;
}

int main(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof *b);
	struct err e = { .msg = "out of memory" };
	int status = 1;

	bool dumps = argc == 3 && strcmp(argv[1], "dump") == 0;

	if (argc > 1 && !dumps && (argc > 2 || strcmp(argv[1], "ring") != 0)) {
		(void)fprintf(stderr, "usage: bench_cilium [ring | dump FILE]\n");
	} else if (b && open_all(b, &e)) {
		bool written = !dumps || dump(b, argv[2]);
		if (argc == 2)
			measure_ring(b);
		else if (!dumps)
			measure(b);
		/* they are what we meant */
		bool refused = compose_counts(&b->compose).refused;
		status = refused || !written;
		if (refused)
			(void)fprintf(stderr, "bench_cilium: events were refused\n");
	} else {
		(void)fprintf(stderr, "bench_cilium: %s\n", e.msg);
	}
	if (b) {
		cilium_free(b->cilium);
		flow_log_free(b->log);
		name_table_free(b->names);
		flow_dict_free(b->dict);
	}
	free(b);
	return status;
}
