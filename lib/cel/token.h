/*
 * token - an expression's text in words.
 *
 * Source   CEL.g4 of cel-go. What is no token is an issue ("token recognition error at: …") and
 * skipped.
 */
#ifndef TYCHO_CEL_TOKEN_H
#define TYCHO_CEL_TOKEN_H

#include "cel/issue.h"

enum token_kind {
	TOKEN_END,
	TOKEN_EQUAL,
	TOKEN_NOT_EQUAL,
	TOKEN_IN,
	TOKEN_LESS,
	TOKEN_LESS_EQUAL,
	TOKEN_GREATER_EQUAL,
	TOKEN_GREATER,
	TOKEN_AND,
	TOKEN_OR,
	TOKEN_LBRACKET,
	TOKEN_RBRACKET,
	TOKEN_LBRACE,
	TOKEN_RBRACE,
	TOKEN_LPAREN,
	TOKEN_RPAREN,
	TOKEN_DOT,
	TOKEN_COMMA,
	TOKEN_MINUS,
	TOKEN_NOT,
	TOKEN_QUESTION,
	TOKEN_COLON,
	TOKEN_PLUS,
	TOKEN_STAR,
	TOKEN_SLASH,
	TOKEN_PERCENT,
	TOKEN_TRUE,
	TOKEN_FALSE,
	TOKEN_NULL,
	TOKEN_DOUBLE,
	TOKEN_INT,
	TOKEN_UINT,
	TOKEN_STRING,
	TOKEN_BYTES,
	TOKEN_IDENT,
	TOKEN_ESCAPED_IDENT, /* `a-b` */
};

struct token {
	uint32_t at, len; /* bytes */
	enum token_kind kind;
};

/* Splits @issues->text; the last token is TOKEN_END. NULL without memory. */
struct token *tokens_of(struct mem *mem, struct issues *issues);

/* What a literal stands for, in @mem; NULL p without memory. @ret_why is NULL or cel-go's sentence
 * of what is wrong. */
struct str string_literal(struct mem *mem, struct str source, bool bytes, const char **ret_why);

#endif
