#include "relay/archive/plan.h"

enum { WINDOW_FACTOR = 4, ROWS_FACTOR = 2 };
#define WINDOW_NS (3600 * NS_PER_S)

void plan_init(struct plan *p, struct wall_ns from, struct wall_ns until, bool backward,
	       struct wall_ns now)
{
	p->is_backward = backward;
	p->has_ended = from.v > until.v;
	p->is_counting = false;
	p->from_ns = from.v;
	p->until_ns = until.v;
	p->now_ns = now.v;
	p->window_ns = WINDOW_NS;
	p->rows = PLAN_ROWS_MIN;
	p->depth = 0;
}

/* ---- levels */

/* One more level, of so many steps that the last one reaches @until_ns. */
static struct plan_task count(struct plan *p, uint64_t from_ns, uint64_t until_ns)
{
	struct plan_level *l = &p->levels[p->depth++];
	uint64_t last = until_ns - from_ns;

	l->from_ns = from_ns;
	l->until_ns = until_ns;
	l->step_ns = last / PLAN_STEPS + 1;
	l->steps = (size_t)(last / l->step_ns) + 1;
	l->at = 0;
	memset(l->counts, 0, sizeof l->counts);
	p->is_counting = true;
	return (struct plan_task){ PLAN_COUNT, { from_ns }, { until_ns }, l->step_ns, 0 };
}

/* The step that is the @i-th in the plan's order. */
static size_t step_of(const struct plan *p, const struct plan_level *l, size_t i)
{
	return p->is_backward ? l->steps - 1 - i : i;
}

static uint64_t begin_of(const struct plan_level *l, size_t step)
{
	return l->from_ns + step * l->step_ns;
}

static uint64_t end_of(const struct plan_level *l, size_t step)
{
	uint64_t begin = begin_of(l, step);

	return l->until_ns - begin < l->step_ns ? l->until_ns : begin + l->step_ns - 1;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ---- windows */

static uint64_t grown(uint64_t window_ns)
{
	return window_ns > UINT64_MAX / WINDOW_FACTOR ? UINT64_MAX : window_ns * WINDOW_FACTOR;
}

static struct plan_task open_window(struct plan *p)
{
	uint64_t from = p->from_ns, until = p->until_ns;
	bool spans_now = from <= p->now_ns && p->now_ns < until;

	if (p->is_backward) {
		if (spans_now)
			from = p->now_ns + 1;
		else if (until - from >= p->window_ns)
			from = until - p->window_ns + 1;
		p->has_ended = from == p->from_ns;
		p->until_ns = from - 1; /* without meaning once it has ended */
	} else {
		if (spans_now)
			until = p->now_ns;
		if (until - from >= p->window_ns)
			until = from + p->window_ns - 1;
		else if (from > p->now_ns)
			until = p->until_ns;
		p->has_ended = until == p->until_ns;
		p->from_ns = until + 1;
	}
	if (!p->is_backward || !spans_now)
		p->window_ns = grown(p->window_ns);
	return count(p, from, until);
}

/* ---- tasks */

static struct plan_task read_task(struct plan *p, uint64_t from_ns, uint64_t until_ns,
				  uint64_t rows)
{
	p->rows = p->rows < PLAN_ROWS_MAX ? p->rows * ROWS_FACTOR : PLAN_ROWS_MAX;
	return (struct plan_task){ PLAN_READ, { from_ns }, { until_ns }, 0, rows };
}

/* The next rows of the level that is being read, or a finer count of some. @return false: there is
 * nothing left in it. */
static bool next_of_level(struct plan *p, struct plan_level *l, struct plan_task *ret)
{
	while (l->at < l->steps && !l->counts[step_of(p, l, l->at)])
		l->at++;
	if (l->at == l->steps)
		return false;
	size_t first = step_of(p, l, l->at++), last = first;
	uint64_t rows = l->counts[first];
	if (rows > p->rows && l->step_ns > 1 && p->depth < PLAN_LEVELS) {
		*ret = count(p, begin_of(l, first), end_of(l, first));
		return true;
	}
	for (; l->at < l->steps; l->at++) {
		size_t step = step_of(p, l, l->at);
		if (sum(rows, l->counts[step]) > p->rows)
			break;
		rows += l->counts[step];
		last = l->counts[step] ? step : last;
	}
	*ret = p->is_backward ? read_task(p, begin_of(l, last), end_of(l, first), rows)
			      : read_task(p, begin_of(l, first), end_of(l, last), rows);
	return true;
}

struct plan_task plan_next(struct plan *p)
{
	struct plan_task task;

	p->is_counting = false;
	for (; p->depth; p->depth--)
		if (next_of_level(p, &p->levels[p->depth - 1], &task))
			return task;
	return p->has_ended ? (struct plan_task){ .kind = PLAN_END } : open_window(p);
}

void plan_count(struct plan *p, uint64_t step, uint64_t rows)
{
	struct plan_level *l = &p->levels[p->depth - 1];

	if (p->is_counting && step < l->steps)
		l->counts[step] = sum(l->counts[step], rows);
}
