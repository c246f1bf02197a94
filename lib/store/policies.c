#include "chain/sha256.h"
#include "store/inside.h"

static enum err_code append_policy(struct db *db, struct chain_head *head,
				   const struct store_policy *p, struct wall_ns now, struct err *e)
{
	AUTO_BUF struct buf body = buf_init(STORE_BODY_BYTES);
	uint8_t digest[SHA256_BYTES];

	sha256(p->json, digest);
	buf_lit(&body, "{\"kind\":\"policy\"");
	put_time(&body, "time", now);
	put_text(&body, "policy_kind", p->kind);
	put_text(&body, "namespace", p->namespace_);
	put_text(&body, "name", p->name);
	put_text(&body, "uid", p->uid);
	put_text(&body, "resource_version", p->resource_version);
	if (p->origin.len)
		put_text(&body, "origin", p->origin);
	put_time(&body, "from", p->from);
	buf_lit(&body, ",\"sha256\":\"");
	if (p->json.len) /* "": it is gone */
		put_hex(&body, digest, sizeof digest);
	buf_lit(&body, "\"}");
	if (body.failed)
		return err_set(e, ERR_INVALID, "a policy with names of more than %d bytes",
			       STORE_BODY_BYTES);
	return chain_append(db, head, ENTRY_POLICY, buf_str(&body), e);
}

/* True: the row in force says the same already. Rows of a time when nobody said where a policy is
 * from stay as they are. */
static enum err_code is_in_force(struct db *db, const struct store_policy *p, bool *ret_any,
				 bool *ret_same, struct err *e)
{
	sqlite3_stmt *st =
		DB_ASK(db,
		       "SELECT text, uid, origin FROM policy WHERE kind = ?1 AND namespace = ?2"
		       " AND name = ?3 AND to_ns = 0",
		       DB_T(p->kind), DB_T(p->namespace_), DB_T(p->name));

	*ret_any = *ret_same = false;
	while (db_next(db, st)) {
		*ret_any = true;
		struct str origin = column_text(st, 2);
		*ret_same = str_eq(column_text(st, 0), p->json) &&
			    str_eq(column_text(st, 1), p->uid) &&
			    (!origin.len || str_eq(origin, p->origin));
	}
	return db_ended(db, "read the policies", e);
}

static enum err_code write_policy(struct db *db, struct chain_head *head,
				  const struct store_policy *p, struct wall_ns now, struct err *e)
{
	enum err_code code = append_policy(db, head, p, now, e);

	if (code == ERR_OK)
		code = DB_RUN(db, e,
			      "UPDATE policy SET to_ns = ?4 WHERE kind = ?1 AND namespace = ?2"
			      " AND name = ?3 AND to_ns = 0",
			      DB_T(p->kind), DB_T(p->namespace_), DB_T(p->name),
			      DB_I(store_i64(p->from.v)));
	if (code == ERR_OK && p->json.len)
		code = DB_RUN(db, e,
			      "INSERT INTO policy (entry, kind, namespace, name, uid,"
			      " resource_version, text, from_ns, to_ns, origin)"
			      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
			      DB_I(head->number), DB_T(p->kind), DB_T(p->namespace_), DB_T(p->name),
			      DB_T(p->uid), DB_T(p->resource_version), DB_T(p->json),
			      DB_I(store_i64(p->from.v)), DB_I(store_i64(p->to.v)),
			      DB_T(p->origin));
	return code;
}

/* The next one behind *@id whose entry has gone; 0: there is none. Its text may be of any size: it is
 * read where SQLite has it. */
static enum err_code say_next_again(struct db *db, struct chain_head *head, uint64_t number,
				    uint64_t *id, struct wall_ns now, struct err *e)
{
	sqlite3_stmt *st =
		DB_ASK(db,
		       "SELECT id, kind, namespace, name, uid, resource_version, text,"
		       " origin, from_ns FROM policy WHERE id > ?2 AND entry <= ?1 AND to_ns = 0"
		       " ORDER BY id LIMIT 1",
		       DB_I(number), DB_I(*id));

	*id = 0;
	if (!db_next(db, st))
		return db_ended(db, "read the policies", e);
	const struct store_policy p = { .kind = column_text(st, 1),
					.namespace_ = column_text(st, 2),
					.name = column_text(st, 3),
					.uid = column_text(st, 4),
					.resource_version = column_text(st, 5),
					.json = column_text(st, 6),
					.origin = column_text(st, 7),
					.from.v = column_u64(st, 8) };
	*id = column_u64(st, 0);
	enum err_code code = append_policy(db, head, &p, now, e);
	db_leave(st);
	if (code == ERR_OK)
		code = DB_RUN(db, e, "UPDATE policy SET entry = ?1 WHERE id = ?2",
			      DB_I(head->number), DB_I(*id));
	return code;
}

enum err_code policies_say_again(struct db *db, struct chain_head *head, uint64_t number,
				 struct wall_ns oldest, struct wall_ns now, struct err *e)
{
	enum err_code code;
	uint64_t id = 0;

	do {
		code = say_next_again(db, head, number, &id, now, e);
	} while (code == ERR_OK && id);
	if (code == ERR_OK)
		code = DB_RUN(db, e, "DELETE FROM policy WHERE to_ns > 0 AND to_ns < ?1",
			      DB_I(store_i64(oldest.v)));
	return code;
}

enum err_code store_note_policy(struct store *s, const struct store_policy *given,
				struct wall_ns now, struct err *e)
{
	struct err mine = { 0 };
	struct store_policy p = *given;
	bool any, same;

	e = e ? e : &mine;
	if (!p.from.v)
		p.from = now;
	if (!p.origin.p)
		p.origin = STR("");
	enum err_code code = store_seal(s, now, e);
	if (code == ERR_OK && !s->db.h)
		code = err_set(e, ERR_AGAIN, "store in '%s': not open", s->dir);
	if (code == ERR_OK)
		code = is_in_force(&s->db, &p, &any, &same, e);
	if (code != ERR_OK || same || (!any && !p.json.len))
		return code;
	struct chain_head head = s->head;
	code = db_begin(&s->db, e);
	if (code != ERR_OK)
		return code;
	code = write_policy(&s->db, &head, &p, now, e);
	if (code == ERR_OK)
		code = db_commit(&s->db, e);
	if (code != ERR_OK) {
		db_rollback(&s->db);
		return code;
	}
	s->head = head;
	store_published(s);
	return ERR_OK;
}

enum err_code store_put_checkpoint(struct store *s, const struct store_checkpoint *c, struct err *e)
{
	if (!s->db.h)
		return err_set(e, ERR_AGAIN, "store in '%s': not open", s->dir);
	/* Whoever has been told of a checkpoint must find it after a power cut, too. */
	enum err_code code = db_script(&s->db, "PRAGMA synchronous = FULL", e);
	if (code == ERR_OK)
		code = DB_RUN(&s->db, e,
			      "INSERT INTO checkpoint (entry, text, signature, key)"
			      " VALUES (?1, ?2, ?3, ?4)",
			      DB_I(c->entry), DB_T(c->text), DB_B(c->signature), DB_B(c->key));
	if (db_script(&s->db, "PRAGMA synchronous = NORMAL", NULL) != ERR_OK)
		return code == ERR_OK ? err_set(e, ERR_IO, "store in '%s'", s->dir) : code;
	return code;
}
