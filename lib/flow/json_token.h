/*
 * json_token - JSON text cut into tokens: what json_read builds on, and nobody else.
 *
 * Strict as RFC 8259 and the reference's decoder (Go's protojson): UTF-8 only, no control
 * characters in strings, paired surrogates, and a number or word must end where a delimiter begins.
 * Faults stick: after the first one every token is TOKEN_BAD.
 */
#ifndef TYCHO_FLOW_JSON_TOKEN_H
#define TYCHO_FLOW_JSON_TOKEN_H

#include "base/buf.h"
#include "base/err.h"

enum token_kind {
	TOKEN_BAD,
	TOKEN_END,
	TOKEN_STRING,
	TOKEN_NUMBER,
	TOKEN_TRUE,
	TOKEN_FALSE,
	TOKEN_NULL,
	TOKEN_OBJECT, /* {; from here on one character each */
	TOKEN_OBJECT_END,
	TOKEN_ARRAY, /* [ */
	TOKEN_ARRAY_END,
	TOKEN_COMMA,
	TOKEN_COLON,
};

struct token {
	enum token_kind kind;
	struct str raw;  /* as it stands in the text */
	struct str text; /* TOKEN_STRING: without quotes, escapes resolved */
};

struct lexer {
	const char *p, *end, *start;
	/* Strings with escapes are resolved behind the end of @out (never within its len): they
	 * last until the next token or the next write to @out. */
	struct buf *out;
	struct err *e;
	enum err_code code; /* of the first fault */
};

/* Room kept free before a resolved string, so that tag and length can be written in front of it. */
enum { TOKEN_HEAD_BYTES = 16 };

struct token token_next(struct lexer *x);
extern const uint8_t token_kinds_[256]; /* by first byte; TOKEN_BAD for those that begin none */

/* The token that would come next, not consumed. */
static inline enum token_kind token_peek(struct lexer *x)
{
	while (x->p < x->end && (*x->p == ' ' || *x->p == '\n' || *x->p == '\r' || *x->p == '\t'))
		x->p++;
	return x->p < x->end ? (enum token_kind)token_kinds_[(unsigned char)*x->p] : TOKEN_END;
}
bool token_expect_slow_(struct lexer *x, enum token_kind kind);
/* The next token, if it is of @kind; else a fault. */
static inline bool token_expect(struct lexer *x, enum token_kind kind)
{
	if (kind >= TOKEN_OBJECT && x->code == ERR_OK && token_peek(x) == kind) {
		x->p++; /* one character, and nothing to be checked */
		return true;
	}
	return token_expect_slow_(x, kind);
}
/* Consumes one value of any kind and depth up to @max_depth (at most TOKEN_MAX_DEPTH). */
enum { TOKEN_MAX_DEPTH = 10000 };
bool token_skip_value(struct lexer *x, size_t max_depth);

/* Faults, in the reference's words; they return false. "proto: syntax error (line 1:7): unexpected
 * token }". */
bool token_unexpected(struct lexer *x, const struct token *t);
/* "proto: (line 1:7): …", for tokens in the wrong place; @at is in the text. */
bool token_fault(struct lexer *x, const char *at, const char *fmt, ...) FORMAT(3, 4);

/* Integer value of number text in JSON grammar: "5", "5.0", "0.5e1" are 5; "5.5" is none. At most
 * 20 digits; @ret_negative for a minus before a number that is not zero. False if it is no integer
 * or no such text; text that follows a delimiter is ignored, as the reference does. */
bool token_integer(struct str text, uint64_t *ret_magnitude, bool *ret_negative);
/* Length of the number at the start of @text, 0 if there is none or no delimiter follows. */
size_t token_number_length(struct str text);

#endif
