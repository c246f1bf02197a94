#include "edge/rates.h"

#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "tycho/v1/history.pb-c.h"

enum { RATE_STEP = 1, RATE_FLOWS = 2, RATE_DROPPED = 3 };

struct rates {
	uint64_t step_s, first; /* first: in steps since the epoch */
	size_t count;
	struct {
		uint64_t flows, dropped;
	} at[];
};

enum err_code rates_new(struct wall_ns since, struct wall_ns until, uint32_t step_s,
			struct rates **ret, struct err *e)
{
	uint64_t step_ns = step_s * NS_PER_S;
	uint64_t first = since.v / step_ns, last = until.v / step_ns;

	if (until.v < since.v)
		return err_set(e, ERR_INVALID, "rates of a range that ends before it begins");
	if (last - first >= RATES_STEPS)
		return err_set(e, ERR_INVALID,
			       "rates of %llu steps, of at most %d: take longer ones",
			       (unsigned long long)(last - first + 1), RATES_STEPS);
	size_t count = (size_t)(last - first + 1);
	struct rates *r = calloc(1, sizeof *r + count * sizeof r->at[0]);
	if (!r)
		return err_set(e, ERR_NOMEM, "rates");
	r->step_s = step_s;
	r->first = first;
	r->count = count;
	*ret = r;
	return ERR_OK;
}

enum err_code rates_asked(const Tycho__V1__GetServiceMapRequest *in, struct wall_ns since,
			  struct wall_ns now, struct rates **ret, struct err *e)
{
	struct wall_ns until = now;

	if (!in->rates_step_s) {
		if (in->rates_only)
			return err_set(e, ERR_INVALID, "rates_only without rates_step_s");
		*ret = NULL;
		return ERR_OK;
	}
	if (!in->since || in->follow)
		return err_set(e, ERR_INVALID, "rates are of a range: with since, without follow");
	if (in->until &&
	    !timestamp_to_wall((struct timestamp){ in->until->seconds, in->until->nanos }, &until))
		until = now;
	return rates_new(since, until, in->rates_step_s, ret, e);
}

void rates_free(struct rates *r)
{
	free(r);
}

void rates_add(struct rates *r, struct wall_ns time, uint32_t verdict, uint64_t flows)
{
	uint64_t step = time.v / NS_PER_S / r->step_s;

	if (step < r->first || step - r->first >= r->count)
		return;
	r->at[step - r->first].flows += flows;
	if (verdict == FLOW__VERDICT__DROPPED || verdict == FLOW__VERDICT__ERROR)
		r->at[step - r->first].dropped += flows;
}

void rates_put(const struct rates *r, uint32_t field, struct buf *b)
{
	for (size_t i = 0; i < r->count; i++) {
		if (!r->at[i].flows)
			continue;
		size_t mark = wire_begin(b, field);
		wire_put_u64(b, RATE_STEP, (r->first + i) * r->step_s);
		wire_put_u64(b, RATE_FLOWS, r->at[i].flows);
		wire_put_u64(b, RATE_DROPPED, r->at[i].dropped);
		wire_end(b, mark);
	}
}
