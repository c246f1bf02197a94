/*
 * status_history - what `tycho status` says of the record: is it kept, since when, how large, how
 * long, with how many gaps, and is it signed. Of one node, or of all behind a relay together.
 */
#ifndef TYCHO_CLI_STATUS_HISTORY_H
#define TYCHO_CLI_STATUS_HISTORY_H

#include "base/buf.h"
#include "cli/history.h"

enum status_history_value {
	STATUS_HISTORY,
	STATUS_HISTORY_RETENTION,
	STATUS_HISTORY_GAPS, /* of what was asked for: STATUS_HISTORY_SPAN_S */
	STATUS_HISTORY_CHECKPOINT,
	STATUS_HISTORY_NOT_WRITING,
	STATUS_HISTORY_COUNT_
};
enum { STATUS_HISTORY_SPAN_S = 24 * 3600 };

/* "Retention" */
const char *status_history_label(enum status_history_value which);
/* One value as people read it, without an end of line; "N/A" where no node keeps a history. */
void status_history_put(struct buf *b, const struct history *h, enum status_history_value which);
/* A line for each, below it the nodes that want to be looked at. */
void status_history_put_lines(struct buf *b, const struct history *h);

#endif
