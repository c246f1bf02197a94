#include "flow/unbatch.h"

#include <stdlib.h>

#include "base/buf.h"
#include "flow/wire.h"

enum { BATCH_RESPONSE = 1, BATCH_PACKED = 2 }; /* fields of tycho.v1.FlowBatch */

_Static_assert(FLOW_TABLE_SERVED == 262144, "what FLOW_TABLE_TEXT says");

struct flow_unbatch {
	struct flow_unpacker *unpacker;
	struct buf response;
	struct wire_reader fields;
};

enum err_code flow_unbatch_new(size_t max_bytes, struct flow_unbatch **ret, struct err *e)
{
	AUTO(flow_unbatch_free) struct flow_unbatch *u = calloc(1, sizeof *u);

	if (!u)
		return err_set(e, ERR_NOMEM, "batches of flows");
	u->response = buf_init(max_bytes);
	u->fields = wire_reader_of(STR(""));
	if (flow_unpacker_new(FLOW_TABLE_SERVED, &u->unpacker, e) != ERR_OK)
		return ERR_NOMEM;
	*ret = TAKE(u);
	return ERR_OK;
}

void flow_unbatch_free(struct flow_unbatch *u)
{
	if (!u)
		return;
	flow_unpacker_free(u->unpacker);
	buf_done(&u->response);
	free(u);
}

void flow_unbatch_message(struct flow_unbatch *u, struct str message)
{
	u->fields = wire_reader_of(message);
}

enum err_code flow_unbatch_next(struct flow_unbatch *u, struct str *ret, struct err *e)
{
	struct wire_field f;
	bool is_void = false;

	while (wire_next(&u->fields, &f)) {
		if (f.type == WIRE_LEN && f.number == BATCH_RESPONSE) {
			*ret = f.bytes;
			return ERR_OK;
		}
		if (f.type != WIRE_LEN || f.number != BATCH_PACKED)
			continue;
		buf_reset(&u->response);
		if (flow_unpacker_take(u->unpacker, f.bytes, &u->response, &is_void, e) != ERR_OK)
			return ERR_PARSE;
		if (is_void)
			continue;
		*ret = buf_str(&u->response);
		return ERR_OK;
	}
	return u->fields.bad ? err_set(e, ERR_PARSE, "no batch of flows")
			     : err_set(e, ERR_CLOSED, "the end of a batch");
}
