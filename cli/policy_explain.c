/* tycho policy explain - what the policies decide for one connection, and by which rules. */
#include <netinet/in.h>
#include <stdio.h>

#include "base/buf.h"
#include "cli/policy.h"
#include "cli/report.h"
#include "flow/json.h"

enum { OUTPUT_MAX = 1 << 20 };

/* --- the objects ------------------------------------------------------------------------------ */

struct reading {
	struct policy_builder *builder;
	struct policy_world *world;
};

static enum err_code read_file(void *ctx, const char *path, struct str text, struct err *e)
{
	struct reading *r = ctx;
	json_t *documents = NULL, *one;
	size_t i;

	if (policy_yaml(text, &documents, e) != ERR_OK)
		return err_in(e, "%s", path);
	enum err_code code = ERR_OK;
	json_array_foreach(documents, i, one)
	{
		if (json_is_null(one))
			continue;
		policy_keep(r->world->pods, "Pod", one);
		policy_keep(r->world->services, "Service", one);
		code = policy_builder_add(r->builder, one, e);
		if (code != ERR_OK) {
			code = json_array_size(documents) > 1
				       ? err_in(e, "%s: document %zu", path, i + 1)
				       : err_in(e, "%s", path);
			break;
		}
	}
	json_decref(documents);
	return code;
}

static enum err_code read_world(struct cli *cli, struct policy_world *w, struct err *e)
{
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	struct policy_config config;

	w->pods = json_array();
	w->services = json_array();
	if (!w->pods || !w->services)
		return err_set(e, ERR_NOMEM, "policies");
	enum err_code code = policy_config_read(cli, &config, e);
	if (code == ERR_OK)
		code = policy_builder_new(&config, &b, e);
	if (code == ERR_OK)
		w->meaning = config.meaning;
	struct reading r = { b, w };
	for (size_t i = 0; code == ERR_OK && i < flags_word_count(cli->flags); i++)
		code = policy_path_each(flags_word(cli->flags, i), read_file, &r, e);
	if (code == ERR_OK)
		policy_say_foreign(b);
	if (code == ERR_OK)
		code = policy_builder_finish(b, &w->set, e);
	return code;
}

/* --- the question ----------------------------------------------------------------------------- */

struct question {
	struct policy_side from, to;
	uint8_t protocol;
	uint16_t port;
	char shown[32]; /* "8080/TCP" */
};

/* "8080", "8080/tcp", "icmp", "8/icmp". */
static enum err_code read_port(const char *text, struct question *q, struct err *e)
{
	static const struct {
		const char *name;
		uint8_t number;
	} protocols[] = { { "TCP", IPPROTO_TCP },
			  { "UDP", IPPROTO_UDP },
			  { "SCTP", IPPROTO_SCTP },
			  { "ICMP", IPPROTO_ICMP },
			  { "ICMPv6", IPPROTO_ICMPV6 } };
	struct str whole = str_of(text);
	size_t slash = str_find(whole, '/');
	struct str protocol = slash < whole.len ? str_from(whole, slash + 1) : STR("TCP");

	for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
		if (str_eq_nocase(protocol, str_of(protocols[i].name)) &&
		    parse_u16(str_upto(whole, slash), &q->port)) {
			q->protocol = protocols[i].number;
			(void)snprintf(q->shown, sizeof q->shown, "%u/%s", q->port,
				       protocols[i].name);
			return ERR_OK;
		}
	return err_set(e, ERR_INVALID,
		       "invalid port '%s': PORT, PORT/UDP, PORT/SCTP, TYPE/ICMP or TYPE/ICMPv6",
		       EXCERPT(str_of(text)));
}

static enum err_code read_question(struct cli *cli, const struct policy_world *w,
				   struct question *q, struct err *e)
{
	const char *from = flags_text(cli->flags, "from"), *to = flags_text(cli->flags, "to");

	if (!*from || !*to)
		return err_set(e, ERR_INVALID, "who with whom? --from END --to END --port PORT");
	if (!*flags_text(cli->flags, "port"))
		return err_set(e, ERR_INVALID, "which port? --port 8080, 53/UDP, 8/ICMP");
	enum err_code code = read_port(flags_text(cli->flags, "port"), q, e);
	if (code == ERR_OK)
		code = policy_side_read(w, from, &q->from, e);
	if (code == ERR_OK)
		code = policy_side_read(w, to, &q->to, e);
	if (code != ERR_OK)
		return code;
	const char *name;
	for (size_t i = 0; (name = flags_item(cli->flags, "to-name", i)); i++) {
		if (q->to.name_count == POLICY_END_NAMES)
			return err_set(e, ERR_INVALID, "more than %d names by --to-name",
				       POLICY_END_NAMES);
		q->to.names[q->to.name_count++] = str_of(name);
	}
	return ERR_OK;
}

/* --- the answer ------------------------------------------------------------------------------- */

struct answer {
	struct policy_answer sides[2]; /* by enum policy_direction */
	const char *lacks[2];          /* what is not known of it; NULL nothing */
	bool denied, broken;
};

static bool never_passes(const struct policy_answer *a)
{
	return str_is(a->authentication, "test-always-fail");
}

/* A rule that denies is all that it takes. */
static const char *lacks(const struct policy_set *set, const struct policy_query *q,
			 const struct policy_answer *a)
{
	return a->verdict == POLICY_DENIED ? NULL : policy_lacks(set, q, a);
}

static enum err_code ask(const struct policy_world *w, const struct question *q, struct answer *a,
			 struct err *e)
{
	AUTO(own_free) struct policy_row *from = malloc(policy_row_bytes(w->set));
	AUTO(own_free) struct policy_row *to = malloc(policy_row_bytes(w->set));

	if (!from || !to)
		return err_set(e, ERR_NOMEM, "policies");
	policy_row_fill(w->set, &q->from.end, from);
	policy_row_fill(w->set, &q->to.end, to);
	const struct policy_peer source = { from, q->from.end.ips, q->from.end.ip_count,
					    q->from.names, q->from.name_count };
	const struct policy_peer destination = { to, q->to.end.ips, q->to.end.ip_count, q->to.names,
						 q->to.name_count };
	const struct policy_query out = { POLICY_EGRESS, from, destination, q->protocol, q->port };
	const struct policy_query in = { POLICY_INGRESS, to, source, q->protocol, q->port };
	policy_ask(w->set, &out, &a->sides[POLICY_EGRESS]);
	policy_ask(w->set, &in, &a->sides[POLICY_INGRESS]);
	a->lacks[POLICY_EGRESS] = lacks(w->set, &out, &a->sides[POLICY_EGRESS]);
	a->lacks[POLICY_INGRESS] = lacks(w->set, &in, &a->sides[POLICY_INGRESS]);
	for (int i = 0; i < 2; i++) {
		a->denied |=
			policy_verdict_denies(a->sides[i].verdict) || never_passes(&a->sides[i]);
		a->broken |= a->sides[i].verdict == POLICY_BROKEN;
	}
	return ERR_OK;
}

static const char *result_of(const struct answer *a)
{
	return a->broken ? "error" : a->denied ? "denied" : "allowed";
}

static const char *words_of(enum policy_verdict verdict)
{
	switch (verdict) {
	case POLICY_NOT_ENFORCED:
		return "no policy is enforced on this end";
	case POLICY_NOT_SELECTED:
		return "allowed: no policy selects this end";
	case POLICY_ALLOWED:
		return "allowed by";
	case POLICY_DEFAULT_ALLOWED:
		return "allowed: those that select this end deny nothing by default:";
	case POLICY_LOCALHOST:
		return "allowed: the node reaches its own pods";
	case POLICY_DENIED:
		return "denied by";
	case POLICY_DEFAULT_DENIED:
		return "denied: no rule allows it, and these deny by default:";
	default:
		return "cannot be computed: ";
	}
}

/* What Cilium's agent or its datapath makes of it beyond the rules. */
static void put_more(struct buf *b, const struct policy_answer *a)
{
	if (a->verdict == POLICY_BROKEN)
		buf_printf(b, "%s for one peer and port:", policy_clash_words(a->clash));
	if (a->redirect.len)
		buf_printf(b, " (as far as the proxy for %.*s, whose rules are not evaluated)",
			   STR_FMT(a->redirect));
	if (never_passes(a))
		buf_lit(b, " (but dropped: authentication test-always-fail never succeeds)");
	else if (a->authentication.len)
		buf_lit(b, " (but dropped until both ends are authenticated)");
}

static void put_side(struct buf *b, const struct policy_world *w, const char *name,
		     const struct policy_answer *a, const char *lacking)
{
	buf_printf(b, "%-8s %s", name, words_of(a->verdict));
	put_more(b, a);
	buf_char(b, '\n');
	for (size_t i = 0; i < a->count; i++) {
		AUTO_BUF struct buf ref = buf_init(2048);
		policy_ref_put(w->set, a->by[i], &ref);
		buf_printf(b, "%-8s   ", "");
		report_text(b, buf_cstr(&ref));
		buf_char(b, '\n');
	}
	if (a->left_out)
		buf_printf(b, "%-8s   and %zu more\n", "", a->left_out);
	if (lacking)
		buf_printf(b, "%-8s not sure: %s\n", "", lacking);
}

static void put_end(struct buf *b, const struct policy_world *w, const char *name,
		    const struct policy_side *s)
{
	AUTO_BUF struct buf labels = buf_init(OUTPUT_MAX);

	policy_end_labels_put(w->set, &s->end, &labels);
	buf_printf(b, "%-8s ", name);
	report_text(b, s->shown);
	buf_lit(b, "  ");
	report_text(b, buf_cstr(&labels));
	buf_char(b, '\n');
}

static void put_text(struct buf *b, const struct policy_world *w, const struct question *q,
		     const struct answer *a)
{
	put_end(b, w, "from", &q->from);
	put_end(b, w, "to", &q->to);
	buf_printf(b, "%-8s %s\n", "port", q->shown);
	put_side(b, w, "egress", &a->sides[POLICY_EGRESS], a->lacks[POLICY_EGRESS]);
	put_side(b, w, "ingress", &a->sides[POLICY_INGRESS], a->lacks[POLICY_INGRESS]);
	buf_printf(b, "%-8s %s\n", "result", result_of(a));
}

static void put_json_side(struct buf *b, const struct policy_world *w, const char *name,
			  const struct policy_answer *a, const char *lacking)
{
	buf_printf(b, ",\"%s\":{\"verdict\":\"%s\"", name, policy_verdict_name(a->verdict));
	if (a->redirect.len) {
		buf_lit(b, ",\"proxy\":");
		json_put_string(b, a->redirect);
	}
	if (a->authentication.len) {
		buf_lit(b, ",\"authentication\":");
		json_put_string(b, a->authentication);
	}
	if (a->verdict == POLICY_BROKEN) {
		buf_lit(b, ",\"error\":");
		json_put_string(b, str_of(policy_clash_words(a->clash)));
	}
	if (lacking) {
		buf_lit(b, ",\"not_sure\":");
		json_put_string(b, str_of(lacking));
	}
	buf_lit(b, ",\"by\":[");
	for (size_t i = 0; i < a->count; i++) {
		AUTO_BUF struct buf ref = buf_init(2048);
		policy_ref_put(w->set, a->by[i], &ref);
		if (i)
			buf_char(b, ',');
		json_put_string(b, buf_str(&ref));
	}
	buf_lit(b, "]}");
}

static void put_json(struct buf *b, const struct policy_world *w, const struct question *q,
		     const struct answer *a)
{
	buf_lit(b, "{\"from\":");
	json_put_string(b, str_of(q->from.shown));
	buf_lit(b, ",\"to\":");
	json_put_string(b, str_of(q->to.shown));
	buf_printf(b, ",\"port\":\"%s\"", q->shown);
	put_json_side(b, w, "egress", &a->sides[POLICY_EGRESS], a->lacks[POLICY_EGRESS]);
	put_json_side(b, w, "ingress", &a->sides[POLICY_INGRESS], a->lacks[POLICY_INGRESS]);
	buf_printf(b, ",\"result\":\"%s\"}\n", result_of(a));
}

static enum err_code explain(struct cli *cli, struct policy_world *w, struct question *q,
			     struct err *e)
{
	const char *format = flags_text(cli->flags, "output");
	const char *expect = flags_text(cli->flags, "expect");
	AUTO_BUF struct buf out = buf_init(OUTPUT_MAX);
	struct answer a = { 0 };

	if (!flags_word_count(cli->flags))
		return err_set(
			e, ERR_INVALID,
			"which policies? tycho policy explain --from … --to … --port … PATH…");
	enum err_code code = read_world(cli, w, e);
	if (code == ERR_OK)
		code = read_question(cli, w, q, e);
	if (code == ERR_OK)
		code = ask(w, q, &a, e);
	if (code != ERR_OK)
		return code;
	if (strcmp(format, "json") == 0)
		put_json(&out, w, q, &a);
	else
		put_text(&out, w, q, &a);
	code = cli_write(buf_str(&out), e);
	if (code == ERR_OK && *expect && strcmp(expect, result_of(&a)) != 0)
		code = err_set(e, ERR_INVALID, "%s, and not %s", result_of(&a), expect);
	return code;
}

static enum err_code run_explain(struct cli *cli, struct err *e)
{
	struct policy_world w = { 0 };
	struct question q = { 0 };
	enum err_code code = explain(cli, &w, &q, e);

	policy_side_done(&q.from);
	policy_side_done(&q.to);
	policy_world_done(&w);
	return code;
}

static const struct flag_def explain_defs[] = {
	{ .name = "from",
	  .type = FLAG_STRING,
	  .placeholder = "END",
	  .help = "Who connects: NAMESPACE/POD, NAMESPACE:KEY=VALUE,…, an address, host, "
		  "remote-node, kube-apiserver, …" },
	{ .name = "to", .type = FLAG_STRING, .placeholder = "END", .help = "To whom, likewise" },
	{ .name = "port",
	  .type = FLAG_STRING,
	  .placeholder = "PORT",
	  .help = "Destination port, as 8080, 53/UDP; type of ICMP as 8/ICMP" },
	{ .name = "to-name",
	  .type = FLAG_STRING_ARRAY,
	  .placeholder = "NAME",
	  .help = "DNS name of the destination's address; repeatable" },
	{ .name = "expect",
	  .type = FLAG_CHOICE,
	  .placeholder = "RESULT",
	  .values = "allowed denied",
	  .help = "Fail unless the result is this: allowed, denied" },
};
static const struct flag_set explain_flags = { "Connection", explain_defs,
					       ARRAY_LEN(explain_defs) };
static const struct flag_set *const explain_sets[] = { &explain_flags, &policy_output_flags,
						       &policy_flags };

const struct command policy_explain_command = {
	.name = "explain",
	.words = "PATH…",
	.help = "Say what policies decide for a connection, and by which rules",
	.details =
		"Reads policies, and the Pods, Namespaces and Services they refer to, from files "
		"or folders, and evaluates them for one connection as Cilium does: at the "
		"source (egress) and at the destination (ingress), with every rule that "
		"allows or denies it. The destination is the one after service translation: "
		"a backend, not a service's address. With --expect the exit status is 1 when "
		"the result is another one, for tests of policies.",
	.examples = "  tycho policy explain --from shop/web-0 --to shop/db-0 --port 5432 now.json\n"
		    "  tycho policy explain --from shop:app=web --to 192.0.2.7 --to-name "
		    "api.example \\\n"
		    "    --port 443 --expect allowed policies/",
	.sets = explain_sets,
	.set_count = ARRAY_LEN(explain_sets),
	.run = run_explain,
};
