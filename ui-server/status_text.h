/*
 * status_text - what pages are told of the upstream: a head that is always new, and parts that go
 * only to who has not been told them as they are.
 *
 *	version 7   {head, namespaces(3), coverage(7), history(6)}
 *	                 a page that was told version 5: head, coverage, history
 *	                 one that is new:                head and all parts
 *
 * Why      the coverage of a thousand nodes is most of a megabyte, and the head changes with each
 *          answer.
 * Shape    a part has a key: with the same one it says nothing new to a page, though its bytes may
 *          differ. A part that is absent is told to nobody; when it is back it is new to all.
 * Threads  none of its own; the caller locks.
 */
#ifndef TYCHO_UI_STATUS_TEXT_H
#define TYCHO_UI_STATUS_TEXT_H

#include "base/buf.h"

enum ui_status_part {
	UI_STATUS_NAMESPACES,
	UI_STATUS_COVERAGE,
	UI_STATUS_HISTORY,
	UI_STATUS_PARTS_
};
enum {
	UI_STATUS_SETS = 1 << UI_STATUS_PARTS_, /* sets of parts, as bits */
	UI_STATUS_PART_BYTES = 4 << 20, /* coverage of a thousand nodes with dozens of gaps */
	UI_STATUS_BYTES = 4 * UI_STATUS_PART_BYTES, /* of a whole text */
};

struct ui_status_part_text {
	struct buf json; /* empty: absent */
	uint64_t key;
	uint64_t version; /* when it was last new */
};
struct ui_status_text {
	uint64_t version; /* 0: nothing is known yet */
	struct buf head;  /* an object without its end */
	struct ui_status_part_text parts[UI_STATUS_PARTS_];
};

void ui_status_text_init(struct ui_status_text *t);
void ui_status_text_done(struct ui_status_text *t);

/* The next version: @next has its head, its parts and their keys, and no versions. A part that is
 * incomplete is absent. False: the head is incomplete, or there is no memory; there is no next
 * version then. */
bool ui_status_text_take(struct ui_status_text *t, const struct ui_status_text *next);
/* Makes @to the same as @from. False: no memory, and @to is of no version. */
bool ui_status_text_copy(struct ui_status_text *to, const struct ui_status_text *from);
/* The parts that are new to who was told version @told (0: nothing), as bits. */
unsigned ui_status_text_news(const struct ui_status_text *t, uint64_t told);
/* Appends the text with these parts. */
void ui_status_text_put(const struct ui_status_text *t, unsigned parts, struct buf *b);

#endif
