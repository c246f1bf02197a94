/*
 * source replay - Hubble JSON lines from a file, plain or as the exporter writes them, as recorded or at full speed.
 *
 * Lines: GetFlowsResponse or ExportEvent (flow, lost_events, agent_event, debug_event); a bare flow.Flow is taken too. A line that
 * does not parse is counted and told through a RAW_LOST event; the rest goes on.
 */
#ifndef TYCHO_OBSERVER_SOURCE_REPLAY_H
#define TYCHO_OBSERVER_SOURCE_REPLAY_H

#include "observer/source/source.h"

struct source_replay_config {
	const char *path;       /* "-": standard input */
	double speed;           /* 1: as recorded, 2: twice as fast, 0: as fast as possible */
	bool keep_time;         /* keep recorded times; else flows are stamped anew */
	uint64_t repeat;        /* how often; 0 and 1: once. Not for standard input */
};

MUST_CHECK enum err_code source_replay_new(const struct source_replay_config *config, struct source **ret, struct err *e);
/* Lines that did not parse. */
uint64_t source_replay_bad_lines(const struct source *s);

#endif
