/*
 * process - what a daemon says about itself: CPU, memory, descriptors, threads, age, version.
 *
 * Names are Prometheus' usual ones for processes (process_cpu_seconds_total …), the version is
 * tycho_build_info. Source: getrusage(2), /proc/self/statm, /proc/self/fd, /proc/self/stat.
 */
#ifndef TYCHO_METRICS_PROCESS_H
#define TYCHO_METRICS_PROCESS_H

#include "metrics/metrics.h"

struct process_info {
	const char *program; /* "tycho-observer" */
	const char *version;
	const char *const *certificates; /* files whose end is told; borrowed, as the texts are */
	size_t certificate_count;
	struct wall_ns started;
};
/* A metrics_collect_fn; @ctx is a struct process_info. */
void process_collect(void *ctx, struct metrics_page *page);

#endif
