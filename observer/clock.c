#include "observer/clock.h"

/* Differences up to this are two clock reads apart, not a step. */
static const int64_t jitter_ns = 1000000;

struct flow_clock flow_clock_of(struct mono_ns mono, struct wall_ns wall)
{
	return (struct flow_clock){ .offset_ns = (int64_t)(wall.v - mono.v), .looked_at = mono };
}

uint64_t flow_clock_look(struct flow_clock *c, struct mono_ns mono, struct wall_ns wall)
{
	int64_t real_ns = (int64_t)(wall.v - mono.v), ahead_ns = c->offset_ns - real_ns;
	uint64_t passed_ns = mono.v > c->looked_at.v ? mono.v - c->looked_at.v : 0;

	if (ahead_ns <= 0) {
		*c = flow_clock_of(mono, wall);
		return 0;
	}
	/* Time that passed may be halved without running backwards: stamps up to now were given out
	 * with the old offset, and a smaller offset must not undercut them. */
	int64_t slack_ns = (int64_t)(passed_ns / 2);
	c->offset_ns -= ahead_ns < slack_ns ? ahead_ns : slack_ns;
	c->looked_at = mono;
	bool began = !c->behind && ahead_ns > jitter_ns;
	c->behind = ahead_ns > slack_ns && ahead_ns > jitter_ns;
	return began ? (uint64_t)ahead_ns : 0;
}

struct wall_ns flow_clock_wall(const struct flow_clock *c, struct mono_ns stamp)
{
	return (struct wall_ns){ stamp.v + (uint64_t)c->offset_ns };
}
