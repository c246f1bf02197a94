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
struct name_table;
struct store;

/* One more reader of the log: how many records it was too slow for, and has not come to yet. */
struct telling_reader {
	const char *name;
	void (*counts)(const void *ctx, uint64_t *ret_lost, uint64_t *ret_lag);
	const void *ctx;
};

struct telling {
	const struct flow_log *log;
	const struct flow_dict *dict;
	struct name_table *names;
	struct api *api;
	const struct capture *capture;
	struct metrics *metrics;
	const struct metrics_reader *reader;
	const struct store *store; /* NULL: none is kept */
	const struct telling_reader *readers;
	size_t reader_count;
};

/* A metrics_collect_fn; @ctx is a struct telling. */
void telling_collect(void *ctx, struct metrics_page *page);

#endif
