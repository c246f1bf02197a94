/*
 * macro - calls that are no calls: has(), and the loops all, exists, exists_one, map and filter.
 */
#ifndef TYCHO_CEL_MACRO_H
#define TYCHO_CEL_MACRO_H

#include "cel/ast.h"

/* If *@call is a macro, what it stands for takes its place; EXPR_BAD, and an issue, where its
 * arguments are none that the macro takes. */
void macro_expand(struct issues *issues, struct expr **call);

#endif
