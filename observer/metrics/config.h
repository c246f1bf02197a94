/*
 * metrics_config - which of Hubble's metrics are wanted and how, read from either of its two forms.
 *
 *	drop:sourceContext=pod|ip;labelsContext=source_namespace  flow     --metrics
 *
 *	metrics:                                                           --metrics-config
 *	- name: drop
 *	  contextOptions:
 *	  - {name: sourceContext, values: [pod, ip]}
 *	  includeFilters: [{source_pod: ["prod/"]}]
 *
 * Grammar and oddities are the reference's (reference/hubble-metrics.md, sections 2 and 3): unknown
 * keys are passed over, what the options mean is not looked into here.
 *
 * Owner    a configuration owns all its texts and filters.
 * Bounds   METRICS_CONFIG_BYTES of text, METRICS_CONFIG_MAX metrics, nodes as YAML aliases repeat
 *          them.
 */
#ifndef TYCHO_OBSERVER_METRICS_CONFIG_H
#define TYCHO_OBSERVER_METRICS_CONFIG_H

#include "base/err.h"
#include "base/str.h"

struct Flow__FlowFilter;

enum { METRICS_CONFIG_BYTES = 4 << 20, METRICS_CONFIG_MAX = 256 };

struct metric_option {
	struct str name;
	const struct str *values;
	size_t value_count;
};

struct metric_config {
	struct str name;
	const struct metric_option *options; /* as given: order, repetitions */
	size_t option_count;
	struct Flow__FlowFilter **include, **exclude;
	size_t include_count, exclude_count;
	struct str options_text, filters_text; /* equal where the meaning is */
};

struct metrics_config {
	const struct metric_config *metrics;
	size_t count;
};

MUST_CHECK enum err_code metrics_config_list(struct str list, struct metrics_config **ret,
					     struct err *e);
/* ERR_PARSE: no YAML, wrong types, a metric without name, one given twice. */
MUST_CHECK enum err_code metrics_config_yaml(struct str text, struct metrics_config **ret,
					     struct err *e);
void metrics_config_free(struct metrics_config *c);
AUTO_DEFINE(struct metrics_config, metrics_config_free);

#endif
