/*
 * capture - the one thread that writes the log: polls the sources, drains them, composes flows.
 *
 *	bpf ──┐
 *	nflog ├─► poll ──► drain ──► compose ──► flow log
 *	…   ──┘
 *
 * Threads  capture_new starts it, capture_free stops it by an eventfd and joins. Sources belong to
 *          it from then on.
 */
#ifndef TYCHO_OBSERVER_CAPTURE_H
#define TYCHO_OBSERVER_CAPTURE_H

#include "observer/compose.h"

struct capture;

struct capture_config {
	struct source **sources; /* taken, each of them, when capture_new succeeds */
	size_t source_count;
	struct flow_log *log;
	struct flow_dict *dict;
	struct name_table *names;
	struct policy_table *policies; /* borrowed; may be NULL */
	struct cilium *cilium;         /* borrowed; reads Cilium's events, if any source has them */
	/* Of Cilium's agent, borrowed; NULL: none */
	struct agent_policies *agent_policies;
	struct agent_names *agent;
	/* An eventfd that gets 1 written when every source that can end (replays) has; -1: none. */
	int ended_fd;
};

MUST_CHECK enum err_code capture_new(const struct capture_config *config, struct capture **ret,
				     struct err *e);
/* Stops the thread once it has taken what the sources still hold (source_flush), and frees them.
 * NULL is a no-op. */
void capture_free(struct capture *c);
AUTO_DEFINE(struct capture, capture_free);

/* Any thread: what it names policies by; NULL: none. */
const struct policy_table *capture_policies(const struct capture *c);
/* Any thread. */
struct compose_counts capture_counts(const struct capture *c);
/* Any thread: compose_lost_of. */
uint64_t capture_lost_of(const struct capture *c, uint32_t cpu);
/* Any thread: when it last looked around; at least once a second while it is well. */
struct mono_ns capture_seen(const struct capture *c);
/* Any thread: source @i, in the order they were given; false if there are not so many. Figures are
 * at most two seconds old. */
struct capture_source {
	const char *name;
	uint64_t events, lost; /* handed over, and told as lost */
	struct source_figure figures[SOURCE_FIGURES];
	size_t figure_count;
};
bool capture_source(const struct capture *c, size_t i, struct capture_source *ret);

#endif
