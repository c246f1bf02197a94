/*
 * evidence_fixture - a store, its key, and bundles made from it: for the tests of lib/evidence.
 */
#ifndef TYCHO_TESTS_EVIDENCE_FIXTURE_H
#define TYCHO_TESTS_EVIDENCE_FIXTURE_H

#include "base/buf.h"
#include "evidence/checkpoint.h"
#include "evidence/collect.h"
#include "evidence/export.h"
#include "evidence/key.h"
#include "evidence/verify.h"
#include "store_fixture.h"

struct evidence_fixture {
	struct fixture *store;
	struct evidence_key *key;
	char key_path[100], bundle_path[100];
	struct checkpoints *checkpoints;
	/* What happens behind call @happens_at of an export's next; NULL: nothing. */
	void (*happens)(struct evidence_fixture *ef);
	size_t happens_at;
	size_t calls; /* of the last export */
};
/* Beside a store fixture that is made; the store is opened. */
void evidence_make(struct evidence_fixture *ef, struct fixture *fx);
void evidence_done(struct evidence_fixture *ef);
void evidence_checkpoint(struct evidence_fixture *ef);

/* What is asked; zeros: everything, as it is. */
struct ask {
	struct wall_ns since, until; /* 0: open */
	uint16_t port;               /* destination; 0: any */
	const char *verdict;         /* "DROPPED"; NULL: any */
	unsigned redact;             /* REDACT_ bits */
	bool csv, keep;
	size_t chunk_bytes; /* 0: as usual */
};
/* Appends the ExportRequest. */
void evidence_request(const struct ask *ask, struct buf *out);
/* Every message of the export goes to @each, which may change it. */
enum err_code evidence_run(struct evidence_fixture *ef, const struct ask *ask,
			   void (*each)(void *ctx, struct str message), void *ctx, struct err *e);
/* Export, bundle, at bundle_path. */
enum err_code evidence_bundle(struct evidence_fixture *ef, const struct ask *ask, struct err *e);
/* The bundle's verdict; @summary may be NULL. */
enum err_code evidence_check(struct evidence_fixture *ef, struct buf *summary, struct err *e);
/* Whole file; own. */
char *read_all(const char *path, size_t *ret_len);

#endif
