#include "cel/token.h"

#include "base/buf.h"
#include "base/gotext.h"

enum { SHOWN_BYTES = 256 }; /* of what is no token */

/* What a scanner found: the token's end, or how far it had got when it failed. */
struct scan {
	size_t end;
	enum token_kind kind;
	bool good;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static char char_at(struct str s, size_t i)
{
	return (char)(i < s.len ? s.p[i] : '\0');
}

static size_t digits_end(struct str s, size_t i)
{
	while (is_digit(char_at(s, i)))
		i++;
	return i;
}

/* The end of "e+10" at @i; @i if there is none. */
static size_t exponent_end(struct str s, size_t i)
{
	size_t from = i;

	if ((char_at(s, i) | 0x20) != 'e')
		return from;
	i++;
	i += char_at(s, i) == '+' || char_at(s, i) == '-';
	return is_digit(char_at(s, i)) ? digits_end(s, i) : from;
}

static struct scan scan_number(struct str s, size_t i)
{
	enum token_kind kind = TOKEN_INT;
	size_t end;

	if (char_at(s, i) == '0' && char_at(s, i + 1) == 'x' && is_hex(char_at(s, i + 2))) {
		for (end = i + 2; is_hex(char_at(s, end));)
			end++;
	} else {
		end = digits_end(s, i);
		if (char_at(s, end) == '.' && is_digit(char_at(s, end + 1))) {
			end = digits_end(s, end + 1);
			kind = TOKEN_DOUBLE;
		}
		size_t after = exponent_end(s, end);
		if (after != end) {
			end = after;
			kind = TOKEN_DOUBLE;
		}
	}
	if (kind == TOKEN_INT && (char_at(s, end) | 0x20) == 'u')
		return (struct scan){ end + 1, TOKEN_UINT, true };
	return (struct scan){ end, kind, true };
}

/* The end of the escape sequence at @i, which is a backslash; *@ret_good tells whether it is one.
 */
static size_t escape_end(struct str s, size_t i, bool *ret_good)
{
	char c = char_at(s, ++i);
	size_t hex = c == 'x' || c == 'X' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;

	*ret_good = i < s.len;
	if (c >= '0' && c <= '3') {
		for (size_t n = 1; n < 3 && *ret_good; n++) {
			char octal = char_at(s, ++i);
			*ret_good = octal >= '0' && octal <= '7';
		}
	} else if (hex) {
		while (hex-- && *ret_good)
			*ret_good = is_hex(char_at(s, ++i));
	} else {
		*ret_good = c && strchr("abfnrtv\"'\\?`", c);
	}
	return i + *ret_good;
}

static struct scan scan_string(struct str s, size_t i, bool raw)
{
	char quote = s.p[i];
	bool triple = char_at(s, i + 1) == quote && char_at(s, i + 2) == quote;
	/* "" is a string by itself, if no third quote ever comes to an end */
	struct scan empty = { i + 2, TOKEN_STRING, true };

	for (i += triple ? 3 : 1; i < s.len;) {
		if (s.p[i] == quote &&
		    (!triple || (char_at(s, i + 1) == quote && char_at(s, i + 2) == quote)))
			return (struct scan){ i + (triple ? 3 : 1), TOKEN_STRING, true };
		if (!triple && (s.p[i] == '\n' || s.p[i] == '\r'))
			break;
		bool good = true;
		i = s.p[i] == '\\' && !raw ? escape_end(s, i, &good) : i + 1;
		if (!good)
			break;
	}
	return triple ? empty : (struct scan){ i, TOKEN_STRING, false };
}

static struct scan scan_word(struct str s, size_t i)
{
	static const struct {
		const char *word;
		enum token_kind kind;
	} words[] = {
		{ "in", TOKEN_IN },
		{ "true", TOKEN_TRUE },
		{ "false", TOKEN_FALSE },
		{ "null", TOKEN_NULL },
	};
	size_t from = i;

	while (is_letter(char_at(s, i)) || is_digit(char_at(s, i)))
		i++;
	struct str word = str_upto(str_from(s, from), i - from);
	for (size_t k = 0; k < ARRAY_LEN(words); k++)
		if (str_is(word, words[k].word))
			return (struct scan){ i, words[k].kind, true };
	return (struct scan){ i, TOKEN_IDENT, true };
}

/* r"…", b"…", br"…": the longest match wins, so what is no string after all is a word. */
static struct scan scan_prefixed(struct str s, size_t i)
{
	size_t quote = i;
	bool bytes = (char_at(s, quote) | 0x20) == 'b', raw;

	quote += bytes;
	raw = (char_at(s, quote) | 0x20) == 'r';
	quote += raw;
	if (char_at(s, quote) == '"' || char_at(s, quote) == '\'') {
		struct scan string = scan_string(s, quote, raw);

		string.kind = bytes ? TOKEN_BYTES : TOKEN_STRING;
		if (string.good)
			return string;
	}
	return scan_word(s, i);
}

static struct scan scan_escaped(struct str s, size_t i)
{
	size_t from = ++i;

	while (is_letter(char_at(s, i)) || is_digit(char_at(s, i)) ||
	       (char_at(s, i) && strchr(".-/ ", char_at(s, i))))
		i++;
	return (struct scan){ i + (i > from && char_at(s, i) == '`'), TOKEN_ESCAPED_IDENT,
			      i > from && char_at(s, i) == '`' };
}

static struct scan scan_sign(struct str s, size_t i)
{
	static const struct {
		char text[3];
		uint8_t kind;
	} signs[] = {
		/* the longer ones first */
		{ "==", TOKEN_EQUAL },      { "!=", TOKEN_NOT_EQUAL },
		{ "<=", TOKEN_LESS_EQUAL }, { ">=", TOKEN_GREATER_EQUAL },
		{ "&&", TOKEN_AND },        { "||", TOKEN_OR },
		{ "<", TOKEN_LESS },        { ">", TOKEN_GREATER },
		{ "[", TOKEN_LBRACKET },    { "]", TOKEN_RBRACKET },
		{ "{", TOKEN_LBRACE },      { "}", TOKEN_RBRACE },
		{ "(", TOKEN_LPAREN },      { ")", TOKEN_RPAREN },
		{ ".", TOKEN_DOT },         { ",", TOKEN_COMMA },
		{ "-", TOKEN_MINUS },       { "!", TOKEN_NOT },
		{ "?", TOKEN_QUESTION },    { ":", TOKEN_COLON },
		{ "+", TOKEN_PLUS },        { "*", TOKEN_STAR },
		{ "/", TOKEN_SLASH },       { "%", TOKEN_PERCENT },
	};

	for (size_t k = 0; k < ARRAY_LEN(signs); k++) {
		size_t len = strlen(signs[k].text);

		if (str_has_prefix(str_from(s, i), str_n(signs[k].text, len)))
			return (struct scan){ i + len, (enum token_kind)signs[k].kind, true };
	}
	/* half a sign fails at the character after it */
	return (struct scan){ i + (strchr("=&|", s.p[i]) != NULL && s.p[i]), TOKEN_END, false };
}

static struct scan scan_token(struct str s, size_t i)
{
	char c = s.p[i];

	if (is_digit(c))
		return scan_number(s, i);
	if (c == '.' && is_digit(char_at(s, i + 1))) {
		size_t end = digits_end(s, i + 1);
		return (struct scan){ exponent_end(s, end), TOKEN_DOUBLE, true };
	}
	if (c == '"' || c == '\'')
		return scan_string(s, i, false);
	if (c == 'b' || c == 'B' || c == 'r' || c == 'R')
		return scan_prefixed(s, i);
	if (is_letter(c))
		return scan_word(s, i);
	return c == '`' ? scan_escaped(s, i) : scan_sign(s, i);
}

static size_t blank_end(struct str s, size_t i)
{
	while (i < s.len) {
		if (s.p[i] && strchr(" \t\r\n\f", s.p[i])) {
			i++;
		} else if (s.p[i] == '/' && char_at(s, i + 1) == '/') {
			i += str_find(str_from(s, i), '\n');
		} else {
			break;
		}
	}
	return i;
}

/* Says what could not be read, up to and including the character it failed at; @return behind it.
 */
static size_t complain(struct issues *issues, size_t from, size_t failed)
{
	char space[SHOWN_BYTES];
	struct buf shown = buf_fixed(space, sizeof space);
	struct str rest = str_from(issues->text, failed);

	if (rest.len)
		(void)rune_next(&rest);
	size_t end = issues->text.len - rest.len;
	for (size_t i = from; i < end; i++) {
		char c = issues->text.p[i];

		if (c == '\n' || c == '\r' || c == '\t')
			buf_printf(&shown, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
		else
			buf_char(&shown, c);
	}
	issue_add(issues, (uint32_t)from, "Syntax error: token recognition error at: '%.*s'",
		  STR_FMT(buf_str(&shown)));
	return end > from ? end : from + 1;
}

struct token *tokens_of(struct mem *mem, struct issues *issues)
{
	struct str s = issues->text;
	struct token *v = mem_get(mem, (s.len + 1) * sizeof *v);
	size_t n = 0;

	for (size_t i = 0; v && (i = blank_end(s, i)) < s.len;) {
		struct scan found = scan_token(s, i);

		if (!found.good) {
			i = complain(issues, i, found.end);
			continue;
		}
		v[n++] = (struct token){ (uint32_t)i, (uint32_t)(found.end - i), found.kind };
		i = found.end;
	}
	if (v)
		v[n] = (struct token){ (uint32_t)s.len, 0, TOKEN_END };
	return v;
}

static uint32_t hex_value(struct str s)
{
	uint32_t v = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		uint32_t digit =
			is_digit(c) ? (uint32_t)(c - '0') : (uint32_t)((c | 0x20) - 'a' + 10);

		v = v << 4 | digit;
	}
	return v;
}

static size_t put_utf8(char *to, uint32_t rune)
{
	size_t len = rune < 0x80 ? 1 : rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;
	static const uint8_t heads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (size_t i = len; i-- > 1; rune >>= 6)
		to[i] = (char)(0x80 | (rune & 0x3f));
	to[0] = (char)(heads[len] | rune);
	return len;
}

/* Reads the escape at s[i], a backslash, which the scanner has found good. */
static size_t unescape(struct str s, size_t i, bool bytes, char *to, size_t *len,
		       const char **ret_why)
{
	static const char names[] = "abfnrtv", values[] = "\a\b\f\n\r\t\v";
	char c = s.p[i + 1];
	size_t hex = c == 'x' || c == 'X' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
	uint32_t rune;

	if (c >= '0' && c <= '3') {
		rune = (uint32_t)(c - '0') << 6 | (uint32_t)(s.p[i + 2] - '0') << 3 |
		       (uint32_t)(s.p[i + 3] - '0');
		i += 4;
	} else if (hex) {
		rune = hex_value(str_upto(str_from(s, i + 2), hex));
		i += 2 + hex;
		if (bytes && hex > 2)
			*ret_why = "unable to unescape string";
	} else {
		const char *named = strchr(names, c);

		to[(*len)++] = named ? values[named - names] : c;
		return i + 2;
	}
	if (bytes) {
		to[(*len)++] = (char)rune;
	} else if (rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000)) {
		*ret_why = "invalid unicode code point";
	} else {
		*len += put_utf8(to + *len, rune);
	}
	return i;
}

struct str string_literal(struct mem *mem, struct str source, bool bytes, const char **ret_why)
{
	bool raw = (source.p[0] | 0x20) == 'r';
	struct str s = str_from(source, raw);
	size_t quotes = s.len >= 6 && s.p[1] == s.p[0] && s.p[2] == s.p[0] ? 3 : 1, len = 0;
	char *to = mem_get(mem, s.len);

	*ret_why = NULL;
	if (!to)
		return (struct str){ NULL, 0 };
	s = str_upto(str_from(s, quotes), s.len - 2 * quotes);
	for (size_t i = 0; i < s.len;) {
		if (s.p[i] == '\r') {
			/* "\r\n" and a lone "\r" are new lines */
			i += 1 + (char_at(s, i + 1) == '\n');
			to[len++] = '\n';
		} else if (s.p[i] == '\\' && !raw) {
			i = unescape(s, i, bytes, to, &len, ret_why);
		} else {
			to[len++] = s.p[i++];
		}
	}
	return str_n(to, len);
}
