/*
 * tycho policy - network policies from files: are they good, and what do they say?
 *
 * check: each object of each file by itself, so that one mistake does not hide the next.
 */
#include <stdio.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/map.h"
#include "cli/file.h"
#include "cli/policy.h"
#include "cli/report.h"
#include "flow/json.h"

enum { OUTPUT_MAX = 64 << 20 };

struct check {
	struct policy_builder *builder;
	const char *path;         /* of the file, while it is read */
	size_t document, item;    /* in it, from 1 and from 0 */
	bool has_more, is_a_list; /* documents than one; items */
	json_t *pods;             /* those among the objects */
	enum policy_meaning meaning;
	struct buf out;
	bool json;
	unsigned refused, conflicts;
};

static void put_member(struct buf *b, const char *key, struct str text)
{
	if (!text.len)
		return;
	buf_printf(b, "%s\"%s\":", b->p[b->len - 1] == '{' ? "" : ",", key);
	json_put_string(b, text);
}

/* @document 0: no object of the file, but its text. */
static void say_refused(struct check *c, size_t document, const char *what)
{
	c->refused++;
	if (c->json) {
		buf_char(&c->out, '{');
		put_member(&c->out, "result", STR("refused"));
		put_member(&c->out, "file", str_of(c->path));
		if (document)
			buf_printf(&c->out, ",\"document\":%zu", document);
		if (document && c->is_a_list)
			buf_printf(&c->out, ",\"item\":%zu", c->item);
		put_member(&c->out, "error", str_of(what));
		buf_lit(&c->out, "}\n");
		return;
	}
	buf_lit(&c->out, "refused  ");
	report_text(&c->out, c->path);
	buf_lit(&c->out, ": ");
	if (document && c->has_more)
		buf_printf(&c->out, "document %zu: ", document);
	if (document && c->is_a_list)
		buf_printf(&c->out, "items[%zu]: ", c->item);
	report_text(&c->out, what);
	buf_char(&c->out, '\n');
}

/* An object, or an item of a List: whatever is wrong with it, the next one is looked at, too. */
static enum err_code check_object(void *ctx, const json_t *object, struct err *e)
{
	struct check *c = ctx;

	if (policy_builder_add(c->builder, object, e) != ERR_OK)
		say_refused(c, c->document, e->msg);
	c->item++;
	return ERR_OK;
}

static enum err_code check_file(void *ctx, const char *path, struct str text, struct err *e)
{
	struct check *c = ctx;
	json_t *documents = NULL, *one;
	enum err_code code = ERR_OK;
	struct err mine;
	size_t i;

	c->path = path;
	if (policy_yaml(text, &documents, &mine) != ERR_OK) {
		say_refused(c, 0, mine.msg);
		return ERR_OK;
	}
	c->has_more = json_array_size(documents) > 1;
	json_array_foreach(documents, i, one)
	{
		if (json_is_null(one) || code != ERR_OK)
			continue;
		policy_keep(c->pods, "Pod", one);
		c->document = i + 1;
		c->item = 0;
		c->is_a_list = json_is_array(json_object_get(one, "items"));
		code = policy_items_each(one, check_object, c, e);
	}
	json_decref(documents);
	return code;
}

/* How many pods there are, how many of them each policy selects, and of each two rules that contradict
 * each other, both. */
struct selected {
	size_t pods, *by_policy, *by_conflict;
	struct map *by_namespace; /* pods of it */
};

static void selected_done(struct selected *s)
{
	free(s->by_policy);
	free(s->by_conflict);
	map_free(s->by_namespace);
}

static enum err_code count_namespace(struct selected *to, struct str namespace_, struct err *e)
{
	uint32_t n = 0;

	(void)map_get(to->by_namespace, namespace_, &n); /* 0 if it is not there */
	return map_put(to->by_namespace, namespace_, n + 1, NULL, e);
}

static enum err_code count_selected(const struct check *c, const struct policy_set *set,
				    struct selected *to, struct err *e)
{
	AUTO(own_free) struct policy_row *row = malloc(policy_row_bytes(set));
	uint64_t seed;
	size_t i;
	json_t *pod;

	to->by_policy = calloc(policy_set_count(set) + 1, sizeof *to->by_policy);
	to->by_conflict = calloc(policy_set_conflict_count(set) + 1, sizeof *to->by_conflict);
	if (!row || !to->by_policy || !to->by_conflict)
		return err_set(e, ERR_NOMEM, "policies");
	if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
		return err_os(e, "random seed");
	if (map_new(POLICY_OBJECTS_MAX, seed, &to->by_namespace, e) != ERR_OK)
		return e->code;
	json_array_foreach(c->pods, i, pod)
	{
		struct policy_side side;
		enum err_code code;

		if (!policy_pod_counts(pod) ||
		    policy_side_of_pod(pod, c->meaning, &side, NULL) != ERR_OK)
			continue;
		to->pods++;
		policy_row_fill(set, &side.end, row);
		policy_row_count_selected(set, row, to->by_policy);
		for (size_t j = 0; j < policy_set_conflict_count(set); j++)
			to->by_conflict[j] += policy_row_has_conflict(set, row, j);
		code = count_namespace(to, side.end.namespace_, e);
		policy_side_done(&side);
		if (code != ERR_OK)
			return code;
	}
	return ERR_OK;
}

static void put_policy(struct check *c, const struct policy_set *set, uint32_t policy, size_t n,
		       size_t of)
{
	AUTO_BUF struct buf key = buf_init(2048);
	bool in, out, pods = json_array_size(c->pods) > 0;

	policy_key_put(set, policy, &key);
	policy_set_default_deny(set, policy, &in, &out);
	const char *closes = in && out ? "ingress and egress"
			     : in      ? "ingress"
			     : out     ? "egress"
				       : "nothing";
	if (c->json) {
		buf_char(&c->out, '{');
		put_member(&c->out, "result", STR("ok"));
		put_member(&c->out, "policy", buf_str(&key));
		buf_printf(&c->out, ",\"default_deny_ingress\":%s,\"default_deny_egress\":%s",
			   in ? "true" : "false", out ? "true" : "false");
		if (pods)
			buf_printf(&c->out, ",\"selected_pods\":%zu", n);
		buf_lit(&c->out, "}\n");
		return;
	}
	buf_lit(&c->out, "ok       ");
	report_text(&c->out, buf_cstr(&key));
	buf_printf(&c->out, ": denies %s by default", closes);
	if (policy_set_is_of_nodes(set, policy))
		buf_lit(&c->out, "; selects nodes, which are not evaluated");
	else if (pods)
		buf_printf(&c->out, "; selects %zu of %zu pods", n, of);
	buf_char(&c->out, '\n');
}

static void put_warning(struct check *c, struct str policy, struct str rules[2], struct str words)
{
	if (!c->json) {
		buf_lit(&c->out, "warning  ");
		report_text(&c->out, rules[0].len ? rules[0].p : policy.p);
		if (rules[1].len) {
			buf_lit(&c->out, ", ");
			report_text(&c->out, rules[1].p);
		}
		buf_lit(&c->out, ": ");
		report_text(&c->out, words.p);
		buf_char(&c->out, '\n');
		return;
	}
	buf_char(&c->out, '{');
	put_member(&c->out, "result", STR("warning"));
	put_member(&c->out, "policy", policy);
	if (rules[0].len) {
		buf_lit(&c->out, ",\"rules\":[");
		json_put_string(&c->out, rules[0]);
		if (rules[1].len) {
			buf_char(&c->out, ',');
			json_put_string(&c->out, rules[1]);
		}
		buf_char(&c->out, ']');
	}
	put_member(&c->out, "warning", words);
	buf_lit(&c->out, "}\n");
}

struct warned {
	struct check *c;
	const struct policy_set *set;
};

static void warn(void *ctx, const struct policy_warning *w)
{
	const struct warned *of = ctx;
	AUTO_BUF struct buf policy = buf_init(2048);
	AUTO_BUF struct buf one = buf_init(2048);
	AUTO_BUF struct buf other = buf_init(2048);

	policy_key_put(of->set, w->rules[0].policy, &policy);
	if (w->rules[0].rule != POLICY_NO_RULE)
		policy_ref_put(of->set, w->rules[0], &one);
	if (w->rule_count > 1)
		policy_ref_put(of->set, w->rules[1], &other);
	struct str rules[] = { str_of(buf_cstr(&one)), str_of(buf_cstr(&other)) };
	put_warning(of->c, str_of(buf_cstr(&policy)), rules, str_of(policy_warning_words(w)));
}

/* Labels that no pod has are a typing mistake, if there are pods that could have them. */
static void warn_selects_none(struct check *c, const struct policy_set *set, uint32_t policy,
			      const struct selected *s)
{
	const struct policy_info *info = policy_set_info(set, policy);
	AUTO_BUF struct buf key = buf_init(2048);
	AUTO_BUF struct buf words = buf_init(256);
	struct str rules[2] = { 0 };
	uint32_t of = (uint32_t)s->pods;

	if (info->namespace_.len && !map_get(s->by_namespace, info->namespace_, &of))
		return;
	if (!of || s->by_policy[policy] || policy_set_is_of_nodes(set, policy) ||
	    !policy_set_asks_labels(set, policy))
		return;
	policy_key_put(set, policy, &key);
	if (of == 1)
		buf_lit(&words, "the only pod");
	else
		buf_printf(&words, "none of the %u pods", of);
	if (info->namespace_.len)
		buf_lit(&words, " of its namespace");
	buf_printf(&words, " %s the labels that it selects", of == 1 ? "does not have" : "has");
	put_warning(c, str_of(buf_cstr(&key)), rules, str_of(buf_cstr(&words)));
}

static bool is_same_ref(const struct policy_ref *a, const struct policy_ref *b)
{
	return a->policy == b->policy && a->spec == b->spec && a->section == b->section &&
	       a->rule == b->rule;
}

/* Two rules contradict each other at several ports, and of several peers: told once. */
static bool is_told(const struct policy_set *set, size_t i, const struct policy_conflict *one)
{
	for (size_t j = 0; j < i; j++) {
		struct policy_conflict other;

		policy_set_conflict(set, j, &other);
		if (other.clash == one->clash && is_same_ref(&other.rules[0], &one->rules[0]) &&
		    is_same_ref(&other.rules[1], &one->rules[1]))
			return true;
	}
	return false;
}

/* What the two ask for, and what becomes of it. */
static void put_clash(struct buf *b, const struct policy_conflict *conflict)
{
	buf_printf(b,
		   "%s (%.*s, %.*s) for one peer and port: ", policy_clash_words(conflict->clash),
		   STR_FMT(conflict->asked[0]), STR_FMT(conflict->asked[1]));
	buf_lit(b, "Cilium computes no policy for pods that both select");
}

static void put_conflict(struct check *c, const struct policy_set *set,
			 const struct policy_conflict *conflict, size_t n, size_t of)
{
	AUTO_BUF struct buf one = buf_init(2048);
	AUTO_BUF struct buf other = buf_init(2048);
	AUTO_BUF struct buf clash = buf_init(OUTPUT_MAX);

	c->conflicts++;
	policy_ref_put(set, conflict->rules[0], &one);
	policy_ref_put(set, conflict->rules[1], &other);
	put_clash(&clash, conflict);
	if (c->json) {
		buf_lit(&c->out, "{\"result\":\"conflict\",\"rules\":[");
		json_put_string(&c->out, buf_str(&one));
		buf_char(&c->out, ',');
		json_put_string(&c->out, buf_str(&other));
		buf_char(&c->out, ']');
		put_member(&c->out, "error", buf_str(&clash));
		if (of)
			buf_printf(&c->out, ",\"selected_pods\":%zu", n);
		buf_lit(&c->out, "}\n");
		return;
	}
	buf_lit(&c->out, "conflict ");
	report_text(&c->out, buf_cstr(&one));
	buf_lit(&c->out, ", ");
	report_text(&c->out, buf_cstr(&other));
	buf_lit(&c->out, ": ");
	report_text(&c->out, buf_cstr(&clash));
	if (of)
		buf_printf(&c->out, " (%zu of %zu pods)", n, of);
	buf_char(&c->out, '\n');
}

/* What may never meet is not told: rules of which nobody knows one pod that both select. */
static void put_conflicts(struct check *c, const struct policy_set *set, const struct selected *s)
{
	for (size_t i = 0; i < policy_set_conflict_count(set); i++) {
		struct policy_conflict conflict;

		policy_set_conflict(set, i, &conflict);
		bool meet = conflict.same_subject ||
			    (s->pods ? s->by_conflict[i] > 0 : !conflict.apart);
		if (meet && !policy_set_is_of_nodes(set, conflict.rules[0].policy) &&
		    !is_told(set, i, &conflict))
			put_conflict(c, set, &conflict, s->by_conflict[i], s->pods);
	}
}

static enum err_code put_policies(struct check *c, struct err *e)
{
	AUTO(policy_set_free) struct policy_set *set = NULL;
	enum err_code code = policy_builder_finish(c->builder, &set, e);

	if (code != ERR_OK)
		return code;
	struct selected s = { 0 };
	code = count_selected(c, set, &s, e);
	for (uint32_t i = 0; code == ERR_OK && i < policy_set_count(set); i++) {
		put_policy(c, set, i, s.by_policy[i], s.pods);
		warn_selects_none(c, set, i, &s);
		policy_set_warn(set, i, warn, &(struct warned){ c, set });
	}
	if (code == ERR_OK)
		put_conflicts(c, set, &s);
	selected_done(&s);
	return code;
}

static enum err_code check_paths(struct cli *cli, struct check *c, struct err *e)
{
	for (size_t i = 0; i < flags_word_count(cli->flags); i++) {
		enum err_code code = policy_path_each(flags_word(cli->flags, i), check_file, c, e);
		if (code != ERR_OK)
			return code;
	}
	policy_say_foreign(c->builder);
	bool none = !policy_builder_count(c->builder);
	enum err_code code = put_policies(c, e);
	if (code == ERR_OK && c->out.failed)
		code = err_set(e, ERR_NOMEM, "more than %d bytes to say", OUTPUT_MAX);
	if (code == ERR_OK)
		code = cli_write(buf_str(&c->out), e);
	if (code == ERR_OK && c->refused && c->conflicts)
		code = err_set(e, ERR_INVALID, "%u refused, %u in conflict", c->refused,
			       c->conflicts);
	else if (code == ERR_OK && c->refused)
		code = err_set(e, ERR_INVALID, "%u refused", c->refused);
	else if (code == ERR_OK && c->conflicts)
		code = err_set(e, ERR_INVALID, "%u in conflict", c->conflicts);
	else if (code == ERR_OK && none)
		code = err_set(e, ERR_INVALID, "no policy in what was read");
	return code;
}

void policy_say_foreign(const struct policy_builder *b)
{
	const char *first;
	size_t n = policy_builder_foreign(b, &first);
	AUTO_BUF struct buf text = buf_init(SIZE_MAX);

	if (n == 1)
		buf_printf(&text, "a policy of another kind is not read, and may decide, too: %s\n",
			   first);
	else if (n)
		buf_printf(&text,
			   "%zu policies of other kinds are not read, and may decide, too: %s, …\n",
			   n, first);
	cli_say(buf_str(&text));
}

enum err_code policy_config_read(const struct cli *cli, struct policy_config *ret, struct err *e)
{
	const char *meaning = flags_text(cli->flags, "meaning");
	struct policy_config config = { .cluster = flags_text(cli->flags, "policy-cluster"),
					.skip_other_kinds = true };

	if (!policy_meaning_parse(str_of(meaning), &config.meaning))
		return err_set(e, ERR_INTERNAL, "--meaning %s", meaning); /* a value of the flag */
	*ret = config;
	return ERR_OK;
}

static enum err_code run_check(struct cli *cli, struct err *e)
{
	struct policy_config config;
	struct check c = { .json = strcmp(flags_text(cli->flags, "output"), "json") == 0 };

	if (!flags_word_count(cli->flags))
		return err_set(e, ERR_INVALID, "which files? tycho policy check PATH…");
	enum err_code code = policy_config_read(cli, &config, e);
	if (code == ERR_OK)
		code = policy_builder_new(&config, &c.builder, e);
	if (code != ERR_OK)
		return code;
	c.meaning = config.meaning;
	c.out = buf_init(OUTPUT_MAX);
	c.pods = json_array();
	code = c.pods ? check_paths(cli, &c, e) : err_set(e, ERR_NOMEM, "policies");
	json_decref(c.pods);
	buf_done(&c.out);
	policy_builder_free(c.builder);
	return code;
}

static const struct flag_def output_defs[] = {
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_CHOICE,
	  .def = "compact",
	  .placeholder = "FORMAT",
	  .values = "compact json",
	  .help = "Output format: compact, json" },
};
const struct flag_set policy_output_flags = { "Output", output_defs, ARRAY_LEN(output_defs) };

static const struct flag_def policy_defs[] = {
	{ .name = "meaning",
	  .type = FLAG_CHOICE,
	  .def = "cilium",
	  .placeholder = "WHOSE",
	  .values = "cilium kubernetes",
	  .help = "What a NetworkPolicy means: cilium, or kubernetes for other CNIs" },
	{ .name = "policy-cluster",
	  .type = FLAG_STRING,
	  .def = "default",
	  .placeholder = "NAME",
	  .help = "Name of the local cluster" },
};
const struct flag_set policy_flags = { "Policies", policy_defs, ARRAY_LEN(policy_defs) };

static const struct flag_set *const check_sets[] = { &policy_output_flags, &policy_flags };

static const struct command policy_check_command = {
	.name = "check",
	.words = "PATH…",
	.help = "Read policies and say what is wrong with them",
	.details = "Reads NetworkPolicies, CiliumNetworkPolicies and "
		   "CiliumClusterwideNetworkPolicies from files or folders (YAML or JSON; other "
		   "kinds are skipped) and refuses what the API server or Cilium's agent would "
		   "refuse, and fields that a kind does not have: a misspelt 'port' opens all of "
		   "them. It says file, document, object and place. Of the good ones it says which "
		   "directions they close and, where Pods are among the objects, how many they "
		   "select. It warns of what is valid and hardly ever meant: peers and ports that "
		   "became two items, rules that others of the policy make pointless, labels that "
		   "no pod has, toFQDNs without a rule for DNS, … Rules of good ones that "
		   "contradict each other (two proxies for one peer and port, two secrets, two "
		   "modes of authentication) are told as conflicts: Cilium computes no policy for "
		   "pods that both select. The exit status is 1 when something was refused or is "
		   "in conflict, and when there was no policy; warnings do not change it.",
	.examples =
		"  tycho policy check policies/\n"
		"  kubectl get netpol,pods -A -o json > now.json && tycho policy check now.json",
	.sets = check_sets,
	.set_count = ARRAY_LEN(check_sets),
	.run = run_check,
};

static const struct command *const policy_children[] = {
	&policy_check_command, &policy_explain_command, &policy_preview_command,
	&policy_suggest_command, &policy_audit_command
};

const struct command policy_command = {
	.name = "policy",
	.help = "Check network policies in files, explain what they decide and would change, "
		"suggest some, and audit them",
	.details = "check and explain work on files; preview, suggest and audit ask a server for "
		   "flows, too.",
	.children = policy_children,
	.child_count = ARRAY_LEN(policy_children),
};
