/*
 * metrics_world - flows of a few pods, counted, and the page that comes of it.
 */
#ifndef TYCHO_TESTS_METRICS_WORLD_H
#define TYCHO_TESTS_METRICS_WORLD_H

#include "flow/dict.h"
#include "flow/flow.pb-c.h"
#include "metrics/metrics.h"
#include "observer/metrics/flow_metrics.h"

enum { EVENT_DROP = 1, EVENT_TRACE = 4, EVENT_VERDICT = 5, POLICY_DENIED = 133 };

struct world {
	struct metrics *metrics;
	struct flow_dict *dict;
	struct flow_metrics *fm;
	unsigned warnings;
	char warning[256]; /* the last one */
	char *page;
};

void world_done(struct world *w);
#define AUTO_WORLD __attribute__((cleanup(world_done))) struct world
void open_world(struct world *w, size_t series, bool kernel_drops);
/* @list must be well. */
void configure(struct world *w, const char *list);

struct endpoint_id pod(struct world *w, const char *ns, const char *name);
struct flow packet(int32_t event, uint8_t verdict);
void count(struct world *w, const struct flow *f);
/* A flow of a server that is followed, which may say whatever the message can hold. */
void count_message(struct world *w, const char *json);

/* The page; the world's until the next. */
const char *page_as(struct world *w, enum page_format format);
const char *page(struct world *w);
void expect(struct world *w, const char *line);
void expect_none(struct world *w, const char *text);

#endif
