/*
 * failure - what a ClickHouse server says when it fails, cut down to what a person needs.
 *
 *	Code: 60, e.displayText() = DB::Exception: Table a.b doesn't exist., e.what() = DB::Exception
 *	Code: 60. DB::Exception: Table a.b doesn't exist. (UNKNOWN_TABLE) (version 24.3.1.2672 …)
 */
#ifndef TYCHO_CLICKHOUSE_FAILURE_H
#define TYCHO_CLICKHOUSE_FAILURE_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

/* Numbers of errors (src/Common/ErrorCodes.cpp of ClickHouse) that callers ask for. */
enum clickhouse_error {
	CLICKHOUSE_NO_SUCH_COLUMN = 16,
	CLICKHOUSE_UNKNOWN_IDENTIFIER = 47,
	CLICKHOUSE_TABLE_EXISTS = 57,
	CLICKHOUSE_UNKNOWN_TABLE = 60,
	CLICKHOUSE_SYNTAX_ERROR = 62,
	CLICKHOUSE_UNKNOWN_DATABASE = 81,
	CLICKHOUSE_UNKNOWN_SETTING = 115,
	CLICKHOUSE_TIMEOUT_EXCEEDED = 159,
	CLICKHOUSE_READONLY = 164,
	CLICKHOUSE_UNKNOWN_USER = 192,
	CLICKHOUSE_WRONG_PASSWORD = 193,
	CLICKHOUSE_REQUIRED_PASSWORD = 194,
	CLICKHOUSE_TOO_MANY_QUERIES = 202,
	CLICKHOUSE_SAME_QUERY_ID = 216,
	CLICKHOUSE_MEMORY_LIMIT = 241,
	CLICKHOUSE_TOO_MANY_PARTS = 252,
	CLICKHOUSE_DATABASE_ACCESS_DENIED = 291,
	CLICKHOUSE_CANCELLED = 394,
	CLICKHOUSE_ACCESS_DENIED = 497,
	CLICKHOUSE_AUTHENTICATION_FAILED = 516,
};

struct clickhouse_failure {
	int code;
	struct str text; /* borrowed from what was read */
};
/* False: @s is no such text. */
bool clickhouse_failure_read(struct str s, struct clickhouse_failure *ret);
/* Our code for its code. */
enum err_code clickhouse_failure_code(int code);
/* *@e: "@where says: Table a.b doesn't exist (code 60)", on one line. */
enum err_code clickhouse_failure_set(struct err *e, const char *where,
				     const struct clickhouse_failure *f);
/* curl tells how long it tried, each time another text. Without that, the same failure has the same
 * text: who tells news need compare no more. */
void clickhouse_failure_steady(char *text);

#endif
