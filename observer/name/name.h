/*
 * name_table - who an address is: endpoints, services and DNS names behind IP addresses, kept by
 * providers.
 *
 *	provider (YAML file, …) ──► name_update, name_change ──► immutable snapshot ──► name_flow
 *
 * A provider hands over its complete view, and later what changed of it; the table makes a new
 * snapshot (addresses, prefixes, services), which shares with the last one what did not change, and
 * publishes it with one pointer store. The capture thread looks addresses up in the
 * snapshot it loaded, without a lock; old snapshots are freed once it has moved on: at its next
 * flow, or when its loop calls name_quiet.
 *
 * When     a flow is named by what was true when it happened: a change is true since the moment that
 *          its provider learned of it, and a flow from before it that is read after it has the old
 *          names (NAME_PAST). What a provider says first was true before, too. A flow of times long
 *          past (a replay) is named by what is true now.
 * Who      the longest prefix wins; between providers the lower slot; the node's own addresses come
 *          last. Addresses that nobody claims are reserved:world (world-ipv4/6 are not used), the
 *          node's own and loopback ones reserved:host.
 * Identity an endpoint without one gets it by its label set: the reserved identity for a single
 *          reserved:<name> label, else a number in 256 … 65,535 by hash of the sorted labels
 *          (observer/name/numbers.h), the same after a restart; two sets with one hash are told
 *          apart by probing, in order of their texts within one view. Endpoint.ID of local
 *          endpoints likewise, in 1 … 65,535, by cluster, namespace and pod, or by address where
 *          there is no pod.
 * Cilium   an agent's view is *verbatim*: what it does not know is not made up. Its events say
 *          which identity each side has, and that number wins over the table's (name_flow_said).
 * DNS      names that answers gave to an address (observer/name/dns_names.h), and those that a
 *          provider says endpoints here were told (observer/name/told.h). They never enter the
 *          dictionary: whoever answers DNS chooses them. A name shows on an address when the peer
 *          in the flow was told it (an endpoint of this node, or the node itself), and on
 *          addresses of the world whoever was told; what a provider says, to the endpoint it says
 *          it of.
 */
#ifndef TYCHO_OBSERVER_NAME_H
#define TYCHO_OBSERVER_NAME_H

#include "base/err.h"
#include "flow/dict.h"
#include "flow/flow.h"

struct name_table;

struct name_prefix {
	uint8_t ip[16];           /* network address, IPv4 mapped */
	uint8_t bits;             /* 0 … 128; IPv4 prefixes are 96 + n */
	struct endpoint endpoint; /* identity 0: by label set */
	bool local;               /* lives on this node (Endpoint.ID is then non-zero) */
	/* As a Cilium agent says it: identity 0 stays "unknown"; no labels: those of the identity;
	 * no cluster: what the label k8s:io.cilium.k8s.policy.cluster says, or none. */
	bool verbatim;
	/* The agent's IP cache knows no pod here: L7 records then show none, as in Hubble. */
	bool pod_not_cached;
};
struct name_service {
	uint8_t ip[16];
	uint16_t port; /* host order; 0: any */
	struct service service;
};
/* What a security identity stands for. Reserved ones are known without. */
struct name_identity {
	uint32_t identity;
	const struct str *labels;
	size_t label_count;
};
/* Which pod sits in a cgroup: its first address of each family, all zero for none. */
struct name_cgroup {
	uint64_t cgroup;
	uint8_t ip4[16], ip6[16];
};
/* A name that an endpoint of this node was told for an address. */
struct name_told {
	uint8_t ip[16];
	uint32_t endpoint; /* Endpoint.ID */
	struct str name;   /* addresses of one answer may share one text */
	struct wall_ns until;
};
/* One provider's complete view; borrowed for the call. Of two equal keys the first counts. */
struct name_view {
	struct wall_ns since; /* true since then, for flows that are read late; 0: now */
	const struct name_prefix *prefixes;
	size_t prefix_count;
	const struct name_service *services;
	size_t service_count;
	const struct name_identity *identities;
	size_t identity_count;
	const struct name_cgroup *cgroups;
	size_t cgroup_count;
	const struct name_told *told;
	size_t told_count;
	bool keep_told; /* what it said of that before still holds; @told is none */
};

struct name_config {
	/* node_name is "cluster/node", or "node" in cluster "default" or "" */
	const char *cluster, *node;
	const char *const *node_labels; /* "key=value", sorted by the table */
	size_t node_label_count;
	size_t dns_addresses; /* addresses whose DNS names are remembered; 0: 65,536 */
};

MUST_CHECK enum err_code name_table_new(const struct name_config *config, struct flow_dict *dict,
					struct name_table **ret, struct err *e);
void name_table_free(struct name_table *t);
AUTO_DEFINE(struct name_table, name_table_free);

enum {
	NAME_PROVIDERS = 4,
	NAME_PREFIXES_MAX = 1 << 20,
	NAME_TOLD_MAX = 1 << 18,
	NAME_PAST = 64,           /* states kept beside the present one */
	NAME_PAST_S = 10,         /* for how long at most */
	NAME_PAST_BYTES = 4 << 20 /* and in how much memory */
};

/* Any thread but capture: replaces provider @who's part (below NAME_PROVIDERS; lower numbers win on
 * equal prefixes). Labels are sorted and made unique; an endpoint without a cluster gets the
 * table's. Host bits of a prefix are ignored. Fails with ERR_INVALID (slot or prefix length out of
 * range, more than NAME_PREFIXES_MAX of a kind or NAME_TOLD_MAX names) or ERR_NOMEM; the old part
 * then stays. */
MUST_CHECK enum err_code name_update(struct name_table *t, unsigned who,
				     const struct name_view *view, struct err *e);
/* What is different from what a provider said before. */
struct name_gone {
	uint8_t ip[16], bits;
};
struct name_change {
	struct wall_ns since; /* as in a view */
	const struct name_gone
		*gone; /* not claimed any more; those it never claimed are passed over */
	size_t gone_count;
	const struct name_prefix *prefixes; /* claimed, or called otherwise, from now on */
	size_t prefix_count;
	bool has_services; /* all services, then: others are gone */
	const struct name_service *services;
	size_t service_count;
	/* that are called otherwise from now on; without labels: are gone */
	const struct name_identity *identities;
	size_t identity_count;
};
/* As name_update, for little: costs what changes and not what is known. @gone counts first. After
 * ERR_NOMEM some of it may hold: update. Not for verbatim prefixes that have the labels of their
 * identity. */
MUST_CHECK enum err_code name_change(struct name_table *t, unsigned who,
				     const struct name_change *change, struct err *e);
/* Any thread but capture: the node's own addresses, all of them. */
MUST_CHECK enum err_code name_update_host(struct name_table *t, const uint8_t (*ips)[16],
					  size_t count, struct err *e);

/* Capture thread, as soon as the addresses are known, some work before name_flow or name_flow_said:
 * asks the memory for what these will look up. Changes nothing else. */
void name_ahead(struct name_table *t, const struct flow *f);
/* Capture thread: fills endpoints, services, node and DNS names (appended to @ext as flow.Flow wire
 * bytes) of a made flow, and their bits. A side without an address stays without an endpoint. Of a
 * whole flow only the namespaces are noted. No lock, no allocation. */
void name_flow(struct name_table *t, struct flow *f, struct buf *ext);
/* As name_flow, for an event of Cilium's that says who its sides are, by the rules of Cilium's own
 * parser (reference/cilium-events.md 6.3): the said identity wins, 0 says nothing; a side that is
 * local keeps its labels, others have those of the identity; who is known to nobody is
 * reserved:unknown. Both sides are always filled, addresses or not. DNS names are only those that
 * the other side, living here, was told. Where no provider knows identities, an address keeps its
 * labels whatever identity is said.
 * @return Endpoint.ID of the source if it is an endpoint of this node, else 0. */
uint32_t name_flow_said(struct name_table *t, struct flow *f, uint32_t src_identity,
			uint32_t dst_identity, struct buf *ext);
/* As name_flow_said, for a flow whose endpoints are filled in already: services, node, and the DNS
 * names that the endpoints of this node with these Endpoint.IDs (0: none) were told. */
void name_flow_told(struct name_table *t, struct flow *f, uint32_t src_local, uint32_t dst_local,
		    struct buf *ext);
struct name_found {
	const struct endpoint *ep; /* NULL: nobody claims it. Borrowed for the dictionary's life */
	bool local, pod_cached;
};
/* Capture thread: who has @ip. */
struct name_found name_find(struct name_table *t, const uint8_t ip[16]);
/* Capture thread: the endpoint of this node with that Endpoint.ID, NULL if there is none. */
const struct endpoint *name_local(struct name_table *t, uint32_t id);
/* Capture thread: the address of that family of the pod in @cgroup. */
bool name_cgroup_ip(struct name_table *t, uint64_t cgroup, bool ipv6, uint8_t ret_ip[16]);
/* Capture thread: an answer that @client received says that @ip is called @name (with or without
 * the trailing dot). */
void name_learn(struct name_table *t, const uint8_t client[16], const uint8_t ip[16],
		struct str name, uint32_t ttl_s, struct wall_ns now);
/* Capture thread: true if @ip belongs to an endpoint on this node (not to the node itself). */
bool name_is_local(struct name_table *t, const uint8_t ip[16]);
/* Capture thread, once a loop pass, traffic or not: it holds nothing of old snapshots, and it is
 * @now. Without it, memory of replaced snapshots waits for the next flow, and namespaces are seen
 * at the time of their flows. */
void name_quiet(struct name_table *t, struct wall_ns now);

/* Any thread: sides of flows whose namespace name_namespaces does not know, for want of room. */
uint64_t name_unlisted(const struct name_table *t);
/* Any thread: what had no room of names that DNS gave. */
struct name_dns_counts {
	uint64_t pushed_out; /* learned here, and made room for others while they still held */
	uint64_t
		left_out; /* of what providers say at present, beyond 64 of an endpoint and an address */
};
struct name_dns_counts name_dns_counts(struct name_table *t);

/* The node's entry in the dictionary: name, labels, emitter. Any thread. */
struct node_id name_node(const struct name_table *t);
/* Namespaces seen in flows during the last hour, for GetNamespaces: calls @each sorted by cluster,
 * namespace. Any thread. */
void name_namespaces(struct name_table *t, struct wall_ns now,
		     void (*each)(void *ctx, struct str cluster, struct str ns), void *ctx);

/* Any thread: grows with each name_update that succeeded. */
uint64_t name_generation(const struct name_table *t);
/* Any thread but capture: calls @each for every endpoint that providers claim, some more than once.
 * @each may not call back. */
void name_endpoints(struct name_table *t, void (*each)(void *ctx, struct endpoint_id ep),
		    void *ctx);

#endif
