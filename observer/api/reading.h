/*
 * reading - which records of store and log a request asks for, and how far the answer has come.
 *
 *	store                oldest of the log           end            live
 *	  v                          v                    v
 *	  [ . . . . . . . . . . . .[ . . . . . . . . . . ]  . . .
 *	  ├─ first, since, until alone: from the oldest, what is before `since` is skipped
 *	             ├─ number: walk back from the end until so many match
 *	                             ├─ nothing of these: from the log's oldest
 *	                                                  ├─ follow alone: what comes from now on
 *
 * Seam     both are one row of numbers. What the log does not hold (any more) is looked for in the
 *          store: at the start of a history, and wherever the log has overtaken the reading. What
 *          the store has taken and not sealed yet is waited for. Only what neither has is lost.
 *
 * Ends     not following: at what was newest when the request came, or after `number` records.
 *          Following: `number` is the backlog only; `until` ends it, once the backlog is through,
 *          with the first later record of its kind (replayed flows are older than the agent's own
 *          events beside them), or when it has passed and READING_GRACE_NS for what comes late.
 * Kinds    a reading is of one kind of record. Readings of flows also get the log's LOST records
 *          within the time range, whatever the filter and without counting them.
 * Loss     what the log overtook is told at most once a second, and before the end, with the stretch
 *          that it is missing from: between what was read before it and what was read after it.
 *          Records older than `since` were not asked for: losing them is no loss.
 * Work     is done in portions; one call looks at READING_PORTION records or so, and no further
 *          when READING_TURN_NS are over: a filter may cost milliseconds a record.
 */
#ifndef TYCHO_OBSERVER_READING_H
#define TYCHO_OBSERVER_READING_H

#include "base/err.h"
#include "filter/filter.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "observer/api/past.h"
#include "observer/log/log.h"

enum { READING_PORTION = 2048 };
/* From when something happened until it is in the log, at most: sources are polled, and some report
 * by the second. */
#define READING_GRACE_NS NS_PER_S
#define READING_TURN_NS (4 * NS_PER_MS)

/* The selectors that all three streams share. */
struct reading_request {
	uint64_t number; /* 0: no limit */
	bool first, follow;
	bool with_log; /* a follower without a position: from the log's oldest on */
	const Google__Protobuf__Timestamp *since, *until; /* NULL: open */
};

struct reading_loss {
	uint64_t records;
	/* none of them was earlier, as far as anything was read before them; nor later */
	struct wall_ns first, last;
};

struct reading {
	/* fixed by the request */
	const struct flow_log *log;
	struct past *past; /* NULL: the log is all there is */
	enum flow_kind kind;
	struct flow_filter *filter; /* borrowed; NULL: all */
	bool has_since, has_until, follow;
	struct timestamp since, until;
	uint64_t live; /* records from here on came after the request */
	uint64_t run;  /* the first of this run */
	uint64_t end;  /* exclusive; UINT64_MAX when following */
	/* progress */
	uint64_t at;                   /* next record */
	uint64_t left;                 /* records still wanted; UINT64_MAX: all */
	size_t chunk;                  /* records of one look: fewer, the more a look costs */
	struct past_place back, forth; /* in the store, while it is looked at */
	bool is_walking;               /* back, from walk_at on, until walk_left more match */
	bool is_in_past;               /* walking: by back; else reading by forth … */
	uint64_t past_from, past_end;  /* … from here up to there, exclusive, … */
	struct wall_ns past_seen;      /* … and what was seen before that */
	uint64_t walk_at, walk_left;
	bool is_past;               /* a record later than `until` was met */
	bool has_ended;             /* but for a loss not told yet */
	struct wall_ns seen;        /* time of the flow, or its kind, that was read last; 0: none */
	uint64_t unsure;            /* lost records that may be older than `since` … */
	struct wall_ns unsure_from; /* … and what was seen before them */
	struct reading_loss loss;   /* not told yet */
	struct mono_ns told;        /* when a loss was last told; 0 never */
};

/* Takes records. Each returns false when it has no room: the record is then offered again. */
struct reading_sink {
	bool (*record)(struct reading_sink *sink, const struct flow *f); /* borrowed */
	bool (*loss)(struct reading_sink *sink, const struct reading_loss *loss);
	/* May be NULL. Called after each portion; @is_end: there is nothing more. */
	bool (*flush)(struct reading_sink *sink, bool is_end);
};

/* ERR_INVALID: first with follow. ERR_PARSE: a timestamp outside its range. Both with the
 * reference's words. */
MUST_CHECK enum err_code reading_init(struct reading *r, const struct reading_request *request,
				      const struct flow_log *log, struct past *past,
				      enum flow_kind kind, struct flow_filter *filter,
				      struct err *e);
/* Gives back what it holds of the store. Before its filter is gone; a reading of zeros will do. */
void reading_done(struct reading *r);

enum reading_state { READING_MORE, READING_IDLE, READING_ENDED, READING_FAILED };
/* @batch is scratch. READING_FAILED: the store cannot be read, *@e says why. */
enum reading_state reading_pull(struct reading *r, struct flow_batch *batch, struct mono_ns now,
				struct wall_ns wall, struct reading_sink *sink, struct err *e);

#endif
