/*
 * tycho policy suggest - policies that allow just what was seen.
 *
 *	flows of a range, or a file ──► struct suggest ──► text, read back and checked ──► stdout
 *	                                                     └── what is missing, in it and on stderr
 */
#include "cli/policy_suggest.h"

#include <stdio.h>

#include "cli/policy.h"
#include "cli/recorded.h"
#include "filter/filter.h"
#include "flow/dict.h"
#include "policy/suggest.h"

enum {
	OUTPUT_MAX = 48 << 20, /* less than what is read back: POLICY_TEXT_MAX */
	REMARKS_MAX = 1 << 20,
	MOST4 = 32,
	MOST6 = 128,
};
_Static_assert((int)OUTPUT_MAX < (int)POLICY_TEXT_MAX, "what is printed can be read");

/* --- flows ------------------------------------------------------------------------------------ */

struct flows {
	struct suggest *suggest;
	struct flow_filter *sources, *destinations; /* of the pods that are asked for */
};

static enum err_code take(void *ctx, const struct flow *flow, struct err *e)
{
	const struct flows *fs = ctx;

	return suggest_flow(fs->suggest, flow, flow_filter_match(fs->sources, flow),
			    flow_filter_match(fs->destinations, flow), e);
}

/* The flags that choose pods, as filters of both ends or of one. */
static enum err_code read_pods(const struct cli *cli, const char *side, struct filter_list *ret,
			       struct err *e)
{
	static const char *const flags[] = { "namespace", "pod", "workload", "label" };
	AUTO(observe_filter_free) struct observe_filter *of = NULL;
	struct filter_list none = { 0 };
	const char *text;

	if (observe_filter_new(&of, e) != ERR_OK)
		return e->code;
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		for (size_t j = 0; (text = flags_item(cli->flags, flags[i], j)); j++) {
			char name[32];

			(void)snprintf(name, sizeof name, "%s%s", side, flags[i]);
			if (observe_filter_set(of, name, text, e) != ERR_OK)
				return err_in(e, "--%s", flags[i]);
		}
	enum err_code code = observe_filter_lists(of, ret, &none, e);
	filter_list_done(&none);
	return code;
}

static enum err_code one_side(const struct cli *cli, const char *side, const struct flow_dict *dict,
			      struct flow_filter **ret, struct err *e)
{
	AUTO_FILTER_LIST struct filter_list list = { 0 };

	if (read_pods(cli, side, &list, e) != ERR_OK)
		return e->code;
	if (flow_filter_new(list.items, list.count, NULL, 0, dict, ret, e) != ERR_OK)
		return err_in(e, "--namespace, --pod, --workload, --label");
	return ERR_OK;
}

static enum err_code keep(void *ctx, struct str bytes, struct err *e)
{
	(void)e;
	buf_str_put(ctx, bytes);
	return ERR_OK;
}

static enum err_code read_flows(const struct cli *cli, struct flows *fs, struct flow_dict *dict,
				struct buf *remarks, struct err *e)
{
	AUTO_OBSERVE_REQUEST struct observe_request r = { 0 };
	const struct recorded recorded = { dict, { keep, remarks }, take, fs };
	bool of_server;

	if (read_pods(cli, "", &r.allow, e) != ERR_OK)
		return e->code;
	r.allow_by_flags = r.allow.count;
	if (recorded_each(cli, &r, &recorded, &of_server, e) != ERR_OK)
		return e->code;
	const struct history_range range = { r.has_since, r.has_until, r.since, r.until };
	if (of_server && !history_put_remark(remarks, cli->settings, &range, HISTORY_OF_FLOWS))
		buf_lit(remarks, "completeness unknown: the server keeps no account of it\n");
	return ERR_OK;
}

/* --- what is printed -------------------------------------------------------------------------- */

static void put_count(struct buf *b, const char *what, uint64_t flows)
{
	if (!flows)
		return;
	buf_printf(b, "%s: ", what);
	buf_grouped(b, flows);
	buf_char(b, '\n');
}

static void put_counts(struct buf *b, const struct suggest_counts *c)
{
	put_count(b, "incomplete: flows that passed, and no rule can allow (NOT ALLOWED)",
		  c->unsaid);
	put_count(b,
		  "incomplete: flows beyond the limits on connections, workloads, peers or ports; "
		  "narrow it by pods or time, or join addresses by --cidr-prefix",
		  c->left_out);
	put_count(b, "note: flows that policies denied, which stay denied without --with-denied",
		  c->denied);
}

static void put_header(struct buf *b, const struct suggest_counts *c, struct str remarks)
{
	AUTO_BUF struct buf line = buf_init(4096);
	struct str one;

	buf_lit(&line, "Made by tycho policy suggest of ");
	buf_grouped(&line, c->flows);
	buf_str_put(&line, c->flows == 1 ? STR(" flow") : STR(" flows"));
	if (c->has_time) {
		buf_lit(&line, ", ");
		timestamp_put(&line, timestamp_of(c->first));
		buf_lit(&line, " to ");
		timestamp_put(&line, timestamp_of(c->last));
	}
	buf_lit(&line, ".");
	suggest_put_comment(b, buf_str(&line), 0);
	suggest_put_comment(b,
			    STR("What was not seen then is not allowed: a job that runs once a "
				"week, say."),
			    0);
	while (remarks.len && str_split(&remarks, '\n', &one) && one.len)
		suggest_put_comment(b, one, 0);
}

static enum err_code print(const struct cli *cli, struct suggest *s, struct buf *remarks,
			   struct err *e)
{
	AUTO_BUF struct buf out = buf_init(OUTPUT_MAX);
	struct suggest_counts counts;
	json_t *policies, *one;
	size_t i;

	if (suggest_policies(s, &policies, &counts, e) != ERR_OK)
		return e->code;
	put_counts(remarks, &counts);
	if (strcmp(flags_text(cli->flags, "output"), "json") == 0) {
		suggest_put_json(&out, policies);
	} else {
		put_header(&out, &counts, buf_str(remarks));
		json_array_foreach(policies, i, one) suggest_put_yaml(&out, one);
	}
	json_decref(policies);
	if (out.failed || remarks->failed)
		return err_set(e, ERR_NOMEM, "more than %d bytes to say", OUTPUT_MAX);
	if (suggest_check(s, buf_str(&out), e) != ERR_OK || cli_write(buf_str(&out), e) != ERR_OK)
		return e->code;
	return ERR_OK;
}

static enum err_code read_prefix(const struct cli *cli, struct suggest_config *config,
				 struct err *e)
{
	struct str text = str_of(flags_text(cli->flags, "cidr-prefix")), rest = text, four;
	uint64_t bits4, bits6 = MOST6;

	if (!text.len)
		return ERR_OK;
	(void)str_split(&rest, ',', &four);
	if (!parse_u64(four, MOST4, &bits4) || !bits4 ||
	    (rest.p && (!parse_u64(rest, MOST6, &bits6) || !bits6)))
		return err_set(e, ERR_INVALID,
			       "--cidr-prefix %s: it is a length of 1 to 32, and with a comma one "
			       "of 1 to 128 for IPv6",
			       EXCERPT(text));
	config->bits4 = (uint8_t)bits4;
	config->bits6 = (uint8_t)bits6;
	return ERR_OK;
}

static enum err_code read_config(const struct cli *cli, struct suggest_config *ret, struct err *e)
{
	const char *direction = flags_text(cli->flags, "direction");
	bool both = strcmp(direction, "both") == 0;

	*ret = (struct suggest_config){
		.kind = strcmp(flags_text(cli->flags, "kind"), "cilium") == 0 ? SUGGEST_CILIUM
									      : SUGGEST_KUBERNETES,
		.cluster = flags_text(cli->flags, "policy-cluster"),
		.with_denied = flags_bool(cli->flags, "with-denied"),
		.ingress = both || strcmp(direction, "ingress") == 0,
		.egress = both || strcmp(direction, "egress") == 0,
		.bits4 = MOST4,
		.bits6 = MOST6,
	};
	return read_prefix(cli, ret, e);
}

static enum err_code run_suggest(struct cli *cli, struct err *e)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_filter_free) struct flow_filter *sources = NULL;
	AUTO(flow_filter_free) struct flow_filter *destinations = NULL;
	AUTO(suggest_free) struct suggest *s = NULL;
	AUTO_BUF struct buf remarks = buf_init(REMARKS_MAX);
	struct suggest_config config;

	if (read_config(cli, &config, e) != ERR_OK ||
	    flow_dict_new(RECORDED_DICT_ENTRIES, &dict, e) != ERR_OK ||
	    one_side(cli, "from-", dict, &sources, e) != ERR_OK ||
	    one_side(cli, "to-", dict, &destinations, e) != ERR_OK ||
	    suggest_new(&config, dict, &s, e) != ERR_OK)
		return e->code;
	struct flows fs = { s, sources, destinations };
	enum err_code code = read_flows(cli, &fs, dict, &remarks, e);
	if (code == ERR_OK)
		code = print(cli, s, &remarks, e);
	cli_say(buf_str(&remarks));
	return code;
}

#define CHOOSES(name_, letter, words, text)                                                        \
	{                                                                                          \
		.name = (name_), .short_ = (letter), .type = FLAG_STRING_ARRAY,                    \
		.placeholder = (words), .help = (text)                                             \
	}

static const struct flag_def suggest_defs[] = {
	CHOOSES("namespace", 'n', "NAME", "Policies for the pods of a namespace; repeatable"),
	CHOOSES("pod", 0, "POD", "Only for pods, as [namespace/]name-prefix; repeatable"),
	CHOOSES("workload", 0, "WORKLOAD", "Only for a workload, as [Kind/]name; repeatable"),
	CHOOSES("label", 'l', "SELECTOR", "Only for pods with labels (\"app=web\"); repeatable"),
	{ .name = "kind",
	  .type = FLAG_CHOICE,
	  .def = "kubernetes",
	  .placeholder = "KIND",
	  .values = "kubernetes cilium",
	  .help = "NetworkPolicies, or CiliumNetworkPolicies" },
	{ .name = "direction",
	  .type = FLAG_CHOICE,
	  .def = "both",
	  .placeholder = "WAY",
	  .values = "both ingress egress",
	  .help = "What the policies are about: ingress, egress, or both; the other way stays "
		  "open" },
	{ .name = "with-denied", .type = FLAG_BOOL, .help = "Allow also what policies dropped" },
	{ .name = "cidr-prefix",
	  .type = FLAG_STRING,
	  .placeholder = "N[,M]",
	  .help = "Join addresses outside to blocks of so many bits: N of IPv4, M of IPv6; "
		  "without, "
		  "each address stands for itself" },
	RECORDED_FLAGS,
	{ .name = "policy-cluster",
	  .type = FLAG_STRING,
	  .def = "default",
	  .placeholder = "NAME",
	  .help = "Name of the local cluster" },
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_CHOICE,
	  .def = "yaml",
	  .placeholder = "FORMAT",
	  .values = "yaml json",
	  .help = "Output format: yaml, or json (one List, without comments)" },
};
static const struct flag_set suggest_flags = { "Suggest", suggest_defs, ARRAY_LEN(suggest_defs) };
static const struct flag_set *const suggest_sets[] = { &suggest_flags };

const struct command policy_suggest_command = {
	.name = "suggest",
	.help = "Write policies that allow just what was seen",
	.details =
		"Reads recorded flows, of a server or a file, and prints one policy for each "
		"workload of the pods asked for: it allows the connections that were forwarded, "
		"and "
		"denies all else, in both directions. Selectors are made of labels that all pods "
		"of "
		"a workload have and that tell it from others of its namespace that were seen; "
		"where they tell nothing, one policy is for both. Comments say what is behind each "
		"rule, since when, and what no rule can say.\n"
		"\n"
		"Before anything is printed, the policies are read back and put to the connections "
		"that they were made of. What was not seen is not allowed: ask for as long as the "
		"rarest of jobs takes to run, heed what is said of gaps, and see by tycho policy "
		"preview what the policies would have denied. The exit status is 1 if nothing was "
		"seen.",
	.examples =
		"  tycho policy suggest --namespace shop --since 7d > shop.yaml\n"
		"  tycho policy suggest -n shop --workload web --kind cilium --direction egress\n"
		"  tycho observe --all -o json > flows.json\n"
		"  tycho policy suggest -n shop --input-file flows.json | kubectl diff -f -",
	.sets = suggest_sets,
	.set_count = ARRAY_LEN(suggest_sets),
	.uses_server = true,
	.run = run_suggest,
};
