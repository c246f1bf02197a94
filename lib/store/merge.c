#include "store/inside.h"

/*
 * Blocks of a second are small, and small segments compress badly and are slow to search. They grow
 * in steps: RUN of one level become one of the next, until it is large or its hour is over. So a
 * record is written three or four times at most, and a merge costs some ten ms.
 *
 * What is large in the end is sorted (shelves.c), and is then written for the last time.
 *
 * Only where records lie changes: the chain's entries, and the roots in them, stay.
 */

enum {
	RUN = 16,
	LOOK = 96,                          /* segments looked at, and merged at once, at most */
	LARGE = STORE_MERGED_FLOWS * 3 / 4, /* is left as it is: little would be gained */
	MERGED_BYTES = 4 << 20,
	SEGMENT_LEVEL_GOOD = 3, /* of zstd, for what stays */
};

static uint64_t hour_of(struct wall_ns t)
{
	return t.v / (STORE_MERGED_SPAN_S * NS_PER_S);
}

/* Which of the first are to become one; @level is what that is. One: it gets the level, and is
 * sorted if that is STORE_LEVEL_WHOLE. */
struct plan {
	size_t from, count;
	uint32_t level;
};

/* How many from @from on fit into one. */
static size_t fitting(const struct segment_row *rows, size_t from, size_t to)
{
	uint64_t records = 0, bytes = 0;
	size_t i = from;

	for (; i < to; i++) {
		records += rows[i].count;
		bytes += rows[i].bytes;
		if (i > from && (records > STORE_MERGED_FLOWS || bytes > MERGED_BYTES))
			break;
	}
	return i - from;
}

/* The first @count become one that stays. */
static struct plan last_of_it(const struct segment_row *rows, size_t count)
{
	uint64_t records = 0;

	for (size_t i = 0; i < count; i++)
		records += rows[i].count;
	return (struct plan){ 0, count,
			      records >= SHELVED_LEAST ? STORE_LEVEL_WHOLE : STORE_LEVEL_DONE };
}

static struct plan plan(const struct segment_row *rows, size_t n, struct wall_ns now)
{
	uint64_t records = 0;
	size_t hour = 0; /* rows of the first one's hour */

	if (!n)
		return (struct plan){ 0 };
	if (rows[0].count >= LARGE || rows[0].level == STORE_LEVEL_WHOLE)
		return (struct plan){ 0, 1, STORE_LEVEL_WHOLE };
	for (; hour < n && hour_of(rows[hour].sealed) == hour_of(rows[0].sealed); hour++)
		records += rows[hour].count;
	bool is_over = hour < n || (n < LOOK && hour_of(now) != hour_of(rows[0].sealed));
	if (is_over || records >= STORE_MERGED_FLOWS)
		return last_of_it(rows, fitting(rows, 0, hour));
	for (size_t from = 0, to; from < hour; from = to) {
		for (to = from; to < hour && rows[to].level == rows[from].level; to++)
			;
		if (to - from >= RUN && rows[from].level + 1 < STORE_LEVEL_DONE)
			return (struct plan){ from, fitting(rows, from, from + RUN),
					      rows[from].level + 1 };
	}
	return (struct plan){ 0 };
}

/* What merging and sorting work with, some MB after a large segment. It is there while one is made
 * and no longer: that is some ten ms of a quarter of a minute at least. */
static enum err_code tools_take(struct store *s, struct err *e)
{
	enum err_code code = segment_encoder_new(SEGMENT_LEVEL_GOOD, &s->merger, e);

	return code == ERR_OK ? segment_new(&s->segment, e) : code;
}

static void tools_leave(struct store *s)
{
	segment_encoder_free(TAKE(s->merger));
	segment_free(TAKE(s->segment));
	buf_done(&s->bytes);
	buf_done(&s->piece);
	s->bytes = buf_init(STORE_SEGMENT_BYTES);
	s->piece = buf_init(STORE_SEGMENT_BYTES);
}

/* Adds the records of the segment in s->bytes to the one that is made. */
static enum err_code add_segment(struct store *s, const struct segment_row *row, struct err *e)
{
	enum err_code code = segment_open(s->segment, buf_str(&s->bytes), e);

	if (code == ERR_OK && segment_count(s->segment) != row->count)
		code = err_set(e, ERR_PARSE, "segment %llu does not hold %llu records",
			       (unsigned long long)row->first_seq, (unsigned long long)row->count);
	for (uint64_t at = 0; code == ERR_OK && at < row->count; at += STORE_CHUNK) {
		size_t n = row->count - at < STORE_CHUNK ? (size_t)(row->count - at) : STORE_CHUNK;
		memset(s->scratch, 0, n * sizeof *s->scratch);
		code = segment_load(s->segment, FLOW_MEMBERS_ALL, at, n, s->scratch, e);
		if (code == ERR_OK)
			code = segment_add(s->merger, s->scratch, n, e);
		if (code == ERR_OK)
			flow_zone_add(s->merge_zone, s->scratch, n);
	}
	return code;
}

/* *@ret_bad: the row that it failed for, if that was it; *@ret_is_read: that one could be read, but
 * not be taken away from its place. */
static enum err_code merge(struct store *s, const struct segment_row *rows, const struct plan *p,
			   struct segment_row *made, size_t *ret_bad, bool *ret_is_read,
			   struct err *e)
{
	enum err_code code = ERR_OK;

	*made = rows[p->from];
	made->count = made->blocks = made->untimed = 0;
	made->level = p->level;
	flow_zone_reset(s->merge_zone);
	for (size_t i = p->from; code == ERR_OK && i < p->from + p->count; i++) {
		const struct segment_row *row = &rows[i];
		*ret_bad = i;
		code = piece_read(&s->db, row->first_seq, row->sum, &s->bytes, e);
		if (code == ERR_OK)
			code = add_segment(s, row, e);
		*ret_is_read = code == ERR_OK;
		if (code == ERR_OK)
			code = segment_delete(&s->db, row, e);
		if (row->from.v < made->from.v)
			made->from = row->from;
		if (row->to.v > made->to.v)
			made->to = row->to;
		made->last_seq = row->last_seq;
		made->count += row->count;
		made->blocks += row->blocks;
		made->untimed += row->untimed;
		made->sealed = row->sealed;
		made->last_entry = row->last_entry;
	}
	if (code != ERR_OK)
		return code;
	*ret_bad = SIZE_MAX;
	buf_reset(&s->bytes);
	buf_reset(&s->zone_bytes);
	code = segment_finish(s->merger, &s->bytes, e);
	flow_zone_put(&s->zone_bytes, s->merge_zone);
	if (code == ERR_OK && (s->bytes.failed || s->zone_bytes.failed))
		code = err_set(e, ERR_NOMEM, "a segment of the store");
	made->data = buf_str(&s->bytes);
	made->zone = buf_str(&s->zone_bytes);
	if (code == ERR_OK)
		code = segment_insert(&s->db, made, e);
	return code;
}

/* As it is, for good. */
static enum err_code leave(struct store *s, uint64_t first_seq, bool *ret_more, struct err *e)
{
	enum err_code code = DB_RUN(&s->db, e, "UPDATE segment SET level = 9 WHERE first_seq = ?1",
				    DB_I(first_seq));

	*ret_more |= code == ERR_OK;
	return code;
}

static void count_merge(struct store *s, const struct segment_row *rows, const struct plan *p,
			uint64_t bytes)
{
	for (size_t i = p->from; i < p->from + p->count; i++)
		s->segment_bytes -= rows[i].bytes;
	s->segment_bytes += bytes;
	(void)pthread_mutex_lock(&s->counts_mx);
	s->counts.merges += p->count > 1; /* one alone was sorted */
	s->counts.segments -= p->count - 1;
	(void)pthread_mutex_unlock(&s->counts_mx);
}

static enum err_code read_small(struct store *s, struct segment_row rows[LOOK], size_t *ret_count,
				struct err *e)
{
	sqlite3_stmt *st =
		db_ask(&s->db,
		       "SELECT " SEGMENT_COLUMNS " FROM segment WHERE damaged = 0 AND"
		       " first_seq >= (SELECT min(first_seq) FROM segment WHERE level < 9)"
		       " ORDER BY first_seq LIMIT 96",
		       NULL, 0);
	size_t n = 0;

	while (n < LOOK && db_next(&s->db, st)) {
		rows[n] = segment_row_of(st);
		if (rows[n].level == STORE_LEVEL_DONE)
			break; /* it could not be moved: nothing is merged across it */
		n++;
	}
	db_leave(st);
	*ret_count = n;
	return db_ended(&s->db, "read the segments", e);
}

/* What can be made of the plan when the row at @bad does not fit with those before it: texts that are
 * alike take little of the file, and may be more than a segment holds. */
static struct plan less_than(const struct plan *p, const struct segment_row *rows, size_t bad)
{
	size_t count = bad - p->from;

	if (count > 1)
		return (struct plan){ p->from, count, p->level };
	bool sorted = count && rows[p->from].count >= SHELVED_LEAST;
	return (struct plan){ p->from, 1, sorted ? STORE_LEVEL_WHOLE : STORE_LEVEL_DONE };
}

/* *@ret_bad: the row that cannot be read or moved, or does not fit, if that was it. */
static enum err_code carry_out(struct store *s, const struct segment_row *rows,
			       const struct plan *p, size_t *ret_bad, bool *ret_is_read,
			       struct err *e)
{
	struct segment_row made;
	enum err_code code = tools_take(s, e);

	*ret_bad = SIZE_MAX;
	*ret_is_read = false;
	if (code == ERR_OK)
		code = db_begin(&s->db, e);
	if (code == ERR_OK && p->count == 1) {
		*ret_bad = p->from;
		made = rows[p->from];
		code = segment_shelve(s, &made, ret_is_read, e);
	} else if (code == ERR_OK) {
		code = merge(s, rows, p, &made, ret_bad, ret_is_read, e);
		made.bytes = made.data.len;
	}
	if (code == ERR_OK)
		code = db_commit(&s->db, e);
	tools_leave(s);
	if (code == ERR_OK)
		count_merge(s, rows, p, made.bytes);
	else
		db_rollback(&s->db);
	return code;
}

static enum err_code merge_some(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	struct segment_row rows[LOOK];
	size_t n, bad;
	bool is_read;
	enum err_code code = read_small(s, rows, &n, e);

	if (code != ERR_OK)
		return code;
	struct plan p = plan(rows, n, now);
	if (!p.count)
		return ERR_OK;
	for (; p.count > 1 || p.level != STORE_LEVEL_DONE; p = less_than(&p, rows, bad)) {
		code = carry_out(s, rows, &p, &bad, &is_read, e);
		*ret_more |= code == ERR_OK;
		if (code == ERR_PARSE && bad != SIZE_MAX && !is_read) {
			segment_note_damage(&s->gaps, &rows[bad], e->msg);
			return leave(s, rows[bad].first_seq, ret_more, e);
		}
		/* beside a damaged page, which cannot be mended */
		if (code == ERR_PARSE && !mend_helps(s, now))
			return leave(s, rows[bad == SIZE_MAX ? p.from : bad].first_seq, ret_more,
				     e);
		if (code != ERR_INVALID || bad == SIZE_MAX)
			return code; /* it is done; or a full disk, say: later */
	}
	return leave(s, rows[p.from].first_seq, ret_more, e);
}

enum err_code merge_portion(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	return mend_tending(s, merge_some(s, now, ret_more, e), now, ret_more, e);
}

/* --- after a crash: edges that were counted and not written ---------------------------------- */

static enum err_code recount_piece(struct store *s, struct dict_back *back, uint64_t id,
				   uint64_t sum, uint64_t from_seq, struct wall_ns now,
				   struct err *e)
{
	enum err_code code = piece_read(&s->db, id, sum, &s->bytes, e);

	if (code == ERR_OK)
		code = segment_open(s->segment, buf_str(&s->bytes), e);
	for (uint64_t at = 0; code == ERR_OK && at < segment_count(s->segment); at += STORE_CHUNK) {
		size_t left = segment_count(s->segment) - at;
		size_t n = left < STORE_CHUNK ? left : STORE_CHUNK;
		memset(s->scratch, 0, n * sizeof *s->scratch);
		code = segment_load(s->segment, FLOW_MEMBERS_ALL, at, n, s->scratch, e);
		if (code != ERR_OK)
			break;
		dict_back_flows(back, &s->db, FLOW_MEMBERS_ALL, s->scratch, n);
		code = dict_back_ended(back, e);
		for (size_t i = 0; i < n && code == ERR_OK; i++)
			if (s->scratch[i].seq >= from_seq)
				edges_add(s->edges, &s->scratch[i], now);
	}
	return code;
}

static enum err_code recount_shelves(struct store *s, struct dict_back *back,
				     const struct segment_row *row, uint64_t from_seq,
				     struct wall_ns now, struct err *e)
{
	struct shelf_row shelves[SHELVES];
	uint64_t count = 0, records = 0;
	sqlite3_stmt *st = shelves_ask(&s->db, row);

	for (; count < SHELVES && db_next(&s->db, st); count++) {
		shelves[count] = shelf_row_of(st);
		records += shelves[count].count;
	}
	db_leave(st);
	enum err_code code = db_ended(&s->db, "read the shelves of a segment", e);
	if (code == ERR_OK && (count != row->shelves || records != row->count))
		code = err_set(e, ERR_PARSE, "segment %llu does not hold what it should",
			       (unsigned long long)row->first_seq);
	for (size_t i = 0; i < count && code == ERR_OK; i++)
		code = recount_piece(s, back, shelves[i].id, shelves[i].sum, from_seq, now, e);
	return code;
}

static enum err_code recount(struct store *s, struct dict_back *back, const struct segment_row *row,
			     uint64_t from_seq, struct wall_ns now, struct err *e)
{
	uint64_t unreadable = dict_back_unreadable(back);
	enum err_code code = ERR_OK;

	if (row->damaged) /* it is told already */
		return ERR_OK;
	if (row->shelves)
		code = recount_shelves(s, back, row, from_seq, now, e);
	else
		code = recount_piece(s, back, row->first_seq, row->sum, from_seq, now, e);
	if (code == ERR_OK && dict_back_unreadable(back) != unreadable)
		segment_note_unmarked(&s->gaps, row, segment_is_nameless);
	if (code == ERR_PARSE)
		segment_note_damage(&s->gaps, row, e->msg);
	return code == ERR_PARSE ? ERR_OK : code;
}

static enum err_code write_waiting(struct store *s, uint64_t from_seq, struct err *e)
{
	if (edges_pending(s->edges).v == UINT64_MAX)
		return ERR_OK;
	enum err_code code = db_begin(&s->db, e);
	if (code != ERR_OK)
		return code;
	code = edges_write(s->edges, &s->db, s->rows.day, from_seq, e);
	if (code == ERR_OK)
		code = db_commit(&s->db, e);
	if (code == ERR_OK) {
		edges_forget(s->edges);
	} else {
		db_rollback(&s->db);
		edges_not_written(s->edges);
	}
	return code;
}

/* The first one from @at on. *@ret_is_bare: its row cannot be read, but for where it begins. */
static enum err_code next_row(struct db *db, uint64_t at, struct segment_row *ret,
			      bool *ret_is_bare, struct err *e)
{
	sqlite3_stmt *st = DB_ASK(db,
				  "SELECT " SEGMENT_COLUMNS " FROM segment WHERE first_seq >= ?1"
				  " ORDER BY first_seq LIMIT 1",
				  DB_I(store_i64(at)));

	*ret = (struct segment_row){ .first_seq = 0 };
	if (db_next(db, st))
		*ret = segment_row_of(st);
	db_leave(st);
	enum err_code code = db_ended(db, "read the segments", e);
	*ret_is_bare = code == ERR_PARSE;
	return *ret_is_bare ? segment_find_bare(db, at, false, ret, e) : code;
}

static enum err_code recount_from(struct store *s, uint64_t from_seq, struct wall_ns now,
				  struct err *e)
{
	struct segment_row row = { .first_seq = 0 };
	struct dict_back *back;
	uint64_t at = from_seq;
	bool is_bare;
	enum err_code code = dict_back_new(s->dict, &back, e);

	if (code != ERR_OK)
		return code;
	code = segment_new(&s->segment, e);
	/* where the segment begins that holds the first one */
	sqlite3_stmt *st =
		DB_ASK(&s->db, "SELECT max(first_seq) FROM segment WHERE first_seq <= ?1",
		       DB_I(store_i64(at)));
	if (code == ERR_OK && db_next(&s->db, st) && column_u64(st, 0))
		at = column_u64(st, 0);
	db_leave(st);
	if (code == ERR_OK)
		code = db_ended(&s->db, "read the segments", e);
	for (; code == ERR_OK; at = row.last_seq + 1) {
		code = next_row(&s->db, at, &row, &is_bare, e);
		if (code != ERR_OK || !row.first_seq)
			break;
		if (is_bare)
			segment_note_unmarked(&s->gaps, &row, segment_is_bare);
		else
			code = recount(s, back, &row, from_seq, now, e);
	}
	dict_back_free(back);
	tools_leave(s);
	if (code != ERR_OK)
		edges_forget(s->edges);
	return code;
}

enum err_code edges_recover(struct store *s, struct wall_ns now, struct err *e)
{
	uint64_t from_seq = 0, last_seq = 0;
	enum err_code code = db_number(&s->db, "SELECT value FROM meta WHERE name = 'edges_seq'", 0,
				       &from_seq, e);

	if (code == ERR_OK)
		code = db_number(&s->db,
				 "SELECT last_seq FROM segment ORDER BY first_seq DESC LIMIT 1", 0,
				 &last_seq, e);
	if (code != ERR_OK || !last_seq || last_seq < from_seq)
		return code;
	code = write_waiting(s, from_seq, e);
	return code == ERR_OK ? recount_from(s, from_seq, now, e) : code;
}
