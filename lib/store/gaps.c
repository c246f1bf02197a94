#include <stdio.h>

#include "flow/json.h"
#include "store/inside.h"

/* Gaps this near to each other are one. */
enum {
	NEAR_NS = 1000000000,
	/* Damage that readers find is found again; it leaves room for what is said only once. */
	KEPT_FREE = 16,
};

static const char *const names[] = {
	[STORE_GAP_UNKNOWN] = "unknown",          [STORE_GAP_DOWN] = "observer-down",
	[STORE_GAP_CRASHED] = "observer-crashed", [STORE_GAP_KERNEL] = "kernel-lost",
	[STORE_GAP_RING] = "ring-overwritten",    [STORE_GAP_WRITE] = "store-write-failed",
	[STORE_GAP_DAMAGED] = "store-damaged",    [STORE_GAP_CLOCK] = "clock-set-back",
};
_Static_assert(ARRAY_LEN(names) == STORE_GAP_CAUSES_, "a cause without a name");

const char *store_gap_cause_name(enum store_gap_cause cause)
{
	return (unsigned)cause < STORE_GAP_CAUSES_ ? names[cause] : names[STORE_GAP_UNKNOWN];
}

/* Terminated, cut at a character. */
static struct str keep(char *to, size_t size, struct str s)
{
	size_t n = utf8_sanitize(s, to, size - 1);

	to[n] = 0;
	return str_n(to, n);
}

static void widen(struct gap *g, const struct store_gap *by)
{
	struct store_gap *to = &g->gap;

	if (by->from.v < to->from.v)
		to->from = by->from;
	if (by->to.v > to->to.v)
		to->to = by->to;
	/* 0 is "not known", and more than a known number is not known either */
	uint64_t room = INT64_MAX - (to->lost < INT64_MAX ? to->lost : INT64_MAX);
	if (!to->lost || !by->lost)
		to->lost = 0;
	else
		to->lost += by->lost < room ? by->lost : room;
	if (by->first_seq && (!to->first_seq || by->first_seq < to->first_seq))
		to->first_seq = by->first_seq;
	if (by->last_seq > to->last_seq)
		to->last_seq = by->last_seq;
	if (by->detail.len && !to->detail.len)
		to->detail = keep(g->detail, sizeof g->detail, by->detail);
}

/* One after the other in time, or in number. */
static bool is_near(const struct store_gap *a, const struct store_gap *b)
{
	bool adjoin = (a->last_seq && a->last_seq + 1 == b->first_seq) ||
		      (b->last_seq && b->last_seq + 1 == a->first_seq);
	bool near = b->from.v <= a->to.v + NEAR_NS && a->from.v <= b->to.v + NEAR_NS;

	return a->cause == b->cause && str_eq(a->node, b->node) && (adjoin || near);
}

/* Without room the newest of its cause takes it up, else the newest that can. */
static struct gap *without_room(struct gaps *g, enum store_gap_cause cause)
{
	struct gap *any = NULL;

	for (size_t i = g->count; i--;) {
		struct gap *old = &g->list[i];
		if (!old->lies_in_file && old->gap.cause == cause)
			return old;
		if (!old->lies_in_file && !any)
			any = old;
	}
	return any;
}

void gaps_note(struct gaps *g, const struct store_gap *gap, bool lies_in_file)
{
	(void)pthread_mutex_lock(&g->mx);
	struct gap *into = NULL;
	for (size_t i = g->count; i-- && !into;) {
		struct gap *old = &g->list[i];
		if (lies_in_file && old->lies_in_file && old->gap.first_seq == gap->first_seq) {
			(void)pthread_mutex_unlock(&g->mx);
			return; /* found before */
		}
		if (!lies_in_file && !old->lies_in_file && is_near(&old->gap, gap))
			into = old;
	}
	if (!into && !lies_in_file && g->count == GAPS_PENDING)
		into = without_room(g, gap->cause);
	if (into) {
		widen(into, gap);
	} else if (g->count < GAPS_PENDING - (lies_in_file ? KEPT_FREE : 0)) {
		struct gap *fresh = &g->list[g->count++];
		*fresh = (struct gap){ .gap = *gap, .lies_in_file = lies_in_file };
		fresh->gap.node = keep(fresh->node, sizeof fresh->node, gap->node);
		fresh->gap.detail = keep(fresh->detail, sizeof fresh->detail, gap->detail);
	}
	(void)pthread_mutex_unlock(&g->mx);
}

size_t gaps_count(struct gaps *g)
{
	(void)pthread_mutex_lock(&g->mx);
	size_t n = g->count;
	(void)pthread_mutex_unlock(&g->mx);
	return n;
}

void gaps_drop(struct gaps *g, size_t n)
{
	(void)pthread_mutex_lock(&g->mx);
	g->count -= n;
	memmove(g->list, g->list + n, g->count * sizeof *g->list);
	for (size_t i = 0; i < g->count; i++) { /* the texts have moved, too */
		g->list[i].gap.node.p = g->list[i].node;
		g->list[i].gap.detail.p = g->list[i].detail;
	}
	(void)pthread_mutex_unlock(&g->mx);
}

static enum err_code write_one(struct db *db, struct chain_head *head, const struct gap *g,
			       struct err *e)
{
	const struct store_gap *gap = &g->gap;
	AUTO_BUF struct buf body = buf_init(STORE_BODY_BYTES);

	buf_lit(&body, "{\"kind\":\"gap\"");
	put_text(&body, "cause", str_of(store_gap_cause_name(gap->cause)));
	put_time(&body, "from", gap->from);
	put_time(&body, "to", gap->to);
	/* as the row has them: 63 bits */
	put_number(&body, "lost", (uint64_t)store_i64(gap->lost));
	put_number(&body, "first_seq", (uint64_t)store_i64(gap->first_seq));
	put_number(&body, "last_seq", (uint64_t)store_i64(gap->last_seq));
	put_text(&body, "node", gap->node);
	put_text(&body, "detail", gap->detail);
	buf_char(&body, '}');
	if (body.failed)
		return err_set(e, ERR_NOMEM, "a gap of the store");
	enum err_code code = chain_append(db, head, ENTRY_GAP, buf_str(&body), e);
	if (code == ERR_OK)
		code = DB_RUN(db, e,
			      "INSERT INTO gap (entry, cause, from_ns, to_ns, lost, first_seq,"
			      " last_seq, node, detail)"
			      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
			      DB_I(head->number), DB_I(gap->cause), DB_I(store_i64(gap->from.v)),
			      DB_I(store_i64(gap->to.v)), DB_I(store_i64(gap->lost)),
			      DB_I(store_i64(gap->first_seq)), DB_I(store_i64(gap->last_seq)),
			      DB_T(gap->node), DB_T(gap->detail));
	if (code == ERR_OK && g->lies_in_file)
		code = DB_RUN(db, e,
			      "UPDATE segment SET damaged = 1, level = 9 WHERE first_seq = ?1",
			      DB_I(gap->first_seq));
	return code;
}

enum err_code gaps_write(struct gaps *g, struct db *db, struct chain_head *head,
			 size_t *ret_written, uint64_t written[STORE_GAP_CAUSES_], struct err *e)
{
	size_t n = gaps_count(g); /* those that come meanwhile are for the next time */

	for (size_t i = 0; i < n; i++) {
		/* A copy: others may note gaps while the disk is waited for. */
		(void)pthread_mutex_lock(&g->mx);
		struct gap one = g->list[i];
		(void)pthread_mutex_unlock(&g->mx);
		one.gap.node.p = one.node;
		one.gap.detail.p = one.detail;
		enum err_code code = write_one(db, head, &one, e);
		if (code != ERR_OK)
			return code;
		written[one.gap.cause]++;
	}
	*ret_written = n;
	return ERR_OK;
}
