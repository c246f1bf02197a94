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

	return code == ERR_OK ? piece_insert(db, row->first_seq, row->data, e) : code;
}

enum err_code segment_delete(struct db *db, const struct segment_row *row, struct err *e)
{
	enum err_code code =
		DB_RUN(db, e, "DELETE FROM segment WHERE first_seq = ?1", DB_I(row->first_seq));

	return code == ERR_OK ? pieces_delete(db, row, e) : code;
}

static uint64_t last_piece(const struct segment_row *row)
{
	return row->shelves ? row->first_seq + row->shelves - 1 : row->first_seq;
}

static const char pieces_of_range[] = "DELETE FROM segment_data WHERE first_seq BETWEEN ?1 AND ?2",
		  shelves_of_range[] = "DELETE FROM shelf WHERE id BETWEEN ?1 AND ?2";

enum err_code pieces_try(struct db *db, const struct segment_row *row, uint64_t *ret_stuck,
			 struct err *e)
{
	uint64_t stuck = 0;
	enum err_code code = ERR_OK;

	for (uint64_t i = 0, id = row->first_seq; id <= last_piece(row); i++, id++) {
		code = db_begin(db, e);
		if (code == ERR_OK)
			code = DB_RUN(db, e, pieces_of_range, DB_I(id), DB_I(id));
		db_rollback(db);
		if (code == ERR_PARSE)
			stuck |= UINT64_C(1) << i;
		else if (code != ERR_OK)
			return code;
	}
	*ret_stuck = stuck;
	return ERR_OK;
}

enum err_code segment_prune(struct db *db, const struct segment_row *row, uint64_t stuck,
			    struct err *e)
{
	if (!stuck)
		return segment_delete(db, row, e);
	uint64_t first = row->first_seq, last = last_piece(row);
	enum err_code code = DB_RUN(db, e, "DELETE FROM segment WHERE first_seq = ?1", DB_I(first));

	for (uint64_t i = 0; first + i <= last && code == ERR_OK; i++)
		if (!(stuck >> i & 1))
			code = DB_RUN(db, e, pieces_of_range, DB_I(first + i), DB_I(first + i));
	if (code == ERR_OK && row->shelves)
		code = DB_RUN(db, e, shelves_of_range, DB_I(first), DB_I(last));
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
		.shelves = column_u64(st, 13),
	};
}

/* It begins where the one before was sealed, and ends before the next one begins. */
static enum err_code find_neighbours(struct db *db, struct segment_row *row, struct err *e)
{
	uint64_t before = 0, next = 0;
	sqlite3_stmt *st = DB_ASK(db,
				  "SELECT max(sealed_ns) FROM segment INDEXED BY segment_sealed"
				  " WHERE sealed_ns > 0 AND first_seq < ?1",
				  DB_I(row->first_seq));

	if (db_next(db, st))
		before = column_u64(st, 0);
	db_leave(st);
	enum err_code code = db_ended(db, "read the segments", e);
	if (code != ERR_OK)
		return code;
	st = DB_ASK(db,
		    "SELECT min(first_seq) FROM segment INDEXED BY segment_sealed"
		    " WHERE sealed_ns > 0 AND first_seq > ?1",
		    DB_I(row->first_seq));
	if (db_next(db, st))
		next = column_u64(st, 0);
	db_leave(st);
	row->from.v = before && before < row->sealed.v ? before : row->sealed.v;
	row->last_seq = next ? next - 1 : row->first_seq;
	return db_ended(db, "read the segments", e);
}

enum err_code segment_find_bare(struct db *db, uint64_t at, bool backward, struct segment_row *ret,
				struct err *e)
{
	struct segment_row row = { .first_seq = 0 };
	sqlite3_stmt *st = backward ? DB_ASK(db,
					     "SELECT first_seq, sealed_ns FROM segment"
					     " INDEXED BY segment_sealed"
					     " WHERE sealed_ns > 0 AND first_seq < ?1"
					     " ORDER BY first_seq DESC LIMIT 1",
					     DB_I(store_i64(at)))
				    : DB_ASK(db,
					     "SELECT first_seq, sealed_ns FROM segment"
					     " INDEXED BY segment_sealed"
					     " WHERE sealed_ns > 0 AND first_seq >= ?1"
					     " ORDER BY first_seq LIMIT 1",
					     DB_I(store_i64(at)));

	if (db_next(db, st)) {
		row.first_seq = column_u64(st, 0);
		row.to.v = row.sealed.v = column_u64(st, 1);
		db_leave(st);
	}
	enum err_code code = db_ended(db, "read the segments", e);
	if (code == ERR_OK && row.first_seq)
		code = find_neighbours(db, &row, e);
	if (code == ERR_OK)
		*ret = row;
	return code;
}

/* --- pieces ------------------------------------------------------------------------------- */

enum err_code piece_insert(struct db *db, uint64_t id, struct str data, struct err *e)
{
	return DB_RUN(db, e, "INSERT INTO segment_data (first_seq, data) VALUES (?1, ?2)", DB_I(id),
		      DB_B(data));
}

enum err_code pieces_delete(struct db *db, const struct segment_row *row, struct err *e)
{
	const struct db_value first = DB_I(row->first_seq), last = DB_I(last_piece(row));
	enum err_code code = DB_RUN(db, e, pieces_of_range, first, last);

	if (code == ERR_OK && row->shelves)
		code = DB_RUN(db, e, shelves_of_range, first, last);
	return code;
}

enum err_code piece_read(struct db *db, uint64_t id, uint64_t sum, struct buf *to, struct err *e)
{
	buf_reset(to);
	return piece_append(db, id, sum, to, e);
}

enum err_code piece_append(struct db *db, uint64_t id, uint64_t sum, struct buf *to, struct err *e)
{
	sqlite3_stmt *st =
		DB_ASK(db, "SELECT data FROM segment_data WHERE first_seq = ?1", DB_I(id));
	bool found = db_next(db, st);
	size_t before = to->len;

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
	if (!found || hash_bytes(to->p + before, to->len - before, 0) != sum)
		return err_set(e, ERR_PARSE, "segment %llu is damaged", (unsigned long long)id);
	return ERR_OK;
}

/* --- shelves ------------------------------------------------------------------------------ */

enum err_code shelf_insert(struct db *db, const struct shelf_row *row, struct err *e)
{
	return DB_RUN(db, e,
		      "INSERT INTO shelf (id, count, sum, zone_sum, zone)"
		      " VALUES (?1, ?2, ?3, ?4, ?5)",
		      DB_I(row->id), DB_I(row->count), DB_I(row->sum),
		      DB_I(hash_bytes(row->zone.p, row->zone.len, 0)), DB_B(row->zone));
}

sqlite3_stmt *shelves_ask(struct db *db, const struct segment_row *row)
{
	return DB_ASK(db,
		      "SELECT id, count, sum, zone_sum, zone FROM shelf WHERE id BETWEEN ?1 AND ?2"
		      " ORDER BY id",
		      DB_I(row->first_seq), DB_I(row->last_seq));
}

struct shelf_row shelf_row_of(sqlite3_stmt *st)
{
	struct shelf_row row = { .id = column_u64(st, 0),
				 .count = column_u64(st, 1),
				 .sum = column_u64(st, 2),
				 .zone = column_blob(st, 4) };

	if (hash_bytes(row.zone.p, row.zone.len, 0) != column_u64(st, 3))
		row.zone = STR("");
	return row;
}

static struct store_gap gap_of(const struct segment_row *row, uint64_t lost, const char *why)
{
	return (struct store_gap){
		.cause = STORE_GAP_DAMAGED,
		.from = row->from,
		.to = row->to,
		.lost = lost,
		.first_seq = row->first_seq,
		.last_seq = row->last_seq,
		.node = STR(""),
		.detail = str_of(why),
	};
}

void segment_note_damage(struct gaps *g, const struct segment_row *row, const char *why)
{
	const struct store_gap gap = gap_of(row, row->count, why);

	gaps_note(g, &gap, true);
}

const char segment_is_nameless[] = "names that cannot be read";
const char segment_is_bare[] = "a page of the table of segments";

void segment_note_unmarked(struct gaps *g, const struct segment_row *row, const char *why)
{
	const struct store_gap gap = gap_of(row, 0, why);

	gaps_note(g, &gap, false);
}

bool segment_is_told(struct db *db, const struct segment_row *row)
{
	sqlite3_stmt *st =
		DB_ASK(db,
		       "SELECT 1 FROM gap WHERE cause = ?1 AND first_seq BETWEEN 1 AND ?2"
		       " AND last_seq >= ?3 LIMIT 1",
		       DB_I(STORE_GAP_DAMAGED), DB_I(store_i64(row->first_seq)),
		       DB_I(store_i64(row->last_seq)));
	bool is_told = db_next(db, st);

	db_leave(st);
	return is_told;
}
