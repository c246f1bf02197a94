/* rate - how many flows a second the log took during the last minute. */
#ifndef TYCHO_OBSERVER_RATE_H
#define TYCHO_OBSERVER_RATE_H

#include "observer/log/log.h"

enum { RATE_WINDOW_S = 60, RATE_RECORDS_MAX = 1 << 18 };

/* Walks back from the newest record. Where the log, RATE_RECORDS_MAX or the observer's life is
 * shorter than a minute, the rate is that of the time covered. @batch is scratch. */
double rate_of_flows(const struct flow_log *log, struct flow_batch *batch, struct wall_ns now,
		     uint64_t uptime_ns);
/* How much of the last minute is covered: from @oldest on if older records were lost, else since the
 * observer began, or since @oldest if that was earlier. @oldest 0: no record. */
uint64_t rate_covered_ns(struct wall_ns now, struct wall_ns oldest, bool is_cut,
			 uint64_t uptime_ns);

#endif
