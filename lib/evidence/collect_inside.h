/*
 * collect_inside - what the files of a collection share.
 *
 *	collect.c  answers taken in, chunk by chunk
 *	bundle.c   manifest, report, and the file in the end
 */
#ifndef TYCHO_EVIDENCE_COLLECT_INSIDE_H
#define TYCHO_EVIDENCE_COLLECT_INSIDE_H

#include <stdio.h>

#include "evidence/archive.h"
#include "evidence/block.h"
#include "evidence/collect.h"
#include "evidence/manifest.h"
#include "evidence/proof.h"
#include "evidence/report.h"
#include "evidence/response.h"
#include "evidence/text.h"
#include "record/line.h"
#include "tycho/v1/evidence.pb-c.h"

enum {
	FILE_MAX = 1 << 30, /* of a frame and its files */
	TEXT_MAX = 256 << 20,
	COPY_BYTES = 1 << 20,
	PATH_BYTES = 4096,
};

/* A piece of the block at work, kept until it ends. */
struct piece {
	struct piece *next; /* the one that came behind it */
	size_t len;
	char bytes[];
};

/* What the manifest says of a chunk. */
struct chunk_note {
	uint64_t first_entry;
	struct chain_hash before;
};

struct answer {
	char *name, *error;                   /* own; error NULL: none */
	size_t number;                        /* of its folder, from 1 */
	FILE *spool;                          /* finished frames */
	struct buf chain, proofs, flows, csv; /* of the chunk at work */
	struct buf proof, wholes;             /* of the block at work: message, uint32_t each */
	uint64_t chunk_entries, next_entry;
	struct chunk_note note; /* of it */
	struct chunk_note *notes;
	size_t chunk_count, chunk_cap;
	struct evidence_block block;
	struct piece *pieces, **pieces_end;
	struct buf checkpoints, policies, statement, statement_text;
	struct signed_text signed_;
	uint64_t flow_count, http_count;
	struct manifest_files files; /* of its chunks */
	struct report *report;       /* of its flows */
};

struct evidence_collect {
	struct evidence_collect_config config;
	char *path;
	Tycho__V1__ExportRequest *request;
	struct answer *nodes;
	size_t count;
	struct renderer *renderer;
	struct line_parser *lines;
	struct report *report;
	struct buf tar, frame, core;
};

/* Classes that were asked to be redacted. */
unsigned bundle_classes(const struct evidence_collect *c);

/* A chunk's file: into the frame at work. */
void bundle_add_file(struct evidence_collect *c, const char *name, struct str content);
/* Compresses the frame at work and writes it. */
MUST_CHECK enum err_code bundle_end_frame(struct evidence_collect *c, FILE *to, struct err *e);
/* All answers are in: makes the file. */
MUST_CHECK enum err_code bundle_write(struct evidence_collect *c, struct err *e);

#endif
