/*
 * glob - the patterns of DNS names and node names.
 *
 *	"*.example.com"     a DNS name; '*' is any run of [-.0-9a-z], also none
 *	"prod-*" / "k8s1"   a node name: patterns for the cluster and the node, or for one
 *
 * Patterns are trimmed, lower-cased and lose one trailing dot; names are compared as they are. A
 * missing part of a node pattern stands for any name made of non-empty components of [-0-9_a-z].
 *
 * Source   Cilium pkg/hubble/filters/patterns.go; reference/hubble-api.md section 4.
 * Threads  immutable after construction.
 * Limits   matching takes time in proportion to pattern times name, never more.
 */
#ifndef TYCHO_FILTER_GLOB_H
#define TYCHO_FILTER_GLOB_H

#include "base/err.h"
#include "base/str.h"

struct glob;

/* ERR_INVALID: "empty pattern", "multiple trailing dots in pattern", "' ': invalid rune in
 * pattern". */
MUST_CHECK enum err_code glob_new(struct str pattern, struct glob **ret, struct err *e);
void glob_free(struct glob *g);
AUTO_DEFINE(struct glob, glob_free);
bool glob_match(const struct glob *g, struct str name);

struct node_glob {
	struct glob *cluster, *node; /* NULL: any name */
};
/* As glob_new; also "too many slashes in pattern". */
MUST_CHECK enum err_code node_glob_init(struct node_glob *g, struct str pattern, struct err *e);
void node_glob_done(struct node_glob *g);
/* A @name without '/' is in the cluster "default"; "" never matches. */
bool node_glob_match(const struct node_glob *g, struct str name);

#endif
