/*
 * flow_clock - kernel stamps to wall-clock times that never run backwards.
 *
 * The kernel stamps events with the monotonic clock; people ask in wall-clock time. The clock keeps
 * the distance between the two and looks at it anew when told to (once a loop pass).
 *  - The wall clock steps forward, or drifts: taken over at once.
 *  - It steps back: flows keep their order. From then on our time runs at half speed until the wall
 *    clock has caught up, so a step back of ten seconds is made good within twenty.
 *
 * One thread (capture). "Now" is a parameter, so tests own both clocks.
 */
#ifndef TYCHO_OBSERVER_CLOCK_H
#define TYCHO_OBSERVER_CLOCK_H

#include "base/time.h"

struct flow_clock {
	int64_t offset_ns;        /* wall = mono + offset */
	struct mono_ns looked_at; /* when offset_ns was last set */
	bool behind;              /* we run at half speed until the wall clock catches up */
};

struct flow_clock flow_clock_of(struct mono_ns mono, struct wall_ns wall);
/* Compares with both clocks read at one moment. @return the size of a step back that began here, in
 * ns, else 0: worth a log line. */
uint64_t flow_clock_look(struct flow_clock *c, struct mono_ns mono, struct wall_ns wall);
/* Wall-clock time of a stamp. */
struct wall_ns flow_clock_wall(const struct flow_clock *c, struct mono_ns stamp);

#endif
