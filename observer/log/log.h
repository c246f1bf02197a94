/*
 * flow_log - the one log: bounded history of flows, one writer, any number of readers.
 *
 *      oldest                             newest
 *        v                                   v
 *      [ f41 | f42 | f43 | … | f102 | f103 ]          put replaces the oldest
 *               ^ cursor A            ^ cursor B
 *
 * Shape    capacity is 2^k - 1 records, fixed for life. Variable parts (struct flow.ext) live in a
 *          byte ring beside it, whose size is fixed too: when it is the byte ring that is full, the
 *          oldest records go earlier.
 * Numbers  the first record of a run has sequence number @first_seq; they grow by one per record.
 *          Callers choose first_seq so that numbers never repeat across restarts
 *          (observer/log/epoch.h). Records of every kind are numbered.
 * Owner    records are copied in and out. A cursor is the reader's own integer: the number of the
 *          next record to read.
 * Threads  put: the writer thread. Everything else: any thread; no reader can stall the writer, no
 *          reader takes a lock.
 * Visible  a record can be read as soon as put returns (Hubble hides the newest; we do not copy
 *          that).
 * Waiting  a reader looks when it likes. One that sleeps for long has a bell, so that it is woken
 *          before it is overtaken.
 * Loss     a cursor that was overtaken jumps to the oldest record and is told how many it missed,
 *          once each. What is lost lies before the first record of the batch that reports it.
 *          Numbers before first_seq are another run's: no loss of ours.
 */
#ifndef TYCHO_OBSERVER_LOG_H
#define TYCHO_OBSERVER_LOG_H

#include "base/err.h"
#include "flow/flow.h"

struct flow_log;

struct flow_log_config {
	size_t capacity;    /* 2^k - 1, 1 … 2^26 - 1 */
	size_t ext_bytes;   /* byte ring, rounded up to 2^k; 0: 256 a record, at least 1 MiB */
	uint64_t first_seq; /* at least 1 */
};

/* ERR_INVALID names the neighbouring capacities that would do; ERR_NOMEM. */
MUST_CHECK enum err_code flow_log_new(const struct flow_log_config *config, struct flow_log **ret,
				      struct err *e);
void flow_log_free(struct flow_log *log); /* no reader may remain */
AUTO_DEFINE(struct flow_log, flow_log_free);

/* Writer thread. Appends one record: seq is set by the log, ext is copied. Never blocks, allocates
 * or fails; an ext larger than a quarter of the byte ring is cut to nothing and counted
 * (flow_log_counts.cut). @return its number. */
uint64_t flow_log_put(struct flow_log *log, const struct flow *f);

/* Numbers [oldest, next): what can be read now. Empty: oldest == next. */
struct flow_log_range {
	uint64_t oldest, next;
};
struct flow_log_range flow_log_range(const struct flow_log *log);
/* Number of this run's first record. */
uint64_t flow_log_first(const struct flow_log *log);

/* Where read puts copies: records, and the bytes their ext point to. */
struct flow_batch {
	struct flow *flows; /* room for @max */
	size_t max, count;
	uint8_t *ext;
	size_t ext_max; /* bytes; a quarter of the log's byte ring makes progress certain */
};
/* Room for @max records and their ext. Own. */
MUST_CHECK enum err_code flow_batch_new(const struct flow_log *log, size_t max,
					struct flow_batch **ret, struct err *e);
void flow_batch_free(struct flow_batch *b);
AUTO_DEFINE(struct flow_batch, flow_batch_free);

/* Copies records from *@cursor on, at most up to number @end (exclusive; UINT64_MAX: as far as
 * there are), into @batch and advances the cursor. Copies are consistent: none is half overwritten;
 * their ext points into @batch. Never blocks, never allocates.
 * @return records copied (batch->count). 0: the reader is up to date or at @end, or (*@ret_lost >
 * 0) was overtaken so fast that it got hold of nothing this time. *@ret_lost, in records, is always
 * set; only numbers below @end count. */
size_t flow_log_read(const struct flow_log *log, uint64_t *cursor, uint64_t end,
		     struct flow_batch *batch, uint64_t *ret_lost);

/* A bell rings once a quarter of the log's room, of records or of text, has been used since it was
 * set; sometimes earlier. It is the log's, and goes with it. Keeper, metrics, drop events and what
 * sends flows elsewhere have one each; the writer looks at them only when the first one is due. */
enum { FLOW_LOG_BELLS = 8 };
struct flow_log_bell;
/* For one reader, for good; one thread at a time. ERR_NOMEM: FLOW_LOG_BELLS there are already. */
MUST_CHECK enum err_code flow_log_bell_new(struct flow_log *log, struct flow_log_bell **ret,
					   struct err *e);
/* To be polled: readable from when it rang until it is heard. */
int flow_log_bell_fd(const struct flow_log_bell *bell);
/* That reader, before its last look for more: if that finds nothing, it may sleep. */
void flow_log_bell_set(struct flow_log_bell *bell);
void flow_log_bell_hear(struct flow_log_bell *bell);

struct flow_log_counts {
	size_t capacity, held; /* records */
	uint64_t seen_flows;   /* FLOW_KIND_FLOW records since start */
	uint64_t records;      /* of every kind since start */
	uint64_t cut;          /* records whose ext was too large to keep */
	/* of the oldest and the newest record held that has a time; 0 if none */
	struct wall_ns oldest_time, newest_time;
};
struct flow_log_counts flow_log_counts(const struct flow_log *log);

#endif
