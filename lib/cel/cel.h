/*
 * cel - expressions of the Common Expression Language over a flow, compiled once, evaluated within
 * bounds.
 *
 *	"_flow.verdict == Verdict.DROPPED && _flow.source.labels.exists(l, l.contains('web'))"
 *	     │ token.c, parse.c: a tree, macros expanded      │ check.c: types, names, overloads
 *	     v                                                v
 *	program ── one flow ──► yes, no, or why it has no answer
 *
 * The language is CEL as cel-go 0.26 has it by default (github.com/google/cel-spec, cel-go): the
 * variable _flow of type flow.Flow, names looked up in the container "flow" (so "Verdict.DROPPED"
 * and "flow.Verdict.DROPPED" are one), the standard functions and macros, no extensions, no
 * conversion between numbers that is not written down. Mistakes are reported with cel-go's
 * sentences, positions and excerpt; of a syntax error and what follows from it, only the first is.
 *
 * Limits   text CEL_TEXT_CHARS, nesting CEL_NESTING (both as cel-go). An evaluation ends, as a
 *          fault, after CEL_STEPS steps or when it needs more than CEL_MEMORY_BYTES: no expression
 *          can run away, whatever a flow holds. A step is one operation, one element, 64 bytes of
 *          text; a regular expression takes several hundred.
 * Owner    a program owns all it needs.
 * Threads  compile: any. eval: one thread per program (it holds the memory of an evaluation).
 */
#ifndef TYCHO_CEL_CEL_H
#define TYCHO_CEL_CEL_H

#include "base/err.h"
#include "flow/dict.h"
#include "flow/flow.h"

enum {
	CEL_TEXT_CHARS = 100000,
	CEL_NESTING = 250,
	CEL_STEPS = 200000,
	CEL_MEMORY_BYTES = 1 << 20,
};

struct cel_program;

enum cel_answer {
	CEL_NO,
	CEL_YES,
	CEL_FAULT, /* a run-time error: division by zero, index out of bounds, a limit, … */
};

/* @text is UTF-8. Fails with ERR_INVALID and
 *	ERROR: <input>:1:6: undefined field 'nope'
 *	 | _flow.nope
 *	 | .....^
 * one after the other where there are several; or, if the result is no bool,
 *	got "int", wanted "bool" result type
 * An expression whose types are too large to be worked out is "too complex". */
MUST_CHECK enum err_code cel_compile(struct str text, struct cel_program **ret, struct err *e);
void cel_free(struct cel_program *p); /* NULL is a no-op */
AUTO_DEFINE(struct cel_program, cel_free);

/* An evaluation takes at most so many steps from now on; 1..CEL_STEPS. */
void cel_set_steps(struct cel_program *p, uint32_t steps);

/* Records that are no flow are evaluated as a flow without any field. @dict is the dictionary of
 * @f. *@ret_why is set on CEL_FAULT only: the sentence, borrowed until the next evaluation. */
enum cel_answer cel_eval(struct cel_program *p, const struct flow *f, const struct flow_dict *dict,
			 struct str *ret_why);

#endif
