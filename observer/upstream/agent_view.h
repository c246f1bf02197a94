/*
 * agent_view - what a Cilium agent's REST API says, as a view for the name table.
 *
 *	/v1/endpoint   endpoints of this node: addresses, id, identity, labels, pod
 *	/v1/ip         addresses of the cluster: identity, pod        (the IP cache)
 *	/v1/identity   identity number ► labels
 *	/v1/service    front end ► name
 *	/v1/cgroup-dump-metadata   cgroup ► pod addresses
 *	/v1/fqdn/cache which names endpoints of this node were told for which addresses
 *
 * Source   models of Cilium's api/v1/openapi.yaml. What an agent does not say is not made up; the
 *          workload of a pod it does not say.
 * Names    those of answers that are over, but whose connections are not, count like the others.
 *          All hold as long as they say, at least as if they ended when they were asked for, and
 *          DNS_GRACE_S more (observer/name/dns_names.h): that counts only once the agent is away.
 * Bad      an entry that cannot be read (no address, no number) is left out, and counted; it does
 *          not spoil the others. An answer that is no list is an error.
 * Owner    a view borrows all its texts from the answers.
 */
#ifndef TYCHO_OBSERVER_UPSTREAM_AGENT_VIEW_H
#define TYCHO_OBSERVER_UPSTREAM_AGENT_VIEW_H

#include <jansson.h>

#include "observer/name/name.h"

/* Answers, borrowed; NULL: none, and none of it in the view. */
struct agent_answers {
	const json_t *endpoints, *ips, *identities, *services, *cgroups, *fqdns;
	struct wall_ns asked; /* when @fqdns was asked for */
};

struct agent_view {
	struct name_prefix *prefixes;
	struct name_service *services;
	struct name_identity *identities;
	struct name_cgroup *cgroups;
	struct name_told *told;
	size_t prefix_count, service_count, identity_count, cgroup_count, told_count;
	size_t local_count; /* of the prefixes: of endpoints on this node */
	size_t left_out;    /* entries that cannot be read */
	/* texts of labels, shared by all */
	struct str *texts;
	size_t text_count;
};

/* ERR_PARSE, ERR_NOMEM. */
MUST_CHECK enum err_code agent_view_new(const struct agent_answers *answers,
					struct agent_view **ret, struct err *e);
void agent_view_free(struct agent_view *v);
AUTO_DEFINE(struct agent_view, agent_view_free);

static inline struct name_view agent_view_names(const struct agent_view *v)
{
	return (struct name_view){
		.prefixes = v->prefixes,
		.prefix_count = v->prefix_count,
		.services = v->services,
		.service_count = v->service_count,
		.identities = v->identities,
		.identity_count = v->identity_count,
		.cgroups = v->cgroups,
		.cgroup_count = v->cgroup_count,
		.told = v->told,
		.told_count = v->told_count,
	};
}

/* Small steps through an answer, for everybody who reads one; none minds NULL or another type. */
struct str agent_text(const json_t *object, const char *key); /* "" if there is none */
bool agent_number(const json_t *object, const char *key, uint64_t max, uint64_t *ret);

#endif
