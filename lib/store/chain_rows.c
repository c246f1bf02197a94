#include <sys/random.h>

#include "base/time.h"
#include "flow/json.h"
#include "store/inside.h"

/*
 * Bodies of blocks are not kept as text: there is one a second, and the text follows from the
 * columns. A changed column changes the body, and so the hash.
 */

void put_hex(struct buf *b, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = p;

	for (size_t i = 0; i < n; i++) {
		buf_char(b, digits[bytes[i] >> 4]);
		buf_char(b, digits[bytes[i] & 15]);
	}
}

void put_time(struct buf *b, const char *name, struct wall_ns t)
{
	struct civil c = civil_of((int64_t)(t.v / NS_PER_S));

	buf_printf(b, ",\"%s\":\"%04lld-%02d-%02dT%02d:%02d:%02d.%09lluZ\"", name,
		   (long long)c.year, c.month, c.day, c.hour, c.minute, c.second,
		   (unsigned long long)(t.v % NS_PER_S));
}

void put_number(struct buf *b, const char *name, uint64_t v)
{
	buf_printf(b, ",\"%s\":\"%llu\"", name, (unsigned long long)v);
}

void put_text(struct buf *b, const char *name, struct str text)
{
	buf_printf(b, ",\"%s\":", name);
	json_put_string(b, text);
}

void chain_block_body(struct buf *b, const struct block_row *row)
{
	buf_lit(b, "{\"kind\":\"block\"");
	put_number(b, "first_seq", row->first_seq);
	put_number(b, "last_seq", row->last_seq);
	buf_printf(b, ",\"count\":%llu", (unsigned long long)row->count);
	put_time(b, "from", row->from);
	put_time(b, "to", row->to);
	buf_lit(b, ",\"root\":\"");
	put_hex(b, row->root.v, sizeof row->root.v);
	buf_char(b, '"');
	put_time(b, "sealed", row->sealed);
	buf_char(b, '}');
}

static enum err_code to_hash(struct str bytes, struct chain_hash *ret, struct err *e)
{
	if (bytes.len != sizeof ret->v)
		return err_set(e, ERR_PARSE, "the store's chain holds a hash of %zu bytes",
			       bytes.len);
	memcpy(ret->v, bytes.p, sizeof ret->v);
	return ERR_OK;
}

/* --- reading the end ---------------------------------------------------------------------- */

enum err_code chain_read_anchor(struct db *db, struct chain_head *ret, struct err *e)
{
	struct chain_head anchor = { 0 };
	enum err_code code =
		db_number(db, "SELECT value FROM meta WHERE name = 'anchor'", 0, &anchor.number, e);

	if (code != ERR_OK)
		return code;
	sqlite3_stmt *st = db_ask(db, "SELECT value FROM meta WHERE name = 'anchor_hash'", NULL, 0);
	if (db_next(db, st)) {
		code = to_hash(column_blob(st, 0), &anchor.hash, e);
		db_leave(st);
	}
	if (code == ERR_OK)
		code = db_ended(db, "read the chain", e);
	if (code == ERR_OK)
		*ret = anchor;
	return code;
}

enum err_code chain_read_head(struct db *db, struct chain_head *ret, struct err *e)
{
	struct chain_head head;
	enum err_code code = chain_read_anchor(db, &head, e);

	if (code != ERR_OK)
		return code;
	sqlite3_stmt *st =
		db_ask(db, "SELECT number, hash FROM entry ORDER BY number DESC LIMIT 1", NULL, 0);
	if (db_next(db, st)) {
		head.number = column_u64(st, 0);
		code = to_hash(column_blob(st, 1), &head.hash, e);
		db_leave(st);
	}
	if (code == ERR_OK)
		code = db_ended(db, "read the chain", e);
	if (code == ERR_OK)
		*ret = head;
	return code;
}

enum err_code chain_read_secret(struct db *db, bool make, struct chain_secret *ret, struct err *e)
{
	sqlite3_stmt *st = db_ask(db, "SELECT value FROM meta WHERE name = 'secret'", NULL, 0);
	struct chain_secret secret;
	bool found = false;

	if (db_next(db, st)) {
		struct str bytes = column_blob(st, 0);
		found = bytes.len == sizeof secret.v;
		if (found)
			memcpy(secret.v, bytes.p, sizeof secret.v);
		db_leave(st);
	}
	enum err_code code = db_ended(db, "read the store", e);
	if (code != ERR_OK)
		return code;
	if (!found && !make)
		return err_set(e, ERR_NOT_FOUND, "the store has no secret");
	if (!found) {
		if (getrandom(secret.v, sizeof secret.v, 0) != sizeof secret.v)
			return err_os(e, "random bytes for the store's secret");
		code = DB_RUN(db, e, "INSERT OR REPLACE INTO meta VALUES ('secret', ?1)",
			      DB_B(str_n(secret.v, sizeof secret.v)));
	}
	if (code == ERR_OK)
		*ret = secret;
	return code;
}

/* --- appending ---------------------------------------------------------------------------- */

enum err_code chain_append_block(struct db *db, struct chain_head *head,
				 const struct block_row *row, struct err *e)
{
	char text[512];
	struct buf body = buf_fixed(text, sizeof text);

	chain_block_body(&body, row);
	if (body.failed)
		return err_set(e, ERR_INTERNAL, "the body of a block is too long");
	uint64_t number = head->number + 1;
	struct chain_hash hash = chain_entry(number, &head->hash, buf_str(&body));
	enum err_code code =
		DB_RUN(db, e,
		       "INSERT INTO entry (number, kind, hash, first_seq, last_seq, count, from_ns,"
		       " to_ns, sealed_ns, root) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
		       DB_I(number), DB_I(ENTRY_BLOCK), DB_H(hash), DB_I(row->first_seq),
		       DB_I(row->last_seq), DB_I(row->count), DB_I(row->from.v), DB_I(row->to.v),
		       DB_I(row->sealed.v), DB_H(row->root));
	if (code == ERR_OK)
		*head = (struct chain_head){ number, hash };
	return code;
}

enum err_code chain_append(struct db *db, struct chain_head *head, enum entry_kind kind,
			   struct str body, struct err *e)
{
	uint64_t number = head->number + 1;
	struct chain_hash hash = chain_entry(number, &head->hash, body);
	enum err_code code = DB_RUN(
		db, e, "INSERT INTO entry (number, kind, hash, body) VALUES (?1, ?2, ?3, ?4)",
		DB_I(number), DB_I(kind), DB_H(hash), DB_T(body));

	if (code == ERR_OK)
		*head = (struct chain_head){ number, hash };
	return code;
}

enum err_code chain_cut(struct db *db, uint64_t number, struct chain_hash *ret_hash, struct err *e)
{
	struct chain_head anchor = { 0 };
	enum err_code code = chain_read_anchor(db, &anchor, e);
	if (code != ERR_OK)
		return code;
	/* The last one there is: where damage took some, the chain is broken before and after. */
	sqlite3_stmt *st =
		DB_ASK(db, "SELECT hash FROM entry WHERE number <= ?1 ORDER BY number DESC LIMIT 1",
		       DB_I(number));
	struct chain_hash hash = anchor.hash;
	if (db_next(db, st)) {
		code = to_hash(column_blob(st, 0), &hash, e);
		db_leave(st);
	}
	if (code == ERR_OK)
		code = db_ended(db, "read the chain", e);
	if (code == ERR_OK)
		code = DB_RUN(db, e, "INSERT OR REPLACE INTO meta VALUES ('anchor', ?1)",
			      DB_I(number));
	if (code == ERR_OK)
		code = DB_RUN(db, e, "INSERT OR REPLACE INTO meta VALUES ('anchor_hash', ?1)",
			      DB_H(hash));
	if (code == ERR_OK)
		code = DB_RUN(db, e, "DELETE FROM entry WHERE number <= ?1", DB_I(number));
	/* The last one before stays: it vouches for the beginning of what is left. */
	if (code == ERR_OK)
		code = DB_RUN(
			db, e,
			"DELETE FROM checkpoint WHERE entry < (SELECT max(entry) FROM checkpoint"
			" WHERE entry <= ?1)",
			DB_I(number));
	if (code == ERR_OK)
		*ret_hash = hash;
	return code;
}
