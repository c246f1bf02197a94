/*
 * telling - what the observer says about itself at each scrape: every loss by stage and cause, and
 * what the rooms hold. docs/metrics.md lists it all; a test holds the two together.
 */
#ifndef TYCHO_OBSERVER_TELLING_H
#define TYCHO_OBSERVER_TELLING_H

#include "metrics/metrics.h"

struct api;
struct capture;
struct flow_dict;
struct flow_log;
struct metrics_reader;
struct store;

struct telling {
	const struct flow_log *log;
	const struct flow_dict *dict;
	struct api *api;
	const struct capture *capture;
	struct metrics *metrics;
	const struct metrics_reader *reader;
	const struct store *store; /* NULL: none is kept */
};

/* A metrics_collect_fn; @ctx is a struct telling. */
void telling_collect(void *ctx, struct metrics_page *page);

#endif
