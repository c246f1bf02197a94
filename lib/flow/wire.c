#include "flow/wire.h"

#include "base/buf.h"
#include "flow/schema.h"

enum { MAX_GROUP_DEPTH = 64 };

/* Protobuf's encoding spec: at most ten bytes, and the tenth holds one bit. */
static bool read_varint(struct wire_reader *r, uint64_t *ret)
{
	const uint8_t *p = r->p, *end = r->end;

	if (p < end && *p < 0x80) {
		*ret = *p;
		r->p = p + 1;
		return true;
	}
	uint64_t v = 0;
	for (unsigned shift = 0; shift < 64 && p < end; shift += 7) {
		uint8_t c = *p++;
		if (shift == 63 && c > 1)
			return false;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (c < 0x80) {
			*ret = v;
			r->p = p;
			return true;
		}
	}
	return false;
}

static bool read_fixed(struct wire_reader *r, unsigned bytes, uint64_t *ret)
{
	if ((size_t)(r->end - r->p) < bytes)
		return false;
	uint64_t v = 0;
	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)r->p[i] << (8 * i);
	r->p += bytes;
	*ret = v;
	return true;
}

/* Tag and value of one field; of a group only its tag. */
static bool read_field(struct wire_reader *r, struct wire_field *ret)
{
	uint64_t tag, len;

	if (!read_varint(r, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
		return false;
	ret->number = (uint32_t)(tag >> 3);
	ret->type = (enum wire_type)(tag & 7);
	ret->value = 0;
	ret->bytes = (struct str){ "", 0 };
	switch (ret->type) {
	case WIRE_VARINT:
		return read_varint(r, &ret->value);
	case WIRE_LEN:
		if (!read_varint(r, &len) || len > (size_t)(r->end - r->p))
			return false;
		ret->bytes = str_n(r->p, (size_t)len);
		r->p += len;
		return true;
	case WIRE_I64:
		return read_fixed(r, 8, &ret->value);
	case WIRE_I32:
		return read_fixed(r, 4, &ret->value);
	case WIRE_GROUP:
	case WIRE_END_GROUP:
		return true;
	}
	return false;
}

/* Steps over the content of group @number, whose start was just read, and its end tag. Without
 * recursion: groups nest as deep as a sender likes. */
static bool skip_group(struct wire_reader *r, uint32_t number, struct str *ret_content)
{
	uint32_t open[MAX_GROUP_DEPTH] = { number };
	size_t depth = 1;
	const uint8_t *from = r->p;

	while (r->p < r->end) {
		const uint8_t *here = r->p;
		struct wire_field f;
		if (!read_field(r, &f))
			return false;
		if (f.type == WIRE_GROUP) {
			if (depth == MAX_GROUP_DEPTH)
				return false;
			open[depth++] = f.number;
		} else if (f.type == WIRE_END_GROUP) {
			if (f.number != open[--depth])
				return false;
			if (!depth) {
				*ret_content = str_n(from, (size_t)(here - from));
				return true;
			}
		}
	}
	return false;
}

bool wire_next_slow_(struct wire_reader *r, struct wire_field *ret)
{
	if (r->bad || r->p == r->end)
		return false;
	const uint8_t *from = r->p;
	bool ok = read_field(r, ret) && ret->type != WIRE_END_GROUP &&
		  (ret->type != WIRE_GROUP || skip_group(r, ret->number, &ret->bytes));
	if (!ok) {
		r->bad = true;
		r->p = r->end;
		return false;
	}
	ret->raw = str_n(from, (size_t)(r->p - from));
	return true;
}

bool wire_next_varint(struct wire_reader *r, uint64_t *ret)
{
	r->bad |= !read_varint(r, ret);
	return !r->bad;
}

bool wire_find(struct str message, uint32_t number, struct str *ret)
{
	struct wire_reader r = wire_reader_of(message);
	struct wire_field f;

	while (wire_next(&r, &f))
		if (f.number == number && f.type == WIRE_LEN) {
			*ret = f.bytes;
			return true;
		}
	return false;
}

void wire_put_varint_slow_(struct buf *b, uint64_t v)
{
	char *p = buf_reserve(b, 10);

	if (!p)
		return;
	size_t n = 0;
	for (; v >= 0x80; v >>= 7)
		p[n++] = (char)(v | 0x80);
	p[n++] = (char)v;
	b->len += n;
}

void wire_put_u64(struct buf *b, uint32_t number, uint64_t v)
{
	if (!v)
		return;
	wire_put_tag(b, number, WIRE_VARINT);
	wire_put_varint(b, v);
}

void wire_put_len(struct buf *b, uint32_t number, struct str s)
{
	wire_put_tag(b, number, WIRE_LEN);
	wire_put_varint(b, s.len);
	buf_str_put(b, s);
}

void wire_put_str(struct buf *b, uint32_t number, struct str s)
{
	if (s.len)
		wire_put_len(b, number, s);
}

size_t wire_begin(struct buf *b, uint32_t number)
{
	wire_put_tag(b, number, WIRE_LEN);
	buf_char(b,
		 0); /* the length of a short message fits here; wire_end makes room for others */
	return b->len;
}

void wire_end(struct buf *b, size_t mark)
{
	if (b->failed)
		return;
	size_t len = b->len - mark, more = 0;
	for (size_t v = len; v >= 0x80; v >>= 7)
		more++;
	if (more) {
		if (!buf_reserve(b, more))
			return;
		memmove(b->p + mark + more, b->p + mark, len);
		b->len += more;
	}
	char *p = b->p + mark - 1;
	for (; len >= 0x80; len >>= 7)
		*p++ = (char)(len | 0x80);
	*p = (char)len;
}

void wire_sort(struct buf *b, size_t start)
{
	struct run {
		uint32_t number;
		size_t at, len;
	} runs[SCHEMA_MAX_FIELDS];
	size_t count = 0, last = 0, len = b->len - start;
	struct wire_reader reader = wire_reader_of(str_n(b->p + start, len));

	for (struct wire_field x; !b->failed && wire_next(&reader, &x);) {
		if (count && runs[last].number == x.number) {
			runs[last].len += x.raw.len;
			continue;
		}
		if (count == ARRAY_LEN(runs)) /* none has more */
			return;
		size_t i = count++;
		for (; i && runs[i - 1].number > x.number; i--)
			runs[i] = runs[i - 1];
		runs[i] = (struct run){ x.number, (size_t)(x.raw.p - b->p), x.raw.len };
		last = i;
	}
	char *sorted = buf_reserve(b, len);
	if (!sorted)
		return;
	for (size_t i = 0, at = 0; i < count; at += runs[i++].len)
		memcpy(sorted + at, b->p + runs[i].at, runs[i].len);
	memcpy(b->p + start, sorted, len);
}
