#include "relay/outlet.h"

#include <stdlib.h>

#include "flow/wire.h"
#include "rpc/server.h"

/* The length of a run is written before it is known: a varint of as many bytes, whatever it is. */
enum { RUN_LENGTH_BYTES = 4 };

/* What becomes of a stream's records: decided at the first one. */
enum fate { FATE_UNDECIDED, FATE_PASSED_ON, FATE_UNPACKED };

struct route {
	bool is_there;
	uint32_t number;
	size_t table_bytes; /* of the stream that last had it */
};

void routes_done(struct routes *r)
{
	free(r->all);
	*r = (struct routes){ 0 };
}

void outlet_init(struct outlet *o, const struct rpc_call *call, bool is_batched)
{
	*o = (struct outlet){ .is_batched = is_batched, .plain = buf_init(OUTLET_MESSAGE_MAX) };
	/* A record is at most as long as a message. */
	rpc_batch_init(&o->batch, 2 * OUTLET_MESSAGE_MAX);
	if (is_batched && flow_table_agreed(rpc_call_header(call, FLOW_TABLE_HEADER)))
		o->tables_bytes = flow_tables_agreed(rpc_call_header(call, FLOW_TABLES_HEADER));
}

void outlet_done(struct outlet *o)
{
	rpc_batch_done(&o->batch);
	buf_done(&o->plain);
}

/* NULL: the client's queue is full. */
static struct buf *open_batch(struct outlet *o, struct rpc_call *call)
{
	struct buf *batch = rpc_batch_open(&o->batch, call);

	if (batch && !batch->len)
		o->run_of = NULL; /* it has gone out with the last batch */
	return batch;
}

bool outlet_say(struct outlet *o, struct rpc_call *call, struct str response)
{
	if (!o->is_batched)
		return rpc_call_send(call, response);
	o->run_of = NULL;
	return rpc_batch_put(&o->batch, call, response);
}

/* ---- records that are passed on */

/* NULL: no memory. */
static struct route *route_of(struct routes *routes, const struct packed_stream *s)
{
	size_t i = s->is_own ? 0 : (size_t)s->number + 1;

	if (i >= routes->count) {
		size_t count = s->is_own ? 1 : 2 * i;
		struct route *all = realloc(routes->all, count * sizeof *all);
		if (!all)
			return NULL;
		memset(all + routes->count, 0, (count - routes->count) * sizeof *all);
		*routes = (struct routes){ all, count };
	}
	return &routes->all[i];
}

/* Tells the client of the stream, if it has room for its table. */
static enum fate announce(struct outlet *o, struct buf *batch, const char *node,
			  struct routes *routes, const struct packed_stream *s)
{
	struct route *route = route_of(routes, s);

	if (!route || s->table_bytes > o->tables_bytes + route->table_bytes)
		return FATE_UNPACKED;
	if (!route->is_there)
		route->number = o->route_count++;
	o->tables_bytes += route->table_bytes - s->table_bytes;
	route->is_there = true;
	route->table_bytes = s->table_bytes;
	o->run_of = NULL;
	size_t mark = wire_begin(batch, BATCH_STREAM);
	wire_put_u64(batch, STREAM_NUMBER, route->number);
	wire_put_u64(batch, STREAM_TABLE, s->table_bytes);
	wire_put_str(batch, STREAM_NODE, s->is_own ? str_of(node) : s->node_name);
	wire_end(batch, mark);
	return FATE_PASSED_ON;
}

/* Appends to the batch's last run, or begins another. */
static enum outlet_put pass_on(struct outlet *o, struct buf *batch, uint32_t number,
			       const struct merge_item *item)
{
	if (o->run_of != item->about) {
		o->run_of = item->about;
		wire_put_tag(batch, BATCH_RUN, WIRE_LEN);
		o->run_at = batch->len;
		buf_put(batch, (char[RUN_LENGTH_BYTES]){ 0 }, RUN_LENGTH_BYTES);
		wire_put_varint(batch, number);
	}
	wire_put_varint(batch, item->bytes.len);
	char *record = buf_reserve(batch, item->bytes.len);
	if (!record)
		return OUTLET_FULL; /* outlet_failed */
	buf_str_put(batch, item->bytes);
	if (item->kind == ITEM_VOID)
		flow_pack_void(record);
	size_t len = batch->len - o->run_at - RUN_LENGTH_BYTES;
	for (size_t i = 0; i < RUN_LENGTH_BYTES; i++, len >>= 7)
		batch->p[o->run_at + i] = (char)(len | (i + 1 < RUN_LENGTH_BYTES ? 0x80 : 0));
	return item->kind == ITEM_VOID ? OUTLET_NOTHING : OUTLET_TAKEN;
}

/* ---- records that are unpacked */

/* Into @o->plain. */
static enum outlet_put unpack(struct outlet *o, const struct merge_item *item)
{
	struct flow_response response;
	bool is_void = false;

	buf_reset(&o->plain);
	if (packed_stream_unpack(item->about, item->bytes, &o->plain, &is_void, NULL) != ERR_OK)
		return OUTLET_BAD;
	if (is_void || item->kind == ITEM_VOID)
		return OUTLET_NOTHING;
	return flow_response_split(buf_str(&o->plain), &response, NULL) == ERR_OK ? OUTLET_TAKEN
										  : OUTLET_BAD;
}

/* ---- both */

enum outlet_put outlet_put(struct outlet *o, struct rpc_call *call, const char *node,
			   struct routes *routes, struct merge_item *item)
{
	if (item->kind != ITEM_RESPONSE) {
		struct packed_stream *s = item->about;
		struct buf *batch = o->is_batched ? open_batch(o, call) : NULL;
		if (o->is_batched && !batch)
			return OUTLET_FULL;
		if (s->fate == FATE_UNDECIDED)
			s->fate = batch ? announce(o, batch, node, routes, s) : FATE_UNPACKED;
		if (s->fate == FATE_PASSED_ON)
			return pass_on(o, batch, route_of(routes, s)->number, item);
		enum outlet_put done = unpack(o, item);
		if (done != OUTLET_TAKEN)
			return done;
		item->kind = ITEM_RESPONSE;
		item->bytes = buf_str(&o->plain);
	}
	return outlet_say(o, call, item->bytes) ? OUTLET_TAKEN : OUTLET_FULL;
}

bool outlet_flush(struct outlet *o, struct rpc_call *call, bool at_once)
{
	return !o->is_batched || rpc_batch_flush(&o->batch, call, at_once);
}

bool outlet_failed(const struct outlet *o)
{
	return rpc_batch_failed(&o->batch);
}
