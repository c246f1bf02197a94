/*
 * ui_frame - the text of one message, shared by all pages that are sent it.
 *
 * A hundred pages that look at the same are told the same: it is written once, and goes when the
 * last of them has taken it.
 *
 * Shape    fixed for life. ui_frames counts the bytes of all that live.
 * Threads  one at a time.
 */
#ifndef TYCHO_UI_FRAME_H
#define TYCHO_UI_FRAME_H

#include "base/own.h"
#include "base/str.h"

/* Embedded, zero to begin with; outlives its frames. */
struct ui_frames {
	size_t bytes;
};

struct ui_frame;

/* Copies @text; one reference, the caller's. NULL: no memory. */
struct ui_frame *ui_frame_new(struct ui_frames *frames, struct str text);
struct ui_frame *ui_frame_ref(struct ui_frame *f);
void ui_frame_unref(struct ui_frame *f); /* NULL is a no-op */
struct str ui_frame_text(const struct ui_frame *f);

#endif
