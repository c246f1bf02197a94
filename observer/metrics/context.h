/*
 * context - who a metric's labels name: the options that all of Hubble's metrics share.
 *
 *	sourceContext=pod|ip;labelsContext=source_namespace
 *		──► labels source_namespace, source      what a flow's values are, by numbers (key)
 *		                                         and, when those are new, as texts (values)
 *
 * A key holds everything that the values depend on: flows with equal keys have equal values. It is
 * made of dictionary ids and addresses, so that comparing is comparing words.
 *
 * Source   reference/hubble-metrics.md section 5.
 * Threads  one at a time: texts that are no dictionary's are interned in struct texts.
 */
#ifndef TYCHO_OBSERVER_METRICS_CONTEXT_H
#define TYCHO_OBSERVER_METRICS_CONTEXT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"
#include "flow/dict.h"
#include "metrics/metrics.h"
#include "observer/metrics/config.h"

enum context_id {
	CONTEXT_IDENTITY,
	CONTEXT_NAMESPACE,
	CONTEXT_POD,
	CONTEXT_POD_NAME,
	CONTEXT_DNS,
	CONTEXT_IP,
	CONTEXT_RESERVED_IDENTITY,
	CONTEXT_WORKLOAD,
	CONTEXT_WORKLOAD_NAME,
	CONTEXT_APP,
	CONTEXT_COUNT_
};

/* Tried in order; the first value that is not empty counts. */
struct context_list {
	uint8_t ids[CONTEXT_COUNT_]; /* each once: a second try would say the same */
	uint8_t count;
};

/* One side's labels in labelsContext, then traffic_direction; bits of contexts.labels. */
enum context_label {
	LABEL_IP,
	LABEL_POD,
	LABEL_NAMESPACE,
	LABEL_WORKLOAD,
	LABEL_WORKLOAD_KIND,
	LABEL_APP,
	LABEL_COUNT_,
	LABEL_DIRECTION = 2 * LABEL_COUNT_,
	CONTEXT_LABELS = LABEL_DIRECTION + 1,
	/* labelsContext, source, destination */
	CONTEXT_LABELS_MAX = CONTEXT_LABELS + 2,
};

struct contexts {
	/* by side, FLOW_SRC and FLOW_DST */
	struct context_list plain[2], egress[2], ingress[2];
	bool has_side[2];
	uint16_t labels; /* of labelsContext: bit LABEL_ of the source, LABEL_COUNT_ + of the
			    destination */
	bool swapped;    /* source and destination change places, as httpV2 has it */
	uint8_t needs;   /* what a key is made of */
	uint8_t words;   /* of a key, the handler's own first one included */
};

/* Texts behind small numbers, for values that no dictionary has, as page_value has them. */
struct texts {
	struct map *map;
	size_t bytes;        /* in the map */
	uint32_t next;       /* numbers are not given out twice, also when the map was emptied */
	uint64_t generation; /* … but for once in 2^32: who keeps numbers forgets them when it grows
			      */
	struct buf scratch;
};
enum { TEXTS_MAX = 65536, TEXTS_BYTES = 16 << 20, CONTEXT_TEXT_BYTES = 4 * PAGE_VALUE_BYTES };
MUST_CHECK enum err_code texts_init(struct texts *t, struct err *e);
void texts_done(struct texts *t);
/* 0 if it cannot be held. */
uint32_t texts_id(struct texts *t, struct str s);

/* sourceContext and its like, labelsContext */
bool contexts_option_is_known(struct str name);
/* ERR_INVALID: "unknown context 'x'", "invalid labelsContext value: x". */
MUST_CHECK enum err_code contexts_read(const struct metric_config *m, bool swapped,
				       struct contexts *ret, struct err *e);
/* Appends the labels to @labels. @return how many. */
size_t contexts_labels(const struct contexts *c, struct metric_label *labels);

/* Own part of a handler in the first word of a key; what is above it belongs to the contexts. */
enum { CONTEXT_KEY_BITS = 56, CONTEXT_KEY_WORDS = 8 };
/* Fills the words from 1 on, and ors the upper bits of word 0. @return false: no key can hold what
 * the flow's values depend on. */
bool contexts_key_slow_(const struct contexts *c, const struct flow *f, struct texts *texts,
			uint64_t *key);
static inline bool contexts_key(const struct contexts *c, const struct flow *f, struct texts *texts,
				uint64_t *key)
{
	return !c->needs || contexts_key_slow_(c, f, texts, key);
}
/* The values, in the order of contexts_labels; they borrow @text and the dictionary. */
size_t contexts_values(const struct contexts *c, const struct flow *f, const struct flow_dict *dict,
		       struct buf *text, struct str *values);

/* Removes from @family, whose labels begin with @c's, the series of a pod that is gone. */
size_t contexts_remove_pod(const struct contexts *c, struct metric_family *family,
			   struct str namespace_, struct str pod);

#endif
