/*
 * flow_filter - Hubble's flow filters, compiled once into predicates on numbers, used by everything
 * that selects flows.
 *
 *	include = (whitelist empty or any of its filters matches)
 *	          and (no filter of the blacklist matches)
 *
 * A filter matches when all its non-empty fields match; a field matches when any of its values
 * does. Rules and error texts are those of Cilium 1.19.4 (reference/hubble-api.md section 4).
 *
 * Compiling turns names into predicates over dictionary entries; what an entry answers is
 * remembered per id, so a label selector costs one bit test for each flow after the first with that
 * endpoint.
 *
 * Owner    a compiled filter owns all it needs; the messages it came from may go.
 * Threads  compile: any thread. match: one thread per struct flow_filter (it holds the caches).
 */
#ifndef TYCHO_FILTER_FILTER_H
#define TYCHO_FILTER_FILTER_H

#include "base/err.h"
#include "flow/dict.h"
#include "flow/flow.h"

/* What a look at one record may cost is bounded, whoever wrote the filters; of all filters
 * together, white and black. The reference has no such limits. */
enum {
	FLOW_FILTER_MAX = 20000,
	FLOW_FILTER_CEL_MAX = 64,    /* expressions; they share the steps that one may take */
	FLOW_FILTER_REGEX_MAX = 256, /* regular expressions: paths, URLs, DNS queries */
	FLOW_FILTER_GLOB_MAX = 4096, /* patterns of names: FQDNs, nodes */
};

struct Flow__FlowFilter; /* protobuf-c: Flow__FlowFilter */
struct flow_filter;

/* @dict must outlive the filter; it is the dictionary of the flows that will be matched. Empty
 * lists match everything. Fails with ERR_INVALID and the reference's sentence, e.g. "filtering by
 * http status code requires the event type filter to only match 'l7' events", or if
 * there is more of something than it may have. */
MUST_CHECK enum err_code flow_filter_new(struct Flow__FlowFilter *const *whitelist,
					 size_t whitelist_count,
					 struct Flow__FlowFilter *const *blacklist,
					 size_t blacklist_count, const struct flow_dict *dict,
					 struct flow_filter **ret, struct err *e);
void flow_filter_free(struct flow_filter *ff);
AUTO_DEFINE(struct flow_filter, flow_filter_free);

/* Records of every kind have an answer. What is no flow has no verdict, address, … and matches no
 * filter that asks for one; but neither has it a label, a trace id or an IP trace id, nor is it
 * encrypted, so it matches filters that ask for just that ("!app", "", 0, false). Agent and debug
 * events are told by event_type (130, 2 and their sub types) and, as on the reference's server, not
 * by encrypted. Lost events match no event_type, as in the reference's CLI; its server sends them
 * unasked. NULL filter: true. */
bool flow_filter_match(struct flow_filter *ff, const struct flow *f);
/* The same for @n records at once: bit i%64 of ret_bits[i/64] is the answer for flows[i]. @return
 * how many match. Faster than one at a time: each predicate runs over all that are still in
 * question. */
size_t flow_filter_match_n(struct flow_filter *ff, const struct flow *flows, size_t n,
			   uint64_t *ret_bits);
/* CEL expressions may fail for a flow (a list is too short, say); it then does not match. @return
 * how many times that happened since the last call; *@ret_why, set if at all, is the last sentence,
 * borrowed until the next match. */
uint64_t flow_filter_faults(struct flow_filter *ff, const char **ret_why);
/* True if it matches everything without looking. */
bool flow_filter_is_empty(const struct flow_filter *ff);

#endif
