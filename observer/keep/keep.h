/*
 * keep - the keeper: one cursor on the flow log, whose records go into the store.
 *
 *	flow log ──cursor──► store_put … store_tick … store_tend
 *	          └ overtaken: a gap     └ fails: told once, a gap when it works again
 *
 * Threads  one of its own, "tycho-keep": the store's writing thread from keep_new to keep_free. It
 *          looks at the log when it is time to seal, each second at least, and when the log's bell
 *          tells that a quarter of it is new.
 * Loss     what the log overwrote before it was read, and what a LOST record says was lost before
 *          it came to us, is noted as a gap with its count. Nothing here slows the capture thread.
 */
#ifndef TYCHO_OBSERVER_KEEP_H
#define TYCHO_OBSERVER_KEEP_H

#include "evidence/checkpoint.h"
#include "observer/agent.h"
#include "observer/keep/policies.h"
#include "observer/log/log.h"
#include "store/store.h"

struct keep;

struct keep_config {
	struct flow_log *log; /* all borrowed, must outlive the keeper */
	const struct flow_dict *dict;
	struct store *store;
	struct checkpoints *checkpoints; /* NULL: none are made */
	struct agent *agent; /* is told when writing fails, and works again; may be NULL */
	/* No record in the log or in the open block is older; 0: 1 s. As the store was told. */
	uint64_t seal_ns;
};

MUST_CHECK enum err_code keep_new(const struct keep_config *config, struct keep **ret,
				  struct err *e);
/* Any thread. The policies in force from now on, those of an agent or all others; taken. What was
 * given of these before and not told yet is forgotten. */
void keep_take_policies(struct keep *k, struct keep_policies *policies);
/* Puts what the log still holds, and ends. The store is the caller's again, to be closed. */
void keep_free(struct keep *k);
AUTO_DEFINE(struct keep, keep_free);

#endif
