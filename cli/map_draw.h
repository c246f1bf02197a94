/*
 * map_draw - edges of a service map as text: a table, JSON, and two languages for pictures.
 */
#ifndef TYCHO_CLI_MAP_DRAW_H
#define TYCHO_CLI_MAP_DRAW_H

#include "base/buf.h"
#include "base/err.h"
#include "cli/command.h"
#include "tycho/v1/history.pb-c.h"

struct map_edges {
	Tycho__V1__Edge **list; /* the array is the caller's, the edges borrowed */
	size_t count;
};

/* Sorts by clusters, namespaces and names and adds up equal edges: fewer afterwards, the first of
 * each kept. */
void map_merge(struct map_edges *edges);

/* All of them, appended. Texts and pictures name clusters where there are several, and kinds of
 * workload where two have one name; JSON always does. ERR_NOMEM; ERR_PARSE where an edge has text that is no UTF-8. */
MUST_CHECK enum err_code map_put_table(struct buf *out, const struct map_edges *edges,
				       struct err *e);
/* One tycho.v1.Edge a line. */
MUST_CHECK enum err_code map_put_json(struct buf *out, const struct map_edges *edges,
				      struct err *e);
/* Graphviz: namespaces as clusters. https://graphviz.org/doc/info/lang.html */
MUST_CHECK enum err_code map_put_dot(struct buf *out, const struct map_edges *edges, struct err *e);
/* Mermaid: a flowchart, namespaces as subgraphs. https://mermaid.js.org/syntax/flowchart.html */
MUST_CHECK enum err_code map_put_mermaid(struct buf *out, const struct map_edges *edges,
					 struct err *e);

#endif
