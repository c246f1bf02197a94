/*
 * source_set - the sources that the options ask for, opened, on their way to the capture thread.
 */
#ifndef TYCHO_OBSERVER_SOURCE_SET_H
#define TYCHO_OBSERVER_SOURCE_SET_H

#include "observer/agent.h"
#include "observer/options.h"

/* Zero is an empty one. */
struct source_set {
	struct source *all[8]; /* own, until capture has taken them */
	size_t count;
	const struct source *replay; /* one of them; NULL: none */
	struct cilium_part cilium;
	struct agent *agent; /* what the observer says of itself: a source, too */
};

/* All but the one below. On a node that runs Cilium, @o is changed to read its events, unless others
 * were asked for. After a failure the set is still to be done with. */
MUST_CHECK enum err_code source_set_open(struct source_set *set, struct obs_options *o,
					 struct flow_dict *dict, struct name_table *names,
					 struct err *e);
/* Another server, if one is to be followed: it asks @store where it was, and the server for what has
 * happened since. gRPC must be up. */
MUST_CHECK enum err_code source_set_follow(struct source_set *set, const struct obs_options *o,
					   struct store *store, struct flow_dict *dict,
					   struct err *e);
/* What capture did not get to take, and what it has taken needs no more. After capture. */
void source_set_done(struct source_set *set);

#endif
