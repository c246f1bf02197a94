#include "flow/pack.h"

#include <stdlib.h>

#include "base/buf.h"
#include "flow/fields.h"
#include "flow/wire.h"

enum flag { FLAG_FLOW = 1, FLAG_TIME = 2, FLAG_VOID = 4, FLAGS = 7 };
enum op { OP_BYTES, OP_KEEP, OP_KEPT };

enum {
	PIECE_MIN = 16, /* what is shorter is not worth a place */
	BUCKET = 8,     /* places of the index in which a piece can be */
	SEEN = 1024,
	HEAD_MAX_BYTES = 1 + 10,
	OP_MAX_BYTES = 10,
};

/* ---- what was kept: the latest pieces, in a ring of bytes */

struct piece {
	uint32_t at, len;
};

/* Numbers wrap: they are only compared with @next, and there are never so many at once. */
struct table {
	size_t max_bytes, used_bytes; /* with FLOW_PIECE_COST each */
	uint8_t *ring;
	size_t ring_bytes, at;
	struct piece *pieces;
	uint32_t mask, first, next; /* numbers: those of [first, next) are kept */
};

static size_t power_of_two(size_t n)
{
	size_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static bool table_init(struct table *t, size_t max_bytes, size_t shortest)
{
	max_bytes = max_bytes < FLOW_TABLE_MIN   ? FLOW_TABLE_MIN
		    : max_bytes > FLOW_TABLE_MAX ? FLOW_TABLE_MAX
						 : max_bytes;
	size_t most = power_of_two(max_bytes / (shortest + FLOW_PIECE_COST) + 1);
	/* A piece lies in one: what is left at the end when one does not fit is lost, once around,
	 * and then as much must be free at the beginning. */
	t->ring_bytes = max_bytes + 2 * (size_t)FLOW_PIECE_MAX;
	t->max_bytes = max_bytes;
	t->mask = (uint32_t)most - 1;
	t->ring = malloc(t->ring_bytes);
	t->pieces = calloc(most, sizeof *t->pieces);
	return t->ring && t->pieces;
}

static void table_done(struct table *t)
{
	free(t->ring);
	free(t->pieces);
}

static bool is_kept(const struct table *t, uint32_t number)
{
	return number - t->first < t->next - t->first;
}

static struct piece *piece_of(const struct table *t, uint32_t number)
{
	return &t->pieces[number & t->mask];
}

static struct str bytes_of(const struct table *t, const struct piece *p)
{
	return str_n(t->ring + p->at, p->len);
}

/* @bytes are not the table's own, and at most FLOW_PIECE_MAX. */
static uint32_t table_keep(struct table *t, struct str bytes)
{
	for (; t->used_bytes + bytes.len + FLOW_PIECE_COST > t->max_bytes; t->first++)
		t->used_bytes -= piece_of(t, t->first)->len + FLOW_PIECE_COST;
	if (t->ring_bytes - t->at < bytes.len)
		t->at = 0;
	memcpy(t->ring + t->at, bytes.p, bytes.len);
	*piece_of(t, t->next) = (struct piece){
		.at = (uint32_t)t->at,
		.len = (uint32_t)bytes.len,
	};
	t->at += bytes.len;
	t->used_bytes += bytes.len + FLOW_PIECE_COST;
	return t->next++;
}

static size_t agreed(struct str header, size_t served)
{
	uint64_t asked;

	if (!parse_u64(header, UINT64_MAX, &asked) || asked < FLOW_TABLE_MIN)
		return 0;
	return asked < served ? (size_t)asked : served;
}

size_t flow_table_agreed(struct str header)
{
	return agreed(header, FLOW_TABLE_SERVED);
}

size_t flow_tables_agreed(struct str header)
{
	return agreed(header, FLOW_TABLES_SERVED);
}

/* ---- packer */

/* With a part of the hash, so that no other piece is looked at: they lie far apart. */
struct place {
	uint32_t mark, number;
};

struct flow_packer {
	struct table table;
	struct place *index; /* by hash, BUCKET together; may be of pieces long gone */
	uint64_t bucket_mask;
	/* Hashes met lately: what comes for the second time is kept. */
	uint32_t seen[SEEN];
	struct wall_ns last;
};

void flow_packer_free(struct flow_packer *p)
{
	if (!p)
		return;
	table_done(&p->table);
	free(p->index);
	free(p);
}

enum err_code flow_packer_new(size_t table_bytes, struct flow_packer **ret, struct err *e)
{
	AUTO(flow_packer_free) struct flow_packer *p = calloc(1, sizeof *p);

	if (p && table_init(&p->table, table_bytes, PIECE_MIN)) {
		/* Pieces are longer than the shortest, most of them: there are places enough. */
		size_t buckets = power_of_two(((size_t)p->table.mask + 1) / BUCKET);
		p->bucket_mask = buckets - 1;
		size_t bytes = buckets * BUCKET * sizeof *p->index;
		p->index = aligned_alloc(BUCKET * sizeof *p->index, bytes);
		if (p->index)
			memset(p->index, 0, bytes);
	}
	if (!p || !p->index)
		return err_set(e, ERR_NOMEM, "packer of flows");
	*ret = TAKE(p);
	return ERR_OK;
}

static struct place *bucket_of(const struct flow_packer *p, uint64_t hash)
{
	return p->index + (hash >> 32 & p->bucket_mask) * BUCKET;
}

static bool find(const struct flow_packer *p, struct str bytes, uint64_t hash, uint32_t *ret)
{
	const struct place *bucket = bucket_of(p, hash);

	for (size_t i = 0; i < BUCKET; i++) {
		uint32_t number = bucket[i].number;
		if (bucket[i].mark == (uint32_t)hash && is_kept(&p->table, number) &&
		    str_eq(bytes_of(&p->table, piece_of(&p->table, number)), bytes)) {
			*ret = number;
			return true;
		}
	}
	return false;
}

static void keep(struct flow_packer *p, struct str bytes, uint64_t hash)
{
	struct place *bucket = bucket_of(p, hash), *oldest = bucket;

	for (size_t i = 0; i < BUCKET; i++)
		if (p->table.next - bucket[i].number > p->table.next - oldest->number)
			oldest = &bucket[i];
	*oldest = (struct place){ (uint32_t)hash, table_keep(&p->table, bytes) };
}

static bool was_seen(struct flow_packer *p, uint64_t hash)
{
	uint32_t *seen = &p->seen[hash % SEEN], mark = (uint32_t)(hash >> 32) | 1;
	bool was = *seen == mark;

	*seen = mark;
	return was;
}

/* A record that is being written, into room that suffices. */
struct writer {
	uint8_t *p;
	/* Bytes that are in no piece yet: these, and behind them those from here … */
	struct str before;
	const char *pending;
};

static void put_varint(struct writer *w, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*w->p++ = (uint8_t)(v | 0x80);
	*w->p++ = (uint8_t)v;
}

/* Of nothing, @p may be NULL. */
static void put_raw(struct writer *w, const char *p, size_t n)
{
	if (n)
		memcpy(w->p, p, n);
	w->p += n;
}

static void put_bytes(struct writer *w, enum op op, struct str bytes)
{
	put_varint(w, (uint64_t)bytes.len << 2 | op);
	put_raw(w, bytes.p, bytes.len);
}

/* … up to @end. */
static void put_pending(struct writer *w, const char *end)
{
	size_t n = (size_t)(end - w->pending);

	if (!(w->before.len + n))
		return;
	put_varint(w, (uint64_t)(w->before.len + n) << 2 | OP_BYTES);
	put_raw(w, w->before.p, w->before.len);
	put_raw(w, w->pending, n);
	w->before.len = 0;
}

static void put_kept(struct writer *w, const struct flow_packer *p, uint32_t number)
{
	put_varint(w, (uint64_t)(p->table.next - 1 - number) << 2 | OP_KEPT);
}

static void put_head(struct writer *w, struct flow_packer *p, const struct flow_pack_head *head)
{
	*w->p++ = (uint8_t)((head->is_flow ? FLAG_FLOW : 0) | (head->has_time ? FLAG_TIME : 0) |
			    (head->is_void ? FLAG_VOID : 0));
	if (!head->has_time)
		return;
	uint64_t ahead = head->time.v - p->last.v;
	put_varint(w, ahead << 1 ^ (0 - (ahead >> 63)));
	p->last = head->time;
}

/* How a field of a flow comes again, if it does. */
enum habit {
	HABIT_JOINT, /* with its neighbours: what kind of flow it is, seen where */
	HABIT_ALONE, /* whoever its neighbours are */
	HABIT_NEVER  /* it is of one flow only */
};

static enum habit habit_of(const struct wire_field *f)
{
	switch (f->number) {
	case FLOW_FIELD_TIME:
	case FLOW_FIELD_L4:
	case FLOW_FIELD_TRACE_CONTEXT:
	case FLOW_FIELD_SOCKET_COOKIE:
	case FLOW_FIELD_UUID:
	case FLOW_FIELD_IP_TRACE_ID:
	case FLOW_FIELD_TYCHO:
		return HABIT_NEVER;
	case FLOW_FIELD_VERDICT:
	case FLOW_FIELD_DROP_REASON:
	case FLOW_FIELD_TYPE:
	case FLOW_FIELD_NODE_NAME:
	case FLOW_FIELD_REPLY:
	case FLOW_FIELD_EVENT_TYPE:
	case FLOW_FIELD_TRAFFIC_DIRECTION:
	case FLOW_FIELD_POLICY_MATCH_TYPE:
	case FLOW_FIELD_TRACE_OBSERVATION_POINT:
	case FLOW_FIELD_DROP_REASON_DESC:
	case FLOW_FIELD_IS_REPLY:
	case FLOW_FIELD_DEBUG_CAPTURE_POINT:
	case FLOW_FIELD_INTERFACE:
	case FLOW_FIELD_AUTH_TYPE:
	case FLOW_FIELD_TRACE_REASON:
	case FLOW_FIELD_NODE_LABELS:
	case FLOW_FIELD_EMITTER:
		return HABIT_JOINT;
	default:
		return f->type == WIRE_LEN ? HABIT_ALONE : HABIT_NEVER;
	}
}

/* What may come again goes out, kept or as the number under which it was kept; what is new waits
 * with what never will. */
static void put_candidate(struct flow_packer *p, struct writer *w, struct str bytes)
{
	uint32_t number;

	if (bytes.len < PIECE_MIN || bytes.len > FLOW_PIECE_MAX / 2)
		return;
	uint64_t hash = hash_bytes(bytes.p, bytes.len, 0);
	if (find(p, bytes, hash, &number)) {
		put_pending(w, bytes.p);
		put_kept(w, p, number);
	} else if (was_seen(p, hash)) {
		put_pending(w, bytes.p);
		put_bytes(w, OP_KEEP, bytes);
		keep(p, bytes, hash);
	} else {
		return;
	}
	w->pending = bytes.p + bytes.len;
}

static void put_fields(struct flow_packer *p, struct writer *w, struct str bytes)
{
	struct wire_reader fields = wire_reader_of(bytes);
	struct str joint = { bytes.p, 0 }; /* the latest fields, as far as they are such */
	struct wire_field f;

	while (wire_next(&fields, &f)) {
		enum habit habit = habit_of(&f);
		if (habit == HABIT_JOINT) {
			joint.len += f.raw.len;
			continue;
		}
		put_candidate(p, w, joint);
		if (habit == HABIT_ALONE)
			put_candidate(p, w, f.raw);
		joint = (struct str){ f.raw.p + f.raw.len, 0 };
	}
	put_candidate(p, w, joint);
}

/* A response in three parts, which need not lie together; the fields of the latter two are looked
 * at. */
static void put_record(struct flow_packer *p, const struct flow_pack_head *head, struct str before,
		       struct str flow, struct str behind, struct buf *out)
{
	size_t len = before.len + flow.len + behind.len;
	/* Two pieces, one of them pending bytes, for each PIECE_MIN bytes, at worst; and where two
	 * parts meet. */
	size_t ops = 2 * (len / PIECE_MIN) + 2;
	char *room = buf_reserve(out, HEAD_MAX_BYTES + len + ops * OP_MAX_BYTES);

	if (!room)
		return;
	struct writer w = { (uint8_t *)room, before, flow.p };
	put_head(&w, p, head);
	put_fields(p, &w, flow);
	const char *end = flow.p + flow.len;
	if (w.before.len)
		put_pending(&w, end);
	else
		w.before = str_n(w.pending, (size_t)(end - w.pending));
	w.pending = behind.p;
	put_fields(p, &w, behind);
	put_pending(&w, behind.p + behind.len);
	out->len += (size_t)((char *)w.p - room);
}

void flow_packer_put(struct flow_packer *p, struct str response, struct buf *out)
{
	struct flow_pack_head head = { 0 };
	struct flow_response r;

	if (flow_response_split(response, &r, NULL) != ERR_OK) {
		put_record(p, &head, response, STR(""), STR(""), out);
		return;
	}
	/* A node's status is news, whatever the time of what comes with it. */
	if (r.kind != FLOW_KIND_NODE_STATUS && r.has_time)
		head.has_time = timestamp_to_wall(r.time, &head.time);
	head.is_flow = r.kind == FLOW_KIND_FLOW && r.has_message;
	if (!head.is_flow) {
		put_record(p, &head, response, STR(""), STR(""), out);
		return;
	}
	const char *behind = r.message.p + r.message.len, *end = response.p + response.len;
	put_record(p, &head, str_n(response.p, (size_t)(r.message.p - response.p)), r.message,
		   str_n(behind, (size_t)(end - behind)), out);
}

void flow_packer_put_flow(struct flow_packer *p, struct str flow, const struct timestamp *time,
			  struct str behind, struct buf *out)
{
	struct flow_pack_head head = { .is_flow = true };
	uint8_t before[1 + OP_MAX_BYTES];
	struct writer w = { .p = before };

	if (time)
		head.has_time = timestamp_to_wall(*time, &head.time);
	put_varint(&w, RESPONSE_FIELD_FLOW << 3 | WIRE_LEN);
	put_varint(&w, flow.len);
	put_record(p, &head, str_n(before, (size_t)(w.p - before)), flow, behind, out);
}

/* ---- unpacker */

struct flow_unpacker {
	struct table table;
	struct wall_ns last;
};

void flow_unpacker_free(struct flow_unpacker *u)
{
	if (!u)
		return;
	table_done(&u->table);
	free(u);
}

enum err_code flow_unpacker_new(size_t table_bytes, struct flow_unpacker **ret, struct err *e)
{
	AUTO(flow_unpacker_free) struct flow_unpacker *u = calloc(1, sizeof *u);

	if (!u || !table_init(&u->table, table_bytes, 1))
		return err_set(e, ERR_NOMEM, "unpacker of flows");
	*ret = TAKE(u);
	return ERR_OK;
}

static bool read_long_varint(struct str *from, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && from->len; shift += 7) {
		uint8_t c = (uint8_t)*from->p++;
		from->len--;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80) {
			*ret = v;
			return shift < 63 || c < 2;
		}
	}
	return false;
}

/* Most pieces begin with one byte or two. */
static inline bool read_varint(struct str *from, uint64_t *ret)
{
	const uint8_t *p = (const uint8_t *)from->p;
	size_t bytes = from->len && p[0] < 0x80 ? 1 : from->len > 1 && p[1] < 0x80 ? 2 : 0;

	if (!bytes)
		return read_long_varint(from, ret);
	*ret = bytes == 1 ? p[0] : (uint64_t)p[1] << 7 | (p[0] & 0x7f);
	from->p += bytes;
	from->len -= bytes;
	return true;
}

enum err_code flow_pack_head(struct str record, struct wall_ns *last, struct flow_pack_head *ret,
			     struct err *e)
{
	uint8_t flags = record.len ? (uint8_t)*record.p : UINT8_MAX;
	uint64_t ahead;

	if (flags & ~FLAGS)
		return err_set(e, ERR_PARSE, "no packed flow");
	struct flow_pack_head head = {
		.is_void = flags & FLAG_VOID,
		.is_flow = flags & FLAG_FLOW,
		.has_time = flags & FLAG_TIME,
		.pieces = str_n(record.p + 1, record.len - 1),
	};
	if (head.has_time) {
		if (!read_varint(&head.pieces, &ahead))
			return err_set(e, ERR_PARSE, "no packed flow");
		last->v += ahead >> 1 ^ (0 - (ahead & 1));
		head.time = *last;
	}
	*ret = head;
	return ERR_OK;
}

void flow_pack_void(char *record)
{
	*record |= FLAG_VOID;
}

/* The bytes of the next piece of @pieces; to be used before the one after it is asked for. */
static bool next_piece(struct flow_unpacker *u, struct str *pieces, struct str *ret)
{
	uint64_t v;

	if (!read_varint(pieces, &v))
		return false;
	enum op op = (enum op)(v & 3);
	v >>= 2;
	if (op == OP_KEPT) {
		if (v >= u->table.next - u->table.first)
			return false;
		*ret = bytes_of(&u->table, piece_of(&u->table, u->table.next - 1 - (uint32_t)v));
		return true;
	}
	if (op > OP_KEPT || v > pieces->len)
		return false;
	*ret = str_n(pieces->p, (size_t)v);
	pieces->p += v;
	pieces->len -= v;
	if (op == OP_BYTES)
		return true;
	if (v < 1 || v > FLOW_PIECE_MAX)
		return false;
	(void)table_keep(&u->table, *ret);
	return true;
}

enum err_code flow_unpacker_take(struct flow_unpacker *u, struct str record, struct buf *out,
				 bool *ret_is_void, struct err *e)
{
	struct flow_pack_head head;
	struct str bytes;

	if (flow_pack_head(record, &u->last, &head, e) != ERR_OK)
		return ERR_PARSE;
	while (head.pieces.len) {
		if (!next_piece(u, &head.pieces, &bytes))
			return err_set(e, ERR_PARSE, "no packed flow");
		if (!head.is_void)
			buf_str_put(out, bytes);
	}
	if (out->failed)
		return err_set(e, ERR_PARSE, "a packed flow of more than %zu bytes", out->max);
	*ret_is_void = head.is_void;
	return ERR_OK;
}
