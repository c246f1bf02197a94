/*
 * report - how text from a server is printed.
 */
#ifndef TYCHO_CLI_REPORT_H
#define TYCHO_CLI_REPORT_H

#include "base/buf.h"

/* Text from a server, unable to steer the terminal: ESC as "^[", carriage return as "\r", as the
 * reference does. */
void report_text(struct buf *b, const char *text);
/* The same as a cell of a table: unable to begin another cell or line. "-" for nothing. */
void report_cell(struct buf *b, struct str text);

#endif
