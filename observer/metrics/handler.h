/*
 * handler - one of Hubble's metrics: flows in, counters up.
 *
 *	flow ──► is it mine? ──► key (a few words) ──► cache ──► series ──► + 1
 *	                                                └─ new ─► labels ─► metric_series_get
 *
 * Source   reference/hubble-metrics.md section 4; help texts are Hubble's, so that dashboards show
 *          what they always showed.
 * Threads  one at a time, under the registry's lock.
 */
#ifndef TYCHO_OBSERVER_METRICS_HANDLER_H
#define TYCHO_OBSERVER_METRICS_HANDLER_H

#include "observer/metrics/context.h"

struct flow_filter;

enum l7_record { L7_RECORD_NONE, L7_RECORD_DNS, L7_RECORD_HTTP, L7_RECORD_KAFKA };
/* The layer-7 part of a flow, read once for all handlers. */
struct l7_part {
	enum l7_record kind;
	uint32_t type; /* flow.L7FlowType */
	uint64_t latency_ns;
	struct str record;
};
struct l7_part l7_part_of(const struct flow *f);

/* What handlers share. */
struct handler_env {
	struct metrics *metrics;
	const struct flow_dict *dict;
	struct texts *texts;
	/* Denials of our own sources (nflog) are counted as drops only where the kernel's drops are
	 * not seen: one packet is one drop. */
	bool kernel_drops;
	struct wall_ns now; /* stamp of exemplars; set once a batch */
	char *bytes;        /* scratch of HANDLER_BYTES */
};
enum { HANDLER_VALUES_BYTES = 64 << 10, HANDLER_BYTES = 2 * HANDLER_VALUES_BYTES };
_Static_assert((size_t)METRIC_LABELS_MAX *PAGE_VALUE_BYTES <= HANDLER_VALUES_BYTES,
	       "values that could not be told");

enum { HANDLER_FAMILIES = 3, HANDLER_WORLDS = 1024 };

/* Keys to series, exactly; forgets everything when it is full. */
struct ref_cache {
	uint64_t *entries; /* serial, series, key… */
	size_t mask, count, stride;
	uint64_t generation; /* of the texts that keys name */
};

struct handler_kind;

/* Which flows a kind could count at all, looked at before it is asked: bits by flow.l4, by verdict
 * (those beyond 31 are bit 31), of tcp_flags. 0: any. */
struct handler_gate {
	uint32_t l4s, verdicts, tcp_flags;
	bool l7_only; /* flows with a layer-7 part */
};

struct handler {
	struct handler_gate gate; /* the kind's, no zeros */
	const struct handler_kind *kind;
	struct contexts contexts;
	struct metric_family *families[HANDLER_FAMILIES];
	struct metric_label labels[HANDLER_FAMILIES][METRIC_LABELS_MAX];
	struct ref_cache cache;
	size_t words;               /* of a key */
	struct flow_filter *filter; /* NULL: all flows */
	bool query, ignore_aaaa, any_drop, port, syn_only, exemplars;
	/* flows-to-world: whether an endpoint is the world's, by endpoint: id << 1 | answer */
	uint32_t worlds[HANDLER_WORLDS];
};

/* NULL: no such metric. */
const struct handler_kind *handler_kind_find(struct str name);
/* A kind that cannot be there at the same time; NULL: none. */
const char *handler_conflict(const struct handler_kind *kind);

/* Does any metric have such an option? What none has is passed over, as the reference does. */
bool handler_option_is_known(struct str name);

/* Registers its families. ERR_INVALID: "unable to initialize metric 'flow': unknown context 'x'";
 * ERR_EXISTS: a family is there already. */
MUST_CHECK enum err_code handler_new(const struct handler_kind *kind,
				     const struct metric_config *config, struct handler_env *env,
				     struct handler **ret, struct err *e);
/* With its families. */
void handler_free(struct handler *h);
AUTO_DEFINE(struct handler, handler_free);
/* Replaces the filters by @config's. On failure the old ones stay. */
MUST_CHECK enum err_code handler_set_filter(struct handler *h, const struct metric_config *config,
					    struct handler_env *env, struct err *e);

/* A flow with its layer-7 part. */
struct handler_flow {
	const struct flow *flow; /* a FLOW_KIND_FLOW */
	struct l7_part l7;
};
void handler_count(struct handler *h, struct handler_env *env, const struct handler_flow *flows,
		   size_t n);

/* --- between handler.c, which keeps them, and flows.c, l7.c, own.c, which say what they count
 * ------
 */

/* A key under construction, or the values of a series. */
enum { HANDLER_KEY_WORDS = 2 + CONTEXT_KEY_WORDS, HANDLER_VALUES = 8 };

struct handler_kind {
	const char *name, *conflict;
	void (*count)(struct handler *h, struct handler_env *env, const struct flow *f,
		      const struct l7_part *l7);
	struct handler_gate gate;
	bool swapped;
	bool own_word;  /* its keys have a second word of its own */
	bool exemplars; /* are an option of it */
	struct {
		const char *name, *help;
		enum metric_type type;
		const char *labels[6]; /* beside the contexts'; a leading '*': open */
	} families[HANDLER_FAMILIES];
};

/* The series of the key that @own (CONTEXT_KEY_BITS) and @second make with the contexts; the family
 * is part of it. @put says the values of the family's own labels when the key is new: texts that
 * live until it returns, or in @scratch. */
struct handler_values {
	struct str values[HANDLER_VALUES];
	struct buf *scratch;
	const struct flow_dict *dict;
};
typedef void handler_put_fn(struct handler *h, const struct flow *f, const struct l7_part *l7,
			    struct handler_values *ret);
struct metric_ref handler_ref(struct handler *h, struct handler_env *env, const struct flow *f,
			      const struct l7_part *l7, unsigned family, uint64_t own,
			      uint64_t second, handler_put_fn *put);
/* As handler_ref, without a key: for flows whose numbers no key can hold. */
struct metric_ref handler_ref_slow(struct handler *h, struct handler_env *env, const struct flow *f,
				   const struct l7_part *l7, unsigned family, handler_put_fn *put);
/* Ones, or counted as refused. */
void handler_add(struct handler_env *env, struct metric_ref ref);

extern const struct handler_kind handlers_of_flows[], handlers_of_l7[];
extern const size_t handlers_of_flows_count, handlers_of_l7_count;
extern const struct handler_kind handler_of_policies; /* ours: not to be configured */

/* Values that both have. */
const char *handler_protocol(const struct flow *f, const struct l7_part *l7);
int32_t handler_event(const struct flow *f); /* type of event; 0: none */
/* Appends the lower-cased name of an enum's number to the scratch. */
struct str handler_lower(struct handler_values *v, struct str s);

#endif
