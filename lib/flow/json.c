#include "flow/json.h"

#include <math.h>
#include <stdio.h>

#include "base/time.h"
#include "flow/schema.h"
#include "flow/swar.h"
#include "flow/wire.h"

/* protobuf's customary limit on nested messages when reading the wire; only an Any nests without
 * end. */
enum { MAX_DEPTH = 100 };
/* Field occurrences held without allocating: more than any flow has. */
enum { FEW_OCCURRENCES = 320 };

/* One field of a message as it lies on the wire, in a chain with the others of its number. */
struct occurrence {
	struct str bytes; /* LEN */
	uint64_t value;   /* all others */
	uint8_t wire_type;
	uint32_t next; /* 1 + place of the next of this field, 0 for none */
};

/* First and last occurrence of a field: 1 + place, 0 for none. */
struct chain {
	uint32_t head, tail;
};

struct writer {
	struct buf *b;
	struct err *e;
	enum err_code code; /* sticky */
	unsigned depth;
	/* Stack of the occurrences of the messages now open; the array moves when it grows. */
	struct occurrence *occurrences;
	size_t used, cap;
	struct occurrence *grown; /* the array, once it was allocated */
};

static void put_message(struct writer *w, const struct schema_message *m, struct str message);

static bool fail(struct writer *w, enum err_code code, const char *what, struct str name)
{
	if (w->code == ERR_OK)
		w->code = err_set(w->e, code, "%.*s: %s", STR_FMT(name), what);
	return false;
}

/* --- strings ------------------------------------------------------------------------ */

/* True if JSON and HTML take byte @c as it is; not true of any byte beyond ASCII. */
static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* Bytes at the start of [p, end) that need no second look. */
static size_t plain_length(const char *p, const char *end)
{
	const char *from = p;

	for (; end - p >= 8; p += 8) {
		uint64_t v = swar_load(p);
		uint64_t stops = (v & SWAR_HIGHS) | swar_below(v, 0x20) | swar_equal(v, '"') |
				 swar_equal(v, '\\') | swar_equal(v, '<') | swar_equal(v, '>') |
				 swar_equal(v, '&');
		if (stops)
			return (size_t)(p - from) + swar_first(stops);
	}
	while (p < end && is_plain((unsigned char)*p))
		p++;
	return (size_t)(p - from);
}

/* Length of the well-formed UTF-8 sequence at @p, 0 if it is none. */
static size_t utf8_length(const char *p, const char *end)
{
	size_t most = (size_t)(end - p) < 4 ? (size_t)(end - p) : 4;

	for (size_t n = 2; n <= most; n++)
		if (utf8_is_valid(str_n(p, n)))
			return n;
	return 0;
}

static void put_escape(struct buf *b, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	char text[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
	const char *letter = memchr("\b\f\n\r\t", c, 5);

	if (c == '"' || c == '\\')
		buf_put(b, (char[2]){ '\\', (char)c }, 2);
	else if (c && letter)
		buf_put(b, (char[2]){ '\\', "bfnrt"[letter - "\b\f\n\r\t"] }, 2);
	else
		buf_put(b, text, 6);
}

void json_put_string(struct buf *b, struct str s)
{
	const char *p = s.p, *end = s.p + s.len;

	buf_char(b, '"');
	for (;;) {
		size_t n = plain_length(p, end);
		buf_put(b, p, n);
		p += n;
		if (p == end)
			break;
		if ((unsigned char)*p < 0x80) {
			put_escape(b, (unsigned char)*p++);
			continue;
		}
		n = utf8_length(p, end);
		/* U+2028 and U+2029 end a line in JavaScript: the reference escapes them, as it
		 * does '<'. */
		if (n == 3 && memcmp(p, "\xe2\x80", 2) == 0 && ((unsigned char)p[2] & 0xfe) == 0xa8)
			buf_str_put(b,
				    (unsigned char)p[2] == 0xa8 ? STR("\\u2028") : STR("\\u2029"));
		else if (n)
			buf_put(b, p, n);
		else
			buf_lit(b, "\xef\xbf\xbd");
		p += n ? n : 1;
	}
	buf_char(b, '"');
}

static void put_base64(struct buf *b, struct str s)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	buf_char(b, '"');
	for (size_t i = 0; i < s.len; i += 3) {
		size_t n = s.len - i < 3 ? s.len - i : 3;
		uint32_t v = 0;
		char out[4] = "====";
		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (k < n ? (uint8_t)s.p[i + k] : 0);
		for (size_t k = 0; k <= n; k++)
			out[k] = digits[v >> (18 - 6 * k) & 63];
		buf_put(b, out, 4);
	}
	buf_char(b, '"');
}

/* --- scalars ------------------------------------------------------------------------ */

/* Shortest decimal that reads back as the same number, in Go's choice of notation. */
static void put_double(struct buf *b, double v, bool is_float)
{
	char text[40];
	int precision, most = is_float ? 9 : 17; /* digits that tell any two numbers apart */

	if (isnan(v) || isinf(v)) {
		buf_str_put(b, isnan(v) ? STR("\"NaN\"")
			       : v > 0  ? STR("\"Infinity\"")
					: STR("\"-Infinity\""));
		return;
	}
	for (precision = 1; precision < most; precision++) {
		(void)snprintf(text, sizeof text, "%.*e", precision - 1, v);
		if (is_float ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v)
			break;
	}
	(void)snprintf(text, sizeof text, "%.*e", precision - 1, v);
	char *e = strchr(text, 'e');
	int exponent = e ? atoi(e + 1) : 0;
	if (v == 0 || (exponent >= -6 && exponent < 21)) {
		int decimals = precision - 1 - exponent;
		buf_printf(b, "%.*f", decimals > 0 ? decimals : 0, v);
	} else if (e) {
		/* Go writes e+21 and e-7, without C's leading zero */
		*e = '\0';
		buf_printf(b, "%se%c%d", text, exponent < 0 ? '-' : '+', abs(exponent));
	}
}

static void put_quoted_u64(struct buf *b, uint64_t v)
{
	buf_char(b, '"');
	buf_u64(b, v);
	buf_char(b, '"');
}

static void put_quoted_i64(struct buf *b, int64_t v)
{
	buf_char(b, '"');
	buf_i64(b, v);
	buf_char(b, '"');
}

static void put_enum(struct buf *b, const struct schema_enum *e, int32_t number)
{
	struct str name = e ? schema_enum_name(e, number) : STR("");

	if (name.len) {
		buf_char(b, '"');
		buf_str_put(b, name);
		buf_char(b, '"');
	} else {
		buf_i64(b, number);
	}
}

static int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1 ^ -(v & 1));
}

static double double_of(uint64_t bits)
{
	double v;
	memcpy(&v, &bits, sizeof v);
	return v;
}

static float float_of(uint64_t bits)
{
	uint32_t low = (uint32_t)bits;
	float v;
	memcpy(&v, &low, sizeof v);
	return v;
}

/* One value that is no string, bytes or message. */
static void put_number(struct buf *b, const struct schema_field *f, uint64_t v)
{
	switch ((enum schema_type)f->type) {
	case SCHEMA_BOOL:
		buf_str_put(b, v ? STR("true") : STR("false"));
		break;
	case SCHEMA_INT32:
	case SCHEMA_SFIXED32:
		buf_i64(b, (int32_t)v);
		break;
	case SCHEMA_SINT32:
		buf_i64(b, (int32_t)unzigzag((uint32_t)v));
		break;
	case SCHEMA_UINT32:
	case SCHEMA_FIXED32:
		buf_u64(b, (uint32_t)v);
		break;
	case SCHEMA_INT64:
	case SCHEMA_SFIXED64:
		put_quoted_i64(b, (int64_t)v);
		break;
	case SCHEMA_SINT64:
		put_quoted_i64(b, unzigzag(v));
		break;
	case SCHEMA_UINT64:
	case SCHEMA_FIXED64:
		put_quoted_u64(b, v);
		break;
	case SCHEMA_ENUM:
		put_enum(b, f->enumeration, (int32_t)v);
		break;
	case SCHEMA_DOUBLE:
		put_double(b, double_of(v), false);
		break;
	case SCHEMA_FLOAT:
		put_double(b, (double)float_of(v), true);
		break;
	case SCHEMA_STRING:
	case SCHEMA_BYTES:
	case SCHEMA_MESSAGE:
		break;
	}
}

/* True if @v is not the zero that proto3 leaves out. */
static bool number_is_set(const struct schema_field *f, uint64_t v)
{
	switch ((enum schema_type)f->type) {
	case SCHEMA_INT32:
	case SCHEMA_UINT32:
	case SCHEMA_SINT32:
	case SCHEMA_ENUM:
		return (uint32_t)v != 0; /* the wire carries 64 bits, the type keeps 32 of them */
	default:
		return v != 0;
	}
}

static void put_value(struct writer *w, const struct schema_field *f, struct str bytes,
		      uint64_t value)
{
	switch ((enum schema_type)f->type) {
	case SCHEMA_MESSAGE:
		if (f->message)
			put_message(w, f->message, bytes);
		else
			(void)fail(w, ERR_INTERNAL, "field without a type", f->name);
		break;
	case SCHEMA_STRING:
		json_put_string(w->b, bytes);
		break;
	case SCHEMA_BYTES:
		put_base64(w->b, bytes);
		break;
	default:
		put_number(w->b, f, value);
	}
}

/* --- fields in declaration order ---------------------------------------------------- */

static bool grow(struct writer *w)
{
	size_t cap = w->cap * 2;
	struct occurrence *p = realloc(w->grown, cap * sizeof *p);

	if (!p)
		return fail(w, ERR_NOMEM, "out of memory", STR("json"));
	if (!w->grown)
		memcpy(p, w->occurrences, w->used * sizeof *p);
	w->occurrences = w->grown = p;
	w->cap = cap;
	return true;
}

/* A packed field is one LEN of many values; both forms may come for any repeated scalar. */
static bool type_fits(const struct schema_field *f, enum wire_type type)
{
	return type == (enum wire_type)f->wire_type ||
	       (type == WIRE_LEN && f->repeated && f->wire_type != WIRE_LEN);
}

/* Sorts the fields of @message into @chains, one for each field of @m. */
static bool index_fields(struct writer *w, const struct schema_message *m, struct str message,
			 struct chain *chains)
{
	struct wire_reader r = wire_reader_of(message);
	struct wire_field wf;

	while (wire_next(&r, &wf)) {
		const struct schema_field *f = schema_field_numbered(m, wf.number);
		if (!f || !type_fits(f, wf.type))
			continue;
		for (size_t i = 0; i < f->oneof_count; i++) /* the last member of a oneof wins */
			if (f->oneof_first + i != f->index)
				chains[f->oneof_first + i] = (struct chain){ 0, 0 };
		if (w->used == w->cap && !grow(w))
			return false;
		struct chain *c = &chains[f->index];
		uint32_t place = (uint32_t)++w->used;
		w->occurrences[place - 1] =
			(struct occurrence){ wf.bytes, wf.value, (uint8_t)wf.type, 0 };
		if (c->head)
			w->occurrences[c->tail - 1].next = place;
		else
			c->head = place;
		c->tail = place;
	}
	return r.bad ? fail(w, ERR_PARSE, "malformed protobuf bytes", m->name) : true;
}

static bool put_packed(struct writer *w, const struct schema_field *f, struct str bytes, bool first)
{
	struct buf one = buf_fixed((char[32]){ 0 }, 32);

	/* Each value becomes a field of its own again, so that there is one reader for all. */
	while (bytes.len) {
		size_t n = f->wire_type == WIRE_I64 ? 8 : f->wire_type == WIRE_I32 ? 4 : 1;
		while (f->wire_type == WIRE_VARINT && n < bytes.len && n < 10 &&
		       (uint8_t)bytes.p[n - 1] >= 0x80)
			n++;
		buf_reset(&one);
		wire_put_tag(&one, 1, (enum wire_type)f->wire_type);
		buf_put(&one, bytes.p, n < bytes.len ? n : bytes.len);
		struct wire_reader r = wire_reader_of(buf_str(&one));
		struct wire_field wf;
		if (n > bytes.len || !wire_next(&r, &wf))
			return fail(w, ERR_PARSE, "malformed packed values", f->name);
		if (!first)
			buf_char(w->b, ',');
		first = false;
		put_number(w->b, f, wf.value);
		bytes = str_from(bytes, n);
	}
	return true;
}

static void put_list(struct writer *w, const struct schema_field *f, struct chain c)
{
	bool first = true;

	buf_char(w->b, '[');
	for (uint32_t at = c.head; at && w->code == ERR_OK;) {
		const struct occurrence o = w->occurrences[at - 1]; /* a copy: the array may move */
		if (o.wire_type != f->wire_type) {
			(void)put_packed(w, f, o.bytes, first);
			first = first && !o.bytes.len;
		} else {
			if (!first)
				buf_char(w->b, ',');
			first = false;
			put_value(w, f, o.bytes, o.value);
		}
		at = o.next;
	}
	buf_char(w->b, ']');
}

/* A map, keys as they come; they are strings in every message here. */
static void put_map(struct writer *w, const struct schema_field *f, struct chain c)
{
	const struct schema_field *value = schema_field_numbered(f->message, 2);

	buf_char(w->b, '{');
	for (uint32_t at = c.head; at && value && w->code == ERR_OK;) {
		const struct occurrence o = w->occurrences[at - 1];
		struct wire_reader r = wire_reader_of(o.bytes);
		struct wire_field wf;
		struct str key = STR(""), bytes = STR("");
		uint64_t number = 0;
		while (wire_next(&r, &wf)) {
			if (wf.number == 1 && wf.type == WIRE_LEN)
				key = wf.bytes;
			else if (wf.number == 2 && type_fits(value, wf.type)) {
				bytes = wf.bytes;
				number = wf.value;
			}
		}
		if (r.bad)
			(void)fail(w, ERR_PARSE, "malformed protobuf bytes", f->name);
		if (at != c.head)
			buf_char(w->b, ',');
		json_put_string(w->b, key);
		buf_char(w->b, ':');
		put_value(w, value, bytes, number);
		at = o.next;
	}
	buf_char(w->b, '}');
}

/* A message that came in several pieces is their concatenation: protobuf's rule for merging. */
static void put_merged(struct writer *w, const struct schema_field *f, struct chain c)
{
	AUTO_BUF struct buf whole = buf_init(SIZE_MAX);

	for (uint32_t at = c.head; at; at = w->occurrences[at - 1].next)
		buf_str_put(&whole, w->occurrences[at - 1].bytes);
	if (whole.failed)
		(void)fail(w, ERR_NOMEM, "out of memory", f->name);
	else
		put_value(w, f, buf_str(&whole), 0);
}

static bool list_is_empty(const struct writer *w, const struct schema_field *f, struct chain c)
{
	for (uint32_t at = c.head; at; at = w->occurrences[at - 1].next)
		if (w->occurrences[at - 1].wire_type == f->wire_type ||
		    w->occurrences[at - 1].bytes.len)
			return false;
	return true;
}

/* True if JSON shows the field: proto3 leaves out zeros of scalars that do not tell zero from
 * absent. */
static bool field_is_shown(const struct writer *w, const struct schema_field *f, struct chain c)
{
	if (!c.head)
		return false;
	if (f->repeated)
		return !list_is_empty(w, f, c);
	if (f->has_presence)
		return true;
	const struct occurrence *last = &w->occurrences[c.tail - 1];
	return f->wire_type == WIRE_LEN ? last->bytes.len > 0 : number_is_set(f, last->value);
}

static void put_field(struct writer *w, const struct schema_field *f, struct chain c)
{
	buf_str_put(w->b, f->key);
	if (f->repeated && f->message && f->message->is_map_entry) {
		put_map(w, f, c);
	} else if (f->repeated) {
		put_list(w, f, c);
	} else if (f->type == SCHEMA_MESSAGE && c.head != c.tail) {
		put_merged(w, f, c);
	} else {
		const struct occurrence o = w->occurrences[c.tail - 1];
		put_value(w, f, o.bytes, o.value);
	}
}

/* The members of @message, without braces. @first: nothing stands before them. */
static void put_members(struct writer *w, const struct schema_message *m, struct str message,
			bool first)
{
	struct chain chains[SCHEMA_MAX_FIELDS];
	size_t base = w->used;

	memset(chains, 0, m->field_count * sizeof *chains);
	if (index_fields(w, m, message, chains))
		for (size_t i = 0; i < m->field_count && w->code == ERR_OK; i++) {
			if (!field_is_shown(w, &m->fields[i], chains[i]))
				continue;
			if (!first)
				buf_char(w->b, ',');
			first = false;
			put_field(w, &m->fields[i], chains[i]);
		}
	w->used = base;
}

/* --- well-known types --------------------------------------------------------------- */

/* Fields 1 and 2 of Timestamp and Duration. */
static bool read_seconds(struct writer *w, const struct schema_message *m, struct str message,
			 int64_t *ret_s, int32_t *ret_ns)
{
	struct wire_reader r = wire_reader_of(message);
	struct wire_field wf;
	int64_t s = 0;
	int32_t ns = 0;

	while (wire_next(&r, &wf)) {
		if (wf.number == 1 && wf.type == WIRE_VARINT)
			s = (int64_t)wf.value;
		else if (wf.number == 2 && wf.type == WIRE_VARINT)
			ns = (int32_t)wf.value;
	}
	*ret_s = s;
	*ret_ns = ns;
	return r.bad ? fail(w, ERR_PARSE, "malformed protobuf bytes", m->name) : true;
}

static void put_timestamp(struct writer *w, const struct schema_message *m, struct str message)
{
	struct timestamp t;

	if (!read_seconds(w, m, message, &t.s, &t.ns))
		return;
	if (t.s < TIMESTAMP_MIN_S || t.s > TIMESTAMP_MAX_S || t.ns < 0 ||
	    t.ns >= (int32_t)NS_PER_S) {
		(void)fail(w, ERR_PARSE, "out of range", m->name);
		return;
	}
	buf_char(w->b, '"');
	timestamp_put(w->b, t);
	buf_char(w->b, '"');
}

static void put_duration(struct writer *w, const struct schema_message *m, struct str message)
{
	const int64_t max_s = INT64_C(315576000000); /* 10,000 years: duration.proto */
	int64_t s;
	int32_t ns;

	if (!read_seconds(w, m, message, &s, &ns))
		return;
	if (s < -max_s || s > max_s || ns <= -(int32_t)NS_PER_S || ns >= (int32_t)NS_PER_S ||
	    (s > 0 && ns < 0) || (s < 0 && ns > 0)) {
		(void)fail(w, ERR_PARSE, "out of range", m->name);
		return;
	}
	uint32_t fraction = (uint32_t)abs(ns);
	buf_printf(w->b, "\"%s%lld", s < 0 || ns < 0 ? "-" : "", (long long)llabs(s));
	if (fraction % 1000)
		buf_printf(w->b, ".%09u", fraction);
	else if (fraction % 1000000)
		buf_printf(w->b, ".%06u", fraction / 1000);
	else if (fraction)
		buf_printf(w->b, ".%03u", fraction / 1000000);
	buf_lit(w->b, "s\"");
}

static void put_wrapper(struct writer *w, const struct schema_message *m, struct str message)
{
	const struct schema_field *f = schema_field_numbered(m, 1);
	struct wire_reader r = wire_reader_of(message);
	struct wire_field wf;
	struct str bytes = STR("");
	uint64_t value = 0;

	while (wire_next(&r, &wf))
		if (wf.number == 1 && wf.type == (enum wire_type)f->wire_type) {
			bytes = wf.bytes;
			value = wf.value;
		}
	if (r.bad)
		(void)fail(w, ERR_PARSE, "malformed protobuf bytes", m->name);
	else
		put_value(w, f, bytes, value);
}

/* Paths joined with commas, each in lowerCamelCase. */
static void put_field_mask(struct writer *w, const struct schema_message *m, struct str message)
{
	struct wire_reader r = wire_reader_of(message);
	struct wire_field wf;
	bool first = true;
	AUTO_BUF struct buf paths = buf_init(SIZE_MAX);

	while (wire_next(&r, &wf)) {
		if (wf.number != 1 || wf.type != WIRE_LEN)
			continue;
		if (!first)
			buf_char(&paths, ',');
		first = false;
		for (size_t i = 0; i < wf.bytes.len; i++) {
			char c = wf.bytes.p[i];
			char next = i + 1 < wf.bytes.len ? wf.bytes.p[i + 1] : '\0';
			if (c == '_' && next >= 'a' && next <= 'z') {
				buf_char(&paths, (char)(next - 'a' + 'A'));
				i++;
			} else {
				buf_char(&paths, c);
			}
		}
	}
	if (r.bad)
		(void)fail(w, ERR_PARSE, "malformed protobuf bytes", m->name);
	else
		json_put_string(w->b, buf_str(&paths));
}

/* {"@type":…, the members of the message within}; special messages stand under "value". A message
 * whose type is not known here is shown as its bytes in base64 (the reference refuses to print it
 * at all). */
static void put_any(struct writer *w, const struct schema_message *m, struct str message)
{
	struct wire_reader r = wire_reader_of(message);
	struct wire_field wf;
	struct str url = STR(""), value = STR("");

	while (wire_next(&r, &wf)) {
		if (wf.number == 1 && wf.type == WIRE_LEN)
			url = wf.bytes;
		else if (wf.number == 2 && wf.type == WIRE_LEN)
			value = wf.bytes;
	}
	if (r.bad) {
		(void)fail(w, ERR_PARSE, "malformed protobuf bytes", m->name);
		return;
	}
	if (!url.len && !value.len) {
		buf_lit(w->b, "{}");
		return;
	}
	size_t slash = str_find_last(url, '/');
	const struct schema_message *inner =
		schema_find(str_from(url, slash < url.len ? slash + 1 : 0));
	buf_lit(w->b, "{\"@type\":");
	json_put_string(w->b, url);
	if (!inner) {
		buf_lit(w->b, ",\"value\":");
		put_base64(w->b, value);
	} else if (inner->special != SCHEMA_PLAIN) {
		buf_lit(w->b, ",\"value\":");
		put_message(w, inner, value);
	} else {
		put_members(w, inner, value, false);
	}
	buf_char(w->b, '}');
}

static void put_message(struct writer *w, const struct schema_message *m, struct str message)
{
	if (w->depth == MAX_DEPTH) {
		(void)fail(w, ERR_PARSE, "nested too deep", m->name);
		return;
	}
	w->depth++;
	switch (m->special) {
	case SCHEMA_PLAIN:
	case SCHEMA_EMPTY:
		buf_char(w->b, '{');
		put_members(w, m, message, true);
		buf_char(w->b, '}');
		break;
	case SCHEMA_TIMESTAMP:
		put_timestamp(w, m, message);
		break;
	case SCHEMA_DURATION:
		put_duration(w, m, message);
		break;
	case SCHEMA_WRAPPER:
		put_wrapper(w, m, message);
		break;
	case SCHEMA_ANY:
		put_any(w, m, message);
		break;
	case SCHEMA_FIELD_MASK:
		put_field_mask(w, m, message);
		break;
	}
	w->depth--;
}

enum err_code json_put_message(struct buf *b, const ProtobufCMessageDescriptor *desc,
			       struct str message, struct err *e)
{
	const struct schema_message *m = schema_find(str_of(desc->name));
	struct occurrence few[FEW_OCCURRENCES];
	struct writer w = { .b = b, .e = e, .occurrences = few, .cap = FEW_OCCURRENCES };
	size_t start = b->len;

	if (!m)
		return err_set(e, ERR_NOMEM, "no schema of %s", desc->name);
	put_message(&w, m, message);
	free(w.grown);
	if (w.code != ERR_OK)
		b->len = start;
	else if (b->failed)
		return err_set(e, ERR_NOMEM, "%s as JSON: too long", desc->name);
	return w.code;
}

/* --- several lines ------------------------------------------------------------------ */

static void put_line_start(struct buf *b, const char *prefix, const char *indent, unsigned depth)
{
	buf_char(b, '\n');
	buf_str_put(b, str_of(prefix));
	for (unsigned i = 0; i < depth; i++)
		buf_str_put(b, str_of(indent));
}

/* Go's json.Indent of our own, blank-free JSON. */
static void put_indented(struct buf *b, struct str json, const char *prefix, const char *indent)
{
	unsigned depth = 0;

	for (size_t i = 0; i < json.len; i++) {
		char c = json.p[i], next = i + 1 < json.len ? json.p[i + 1] : '\0';
		if (c == '"') {
			size_t from = i++;
			while (json.p[i] != '"')
				i += json.p[i] == '\\' ? 2 : 1;
			buf_put(b, json.p + from, i + 1 - from);
		} else if ((c == '{' && next == '}') || (c == '[' && next == ']')) {
			buf_put(b, json.p + i++, 2);
		} else if (c == '{' || c == '[') {
			buf_char(b, c);
			put_line_start(b, prefix, indent, ++depth);
		} else if (c == '}' || c == ']') {
			put_line_start(b, prefix, indent, --depth);
			buf_char(b, c);
		} else {
			buf_char(b, c);
			if (c == ':')
				buf_char(b, ' ');
			else if (c == ',')
				put_line_start(b, prefix, indent, depth);
		}
	}
}

enum err_code json_put_message_indented(struct buf *b, const ProtobufCMessageDescriptor *desc,
					struct str message, const char *prefix, const char *indent,
					struct err *e)
{
	AUTO_BUF struct buf line = buf_init(SIZE_MAX);

	if (json_put_message(&line, desc, message, e) != ERR_OK)
		return err_in(e, "indented JSON");
	put_indented(b, buf_str(&line), prefix, indent);
	return b->failed ? err_set(e, ERR_NOMEM, "%s as JSON: too long", desc->name) : ERR_OK;
}
