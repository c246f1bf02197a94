/*
 * evidence_world - a store of four blocks with a gap and a policy, a checkpoint behind each block,
 * and bundles of it that are true or lie.
 */
#ifndef TYCHO_TESTS_EVIDENCE_WORLD_H
#define TYCHO_TESTS_EVIDENCE_WORLD_H

#include "evidence_fixture.h"

struct world {
	struct evidence_fixture ef;
	struct fixture *fx;
};
int world_make(void **state); /* cmocka's setup and teardown */
int world_remove(void **state);

static const struct ask everything = { .csv = true };

/* A fresh bundle of what is asked, at ef.bundle_path. */
void world_bundle(struct world *w, const struct ask *ask);
/* The bundle there verifies; does not, in a sentence with @words. Either is left as world_leave
 * does. */
void assert_good(struct world *w, const char *name);
void assert_bad(struct world *w, const char *name, const char *words);
/* With TYCHO_EVIDENCE_CASES, a folder, the bundle is copied there as VERDICT-NAME.tar.zst, verdict
 * "good" or "bad": tests/evidence holds another verifier against them. */
void world_leave(const struct world *w, const char *verdict, const char *name);

#endif
