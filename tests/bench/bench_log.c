/* What a put and a read of the flow log cost, beside their budgets. Best of several rounds: others
 * share the machine. */
#include <stdio.h>

#include "observer/log/log.h"
#include "tests/bench/bench.h"

enum { CAPACITY = 65535, ROUNDS = 9, PUTS = 500000, EXT_BYTES = 40, BATCH = 64 };

static const double put_budget_ns = 30, read_budget_ns = 60;

static double put_round(struct flow_log *log, struct flow *f)
{
	struct mono_ns start = mono_now();

	for (int i = 0; i < PUTS; i++) {
		f->src_port++;
		(void)flow_log_put(log, f);
	}
	return (double)(mono_now().v - start.v) / PUTS;
}

static double read_round(const struct flow_log *log, struct flow_batch *b)
{
	uint64_t cursor = 0, lost, n = 0;
	struct mono_ns start = mono_now();

	while (flow_log_read(log, &cursor, UINT64_MAX, b, &lost))
		n += b->count;
	return (double)(mono_now().v - start.v) / (double)(n ? n : 1);
}

int main(void)
{
	AUTO(flow_log_free) struct flow_log *log = NULL;
	AUTO(flow_batch_free) struct flow_batch *b = NULL;
	struct err e;
	uint8_t ext[EXT_BYTES] = { 0 };

	if (flow_log_new(&(struct flow_log_config){ CAPACITY, 0, 1 }, &log, &e) != ERR_OK ||
	    flow_batch_new(log, BATCH, &b, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", e.msg);
		return 1;
	}
	double bare = 1e9, with_ext = 1e9, read = 1e9;
	for (int i = 0; i < ROUNDS; i++) {
		struct flow f = { .kind = FLOW_KIND_FLOW };
		double ns = put_round(log, &f);
		bare = ns < bare ? ns : bare;
		f.ext = ext;
		f.ext_len = EXT_BYTES;
		ns = put_round(log, &f);
		with_ext = ns < with_ext ? ns : with_ext;
		ns = read_round(log, b);
		read = ns < read ? ns : read;
	}
	bench_at_most("put", bare, "ns", put_budget_ns);
	bench_at_most("put with 40 bytes of ext", with_ext, "ns", put_budget_ns);
	bench_at_most("read (in 64s, with ext)", read, "ns", read_budget_ns);
	return 0;
}
