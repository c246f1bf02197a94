/*
 * flow_metrics - the metrics that are configured, and the flows they count.
 *
 *	--metrics list, or a file that may change ──► handlers ◄── batches of flows
 *
 * Threads  any: everything takes the registry's lock.
 * Source   reference/hubble-metrics.md sections 2 and 3.
 */
#ifndef TYCHO_OBSERVER_METRICS_FLOW_METRICS_H
#define TYCHO_OBSERVER_METRICS_FLOW_METRICS_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct flow;
struct flow_dict;
struct metrics;
struct flow_metrics;

struct flow_metrics_config {
	struct metrics *metrics; /* borrowed, as is dict */
	const struct flow_dict *dict;
	/* The kernel's drops are seen: a rule's denial of the same packet is then no second drop.
	 */
	bool kernel_drops;
	bool own; /* count tycho_policy_verdicts_total, too */
	/* A metric of the configuration is left out, or an option of one that is kept: one
	 * sentence. */
	void (*warn)(void *ctx, const char *sentence);
	void *ctx;
};

MUST_CHECK enum err_code flow_metrics_new(const struct flow_metrics_config *config,
					  struct flow_metrics **ret, struct err *e);
/* With the families of its metrics. */
void flow_metrics_free(struct flow_metrics *m);
AUTO_DEFINE(struct flow_metrics, flow_metrics_free);

/* Once, instead of flow_metrics_file. ERR_INVALID: an unknown context, a metric twice, two that
 * exclude each other, no metric that is known. */
MUST_CHECK enum err_code flow_metrics_list(struct flow_metrics *m, struct str list, struct err *e);
/* The content of the file, at the start and each time it changed. On failure (no YAML, a metric
 * twice, other labels than the metric had before) all stays as it was; a metric that cannot be had
 * is warned about and left out. */
MUST_CHECK enum err_code flow_metrics_file(struct flow_metrics *m, struct str text, struct err *e);

/* Records of other kinds are passed over. @now stamps exemplars. */
void flow_metrics_count(struct flow_metrics *m, const struct flow *flows, size_t n,
			struct wall_ns now);
/* A pod is gone: removes the series that name it. @return how many. */
size_t flow_metrics_forget_pod(struct flow_metrics *m, struct str namespace_, struct str pod);

#endif
