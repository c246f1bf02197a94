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
#include "cel/token.h"

struct parser {
	struct mem *mem;
	struct issues *issues;
	const struct token *next;
	unsigned nesting;
};

static struct expr *parse_expr(struct parser *p);

static struct str text_of(const struct parser *p, const struct token *t)
{
	return str_upto(str_from(p->issues->text, t->at), t->len);
}

static struct expr *too_deep(struct parser *p)
{
	issue_add(p->issues, NOWHERE, "expression recursion limit exceeded: %d", CEL_NESTING);
	return NULL;
}

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
	return n->depth > CEL_NESTING ? too_deep(p) : n;
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

/* --- syntax errors -------------------------------------------------------------------------- */

static const char *const starts =
	"{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, "
	"STRING, BYTES, IDENTIFIER}";

static bool starts_expr(enum token_kind kind)
{
	switch (kind) {
	case TOKEN_LBRACKET:
	case TOKEN_LBRACE:
	case TOKEN_LPAREN:
	case TOKEN_DOT:
	case TOKEN_MINUS:
	case TOKEN_NOT:
	case TOKEN_TRUE:
	case TOKEN_FALSE:
	case TOKEN_NULL:
	case TOKEN_DOUBLE:
	case TOKEN_INT:
	case TOKEN_UINT:
	case TOKEN_STRING:
	case TOKEN_BYTES:
	case TOKEN_IDENT:
		return true;
	default:
		return false;
	}
}

static struct str shown(const struct parser *p, const struct token *t)
{
	return t->kind == TOKEN_END ? STR("<EOF>") : text_of(p, t);
}

static struct expr *syntax(struct parser *p, const char *what, const char *expecting)
{
	issue_add(p->issues, p->next->at, "Syntax error: %s '%.*s' expecting %s", what,
		  STR_FMT(shown(p, p->next)), expecting);
	return NULL;
}

/* The generated parser tries to mend an input: by leaving out one token, or by putting in the one
 * that is missing. */
static struct expr *unexpected_start(struct parser *p)
{
	bool extra = p->next->kind != TOKEN_END && starts_expr(p->next[1].kind);

	return syntax(p, extra ? "extraneous input" : "mismatched input", starts);
}

static bool accept(struct parser *p, enum token_kind kind)
{
	if (p->next->kind != kind)
		return false;
	p->next++;
	return true;
}

static bool expect(struct parser *p, enum token_kind kind, const char *name)
{
	if (accept(p, kind))
		return true;
	if (p->next->kind != TOKEN_END && p->next[1].kind == kind)
		(void)syntax(p, "extraneous input", name);
	else
		issue_add(p->issues, p->next->at, "Syntax error: missing %s at '%.*s'", name,
			  STR_FMT(shown(p, p->next)));
	return false;
}

static struct expr *no_field_name(struct parser *p)
{
	struct str found = p->next->kind == TOKEN_END ? STR("") : text_of(p, p->next);

	if (p->next->kind == TOKEN_TRUE || p->next->kind == TOKEN_FALSE ||
	    p->next->kind == TOKEN_NULL)
		return syntax(p, "mismatched input", "IDENTIFIER");
	issue_add(p->issues, p->next->at, "Syntax error: no viable alternative at input '.%.*s'",
		  STR_FMT(found));
	return NULL;
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
	struct str s = text_of(p, t);
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
		return literal_new(p, at, VALUE_NULL_);
	default:
		return literal_new(p, at, value_bool(t->kind == TOKEN_TRUE));
	}
}

/* --- the grammar, from the inside out ------------------------------------------------------- */

/* "(a, b)" behind its parenthesis, onto the arguments of @call. */
static struct expr *parse_args(struct parser *p, struct expr *call)
{
	if (!call || accept(p, TOKEN_RPAREN))
		return call;
	do {
		call = expr_add(p, call, parse_expr(p));
		if (!call)
			return NULL;
	} while (accept(p, TOKEN_COMMA));
	return expect(p, TOKEN_RPAREN, "')'") ? call : NULL;
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

static bool refuse_optional(struct parser *p, const char *sentence)
{
	if (p->next->kind != TOKEN_QUESTION)
		return false;
	issue_add(p->issues, p->next->at, "%s", sentence);
	p->next++;
	return true;
}

static bool parse_field_name(struct parser *p, struct str *ret)
{
	if (p->next->kind == TOKEN_ESCAPED_IDENT)
		issue_add(p->issues, p->next->at, "unsupported syntax: '`'");
	else if (p->next->kind != TOKEN_IDENT)
		return false;
	*ret = text_of(p, p->next++);
	return true;
}

/* "key: value" or, in a message, "field: value". */
static struct expr *parse_entry(struct parser *p, bool of_message)
{
	struct expr *entry = expr_new(p, EXPR_ENTRY, p->next->at), *key = NULL;

	if (!entry)
		return NULL;
	(void)refuse_optional(p, "unsupported syntax '?'");
	if (of_message && !parse_field_name(p, &entry->name))
		return syntax(p, "mismatched input", "IDENTIFIER");
	if (!of_message && !(key = parse_expr(p)))
		return NULL;
	entry->at = p->next->at;
	if (!expect(p, TOKEN_COLON, "':'"))
		return NULL;
	if (key)
		entry = expr_add(p, entry, key);
	return expr_add(p, entry, parse_expr(p));
}

/* Entries or elements behind the opening bracket, a trailing comma allowed. */
static struct expr *parse_items(struct parser *p, struct expr *n, enum token_kind end,
				const char *end_name)
{
	/* as the grammar has it, a comma may stand alone */
	if (n && accept(p, TOKEN_COMMA))
		return expect(p, end, end_name) ? n : NULL;
	while (n && p->next->kind != end) {
		if (n->kind == EXPR_LIST)
			(void)refuse_optional(p, "unsupported syntax '?'");
		n = expr_add(p, n,
			     n->kind == EXPR_LIST ? parse_expr(p)
						  : parse_entry(p, n->kind == EXPR_MESSAGE));
		if (!n || !accept(p, TOKEN_COMMA))
			break;
	}
	return n && expect(p, end, end_name) ? n : NULL;
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
		struct str part = text_of(p, p->next);
		memcpy(to + len, part.p, part.len);
		len += part.len;
	}
	n->name = str_n(to, len);
	p->next++;
	return parse_items(p, n, TOKEN_RBRACE, "'}'");
}

static struct expr *parse_name(struct parser *p)
{
	uint32_t at = p->next->at;
	bool dot = accept(p, TOKEN_DOT);
	const struct token *brace = message_brace(p->next), *t = p->next;

	if (t->kind != TOKEN_IDENT)
		return syntax(p, "mismatched input", "IDENTIFIER");
	if (brace)
		return parse_message(p, brace, dot);
	p->next++;
	bool is_call = p->next->kind == TOKEN_LPAREN;
	struct expr *n;
	if (is_reserved(text_of(p, t))) {
		issue_add(p->issues, at, "reserved identifier: %.*s", STR_FMT(text_of(p, t)));
		n = expr_new(p, EXPR_BAD, at);
	} else {
		n = expr_new(p, is_call ? EXPR_CALL : EXPR_NAME, is_call ? p->next->at : t->at);
		if (n)
			n->name = name_text(p, dot, text_of(p, t));
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
	const struct token *t = p->next;
	struct expr *n;

	switch (t->kind) {
	case TOKEN_DOT:
	case TOKEN_IDENT:
		return parse_name(p);
	case TOKEN_LPAREN:
		p->next++;
		n = parse_expr(p);
		return n && expect(p, TOKEN_RPAREN, "')'") ? n : NULL;
	case TOKEN_LBRACKET:
		p->next++;
		return parse_items(p, expr_new(p, EXPR_LIST, t->at), TOKEN_RBRACKET, "']'");
	case TOKEN_LBRACE:
		p->next++;
		return parse_items(p, expr_new(p, EXPR_MAP, t->at), TOKEN_RBRACE, "'}'");
	case TOKEN_MINUS:
		if (t[1].kind == TOKEN_INT || t[1].kind == TOKEN_DOUBLE) {
			p->next++;
			return parse_literal(p, t->at, true);
		}
		return unexpected_start(p);
	case TOKEN_TRUE:
	case TOKEN_FALSE:
	case TOKEN_NULL:
	case TOKEN_DOUBLE:
	case TOKEN_INT:
	case TOKEN_UINT:
	case TOKEN_STRING:
	case TOKEN_BYTES:
		return parse_literal(p, t->at, false);
	default:
		return unexpected_start(p);
	}
}

/* ".field" or ".method(args)" behind @operand. */
static struct expr *parse_select(struct parser *p, struct expr *operand)
{
	const struct token *dot = p->next++;
	bool optional = refuse_optional(p, "unsupported syntax '.?'");
	const struct token *t = p->next;
	struct str name;

	if (!parse_field_name(p, &name))
		return no_field_name(p);
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
			(void)refuse_optional(p, "unsupported syntax '[?'");
			n = call_new(p, "_[_]", t->at, n, NULL);
			n = expr_add(p, n, n ? parse_expr(p) : NULL);
			if (n && !expect(p, TOKEN_RBRACKET, "']'"))
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
	size_t count = 0;

	if (sign == TOKEN_NOT)
		for (; accept(p, sign); count++)
			;
	else if (sign == TOKEN_MINUS && p->next[1].kind != TOKEN_INT &&
		 p->next[1].kind != TOKEN_DOUBLE)
		for (; accept(p, sign); count++)
			;
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

	if (!n || !accept(p, TOKEN_QUESTION))
		return n;
	struct expr *yes = parse_chain(p, TOKEN_OR);
	if (!yes || !expect(p, TOKEN_COLON, "':'"))
		return NULL;
	n = call_new(p, "_?_:_", t->at, n, yes);
	return expr_add(p, n, n ? parse_expr(p) : NULL);
}

static struct expr *parse_expr(struct parser *p)
{
	if (p->nesting >= CEL_NESTING)
		return too_deep(p);
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
	if (n && p.next->kind != TOKEN_END)
		(void)syntax(&p,
			     p.next[1].kind == TOKEN_END ? "extraneous input" : "mismatched input",
			     "<EOF>");
	return issues->count ? NULL : n;
}
