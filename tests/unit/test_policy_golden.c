/*
 * The recorded verdicts of Cilium's policy code (golden/policy, see its README): every connection,
 * every policy to accept or refuse, who is selected, and who has which labels.
 */
#include <dirent.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/watch.h"
#include "policy_cluster.h"
#include "recorded.h"

enum { POLICIES_MAX = 256, FIELDS_MAX = 20, TEXT_MAX = 64 << 20, WORLDS_MAX = 8, TOLD_MAX = 40 };

static struct str file_text(const char *name, struct buf *to)
{
	buf_done(to);
	*to = recorded_read("golden/policy/%s", name);
	return buf_str(to);
}

static json_t *file_yaml(const char *name)
{
	AUTO_BUF struct buf text = buf_init(TEXT_MAX);
	json_t *documents;
	struct err e;

	if (policy_yaml(file_text(name, &text), &documents, &e) != ERR_OK)
		fail_msg("%s: %s", name, e.msg);
	return documents;
}

/* --- worlds ----------------------------------------------------------------------------------- */

struct world {
	char name[32];
	struct cluster cluster;
};
static struct world worlds[WORLDS_MAX];

static struct cluster *world_of(const char *name)
{
	struct world *w = worlds;
	char path[64];

	while (*w->name && strcmp(w->name, name) != 0)
		w++;
	assert_true(w < worlds + WORLDS_MAX);
	if (*w->name)
		return &w->cluster;
	(void)snprintf(w->name, sizeof w->name, "%s", name);
	(void)snprintf(path, sizeof path, "worlds/%s.yaml", name);
	json_t *documents = file_yaml(path);
	cluster_read(&w->cluster, json_incref(json_array_get(documents, 0)));
	json_decref(documents);
	return &w->cluster;
}

/* --- sets ------------------------------------------------------------------------------------- */

static struct policy_set *set_meaning(const struct cluster *w, const char *files,
				      enum policy_meaning meaning)
{
	AUTO(policy_builder_free) struct policy_builder *b = cluster_builder(w, meaning);
	struct policy_set *set;
	struct str rest = str_of(files), file;
	struct err e;

	while (*files && str_split(&rest, ',', &file)) {
		AUTO_BUF struct buf text = buf_init(TEXT_MAX);
		char path[128];

		(void)snprintf(path, sizeof path, "policies/%.*s", STR_FMT(file));
		if (policy_builder_add_text(b, file_text(path, &text), &e) != ERR_OK)
			fail_msg("%s: %s", path, e.msg);
	}
	if (policy_builder_finish(b, &set, &e) != ERR_OK)
		fail_msg("%s: %s", files, e.msg);
	return set;
}

static struct policy_set *set_of(const struct cluster *w, const char *files)
{
	return set_meaning(w, files, POLICY_AS_CILIUM);
}

static struct policy_row *row_of(const struct policy_set *set, const struct cluster_end *e)
{
	struct policy_row *row = malloc(policy_row_bytes(set));

	assert_non_null(row);
	policy_row_fill(set, &e->end, row);
	return row;
}

/* --- tables ----------------------------------------------------------------------------------- */

struct table {
	struct buf text;
	struct str rest;
	char line[16384];
	const char *fields[FIELDS_MAX];
};

static void table_open(struct table *t, const char *name)
{
	t->text = buf_init(TEXT_MAX);
	t->rest = file_text(name, &t->text);
	struct str header;
	assert_true(str_split(&t->rest, '\n', &header));
}

static bool table_next(struct table *t)
{
	struct str line;

	if (!str_split(&t->rest, '\n', &line) || !line.len)
		return false;
	assert_true(line.len < sizeof t->line);
	memcpy(t->line, line.p, line.len);
	t->line[line.len] = 0;
	char *p = t->line;
	for (size_t i = 0; i < FIELDS_MAX; i++) {
		t->fields[i] = p ? p : "";
		p = p ? strchr(p, '\t') : NULL;
		if (p)
			*p++ = 0;
	}
	return true;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "b,a" to "a,b"; "-" for nothing. */
static void put_sorted(char *texts[], size_t n, struct buf *out)
{
	qsort(texts, n, sizeof *texts, compare_texts);
	if (!n)
		buf_char(out, '-');
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_char(out, ',');
		buf_str_put(out, str_of(texts[i]));
		free(texts[i]);
	}
}

static bool is_one_of(const char *cell, const char *text)
{
	struct str rest = str_of(cell), one;

	while (str_split(&rest, '|', &one))
		if (str_is(one, text))
			return true;
	return false;
}

/* --- cases ------------------------------------------------------------------------------------ */

static uint8_t protocol_of(const char *s)
{
	return strcmp(s, "TCP") == 0    ? IPPROTO_TCP
	       : strcmp(s, "UDP") == 0  ? IPPROTO_UDP
	       : strcmp(s, "SCTP") == 0 ? IPPROTO_SCTP
	       : strcmp(s, "ICMP") == 0 ? IPPROTO_ICMP
					: IPPROTO_ICMPV6;
}

static void put_by(const struct policy_set *set, const struct policy_answer *a, struct buf *out)
{
	char *texts[POLICY_BY_MAX];

	assert_int_equal(a->left_out, 0);
	for (size_t i = 0; i < a->count; i++) {
		AUTO_BUF struct buf one = buf_init(1024);
		policy_ref_put(set, a->by[i], &one);
		texts[i] = strdup(buf_cstr(&one));
	}
	put_sorted(texts, a->count, out);
}

static size_t told;

static void differ(const char *id, const char *what, const char *is, const char *should)
{
	if (told++ < TOLD_MAX)
		print_error("%s: %s is %s, recorded %s\n", id, what, is, should);
}

/* One end of a recorded connection: fields of verdict, redirect and rules. */
static void check_side(const struct policy_set *set, const struct table *t,
		       enum policy_direction direction, const struct policy_row *subject,
		       const struct policy_row *peer_row, const struct cluster_end *peer)
{
	size_t at = direction == POLICY_EGRESS ? 8 : 9;
	const struct policy_query q = {
		.direction = direction,
		.subject = subject,
		.peer = { peer_row, peer->end.ips, peer->end.ip_count, peer->names,
			  peer->name_count },
		.protocol = protocol_of(t->fields[6]),
		.port = (uint16_t)atoi(t->fields[7]),
	};
	struct policy_answer a;
	AUTO_BUF struct buf by = buf_init(65536);
	char redirect[64];
	const char *what = direction == POLICY_EGRESS ? "egress" : "ingress";

	policy_ask(set, &q, &a);
	put_by(set, &a, &by);
	(void)snprintf(redirect, sizeof redirect, "%.*s", STR_FMT(a.redirect));
	if (strcmp(policy_verdict_name(a.verdict), t->fields[at]) != 0)
		differ(t->fields[0], what, policy_verdict_name(a.verdict), t->fields[at]);
	else if (!is_one_of(t->fields[at + 2], *redirect ? redirect : "-"))
		differ(t->fields[0], what, redirect, t->fields[at + 2]);
	else if (a.verdict != POLICY_BROKEN && strcmp(buf_cstr(&by), t->fields[at + 4]) != 0)
		differ(t->fields[0], what, buf_cstr(&by), t->fields[at + 4]);
}

static void every_recorded_connection_gets_its_verdict(void **state)
{
	(void)state;
	struct table t;
	AUTO(policy_set_free) struct policy_set *set = NULL;
	char loaded[1024] = "";
	size_t cases = 0;

	told = 0;
	table_open(&t, "cases.tsv");
	while (table_next(&t)) {
		struct cluster *w = world_of(t.fields[2]);
		char key[1024];

		(void)snprintf(key, sizeof key, "%s %s", t.fields[2], t.fields[3]);
		if (strcmp(key, loaded) != 0) {
			policy_set_free(TAKE(set));
			set = set_of(w, strcmp(t.fields[3], "-") == 0 ? "" : t.fields[3]);
			(void)snprintf(loaded, sizeof loaded, "%s", key);
		}
		struct cluster_end *src = cluster_end_of(w, t.fields[4]),
				   *dst = cluster_end_of(w, t.fields[5]);
		struct policy_row *from = row_of(set, src), *to = row_of(set, dst);
		check_side(set, &t, POLICY_EGRESS, from, to, dst);
		check_side(set, &t, POLICY_INGRESS, to, from, src);
		free(from);
		free(to);
		cases++;
	}
	buf_done(&t.text);
	print_message("%zu connections, %zu differences\n", cases, told);
	assert_int_equal(told, 0);
	assert_true(cases > 5000);
}

/* Is the second opinion (Cyclonus) not what the specification says, or about what it leaves open?
 * That nodes reach their pods is in the documentation of NetworkPolicy; NotIn matches where the key
 * is missing (labels.Requirement); other clusters are nobody's. */
static bool is_ours_to_differ(const char *reason, const char *side)
{
	static const char *const reasons[] = { ": local host always allowed at ingress",
					       ": selectors mean the local cluster",
					       ": NotIn and a missing key (Cyclonus: no match)" };

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (strncmp(reason, side, strlen(side)) == 0 &&
		    strcmp(reason + strlen(side), reasons[i]) == 0)
			return true;
	return false;
}

/* Two lines give a block as the reason where no policy has one; NotIn in the subject is it. */
static bool has_block(const char *file)
{
	AUTO_BUF struct buf text = buf_init(TEXT_MAX);
	char path[1024];

	(void)snprintf(path, sizeof path, "policies/%.900s", file);
	if (strchr(file, ','))
		return true;
	(void)file_text(path, &text);
	return strstr(buf_cstr(&text), "ipBlock") != NULL;
}

/* NetworkPolicies by the letter of Kubernetes: fields 3, 4 of the table say what Cyclonus does. */
static void network_policies_by_the_letter_agree_with_the_second_opinion(void **state)
{
	(void)state;
	struct table cases, t;
	size_t lines = 0;

	table_open(&cases, "cases.tsv");
	table_open(&t, "networkpolicy-crosscheck.tsv");
	told = 0;
	for (; table_next(&t); lines++) {
		do /* both are in the same order */
			assert_true(table_next(&cases));
		while (strcmp(cases.fields[0], t.fields[0]) != 0);
		struct cluster *w = world_of(cases.fields[2]);
		AUTO(policy_set_free)
		struct policy_set *set = set_meaning(w, cases.fields[3], POLICY_AS_KUBERNETES);
		struct cluster_end *ends[2] = { cluster_end_of(w, cases.fields[5]),
						cluster_end_of(w, cases.fields[4]) };
		struct policy_row *rows[2] = { row_of(set, ends[0]), row_of(set, ends[1]) };

		for (int i = 0; i < 2; i++) { /* by enum policy_direction */
			const char *side = i == POLICY_EGRESS ? "egress" : "ingress";
			size_t at = i == POLICY_EGRESS ? 0 : 1;
			const struct cluster_end *peer = ends[!i];
			const struct policy_query q = { (enum policy_direction)i,
							rows[i],
							{ rows[!i], peer->end.ips,
							  peer->end.ip_count, NULL, 0 },
							protocol_of(cases.fields[6]),
							(uint16_t)atoi(cases.fields[7]) };
			struct policy_answer a;
			policy_ask(set, &q, &a);
			const char *is = policy_verdict_denies(a.verdict)   ? "denied"
					 : a.verdict == POLICY_NOT_ENFORCED ? "n/a"
									    : "allowed";
			bool ours = is_ours_to_differ(t.fields[6], side) ||
				    (strstr(t.fields[6], "ipBlock") && !has_block(cases.fields[3]));
			const char *should = ours ? t.fields[1 + at] : t.fields[3 + at];
			if (strncmp(should, is, strlen(is)) != 0)
				differ(t.fields[0], side, is, should);
		}
		free(rows[0]);
		free(rows[1]);
	}
	buf_done(&t.text);
	buf_done(&cases.text);
	assert_int_equal(told, 0);
	assert_true(lines > 1400);
}

/* --- who is selected -------------------------------------------------------------------------- */

static void check_selected(const struct table *t)
{
	struct cluster *w = world_of(t->fields[1]);
	AUTO(policy_set_free) struct policy_set *set = set_of(w, t->fields[2]);
	AUTO_BUF struct buf key = buf_init(1024), deny = buf_init(64), ends = buf_init(65536);
	char *names[CLUSTER_ENDS_MAX];
	size_t n = 0;
	uint32_t policy = 0;
	bool in, out;

	for (;; policy++) {
		assert_true(policy < policy_set_count(set));
		buf_reset(&key);
		policy_key_put(set, policy, &key);
		if (strcmp(buf_cstr(&key), t->fields[3]) == 0)
			break;
	}
	policy_set_default_deny(set, policy, &in, &out);
	buf_str_put(&deny, out && in ? STR("egress,ingress")
			   : out     ? STR("egress")
			   : in      ? STR("ingress")
				     : STR("-"));
	for (size_t i = 0; i < w->count; i++) {
		struct policy_row *row = row_of(set, &w->ends[i]);
		size_t counts[POLICIES_MAX] = { 0 };
		assert_true(policy_set_count(set) <= POLICIES_MAX);
		policy_row_count_selected(set, row, counts);
		assert_in_range(counts[policy], 0, 1);
		if (counts[policy])
			names[n++] = strdup(w->ends[i].name);
		free(row);
	}
	put_sorted(names, n, &ends);
	if (strcmp(buf_cstr(&deny), t->fields[4]) != 0)
		differ(t->fields[0], t->fields[3], deny.p, t->fields[4]);
	if (strcmp(buf_cstr(&ends), t->fields[5]) != 0)
		differ(t->fields[0], t->fields[3], ends.p, t->fields[5]);
}

static void every_policy_selects_whom_it_is_recorded_to(void **state)
{
	(void)state;
	struct table t;
	size_t cases = 0;

	told = 0;
	table_open(&t, "selects.tsv");
	for (; table_next(&t); cases++)
		check_selected(&t);
	buf_done(&t.text);
	assert_int_equal(told, 0);
	assert_true(cases > 600);
}

/* Whether policies decide for it at all, were there any. */
static bool is_enforced(const struct policy_set *set, const struct policy_row *row)
{
	const struct policy_query q = { .direction = POLICY_INGRESS,
					.subject = row,
					.peer = { .row = row },
					.protocol = IPPROTO_TCP,
					.port = 80 };
	struct policy_answer answer;

	policy_ask(set, &q, &answer);
	return answer.verdict != POLICY_NOT_ENFORCED;
}

static void every_end_has_its_recorded_labels(void **state)
{
	(void)state;
	struct table t;
	size_t cases = 0;

	told = 0;
	table_open(&t, "identities.tsv");
	for (; table_next(&t); cases++) {
		struct cluster *w = world_of(t.fields[0]);
		AUTO(policy_set_free) struct policy_set *set = set_of(w, "");
		const struct cluster_end *e = cluster_end_of(w, t.fields[1]);
		struct policy_row *row = row_of(set, e);
		AUTO_BUF struct buf labels = buf_init(65536);

		policy_end_labels_put(set, &e->end, &labels);
		if (strcmp(buf_cstr(&labels), t.fields[4]) != 0)
			differ(t.fields[1], "labels", labels.p, t.fields[4]);
		if (is_enforced(set, row) != (strcmp(t.fields[3], "yes") == 0))
			differ(t.fields[1], "enforced", "other", t.fields[3]);
		free(row);
	}
	buf_done(&t.text);
	assert_int_equal(told, 0);
	assert_true(cases > 80);
}

/* --- what is refused -------------------------------------------------------------------------- */

static void every_bad_policy_is_refused_with_a_sentence_and_no_good_one(void **state)
{
	(void)state;
	struct table t;
	size_t cases = 0;

	told = 0;
	table_open(&t, "invalid.tsv");
	for (; table_next(&t); cases++) {
		AUTO(policy_builder_free)
		struct policy_builder *b = cluster_builder(NULL, POLICY_AS_CILIUM);
		AUTO_BUF struct buf text = buf_init(TEXT_MAX);
		struct err e = { 0 };
		bool taken =
			policy_builder_add_text(b, file_text(t.fields[0], &text), &e) == ERR_OK;

		if (taken != (strcmp(t.fields[2], "accepted") == 0))
			differ(t.fields[0], "result", taken ? "accepted" : e.msg, t.fields[2]);
		assert_true(taken || strlen(e.msg) > 10);
	}
	buf_done(&t.text);
	assert_int_equal(told, 0);
	assert_true(cases > 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_recorded_connection_gets_its_verdict),
		cmocka_unit_test(network_policies_by_the_letter_agree_with_the_second_opinion),
		cmocka_unit_test(every_policy_selects_whom_it_is_recorded_to),
		cmocka_unit_test(every_end_has_its_recorded_labels),
		cmocka_unit_test(every_bad_policy_is_refused_with_a_sentence_and_no_good_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
