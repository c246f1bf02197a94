/*
 * terminal - text on its way to a terminal, which shows control characters instead of obeying them.
 *
 *	"\a" "\x7f" U+009B  ──►  \u0007 \u007f \u009b
 *
 * Text from the network may hold any of them: a terminal would ring, delete, change its letters or
 * colours, or answer as if somebody had typed. Nor may text turn the order in which what stands
 * beside it is read (bidirectional marks, Unicode's line separators). The form is JSON's, so that JSON stays the same
 * value.
 *
 * Passes   line feed, tab, and carriage return before a line feed; the colours of our own printers.
 * Source   UTR 36 §3.7; ECMA-48 §5.2, §5.3 (C0, C1); Unicode 15 §23.1; RFC 8259 §7.
 */
#ifndef TYCHO_BASE_TERMINAL_H
#define TYCHO_BASE_TERMINAL_H

#include "base/buf.h"
#include "base/err.h"

/* Appends @text, UTF-8. */
void terminal_put(struct buf *b, struct str text);
/* Writes all of @text to @fd: as terminal_put has it to a terminal, else as it is. ERR_CLOSED: a
 * pipe that nobody reads. */
MUST_CHECK enum err_code terminal_write(int fd, struct str text, struct err *e);

#endif
