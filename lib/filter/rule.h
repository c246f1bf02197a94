/*
 * rule - one FlowFilter, compiled: the predicates that must all hold, cheapest first.
 */
#ifndef TYCHO_FILTER_RULE_H
#define TYCHO_FILTER_RULE_H

#include "filter/pred.h"

enum { RULE_PREDS = 40 }; /* fields of flow.FlowFilter */

struct rule {
	size_t count; /* 0: matches everything */
	struct pred *preds[RULE_PREDS];
};

/* Fields are compiled, and so complained about, in the reference's order. On failure *@r is empty.
 * @e must not be NULL. */
MUST_CHECK enum err_code rule_init(struct rule *r, const struct Flow__FlowFilter *ff,
				   const struct flow_dict *dict, struct err *e);
void rule_done(struct rule *r);

#endif
