/*
 * manifest - what a bundle's manifest.json lists: the files of the archive.
 *
 * What lies in chunks has no sums of its own: it is proven, and the sum at the bundle's end covers
 * it, at a twentieth of the bytes.
 */
#ifndef TYCHO_EVIDENCE_MANIFEST_H
#define TYCHO_EVIDENCE_MANIFEST_H

#include "base/buf.h"
#include "base/err.h"

enum { EVIDENCE_FORMAT = 4 };

/* A file of the bundle as the manifest lists it. */
struct manifest_file {
	char name[104];
	uint64_t bytes;
	bool has_sum; /* false: a chunk's */
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
/* A chunk's file. ERR_NOMEM. */
MUST_CHECK enum err_code manifest_files_note(struct manifest_files *f, const char *name,
					     uint64_t bytes, struct err *e);
/* All of @from. ERR_NOMEM. */
MUST_CHECK enum err_code manifest_files_append(struct manifest_files *f,
					       const struct manifest_files *from, struct err *e);

/* Members of a statement that are the request's, and so the scope's. */
extern const char *const manifest_scope_members[];

#endif
