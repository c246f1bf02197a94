/*
 * text_table - rows of cells, aligned in columns: each column as wide as its widest cell plus three
 * blanks.
 *
 * Follows Go's text/tabwriter (minimum width 2, padding 3), which the reference prints through, in
 * its odd corners too: a tab or line feed inside a cell's text starts a new cell or line (a
 * vertical tab or form feed too; the latter also ends the table), a column ends where a line has no
 * cell for it, and widths count characters (code points), not bytes.
 */
#ifndef TYCHO_FLOW_TEXT_TABLE_H
#define TYCHO_FLOW_TEXT_TABLE_H

#include "base/buf.h"

/* Appends @text, laid out, to @out. In @text a tab ends a cell and a line feed ends a line (whose
 * last cell takes part in no column). False when memory ran out: @out is then incomplete. */
bool text_table_put(struct buf *out, struct str text);

#endif
