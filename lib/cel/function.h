/*
 * function - the standard functions and operators: names, what they do, and which types they take.
 *
 * Source   cel-go common/stdlib/standard.go; its default environment, so numbers of different types
 * have no order.
 */
#ifndef TYCHO_CEL_FUNCTION_H
#define TYCHO_CEL_FUNCTION_H

#include "cel/ast.h"
#include "cel/type.h"

/*
 * Overloads, separated by blanks, each the result and then the parameters; a leading dot marks
 * methods:
 *
 *	b bool   i int   u uint   d double   s string   y bytes   t timestamp   D duration   * dyn
 *	[x list of x   {xy map from x to y   Tx the type x
 *	A, B any type, the same wherever it stands
 */
struct function {
	const char *name;
	const char *overloads;
	uint8_t op; /* enum op */
};

const struct function *function_find(struct str name); /* NULL if there is none */

struct overload {
	bool is_member;
	const struct type *result;
	const struct type *params[CALL_MAX_ARGS];
	size_t count;
};
/* Reads the next overload from *@rest, with unknown types of its own. False at the end. */
bool overload_next(struct typing *t, const char **rest, struct overload *ret);

#endif
