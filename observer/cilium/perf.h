/*
 * source_cilium_perf - Cilium's perf event array, read in the agent's place.
 *
 *	/sys/fs/bpf/tc/globals/cilium_events  [ cpu 0 │ cpu 1 │ … ] ──► one perf buffer each
 *	                                          └─► in order of time ──► RAW_CILIUM, RAW_LOST
 *
 * A slot of the array holds one reader. To read here is to take the slots away from the agent: its
 * own Hubble and `cilium monitor` fall silent, without an error. That is why somebody has to ask
 * for it; the monitor socket (observer/cilium/monitor.h) disturbs nobody.
 *
 * Slots    are taken anew at each look: an agent that was restarted stores its own readers, and
 *          nobody is told.
 * Giving way  When this source ends, the kernel empties the slots that are still its own, and no
 *          others: what the agent took back stays the agent's.
 * Changes  looked for every PERF_LOOK_MS: another map under the path (the agent was restarted and
 *          pinned it anew) is opened in place of the old one, with a gap told in between; CPUs that
 *          come and go get and lose their buffers, with a gap told up to a new one. A CPU that went
 *          and came within one look is known by its buffer, which the kernel has let go of. A map
 *          that is not there is waited for.
 * Time     each sample has the kernel's stamp; samples of all CPUs are handed over in its order,
 *          within one drain. Below the kernel's watermark they wait PERF_TICK_MS at most.
 * Loss     counted by the kernel per CPU, told with the CPU.
 * Threads  all on the capture thread; drain does not wait. It logs when the map comes and goes.
 */
#ifndef TYCHO_OBSERVER_CILIUM_PERF_H
#define TYCHO_OBSERVER_CILIUM_PERF_H

#include "observer/source/source.h"

#define PERF_DEFAULT_PATH "/sys/fs/bpf/tc/globals/cilium_events"
#define PERF_OTHER_PATH "/run/cilium/bpffs/tc/globals/cilium_events"
enum { PERF_TICK_MS = 25, PERF_LOOK_MS = 1000, PERF_CPUS_MAX = 4096 };

struct source_cilium_perf_config {
	const char *path;        /* copied; NULL: no such source */
	const char *online_path; /* list of CPUs; NULL: /sys/devices/system/cpu/online */
	uint64_t look_ns;        /* 0: PERF_LOOK_MS */
};

/* ERR_INVALID: an empty or too long path. ERR_PERMISSION: no right to open perf events, or the map.
 * A map of another kind is refused; one that is not there yet is waited for. */
MUST_CHECK enum err_code source_cilium_perf_new(const struct source_cilium_perf_config *config,
						struct source **ret, struct err *e);

struct source_cilium_perf_counts {
	uint64_t samples, lost;
	uint64_t opens; /* how often a map was opened */
	uint32_t cpus;  /* with a buffer now */
};
/* Any thread. */
struct source_cilium_perf_counts source_cilium_perf_counts(const struct source *s);

#endif
