#include "record/values.h"

#include "base/buf.h"
#include "base/time.h"
#include "flow/wire.h"

/*
 * A flow has some twenty values, each read in a few nanoseconds: what is common is short and inline,
 * what is rare stands apart, so that it costs the common no registers.
 */
#define RARE __attribute__((noinline, cold)) static

enum {
	DEPTH = 6,
	SECOND_CHARS = sizeof((struct values_second *)0)->text,
	HEAD_BYTES = 20, /* of a tag and a number, at most */
};

static inline bool has_room(const struct values_out *o, size_t bytes)
{
	return (size_t)(o->end - o->p) >= bytes;
}

static inline uint8_t *put_varint(uint8_t *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (uint8_t)(v | 0x80);
	*p++ = (uint8_t)v;
	return p;
}

/* Eight bytes are written, whatever there is. */
static inline uint8_t *put_tag(uint8_t *p, const struct schema_field *f)
{
	memcpy(p, f->tag, sizeof f->tag);
	return p + f->tag_len;
}

/* --- scalars --- */

/* A value that is not its default. */
static inline bool put_number(struct values_out *o, const struct schema_field *f, uint64_t v)
{
	if (!v || !has_room(o, HEAD_BYTES))
		return false;
	o->p = put_varint(put_tag(o->p, f), v);
	return true;
}

/* The character at the front of text in quotes, written with a backslash or not, and in how many
 * bytes. 0: it is not written as lib/flow does, or no ASCII. */
static size_t character(const char *p, const char *end, char *ret)
{
	static const char *const escapes[] = { "\\\"", "\\\\", "\\u003c", "\\u003e", "\\u0026" };
	static const char meant[] = "\"\\<>&";

	*ret = *p;
	if (is_plain(p, 1))
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(escapes); i++) {
		size_t len = strlen(escapes[i]);
		*ret = meant[i];
		if ((size_t)(end - p) >= len && memcmp(p, escapes[i], len) == 0)
			return len;
	}
	return 0;
}

/* Text of any kind: pieces that are plain, and characters between them. */
RARE bool put_escaped(struct values_out *o, const struct schema_field *f, struct scan *s)
{
	struct scan x = *s;

	if (!has_room(o, HEAD_BYTES))
		return false;
	uint8_t *from = o->p + HEAD_BYTES, *to = from;
	for (size_t n;; x.p += n) {
		size_t plain = scan_plain(&x);
		if ((size_t)(o->end - to) <= plain)
			return false;
		memcpy(to, x.p, plain);
		to += plain;
		x.p += plain;
		if (x.p == x.end || *x.p == '"')
			break;
		char c;
		n = character(x.p, x.end, &c);
		if (!n)
			return false;
		*to++ = (uint8_t)c;
	}
	if (x.p == x.end || to == from)
		return false;
	uint8_t *p = put_varint(put_tag(o->p, f), (size_t)(to - from));
	memmove(p, from, (size_t)(to - from));
	o->p = p + (to - from);
	s->p = x.p + 1;
	return true;
}

/* Of any length. */
RARE bool put_long(struct values_out *o, const struct schema_field *f, struct scan *s)
{
	size_t n = scan_plain(s);

	if (n == scan_left(s) || s->p[n] != '"')
		return put_escaped(o, f, s);
	if (!n || !has_room(o, HEAD_BYTES + n))
		return false;
	uint8_t *p = put_varint(put_tag(o->p, f), n);
	memcpy(p, s->p, n);
	o->p = p + n;
	s->p += n + 1;
	return true;
}

/* Most are short: copied as they are looked through. The longest common one is a UUID. */
static inline bool put_string(struct values_out *o, const struct schema_field *f, struct scan *s)
{
	enum { SIXTEEN = sizeof(sixteen), SHORT = 3 * SIXTEEN };

	if (!scan_past_lit(s, "\""))
		return false;
	if (scan_left(s) < SHORT || !has_room(o, HEAD_BYTES + SHORT))
		return put_long(o, f, s);
	const sixteen first = sixteen_at(s->p), second = sixteen_at(s->p + SIXTEEN);
	size_t n = first_marked2(not_plain(first), not_plain(second));
	uint8_t *p = put_tag(o->p, f) + 1;
	memcpy(p, &first, SIXTEEN);
	memcpy(p + SIXTEEN, &second, SIXTEEN);
	if (n == 2 * SIXTEEN) {
		const sixteen third = sixteen_at(s->p + n);
		memcpy(p + n, &third, SIXTEEN);
		n += first_marked(not_plain(third));
	}
	if (n == SHORT || s->p[n] != '"' || !n)
		return put_long(o, f, s);
	p[-1] = (uint8_t)n;
	s->p += n + 1;
	o->p = p + n;
	return true;
}

static bool put_uint32(struct values_out *o, const struct schema_field *f, struct scan *s)
{
	uint64_t v;

	return scan_u64(s, &v) && v <= UINT32_MAX && put_number(o, f, v);
}

static bool put_uint64(struct values_out *o, const struct schema_field *f, struct scan *s)
{
	uint64_t v;

	return scan_past_lit(s, "\"") && scan_u64(s, &v) && scan_past_lit(s, "\"") &&
	       put_number(o, f, v);
}

static bool put_enum(struct values_out *o, const struct schema_field *f, struct scan *s)
{
	struct str name;
	int32_t number;

	return scan_past_lit(s, "\"") && scan_string(s, &name) &&
	       schema_enum_number(f->enumeration, name, &number) && number > 0 &&
	       str_eq(schema_enum_name(f->enumeration, number), name) &&
	       put_number(o, f, (uint64_t)number);
}

/* --- messages --- */

static bool put_message(struct values_out *o, struct scan *s, const struct schema_field *f,
			int depth);

static inline bool put_value(struct values_out *o, struct scan *s, const struct schema_field *f,
			     int depth)
{
	switch (f->type) {
	case SCHEMA_STRING:
		return put_string(o, f, s);
	case SCHEMA_UINT32:
		return put_uint32(o, f, s);
	case SCHEMA_UINT64:
		return put_uint64(o, f, s);
	case SCHEMA_BOOL:
		return scan_past_lit(s, "true") && put_number(o, f, 1);
	case SCHEMA_ENUM:
		return put_enum(o, f, s);
	case SCHEMA_MESSAGE:
		return put_message(o, s, f, depth - 1);
	default:
		return false;
	}
}

RARE bool put_list(struct values_out *o, struct scan *s, const struct schema_field *f, int depth)
{
	/* numbers would be packed */
	if (f->wire_type != WIRE_LEN || !scan_past_lit(s, "["))
		return false;
	do {
		if (!put_value(o, s, f, depth))
			return false;
	} while (scan_past_lit(s, ","));
	return scan_past_lit(s, "]");
}

/* The members of @m's object, to its end. */
static inline bool put_members(struct values_out *o, struct scan *s, const struct schema_message *m,
			       int depth)
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
		    (f->has_presence && f->type != SCHEMA_MESSAGE))
			return false;
		if (f->repeated ? !put_list(o, s, f, depth) : !put_value(o, s, f, depth))
			return false;
		of_oneof |= f->oneof_count != 0;
		above = f->number;
		f++;
	} while (scan_past_lit(s, ","));
	return scan_past_lit(s, "}");
}

RARE bool put_great_length(struct values_out *o, uint8_t *at, size_t len)
{
	uint8_t head[HEAD_BYTES];
	size_t more = (size_t)(put_varint(head, len) - head) - 1;

	if (!has_room(o, more))
		return false;
	memmove(at + more, at, len);
	memcpy(at - 1, head, more + 1);
	o->p += more;
	return true;
}

/* What was appended from @at on is a message; the byte before it was kept for its length, which most
 * have room enough in. */
static inline bool put_length(struct values_out *o, uint8_t *at)
{
	size_t len = (size_t)(o->p - at);

	if (len >= 0x80)
		return put_great_length(o, at, len);
	at[-1] = (uint8_t)len;
	return true;
}

static bool put_message(struct values_out *o, struct scan *s, const struct schema_field *f,
			int depth)
{
	if (depth <= 0 || f->message->special != SCHEMA_PLAIN || f->message->is_map_entry ||
	    !has_room(o, HEAD_BYTES) || !scan_past_lit(s, "{"))
		return false;
	o->p = put_tag(o->p, f) + 1;
	uint8_t *at = o->p;
	return put_members(o, s, f->message, depth) && put_length(o, at);
}

bool values_put_field(struct values_out *o, struct scan *s, const struct schema_field *f)
{
	return f->repeated ? put_list(o, s, f, DEPTH) : put_value(o, s, f, DEPTH);
}

/* --- a flow's addresses --- */

static bool read_text(struct scan *s, struct str *ret)
{
	return scan_string(s, ret) && ret->len;
}

static inline uint8_t *put_text(uint8_t *p, uint32_t number, struct str text)
{
	*p++ = (uint8_t)(number << 3 | WIRE_LEN);
	p = put_varint(p, text.len);
	memcpy(p, text.p, text.len);
	return p + text.len;
}

/* Both as texts of one length. */
static inline bool put_macs(struct values_out *o, struct scan *s, const struct schema_field *f)
{
	/* flow.Ethernet by number */
	enum { SOURCE = 1, DESTINATION };
	enum { MAC_CHARS = sizeof "02:42:0a:00:00:11" - 1 };
	struct scan x = *s;

	if (!scan_past_lit(&x, "{\"source\":\"") || scan_left(&x) < MAC_CHARS)
		return false;
	const struct str source = str_n(x.p, MAC_CHARS);
	x.p += MAC_CHARS;
	if (!scan_past_lit(&x, "\",\"destination\":\"") || scan_left(&x) < MAC_CHARS)
		return false;
	const struct str destination = str_n(x.p, MAC_CHARS);
	x.p += MAC_CHARS;
	if (!scan_past_lit(&x, "\"}") || !is_plain(source.p, MAC_CHARS) ||
	    !is_plain(destination.p, MAC_CHARS) || !has_room(o, 3 * HEAD_BYTES + 2 * MAC_CHARS))
		return false;
	uint8_t *p = put_tag(o->p, f) + 1, *at = p;
	p = put_text(p, SOURCE, source);
	p = put_text(p, DESTINATION, destination);
	at[-1] = (uint8_t)(p - at);
	o->p = p;
	s->p = x.p;
	return true;
}

bool values_put_ethernet(struct values_out *o, struct scan *s, const struct schema_field *f)
{
	return put_macs(o, s, f) || values_put_field(o, s, f);
}

bool values_put_ip(struct values_out *o, struct scan *s, const struct schema_field *f,
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
	if (!scan_past_lit(s, "}") ||
	    !has_room(o, 5 * HEAD_BYTES + ret_source->len + ret_destination->len + xlated.len))
		return false;
	uint8_t *p = put_tag(o->p, f) + 1, *at = p;
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
	o->p = p;
	return put_length(o, at);
}

/* --- ports --- */

static inline uint8_t *put_scalar(uint8_t *p, uint32_t number, uint64_t v)
{
	*p++ = (uint8_t)(number << 3 | WIRE_VARINT);
	return put_varint(p, v);
}

/* flow.TCPFlags, from its first member to its end; NULL: something else. */
static inline uint8_t *put_flags(uint8_t *p, struct scan *s)
{
	/* in the order of their numbers, from 1 on; eight bytes of each tell it from the others */
	static const struct {
		char front[8], rest[2];
		uint8_t rest_len;
	} flags[] = {
		{ "\"FIN\":tr", "ue", 2 }, { "\"SYN\":tr", "ue", 2 }, { "\"RST\":tr", "ue", 2 },
		{ "\"PSH\":tr", "ue", 2 }, { "\"ACK\":tr", "ue", 2 }, { "\"URG\":tr", "ue", 2 },
		{ "\"ECE\":tr", "ue", 2 }, { "\"CWR\":tr", "ue", 2 }, { "\"NS\":tru", "e", 1 },
	};
	struct scan x = *s;

	for (uint8_t i = 0; i < ARRAY_LEN(flags); i++) {
		size_t len = sizeof flags[i].front + flags[i].rest_len;
		if (scan_left(&x) <= len || memcmp(x.p, flags[i].front, sizeof flags[i].front) != 0)
			continue;
		if (memcmp(x.p + sizeof flags[i].front, flags[i].rest, flags[i].rest_len) != 0)
			return NULL;
		p = put_scalar(p, i + 1U, 1);
		x.p += len + 1;
		if (x.p[-1] == '}') {
			*s = x;
			return p;
		}
		if (x.p[-1] != ',')
			return NULL;
	}
	return NULL;
}

static inline bool read_uint32(struct scan *s, uint64_t *ret)
{
	return scan_u64(s, ret) && *ret && *ret <= UINT32_MAX;
}

static inline bool put_ports(struct values_out *o, struct scan *s, const struct schema_field *f)
{
	/* flow.Layer4 by number; flow.TCP, of which flow.UDP is the beginning */
	enum { TCP = 1, UDP };
	enum { SOURCE_PORT = 1, DESTINATION_PORT, FLAGS };
	struct scan x = *s;
	bool is_tcp = scan_past_lit(&x, "{\"TCP\":{\"source_port\":");
	uint64_t source, destination;

	if ((!is_tcp && !scan_past_lit(&x, "{\"UDP\":{\"source_port\":")) ||
	    !read_uint32(&x, &source) || !scan_past_lit(&x, ",\"destination_port\":") ||
	    !read_uint32(&x, &destination) || !has_room(o, 4 * HEAD_BYTES))
		return false;
	uint8_t *outer = put_tag(o->p, f) + 1, *p = outer;
	*p = (is_tcp ? TCP : UDP) << 3 | WIRE_LEN;
	uint8_t *inner = p += 2;
	p = put_scalar(p, SOURCE_PORT, source);
	p = put_scalar(p, DESTINATION_PORT, destination);
	if (is_tcp && scan_past_lit(&x, ",\"flags\":{")) {
		*p = FLAGS << 3 | WIRE_LEN;
		uint8_t *flags = p += 2;
		p = put_flags(p, &x);
		if (!p)
			return false;
		flags[-1] = (uint8_t)(p - flags);
	}
	if (!scan_past_lit(&x, "}}"))
		return false;
	inner[-1] = (uint8_t)(p - inner);
	outer[-1] = (uint8_t)(p - outer);
	o->p = p;
	s->p = x.p;
	return true;
}

bool values_put_l4(struct values_out *o, struct scan *s, const struct schema_field *f)
{
	return put_ports(o, s, f) || values_put_field(o, s, f);
}

/* --- what we say of a flow ourselves --- */

static inline bool read_count(struct scan *s, uint64_t *ret)
{
	return scan_u64(s, ret) && *ret && scan_past_lit(s, "\"");
}

static inline bool put_counts(struct values_out *o, struct scan *s, const struct schema_field *f)
{
	/* tycho.v1.FlowDetail by number */
	enum { SEQ = 1, PACKETS, BYTES, NETNS = 5 };
	struct scan x = *s;
	uint64_t seq, packets, bytes, netns = 0;

	if (!scan_past_lit(&x, "{\"seq\":\"") || !read_count(&x, &seq) ||
	    !scan_past_lit(&x, ",\"packets\":\"") || !read_count(&x, &packets) ||
	    !scan_past_lit(&x, ",\"bytes\":\"") || !read_count(&x, &bytes) ||
	    (scan_past_lit(&x, ",\"netns\":") && !read_uint32(&x, &netns)) ||
	    !scan_past_lit(&x, "}") || !has_room(o, 4 * HEAD_BYTES))
		return false;
	uint8_t *p = put_tag(o->p, f) + 1, *at = p;
	p = put_scalar(p, SEQ, seq);
	p = put_scalar(p, PACKETS, packets);
	p = put_scalar(p, BYTES, bytes);
	if (netns)
		p = put_scalar(p, NETNS, netns);
	at[-1] = (uint8_t)(p - at);
	o->p = p;
	s->p = x.p;
	return true;
}

bool values_put_detail(struct values_out *o, struct scan *s, const struct schema_field *f)
{
	return put_counts(o, s, f) || values_put_field(o, s, f);
}

/* --- times --- */

RARE bool read_second(struct values_second *second, const char *text)
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
	static const uint32_t unit[] = { [3] = 1000000, [6] = 1000, [9] = 1 };
	uint64_t v = 0;
	size_t n = 0;

	if (scan_left(s) >= 8) {
		uint64_t text = swar_load(s->p);
		n = digits_of(text);
		v = n ? digits_value(text, (unsigned)n) : 0;
	}
	for (; n < 9 && n < scan_left(s) && (uint8_t)(s->p[n] - '0') < 10; n++)
		v = v * 10 + (uint8_t)(s->p[n] - '0');
	if (n >= ARRAY_LEN(unit) || !unit[n] || !(v % 1000))
		return false;
	s->p += n;
	*ret_ns = (uint32_t)v * unit[n];
	return true;
}

bool values_put_time(struct values_out *o, struct scan *s, const struct schema_field *f,
		     struct values_second *second, struct str *ret)
{
	enum { SECONDS = 1, NANOS };
	const char *from = s->p;
	uint32_t ns = 0;

	if (scan_left(s) <= SECOND_CHARS || !has_room(o, 3 * HEAD_BYTES) ||
	    (!is_same(from, second->text, SECOND_CHARS) && !read_second(second, from)))
		return false;
	s->p += SECOND_CHARS;
	if ((scan_past_lit(s, ".") && !read_fraction(s, &ns)) || !scan_past_lit(s, "Z"))
		return false;
	*ret = str_n(from, (size_t)(s->p - from));
	uint8_t *p = put_tag(o->p, f) + 1, *at = p;
	if (second->s) {
		*p++ = SECONDS << 3 | WIRE_VARINT;
		p = put_varint(p, (uint64_t)second->s);
	}
	if (ns) {
		*p++ = NANOS << 3 | WIRE_VARINT;
		p = put_varint(p, ns);
	}
	o->p = p;
	return put_length(o, at);
}
