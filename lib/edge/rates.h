/*
 * rates - flows and drops of a range of time, by steps of so many seconds.
 *
 * Shape    at most RATES_STEPS steps, each a multiple of its length since the epoch. What lies
 *          before or after the range is not counted.
 * Threads  one at a time.
 */
#ifndef TYCHO_EDGE_RATES_H
#define TYCHO_EDGE_RATES_H

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"

enum { RATES_STEPS = 1500 };

struct Tycho__V1__GetServiceMapRequest; /* protobuf-c */
struct rates;

/* From @since to @until, both included. Fails with ERR_INVALID if these are more than RATES_STEPS
 * steps, or if @until is the earlier. @step_s: not 0. */
MUST_CHECK enum err_code rates_new(struct wall_ns since, struct wall_ns until, uint32_t step_s,
				   struct rates **ret, struct err *e);
/* Those that @in asks for, which begins at @since and ends @now at the latest; *@ret is NULL if it
 * asks for none. ERR_INVALID: it asks for what goes not together, too. */
MUST_CHECK enum err_code rates_asked(const struct Tycho__V1__GetServiceMapRequest *in,
				     struct wall_ns since, struct wall_ns now, struct rates **ret,
				     struct err *e);
void rates_free(struct rates *r); /* NULL is a no-op */
AUTO_DEFINE(struct rates, rates_free);

/* @verdict: flow.Verdict of @flows flows. */
void rates_add(struct rates *r, struct wall_ns time, uint32_t verdict, uint64_t flows);
/* Appends a tycho.v1.Rate in @field for each step that has flows. */
void rates_put(const struct rates *r, uint32_t field, struct buf *b);

#endif
