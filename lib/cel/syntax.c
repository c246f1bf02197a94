#include "cel/syntax.h"

#include "base/buf.h"

enum { SET_BYTES = 256 };

static const char *const names[] = {
	[TOKEN_END] = "<EOF>",
	[TOKEN_EQUAL] = "'=='",
	[TOKEN_NOT_EQUAL] = "'!='",
	[TOKEN_IN] = "'in'",
	[TOKEN_LESS] = "'<'",
	[TOKEN_LESS_EQUAL] = "'<='",
	[TOKEN_GREATER_EQUAL] = "'>='",
	[TOKEN_GREATER] = "'>'",
	[TOKEN_AND] = "'&&'",
	[TOKEN_OR] = "'||'",
	[TOKEN_LBRACKET] = "'['",
	[TOKEN_RBRACKET] = "']'",
	[TOKEN_LBRACE] = "'{'",
	[TOKEN_RBRACE] = "'}'",
	[TOKEN_LPAREN] = "'('",
	[TOKEN_RPAREN] = "')'",
	[TOKEN_DOT] = "'.'",
	[TOKEN_COMMA] = "','",
	[TOKEN_MINUS] = "'-'",
	[TOKEN_NOT] = "'!'",
	[TOKEN_QUESTION] = "'?'",
	[TOKEN_COLON] = "':'",
	[TOKEN_PLUS] = "'+'",
	[TOKEN_STAR] = "'*'",
	[TOKEN_SLASH] = "'/'",
	[TOKEN_PERCENT] = "'%'",
	[TOKEN_TRUE] = "'true'",
	[TOKEN_FALSE] = "'false'",
	[TOKEN_NULL] = "'null'",
	[TOKEN_DOUBLE] = "NUM_FLOAT",
	[TOKEN_INT] = "NUM_INT",
	[TOKEN_UINT] = "NUM_UINT",
	[TOKEN_STRING] = "STRING",
	[TOKEN_BYTES] = "BYTES",
	[TOKEN_IDENT] = "IDENTIFIER",
	[TOKEN_ESCAPED_IDENT] = "ESC_IDENTIFIER",
};
_Static_assert(ARRAY_LEN(names) == TOKEN_ESCAPED_IDENT + 1, "a token without a name");

static struct str shown(const struct parser *p)
{
	return p->next->kind == TOKEN_END ? STR("<EOF>") : token_text(p, p->next);
}

/* "mismatched input 'x' expecting {'(', ')'}"; one token stands without braces. */
static void complain(struct parser *p, const char *what, token_set wanted)
{
	char space[SET_BYTES];
	struct buf b = buf_fixed(space, sizeof space);
	bool many = wanted & (wanted - 1);
	const char *before = many ? "{" : "";

	for (size_t kind = 0; kind < ARRAY_LEN(names); kind++)
		if (wanted >> kind & 1) {
			buf_printf(&b, "%s%s", before, names[kind]);
			before = ", ";
		}
	issue_add(p->issues, p->next->at, "Syntax error: %s '%.*s' expecting %.*s%s", what,
		  STR_FMT(shown(p)), STR_FMT(buf_str(&b)), many ? "}" : "");
}

/* Leaves out the next token if the one behind it fits. */
static bool leave_out(struct parser *p, token_set wanted)
{
	if (p->next->kind == TOKEN_END || !token_in(p->next + 1, wanted))
		return false;
	complain(p, "extraneous input", wanted);
	p->next++;
	return true;
}

bool want_token(struct parser *p, token_set wanted)
{
	if (token_in(p->next, wanted) || leave_out(p, wanted))
		return true;
	complain(p, "mismatched input", wanted);
	return false;
}

bool expect_token(struct parser *p, enum token_kind kind, token_set after)
{
	if (accept_token(p, kind))
		return true;
	if (leave_out(p, TOKEN_SET(kind)))
		return accept_token(p, kind);
	if (token_in(p->next, after)) {
		issue_add(p->issues, p->next->at, "Syntax error: missing %s at '%.*s'", names[kind],
			  STR_FMT(shown(p)));
		return true;
	}
	complain(p, "mismatched input", TOKEN_SET(kind));
	return false;
}

void no_alternative(struct parser *p, const char *before)
{
	issue_add(p->issues, p->next->at, "Syntax error: no viable alternative at input '%s%.*s'",
		  before, STR_FMT(token_text(p, p->next)));
}
