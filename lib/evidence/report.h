/*
 * report - what people read of a bundle: one HTML file without scripts, which prints well. Who
 * talked to whom, what was allowed and denied by which policy, and what is not covered.
 *
 * Bounded: REPORT_EDGES different edges; flows beyond them are counted as one line.
 */
#ifndef TYCHO_EVIDENCE_REPORT_H
#define TYCHO_EVIDENCE_REPORT_H

#include "base/buf.h"
#include "base/err.h"
#include "record/render.h"

enum { REPORT_EDGES = 20000 };

struct report;

MUST_CHECK enum err_code report_new(struct report **ret, struct err *e);
void report_free(struct report *r);
AUTO_DEFINE(struct report, report_free);

/* Counts the record that @rendered has taken. */
MUST_CHECK enum err_code report_add(struct report *r, const struct renderer *rendered,
				    struct err *e);

/* Adds what @from has counted. */
MUST_CHECK enum err_code report_merge(struct report *r, const struct report *from, struct err *e);

/* What stands around the edges: one node's answer. */
struct report_node {
	struct str name, fingerprint, statement; /* its signed text; "": it did not answer */
	struct str error;                        /* why not */
	struct str policies;                     /* lines of JSON */
	uint64_t flows;
};
struct report_scope {
	struct str words, since, until, created, redacted, tool; /* texts as to be shown */
};
/* The last call: the edges are sorted, and the nodes by name. */
void report_put_html(struct report *r, const struct report_scope *scope, struct report_node *nodes,
		     size_t node_count, struct buf *b);

#endif
