/*
 * place - the URL of a ClickHouse server, taken apart.
 */
#ifndef TYCHO_CLICKHOUSE_PLACE_H
#define TYCHO_CLICKHOUSE_PLACE_H

#include <stdbool.h>

#include "base/err.h"

enum { CLICKHOUSE_NAME_BYTES = 256 };

struct clickhouse_place {
	char server[CLICKHOUSE_NAME_BYTES + 32]; /* "https://host:8443" */
	char database[CLICKHOUSE_NAME_BYTES];
	bool is_https;
	bool is_local; /* this machine */
};

/* ERR_INVALID: no such URL; user and password have no place in it. ERR_NOMEM. */
MUST_CHECK enum err_code clickhouse_place_parse(const char *url, struct clickhouse_place *ret,
						struct err *e);

#endif
