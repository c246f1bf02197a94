/*
 * test - one question about a flow: a field of a FlowFilter, compiled. What a filter is made of.
 *
 *	FlowFilter{ destination_port: ["53","853"], protocol: ["udp"] }
 *	     │ compile.c: one test per non-empty field
 *	     v
 *	rule [ protocol ∈ {udp} ] and [ destination port ∈ {53, 853} ]
 *
 * Each kind of test lives in a file of its subject (test_number.c, test_port.c, test_ip.c,
 * test_name.c, test_text.c, test_http.c) and embeds a struct test as its first member.
 *
 * Owner    a test owns copies of all that it compares with.
 * Threads  one thread: tests remember answers.
 */
#ifndef TYCHO_FILTER_TEST_H
#define TYCHO_FILTER_TEST_H

#include "base/err.h"
#include "flow/flow.h"

struct Flow__FlowFilter;
struct flow_dict;

enum { BLOCK_FLOWS = 64 }; /* as many as one word has bits */

/* Records to be looked at together. */
struct block {
	const struct flow *flows;
	size_t n;           /* 1..BLOCK_FLOWS */
	uint32_t some_bits; /* enum flow_bits that at least one of them has */
};

struct test {
	bool (*matches)(struct test *t, const struct flow *f);
	/* The same for the records of @b that @asked has a bit for, all of kind FLOW_KIND_FLOW: bit
	 * i answers for flows[i]; bits outside of @asked mean nothing. NULL: there is no faster way
	 * than one at a time. */
	uint64_t (*matches_block)(struct test *t, const struct block *b, uint64_t asked);
	void (*forget)(struct test *t); /* dictionary ids have a new meaning; may be NULL */
	void (*free)(struct test *t);   /* what it owns, and itself */
	/* Records that are no flow are asked about too; otherwise they never match. */
	bool sees_events;
	/* Cheaper tests run first: 0 looks at a member, 1 at several, 2 at a dictionary entry, 3 at
	 * wire bytes, 4 runs a regular expression. */
	uint8_t cost;
};

void test_free(struct test *t); /* NULL is a no-op */
AUTO_DEFINE(struct test, test_free);

/* When so few of @n records are asked for that visiting these is faster than scanning all. */
static inline bool block_is_sparse(size_t n, uint64_t asked)
{
	return (size_t)__builtin_popcountll(asked) * 3 < n;
}

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

/* The makers: *@ret is NULL when @ff does not ask for the test. ERR_INVALID with the reference's
 * sentence, ERR_NOMEM. */
typedef enum err_code test_maker(const struct Flow__FlowFilter *ff, const struct flow_dict *dict,
				 struct test **ret, struct err *e);

test_maker test_verdict_new, test_traffic_direction_new, test_ip_version_new, test_reply_new,
	test_encrypted_new, test_drop_reason_new, test_event_type_new, test_tcp_flags_new,
	test_interface_new, test_ip_trace_id_new;
test_maker test_source_port_new, test_destination_port_new, test_protocol_new;
test_maker test_source_ip_new, test_source_ip_xlated_new, test_destination_ip_new;
test_maker test_source_identity_new, test_destination_identity_new, test_source_pod_new,
	test_destination_pod_new, test_source_workload_new, test_destination_workload_new,
	test_source_service_new, test_destination_service_new, test_source_label_new,
	test_destination_label_new, test_node_labels_new, test_node_name_new,
	test_source_cluster_name_new, test_destination_cluster_name_new;
test_maker test_uuid_new, test_source_fqdn_new, test_destination_fqdn_new, test_trace_id_new;
test_maker test_dns_query_new, test_http_status_code_new, test_http_method_new, test_http_path_new,
	test_http_url_new, test_http_header_new;

#endif
