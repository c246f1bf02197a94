#include "store/inside.h"

enum err_code segment_insert(struct db *db, const struct segment_row *row, struct err *e)
{
	enum err_code code = DB_RUN(
		db, e,
		"INSERT INTO segment (first_seq, last_seq, count, blocks, level, from_ns, to_ns,"
		" untimed, sealed_ns, last_entry, damaged, bytes, sum, zone)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?12, ?13)",
		DB_I(row->first_seq), DB_I(row->last_seq), DB_I(row->count), DB_I(row->blocks),
		DB_I(row->level), DB_I(store_i64(row->from.v)), DB_I(store_i64(row->to.v)),
		DB_I(row->untimed), DB_I(store_i64(row->sealed.v)), DB_I(row->last_entry),
		DB_I(row->data.len), DB_I(hash_bytes(row->data.p, row->data.len, 0)),
		DB_B(row->zone));

	if (code == ERR_OK)
		code = DB_RUN(db, e, "INSERT INTO segment_data (first_seq, data) VALUES (?1, ?2)",
			      DB_I(row->first_seq), DB_B(row->data));
	return code;
}

enum err_code segment_delete(struct db *db, uint64_t first_seq, struct err *e)
{
	enum err_code code =
		DB_RUN(db, e, "DELETE FROM segment WHERE first_seq = ?1", DB_I(first_seq));

	if (code == ERR_OK)
		code = DB_RUN(db, e, "DELETE FROM segment_data WHERE first_seq = ?1",
			      DB_I(first_seq));
	return code;
}

struct segment_row segment_row_of(sqlite3_stmt *st)
{
	return (struct segment_row){
		.first_seq = column_u64(st, 0),
		.last_seq = column_u64(st, 1),
		.count = column_u64(st, 2),
		.blocks = column_u64(st, 3),
		.level = (uint32_t)column_u64(st, 4),
		.from = { column_u64(st, 5) },
		.to = { column_u64(st, 6) },
		.untimed = column_u64(st, 7),
		.sealed = { column_u64(st, 8) },
		.last_entry = column_u64(st, 9),
		.damaged = column_u64(st, 10) != 0,
		.sum = column_u64(st, 11),
		.bytes = column_u64(st, 12),
	};
}

enum err_code segment_read(struct db *db, const struct segment_row *row, struct buf *to,
			   struct err *e)
{
	sqlite3_stmt *st = DB_ASK(db, "SELECT data FROM segment_data WHERE first_seq = ?1",
				  DB_I(row->first_seq));
	bool found = db_next(db, st);

	buf_reset(to);
	if (found) {
		struct str data = column_blob(st, 0);
		buf_put(to, data.p, data.len);
		/* A page that cannot be read shows here: the blob is then empty. */
		if (sqlite3_errcode(db->h) == SQLITE_NOMEM)
			to->failed = true;
		db_leave(st);
	}
	enum err_code code = db_ended(db, "read a segment", e);
	if (code != ERR_OK)
		return code;
	if (to->failed)
		return err_set(e, ERR_NOMEM, "a segment of %zu bytes", to->len);
	if (!found || hash_bytes(to->p, to->len, 0) != row->sum)
		return err_set(e, ERR_PARSE, "segment %llu is damaged",
			       (unsigned long long)row->first_seq);
	return ERR_OK;
}

void segment_note_damage(struct gaps *g, const struct segment_row *row, const char *why)
{
	const struct store_gap gap = {
		.cause = STORE_GAP_DAMAGED,
		.from = row->from,
		.to = row->to,
		.lost = row->count,
		.first_seq = row->first_seq,
		.last_seq = row->last_seq,
		.node = STR(""),
		.detail = str_of(why),
	};

	gaps_note(g, &gap, true);
}
