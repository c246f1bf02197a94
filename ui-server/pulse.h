/*
 * ui_pulse - flows and drops of each second of the last minutes, or each step of a past range, by
 * the flows' own times.
 *
 * Embedded, plain data. A flow that is older than what is kept is not counted here, nor is one that
 * is half of that ahead: its clock is wrong, and it would stand where others are yet to come.
 */
#ifndef TYCHO_UI_PULSE_H
#define TYCHO_UI_PULSE_H

#include "base/time.h"
#include "ui-server/wire.h"

struct buf;

struct ui_pulse {
	uint64_t step_s; /* 0: one second */
	struct {
		uint64_t second; /* since the epoch, in steps; what the counts are of */
		uint32_t flows, drops;
	} at[UI_WIRE_PULSE_SECONDS]; /* by second % UI_WIRE_PULSE_SECONDS */
};

/* @now: the end of the range where it is past. */
void ui_pulse_add(struct ui_pulse *p, struct wall_ns time, struct wall_ns now, bool dropped);
/* The same for @flows of one second, or step, of which @drops were dropped. */
void ui_pulse_add_sum(struct ui_pulse *p, uint64_t second, uint64_t flows, uint64_t drops);
/* Appends {"from":S,"step":N,"flows":[…],"drops":[…]}, from and step in seconds, a step of 1 left
 * out: the @seconds, or steps, that end with the one of @now. */
void ui_pulse_put(const struct ui_pulse *p, struct wall_ns now, unsigned seconds, struct buf *b);

#endif
