/*
 * filters - those of a request, as a member of the JSON objects that statements and manifests are.
 *
 * They stand there as they were asked, signed by the node: redaction changes what records say, and
 * no question.
 */
#ifndef TYCHO_EVIDENCE_FILTERS_H
#define TYCHO_EVIDENCE_FILTERS_H

#include "base/buf.h"
#include "base/err.h"
#include "flow/flow.pb-c.h"

/* ,"name":[{…},…]: proto3 JSON, a message each. ERR_NOMEM. */
MUST_CHECK enum err_code put_member_filters(struct buf *b, const char *name,
					    Flow__FlowFilter *const *list, size_t n, struct err *e);

/* Which of the @classes (redact.h) of values these filters name, or may: a CEL expression, any. */
unsigned filters_naming(Flow__FlowFilter *const *list, size_t n, unsigned classes);

#endif
