/*
 * doctor - whether an observer with these options can work here: what is wrong, and what to do.
 *
 *	kernel ► rights ► state ► export: filters, fields, files, room ► ports ► certificates
 *	       ► Kubernetes: what may be listed, clock, node
 *	       ► ClickHouse: server, clock, tables, the right to write them
 *
 * A line is "ok", "warn" or "fail", the check's name and what was found; below it, what is to be
 * done. As JSON an object a line: check, result, detail, fix. Nothing is changed, loaded or
 * attached; of the API server lists of one object and beginnings of watches are asked for, and of
 * ClickHouse the INSERT of no row.
 *
 * Threads  the caller's; waits for the API server, some seconds a request at most.
 */
#ifndef TYCHO_OBSERVER_DOCTOR_H
#define TYCHO_OBSERVER_DOCTOR_H

#include "observer/options.h"

/* Prints to standard output. @return how many checks failed. */
unsigned doctor_examine(const struct obs_options *o, const char *node, bool json);

#endif
