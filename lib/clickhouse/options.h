/*
 * options - where a ClickHouse server is and who we are there, as command lines say it.
 *
 *	static const struct opt_group groups[] = { …, CLICKHOUSE_GROUP(struct options, clickhouse) };
 */
#ifndef TYCHO_CLICKHOUSE_OPTIONS_H
#define TYCHO_CLICKHOUSE_OPTIONS_H

#include "base/opt.h"
#include "clickhouse/client.h"

enum { CLICKHOUSE_ROWS = 6 };
/* Of a struct clickhouse_config. */
extern const struct opt_row clickhouse_rows[CLICKHOUSE_ROWS];
#define CLICKHOUSE_TITLE "ClickHouse"
#define CLICKHOUSE_GROUP(type, field)                                                              \
	{                                                                                          \
		CLICKHOUSE_TITLE, clickhouse_rows, CLICKHOUSE_ROWS, offsetof(type, field)          \
	}

/* What was read belongs together (all of it needs --clickhouse), and the URL is one; or ERR_INVALID
 * with a sentence that names the option. Whether the files can be used, says clickhouse_new. */
MUST_CHECK enum err_code clickhouse_options_check(const struct clickhouse_config *o, struct err *e);
/* Whether a password would travel in plain text to another machine: to be warned of. */
bool clickhouse_password_is_open(const struct clickhouse_config *o);

#endif
