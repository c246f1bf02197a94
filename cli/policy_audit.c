/*
 * tycho policy audit - policies beside what was seen: unused, too wide, not covered.
 *
 *	files ──► struct policy_set ─┐       (Pods among them ──► known ends)
 *	flows of a range, or a file ─┴─► struct audit ──► text or JSON ──► stdout
 */
#include "cli/policy_audit.h"

#include "cli/policy.h"
#include "cli/recorded.h"
#include "flow/dict.h"

enum { OUTPUT_MAX = 256 << 20, REMARKS_MAX = 1 << 20 };

/* --- policies --------------------------------------------------------------------------------- */

struct reading {
	struct policy_builder *builder;
	json_t *pods;
};

static enum err_code read_file(void *ctx, const char *path, struct str text, struct err *e)
{
	const struct reading *r = ctx;
	json_t *documents = NULL, *one;
	size_t i;

	if (policy_builder_origin(r->builder, str_of(path), e) != ERR_OK)
		return e->code;
	enum err_code code = policy_yaml(text, &documents, e);
	if (code != ERR_OK)
		return err_in(e, "%s", path);
	json_array_foreach(documents, i, one)
	{
		if (code != ERR_OK || json_is_null(one))
			continue;
		policy_keep(r->pods, "Pod", one);
		code = policy_builder_add(r->builder, one, e);
		if (code != ERR_OK)
			code = json_array_size(documents) > 1
				       ? err_in(e, "%s: document %zu", path, i + 1)
				       : err_in(e, "%s", path);
	}
	json_decref(documents);
	return code;
}

static enum err_code read_set(const struct cli *cli, json_t *pods, struct policy_set **ret,
			      struct err *e)
{
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	struct policy_config config;

	if (!flags_word_count(cli->flags))
		return err_set(e, ERR_INVALID, "which policies? tycho policy audit PATH…");
	if (policy_config_read(cli, &config, e) != ERR_OK)
		return e->code;
	config.counted_labels = true; /* flows have no others */
	if (policy_builder_new(&config, &b, e) != ERR_OK)
		return e->code;
	struct reading r = { b, pods };
	for (size_t i = 0; i < flags_word_count(cli->flags); i++)
		if (policy_path_each(flags_word(cli->flags, i), read_file, &r, e) != ERR_OK)
			return e->code;
	if (!policy_builder_count(b))
		return err_set(e, ERR_INVALID, "no policy in what was read");
	policy_say_foreign(b);
	return policy_builder_finish(b, ret, e);
}

/* --- pods ------------------------------------------------------------------------------------- */

static struct str text_at(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return str_of(s ? s : "");
}

/* Whose pod it is, as flows have it: of a Deployment's ReplicaSet, the Deployment. */
static struct workload workload_of(const json_t *pod)
{
	const json_t *metadata = json_object_get(pod, "metadata");
	const json_t *owner = json_array_get(json_object_get(metadata, "ownerReferences"), 0);
	struct str hash = text_at(json_object_get(metadata, "labels"), "pod-template-hash");
	struct workload w = { text_at(owner, "name"), text_at(owner, "kind") };

	if (!str_is(w.kind, "ReplicaSet") || !hash.len || !str_has_suffix(w.name, hash) ||
	    w.name.len < hash.len + 2)
		return w;
	return (struct workload){ str_upto(w.name, w.name.len - hash.len - 1), STR("Deployment") };
}

/* Pods are known though none of their flows may be. */
static void know_pods(const json_t *pods, enum policy_meaning meaning, struct flow_dict *dict)
{
	const json_t *pod;
	size_t i;

	json_array_foreach(pods, i, pod)
	{
		struct workload w = workload_of(pod);
		struct policy_side side;

		if (!policy_pod_counts(pod) ||
		    policy_side_of_pod(pod, meaning, &side, NULL) != ERR_OK)
			continue;
		(void)flow_dict_endpoint(dict, &(struct endpoint){
						       .namespace_ = side.end.namespace_,
						       .pod = side.end.pod,
						       .labels = side.end.labels,
						       .label_count = side.end.label_count,
						       .workloads = &w,
						       .workload_count = w.name.len > 0,
					       });
		policy_side_done(&side);
	}
}

/* --- flows ------------------------------------------------------------------------------------ */

static enum err_code take(void *ctx, const struct flow *flow, struct err *e)
{
	return audit_flow(ctx, flow, e);
}

static enum err_code keep(void *ctx, struct str bytes, struct err *e)
{
	(void)e;
	buf_str_put(ctx, bytes);
	return ERR_OK;
}

static enum err_code read_flows(const struct cli *cli, struct audit *a, struct flow_dict *dict,
				struct buf *remarks, bool *ret_chosen, struct err *e)
{
	AUTO_OBSERVE_REQUEST struct observe_request r = { 0 };
	const struct recorded recorded = { dict, { keep, remarks }, take, a };
	bool of_server;

	if (observe_filter_check(cli->filter, e) != ERR_OK ||
	    observe_read_filters(cli, &r, e) != ERR_OK ||
	    recorded_each(cli, &r, &recorded, &of_server, e) != ERR_OK)
		return e->code;
	*ret_chosen = r.allow.count || r.deny.count;
	const struct history_range range = { r.has_since, r.has_until, r.since, r.until };
	if (!of_server)
		buf_lit(remarks, "completeness unknown: the flows are of a file\n");
	else if (!history_put_remark(remarks, cli->settings, &range, HISTORY_OF_FLOWS))
		buf_lit(remarks, "completeness unknown: the server keeps no account of it\n");
	return ERR_OK;
}

/* --- the answer ------------------------------------------------------------------------------- */

enum { ON_UNUSED, ON_WIDE, ON_OPEN, ON_DEFAULT, ON_CHANGED, ON_COUNT_ };
static const char *const finding_names[] = { "unused", "wide", "open", "default", "changed" };
_Static_assert(ARRAY_LEN(finding_names) == ON_COUNT_, "a finding without a name");

/* --fail-on, before anything else is done. */
static enum err_code read_findings(const struct cli *cli, bool ret[ON_COUNT_], struct err *e)
{
	const char *word;

	for (size_t i = 0; (word = flags_item(cli->flags, "fail-on", i)); i++) {
		bool is_known = strcmp(word, "any") == 0;

		for (int j = 0; j < ON_COUNT_; j++)
			if (strcmp(word, "any") == 0 || strcmp(word, finding_names[j]) == 0)
				is_known = ret[j] = true;
		if (!is_known)
			return err_set(e, ERR_INVALID,
				       "--fail-on '%s': must be unused, wide, open, default, "
				       "changed or any",
				       EXCERPT(str_of(word)));
	}
	return ERR_OK;
}

static enum err_code judge(const struct audit_report *r, const bool on[ON_COUNT_], struct err *e)
{
	const uint64_t found[ON_COUNT_] = {
		[ON_UNUSED] = r->results[AUDIT_UNUSED] + r->idle_count,
		[ON_WIDE] = r->results[AUDIT_WIDE],
		[ON_OPEN] = r->open_count,
		[ON_DEFAULT] = r->default_count,
		[ON_CHANGED] = r->newly_denied.flows + r->newly_allowed.flows,
	};
	char text[128];
	struct buf b = buf_fixed(text, sizeof text);

	for (int i = 0; i < ON_COUNT_; i++)
		if (on[i] && found[i])
			buf_printf(&b, "%s%s %llu", b.len ? ", " : "", finding_names[i],
				   (unsigned long long)found[i]);
	return b.len ? err_set(e, ERR_INVALID, "found: %s", buf_cstr(&b)) : ERR_OK;
}

static enum err_code print(const struct cli *cli, struct audit *a, struct audited *said,
			   struct audit_report *report, struct err *e)
{
	AUTO_BUF struct buf out = buf_init(OUTPUT_MAX);

	if (audit_finish(a, report, e) != ERR_OK)
		return e->code;
	if (!report->flows)
		return err_set(e, ERR_INVALID, "no flow to judge by: nothing is shown by this");
	if (audit_flows_of(report->unknown, report->unknown_count) == report->flows)
		return err_set(e, ERR_INVALID,
			       "no flow to judge by: of none is it known what is decided: %s%s",
			       EXCERPT(report->unknown[0].text),
			       report->unknown_count > 1 ? ", and other reasons" : "");
	if (strcmp(flags_text(cli->flags, "output"), "json") == 0)
		audit_put_json(&out, said);
	else
		audit_put_text(&out, said);
	if (out.failed)
		return err_set(e, ERR_NOMEM, "more than %d bytes to say", OUTPUT_MAX);
	return cli_write(buf_str(&out), e);
}

/* @pods: those among the objects. */
static enum err_code audit_with(const struct cli *cli, json_t *pods, struct err *e)
{
	AUTO(policy_set_free) struct policy_set *set = NULL;
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(audit_free) struct audit *a = NULL;
	AUTO_BUF struct buf remarks = buf_init(REMARKS_MAX);
	struct audit_report report = { .rule_count = 0 };
	struct policy_config config;
	bool on[ON_COUNT_] = { false }, chosen = false;

	if (read_findings(cli, on, e) != ERR_OK || read_set(cli, pods, &set, e) != ERR_OK ||
	    policy_config_read(cli, &config, e) != ERR_OK ||
	    flow_dict_new(RECORDED_DICT_ENTRIES, &dict, e) != ERR_OK ||
	    audit_new(set, dict, &a, e) != ERR_OK)
		return e->code;
	know_pods(pods, config.meaning, dict);
	if (read_flows(cli, a, dict, &remarks, &chosen, e) != ERR_OK)
		return e->code;
	(void)buf_cstr(&remarks); /* a text in the report, too */
	struct audited said = { set, &report, buf_str(&remarks), chosen };
	if (print(cli, a, &said, &report, e) != ERR_OK)
		return e->code;
	return judge(&report, on, e);
}

static enum err_code run_audit(struct cli *cli, struct err *e)
{
	json_t *pods = json_array();

	if (!pods)
		return err_set(e, ERR_NOMEM, "policies");
	enum err_code code = audit_with(cli, pods, e);
	json_decref(pods);
	return code;
}

static const struct flag_def audit_defs[] = {
	RECORDED_FLAGS,
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_CHOICE,
	  .def = "compact",
	  .placeholder = "FORMAT",
	  .values = "compact json",
	  .help = "Output format: compact, json (one object a line, the summary last)" },
	{ .name = "fail-on",
	  .type = FLAG_STRING_SLICE,
	  .placeholder = "WHAT",
	  .values = "unused wide open default changed any",
	  .help = "Exit status 1 where one of these was found: unused, wide, open, default, "
		  "changed, or any; repeatable, or with commas" },
};
static const struct flag_set audit_flags = { "Audit", audit_defs, ARRAY_LEN(audit_defs) };
static const struct flag_set *const audit_sets[] = { &audit_flags, &policy_flags, &filter_flags,
						     &raw_filter_flags };

const struct command policy_audit_command = {
	.name = "audit",
	.words = "PATH…",
	.help = "Say which rules were not used, are too wide, and what is not covered",
	.details =
		"Puts policies from files or folders beside recorded flows, of a server or a file, "
		"and says, the most pressing first: workloads that no policy selects in a "
		"direction, and what flowed there; traffic that no rule allows and nobody denies; "
		"rules that no flow used; of rules that were used, the ports and peers that never "
		"were, and ranges, blocks and selectors that allow much more than was seen. A "
		"rule that asks for what nobody told (names of ports without Pods, say) is not "
		"called unused. Each rule of -o json has a line of its own.\n"
		"\n"
		"Where a flow names the policies that decided it, it counts for these; else the "
		"policies are evaluated for it, with the labels that it carries. What was not in "
		"the record is not known to be unused: ask for as long as the rarest of jobs "
		"takes to run, and heed what is said of gaps. Where the policies decide otherwise "
		"than it was recorded, tycho policy preview says more.",
	.examples = "  kubectl get netpol,ns,pods,svc -A -o json > now.json\n"
		    "  tycho policy audit now.json --since 30d\n"
		    "  tycho policy audit policies/ --input-file flows.json -o json --fail-on "
		    "open,wide",
	.sets = audit_sets,
	.set_count = ARRAY_LEN(audit_sets),
	.uses_server = true,
	.run = run_audit,
};
