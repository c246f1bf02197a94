/*
 * ui_recent - the latest messages of a stream, for any number of browsers that read at their own
 * pace.
 *
 *	all      [ 91 | 92 | 93 | … | 98 | 99 ]     each put replaces the oldest
 *	refused  [ 12 | 40 | 77 ]                   what was not forwarded has a lane of its own, so
 *	               ^ cursor: "seen up to 50"    that a flood of traffic does not wash it away
 *
 * Shape    both lanes are fixed for life; messages are numbered from 1 in the order they came.
 * Owner    messages are copied in and out. A cursor is the reader's own integer.
 * Threads  one at a time: the caller locks.
 * Loss     a reader that was overtaken, or asks for fewer than there are, gets the newest and is
 *          told how many were left out.
 */
#ifndef TYCHO_UI_RECENT_H
#define TYCHO_UI_RECENT_H

#include "base/err.h"
#include "base/str.h"

struct buf;
struct ui_recent;

/* Longer messages are not kept: they count as left out. */
enum { UI_RECENT_MESSAGE_BYTES = 16 << 10 };

/* Lanes in messages, at least 1 each. */
MUST_CHECK enum err_code ui_recent_new(size_t all, size_t refused, struct ui_recent **ret,
				       struct err *e);
void ui_recent_free(struct ui_recent *r); /* NULL is a no-op */
AUTO_DEFINE(struct ui_recent, ui_recent_free);

void ui_recent_put(struct ui_recent *r, struct str message, bool refused);
/* Number of the newest message: where a reader is who has read all. */
uint64_t ui_recent_newest(const struct ui_recent *r);
/* Messages that a reader takes at once, at most, of each lane. */
struct ui_recent_most {
	size_t all, refused;
};
/* Appends to @out the newest messages after number @cursor up to @until, which is no more than the
 * newest, oldest first, each behind its length (uint32_t, in this machine's order). @return how
 * many; *@ret_left_out, of those in between, is always set. If @out is full 0 is returned and
 * out->failed is set. */
size_t ui_recent_read(const struct ui_recent *r, uint64_t cursor, uint64_t until,
		      struct ui_recent_most most, struct buf *out, uint64_t *ret_left_out);
/* The next message of what read appended; false at the end. Start with a copy of the bytes. */
bool ui_recent_next(struct str *rest, struct str *ret_message);

#endif
