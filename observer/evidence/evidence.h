/*
 * evidence - the observer's part in proofs: its key, checkpoints of its store, and exports for
 * those who ask.
 *
 *	key file ──► checkpoints ──► store, and where --checkpoint-to says      (keeper's thread)
 *	         └─► tycho.v1.Evidence/Export ◄── tycho evidence export           (server's thread)
 *
 * Threads  as above; the sender has one for each target.
 * Limits   EVIDENCE_EXPORTS exports at a time, each with a connection to the store of its own.
 */
#ifndef TYCHO_OBSERVER_EVIDENCE_H
#define TYCHO_OBSERVER_EVIDENCE_H

#include "evidence/checkpoint.h"
#include "metrics/metrics.h"
#include "rpc/server.h"
#include "store/store.h"

enum { EVIDENCE_EXPORTS = 8 };

struct evidence;

struct evidence_config {
	struct store *store; /* all borrowed, must outlive it */
	struct flow_dict *dict;
	const char *node, *version;
	const char *key_file;       /* made if it is not there */
	const char *const *targets; /* of checkpoints: evidence/send.h */
	size_t target_count;
	struct send_tls tls; /* of targets */
};

MUST_CHECK enum err_code evidence_new(const struct evidence_config *config, struct evidence **ret,
				      struct err *e);
/* After server and keeper. NULL is a no-op. */
void evidence_free(struct evidence *ev);
AUTO_DEFINE(struct evidence, evidence_free);

/* Logs which key signs the record, once the observer serves. NULL is a no-op. */
void evidence_announce(const struct evidence *ev);

/* For the keeper. */
struct checkpoints *evidence_checkpoints(struct evidence *ev);
/* For the server: with @ev NULL (no history is kept) the call says so. */
struct rpc_method evidence_method(struct evidence *ev);
/* A metrics_collect_fn; @ctx is a struct evidence. */
void evidence_tell(void *ctx, struct metrics_page *page);

#endif
