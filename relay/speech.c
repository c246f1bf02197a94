#include "relay/speech.h"

#include <stdlib.h>

#include "flow/pack.h"
#include "rpc/server.h"

enum {
	BATCH_RESPONSE = 1, /* fields of tycho.v1.FlowBatch */
	BATCH_PACKED = 2,
};

enum err_code speech_new(struct lane *lane, bool is_batched, size_t table_bytes,
			 struct speech **ret, struct err *e)
{
	struct speech *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_NOMEM, "stream of a peer");
	*s = (struct speech){
		.lane = lane,
		.is_batched = is_batched,
		.uses = 1,
		.table_bytes = table_bytes,
	};
	*ret = s;
	return ERR_OK;
}

void speech_unref(struct speech *s)
{
	if (!s || --s->uses)
		return;
	flow_unpacker_free(s->unpacker);
	free(s);
}

/* ---- from the peer */

static enum err_code no_flow(struct err *e)
{
	return err_set(e, ERR_PARSE, "the peer sent bytes that are no flow");
}

static enum err_code take_plain(struct str bytes, struct item *ret, struct err *e)
{
	struct flow_response response;

	if (flow_response_split(bytes, &response, e) != ERR_OK)
		return no_flow(e);
	*ret = (struct item){
		.kind = ITEM_PLAIN,
		.is_flow = response.kind == FLOW_KIND_FLOW && response.has_message,
		.bytes = bytes,
	};
	/* What a relay among the peers says of its nodes is news, whatever the flows behind it
	 * tell. */
	if (response.kind != FLOW_KIND_NODE_STATUS && response.has_time)
		(void)timestamp_to_wall(response.time, &ret->time);
	return ERR_OK;
}

static enum err_code take_packed(struct speech *s, struct str record, struct item *ret,
				 struct err *e)
{
	struct flow_pack_head head;

	if (flow_pack_head(record, &s->last, &head, e) != ERR_OK)
		return no_flow(e);
	*ret = (struct item){
		.kind = head.is_void ? ITEM_KNOWN : ITEM_PACKED,
		.is_flow = head.is_flow && !head.is_void,
		.time = head.time,
		.bytes = record,
	};
	return ERR_OK;
}

enum err_code speech_next(struct speech *s, struct str *rest, struct item *ret, struct err *e)
{
	struct wire_reader fields = wire_reader_of(*rest);
	struct wire_field f = { 0 };

	if (!s->is_batched) {
		if (!rest->p)
			return err_set(e, ERR_CLOSED, "no more of this message");
		struct str whole = *rest;
		*rest = (struct str){ 0 };
		return take_plain(whole, ret, e);
	}
	while (wire_next(&fields, &f)) {
		if (f.type != WIRE_LEN || (f.number != BATCH_RESPONSE && f.number != BATCH_PACKED))
			continue;
		*rest = str_n(fields.p, (size_t)(fields.end - fields.p));
		return f.number == BATCH_RESPONSE ? take_plain(f.bytes, ret, e)
						  : take_packed(s, f.bytes, ret, e);
	}
	return fields.bad ? no_flow(e) : err_set(e, ERR_CLOSED, "no more of this message");
}

/* ---- to the client */

enum err_code outlet_init(struct outlet *o, const struct rpc_call *call, bool is_batched,
			  struct err *e)
{
	size_t table = flow_table_agreed(rpc_call_header(call, FLOW_TABLE_HEADER));

	*o = (struct outlet){ .is_batched = is_batched, .plain = buf_init(OUTLET_MESSAGE_MAX) };
	/* What is packed again may take twice the room. */
	rpc_batch_init(&o->batch, 2 * OUTLET_MESSAGE_MAX);
	return is_batched && table ? flow_packer_new(table, &o->packer, e) : ERR_OK;
}

void outlet_done(struct outlet *o)
{
	rpc_batch_done(&o->batch);
	flow_packer_free(o->packer);
	buf_done(&o->plain);
}

bool outlet_say(struct outlet *o, struct rpc_call *call, struct str response)
{
	if (!o->is_batched)
		return rpc_call_send(call, response);
	struct buf *batch = rpc_batch_open(&o->batch, call);
	if (batch && o->packer) {
		size_t mark = wire_begin(batch, BATCH_PACKED);
		flow_packer_put(o->packer, response, batch);
		wire_end(batch, mark);
	}
	return batch && (o->packer || rpc_batch_put(&o->batch, call, response));
}

static bool make_unpacker(struct speech *s)
{
	return s->unpacker || flow_unpacker_new(s->table_bytes, &s->unpacker, NULL) == ERR_OK;
}

static enum outlet_put pack_again(struct outlet *o, struct rpc_call *call, struct speech *from,
				  struct str record)
{
	struct buf *batch = rpc_batch_open(&o->batch, call);

	if (!batch)
		return OUTLET_FULL;
	size_t before = batch->len, mark = wire_begin(batch, BATCH_PACKED);
	enum err_code code = flow_repack(from->unpacker, record, o->packer, batch, NULL);
	if (batch->len > mark)
		wire_end(batch, mark);
	else
		batch->len = before;
	return code == ERR_OK ? OUTLET_TAKEN : OUTLET_BAD;
}

/* Into @o->plain. */
static enum outlet_put unpack(struct outlet *o, struct speech *from, struct str record)
{
	struct flow_response response;
	bool is_void = false;

	buf_reset(&o->plain);
	if (flow_unpacker_take(from->unpacker, record, &o->plain, &is_void, NULL) != ERR_OK)
		return OUTLET_BAD;
	if (is_void)
		return OUTLET_NOTHING;
	return flow_response_split(buf_str(&o->plain), &response, NULL) == ERR_OK ? OUTLET_TAKEN
										  : OUTLET_BAD;
}

enum outlet_put outlet_put(struct outlet *o, struct rpc_call *call, struct speech *from,
			   unsigned *kind, struct str *bytes)
{
	if (*kind != ITEM_PLAIN) {
		if (!make_unpacker(from))
			return OUTLET_BAD;
		if (*kind == ITEM_PACKED && o->packer)
			return pack_again(o, call, from, *bytes);
		enum outlet_put done = unpack(o, from, *bytes);
		if (done == OUTLET_TAKEN && *kind == ITEM_KNOWN)
			done = OUTLET_NOTHING;
		if (done != OUTLET_TAKEN)
			return done;
		*kind = ITEM_PLAIN;
		*bytes = buf_str(&o->plain);
	}
	return outlet_say(o, call, *bytes) ? OUTLET_TAKEN : OUTLET_FULL;
}

bool outlet_flush(struct outlet *o, struct rpc_call *call, bool at_once)
{
	return !o->is_batched || rpc_batch_flush(&o->batch, call, at_once);
}

bool outlet_failed(const struct outlet *o)
{
	return rpc_batch_failed(&o->batch);
}
