#include "flow/json.h"

#include <math.h>

#include "base/time.h"
#include "flow/json_token.h"
#include "flow/schema.h"
#include "flow/wire.h"

/*
 * Messages within messages, each a recursion. The reference allows 10,000; our types end after six,
 * only an Any goes on, and 100 is where protobuf itself stops by default. Unknown values nest to
 * the reference's limit: they need no stack.
 */
enum { MAX_MESSAGES = 100 };

struct reader {
	struct lexer x;
	struct buf *out;
	bool reject_unknown;
	bool unknown;   /* the fault is one that !reject_unknown forgives */
	unsigned depth; /* messages open */
};

static bool read_message(struct reader *r, const struct schema_message *m);

/* --- what a value may be ------------------------------------------------------------ */

static const char *type_name(const struct schema_field *f)
{
	static const char *const names[] = {
		[SCHEMA_DOUBLE] = "double",     [SCHEMA_FLOAT] = "float",
		[SCHEMA_INT64] = "int64",       [SCHEMA_UINT64] = "uint64",
		[SCHEMA_INT32] = "int32",       [SCHEMA_FIXED64] = "fixed64",
		[SCHEMA_FIXED32] = "fixed32",   [SCHEMA_BOOL] = "bool",
		[SCHEMA_STRING] = "string",     [SCHEMA_MESSAGE] = "message",
		[SCHEMA_BYTES] = "bytes",       [SCHEMA_UINT32] = "uint32",
		[SCHEMA_ENUM] = "enum",         [SCHEMA_SFIXED32] = "sfixed32",
		[SCHEMA_SFIXED64] = "sfixed64", [SCHEMA_SINT32] = "sint32",
		[SCHEMA_SINT64] = "sint64",
	};
	return f->type < ARRAY_LEN(names) && names[f->type] ? names[f->type] : "";
}

static bool bad_value(struct reader *r, const struct schema_field *f, const struct token *t)
{
	if (t->kind == TOKEN_BAD)
		return false;
	if (t->kind == TOKEN_END || t->kind == TOKEN_OBJECT_END || t->kind == TOKEN_ARRAY_END ||
	    t->kind == TOKEN_COMMA || t->kind == TOKEN_COLON)
		return token_unexpected(&r->x, t);
	return token_fault(&r->x, t->raw.p, "invalid value for %s field %.*s: %s", type_name(f),
			   STR_FMT(f->json_name), EXCERPT(t->raw));
}

/* The integer in @t, a number or a string that holds one, as 64-bit two's complement within [@min,
 * @max]. */
static bool integer_of(const struct token *t, int64_t min, uint64_t max, uint64_t *ret)
{
	struct str text = t->kind == TOKEN_NUMBER ? t->raw : t->text;
	uint64_t magnitude;
	bool negative;

	/* "1e" is a number that the scanner took because something followed: 1 */
	if (t->kind == TOKEN_NUMBER && (text.p[text.len - 1] | 0x20) == 'e')
		text.len--;
	if ((t->kind != TOKEN_NUMBER && t->kind != TOKEN_STRING) ||
	    !token_integer(text, &magnitude, &negative))
		return false;
	/* "5 " is refused, "5 6" is not: the reference trims, compares, and reads one token */
	if (t->kind == TOKEN_STRING && str_trim(t->text).len != t->text.len)
		return false;
	if (magnitude > (negative ? 0 - (uint64_t)min : max))
		return false;
	*ret = negative ? -magnitude : magnitude;
	return true;
}

static bool double_of(const struct token *t, bool is_float, double *ret)
{
	struct str text = t->kind == TOKEN_NUMBER ? t->raw : t->text;
	char z[400]; /* longer numbers are refused: no double needs so many digits */

	if (t->kind == TOKEN_STRING) {
		if (str_is(text, "NaN") || str_is(text, "Infinity") || str_is(text, "-Infinity")) {
			*ret = text.p[0] == 'N' ? (double)NAN : (double)INFINITY;
			*ret = text.p[0] == '-' ? -*ret : *ret;
			return true;
		}
		if (str_trim(text).len != text.len)
			return false;
	} else if (t->kind != TOKEN_NUMBER) {
		return false;
	}
	size_t length = token_number_length(text);
	/* "1e" is a number to the scanner, but to no reader of doubles */
	if (!length || length >= sizeof z || text.p[length - 1] < '0' || text.p[length - 1] > '9')
		return false;
	memcpy(z, text.p, length);
	z[length] = '\0';
	*ret = is_float ? (double)strtof(z, NULL) : strtod(z, NULL);
	return !isinf(*ret);
}

/* The number in @t as it goes on the wire: two's complement or zigzag for varints, bits for fixed
 * sizes. */
static bool number_of(const struct token *t, const struct schema_field *f, uint64_t *ret)
{
	uint64_t v = 0;
	double d;
	float single;
	uint32_t bits;

	switch ((enum schema_type)f->type) {
	case SCHEMA_BOOL:
		*ret = t->kind == TOKEN_TRUE;
		return t->kind == TOKEN_TRUE || t->kind == TOKEN_FALSE;
	case SCHEMA_INT32:
	case SCHEMA_SFIXED32:
		return integer_of(t, INT32_MIN, INT32_MAX, ret);
	case SCHEMA_UINT32:
	case SCHEMA_FIXED32:
		return integer_of(t, 0, UINT32_MAX, ret);
	case SCHEMA_INT64:
	case SCHEMA_SFIXED64:
		return integer_of(t, INT64_MIN, INT64_MAX, ret);
	case SCHEMA_UINT64:
	case SCHEMA_FIXED64:
		return integer_of(t, 0, UINT64_MAX, ret);
	case SCHEMA_SINT32:
	case SCHEMA_SINT64:
		if (!integer_of(t, f->type == SCHEMA_SINT32 ? INT32_MIN : INT64_MIN,
				f->type == SCHEMA_SINT32 ? INT32_MAX : INT64_MAX, &v))
			return false;
		*ret = v << 1 ^ -(v >> 63);
		return true;
	case SCHEMA_DOUBLE:
		if (!double_of(t, false, &d))
			return false;
		memcpy(ret, &d, sizeof *ret);
		return true;
	case SCHEMA_FLOAT:
		if (!double_of(t, true, &d))
			return false;
		single = (float)d;
		memcpy(&bits, &single, sizeof bits);
		*ret = bits;
		return true;
	default:
		return false;
	}
}

/* @return false with *@ret_skip when an unknown name is to be passed over in silence. */
static bool enum_of(struct reader *r, const struct token *t, const struct schema_field *f,
		    uint64_t *ret, bool *ret_skip)
{
	int32_t number;

	if (t->kind == TOKEN_NUMBER)
		return integer_of(t, INT32_MIN, INT32_MAX, ret);
	if (t->kind != TOKEN_STRING || !f->enumeration)
		return false;
	if (schema_enum_number(f->enumeration, t->text, &number)) {
		*ret = (uint64_t)(int64_t)number;
		return true;
	}
	*ret_skip = !r->reject_unknown;
	r->unknown = r->reject_unknown;
	return false;
}

static void put_fixed(struct buf *b, uint64_t v, size_t bytes)
{
	char text[8];

	for (size_t i = 0; i < bytes; i++)
		text[i] = (char)(v >> (8 * i));
	buf_put(b, text, bytes);
}

static void put_number(struct buf *b, const struct schema_field *f, uint64_t v)
{
	if (f->wire_type == WIRE_VARINT)
		wire_put_varint(b, v);
	else
		put_fixed(b, v, f->wire_type == WIRE_I64 ? 8 : 4);
}

static char *varint_to(char *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (char)(v | 0x80);
	*p++ = (char)v;
	return p;
}

/* As wire_put_len, for text that may lie in the room behind the end of @b. */
static void put_text(struct buf *b, uint32_t number, struct str s)
{
	char head[TOKEN_HEAD_BYTES] = { 0 };
	size_t head_len =
		(size_t)(varint_to(varint_to(head, (uint64_t)number << 3 | WIRE_LEN), s.len) -
			 head);
	/* then the lexer has reserved enough */
	bool inside = b->p && s.p >= b->p && s.p < b->p + b->cap;
	char *to = inside ? b->p + b->len : buf_reserve(b, sizeof head + s.len);
	if (!to)
		return;
	memcpy(to, head, sizeof head); /* whole: text within begins behind it */
	memmove(to + head_len, s.p, s.len);
	b->len += head_len + s.len;
}

/* Base64 in either alphabet, padded or not. */
static bool put_bytes(struct buf *b, uint32_t number, struct str s)
{
	size_t mark = wire_begin(b, number);
	uint32_t v = 0;
	size_t count = 0, length = s.len;

	while (length && s.p[length - 1] == '=')
		length--;
	if (s.len != length && (s.len % 4 || s.len - length > 2))
		return false;
	for (size_t i = 0; i < length; i++) {
		char c = s.p[i];
		uint32_t digit = c >= 'A' && c <= 'Z'   ? (uint32_t)(c - 'A')
				 : c >= 'a' && c <= 'z' ? (uint32_t)(c - 'a' + 26)
				 : c >= '0' && c <= '9' ? (uint32_t)(c - '0' + 52)
				 : c == '+' || c == '-' ? 62
				 : c == '/' || c == '_' ? 63
							: 64;
		if (digit == 64)
			return false;
		v = v << 6 | digit;
		count++;
		if (count % 4 == 0) {
			buf_char(b, (char)(v >> 16));
			buf_char(b, (char)(v >> 8));
			buf_char(b, (char)v);
		}
	}
	if (count % 4 == 1)
		return false;
	if (count % 4 == 2)
		buf_char(b, (char)(v >> 4));
	if (count % 4 == 3) {
		buf_char(b, (char)(v >> 10));
		buf_char(b, (char)(v >> 2));
	}
	wire_end(b, mark);
	return true;
}

/* A scalar that is one field. Zeros stay away where proto3 does not tell them from absence. @list:
 * it is an element. */
static bool read_scalar(struct reader *r, const struct schema_field *f, bool list)
{
	struct token t = token_next(&r->x);
	bool always = list || f->has_presence;
	uint64_t v = 0;

	if (f->type == SCHEMA_STRING) {
		if (t.kind != TOKEN_STRING)
			return bad_value(r, f, &t);
		if (t.text.len || always)
			put_text(r->out, f->number, t.text);
		return true;
	}
	if (f->type == SCHEMA_BYTES) {
		/* a copy: writing overwrites resolved text */
		AUTO_BUF struct buf copy = buf_init(SIZE_MAX);
		if (t.kind != TOKEN_STRING)
			return bad_value(r, f, &t);
		buf_str_put(&copy, t.text);
		if (!t.text.len && !always)
			return true;
		return put_bytes(r->out, f->number, buf_str(&copy)) || bad_value(r, f, &t);
	}
	if (f->type == SCHEMA_ENUM) {
		bool skip = false;
		if (!enum_of(r, &t, f, &v, &skip))
			return skip || bad_value(r, f, &t);
	} else if (!number_of(&t, f, &v)) {
		return bad_value(r, f, &t);
	}
	if (!v && !always)
		return true;
	wire_put_tag(r->out, f->number, (enum wire_type)f->wire_type);
	put_number(r->out, f, v);
	return true;
}

/* --- fields ------------------------------------------------------------------------- */

/* Numbers, packed. */
static bool read_packed(struct reader *r, const struct schema_field *f)
{
	size_t start = r->out->len, mark = wire_begin(r->out, f->number);

	do {
		struct token t = token_next(&r->x);
		uint64_t v = 0;
		bool skip = false;
		if (f->type == SCHEMA_ENUM ? enum_of(r, &t, f, &v, &skip) : number_of(&t, f, &v))
			put_number(r->out, f, v);
		else if (!skip)
			return bad_value(r, f, &t);
	} while (token_peek(&r->x) == TOKEN_COMMA && token_expect(&r->x, TOKEN_COMMA));
	if (r->out->len == mark)
		r->out->len = start; /* nothing but unknown names */
	else
		wire_end(r->out, mark);
	return token_expect(&r->x, TOKEN_ARRAY_END);
}

static bool read_submessage(struct reader *r, const struct schema_field *f)
{
	size_t mark = wire_begin(r->out, f->number);

	if (!f->message || !read_message(r, f->message))
		return false;
	wire_end(r->out, mark);
	return true;
}

static bool read_list(struct reader *r, const struct schema_field *f)
{
	if (!token_expect(&r->x, TOKEN_ARRAY))
		return false;
	if (token_peek(&r->x) == TOKEN_ARRAY_END)
		return token_expect(&r->x, TOKEN_ARRAY_END);
	if (f->wire_type != WIRE_LEN)
		return read_packed(r, f);
	do {
		if (f->type == SCHEMA_MESSAGE ? !read_submessage(r, f) : !read_scalar(r, f, true))
			return false;
	} while (token_peek(&r->x) == TOKEN_COMMA && token_expect(&r->x, TOKEN_COMMA));
	return token_expect(&r->x, TOKEN_ARRAY_END);
}

/* Maps have string keys in every message here. */
static bool read_map(struct reader *r, const struct schema_field *f)
{
	const struct schema_field *value = schema_field_numbered(f->message, 2);

	if (!token_expect(&r->x, TOKEN_OBJECT))
		return false;
	if (token_peek(&r->x) == TOKEN_OBJECT_END)
		return token_expect(&r->x, TOKEN_OBJECT_END);
	do {
		size_t mark = wire_begin(r->out, f->number);
		struct token key = token_next(&r->x);
		if (key.kind != TOKEN_STRING)
			return token_unexpected(&r->x, &key);
		put_text(r->out, 1, key.text);
		if (!token_expect(&r->x, TOKEN_COLON))
			return false;
		if (value->type == SCHEMA_MESSAGE ? !read_submessage(r, value)
						  : !read_scalar(r, value, true))
			return false;
		wire_end(r->out, mark);
	} while (token_peek(&r->x) == TOKEN_COMMA && token_expect(&r->x, TOKEN_COMMA));
	return token_expect(&r->x, TOKEN_OBJECT_END);
}

static bool read_unknown(struct reader *r, const struct token *name)
{
	if (!r->reject_unknown)
		return token_skip_value(&r->x, TOKEN_MAX_DEPTH - r->depth);
	r->unknown = true;
	return token_fault(&r->x, name->raw.p, "unknown field %s", EXCERPT(name->raw));
}

/* Fields and oneofs of one message that have been seen, a bit for each by its place. */
struct seen {
	uint64_t fields, oneofs;
	uint32_t last; /* number of the field */
	bool unsorted; /* one came behind a greater one */
};

/* The value of @f, after the colon. */
static bool read_field(struct reader *r, const struct schema_field *f, struct str name,
		       struct seen *seen)
{
	uint64_t bit = UINT64_C(1) << f->index;

	if (seen->fields & bit)
		return token_fault(&r->x, name.p, "duplicate field %.*s", STR_FMT(name));
	seen->fields |= bit;
	seen->unsorted |= f->number < seen->last;
	seen->last = f->number;
	if (token_peek(&r->x) == TOKEN_NULL) {
		struct token t = token_next(&r->x);
		return t.kind == TOKEN_NULL;
	}
	if (f->repeated)
		return f->message && f->message->is_map_entry ? read_map(r, f) : read_list(r, f);
	if (f->oneof_count) {
		bit = UINT64_C(1) << f->oneof_first;
		if (seen->oneofs & bit)
			return token_fault(&r->x, name.p,
					   "error parsing %.*s, oneof %.*s is already set",
					   STR_FMT(name), STR_FMT(f->oneof_name));
		seen->oneofs |= bit;
	}
	return f->type == SCHEMA_MESSAGE ? read_submessage(r, f) : read_scalar(r, f, false);
}

/*
 * The field whose key comes next, consumed with its colon: most writers keep declaration order and
 * put no blanks, so it is one of those behind field @from, and comparing is much less work than
 * reading a token and looking it up. NULL: it has to be read; nothing was consumed.
 */
static const struct schema_field *field_ahead(struct lexer *x, const struct schema_message *m,
					      size_t from, struct str *ret_name)
{
	enum { LOOK_AHEAD = 8 };
	struct str rest = str_n(x->p, (size_t)(x->end - x->p));
	size_t end = from + LOOK_AHEAD < m->field_count ? from + LOOK_AHEAD : m->field_count;

	for (size_t i = from; i < end; i++) {
		struct str key = m->fields[i].key; /* `"name":` */
		/* two letters tell most names apart */
		if (key.len > rest.len || key.p[1] != rest.p[1] || key.p[2] != rest.p[2] ||
		    memcmp(key.p, rest.p, key.len) != 0)
			continue;
		x->p += key.len;
		*ret_name = str_upto(rest, key.len - 1);
		return &m->fields[i];
	}
	return NULL;
}

/* The next member of an object, name and value. @in_any: "@type" is known already and is passed
 * over. *@from is where the next field is likely to be. */
static bool read_member(struct reader *r, const struct schema_message *m, bool in_any,
			struct seen *seen, size_t *from)
{
	struct str raw;
	const struct schema_field *f = field_ahead(&r->x, m, *from, &raw);

	if (f) {
		*from = (size_t)f->index + 1;
		return read_field(r, f, raw, seen);
	}
	struct token name = token_next(&r->x);
	if (name.kind != TOKEN_STRING)
		return token_unexpected(&r->x, &name);
	/* the field is looked up now: an escaped name does not outlive the next token */
	f = schema_field_named(m, name.text);
	bool is_type = in_any && str_is(name.text, "@type");
	if (!token_expect(&r->x, TOKEN_COLON))
		return false;
	if (is_type)
		return token_expect(&r->x, TOKEN_STRING);
	if (!f)
		return read_unknown(r, &name);
	*from = (size_t)f->index + 1;
	return read_field(r, f, name.raw, seen);
}

/* The members of an object that is open. */
static bool read_members(struct reader *r, const struct schema_message *m, bool in_any)
{
	struct seen seen = { 0 };
	size_t from = 0, start = r->out->len;

	if (token_peek(&r->x) == TOKEN_OBJECT_END)
		return token_expect(&r->x, TOKEN_OBJECT_END);
	do {
		if (!read_member(r, m, in_any, &seen, &from))
			return false;
	} while (token_peek(&r->x) == TOKEN_COMMA && token_expect(&r->x, TOKEN_COMMA));
	if (!token_expect(&r->x, TOKEN_OBJECT_END))
		return false;
	if (seen.unsorted)
		wire_sort(r->out, start);
	return true;
}

/* --- well-known types --------------------------------------------------------------- */

/* A string token, or the fault that it is none. */
static bool read_string(struct reader *r, struct token *ret)
{
	*ret = token_next(&r->x);
	return ret->kind == TOKEN_STRING || token_unexpected(&r->x, ret);
}

static bool special_fault(struct reader *r, const struct schema_message *m, const struct token *t)
{
	return token_fault(&r->x, t->raw.p, "invalid %.*s value %s", STR_FMT(m->name),
			   EXCERPT(t->raw));
}

/* More than nine digits after a point are refused, after a comma they are not: the reference looks
 * for the point. */
static bool is_too_fine(struct str s)
{
	size_t point = str_find_last(s, '.'), zone = s.len;

	while (zone && !strchr("Z-+", s.p[zone - 1]))
		zone--;
	return point < s.len && zone > point + 11;
}

static bool read_timestamp(struct reader *r, const struct schema_message *m)
{
	struct token t;
	struct timestamp at;

	if (!read_string(r, &t))
		return false;
	if (!timestamp_parse_lax(t.text, &at) || is_too_fine(t.text))
		return special_fault(r, m, &t);
	wire_put_u64(r->out, 1, (uint64_t)at.s);
	wire_put_u64(r->out, 2, (uint64_t)at.ns);
	return true;
}

/* "-1.5s": digits, up to nine more after a point, and the unit; without digits at all it is 0. */
static bool parse_duration(struct str s, int64_t *ret_s, int32_t *ret_ns)
{
	bool negative = s.len && s.p[0] == '-';
	uint64_t seconds = 0, ns = 0;

	if (negative)
		s = str_from(s, 1);
	else if (s.len && s.p[0] == '+')
		s = str_from(s, 1);
	if (!s.len || s.p[s.len - 1] != 's')
		return false;
	s.len--;
	size_t point = str_find(s, '.');
	struct str whole = str_upto(s, point), fraction = str_from(s, point + 1);
	if ((!whole.len && point == s.len) || fraction.len > 9)
		return false;
	if ((whole.len > 1 && whole.p[0] == '0') ||
	    (whole.len && !parse_u64(whole, UINT64_C(315576000000), &seconds)))
		return false;
	if (fraction.len && !parse_u64(fraction, UINT32_MAX, &ns))
		return false;
	for (size_t i = fraction.len; i < 9; i++)
		ns *= 10;
	*ret_s = negative ? -(int64_t)seconds : (int64_t)seconds;
	*ret_ns = negative ? -(int32_t)ns : (int32_t)ns;
	return true;
}

static bool read_duration(struct reader *r, const struct schema_message *m)
{
	struct token t;
	int64_t s;
	int32_t ns;

	if (!read_string(r, &t))
		return false;
	if (!parse_duration(t.text, &s, &ns))
		return special_fault(r, m, &t);
	wire_put_u64(r->out, 1, (uint64_t)s);
	wire_put_u64(r->out, 2, (uint64_t)(int64_t)ns);
	return true;
}

/* "a.bC,d": paths in lowerCamelCase. */
static bool read_field_mask(struct reader *r, const struct schema_message *m)
{
	struct token t;
	struct str path;
	AUTO_BUF struct buf paths = buf_init(SIZE_MAX); /* a copy, as for bytes */

	if (!read_string(r, &t))
		return false;
	buf_str_put(&paths, str_trim(t.text));
	for (struct str rest = buf_str(&paths); paths.len && str_split(&rest, ',', &path);) {
		size_t mark = wire_begin(r->out, 1);
		for (size_t i = 0; i < path.len; i++) {
			char c = path.p[i];
			bool upper = c >= 'A' && c <= 'Z';
			if (!(upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			      c == '.'))
				return special_fault(r, m, &t);
			if (upper)
				buf_char(r->out, '_');
			buf_char(r->out, upper ? (char)(c - 'A' + 'a') : c);
		}
		if (r->out->len == mark)
			return special_fault(r, m, &t);
		wire_end(r->out, mark);
	}
	return true;
}

/* The type of an Any whose object is open, read ahead; *@ret_inner is NULL for an empty object. */
static bool find_type(struct reader *r, struct str *ret_url,
		      const struct schema_message **ret_inner)
{
	const char *here = r->x.p;
	bool found = false, empty = true;

	*ret_inner = NULL;
	if (token_peek(&r->x) != TOKEN_OBJECT_END) {
		do {
			struct token t = token_next(&r->x);
			empty = false;
			if (t.kind != TOKEN_STRING)
				return token_unexpected(&r->x, &t);
			bool is_type = str_is(t.text, "@type");
			if (is_type && found)
				return token_fault(&r->x, t.raw.p, "duplicate \"@type\" field");
			if (!token_expect(&r->x, TOKEN_COLON))
				return false;
			if (!is_type) {
				if (!token_skip_value(&r->x, TOKEN_MAX_DEPTH - r->depth))
					return false;
				continue;
			}
			t = token_next(&r->x);
			if (t.kind == TOKEN_BAD)
				return false;
			if (t.kind != TOKEN_STRING)
				return token_fault(&r->x, t.raw.p,
						   "@type field value is not a string: %s",
						   EXCERPT(t.raw));
			if (!t.text.len)
				return token_fault(&r->x, t.raw.p,
						   "@type field contains empty value");
			size_t slash = str_find_last(t.text, '/');
			*ret_inner =
				schema_find(str_from(t.text, slash < t.text.len ? slash + 1 : 0));
			if (!*ret_inner)
				return token_fault(&r->x, t.raw.p,
						   "unable to resolve %s: \"not found\"",
						   EXCERPT(t.raw));
			*ret_url = t.raw; /* resolved again when it is written */
			found = true;
		} while (token_peek(&r->x) == TOKEN_COMMA && token_expect(&r->x, TOKEN_COMMA));
	}
	if (!token_expect(&r->x, TOKEN_OBJECT_END))
		return false;
	if (!found && !empty) {
		if (r->reject_unknown) {
			r->unknown = true;
			return token_fault(&r->x, here - 1, "missing \"@type\" field");
		}
		return true; /* all of it is unknown: as if it were empty */
	}
	if (found)
		r->x.p = here;
	return true;
}

/* {"@type":…, "value":…} of a message whose JSON is no object of fields. The object is open. */
static bool read_any_value(struct reader *r, const struct schema_message *inner)
{
	bool found = false;

	do {
		struct token name = token_next(&r->x);
		if (name.kind != TOKEN_STRING)
			return token_unexpected(&r->x, &name);
		bool is_type = str_is(name.text, "@type"), is_value = str_is(name.text, "value");
		if (!token_expect(&r->x, TOKEN_COLON))
			return false;
		if (is_value && found)
			return token_fault(&r->x, name.raw.p, "duplicate \"value\" field");
		if (is_type    ? !token_expect(&r->x, TOKEN_STRING)
		    : is_value ? !read_message(r, inner)
			       : !read_unknown(r, &name))
			return false;
		found |= is_value;
	} while (token_peek(&r->x) == TOKEN_COMMA && token_expect(&r->x, TOKEN_COMMA));
	if (!token_expect(&r->x, TOKEN_OBJECT_END))
		return false;
	return found || inner->special == SCHEMA_EMPTY ||
	       token_fault(&r->x, r->x.p - 1, "missing \"value\" field");
}

static bool read_any(struct reader *r)
{
	const struct schema_message *inner;
	struct str url = STR("");

	if (!token_expect(&r->x, TOKEN_OBJECT))
		return false;
	if (!find_type(r, &url, &inner))
		return false;
	if (!inner)
		return true;
	struct lexer again = { .p = url.p, .end = url.p + url.len, .start = url.p, .out = r->out };
	put_text(r->out, 1, token_next(&again).text);
	size_t start = r->out->len, mark = wire_begin(r->out, 2);
	if (inner->special == SCHEMA_PLAIN ? !read_members(r, inner, true)
					   : !read_any_value(r, inner))
		return false;
	if (r->out->len == mark)
		r->out->len = start;
	else
		wire_end(r->out, mark);
	return true;
}

static bool read_message(struct reader *r, const struct schema_message *m)
{
	bool ok = false;

	if (r->depth == MAX_MESSAGES) {
		r->x.code = err_set(r->x.e, ERR_PARSE, "proto: exceeded max recursion depth");
		return false;
	}
	r->depth++;
	switch (m->special) {
	case SCHEMA_PLAIN:
	case SCHEMA_EMPTY:
		ok = token_expect(&r->x, TOKEN_OBJECT) && read_members(r, m, false);
		break;
	case SCHEMA_TIMESTAMP:
		ok = read_timestamp(r, m);
		break;
	case SCHEMA_DURATION:
		ok = read_duration(r, m);
		break;
	case SCHEMA_WRAPPER:
		ok = read_scalar(r, schema_field_numbered(m, 1), false);
		break;
	case SCHEMA_ANY:
		ok = read_any(r);
		break;
	case SCHEMA_FIELD_MASK:
		ok = read_field_mask(r, m);
		break;
	}
	r->depth--;
	return ok;
}

/* --- entry points ------------------------------------------------------------------- */

/* @ret_used NULL: nothing but blanks may follow. */
static enum err_code read_object(struct str text, const ProtobufCMessageDescriptor *desc,
				 const struct json_options *options, struct buf *out,
				 size_t *ret_used, bool *ret_unknown, struct err *e)
{
	const struct schema_message *m = schema_find(str_of(desc->name));
	struct reader r = {
		.x = { .p = text.p, .end = text.p + text.len, .start = text.p, .out = out, .e = e },
		.out = out,
		.reject_unknown = options && options->reject_unknown,
	};
	size_t start = out->len;

	if (!m)
		return err_set(e, ERR_NOMEM, "no schema of %s", desc->name);
	bool ok = read_message(&r, m);
	if (ok && !ret_used) {
		struct token t = token_next(&r.x);
		ok = t.kind == TOKEN_END || token_unexpected(&r.x, &t);
	}
	if (ok && out->failed)
		r.x.code = err_set(e, ERR_NOMEM, "%s: message too long", desc->name);
	if (r.x.code != ERR_OK) {
		out->len = start;
		if (ret_unknown)
			*ret_unknown = r.unknown;
		return r.x.code;
	}
	if (ret_used)
		*ret_used = (size_t)(r.x.p - text.p);
	return ERR_OK;
}

enum err_code json_read_message(struct str text, const ProtobufCMessageDescriptor *desc,
				const struct json_options *options, struct buf *out,
				bool *ret_unknown, struct err *e)
{
	return read_object(text, desc, options, out, NULL, ret_unknown, e);
}

enum err_code json_read_prefix(struct str text, const ProtobufCMessageDescriptor *desc,
			       const struct json_options *options, struct buf *out,
			       size_t *ret_used, struct err *e)
{
	return read_object(text, desc, options, out, ret_used, NULL, e);
}
