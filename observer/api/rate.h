/* rate - how many flows a second the log took during the last minute. */
#ifndef TYCHO_OBSERVER_RATE_H
#define TYCHO_OBSERVER_RATE_H

#include "observer/log/log.h"

enum { RATE_WINDOW_S = 60, RATE_RECORDS_MAX = 1 << 18 };

/* Walks back from the newest record. Where the log, or RATE_RECORDS_MAX, is shorter than a minute,
 * the rate is that of the time covered. @batch is scratch. */
double rate_of_flows(const struct flow_log *log, struct flow_batch *batch, struct wall_ns now);

#endif
