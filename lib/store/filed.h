/*
 * filed - is what lies in a segment where its rows say that it does?
 *
 *	row of the segment: times, zone │ rows of its shelves: zones  ◄── each record
 *
 * No record is proven by these rows, but a question that they send away never meets it: whoever
 * changes one of them hides records without changing any.
 *
 * Shape    rows may say more than there is: questions look in vain then, and miss nothing. A zone
 *          that cannot be read sends nobody away.
 * Memory   a zone for each part of a segment, some ten KiB.
 * Threads  one thread per struct filed.
 */
#ifndef TYCHO_STORE_FILED_H
#define TYCHO_STORE_FILED_H

#include "base/err.h"
#include "filter/zone.h"
#include "store/inside.h"

struct filed;

MUST_CHECK enum err_code filed_new(struct filed **ret, struct err *e);
void filed_free(struct filed *f);
AUTO_DEFINE(struct filed, filed_free);

/* Another segment begins; @zone is its row's, @ids as for flow_zone_get. */
MUST_CHECK enum err_code filed_begin(struct filed *f, const struct segment_row *row,
				     struct str zone, const struct flow_zone_ids *ids,
				     struct err *e);
/* Its part @part (< SHELVES) has that zone; a part without one is not looked at by itself. */
MUST_CHECK enum err_code filed_part(struct filed *f, size_t part, struct str zone,
				    const struct flow_zone_ids *ids, struct err *e);
/* A record lies in that part. ERR_INVALID: its row does not lead there. */
MUST_CHECK enum err_code filed_take(struct filed *f, size_t part, const struct flow *record,
				    struct err *e);
/* All of its records were taken. ERR_INVALID as above. */
MUST_CHECK enum err_code filed_end(struct filed *f, struct err *e);

#endif
