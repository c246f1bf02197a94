/*
 * policy_cluster - a cluster as golden/policy/worlds describes it: ends of connections, and the objects that policies
 * refer to. What the description gets wrong ends the program.
 */
#ifndef TYCHO_TESTS_POLICY_CLUSTER_H
#define TYCHO_TESTS_POLICY_CLUSTER_H

#include "policy/policy.h"

enum { CLUSTER_ENDS_MAX = 512, CLUSTER_LABELS_MAX = 64 };

struct cluster_end {
	char name[96];
	char text[CLUSTER_LABELS_MAX][192];
	struct str labels[CLUSTER_LABELS_MAX];
	struct str names[8];
	uint8_t ips[4][16];
	struct policy_end end;
	size_t name_count;
};
struct cluster {
	json_t *json;
	struct cluster_end ends[CLUSTER_ENDS_MAX];
	size_t count;
};
/* @json is borrowed for the cluster's life. */
void cluster_read(struct cluster *w, json_t *json);
/* Outside addresses need not be listed in the world. */
struct cluster_end *cluster_end_of(struct cluster *w, const char *name);
/* A builder that has the cluster's objects; @w NULL: none. */
struct policy_builder *cluster_builder(const struct cluster *w, enum policy_meaning meaning);

#endif
