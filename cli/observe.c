#include "cli/observe.h"

#include <stdio.h>

#include "base/buf.h"
#include "cli/default_mask.h"
#include "cli/explain.h"
#include "cli/observe_time.h"
#include "filter/filter.h"
#include "flow/dict.h"
#include "flow/mask.h"

enum { LAST_DEFAULT = 20, TEXT_MAX_BYTES = 64 << 20 };

void observe_request_done(struct observe_request *r)
{
	filter_list_done(&r->allow);
	filter_list_done(&r->deny);
}

static bool legacy_json_is_wanted(void)
{
	const char *names[] = { "TYCHO_COMPAT", "HUBBLE_COMPAT" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *env = getenv(names[i]);
		struct str rest = str_of(env), word;
		while (env && str_split(&rest, ',', &word))
			if (str_eq_nocase(word, STR("legacy-json-output")))
				return true;
	}
	return false;
}

static bool color_is_wanted(const struct cli *cli)
{
	struct str when = str_of(flags_text(cli->flags, "color"));
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	if (str_eq_nocase(when, STR("always")))
		return true;
	if (str_eq_nocase(when, STR("never")))
		return false;
	return isatty(STDOUT_FILENO) && !(term && strcmp(term, "dumb") == 0) && !(no && *no);
}

enum err_code observe_read_format(const struct cli *cli, struct flow_printer_options *ret,
				  struct err *e)
{
	/* The words are exact, JSON in capitals excepted, as the reference has them. */
	static const struct {
		const char *word;
		enum flow_format format;
	} formats[] = {
		{ "compact", FLOW_FORMAT_COMPACT }, { "dict", FLOW_FORMAT_DICT },
		{ "json", FLOW_FORMAT_JSON },       { "JSON", FLOW_FORMAT_JSON },
		{ "jsonpb", FLOW_FORMAT_JSON },     { "tab", FLOW_FORMAT_TABLE },
		{ "table", FLOW_FORMAT_TABLE },
	};
	const char *word = flags_text(cli->flags, "output");
	size_t i = 0;

	while (i < ARRAY_LEN(formats) && strcmp(formats[i].word, word) != 0)
		i++;
	if (i == ARRAY_LEN(formats))
		return err_set(e, ERR_INVALID, "invalid output format: %s", word);
	enum flow_format format = formats[i].format;
	if (format == FLOW_FORMAT_TABLE && flags_bool(cli->flags, "follow"))
		return err_set(e, ERR_INVALID,
			       "table output format is not compatible with follow mode");
	if (format == FLOW_FORMAT_JSON && strcmp(word, "jsonpb") != 0 && legacy_json_is_wanted())
		format = FLOW_FORMAT_JSON_LEGACY;
	*ret = (struct flow_printer_options){
		.format = format,
		.time_format = time_format_parse(str_of(flags_text(cli->flags, "time-format"))),
		.color = color_is_wanted(cli),
		.node_name = flags_bool(cli->flags, "print-node-name"),
		.policy_names = flags_bool(cli->flags, "print-policy-names"),
		.numeric = flags_bool(cli->flags, "numeric") ||
			   !flags_bool(cli->flags, "ip-translation"),
		.status_quiet = flags_bool(cli->flags, "silent-errors"),
		.status_all = settings_bool(cli->settings, "debug"),
	};
	return ERR_OK;
}

enum err_code observe_printer_new(struct flow_printer_options *options, struct flow_dict *dict,
				  struct flow_printer **ret, struct err *e)
{
	static int fds[] = { STDOUT_FILENO, STDERR_FILENO };

	options->dict = dict;
	options->out = print_sink_fd(&fds[0]);
	options->status = print_sink_fd(&fds[1]);
	return flow_printer_new(options, ret, e);
}

enum err_code observe_read_times(const struct cli *cli, struct observe_request *r, struct err *e)
{
	if (observe_time_flag(cli->flags, "since", &r->has_since, &r->since, e) != ERR_OK)
		return e->code;
	/* Hubble follows without an end, and a file to its own. */
	if (flags_bool(cli->flags, "follow") && *flags_text(cli->flags, "input-file"))
		return ERR_OK;
	return observe_time_flag(cli->flags, "until", &r->has_until, &r->until, e);
}

static enum err_code read_selectors(const struct cli *cli, struct observe_request *r, struct err *e)
{
	const struct flags *f = cli->flags;
	uint64_t first = flags_u64(f, "first"), last = flags_u64(f, "last");
	bool all = flags_bool(f, "all");

	r->follow = flags_bool(f, "follow");
	if (first && last)
		return err_set(e, ERR_INVALID, "cannot set both --first and --last");
	if (first && all)
		return err_set(e, ERR_INVALID, "cannot set both --first and --all");
	if (first && r->follow)
		return err_set(e, ERR_INVALID, "cannot set both --first and --follow");
	if (last && all)
		return err_set(e, ERR_INVALID, "cannot set both --last and --all");
	if (observe_read_times(cli, r, e) != ERR_OK)
		return e->code;
	/* An end alone is all before it; of a follower it is not where to begin. */
	if (!r->has_since && (!r->has_until || r->follow) && !first) {
		if (all)
			last = UINT64_MAX;
		else if (!last && !r->follow && !*flags_text(f, "input-file"))
			last = LAST_DEFAULT;
	}
	r->first = first > 0;
	r->number = first ? first : last;
	return ERR_OK;
}

static enum err_code read_raw_filters(const struct cli *cli, const char *flag,
				      struct filter_list *list, struct err *e)
{
	const char *json;

	for (size_t i = 0; (json = settings_item(cli->settings, flag, i)); i++)
		if (filter_list_add_json(list, json, e) != ERR_OK)
			return err_in(e, "invalid --%s flag", flag);
	return ERR_OK;
}

static enum err_code read_mask(const struct cli *cli, bool json, const char **own, size_t own_size,
			       struct observe_request *r, struct err *e)
{
	AUTO(flow_mask_free) struct flow_mask *checked = NULL;
	size_t n = 0;

	for (const char *path; (path = flags_item(cli->flags, "field-mask", n)); n++) {
		if (n == own_size)
			return err_set(e, ERR_INVALID, "more than %zu fields in --field-mask",
				       own_size);
		own[n] = path;
	}
	if (n && !json)
		return err_set(e, ERR_INVALID,
			       "%s output format is not compatible with custom field mask",
			       flags_text(cli->flags, "output"));
	r->mask = own;
	r->mask_count = n;
	if (!json && flags_bool(cli->flags, "use-default-field-masks")) {
		r->mask = default_mask;
		r->mask_count = ARRAY_LEN(default_mask);
	}
	if (n && flow_mask_new(own, n, &checked, e) != ERR_OK)
		return err_in(e, "failed to construct field mask");
	return ERR_OK;
}

static enum err_code print_raw_filters(const struct observe_request *r, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(TEXT_MAX_BYTES);

	if (filter_lists_put_yaml(&text, &r->allow, &r->deny, e) != ERR_OK)
		return e->code;
	return cli_write(buf_str(&text), e);
}

enum err_code observe_check_filters(const struct observe_request *r, struct err *e)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_filter_free) struct flow_filter *compiled = NULL;

	if (flow_dict_new(1, &dict, e) != ERR_OK)
		return e->code;
	return flow_filter_new(r->allow.items, r->allow.count, r->deny.items, r->deny.count, dict,
			       &compiled, e);
}

static enum err_code print_explanation(const struct cli *cli, const struct observe_request *r,
				       bool json, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(TEXT_MAX_BYTES);
	const char *file = flags_text(cli->flags, "input-file");
	const struct explain x = {
		.request = r,
		.server = settings_text(cli->settings, "server"),
		.file = *file ? file : NULL,
	};

	if (observe_check_filters(r, e) != ERR_OK ||
	    (json ? explain_put_json : explain_put_words)(&x, &text, e) != ERR_OK)
		return e->code;
	return cli_write(buf_str(&text), e);
}

enum err_code observe_read_filters(const struct cli *cli, struct observe_request *r, struct err *e)
{
	if (observe_filter_lists(cli->filter, &r->allow, &r->deny, e) != ERR_OK)
		return e->code;
	r->allow_by_flags = r->allow.count;
	r->deny_by_flags = r->deny.count;
	if (read_raw_filters(cli, "allowlist", &r->allow, e) != ERR_OK)
		return e->code;
	return read_raw_filters(cli, "denylist", &r->deny, e);
}

static enum err_code observe_flows(struct cli *cli, struct err *e)
{
	enum { MASK_MOST = 256 };
	const char *own_mask[MASK_MOST];
	AUTO_OBSERVE_REQUEST struct observe_request r = { 0 };
	struct flow_printer_options options;

	if (observe_filter_check(cli->filter, e) != ERR_OK ||
	    observe_read_format(cli, &options, e) != ERR_OK)
		return e->code;
	bool json = options.format == FLOW_FORMAT_JSON;
	if (!json && flags_item(cli->flags, "field-mask", 0))
		return read_mask(cli, json, own_mask, MASK_MOST, &r, e);
	if (read_selectors(cli, &r, e) != ERR_OK || observe_read_filters(cli, &r, e) != ERR_OK ||
	    read_mask(cli, json, own_mask, MASK_MOST, &r, e) != ERR_OK)
		return e->code;
	if (flags_bool(cli->flags, "print-raw-filters"))
		return print_raw_filters(&r, e);
	if (flags_bool(cli->flags, "explain"))
		return print_explanation(cli, &r, json || options.format == FLOW_FORMAT_JSON_LEGACY,
					 e);
	if (*flags_text(cli->flags, "input-file"))
		return observe_from_file(cli, &r, &options, e);
	return observe_from_server(cli, &r, &options, e);
}

static const struct flag_set *const flow_sets[] = {
	&selector_flags,    &filter_flags, &raw_filter_flags, &formatting_flags,
	&flow_format_flags, &other_flags,  &explain_flags,
};

static const char flow_details[] =
	"Shows flows, the connections and packets that an observer saw: from its memory, or with "
	"--follow as they happen.\n"
	"\n"
	"Filter flags choose. Several values of one flag are alternatives; different flags must "
	"all match. A flag without from- or to- matches either side. With --not in front, a flag "
	"hides what it matches; several negated flags together hide only what matches all of them.";

static const char flow_examples[] =
	"  # What was dropped in the last five minutes, and what is dropped from now on\n"
	"  tycho observe --verdict DROPPED --since 5m\n"
	"  tycho observe --verdict DROPPED --follow\n"
	"\n"
	"  # HTTP requests to pods of namespace shop that failed\n"
	"  tycho observe --to-namespace shop --http-status 5+\n"
	"\n"
	"  # What these flags would show, and how they combine\n"
	"  tycho observe --pod shop/web --port 8080 --not --verdict FORWARDED --explain\n"
	"\n"
	"  # Keep flows as JSON and look at them later\n"
	"  tycho observe --last 1000 -o json > flows.json\n"
	"  tycho observe --input-file flows.json --not --protocol udp";

static const struct command observe_flows_command = {
	.name = "flows",
	.help = "Observe flows",
	.details = flow_details,
	.examples = flow_examples,
	.sets = flow_sets,
	.set_count = ARRAY_LEN(flow_sets),
	.ignores_words = true,
	.uses_server = true,
	.run = observe_flows,
};

static const struct command *const observe_children[] = { &observe_agent_events_command,
							  &observe_debug_events_command,
							  &observe_flows_command };

const struct command observe_command = {
	.name = "observe",
	.help = "Observe flows and events of an observer or relay",
	.details = flow_details,
	.examples = flow_examples,
	.sets = flow_sets,
	.set_count = ARRAY_LEN(flow_sets),
	.ignores_words = true,
	.children = observe_children,
	.child_count = ARRAY_LEN(observe_children),
	.uses_server = true,
	.run = observe_flows,
};
