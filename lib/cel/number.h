/*
 * number - texts of numbers, as Go's strconv reads and writes them.
 *
 * Threads  pure functions.
 */
#ifndef TYCHO_CEL_NUMBER_H
#define TYCHO_CEL_NUMBER_H

#include "base/str.h"

struct buf;

/* strconv.ParseFloat: decimal or hexadecimal, "inf", "nan"; false beyond a double's range. */
bool parse_double(struct str s, double *ret);
/* strconv.ParseInt(s, 10, 64): a sign may lead. */
bool parse_int(struct str s, int64_t *ret);
/* fmt's %g: as few digits as tell the number from all others. */
void double_put(struct buf *b, double v);
/* The same without an exponent: strconv.FormatFloat(v, 'f', -1, 64). */
void double_put_plain(struct buf *b, double v);

#endif
