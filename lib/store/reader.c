#include "store/reader.h"

#include <sys/stat.h>

/* --- life --------------------------------------------------------------------------------- */

static enum err_code prepare(struct store_reader *r, struct err *e)
{
	enum err_code code = db_script(&r->db,
				       "PRAGMA cache_size = -512; PRAGMA temp_store = MEMORY;"
				       "PRAGMA trusted_schema = OFF",
				       e);

	if (code == ERR_OK)
		code = schema_read(&r->db, r->path, e);
	return code == ERR_OK ? db_script(&r->db, "PRAGMA query_only = ON", e) : code;
}

/* A log that is still to be moved into the file. */
static bool has_log(const struct store_reader *r)
{
	char path[sizeof r->path + 8];
	struct stat st;

	(void)snprintf(path, sizeof path, "%s-wal", r->path);
	return stat(path, &st) == 0 && st.st_size > 0;
}

static enum err_code open_reader(struct store_reader *r, struct err *e)
{
	struct disk_faults *faults = r->store ? &r->store->faults : NULL;
	enum err_code code = db_open(&r->db, r->path, DB_READ, faults, e);

	if (code == ERR_OK)
		code = prepare(r, e);
	/* In a folder that we may not write SQLite cannot make what readers share; without a log,
	 * nothing can change, and it is not needed. */
	bool shared = code == ERR_OK || r->store || has_log(r) ||
		      (r->db.h && (r->db.rc & 0xff) != SQLITE_CANTOPEN &&
		       (r->db.rc & 0xff) != SQLITE_READONLY && (r->db.rc & 0xff) != SQLITE_IOERR);
	if (!shared && r->db.h) {
		db_close(&r->db);
		code = db_open(&r->db, r->path, DB_IMMUTABLE, faults, e);
		if (code == ERR_OK)
			code = prepare(r, e);
	}
	if (code != ERR_OK)
		db_close(&r->db);
	return code;
}

enum err_code reader_ready(struct store_reader *r, bool *ret_any, struct err *e)
{
	struct stat st;
	uint64_t generation =
		r->store ? atomic_load_explicit(&r->store->generation, memory_order_relaxed) : 0;

	if (r->db.h && generation != r->generation) {
		struct dict_back *fresh;
		enum err_code code = dict_back_new(r->dict, &fresh, e);
		if (code != ERR_OK)
			return code; /* as it is until the next call */
		db_close(&r->db);
		dict_back_free(r->back);
		r->back = fresh;
	}
	r->generation = generation;
	if (!r->db.h && r->store && stat(r->path, &st) != 0) {
		*ret_any = false;
		return ERR_OK;
	}
	enum err_code code = r->db.h ? ERR_OK : open_reader(r, e);
	if (code == ERR_OK)
		*ret_any = true;
	return code;
}

enum err_code reader_told(struct store_reader *r, enum err_code code)
{
	return r->store ? mend_after(r->store, code) : code;
}

enum err_code reader_ended(struct store_reader *r, const char *doing, struct err *e)
{
	return reader_told(r, db_ended(&r->db, doing, e));
}

static enum err_code reader_make(const char *path, struct store *s, struct flow_dict *dict,
				 struct store_reader **ret, struct err *e)
{
	struct store_reader *r = calloc(1, sizeof *r);

	if (!r)
		return err_set(e, ERR_NOMEM, "store");
	r->store = s;
	r->dict = dict;
	(void)pthread_mutex_init(&r->found.mx, NULL);
	if ((size_t)snprintf(r->path, sizeof r->path, "%s", path) >= sizeof r->path) {
		store_reader_free(r);
		return err_set(e, ERR_INVALID, "the store's name is too long");
	}
	enum err_code code = dict_back_new(dict, &r->back, e);
	if (code == ERR_OK && !s)
		code = open_reader(r, e);
	if (code != ERR_OK) {
		store_reader_free(r);
		return code;
	}
	*ret = r;
	return ERR_OK;
}

enum err_code store_reader_new(struct store *s, struct store_reader **ret, struct err *e)
{
	return reader_make(s->path, s, s->dict, ret, e);
}

enum err_code store_reader_open(const char *dir, struct flow_dict *dict, struct store_reader **ret,
				struct err *e)
{
	char path[STORE_PATH_BYTES];
	struct stat st;

	if ((size_t)snprintf(path, sizeof path, "%s/flows.db", dir) >= sizeof path)
		return err_set(e, ERR_INVALID, "the store's name is too long");
	if (stat(path, &st) != 0)
		return err_os(e, "store '%s'", path);
	return reader_make(path, NULL, dict, ret, e);
}

enum err_code store_reader_hold(struct store_reader *r, struct err *e)
{
	bool any;
	enum err_code code = reader_ready(r, &any, e);

	return code == ERR_OK && any ? db_hold(&r->db, e) : code;
}

void store_reader_let_go(struct store_reader *r)
{
	if (r->db.h)
		db_let_go(&r->db);
}

void store_reader_free(struct store_reader *r)
{
	if (!r)
		return;
	db_close(&r->db);
	dict_back_free(r->back);
	(void)pthread_mutex_destroy(&r->found.mx);
	free(r);
}

/* --- gaps and extent ---------------------------------------------------------------------- */

static int by_start(const void *a, const void *b)
{
	const struct gap *x = a, *y = b;

	return (x->gap.from.v > y->gap.from.v) - (x->gap.from.v < y->gap.from.v);
}

/* Those that are not written yet. Own; count 0: none. */
static enum err_code copy_pending(struct store_reader *r, struct gap **ret, size_t *ret_count,
				  struct err *e)
{
	struct gaps *from = r->store ? &r->store->gaps : &r->found;
	struct gap *list = malloc(GAPS_PENDING * sizeof *list);

	if (!list)
		return err_set(e, ERR_NOMEM, "gaps of the store");
	(void)pthread_mutex_lock(&from->mx);
	size_t n = from->count;
	memcpy(list, from->list, n * sizeof *list);
	(void)pthread_mutex_unlock(&from->mx);
	qsort(list, n, sizeof *list, by_start);
	for (size_t i = 0; i < n; i++) {
		list[i].gap.node.p = list[i].node;
		list[i].gap.detail.p = list[i].detail;
	}
	*ret = list;
	*ret_count = n;
	return ERR_OK;
}

static bool is_same(const struct store_gap *a, const struct store_gap *b)
{
	return a->cause == b->cause && a->from.v == b->from.v && a->first_seq == b->first_seq &&
	       str_eq(a->node, b->node);
}

static bool touches(const struct store_gap *g, struct wall_ns since, struct wall_ns until)
{
	return g->to.v >= since.v && g->from.v <= until.v;
}

enum err_code store_gaps(struct store_reader *r, struct wall_ns since, struct wall_ns until,
			 void (*each)(void *ctx, const struct store_gap *gap), void *ctx,
			 struct err *e)
{
	AUTO(own_free) struct gap *pending = NULL;
	bool is_written[GAPS_PENDING] = { false }; /* meanwhile: of the pending ones */
	size_t count = 0, at = 0;
	bool any = false;
	/* First these: one that is written meanwhile is then met twice, and not never. */
	enum err_code code = copy_pending(r, &pending, &count, e);

	if (code == ERR_OK)
		code = reader_ready(r, &any, e);
	if (code != ERR_OK)
		return code;
	sqlite3_stmt *st =
		!any ? NULL
		     : DB_ASK(&r->db,
			      "SELECT cause, from_ns, to_ns, lost, first_seq, last_seq,"
			      " node, detail FROM gap WHERE to_ns >= ?1 AND from_ns <= ?2"
			      " ORDER BY from_ns, id",
			      DB_I(store_i64(since.v)), DB_I(store_i64(until.v)));
	while (any && db_next(&r->db, st)) {
		uint64_t cause = column_u64(st, 0);
		const struct store_gap gap = {
			.cause = cause < STORE_GAP_CAUSES_ ? (enum store_gap_cause)cause
							   : STORE_GAP_UNKNOWN,
			.from = { column_u64(st, 1) },
			.to = { column_u64(st, 2) },
			.lost = column_u64(st, 3),
			.first_seq = column_u64(st, 4),
			.last_seq = column_u64(st, 5),
			.node = column_text(st, 6),
			.detail = column_text(st, 7),
		};
		for (; at < count && pending[at].gap.from.v < gap.from.v; at++)
			if (!is_written[at] && touches(&pending[at].gap, since, until))
				each(ctx, &pending[at].gap);
		for (size_t i = at; i < count; i++)
			is_written[i] |= is_same(&pending[i].gap, &gap);
		each(ctx, &gap);
	}
	code = any ? reader_ended(r, "read the gaps", e) : ERR_OK;
	if (code != ERR_OK)
		return code;
	for (; at < count; at++)
		if (!is_written[at] && touches(&pending[at].gap, since, until))
			each(ctx, &pending[at].gap);
	return ERR_OK;
}

enum err_code store_extent(struct store_reader *r, struct wall_ns *ret_oldest,
			   struct wall_ns *ret_newest, struct err *e)
{
	struct wall_ns began = { 0 }, oldest = { 0 }, sealed = { 0 }, alive = { 0 };
	uint64_t pruned = 0;
	bool any;
	enum err_code code = reader_ready(r, &any, e);

	if (code == ERR_OK && any) {
		code = db_number(&r->db, "SELECT value FROM meta WHERE name = 'began'", 0, &began.v,
				 e);
		if (code == ERR_OK)
			code = db_number(&r->db, "SELECT value FROM meta WHERE name = 'pruned'", 0,
					 &pruned, e);
		if (code == ERR_OK)
			code = db_number(&r->db, "SELECT value FROM meta WHERE name = 'alive'", 0,
					 &alive.v, e);
		if (code == ERR_OK)
			code = db_number(&r->db,
					 "SELECT from_ns FROM segment ORDER BY first_seq LIMIT 1",
					 0, &oldest.v, e);
		if (code == ERR_OK)
			code = db_number(
				&r->db,
				"SELECT sealed_ns FROM segment ORDER BY first_seq DESC LIMIT 1", 0,
				&sealed.v, e);
	}
	if (code != ERR_OK)
		return reader_told(r, code);
	if (!pruned && began.v && (!oldest.v || began.v < oldest.v))
		oldest = began;
	*ret_oldest = oldest;
	*ret_newest = sealed.v > alive.v ? sealed : alive;
	return ERR_OK;
}

/* --- edges, policies ---------------------------------------------------------------------- */

enum err_code store_edges_oldest(struct store_reader *r, struct wall_ns *ret, struct err *e)
{
	uint64_t minute = 0;
	bool any;
	enum err_code code = reader_ready(r, &any, e);

	if (code == ERR_OK && any)
		code = db_number(&r->db, "SELECT minute FROM edge ORDER BY minute LIMIT 1", 0,
				 &minute, e);
	if (code == ERR_OK)
		ret->v = minute * 60 * NS_PER_S;
	return reader_told(r, code);
}

enum err_code store_edges(struct store_reader *r, struct wall_ns since, struct wall_ns until,
			  size_t at_most, void (*each)(void *ctx, const struct store_edge *edge),
			  void *ctx, struct wall_ns *ret_next, struct err *e)
{
	const uint64_t minute_ns = 60 * NS_PER_S;
	struct wall_ns last = { 0 }, next = { UINT64_MAX };
	size_t given = 0;
	bool any;
	enum err_code code = reader_ready(r, &any, e);

	if (code == ERR_OK && !any)
		*ret_next = next;
	if (code != ERR_OK || !any)
		return code;
	sqlite3_stmt *st = DB_ASK(
		&r->db,
		"SELECT minute, node, src_cluster, src_namespace, src, src_kind, dst_cluster,"
		" dst_namespace, dst, dst_kind, dst_dns, dst_port, l4, verdict, drop_desc, policy,"
		" flows, packets, bytes, l7_ok, l7_errors FROM edges WHERE minute >= ?1 AND minute "
		"<= ?2 ORDER BY minute",
		DB_I(since.v / minute_ns), DB_I(until.v / minute_ns));
	while (db_next(&r->db, st)) {
		const struct store_edge edge = {
			.minute = { column_u64(st, 0) * minute_ns },
			.node = column_text(st, 1),
			.src = { .cluster = column_text(st, 2),
				 .namespace_ = column_text(st, 3),
				 .name = column_text(st, 4),
				 .kind = column_text(st, 5) },
			.dst = { .cluster = column_text(st, 6),
				 .namespace_ = column_text(st, 7),
				 .name = column_text(st, 8),
				 .kind = column_text(st, 9) },
			.dst_dns = column_text(st, 10),
			.dst_port = (uint16_t)column_u64(st, 11),
			.l4 = (uint8_t)column_u64(st, 12),
			.verdict = (uint8_t)column_u64(st, 13),
			.drop_desc = (uint32_t)column_u64(st, 14),
			.policy = column_text(st, 15),
			.flows = column_u64(st, 16),
			.packets = column_u64(st, 17),
			.bytes = column_u64(st, 18),
			.l7_ok = column_u64(st, 19),
			.l7_errors = column_u64(st, 20),
		};
		if (given >= at_most && edge.minute.v != last.v) {
			next = edge.minute;
			db_leave(st);
			break;
		}
		each(ctx, &edge);
		last = edge.minute;
		given++;
	}
	code = reader_ended(r, "read the edges", e);
	if (code == ERR_OK)
		*ret_next = next;
	return code;
}

enum err_code store_policies(struct store_reader *r, struct wall_ns since, struct wall_ns until,
			     void (*each)(void *ctx, const struct store_policy *policy), void *ctx,
			     struct err *e)
{
	bool any;
	enum err_code code = reader_ready(r, &any, e);

	if (code != ERR_OK || !any)
		return code;
	sqlite3_stmt *st = DB_ASK(&r->db,
				  "SELECT kind, namespace, name, uid, resource_version, text,"
				  " from_ns, to_ns, origin FROM policy WHERE from_ns <= ?2"
				  " AND (to_ns = 0 OR to_ns >= ?1) ORDER BY from_ns, id",
				  DB_I(store_i64(since.v)), DB_I(store_i64(until.v)));
	while (db_next(&r->db, st)) {
		const struct store_policy policy = {
			.kind = column_text(st, 0),
			.namespace_ = column_text(st, 1),
			.name = column_text(st, 2),
			.uid = column_text(st, 3),
			.resource_version = column_text(st, 4),
			.json = column_text(st, 5),
			.from = { column_u64(st, 6) },
			.to = { column_u64(st, 7) },
			.origin = column_text(st, 8),
		};
		each(ctx, &policy);
	}
	return reader_ended(r, "read the policies", e);
}

/* --- the chain ---------------------------------------------------------------------------- */

struct chain_walk {
	struct store_reader *r;
	struct chain_hash before;
	uint64_t next;
	/* the segment that was looked up last */
	uint64_t first_seq, last_seq;
	bool is_held;
};

static enum err_code walk_is_held(struct chain_walk *w, uint64_t seq, bool *ret, struct err *e)
{
	struct db *db = &w->r->db;

	if (seq >= w->first_seq && seq <= w->last_seq && w->last_seq) {
		*ret = w->is_held;
		return ERR_OK;
	}
	sqlite3_stmt *st = DB_ASK(db,
				  "SELECT first_seq, last_seq, damaged FROM segment"
				  " WHERE first_seq <= ?1 ORDER BY first_seq DESC LIMIT 1",
				  DB_I(seq));
	w->is_held = false;
	if (db_next(db, st)) {
		w->first_seq = column_u64(st, 0);
		w->last_seq = column_u64(st, 1);
		w->is_held = !column_u64(st, 2) && seq <= w->last_seq;
		db_leave(st);
	}
	/* now: the next step of the walk would hide it */
	enum err_code code = db_ended(db, "read the segments", e);
	if (code == ERR_PARSE) /* what lies on a damaged page is not held any more */
		code = ERR_OK;
	if (code == ERR_OK)
		*ret = w->is_held;
	return code;
}

/* Where the walk begins: at @from, or behind what was cut off. */
static enum err_code walk_begin(struct chain_walk *w, uint64_t from, struct err *e)
{
	struct db *db = &w->r->db;
	struct chain_head anchor;
	enum err_code code = chain_read_anchor(db, &anchor, e);

	if (code != ERR_OK)
		return code;
	w->next = from > anchor.number + 1 ? from : anchor.number + 1;
	w->before = anchor.hash;
	if (w->next == anchor.number + 1)
		return ERR_OK;
	sqlite3_stmt *st =
		DB_ASK(db, "SELECT hash FROM entry WHERE number = ?1", DB_I(w->next - 1));
	if (db_next(db, st)) {
		struct str hash = column_blob(st, 0);
		if (hash.len == sizeof w->before.v)
			memcpy(w->before.v, hash.p, hash.len);
		db_leave(st);
	}
	return db_ended(db, "read the chain", e);
}

/* A page of entries; false: that was all, or @each has enough, or *@ret_code says why. */
static bool walk_page(struct chain_walk *w, struct buf *body,
		      bool (*each)(void *ctx, const struct store_entry *entry), void *ctx,
		      enum err_code *ret_code, struct err *e)
{
	struct db *db = &w->r->db;
	sqlite3_stmt *st = DB_ASK(db,
				  "SELECT number, kind, hash, body, first_seq, last_seq, count,"
				  " from_ns, to_ns, sealed_ns, root FROM entry WHERE number >= ?1"
				  " ORDER BY number LIMIT 256",
				  DB_I(w->next));
	bool more = false, go_on = true;

	while (go_on && db_next(db, st)) {
		struct store_entry entry = { .number = column_u64(st, 0), .before = w->before };
		struct str hash = column_blob(st, 2), root = column_blob(st, 10);
		if (hash.len != sizeof entry.hash.v) {
			db_leave(st);
			*ret_code = err_set(e, ERR_PARSE,
					    "the store's chain holds a hash of %zu "
					    "bytes",
					    hash.len);
			return false;
		}
		memcpy(entry.hash.v, hash.p, hash.len);
		entry.is_block = column_u64(st, 1) == ENTRY_BLOCK;
		entry.body = column_text(st, 3);
		if (entry.is_block) {
			struct block_row row = { .first_seq = column_u64(st, 4),
						 .last_seq = column_u64(st, 5),
						 .count = column_u64(st, 6),
						 .from = { column_u64(st, 7) },
						 .to = { column_u64(st, 8) },
						 .sealed = { column_u64(st, 9) } };
			if (root.len == sizeof row.root.v)
				memcpy(row.root.v, root.p, root.len);
			buf_reset(body);
			chain_block_body(body, &row);
			entry.body = buf_str(body);
			entry.root = row.root;
			entry.first_seq = row.first_seq;
			entry.count = row.count;
			*ret_code = walk_is_held(w, row.first_seq, &entry.is_held, e);
			if (*ret_code != ERR_OK) {
				db_leave(st);
				return false;
			}
		}
		w->before = entry.hash;
		w->next = entry.number + 1;
		more = true;
		go_on = each(ctx, &entry);
	}
	db_leave(st);
	*ret_code = db_ended(db, "read the chain", e);
	return more && go_on && *ret_code == ERR_OK;
}

enum err_code store_chain(struct store_reader *r, uint64_t from,
			  bool (*each)(void *ctx, const struct store_entry *entry), void *ctx,
			  struct err *e)
{
	AUTO_BUF struct buf body = buf_init(STORE_BODY_BYTES);
	struct chain_walk w = { .r = r };
	bool any;
	enum err_code code = reader_ready(r, &any, e);

	if (code != ERR_OK || !any)
		return code;
	code = walk_begin(&w, from, e);
	if (code != ERR_OK)
		return code;
	while (walk_page(&w, &body, each, ctx, &code, e))
		;
	return reader_told(r, code);
}

static enum err_code read_bounds(struct db *db, struct store_bounds *ret, struct err *e)
{
	struct chain_head anchor, head;
	uint64_t pruned = 0, last = 0;
	enum err_code code = chain_read_anchor(db, &anchor, e);

	if (code == ERR_OK)
		code = chain_read_head(db, &head, e);
	if (code == ERR_OK)
		code = db_number(db, "SELECT value FROM meta WHERE name = 'pruned'", 0, &pruned, e);
	if (code == ERR_OK)
		code = db_number(db, "SELECT last_seq FROM segment ORDER BY first_seq DESC LIMIT 1",
				 pruned, &last, e);
	if (code == ERR_OK)
		*ret = (struct store_bounds){ anchor.number + 1, head.number, pruned + 1, last };
	return code;
}

enum err_code store_bounds(struct store_reader *r, struct store_bounds *ret, struct err *e)
{
	bool any;
	enum err_code code = reader_ready(r, &any, e);

	if (code == ERR_OK && !any)
		*ret = (struct store_bounds){ 1, 0, 1, 0 };
	if (code != ERR_OK || !any)
		return code;
	code = db_begin_reading(&r->db, e);
	if (code == ERR_OK)
		code = read_bounds(&r->db, ret, e);
	db_end_reading(&r->db);
	return reader_told(r, code);
}

enum err_code store_secret(struct store_reader *r, struct chain_secret *ret, struct err *e)
{
	bool any;
	enum err_code code = reader_ready(r, &any, e);

	if (code == ERR_OK && !any)
		code = err_set(e, ERR_NOT_FOUND, "the store has no secret yet");
	return code == ERR_OK ? chain_read_secret(&r->db, false, ret, e) : code;
}

static struct store_checkpoint column_checkpoint(sqlite3_stmt *st)
{
	return (struct store_checkpoint){ .entry = column_u64(st, 0),
					  .text = column_text(st, 1),
					  .signature = column_blob(st, 2),
					  .key = column_blob(st, 3) };
}

enum err_code store_last_checkpoint(struct store_reader *r,
				    void (*each)(void *ctx, const struct store_checkpoint *c),
				    void *ctx, struct err *e)
{
	bool any;
	enum err_code code = reader_ready(r, &any, e);

	if (code != ERR_OK || !any)
		return code;
	sqlite3_stmt *st = DB_ASK(&r->db, "SELECT entry, text, signature, key FROM checkpoint"
					  " ORDER BY id DESC LIMIT 1");
	while (db_next(&r->db, st)) {
		const struct store_checkpoint c = column_checkpoint(st);
		each(ctx, &c);
	}
	db_leave(st);
	return reader_ended(r, "read the checkpoints", e);
}

enum err_code store_checkpoints(struct store_reader *r, uint64_t from_entry,
				bool (*each)(void *ctx, const struct store_checkpoint *c),
				void *ctx, struct err *e)
{
	bool any, go_on = true;
	enum err_code code = reader_ready(r, &any, e);

	if (code != ERR_OK || !any)
		return code;
	sqlite3_stmt *st = DB_ASK(&r->db,
				  "SELECT entry, text, signature, key FROM checkpoint"
				  " WHERE entry >= ?1 ORDER BY entry, id",
				  DB_I(store_i64(from_entry)));
	while (go_on && db_next(&r->db, st)) {
		const struct store_checkpoint c = column_checkpoint(st);
		go_on = each(ctx, &c);
	}
	db_leave(st);
	return reader_ended(r, "read the checkpoints", e);
}
