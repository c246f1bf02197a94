#include "observer/source_set.h"

#include "base/log.h"

/* Its datapath says everything already; our own programs would say it again. */
static enum err_code open_cilium(struct source_set *set, struct obs_options *o,
				 struct flow_dict *dict, struct name_table *names, struct err *e)
{
	size_t count;

	if (o->bpf && o->bpf_by_default && cilium_part_has_socket(&o->cilium)) {
		log_info("cilium's monitor socket is there: reading it instead of loading kernel "
			 "programs; --source bpf would",
			 "path=%s", MONITOR_DEFAULT_PATH);
		o->bpf = false;
		o->cilium.monitor = true;
	}
	enum err_code code = cilium_part_open(&set->cilium, &o->cilium, dict, names,
					      &set->all[set->count], &count, e);
	set->count += count;
	return code;
}

static enum err_code open_bpf(const struct obs_options *o, struct source **ret, struct err *e)
{
	return o->bpf ? source_bpf_new(&o->bpf_config, ret, e) : ERR_OK;
}

static enum err_code open_nflog(const struct obs_options *o, struct source **ret, struct err *e)
{
	return o->nflog.group_count ? source_nflog_new(&o->nflog, ret, e) : ERR_OK;
}

static enum err_code open_kernel_log(const struct obs_options *o, struct source **ret,
				     struct err *e)
{
	const struct source_kernel_log_config config = { o->kernel_log, o->nflog.pattern,
							 o->nflog.otherwise };

	return o->kernel_log ? source_kernel_log_new(&config, ret, e) : ERR_OK;
}

static enum err_code open_replay(const struct obs_options *o, struct source **ret, struct err *e)
{
	return o->replay.path ? source_replay_new(&o->replay, ret, e) : ERR_OK;
}

enum err_code source_set_open(struct source_set *set, struct obs_options *o, struct flow_dict *dict,
			      struct name_table *names, struct err *e)
{
	/* the replay last: it is looked for below */
	static enum err_code (*const others[])(const struct obs_options *, struct source **,
					       struct err *) = { open_bpf, open_nflog,
								 open_kernel_log, open_replay };
	enum err_code code = agent_new(&set->agent, &set->all[0], e);

	if (code != ERR_OK)
		return code;
	set->count = 1;
	code = open_cilium(set, o, dict, names, e);
	for (size_t i = 0; code == ERR_OK && i < ARRAY_LEN(others); i++) {
		code = others[i](o, &set->all[set->count], e);
		set->count += code == ERR_OK && set->all[set->count];
	}
	if (code == ERR_OK && o->replay.path)
		set->replay = set->all[set->count - 1];
	return code;
}

enum err_code source_set_follow(struct source_set *set, const struct obs_options *o,
				struct store *store, struct flow_dict *dict, struct err *e)
{
	struct source_hubble_config config = o->hubble;

	if (!config.address)
		return ERR_OK;
	config.store = store;
	config.dict = dict;
	enum err_code code = source_hubble_new(&config, &set->all[set->count], e);
	set->count += code == ERR_OK;
	return code;
}

void source_set_done(struct source_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		source_free(set->all[i]);
	cilium_part_done(&set->cilium);
}
