/*
 * unbatch - the responses in the messages of tycho.v1.Flows/GetFlowBatches, packed or not.
 *
 *	flow_unbatch_message, next, next … ERR_CLOSED; flow_unbatch_message, next …
 *
 * For clients that ask with the headers FLOW_TABLE_HEADER and FLOW_TABLES_HEADER; without them a
 * server does not pack, which is read as well.
 *
 * Streams  what the server packs is one stream of records; a relay passes on what its nodes packed
 *          as streams of their own. flow_unbatch_next reads them all; flow_unbatch_item leaves them
 *          packed, for who passes them on again.
 * Trust    takes any bytes. What a node packed nobody may have read before: where it cannot be
 *          read, that node has failed, which flow_unbatch_next says in a node_status response of
 *          its own, and no more is heard of that stream.
 * Memory   a stream's table is made when the first of its records is unpacked; together they are at
 *          most what the limits say.
 * Threads  one for each object.
 */
#ifndef TYCHO_FLOW_UNBATCH_H
#define TYCHO_FLOW_UNBATCH_H

#include "flow/pack.h"

struct flow_unbatch;

/* What a client of ours says in the headers. */
#define FLOW_TABLE_TEXT "262144"    /* FLOW_TABLE_SERVED */
#define FLOW_TABLES_TEXT "16777216" /* FLOW_TABLES_SERVED */

struct flow_unbatch_limits {
	size_t response_bytes;
	size_t table_bytes;  /* of the server's own stream, */
	size_t tables_bytes; /* and of all others together: what the headers said */
};

/* For one call. */
MUST_CHECK enum err_code flow_unbatch_new(const struct flow_unbatch_limits *limits,
					  struct flow_unbatch **ret, struct err *e);
void flow_unbatch_free(struct flow_unbatch *u); /* NULL is a no-op */
AUTO_DEFINE(struct flow_unbatch, flow_unbatch_free);

/* The next message of the call, borrowed until its end was told. */
void flow_unbatch_message(struct flow_unbatch *u, struct str message);
/* Its next response, borrowed until the next call on @u. ERR_CLOSED: there are no more.
 * ERR_PARSE: these are no batches; the call is worth nothing any more. */
MUST_CHECK enum err_code flow_unbatch_next(struct flow_unbatch *u, struct str *ret, struct err *e);

/* ---- for who passes records on */

/* Records that one packer made. */
struct packed_stream {
	size_t uses; /* the unbatch's, and those of who keeps it longer */
	uint32_t number;
	bool is_own; /* the server's: it has no number and no name */
	bool is_bad; /* something in it could not be read */
	size_t table_bytes;
	struct wall_ns last; /* for flow_pack_head, whose caller goes through all its records */
	struct flow_unpacker *unpacker; /* NULL until something was unpacked */
	unsigned fate;                  /* the caller's to use, at first 0 */
	struct str node_name;           /* own */
};
void packed_stream_unref(struct packed_stream *s); /* one use less; NULL is a no-op */

/* Appends what @record stands for, any limit being @out's: as flow_unpacker_take. All of a stream,
 * or none. */
MUST_CHECK enum err_code packed_stream_unpack(struct packed_stream *s, struct str record,
					      struct buf *out, bool *ret_is_void, struct err *e);

struct flow_unbatch_item {
	struct packed_stream *stream; /* NULL: @bytes are a response; else borrowed: add a use */
	struct str bytes;             /* borrowed from the message */
};
/* As flow_unbatch_next, which is not for the same @u. */
MUST_CHECK enum err_code flow_unbatch_item(struct flow_unbatch *u, struct flow_unbatch_item *ret,
					   struct err *e);

/* Fields of a FlowBatch, and of its PackedStream. */
enum {
	BATCH_RESPONSE = 1,
	BATCH_PACKED = 2,
	BATCH_STREAM = 3,
	BATCH_RUN = 4,
	STREAM_NUMBER = 1,
	STREAM_TABLE = 2,
	STREAM_NODE = 3
};

#endif
