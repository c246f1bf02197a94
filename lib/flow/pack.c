#include "flow/pack.h"

#include <stdlib.h>

#include "base/buf.h"
#include "flow/fields.h"
#include "flow/wire.h"

enum flag { FLAG_FLOW = 1, FLAG_TIME = 2, FLAG_VOID = 4, FLAGS = 7 };
enum op { OP_BYTES, OP_KEEP, OP_KEPT };

enum {
	PIECE_MIN = 24, /* what is shorter is not worth a place */
	BUCKET = 8,     /* places of the index in which a piece can be */
	SEEN = 1024,
	HEAD_MAX_BYTES = 1 + 10,
	OP_MAX_BYTES = 10,
};

/* ---- what was kept: the latest pieces, in a ring of bytes */

struct piece {
	uint32_t at, len;
	uint32_t there; /* of an unpacker's that was packed again: its number there */
	bool has_there;
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

size_t flow_table_agreed(struct str header)
{
	uint64_t asked;

	if (!parse_u64(header, UINT64_MAX, &asked) || asked < FLOW_TABLE_MIN)
		return 0;
	return asked < FLOW_TABLE_SERVED ? (size_t)asked : FLOW_TABLE_SERVED;
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
		size_t buckets = power_of_two(2 * ((size_t)p->table.mask + 1) / BUCKET);
		p->bucket_mask = buckets - 1;
		p->index = calloc(buckets * BUCKET, sizeof *p->index);
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

static uint32_t keep(struct flow_packer *p, struct str bytes, uint64_t hash)
{
	struct place *bucket = bucket_of(p, hash), *oldest = bucket;

	for (size_t i = 0; i < BUCKET; i++)
		if (p->table.next - bucket[i].number > p->table.next - oldest->number)
			oldest = &bucket[i];
	*oldest = (struct place){ (uint32_t)hash, table_keep(&p->table, bytes) };
	return oldest->number;
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
	const char *pending; /* bytes that are in no piece yet: from here … */
};

static void put_varint(struct writer *w, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*w->p++ = (uint8_t)(v | 0x80);
	*w->p++ = (uint8_t)v;
}

static void put_bytes(struct writer *w, enum op op, struct str bytes)
{
	put_varint(w, (uint64_t)bytes.len << 2 | op);
	memcpy(w->p, bytes.p, bytes.len);
	w->p += bytes.len;
}

/* … up to @end. */
static void put_pending(struct writer *w, const char *end)
{
	if (end > w->pending)
		put_bytes(w, OP_BYTES, str_n(w->pending, (size_t)(end - w->pending)));
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

/* What is not of one flow alone. */
static bool may_come_again(const struct wire_field *f)
{
	return f->type == WIRE_LEN && f->raw.len >= PIECE_MIN && f->raw.len <= FLOW_PIECE_MAX / 2 &&
	       f->number != FLOW_FIELD_UUID && f->number != FLOW_FIELD_TIME;
}

static void put_fields(struct flow_packer *p, struct writer *w, struct str bytes)
{
	struct wire_reader fields = wire_reader_of(bytes);
	struct wire_field f;
	uint32_t number;

	while (wire_next(&fields, &f)) {
		if (!may_come_again(&f))
			continue;
		uint64_t hash = hash_bytes(f.raw.p, f.raw.len, 0);
		if (find(p, f.raw, hash, &number)) {
			put_pending(w, f.raw.p);
			put_kept(w, p, number);
		} else if (was_seen(p, hash)) {
			put_pending(w, f.raw.p);
			put_bytes(w, OP_KEEP, f.raw);
			(void)keep(p, f.raw, hash);
		} else {
			continue;
		}
		w->pending = f.raw.p + f.raw.len;
	}
}

static struct flow_pack_head head_of(const struct flow_response *r)
{
	struct flow_pack_head head = { .is_flow = r->kind == FLOW_KIND_FLOW && r->has_message };

	/* A node's status is news, whatever the time of what comes with it. */
	if (r->kind != FLOW_KIND_NODE_STATUS && r->has_time)
		head.has_time = timestamp_to_wall(r->time, &head.time);
	return head;
}

void flow_packer_put(struct flow_packer *p, struct str response, struct buf *out)
{
	struct flow_pack_head head = { 0 };
	struct flow_response r;
	/* Two pieces, one of them pending bytes, for each PIECE_MIN bytes, at worst. */
	size_t ops = 2 * (response.len / PIECE_MIN) + 1;
	char *room = buf_reserve(out, HEAD_MAX_BYTES + response.len + ops * OP_MAX_BYTES);

	if (!room)
		return;
	struct writer w = { (uint8_t *)room, response.p };
	const char *end = response.p + response.len;
	bool is_whole = flow_response_split(response, &r, NULL) == ERR_OK;
	if (is_whole)
		head = head_of(&r);
	put_head(&w, p, &head);
	if (is_whole && head.is_flow) {
		const char *behind = r.message.p + r.message.len;
		put_fields(p, &w, r.message);
		put_fields(p, &w, str_n(behind, (size_t)(end - behind)));
	}
	put_pending(&w, end);
	out->len += (size_t)((char *)w.p - room);
}

/* ---- unpacker */

struct flow_unpacker {
	struct table table;
	const struct flow_packer *packer; /* that the pieces' @there are of */
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

static bool read_varint(struct str *from, uint64_t *ret)
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

/* The next piece of @pieces: its bytes, and, if it is kept, which of the table. */
static bool next_piece(struct flow_unpacker *u, struct str *pieces, enum op *ret_op,
		       struct str *ret_bytes, struct piece **ret)
{
	uint64_t v;

	if (!read_varint(pieces, &v))
		return false;
	*ret_op = (enum op)(v & 3);
	v >>= 2;
	*ret = NULL;
	if (*ret_op == OP_KEPT) {
		if (v >= u->table.next - u->table.first)
			return false;
		*ret = piece_of(&u->table, u->table.next - 1 - (uint32_t)v);
		*ret_bytes = bytes_of(&u->table, *ret);
		return true;
	}
	if (*ret_op > OP_KEPT || v > pieces->len)
		return false;
	*ret_bytes = str_n(pieces->p, (size_t)v);
	pieces->p += v;
	pieces->len -= v;
	if (*ret_op == OP_BYTES)
		return true;
	if (v < 1 || v > FLOW_PIECE_MAX)
		return false;
	*ret = piece_of(&u->table, table_keep(&u->table, *ret_bytes));
	return true;
}

enum err_code flow_unpacker_take(struct flow_unpacker *u, struct str record, struct buf *out,
				 bool *ret_is_void, struct err *e)
{
	struct flow_pack_head head;
	struct piece *piece;
	struct str bytes;
	enum op op;

	if (flow_pack_head(record, &u->last, &head, e) != ERR_OK)
		return ERR_PARSE;
	while (head.pieces.len) {
		if (!next_piece(u, &head.pieces, &op, &bytes, &piece))
			return err_set(e, ERR_PARSE, "no packed flow");
		if (!head.is_void)
			buf_str_put(out, bytes);
	}
	if (out->failed)
		return err_set(e, ERR_PARSE, "a packed flow of more than %zu bytes", out->max);
	*ret_is_void = head.is_void;
	return ERR_OK;
}

/* ---- from one stream into another */

/* Protobuf fields, of which only the heads are looked at. */
struct fields {
	uint64_t skip, value; /* bytes of a field yet to come; of the varint that is read */
	unsigned shift;
	enum { AT_TAG, AT_LENGTH, AT_VARINT } at;
};

static bool take_varint(struct fields *f, uint64_t v)
{
	enum wire_type type = (enum wire_type)(v & 7);

	if (f->at == AT_LENGTH)
		f->skip = v;
	if (f->at != AT_TAG) {
		f->at = AT_TAG;
		return true;
	}
	f->at = type == WIRE_LEN ? AT_LENGTH : type == WIRE_VARINT ? AT_VARINT : AT_TAG;
	f->skip = type == WIRE_I64 ? 8 : type == WIRE_I32 ? 4 : 0;
	return v >> 3 && v <= UINT32_MAX && (f->at != AT_TAG || f->skip);
}

/* @return false: no fields, or such (groups) as no response has. */
static bool take_bytes(struct fields *f, struct str bytes)
{
	while (bytes.len) {
		size_t n = f->skip < bytes.len ? (size_t)f->skip : bytes.len;
		f->skip -= n;
		bytes.p += n;
		bytes.len -= n;
		if (!bytes.len)
			break;
		uint8_t c = (uint8_t)*bytes.p++;
		bytes.len--;
		f->value |= (uint64_t)(c & 0x7f) << f->shift;
		f->shift += 7;
		if (c >= 0x80 ? f->shift >= 64 : f->shift > 64 && c > 1)
			return false;
		if (c >= 0x80)
			continue;
		if (!take_varint(f, f->value))
			return false;
		f->value = f->shift = 0;
	}
	return true;
}

static bool are_whole(const struct fields *f)
{
	return !f->skip && !f->shift && f->at == AT_TAG;
}

/* A piece that somebody found worth keeping. */
static void put_piece(struct flow_packer *p, struct writer *w, struct piece *piece,
		      struct str bytes)
{
	if (!piece->has_there || !is_kept(&p->table, piece->there)) {
		piece->has_there = true;
		uint64_t hash = hash_bytes(bytes.p, bytes.len, 0);
		if (!find(p, bytes, hash, &piece->there)) {
			put_bytes(w, OP_KEEP, bytes);
			piece->there = keep(p, bytes, hash);
			return;
		}
	}
	put_kept(w, p, piece->there);
}

/* @return false: malformed, or larger than a response may be. */
static bool put_pieces(struct flow_unpacker *u, struct str pieces, struct flow_packer *p,
		       struct buf *out)
{
	size_t left = FLOW_RESPONSE_MAX;
	struct fields fields = { 0 };
	struct piece *piece;
	struct str bytes;
	bool is_good = true;
	enum op op;

	while (is_good && pieces.len) {
		if (!next_piece(u, &pieces, &op, &bytes, &piece) || bytes.len >= left)
			return false;
		left -= bytes.len + 1;
		char *room = buf_reserve(out, OP_MAX_BYTES + bytes.len);
		if (!room)
			return true; /* which is seen by @out */
		/* Written in any case: it may have been kept. */
		is_good = take_bytes(&fields, bytes);
		struct writer w = { (uint8_t *)room, NULL };
		if (piece && bytes.len >= PIECE_MIN && bytes.len <= FLOW_PIECE_MAX / 2)
			put_piece(p, &w, piece, bytes);
		else
			put_bytes(&w, OP_BYTES, bytes);
		out->len += (size_t)((char *)w.p - room);
	}
	return is_good && are_whole(&fields);
}

enum err_code flow_repack(struct flow_unpacker *u, struct str record, struct flow_packer *p,
			  struct buf *out, struct err *e)
{
	struct flow_pack_head head;
	size_t start = out->len;

	if (u->packer != p) {
		for (uint32_t i = 0; i <= u->table.mask; i++)
			u->table.pieces[i].has_there = false;
		u->packer = p;
	}
	if (flow_pack_head(record, &u->last, &head, e) != ERR_OK)
		return ERR_PARSE;
	char *room = buf_reserve(out, HEAD_MAX_BYTES);
	if (!room)
		return ERR_OK;
	struct writer w = { (uint8_t *)room, NULL };
	put_head(&w, p, &head);
	out->len += (size_t)((char *)w.p - room);
	if (put_pieces(u, head.pieces, p, out) || head.is_void)
		return ERR_OK;
	/* What @p has kept meanwhile the other side must keep, too. */
	out->p[start] |= FLAG_VOID;
	return err_set(e, ERR_PARSE, "no packed flow");
}
