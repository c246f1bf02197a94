/*
 * flow_lost - flow.LostEvent, written.
 *
 * Source: flow.proto; numbers of sources that the enum does not have are UNKNOWN, as Hubble tells
 * them.
 */
#ifndef TYCHO_FLOW_LOST_H
#define TYCHO_FLOW_LOST_H

#include "base/time.h"

struct buf;

struct flow_lost {
	int32_t source; /* flow.LostEventSource */
	uint64_t count; /* 0 with times: nobody knows */
	int32_t cpu;    /* below 0: none */
	struct timestamp first, last;
	bool has_first, has_last;
};

/* Appends the message's bytes. */
void flow_lost_put(struct buf *b, const struct flow_lost *lost);

#endif
