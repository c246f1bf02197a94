/*
 * pack - a stream of GetFlowsResponses without what it has said before.
 *
 *	response ──► flow_packer ──► record … record ──► flow_unpacker ──► the same bytes
 *	             │ pieces sent                       │ pieces that came
 *
 * Of a flow's bytes most were in other flows just before: endpoints with their labels, names of
 * nodes, addresses. Both sides keep the last of these pieces (fields of flow.Flow, with their
 * tags), and a record names them by number. What comes out is what went in, to the byte: nothing in
 * here decides what a flow means.
 *
 * Record   a byte of flags: 1 it is a flow, 2 it has a time, 4 it is void: no response, only pieces
 *          to keep (others are an error); with flag 2 the response's time in ns since 1970, as a
 *          zigzag varint less that of the record with a time before it; then the pieces of the
 *          response in order. Each is a varint v, and v & 3 says what v >> 2 is: 0, so many bytes
 *          that follow; 1, the same, to be kept; 2, the piece that was kept so many pieces before
 *          the latest. 3 is an error.
 * Table    each kept piece has 1 to FLOW_PIECE_MAX bytes and counts FLOW_PIECE_COST more; the
 *          oldest go when all together would be more than the table's bytes. A packer's table may
 *          be smaller than its unpacker's, never larger.
 * Order    records of one stream are taken in the order in which they were made, each once.
 * Trust    an unpacker takes any bytes. A record may stand for much more than it is long: its buf's
 *          limit holds, and one record at a time bounds the memory.
 * Threads  one for each object.
 */
#ifndef TYCHO_FLOW_PACK_H
#define TYCHO_FLOW_PACK_H

#include "base/err.h"
#include "base/own.h"
#include "base/str.h"
#include "base/time.h"

struct buf;
struct flow_packer;
struct flow_unpacker;

enum {
	FLOW_PIECE_MAX = 4096,
	FLOW_PIECE_COST = 40,
	FLOW_TABLE_MIN = 8 << 10, /* of both, in bytes */
	FLOW_TABLE_MAX = 1 << 20,
};

/* Headers of a request for tycho.v1.Flows/GetFlowBatches, in decimal. The bytes of the caller's
 * table: from FLOW_TABLE_MIN on the server may put records into FlowBatch.packed. */
#define FLOW_TABLE_HEADER "tycho-flow-table"
/* The bytes of all tables together that the caller has for streams of others: a relay may pass on
 * what its nodes packed (FlowBatch.streams, runs; flow/unbatch.h). */
#define FLOW_TABLES_HEADER "tycho-flow-tables"

/* Of the first header's value; 0: do not pack. A server of ours has tables of FLOW_TABLE_SERVED at
 * most. Of the second's; 0: do not pass on. */
enum { FLOW_TABLE_SERVED = 256 << 10, FLOW_TABLES_SERVED = 16 << 20 };
size_t flow_table_agreed(struct str header);
size_t flow_tables_agreed(struct str header);

/* @table_bytes is brought within its limits. Fails with ERR_NOMEM. */
MUST_CHECK enum err_code flow_packer_new(size_t table_bytes, struct flow_packer **ret,
					 struct err *e);
void flow_packer_free(struct flow_packer *p); /* NULL is a no-op */
AUTO_DEFINE(struct flow_packer, flow_packer_free);

/* Appends the record of @response, any bytes. When @out has failed, the stream cannot go on. */
void flow_packer_put(struct flow_packer *p, struct str response, struct buf *out);
/* The same of a response whose parts are known, and need not lie together: @flow, a flow.Flow; the
 * response's time, NULL: none; and @behind, its fields behind the flow. */
void flow_packer_put_flow(struct flow_packer *p, struct str flow, const struct timestamp *time,
			  struct str behind, struct buf *out);

MUST_CHECK enum err_code flow_unpacker_new(size_t table_bytes, struct flow_unpacker **ret,
					   struct err *e);
void flow_unpacker_free(struct flow_unpacker *u); /* NULL is a no-op */
AUTO_DEFINE(struct flow_unpacker, flow_unpacker_free);

/* Appends the response that @record stands for; *@ret_is_void: there is none. Fails with ERR_PARSE,
 * after which the stream is worth nothing; @out then has what came of it, or has failed. */
MUST_CHECK enum err_code flow_unpacker_take(struct flow_unpacker *u, struct str record,
					    struct buf *out, bool *ret_is_void, struct err *e);

/* What can be known of a record without its pieces. @last is the time of the one before it in the
 * stream, at first 0, and is moved on. */
struct flow_pack_head {
	bool is_void, is_flow, has_time;
	struct wall_ns time; /* 0 without one */
	struct str pieces;
};
MUST_CHECK enum err_code flow_pack_head(struct str record, struct wall_ns *last,
					struct flow_pack_head *ret, struct err *e);
/* Makes a record void, whose head was good: a response that is to be forgotten, but for the pieces
 * in it that others name. */
void flow_pack_void(char *record);

#endif
