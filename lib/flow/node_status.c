#include "flow/node_status.h"

#include "base/buf.h"
#include "flow/fields.h"
#include "flow/wire.h"

/* Of relay.NodeStatusEvent and google.protobuf.Timestamp. */
enum {
	STATUS_STATE = 1,
	STATUS_NAMES = 2,
	STATUS_MESSAGE = 3,
	TIMESTAMP_SECONDS = 1,
	TIMESTAMP_NANOS = 2
};

void node_status_name(struct buf *names, struct str name)
{
	wire_put_len(names, STATUS_NAMES, name);
}

void node_status_put(struct buf *b, const struct node_status *status)
{
	struct timestamp t = timestamp_of(status->time);

	size_t mark = wire_begin(b, RESPONSE_FIELD_NODE_STATUS);
	wire_put_u64(b, STATUS_STATE, status->state);
	buf_str_put(b, status->names);
	wire_put_str(b, STATUS_MESSAGE, status->text);
	wire_end(b, mark);
	wire_put_str(b, RESPONSE_FIELD_NODE_NAME, status->said_by);
	mark = wire_begin(b, RESPONSE_FIELD_TIME);
	wire_put_u64(b, TIMESTAMP_SECONDS, (uint64_t)t.s);
	wire_put_u64(b, TIMESTAMP_NANOS, (uint64_t)t.ns);
	wire_end(b, mark);
}
