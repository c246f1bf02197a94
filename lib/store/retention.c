#include "store/inside.h"

/*
 * What is too old, or too much, goes from the oldest end: segments with their entries of the chain,
 * of which the last one's hash stays (the anchor, and in an entry of its own). Then the pages they
 * took are given back to the file system, some at a time.
 *
 * Age is the time since a block was sealed: what flows say of their own time may be anything.
 */

enum {
	PRUNE_AT_ONCE = 32, /* segments */
	SLACK_PAGES = 1024, /* free pages that are kept for what comes next … */
	SLACK_PART = 16,    /* … or this part of the file, if that is more */
	VACUUM_PAGES = 512, /* given back at once */
	EDGES_EVERY_S = 60,
	HOURS_OF_EDGES = 4,
	HELD_UP_S = 3600,
};

struct usage {
	uint64_t page_bytes, pages, free_pages;
};

static enum err_code measure(struct store *s, struct usage *ret, struct err *e)
{
	enum err_code code = db_number(&s->db, "PRAGMA page_size", 0, &ret->page_bytes, e);

	if (code == ERR_OK)
		code = db_number(&s->db, "PRAGMA page_count", 0, &ret->pages, e);
	if (code == ERR_OK)
		code = db_number(&s->db, "PRAGMA freelist_count", 0, &ret->free_pages, e);
	return code;
}

/* --- segments ------------------------------------------------------------------------------ */

struct pruned {
	uint64_t segments, records, blocks, bytes, last_entry;
	uint64_t stuck; /* of one alone: pieces that cannot be deleted */
};

/* The oldest ones: numbered up to @upto, or until @enough_bytes are gone. */
static enum err_code choose(struct store *s, uint64_t upto, uint64_t enough_bytes,
			    struct segment_row rows[PRUNE_AT_ONCE], struct pruned *ret,
			    struct err *e)
{
	sqlite3_stmt *st = DB_ASK(&s->db,
				  "SELECT " SEGMENT_COLUMNS " FROM segment WHERE first_seq <= ?1"
				  " ORDER BY first_seq LIMIT 32",
				  DB_I(store_i64(upto)));

	*ret = (struct pruned){ 0 };
	while (ret->segments < PRUNE_AT_ONCE && ret->bytes < enough_bytes && db_next(&s->db, st)) {
		struct segment_row row = segment_row_of(st);
		rows[ret->segments++] = row;
		ret->records += row.count;
		ret->blocks += row.blocks;
		ret->bytes += row.bytes;
		ret->last_entry = row.last_entry;
	}
	db_leave(st);
	return db_ended(&s->db, "read the segments", e);
}

static enum err_code append_pruned(struct store *s, struct chain_head *head, const struct pruned *p,
				   const struct chain_hash *hash, const char *why,
				   struct wall_ns now, struct err *e)
{
	AUTO_BUF struct buf body = buf_init(STORE_BODY_BYTES);

	buf_lit(&body, "{\"kind\":\"pruned\"");
	put_time(&body, "time", now);
	put_number(&body, "to_entry", p->last_entry);
	buf_lit(&body, ",\"hash\":\"");
	put_hex(&body, hash->v, sizeof hash->v);
	buf_char(&body, '"');
	put_number(&body, "records", p->records);
	put_number(&body, "blocks", p->blocks);
	put_text(&body, "why", str_of(why));
	buf_char(&body, '}');
	return chain_append(&s->db, head, ENTRY_PRUNED, buf_str(&body), e);
}

/* Policies that are in force, and whose entry has gone, say so again: what they are can then still
 * be proven. */
static enum err_code write_prune(struct store *s, struct chain_head *head,
				 const struct segment_row *rows, const struct pruned *p,
				 const char *why, struct wall_ns now, struct err *e)
{
	struct chain_hash hash;
	enum err_code code = ERR_OK;

	for (uint64_t i = 0; i < p->segments && code == ERR_OK; i++)
		code = segment_prune(&s->db, &rows[i], p->stuck, e);
	if (code == ERR_OK)
		code = chain_cut(&s->db, p->last_entry, &hash, e);
	if (code == ERR_OK)
		code = append_pruned(s, head, p, &hash, why, now, e);
	if (code == ERR_OK)
		code = policies_say_again(&s->db, head, p->last_entry, rows[p->segments - 1].sealed,
					  now, e);
	if (code == ERR_OK)
		code = DB_RUN(&s->db, e, "INSERT OR REPLACE INTO meta VALUES ('pruned', ?1)",
			      DB_I(rows[p->segments - 1].last_seq));
	return code;
}

static void count_prune(struct store *s, const struct pruned *p)
{
	uint64_t oldest = 0;

	s->segment_bytes -= p->bytes;
	(void)!db_number(&s->db, "SELECT from_ns FROM segment ORDER BY first_seq LIMIT 1", 0,
			 &oldest, NULL);
	(void)pthread_mutex_lock(&s->counts_mx);
	s->counts.records -= p->records;
	s->counts.blocks -= p->blocks;
	s->counts.segments -= p->segments;
	s->counts.pruned_records += p->records;
	s->counts.pruned_blocks += p->blocks;
	s->counts.oldest.v = oldest;
	(void)pthread_mutex_unlock(&s->counts_mx);
}

static enum err_code carry_out(struct store *s, struct chain_head *head,
			       const struct segment_row *rows, const struct pruned *p,
			       const char *why, struct wall_ns now, struct err *e)
{
	enum err_code code = db_begin(&s->db, e);

	*head = s->head;
	if (code == ERR_OK)
		code = write_prune(s, head, rows, p, why, now, e);
	if (code == ERR_OK)
		code = db_commit(&s->db, e);
	if (code != ERR_OK)
		db_rollback(&s->db);
	return code;
}

/* The oldest one alone, as far as it can be deleted: beside a damaged page not even what is sound can
 * always be. */
static enum err_code prune_one(struct store *s, struct chain_head *head,
			       const struct segment_row *row, struct pruned *p, const char *why,
			       struct wall_ns now, struct err *e)
{
	*p = (struct pruned){ .segments = 1,
			      .records = row->count,
			      .blocks = row->blocks,
			      .bytes = row->bytes,
			      .last_entry = row->last_entry };
	enum err_code code = pieces_try(&s->db, row, &p->stuck, e);
	if (code == ERR_OK)
		code = carry_out(s, head, row, p, why, now, e);
	if (code != ERR_PARSE)
		return code;
	p->stuck = UINT64_MAX;
	return carry_out(s, head, row, p, why, now, e);
}

static enum err_code prune(struct store *s, uint64_t upto, uint64_t enough_bytes, const char *why,
			   struct wall_ns now, bool *ret_more, struct err *e)
{
	struct segment_row rows[PRUNE_AT_ONCE];
	struct chain_head head;
	struct pruned p;

	/* An entry is to follow: not in front of a block that has its number already. */
	enum err_code code = store_seal(s, now, e);
	if (code == ERR_OK)
		code = choose(s, upto, enough_bytes, rows, &p, e);
	if (code != ERR_OK || !p.segments)
		return code;
	code = carry_out(s, &head, rows, &p, why, now, e);
	if (code == ERR_PARSE)
		code = prune_one(s, &head, rows, &p, why, now, e);
	if (code != ERR_OK)
		return code;
	s->head = head;
	count_prune(s, &p);
	store_published(s);
	*ret_more = true;
	return ERR_OK;
}

static enum err_code by_age(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	uint64_t upto = 0;

	if (!s->config.retention_ns || now.v <= s->config.retention_ns)
		return ERR_OK;
	/* Not the oldest one's own age: a clock that was ahead for a while must not keep them all.
	 */
	sqlite3_stmt *st = DB_ASK(&s->db, "SELECT max(first_seq) FROM segment WHERE sealed_ns < ?1",
				  DB_I(store_i64(now.v - s->config.retention_ns)));
	if (db_next(&s->db, st)) {
		upto = column_u64(st, 0);
		db_leave(st);
	}
	enum err_code code = db_ended(&s->db, "read the segments", e);
	if (code != ERR_OK || !upto)
		return code;
	return prune(s, upto, UINT64_MAX, "age", now, ret_more, e);
}

/* *@ret_oldest: the minute they began with; 0: there were none. */
static enum err_code prune_oldest_edges(struct store *s, uint64_t *ret_oldest, struct err *e)
{
	bool any_left;
	enum err_code code = edges_oldest(&s->db, 0, ret_oldest, e);

	if (code != ERR_OK || !*ret_oldest)
		return code;
	struct wall_ns cutoff = { (*ret_oldest + HOURS_OF_EDGES * 60) * 60 * NS_PER_S };
	return edges_prune(&s->db, cutoff, &any_left, e);
}

static enum err_code by_size(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	uint64_t limit = s->config.retention_bytes, oldest = 0;
	struct usage u;

	if (!limit)
		return ERR_OK;
	enum err_code code = measure(s, &u, e);
	uint64_t used = code == ERR_OK ? (u.pages - u.free_pages) * u.page_bytes : 0;
	if (used <= limit)
		return code;
	/* Edges, the chain and names are small beside flows; where they are not, edges go first. */
	uint64_t rest = used > s->segment_bytes ? used - s->segment_bytes : 0;
	if (s->counts.segments && rest <= limit / 2)
		return prune(s, UINT64_MAX, used - limit, "size", now, ret_more, e);
	code = prune_oldest_edges(s, &oldest, e);
	if (code == ERR_OK && oldest) {
		*ret_more = true;
	} else if (s->counts.segments) {
		struct err other;
		enum err_code pruned = prune(s, UINT64_MAX, used - limit, "size", now, ret_more,
					     code == ERR_OK ? e : &other);
		code = code == ERR_OK ? pruned : code;
	}
	return code;
}

/* --- the rest ------------------------------------------------------------------------------ */

/* Names that only what is gone could mean, once a day. */
static enum err_code old_names(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	uint64_t sealed = now.v;
	bool more = false;
	enum err_code code =
		db_number(&s->db, "SELECT sealed_ns FROM segment ORDER BY first_seq LIMIT 1", now.v,
			  &sealed, e);

	uint32_t day = day_of((struct wall_ns){ sealed });
	if (code != ERR_OK || day <= s->pruned_day + 1)
		return code;
	code = dict_rows_prune(&s->db, day - 1, &more, e);
	if (code == ERR_OK && !more)
		s->pruned_day = day - 1;
	*ret_more |= code == ERR_OK && more;
	return code;
}

/* A minute's edges stay at least as long as its flows do: replayed ones may be of any time. And a
 * gap at least as long as its entry: what is in the chain must be told. */
static enum err_code old_edges(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	bool more = false;

	if (now.v >= s->looked.v && now.v - s->looked.v < EDGES_EVERY_S * NS_PER_S)
		return ERR_OK;
	if (now.v <= s->config.edges_retention_ns)
		return ERR_OK;
	struct wall_ns cutoff = { now.v - s->config.edges_retention_ns }, oldest;
	enum err_code code =
		db_number(&s->db, "SELECT min(from_ns) FROM segment", cutoff.v, &oldest.v, e);
	if (code == ERR_OK)
		code = edges_prune(&s->db, oldest.v < cutoff.v ? oldest : cutoff, &more, e);
	if (code == ERR_OK)
		code = DB_RUN(&s->db, e,
			      "DELETE FROM gap WHERE to_ns < ?1"
			      " AND entry < (SELECT min(number) FROM entry)",
			      DB_I(store_i64(cutoff.v)));
	if (code == ERR_OK && !more)
		s->looked = now;
	*ret_more |= code == ERR_OK && more;
	return code;
}

static enum err_code vacuum(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	struct usage u;
	char sql[64];

	(void)now;
	enum err_code code = measure(s, &u, e);
	if (code != ERR_OK)
		return code;
	uint64_t slack = u.pages / SLACK_PART;
	slack = slack > SLACK_PAGES ? slack : SLACK_PAGES;
	uint64_t limit = s->config.retention_bytes;
	bool too_large = limit && u.pages * u.page_bytes > limit;
	if (u.free_pages <= slack && !(too_large && u.free_pages))
		return ERR_OK;
	(void)snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
	code = db_script(&s->db, sql, e);
	*ret_more |= code == ERR_OK;
	return code;
}

/* @code of what must not be held up for long, or the file grows without end: damage that cannot be mended
 * is tried for an hour, and once more; then another file is begun. */
static enum err_code not_for_ever(struct store *s, enum err_code code, struct wall_ns *held_up,
				  struct wall_ns now)
{
	if (code != ERR_PARSE || mend_helps(s, now)) {
		held_up->v = 0;
		return code;
	}
	if (!held_up->v || now.v < held_up->v)
		*held_up = now;
	if (now.v - held_up->v < HELD_UP_S * NS_PER_S)
		return code;
	held_up->v = 0;
	if (s->db.h && s->block.count)
		(void)!store_seal(s, now, NULL);
	file_set_aside(s, now);
	return code;
}

/* --- and where a page is damaged ----------------------------------------------------------- */

enum err_code prune_by_age(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	enum err_code code = mend_if_due(s, now, e);

	if (code == ERR_OK)
		code = mend_tending(s, by_age(s, now, ret_more, e), now, ret_more, e);
	return not_for_ever(s, code, &s->held_up[0], now);
}

enum err_code prune_by_size(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	return not_for_ever(s, mend_tending(s, by_size(s, now, ret_more, e), now, ret_more, e),
			    &s->held_up[1], now);
}

enum err_code prune_edges(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	return mend_tending(s, old_edges(s, now, ret_more, e), now, ret_more, e);
}

enum err_code prune_names(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	return mend_tending(s, old_names(s, now, ret_more, e), now, ret_more, e);
}

enum err_code give_back(struct store *s, struct wall_ns now, bool *ret_more, struct err *e)
{
	enum err_code code = vacuum(s, now, ret_more, e);

	/* A page at the end of the file that cannot be moved: what is free before it is used again. */
	return code == ERR_PARSE ? ERR_OK : code;
}
