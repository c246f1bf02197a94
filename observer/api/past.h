/*
 * past - what the ring no longer holds: scans of the store, lent to readings.
 *
 *	reading ── past_place ─┐
 *	reading ── past_place ─┼─► PAST_SCANS scans (segments in memory) ─► store
 *	reading ── past_place ─┘   the one longest unused makes room
 *
 * A place is all that a reading keeps: which records it wants, and the number of the next. The scan
 * behind it, with megabytes of columns, may be taken away between two calls; it is then opened anew
 * where the place is. So any number of clients may read history slowly, in bounded memory.
 *
 * Threads  one thread: the server's.
 */
#ifndef TYCHO_OBSERVER_PAST_H
#define TYCHO_OBSERVER_PAST_H

#include "base/err.h"
#include "store/store.h"

enum { PAST_SCANS = 3 };

struct past;

/* @store must outlive it. */
MUST_CHECK enum err_code past_new(struct store *store, struct past **ret, struct err *e);
void past_free(struct past *p);
AUTO_DEFINE(struct past, past_free);

/* Records below can be read; records below the other soon will be. */
uint64_t past_sealed(const struct past *p);
uint64_t past_taken(const struct past *p);
/* Records of other runs, of which the log knows nothing, may be there. */
bool past_is_older(const struct past *p);
struct store_counts past_counts(const struct past *p);
struct store_reader *past_reader(struct past *p);

/* Embedded in a reading; zero but for @config is its start. */
struct past_place {
	/* from_seq and to_seq move: what is still wanted */
	struct store_scan_config config;
	uint64_t scan; /* which, 0: none */
	/* found and not yet taken, borrowed from the scan */
	const struct flow *flows;
	size_t count;
	bool is_last; /* nothing comes after these */
};

/* What is found next at @place, in its order: at least one record, or none after looking at about
 * @work. They stay the place's until past_took. *@ret_more is false when that was all. */
MUST_CHECK enum err_code past_peek(struct past *p, struct past_place *place, size_t work,
				   const struct flow **ret_flows, size_t *ret_count, bool *ret_more,
				   struct err *e);
/* @n of the records that past_peek showed are done with. */
void past_took(struct past_place *place, size_t n);
/* Gives its scan back, if it has one: before the place, or the filter of its config, is gone. */
void past_leave(struct past *p, struct past_place *place);

#endif
