/*
 * meant - what somebody who mistyped a name may have meant.
 *
 *	struct meant m = meant_of(typed);
 *	for each name: meant_offer(&m, name);
 *	meant_put(&sentence, &m, "--");              "; did you mean --verdict?"
 *
 * The names that are nearest are kept: those that @typed begins, else those that it differs from by
 * the fewest letters put in, left out, replaced or swapped with their neighbour; two at most, and
 * one for each three letters of the name. Nothing is allocated; names are borrowed.
 */
#ifndef TYCHO_BASE_MEANT_H
#define TYCHO_BASE_MEANT_H

#include "base/buf.h"

enum { MEANT_MOST = 3 };

struct meant {
	struct str typed;
	size_t edits; /* how far the names are from it */
	const char *names[MEANT_MOST];
	size_t count; /* of these: the first that were offered */
};

static inline struct meant meant_of(struct str typed)
{
	return (struct meant){ .typed = typed };
}
void meant_offer(struct meant *m, const char *name);
/* "; did you mean A?", "; did you mean A, B or C?", each with @before in front; nothing if there is
 * no name near enough. */
void meant_put(struct buf *b, const struct meant *m, const char *before);

#endif
