#include "store/segment.h"

#include "flow/swar.h"
#include "flow/uuid.h"
#include "store/segment_read.h"

enum err_code segment_new(struct segment **ret, struct err *e)
{
	AUTO(segment_free) struct segment *s = calloc(1, sizeof *s);

	if (s)
		s->work = segment_work_new();
	if (!s || !s->work)
		return err_set(e, ERR_NOMEM, "segment");
	s->asked.kinds = UINT32_MAX;
	*ret = TAKE(s);
	return ERR_OK;
}

enum err_code segment_new_beside(struct segment *other, struct segment **ret, struct err *e)
{
	struct segment *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(e, ERR_NOMEM, "segment");
	s->work = other->work;
	s->is_guest = true;
	s->asked = other->asked;
	s->ids = other->ids;
	*ret = s;
	return ERR_OK;
}

void segment_free(struct segment *s)
{
	if (!s)
		return;
	if (!s->is_guest)
		segment_work_free(s->work);
	free(s);
}

size_t segment_count(const struct segment *s)
{
	return s->count;
}

void segment_translate(struct segment *s, const struct segment_ids *ids)
{
	s->ids = *ids;
}

/* --- the head ----------------------------------------------------------------------------- */

struct head_reader {
	const uint8_t *p, *end;
	bool bad;
};

static uint64_t get_varint(struct head_reader *r)
{
	uint64_t v = 0, byte = 0x80;

	for (unsigned shift = 0; shift < 56 && byte & 0x80; shift += 7) {
		r->bad |= r->p == r->end;
		byte = r->bad ? 0 : *r->p++;
		v |= (byte & 0x7f) << shift;
	}
	r->bad |= (byte & 0x80) != 0;
	return r->bad ? 0 : v;
}

/* Between 1 and @max. */
static size_t get_count(struct head_reader *r, size_t max)
{
	uint64_t v = get_varint(r);

	r->bad |= v < 1 || v > max;
	return r->bad ? 0 : (size_t)v;
}

static size_t get_stored(struct head_reader *r, struct stored_stream *s, size_t i)
{
	/* ext is as long as it was; all else has a few bytes for each record */
	const uint64_t max = i == STREAM_EXTS ? SEGMENT_EXT_MAX : (uint64_t)SEGMENT_MAX * 64;
	uint64_t v = get_varint(r);

	s->how = (enum stored)(v & 3);
	s->len = (size_t)(v >> 2);
	r->bad |= s->how > STORED_ONE || v >> 2 > max || (s->how == STORED_ONE && !s->len);
	size_t stored = s->how == STORED_ZSTD  ? (size_t)get_varint(r)
			: s->how == STORED_ONE ? 1
					       : s->len;
	r->bad |= stored > s->len;
	return stored;
}

static bool read_head(struct segment *s, struct str bytes)
{
	const uint8_t *start = (const uint8_t *)bytes.p;
	struct head_reader r = { start + 4 + sizeof s->start, start + bytes.len, false };
	size_t stored[STREAMS_], at;

	memcpy(&s->start, start + 4, sizeof s->start);
	s->count = get_count(&r, SEGMENT_MAX);
	s->shape_count = get_count(&r, s->count);
	s->host_count = get_count(&r, 2 * s->count);
	s->link_count = get_count(&r, s->count);
	s->talk_count = get_count(&r, s->count);
	s->point_count = get_count(&r, s->count);
	s->rare_count = get_count(&r, s->count + 1);
	s->ext_count = get_count(&r, s->count + 1);
	for (size_t i = 0; i < STREAMS_; i++)
		stored[i] = get_stored(&r, &s->streams[i], i);
	if (r.bad)
		return false;
	at = (size_t)(r.p - start);
	for (size_t i = 0; i < STREAMS_; i++) {
		if (stored[i] > bytes.len - at)
			return false;
		s->streams[i].bytes = str_n(bytes.p + at, stored[i]);
		at += stored[i];
	}
	return at == bytes.len;
}

static enum err_code damaged(struct err *e)
{
	return err_set(e, ERR_PARSE, "damaged segment");
}

enum err_code segment_open(struct segment *s, struct str bytes, struct err *e)
{
	s->have = 0;
	s->answers = s->shape_answers = NULL;
	s->expected = NULL;
	if (!s->is_guest)
		segment_work_reset(s->work);
	if (bytes.len < 4 + sizeof s->start || memcmp(bytes.p, SEGMENT_MAGIC, 4) != 0 ||
	    !read_head(s, bytes)) {
		s->count = 0;
		return damaged(e);
	}
	return ERR_OK;
}

/* --- what is expected ---------------------------------------------------------------------- */

/* Those that leave out what is not expected. */
enum { NEED_SPARSE = NEED_POINTS | NEED_RARES | NEED_EXTS | NEED_COUNTS };

enum err_code segment_expect(struct segment *s, const uint64_t *bits, struct err *e)
{
	size_t words = (s->count + 63) / 64;
	uint64_t *copy = segment_room(s, words * sizeof *copy);

	if (!copy)
		return err_set(e, ERR_NOMEM, "segment of %zu records", s->count);
	memcpy(copy, bits, words * sizeof *copy);
	s->have &= ~(unsigned)NEED_SPARSE; /* if that of fewer was worked out */
	s->expected = copy;
	return ERR_OK;
}

/* --- streams ------------------------------------------------------------------------------ */

/* @room NULL: it stays until the next open. */
static bool unpack(struct segment *s, enum stream stream, struct room *room, struct str *ret)
{
	const struct stored_stream *in = &s->streams[stream];

	if (in->how == STORED_PLAIN) {
		*ret = in->bytes;
		return true;
	}
	char *to = room ? segment_passing(s, room, in->len) : segment_room(s, in->len);
	if (!to)
		return false;
	if (in->how == STORED_ONE)
		memset(to, in->bytes.p[0], in->len);
	else if (ZSTD_decompressDCtx(s->work->zstd, to, in->len, in->bytes.p, in->bytes.len) !=
		 in->len)
		return false;
	*ret = str_n(to, in->len);
	return true;
}

/* A column of @count numbers. Two may be open at once: @which of them. */
static bool column_open(struct segment *s, enum column column, size_t count, unsigned which,
			struct nums_in *ret)
{
	struct str codes;
	const struct stored_stream *bits = &s->streams[2 * column + 1];

	if (s->streams[2 * column].len != count || bits->how != STORED_PLAIN ||
	    !unpack(s, (enum stream)(2 * column), &s->work->unpacked[which], &codes))
		return false;
	*ret = nums_in_of(codes, bits->bytes);
	return true;
}

/* Numbers @from on of a column of @count, into @ret.
 * @return how many: AT_ONCE, or what is left. */
enum { AT_ONCE = 64 };
static size_t next_numbers(struct nums_in *in, size_t from, size_t count, uint64_t ret[AT_ONCE])
{
	size_t n = count - from < AT_ONCE ? count - from : AT_ONCE;

	nums_get_n(in, ret, n);
	return n;
}

/* Nothing but zeros, one for each record. */
static bool is_all_zero(const struct segment *s, enum column column)
{
	const struct stored_stream *codes = &s->streams[2 * column];

	return codes->how == STORED_ONE && codes->bytes.p[0] == 0 && codes->len == s->count;
}

/* A column whose length nobody says: as many as there are. */
static bool column_open_all(struct segment *s, enum column column, unsigned which,
			    struct nums_in *ret)
{
	return column_open(s, column, s->streams[2 * column].len, which, ret);
}

/* @row_bytes of each of @count rows that lie @stride apart. */
static bool rows_read(struct segment *s, enum stream stream, void *rows, size_t row_bytes,
		      size_t stride, size_t count)
{
	struct str bytes;

	if (s->streams[stream].len != row_bytes * count ||
	    !unpack(s, stream, &s->work->unpacked[0], &bytes))
		return false;
	for (size_t b = 0; b < row_bytes; b++)
		for (size_t i = 0; i < count; i++)
			((uint8_t *)rows)[i * stride + b] = (uint8_t)bytes.p[b * count + i];
	return true;
}

/* Bit i: code @from + i is not below @least, a power of two. */
static uint64_t codes_from(const struct str *codes, size_t from, unsigned least)
{
	const uint64_t above = SWAR_ONES * (0x100 - least);
	size_t n = codes->len - from < 64 ? codes->len - from : 64;
	uint64_t bits = 0;

	for (size_t i = 0; i < n; i += 8) {
		uint64_t v = 0;
		if (n - i >= 8)
			v = swar_load(codes->p + from + i);
		else
			memcpy(&v, codes->p + from + i, n - i);
		v &= above;
		v = ((v | ((v & ~SWAR_HIGHS) + ~SWAR_HIGHS)) & SWAR_HIGHS) >> 7;
		bits |= (v * UINT64_C(0x0102040810204080) >> 56) << i;
	}
	return bits;
}

/* Which of the 64 records from @from on must be looked at: those that are expected, and those whose
 * codes from @least on teach something. Other codes have no bits beside them (nums.h). */
static uint64_t to_look_at(const struct segment *s, const struct str *codes, size_t from,
			   unsigned least)
{
	uint64_t all = s->count - from < 64 ? (UINT64_C(1) << (s->count - from)) - 1 : UINT64_MAX;

	return s->expected ? (s->expected[from / 64] & all) | codes_from(codes, from, least) : all;
}

/* @i: the records of which @which64 has a bit, for 64 from @base on. */
#define EACH_LOOKED_AT(i, which64)                                                                 \
	for (size_t base = 0; base < s->count; base += 64)                                         \
		for (uint64_t left_ = (which64), i;                                                \
		     left_ && (i = base + __builtin_ctzll(left_), 1); left_ &= left_ - 1)

/* --- hosts, links, talks ------------------------------------------------------------------ */

static bool read_hosts(struct segment *s)
{
	struct nums_in ep, svc;

	s->hosts = segment_room(s, s->host_count * sizeof *s->hosts);
	if (!s->hosts ||
	    !rows_read(s, STREAM_HOSTS, s->hosts, sizeof s->hosts->ip, sizeof *s->hosts,
		       s->host_count) ||
	    !column_open(s, COLUMN_HOST_EP, s->host_count, 0, &ep) ||
	    !column_open(s, COLUMN_HOST_SVC, s->host_count, 1, &svc))
		return false;
	for (size_t i = 0; i < s->host_count; i++) {
		struct host *h = &s->hosts[i];

		h->ep = (uint32_t)nums_get(&ep);
		h->svc = (uint32_t)nums_get(&svc);
		if (h->ep && s->ids.endpoint)
			h->ep = s->ids.endpoint(s->ids.ctx, h->ep);
		if (h->svc && s->ids.service)
			h->svc = s->ids.service(s->ids.ctx, h->svc);
	}
	return !ep.bad && !svc.bad;
}

static bool read_links(struct segment *s)
{
	struct nums_in x, y;
	uint64_t beyond = 0;

	s->links = segment_room(s, s->link_count * sizeof *s->links);
	if (!s->links || !column_open(s, COLUMN_LINK_A, s->link_count, 0, &x) ||
	    !column_open(s, COLUMN_LINK_B, s->link_count, 1, &y))
		return false;
	for (size_t i = 0; i < s->link_count; i++) {
		uint64_t a = nums_get(&x), b = nums_get(&y);

		beyond |= a >= s->host_count || b >= s->host_count;
		s->links[i].a = (uint32_t)a;
		s->links[i].b = (uint32_t)b;
	}
	if (beyond || x.bad || y.bad || !column_open(s, COLUMN_LINK_PORT, s->link_count, 0, &x) ||
	    !column_open(s, COLUMN_LINK_L4, s->link_count, 1, &y))
		return false;
	for (size_t i = 0; i < s->link_count; i++) {
		s->links[i].port = (uint16_t)nums_get(&x);
		s->links[i].l4 = (uint16_t)nums_get(&y);
	}
	return !x.bad && !y.bad;
}

static bool read_talks(struct segment *s)
{
	struct nums_in x, y;
	uint64_t links = 0, numbers[AT_ONCE], ports[AT_ONCE];

	s->talks = segment_room(s, s->talk_count * sizeof *s->talks);
	s->talk_of = segment_room(s, s->count * sizeof *s->talk_of);
	if (!s->talks || !s->talk_of || !column_open(s, COLUMN_TALK_LINK, s->talk_count, 0, &x) ||
	    !column_open(s, COLUMN_TALK_PORT, s->talk_count, 1, &y))
		return false;
	for (size_t i = 0, n; i < s->talk_count; i += n) {
		n = next_numbers(&x, i, s->talk_count, numbers);
		nums_get_n(&y, ports, n);
		for (size_t k = 0; k < n; k++) {
			uint64_t link = numbers[k] ? numbers[k] - 1 : links++;

			if (link >= s->link_count)
				return false;
			s->talks[i + k] =
				(struct talk){ .link = (uint32_t)link, .port = (uint16_t)ports[k] };
		}
	}
	if (x.bad || y.bad || !column_open(s, COLUMN_TALK, s->count, 0, &x))
		return false;
	uint64_t talks = 0, bad = 0;
	const struct str codes = str_n(x.code, s->count);
	s->new_talks = segment_room(s, (s->count + 63) / 64 * sizeof *s->new_talks);
	if (!s->new_talks)
		return false;
	for (size_t i = 0; i < s->count; i += 64)
		s->new_talks[i / 64] = ~codes_from(&codes, i, 1);
	if (s->count % 64)
		s->new_talks[s->count / 64] &= (UINT64_C(1) << s->count % 64) - 1;
	for (size_t i = 0, n; i < s->count; i += n) {
		n = next_numbers(&x, i, s->count, numbers);
		for (size_t k = 0; k < n; k++) {
			uint64_t back = numbers[k], talk = back ? talks - back : talks;

			talks += !back;
			bad |= talk >= s->talk_count; /* a huge number if it is too far back */
			s->talk_of[i + k] = (uint32_t)talk;
		}
	}
	return !bad && !x.bad;
}

/* Small segments do not pay for large tables. */
static size_t talks_touched(const struct segment *s)
{
	return guess_touched(s->talk_count, GUESS_TALKS);
}

static size_t shapes_touched(const struct segment *s)
{
	return guess_touched(s->shape_count, GUESS_SHAPES);
}

/* --- shapes ------------------------------------------------------------------------------- */

static bool read_shapes(struct segment *s)
{
	struct nums_in in;
	struct guesses *g = &s->work->guess;
	uint32_t talks = 0;
	uint64_t numbers[AT_ONCE];

	s->shapes = segment_room(s, s->shape_count * sizeof *s->shapes);
	s->ways = segment_room(s, s->shape_count);
	s->shape_of = segment_room(s, s->count * sizeof *s->shape_of);
	if (!s->shapes || !s->ways || !s->shape_of ||
	    !rows_read(s, STREAM_SHAPES, s->shapes, sizeof *s->shapes, sizeof *s->shapes,
		       s->shape_count) ||
	    !column_open(s, COLUMN_SHAPE, s->count, 0, &in))
		return false;
	for (size_t i = 0; i < s->shape_count; i++) {
		struct shape_row *row = &s->shapes[i];

		row->swapped &= 1;
		s->ways[i] = (uint8_t)shape_way(row);
		if (row->node && s->ids.node)
			row->node = s->ids.node(s->ids.ctx, row->node);
		if (row->kernel_reason && s->ids.kernel_reason)
			row->kernel_reason = s->ids.kernel_reason(s->ids.ctx, row->kernel_reason);
	}
	memset(g->last_shape, 0, talks_touched(s) * sizeof *g->last_shape);
	memset(g->next_shape, 0, (shapes_touched(s) + 1) * sizeof *g->next_shape);
	memset(g->next_shape + GUESS_SHAPES, 0,
	       guess_touched(s->link_count, GUESS_SHAPES) * sizeof *g->next_shape);
	for (size_t i = 0, n; i < s->count; i += n) {
		n = next_numbers(&in, i, s->count, numbers);
		for (size_t k = 0; k < n; k++) {
			uint32_t talk = s->talk_of[i + k];

			if (talk == talks) {
				g->last_shape[talk % GUESS_TALKS] = 0;
				talks++;
			}
			uint32_t *guess = guess_shape(g, talk, s->talks[talk].link);
			uint64_t code = numbers[k], shape = guess[0];
			if (code) {
				shape = code == 1 ? guess[1] : code - 2;
				if (shape >= s->shape_count)
					return false;
				guess[1] = guess[0]; /* any code says: not that one */
				guess[0] = (uint32_t)shape;
			}
			g->last_shape[talk % GUESS_TALKS] = (uint32_t)shape + 1;
			s->shape_of[i + k] = (uint32_t)shape;
		}
	}
	return !in.bad;
}

/* --- what a record has beside them -------------------------------------------------------- */

static bool read_points(struct segment *s)
{
	struct nums_in in;
	uint32_t(*guesses)[GUESS_POINTS] = s->work->guess.point;

	s->points = segment_room(s, s->point_count * sizeof *s->points);
	s->point_of = segment_room(s, s->count * sizeof *s->point_of);
	if (!s->points || !s->point_of ||
	    !rows_read(s, STREAM_POINTS, s->points, sizeof *s->points, sizeof *s->points,
		       s->point_count) ||
	    !column_open(s, COLUMN_POINT, s->count, 0, &in))
		return false;
	const struct str codes = str_n(in.code, s->count);
	memset(guesses, 0, sizeof s->work->guess.point);
	EACH_LOOKED_AT(i, to_look_at(s, &codes, base, 2))
	{
		/* a guess that was right teaches nothing */
		in.code = (const uint8_t *)codes.p + i;
		uint64_t code = nums_get(&in);
		const struct link *l = &s->links[s->talks[s->talk_of[i]].link];
		uint32_t shape = s->shape_of[i];
		bool swapped = s->shapes[shape].swapped;
		uint32_t *guess[2] = {
			&guesses[0][guess_point_at(swapped ? l->b : l->a, s->ways[shape])],
			&guesses[1][guess_point_at(swapped ? l->a : l->b, s->ways[shape])],
		};
		uint64_t point = code < 2 ? *guess[code] : code - 2;
		if (point >= s->point_count)
			return false;
		s->point_of[i] = (uint32_t)point;
		if (code >= 2)
			*guess[0] = *guess[1] = (uint32_t)point;
	}
	return !in.bad;
}

static bool read_rares(struct segment *s)
{
	struct nums_in in;
	uint32_t talks = 0, (*last)[2] = s->work->guess.last_rare;

	s->rares = segment_room(s, s->rare_count * sizeof *s->rares);
	s->rare_of = NULL;
	if (!s->rares || !rows_read(s, STREAM_RARES, s->rares, sizeof *s->rares, sizeof *s->rares,
				    s->rare_count))
		return false;
	if (is_all_zero(s, COLUMN_RARE))
		return true; /* guesses begin with 0, and no other was right */
	s->rare_of = segment_room(s, s->count * sizeof *s->rare_of);
	if (!s->rare_of || !column_open(s, COLUMN_RARE, s->count, 0, &in))
		return false;
	memset(last, 0, talks_touched(s) * sizeof *last);
	for (size_t i = 0; i < s->count; i++) {
		uint32_t talk = s->talk_of[i], *guess = last[talk % GUESS_TALKS];

		if (talk == talks) {
			guess[0] = guess[1] = 0;
			talks++;
		}
		guess += s->shapes[s->shape_of[i]].swapped;
		uint64_t code = nums_get(&in), rare = code ? code - 1 : *guess;
		if (rare >= s->rare_count)
			return false;
		s->rare_of[i] = *guess = (uint32_t)rare;
	}
	return !in.bad;
}

/* @any: a record that will be loaded has some. */
static bool read_ext_table(struct segment *s, bool any)
{
	struct nums_in lens;
	struct str bytes;
	uint64_t at = 0;

	s->ext_at = segment_room(s, (s->ext_count + 1) * sizeof *s->ext_at);
	if (!s->ext_at)
		return false;
	s->ext_at[0] = s->ext_at[1] = 0;
	if (!any)
		return true;
	if (!column_open(s, COLUMN_EXT_LEN, s->ext_count - 1, 0, &lens) ||
	    !unpack(s, STREAM_EXTS, NULL, &bytes))
		return false;
	s->ext_bytes = (const uint8_t *)bytes.p;
	for (size_t i = 1; i < s->ext_count; i++) {
		uint64_t len = nums_get(&lens);

		if (len > bytes.len - at)
			return false;
		at += len;
		s->ext_at[i + 1] = (uint32_t)at;
	}
	return !lens.bad && at == bytes.len;
}

static bool read_exts(struct segment *s)
{
	struct nums_in in;
	struct guesses *g = &s->work->guess;

	uint64_t any = 0;

	s->ext_of = segment_room(s, s->count * sizeof *s->ext_of);
	if (!s->ext_of || !column_open(s, COLUMN_EXT, s->count, 0, &in))
		return false;
	memset(g->ext, 0, sizeof g->ext);
	memset(g->link_ext, 0, sizeof g->link_ext);
	const struct str codes = str_n(in.code, s->count);
	EACH_LOOKED_AT(i, to_look_at(s, &codes, base, 1))
	{
		in.code = (const uint8_t *)codes.p + i;
		uint64_t code = nums_get(&in);
		uint32_t talk = s->talk_of[i];
		unsigned way = s->ways[s->shape_of[i]];
		size_t at = guess_mix(talk, way) % GUESS_EXTS,
		       link_at = guess_mix(s->talks[talk].link, way) % GUESS_EXTS;
		uint64_t ext = code                          ? code - 1
			       : g->ext[at].talk == talk + 1 ? g->ext[at].ext
							     : g->link_ext[link_at];

		if (ext >= s->ext_count)
			return false;
		s->ext_of[i] = (uint32_t)ext;
		any |= ext;
		if (!code)
			continue;
		g->ext[at].talk = talk + 1;
		g->ext[at].ext = g->link_ext[link_at] = (uint32_t)ext;
	}
	return !in.bad && read_ext_table(s, any);
}

static bool read_time(struct segment *s)
{
	struct nums_in in;
	uint64_t now = s->start.time, numbers[AT_ONCE];

	s->time = segment_room(s, s->count * sizeof *s->time);
	if (!s->time || !column_open(s, COLUMN_TIME, s->count, 0, &in))
		return false;
	for (size_t i = 0, n; i < s->count; i += n) {
		n = next_numbers(&in, i, s->count, numbers);
		for (size_t k = 0; k < n; k++)
			s->time[i + k] = now += nums_unzigzag(numbers[k]);
	}
	return !in.bad;
}

static bool read_seq(struct segment *s)
{
	struct nums_in in;
	uint64_t seq = s->start.seq, numbers[AT_ONCE];

	s->seq = NULL;
	if (is_all_zero(s, COLUMN_SEQ))
		return true;
	s->seq = segment_room(s, s->count * sizeof *s->seq);
	if (!s->seq || !column_open(s, COLUMN_SEQ, s->count, 0, &in))
		return false;
	for (size_t i = 0, n; i < s->count; i += n) {
		n = next_numbers(&in, i, s->count, numbers);
		for (size_t k = 0; k < n; k++)
			s->seq[i + k] = seq += numbers[k] + 1;
	}
	return !in.bad;
}

/* Which conversations records are expected of; NULL: any, or where more of them than the guesses'
 * table has places take one another's. */
static const uint8_t *talks_expected(struct segment *s)
{
	if (!s->expected || s->talk_count > GUESS_TALKS)
		return NULL;
	memset(s->work->is_expected, 0, s->talk_count);
	EACH_LOOKED_AT(i, s->expected[base / 64])
	s->work->is_expected[s->talk_of[i]] = 1;
	return s->work->is_expected;
}

/* As many as there are, AT_ONCE at most. */
static void next_counts(struct nums_in *packets, struct nums_in *bytes, uint64_t *ret_packets,
			uint64_t *ret_bytes)
{
	size_t left = (size_t)(packets->codes_end - packets->code),
	       other = (size_t)(bytes->codes_end - bytes->code);

	left = left < other ? left : other;
	memset(ret_packets, 0, AT_ONCE * sizeof *ret_packets);
	memset(ret_bytes, 0, AT_ONCE * sizeof *ret_bytes);
	(void)next_numbers(packets, 0, left, ret_packets);
	(void)next_numbers(bytes, 0, left, ret_bytes);
}

/* Those that are given come in the order in which they are asked for: read as one column behind the
 * codes. */
static bool read_counts(struct segment *s)
{
	struct nums_in in, packets, bytes;
	struct guesses *g = &s->work->guess;
	uint64_t given_packets[AT_ONCE], given_bytes[AT_ONCE];
	size_t given = 0;

	s->counts = segment_room(s, s->count * sizeof *s->counts);
	if (!s->counts || !column_open_all(s, COLUMN_PACKETS, 0, &packets) ||
	    !column_open_all(s, COLUMN_BYTES, 1, &bytes) ||
	    !column_open(s, COLUMN_COUNTS, s->count, 2, &in))
		return false;
	memset(g->last_counts, 0, talks_touched(s) * sizeof *g->last_counts);
	memset(g->shape_counts, 0, shapes_touched(s) * sizeof *g->shape_counts);
	const struct str codes = str_n(in.code, s->count);
	/* Only conversations that are asked for must be followed; all, if they share places. */
	const uint8_t *is_expected = talks_expected(s);
	const uint64_t shared = is_expected ? 0 : UINT64_MAX;
	EACH_LOOKED_AT(i, to_look_at(s, &codes, base, 1) | (s->new_talks[base / 64] & shared))
	{
		uint32_t talk = s->talk_of[i];
		struct guess_counts *of_talk = g->last_counts[talk % GUESS_TALKS], now;
		uint64_t from = (uint8_t)codes.p[i];

		if (is_expected && from == COUNTS_OF_SHAPE && !is_expected[talk])
			continue;
		if (s->new_talks[i / 64] >> i % 64 & 1)
			of_talk[0] = of_talk[1] = (struct guess_counts){ 0, 0 };
		if (from == COUNTS_OF_TALK && !segment_expects(s, i))
			continue;
		uint32_t shape = s->shape_of[i];
		struct guess_counts *of_shape = &g->shape_counts[shape % GUESS_SHAPES];
		of_talk += s->shapes[shape].swapped;
		if (from > COUNTS_GIVEN)
			return false;
		if (from == COUNTS_GIVEN) {
			size_t at = given++ % AT_ONCE;
			if (!at)
				next_counts(&packets, &bytes, given_packets, given_bytes);
			now = (struct guess_counts){ given_packets[at], given_bytes[at] };
		} else {
			now = from == COUNTS_OF_TALK ? *of_talk : *of_shape;
		}
		s->counts[i] = now;
		if (from == COUNTS_OF_TALK)
			continue;
		if (now.packets)
			*of_talk = now;
		*of_shape = now;
	}
	return given <= s->streams[2 * COLUMN_PACKETS].len &&
	       given <= s->streams[2 * COLUMN_BYTES].len && !packets.bad && !bytes.bad;
}

static bool read_uuids(struct segment *s)
{
	struct nums_in in;
	struct str bytes;
	uint64_t seed[2] = { s->start.seed[0], s->start.seed[1] };

	s->uuid_from = NULL;
	if (is_all_zero(s, COLUMN_UUID))
		return true;
	s->uuid_seed = segment_room(s, s->count * sizeof *s->uuid_seed);
	s->uuid_from = segment_room(s, s->count);
	if (!s->uuid_seed || !s->uuid_from ||
	    !unpack(s, STREAM_UUIDS, &s->work->unpacked[1], &bytes) ||
	    !column_open(s, COLUMN_UUID, s->count, 0, &in))
		return false;
	for (size_t i = 0; i < s->count; i++) {
		uint64_t from = nums_get(&in), *to = s->uuid_seed[i];

		if (from > UUID_NONE ||
		    (bytes.len < 16 && (from == UUID_SEED || from == UUID_GIVEN)))
			return false;
		s->uuid_from[i] = (uint8_t)from;
		if (from == UUID_SEED) {
			memcpy(seed, bytes.p, sizeof seed);
			bytes = str_from(bytes, sizeof seed);
		}
		memcpy(to, seed, sizeof seed);
		if (from == UUID_GIVEN) {
			memcpy(to, bytes.p, sizeof seed);
			bytes = str_from(bytes, sizeof seed);
		} else if (from == UUID_NONE) {
			to[0] = to[1] = 0;
		}
	}
	return !in.bad;
}

enum err_code segment_need(struct segment *s, unsigned need, struct err *e)
{
	static const struct {
		unsigned need, before;
		bool (*read)(struct segment *s);
	} steps[] = {
		{ NEED_TALKS, 0, read_hosts },
		{ NEED_TALKS, 0, read_links },
		{ NEED_TALKS, 0, read_talks },
		{ NEED_SHAPES, NEED_TALKS, read_shapes },
		{ NEED_POINTS, NEED_TALKS | NEED_SHAPES, read_points },
		{ NEED_RARES, NEED_TALKS | NEED_SHAPES, read_rares },
		{ NEED_EXTS, NEED_TALKS | NEED_SHAPES, read_exts },
		{ NEED_TIME, 0, read_time },
		{ NEED_COUNTS, NEED_TALKS | NEED_SHAPES, read_counts },
		{ NEED_SEQ, 0, read_seq },
		{ NEED_UUID, NEED_SEQ, read_uuids },
	};

	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (need & steps[i].need)
			need |= steps[i].before;
	need &= ~s->have;
	s->no_memory = false;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) /* memory is no more than the head allows */
		if (need & steps[i].need && !steps[i].read(s))
			return s->no_memory
				       ? err_set(e, ERR_NOMEM, "segment of %zu records", s->count)
				       : damaged(e);
	s->have |= need;
	return ERR_OK;
}
