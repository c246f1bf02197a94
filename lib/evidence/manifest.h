/*
 * manifest - what a bundle's manifest.json says, and what of it follows from the nodes' statements.
 */
#ifndef TYCHO_EVIDENCE_MANIFEST_H
#define TYCHO_EVIDENCE_MANIFEST_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "chain/chain.h"

enum { EVIDENCE_FORMAT = 1 };

/* A file of the bundle as the manifest lists it. */
struct manifest_file {
	char name[104];
	uint64_t bytes;
	uint8_t sha256[32];
};
struct manifest_files {
	struct manifest_file *list;
	size_t count, cap;
};
void manifest_files_done(struct manifest_files *f);
/* Hashes @content. ERR_NOMEM. */
MUST_CHECK enum err_code manifest_files_add(struct manifest_files *f, const char *name,
					    struct str content, struct err *e);

/* Appends ,"complete":…,"loss":{…} as they follow from a statement: no gap and a record at or
 * before the beginning; of each cause how many gaps, and the records lost where that is known. */
void manifest_put_derived(struct buf *b, const json_t *statement);

/* Members of a statement that are the request's, and so the scope's. */
extern const char *const manifest_scope_members[];

#endif
