/*
 * cilium_world - a world of Cilium's events (golden/events/README.md) as a name table.
 *
 * Threads  one. Failures end the test.
 */
#ifndef TYCHO_TESTS_CILIUM_WORLD_H
#define TYCHO_TESTS_CILIUM_WORLD_H

#include <jansson.h>

#include "observer/name/name.h"

struct cilium_world {
	json_t *json;
	struct flow_dict *dict;
	struct name_table *names;
};

/* Reads a world such as the recorded golden/events/world.json. The node is "kind-1/node-a". */
struct cilium_world cilium_world_open(const char *path);
void cilium_world_done(struct cilium_world *w);
#define AUTO_CILIUM_WORLD __attribute__((cleanup(cilium_world_done))) struct cilium_world

/* For struct cilium_config. @ctx is the world. */
bool cilium_world_link(void *ctx, uint32_t ifindex, struct mono_ns now,
		       char ret[FLOW_IFNAME_BYTES]);
/* What correlates the policies of the world's endpoints. Own. */
struct agent_policies *cilium_world_policies(const struct cilium_world *w);
/* The dictionary's entry of "cluster/node" or "node". */
struct node_id cilium_world_node(const struct cilium_world *w, struct str name);

#endif
