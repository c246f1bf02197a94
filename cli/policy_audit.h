/*
 * policy_audit - what an audit found, as text for people or as JSON.
 */
#ifndef TYCHO_CLI_POLICY_AUDIT_H
#define TYCHO_CLI_POLICY_AUDIT_H

#include "base/buf.h"
#include "policy/audit.h"

/* Everything that is said. */
struct audited {
	const struct policy_set *set; /* policies' origins are the files they are from */
	const struct audit_report *report;
	struct str remarks; /* lines about how whole the record is */
	bool chosen;        /* filters chose among the flows */
};

void audit_put_text(struct buf *b, const struct audited *a);
/* One object a line: each rule, then what is no rule, and the summary last. */
void audit_put_json(struct buf *b, const struct audited *a);
/* Flows of all reasons. */
uint64_t audit_flows_of(const struct audit_reason *list, size_t n);

#endif
