/*
 * signals - signals as events: SIGINT, SIGTERM and SIGHUP through a file descriptor; SIGPIPE and
 * SIGXFSZ not at all, since the write that caused them fails.
 *
 * Call it in main before any thread starts: threads inherit the mask, so that none is interrupted.
 */
#ifndef TYCHO_BASE_SIGNALS_H
#define TYCHO_BASE_SIGNALS_H

#include "base/err.h"

/* *@ret_fd is a non-blocking signalfd; own. */
MUST_CHECK enum err_code signals_take(int *ret_fd, struct err *e);
/* The next signal's number, 0 if there is none. */
int signals_next(int fd);

#endif
