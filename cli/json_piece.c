#include "cli/json_piece.h"

#include <stdio.h>

#include "base/gotext.h"

enum { DEPTH_MAX = 10000 };

struct cursor {
	const char *p, *end;
	struct err *e;
	size_t depth;
	uint8_t objects[DEPTH_MAX / 8 +
			1]; /* bit d: what is open at depth d is one, not an array */
};

static enum err_code at_end(struct cursor *c)
{
	return err_set(c->e, ERR_PARSE, "unexpected EOF");
}

/* The byte at the cursor is refused, or the text ends there. Bytes are shown as the characters of
 * these numbers, double quotes as they are. */
static enum err_code stray(struct cursor *c, const char *where)
{
	char shown[16];

	if (c->p == c->end)
		return at_end(c);
	if (*c->p == '"')
		return err_set(c->e, ERR_PARSE, "invalid character '\"' %s", where);
	return err_set(c->e, ERR_PARSE, "invalid character %s %s",
		       go_quote_rune((unsigned char)*c->p, shown, sizeof shown), where);
}

static bool is_at(const struct cursor *c, char wanted)
{
	return c->p < c->end && *c->p == wanted;
}

static bool is_digit(const struct cursor *c)
{
	return c->p < c->end && *c->p >= '0' && *c->p <= '9';
}

static void pass_blanks(struct cursor *c)
{
	while (is_at(c, ' ') || is_at(c, '\t') || is_at(c, '\r') || is_at(c, '\n'))
		c->p++;
}

/* ---- values without parts */

static enum err_code pass_escape(struct cursor *c)
{
	c->p++;
	if (c->p < c->end && *c->p != 'u') {
		if (!memchr("bfnrt\\/\"", *c->p, 8))
			return stray(c, "in string escape code");
		c->p++;
		return ERR_OK;
	}
	c->p += c->p < c->end;
	for (int i = 0; i < 4; i++, c->p++)
		if (c->p == c->end || !memchr("0123456789abcdefABCDEF", *c->p, 22))
			return stray(c, "in \\u hexadecimal character escape");
	return ERR_OK;
}

static enum err_code pass_string(struct cursor *c)
{
	for (c->p++; !is_at(c, '"');) {
		enum err_code code = ERR_OK;
		if (c->p == c->end || (unsigned char)*c->p < ' ')
			return stray(c, "in string literal");
		if (*c->p == '\\')
			code = pass_escape(c);
		else
			c->p++;
		if (code != ERR_OK)
			return code;
	}
	c->p++;
	return ERR_OK;
}

static enum err_code pass_digits(struct cursor *c, const char *where)
{
	if (!is_digit(c))
		return stray(c, where);
	while (is_digit(c))
		c->p++;
	return ERR_OK;
}

static enum err_code pass_number(struct cursor *c)
{
	enum err_code code = ERR_OK;

	c->p += is_at(c, '-');
	if (is_at(c, '0'))
		c->p++;
	else
		code = pass_digits(c, "in numeric literal");
	if (code == ERR_OK && is_at(c, '.')) {
		c->p++;
		code = pass_digits(c, "after decimal point in numeric literal");
	}
	if (code == ERR_OK && (is_at(c, 'e') || is_at(c, 'E'))) {
		c->p++;
		c->p += is_at(c, '+') || is_at(c, '-');
		code = pass_digits(c, "in exponent of numeric literal");
	}
	return code;
}

static enum err_code pass_word(struct cursor *c, const char *word)
{
	char where[48];

	for (size_t i = 0; word[i]; i++, c->p++)
		if (!is_at(c, word[i])) {
			(void)snprintf(where, sizeof where, "in literal %s (expecting '%c')", word,
				       word[i]);
			return stray(c, where);
		}
	return ERR_OK;
}

/* ---- those with parts */

static enum err_code pass_key(struct cursor *c)
{
	pass_blanks(c);
	if (!is_at(c, '"'))
		return stray(c, "looking for beginning of object key string");
	enum err_code code = pass_string(c);
	if (code != ERR_OK)
		return code;
	pass_blanks(c);
	if (!is_at(c, ':'))
		return stray(c, "after object key");
	c->p++;
	return ERR_OK;
}

/* At { or [. *@ret_done: that was all of it. Else a value is next. */
static enum err_code open_one(struct cursor *c, bool *ret_done)
{
	bool is_object = *c->p == '{';
	uint8_t bit = (uint8_t)(1U << c->depth % 8);

	if (c->depth == DEPTH_MAX)
		return stray(c, "exceeded max depth");
	c->objects[c->depth / 8] = (uint8_t)((c->objects[c->depth / 8] & ~bit) | is_object * bit);
	c->depth++;
	c->p++;
	pass_blanks(c);
	*ret_done = is_at(c, is_object ? '}' : ']');
	if (*ret_done) {
		c->p++;
		c->depth--;
		return ERR_OK;
	}
	return is_object ? pass_key(c) : ERR_OK;
}

/* Behind a value, all that ends with it is ended. *@ret_done: nothing is open any more. Else another
 * value is next. */
static enum err_code go_on(struct cursor *c, bool *ret_done)
{
	for (; c->depth; c->depth--, c->p++) {
		bool is_object = c->objects[(c->depth - 1) / 8] >> (c->depth - 1) % 8 & 1;
		*ret_done = false;
		pass_blanks(c);
		if (is_at(c, ',')) {
			c->p++;
			return is_object ? pass_key(c) : ERR_OK;
		}
		if (!is_at(c, is_object ? '}' : ']'))
			return stray(c, is_object ? "after object key:value pair"
						  : "after array element");
	}
	*ret_done = true;
	return ERR_OK;
}

enum err_code json_piece(struct str text, size_t *ret, struct err *e)
{
	struct cursor c = { .p = text.p, .end = text.p + text.len, .e = e };
	enum err_code code;

	for (bool is_done = false; !is_done;) {
		bool is_whole = true;
		pass_blanks(&c);
		if (is_at(&c, '{') || is_at(&c, '['))
			code = open_one(&c, &is_whole);
		else if (is_at(&c, '"'))
			code = pass_string(&c);
		else if (is_at(&c, '-') || is_digit(&c))
			code = pass_number(&c);
		else if (is_at(&c, 't') || is_at(&c, 'f') || is_at(&c, 'n'))
			code = pass_word(&c, *c.p == 't' ? "true" : *c.p == 'f' ? "false" : "null");
		else
			code = stray(&c, "looking for beginning of value");
		if (code == ERR_OK && is_whole)
			code = go_on(&c, &is_done);
		if (code != ERR_OK)
			return code;
	}
	*ret = (size_t)(c.p - text.p);
	return ERR_OK;
}
