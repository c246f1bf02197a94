/*
 * suggest_inside - what the parts of suggest share. Nobody else includes it.
 *
 *	suggest.c        flows ──► connections
 *	suggest_who.c    ends ──► workloads, nodes, the world
 *	suggest_apart.c  labels that select workloads
 *	suggest_seen.c   connections ──► facts: subject, direction, peer, port
 *	suggest_rule.c   facts ──► rules
 *	suggest_write.c  rules ──► objects with comments
 *	suggest_check.c  the text, read back
 */
#ifndef TYCHO_POLICY_SUGGEST_INSIDE_H
#define TYCHO_POLICY_SUGGEST_INSIDE_H

#include <netinet/in.h>

#include "base/map.h"
#include "flow/dict.h"
#include "policy/gather.h"
#include "policy/policy.h"
#include "policy/suggest.h"

/* --- connections ------------------------------------------------------------------------------ */

enum { CLIENT, SERVER };

enum { NO_FACT = UINT32_MAX };

/* From who opened it to whom. */
struct connection {
	struct endpoint_id ids[2];
	uint8_t ips[2][16]; /* zeros of pods, which are the same at all their addresses */
	struct str name;    /* DNS name of the server; "" none, or it does not matter */
	uint8_t protocol;   /* IPPROTO_ */
	uint16_t port;      /* of the server; type of ICMP */
	uint64_t passed, through, denied; /* flows; through: of those passed, up to the server */
	struct policy_span span;
	uint32_t facts[2]; /* at each end, once they are made */
};

/* --- who -------------------------------------------------------------------------------------- */

struct pair {
	struct str key, value;
};

/* A workload, or pods without one that have the same labels. */
struct suggest_group {
	struct str namespace_, name, kind, key;
	struct str pod;  /* of those that were seen, the first by name */
	uint32_t leader; /* of those that labels do not tell apart; itself */
	bool asked;      /* policies are asked for some of its pods */
	bool is_subject; /* of the leader: for some of them all */
	/* of the leader: of all of them */
	bool nameless;       /* some are in a namespace without the label that has its name */
	struct pair *shared; /* labels that all of its pods have, the telling ones first */
	size_t shared_count;
	struct pair *chosen; /* that select them */
	size_t chosen_count;
	char policy[64]; /* name of its policy */
};

/* Usable labels of some pods, sorted as a group's. */
struct label_set {
	uint32_t group;
	struct pair *pairs;
	size_t count;
};

enum end_kind {
	END_UNSEEN,
	END_POD,
	END_ENTITY, /* what Cilium knows by an entity: host, remote-node, … */
	END_WORLD,
	END_NOBODY, /* nobody named it, or a pod that nothing here can select */
};
/* What a known endpoint is. */
struct end {
	uint8_t kind;
	uint32_t group;  /* of a pod */
	const char *why; /* of nobody */
	bool elsewhere;  /* nobody, for it is of another cluster */
	struct str entity;
};

/* --- facts ------------------------------------------------------------------------------------ */

enum peer_class {
	PEER_PODS,
	PEER_ENTITY,
	PEER_BLOCK,
	PEER_NAME,
	PEER_OWN_NODE, /* which reaches its pods without a rule, where there is none for it */
	PEER_UNSAID,   /* whom no selector can say */
};

struct peer {
	enum peer_class class_;
	uint32_t group;    /* of pods: the leader */
	struct str text;   /* entity, block, name; address of whom nothing can say */
	const char *why;   /* nothing can */
	struct str entity; /* of a block: the node or the like that has it; "" */
	struct str key;
};

struct fact {
	uint32_t subject; /* group, a leader */
	uint32_t peer;
	uint8_t direction; /* enum policy_direction */
	uint8_t protocol;
	uint16_t port;
	uint64_t passed, through, denied;
	struct policy_span span;
	bool seen;     /* it was forwarded, or is to be allowed all the same */
	bool allowed;  /* there is a rule for it, or it needs none */
	bool left_out; /* beyond a limit */
	uint32_t was;  /* place before sorting */
};

struct suggest {
	struct suggest_config config;
	const struct flow_dict *dict;
	struct map *by_key, *by_name, *by_labels, *by_group, *by_peer, *by_fact;
	struct connection *connections;
	size_t connection_count, connection_room;
	struct str *names; /* borrowed from by_name */
	size_t name_count, name_room;
	struct end *ends; /* by id of the endpoint */
	size_t end_room;
	struct label_set *sets;
	size_t set_count, set_room;
	struct suggest_group *groups;
	size_t group_count, group_room;
	struct peer *peers;
	size_t peer_count, peer_room;
	struct fact *facts;
	size_t fact_count, fact_room;
	uint64_t other, left_out, elsewhere; /* flows */
};

/* What endpoint @id is, looked at once; pods get a group. *@ret stays with s->ends until the next
 * call. ERR_NOMEM; ERR_CLOSED: a limit. */
MUST_CHECK enum err_code suggest_end(struct suggest *s, struct endpoint_id id,
				     const struct end **ret, struct err *e);
/* Joins workloads that labels do not tell apart, chooses what selects the others, names policies. */
MUST_CHECK enum err_code suggest_tell_apart(struct suggest *s, struct err *e);
/* "shop/web (Deployment)", and with whom it is joined. @return how many names they have. */
size_t group_put(const struct suggest *s, uint32_t leader, struct buf *out);
void label_sets_free(struct suggest *s);
bool label_set_has(const struct label_set *set, const struct pair *p);
/* Of the labels that all of its pods have, those stay that the set has. */
void group_share(struct suggest_group *g, const struct label_set *set);

/* Facts of all connections, and which of them are allowed. */
MUST_CHECK enum err_code suggest_facts(struct suggest *s, struct err *e);
/* "shop/web (Deployment)", "192.0.2.7/32 (remote-node)", … */
void peer_put(const struct suggest *s, const struct peer *p, struct buf *out);
/* Why no rule can say it; NULL: one can. */
const char *fact_unsaid(const struct suggest *s, const struct fact *f);
/* The cluster's DNS server, by the label that it has everywhere. */
bool peer_is_kube_dns(const struct suggest *s, const struct peer *p);
static inline bool is_icmp(uint8_t protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

#endif
