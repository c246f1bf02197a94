/*
 * ast - an expression as a tree, filled in stages: parse.c makes it, check.c adds types and what
 * names mean, plan.c what speeds evaluation up, eval.c walks it.
 */
#ifndef TYCHO_CEL_AST_H
#define TYCHO_CEL_AST_H

#include "cel/issue.h"
#include "cel/value.h"

struct function;
struct regex;
struct schema_field;
struct type;
struct quick;
struct zone;

enum expr_kind {
	EXPR_BAD,     /* where an issue was found; never checked or evaluated */
	EXPR_LITERAL, /* value */
	EXPR_NAME,    /* name */
	EXPR_SELECT,  /* args: the operand; name: the field */
	EXPR_HAS,     /* the same, for its presence */
	EXPR_CALL,    /* name: the function; args, with is_member the target first */
	EXPR_LIST,    /* args: elements */
	EXPR_MAP,     /* args: entries */
	EXPR_MESSAGE, /* name: the type; args: entries */
	EXPR_ENTRY,   /* args: key and value of a map; the value of a message's field (name) */
	EXPR_FOLD,    /* a macro: args: range, condition (but for plain map), result (of map); name:
			 the variable */
	/* from the checker on */
	EXPR_VARIABLE, /* slot: a macro's variable */
	EXPR_FLOW,     /* the variable _flow */
	/* from the planner on */
	EXPR_PATH, /* args: none; path: fields from _flow on */
	EXPR_HAS_PATH,
};

enum fold { FOLD_ALL, FOLD_EXISTS, FOLD_EXISTS_ONE, FOLD_MAP, FOLD_FILTER };

/* What a call does; the standard functions are listed in function.c. */
enum op {
	OP_AND,
	OP_OR,
	OP_NOT,
	OP_CONDITIONAL,
	OP_EQUAL,
	OP_NOT_EQUAL,
	OP_LESS,
	OP_LESS_EQUAL,
	OP_GREATER,
	OP_GREATER_EQUAL,
	OP_ADD,
	OP_SUBTRACT,
	OP_MULTIPLY,
	OP_DIVIDE,
	OP_MODULO,
	OP_NEGATE,
	OP_INDEX,
	OP_IN,
	OP_SIZE,
	OP_CONTAINS,
	OP_STARTS_WITH,
	OP_ENDS_WITH,
	OP_MATCHES,
	OP_TYPE,
	OP_DYN,
	OP_TO_BOOL,
	OP_TO_BYTES,
	OP_TO_DOUBLE,
	OP_TO_DURATION,
	OP_TO_INT,
	OP_TO_STRING,
	OP_TO_TIMESTAMP,
	OP_TO_UINT,
	OP_FULL_YEAR,
	OP_MONTH,
	OP_DAY_OF_YEAR,
	OP_DAY_OF_MONTH,
	OP_DATE,
	OP_DAY_OF_WEEK,
	OP_HOURS,
	OP_MINUTES,
	OP_SECONDS,
	OP_MILLISECONDS,
};

enum { CALL_MAX_ARGS = 3 }; /* of the functions that exist */

struct expr {
	uint8_t kind; /* enum expr_kind */
	uint8_t fold; /* enum fold */
	uint8_t op;   /* enum op; from the checker on */
	bool is_member;
	uint16_t depth; /* 1 for a leaf */
	uint16_t slot;  /* of a variable, in the order of nesting */
	uint16_t path_len;
	uint32_t arg_count;
	uint32_t at; /* byte in the text that stands for it in reports */
	struct expr *args, *last,
		*next; /* the first and the last argument; the next of the same parent */
	struct str name;
	struct value value;
	const struct type *type;
	const struct schema_message *message; /* of EXPR_MESSAGE */
	const struct schema_field
		*field; /* of EXPR_SELECT and EXPR_HAS if the operand is a message */
	const struct schema_field *const *path;
	const struct quick *quick; /* of a path that a record's members answer; else NULL */
	struct regex *regex;       /* of OP_MATCHES with a literal pattern; owned by the program */
	struct zone *zone;         /* of a time's part with a literal time zone; the same */
};

/* The tree of @issues->text, NULL without memory or when there are issues. */
struct expr *parse(struct mem *mem, struct issues *issues);

#endif
