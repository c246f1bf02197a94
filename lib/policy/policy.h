/*
 * policy - which network policies allow or deny a connection, and why.
 *
 *	Kubernetes objects ──► policy_builder ──► struct policy_set (immutable)
 *	                                              │
 *	  an end (labels, namespace, addresses) ──► policy_row      once for each end
 *	                                              │
 *	  two rows, direction, protocol, port  ──► policy_ask  ──► verdict, and by which rules
 *
 * Kinds    NetworkPolicy (networking.k8s.io/v1), CiliumNetworkPolicy and
 *          CiliumClusterwideNetworkPolicy (cilium.io/v2); CiliumCIDRGroup, Namespace, Service,
 *          Endpoints, EndpointSlice and Pod give what policies refer to: label sets of addresses
 *          and namespaces, backends, names of ports. A List stands for its items.
 * Meaning  that of Cilium 1.19 in its default configuration: enforcement "default", selectors mean
 *          the local cluster unless they name one, address blocks select no pod and no node, the
 *          local node always reaches its own pods. NetworkPolicy means the same there, or what
 *          Kubernetes' specification says (enum policy_meaning).
 * Checks   an object that a person wrote is refused, with one sentence, where the API server (the
 *          definition of the resource) or Cilium's agent would refuse it, and where it has a field
 *          that its kind does not know: a misspelt "port" would open all of them. What an API
 *          server gave (policy_builder_served) has been checked there, maybe by a newer one:
 *          fields that are not known here are left out and counted, and answers about ends that
 *          they may concern say so (struct policy_answer, unsure).
 * Owner    a set owns all it gives out: texts and infos are borrowed for its life.
 * Threads  builder: one thread. Set: any number of readers, no lock; rows and answers are the
 *          caller's. policy_row_fill and policy_ask allocate nothing and call nothing that waits.
 * Limits   enum policy_limits; what goes beyond is an error, never cut off in silence.
 */
#ifndef TYCHO_POLICY_POLICY_H
#define TYCHO_POLICY_POLICY_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum policy_limits {
	POLICY_TEXT_MAX = 64 << 20,     /* bytes of one YAML or JSON text */
	POLICY_DEPTH_MAX = 48,          /* of nested collections in a text, YAML or JSON */
	POLICY_OBJECTS_MAX = 1 << 16,   /* of all kinds in a builder */
	POLICY_RULES_MAX = 1 << 18,     /* in all policies */
	POLICY_SELECTORS_MAX = 1 << 15, /* different ones in all policies */
	POLICY_MEMORY_MAX = 256 << 20,  /* bytes of a set */
	POLICY_LABELS_MAX = 2304,       /* of an end; of one with more, answers are unsure */
	POLICY_BY_MAX = 64,             /* rules told in an answer */
};

enum policy_kind {
	POLICY_KIND_UNKNOWN,
	POLICY_KNP,  /* NetworkPolicy */
	POLICY_CNP,  /* CiliumNetworkPolicy */
	POLICY_CCNP, /* CiliumClusterwideNetworkPolicy */
	POLICY_KIND_COUNT_
};
/* "NetworkPolicy", …; and "knp", "cnp", "ccnp". Never NULL. */
const char *policy_kind_name(enum policy_kind kind);
const char *policy_kind_short(enum policy_kind kind);

enum policy_direction { POLICY_INGRESS, POLICY_EGRESS };

enum policy_verdict {
	POLICY_NOT_ENFORCED,    /* no policy is enforced on this end */
	POLICY_NOT_SELECTED,    /* allowed: no policy selects this end in this direction */
	POLICY_ALLOWED,         /* allowed: a rule matches */
	POLICY_DEFAULT_ALLOWED, /* allowed: those that select this end deny nothing by default */
	POLICY_LOCALHOST,       /* allowed: the local node reaches its own pods */
	POLICY_DENIED,          /* denied by a rule that denies */
	POLICY_DEFAULT_DENIED,  /* denied: policies select this end and no rule matches */
	POLICY_BROKEN,          /* cannot be computed: two rules contradict each other */
	POLICY_VERDICT_COUNT_
};
/* "n/a", "allowed:no-policy", "allowed:rule", …; never NULL. */
const char *policy_verdict_name(enum policy_verdict verdict);
bool policy_verdict_denies(enum policy_verdict verdict);

/* What two rules ask for differently, for one peer and port: Cilium's agent then computes no policy
 * for ends that both select (pkg/policy, how the rules of a port are merged). */
enum policy_clash {
	POLICY_CLASH_NONE,
	POLICY_CLASH_PROXY,       /* http and kafka, tls and dns, … */
	POLICY_CLASH_LISTENER,    /* of one priority */
	POLICY_CLASH_TERMINATING, /* secrets of terminatingTLS */
	POLICY_CLASH_ORIGINATING,
	POLICY_CLASH_NAMES, /* serverNames and rules for a proxy, without terminatingTLS; Cilium refuses
			     * them or not by which of them it meets first, which is not settled */
	POLICY_CLASH_AUTHENTICATION,
	POLICY_CLASH_COUNT_
};
/* "rules ask for different proxies", …; never NULL. */
const char *policy_clash_words(enum policy_clash clash);

/* --- reading ---------------------------------------------------------------------------------- */

/* What a NetworkPolicy means. KUBERNETES, as most CNIs have it: address blocks select pods and
 * nodes too; rules of directions that policyTypes leaves out do not count; a port's name at egress
 * is looked up in the destination. */
enum policy_meaning { POLICY_AS_CILIUM, POLICY_AS_KUBERNETES };
/* "cilium", "kubernetes". */
MUST_CHECK bool policy_meaning_parse(struct str s, enum policy_meaning *ret);

struct policy_config {
	enum policy_meaning meaning;
	const char *cluster; /* the local cluster's name; NULL: "default" */
	bool host_firewall;  /* policies of nodeSelector are enforced on the local node */
	const char *const *node_labels; /* of the local node, "key=value" */
	size_t node_label_count;
	bool counted_labels; /* ends have only labels that policy_label_counts: of what asks as KUBERNETES
			      * for others, answers are unsure */
	bool skip_other_kinds; /* Deployments and whatever else stands in the same files: counted */
};

struct policy_builder;
struct policy_set;

/* @config is copied. ERR_NOMEM. */
MUST_CHECK enum err_code policy_builder_new(const struct policy_config *config,
					    struct policy_builder **ret, struct err *e);
void policy_builder_free(struct policy_builder *b);
AUTO_DEFINE(struct policy_builder, policy_builder_free);

/* One object, or a List of them; borrowed for the call. ERR_INVALID says what is wrong and where:
 * "CiliumNetworkPolicy prod/x: spec.egress[0].toPorts[0]: …"; ERR_UNSUPPORTED: a kind that is none
 * of the above; ERR_EXISTS: the policy is there already; ERR_NOMEM: a limit. After an error the
 * builder is as it was before the object that failed (of a List, the items before it stay). */
MUST_CHECK enum err_code policy_builder_add(struct policy_builder *b, const json_t *object,
					    struct err *e);
/* All documents of a YAML text (JSON is YAML). ERR_PARSE with line and column; else as above, with
 * the document's number. */
MUST_CHECK enum err_code policy_builder_add_text(struct policy_builder *b, struct str text,
						 struct err *e);
/* Says of the policies that are added from now on who gave them (struct policy_info). Copied.
 * ERR_NOMEM. */
MUST_CHECK enum err_code policy_builder_origin(struct policy_builder *b, struct str origin,
					       struct err *e);
/* Says of the objects that are added from now on whether an API server gave them, which checked
 * them; at first: no, a person wrote them. */
void policy_builder_served(struct policy_builder *b, bool served);
/* Something in @namespace_ ("" anywhere) is in force but not in the set, for it was refused:
 * answers about the ends that it may select are unsure. */
void policy_builder_miss(struct policy_builder *b, struct str namespace_);
/* Policies taken that have fields nobody here knows; of the first of them a sentence, borrowed for
 * the builder's life, "" if there is none. */
size_t policy_builder_partly(const struct policy_builder *b, const char **ret_first);
/* Calls @each with @object or, of a List, with each of its items; those of a typed list that leave
 * out what they are get it from the list. Ends with what @each says, "items[3]: " before it;
 * ERR_NOMEM. */
MUST_CHECK enum err_code policy_items_each(const json_t *object,
					   enum err_code (*each)(void *ctx, const json_t *one,
								 struct err *e),
					   void *ctx, struct err *e);
/* Policies taken so far; objects of other kinds skipped. */
size_t policy_builder_count(const struct policy_builder *b);
size_t policy_builder_skipped(const struct policy_builder *b);
/* Of those skipped the policies of others, which may decide where they are in force; of the first of
 * them "KIND of APIVERSION", borrowed for the builder's life, "" if there is none. */
size_t policy_builder_foreign(const struct policy_builder *b, const char **ret_first);
/* The file @path; of a folder all *.yaml, *.yml and *.json in it, in order of their names, but
 * hidden ones. The error names the file. */
MUST_CHECK enum err_code policy_builder_add_path(struct policy_builder *b, const char *path,
						 struct err *e);
/* The same files one after the other: @each gets a path and its text, and ends it with an error. */
MUST_CHECK enum err_code policy_path_each(const char *path,
					  enum err_code (*each)(void *ctx, const char *path,
								struct str text, struct err *e),
					  void *ctx, struct err *e);
/* The set of all that was added; the builder is then empty and can only be freed. */
MUST_CHECK enum err_code policy_builder_finish(struct policy_builder *b, struct policy_set **ret,
					       struct err *e);
void policy_set_free(struct policy_set *set);
AUTO_DEFINE(struct policy_set, policy_set_free);

/* The documents of a YAML or JSON text as JSON values, in a new array. Of YAML: No anchors,
 * aliases, tags and merge keys; a key may occur once in a mapping. ERR_PARSE: with line and column;
 * in more than POLICY_DEPTH_MAX levels, too. */
MUST_CHECK enum err_code policy_yaml(struct str text, json_t **ret, struct err *e);

/* False of an endpoint of an EndpointSlice that is no backend of its service: neither ready, nor
 * serving until it has ended (Cilium, pkg/k8s/endpoints.go). */
bool policy_backend_serves(const json_t *endpoint);

/* --- what is in force ------------------------------------------------------------------------- */

struct policy_info {
	enum policy_kind kind;
	struct str namespace_, name;      /* namespace "" for clusterwide ones */
	struct str uid, resource_version; /* "" where the object had none */
	uint64_t revision;                /* resource version as a number, 0 if it is none */
	struct str origin;                /* who gave it; "" nobody said */
};

size_t policy_set_count(const struct policy_set *set);
/* @policy below the count. */
const struct policy_info *policy_set_info(const struct policy_set *set, uint32_t policy);
/* "knp:prod/db", "ccnp:all". */
void policy_key_put(const struct policy_set *set, uint32_t policy, struct buf *out);
/* True if some rule asks for the DNS names of its peer; for its address. */
bool policy_set_uses_names(const struct policy_set *set);
bool policy_set_uses_addresses(const struct policy_set *set);

/* --- asking ----------------------------------------------------------------------------------- */

/* One end of a connection. Borrowed for the call. */
struct policy_end {
	struct str cluster, namespace_, pod; /* "" unknown; cluster "" and "default": the local one
					      * unless a label says otherwise */
	const struct str *labels;            /* "source:key=value" or "source:key" */
	size_t label_count;
	const uint8_t *ip;        /* 16 bytes, IPv4 mapped; NULL: unknown */
	const uint8_t (*ips)[16]; /* more of them */
	size_t ip_count;
};

/* What all selectors say about an end. The namespace's labels, its name, the cluster and labels
 * from CIDR groups are added where the end's own labels do not tell them. */
struct policy_row;
size_t policy_row_bytes(const struct policy_set *set);
/* @row: policy_row_bytes(set) bytes, aligned to 8. Good for @set only. */
void policy_row_fill(const struct policy_set *set, const struct policy_end *end,
		     struct policy_row *row);
/* True if rows of ends with these labels differ by address (labels of CIDR groups). */
bool policy_row_needs_ip(const struct policy_set *set, const uint8_t ip[16]);
/* Adds one to the count of each policy that selects the end as its subject; @counts has one for
 * each policy. */
void policy_row_count_selected(const struct policy_set *set, const struct policy_row *row,
			       size_t *counts);

/* The labels that rows are made of, sorted, with commas between. */
void policy_end_labels_put(const struct policy_set *set, const struct policy_end *end,
			   struct buf *out);
/* True if a pod's label with this key is part of its identity, and so can be selected: Cilium's
 * default filter (pkg/labelsfilter). "pod-template-hash" is not. */
bool policy_label_counts(struct str key);
/* True of keys of labels that Cilium gives pods itself: namespace, cluster, service account, …. What a pod's
 * own labels say there is not looked at (pkg/k8s/utils, SanitizePodLabels). */
bool policy_label_is_given(struct str key);

struct policy_peer {
	const struct policy_row *row;
	const uint8_t (*ips)[16]; /* all addresses it is known by */
	size_t ip_count;
	const struct str *names; /* DNS names of these; letters in any case, last dot or not */
	size_t name_count;
};

struct policy_query {
	enum policy_direction
		direction; /* egress: asked at the source; ingress: at the destination */
	const struct policy_row *subject;
	struct policy_peer peer; /* the other end */
	uint8_t protocol;        /* IPPROTO_ */
	uint16_t port;           /* destination port; type of ICMP and ICMPv6 */
};

enum policy_section {
	POLICY_SECTION_INGRESS,
	POLICY_SECTION_INGRESS_DENY,
	POLICY_SECTION_EGRESS,
	POLICY_SECTION_EGRESS_DENY,
	POLICY_SECTION_COUNT_
};
enum { POLICY_SPEC = -1, POLICY_NO_RULE = UINT32_MAX };

struct policy_ref {
	uint32_t policy; /* for policy_set_info */
	int32_t spec;    /* POLICY_SPEC, or the index in specs */
	uint8_t section; /* enum policy_section */
	uint32_t rule;   /* index in the section; POLICY_NO_RULE: the policy as a whole */
};
/* "cnp:prod/db#specs[1].ingress[0]", "knp:prod/db#ingress[2]", "ccnp:all". */
void policy_ref_put(const struct policy_set *set, struct policy_ref ref, struct buf *out);
/* What comes after the policy in it: "#ingress[2]", or nothing. */
void policy_ref_rule_put(const struct policy_set *set, struct policy_ref ref, struct buf *out);

struct policy_answer {
	enum policy_verdict verdict;
	struct str
		redirect; /* "http", "dns", "tls", …: the proxy an allowed connection goes to; "" */
	/* Of an allowed connection: "required", and it is dropped until both ends are
	 * authenticated; "test-always-fail", and it always is; "" */
	struct str authentication;
	enum policy_clash clash; /* of BROKEN */
	/* a policy that may select the subject is not known, or not all of it; or one end has more
	 * labels than are looked at */
	bool unsure;
	size_t count;    /* of @by */
	size_t left_out; /* more than POLICY_BY_MAX */
	/* ALLOWED, DENIED: all rules that match. DEFAULT_DENIED: policies that select the end and
	 * deny by default. DEFAULT_ALLOWED: policies that select it. By policy, then rule. BROKEN: two
	 * rules that contradict each other. */
	struct policy_ref by[POLICY_BY_MAX];
};
void policy_ask(const struct policy_set *set, const struct policy_query *query,
		struct policy_answer *ret);

/* What rules for the subject ask for, nobody told, and might change the answer, as a sentence: "names
 * of ports are asked for: give the Pods", …; NULL: nothing. */
const char *policy_lacks(const struct policy_set *set, const struct policy_query *query,
			 const struct policy_answer *answer);

/* True if the policy has a nodeSelector, and selects no pod. */
bool policy_set_is_of_nodes(const struct policy_set *set, uint32_t policy);
/* Two rules that contradict each other. */
struct policy_conflict {
	enum policy_clash clash;
	struct policy_ref rules[2];
	struct str asked[2]; /* what each of them asks for: "http", "shop/secret", … */
	bool same_subject;   /* both select the same ends */
	bool apart;          /* nobody can be both, by values of one label */
};
size_t policy_set_conflict_count(const struct policy_set *set);
void policy_set_conflict(const struct policy_set *set, size_t i, struct policy_conflict *ret);
/* True if both select the end as their subject. */
bool policy_row_has_conflict(const struct policy_set *set, const struct policy_row *row, size_t i);

/* --- what is valid, and hardly ever meant ------------------------------------------------------ */

enum policy_warning_kind {
	POLICY_WARN_SPLIT,       /* peers without ports, and beside them ports without peers */
	POLICY_WARN_TWO_PEERS,   /* labels of pods and a namespace, each a peer of its own */
	POLICY_WARN_EVERY_PEER,  /* a peer without labels beside those that have some */
	POLICY_WARN_EMPTY_PEERS, /* a list of none, which means anybody */
	POLICY_WARN_EMPTY_PORTS, /* a list of none, which means all */
	POLICY_WARN_NO_PORT,     /* toPorts, icmps without one: it matches nothing */
	POLICY_WARN_EXCEPT,      /* of Cilium's: it takes in all of its cidr */
	POLICY_WARN_EVERYTHING,  /* anybody on all ports: those beside it add nothing */
	POLICY_WARN_NOTHING,     /* an empty rule of Cilium's, beside others */
	POLICY_WARN_COVERED,     /* the second rule lets pass, or denies, all that the first does */
	POLICY_WARN_DENIED,      /* the second rule denies all that the first allows */
	POLICY_WARN_TYPES,       /* policyTypes leaves out a direction for which there are rules */
	POLICY_WARN_IDLE_DENY,   /* enableDefaultDeny of a direction without rules */
	POLICY_WARN_ONLY_DENIES, /* a rule that denies, where nothing of the set allows anything */
	POLICY_WARN_NAMES, /* toFQDNs, and no rule of the set shows these pods' DNS to Cilium */
	POLICY_WARN_COUNT_
};
struct policy_warning {
	enum policy_warning_kind kind;
	struct policy_ref rules[2]; /* the rules, or POLICY_NO_RULE of the section */
	size_t rule_count;          /* 1 or 2 */
};
/* Calls @each with what @policy by itself, or for NAMES and ONLY_DENIES beside the others of the set, is warned of. What
 * rules cover is compared up to a bound for each policy, some thousand rules; beyond it nothing is told. */
void policy_set_warn(const struct policy_set *set, uint32_t policy,
		     void (*each)(void *ctx, const struct policy_warning *w), void *ctx);
/* What the mistake is and what it means, as a sentence; never NULL. */
const char *policy_warning_words(const struct policy_warning *w);
/* True if each subject of the policy asks for labels, beyond a namespace. */
bool policy_set_asks_labels(const struct policy_set *set, uint32_t policy);

/* Directions in which the policy denies by default what no rule allows. */
void policy_set_default_deny(const struct policy_set *set, uint32_t policy, bool *ret_ingress,
			     bool *ret_egress);

#endif
