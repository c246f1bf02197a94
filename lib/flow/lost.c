#include "flow/lost.h"

#include "flow/flow.pb-c.h"
#include "flow/wire.h"

static void put_time(struct buf *b, uint32_t field, struct timestamp t)
{
	size_t mark = wire_begin(b, field);

	wire_put_u64(b, 1, (uint64_t)t.s);
	wire_put_u64(b, 2, (uint64_t)t.ns);
	wire_end(b, mark);
}

void flow_lost_put(struct buf *b, const struct flow_lost *lost)
{
	bool known =
		lost->source > 0 && lost->source <= FLOW__LOST_EVENT_SOURCE__HUBBLE_RING_BUFFER;

	if (known)
		wire_put_u64(b, 1, (uint64_t)lost->source);
	wire_put_u64(b, 2, lost->count);
	if (lost->cpu >= 0) {
		size_t mark = wire_begin(b, 3); /* google.protobuf.Int32Value */
		wire_put_u64(b, 1, (uint64_t)lost->cpu);
		wire_end(b, mark);
	}
	if (lost->has_first)
		put_time(b, 4, lost->first);
	if (lost->has_last)
		put_time(b, 5, lost->last);
}
