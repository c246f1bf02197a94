/*
 * filter_random - random filters near random flows, for properties of what reads filters.
 */
#ifndef TYCHO_TESTS_FILTER_RANDOM_H
#define TYCHO_TESTS_FILTER_RANDOM_H

#include "flow/flow.pb-c.h"
#include "flow_random.h"

/* The random maker sets bits that a maker of flows would not set alone, and leaves out two about
 * ext. */
void make_consistent(struct flow *f);
/* Sets one field, more often than not so that @m passes. */
void random_field(struct random *r, Flow__FlowFilter *ff, const Flow__Flow *m);

#endif
