/*
 * From RE2's syntax to PCRE2's: one pass over the pattern that refuses what RE2 refuses and writes
 * the rest in the subset that means the same to both. Characters come out as \x{…}, so nothing in
 * them can have a meaning of its own; groups lose their names and numbers, since nobody asks what
 * they caught.
 *
 * Source   github.com/google/re2/wiki/Syntax; error sentences of Go's regexp/syntax, which the
 *          reference uses.
 */
#include <stdio.h>

#include "base/buf.h"
#include "base/gotext.h"
#include "regex/regex.h"

enum { MAX_NESTING = 1000, MAX_REPEAT = 1000 };

struct group {
	unsigned weight; /* the largest product of nested repeat counts inside */
	bool has_atom;   /* something stands right before, and can be repeated */
	bool any_case;   /* flag "i" */
	unsigned atom_weight;
	size_t from;               /* where the group stands in the output */
	size_t atom_from, atom_to; /* and the atom */
};

struct parser {
	struct str all, rest;
	struct buf *out;
	struct err *e;
	unsigned depth;
	struct group groups[MAX_NESTING + 1];
};

static enum err_code fault(struct parser *p, const char *what, struct str where)
{
	return err_set(p->e, ERR_INVALID, "error parsing regexp: %s: `%.*s`", what, STR_FMT(where));
}

/* What was read since @from. */
static struct str since(const struct parser *p, struct str from)
{
	return str_upto(from, from.len - p->rest.len);
}

/* What was put since @from is one. */
static void atom(struct parser *p, size_t from, unsigned weight)
{
	struct group *g = &p->groups[p->depth];

	g->has_atom = true;
	g->atom_from = from;
	g->atom_to = p->out->len;
	g->atom_weight = weight;
	if (weight > g->weight)
		g->weight = weight;
}

static void put_char(struct parser *p, uint32_t c)
{
	buf_printf(p->out, "\\x{%x}", (unsigned)c);
}

static bool is_word_char(uint32_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int hex_value(uint32_t c)
{
	return c >= '0' && c <= '9'   ? (int)c - '0'
	       : c >= 'a' && c <= 'f' ? (int)c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? (int)c - 'A' + 10
				      : -1;
}

/* "\x41" or "\x{41}", behind the x. Without braces two characters are read, whatever they are. */
static bool read_hex(struct parser *p, uint32_t *ret)
{
	uint32_t c = 0;
	size_t digits = 0;

	if (!str_has_prefix(p->rest, STR("{"))) {
		int high = p->rest.len ? hex_value(rune_next(&p->rest)) : -1;
		int low = p->rest.len ? hex_value(rune_next(&p->rest)) : -1;

		*ret = (uint32_t)(high * 16 + low);
		return high >= 0 && low >= 0;
	}
	p->rest = str_from(p->rest, 1);
	while (p->rest.len) {
		uint32_t d = rune_next(&p->rest);

		if (d == '}') {
			*ret = c;
			return digits > 0;
		}
		if (hex_value(d) < 0)
			return false;
		c = c * 16 + (uint32_t)hex_value(d);
		digits++;
		if (c > 0x10ffff)
			return false;
	}
	return false;
}

/* One escaped character, outside and inside of brackets alike. */
static enum err_code read_escape(struct parser *p, uint32_t *ret)
{
	static const char names[] = "afnrtv", values[] = "\a\f\n\r\t\v";
	struct str start = p->rest;

	p->rest = str_from(p->rest, 1);
	if (!p->rest.len)
		return fault(p, "trailing backslash at end of expression", STR(""));
	uint32_t c = rune_next(&p->rest);
	bool octal = p->rest.len && p->rest.p[0] >= '0' && p->rest.p[0] <= '7';

	if (c == '0' ||
	    (c >= '1' && c <= '7' && octal)) { /* a lone digit would be a back reference */
		uint32_t n = c - '0';

		for (int i = 1; i < 3 && p->rest.len && p->rest.p[0] >= '0' && p->rest.p[0] <= '7';
		     i++)
			n = n * 8 + (rune_next(&p->rest) - '0');
		*ret = n;
		return ERR_OK;
	}
	if (c < 0x80 && !is_word_char(c)) {
		*ret = c;
		return ERR_OK;
	}
	const char *named = c < 0x80 ? strchr(names, (int)c) : NULL;
	if (named) {
		*ret = (uint32_t)values[named - names];
		return ERR_OK;
	}
	if (c == 'x' && read_hex(p, ret))
		return ERR_OK;
	return fault(p, "invalid escape sequence", since(p, start));
}

/* \d \D \s \S \w \W. RE2's white space has no vertical tab. */
static bool read_perl_class(struct parser *p, bool in_brackets)
{
	char c = p->rest.len > 1 && p->rest.p[0] == '\\' ? p->rest.p[1] : '\0';

	if (!c || !strchr("dDsSwW", c))
		return false;
	p->rest = str_from(p->rest, 2);
	if (c == 's')
		buf_printf(p->out, in_brackets ? "%s" : "[%s]", "\\t\\n\\f\\r\\x{20}");
	else if (c == 'S')
		buf_printf(p->out, in_brackets ? "%s" : "[%s]",
			   "\\x{0}-\\x{8}\\x{b}\\x{e}-\\x{1f}\\x{21}-\\x{10ffff}");
	else
		buf_printf(p->out, "\\%c", c);
	return true;
}

/* What PCRE2 calls the category @name of \p{@name}; "" for what can only be a script. Go compares these
 * names without case, blanks, hyphens and underscores. */
static struct str category_named(struct str name)
{
	static const char *const known[][2] = {
		{ "any", "Any" },
		{ "ascii", "ASCII" },
		{ "assigned", "assigned" }, /* PCRE2 knows the contrary only */
		{ "casedletter", "L&" },
		{ "closepunctuation", "Pe" },
		{ "cntrl", "Cc" },
		{ "combiningmark", "M" },
		{ "connectorpunctuation", "Pc" },
		{ "control", "Cc" },
		{ "currencysymbol", "Sc" },
		{ "dashpunctuation", "Pd" },
		{ "decimalnumber", "Nd" },
		{ "digit", "Nd" },
		{ "enclosingmark", "Me" },
		{ "finalpunctuation", "Pf" },
		{ "format", "Cf" },
		{ "initialpunctuation", "Pi" },
		{ "lc", "L&" },
		{ "letter", "L" },
		{ "letternumber", "Nl" },
		{ "lineseparator", "Zl" },
		{ "lowercaseletter", "Ll" },
		{ "mark", "M" },
		{ "mathsymbol", "Sm" },
		{ "modifierletter", "Lm" },
		{ "modifiersymbol", "Sk" },
		{ "nonspacingmark", "Mn" },
		{ "number", "N" },
		{ "openpunctuation", "Ps" },
		{ "other", "C" },
		{ "otherletter", "Lo" },
		{ "othernumber", "No" },
		{ "otherpunctuation", "Po" },
		{ "othersymbol", "So" },
		{ "paragraphseparator", "Zp" },
		{ "privateuse", "Co" },
		{ "punct", "P" },
		{ "punctuation", "P" },
		{ "separator", "Z" },
		{ "spaceseparator", "Zs" },
		{ "spacingmark", "Mc" },
		{ "surrogate", "Cs" },
		{ "symbol", "S" },
		{ "titlecaseletter", "Lt" },
		{ "unassigned", "Cn" },
		{ "uppercaseletter", "Lu" },
	};
	char bare[32];
	size_t n = 0;

	for (size_t i = 0; i < name.len && n < sizeof bare; i++)
		if (!strchr("_- ", name.p[i]))
			bare[n++] = name.p[i];
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq_nocase(str_n(bare, n), str_of(known[i][0])))
			return str_of(known[i][1]);
	return n <= 2 ? name : STR("");
}

/* \pN, \p{Greek}, \P{^Lu}. What is no category is a script, which PCRE2 would otherwise read more
 * widely. */
static enum err_code read_unicode_class(struct parser *p, bool *ret_found)
{
	struct str start = p->rest, name;
	bool negated = p->rest.len > 1 && p->rest.p[1] == 'P';

	*ret_found = p->rest.len > 1 && p->rest.p[0] == '\\' && (p->rest.p[1] == 'p' || negated);
	if (!*ret_found)
		return ERR_OK;
	p->rest = str_from(p->rest, 2);
	if (!p->rest.len)
		return fault(p, "invalid character class range", start);
	if (p->rest.p[0] == '{') {
		size_t end = str_find(p->rest, '}');

		if (end == p->rest.len)
			return fault(p, "invalid character class range", start);
		name = str_from(str_upto(p->rest, end), 1);
		p->rest = str_from(p->rest, end + 1);
	} else {
		name = p->rest;
		(void)rune_next(&p->rest);
		name = since(p, name);
	}
	if (str_has_prefix(name, STR("^"))) {
		negated = !negated;
		name = str_from(name, 1);
	}
	bool plain = name.len > 0;
	for (size_t i = 0; i < name.len; i++)
		plain = plain && ((is_word_char((uint8_t)name.p[i]) && (uint8_t)name.p[i] < 0x80) ||
				  strchr("_- ", name.p[i]));
	if (!plain)
		return fault(p, "invalid character class range", since(p, start));
	struct str category = category_named(name);
	if (str_is(category, "assigned")) {
		negated = !negated;
		category = STR("Cn");
	}
	char property[64];
	(void)snprintf(property, sizeof property, "%s%.*s",
		       category.len ? "" : "sc:", STR_FMT(category.len ? category : name));
	if (!pcre_has_property(property))
		return fault(p, "invalid character class range", since(p, start));
	/* PCRE2 looks at the letter's own case, whatever the flags say. */
	if (p->groups[p->depth].any_case &&
	    (str_eq_nocase(category, STR("Lu")) || str_eq_nocase(category, STR("Ll"))))
		(void)snprintf(property, sizeof property, "L&");
	buf_printf(p->out, "\\%c{%s}", negated ? 'P' : 'p', property);
	return ERR_OK;
}

/* [:alpha:] within brackets. Without its end it is a '[' like any other. */
static enum err_code read_posix_class(struct parser *p, bool *ret_found)
{
	static const char *const names[] = { "alnum", "alpha", "ascii", "blank", "cntrl",
					     "digit", "graph", "lower", "print", "punct",
					     "space", "upper", "word",  "xdigit" };
	struct str start = p->rest;
	size_t end = 2;

	*ret_found = false;
	if (!str_has_prefix(start, STR("[:")))
		return ERR_OK;
	while (end < start.len && !str_has_prefix(str_from(start, end), STR(":]")))
		end++;
	if (end == start.len)
		return ERR_OK;
	p->rest = str_from(start, end + 2);
	struct str name = str_from(str_upto(start, end), 2);
	if (str_has_prefix(name, STR("^")))
		name = str_from(name, 1);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_is(name, names[i])) {
			buf_str_put(p->out, since(p, start));
			*ret_found = true;
			return ERR_OK;
		}
	}
	return fault(p, "invalid character class range", since(p, start));
}

static enum err_code read_class_char(struct parser *p, struct str class, uint32_t *ret)
{
	if (!p->rest.len)
		return fault(p, "missing closing ]", class);
	if (p->rest.p[0] == '\\')
		return read_escape(p, ret);
	*ret = rune_next(&p->rest);
	return ERR_OK;
}

static enum err_code read_class(struct parser *p)
{
	struct str class = p->rest;
	size_t from = p->out->len;
	enum err_code code;

	p->rest = str_from(p->rest, 1);
	buf_char(p->out, '[');
	if (str_has_prefix(p->rest, STR("^"))) {
		p->rest = str_from(p->rest, 1);
		buf_char(p->out, '^');
	}
	for (bool first = true; !p->rest.len || p->rest.p[0] != ']' || first; first = false) {
		struct str start = p->rest;
		bool found;
		uint32_t low, high;

		code = read_posix_class(p, &found);
		if (code == ERR_OK && !found)
			code = read_unicode_class(p, &found);
		if (code != ERR_OK)
			return code;
		if (found || read_perl_class(p, true))
			continue;
		code = read_class_char(p, class, &low);
		if (code != ERR_OK)
			return code;
		high = low;
		if (p->rest.len >= 2 && p->rest.p[0] == '-' && p->rest.p[1] != ']') {
			p->rest = str_from(p->rest, 1);
			code = read_class_char(p, class, &high);
			if (code != ERR_OK)
				return code;
			if (high < low)
				return fault(p, "invalid character class range", since(p, start));
		}
		put_char(p, low);
		if (high != low) {
			buf_char(p->out, '-');
			put_char(p, high);
		}
	}
	p->rest = str_from(p->rest, 1);
	buf_char(p->out, ']');
	atom(p, from, 1);
	return ERR_OK;
}

static enum err_code open_group(struct parser *p, const char *how)
{
	if (p->depth == MAX_NESTING)
		return fault(p, "expression nests too deeply", p->all);
	bool any_case = p->groups[p->depth].any_case;
	p->depth++;
	p->groups[p->depth] =
		(struct group){ .weight = 1, .any_case = any_case, .from = p->out->len };
	buf_put(p->out, how, strlen(how));
	return ERR_OK;
}

/* "(?P<name>", "(?<name>", "(?i)", "(?i-s:". */
static enum err_code read_perl_group(struct parser *p)
{
	struct str start = p->rest, name;
	bool negated = false, saw_flag = false;
	bool any_case = p->groups[p->depth].any_case;
	size_t skip = str_has_prefix(start, STR("(?P<")) && start.len > 4  ? 4
		      : str_has_prefix(start, STR("(?<")) && start.len > 3 ? 3
									   : 0;

	if (skip) {
		size_t end = str_find(start, '>');

		if (end == start.len)
			return fault(p, "invalid named capture", start);
		name = str_from(str_upto(start, end), skip);
		bool good = name.len > 0;
		for (size_t i = 0; i < name.len; i++)
			good = good && (is_word_char((uint8_t)name.p[i]) || name.p[i] == '_');
		if (!good)
			return fault(p, "invalid named capture", str_upto(start, end + 1));
		p->rest = str_from(start, end + 1);
		return open_group(p, "(?:");
	}
	p->rest = str_from(start, 2);
	while (p->rest.len) {
		uint32_t c = rune_next(&p->rest);

		if (c == 'i' || c == 'm' || c == 's' || c == 'U') {
			saw_flag = true;
			any_case = c == 'i' ? !negated : any_case;
		} else if (c == '-' && !negated) {
			negated = true;
			saw_flag = false;
		} else if ((c == ':' || c == ')') && (!negated || saw_flag)) {
			struct str flags = since(p, start);

			if (c == ':') {
				size_t from = p->out->len;

				buf_str_put(p->out, str_upto(flags, flags.len - 1));
				enum err_code code = open_group(p, ":");

				p->groups[p->depth].any_case = any_case;
				p->groups[p->depth].from = from;
				return code;
			}
			p->groups[p->depth].any_case = any_case;
			buf_str_put(p->out, flags);
			return ERR_OK;
		} else {
			break;
		}
	}
	return fault(p, "invalid or unsupported Perl syntax", since(p, start));
}

/* "{2}", "{2,}", "{2,5}"; false if it is no such thing, and then '{' is itself. -1: no upper limit.
 * Counts stop at one more than is allowed. */
static bool read_counts(struct str *s, int *ret_min, int *ret_max)
{
	struct str rest = str_from(*s, 1);
	int n[2] = { -1, -1 };
	bool comma = false;

	for (int i = 0; i < 2; i++) {
		size_t digits = 0;
		int value = 0;

		for (; digits < rest.len && rest.p[digits] >= '0' && rest.p[digits] <= '9';
		     digits++)
			if (value <= MAX_REPEAT)
				value = value * 10 + (rest.p[digits] - '0');
		if (digits > 1 && rest.p[0] == '0')
			return false; /* no leading zeros */
		if (digits)
			n[i] = value;
		rest = str_from(rest, digits);
		if (n[0] < 0)
			return false;
		if (i == 0 && !str_has_prefix(rest, STR(",")))
			break;
		if (i == 0) {
			comma = true;
			rest = str_from(rest, 1);
		}
	}
	if (!str_has_prefix(rest, STR("}")))
		return false;
	*s = str_from(rest, 1);
	*ret_min = n[0];
	*ret_max = comma ? n[1] : n[0];
	return true;
}

/* Puts a repetition behind the atom. Flags ("a(?i)*") do not stand between the two for RE2. */
static void put_repeat(struct parser *p, struct str op)
{
	struct group *g = &p->groups[p->depth];
	size_t more = 4 + op.len, flags = p->out->len - g->atom_to;

	if (!flags) {
		buf_str_put(p->out, op);
	} else if (buf_reserve(p->out, more)) {
		char *from = p->out->p + g->atom_from, *to = p->out->p + g->atom_to;

		memmove(to + more, to, flags);
		memmove(from + 3, from, (size_t)(to - from));
		memcpy(from, "(?:", 3);
		to[3] = ')';
		memcpy(to + 4, op.p, op.len);
		p->out->len += more;
		g->atom_to += more;
		return;
	}
	g->atom_to = p->out->len;
}

/* @before: where the operator begins; @stacked: where the operator right before it began, or NULL.
 */
static enum err_code repeat(struct parser *p, struct str before, struct str stacked, int min,
			    int max)
{
	struct group *g = &p->groups[p->depth];
	struct str op = since(p, before);
	unsigned factor = min < 0 ? 1 : max >= 0 ? (unsigned)max : (unsigned)min;

	if (min > MAX_REPEAT || max > MAX_REPEAT || (max >= 0 && min > max))
		return fault(p, "invalid repeat count", op);
	if (str_has_prefix(p->rest, STR("?")))
		p->rest = str_from(p->rest, 1);
	if (stacked.p)
		return fault(p, "invalid nested repetition operator", since(p, stacked));
	if (!g->has_atom)
		return fault(p, "missing argument to repetition operator", since(p, before));
	if ((uint64_t)g->atom_weight * (factor ? factor : 1) > MAX_REPEAT)
		return fault(p, "invalid repeat count", since(p, before));
	g->atom_weight *= factor ? factor : 1;
	if (g->atom_weight > g->weight)
		g->weight = g->atom_weight;
	put_repeat(p, since(p, before));
	return ERR_OK;
}

static void literal(struct parser *p, uint32_t c)
{
	size_t from = p->out->len;

	put_char(p, c);
	atom(p, from, 1);
}

/* Assertions stand in groups of their own: RE2 lets them be repeated. */
static void assertion(struct parser *p, const char *text)
{
	size_t from = p->out->len;

	buf_printf(p->out, "(?:%s)", text);
	atom(p, from, 1);
}

static enum err_code read_backslash(struct parser *p)
{
	char c = p->rest.len > 1 ? p->rest.p[1] : '\0';
	size_t from = p->out->len;
	enum err_code code;
	bool found;
	uint32_t rune;

	if (c && strchr("AbBz", c)) {
		assertion(p, c == 'A' ? "\\A" : c == 'b' ? "\\b" : c == 'B' ? "\\B" : "\\z");
		p->rest = str_from(p->rest, 2);
		return ERR_OK;
	}
	if (c == 'Q') {
		p->rest = str_from(p->rest, 2);
		while (p->rest.len && !str_has_prefix(p->rest, STR("\\E")))
			literal(p, rune_next(&p->rest));
		p->rest = str_from(p->rest, 2);
		return ERR_OK;
	}
	code = read_unicode_class(p, &found);
	if (code != ERR_OK)
		return code;
	if (found || read_perl_class(p, false)) {
		atom(p, from, 1);
		return ERR_OK;
	}
	code = read_escape(p, &rune);
	if (code == ERR_OK)
		literal(p, rune);
	return code;
}

static enum err_code close_group(struct parser *p)
{
	if (p->depth == 0)
		return fault(p, "unexpected )", p->all);
	struct group closed = p->groups[p->depth--];
	p->rest = str_from(p->rest, 1);
	buf_char(p->out, ')');
	atom(p, closed.from, closed.weight);
	return ERR_OK;
}

/* The next part of the pattern. *@stacked: in, the repetition that ended right here; out, the one
 * that this part is. */
static enum err_code step(struct parser *p, struct str *stacked)
{
	struct str start = p->rest, last = *stacked;
	char c = p->rest.p[0];
	int min = -1, max = -1;

	*stacked = (struct str){ 0 };
	switch (c) {
	case '(':
		if (p->rest.len > 1 && p->rest.p[1] == '?')
			return read_perl_group(p);
		p->rest = str_from(p->rest, 1);
		return open_group(p, "(?:");
	case '|':
		p->groups[p->depth].has_atom = false;
		p->rest = str_from(p->rest, 1);
		buf_char(p->out, '|');
		return ERR_OK;
	case ')':
		return close_group(p);
	case '^':
	case '$':
		p->rest = str_from(p->rest, 1);
		assertion(p, c == '^' ? "^" : "$");
		return ERR_OK;
	case '.':
		p->rest = str_from(p->rest, 1);
		buf_char(p->out, '.');
		atom(p, p->out->len - 1, 1);
		return ERR_OK;
	case '[':
		return read_class(p);
	case '*':
	case '+':
	case '?':
		p->rest = str_from(p->rest, 1);
		*stacked = start;
		return repeat(p, start, last, -1, -1);
	case '{':
		if (read_counts(&p->rest, &min, &max)) {
			*stacked = start;
			return repeat(p, start, last, min, max);
		}
		break;
	case '\\':
		return read_backslash(p);
	default:
		break;
	}
	literal(p, rune_next(&p->rest));
	return ERR_OK;
}

enum err_code re2_to_pcre(struct str pattern, struct buf *out, struct err *e)
{
	struct str stacked = { 0 };
	AUTO(own_free)
	struct parser *p = calloc(1, sizeof *p); /* 12 KiB: too much for some threads' stacks */

	if (!p)
		return err_set(e, ERR_NOMEM, "regular expression");
	p->all = p->rest = pattern;
	p->out = out;
	p->e = e;
	p->groups[0].weight = 1;
	if (!utf8_is_valid(pattern))
		return fault(p, "invalid UTF-8", pattern);
	while (p->rest.len) {
		enum err_code code = step(p, &stacked);

		if (code != ERR_OK)
			return code;
	}
	if (p->depth > 0)
		return fault(p, "missing closing )", pattern);
	return out->failed ? err_set(e, ERR_NOMEM, "regular expression") : ERR_OK;
}
