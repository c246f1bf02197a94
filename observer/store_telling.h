/*
 * store_telling - what the store says of itself at a scrape: size, writing, gaps, retention.
 */
#ifndef TYCHO_OBSERVER_STORE_TELLING_H
#define TYCHO_OBSERVER_STORE_TELLING_H

#include "metrics/metrics.h"

/* A metrics_collect_fn; @ctx is a struct store. */
void store_telling_collect(void *ctx, struct metrics_page *page);

#endif
