/*
 * range_count - how many records of a range of time there are: in the store, or without one in the log.
 *
 *	          since                          until
 *	[ segment ]├─[ segment ][ segment ][ seg─┤ment ]
 *	                 their counts        └ looked at, a portion a call
 *
 * Records without a time are of every range.
 *
 * Threads  one, the server's.
 */
#ifndef TYCHO_OBSERVER_RANGE_COUNT_H
#define TYCHO_OBSERVER_RANGE_COUNT_H

#include "observer/api/past.h"
#include "observer/log/log.h"

struct range_part {
	uint64_t from, to; /* numbers, [from, to) */
};

/* Embedded. */
struct range_count {
	const struct flow_log *log;
	struct past *past; /* NULL: no store */
	struct wall_ns since, until;
	struct range_part *parts; /* to be looked at; own */
	size_t part_count, part_max, part;
	bool is_looking; /* by place */
	bool no_memory;
	struct past_place place;
	uint64_t records;
};

/* From @since to @until, inclusive. All are borrowed. */
MUST_CHECK enum err_code range_count_init(struct range_count *c, const struct flow_log *log,
					  struct past *past, struct wall_ns since,
					  struct wall_ns until, struct err *e);
void range_count_done(struct range_count *c); /* of zeros is a no-op */
/* One portion; @batch is scratch. *@ret_more false: c->records is the answer. */
MUST_CHECK enum err_code range_count_go_on(struct range_count *c, struct flow_batch *batch,
					   bool *ret_more, struct err *e);

#endif
