/*
 * flow_dict - names said once: endpoints, services, nodes and kernel drop reasons behind small ids.
 *
 * Each entry is immutable and carries its own protobuf bytes, so that writing a flow copies names
 * instead of encoding them, and comparing names is comparing ids. The same content always yields
 * the same id.
 *
 * Shape    ids count from 1 up; id 0 is "none". Bounded: at most @max entries of each kind.
 * Owner    the dictionary owns all entries; what get returns is borrowed for the dictionary's life
 *          (or, where reset is used, until the reset).
 * Threads  put: any thread; content that is known is found without a lock, new content is added
 *          under one. get: any thread, wait-free.
 * Loss     a full table: put returns id 0 for services and nodes; endpoints get an overflow entry
 *          (identity kept, the one label FLOW_DICT_OVERFLOW_LABEL, names gone). There are @max / 4
 *          of these beside the @max; after that identities go, too. Each such put is counted in
 *          flow_dict_counts. Out of memory is treated alike.
 */
#ifndef TYCHO_FLOW_DICT_H
#define TYCHO_FLOW_DICT_H

#include "base/err.h"
#include "flow/flow.h"

#define FLOW_DICT_OVERFLOW_LABEL "tycho:overflow"
enum { FLOW_DICT_MAX_KERNEL_REASONS = 1000 };

struct workload {
	struct str name, kind;
};

/* flow.Endpoint. Strings are valid UTF-8. Labels keep their order: it is part of the content. */
struct endpoint {
	uint32_t id, identity; /* Endpoint.ID and .identity */
	struct str cluster, namespace_, pod;
	const struct str *labels;
	size_t label_count;
	const struct workload *workloads;
	size_t workload_count;
	struct str wire; /* flow.Endpoint as protobuf bytes; filled by the dictionary */
};

struct service {
	struct str name, namespace_;
	struct str wire; /* flow.Service; filled by the dictionary */
};

struct node {
	struct str name;          /* node_name, "cluster/node" or "node" */
	const struct str *labels; /* node_labels */
	size_t label_count;
	struct str emitter_name, emitter_version; /* both "": no emitter message */
	/* flow.Flow fields node_name, node_labels, emitter with their tags, ascending, and the
	 * parts of it: filled by the dictionary */
	struct str wire, name_wire, labels_wire, emitter_wire;
};

struct flow_dict;

/* @max entries per kind. */
MUST_CHECK enum err_code flow_dict_new(size_t max, struct flow_dict **ret, struct err *e);
void flow_dict_free(struct flow_dict *d);
AUTO_DEFINE(struct flow_dict, flow_dict_free);

/* Interns the content (copied; wire is ignored on the way in). Invalid UTF-8 is replaced. */
struct endpoint_id flow_dict_endpoint(struct flow_dict *d, const struct endpoint *in);
struct service_id flow_dict_service(struct flow_dict *d, const struct service *in);
struct node_id flow_dict_node(struct flow_dict *d, const struct node *in);
/* Interns by protobuf bytes: one hash of the bytes when they were seen before. Id 0 if they do not
 * parse. */
struct endpoint_id flow_dict_endpoint_wire(struct flow_dict *d, struct str wire);
struct service_id flow_dict_service_wire(struct flow_dict *d, struct str wire);
struct node_id flow_dict_node_wire(struct flow_dict *d, struct str wire); /* struct node's wire */
/* Kernel drop reason by name ("NETFILTER_DROP"), cut at 256 bytes; at most
 * FLOW_DICT_MAX_KERNEL_REASONS, then id 0. */
uint16_t flow_dict_kernel_reason(struct flow_dict *d, struct str name);

/* NULL for id 0 and for ids that were never given out. */
const struct endpoint *flow_dict_get_endpoint(const struct flow_dict *d, struct endpoint_id id);
const struct service *flow_dict_get_service(const struct flow_dict *d, struct service_id id);
const struct node *flow_dict_get_node(const struct flow_dict *d, struct node_id id);
struct str flow_dict_get_kernel_reason(const struct flow_dict *d, uint16_t id); /* "" if unknown */

struct flow_dict_counts {
	size_t endpoints, services, nodes, kernel_reasons; /* highest id of each */
	uint64_t overflows;                                /* puts that found the table full */
	size_t bytes;                                      /* memory held */
};
struct flow_dict_counts flow_dict_counts(const struct flow_dict *d);
/* More than half of the room for entries of any kind is taken. */
bool flow_dict_is_half_full(const struct flow_dict *d);
/* Forgets everything and starts a new generation: for readers of foreign files, whose names are
 * unbounded. No other thread may use the dictionary meanwhile; all ids and borrowed entries end
 * here. */
void flow_dict_reset(struct flow_dict *d);
/* Grows by one with each reset: caches keyed by id check it. */
uint64_t flow_dict_generation(const struct flow_dict *d);

#endif
