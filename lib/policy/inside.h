/*
 * inside - what the files of lib/policy share: the shapes that objects are read into.
 *
 *	policy ─► spec (one `spec`, or each of `specs`) ─► rules of four sections ─► peers, ports
 *
 * Owner    everything lives in the set's memory (struct mem) from reading to policy_set_free; the
 *          builder hands the set over when it is finished.
 */
#ifndef TYCHO_POLICY_INSIDE_H
#define TYCHO_POLICY_INSIDE_H

#include "base/map.h"
#include "cel/mem.h"
#include "policy/policy.h"

/* --- labels and selectors --------------------------------------------------------------------- */

struct label {
	struct str source, key, value;
	uint32_t key_hash, value_hash;
};
uint32_t label_hash(struct str s);
/* "source:key=value", "key=value" (source "any"), "source:key". */
struct label label_read(struct str text);

enum requirement_op { REQ_IN, REQ_NOT_IN, REQ_EXISTS, REQ_ABSENT };

struct requirement {
	enum requirement_op op;
	struct str source, key; /* source "any": whatever the label's is */
	uint32_t key_hash;
	const struct str *values;
	const uint32_t *value_hashes;
	size_t value_count;
};
/* All requirements must hold; none selects everything. */
struct selector {
	struct requirement *requirements;
	size_t count;
	size_t labels; /* the first ones come from matchLabels */
};
bool selector_matches(const struct selector *s, const struct label *labels, size_t count);
/* A label that has a value, and that selectors of all kinds can ask for. */
bool label_is_selectable(struct str key, struct str value);

/* --- rules ------------------------------------------------------------------------------------ */

struct prefix {
	uint64_t hi, lo; /* first byte highest; host bits zero */
	uint8_t bits;    /* 0 … 128; IPv4 as 96 + n */
	bool v4;
};
/* Addresses of the other family are in none, not even in "::/0". */
bool prefix_contains(const struct prefix *p, const uint8_t ip[16]);
/* @bits: of @ip as it stands here, 96 more for IPv4. */
struct prefix prefix_of(const uint8_t ip[16], unsigned bits, bool v4);

struct block {
	struct prefix prefix;
	const struct prefix *except;
	size_t except_count;
	struct str text; /* of Cilium's rules: as it is written */
};
/* `cidrGroupRef`, which becomes blocks when the set is finished; or `cidrGroupSelector`, which asks
 * for the labels that an address has from all groups it is in, and that pods and nodes have not. */
struct group_ref {
	struct str name; /* "": by selector */
	uint32_t selector;
	const struct prefix *except;
	size_t except_count;
};
/* An entry of toServices; becomes selectors and blocks. */
struct service_ref {
	struct str name, namespace_;     /* "": any */
	const struct selector *selector; /* over the service's labels; NULL: by name */
};

struct proxy {
	struct str name; /* "" none */
	uint8_t rank;    /* where several are asked for: the lowest wins */
};

/* What a toPorts entry asks for that others, for the same peer and port, must not ask for
 * differently; "" nothing. */
struct port_asks {
	struct str listener; /* "NAMESPACE/CONFIG/NAME" */
	struct str terminating,
		originating; /* "NAMESPACE/NAME" of the secret, or "NAME", as written */
	struct str within;   /* "serverNames" or "rules", without terminatingTLS */
};

struct port {
	uint8_t protocol;     /* IPPROTO_ */
	uint16_t first, last; /* 0 … 65535: all. ICMP: types */
	struct str name;      /* of a named port: looked up in the subject (ingress) */
	uint16_t named_last;  /* a range from there on; 0 none */
	uint16_t end;         /* endPort as it is written; 0 none */
	bool of_peer;         /* at egress, too, the name is looked up in the destination */
	bool never;           /* a name that nobody, or more than one port, has */
	struct proxy proxy;
	const struct port_asks *asks; /* NULL: nothing */
};

struct rule {
	uint32_t index; /* in its section */
	uint8_t section;
	bool nobody;      /* an empty list of endpoints, or nothing but what cannot be resolved */
	bool everybody;   /* ports without peers; set when finished */
	bool anybody;     /* a peer that is everybody, or no peers; set when finished */
	bool narrowed;    /* it names ports or ICMP types */
	bool no_peers;    /* none are written */
	bool empty_peers; /* of NetworkPolicy: a list of them without one */
	bool empty_ports;
	bool two_peers; /* of NetworkPolicy: all it has are a podSelector and a namespaceSelector */
	bool any_address;          /* blocks select pods and nodes as well */
	bool unresolved;           /* cloud groups: unknown addresses, so never "everybody" */
	struct str authentication; /* mode; "" nothing said */
	uint32_t *selectors;
	size_t selector_count;
	struct block *blocks;
	size_t block_count;
	size_t own_blocks; /* the first ones: not those of groups and services */
	struct str *names; /* DNS patterns, lower case, without the last dot */
	size_t name_count;
	struct group_ref *groups;
	size_t group_count;
	struct service_ref *services;
	size_t service_count;
	struct port *ports;
	size_t port_count;
};

/* What rules ask for that nobody may have told. */
struct asks {
	bool namespaces; /* labels of these, beyond the name */
	bool port_names, services, groups, cloud_groups, names, denials;
};

struct spec {
	uint32_t policy, subject;         /* indices: policies, selectors */
	int32_t index;                    /* POLICY_SPEC or in specs */
	bool node;                        /* nodeSelector */
	bool applies[2], default_deny[2]; /* by enum policy_direction */
	bool untyped[2];                  /* there are rules, and policyTypes leaves them out */
	bool idle_deny[2];                /* enableDefaultDeny is true, and there are no rules */
	struct rule *rules[POLICY_SECTION_COUNT_];
	size_t rule_count[POLICY_SECTION_COUNT_];
	struct asks asks[2];   /* by enum policy_direction; set when finished */
	struct str namespace_; /* of the subject; p NULL: any. Set when finished */
};

/* True if an end may be the subject of both: no pod is in two namespaces, none is a node, and no label
 * has two values. */
bool specs_can_meet(const struct spec *a, const struct spec *b);
bool selectors_exclude(const struct selector *a, const struct selector *b);

/* --- what policies refer to ------------------------------------------------------------------- */

struct group {
	struct str name;
	struct label *labels; /* source cidrgroup, its name among them */
	size_t label_count;
	struct prefix *prefixes;
	size_t prefix_count;
};
struct service_entry {
	struct str name, namespace_;
	struct label *labels;
	size_t label_count;
	struct selector *selector; /* NULL: backends by address */
};
/* Addresses behind a service, from Endpoints or an EndpointSlice. */
struct backends_entry {
	struct str name, namespace_; /* of the service */
	uint8_t (*ips)[16];
	size_t count;
};
struct namespace_entry {
	struct str name;
	struct label *labels; /* as endpoints carry them: k8s:io.cilium.k8s.namespace.labels.KEY */
	size_t label_count;
};
struct named_port {
	struct str name; /* lower case */
	uint8_t protocol;
	uint16_t port;
};
struct pod_ports {
	struct named_port *ports;
	size_t count;
};

/* Two rules that ask for different things for one peer and port. */
struct conflict {
	enum policy_clash clash;
	uint32_t specs[2];
	struct policy_ref refs[2];
	struct str asked[2];
	const uint32_t *settled_by; /* specs: an end that one of them selects has no conflict */
	size_t settled_count;
};

/* A list in memory of the set that grows by doubling. */
struct list {
	void *items;
	size_t count, room;
};
/* Room for one more item of @size bytes, zeroed, counted; NULL without memory. */
void *list_add(struct mem *m, struct list *l, size_t size);

struct selector_group {
	uint32_t first, count; /* in by_namespace */
};

struct policy_set {
	struct mem mem;
	struct str cluster;
	bool host_firewall, kubernetes;
	bool counted_labels; /* of ends */
	struct label *node_labels;
	size_t node_label_count;
	struct list policies;   /* struct policy_info */
	struct list specs;      /* struct spec */
	struct list selectors;  /* struct selector */
	struct list groups;     /* struct group */
	struct list services;   /* struct service_entry */
	struct list backends;   /* struct backends_entry */
	struct list namespaces; /* struct namespace_entry */
	struct list pods;       /* struct pod_ports */
	struct list conflicts;  /* struct conflict */
	struct list
		allowing[2]; /* uint32_t: specs that allow somebody something; set when finished */
	struct list
		showing; /* uint32_t: specs that show names to Cilium's proxy; set when finished */
	struct list doubts;      /* uint32_t: selectors of ends about which not all is known */
	struct map *by_selector; /* canonical text of a selector to its index */
	struct map *by_object;   /* "kind/namespace/name" to 1 + index in its list */
	size_t rule_count, object_count;
	size_t selector_words, spec_words; /* 64 bits each; of a row */
	/* Selectors that ask for one namespace, grouped by it: an end is held against those of its
	 * own only. The others come first. */
	uint32_t *by_namespace;           /* ids of selectors, group after group */
	struct selector_group *groups_of; /* [0] any namespace; the rest by namespaces_of */
	size_t group_count;
	struct map *group_ids; /* namespace to index in groups_of */
	uint64_t seed;         /* of the maps */
	bool uses_names, uses_addresses;
	bool unsure;                  /* of all ends */
	bool subjects_ask_namespaces; /* their labels, beyond the name; set when finished */
	bool has_node_specs;
};

/* Keys of by_object: "KIND NAMESPACE/NAME". */
bool object_find(const struct policy_set *s, const char *kind, struct str namespace_,
		 struct str name, uint32_t *ret);

static inline struct policy_info *set_policy(const struct policy_set *s, size_t i)
{
	return (struct policy_info *)s->policies.items + i;
}
static inline struct spec *set_spec(const struct policy_set *s, size_t i)
{
	return (struct spec *)s->specs.items + i;
}
/* The first of a policy's specs, which are neighbours; the count where it has none. */
size_t set_first_spec(const struct policy_set *s, uint32_t policy);
bool is_spec_of(const struct policy_set *s, size_t i, uint32_t policy);
static inline struct selector *set_selector(const struct policy_set *s, size_t i)
{
	return (struct selector *)s->selectors.items + i;
}

static inline struct conflict *set_conflict(const struct policy_set *s, size_t i)
{
	return (struct conflict *)s->conflicts.items + i;
}

enum row_flags {
	ROW_ENFORCED = 1 << 0,
	ROW_WORLD = 1 << 1, /* address blocks and DNS names may select it */
	ROW_HOST = 1 << 2,  /* the local node */
	ROW_INIT = 1 << 3,  /* no labels known yet: denied what no rule allows */
	ROW_BROKEN = 1 << 4,
	ROW_UNSURE = 1 << 5, /* a selector of doubts matches */
	ROW_POD = 1 << 6,
	ROW_NAMELESS = 1 << 7, /* of its namespace nothing but the name is known */
	ROW_NODE = 1 << 8,     /* a node, the local one or another */
	ROW_CUT = 1 << 9,      /* it has more labels than were looked at */
};
struct policy_row {
	uint32_t flags;
	const struct pod_ports *ports; /* of the subject; NULL none */
	uint64_t bits[];               /* selectors that match, then specs that select it */
};
static inline bool row_has_selector(const struct policy_row *r, size_t i)
{
	return r->bits[i / 64] >> (i % 64) & 1;
}
static inline bool row_has_spec(const struct policy_set *s, const struct policy_row *r, size_t i)
{
	return r->bits[s->selector_words + i / 64] >> (i % 64) & 1;
}

/* --- parts of a rule, one by one --------------------------------------------------------------- */

bool block_has(const struct block *b, const uint8_t ip[16]);
/* A DNS name, letters in any case, last dot or not. */
bool name_matches(struct str pattern, struct str name);
/* By selector; references by name have become blocks. */
bool group_matches(const struct group_ref *g, const struct policy_peer *peer);
/* The range that @p means for the subject. False: none. */
bool port_range(const struct port *p, const struct policy_query *q, uint16_t *first,
		uint16_t *last);

/* --- entries of the agent's map ----------------------------------------------------------------- */

/*
 * What of the agent's policy map covers one connection: of keys for everybody, or of those for the peer, one for each
 * length of protocol and port. (Cilium, pkg/policy, mapState.)
 */
enum {
	ENTRY_LENGTHS = 18
}; /* [0] any protocol; then protocol and so many bits of the port, and 1 */
struct entry {
	uint8_t precedence; /* of its proxy; 0 none */
	uint8_t mode;       /* of authentication: 0 none, 1 required, 2 always fails */
	bool there, says;   /* a rule says the mode */
};
/* Of a range that holds @port: the length of the key with which the agent's map covers it. */
unsigned entry_length(uint16_t first, uint16_t last, uint16_t port);
/* @authentication: of the rule; "" it says nothing. */
void entry_add(struct entry entries[ENTRY_LENGTHS], unsigned length, const struct proxy *proxy,
	       struct str authentication);
/* The mode that counts for the connection; "" none. */
struct str entries_authentication(const struct entry everybody[ENTRY_LENGTHS],
				  const struct entry peer[ENTRY_LENGTHS]);

/* --- reading one object ----------------------------------------------------------------------- */

/* Where in the object we are, and the first thing that was wrong. After that nothing is read. */
struct reading {
	struct policy_set *set;
	struct err *e;
	enum err_code code;
	size_t at;      /* length of path */
	char path[192]; /* "spec.egress[0].toPorts" */
	bool uncounted; /* it asks for labels that ends have, and that are not told here */
	bool served;    /* an API server gave it: fields we do not know are counted, and no error */
	size_t unknown; /* of these; and where the first is */
	char first_unknown[192];
};
/* Sets the error, the first time: "PATH: …". */
void bad(struct reading *r, const char *fmt, ...) FORMAT(2, 3);
void no_memory(struct reading *r);
/* Goes one step down: ".key" or "[index]"; up again with r->at = what it returned. */
size_t step(struct reading *r, const char *key);
size_t step_to(struct reading *r, size_t index);
void back(struct reading *r, size_t at);
/* NULL beyond the limit; the error is then set. */
void *room(struct reading *r, size_t bytes);
struct str keep(struct reading *r, struct str s);

/* Members of an object by type; NULL where absent or null. Another type is an error. */
json_t *member_object(struct reading *r, const json_t *object, const char *key);
json_t *member_array(struct reading *r, const json_t *object, const char *key);
/* p NULL: absent. */
struct str member_text(struct reading *r, const json_t *object, const char *key);
bool is_object(struct reading *r, const json_t *value);
/* The text of a string value (borrowed), "" and an error for any other. */
struct str text_of(struct reading *r, const json_t *value);
/* "it is …, must be @wanted". */
void bad_type(struct reading *r, const json_t *value, const char *wanted);
/* An error if @object has a member that is not in @keys (ends with NULL); of what an API server
 * gave it is counted. */
void only(struct reading *r, const json_t *object, const char *const *keys);
/* The same of its member @key, if that is there. */
void only_in(struct reading *r, const json_t *object, const char *key, const char *const *keys);
/* Calls @check, if any, for each of @list, the member @key; what is no object is an error. */
void check_each(struct reading *r, const json_t *list, const char *key,
		void (*check)(struct reading *, const json_t *));
/* The same: they must be texts. */
void check_texts(struct reading *r, const json_t *list, const char *key);
static inline bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}
/* A name as Kubernetes wants it (RFC 1123 subdomain); "" is one, too. */
bool is_subdomain(struct str s);

/* --- parts of policies ------------------------------------------------------------------------ */

/* A Kubernetes label selector. @source: of its keys, "" if a key may say its own ("k8s:app",
 * "reserved:host"; "any" where it does not). @key_prefix is put before each key. NULL after an
 * error. */
struct selector *read_selector(struct reading *r, const json_t *json, struct str source,
			       struct str key_prefix);
/* `labels` of metadata: keys and values as the API server takes them. */
void check_labels(struct reading *r, const json_t *labels);
bool selector_has_key(const struct selector *s, struct str source, struct str key);
bool selector_has_key_prefix(const struct selector *s, struct str source, struct str prefix);
/* One requirement more; REQ_IN with its one value takes the place of a matchLabels entry of that
 * key. */
void selector_require(struct reading *r, struct selector *s, enum requirement_op op,
		      struct str source, struct str key, struct str value);
/* The index of an equal selector in the set. */
uint32_t intern_selector(struct reading *r, const struct selector *s);
void rule_add_selector(struct reading *r, struct rule *rule, size_t room_for,
		       const struct selector *s);

struct prefix read_prefix(struct reading *r, struct str text, uint8_t ret_ip[16]);
/* Into @rule: `toPorts` of Cilium's policies, `ports` of NetworkPolicy, `icmps`. */
struct port_context {
	bool ingress, deny, node;
	struct str namespace_; /* of the policy; "": clusterwide */
};
void read_to_ports(struct reading *r, const json_t *list, struct port_context where,
		   struct rule *rule);
void read_kube_ports(struct reading *r, const json_t *list, struct rule *rule);
/* `rules` of a toPorts entry. Lists may be empty: then nothing is asked for. */
struct l7 {
	struct str proxy; /* that they ask for; "" none */
	bool any;         /* there are rules */
	bool dns;         /* and they are for DNS */
};
/* What a toPorts entry asks for: of TCP, and of other protocols, which most proxies do not know. */
struct proxies {
	struct proxy tcp, other;
	const struct port_asks *asks; /* NULL: nothing */
};
/* All of an entry of toPorts but its ports. */
struct proxies read_proxies(struct reading *r, const json_t *entry, struct port_context where,
			    struct l7 *ret);
/* matchName or matchPattern: of DNS rules and of toFQDNs. */
void check_dns(struct reading *r, const json_t *rule);
void read_icmps(struct reading *r, const json_t *list, struct rule *rule);

/* One object of each kind into the set. */
struct spec *add_spec(struct reading *r, uint32_t policy, int32_t index);
/* An entry of a section's array, with its index and section set. NULL after an error. */
struct rule *add_rules(struct reading *r, struct spec *spec, enum policy_section section, size_t n);
void read_network_policy(struct reading *r, const json_t *object, uint32_t policy);
void read_cilium_policy(struct reading *r, const json_t *object, uint32_t policy);
void read_namespace(struct reading *r, const json_t *object);
void read_group(struct reading *r, const json_t *object);
void read_service(struct reading *r, const json_t *object);
void read_endpoints(struct reading *r, const json_t *object);
void read_endpoint_slice(struct reading *r, const json_t *object);
void read_pod(struct reading *r, const json_t *object);

/* Sorts the selectors by the namespace they ask for. */
void index_selectors(struct reading *r);
/* After the last object: services and groups to peers, names of egress ports to numbers; then conflicts. */
void link_rules(struct reading *r);
/* Pairs of rules that exclude each other, into the set; once rules are linked. */
void link_conflicts(struct reading *r);

/* Labels and keys that Cilium gives a meaning (pkg/k8s/apis/cilium.io, pkg/labels). */
#define KEY_NAMESPACE STR("io.kubernetes.pod.namespace")
#define KEY_CLUSTER STR("io.cilium.k8s.policy.cluster")
#define KEY_NAMESPACE_LABELS STR("io.cilium.k8s.namespace.labels.")
#define KEY_NAMESPACE_NAME STR("io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name")
#define KEY_GROUP_NAME STR("io.cilium.policy.cidrgroupname/")

#endif
