/*
 * plan - a range of time in slices, each of which one query can hold.
 *
 *	from                                                                      until
 *	├ 1 h ┼── 4 h ──┼────────── 16 h ──────────┼ …          windows, each four times the last
 *	 │││││                                                   counted in steps, when it is their turn
 *	 └┬┘└ too many in one step: it is counted again, in finer ones
 *	  few in several: they are read together
 *
 * A plan asks nobody: it says what is to be counted and what is to be read, and is told what was
 * counted. So a question that is answered by the newest hour never looks at the years before it.
 *
 * Backward  windows, steps and slices come newest first. A window never reaches across @now: what
 *           has a time still to come is one of its own.
 * Slices    grow, from PLAN_ROWS_MIN rows to PLAN_ROWS_MAX: who wants a few is not given many. One
 *           may hold more where rows came after they were counted, or share one nanosecond.
 * Limits    fixed memory; a count has at most PLAN_STEPS steps.
 */
#ifndef TYCHO_RELAY_PLAN_H
#define TYCHO_RELAY_PLAN_H

#include "base/own.h"
#include "base/time.h"

enum {
	PLAN_STEPS = 256,
	PLAN_LEVELS = 9, /* 64 bits of time, 8 a level, and one that need not divide evenly */
	PLAN_ROWS_MIN = 1024,
	PLAN_ROWS_MAX = 32768,
};

struct plan_level {
	uint64_t from_ns, until_ns; /* inclusive */
	uint64_t step_ns;
	uint64_t counts[PLAN_STEPS];
	size_t steps, at; /* at: how many are done with, in the plan's order */
};

/* Embedded; not to be looked into. */
struct plan {
	bool is_backward, has_ended, is_counting;
	uint64_t from_ns, until_ns; /* what no window has had yet */
	uint64_t now_ns, window_ns, rows;
	struct plan_level levels[PLAN_LEVELS];
	size_t depth;
};

/* The times from @from to @until, both inclusive. */
void plan_init(struct plan *p, struct wall_ns from, struct wall_ns until, bool backward,
	       struct wall_ns now);

enum plan_kind {
	PLAN_END,
	PLAN_COUNT, /* the rows of each step: plan_count for those that have some; then on */
	PLAN_READ   /* these rows, in the plan's order */
};
struct plan_task {
	enum plan_kind kind;
	struct wall_ns from, until; /* inclusive */
	uint64_t step_ns;           /* PLAN_COUNT */
	uint64_t rows;              /* PLAN_READ: that were counted */
};
struct plan_task plan_next(struct plan *p);
/* Of the task that plan_next gave last: step @step, from 0 at its from, has @rows. Steps that it
 * does not have are ignored; of a step told twice, both count. */
void plan_count(struct plan *p, uint64_t step, uint64_t rows);

#endif
