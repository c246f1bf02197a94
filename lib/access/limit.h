/*
 * limit - a request, cut down to flows that somebody may see: of which one end is in one of their
 * namespaces.
 *
 *	whitelist [W1, W2]  ──►  [W1 and source in ns, W1 and destination in ns, W2 and …]
 *	                         (none: as if it had one filter that lets everything pass)
 *
 * The request stays one that Hubble's servers understand, so it does not matter who filters. Works
 * on any request whose whitelist is a repeated flow.FlowFilter: it is wire bytes to wire bytes, and
 * what it does not know goes through.
 */
#ifndef TYCHO_ACCESS_LIMIT_H
#define TYCHO_ACCESS_LIMIT_H

#include "base/buf.h"
#include "base/err.h"

struct rights;

/* Appends @request with the filters of field @whitelist cut down. ERR_PARSE: no protobuf.
 * ERR_NOMEM: it grows beyond what @out takes. On failure @out is of no use. */
MUST_CHECK enum err_code limit_request(const struct rights *r, struct str request,
				       uint32_t whitelist, struct buf *out, struct err *e);

#endif
