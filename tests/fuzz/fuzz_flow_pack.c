/* Any bytes as records of a packed stream: one length byte before each (of 0xff: the rest). They
 * are unpacked; their heads say the same without that. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "flow/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RESPONSE_MAX = 1 << 16 };

/* @return false: the stream is over. */
static bool check(struct flow_unpacker *u, struct wall_ns *last, struct str record, struct buf *out)
{
	struct flow_pack_head head;
	bool is_void = false;

	buf_reset(out);
	bool has_head = flow_pack_head(record, last, &head, NULL) == ERR_OK;
	bool is_good = flow_unpacker_take(u, record, out, &is_void, NULL) == ERR_OK;
	if (is_good && (!has_head || head.is_void != is_void || (is_void && out->len)))
		abort();
	return is_good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = buf_init(RESPONSE_MAX);
	struct flow_unpacker *u;
	struct wall_ns last = { 0 };

	if (flow_unpacker_new(0, &u, NULL) != ERR_OK)
		abort();
	while (size) {
		size_t len = *data++;
		size--;
		if (len > size || len == UINT8_MAX)
			len = size;
		if (!check(u, &last, str_n(data, len), &out))
			break;
		data += len;
		size -= len;
	}
	flow_unpacker_free(u);
	buf_done(&out);
	return 0;
}
