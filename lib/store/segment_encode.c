#include <zstd.h>

#include "base/pages.h"
#include "flow/uuid.h"
#include "store/rows.h"
#include "store/segment.h"
#include "store/segment_inside.h"

enum {
	PIECE = 256,       /* records for which room is made at once */
	RECENT = 1 << 14,  /* talks found without looking up their hosts and link */
	HEAD_BYTES = 1024, /* more than all varints of the head */
};

struct segment_encoder {
	ZSTD_CCtx *zstd;
	size_t count;
	struct nums_out columns[COLUMNS_];
	struct rows shapes, hosts, links, talks, points, rares;
	uint8_t *ways; /* [shapes.room] */
	size_t ways_room;
	uint32_t recent[RECENT]; /* talk + 1, by hash of the addresses and ports */
	struct {
		struct buf bytes;
		uint32_t
			*at; /* [count + 1]: where each begins in @bytes; the last one ends there */
		size_t count, room;
		uint32_t *slots; /* number + 1 */
		size_t mask;
	} exts;
	struct buf uuids;
	struct buf scratch; /* tables byte by byte */
	uint64_t last_time, last_seq, seed[2];
	struct segment_start start;
	struct guesses guess;
};

/* --- life --------------------------------------------------------------------------------- */

enum err_code segment_encoder_new(int zstd_level, struct segment_encoder **ret, struct err *e)
{
	AUTO(segment_encoder_free) struct segment_encoder *enc = pages_new(1, sizeof *enc);

	if (!enc)
		return err_set(e, ERR_NOMEM, "segment");
	enc->shapes.row_bytes = sizeof(struct shape_row);
	enc->hosts.row_bytes = sizeof(struct host);
	enc->links.row_bytes = sizeof(struct link);
	enc->talks.row_bytes = sizeof(struct talk);
	enc->points.row_bytes = sizeof(struct point_row);
	enc->rares.row_bytes = sizeof(struct rare_row);
	enc->exts.bytes = buf_init(SEGMENT_EXT_MAX);
	enc->uuids = buf_init((size_t)SEGMENT_MAX * 16);
	enc->scratch = buf_init((size_t)SEGMENT_MAX * 2 * sizeof(struct shape_row));
	enc->zstd = ZSTD_createCCtx();
	if (!enc->zstd)
		return err_set(e, ERR_NOMEM, "segment");
	if (ZSTD_isError(ZSTD_CCtx_setParameter(enc->zstd, ZSTD_c_compressionLevel, zstd_level)))
		return err_set(e, ERR_INVALID, "zstd level %d", zstd_level);
	*ret = TAKE(enc);
	return ERR_OK;
}

void segment_encoder_free(struct segment_encoder *enc)
{
	if (!enc)
		return;
	(void)ZSTD_freeCCtx(enc->zstd);
	for (size_t i = 0; i < COLUMNS_; i++)
		nums_done(&enc->columns[i]);
	rows_done(&enc->shapes);
	rows_done(&enc->hosts);
	rows_done(&enc->links);
	rows_done(&enc->talks);
	rows_done(&enc->points);
	rows_done(&enc->rares);
	free(enc->ways);
	buf_done(&enc->exts.bytes);
	free(enc->exts.at);
	free(enc->exts.slots);
	buf_done(&enc->uuids);
	buf_done(&enc->scratch);
	pages_free(enc, 1, sizeof *enc);
}

void segment_encoder_reset(struct segment_encoder *enc)
{
	if (!enc->count)
		return;
	enc->count = 0;
	for (size_t i = 0; i < COLUMNS_; i++)
		nums_reset(&enc->columns[i]);
	rows_reset(&enc->shapes);
	rows_reset(&enc->hosts);
	rows_reset(&enc->links);
	rows_reset(&enc->talks);
	rows_reset(&enc->points);
	rows_reset(&enc->rares);
	memset(enc->recent, 0, sizeof enc->recent);
	buf_reset(&enc->exts.bytes);
	enc->exts.count = 0;
	if (enc->exts.mask)
		memset(enc->exts.slots, 0, (enc->exts.mask + 1) * sizeof *enc->exts.slots);
	buf_reset(&enc->uuids);
	enc->last_time = enc->last_seq = enc->seed[0] = enc->seed[1] = 0;
	memset(&enc->guess, 0, sizeof enc->guess);
}

/* --- one record --------------------------------------------------------------------------- */

static void put(struct segment_encoder *enc, enum column column, uint64_t v)
{
	nums_put(&enc->columns[column], v);
}

struct ends {
	struct host a, b;
	uint16_t port_a, port_b, l4;
	bool swapped;
};

/* Filled in place: a copy of what was just written in small pieces waits for them. */
static inline void ends_of(const struct flow *f, struct ends *x)
{
	x->swapped = f->src_port < f->dst_port;
	struct host *src = x->swapped ? &x->b : &x->a, *dst = x->swapped ? &x->a : &x->b;

	memcpy(src->ip, f->src_ip, sizeof src->ip);
	src->ep = f->src_ep.v;
	src->svc = f->src_svc.v;
	memcpy(dst->ip, f->dst_ip, sizeof dst->ip);
	dst->ep = f->dst_ep.v;
	dst->svc = f->dst_svc.v;
	x->port_a = x->swapped ? f->dst_port : f->src_port;
	x->port_b = x->swapped ? f->src_port : f->dst_port;
	x->l4 = f->l4;
}

static bool is_talk(const struct segment_encoder *enc, uint32_t number, const struct ends *x)
{
	const struct talk *t = rows_at(&enc->talks, number);
	const struct link *l = rows_at(&enc->links, t->link);

	return t->port == x->port_a && l->port == x->port_b && l->l4 == x->l4 &&
	       memcmp(rows_at(&enc->hosts, l->a), &x->a, sizeof x->a) == 0 &&
	       memcmp(rows_at(&enc->hosts, l->b), &x->b, sizeof x->b) == 0;
}

static bool find_link(struct segment_encoder *enc, const struct ends *x, uint32_t *ret,
		      bool *ret_new)
{
	struct link l = { .port = x->port_b, .l4 = x->l4 };
	size_t hosts = enc->hosts.count, links = enc->links.count;

	/* looked up first: only a new link says which its hosts are */
	if (!rows_put(&enc->hosts, &x->a, &l.a) || !rows_put(&enc->hosts, &x->b, &l.b) ||
	    !rows_put(&enc->links, &l, ret))
		return false;
	*ret_new = *ret == links;
	if (!*ret_new)
		return true;
	put(enc, COLUMN_LINK_A, l.a);
	put(enc, COLUMN_LINK_B, l.b);
	put(enc, COLUMN_LINK_PORT, l.port);
	put(enc, COLUMN_LINK_L4, l.l4);
	for (; hosts < enc->hosts.count; hosts++) {
		const struct host *h = rows_at(&enc->hosts, (uint32_t)hosts);

		put(enc, COLUMN_HOST_EP, h->ep);
		put(enc, COLUMN_HOST_SVC, h->svc);
	}
	return true;
}

static bool put_talk(struct segment_encoder *enc, const struct ends *x, uint32_t *ret_talk,
		     uint32_t *ret_link)
{
	uint64_t hash = rows_hash(&x->a, sizeof x->a) ^ rows_hash(&x->b, sizeof x->b) >> 7 ^
			(uint64_t)x->port_a * 0x9e3779b1 ^ (uint64_t)x->port_b * 0x85ebca6b ^ x->l4;
	uint32_t *recent = &enc->recent[(hash ^ hash >> 20) % RECENT], link;
	size_t talks = enc->talks.count;
	bool is_new;

	if (*recent && is_talk(enc, *recent - 1, x)) {
		*ret_talk = *recent - 1;
		*ret_link = ((const struct talk *)rows_at(&enc->talks, *ret_talk))->link;
		put(enc, COLUMN_TALK, talks - *ret_talk);
		return true;
	}
	if (!find_link(enc, x, &link, &is_new) ||
	    !rows_put(&enc->talks, &(struct talk){ .link = link, .port = x->port_a }, ret_talk))
		return false;
	*recent = *ret_talk + 1;
	*ret_link = link;
	if (*ret_talk < talks) {
		put(enc, COLUMN_TALK, talks - *ret_talk);
		return true;
	}
	put(enc, COLUMN_TALK, 0);
	put(enc, COLUMN_TALK_LINK, is_new ? 0 : 1 + link);
	put(enc, COLUMN_TALK_PORT, x->port_a);
	guesses_new_talk(&enc->guess, *ret_talk);
	return true;
}

static bool put_shape(struct segment_encoder *enc, const struct flow *f, bool swapped,
		      uint32_t talk, uint32_t link, uint32_t *ret)
{
	const struct shape_row row = {
		.bits = f->bits,
		.kind = f->kind,
		.verdict = f->verdict,
		.type = f->type,
		.ip_version = f->ip_version,
		.is_reply = f->is_reply,
		.direction = f->direction,
		.auth_type = f->auth_type,
		.trace_point = f->trace_point,
		.trace_reason = f->trace_reason,
		.capture_point = f->capture_point,
		.sock_point = f->sock_point,
		.swapped = swapped,
		.event_type = (uint32_t)f->event_type,
		.event_sub_type = (uint32_t)f->event_sub_type,
		.drop_reason = f->drop_reason,
		.drop_desc = f->drop_desc,
		.policy_match_type = f->policy_match_type,
		.proxy_port = f->proxy_port,
		.node = f->node.v,
		.kernel_reason = f->kernel_reason,
		.tcp_flags = f->tcp_flags,
	};
	uint32_t *guess = guess_shape(&enc->guess, talk, link);
	size_t count = enc->shapes.count;

	for (unsigned i = 0; i < 2; i++)
		if (guess[i] < count &&
		    memcmp(rows_at(&enc->shapes, guess[i]), &row, sizeof row) == 0) {
			*ret = guess[i];
			put(enc, COLUMN_SHAPE, i);
			guess_shape_was(&enc->guess, talk, guess, *ret);
			return true;
		}
	if (!rows_put(&enc->shapes, &row, ret))
		return false;
	if (enc->shapes.room > enc->ways_room) {
		uint8_t *ways = realloc(enc->ways, enc->shapes.room);

		if (!ways)
			return false;
		enc->ways = ways;
		enc->ways_room = enc->shapes.room;
	}
	enc->ways[*ret] = (uint8_t)shape_way(&row);
	put(enc, COLUMN_SHAPE, 2 + *ret);
	guess_shape_was(&enc->guess, talk, guess, *ret);
	return true;
}

static bool is_point(const struct point_row *p, const struct flow *f)
{
	return p->ifindex == f->ifindex && p->netns == f->netns &&
	       memcmp(p->src_mac, f->src_mac, sizeof p->src_mac) == 0 &&
	       memcmp(p->dst_mac, f->dst_mac, sizeof p->dst_mac) == 0 &&
	       memcmp(p->ifname, f->ifname, sizeof p->ifname) == 0;
}

static bool put_point(struct segment_encoder *enc, const struct flow *f, uint32_t link,
		      bool swapped, unsigned way)
{
	const struct link *l = rows_at(&enc->links, link);
	uint32_t *guess[2] = {
		&enc->guess.point[0][guess_point_at(swapped ? l->b : l->a, way)],
		&enc->guess.point[1][guess_point_at(swapped ? l->a : l->b, way)],
	};
	uint32_t number;

	for (unsigned i = 0; i < 2; i++)
		if (*guess[i] < enc->points.count &&
		    is_point(rows_at(&enc->points, *guess[i]), f)) {
			put(enc, COLUMN_POINT, i);
			return true;
		}
	struct point_row row = { .ifindex = f->ifindex, .netns = f->netns };
	memcpy(row.src_mac, f->src_mac, sizeof row.src_mac);
	memcpy(row.dst_mac, f->dst_mac, sizeof row.dst_mac);
	memcpy(row.ifname, f->ifname, sizeof row.ifname);
	if (!rows_put(&enc->points, &row, &number))
		return false;
	put(enc, COLUMN_POINT, 2 + number);
	*guess[0] = *guess[1] = number;
	return true;
}

static bool put_rare(struct segment_encoder *enc, const struct flow *f, uint32_t talk, bool swapped)
{
	uint32_t *guess = &enc->guess.last_rare[talk % GUESS_TALKS][swapped], number;
	struct rare_row row = { .ip_trace_id = f->ip_trace_id,
				.socket_cookie = f->socket_cookie,
				.cgroup_id = f->cgroup_id };

	memcpy(row.src_xlated, f->src_xlated, sizeof row.src_xlated);
	if (memcmp(rows_at(&enc->rares, *guess), &row, sizeof row) == 0) {
		put(enc, COLUMN_RARE, 0);
		return true;
	}
	if (!rows_put(&enc->rares, &row, &number))
		return false;
	put(enc, COLUMN_RARE, 1 + number);
	*guess = number;
	return true;
}

static bool is_ext(const struct segment_encoder *enc, uint32_t number, const struct flow *f)
{
	uint32_t from = enc->exts.at[number], len = enc->exts.at[number + 1] - from;

	return len == f->ext_len &&
	       (len == 0 || memcmp(enc->exts.bytes.p + from, f->ext, len) == 0);
}

static bool exts_grow(struct segment_encoder *enc)
{
	size_t room = enc->exts.room ? enc->exts.room * 2 : 1024, mask = 2 * room - 1;
	uint32_t *at = realloc(enc->exts.at, (room + 1) * sizeof *at);

	if (!at)
		return false;
	enc->exts.at = at;
	uint32_t *slots = calloc(mask + 1, sizeof *slots);
	if (!slots)
		return false;
	free(enc->exts.slots);
	enc->exts.slots = slots;
	enc->exts.mask = mask;
	enc->exts.room = room;
	for (size_t i = 0; i < enc->exts.count; i++) {
		size_t s = rows_hash(enc->exts.bytes.p + at[i], at[i + 1] - at[i]) & mask;

		while (slots[s])
			s = (s + 1) & mask;
		slots[s] = (uint32_t)i + 1;
	}
	return true;
}

static bool find_ext(struct segment_encoder *enc, const struct flow *f, uint32_t *ret)
{
	if (enc->exts.count == enc->exts.room && !exts_grow(enc))
		return false;
	size_t s = rows_hash(f->ext, f->ext_len) & enc->exts.mask;
	for (; enc->exts.slots[s]; s = (s + 1) & enc->exts.mask)
		if (is_ext(enc, enc->exts.slots[s] - 1, f)) {
			*ret = enc->exts.slots[s] - 1;
			return true;
		}
	if (!buf_reserve(&enc->exts.bytes, f->ext_len + 1)) /* + 1: not NULL, whatever the length */
		return false;
	*ret = (uint32_t)enc->exts.count++;
	enc->exts.slots[s] = *ret + 1;
	enc->exts.at[*ret] = (uint32_t)enc->exts.bytes.len;
	buf_put(&enc->exts.bytes, f->ext, f->ext_len);
	enc->exts.at[*ret + 1] = (uint32_t)enc->exts.bytes.len;
	if (*ret)
		put(enc, COLUMN_EXT_LEN, f->ext_len);
	return true;
}

static bool put_ext(struct segment_encoder *enc, const struct flow *f, uint32_t talk, uint32_t link,
		    unsigned way)
{
	size_t at = guess_mix(talk, way) % GUESS_EXTS, link_at = guess_mix(link, way) % GUESS_EXTS;
	uint32_t guess = enc->guess.ext[at].talk == talk + 1 ? enc->guess.ext[at].ext
							     : enc->guess.link_ext[link_at];
	uint32_t number = guess;

	if (is_ext(enc, guess, f)) {
		put(enc, COLUMN_EXT, 0);
		return true;
	}
	if (!find_ext(enc, f, &number))
		return false;
	put(enc, COLUMN_EXT, 1 + number);
	enc->guess.ext[at].talk = talk + 1;
	enc->guess.ext[at].ext = number;
	enc->guess.link_ext[link_at] = number;
	return true;
}

static void put_counts(struct segment_encoder *enc, const struct flow *f, uint32_t talk,
		       bool swapped, uint32_t shape)
{
	struct guess_counts now = { f->packets, f->bytes },
			    *of_talk = &enc->guess.last_counts[talk % GUESS_TALKS][swapped],
			    *of_shape = &enc->guess.shape_counts[shape % GUESS_SHAPES];

	if (of_talk->packets == now.packets && of_talk->bytes == now.bytes) {
		put(enc, COLUMN_COUNTS, COUNTS_OF_TALK);
		return;
	}
	if (of_shape->packets == now.packets && of_shape->bytes == now.bytes) {
		put(enc, COLUMN_COUNTS, COUNTS_OF_SHAPE);
	} else {
		put(enc, COLUMN_COUNTS, COUNTS_GIVEN);
		put(enc, COLUMN_PACKETS, now.packets);
		put(enc, COLUMN_BYTES, now.bytes);
	}
	if (now.packets) /* what was said of its content counts nothing */
		*of_talk = now;
	*of_shape = now;
}

static bool put_uuid(struct segment_encoder *enc, const struct flow *f)
{
	uint64_t guess[2], seed[2];

	if (!f->uuid[0] && !f->uuid[1]) {
		put(enc, COLUMN_UUID, UUID_NONE);
		return true;
	}
	flow_uuid_make(enc->seed, f->seq, guess);
	if (guess[0] == f->uuid[0] && guess[1] == f->uuid[1]) {
		put(enc, COLUMN_UUID, UUID_SAME);
		return true;
	}
	if (flow_uuid_seed(f->uuid, f->seq, seed)) {
		put(enc, COLUMN_UUID, UUID_SEED);
		memcpy(enc->seed, seed, sizeof seed);
		buf_put(&enc->uuids, seed, sizeof seed);
	} else {
		put(enc, COLUMN_UUID, UUID_GIVEN);
		buf_put(&enc->uuids, f->uuid, sizeof f->uuid);
	}
	return !enc->uuids.failed;
}

static bool add_record(struct segment_encoder *enc, const struct flow *f)
{
	struct ends x;
	uint32_t talk, link, shape;

	ends_of(f, &x);
	if (!put_talk(enc, &x, &talk, &link) || !put_shape(enc, f, x.swapped, talk, link, &shape))
		return false;
	unsigned way = enc->ways[shape];
	if (!put_point(enc, f, link, x.swapped, way) || !put_rare(enc, f, talk, x.swapped) ||
	    !put_ext(enc, f, talk, link, way) || !put_uuid(enc, f))
		return false;
	put_counts(enc, f, talk, x.swapped, shape);
	put(enc, COLUMN_TIME, nums_zigzag(f->time.v - enc->last_time));
	put(enc, COLUMN_SEQ, f->seq - enc->last_seq - 1);
	enc->last_time = f->time.v;
	enc->last_seq = f->seq;
	return true;
}

/* The zero row and the empty ext have number 0: guesses begin there. */
static bool begin(struct segment_encoder *enc, const struct flow *first)
{
	uint32_t number;

	enc->start = (struct segment_start){ .seq = first->seq - 1, .time = first->time.v };
	(void)flow_uuid_seed(first->uuid, first->seq, enc->start.seed);
	enc->last_seq = enc->start.seq;
	enc->last_time = enc->start.time;
	memcpy(enc->seed, enc->start.seed, sizeof enc->seed);

	return rows_put(&enc->rares, &(struct rare_row){ .ip_trace_id = 0 }, &number) &&
	       find_ext(enc, &(struct flow){ .ext = (const uint8_t *)"" }, &number);
}

static bool add_piece(struct segment_encoder *enc, const struct flow *flows, size_t n)
{
	for (size_t i = 0; i < COLUMNS_; i++) /* a record may bring two hosts */
		if (!nums_reserve(&enc->columns[i], 2 * n))
			return false;
	if (!enc->count && !begin(enc, flows))
		return false;
	enc->count += n;
	for (size_t i = 0; i < n; i++)
		if (!add_record(enc, &flows[i]))
			return false;
	return true;
}

enum err_code segment_add(struct segment_encoder *enc, const struct flow *flows, size_t n,
			  struct err *e)
{
	size_t ext = enc->exts.bytes.len;

	for (size_t i = 0; i < n && ext <= SEGMENT_EXT_MAX; i++)
		ext += flows[i].ext_len;
	if (n > SEGMENT_MAX - enc->count || ext >= SEGMENT_EXT_MAX)
		return err_set(e, ERR_INVALID,
			       "a segment holds at most %d records and %d bytes of messages",
			       SEGMENT_MAX, SEGMENT_EXT_MAX);
	for (size_t i = 0; i < n; i += PIECE)
		if (!add_piece(enc, flows + i, n - i < PIECE ? n - i : PIECE)) {
			enc->count = 1; /* whatever was put in is forgotten */
			segment_encoder_reset(enc);
			return err_set(e, ERR_NOMEM, "segment");
		}
	return ERR_OK;
}

/* --- all of them -------------------------------------------------------------------------- */

static size_t put_varint(uint8_t *to, uint64_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		to[n++] = (uint8_t)(v | 0x80);
	to[n++] = (uint8_t)v;
	return n;
}

/* The head as it grows; the streams go to @out behind a gap for it. */
struct writer {
	uint8_t head[HEAD_BYTES];
	size_t head_len;
	struct buf *out;
	struct err *e;
};

static bool is_one_byte(const uint8_t *p, size_t len)
{
	return len > 1 && memcmp(p, p + 1, len - 1) == 0;
}

static bool put_stream(struct segment_encoder *enc, struct writer *w, const void *bytes, size_t len,
		       bool compresses)
{
	enum { WORTH_A_TRY = 16 };
	size_t bound = ZSTD_compressBound(len), stored = len;
	char *to = buf_reserve(w->out, bound > 0 ? bound : 1);
	enum stored how = STORED_PLAIN;

	if (!to)
		return false;
	if (compresses && is_one_byte(bytes, len)) {
		how = STORED_ONE;
		stored = 1;
		*to = *(const char *)bytes;
	} else if (compresses && len >= WORTH_A_TRY) {
		size_t got = ZSTD_compress2(enc->zstd, to, bound, bytes, len);

		if (!ZSTD_isError(got) && got < len) {
			how = STORED_ZSTD;
			stored = got;
		}
	}
	if (how == STORED_PLAIN && len)
		memcpy(to, bytes, len);
	w->out->len += stored;
	w->head_len += put_varint(w->head + w->head_len, (uint64_t)len << 2 | how);
	if (how == STORED_ZSTD)
		w->head_len += put_varint(w->head + w->head_len, stored);
	return true;
}

/* First bytes, second bytes, … of @count rows that lie @stride apart. */
static bool put_rows(struct segment_encoder *enc, struct writer *w, const uint8_t *rows,
		     size_t row_bytes, size_t stride, size_t count)
{
	buf_reset(&enc->scratch);
	char *to = buf_reserve(&enc->scratch, row_bytes * count + 1);
	if (!to)
		return false;
	for (size_t b = 0; b < row_bytes; b++)
		for (size_t i = 0; i < count; i++)
			*to++ = (char)rows[i * stride + b];
	return put_stream(enc, w, enc->scratch.p, row_bytes * count, true);
}

static bool put_table(struct segment_encoder *enc, struct writer *w, const struct rows *t)
{
	return put_rows(enc, w, t->v, t->row_bytes, t->row_bytes, t->count);
}

static bool put_streams(struct segment_encoder *enc, struct writer *w)
{
	for (size_t i = 0; i < COLUMNS_; i++) {
		struct nums_out *c = &enc->columns[i];

		nums_end(c);
		if (!put_stream(enc, w, c->codes, c->count, true) ||
		    !put_stream(enc, w, c->bits, c->bytes, false))
			return false;
	}
	return put_table(enc, w, &enc->shapes) &&
	       put_rows(enc, w, enc->hosts.v, sizeof((struct host){ 0 }.ip), sizeof(struct host),
			enc->hosts.count) &&
	       put_table(enc, w, &enc->points) && put_table(enc, w, &enc->rares) &&
	       put_stream(enc, w, enc->uuids.p, enc->uuids.len, true) &&
	       put_stream(enc, w, enc->exts.bytes.p, enc->exts.bytes.len, true);
}

static enum err_code finish(struct segment_encoder *enc, struct buf *out, struct err *e)
{
	const size_t start = out->len;
	struct writer w = { .out = out };
	const size_t counts[] = { enc->count,       enc->shapes.count, enc->hosts.count,
				  enc->links.count, enc->talks.count,  enc->points.count,
				  enc->rares.count, enc->exts.count };

	memcpy(w.head, SEGMENT_MAGIC, 4);
	memcpy(w.head + 4, &enc->start, sizeof enc->start);
	w.head_len = 4 + sizeof enc->start;
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		w.head_len += put_varint(w.head + w.head_len, counts[i]);
	if (!buf_reserve(out, HEAD_BYTES))
		return err_set(e, ERR_NOMEM, "segment");
	out->len += HEAD_BYTES;
	if (!put_streams(enc, &w)) {
		out->len = start;
		return err_set(e, ERR_NOMEM, "segment");
	}
	memmove(out->p + start + w.head_len, out->p + start + HEAD_BYTES,
		out->len - start - HEAD_BYTES);
	memcpy(out->p + start, w.head, w.head_len);
	out->len -= HEAD_BYTES - w.head_len;
	return ERR_OK;
}

enum err_code segment_finish(struct segment_encoder *enc, struct buf *out, struct err *e)
{
	if (!enc->count)
		return err_set(e, ERR_INVALID, "a segment of no records");
	enum err_code code = finish(enc, out, e);
	segment_encoder_reset(enc);
	return code;
}
