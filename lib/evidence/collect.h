/*
 * collect - the asker's side of an export: answers of one or many nodes made into a bundle.
 *
 *	ExportResponse messages ─► a spool file per node ─► manifest, report ─► bundle.tar.zst
 *
 * Nodes' answers may be interleaved. A node whose answer has an error, or no statement at its end,
 * is among the bundle's unanswered, and nothing of it is in the bundle.
 *
 * Memory   up to COLLECT_CHUNK_BYTES or one block of flows for each node that is answering.
 * Files    the bundle appears under its name when it is complete, with mode 0600.
 */
#ifndef TYCHO_EVIDENCE_COLLECT_H
#define TYCHO_EVIDENCE_COLLECT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"

enum { COLLECT_CHUNK_BYTES = 8 << 20, COLLECT_CHUNK_ENTRIES = 16384, COLLECT_NODES = 4096 };

struct evidence_collect;

struct evidence_collect_config {
	const char *path;   /* of the bundle */
	bool keep;          /* a file that is there at the end stays; else it is replaced */
	struct str request; /* tycho.v1.ExportRequest, as it was sent; borrowed for the call */
	const char *tool;   /* "tycho 0.1.0" */
	bool csv;
	size_t chunk_bytes; /* of lines in a chunk, about; 0: COLLECT_CHUNK_BYTES */
	struct wall_ns now;
};

/* ERR_INVALID: at the path is something that is no file. */
MUST_CHECK enum err_code evidence_collect_new(const struct evidence_collect_config *config,
					      struct evidence_collect **ret, struct err *e);
void evidence_collect_free(struct evidence_collect *c);
AUTO_DEFINE(struct evidence_collect, evidence_collect_free);
/* @response: tycho.v1.ExportResponse. What is wrong with a node's answer is that node's error; this
 * fails for lack of memory or room on the disk. */
MUST_CHECK enum err_code evidence_collect_put(struct evidence_collect *c, struct str response,
					      struct err *e);
/* All nodes have ended. ERR_UNAVAILABLE: none answered; there is no bundle then. ERR_EXISTS, with
 * config.keep: it has another name, which the sentence tells. */
MUST_CHECK enum err_code evidence_collect_finish(struct evidence_collect *c, struct err *e);

struct evidence_collect_counts {
	uint64_t flows;
	size_t nodes, unanswered;
	/* Where addresses or DNS names are redacted: HTTP records, whose URLs and headers stay. */
	uint64_t plain_http;
	unsigned named; /* redacted classes that the filters name, which stay, too (filters.h) */
};
struct evidence_collect_counts evidence_collect_counts(const struct evidence_collect *c);
/* Name and error of unanswered node @i; borrowed. */
void evidence_collect_unanswered(const struct evidence_collect *c, size_t i, struct str *ret_name,
				 struct str *ret_error);

#endif
