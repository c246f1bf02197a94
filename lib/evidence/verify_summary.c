#include "evidence/verify_inside.h"

#include "store/store.h"

/* On one line, whatever it says: texts of a bundle are others' words. */
static void put_word(struct buf *b, struct str text)
{
	for (size_t i = 0; i < text.len; i++)
		buf_char(b, (unsigned char)text.p[i] < ' ' ? ' ' : text.p[i]);
}

/* A node's gaps, as it has signed them. */
static void put_gaps(const struct proven_node *n, struct buf *b)
{
	enum { SHOWN = 10 };
	const json_t *gaps = json_object_get(n->said, "gaps"), *gap;
	size_t i;

	json_array_foreach(gaps, i, gap)
	{
		struct str lost = text_of(gap, "lost"), detail = text_of(gap, "detail");
		if (i == SHOWN) {
			buf_printf(b, "           and %zu more: %s/statement.jsonl\n",
				   json_array_size(gaps) - i, n->dir);
			return;
		}
		buf_lit(b, "           ");
		put_word(b, text_of(gap, "from"));
		buf_lit(b, " to ");
		put_word(b, text_of(gap, "to"));
		buf_lit(b, ": ");
		put_word(b, text_of(gap, "cause"));
		if (str_is(text_of(gap, "cause"), store_gap_cause_name(STORE_GAP_CLOCK))) {
			buf_lit(b, ", nothing is missing");
		} else if (str_eq(lost, STR("0"))) {
			buf_lit(b, ", nobody knows how many records");
		} else {
			buf_lit(b, ", ");
			put_word(b, lost);
			buf_str_put(b, str_eq(lost, STR("1")) ? STR(" record") : STR(" records"));
		}
		if (detail.len) {
			buf_lit(b, ": ");
			put_word(b, detail);
		}
		buf_char(b, '\n');
	}
}

/* What of the asked time the record does not reach, behind a node's gaps. */
static void put_reach(const json_t *said, struct buf *b)
{
	struct wall_ns since = { 0 }, until = { UINT64_MAX }, oldest;

	(void)time_parse(text_of(said, "since"), &since);
	(void)time_parse(text_of(said, "until"), &until);
	if (!time_parse(text_of(said, "oldest"), &oldest))
		buf_lit(b, ", but it has no record");
	else if (oldest.v > until.v)
		buf_lit(b, ", but its record begins behind the asked time, at ");
	else if (oldest.v > since.v)
		buf_lit(b, ", but its record begins at ");
	else
		return;
	put_word(b, text_of(said, "oldest"));
}

/* Is each node's key one that somebody else than the bundle vouches for? */
static bool keys_are_known(const struct verify *v)
{
	size_t known = 0;

	for (size_t i = 0; i < v->node_count; i++)
		known += v->config->key_count || v->nodes[i].external_met;
	return known == v->node_count;
}

static void put_node(const struct verify *v, const struct proven_node *n, struct buf *b)
{
	size_t gaps = json_array_size(json_object_get(n->said, "gaps"));

	buf_lit(b, "  node     ");
	put_word(b, str_of(n->name));
	buf_printf(b, ": %llu flow%s in %llu block%s, entries ", (unsigned long long)n->flows,
		   n->flows == 1 ? "" : "s", (unsigned long long)n->blocks,
		   n->blocks == 1 ? "" : "s");
	put_word(b, text_of(n->said, "first_entry"));
	buf_lit(b, " to ");
	put_word(b, text_of(n->said, "last_entry"));
	buf_lit(b, " of its chain");
	if (gaps)
		buf_printf(b, ", %zu gap%s", gaps, gaps == 1 ? "" : "s");
	else
		buf_lit(b, ", no gap known");
	put_reach(n->said, b);
	buf_char(b, '\n');
	put_gaps(n, b);
	buf_lit(b, "           signed ");
	put_word(b, text_of(n->said, "time"));
	buf_printf(b, " by key %s\n", evidence_key_fingerprint(n->key));
	if (n->pins_met)
		buf_printf(b, "           and by %llu checkpoint%s from %.*s to %.*s\n",
			   (unsigned long long)n->pins_met, n->pins_met == 1 ? "" : "s",
			   STR_FMT(buf_str(&n->first_checkpoint)),
			   STR_FMT(n->last_checkpoint.len ? buf_str(&n->last_checkpoint)
							  : buf_str(&n->first_checkpoint)));
	if (v->config->checkpoints.p)
		buf_printf(b, "           separately kept checkpoints that agree: %llu\n",
			   (unsigned long long)n->external_met);
}

void verify_put_summary(const struct verify *v, struct buf *b)
{
	const json_t *unanswered = json_object_get(v->manifest, "unanswered"), *u;
	uint64_t flows = 0;
	size_t i;

	for (i = 0; i < v->node_count; i++)
		flows += v->nodes[i].flows;
	buf_printf(b, "%s: every flow is %s\n", v->config->path,
		   keys_are_known(v) ? "proven"
				     : "as it was signed; by whom, only the bundle says");
	struct str rest = text_of(json_object_get(v->manifest, "scope"), "words"), line;
	for (bool more = false; str_split(&rest, '\n', &line); more = true) {
		buf_str_put(b, more ? STR("           ") : STR("  scope    "));
		put_word(b, line);
		buf_char(b, '\n');
	}
	buf_printf(b, "  flows    %llu of %zu node%s\n", (unsigned long long)flows, v->node_count,
		   v->node_count == 1 ? "" : "s");
	for (i = 0; i < v->node_count; i++)
		put_node(v, &v->nodes[i], b);
	json_array_foreach(unanswered, i, u)
	{
		buf_lit(b, "  missing  ");
		put_word(b, text_of(u, "name"));
		buf_lit(b, " did not answer: ");
		put_word(b, text_of(u, "error"));
		buf_char(b, '\n');
	}
	if (!keys_are_known(v))
		buf_lit(b,
			"  The keys are those in the bundle: compare their fingerprints with the "
			"nodes', or give them with --pubkey.\n");
	buf_lit(b, "  report.html, and who did not answer, are the words of whoever made the "
		   "bundle.\n");
}
