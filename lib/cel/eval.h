/*
 * eval - one evaluation: the tree, a flow, and how much may still be spent.
 */
#ifndef TYCHO_CEL_EVAL_H
#define TYCHO_CEL_EVAL_H

#include "base/buf.h"
#include "cel/ast.h"
#include "cel/cel.h"

struct eval {
	struct mem *mem;
	size_t steps; /* left; 0: the evaluation is over, whatever else it yields */
	const struct flow *flow;
	const struct flow_dict *dict;
	const struct schema_message *schema; /* flow.Flow */
	struct buf flow_wire;                /* of a made flow, written when first asked for */
	bool has_flow_wire;
	struct value variables[CEL_NESTING];
};

struct value eval_expr(struct eval *ev, const struct expr *n);

/* Spends @n steps. False: there are none left. */
static inline bool eval_spend(struct eval *ev, size_t n)
{
	if (ev->steps <= n) {
		ev->steps = 0;
		return false;
	}
	ev->steps -= n;
	return true;
}
/* For texts: a step for 64 bytes. */
static inline bool eval_spend_bytes(struct eval *ev, size_t bytes)
{
	return eval_spend(ev, bytes / 64 + 1);
}
#define EVAL_EXHAUSTED VALUE_FAULT("the expression needs too many steps")
#define EVAL_NO_MEMORY VALUE_FAULT("the expression needs too much memory")

/* A copy in the evaluation's memory, or an error. */
struct value eval_keep_string(struct eval *ev, struct str s);
struct value eval_fault(struct eval *ev, const char *sentence);

/* What operators and functions do with @args, none of which is an error. */
typedef struct value op_fn(struct eval *ev, const struct expr *n, const struct value *args,
			   size_t count);
op_fn op_arithmetic;                                 /* arithmetic.c */
op_fn op_size, op_in, op_index, op_text, op_matches; /* collection.c, text.c */
op_fn op_convert;                                    /* convert.c */
op_fn op_time_part;                                  /* timepart.c */

#endif
