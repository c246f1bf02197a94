/*
 * syntax - how the parser takes tokens, and what it says of one that does not fit.
 *
 * Sentences, and the ways to go on after a mistake, are those of the parser that ANTLR generates
 * for cel-go: a token too many is left out, one that is missing is put in; whatever else does not
 * fit ends the parse.
 */
#ifndef TYCHO_CEL_SYNTAX_H
#define TYCHO_CEL_SYNTAX_H

#include "cel/token.h"

struct parser {
	struct mem *mem;
	struct issues *issues;
	const struct token *next; /* the last one is TOKEN_END */
	unsigned nesting;
};

/* Bit k stands for the enum token_kind k. */
typedef uint64_t token_set;
#define TOKEN_SET(kind) (UINT64_C(1) << (kind))
/* What an expression may start with. */
#define TOKENS_START                                                                               \
	(TOKEN_SET(TOKEN_LBRACKET) | TOKEN_SET(TOKEN_LBRACE) | TOKEN_SET(TOKEN_LPAREN) |           \
	 TOKEN_SET(TOKEN_DOT) | TOKEN_SET(TOKEN_MINUS) | TOKEN_SET(TOKEN_NOT) |                    \
	 TOKEN_SET(TOKEN_TRUE) | TOKEN_SET(TOKEN_FALSE) | TOKEN_SET(TOKEN_NULL) |                  \
	 TOKEN_SET(TOKEN_DOUBLE) | TOKEN_SET(TOKEN_INT) | TOKEN_SET(TOKEN_UINT) |                  \
	 TOKEN_SET(TOKEN_STRING) | TOKEN_SET(TOKEN_BYTES) | TOKEN_SET(TOKEN_IDENT))
/* What may stand behind an operand. */
#define TOKENS_AFTER                                                                               \
	(~TOKENS_START | TOKEN_SET(TOKEN_LBRACKET) | TOKEN_SET(TOKEN_DOT) | TOKEN_SET(TOKEN_MINUS))

static inline struct str token_text(const struct parser *p, const struct token *t)
{
	return str_upto(str_from(p->issues->text, t->at), t->len);
}
static inline bool token_in(const struct token *t, token_set set)
{
	return set >> t->kind & 1;
}
static inline bool accept_token(struct parser *p, enum token_kind kind)
{
	if (p->next->kind != kind)
		return false;
	p->next++;
	return true;
}
/* True if the next token is one of @wanted, after leaving out one if need be; else an issue. */
bool want_token(struct parser *p, token_set wanted);
/* Takes the token @kind; it counts as taken, too, if what may follow it (@after) is there already.
 */
bool expect_token(struct parser *p, enum token_kind kind, token_set after);
/* What comes behind @before is nothing that the parser could choose a rule by. */
void no_alternative(struct parser *p, const char *before);

#endif
