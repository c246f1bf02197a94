#include "evidence/values.h"

#include "base/time.h"
#include "flow/wire.h"

enum { DEPTH = 6, SECOND_CHARS = sizeof((struct values_second *)0)->text };

/* Room for @bytes and what may be read behind them; @end of what was taken of it is told to take. */
static inline uint8_t *room(struct buf *b, size_t bytes)
{
	return (uint8_t *)buf_reserve(b, bytes + VALUES_ROOM);
}

static inline void take(struct buf *b, const uint8_t *end)
{
	b->len = (size_t)((const char *)end - b->p);
}

static inline uint8_t *put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

/* The same of at most 28 bits, without a branch that nobody can foresee; four bytes are written. */
static inline uint8_t *put_varint28(uint8_t *p, uint32_t v)
{
	uint32_t bytes =
		(v & 0x7f) | (v & 0x7f << 7) << 1 | (v & 0x7f << 14) << 2 | (v & 0x7f << 21) << 3;
	unsigned len = (31 - (unsigned)__builtin_clz(v | 1)) / 7; /* less one */
	const uint32_t more = UINT32_C(0x808080) & ((UINT32_C(1) << 8 * len) - 1);

	bytes |= more;
	for (size_t i = 0; i < sizeof bytes; i++)
		p[i] = (uint8_t)(bytes >> 8 * i);
	return p + len + 1;
}

/* Eight bytes are written, whatever there is. */
static inline uint8_t *put_tag(uint8_t *p, const struct schema_field *f)
{
	memcpy(p, f->tag, sizeof f->tag);
	return p + f->tag_len;
}

/* --- scalars --- */

enum { HEAD_BYTES = 20 }; /* of a tag and a number, at most */

/* A value that is not its default. */
static inline bool put_number(struct buf *b, const struct schema_field *f, uint64_t v)
{
	uint8_t *p = room(b, HEAD_BYTES);

	if (!p || !v)
		return false;
	p = put_tag(p, f);
	take(b, v < 1 << 28 ? put_varint28(p, (uint32_t)v) : put_varint(p, v));
	return true;
}

/* Text with quotes or backslashes in it, which have a backslash before them. */
__attribute__((noinline)) static bool put_escaped(struct buf *b, const struct schema_field *f,
						  struct scan *s)
{
	const char *p = s->p;
	size_t len = 0;

	for (; p < s->end && *p != '"'; p++, len++)
		if (*p == '\\' && (++p == s->end || (*p != '"' && *p != '\\')))
			return false;
		else if (p[-(*p == '"' || *p == '\\')] != '\\' && !is_plain(p, 1))
			return false;
	uint8_t *to = room(b, HEAD_BYTES + len);
	if (p == s->end || !to)
		return false;
	to = put_varint(put_tag(to, f), len);
	for (p = s->p; *p != '"'; p++) {
		p += *p == '\\';
		*to++ = (uint8_t)*p;
	}
	take(b, to);
	s->p = p + 1;
	return len != 0;
}

/* Of any length. */
__attribute__((noinline)) static bool put_long(struct buf *b, const struct schema_field *f,
					       struct scan *s)
{
	size_t n = scan_plain(s);

	if (n == scan_left(s) || s->p[n] != '"')
		return put_escaped(b, f, s);
	uint8_t *p = room(b, HEAD_BYTES + n);
	if (!p || !n)
		return false;
	p = put_varint(put_tag(p, f), n);
	memcpy(p, s->p, n);
	take(b, p + n);
	s->p += n + 1;
	return true;
}

/* Behind its first quote. Most are short: copied as they are looked through. */
static inline bool put_string(struct buf *b, const struct schema_field *f, struct scan *s)
{
	enum { SHORT = 2 * sizeof(sixteen) };
	uint8_t *p = room(b, HEAD_BYTES + SHORT);

	if (!p || scan_left(s) < SHORT)
		return put_long(b, f, s);
	const sixteen first = sixteen_at(s->p), second = sixteen_at(s->p + sizeof first);
	size_t n = first_marked2(not_plain(first), not_plain(second));
	if (n == SHORT || s->p[n] != '"' || !n)
		return put_long(b, f, s);
	p = put_tag(p, f);
	*p++ = (uint8_t)n;
	memcpy(p, &first, sizeof first);
	memcpy(p + sizeof first, &second, sizeof second);
	s->p += n + 1;
	take(b, p + n);
	return true;
}

__attribute__((noinline)) static bool put_enum(struct buf *b, const struct schema_field *f,
					       struct scan *s)
{
	struct str name;
	int32_t number;

	return scan_past_lit(s, "\"") && scan_string(s, &name) &&
	       schema_enum_number(f->enumeration, name, &number) && number > 0 &&
	       str_eq(schema_enum_name(f->enumeration, number), name) &&
	       put_number(b, f, (uint64_t)number);
}

/* --- messages --- */

static bool put_message(struct buf *b, struct scan *s, const struct schema_field *f, int depth);

static bool put_value(struct buf *b, struct scan *s, const struct schema_field *f, int depth)
{
	uint64_t v;

	switch (f->type) {
	case SCHEMA_STRING:
		return scan_past_lit(s, "\"") && put_string(b, f, s);
	case SCHEMA_UINT32:
		return scan_u64(s, &v) && v <= UINT32_MAX && put_number(b, f, v);
	case SCHEMA_UINT64:
		return scan_past_lit(s, "\"") && scan_u64(s, &v) && scan_past_lit(s, "\"") &&
		       put_number(b, f, v);
	case SCHEMA_BOOL:
		return scan_past_lit(s, "true") && put_number(b, f, 1);
	case SCHEMA_ENUM:
		return put_enum(b, f, s);
	case SCHEMA_MESSAGE:
		return put_message(b, s, f, depth - 1);
	default:
		return false;
	}
}

__attribute__((noinline)) static bool put_list(struct buf *b, struct scan *s,
					       const struct schema_field *f, int depth)
{
	/* numbers would be packed */
	if (f->wire_type != WIRE_LEN || !scan_past_lit(s, "["))
		return false;
	do {
		if (!put_value(b, s, f, depth))
			return false;
	} while (scan_past_lit(s, ","));
	return scan_past_lit(s, "]");
}

static bool put_any(struct buf *b, struct scan *s, const struct schema_field *f, int depth)
{
	return f->repeated ? put_list(b, s, f, depth) : put_value(b, s, f, depth);
}

/* The members of @m's object, to its end. */
static bool put_members(struct buf *b, struct scan *s, const struct schema_message *m, int depth)
{
	const struct schema_field *f = m->fields, *end = f + m->field_count;
	uint32_t above = 0;
	bool of_oneof = false;

	if (scan_past_lit(s, "}"))
		return true;
	do {
		while (f < end && !scan_past_key(s, f->key))
			f++;
		if (f == end || f->number <= above || (f->oneof_count && of_oneof) ||
		    (f->has_presence && f->type != SCHEMA_MESSAGE) || !put_any(b, s, f, depth))
			return false;
		of_oneof |= f->oneof_count != 0;
		above = f->number;
		f++;
	} while (scan_past_lit(s, ","));
	return scan_past_lit(s, "}");
}

/* What was appended from @at on is a message; the byte before it is kept for its length, which most
 * have room enough in. */
static bool put_length(struct buf *b, size_t at)
{
	size_t len = b->len - at;

	if (len < 0x80) {
		b->p[at - 1] = (char)len;
		return true;
	}
	uint8_t head[10];
	size_t more = (size_t)(put_varint(head, len) - head) - 1;
	if (!room(b, more))
		return false;
	memmove(b->p + at + more, b->p + at, len);
	memcpy(b->p + at - 1, head, more + 1);
	b->len += more;
	return true;
}

static bool put_message(struct buf *b, struct scan *s, const struct schema_field *f, int depth)
{
	uint8_t *p = room(b, HEAD_BYTES);

	if (!p || depth <= 0 || f->message->special != SCHEMA_PLAIN || f->message->is_map_entry ||
	    !scan_past_lit(s, "{"))
		return false;
	take(b, put_tag(p, f) + 1);
	size_t at = b->len;
	return put_members(b, s, f->message, depth) && put_length(b, at);
}

bool values_put_field(struct buf *b, struct scan *s, const struct schema_field *f)
{
	return put_any(b, s, f, DEPTH);
}

/* --- a flow's addresses --- */

static bool read_text(struct scan *s, struct str *ret)
{
	return scan_string(s, ret) && ret->len;
}

static uint8_t *put_text(uint8_t *p, uint32_t number, struct str text)
{
	*p++ = (uint8_t)(number << 3 | WIRE_LEN);
	p = put_varint(p, text.len);
	memcpy(p, text.p, text.len);
	return p + text.len;
}

bool values_put_ip(struct buf *b, struct scan *s, const struct schema_field *f,
		   struct str *ret_source, struct str *ret_destination)
{
	/* flow.IP by number */
	enum { SOURCE = 1, DESTINATION, VERSION, ENCRYPTED, SOURCE_XLATED };
	struct str xlated = { NULL, 0 };
	uint8_t version = 0;

	if (!scan_past_lit(s, "{\"source\":\"") || !read_text(s, ret_source) ||
	    (scan_past_lit(s, ",\"source_xlated\":\"") && !read_text(s, &xlated)) ||
	    !scan_past_lit(s, ",\"destination\":\"") || !read_text(s, ret_destination))
		return false;
	if (scan_past_lit(s, ",\"ipVersion\":\"IPv4\""))
		version = 1;
	else if (scan_past_lit(s, ",\"ipVersion\":\"IPv6\""))
		version = 2;
	bool is_encrypted = scan_past_lit(s, ",\"encrypted\":true");
	uint8_t *p = room(b, 4 * HEAD_BYTES + ret_source->len + ret_destination->len + xlated.len);
	if (!p || !scan_past_lit(s, "}"))
		return false;
	take(b, put_tag(p, f) + 1);
	size_t at = b->len;
	p = (uint8_t *)b->p + at;
	p = put_text(p, SOURCE, *ret_source);
	p = put_text(p, DESTINATION, *ret_destination);
	if (version) {
		*p++ = VERSION << 3 | WIRE_VARINT;
		*p++ = version;
	}
	if (is_encrypted) {
		*p++ = ENCRYPTED << 3 | WIRE_VARINT;
		*p++ = 1;
	}
	if (xlated.len)
		p = put_text(p, SOURCE_XLATED, xlated);
	take(b, p);
	return put_length(b, at);
}

/* --- times --- */

static bool read_second(struct values_second *second, const char *text)
{
	char written[40], z[SECOND_CHARS + 1];
	struct buf b = buf_fixed(written, sizeof written);
	struct timestamp t;

	memcpy(z, text, SECOND_CHARS);
	z[SECOND_CHARS] = 'Z';
	if (!timestamp_parse(str_n(z, sizeof z), &t) || t.s < 0)
		return false;
	timestamp_put(&b, (struct timestamp){ .s = t.s });
	if (!str_eq(buf_str(&b), str_n(z, sizeof z)))
		return false;
	memcpy(second->text, text, SECOND_CHARS);
	second->s = t.s;
	return true;
}

/* What stands behind the point: three, six or nine digits, the last three not zeros. */
static bool read_fraction(struct scan *s, uint32_t *ret_ns)
{
	uint32_t ns = 0, last = 0;
	size_t digits = 0;

	for (; digits < 9 && s->p < s->end && (uint8_t)(*s->p - '0') < 10; s->p++, digits++) {
		last = (digits % 3 ? last * 10 : 0) + (uint8_t)(*s->p - '0');
		ns = ns * 10 + (uint8_t)(*s->p - '0');
	}
	if (!digits || digits % 3 || !last)
		return false;
	for (; digits < 9; digits++)
		ns *= 10;
	*ret_ns = ns;
	return true;
}

bool values_put_time(struct buf *b, struct scan *s, const struct schema_field *f,
		     struct values_second *second, struct str *ret)
{
	enum { SECONDS = 1, NANOS };
	const char *from = s->p;
	uint32_t ns = 0;

	if (scan_left(s) <= SECOND_CHARS ||
	    (memcmp(from, second->text, SECOND_CHARS) != 0 && !read_second(second, from)))
		return false;
	s->p += SECOND_CHARS;
	if ((scan_past_lit(s, ".") && !read_fraction(s, &ns)) || !scan_past_lit(s, "Z"))
		return false;
	*ret = str_n(from, (size_t)(s->p - from));
	uint8_t *p = room(b, 3 * HEAD_BYTES);
	if (!p)
		return false;
	take(b, put_tag(p, f) + 1);
	size_t at = b->len;
	p = (uint8_t *)b->p + at;
	if (second->s) {
		*p++ = SECONDS << 3 | WIRE_VARINT;
		p = put_varint(p, (uint64_t)second->s);
	}
	if (ns) {
		*p++ = NANOS << 3 | WIRE_VARINT;
		p = put_varint(p, ns);
	}
	take(b, p);
	return put_length(b, at);
}
