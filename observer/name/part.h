/*
 * part - what one provider says, found by prefix: what the name table keeps of a provider, so that
 * a few changes of it need not say all of it again.
 *
 * Shape    a prefix occurs once; where a view names one twice, the first counts. In no order.
 * Threads  one at a time.
 */
#ifndef TYCHO_OBSERVER_PART_H
#define TYCHO_OBSERVER_PART_H

#include "observer/name/snapshot.h"

/* Frees what it holds; it is then empty and can be filled anew. */
void part_done(struct snapshot_part *p);

/* Makes @p->prefixes, of which only the list is filled, findable. Those that stand there twice are
 * handed to @dropped and leave. ERR_NOMEM: as before. */
MUST_CHECK enum err_code part_index(struct snapshot_part *p,
				    void (*dropped)(void *ctx, const struct snapshot_prefix *x),
				    void *ctx, struct err *e);
/* NULL: there is no such prefix. Borrowed until the next change. */
const struct snapshot_prefix *part_find(const struct snapshot_part *p, struct ip128 ip,
					uint8_t bits);
/* In the place of the prefix of the same name, if there is one. ERR_NOMEM: as before. */
MUST_CHECK enum err_code part_set(struct snapshot_part *p, const struct snapshot_prefix *x,
				  struct err *e);
/* False: there is none. */
bool part_remove(struct snapshot_part *p, struct ip128 ip, uint8_t bits);

#endif
