/*
 * filter_rule - what each filter flag of observe means: the fields of flow.FlowFilter that it
 * fills, and how its text becomes their value.
 */
#ifndef TYCHO_CLI_FILTER_RULE_H
#define TYCHO_CLI_FILTER_RULE_H

#include "base/err.h"
#include "base/str.h"
#include "flow/flow.pb-c.h"

/* How a flag's text becomes a value of its field. */
enum rule {
	RULE_NOT,
	RULE_TEXT,
	RULE_NAMESPACE,
	RULE_ANY_NAMESPACE,
	RULE_NUMBER, /* aux: the number, whatever the text */
	RULE_IP_VERSION,
	RULE_IP_TRACE_ID,
	RULE_VERDICT,
	RULE_DROP_REASON,
	RULE_TYPE,
	RULE_TCP_FLAGS,
	RULE_HTTP_HEADER,
	RULE_WORKLOAD,
	RULE_IDENTITY,
	RULE_DIRECTION,
	RULE_INTERFACE,
	RULE_CEL,
};

/* Where a namespace flag applies. */
enum side { SIDE_BOTH, SIDE_FROM, SIDE_TO, SIDE_COUNT_ };

struct filter_rule {
	const char *flag;
	enum rule rule;
	/* Fields of flow.FlowFilter, for the left and the right alternative; NULL right: the same
	 * as left. */
	const char *left, *right;
	int aux; /* RULE_NUMBER: the number; namespaces: enum side */
};

enum { FILTER_RULE_COUNT = 58 };
extern const struct filter_rule filter_rules[FILTER_RULE_COUNT];

/* Index of the rule for --@flag; FILTER_RULE_COUNT if there is none. */
size_t filter_rule_find(const char *flag);
/* Adds the value of @text to @field, one of the rule's two. ERR_INVALID with the reference's
 * sentence; @f then holds part of it and is of no use. */
MUST_CHECK enum err_code filter_rule_put(const struct filter_rule *rule, const char *field,
					 const char *text, Flow__FlowFilter *f, struct err *e);
/* Adds a copy of @text to the repeated string field @field. False: no memory. */
bool filter_add_text(Flow__FlowFilter *f, const char *field, struct str text);
/* The repeated string field @field of @f. */
void filter_text_field(Flow__FlowFilter *f, const char *field, char ****ret_items,
		       size_t **ret_count);

#endif
