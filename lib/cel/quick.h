/*
 * quick - fields of a flow that its record answers, without a look at any bytes.
 */
#ifndef TYCHO_CEL_QUICK_H
#define TYCHO_CEL_QUICK_H

#include "cel/eval.h"

/* Reads the field. False: this flow's record does not hold it, ask the message. */
typedef bool quick_fn(struct eval *ev, int which, struct value *ret);

struct quick {
	const char *path; /* "source.pod_name" */
	quick_fn *read;
	int which; /* what the function makes of it: a side, a flag, … */
};

/* Of a path's value, or of its presence; NULL if there is no short cut. */
const struct quick *quick_find(const struct schema_field *const *path, size_t len, bool presence);

#endif
