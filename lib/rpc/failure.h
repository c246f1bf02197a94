/*
 * failure - how calls end, in the words the reference CLI has taught people to search for.
 *
 * The C core and grpc-go describe the same failed connection differently; scripts know the latter's
 * text.
 */
#ifndef TYCHO_RPC_FAILURE_H
#define TYCHO_RPC_FAILURE_H

#include "rpc/client.h"

struct address;

/* The core's @text for a call to @to that ended with @status, as grpc-go would say it. */
void failure_text(enum rpc_status status, struct str text, const struct address *to, char *out,
		  size_t size);
/* "rpc error: code = X desc = Y", just Y for UNKNOWN; fills *e, may be NULL, returns the code. */
enum err_code failure_set(struct err *e, const struct rpc_result *result);

#endif
