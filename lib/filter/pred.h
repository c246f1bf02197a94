/*
 * pred - a predicate: one question about a flow, compiled from one field of a FlowFilter.
 *
 *	FlowFilter{ destination_port: ["53","853"], protocol: ["udp"] }
 *	     │ compile.c: one predicate per non-empty field
 *	     v
 *	rule [ protocol ∈ {udp} ] and [ destination port ∈ {53, 853} ]
 *
 * Each kind of predicate lives in a file of its subject (pred_number.c, pred_port.c, pred_ip.c,
 * pred_name.c, pred_text.c, pred_http.c, pred_cel.c) and embeds a struct pred as its first member.
 *
 * Owner    a predicate owns copies of all that it compares with.
 * Threads  one thread: predicates remember answers.
 */
#ifndef TYCHO_FILTER_PRED_H
#define TYCHO_FILTER_PRED_H

#include "base/err.h"
#include "flow/flow.h"
#include "flow/members.h"

struct Flow__FlowFilter;
struct flow_dict;
struct flow_zone;

enum { BLOCK_FLOWS = 64 }; /* as many as one word has bits */

/* Records to be looked at together. */
struct block {
	const struct flow *flows;
	size_t n;           /* 1..BLOCK_FLOWS */
	uint32_t some_bits; /* enum flow_bits that at least one of them has */
};

struct pred {
	bool (*matches)(struct pred *t, const struct flow *f);
	/* The same for the records of @b that @asked has a bit for, all of kind FLOW_KIND_FLOW: bit
	 * i answers for flows[i]; bits outside of @asked mean nothing. NULL: there is no faster way
	 * than one at a time. */
	uint64_t (*matches_block)(struct pred *t, const struct block *b, uint64_t asked);
	void (*forget)(struct pred *t); /* dictionary ids have a new meaning; may be NULL */
	void (*free)(struct pred *t);   /* what it owns, and itself */
	/* How many records it had no answer for since it was last asked, and the last reason why,
	 * borrowed until the next match. NULL: it always has one. */
	uint64_t (*faults)(struct pred *t, const char **ret_why);
	/* It is one of @n of its kind, and they share what one may cost. NULL: its cost is small. */
	void (*share)(struct pred *t, size_t n);
	/* False: no flow of the zone can match (zone_sets.h). NULL: it cannot tell. */
	bool (*may_match)(struct pred *t, const struct flow_zone *z);
	/* That it looks at. FLOW_MEMBER_KIND goes without saying; so does FLOW_MEMBER_BITS where
	 * more bits can only turn a no into a yes. */
	flow_members members;
	uint32_t needs; /* enum flow_bits without which no flow matches */
	/* Records that are no flow are asked about too; otherwise they never match. */
	bool sees_events;
	/* Cheaper ones run first: 0 looks at a member, 1 at several, 2 at a dictionary entry, 3 at
	 * wire bytes, 4 runs a regular expression. */
	uint8_t cost;
};

void pred_free(struct pred *t); /* NULL is a no-op */
AUTO_DEFINE(struct pred, pred_free);

/* When so few of @n records are asked for that visiting these is faster than scanning all. */
static inline bool block_is_sparse(size_t n, uint64_t asked)
{
	return (size_t)__builtin_popcountll(asked) * 3 < n;
}

/* May-match of what looks only into L7 messages. */
bool pred_needs_l7(struct pred *t, const struct flow_zone *z);

/* The flow's wire bytes; where it has none, an empty string that is not NULL. */
static inline struct str flow_ext(const struct flow *f)
{
	return str_n(f->ext_len ? (const char *)f->ext : "", f->ext_len);
}

/* Copies of strings in one block of memory. */
struct strs {
	size_t count;
	struct str v[];
};
/* NULL when out of memory. free() it. */
struct strs *strs_copy(char *const *values, size_t count);
bool strs_have(const struct strs *s, struct str value);

/* The makers: *@ret is NULL when @ff does not ask for it. ERR_INVALID with the reference's
 * sentence, ERR_NOMEM. */
typedef enum err_code pred_maker(const struct Flow__FlowFilter *ff, const struct flow_dict *dict,
				 struct pred **ret, struct err *e);

pred_maker pred_verdict_new, pred_traffic_direction_new, pred_ip_version_new, pred_reply_new,
	pred_encrypted_new, pred_drop_reason_new, pred_event_type_new, pred_tcp_flags_new,
	pred_interface_new, pred_ip_trace_id_new;
pred_maker pred_source_port_new, pred_destination_port_new, pred_protocol_new;
pred_maker pred_source_ip_new, pred_source_ip_xlated_new, pred_destination_ip_new;
pred_maker pred_source_identity_new, pred_destination_identity_new, pred_source_pod_new,
	pred_destination_pod_new, pred_source_workload_new, pred_destination_workload_new,
	pred_source_service_new, pred_destination_service_new, pred_source_label_new,
	pred_destination_label_new, pred_node_labels_new, pred_node_name_new,
	pred_source_cluster_name_new, pred_destination_cluster_name_new;
pred_maker pred_uuid_new, pred_source_fqdn_new, pred_destination_fqdn_new, pred_trace_id_new;
pred_maker pred_dns_query_new, pred_http_status_code_new, pred_http_method_new, pred_http_path_new,
	pred_http_url_new, pred_http_header_new, pred_cel_new;

#endif
