/*
 * check - gives names their meaning and every part of an expression its type.
 */
#ifndef TYCHO_CEL_CHECK_H
#define TYCHO_CEL_CHECK_H

#include "cel/ast.h"
#include "cel/type.h"

/* Completes the tree in place: expr->type, and EXPR_NAME and EXPR_SELECT become what they name.
 * Mistakes become issues. False when memory, or patience with the types, ran out. */
bool check(struct expr *root, struct typing *typing, struct issues *issues);

#endif
