/*
 * policy - what `tycho policy` works on: objects from files, and ends of connections among them.
 *
 * Nothing here asks a server: files in, an answer out.
 */
#ifndef TYCHO_CLI_POLICY_H
#define TYCHO_CLI_POLICY_H

#include "cli/command.h"
#include "policy/policy.h"

/* What was read from the paths of the command line. */
struct policy_world {
	struct policy_set *set;
	json_t *pods, *services; /* arrays of Pod and Service objects */
	enum policy_meaning meaning;
};
void policy_world_done(struct policy_world *w);
/* From --meaning and --policy-cluster. */
MUST_CHECK enum err_code policy_config_read(const struct cli *cli, struct policy_config *ret,
					    struct err *e);
/* On stderr, if there are policies among the objects that nobody here reads. */
void policy_say_foreign(const struct policy_builder *b);
/* Appends @object to @kept if it is of the kind, or those among its items. */
void policy_keep(json_t *kept, const char *kind, json_t *object);

/* One end as the user names it; texts are borrowed from the world or kept here. */
enum { POLICY_END_LABELS = 64, POLICY_END_IPS = 8, POLICY_END_NAMES = 16 };
struct policy_side {
	struct policy_end end;
	struct str labels[POLICY_END_LABELS];
	uint8_t ips[POLICY_END_IPS][16];
	struct str names[POLICY_END_NAMES]; /* DNS names of its addresses */
	size_t name_count;
	struct buf text; /* holds the labels */
	char shown[300]; /* "shop/web-0", "192.0.2.7", "host" */
};
void policy_side_done(struct policy_side *s);
/*
 * @text is one of
 *	NAMESPACE/POD			a Pod among the objects
 *	NAMESPACE:KEY=VALUE,…		a pod with these labels, whether it exists or not
 *	ADDRESS				the Pod that has it, else an address outside; none of a
 *					node or service
 *	host, remote-node, …		what Cilium calls a reserved identity
 * ERR_NOT_FOUND: no such Pod. ERR_INVALID: none of these.
 */
MUST_CHECK enum err_code policy_side_read(const struct policy_world *w, const char *text,
					  struct policy_side *ret, struct err *e);
/* False of a Pod that policies neither select nor name as a peer: it is on its node's network, or
 * it is over. */
bool policy_pod_counts(const json_t *pod);
/* A Pod object as an end: as Cilium has it, without the labels that are not part of identities. */
MUST_CHECK enum err_code policy_side_of_pod(const json_t *pod, enum policy_meaning meaning,
					    struct policy_side *ret, struct err *e);

/* --meaning and --policy-cluster, of all that reads policies; --output of check and explain. */
extern const struct flag_set policy_flags, policy_output_flags;
extern const struct command policy_audit_command, policy_explain_command, policy_preview_command,
	policy_suggest_command;

#endif
