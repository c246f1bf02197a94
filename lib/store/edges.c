#include "base/map.h"
#include "base/pages.h"
#include "edge/edge.h"
#include "store/edge_table.h"
#include "store/inside.h"

/*
 * Edges are counted in memory by (minute, who, whom, port, …) and written when the minute has ended,
 * together with the number up to which records are counted: after a crash the blocks behind it are
 * counted again, and none twice. A minute is one row of the file, all of its edges packed
 * (edge_rows.h); late records add to what is there.
 *
 * The two sides are "parties": cluster, kind of workload, namespace and name. So are policies, DNS
 * names and nodes, which have a name only.
 */

enum {
	EDGES_MOST = 1 << 14, /* in memory */
	EDGE_SLOTS = 1 << 15, /* half of them free */
	PARTIES_MOST = 1 << 15,
	PARTIES_OF_FLOW = 5, /* that it may bring: two sides, DNS name, policy, node */
	DNS_MOST = 1 << 13,  /* names of outside peers; more of them count without */
	PARTY_BYTES = 4 * (EDGE_TEXT_BYTES + sizeof(uint16_t)),
	DELETE_MINUTES = 240,
};
#define MINUTE_NS (60 * NS_PER_S)
/* What is counted of a minute is written once, when it has ended and its last records have come; of
 * records that come later, or of a time that is still to come, some time after them. */
#define LAST_COME_NS (2 * NS_PER_S)
#define LATE_WAIT_NS (15 * NS_PER_S)
#define WAIT_NS (MINUTE_NS + LATE_WAIT_NS)

struct edge_key {
	uint32_t minute;                      /* since 1970 */
	uint32_t src, dst, dns, policy, node; /* parties; 0: none */
	uint32_t drop_desc;
	uint16_t port;
	uint8_t l4, verdict;
};
_Static_assert(sizeof(struct edge_key) == 32, "keys are compared as bytes");

struct edge {
	struct edge_key key;
	uint64_t flows, packets, bytes;
	uint32_t l7_ok, l7_errors;
};

struct party {
	struct str key;  /* as put_party writes it; the map's own bytes */
	uint32_t stored; /* its row */
	uint32_t day;
};

struct edges {
	const struct flow_dict *dict;
	struct edge *list; /* EDGES_MOST */
	size_t count;
	uint16_t *slots; /* 1 + index of list; 0: free */
	struct map *party_ids;
	struct party *parties; /* [0] is nobody */
	size_t party_count, dns_count;
	/* party by endpoint and by node, 0: not known yet */
	uint32_t *by_endpoint, *by_node;
	size_t by_endpoint_count, by_node_count;
	struct wall_ns flushed;
	uint32_t oldest; /* minute of what is in the list; UINT32_MAX: nothing is */
	bool full;
	uint64_t nameless; /* flows since the start */
};
_Static_assert(EDGES_MOST < UINT16_MAX, "indices of edges");

void edges_free(struct edges *ed)
{
	if (!ed)
		return;
	pages_free(ed->list, EDGES_MOST, sizeof *ed->list);
	free(ed->slots);
	map_free(ed->party_ids);
	pages_free(ed->parties, PARTIES_MOST + 1, sizeof *ed->parties);
	free(ed->by_endpoint);
	free(ed->by_node);
	free(ed);
}

enum err_code edges_new(const struct flow_dict *dict, struct edges **ret, struct err *e)
{
	AUTO(own_free) struct edges *ed = calloc(1, sizeof *ed);
	uint64_t seed = (uint64_t)(uintptr_t)ed; /* names come from this node's own dictionary */

	if (!ed)
		return err_set(e, ERR_NOMEM, "edges of the store");
	ed->dict = dict;
	ed->oldest = UINT32_MAX;
	ed->list = pages_new(EDGES_MOST, sizeof *ed->list);
	ed->slots = calloc(EDGE_SLOTS, sizeof *ed->slots);
	ed->parties = pages_new(PARTIES_MOST + 1, sizeof *ed->parties);
	if (!ed->list || !ed->slots || !ed->parties ||
	    map_new(PARTIES_MOST, seed, &ed->party_ids, NULL) != ERR_OK) {
		edges_free(TAKE(ed));
		return err_set(e, ERR_NOMEM, "edges of the store");
	}
	*ret = TAKE(ed);
	return ERR_OK;
}

/* --- who ---------------------------------------------------------------------------------- */

/* In the order in which they lie in a key. */
enum { PARTY_CLUSTER, PARTY_KIND, PARTY_NAMESPACE, PARTY_NAME, PARTY_TEXTS };

static struct edge_side named(struct str name)
{
	return (struct edge_side){
		.cluster = STR(""), .namespace_ = STR(""), .name = name, .kind = STR("")
	};
}

/* Each text with its length. */
static void put_party(struct buf *b, const struct edge_side *side)
{
	const struct str texts[PARTY_TEXTS] = { side->cluster, side->kind, side->namespace_,
						side->name };

	for (size_t i = 0; i < PARTY_TEXTS; i++)
		edge_text_put(b, texts[i]);
}

static void get_party(struct str key, struct str ret[PARTY_TEXTS])
{
	for (size_t i = 0; i < PARTY_TEXTS; i++) {
		uint16_t len;
		memcpy(&len, key.p, sizeof len);
		key = str_from(key, sizeof len);
		ret[i] = str_upto(key, len);
		key = str_from(key, len);
	}
}

static bool party_is_known(const struct edges *ed, const struct edge_side *side, uint32_t *ret)
{
	char bytes[PARTY_BYTES];
	struct buf key = buf_fixed(bytes, sizeof bytes);

	put_party(&key, side);
	return map_get(ed->party_ids, buf_str(&key), ret);
}

/* 0: no more room. */
static uint32_t party_of(struct edges *ed, struct edge_side side)
{
	char bytes[PARTY_BYTES];
	struct buf key = buf_fixed(bytes, sizeof bytes);
	struct str kept;
	uint32_t id;

	put_party(&key, &side);
	if (map_get(ed->party_ids, buf_str(&key), &id))
		return id;
	if (ed->party_count == PARTIES_MOST) {
		ed->full = true;
		return 0;
	}
	id = (uint32_t)ed->party_count + 1;
	if (map_put(ed->party_ids, buf_str(&key), id, &kept, NULL) != ERR_OK)
		return 0;
	ed->parties[id] = (struct party){ .key = kept };
	ed->party_count++;
	return id;
}

static bool remember(uint32_t **list, size_t *count, uint32_t id, uint32_t party)
{
	if (id >= *count) {
		size_t room = ((size_t)id + 32) * 2;
		uint32_t *grown = realloc(*list, room * sizeof *grown);
		if (!grown)
			return false;
		memset(grown + *count, 0, (room - *count) * sizeof *grown);
		*list = grown;
		*count = room;
	}
	(*list)[id] = party;
	return true;
}

static uint32_t party_of_side(struct edges *ed, struct endpoint_id id)
{
	if (id.v < ed->by_endpoint_count && ed->by_endpoint[id.v])
		return ed->by_endpoint[id.v];
	uint32_t party = party_of(ed, edge_side_of(flow_dict_get_endpoint(ed->dict, id)));
	(void)remember(&ed->by_endpoint, &ed->by_endpoint_count, id.v, party);
	return party;
}

static uint32_t party_of_node(struct edges *ed, struct node_id id)
{
	if (!id.v)
		return 0;
	if (id.v < ed->by_node_count && ed->by_node[id.v])
		return ed->by_node[id.v];
	const struct node *node = flow_dict_get_node(ed->dict, id);
	uint32_t party = node && node->name.len ? party_of(ed, named(node->name)) : 0;
	(void)remember(&ed->by_node, &ed->by_node_count, id.v, party);
	return party;
}

static uint32_t party_of_dns(struct edges *ed, const struct flow *f)
{
	struct str name = edge_dns_name(f, ed->dict);
	uint32_t id;

	if (!name.len)
		return 0;
	size_t before = ed->party_count;
	struct edge_side side = named(name);
	if (ed->dns_count >= DNS_MOST) {
		if (party_is_known(ed, &side, &id))
			return id;
		ed->nameless++;
		return 0;
	}
	id = party_of(ed, side);
	ed->dns_count += ed->party_count - before;
	return id;
}

static uint32_t party_of_policy(struct edges *ed, const struct flow *f)
{
	char bytes[EDGE_POLICY_BYTES];
	struct buf text = buf_fixed(bytes, sizeof bytes);

	edge_policy_put(&text, f);
	return text.len ? party_of(ed, named(buf_str(&text))) : 0;
}

/* --- counting ----------------------------------------------------------------------------- */

/* NULL: the table is full until it is written. */
static struct edge *find(struct edges *ed, const struct edge_key *key)
{
	size_t at = hash_bytes(key, sizeof *key, 0) & (EDGE_SLOTS - 1);

	for (; ed->slots[at]; at = (at + 1) & (EDGE_SLOTS - 1)) {
		struct edge *edge = &ed->list[ed->slots[at] - 1];
		if (memcmp(&edge->key, key, sizeof *key) == 0)
			return edge;
	}
	if (ed->count == EDGES_MOST) {
		ed->full = true;
		return NULL;
	}
	struct edge *edge = &ed->list[ed->count++];
	*edge = (struct edge){ .key = *key };
	ed->oldest = key->minute < ed->oldest ? key->minute : ed->oldest;
	ed->slots[at] = (uint16_t)ed->count;
	return edge;
}

uint64_t edges_nameless(const struct edges *ed)
{
	return ed->nameless;
}

bool edges_have_room(struct edges *ed, size_t flows)
{
	bool has_room = ed->count + flows <= EDGES_MOST &&
			ed->party_count + PARTIES_OF_FLOW * flows <= PARTIES_MOST;

	ed->full |= !has_room;
	return has_room;
}

void edges_add(struct edges *ed, const struct flow *f, struct wall_ns now)
{
	if (f->kind != FLOW_KIND_FLOW || !edge_has_ends(f))
		return;
	bool answer = edge_is_answer(f);
	uint64_t time = flow_is(f, FLOW_HAS_TIME) ? f->time.v : now.v;
	const struct edge_key key = {
		.minute = (uint32_t)(time / MINUTE_NS),
		.src = party_of_side(ed, answer ? f->dst_ep : f->src_ep),
		.dst = party_of_side(ed, answer ? f->src_ep : f->dst_ep),
		.dns = party_of_dns(ed, f),
		.policy = party_of_policy(ed, f),
		.node = party_of_node(ed, f->node),
		.drop_desc = f->drop_desc,
		.port = edge_port(f),
		.l4 = f->l4,
		.verdict = f->verdict,
	};
	struct edge *edge = find(ed, &key);
	if (!edge)
		return;
	edge->flows++;
	if (flow_is(f, FLOW_HAS_DETAIL)) {
		edge->packets += f->packets;
		edge->bytes += f->bytes;
	}
	enum edge_l7 l7 = edge_l7_of(f);
	edge->l7_ok += l7 == EDGE_L7_OK;
	edge->l7_errors += l7 == EDGE_L7_ERROR;
}

/* --- rows --------------------------------------------------------------------------------- */

bool edges_are_due(const struct edges *ed, struct wall_ns now)
{
	if (ed->full || !ed->count || now.v < ed->flushed.v)
		return ed->full || ed->count;
	bool has_ended = now.v >= (ed->oldest + UINT64_C(1)) * MINUTE_NS + LAST_COME_NS;
	return now.v - ed->flushed.v >= (has_ended ? LATE_WAIT_NS : WAIT_NS);
}

struct wall_ns edges_pending(const struct edges *ed)
{
	return (struct wall_ns){ ed->count ? ed->oldest * MINUTE_NS : UINT64_MAX };
}

static enum err_code settle(struct edges *ed, struct db *db, uint32_t id, uint32_t day,
			    uint32_t *ret, struct err *e)
{
	struct party *p = &ed->parties[id];

	*ret = p->stored;
	if (!id || (p->stored && p->day == day))
		return ERR_OK;
	struct str texts[PARTY_TEXTS];
	get_party(p->key, texts);
	sqlite3_stmt *st = DB_ASK(
		db,
		"INSERT INTO party (namespace, name, cluster, kind, day) VALUES (?1, ?2, ?3, ?4,"
		" ?5) ON CONFLICT DO UPDATE SET day = max(day, excluded.day) RETURNING id",
		DB_T(texts[PARTY_NAMESPACE]), DB_T(texts[PARTY_NAME]), DB_T(texts[PARTY_CLUSTER]),
		DB_T(texts[PARTY_KIND]), DB_I(day));
	uint32_t stored = 0;
	while (db_next(db, st)) /* to its end: that is when it is written */
		stored = (uint32_t)column_u64(st, 0);
	enum err_code code = db_ended(db, "write a name", e);
	if (code != ERR_OK)
		return code;
	p->stored = *ret = stored;
	p->day = day;
	return ERR_OK;
}

/* What was counted for an edge, as the file has it. */
static enum err_code add_row(struct edges *ed, struct db *db, const struct edge *edge, uint32_t day,
			     struct edge_rows *to, struct err *e)
{
	const uint32_t parties[] = { edge->key.src, edge->key.dst, edge->key.dns, edge->key.policy,
				     edge->key.node };
	uint32_t rows[ARRAY_LEN(parties)];

	for (size_t i = 0; i < ARRAY_LEN(parties); i++) {
		enum err_code code = settle(ed, db, parties[i], day, &rows[i], e);
		if (code != ERR_OK)
			return code;
	}
	to->list[to->count++] = (struct edge_row){ .src = rows[0],
						   .dst = rows[1],
						   .dns = rows[2],
						   .policy = rows[3],
						   .node = rows[4],
						   .drop_desc = edge->key.drop_desc,
						   .port = edge->key.port,
						   .l4 = edge->key.l4,
						   .verdict = edge->key.verdict,
						   .flows = edge->flows,
						   .packets = edge->packets,
						   .bytes = edge->bytes,
						   .l7_ok = edge->l7_ok,
						   .l7_errors = edge->l7_errors };
	return ERR_OK;
}

static int64_t piece_id(uint32_t minute)
{
	return (int64_t)minute << EDGE_PIECE_BITS;
}

bool edges_is_whole(sqlite3_stmt *st)
{
	AUTO_EDGE_ROWS struct edge_rows rows = { 0 };

	return edge_piece_read(st, &rows, NULL) != ERR_PARSE;
}

/* Where the rows of @minute go that come now, which what is there already of that piece is added to.
 * A piece that is large is left alone: a port scan's minute would be written anew for each part of
 * it. So is a damaged one, for whoever asks for it to be told. */
static enum err_code find_piece(struct db *db, uint32_t minute, int64_t *ret_id,
				struct edge_rows *rows, struct err *e)
{
	size_t now = rows->count;
	enum err_code code = ERR_OK;
	sqlite3_stmt *st = DB_ASK(db,
				  "SELECT id, sum, data FROM edge_minute WHERE id >= ?1"
				  " AND id < ?2 ORDER BY id DESC LIMIT 1",
				  DB_I(piece_id(minute)), DB_I(piece_id(minute + 1)));

	*ret_id = piece_id(minute);
	if (db_next(db, st)) {
		*ret_id = sqlite3_column_int64(st, 0);
		code = edge_piece_read(st, rows, e);
		db_leave(st);
	}
	bool is_left = code == ERR_PARSE || rows->count - now > EDGES_MOST;
	if (is_left) {
		rows->count = now;
		++*ret_id;
	}
	return code == ERR_NOMEM ? code : db_ended(db, "read the service map", e);
}

/* Where in the list, by minute. */
struct place {
	uint32_t minute;
	uint16_t at;
};

static int by_minute(const void *x, const void *y)
{
	const struct place *a = x, *b = y;

	return a->minute < b->minute ? -1 : a->minute > b->minute;
}

/* All that was counted of a minute. */
static enum err_code write_minute(struct edges *ed, struct db *db, const struct place *places,
				  size_t count, uint32_t day, struct err *e)
{
	AUTO_EDGE_ROWS struct edge_rows rows = { 0 };
	AUTO_BUF struct buf bytes = buf_init(SIZE_MAX);
	enum err_code code = ERR_OK;
	int64_t id;

	if (!edge_rows_reserve(&rows, count))
		return err_set(e, ERR_NOMEM, "the service map of a minute");
	for (size_t i = 0; i < count && code == ERR_OK; i++)
		code = add_row(ed, db, &ed->list[places[i].at], day, &rows, e);
	if (code == ERR_OK)
		code = find_piece(db, places->minute, &id, &rows, e);
	if (code != ERR_OK)
		return code;
	edge_rows_sort(&rows);
	code = edge_rows_pack(&rows, &bytes, e);
	if (code != ERR_OK)
		return code;
	return DB_RUN(db, e,
		      "INSERT OR REPLACE INTO edge_minute (id, sum, data) VALUES (?1, ?2, ?3)",
		      DB_I(id), DB_I(edge_rows_sum(buf_str(&bytes))), DB_B(buf_str(&bytes)));
}

/* Minute by minute. */
static enum err_code write_list(struct edges *ed, struct db *db, uint32_t day, struct err *e)
{
	AUTO(own_free) struct place *places = calloc(ed->count, sizeof *places);
	enum err_code code = ERR_OK;

	if (!places)
		return err_set(e, ERR_NOMEM, "the service map of a minute");
	for (size_t i = 0; i < ed->count; i++)
		places[i] = (struct place){ ed->list[i].key.minute, (uint16_t)i };
	qsort(places, ed->count, sizeof *places, by_minute);
	for (size_t from = 0, to; from < ed->count && code == ERR_OK; from = to) {
		for (to = from + 1; to < ed->count && places[to].minute == places[from].minute;)
			to++;
		code = write_minute(ed, db, places + from, to - from, day, e);
	}
	return code;
}

enum err_code edges_write(struct edges *ed, struct db *db, uint32_t day, uint64_t up_to_seq,
			  struct err *e)
{
	enum err_code code = ed->count ? write_list(ed, db, day, e) : ERR_OK;

	if (code == ERR_OK)
		code = DB_RUN(db, e, "INSERT OR REPLACE INTO meta VALUES ('edges_seq', ?1)",
			      DB_I(up_to_seq));
	return code;
}

/* Rows that were made went with the transaction. */
void edges_not_written(struct edges *ed)
{
	for (size_t i = 0; i <= ed->party_count; i++)
		ed->parties[i].stored = 0;
}

void edges_written(struct edges *ed, struct wall_ns now)
{
	memset(ed->slots, 0, EDGE_SLOTS * sizeof *ed->slots);
	ed->count = 0;
	ed->oldest = UINT32_MAX;
	ed->flushed = now;
	if (!ed->full && ed->dns_count < DNS_MOST)
		return;
	map_reset(ed->party_ids);
	ed->party_count = ed->dns_count = 0;
	if (ed->by_endpoint_count)
		memset(ed->by_endpoint, 0, ed->by_endpoint_count * sizeof *ed->by_endpoint);
	if (ed->by_node_count)
		memset(ed->by_node, 0, ed->by_node_count * sizeof *ed->by_node);
	ed->full = false;
}

void edges_forget(struct edges *ed)
{
	ed->full = true; /* names, too */
	edges_written(ed, ed->flushed);
}

enum err_code edges_oldest(struct db *db, uint64_t otherwise, uint64_t *ret, struct err *e)
{
	/* of the table, not of what is packed in it: it may be damaged */
	sqlite3_stmt *st = DB_ASK(db, "SELECT id >> ?1 FROM edge_minute ORDER BY id LIMIT 1",
				  DB_I(EDGE_PIECE_BITS));

	*ret = otherwise;
	if (db_next(db, st)) {
		*ret = column_u64(st, 0);
		db_leave(st);
	}
	return db_ended(db, "read the service map", e);
}

enum err_code edges_prune(struct db *db, struct wall_ns cutoff, bool *ret_more, struct err *e)
{
	uint64_t oldest, end = cutoff.v / MINUTE_NS;
	enum err_code code = edges_oldest(db, end, &oldest, e);

	if (code != ERR_OK || oldest >= end)
		return code;
	uint64_t upto = oldest + DELETE_MINUTES < end ? oldest + DELETE_MINUTES : end;
	code = DB_RUN(db, e, "DELETE FROM edge_minute WHERE id < ?1",
		      DB_I(upto << EDGE_PIECE_BITS));
	if (code == ERR_OK && upto == end)
		code = DB_RUN(db, e,
			      "DELETE FROM party WHERE id IN (SELECT id FROM party WHERE day < ?1"
			      " LIMIT 2000)",
			      DB_I(end / 1440));
	if (code == ERR_OK)
		*ret_more = upto < end;
	return code;
}
