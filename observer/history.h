/*
 * history - what outlives the process: numbers that never repeat, the store, what proves it, and
 * the keeper that fills it.
 *
 *	history_number ─► the folder is ours, numbers begin
 *	history_open   ─► store            before that the kernel's hooks must be there: here the gap
 *	history_sign   ─► key, checkpoints                                  of the restart ends
 *	history_keep   ─► keeper: log ──► store
 *	history_ship   ─► shipper: store ──► ClickHouse, if one is named
 *
 * In this order, each once. What was asked for must work; so must what others hold, or have written
 * with a newer program. Otherwise the observer observes without history, and says so.
 */
#ifndef TYCHO_OBSERVER_HISTORY_H
#define TYCHO_OBSERVER_HISTORY_H

#include "observer/evidence/evidence.h"
#include "observer/keep/keep.h"
#include "observer/log/epoch.h"
#include "observer/options.h"
#include "observer/paths.h"
#include "observer/policy/file.h"
#include "observer/ship/ship.h"

/* Zero is one that keeps nothing. */
struct history {
	struct epoch *epoch;
	char state[PATHS_BYTES];   /* the folder; "" if there is none */
	uint64_t first_seq;        /* number of the first record of this run */
	struct store *store;       /* NULL: no history */
	struct evidence *evidence; /* NULL: no history, nothing to prove */
	struct keep *keep;         /* the same */
	struct ship *ship;         /* NULL: not asked for */
};

MUST_CHECK enum err_code history_number(struct history *h, const struct obs_options *o,
					struct err *e);
/* Of node @node; may move first_seq on. */
MUST_CHECK enum err_code history_open(struct history *h, const struct obs_options *o,
				      struct flow_dict *dict, const char *node, struct err *e);
MUST_CHECK enum err_code history_sign(struct history *h, const struct obs_options *o,
				      struct flow_dict *dict, const char *node, struct err *e);
/* All borrowed until history_done. */
MUST_CHECK enum err_code history_keep(struct history *h, const struct obs_options *o,
				      struct flow_log *log, const struct flow_dict *dict,
				      struct agent *agent, struct err *e);
MUST_CHECK enum err_code history_ship(struct history *h, const struct obs_options *o,
				      const struct flow_dict *dict, const char *node,
				      struct err *e);
/* What these policies say is kept, too, from now on. A failure is logged. */
void history_take_policies(struct history *h, struct policy_file *file);
/* After capture: what the log still holds is taken. Before agent, log and dictionary. */
void history_done(struct history *h);

#endif
