/*
 * Grammar. Source: CEL.g4 and parser.go of cel-go; which token stands for a
 * node in reports, too.
 *
 * Recursive descent, one function per rule. A syntax error ends the parse (NULL goes up); mistakes
 * that leave the grammar intact are issues, and the parse goes on.
 */
#include "cel/ast.h"

#include "cel/cel.h"
#include "cel/macro.h"
#include "cel/number.h"
#include "cel/syntax.h"

static struct expr *parse_expr(struct parser *p);

static struct expr *expr_new(struct parser *p, enum expr_kind kind, uint32_t at)
{
	struct expr *n = mem_get(p->mem, sizeof *n);

	if (!n) {
		issue_add(p->issues, NOWHERE, "not enough memory");
		return NULL;
	}
	n->kind = (uint8_t)kind;
	n->at = at;
	n->depth = 1;
	return n;
}

/* A mistake that the parse survives. */
static struct expr *bad(struct parser *p, uint32_t at, const char *sentence)
{
	issue_add(p->issues, at, "%s", sentence);
	return expr_new(p, EXPR_BAD, at);
}

/* Makes @arg, which may be NULL after a failure, the last argument of @n. @return n, or NULL. */
static struct expr *expr_add(struct parser *p, struct expr *n, struct expr *arg)
{
	if (!n || !arg)
		return NULL;
	if (n->last)
		n->last->next = arg;
	else
		n->args = arg;
	n->last = arg;
	arg->next = NULL;
	n->arg_count++;
	if (arg->depth >= n->depth)
		n->depth = (uint16_t)(arg->depth + 1);
	if (n->depth <= CEL_NESTING)
		return n;
	issue_add(p->issues, NOWHERE, "max recursion depth exceeded");
	return NULL;
}

static struct expr *call_new(struct parser *p, const char *function, uint32_t at, struct expr *a,
			     struct expr *b)
{
	struct expr *n = a ? expr_new(p, EXPR_CALL, at) : NULL;

	if (!n)
		return NULL;
	n->name = str_of(function);
	n = expr_add(p, n, a);
	return b ? expr_add(p, n, b) : n;
}

/* --- literals ------------------------------------------------------------------------------- */

static struct expr *literal_new(struct parser *p, uint32_t at, struct value value)
{
	struct expr *n = expr_new(p, EXPR_LITERAL, at);

	if (n)
		n->value = value;
	return n;
}

static bool parse_magnitude(struct str s, uint64_t *ret)
{
	uint64_t v = 0;

	if (!str_has_prefix(s, STR("0x")))
		return parse_u64(s, UINT64_MAX, ret);
	for (size_t i = 2; i < s.len; i++) {
		char c = s.p[i];
		uint64_t digit = c <= '9' ? (uint64_t)(c - '0') : (uint64_t)((c | 0x20) - 'a' + 10);

		if (v >> 60)
			return false;
		v = v << 4 | digit;
	}
	*ret = v;
	return true;
}

static struct expr *int_literal(struct parser *p, uint32_t at, struct str s, bool negative)
{
	uint64_t v;

	if (!parse_magnitude(s, &v) || v > (uint64_t)INT64_MAX + negative)
		return bad(p, at, "invalid int literal");
	return literal_new(p, at, value_int((int64_t)(negative ? -v : v)));
}

static struct expr *double_literal(struct parser *p, uint32_t at, struct str s, bool negative)
{
	double v;

	if (!parse_double(s, &v))
		return bad(p, at, "invalid double literal");
	return literal_new(p, at, value_double(negative ? -v : v));
}

static struct expr *text_literal(struct parser *p, uint32_t at, struct str s, bool bytes)
{
	const char *why;
	struct str v = string_literal(p->mem, str_from(s, bytes), bytes, &why);

	if (why)
		return bad(p, at, why);
	return v.p ? literal_new(p, at, bytes ? value_bytes(v) : value_string(v))
		   : expr_new(p, EXPR_BAD, at);
}

/* A literal whose first token, the sign perhaps, is at @at; the next token is its last. */
static struct expr *parse_literal(struct parser *p, uint32_t at, bool negative)
{
	const struct token *t = p->next++;
	struct str s = token_text(p, t);
	uint64_t v;

	switch (t->kind) {
	case TOKEN_INT:
		return int_literal(p, at, s, negative);
	case TOKEN_UINT:
		if (!parse_magnitude(str_upto(s, s.len - 1), &v))
			return bad(p, at, "invalid uint literal");
		return literal_new(p, at, value_uint(v));
	case TOKEN_DOUBLE:
		return double_literal(p, at, s, negative);
	case TOKEN_STRING:
	case TOKEN_BYTES:
		return text_literal(p, at, s, t->kind == TOKEN_BYTES);
	case TOKEN_NULL:
		return literal_new(p, at, value_null());
	default:
		return literal_new(p, at, value_bool(t->kind == TOKEN_TRUE));
	}
}

/* --- the grammar, from the inside out ------------------------------------------------------- */

/* "(a, b)" behind its parenthesis, onto the arguments of @call. */
static struct expr *parse_args(struct parser *p, struct expr *call)
{
	if (!call || !want_token(p, TOKENS_START | TOKEN_SET(TOKEN_RPAREN)))
		return NULL;
	if (accept_token(p, TOKEN_RPAREN))
		return call;
	do {
		call = expr_add(p, call, parse_expr(p));
		if (!call)
			return NULL;
	} while (accept_token(p, TOKEN_COMMA));
	return expect_token(p, TOKEN_RPAREN, TOKENS_AFTER) ? call : NULL;
}

static bool is_reserved(struct str s)
{
	static const char *const words[] = { "as",   "break",    "const",     "continue", "else",
					     "for",  "function", "if",        "import",   "let",
					     "loop", "package",  "namespace", "return",   "var",
					     "void", "while" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (str_is(s, words[i]))
			return true;
	return false;
}

/* A name with the dot before it, if there is one. */
static struct str name_text(struct parser *p, bool dot, struct str s)
{
	if (!dot)
		return s;
	char *to = mem_get(p->mem, s.len + 1);
	if (!to)
		return s;
	to[0] = '.';
	memcpy(to + 1, s.p, s.len);
	return str_n(to, s.len + 1);
}

/* Is what comes "a.b.c{", a message? @return its brace, or NULL. */
static const struct token *message_brace(const struct token *t)
{
	while (t[0].kind == TOKEN_IDENT && t[1].kind == TOKEN_DOT)
		t += 2;
	return t[0].kind == TOKEN_IDENT && t[1].kind == TOKEN_LBRACE ? t + 1 : NULL;
}

/* Optional syntax is an extension: "a.?b" and its like are reported at @at. */
static bool refuse_optional(struct parser *p, uint32_t at, const char *sentence)
{
	if (!accept_token(p, TOKEN_QUESTION))
		return false;
	issue_add(p->issues, at, "%s", sentence);
	return true;
}

static bool parse_field_name(struct parser *p, struct str *ret)
{
	if (p->next->kind == TOKEN_ESCAPED_IDENT)
		issue_add(p->issues, p->next->at, "unsupported syntax: '`'");
	else if (p->next->kind != TOKEN_IDENT)
		return false;
	*ret = token_text(p, p->next++);
	return true;
}

/* "key: value" or, in a message, "field: value". */
static struct expr *parse_entry(struct parser *p, bool of_message)
{
	struct expr *entry = expr_new(p, EXPR_ENTRY, p->next->at), *key = NULL;

	if (!entry)
		return NULL;
	(void)refuse_optional(p, p->next->at, "unsupported syntax '?'");
	if (of_message &&
	    (!want_token(p, TOKEN_SET(TOKEN_IDENT) | TOKEN_SET(TOKEN_ESCAPED_IDENT)) ||
	     !parse_field_name(p, &entry->name)))
		return NULL;
	if (!of_message && !(key = parse_expr(p)))
		return NULL;
	entry->at = p->next->at;
	if (!expect_token(p, TOKEN_COLON, TOKENS_START))
		return NULL;
	if (key)
		entry = expr_add(p, entry, key);
	return expr_add(p, entry, parse_expr(p));
}

/* Entries or elements behind the opening bracket; a comma may trail, or stand alone. */
static struct expr *parse_items(struct parser *p, struct expr *n, enum token_kind end)
{
	token_set item = n && n->kind == EXPR_MESSAGE
				 ? TOKEN_SET(TOKEN_IDENT) | TOKEN_SET(TOKEN_ESCAPED_IDENT)
				 : TOKENS_START;

	item |= TOKEN_SET(TOKEN_QUESTION);
	if (!n || !want_token(p, item | TOKEN_SET(end) | TOKEN_SET(TOKEN_COMMA)))
		return NULL;
	while (token_in(p->next, item)) {
		if (n->kind == EXPR_LIST)
			(void)refuse_optional(p, p->next->at, "unsupported syntax '?'");
		n = expr_add(p, n,
			     n->kind == EXPR_LIST ? parse_expr(p)
						  : parse_entry(p, n->kind == EXPR_MESSAGE));
		if (!n || !want_token(p, TOKEN_SET(end) | TOKEN_SET(TOKEN_COMMA)))
			return NULL;
		if (p->next->kind != TOKEN_COMMA || !token_in(p->next + 1, item))
			break;
		p->next++;
	}
	(void)accept_token(p, TOKEN_COMMA);
	return expect_token(p, end, TOKENS_AFTER) ? n : NULL;
}

static struct expr *parse_message(struct parser *p, const struct token *brace, bool dot)
{
	struct expr *n = expr_new(p, EXPR_MESSAGE, brace->at);
	char *to = mem_get(p->mem, brace->at - p->next->at + dot);
	size_t len = 0;

	if (!n || !to)
		return NULL;
	if (dot)
		to[len++] = '.';
	for (; p->next < brace; p->next++) {
		struct str part = token_text(p, p->next);
		memcpy(to + len, part.p, part.len);
		len += part.len;
	}
	n->name = str_n(to, len);
	p->next++;
	return parse_items(p, n, TOKEN_RBRACE);
}

static struct expr *parse_name(struct parser *p)
{
	uint32_t at = p->next->at;
	bool dot = accept_token(p, TOKEN_DOT);
	const struct token *brace = message_brace(p->next), *t = p->next;

	if (t->kind != TOKEN_IDENT) {
		no_alternative(p, ".");
		return NULL;
	}
	if (brace)
		return parse_message(p, brace, dot);
	p->next++;
	bool is_call = p->next->kind == TOKEN_LPAREN;
	struct expr *n;
	if (is_reserved(token_text(p, t))) {
		issue_add(p->issues, at, "reserved identifier: %.*s", STR_FMT(token_text(p, t)));
		n = expr_new(p, EXPR_BAD, at);
	} else {
		n = expr_new(p, is_call ? EXPR_CALL : EXPR_NAME, is_call ? p->next->at : t->at);
		if (n)
			n->name = name_text(p, dot, token_text(p, t));
	}
	if (!is_call)
		return n;
	p->next++;
	n = parse_args(p, n);
	if (n && n->kind == EXPR_CALL)
		macro_expand(p->issues, &n);
	return n;
}

static struct expr *parse_primary(struct parser *p)
{
	struct expr *n;

	if (!want_token(p, TOKENS_START))
		return NULL;
	const struct token *t = p->next;
	switch (t->kind) {
	case TOKEN_DOT:
	case TOKEN_IDENT:
		return parse_name(p);
	case TOKEN_LPAREN:
		p->next++;
		n = parse_expr(p);
		return n && expect_token(p, TOKEN_RPAREN, TOKENS_AFTER) ? n : NULL;
	case TOKEN_LBRACKET:
		p->next++;
		return parse_items(p, expr_new(p, EXPR_LIST, t->at), TOKEN_RBRACKET);
	case TOKEN_LBRACE:
		p->next++;
		return parse_items(p, expr_new(p, EXPR_MAP, t->at), TOKEN_RBRACE);
	case TOKEN_MINUS:
		if (t[1].kind == TOKEN_INT || t[1].kind == TOKEN_DOUBLE) {
			p->next++;
			return parse_literal(p, t->at, true);
		}
		p->next++;
		no_alternative(p, "-");
		return NULL;
	case TOKEN_TRUE:
	case TOKEN_FALSE:
	case TOKEN_NULL:
	case TOKEN_DOUBLE:
	case TOKEN_INT:
	case TOKEN_UINT:
	case TOKEN_STRING:
	case TOKEN_BYTES:
		return parse_literal(p, t->at, false);
	default: /* "!" behind a sign */
		(void)want_token(p, TOKENS_START & ~TOKEN_SET(TOKEN_NOT));
		return NULL;
	}
}

static void no_field_name(struct parser *p)
{
	if (p->next->kind == TOKEN_TRUE || p->next->kind == TOKEN_FALSE ||
	    p->next->kind == TOKEN_NULL)
		issue_add(p->issues, p->next->at,
			  "Syntax error: mismatched input '%.*s' expecting IDENTIFIER",
			  STR_FMT(token_text(p, p->next)));
	else
		no_alternative(p, ".");
}

/* ".field" or ".method(args)" behind @operand. */
static struct expr *parse_select(struct parser *p, struct expr *operand)
{
	const struct token *dot = p->next++;
	bool optional = refuse_optional(p, dot->at, "unsupported syntax '.?'");
	const struct token *t = p->next;
	struct str name;

	if (!parse_field_name(p, &name)) {
		no_field_name(p);
		return NULL;
	}
	bool is_call = t->kind == TOKEN_IDENT && !optional && p->next->kind == TOKEN_LPAREN;
	struct expr *n =
		expr_new(p, is_call ? EXPR_CALL : EXPR_SELECT, is_call ? p->next->at : dot->at);
	if (!n)
		return NULL;
	n->name = name;
	n->is_member = is_call;
	n = expr_add(p, n, operand);
	if (!is_call)
		return n;
	p->next++;
	n = parse_args(p, n);
	if (n)
		macro_expand(p->issues, &n);
	return n;
}

static struct expr *parse_member(struct parser *p)
{
	struct expr *n = parse_primary(p);

	while (n) {
		const struct token *t = p->next;

		if (t->kind == TOKEN_DOT) {
			n = parse_select(p, n);
		} else if (t->kind == TOKEN_LBRACKET) {
			p->next++;
			(void)refuse_optional(p, t->at, "unsupported syntax '[?'");
			n = call_new(p, "_[_]", t->at, n, NULL);
			n = expr_add(p, n, n ? parse_expr(p) : NULL);
			if (n && !expect_token(p, TOKEN_RBRACKET, TOKENS_AFTER))
				return NULL;
		} else {
			break;
		}
	}
	return n;
}

/* Signs cancel out in pairs. "-1" is a literal, "- -1" is not. */
static struct expr *parse_unary(struct parser *p)
{
	const struct token *first = p->next;
	enum token_kind sign = first->kind;
	bool is_sign = sign == TOKEN_NOT || (sign == TOKEN_MINUS && first[1].kind != TOKEN_INT &&
					     first[1].kind != TOKEN_DOUBLE);
	size_t count = 0;

	while (is_sign && accept_token(p, sign))
		count++;
	if (count && sign == TOKEN_MINUS &&
	    (p->next->kind == TOKEN_NOT || !token_in(p->next, TOKENS_START))) {
		no_alternative(p, "-");
		return NULL;
	}
	struct expr *n = parse_member(p);
	if (count % 2 == 0)
		return n;
	return call_new(p, sign == TOKEN_NOT ? "!_" : "-_", first->at, n, NULL);
}

static const struct binary {
	uint8_t token;
	uint8_t level; /* higher binds tighter */
	const char *function;
} binaries[] = {
	{ TOKEN_LESS, 1, "_<_" },
	{ TOKEN_LESS_EQUAL, 1, "_<=_" },
	{ TOKEN_GREATER_EQUAL, 1, "_>=_" },
	{ TOKEN_GREATER, 1, "_>_" },
	{ TOKEN_EQUAL, 1, "_==_" },
	{ TOKEN_NOT_EQUAL, 1, "_!=_" },
	{ TOKEN_IN, 1, "@in" },
	{ TOKEN_PLUS, 2, "_+_" },
	{ TOKEN_MINUS, 2, "_-_" },
	{ TOKEN_STAR, 3, "_*_" },
	{ TOKEN_SLASH, 3, "_/_" },
	{ TOKEN_PERCENT, 3, "_%_" },
};
enum { RELATION = 1, TIGHTEST = 3 };

static const struct binary *binary_of(enum token_kind kind)
{
	for (size_t i = 0; i < ARRAY_LEN(binaries); i++)
		if (binaries[i].token == kind)
			return &binaries[i];
	return NULL;
}

/* All are left-associative. */
static struct expr *parse_binary(struct parser *p, int level)
{
	struct expr *n = level > TIGHTEST ? parse_unary(p) : parse_binary(p, level + 1);

	while (n && level <= TIGHTEST) {
		const struct token *t = p->next;
		const struct binary *b = binary_of(t->kind);

		if (!b || b->level != level)
			break;
		p->next++;
		struct expr *right = parse_binary(p, level + 1);
		n = right ? call_new(p, b->function, t->at, n, right) : NULL;
	}
	return n;
}

/* Chains of && and || become balanced trees, as deep as their logarithm. Operator @i stands between
 * the terms @i and
 * @i + 1. */
struct chain {
	const char *function;
	struct expr **terms;
	const uint32_t *ops;
};

static struct expr *balance(struct parser *p, const struct chain *c, size_t low, size_t high)
{
	size_t middle = (low + high + 1) / 2;
	struct expr *left = middle == low ? c->terms[middle] : balance(p, c, low, middle - 1);
	struct expr *right =
		middle == high ? c->terms[middle + 1] : balance(p, c, middle + 1, high);

	return left && right ? call_new(p, c->function, c->ops[middle], left, right) : NULL;
}

static struct expr *parse_chain(struct parser *p, enum token_kind op)
{
	struct expr *first = op == TOKEN_OR ? parse_chain(p, TOKEN_AND) : parse_binary(p, RELATION);
	struct expr *last = first;
	size_t count = 0;

	/* the terms are strung together until their number is known */
	for (; last && p->next->kind == op; count++) {
		struct expr *mark = expr_new(p, EXPR_BAD, p->next->at);

		p->next++;
		last->next = mark;
		if (!mark)
			return NULL;
		mark->next = op == TOKEN_OR ? parse_chain(p, TOKEN_AND) : parse_binary(p, RELATION);
		last = mark->next;
	}
	if (!last || !count)
		return last;
	struct expr **terms = mem_get(p->mem, (count + 1) * sizeof(struct expr *));
	uint32_t *ops = mem_get(p->mem, count * sizeof *ops);
	if (!terms || !ops)
		return NULL;
	terms[0] = first;
	for (size_t i = 0; i < count; i++) {
		struct expr *mark = terms[i]->next;

		ops[i] = mark->at;
		terms[i + 1] = mark->next;
	}
	struct chain c = { op == TOKEN_OR ? "_||_" : "_&&_", terms, ops };
	return balance(p, &c, 0, count - 1);
}

static struct expr *parse_conditional(struct parser *p)
{
	struct expr *n = parse_chain(p, TOKEN_OR);
	const struct token *t = p->next;

	if (!n || !accept_token(p, TOKEN_QUESTION))
		return n;
	struct expr *yes = parse_chain(p, TOKEN_OR);
	if (!yes || !expect_token(p, TOKEN_COLON, TOKENS_START))
		return NULL;
	n = call_new(p, "_?_:_", t->at, n, yes);
	return expr_add(p, n, n ? parse_expr(p) : NULL);
}

static struct expr *parse_expr(struct parser *p)
{
	if (p->nesting >= CEL_NESTING) {
		issue_add(p->issues, NOWHERE, "expression recursion limit exceeded: %d",
			  CEL_NESTING);
		return NULL;
	}
	p->nesting++;
	struct expr *n = parse_conditional(p);
	p->nesting--;
	return n;
}

static size_t chars_of(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += ((uint8_t)s.p[i] & 0xc0) != 0x80;
	return n;
}

struct expr *parse(struct mem *mem, struct issues *issues)
{
	struct parser p = { .mem = mem, .issues = issues };
	size_t chars = chars_of(issues->text);

	if (chars > CEL_TEXT_CHARS || issues->text.len > 4 * CEL_TEXT_CHARS) {
		issue_add(issues, NOWHERE,
			  "expression code point size exceeds limit: size: %zu, limit %d", chars,
			  CEL_TEXT_CHARS);
		return NULL;
	}
	p.next = tokens_of(mem, issues);
	if (!p.next)
		return NULL;
	struct expr *n = parse_expr(&p);
	if (n)
		(void)expect_token(&p, TOKEN_END, 0);
	return issues->count ? NULL : n;
}
