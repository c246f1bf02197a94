/*
 * bench_upstream - how fast the hubble source takes in the flows of a server that runs.
 *
 *	bench_upstream ADDRESS ROUNDS WHAT
 *
 * Each round follows the server anew, from its oldest flow on: received, looked at, recognised,
 * handed on through the queue, and drained as the capture thread would. From the first flow to the
 * last; the best round counts. bench_stream.py starts the observer.
 */
#include <poll.h>
#include <sys/resource.h>

#include "observer/upstream/hubble.h"
#include "tests/bench/bench.h"

/* After the last flow nothing comes for so long. */
enum { IDLE_MS = 300, WAIT_MS = 20000, DRAIN = 4096 };
#define HISTORY_NS (1000000 * UINT64_C(3600) * NS_PER_S)

struct counting {
	struct raw_sink sink; /* first */
	uint64_t flows, bytes;
	struct mono_ns first, last;
};

static void on_event(struct raw_sink *sink, const struct raw_event *ev)
{
	struct counting *c = (struct counting *)sink;

	if (ev->kind != RAW_FLOW)
		return;
	c->flows++;
	c->bytes += ev->packet.len;
}

static struct counting follow(struct source *s)
{
	struct counting c = { .sink = { on_event } };
	struct pollfd fd = { .fd = source_fd(s), .events = POLLIN };

	while (poll(&fd, 1, c.flows ? IDLE_MS : WAIT_MS) > 0) {
		uint64_t before = c.flows;
		(void)source_drain(s, &c.sink, DRAIN);
		if (c.flows == before)
			continue;
		c.last = mono_now();
		c.first = c.first.v ? c.first : c.last;
	}
	return c;
}

static double cpu_ns(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return 1e9 * (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       1e3 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
	double best = 0, least_ns = 1e18;
	struct counting c = { 0 };
	uint64_t rounds;
	struct err e;
	char what[128];

	if (argc != 4 || !parse_u64(str_of(argv[2]), 1000, &rounds) || rounds == 0) {
		(void)fprintf(stderr, "usage: bench_upstream ADDRESS ROUNDS WHAT\n");
		return 1;
	}
	rpc_init();
	for (uint64_t i = 0; i < rounds; i++) {
		const struct source_hubble_config config = { .address = argv[1],
							     .history_ns = HISTORY_NS };
		struct source *s;
		if (source_hubble_new(&config, &s, &e) != ERR_OK) {
			(void)fprintf(stderr, "bench_upstream: %s\n", e.msg);
			return 1;
		}
		double before = cpu_ns();
		c = follow(s);
		double ns = (cpu_ns() - before) / (double)(c.flows ? c.flows : 1);
		source_free(s);
		if (c.flows < 2) {
			(void)fprintf(stderr, "bench_upstream: no flows\n");
			return 1;
		}
		double per_s = (double)c.flows * 1e9 / (double)(c.last.v - c.first.v);
		best = per_s > best ? per_s : best;
		least_ns = ns < least_ns ? ns : least_ns;
	}
	rpc_shutdown();
	(void)snprintf(what, sizeof what, "%s, %llu flows of %llu bytes", argv[3],
		       (unsigned long long)c.flows, (unsigned long long)(c.bytes / c.flows));
	bench_note(what, best, "/s");
	bench_note("the same: CPU a flow, all threads", least_ns, "ns");
	return 0;
}
