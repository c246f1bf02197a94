/*
 * source replay - Hubble JSON lines from a file, as recorded or at full speed.
 *
 *	file, pipe ──► line ──► flow.Flow, LostEvent, … as bytes ──► its time has come ──► sink
 *
 * Lines    GetFlowsResponse or ExportEvent (flow, lost_events, agent_event, debug_event), as
 *          `observe -o json` and the exporter write them; a bare flow.Flow is taken too. Blank
 *          lines and node_status are passed over. Unknown members are ignored.
 * Loss     a line that does not parse, says nothing known, or is longer than 1 MiB is counted and
 *          told through a RAW_LOST event, and the first of them is logged; the rest goes on. A file
 *          that cannot be read to its end counts as one such line.
 * Pace     at speed 1 events keep the distance of their recorded times (the flow's, else the
 *          response's); one without a time, or earlier than the first, comes at once.
 * Polling  source_fd is readable when an event is due or a pipe has bytes. Nothing in drain
 *          blocks; it may allocate: this source is for tests, demonstrations and post mortems.
 */
#ifndef TYCHO_OBSERVER_SOURCE_REPLAY_H
#define TYCHO_OBSERVER_SOURCE_REPLAY_H

#include "observer/source/source.h"

struct source_replay_config {
	const char *path; /* "-": standard input */
	double speed;     /* 1: as recorded, 2: twice as fast, 0: as fast as possible */
	bool keep_time;   /* keep recorded times; else flows get the time when they come out */
	uint64_t repeat;  /* how often; 0 and 1: once. Regular files only */
};

/* ERR_NOT_FOUND, ERR_PERMISSION, …: the file cannot be opened. ERR_INVALID: a negative speed, a
 * directory, or a repeat of what can be read only once. */
MUST_CHECK enum err_code source_replay_new(const struct source_replay_config *config,
					   struct source **ret, struct err *e);
/* Lines that could not be read, so far. Of the thread that drains; of any after the end. */
uint64_t source_replay_bad_lines(const struct source *s);

#endif
