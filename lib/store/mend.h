/*
 * mend - what mend.c and refill.c share: tables with a damaged page, made anew.
 */
#ifndef TYCHO_STORE_MEND_H
#define TYCHO_STORE_MEND_H

#include "store/inside.h"

/* In an order in which each may look at those before. */
enum {
	MEND_ENTRIES,
	MEND_GAPS,
	MEND_SEGMENTS,
	MEND_SHELVES,
	MEND_POLICIES,
	MEND_CHECKPOINTS,
	MEND_EDGES,
	MEND_PARTIES,
	MEND_NAMES, /* four of them */
	MEND_TABLES = MEND_NAMES + DICT_KINDS_
};
enum { MEND_HOLES = 64 }; /* of one table; more are one */

struct hole {
	int64_t from, before; /* before INT64_MAX: to the end */
};

struct damage {
	bool is_there;
	struct hole holes[MEND_HOLES];
	size_t count;
	char old[64];   /* the name of what is left */
	int64_t *marks; /* each PORTION copied rows */
	size_t mark_count, mark_room;
};

struct mend {
	struct store *s;
	struct db *db;
	struct db from; /* that reads what was before: SQLite writes no more where it met damage */
	struct wall_ns now;
	struct damage damage[MEND_TABLES];
	struct gaps lost;
	int64_t refilled_gaps;
	/* that is made anew */
	const struct table *t;
	struct damage *d;
};

/* Several statements, out of a format. */
MUST_CHECK enum err_code mend_script(struct mend *m, struct err *e, const char *format, ...)
	FORMAT(3, 4);
/* Something is lost: a gap that is to be told. */
void mend_note(struct mend *m, struct wall_ns from, struct wall_ns to, uint64_t first_seq,
	       uint64_t last_seq, const char *what);
/* Rows that were lost and can be known, in the transaction that made their tables anew. */
MUST_CHECK enum err_code mend_refill(struct mend *m, struct err *e);

#endif
