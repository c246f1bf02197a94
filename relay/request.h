/*
 * request - the little that a relay must know of a GetFlowsRequest; the rest goes on as it is.
 */
#ifndef TYCHO_RELAY_REQUEST_H
#define TYCHO_RELAY_REQUEST_H

#include "base/err.h"
#include "base/time.h"

struct buf;

struct request {
	uint64_t number;
	bool first, follow, has_since;
};

/* ERR_PARSE: no protobuf; ERR_INVALID: first and follow. */
MUST_CHECK enum err_code request_read(struct str bytes, struct request *ret, struct err *e);
/* Appends @bytes as asked again by somebody who has everything up to @since, exclusively: since in
 * place of number and since. */
void request_put_resumed(struct buf *b, struct str bytes, struct wall_ns since);

#endif
