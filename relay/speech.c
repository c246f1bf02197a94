#include "relay/speech.h"

#include <stdlib.h>

#include "flow/node_status.h"
#include "flow/wire.h"

enum { RESPONSE_MAX_BYTES = 4 << 20 };

enum err_code speech_new(struct lane *lane, bool is_batched, const struct told *told,
			 struct speech **ret, struct err *e)
{
	const struct flow_unbatch_limits limits = { RESPONSE_MAX_BYTES, told->table, told->tables };
	struct speech *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(e, ERR_NOMEM, "stream of a peer");
	*s = (struct speech){ .lane = lane, .uses = 1 };
	if (is_batched && flow_unbatch_new(&limits, &s->batches, e) != ERR_OK) {
		free(s);
		return ERR_NOMEM;
	}
	*ret = s;
	return ERR_OK;
}

void speech_unref(struct speech *s)
{
	if (!s || --s->uses)
		return;
	flow_unbatch_free(s->batches);
	free(s);
}

static enum err_code no_flow(struct err *e)
{
	return err_set(e, ERR_PARSE, NODE_SENT_NO_FLOW);
}

static enum err_code read_response(struct str bytes, struct item *ret, struct err *e)
{
	struct flow_response response;

	if (flow_response_split(bytes, &response, e) != ERR_OK)
		return no_flow(e);
	*ret = (struct item){
		.is_flow = response.kind == FLOW_KIND_FLOW && response.has_message,
		.bytes = bytes,
	};
	/* What a relay among the peers says of its nodes is news, whatever the flows behind it
	 * tell. */
	if (response.kind != FLOW_KIND_NODE_STATUS && response.has_time)
		(void)timestamp_to_wall(response.time, &ret->time);
	return ERR_OK;
}

static enum err_code read_record(const struct flow_unbatch_item *from, struct item *ret,
				 struct err *e)
{
	struct flow_pack_head head;

	if (flow_pack_head(from->bytes, &from->stream->last, &head, e) != ERR_OK)
		return no_flow(e);
	*ret = (struct item){
		.stream = from->stream,
		.bytes = from->bytes,
		.is_flow = head.is_flow && !head.is_void,
		.is_void = head.is_void,
		.time = head.time,
	};
	return ERR_OK;
}

void speech_message(struct speech *s, struct str message)
{
	if (s->batches)
		flow_unbatch_message(s->batches, message);
	else
		s->plain = message.p ? message : STR("");
}

enum err_code speech_next(struct speech *s, struct item *ret, struct err *e)
{
	struct flow_unbatch_item item;

	if (!s->batches) {
		struct str whole = s->plain;
		s->plain = (struct str){ 0 };
		return whole.p ? read_response(whole, ret, e)
			       : err_set(e, ERR_CLOSED, "no more of this message");
	}
	enum err_code code = flow_unbatch_item(s->batches, &item, e);
	if (code == ERR_OK)
		return item.stream ? read_record(&item, ret, e) : read_response(item.bytes, ret, e);
	return code == ERR_PARSE ? no_flow(e) : code;
}
