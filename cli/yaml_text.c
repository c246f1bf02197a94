#include "cli/yaml_text.h"

static bool one_of(struct str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_is(s, words[i]))
			return true;
	return false;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* @n digits from @at on? */
static bool digits_at(struct str s, size_t at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at + i >= s.len || !is_digit(s.p[at + i]))
			return false;
	return true;
}

static bool is_number(struct str s)
{
	static const char *const words[] = { ".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf", "+.INF",
					     "-.inf", "-.Inf", "-.INF", ".nan",  ".NaN",  ".NAN" };
	size_t i = 0, digits = 0;

	if (one_of(s, words, ARRAY_LEN(words)))
		return true;
	if (i < s.len && (s.p[i] == '-' || s.p[i] == '+'))
		i++;
	if (i + 2 < s.len && s.p[i] == '0' && strchr("xXoObB", s.p[i + 1])) {
		const char *set = (s.p[i + 1] | 0x20) == 'x'   ? "0123456789abcdefABCDEF_"
				  : (s.p[i + 1] | 0x20) == 'o' ? "01234567_"
							       : "01_";
		for (i += 2; i < s.len; i++)
			if (!s.p[i] || !strchr(set, s.p[i]))
				return false;
		return true;
	}
	for (; i < s.len && (is_digit(s.p[i]) || (s.p[i] == '_' && digits)); i++)
		digits++;
	if (i < s.len && s.p[i] == '.')
		for (i++; i < s.len && is_digit(s.p[i]); i++)
			digits++;
	if (!digits)
		return false;
	if (i < s.len && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		if (i < s.len && (s.p[i] == '-' || s.p[i] == '+'))
			i++;
		if (!digits_at(s, i, 1))
			return false;
		while (i < s.len && is_digit(s.p[i]))
			i++;
	}
	return i == s.len;
}

/* "2001-01-01" and longer forms: a timestamp of YAML 1.1, which yaml.v3 still knows. */
static bool is_timestamp(struct str s)
{
	if (!digits_at(s, 0, 4) || s.len < 8 || s.p[4] != '-')
		return false;
	size_t month = digits_at(s, 5, 2) ? 2 : 1;
	size_t day = 5 + month + 1;
	return digits_at(s, 5, month) && s.len > day && s.p[5 + month] == '-' &&
	       digits_at(s, day, 1) &&
	       (day + 2 >= s.len || s.p[day + 2] == 'T' || s.p[day + 2] == 't' ||
		s.p[day + 2] == ' ');
}

/* Base-60 numbers and yes/no of YAML 1.1: strings in 1.2, quoted for older readers. */
static bool misread_by_old_readers(struct str s)
{
	static const char *const bools[] = { "y", "Y", "yes", "Yes", "YES", "on",  "On",  "ON",
					     "n", "N", "no",  "No",  "NO",  "off", "Off", "OFF" };
	size_t i = 0, parts = 0;

	if (one_of(s, bools, ARRAY_LEN(bools)))
		return true;
	if (i < s.len && (s.p[i] == '-' || s.p[i] == '+'))
		i++;
	if (!digits_at(s, i, 1))
		return false;
	while (i < s.len && (is_digit(s.p[i]) || s.p[i] == '_'))
		i++;
	while (i < s.len && s.p[i] == ':') {
		i++;
		if (digits_at(s, i, 2) && s.p[i] <= '5')
			i += 2;
		else if (digits_at(s, i, 1))
			i += 1;
		else
			return false;
		parts++;
	}
	if (parts && i < s.len && s.p[i] == '.')
		for (i++; i < s.len && (is_digit(s.p[i]) || s.p[i] == '_'); i++)
			;
	return parts && i == s.len;
}

enum yaml_kind yaml_kind_of(struct str s)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
	static const char *const bools[] = { "true", "True", "TRUE", "false", "False", "FALSE" };

	if (one_of(s, nulls, ARRAY_LEN(nulls)))
		return YAML_KIND_NULL;
	if (one_of(s, bools, ARRAY_LEN(bools)))
		return YAML_KIND_BOOL;
	if (is_timestamp(s))
		return YAML_KIND_OTHER;
	return is_number(s) ? YAML_KIND_NUMBER : YAML_KIND_STRING;
}

/* One character at @i. @return its length in bytes, 1 for a stray byte. */
static size_t char_at(struct str s, size_t i, uint32_t *ret)
{
	unsigned char c = (unsigned char)s.p[i];
	size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

	if (n == 1 || i + n > s.len || !utf8_is_valid(str_n(s.p + i, n))) {
		*ret = c;
		return 1;
	}
	uint32_t v = c & (0xffu >> (n + 1));
	for (size_t k = 1; k < n; k++)
		v = v << 6 | ((unsigned char)s.p[i + k] & 0x3f);
	*ret = v;
	return n;
}

/* yaml.v3 counts nothing beyond the Basic Multilingual Plane as printable. */
static bool is_printable(uint32_t c)
{
	return (c >= 0x20 && c <= 0x7e) || (c >= 0xa0 && c <= 0xd7ff) ||
	       (c >= 0xe000 && c <= 0xfffd && c != 0xfeff);
}

static bool is_break(uint32_t c)
{
	return c == '\n' || c == '\r' || c == 0x85 || c == 0x2028 || c == 0x2029;
}

/* May the emitter write it without quotes, in a block? */
static bool plain_is_allowed(struct str s)
{
	if (!s.len || s.p[0] == ' ' || s.p[s.len - 1] == ' ' || strchr("#,[]{}&*!|>'\"%@`", s.p[0]))
		return false;
	if (strchr("-?:", s.p[0]) && (s.len == 1 || s.p[1] == ' ' || s.p[1] == '\t'))
		return false;
	if (str_has_prefix(s, STR("---")) || str_has_prefix(s, STR("...")))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		bool blank_next = i + 1 >= s.len || s.p[i + 1] == ' ' || s.p[i + 1] == '\t';
		if (s.p[i] == '\t' || (s.p[i] == ':' && blank_next))
			return false;
		if (i && s.p[i] == '#' && (s.p[i - 1] == ' ' || s.p[i - 1] == '\t'))
			return false;
	}
	return true;
}

static void put_escaped(struct buf *b, struct str s)
{
	static const struct {
		uint32_t c;
		char letter;
	} named[] = {
		{ 0, '0' },     { 7, 'a' },    { 8, 'b' },    { 9, 't' },      { 10, 'n' },
		{ 11, 'v' },    { 12, 'f' },   { 13, 'r' },   { 27, 'e' },     { '"', '"' },
		{ '\\', '\\' }, { 0x85, 'N' }, { 0xa0, '_' }, { 0x2028, 'L' }, { 0x2029, 'P' }
	};

	buf_char(b, '"');
	for (size_t i = 0, n; i < s.len; i += n) {
		uint32_t c;
		n = char_at(s, i, &c);
		if (is_printable(c) && !is_break(c) && c != '"' && c != '\\') {
			buf_put(b, s.p + i, n);
			continue;
		}
		size_t k = 0;
		while (k < ARRAY_LEN(named) && named[k].c != c)
			k++;
		if (k < ARRAY_LEN(named))
			buf_printf(b, "\\%c", named[k].letter);
		else if (c <= 0xff)
			buf_printf(b, "\\x%02X", c);
		else if (c <= 0xffff)
			buf_printf(b, "\\u%04X", c);
		else
			buf_printf(b, "\\U%08X", c);
	}
	buf_char(b, '"');
}

void yaml_put_string(struct buf *b, struct str s)
{
	bool special = false;

	for (size_t i = 0, n; i < s.len && !special; i += n) {
		uint32_t c;
		n = char_at(s, i, &c);
		special = !is_printable(c) || is_break(c);
	}
	if (special || yaml_kind_of(s) != YAML_KIND_STRING || misread_by_old_readers(s)) {
		put_escaped(b, s);
	} else if (plain_is_allowed(s)) {
		buf_str_put(b, s);
	} else {
		buf_char(b, '\'');
		for (size_t i = 0; i < s.len; i++) {
			if (s.p[i] == '\'')
				buf_char(b, '\'');
			buf_char(b, s.p[i]);
		}
		buf_char(b, '\'');
	}
}
