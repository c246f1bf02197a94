#include "store/mend.h"

/*
 * What was on a damaged page is said elsewhere, too: gaps in the chain; rows of segments in their
 * columns and the chain, which has to agree; rows of shelves in theirs.
 */

/* Gaps are entries of the chain. */
static enum err_code refill_gaps(struct mend *m, struct err *e)
{
	AUTO_BUF struct buf b = buf_init(1 << 14);

	buf_lit(&b,
		"INSERT OR IGNORE INTO gap (entry, from_ns, to_ns, lost, first_seq, last_seq, node,"
		" detail, cause) SELECT number,"
		" CAST(strftime('%s', substr(a, 1, 19)) * 1000000000 + substr(a, 21, 9)"
		" AS INTEGER),"
		" CAST(strftime('%s', substr(b, 1, 19)) * 1000000000 + substr(b, 21, 9)"
		" AS INTEGER),"
		" CAST(lost AS INTEGER), CAST(first_seq AS INTEGER), CAST(last_seq AS INTEGER),"
		" node, detail, CASE cause");
	for (int i = 0; i < STORE_GAP_CAUSES_; i++)
		buf_printf(&b, " WHEN '%s' THEN %d", store_gap_cause_name((enum store_gap_cause)i),
			   i);
	buf_printf(
		&b,
		" ELSE 0 END FROM (SELECT number, body ->> 'from' AS a, body ->> 'to' AS b,"
		" body ->> 'lost' AS lost, body ->> 'first_seq' AS first_seq,"
		" body ->> 'last_seq' AS last_seq, body ->> 'node' AS node,"
		" body ->> 'detail' AS detail, body ->> 'cause' AS cause FROM entry"
		" WHERE kind = %d AND json_valid(body) AND number NOT IN (SELECT entry FROM gap))",
		ENTRY_GAP);
	/* Until none is left: a body for which SQLite has no memory is taken for one that says nothing. */
	enum err_code code = ERR_OK;
	for (int made = 1; code == ERR_OK && made; m->refilled_gaps += made) {
		code = db_script(m->db, buf_cstr(&b), e);
		made = code == ERR_OK ? sqlite3_changes(m->db->h) : 0;
	}
	return code;
}

/* Edges whose ends have no name any more are counted all the same. */
static enum err_code refill_parties(struct mend *m, struct err *e)
{
	return mend_script(
		m, e,
		"INSERT INTO party (id, namespace, name, day) SELECT id, '', 'unknown', %u"
		" FROM (SELECT src AS id FROM edge UNION SELECT dst FROM edge)"
		" WHERE id > 0 AND id NOT IN (SELECT id FROM party)",
		day_of(m->now));
}

static enum err_code read_piece(struct mend *m, uint64_t id, struct err *e)
{
	struct buf *to = &m->s->bytes;
	sqlite3_stmt *st =
		DB_ASK(&m->from, "SELECT data FROM segment_data WHERE first_seq = ?1", DB_I(id));
	bool found = db_next(&m->from, st);

	buf_reset(to);
	if (found) {
		struct str data = column_blob(st, 0);
		buf_put(to, data.p, data.len);
		if (sqlite3_errcode(m->from.h) == SQLITE_NOMEM)
			to->failed = true;
		db_leave(st);
	}
	enum err_code code = db_ended(&m->from, "read a segment", e);
	if (code == ERR_OK && to->failed)
		return err_set(e, ERR_NOMEM, "a segment of %zu bytes", to->len);
	if (code == ERR_OK && !found)
		return err_set(e, ERR_PARSE, "segment %llu is gone", (unsigned long long)id);
	return code == ERR_OK ? segment_open(m->s->segment, buf_str(to), e) : code;
}

/* What the open piece says of itself is added to @row, and to the zone. */
static enum err_code add_piece(struct mend *m, struct segment_row *row, struct err *e)
{
	struct flow *flows = m->s->scratch;
	size_t count = segment_count(m->s->segment);
	enum err_code code = ERR_OK;

	for (size_t at = 0; at < count && code == ERR_OK; at += STORE_CHUNK) {
		size_t n = count - at < STORE_CHUNK ? count - at : STORE_CHUNK;
		memset(flows, 0, n * sizeof *flows);
		code = segment_load(m->s->segment, FLOW_MEMBERS_ALL, at, n, flows, e);
		if (code != ERR_OK)
			break;
		flow_zone_add(m->s->merge_zone, flows, n);
		for (size_t i = 0; i < n; i++) {
			const struct flow *f = &flows[i];
			row->last_seq = f->seq > row->last_seq ? f->seq : row->last_seq;
			if (!flow_is(f, FLOW_HAS_TIME)) {
				row->untimed++;
				continue;
			}
			row->from = f->time.v < row->from.v ? f->time : row->from;
			row->to = f->time.v > row->to.v ? f->time : row->to;
		}
	}
	row->count += count;
	row->bytes += m->s->bytes.len;
	row->sum = hash_bytes(m->s->bytes.p, m->s->bytes.len, 0);
	return code;
}

static enum err_code put_zone(struct mend *m, struct err *e)
{
	buf_reset(&m->s->zone_bytes);
	flow_zone_put(&m->s->zone_bytes, m->s->merge_zone);
	return m->s->zone_bytes.failed ? err_set(e, ERR_NOMEM, "a segment of the store") : ERR_OK;
}

/* What the chain says of the records of @row; ERR_PARSE: not the same. */
static enum err_code ask_chain(struct mend *m, struct segment_row *row, uint64_t after_entry,
			       struct err *e)
{
	uint64_t count = 0, first = 0, last = 0;
	struct wall_ns from = { 0 }, to = { 0 };
	sqlite3_stmt *st =
		DB_ASK(m->db,
		       "SELECT count(*), max(number), max(sealed_ns), min(from_ns), max(to_ns),"
		       " sum(count), min(first_seq), max(last_seq) FROM entry WHERE number > ?1 AND"
		       " kind = 1 AND first_seq BETWEEN ?2 AND ?3",
		       DB_I(after_entry), DB_I(row->first_seq), DB_I(row->last_seq));

	if (db_next(m->db, st)) {
		row->blocks = column_u64(st, 0);
		row->last_entry = column_u64(st, 1);
		row->sealed.v = column_u64(st, 2);
		from.v = column_u64(st, 3);
		to.v = column_u64(st, 4);
		count = column_u64(st, 5);
		first = column_u64(st, 6);
		last = column_u64(st, 7);
	}
	db_leave(st);
	enum err_code code = db_ended(m->db, "read the chain", e);
	if (code == ERR_OK &&
	    (count != row->count || first != row->first_seq || last != row->last_seq))
		code = err_set(e, ERR_PARSE, "segment %llu does not hold what the chain says",
			       (unsigned long long)row->first_seq);
	if (row->untimed == row->count) {
		row->from = from;
		row->to = to;
	}
	return code;
}

static enum err_code is_shelf(struct mend *m, uint64_t id, bool *ret, struct err *e)
{
	sqlite3_stmt *st = DB_ASK(m->db, "SELECT 1 FROM shelf WHERE id = ?1", DB_I(id));

	*ret = db_next(m->db, st);
	db_leave(st);
	return db_ended(m->db, "read the shelves of a segment", e);
}

/* The row of the segment whose first piece @id is, out of its columns and the chain. */
static enum err_code refill_segment(struct mend *m, uint64_t id, uint64_t after_entry,
				    struct segment_row *ret, struct err *e)
{
	struct segment_row row = { .first_seq = id, .from.v = UINT64_MAX };
	bool any;
	enum err_code code = is_shelf(m, id, &any, e);

	flow_zone_reset(m->s->merge_zone);
	while (code == ERR_OK && any) {
		code = read_piece(m, id + row.shelves, e);
		if (code == ERR_OK)
			code = add_piece(m, &row, e);
		row.shelves++;
		if (code == ERR_OK)
			code = is_shelf(m, id + row.shelves, &any, e);
	}
	if (code == ERR_OK && !row.shelves) {
		code = read_piece(m, id, e);
		if (code == ERR_OK)
			code = add_piece(m, &row, e);
	}
	if (code == ERR_OK)
		code = ask_chain(m, &row, after_entry, e);
	if (code == ERR_OK)
		code = put_zone(m, e);
	if (code != ERR_OK)
		return code;
	row.level = row.shelves                  ? STORE_LEVEL_DONE
		    : row.count >= SHELVED_LEAST ? STORE_LEVEL_WHOLE
						 : 0;
	*ret = row;
	return DB_RUN(m->db, e,
		      "INSERT INTO segment (first_seq, last_seq, count, blocks, level, from_ns,"
		      " to_ns, untimed, sealed_ns, last_entry, damaged, bytes, sum, zone, shelves)"
		      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?12, ?13, ?14)",
		      DB_I(row.first_seq), DB_I(row.last_seq), DB_I(row.count), DB_I(row.blocks),
		      DB_I(row.level), DB_I(store_i64(row.from.v)), DB_I(store_i64(row.to.v)),
		      DB_I(row.untimed), DB_I(store_i64(row.sealed.v)), DB_I(row.last_entry),
		      DB_I(row.bytes), DB_I(row.shelves ? 0 : row.sum),
		      DB_B(buf_str(&m->s->zone_bytes)), DB_I(row.shelves));
}

/* The first piece behind @after and below @before; 0: there is none. */
static enum err_code next_piece(struct mend *m, uint64_t after, uint64_t before, uint64_t *ret,
				struct err *e)
{
	sqlite3_stmt *st = DB_ASK(&m->from,
				  "SELECT first_seq FROM segment_data WHERE first_seq > ?1"
				  " AND first_seq < ?2 ORDER BY first_seq LIMIT 1",
				  DB_I(after), DB_I(before));

	*ret = 0;
	if (db_next(&m->from, st)) {
		*ret = column_u64(st, 0);
		db_leave(st);
	}
	return db_ended(&m->from, "read the segments", e);
}

/* Of the row before the hole: where its records and entries end. */
static enum err_code read_before(struct mend *m, const struct hole *hole, uint64_t *ret_seq,
				 struct segment_row *ret, struct err *e)
{
	uint64_t pruned = 0;
	enum err_code code =
		db_number(m->db, "SELECT value FROM meta WHERE name = 'pruned'", 0, &pruned, e);
	sqlite3_stmt *st = DB_ASK(m->db,
				  "SELECT " SEGMENT_COLUMNS " FROM segment WHERE first_seq < ?1"
				  " ORDER BY first_seq DESC LIMIT 1",
				  DB_I(hole->from));

	*ret = (struct segment_row){ .last_seq = 0 };
	if (code == ERR_OK && db_next(m->db, st))
		*ret = segment_row_of(st);
	db_leave(st);
	*ret_seq = ret->last_seq > pruned ? ret->last_seq : pruned;
	return code == ERR_OK ? db_ended(m->db, "read the segments", e) : code;
}

static enum err_code refill_hole(struct mend *m, const struct hole *hole, struct err *e)
{
	struct segment_row row, lost = { .first_seq = 0 };
	uint64_t after, id, before = INT64_MAX;
	enum err_code code = read_before(m, hole, &after, &row, e);
	/* up to the next row there is, which may be far behind where rows can be read again */
	sqlite3_stmt *st = DB_ASK(m->db,
				  "SELECT first_seq FROM segment WHERE first_seq >= ?1"
				  " ORDER BY first_seq LIMIT 1",
				  DB_I(hole->from));
	if (code == ERR_OK && db_next(m->db, st))
		before = column_u64(st, 0);
	db_leave(st);
	if (code == ERR_OK)
		code = db_ended(m->db, "read the segments", e);

	while (code == ERR_OK) {
		code = next_piece(m, after, before, &id, e);
		if (code != ERR_OK || !id)
			break;
		struct wall_ns sealed = row.sealed;
		uint64_t entry = row.last_entry;
		code = refill_segment(m, id, entry, &row, e);
		after = code == ERR_OK ? row.last_seq : id;
		if (code != ERR_PARSE)
			continue;
		code = ERR_OK;
		row = (struct segment_row){ .sealed = sealed, .last_entry = entry };
		lost.from = lost.first_seq ? lost.from : sealed;
		lost.first_seq = lost.first_seq ? lost.first_seq : id;
		lost.last_seq = id;
	}
	if ((code != ERR_OK && code != ERR_PARSE) || (code == ERR_OK && !lost.first_seq))
		return code;
	if (!lost.first_seq)
		lost = (struct segment_row){ .from = row.sealed,
					     .first_seq = after + 1,
					     .last_seq = after + 1 };
	mend_note(m, lost.from, m->now, lost.first_seq, lost.last_seq, segment_is_bare);
	return ERR_OK;
}

/* Before each row, and behind the last one: where a page was in another's place nobody knows of a hole. */
static enum err_code refill_segments(struct mend *m, struct err *e)
{
	struct hole hole = { 0, INT64_MAX };
	enum err_code code = ERR_OK;
	bool more = true;

	while (code == ERR_OK && more) {
		code = refill_hole(m, &hole, e);
		sqlite3_stmt *st = DB_ASK(m->db,
					  "SELECT last_seq FROM segment WHERE first_seq >= ?1"
					  " ORDER BY first_seq LIMIT 1",
					  DB_I(hole.from));
		more = code == ERR_OK && db_next(m->db, st);
		if (more)
			hole.from = sqlite3_column_int64(st, 0) + 1;
		db_leave(st);
		if (code == ERR_OK)
			code = db_ended(m->db, "read the segments", e);
	}
	return code;
}

/* The row of a shelf whose piece is there. */
static enum err_code refill_shelf(struct mend *m, uint64_t id, struct err *e)
{
	struct segment_row row = { .from.v = UINT64_MAX };

	flow_zone_reset(m->s->merge_zone);
	enum err_code code = read_piece(m, id, e);
	if (code == ERR_OK)
		code = add_piece(m, &row, e);
	if (code == ERR_OK)
		code = put_zone(m, e);
	const struct shelf_row shelf = {
		.id = id, .count = row.count, .sum = row.sum, .zone = buf_str(&m->s->zone_bytes)
	};
	if (code == ERR_OK)
		code = shelf_insert(m->db, &shelf, e);
	return code == ERR_PARSE ? ERR_OK
				 : code; /* that segment is damaged: who asks it will tell */
}

static enum err_code refill_shelves(struct mend *m, struct err *e)
{
	enum err_code code = ERR_OK;
	uint64_t first = 0;

	while (code == ERR_OK) {
		uint64_t shelves = 0;
		sqlite3_stmt *st =
			DB_ASK(m->db,
			       "SELECT first_seq, shelves FROM segment WHERE"
			       " first_seq > ?1 AND shelves > (SELECT count(*) FROM shelf"
			       " WHERE id >= first_seq AND id < first_seq + shelves)"
			       " ORDER BY first_seq LIMIT 1",
			       DB_I(first));
		if (db_next(m->db, st)) {
			first = column_u64(st, 0);
			shelves = column_u64(st, 1);
		}
		db_leave(st);
		code = db_ended(m->db, "read the segments", e);
		if (!shelves)
			break;
		for (uint64_t i = 0; i < shelves && code == ERR_OK; i++) {
			bool any;
			code = is_shelf(m, first + i, &any, e);
			if (code == ERR_OK && !any)
				code = refill_shelf(m, first + i, e);
		}
	}
	return code;
}

enum err_code mend_refill(struct mend *m, struct err *e)
{
	enum err_code code = ERR_OK;

	if (m->damage[MEND_GAPS].is_there)
		code = refill_gaps(m, e);
	if (code == ERR_OK && m->damage[MEND_SEGMENTS].is_there)
		code = refill_segments(m, e);
	if (code == ERR_OK && m->damage[MEND_SHELVES].count)
		code = refill_shelves(m, e);
	if (code == ERR_OK && m->damage[MEND_PARTIES].is_there)
		code = refill_parties(m, e);
	return code;
}
