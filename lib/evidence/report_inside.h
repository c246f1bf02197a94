/*
 * report_inside - what the files of a report share.
 *
 *	report.c       edges counted
 *	report_html.c  the page
 */
#ifndef TYCHO_EVIDENCE_REPORT_INSIDE_H
#define TYCHO_EVIDENCE_REPORT_INSIDE_H

#include "base/map.h"
#include "evidence/report.h"
#include "flow/schema.h"

/* Texts of an edge stand in its key, separated by NULs. */
enum report_column { FROM, TO, SERVICE, VERDICT, BY, COLUMNS_ };

struct edge {
	struct str key;
	uint64_t flows;
	struct wall_ns first, last;
	bool is_drop;
};

struct report {
	struct map *index;
	struct edge *edges;
	size_t count;
	uint64_t beyond; /* flows of edges there was no room for */
	uint64_t flows, dropped;
	const struct schema_enum *verdicts, *drops;
};

#endif
