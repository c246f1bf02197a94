#include "store/mend.h"

#include <stdarg.h>

/*
 * Nearly all of the file are columns; the rest is small tables, and a damaged page there would cost
 * far more than what lay on it: nothing can be added behind the last page of an index, nothing be
 * deleted beside a page that cannot be read, no question that comes across it be answered. Such a
 * table is made anew, in one transaction, of the rows that can be read:
 *
 *	segment ─► segment_damaged_7     rows, by number: copied, and deleted there as far as that can
 *	           segment               be done; what stays is the damaged page, and a few beside it
 *
 * and what was on that page of what is said elsewhere, too: gaps in the chain, rows of segments and
 * shelves in their columns. The rest is a gap.
 *
 * The walk around a bad page: rows in order up to it, then the lowest number from which on rows can
 * be read again, found by doubling and halving.
 */

enum {
	TRIES = 65536,  /* walks of one table: a page that leads back would have no end */
	PORTION = 512,  /* rows deleted at once */
	AGAIN_S = 3600, /* when nothing could be done */
	SOON_S = 60,    /* when the disk was full, say */
};

struct table {
	const char *name, *key; /* the key is the first column, and grows */
	const char *what;       /* was lost; NULL: that is told otherwise */
	/* From when to when, in ns, what lay from ?1 on and below ?2 was; NULL: not known. */
	const char *span;
};

static const struct table tables[] = {
	{ "entry", "number", "a page of the chain's entries",
	  "SELECT (SELECT sealed_ns FROM entry WHERE number < ?1 AND kind = 1"
	  " ORDER BY number DESC LIMIT 1),"
	  " (SELECT sealed_ns FROM entry WHERE number >= ?2 AND kind = 1 ORDER BY number LIMIT "
	  "1)" },
	{ "gap", "id", "a page of the gaps that were told",
	  "SELECT (SELECT from_ns FROM gap WHERE id < ?1 ORDER BY id DESC LIMIT 1),"
	  " (SELECT to_ns FROM gap WHERE id >= ?2 ORDER BY id LIMIT 1)" },
	{ "segment", "first_seq", NULL, NULL },
	{ "shelf", "id", NULL, NULL },
	{ "policy", "id", "a page of the policies",
	  "SELECT (SELECT from_ns FROM policy WHERE id < ?1 ORDER BY id DESC LIMIT 1), NULL" },
	{ "checkpoint", "id", "a page of the checkpoints",
	  "SELECT (SELECT sealed_ns FROM entry WHERE kind = 1 AND number <= (SELECT entry"
	  " FROM checkpoint WHERE id < ?1 ORDER BY id DESC LIMIT 1) ORDER BY number DESC LIMIT 1),"
	  " (SELECT sealed_ns FROM entry WHERE kind = 1 AND number >= (SELECT entry"
	  " FROM checkpoint WHERE id >= ?2 ORDER BY id LIMIT 1) ORDER BY number LIMIT 1)" },
	{ "edge_minute", "id", "a page of the service map",
	  "SELECT (?1 >> 20) * 60000000000, max((?1 >> 20) + 1, (SELECT id >> 20 FROM edge_minute"
	  " WHERE id >= ?2 ORDER BY id LIMIT 1)) * 60000000000" },
	{ "party", "id", "a page of the names in the service map",
	  "SELECT (SELECT (id >> 20) * 60000000000 FROM edge_minute ORDER BY id LIMIT 1), NULL" },
	/* whoever meets such a name says so */
	{ "endpoint", "id", NULL, NULL },
	{ "service", "id", NULL, NULL },
	{ "node", "id", NULL, NULL },
	{ "kernel_reason", "id", NULL, NULL },
};
_Static_assert(ARRAY_LEN(tables) == MEND_TABLES, "one for each");

/* --- statements that are made of names ------------------------------------------------------ */

enum err_code mend_script(struct mend *m, struct err *e, const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return db_script(m->db, text, e);
}

/* Finalize it. */
static sqlite3_stmt *ask(struct db *db, const char *format, const char *table, const char *key)
{
	char text[512];

	(void)snprintf(text, sizeof text, format, table, key, key);
	return db_once(db, text);
}

/* --- is it damaged? ------------------------------------------------------------------------- */

/* Does a row that can be read say what was written? Of packed ones that can be told. */
static bool is_whole(const struct mend *m, sqlite3_stmt *st)
{
	return m->t != &tables[MEND_EDGES] || edges_is_whole(st);
}

/* Steps through all rows. ERR_PARSE: not all can be read, or they are not in the order of their first
 * column, or not whole. */
static enum err_code read_through(struct mend *m, sqlite3_stmt *st, struct err *e)
{
	bool is_good = true;

	for (int64_t last = 0, key; is_good && db_next(&m->from, st); last = key) {
		key = sqlite3_column_int64(st, 0);
		is_good = key >= last && is_whole(m, st);
	}
	enum err_code code = db_ended(&m->from, "read the store", e);
	if (code == ERR_OK && !is_good)
		code = err_set(e, ERR_PARSE, "a table of the store is damaged");
	(void)sqlite3_finalize(st);
	return code;
}

static enum err_code read_indexes(struct mend *m, struct err *e)
{
	sqlite3_stmt *st = ask(&m->from,
			       "SELECT name, name = 'segment_small' FROM sqlite_schema"
			       " WHERE type = 'index' AND tbl_name = '%s'",
			       m->t->name, NULL);
	enum err_code code = ERR_OK;
	char text[256];

	while (code == ERR_OK && db_next(&m->from, st)) {
		(void)snprintf(text, sizeof text, "SELECT count(*) FROM %s INDEXED BY %s%s",
			       m->t->name, (const char *)sqlite3_column_text(st, 0),
			       column_u64(st, 1) ? " WHERE level < 9" : "");
		code = read_through(m, db_once(&m->from, text), e);
	}
	if (code == ERR_OK)
		code = db_ended(&m->from, "read the store", e);
	(void)sqlite3_finalize(st);
	return code;
}

static enum err_code look(struct mend *m, bool *ret_is_damaged, struct err *e)
{
	enum err_code code =
		read_through(m, ask(&m->from, "SELECT * FROM %s NOT INDEXED", m->t->name, NULL), e);

	if (code == ERR_OK)
		code = read_indexes(m, e);
	*ret_is_damaged = code == ERR_PARSE;
	return code == ERR_PARSE ? ERR_OK : code;
}

/* --- what can be read ----------------------------------------------------------------------- */

static void add_hole(struct mend *m, int64_t from, int64_t before)
{
	struct damage *d = m->d;

	if (d->count == MEND_HOLES)
		d->holes[MEND_HOLES - 1].before = before;
	else
		d->holes[d->count++] = (struct hole){ from, before };
}

static enum err_code add_mark(struct damage *d, int64_t key, struct err *e)
{
	if (d->mark_count == d->mark_room) {
		size_t room = d->mark_room ? 2 * d->mark_room : 256;
		int64_t *marks = realloc(d->marks, room * sizeof *marks);
		if (!marks)
			return err_set(e, ERR_NOMEM, "the store's tables");
		d->marks = marks;
		d->mark_room = room;
	}
	d->marks[d->mark_count++] = key;
	return ERR_OK;
}

static enum err_code copy_row(struct mend *m, sqlite3_stmt *from, sqlite3_stmt *to, struct err *e)
{
	(void)sqlite3_reset(to);
	for (int i = 0; i < sqlite3_column_count(from); i++)
		if (sqlite3_bind_value(to, i + 1, sqlite3_column_value(from, i)) != SQLITE_OK)
			return err_set(e, ERR_NOMEM, "the store's tables");
	while (db_next(m->db, to))
		;
	return db_ended(m->db, "write the store", e);
}

/* Rows of @st, from whose first column, which only grows, *@ret_last becomes the last one; without a row
 * it stays. *@ret_is_end: there are no more, rather than none that can be read. */
static enum err_code copy_rows(struct mend *m, sqlite3_stmt *st, sqlite3_stmt *to,
			       int64_t *ret_last, bool *ret_is_end, struct err *e)
{
	enum err_code code = ERR_OK;
	bool in_order = true;

	for (size_t n = 0; code == ERR_OK && db_next(&m->from, st); n++) {
		int64_t key = sqlite3_column_int64(st, 0);
		in_order = key >= *ret_last;
		if (!in_order)
			break; /* a page that is in two places, say */
		*ret_last = key;
		if (!is_whole(m, st)) {
			add_hole(m, key, key + 1);
			continue;
		}
		code = copy_row(m, st, to, e);
		if (code == ERR_OK && n % PORTION == 0)
			code = add_mark(m->d, key, e);
	}
	if (code != ERR_OK)
		return code;
	code = db_ended(&m->from, "read the store", e);
	*ret_is_end = code == ERR_OK && in_order;
	return code == ERR_PARSE ? ERR_OK : code;
}

/* Those from @from on. */
static enum err_code copy_from(struct mend *m, int64_t from, sqlite3_stmt *to, int64_t *ret_last,
			       bool *ret_is_end, struct err *e)
{
	sqlite3_stmt *st =
		ask(&m->from, "SELECT * FROM %s WHERE %s >= ?1 ORDER BY 1", m->t->name, m->t->key);

	if (st)
		(void)sqlite3_bind_int64(st, 1, from);
	enum err_code code = copy_rows(m, st, to, ret_last, ret_is_end, e);
	(void)sqlite3_finalize(st);
	return code;
}

static enum err_code copy(struct mend *m, sqlite3_stmt *to, struct err *e)
{
	enum err_code code = ERR_OK;
	bool is_end = false;

	int64_t at = 0;
	for (size_t tries = 0; code == ERR_OK && !is_end && tries < TRIES; tries++) {
		int64_t last = at - 1, low;
		code = copy_from(m, at, to, &last, &is_end, e);
		if (code != ERR_OK || is_end)
			break;
		at = last + 1;
		code = db_next_readable(&m->from, m->t->name, m->t->key, at, &low, e);
		if (code != ERR_OK || low == INT64_MAX)
			break;
		add_hole(m, at, low);
		at = low;
	}
	if (code == ERR_OK && !is_end)
		add_hole(m, at, INT64_MAX);
	return code;
}

/* --- another table -------------------------------------------------------------------------- */

/* What made the table and its indexes: texts, one behind the other, each terminated. */
static enum err_code read_texts(struct mend *m, struct buf *texts, struct err *e)
{
	sqlite3_stmt *st = ask(&m->from,
			       "SELECT sql FROM sqlite_schema WHERE tbl_name = '%s'"
			       " AND sql IS NOT NULL ORDER BY type = 'index'",
			       m->t->name, NULL);

	while (db_next(&m->from, st)) {
		buf_str_put(texts, column_text(st, 0));
		buf_char(texts, '\0');
	}
	enum err_code code = db_ended(&m->from, "read the store", e);
	(void)sqlite3_finalize(st);
	if (code == ERR_OK && (texts->failed || !texts->len))
		code = err_set(e, ERR_NOMEM, "the store's tables");
	return code;
}

/* Under another name, and without its indexes: they are small, and where they are damaged their pages
 * could not be given back. Views go on to mean the table of the name. */
static enum err_code move_away(struct mend *m, struct err *e)
{
	return mend_script(m, e,
			   "PRAGMA legacy_alter_table = ON; PRAGMA writable_schema = ON;"
			   "DELETE FROM sqlite_schema WHERE type = 'index' AND tbl_name = '%s'"
			   " AND sql IS NOT NULL;"
			   "PRAGMA writable_schema = RESET; ALTER TABLE %s RENAME TO %s",
			   m->t->name, m->t->name, m->d->old);
}

static enum err_code make_insert(struct mend *m, sqlite3_stmt **ret, struct err *e)
{
	sqlite3_stmt *st = ask(m->db, "SELECT * FROM %s", m->t->name, NULL);
	int columns = sqlite3_column_count(st);
	AUTO_BUF struct buf b = buf_init(1024);

	if (!st)
		return db_ended(m->db, "write the store", e);
	(void)sqlite3_finalize(st);
	buf_printf(&b, "INSERT OR IGNORE INTO %s VALUES (?", m->t->name);
	for (int i = 1; i < columns; i++)
		buf_lit(&b, ",?");
	buf_char(&b, ')');
	*ret = db_once(m->db, buf_cstr(&b));
	return *ret ? ERR_OK : db_ended(m->db, "write the store", e);
}

static enum err_code make_anew(struct mend *m, struct err *e)
{
	AUTO_BUF struct buf texts = buf_init(1 << 14);
	sqlite3_stmt *to = NULL;
	enum err_code code = read_texts(m, &texts, e);

	if (code == ERR_OK)
		code = move_away(m, e);
	if (code == ERR_OK)
		code = db_script(m->db, texts.p, e);
	if (code == ERR_OK)
		code = make_insert(m, &to, e);
	if (code == ERR_OK)
		code = copy(m, to, e);
	(void)sqlite3_finalize(to);
	for (size_t at = 0; code == ERR_OK && (at += strlen(texts.p + at) + 1) < texts.len;)
		code = db_script(m->db, texts.p + at, e);
	/* numbers that were given out are not given out again */
	return code == ERR_OK
		       ? mend_script(
				 m, e,
				 "UPDATE sqlite_sequence SET seq = max(seq, coalesce((SELECT seq"
				 " FROM sqlite_sequence WHERE name = '%s'), 0)) WHERE name = '%s';"
				 "INSERT INTO sqlite_sequence SELECT '%s', seq FROM sqlite_sequence"
				 " WHERE name = '%s' AND NOT EXISTS (SELECT 1 FROM sqlite_sequence"
				 " WHERE name = '%s')",
				 m->d->old, m->t->name, m->t->name, m->d->old, m->t->name)
		       : code;
}

/* What was copied is deleted there, where that can be done: most of its pages are free then. Not in a
 * transaction: each by itself. */
static void empty_old(struct mend *m)
{
	const struct damage *d = m->d;

	for (size_t i = 0; i + 1 < d->mark_count; i++)
		(void)!mend_script(m, NULL, "DELETE FROM %s WHERE %s >= %lld AND %s < %lld", d->old,
				   m->t->key, (long long)d->marks[i], m->t->key,
				   (long long)d->marks[i + 1]);
	(void)!mend_script(m, NULL, "DROP TABLE %s", d->old);
}

/* --- what is lost --------------------------------------------------------------------------- */

void mend_note(struct mend *m, struct wall_ns from, struct wall_ns to, uint64_t first_seq,
	       uint64_t last_seq, const char *what)
{
	const struct store_gap gap = { .cause = STORE_GAP_DAMAGED,
				       .from = from.v < to.v ? from : to,
				       .to = to,
				       .first_seq = first_seq,
				       .last_seq = last_seq,
				       .node = STR(""),
				       .detail = str_of(what) };

	gaps_note(&m->lost, &gap, false);
}

static enum err_code tell_hole(struct mend *m, const struct table *t, const struct hole *hole,
			       struct err *e)
{
	struct wall_ns from = { 0 }, to = m->now;
	sqlite3_stmt *st = db_once(m->db, t->span);

	if (st) {
		(void)sqlite3_bind_int64(st, 1, hole->from);
		(void)sqlite3_bind_int64(st, 2, hole->before);
	}
	if (db_next(m->db, st)) {
		from.v = column_u64(st, 0);
		to.v = column_u64(st, 1) ? column_u64(st, 1) : to.v;
	}
	(void)sqlite3_finalize(st);
	enum err_code code = db_ended(m->db, "read the store", e);
	if (code == ERR_OK && !from.v)
		code = db_number(m->db, "SELECT value FROM meta WHERE name = 'began'", to.v,
				 &from.v, e);
	if (code == ERR_OK)
		mend_note(m, from, to, 0, 0, t->what);
	return code;
}

/* Gaps are kept longer than the chain has them. What is newest it has for sure. */
static bool has_lost_gaps(const struct mend *m)
{
	const struct damage *d = &m->damage[MEND_GAPS];
	int64_t rows = 0;

	for (size_t i = 0; i < d->count; i++)
		if (d->holes[i].before != INT64_MAX)
			rows += d->holes[i].before - d->holes[i].from;
	return rows > m->refilled_gaps;
}

static enum err_code tell(struct mend *m, struct err *e)
{
	enum err_code code = ERR_OK;

	if (!has_lost_gaps(m))
		m->damage[MEND_GAPS].count = 0;
	for (size_t i = 0; i < MEND_TABLES && code == ERR_OK; i++)
		for (size_t k = 0; tables[i].what && k < m->damage[i].count && code == ERR_OK; k++)
			code = tell_hole(m, &tables[i], &m->damage[i].holes[k], e);
	return code;
}

/* --- all of it ------------------------------------------------------------------------------ */

/* Numbers of entries that were lost would be given out again, were they not known here. */
static enum err_code check_end(const struct mend *m, struct err *e)
{
	const struct damage *d = &m->damage[MEND_ENTRIES];

	if (m->s->is_known || !d->count || d->holes[d->count - 1].before != INT64_MAX)
		return ERR_OK;
	return err_set(e, ERR_PARSE, "the end of the store's chain cannot be read");
}

static void choose(struct mend *m, size_t i)
{
	m->t = &tables[i];
	m->d = &m->damage[i];
	(void)snprintf(m->d->old, sizeof m->d->old, "%s_damaged_%llu", m->t->name,
		       (unsigned long long)(m->now.v / NS_PER_MS));
}

/* In a transaction. */
static enum err_code make_all_anew(struct mend *m, struct chain_head *head, size_t *ret_told,
				   uint64_t told[STORE_GAP_CAUSES_], struct err *e)
{
	enum err_code code = ERR_OK;
	struct chain_head kept = *head;

	for (size_t i = 0; i < MEND_TABLES && code == ERR_OK; i++) {
		choose(m, i);
		if (m->d->is_there)
			code = make_anew(m, e);
	}
	if (code == ERR_OK)
		code = check_end(m, e);
	if (code == ERR_OK)
		code = mend_refill(m, e);
	if (code == ERR_OK)
		code = tell(m, e);
	/* With what was lost, so that it is told and numbers go on, whatever comes next; but a block that
	 * is open has its number already. */
	if (code != ERR_OK || m->s->block.count)
		return code;
	code = chain_read_head(m->db, head, e);
	*head = head->number < kept.number ? kept : *head;
	return code == ERR_OK ? gaps_write(&m->lost, m->db, head, ret_told, told, e) : code;
}

static void count_told(struct store *s, const uint64_t told[STORE_GAP_CAUSES_])
{
	(void)pthread_mutex_lock(&s->counts_mx);
	for (int i = 0; i < STORE_GAP_CAUSES_; i++)
		s->counts.gaps[i] += told[i];
	(void)pthread_mutex_unlock(&s->counts_mx);
	store_published(s);
}

static enum err_code carry_out(struct mend *m, struct err *e)
{
	uint64_t told[STORE_GAP_CAUSES_] = { 0 };
	struct store *s = m->s;
	struct chain_head head = s->head;
	size_t told_count = 0;
	enum err_code code = segment_new(&s->segment, e);

	if (code == ERR_OK)
		code = db_begin(m->db, e);
	if (code == ERR_OK)
		code = make_all_anew(m, &head, &told_count, told, e);
	if (code == ERR_OK)
		code = db_commit(m->db, e);
	segment_free(TAKE(s->segment));
	if (code != ERR_OK) {
		db_rollback(m->db);
		return code;
	}
	s->head = head;
	for (size_t i = told_count; i < m->lost.count; i++)
		gaps_note(&s->gaps, &m->lost.list[i].gap, false);
	count_told(s, told);
	for (size_t i = 0; i < MEND_TABLES; i++) {
		choose(m, i);
		if (m->d->is_there)
			empty_old(m);
	}
	dict_rows_again(&s->rows);
	edges_not_written(s->edges);
	return ERR_OK;
}

static void mend_done(struct mend *m)
{
	if (!m)
		return;
	db_close(&m->from);
	for (size_t i = 0; i < MEND_TABLES; i++)
		free(m->damage[i].marks);
	(void)pthread_mutex_destroy(&m->lost.mx);
	free(m);
}
AUTO_DEFINE(struct mend, mend_done);

enum err_code mend(struct store *s, struct wall_ns now, bool *ret_any, struct err *e)
{
	AUTO(mend_done) struct mend *m = calloc(1, sizeof *m);
	bool any = false;

	if (!m)
		return err_set(e, ERR_NOMEM, "the store's tables");
	m->s = s;
	m->db = &s->db;
	m->now = now;
	(void)pthread_mutex_init(&m->lost.mx, NULL);
	enum err_code code = db_open(&m->from, s->path, DB_READ, &s->faults, e);
	if (code == ERR_OK)
		code = db_hold(&m->from, e);
	for (size_t i = 0; i < MEND_TABLES && code == ERR_OK; i++) {
		choose(m, i);
		code = look(m, &m->d->is_there, e);
		any |= m->d->is_there;
	}
	if (code == ERR_OK && any)
		code = carry_out(m, e);
	bool is_tried = code == ERR_OK || code == ERR_PARSE;
	s->mended = now;
	s->is_mended = code != ERR_OK || !any;
	s->mend_again_s = is_tried ? AGAIN_S : SOON_S;
	atomic_store_explicit(&s->mend_due, !is_tried, memory_order_relaxed);
	if (code == ERR_OK)
		*ret_any = any;
	return code;
}

bool mend_helps(struct store *s, struct wall_ns now)
{
	return !s->is_mended || now.v < s->mended.v ||
	       now.v - s->mended.v >= s->mend_again_s * NS_PER_S;
}

enum err_code mend_if_due(struct store *s, struct wall_ns now, struct err *e)
{
	bool any = false;

	if (!atomic_load_explicit(&s->mend_due, memory_order_relaxed) || !mend_helps(s, now))
		return ERR_OK;
	enum err_code code = mend(s, now, &any, e);
	if (code == ERR_OK)
		return any ? file_count(s, e) : ERR_OK;
	/* What the connection believes of the tables may be something else now. */
	sync_free(TAKE(s->sync));
	db_close(&s->db);
	return code;
}

enum err_code mend_tending(struct store *s, enum err_code code, struct wall_ns now, bool *ret_more,
			   struct err *e)
{
	if (mend_after(s, code) != ERR_PARSE || !mend_helps(s, now))
		return code;
	code = mend_if_due(s, now, e);
	*ret_more |= code == ERR_OK;
	return code;
}
