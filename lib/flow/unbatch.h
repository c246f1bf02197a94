/*
 * unbatch - the responses in the messages of tycho.v1.Flows/GetFlowBatches, packed or not.
 *
 *	flow_unbatch_message, next, next … ERR_CLOSED; flow_unbatch_message, next …
 *
 * For clients that ask with the header FLOW_TABLE_HEADER: FLOW_TABLE_TEXT; without it a server does
 * not pack, which is read as well.
 *
 * Threads  one for each object.
 */
#ifndef TYCHO_FLOW_UNBATCH_H
#define TYCHO_FLOW_UNBATCH_H

#include "flow/pack.h"

struct flow_unbatch;

#define FLOW_TABLE_TEXT "262144" /* FLOW_TABLE_SERVED */

/* For one stream. @max_bytes of a response. */
MUST_CHECK enum err_code flow_unbatch_new(size_t max_bytes, struct flow_unbatch **ret,
					  struct err *e);
void flow_unbatch_free(struct flow_unbatch *u); /* NULL is a no-op */
AUTO_DEFINE(struct flow_unbatch, flow_unbatch_free);

/* The next message of the stream, borrowed until its end was told. */
void flow_unbatch_message(struct flow_unbatch *u, struct str message);
/* Its next response, borrowed until the next call on @u. ERR_CLOSED: there are no more.
 * ERR_PARSE: these are no batches; the stream is worth nothing any more. */
MUST_CHECK enum err_code flow_unbatch_next(struct flow_unbatch *u, struct str *ret, struct err *e);

#endif
