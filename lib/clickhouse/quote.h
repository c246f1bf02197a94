/*
 * quote - texts as parts of ClickHouse's SQL, whatever is in them.
 */
#ifndef TYCHO_CLICKHOUSE_QUOTE_H
#define TYCHO_CLICKHOUSE_QUOTE_H

#include "base/buf.h"

/* 'text': a string literal of exactly these bytes, NULs and no UTF-8 included. All but letters,
 * digits and a few signs are escaped: there is nothing in it that any version of the parser could
 * take for an end. */
void clickhouse_quote_put(struct buf *b, struct str text);
/* `name`: an identifier, not empty. */
void clickhouse_name_put(struct buf *b, struct str name);
/* ['a','b']: an Array(String). */
void clickhouse_quote_list_put(struct buf *b, const struct str *texts, size_t count);

#endif
