/*
 * Our side of the oracle: the same questions as main.go has, of lib/policy.
 */
#include <netinet/in.h>
#include <stdio.h>

#include "policy_cluster.h"

enum { TEXT_MAX = 64 << 20, OBJECTS_MAX = 512 };

static void put(json_t *to, const char *key, json_t *value)
{
	if (json_object_set_new(to, key, value))
		abort();
}

static json_t *text(const struct buf *b)
{
	json_t *s = json_stringn(b->len ? b->p : "", b->len);

	return s ? s : json_string("?");
}

static uint8_t protocol_of(const char *s)
{
	static const struct {
		const char *name;
		uint8_t number;
	} known[] = { { "TCP", IPPROTO_TCP },
		      { "UDP", IPPROTO_UDP },
		      { "SCTP", IPPROTO_SCTP },
		      { "ICMP", IPPROTO_ICMP },
		      { "ICMPv6", IPPROTO_ICMPV6 },
		      { "VRRP", 112 },
		      { "IGMP", 2 } };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(s, known[i].name) == 0)
			return known[i].number;
	return 0;
}

/* --- one connection ----------------------------------------------------------------------------- */

static struct policy_row *row_of(const struct policy_set *set, const struct cluster_end *e)
{
	struct policy_row *row = malloc(policy_row_bytes(set));

	if (!row)
		abort();
	policy_row_fill(set, &e->end, row);
	return row;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static json_t *by_of(const struct policy_set *set, const struct policy_answer *a)
{
	char *texts[POLICY_BY_MAX];
	json_t *list = json_array();

	for (size_t i = 0; i < a->count; i++) {
		AUTO_BUF struct buf one = buf_init(4096);
		policy_ref_put(set, a->by[i], &one);
		texts[i] = strdup(buf_cstr(&one));
	}
	qsort(texts, a->count, sizeof *texts, compare_texts);
	for (size_t i = 0; i < a->count; i++) {
		json_array_append_new(list, json_string(texts[i]));
		free(texts[i]);
	}
	return list;
}

static json_t *side_of(const struct policy_set *set, const struct policy_query *q)
{
	struct policy_answer a;
	json_t *side = json_object();

	policy_ask(set, q, &a);
	put(side, "verdict", json_string(policy_verdict_name(a.verdict)));
	if (a.redirect.len)
		put(side, "redirect", json_stringn(a.redirect.p, a.redirect.len));
	if (a.verdict == POLICY_BROKEN)
		put(side, "error", json_string(policy_clash_words(a.clash)));
	if (a.count)
		put(side, a.verdict == POLICY_BROKEN ? "rules" : "by", by_of(set, &a));
	if (a.authentication.len)
		put(side, "auth", json_stringn(a.authentication.p, a.authentication.len));
	return side;
}

static json_t *answer_connection(struct cluster *c, const struct policy_set *set, const json_t *one)
{
	const struct cluster_end *src =
		cluster_end_of(c, json_string_value(json_array_get(one, 0)));
	const struct cluster_end *dst =
		cluster_end_of(c, json_string_value(json_array_get(one, 1)));
	struct policy_row *from = row_of(set, src), *to = row_of(set, dst);
	struct policy_query q = {
		.direction = POLICY_EGRESS,
		.subject = from,
		.peer = { to, dst->end.ips, dst->end.ip_count, dst->names, dst->name_count },
		.protocol = protocol_of(json_string_value(json_array_get(one, 2))),
		.port = (uint16_t)json_integer_value(json_array_get(one, 3)),
	};
	json_t *sides = json_array();

	json_array_append_new(sides, side_of(set, &q));
	q.direction = POLICY_INGRESS;
	q.subject = to;
	q.peer = (struct policy_peer){ from, src->end.ips, src->end.ip_count, src->names,
				       src->name_count };
	json_array_append_new(sides, side_of(set, &q));
	free(from);
	free(to);
	return sides;
}

/* --- a set -------------------------------------------------------------------------------------- */

/* Default deny, and the ends that a policy selects. */
static json_t *selected_of(const struct cluster *c, const struct policy_set *set, uint32_t policy)
{
	AUTO_BUF struct buf deny = buf_init(64), ends = buf_init(TEXT_MAX);
	char *names[CLUSTER_ENDS_MAX];
	size_t *counts = calloc(policy_set_count(set), sizeof *counts), n = 0;
	bool in, out;

	policy_set_default_deny(set, policy, &in, &out);
	buf_str_put(&deny, out && in ? STR("egress,ingress")
			   : out     ? STR("egress")
			   : in      ? STR("ingress")
				     : STR(""));
	for (size_t i = 0; counts && i < c->count; i++) {
		struct policy_row *row = row_of(set, &c->ends[i]);

		counts[policy] = 0;
		policy_row_count_selected(set, row, counts);
		if (counts[policy])
			names[n++] = strdup(c->ends[i].name);
		free(row);
	}
	free(counts);
	qsort(names, n, sizeof *names, compare_texts);
	for (size_t i = 0; i < n; i++) {
		buf_printf(&ends, "%s%s", i ? "," : "", names[i]);
		free(names[i]);
	}
	json_t *both = json_array();
	json_array_append_new(both, text(&deny));
	json_array_append_new(both, text(&ends));
	return both;
}

static json_t *selects_of(const struct cluster *c, const struct policy_set *set)
{
	json_t *all = json_object();

	for (uint32_t i = 0; i < policy_set_count(set); i++) {
		AUTO_BUF struct buf key = buf_init(4096);

		policy_key_put(set, i, &key);
		put(all, buf_cstr(&key), selected_of(c, set, i));
	}
	return all;
}

static json_t *answer_set(struct cluster *c, const json_t *question)
{
	AUTO(policy_builder_free)
	struct policy_builder *b = cluster_builder(c, POLICY_AS_CILIUM);
	AUTO(policy_set_free) struct policy_set *set = NULL;
	json_t *answer = json_object(), *refused = json_array(), *sides = json_array(), *one;
	struct err e = { 0 };
	size_t i;

	json_array_foreach(json_object_get(question, "objects"), i, one)
	{
		if (policy_builder_add(b, one, &e) == ERR_OK)
			continue;
		json_t *refusal = json_object();
		put(refusal, "object", json_integer((json_int_t)i));
		put(refusal, "agent", json_string(e.msg));
		json_array_append_new(refused, refusal);
	}
	if (policy_builder_finish(b, &set, &e) != ERR_OK) {
		(void)fprintf(stderr, "%s\n", e.msg);
		exit(1);
	}
	json_array_foreach(json_object_get(question, "connections"), i, one)
		json_array_append_new(sides, answer_connection(c, set, one));
	put(answer, "refused", refused);
	put(answer, "sides", sides);
	if (json_is_true(json_object_get(question, "selects")))
		put(answer, "selects", selects_of(c, set));
	return answer;
}

/* --- the world ---------------------------------------------------------------------------------- */

static json_t *enter(struct cluster *c, json_t *world)
{
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	AUTO(policy_set_free) struct policy_set *set = NULL;
	json_t *labels = json_object(), *answer = json_object();
	struct err e;

	json_decref(c->json);
	cluster_read(c, json_incref(world));
	b = cluster_builder(c, POLICY_AS_CILIUM);
	if (policy_builder_finish(b, &set, &e) != ERR_OK)
		abort();
	for (size_t i = 0; i < c->count; i++) {
		AUTO_BUF struct buf told = buf_init(65536);

		policy_end_labels_put(set, &c->ends[i].end, &told);
		put(labels, c->ends[i].name, text(&told));
	}
	put(answer, "labels", labels);
	return answer;
}

int main(void)
{
	struct cluster *c = calloc(1, sizeof *c);
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	if (!c)
		return 1;
	while ((n = getline(&line, &room, stdin)) > 0) {
		json_error_t wrong;
		json_t *question = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, &wrong);

		if (!question) {
			(void)fprintf(stderr, "%s\n", wrong.text);
			return 2;
		}
		json_t *world = json_object_get(question, "world");
		json_t *answer = world ? enter(c, world) : answer_set(c, question);
		if (json_dumpf(answer, stdout, JSON_COMPACT) || putchar('\n') < 0 || fflush(stdout))
			return 1;
		json_decref(answer);
		json_decref(question);
	}
	json_decref(c->json);
	free(c);
	free(line);
	return 0;
}
