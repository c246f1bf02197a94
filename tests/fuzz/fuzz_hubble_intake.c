/* What a Hubble server may send: no bytes lead outside of theirs, and what is announced as room is
 * enough for what becomes of them. First byte of a message: which stream, or a break; two more: its
 * length. */
#include <stdint.h>
#include <string.h>

#include "observer/upstream/intake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void empty(struct record_queue *q)
{
	for (struct record r; record_queue_peek(q, &r); record_queue_pop(q))
		if (r.kind == RAW_LOST)
			abort(); /* for want of room */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct intake in = { 0 };
	struct record_queue *q = NULL;
	struct mono_ns now = { 1 };
	struct wall_ns wall = { 1700000000 * NS_PER_S };
	char request[128];

	if (record_queue_new(1 << 20, &q, NULL) != ERR_OK ||
	    intake_init(&in, "unix:///x", q, 16, 1, NULL) != ERR_OK)
		abort();
	while (size >= 3) {
		unsigned which = data[0] % (INTAKE_STREAMS + 1);
		size_t len = (size_t)data[1] << 8 | data[2];
		len = len < size - 3 ? len : size - 3;
		if (!record_queue_has_room(q, len + INTAKE_OWN_BYTES))
			abort();
		if (which < INTAKE_STREAMS) {
			(void)intake_message(&in, (enum intake_stream)which, str_n(data + 3, len),
					     now, wall);
		} else {
			struct buf b = buf_fixed(request, sizeof request);
			intake_break(&in, INTAKE_FLOWS);
			intake_request(&in, INTAKE_FLOWS, len * NS_PER_S, wall, &b);
			if (b.failed)
				abort();
			(void)intake_tell_gap(&in, wall);
		}
		empty(q);
		now.v += NS_PER_S;
		data += 3 + len;
		size -= 3 + len;
	}
	intake_done(&in);
	record_queue_free(q);
	return 0;
}
