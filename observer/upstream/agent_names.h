/*
 * agent_names - a Cilium agent as a provider of names: endpoints, identities, addresses, services,
 * DNS names and policies by its REST socket, kept fresh.
 *
 *	/var/run/cilium/cilium.sock ──► tycho-names ──► name_update(@who)
 *	          every interval, and soon after agent_names_poke    └──► agent_policies
 *
 * Fresh    everything is fetched every @interval_ns, and after a poke (the agent told of an
 *          endpoint, an address, a policy): at most once a second, and at most a tenth of the time.
 * Away     an agent that does not answer is asked again after 1 s, then less and less often up to
 *          @interval_ns or 30 s; what it last said stays in force. How old that is, counts say.
 * Part     endpoints, addresses and identities must all come, else nothing changes; services,
 *          selectors and cgroups are taken where an agent has them. DNS names that do not come this
 *          time stay.
 * Threads  its own (tycho-names). poke: any thread, no lock, no wait; counts: any thread.
 */
#ifndef TYCHO_OBSERVER_UPSTREAM_AGENT_NAMES_H
#define TYCHO_OBSERVER_UPSTREAM_AGENT_NAMES_H

#include "observer/name/name.h"
#include "observer/upstream/agent_policy.h"

#define AGENT_NAMES_DEFAULT_PATH "/var/run/cilium/cilium.sock"

struct agent_names;
struct metrics_page;

struct agent_names_config {
	const char *socket;   /* path */
	unsigned who;         /* provider slot of @names */
	uint64_t interval_ns; /* 0: 30 s */
	struct name_table *names;
	struct agent_policies *policies; /* NULL: none are asked for */
	/* NULL, or called on the thread with what it answers to /v1/policy, borrowed for the call:
	 * NULL is "no rules". An answer that did not come is not told. */
	void (*on_rules)(void *ctx, const json_t *answer);
	void *ctx;
};

/* Starts the thread; an agent that is not there yet is no failure. @config's pointers are borrowed
 * for the life of it, its texts copied. */
MUST_CHECK enum err_code agent_names_new(const struct agent_names_config *config,
					 struct agent_names **ret, struct err *e);
void agent_names_free(struct agent_names *a);
AUTO_DEFINE(struct agent_names, agent_names_free);

/* Something may have changed. NULL is a no-op. */
void agent_names_poke(struct agent_names *a);

struct agent_names_counts {
	uint64_t refreshes, failures;
	struct mono_ns fresh_at; /* when the names in force were asked for; 0: there are none yet */
	bool is_stale;           /* the last attempt failed */
	/* in force */
	uint64_t endpoints, addresses, identities, services, dns_names, policy_rules;
	uint64_t left_out; /* entries that could not be read */
};
struct agent_names_counts agent_names_counts(const struct agent_names *a);
/* The same as metrics: tycho_cilium_agent_… . @ctx is the agent_names. Any thread. */
void agent_names_collect(void *ctx, struct metrics_page *page);

#endif
