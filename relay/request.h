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
	struct wall_ns until; /* UINT64_MAX: open */
};

/* ERR_PARSE: no protobuf; ERR_INVALID: first and follow. */
MUST_CHECK enum err_code request_read(struct str bytes, struct request *ret, struct err *e);
/* Appends @bytes, of which @r was read, as asked again by somebody who has @received flows up to
 * @since, which still counts. A number that limits (first, or with since) is what is left of it;
 * the size of a backlog is dropped. */
void request_put_resumed(struct buf *b, struct str bytes, const struct request *r,
			 struct wall_ns since, uint64_t received);
/* Nothing is left of a limit. */
bool request_is_filled(const struct request *r, uint64_t received);

#endif
