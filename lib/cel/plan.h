/*
 * plan - what is known before any flow comes: constant parts are evaluated, fields of the flow
 * become paths, patterns and time zones are read.
 */
#ifndef TYCHO_CEL_PLAN_H
#define TYCHO_CEL_PLAN_H

#include "cel/eval.h"

/* Changes the checked tree in place; @ev's memory must live as long as the tree. Takes @ev's steps,
 * and as few as there are: what they do not suffice for is left to the evaluations. */
void plan(struct eval *ev, struct expr *root);
/* Frees what the tree owns beside its memory. */
void plan_done(struct expr *root);

#endif
