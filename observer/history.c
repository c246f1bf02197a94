#include "observer/history.h"

#include <stdio.h>

#include "base/log.h"
#include "config.h"

enum { SEAL_FLOWS = 65536 /* a block of the store at most */ };

enum err_code history_number(struct history *h, const struct obs_options *o, struct err *e)
{
	char usual[PATHS_BYTES];

	paths_default_state(usual);
	const char *dir = o->state_dir ? o->state_dir : usual;
	enum err_code code = paths_make_folder(dir, e);
	if (code == ERR_OK)
		code = epoch_open(dir, wall_now(), &h->epoch, e);
	if (code == ERR_OK) {
		(void)snprintf(h->state, sizeof h->state, "%s", dir);
		h->first_seq = epoch_first_seq(h->epoch);
		if (!epoch_is_kept(h->epoch))
			log_warn("the disk is full: where numbers of flows begin is not kept",
				 "folder=%s", LOG_QUOTE(dir));
		return ERR_OK;
	}
	if (o->state_dir || code == ERR_EXISTS || code == ERR_PARSE)
		return code;
	log_warn("no folder to keep state in; flows are numbered by the clock", "err=%s",
		 LOG_QUOTE(e->msg));
	h->first_seq = epoch_from_clock(wall_now());
	return ERR_OK;
}

enum err_code history_open(struct history *h, const struct obs_options *o, struct flow_dict *dict,
			   const char *node, struct err *e)
{
	const char *dir = o->store_dir ? o->store_dir : h->state;
	struct store_config config = o->store;

	if (o->store_off || !*dir)
		return ERR_OK;
	config.dir = dir;
	config.dict = dict;
	config.node = node;
	config.version = TYCHO_VERSION;
	/* Half of the log at most, so that what is not sealed yet can still be read there. */
	config.seal_flows = o->ring_capacity / 2 < SEAL_FLOWS ? o->ring_capacity / 2 : SEAL_FLOWS;
	config.seal_flows = config.seal_flows ? config.seal_flows : 1;
	enum err_code code = o->store_dir ? paths_make_folder(dir, e) : ERR_OK;
	if (code == ERR_OK)
		code = store_open(&config, wall_now(), h->first_seq, &h->store, e);
	if (code == ERR_OK) {
		/* A store that was kept without its state directory may be ahead of it. */
		if (store_taken(h->store) > h->first_seq)
			h->first_seq = store_taken(h->store);
		return ERR_OK;
	}
	if (o->store_dir || code == ERR_EXISTS || code == ERR_UNSUPPORTED)
		return err_in(e, "%s", "history");
	log_warn("no history is kept", "err=%s", LOG_QUOTE(e->msg));
	return ERR_OK;
}

enum err_code history_sign(struct history *h, const struct obs_options *o, struct flow_dict *dict,
			   const char *node, struct err *e)
{
	char key[PATHS_BYTES + 16];

	if (!h->store) {
		if (o->checkpoint_to_count)
			return err_set(e, ERR_INVALID,
				       "--checkpoint-to: there are no checkpoints without a store");
		return ERR_OK;
	}
	(void)snprintf(key, sizeof key, "%s/evidence.key", o->store_dir ? o->store_dir : h->state);
	const struct evidence_config config = {
		.store = h->store,
		.dict = dict,
		.node = node,
		.version = "tycho " TYCHO_VERSION,
		.key_file = o->evidence_key ? o->evidence_key : key,
		.targets = o->checkpoint_to,
		.target_count = o->checkpoint_to_count,
		.tls = o->checkpoint_tls,
	};
	return evidence_new(&config, &h->evidence, e);
}

enum err_code history_keep(struct history *h, const struct obs_options *o, struct flow_log *log,
			   const struct flow_dict *dict, struct agent *agent, struct err *e)
{
	const struct keep_config config = { .log = log,
					    .dict = dict,
					    .store = h->store,
					    .checkpoints = evidence_checkpoints(h->evidence),
					    .agent = agent,
					    .seal_ns = o->store.seal_ns };

	return h->store ? keep_new(&config, &h->keep, e) : ERR_OK;
}

enum err_code history_ship(struct history *h, const struct obs_options *o,
			   const struct flow_dict *dict, const char *node, struct err *e)
{
	if (!o->clickhouse.url)
		return ERR_OK;
	if (!h->store)
		return err_set(e, ERR_INVALID, "--clickhouse: nothing is shipped without a store");
	const struct ship_config config = { .clickhouse = &o->clickhouse,
					    .store = h->store,
					    .dict = dict,
					    .node = node,
					    .period_ns = o->clickhouse_period_ns };
	return ship_new(&config, &h->ship, e);
}

static enum err_code note_policy(void *ctx, const json_t *object, struct err *e)
{
	return keep_policies_add(ctx, object, STR(POLICY_ORIGIN_FILES), e);
}

void history_take_policies(struct history *h, struct policy_file *file)
{
	struct keep_policies *policies;
	struct err e;

	if (!h->keep)
		return;
	enum err_code code = keep_policies_new(&policies, &e);
	if (code == ERR_OK) {
		code = policy_file_each(file, note_policy, policies, &e);
		if (code == ERR_OK)
			keep_take_policies(h->keep, policies);
		else
			keep_policies_free(policies);
	}
	if (code != ERR_OK)
		log_warn("policies are not kept", "err=%s", LOG_QUOTE(e.msg));
}

void history_done(struct history *h)
{
	keep_free(h->keep);
	ship_free(h->ship); /* after it: what it sealed last is sent, too */
	evidence_free(h->evidence);
	store_close(h->store, wall_now());
	epoch_free(h->epoch);
}
