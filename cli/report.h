/*
 * report - small things that status, list and watch print with.
 */
#ifndef TYCHO_CLI_REPORT_H
#define TYCHO_CLI_REPORT_H

#include "base/buf.h"

/* 1234567 as "1,234,567". */
void report_grouped(struct buf *b, uint64_t v);
/* Text from a server, unable to steer the terminal: ESC as "^[", carriage return as "\r", as the
 * reference does. */
void report_text(struct buf *b, const char *text);

#endif
