#include "flow/json_token.h"

#include <stdarg.h>
#include <stdio.h>

#include "flow/swar.h"

/* --- faults ------------------------------------------------------------------------- */

/* Line and column (in characters) of @at, from 1. */
static void position_of(const struct lexer *x, const char *at, size_t *ret_line, size_t *ret_column)
{
	size_t line = 1, column = 1;

	for (const char *p = x->start; p < at; p++) {
		if (*p == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)*p & 0xc0) != 0x80) {
			column++;
		}
	}
	*ret_line = line;
	*ret_column = column;
}

static bool fault(struct lexer *x, const char *at, const char *kind, const char *what,
		  struct str detail)
{
	char shown[204];
	size_t line, column;

	if (x->code != ERR_OK)
		return false;
	position_of(x, at, &line, &column);
	x->code = err_set(x->e, ERR_PARSE, "proto: %s(line %zu:%zu): %s%s", kind, line, column,
			  what, str_excerpt(detail, shown, sizeof shown));
	return false;
}

bool token_fault(struct lexer *x, const char *at, const char *fmt, ...)
{
	char what[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	return fault(x, at, "", what, STR(""));
}

static bool fault_at_end(struct lexer *x)
{
	if (x->code == ERR_OK)
		x->code = err_set(x->e, ERR_PARSE, "proto: unexpected EOF");
	return false;
}

bool token_unexpected(struct lexer *x, const struct token *t)
{
	if (t->kind == TOKEN_BAD)
		return false;
	/* an end within something open is not a token but a missing rest */
	if (t->kind == TOKEN_END && x->start < x->end &&
	    memchr(x->start, '{', (size_t)(x->end - x->start)))
		return fault_at_end(x);
	return fault(x, t->raw.p, "syntax error ", "unexpected token ", t->raw);
}

/* --- strings ------------------------------------------------------------------------ */

/* First quote, backslash or control character from @p on. *@ret_ascii turns false at the first byte
 * beyond ASCII. */
static const char *string_stop(const char *p, const char *end, bool *ret_ascii)
{
	uint64_t high = 0;

	for (; end - p >= 8; p += 8) {
		uint64_t v = swar_load(p);
		uint64_t stops = swar_below(v, 0x20) | swar_equal(v, '"') | swar_equal(v, '\\');
		if (stops) {
			uint64_t before = (stops & -stops) - 1; /* all bits below the lowest mark */
			if ((high | (v & before)) & SWAR_HIGHS)
				*ret_ascii = false;
			return p + swar_first(stops);
		}
		high |= v & SWAR_HIGHS;
	}
	for (; p < end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\'; p++)
		high |= (unsigned char)*p & 0x80;
	if (high)
		*ret_ascii = false;
	return p;
}

static bool hex4(const char *p, const char *end, uint32_t *ret)
{
	uint32_t v = 0;

	if (end - p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		unsigned char c = (unsigned char)p[i];
		if (c >= '0' && c <= '9')
			v = v << 4 | (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			v = v << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	*ret = v;
	return true;
}

static size_t utf8_encode(uint32_t c, char *to)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3f));
	to[2] = (char)(0x80 | (c >> 6 & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* Resolves the escape at @p (a backslash). @return what follows it, NULL if it is none. */
static const char *unescape(const char *p, const char *end, char **to)
{
	static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
	uint32_t c, low;

	if (end - p < 2)
		return NULL;
	const char *letter = memchr(letters, p[1], sizeof letters - 1);
	if (letter) {
		*(*to)++ = values[letter - letters];
		return p + 2;
	}
	if (p[1] != 'u' || !hex4(p + 2, end, &c))
		return NULL;
	p += 6;
	if (c >= 0xd800 && c < 0xe000) {
		if (c >= 0xdc00 || end - p < 6 || p[0] != '\\' || p[1] != 'u' ||
		    !hex4(p + 2, end, &low) || low < 0xdc00 || low >= 0xe000)
			return NULL;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
		p += 6;
	}
	*to += utf8_encode(c, *to);
	return p;
}

static struct token bad(void)
{
	return (struct token){ .kind = TOKEN_BAD };
}

/* The string that begins at the lexer's place is none because of what stands at @at. */
static struct token string_fault(struct lexer *x, const char *at)
{
	char shown[8];

	if (at == x->end) {
		(void)fault_at_end(x);
	} else if (*at == '\\') {
		(void)fault(x, x->p, "syntax error ", "invalid escape code in string: ",
			    str_upto(str_n(at, (size_t)(x->end - at)), 6));
	} else {
		(void)snprintf(shown, sizeof shown, "\\x%02x", (unsigned char)*at);
		(void)fault(x, x->p, "syntax error ",
			    "invalid character in string: ", str_of(shown));
	}
	return bad();
}

static struct token utf8_fault(struct lexer *x)
{
	(void)fault(x, x->p, "syntax error ", "invalid UTF-8 in string", STR(""));
	return bad();
}

/* The rest of a string whose first backslash is at @p: resolved behind the end of out. */
static struct token escaped_string(struct lexer *x, const char *from, const char *p, bool ascii)
{
	/* The closing quote bounds what the escapes can yield; they only ever shrink. */
	const char *close = p;
	while (close < x->end && *close != '"')
		close += *close == '\\' ? 2 : 1;
	if (close >= x->end) {
		(void)fault_at_end(x);
		return bad();
	}
	char *room = buf_reserve(x->out, TOKEN_HEAD_BYTES + (size_t)(close - from));
	if (!room) {
		x->code = err_set(x->e, ERR_NOMEM, "message too long");
		return bad();
	}
	char *text = room + TOKEN_HEAD_BYTES, *to = text;
	for (const char *piece = from;; piece = p, p = string_stop(p, x->end, &ascii)) {
		memcpy(to, piece, (size_t)(p - piece));
		to += p - piece;
		if (p == x->end || (unsigned char)*p < 0x20)
			return string_fault(x, p);
		if (*p == '"')
			break;
		const char *next = unescape(p, x->end, &to);
		if (!next)
			return string_fault(x, p);
		p = next;
	}
	struct str s = str_n(text, (size_t)(to - text));
	if (!ascii && !utf8_is_valid(s))
		return utf8_fault(x);
	x->p = p + 1;
	return (struct token){ TOKEN_STRING, str_n(from - 1, (size_t)(p + 1 - (from - 1))), s };
}

static struct token string_token(struct lexer *x)
{
	const char *from = x->p + 1;
	bool ascii = true;
	const char *p = string_stop(from, x->end, &ascii);

	if (p == x->end || (unsigned char)*p < 0x20)
		return string_fault(x, p);
	if (*p == '\\')
		return escaped_string(x, from, p, ascii);
	struct str s = str_n(from, (size_t)(p - from));
	if (!ascii && !utf8_is_valid(s))
		return utf8_fault(x);
	x->p = p + 1;
	return (struct token){ TOKEN_STRING, str_n(from - 1, s.len + 2), s };
}

/* --- numbers and words -------------------------------------------------------------- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* True if @c would prolong a number or word. */
static bool is_word(char c)
{
	return c == '-' || c == '+' || c == '.' || c == '_' || is_digit(c) ||
	       ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static const char *skip_digits(const char *p, const char *end)
{
	while (p < end && is_digit(*p))
		p++;
	return p;
}

size_t token_number_length(struct str text)
{
	const char *p = text.p, *end = text.p + text.len, *from;

	if (p < end && *p == '-')
		p++;
	if (p == end || !is_digit(*p))
		return 0;
	p = *p == '0' ? p + 1 : skip_digits(p, end);
	if (p < end && *p == '.') {
		from = ++p;
		p = skip_digits(p, end);
		if (p == from)
			return 0;
	}
	/* no digit need follow the 'e': the reference's scanner, whose words decide */
	if (end - p >= 2 && (*p | 0x20) == 'e') {
		p++;
		if (*p == '+' || *p == '-')
			if (++p == end)
				return 0;
		p = skip_digits(p, end);
	}
	return p < end && is_word(*p) ? 0 : (size_t)(p - text.p);
}

/* Exponent of number text from @p on, of 32 bits; none at all is 0. */
static bool exponent_of(const char *p, const char *end, int64_t *ret)
{
	bool negative = p < end && *p == '-', has_sign = p < end && (negative || *p == '+');
	int64_t v = 0;

	for (p += has_sign; p < end; p++)
		if ((v = v * 10 + (*p - '0')) > (int64_t)INT32_MAX + negative)
			return false;
	*ret = negative ? -v : v;
	return true;
}

/* @v times ten plus digit @c. */
static bool add_digit(uint64_t *v, char c)
{
	return !__builtin_mul_overflow(*v, 10, v) &&
	       !__builtin_add_overflow(*v, (uint64_t)(c - '0'), v);
}

bool token_integer(struct str text, uint64_t *ret_magnitude, bool *ret_negative)
{
	size_t length = token_number_length(text);
	const char *p = text.p, *end = text.p + length;
	enum { MOST_DIGITS = 20 };

	if (!length)
		return false;
	bool negative = *p == '-';
	p += negative;
	/* The usual case needs no more: up to 19 digits cannot overflow. */
	const char *first = p;
	uint64_t v = 0;
	for (; p < end && is_digit(*p) && p - first < 19; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	if (p == end) {
		*ret_magnitude = v;
		*ret_negative = negative && v;
		return true;
	}

	/* A zero before the point is no digit, nor are zeros at the end of the fraction. */
	const char *whole_end = skip_digits(first, end);
	const char *fraction = whole_end < end && *whole_end == '.' ? whole_end + 1 : whole_end;
	const char *fraction_end = skip_digits(fraction, end);
	const char *exponent_text = fraction_end < end ? fraction_end + 1 : end;
	while (fraction_end > fraction && fraction_end[-1] == '0')
		fraction_end--;
	if (*first == '0')
		first = whole_end;
	int64_t exponent, whole = whole_end - first, decimals = fraction_end - fraction;
	v = 0;
	if (whole || decimals) {
		if (!exponent_of(exponent_text, end, &exponent) ||
		    decimals > exponent * (exponent > 0) || whole + exponent > MOST_DIGITS ||
		    whole + exponent < 0)
			return false;
		int64_t kept = exponent < 0 ? whole + exponent : whole;
		for (p = first; p < first + kept; p++)
			if (!add_digit(&v, *p))
				return false;
		for (; p < whole_end; p++) /* what a negative exponent cuts off */
			if (*p != '0')
				return false;
		for (p = fraction; p < fraction_end; p++)
			if (!add_digit(&v, *p))
				return false;
		for (int64_t i = decimals; i < exponent; i++)
			if (!add_digit(&v, '0'))
				return false;
	}
	*ret_magnitude = v;
	*ret_negative = negative && v;
	return true;
}

/* What the reference shows of a text that is no token: a word of up to 32 characters, or one
 * character. */
static struct token invalid_value(struct lexer *x)
{
	const char *p = x->p;

	while (p < x->end && p - x->p < 32 && is_word(*p))
		p++;
	if (p == x->p)
		for (p++; p < x->end && ((unsigned char)*p & 0xc0) == 0x80; p++)
			;
	(void)fault(x, x->p, "syntax error ", "invalid value ", str_n(x->p, (size_t)(p - x->p)));
	return bad();
}

static struct token word_token(struct lexer *x, enum token_kind kind, struct str word)
{
	struct str rest = str_n(x->p, (size_t)(x->end - x->p));

	if (!str_has_prefix(rest, word) || (rest.len > word.len && is_word(rest.p[word.len])))
		return invalid_value(x);
	x->p += word.len;
	return (struct token){ .kind = kind, .raw = str_upto(rest, word.len) };
}

static struct token number_token(struct lexer *x)
{
	struct str rest = str_n(x->p, (size_t)(x->end - x->p));
	size_t length = token_number_length(rest);

	if (!length)
		return invalid_value(x);
	x->p += length;
	return (struct token){ .kind = TOKEN_NUMBER, .raw = str_upto(rest, length) };
}

/* --- tokens ------------------------------------------------------------------------- */

const uint8_t token_kinds_[256] = {
	['{'] = TOKEN_OBJECT,    ['}'] = TOKEN_OBJECT_END, ['['] = TOKEN_ARRAY,
	[']'] = TOKEN_ARRAY_END, [','] = TOKEN_COMMA,      [':'] = TOKEN_COLON,
	['"'] = TOKEN_STRING,    ['t'] = TOKEN_TRUE,       ['f'] = TOKEN_FALSE,
	['n'] = TOKEN_NULL,      ['-'] = TOKEN_NUMBER,     ['0'] = TOKEN_NUMBER,
	['1'] = TOKEN_NUMBER,    ['2'] = TOKEN_NUMBER,     ['3'] = TOKEN_NUMBER,
	['4'] = TOKEN_NUMBER,    ['5'] = TOKEN_NUMBER,     ['6'] = TOKEN_NUMBER,
	['7'] = TOKEN_NUMBER,    ['8'] = TOKEN_NUMBER,     ['9'] = TOKEN_NUMBER,
};

struct token token_next(struct lexer *x)
{
	enum token_kind kind = token_peek(x);

	if (x->code != ERR_OK)
		return bad();
	switch (kind) {
	case TOKEN_STRING:
		return string_token(x);
	case TOKEN_NUMBER:
		return number_token(x);
	case TOKEN_TRUE:
		return word_token(x, kind, STR("true"));
	case TOKEN_FALSE:
		return word_token(x, kind, STR("false"));
	case TOKEN_NULL:
		return word_token(x, kind, STR("null"));
	case TOKEN_BAD:
		return invalid_value(x);
	case TOKEN_END:
		return (struct token){ .kind = kind, .raw = str_n(x->p, 0) };
	default:
		return (struct token){ .kind = kind, .raw = str_n(x->p++, 1) };
	}
}

bool token_expect_slow_(struct lexer *x, enum token_kind kind)
{
	struct token t = token_next(x);
	return t.kind == kind ? true : token_unexpected(x, &t);
}

bool token_skip_value(struct lexer *x, size_t max_depth)
{
	uint8_t is_object[TOKEN_MAX_DEPTH / 8 + 1]; /* one bit for each that is open */
	size_t open = 0;

	if (max_depth > TOKEN_MAX_DEPTH)
		max_depth = TOKEN_MAX_DEPTH;
	do {
		struct token t = token_next(x);
		bool closed = true, object = t.kind == TOKEN_OBJECT;
		if (t.kind == TOKEN_OBJECT || t.kind == TOKEN_ARRAY) {
			if (open == max_depth) {
				x->code = err_set(x->e, ERR_PARSE,
						  "proto: exceeded max recursion depth");
				return false;
			}
			if (open % 8 == 0)
				is_object[open / 8] = 0;
			is_object[open / 8] &= (uint8_t) ~(1u << open % 8);
			is_object[open / 8] |= (uint8_t)((unsigned)object << open % 8);
			open++;
			closed = token_peek(x) == (object ? TOKEN_OBJECT_END : TOKEN_ARRAY_END);
			if (!closed && object &&
			    !(token_expect(x, TOKEN_STRING) && token_expect(x, TOKEN_COLON)))
				return false;
		} else if (t.kind != TOKEN_STRING && t.kind != TOKEN_NUMBER &&
			   t.kind != TOKEN_TRUE && t.kind != TOKEN_FALSE && t.kind != TOKEN_NULL) {
			return token_unexpected(x, &t);
		}
		/* a value has ended: close what ends with it */
		while (closed && open) {
			object = is_object[(open - 1) / 8] >> (open - 1) % 8 & 1;
			t = token_next(x);
			if (t.kind == TOKEN_COMMA) {
				if (object && !(token_expect(x, TOKEN_STRING) &&
						token_expect(x, TOKEN_COLON)))
					return false;
				break;
			}
			if (t.kind != (object ? TOKEN_OBJECT_END : TOKEN_ARRAY_END))
				return token_unexpected(x, &t);
			open--;
		}
	} while (open);
	return true;
}
