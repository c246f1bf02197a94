#include "flow/json.h"
#include "store/inside.h"

/*
 * A name's row is found by a hash of its bytes. A name that has none gets a number here, and its
 * row with the block that means it first. Rows say on which day they were last in use, so that
 * those that no record held can mean are deleted: the day is written at a name's first use each
 * day, and brings the row back should it have gone. Numbers are never given twice (AUTOINCREMENT
 * remembers the highest).
 */

enum { DELETE_AT_ONCE = 2000, LABELS_BYTES = 1 << 20 };

void dict_rows_init(struct dict_rows *d, const struct flow_dict *dict)
{
	*d = (struct dict_rows){ .dict = dict };
}

void dict_rows_done(struct dict_rows *d)
{
	for (int k = 0; k < DICT_KINDS_; k++)
		free(d->kinds[k].slots);
	free(d->due);
	*d = (struct dict_rows){ 0 };
}

void dict_rows_reset(struct dict_rows *d)
{
	for (int k = 0; k < DICT_KINDS_; k++) {
		if (d->kinds[k].count)
			memset(d->kinds[k].slots, 0, d->kinds[k].count * sizeof *d->kinds[k].slots);
		d->kinds[k].last = 0;
	}
	d->due_count = 0;
	d->day = d->day_written = 0;
}

void dict_rows_again(struct dict_rows *d)
{
	for (int k = 0; k < DICT_KINDS_; k++)
		for (size_t i = 0; i < d->kinds[k].count; i++)
			d->kinds[k].slots[i].day = 0;
}

enum err_code dict_rows_open(struct dict_rows *d, struct db *db, struct err *e)
{
	static const char *const last[DICT_KINDS_] = {
		[DICT_ENDPOINT] = "SELECT seq FROM sqlite_sequence WHERE name = 'endpoint'",
		[DICT_SERVICE] = "SELECT seq FROM sqlite_sequence WHERE name = 'service'",
		[DICT_NODE] = "SELECT seq FROM sqlite_sequence WHERE name = 'node'",
		[DICT_REASON] = "SELECT seq FROM sqlite_sequence WHERE name = 'kernel_reason'",
	};
	uint64_t day = 0;
	enum err_code code = db_number(db, "SELECT value FROM meta WHERE name = 'day'", 0, &day, e);

	for (int k = 0; k < DICT_KINDS_ && code == ERR_OK; k++) {
		uint64_t v = 0;
		code = db_number(db, last[k], 0, &v, e);
		if (v > d->kinds[k].last)
			d->kinds[k].last = (uint32_t)v;
	}
	if (code == ERR_OK && day > d->day)
		d->day = d->day_written = (uint32_t)day;
	return code;
}

void dict_rows_at(struct dict_rows *d, struct wall_ns now)
{
	if (day_of(now) > d->day)
		d->day = day_of(now);
}

static enum err_code grow(struct dict_rows *d, enum dict_kind kind, uint32_t id, struct err *e)
{
	size_t count = ((size_t)id + 64) * 3 / 2;
	struct dict_slot *slots = realloc(d->kinds[kind].slots, count * sizeof *slots);

	if (!slots)
		return err_set(e, ERR_NOMEM, "names of the store");
	memset(slots + d->kinds[kind].count, 0, (count - d->kinds[kind].count) * sizeof *slots);
	d->kinds[kind].slots = slots;
	d->kinds[kind].count = count;
	return ERR_OK;
}

/* The row of process id @id is to be written with the next block. */
static enum err_code make_due(struct dict_rows *d, enum dict_kind kind, uint32_t id, struct err *e)
{
	if (d->due_count == d->due_max) {
		size_t max = d->due_max ? d->due_max * 2 : 256;
		void *due = realloc(d->due, max * sizeof *d->due);
		if (!due)
			return err_set(e, ERR_NOMEM, "names of the store");
		d->due = due;
		d->due_max = max;
	}
	d->due[d->due_count].kind = (uint8_t)kind;
	d->due[d->due_count++].id = id;
	return ERR_OK;
}

static bool wire_of(const struct flow_dict *dict, enum dict_kind kind, uint32_t id, struct str *ret)
{
	const struct endpoint *ep;
	const struct service *svc;
	const struct node *node;

	switch (kind) {
	case DICT_ENDPOINT:
		ep = flow_dict_get_endpoint(dict, (struct endpoint_id){ id });
		*ret = ep ? ep->wire : STR("");
		return ep;
	case DICT_SERVICE:
		svc = flow_dict_get_service(dict, (struct service_id){ id });
		*ret = svc ? svc->wire : STR("");
		return svc;
	case DICT_NODE:
		node = flow_dict_get_node(dict, (struct node_id){ id });
		*ret = node ? node->wire : STR("");
		return node;
	default:
		*ret = flow_dict_get_kernel_reason(dict, (uint16_t)id);
		return ret->len;
	}
}

/* ["a","b"] */
static void put_list(struct buf *b, const struct str *list, size_t count)
{
	buf_char(b, '[');
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_char(b, ',');
		json_put_string(b, list[i]);
	}
	buf_char(b, ']');
}

static enum err_code write_row(struct dict_rows *d, struct db *db, enum dict_kind kind, uint32_t id,
			       struct err *e)
{
	AUTO_BUF struct buf labels = buf_init(LABELS_BYTES);
	uint32_t stored = d->kinds[kind].slots[id].stored;
	struct str wire;

	if (!wire_of(d->dict, kind, id, &wire))
		return ERR_OK;
	uint64_t hash = hash_bytes(wire.p, wire.len, 0);
	if (kind == DICT_ENDPOINT) {
		const struct endpoint *ep =
			flow_dict_get_endpoint(d->dict, (struct endpoint_id){ id });
		struct workload none = { { "", 0 }, { "", 0 } };
		const struct workload *w = ep->workload_count ? &ep->workloads[0] : &none;
		put_list(&labels, ep->labels, ep->label_count);
		return DB_RUN(db, e,
			      "INSERT INTO endpoint (id, hash, day, wire, identity, cluster,"
			      " namespace, pod, workload, workload_kind, labels)"
			      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
			      " ON CONFLICT (id) DO UPDATE SET day = max(day, excluded.day)",
			      DB_I(stored), DB_I(hash), DB_I(d->day), DB_B(wire),
			      DB_I(ep->identity), DB_T(ep->cluster), DB_T(ep->namespace_),
			      DB_T(ep->pod), DB_T(w->name), DB_T(w->kind), DB_T(buf_str(&labels)));
	}
	if (kind == DICT_SERVICE) {
		const struct service *svc =
			flow_dict_get_service(d->dict, (struct service_id){ id });
		return DB_RUN(db, e,
			      "INSERT INTO service (id, hash, day, wire, name, namespace)"
			      " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
			      " ON CONFLICT (id) DO UPDATE SET day = max(day, excluded.day)",
			      DB_I(stored), DB_I(hash), DB_I(d->day), DB_B(wire), DB_T(svc->name),
			      DB_T(svc->namespace_));
	}
	if (kind == DICT_NODE) {
		const struct node *node = flow_dict_get_node(d->dict, (struct node_id){ id });
		put_list(&labels, node->labels, node->label_count);
		return DB_RUN(db, e,
			      "INSERT INTO node (id, hash, day, wire, name, labels)"
			      " VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
			      " ON CONFLICT (id) DO UPDATE SET day = max(day, excluded.day)",
			      DB_I(stored), DB_I(hash), DB_I(d->day), DB_B(wire), DB_T(node->name),
			      DB_T(buf_str(&labels)));
	}
	return DB_RUN(db, e,
		      "INSERT INTO kernel_reason (id, hash, day, wire) VALUES (?1, ?2, ?3, ?4)"
		      " ON CONFLICT (id) DO UPDATE SET day = max(day, excluded.day)",
		      DB_I(stored), DB_I(hash), DB_I(d->day), DB_B(wire));
}

enum err_code dict_rows_write(struct dict_rows *d, struct db *db, struct err *e)
{
	enum err_code code = ERR_OK;

	for (size_t i = 0; i < d->due_count && code == ERR_OK; i++)
		code = write_row(d, db, d->due[i].kind, d->due[i].id, e);
	if (code == ERR_OK && d->day != d->day_written)
		code = DB_RUN(db, e, "INSERT OR REPLACE INTO meta VALUES ('day', ?1)",
			      DB_I(d->day));
	return code;
}

void dict_rows_written(struct dict_rows *d)
{
	d->due_count = 0;
	d->day_written = d->day;
}

static const struct {
	const char *find, *read, *prune;
} sql[DICT_KINDS_] = {
	[DICT_ENDPOINT] = { "SELECT id FROM endpoint WHERE hash = ?1 AND wire = ?2",
			    "SELECT wire, hash FROM endpoint WHERE id = ?1",
			    "DELETE FROM endpoint WHERE id IN (SELECT id FROM endpoint"
			    " WHERE day < ?1 LIMIT ?2)" },
	[DICT_SERVICE] = { "SELECT id FROM service WHERE hash = ?1 AND wire = ?2",
			   "SELECT wire, hash FROM service WHERE id = ?1",
			   "DELETE FROM service WHERE id IN (SELECT id FROM service"
			   " WHERE day < ?1 LIMIT ?2)" },
	[DICT_NODE] = { "SELECT id FROM node WHERE hash = ?1 AND wire = ?2",
			"SELECT wire, hash FROM node WHERE id = ?1",
			"DELETE FROM node WHERE id IN (SELECT id FROM node"
			" WHERE day < ?1 LIMIT ?2)" },
	[DICT_REASON] = { "SELECT id FROM kernel_reason WHERE hash = ?1 AND wire = ?2",
			  "SELECT wire, hash FROM kernel_reason WHERE id = ?1", NULL },
};

static enum err_code find(struct db *db, enum dict_kind kind, struct str wire, uint64_t hash,
			  uint32_t *ret, struct err *e)
{
	sqlite3_stmt *st = DB_ASK(db, sql[kind].find, DB_I(hash), DB_B(wire));
	uint32_t id = 0;

	if (db_next(db, st)) {
		id = (uint32_t)column_u64(st, 0);
		db_leave(st);
	}
	enum err_code code = db_ended(db, "look up a name", e);
	if (code == ERR_OK)
		*ret = id;
	return code;
}

/* The stored number of process id @id: known, found or given out. What lies on a damaged page is
 * looked for again when a day begins, for its row is to be written then, and gets another number. */
static enum err_code settle(struct dict_rows *d, struct db *db, enum dict_kind kind, uint32_t id,
			    struct str wire, struct err *e)
{
	enum err_code code = ERR_OK;

	if (id >= d->kinds[kind].count)
		code = grow(d, kind, id, e);
	if (code != ERR_OK)
		return code;
	uint32_t stored = d->kinds[kind].slots[id].stored, found = 0;
	if (sqlite3_get_autocommit(db->h))
		code = db_begin_reading(db, e); /* others will follow: new names come in crowds */
	if (code == ERR_OK)
		code = find(db, kind, wire, hash_bytes(wire.p, wire.len, 0), &found, e);
	if (code == ERR_PARSE) {
		stored = 0;
		code = ERR_OK;
	} else if (!stored) {
		stored = found;
	}
	if (code == ERR_OK)
		code = make_due(d, kind, id, e);
	if (code != ERR_OK)
		return code;
	if (!stored)
		stored = ++d->kinds[kind].last;
	d->kinds[kind].slots[id] = (struct dict_slot){ stored, d->day };
	return ERR_OK;
}

/* Ids that the dictionary does not know mean nobody. */
static inline enum err_code store_id(struct dict_rows *d, struct db *db, enum dict_kind kind,
				     uint32_t *id, struct err *e)
{
	struct str wire;

	if (!*id)
		return ERR_OK;
	if (*id >= d->kinds[kind].count || d->kinds[kind].slots[*id].day != d->day ||
	    !d->kinds[kind].slots[*id].stored) {
		enum err_code code = ERR_OK;
		if (!wire_of(d->dict, kind, *id, &wire)) {
			*id = 0;
			return ERR_OK;
		}
		code = settle(d, db, kind, *id, wire, e);
		if (code != ERR_OK)
			return code;
	}
	*id = d->kinds[kind].slots[*id].stored;
	return ERR_OK;
}

enum err_code dict_rows_store(struct dict_rows *d, struct db *db, struct flow *flows, size_t n,
			      struct err *e)
{
	enum err_code code = ERR_OK;

	for (size_t i = 0; i < n && code == ERR_OK; i++) {
		struct flow *f = &flows[i];
		uint32_t reason = f->kernel_reason;
		code = store_id(d, db, DICT_ENDPOINT, &f->src_ep.v, e);
		if (code == ERR_OK)
			code = store_id(d, db, DICT_ENDPOINT, &f->dst_ep.v, e);
		if (code == ERR_OK)
			code = store_id(d, db, DICT_SERVICE, &f->src_svc.v, e);
		if (code == ERR_OK)
			code = store_id(d, db, DICT_SERVICE, &f->dst_svc.v, e);
		if (code == ERR_OK)
			code = store_id(d, db, DICT_NODE, &f->node.v, e);
		if (code == ERR_OK && reason) {
			code = store_id(d, db, DICT_REASON, &reason, e);
			f->kernel_reason = reason > UINT16_MAX ? 0 : (uint16_t)reason;
		}
	}
	db_rollback(db); /* of what settle began to read */
	return code;
}

enum err_code dict_rows_prune(struct db *db, uint32_t day, bool *ret_more, struct err *e)
{
	*ret_more = false;
	for (int k = 0; k < DICT_KINDS_; k++) {
		if (!sql[k].prune)
			continue;
		enum err_code code = DB_RUN(db, e, sql[k].prune, DB_I(day), DB_I(DELETE_AT_ONCE));
		if (code != ERR_OK)
			return code;
		*ret_more |= sqlite3_changes(db->h) == DELETE_AT_ONCE;
	}
	return ERR_OK;
}

/* --- the way back ------------------------------------------------------------------------- */

/* Open addressing, grows by doubling; both numbers in one word. */
struct back_map {
	uint64_t *slots; /* stored << 32 | id; 0: free */
	size_t mask, count;
};
enum { BACK_FIRST = 256, BACK_MOST = 1 << 20, BACK_RECENT = 1 << 13 };
struct dict_back {
	struct flow_dict *dict;
	struct err why; /* code other than ERR_OK: what a row could not be read for */
	uint64_t unreadable;
	bool met_damage;
	uint64_t generation;
	/* what was asked for last, by its lowest bits: a look at one place, nearly always */
	uint64_t recent[DICT_KINDS_][BACK_RECENT];
	struct back_map kinds[DICT_KINDS_];
};

enum err_code dict_back_new(struct flow_dict *dict, struct dict_back **ret, struct err *e)
{
	AUTO(own_free) struct dict_back *d = calloc(1, sizeof *d);

	if (!d)
		return err_set(e, ERR_NOMEM, "names of the store");
	d->dict = dict;
	d->generation = flow_dict_generation(dict);
	*ret = TAKE(d);
	return ERR_OK;
}

void dict_back_free(struct dict_back *d)
{
	if (!d)
		return;
	for (int k = 0; k < DICT_KINDS_; k++)
		free(d->kinds[k].slots);
	free(d);
}

static size_t back_start(const struct back_map *m, uint32_t stored)
{
	return (stored * UINT64_C(0x9e3779b97f4a7c15) >> 32) & m->mask;
}

static bool back_get(const struct back_map *m, uint32_t stored, uint32_t *ret)
{
	if (!m->slots)
		return false;
	for (size_t at = back_start(m, stored); m->slots[at]; at = (at + 1) & m->mask)
		if (m->slots[at] >> 32 == stored) {
			*ret = (uint32_t)m->slots[at];
			return true;
		}
	return false;
}

static void back_insert(struct back_map *m, uint64_t word)
{
	size_t at = back_start(m, (uint32_t)(word >> 32));

	while (m->slots[at])
		at = (at + 1) & m->mask;
	m->slots[at] = word;
	m->count++;
}

/* Without memory nothing is remembered, and read again. */
static void back_put(struct back_map *m, uint32_t stored, uint32_t id)
{
	if (!m->slots || m->count * 2 > m->mask) {
		size_t size = m->slots ? (m->mask + 1) * 2 : BACK_FIRST;
		bool start_again = size > BACK_MOST;
		struct back_map grown = { .mask = (start_again ? BACK_FIRST : size) - 1 };
		grown.slots = calloc(grown.mask + 1, sizeof *grown.slots);
		if (!grown.slots)
			return;
		for (size_t i = 0; m->slots && !start_again && i <= m->mask; i++)
			if (m->slots[i])
				back_insert(&grown, m->slots[i]);
		free(m->slots);
		*m = grown;
	}
	back_insert(m, (uint64_t)stored << 32 | id);
}

static uint32_t intern(struct flow_dict *dict, enum dict_kind kind, struct str wire)
{
	switch (kind) {
	case DICT_ENDPOINT:
		return flow_dict_endpoint_wire(dict, wire).v;
	case DICT_SERVICE:
		return flow_dict_service_wire(dict, wire).v;
	case DICT_NODE:
		return flow_dict_node_wire(dict, wire).v;
	default:
		return flow_dict_kernel_reason(dict, wire);
	}
}

uint32_t dict_back_id(struct dict_back *d, struct db *db, enum dict_kind kind, uint32_t stored)
{
	uint32_t id = 0;

	if (!stored)
		return 0;
	if (d->generation != flow_dict_generation(d->dict)) {
		for (int k = 0; k < DICT_KINDS_; k++) {
			free(d->kinds[k].slots);
			d->kinds[k] = (struct back_map){ 0 };
		}
		memset(d->recent, 0, sizeof d->recent);
		d->generation = flow_dict_generation(d->dict);
	}
	uint64_t *recent = &d->recent[kind][stored % BACK_RECENT];
	if (*recent >> 32 == stored)
		return (uint32_t)*recent;
	if (back_get(&d->kinds[kind], stored, &id)) {
		*recent = (uint64_t)stored << 32 | id;
		return id;
	}
	sqlite3_stmt *st = DB_ASK(db, sql[kind].read, DB_I(stored));
	if (!db_next(db, st)) {
		struct err e;
		enum err_code code = db_ended(db, "read a name", &e);
		/* a damaged page stays so: whoever asks goes on without its names, and says so */
		if (code == ERR_OK || code == ERR_PARSE)
			d->unreadable++;
		else
			d->why = e;
		d->met_damage |= code == ERR_PARSE;
		return 0;
	}
	struct str wire = column_blob(st, 0);
	bool is_whole = hash_bytes(wire.p, wire.len, 0) == column_u64(st, 1);
	if (is_whole)
		id = intern(d->dict, kind, wire);
	db_leave(st);
	if (is_whole)
		back_put(&d->kinds[kind], stored, id);
	else
		d->unreadable++;
	return id;
}

bool dict_back_met_damage(const struct dict_back *d)
{
	return d->met_damage;
}

uint64_t dict_back_unreadable(const struct dict_back *d)
{
	return d->unreadable;
}

void dict_back_ids(struct dict_back *d, struct db *db, enum dict_kind kind, uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < n;) {
		const uint64_t *recent = d->recent[kind];

		if (d->generation == flow_dict_generation(d->dict))
			for (; i < n && recent[ids[i] % BACK_RECENT] >> 32 == ids[i]; i++)
				ids[i] = (uint32_t)recent[ids[i] % BACK_RECENT];
		if (i < n) {
			ids[i] = dict_back_id(d, db, kind, ids[i]);
			i++;
		}
	}
}

enum err_code dict_back_ended(struct dict_back *d, struct err *e)
{
	enum err_code code = d->why.code;

	if (code != ERR_OK && e)
		*e = d->why;
	d->why.code = ERR_OK;
	return code;
}

void dict_back_flows(struct dict_back *d, struct db *db, flow_members members, struct flow *flows,
		     size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct flow *f = &flows[i];
		if (members & FLOW_MEMBER(FLOW_MEMBER_SRC_EP))
			f->src_ep.v = dict_back_id(d, db, DICT_ENDPOINT, f->src_ep.v);
		if (members & FLOW_MEMBER(FLOW_MEMBER_DST_EP))
			f->dst_ep.v = dict_back_id(d, db, DICT_ENDPOINT, f->dst_ep.v);
		if (members & FLOW_MEMBER(FLOW_MEMBER_SERVICES)) {
			f->src_svc.v = dict_back_id(d, db, DICT_SERVICE, f->src_svc.v);
			f->dst_svc.v = dict_back_id(d, db, DICT_SERVICE, f->dst_svc.v);
		}
		if (members & FLOW_MEMBER(FLOW_MEMBER_NODE))
			f->node.v = dict_back_id(d, db, DICT_NODE, f->node.v);
		if (members & FLOW_MEMBER(FLOW_MEMBER_KERNEL_REASON))
			f->kernel_reason =
				(uint16_t)dict_back_id(d, db, DICT_REASON, f->kernel_reason);
	}
}
