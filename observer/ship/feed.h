/*
 * feed - what of the store goes to ClickHouse next, as blocks that one INSERT takes as a whole.
 *
 *	store ──scan from a number on──► rows of one day, at most FEED_RECORDS or so many bytes
 *	      ──chain from an entry on─► rows of gaps
 *	      ──retention was first────► one row that says which numbers are missing
 *
 * Order    numbers only grow. A block that was not taken comes again as it was, unless feed_seek says
 *          that it is there, or a part of it.
 * Loss     what retention removes before it was sent is a gap of cause "not-shipped"; what the store
 *          itself lost is a gap of its chain, and comes as such.
 * Threads  one, with a reader of the store of its own.
 */
#ifndef TYCHO_OBSERVER_SHIP_FEED_H
#define TYCHO_OBSERVER_SHIP_FEED_H

#include "clickhouse/schema.h"
#include "store/store.h"

enum { FEED_RECORDS = 65536, FEED_BYTES = 16 << 20, FEED_BYTES_MAX = 64 << 20, FEED_GAPS = 4096 };

struct feed;

/* @store, @dict, @node: borrowed. */
MUST_CHECK enum err_code feed_new(struct store *store, const struct flow_dict *dict,
				  const char *node, struct feed **ret, struct err *e);
void feed_free(struct feed *f);
AUTO_DEFINE(struct feed, feed_free);

/* What is there already: numbers up to @seq, the last of which has @time_ns, and the chain's gaps up
 * to @entry. 0: nothing; then all is sent that the store held at feed_new. */
void feed_seek(struct feed *f, uint64_t seq, uint64_t time_ns, uint64_t entry);

struct feed_block {
	const struct clickhouse_table *table;
	struct str rows;      /* RowBinary; borrowed until the next call */
	size_t count;         /* of rows; 0: there is nothing to be sent */
	uint64_t first, last; /* numbers of records, or entries */
	uint64_t next;        /* where it goes on */
	uint64_t time_ns;     /* of the last record */
	uint64_t lost;        /* records that it says are missing, as far as is known */
	bool is_pruned;       /* it says what retention removed */
};
MUST_CHECK enum err_code feed_next(struct feed *f, struct feed_block *ret, struct err *e);
/* It is there. */
void feed_sent(struct feed *f, const struct feed_block *block);
/* It is not known whether it is: should it come again, it is the same. */
void feed_unsure(struct feed *f, const struct feed_block *block);

/* How many records wait, and the time of the first of them (0: none does). */
MUST_CHECK enum err_code feed_waiting(struct feed *f, uint64_t *ret_records,
				      struct wall_ns *ret_oldest, struct err *e);
/* Numbers between what was sent and what the store has sealed: quickly, and at least the records that
 * wait, of one run. */
uint64_t feed_ahead(const struct feed *f);
/* Records that are larger than a block may be, and were left out. */
uint64_t feed_left_out(const struct feed *f);

#endif
