/*
 * source_cilium_monitor - the agent's monitor socket: what Cilium's datapath and agent say, without
 * disturbing anybody.
 *
 *	monitor1_2.sock ══ gob { Data, CPU, Lost, Type } … ══► RAW_CILIUM_MONITOR, RAW_LOST
 *
 * Breaks   An agent that is not there yet, or goes, is no failure: the socket is tried again after
 *          0.1 s at first and 5 s at last. What happened in between is told as a gap (a LostEvent
 *          with two times and no count), coming and going as agent events ("cilium-connected",
 *          "cilium-lost"). A stream that is no such stream is dropped, and tried again.
 * Loss     The agent says what the kernel lost, per CPU. What it drops itself because we read too
 *          slowly (16,384 events wait for us) nobody tells.
 * Limits   A message of more than MONITOR_MESSAGE_MAX bytes is stepped over and told as one lost
 *          event.
 * Threads  all on the capture thread; drain does not wait. It logs when the agent comes and goes.
 */
#ifndef TYCHO_OBSERVER_CILIUM_MONITOR_H
#define TYCHO_OBSERVER_CILIUM_MONITOR_H

#include "observer/source/source.h"

#define MONITOR_DEFAULT_PATH "/var/run/cilium/monitor1_2.sock"
enum { MONITOR_MESSAGE_MAX = 256 << 10 };

struct source_cilium_monitor_config {
	const char *path;        /* copied; NULL: no such source */
	uint64_t first_pause_ns; /* before the second try; 0: 0.1 s */
};

/* ERR_INVALID: no path for a socket. Starts to connect and never gives up. */
MUST_CHECK enum err_code
source_cilium_monitor_new(const struct source_cilium_monitor_config *config, struct source **ret,
			  struct err *e);

struct source_cilium_monitor_counts {
	bool connected;
	uint64_t connects;    /* how often */
	uint64_t samples;     /* handed on */
	uint64_t lost;        /* as the agent told, and messages too large */
	uint64_t bad_streams; /* given up because they were no monitor stream */
};
/* Any thread. */
struct source_cilium_monitor_counts source_cilium_monitor_counts(const struct source *s);

#endif
