/*
 * name_table - who an address is: endpoints, services and DNS names behind IP addresses, kept by providers.
 *
 *	provider (YAML file, Kubernetes, …) ──► name_update ──► immutable snapshot ──► name_flow (capture thread)
 *
 * A provider hands over its complete view; the table builds a new snapshot (prefix trie + services) and publishes it with one pointer
 * store. The capture thread looks addresses up in the snapshot it loaded, without a lock; old snapshots are freed once it moved on.
 *
 * Identities: endpoints without a given identity get a stable number by their label set (name_identity); addresses that nobody claims are
 * reserved:world (world-ipv4/6 are not used), the node's own addresses reserved:host, loopback reserved:host.
 */
#ifndef TYCHO_OBSERVER_NAME_H
#define TYCHO_OBSERVER_NAME_H

#include "base/err.h"
#include "flow/dict.h"
#include "flow/flow.h"

struct name_table;

struct name_prefix {
	uint8_t ip[16];       /* network address, IPv4 mapped */
	uint8_t bits;         /* 0 … 128; IPv4 prefixes are 96 + n */
	struct endpoint endpoint; /* identity 0: by label set */
	bool local;           /* lives on this node (Endpoint.ID is then non-zero) */
};
struct name_service {
	uint8_t ip[16];
	uint16_t port;        /* host order; 0: any */
	struct service service;
};
/* One provider's complete view; borrowed for the call. */
struct name_view {
	const struct name_prefix *prefixes;
	size_t prefix_count;
	const struct name_service *services;
	size_t service_count;
};

struct name_config {
	const char *cluster, *node; /* node_name is "cluster/node", or "node" in cluster "default" or "" */
	const char *const *node_labels; /* "key=value", sorted by the table */
	size_t node_label_count;
	size_t dns_addresses;       /* addresses whose DNS names are remembered; 0: 65,536 */
};

MUST_CHECK enum err_code name_table_new(const struct name_config *config, struct flow_dict *dict, struct name_table **ret,
					struct err *e);
void name_table_free(struct name_table *t);
AUTO_DEFINE(struct name_table, name_table_free);

/* Any thread but capture: replaces provider @who's part (0 … 3; lower numbers win on equal prefixes). */
MUST_CHECK enum err_code name_update(struct name_table *t, unsigned who, const struct name_view *view, struct err *e);
/* Any thread but capture: the node's own addresses, all of them. */
MUST_CHECK enum err_code name_update_host(struct name_table *t, const uint8_t (*ips)[16], size_t count, struct err *e);

/* Capture thread: fills endpoints, services, node and DNS names (appended to @ext as flow.Flow wire bytes) of a made flow. No lock, no allocation. */
void name_flow(struct name_table *t, struct flow *f, struct buf *ext);
/* Capture thread: an answer @client received says that @ip is called @name (with or without the trailing dot). @client is kept for Hubble's
 * rule that only an endpoint's own answers name its peers; names seen by anyone name world addresses. */
void name_learn(struct name_table *t, const uint8_t client[16], const uint8_t ip[16], struct str name, uint32_t ttl_s, struct wall_ns now);
/* True if @ip belongs to an endpoint on this node. */
bool name_is_local(struct name_table *t, const uint8_t ip[16]);

/* Stable identity of a label set: 256 … 65,535 as cluster identities, by hash of the sorted labels, collisions resolved within one table. */
struct node_id name_node(const struct name_table *t);
/* Namespaces seen in flows during the last hour, for GetNamespaces: calls @each sorted by cluster, namespace. Any thread. */
void name_namespaces(struct name_table *t, struct wall_ns now, void (*each)(void *ctx, struct str cluster, struct str ns), void *ctx);

#endif
