#include "observer/cilium_part.h"

#include <sys/stat.h>

bool cilium_part_has_socket(const struct cilium_options *options)
{
	struct stat st;
	const char *path = options->monitor_path ? options->monitor_path : MONITOR_DEFAULT_PATH;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static const char *map_path(const struct cilium_options *options)
{
	if (options->map_path)
		return options->map_path;
	return access(PERF_DEFAULT_PATH, F_OK) != 0 && access(PERF_OTHER_PATH, F_OK) == 0
		       ? PERF_OTHER_PATH
		       : PERF_DEFAULT_PATH;
}

static enum err_code open_decoder(struct cilium_part *part, const struct cilium_options *options,
				  struct flow_dict *dict, struct name_table *names, struct err *e)
{
	enum err_code code = link_names_new(&part->links, e);

	if (code != ERR_OK)
		return code;
	struct cilium_config config = {
		.dict = dict,
		.names = names,
		.link_name = link_names_get,
		.link_ctx = part->links,
		.release = options->release,
		.redact = options->redact,
		.learn_dns = true,
	};
	config.redact.headers_allow = options->headers_allow;
	config.redact.headers_deny = options->headers_deny;
	return cilium_new(&config, &part->decoder, e);
}

enum err_code cilium_part_open(struct cilium_part *part, const struct cilium_options *options,
			       struct flow_dict *dict, struct name_table *names,
			       struct source *sources[CILIUM_SOURCES], size_t *ret_count,
			       struct err *e)
{
	enum err_code code = ERR_OK;

	*ret_count = 0;
	if (!options->monitor && !options->perf)
		return ERR_OK;
	code = open_decoder(part, options, dict, names, e);
	if (code == ERR_OK && options->monitor) {
		const struct source_cilium_monitor_config config = {
			.path = options->monitor_path ? options->monitor_path : MONITOR_DEFAULT_PATH
		};
		code = source_cilium_monitor_new(&config, &sources[*ret_count], e);
		*ret_count += code == ERR_OK;
	}
	if (code == ERR_OK && options->perf) {
		const struct source_cilium_perf_config config = { .path = map_path(options) };
		code = source_cilium_perf_new(&config, &sources[*ret_count], e);
		*ret_count += code == ERR_OK;
	}
	return code;
}

void cilium_part_done(struct cilium_part *part)
{
	cilium_free(part->decoder);
	link_names_free(part->links);
	*part = (struct cilium_part){ 0 };
}
