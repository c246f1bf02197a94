/*
 * issue - the mistakes found in an expression, and their report as cel-go prints it.
 *
 * Source   cel-go common/error.go, common/errors.go: sorted by place, at most 100, the line with a
 *          mark below.
 * Limits   a report is cut where an err is full.
 */
#ifndef TYCHO_CEL_ISSUE_H
#define TYCHO_CEL_ISSUE_H

#include "base/err.h"
#include "cel/mem.h"

enum { ISSUES_MAX = 100, NOWHERE = UINT32_MAX };

struct issue {
	uint32_t at; /* byte in the text; NOWHERE for the expression as a whole */
	struct str sentence;
};

struct issues {
	struct str text; /* the expression */
	struct mem *mem;
	struct issue v[ISSUES_MAX];
	size_t count; /* also those beyond ISSUES_MAX */
};

void issue_add(struct issues *issues, uint32_t at, const char *fmt, ...) FORMAT(3, 4);
/* ERR_INVALID with the report; there must be an issue. */
enum err_code issues_report(struct issues *issues, struct err *e);

#endif
