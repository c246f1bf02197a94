/*
 * tycho policy preview - what would recorded flows meet if policies from files were in force?
 *
 *	--now files ─┬────────────────► before ─┐
 *	             └─► with --file ─► after ──┴─► struct preview ◄── flows of a range, or a file
 *
 * Without --now the policies of --file are all there are, and the record says what was before.
 */
#include <netinet/in.h>
#include <stdio.h>

#include "cli/policy.h"
#include "cli/preview.h"
#include "cli/recorded.h"
#include "cli/report.h"
#include "flow/dict.h"
#include "flow/json.h"
#include "flow/text_table.h"
#include "policy/flow.h"

enum { OUTPUT_MAX = 256 << 20 };

/* --- policies --------------------------------------------------------------------------------- */

struct reading {
	struct policy_builder *builder;
	bool keeps_first; /* of two objects of one name */
};

static enum err_code add_object(void *ctx, const json_t *object, struct err *e)
{
	const struct reading *r = ctx;
	enum err_code code = policy_builder_add(r->builder, object, e);

	return code == ERR_EXISTS && r->keeps_first ? ERR_OK : code;
}

static enum err_code read_file(void *ctx, const char *path, struct str text, struct err *e)
{
	json_t *documents = NULL, *one;
	size_t i;
	enum err_code code = policy_yaml(text, &documents, e);

	if (code != ERR_OK)
		return err_in(e, "%s", path);
	json_array_foreach(documents, i, one)
	{
		if (code != ERR_OK || json_is_null(one))
			continue;
		code = policy_items_each(one, add_object, ctx, e);
		if (code != ERR_OK)
			code = json_array_size(documents) > 1
				       ? err_in(e, "%s: document %zu", path, i + 1)
				       : err_in(e, "%s", path);
	}
	json_decref(documents);
	return code;
}

static enum err_code read_files(const struct cli *cli, const char *flag, struct reading *r,
				struct err *e)
{
	const char *path;

	for (size_t i = 0; (path = flags_item(cli->flags, flag, i)); i++) {
		enum err_code code = policy_path_each(path, read_file, r, e);
		if (code != ERR_OK)
			return code;
	}
	return ERR_OK;
}

/* The new ones, and those of --now whose names they do not have; or the latter alone. */
static enum err_code read_set(const struct cli *cli, bool with_new, struct policy_set **ret,
			      struct err *e)
{
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	struct policy_config config;
	enum err_code code = policy_config_read(cli, &config, e);

	config.counted_labels = true; /* flows have no others */
	if (code == ERR_OK)
		code = policy_builder_new(&config, &b, e);
	struct reading r = { b, false };
	if (code == ERR_OK && with_new) {
		code = policy_builder_origin(b, STR(PREVIEW_ORIGIN_NEW), e);
		if (code == ERR_OK)
			code = read_files(cli, "file", &r, e);
		if (code == ERR_OK && !policy_builder_count(b))
			code = err_set(e, ERR_INVALID, "no policy in what --file names");
		r.keeps_first = true;
	}
	if (code != ERR_OK)
		return code;
	policy_builder_served(b, true); /* as the API server gives them */
	code = policy_builder_origin(b, STR(""), e);
	if (code == ERR_OK)
		code = read_files(cli, "now", &r, e);
	if (code == ERR_OK && with_new)
		policy_say_foreign(b);
	return code == ERR_OK ? policy_builder_finish(b, ret, e) : code;
}

/* --- flows ------------------------------------------------------------------------------------ */

static enum err_code take(void *ctx, const struct flow *flow, struct err *e)
{
	return preview_flow(ctx, flow, e);
}

static enum err_code read_flows(const struct cli *cli, struct preview *p, struct flow_dict *dict,
				struct err *e)
{
	AUTO_OBSERVE_REQUEST struct observe_request r = { 0 };
	int to = STDERR_FILENO;
	const struct recorded recorded = { dict, print_sink_fd(&to), take, p };
	bool of_server;

	if (observe_filter_check(cli->filter, e) != ERR_OK ||
	    observe_read_filters(cli, &r, e) != ERR_OK ||
	    recorded_each(cli, &r, &recorded, &of_server, e) != ERR_OK)
		return e->code;
	const struct history_range range = { r.has_since, r.has_until, r.since, r.until };
	if (of_server)
		history_remark(cli->settings, &range, HISTORY_OF_FLOWS);
	return ERR_OK;
}

/* --- the answer ------------------------------------------------------------------------------- */

static const char *direction_name(const struct preview_row *row)
{
	if (row->change == PREVIEW_UNKNOWN)
		return "";
	return row->direction == POLICY_INGRESS ? "ingress" : "egress";
}

static void put_table(struct buf *out, const struct preview_row *rows, size_t count)
{
	AUTO_BUF struct buf text = buf_init(OUTPUT_MAX);
	char tmp[24];

	buf_lit(&text, "CHANGE\tFLOWS\tSOURCE\tDESTINATION\tPORT\tAT\tBY\n");
	for (size_t i = 0; i < count; i++) {
		const struct preview_row *row = &rows[i];
		bool icmp = row->protocol == IPPROTO_ICMP || row->protocol == IPPROTO_ICMPV6;

		buf_printf(&text, "%s\t", preview_change_name(row->change));
		buf_grouped(&text, row->flows);
		buf_char(&text, '\t');
		report_cell(&text, row->source);
		buf_char(&text, '\t');
		report_cell(&text, row->destination);
		(void)snprintf(tmp, sizeof tmp, "%u/", row->port);
		buf_printf(&text, "\t%s%s\t", icmp ? "" : tmp, policy_protocol_name(row->protocol));
		report_cell(&text, str_of(direction_name(row)));
		buf_char(&text, '\t');
		report_cell(&text, row->why.len ? row->why : STR("no policy"));
		buf_char(&text, '\n');
	}
	if (count && !text_table_put(out, buf_str(&text)))
		out->failed = true;
	out->failed |= text.failed;
}

static void put_member(struct buf *b, const char *key, struct str text)
{
	buf_printf(b, ",\"%s\":", key);
	json_put_string(b, text);
}

static void put_by(struct buf *b, struct str why)
{
	size_t n = 0;

	buf_lit(b, ",\"by\":[");
	while (why.len) {
		const char *end = memmem(why.p, why.len, ", ", 2);
		struct str one = end ? str_upto(why, (size_t)(end - why.p)) : why;

		if (n++)
			buf_char(b, ',');
		json_put_string(b, one);
		why = end ? str_from(why, one.len + 2) : STR("");
	}
	buf_char(b, ']');
}

static void put_json(struct buf *b, const struct preview_row *rows, size_t count,
		     const struct preview_counts *c)
{
	for (size_t i = 0; i < count; i++) {
		const struct preview_row *row = &rows[i];

		buf_printf(b, "{\"change\":\"%s\",\"flows\":%llu", preview_change_name(row->change),
			   (unsigned long long)row->flows);
		put_member(b, "source", row->source);
		put_member(b, "destination", row->destination);
		buf_printf(b, ",\"port\":%u,\"protocol\":\"%s\"", row->port,
			   policy_protocol_name(row->protocol));
		if (row->change == PREVIEW_UNKNOWN) {
			put_member(b, "reason", row->why);
		} else {
			put_member(b, "direction", str_of(direction_name(row)));
			put_by(b, row->why);
		}
		buf_lit(b, "}\n");
	}
	buf_lit(b, "{\"summary\":{");
	for (int i = 0; i < PREVIEW_CHANGE_COUNT_; i++)
		buf_printf(b, "\"%s\":{\"flows\":%llu,\"connections\":%llu},",
			   preview_change_name((enum preview_change)i),
			   (unsigned long long)c->flows[i], (unsigned long long)c->connections[i]);
	buf_printf(b, "\"other\":%llu,\"left_out\":%llu}}\n", (unsigned long long)c->other,
		   (unsigned long long)c->left_out);
}

static void say_summary(const struct preview_counts *c)
{
	AUTO_BUF struct buf b = buf_init(4096);

	for (int i = 0; i < PREVIEW_CHANGE_COUNT_; i++) {
		static const char *const words[] = { "decided as before", "newly denied",
						     "newly allowed", "not known" };

		_Static_assert(ARRAY_LEN(words) == PREVIEW_CHANGE_COUNT_, "a change without words");
		buf_printf(&b, "%s", i ? "; " : "");
		buf_grouped(&b, c->flows[i]);
		buf_printf(&b, " %s", words[i]);
	}
	buf_lit(&b, " (flows)");
	if (c->other) {
		buf_lit(&b, "; ");
		buf_grouped(&b, c->other);
		buf_lit(&b, " that no policy decided");
	}
	(void)fprintf(stderr, "%s\n", buf_cstr(&b));
	if (c->left_out)
		(void)fprintf(stderr,
			      "incomplete: %llu flows are of connections beyond the first %d; "
			      "narrow it by filters or time\n",
			      (unsigned long long)c->left_out, PREVIEW_CONNECTIONS_MAX);
}

/* Each value of --fail-on has those before it within. */
enum { FAIL_NEVER, FAIL_DENIED, FAIL_CHANGED, FAIL_UNKNOWN };

static enum err_code judge(const struct cli *cli, const struct preview_counts *c, struct err *e)
{
	size_t on = flags_choice(cli->flags, "fail-on");
	uint64_t seen = 0;

	for (int i = 0; i < PREVIEW_CHANGE_COUNT_; i++)
		seen += c->flows[i];
	if (on >= FAIL_DENIED && !seen)
		return err_set(e, ERR_INVALID, "no flow to judge by: nothing is shown by this");
	if (on >= FAIL_DENIED && seen == c->flows[PREVIEW_UNKNOWN])
		return err_set(e, ERR_INVALID,
			       "no flow to judge by: of none is it known what would be decided");
	if (on >= FAIL_DENIED && c->flows[PREVIEW_DENIED])
		return err_set(e, ERR_INVALID, "flows that passed would be denied");
	if (on >= FAIL_CHANGED && c->flows[PREVIEW_ALLOWED])
		return err_set(e, ERR_INVALID, "flows that were denied would be allowed");
	if (on >= FAIL_UNKNOWN && (c->flows[PREVIEW_UNKNOWN] || c->left_out))
		return err_set(e, ERR_INVALID, "of some flows it is not known");
	return ERR_OK;
}

static enum err_code show(const struct cli *cli, const struct preview *p, struct err *e)
{
	AUTO_BUF struct buf out = buf_init(OUTPUT_MAX);
	AUTO(own_free) struct preview_row *rows = NULL;
	struct preview_counts counts;
	size_t count;

	if (preview_rows(p, &rows, &count, &counts, e) != ERR_OK)
		return e->code;
	if (strcmp(flags_text(cli->flags, "output"), "json") == 0)
		put_json(&out, rows, count, &counts);
	else
		put_table(&out, rows, count);
	if (out.failed)
		return err_set(e, ERR_NOMEM, "more than %d bytes to say", OUTPUT_MAX);
	if (cli_write(buf_str(&out), e) != ERR_OK)
		return e->code;
	say_summary(&counts);
	return judge(cli, &counts, e);
}

static enum err_code run_preview(struct cli *cli, struct err *e)
{
	AUTO(policy_set_free) struct policy_set *after = NULL;
	AUTO(policy_set_free) struct policy_set *before = NULL;
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(preview_free) struct preview *p = NULL;

	if (!flags_item(cli->flags, "file", 0))
		return err_set(e, ERR_INVALID,
			       "which policies? tycho policy preview --file PATH [--now PATH]");
	bool knows_before = flags_item(cli->flags, "now", 0);
	if (read_set(cli, true, &after, e) != ERR_OK ||
	    (knows_before && read_set(cli, false, &before, e) != ERR_OK) ||
	    flow_dict_new(RECORDED_DICT_ENTRIES, &dict, e) != ERR_OK ||
	    preview_new(after, before, dict, &p, e) != ERR_OK)
		return e->code;
	enum err_code code = read_flows(cli, p, dict, e);
	return code == ERR_OK ? show(cli, p, e) : code;
}

static const struct flag_def preview_defs[] = {
	{ .name = "file",
	  .short_ = 'f',
	  .type = FLAG_STRING_ARRAY,
	  .placeholder = "PATH",
	  .help = "Policies to be put in force, and what they refer to: a file or folder; "
		  "repeatable" },
	{ .name = "now",
	  .type = FLAG_STRING_ARRAY,
	  .placeholder = "PATH",
	  .help = "What is in force now, as kubectl get gives it: the new policies are added to "
		  "it, "
		  "in place of those of the same names. Without it they are all there are" },
	RECORDED_FLAGS,
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_CHOICE,
	  .def = "table",
	  .placeholder = "FORMAT",
	  .values = "table json",
	  .help = "Output format: table, json (one object a line, the summary last)" },
	{ .name = "fail-on",
	  .type = FLAG_CHOICE,
	  .def = "denied",
	  .placeholder = "WHAT",
	  .values = "never denied changed unknown",
	  .help = "Exit status 1 for: newly denied flows (or none to judge by), any change, or "
		  "also "
		  "for flows of which it is not known" },
};
static const struct flag_set preview_flags = { "Preview", preview_defs, ARRAY_LEN(preview_defs) };
static const struct flag_set *const preview_sets[] = { &preview_flags, &policy_flags, &filter_flags,
						       &raw_filter_flags };

const struct command policy_preview_command = {
	.name = "preview",
	.help = "Say what policies would change for recorded flows",
	.details =
		"Puts recorded flows, of a server or a file, to policies that are not in force "
		"yet, "
		"and shows what would be decided differently: connections newly denied, newly "
		"allowed, and those of which not enough is known to say. A connection is decided "
		"at both of its ends, and once for all of its flows; replies belong to it.\n"
		"\n"
		"Without --now the policies of --file are taken for all there are. With it they "
		"are "
		"added, as kubectl apply would: what the policies of --now do not decide as it was "
		"recorded is not known. Labels are those that the flows carry; Namespaces, Pods "
		"(for names of ports) and Services among the files are used.",
	.examples =
		"  kubectl get netpol,ns,pods -A -o json > now.json\n"
		"  tycho policy preview -f new.yaml --now now.json --since 24h\n"
		"\n"
		"  # In a pipeline: fails if flows of shop would be denied, or are not known\n"
		"  tycho policy preview -f policies/ --namespace shop --fail-on unknown -o json",
	.sets = preview_sets,
	.set_count = ARRAY_LEN(preview_sets),
	.uses_server = true,
	.run = run_preview,
};
