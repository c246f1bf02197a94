#include "observer/api/rate.h"

enum { CHUNK = 64 };

struct tally {
	uint64_t flows;
	struct wall_ns since;  /* start of the window */
	struct wall_ns oldest; /* of the flows counted */
	bool is_complete;      /* a flow older than the window was met */
};

static void count(struct tally *t, const struct flow_batch *b)
{
	for (size_t i = 0; i < b->count; i++) {
		const struct flow *f = &b->flows[i];
		if (f->kind != FLOW_KIND_FLOW || !flow_is(f, FLOW_HAS_TIME))
			continue;
		if (f->time.v < t->since.v) {
			t->is_complete = true;
			continue;
		}
		t->flows++;
		if (!t->oldest.v || f->time.v < t->oldest.v)
			t->oldest = f->time;
	}
}

uint64_t rate_covered_ns(struct wall_ns now, struct wall_ns oldest, bool is_cut, uint64_t uptime_ns)
{
	const uint64_t window_ns = RATE_WINDOW_S * NS_PER_S;
	uint64_t covered_ns = oldest.v && now.v > oldest.v ? now.v - oldest.v : 0;

	/* Of an observer that has just begun, one flow is no thousand a second. */
	if (!is_cut || !covered_ns) {
		covered_ns = uptime_ns > covered_ns ? uptime_ns : covered_ns;
		covered_ns = covered_ns > NS_PER_S ? covered_ns : NS_PER_S;
	}
	return covered_ns < window_ns ? covered_ns : window_ns;
}

double rate_of_flows(const struct flow_log *log, struct flow_batch *batch, struct wall_ns now,
		     uint64_t uptime_ns)
{
	const uint64_t window_ns = RATE_WINDOW_S * NS_PER_S;
	struct flow_log_range range = flow_log_range(log);
	struct tally t = { .since = { now.v > window_ns ? now.v - window_ns : 0 } };
	uint64_t to = range.next;
	uint64_t stop = range.next - range.oldest > RATE_RECORDS_MAX ? range.next - RATE_RECORDS_MAX
								     : range.oldest;

	while (to > stop && !t.is_complete) {
		uint64_t from = to - stop > CHUNK ? to - CHUNK : stop, at = from, lost;
		while (at < to && (flow_log_read(log, &at, to, batch, &lost) || lost))
			count(&t, batch);
		to = from;
	}
	/* Records were overwritten or left out, and all we saw is younger than a minute: there was
	 * more. */
	bool is_cut = !t.is_complete && flow_log_counts(log).records > range.next - stop;
	uint64_t covered_ns =
		t.is_complete ? window_ns : rate_covered_ns(now, t.oldest, is_cut, uptime_ns);
	return (double)t.flows * (double)NS_PER_S / (double)covered_ns;
}
