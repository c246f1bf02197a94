/*
 * verify_inside - what the files of a verification share.
 *
 *	verify.c          the archive: its frames, files, sums
 *	verify_chunks.c   chunks, checked by several threads, and what they come to
 *	verify_node.c     statements and checkpoints: what nodes signed, and the manifest beside it
 *	verify_summary.c  what is said of a bundle that proves what it says
 */
#ifndef TYCHO_EVIDENCE_VERIFY_INSIDE_H
#define TYCHO_EVIDENCE_VERIFY_INSIDE_H

#include <jansson.h>

#include "evidence/archive.h"
#include "evidence/chunk.h"
#include "evidence/key.h"
#include "evidence/text.h"
#include "evidence/verify.h"

enum { SMALL_FILES = 4, PINS_MAX = 1 << 24, CHUNKS_MAX = 1 << 22, FRAME0_MAX = 1 << 30 };

enum { KEY_PEM, STATEMENT, CHECKPOINTS, POLICIES };
extern const char *const verify_small_names[SMALL_FILES];

struct proven_node {
	const json_t *manifest; /* in the manifest; borrowed */
	const char *name, *dir;
	size_t chunk_count;
	struct str files[SMALL_FILES]; /* borrowed from the first frame */
	struct signed_text statement;
	struct buf statement_text;
	json_t *said; /* the statement */
	struct evidence_key *key;
	struct chunk_pin *pins;
	size_t pin_count, pin_cap, own_pins;
	struct buf first_checkpoint, last_checkpoint; /* times */
	uint64_t pins_met, external_met, flows, blocks;
};

struct job {
	struct chunk chunk;
	char dir[40];
	size_t node;
	struct str frame;
};

struct verify {
	const struct evidence_verify_config *config;
	struct str bytes;          /* frames, without the sum */
	uint8_t sum[SHA256_BYTES]; /* as it stands at the end */
	struct archive_sum read;   /* over the frames so far */
	uint64_t mtime_s;
	struct buf first; /* frame with the manifest */
	json_t *manifest;
	struct proven_node *nodes;
	size_t node_count;
	struct job *jobs;            /* of all chunks */
	struct manifest_files files; /* as found, in order, without manifest.json */
	struct str rest;             /* frames not split off yet */
	struct str last;             /* frame with the report, and what is in it */
	struct manifest_files last_files;
};

static inline struct str text_of(const json_t *j, const char *name)
{
	const json_t *text = json_object_get(j, name);

	return json_is_string(text) ? str_n(json_string_value(text), json_string_length(text))
				    : (struct str){ "", 0 };
}

static inline bool number_of(const json_t *j, const char *name, uint64_t *ret)
{
	return parse_u64(text_of(j, name), UINT64_MAX, ret);
}

static inline bool same_member(const json_t *a, const json_t *b, const char *name)
{
	const json_t *x = json_object_get(a, name), *y = json_object_get(b, name);

	return (!x && !y) || (x && y && json_equal(x, y));
}

static inline struct str first_line(struct str text)
{
	return str_upto(text, str_find(text, '\n'));
}

/* One node's signed texts, and what the manifest says of it. */
MUST_CHECK enum err_code verify_node(struct verify *v, struct proven_node *n, struct err *e);
/* All chunks, of all nodes; and the last frame in the meantime: its files, and that it ends the
 * archive. */
MUST_CHECK enum err_code verify_chunks(struct verify *v, struct err *e);
MUST_CHECK enum err_code verify_read_last(struct verify *v, struct err *e);
void verify_put_summary(const struct verify *v, struct buf *b);

#endif
