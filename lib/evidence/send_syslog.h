/*
 * send_syslog - one line to syslog(3). Apart, because <syslog.h> and base/log.h claim the same
 * names.
 */
#ifndef TYCHO_EVIDENCE_SEND_SYSLOG_H
#define TYCHO_EVIDENCE_SEND_SYSLOG_H

#include "base/str.h"

/* "checkpoint " and @line without its newline; facility daemon, level notice. */
void send_to_syslog(struct str line);

#endif
