/* Any bytes as records of a packed stream: one length byte before each (of 0xff: the rest). They
 * are unpacked; and packed again for another stream they stand for the same. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "flow/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RESPONSE_MAX = 1 << 16, STREAM_MAX = 1 << 24 };

struct streams {
	struct flow_unpacker *first, *between, *last;
	struct flow_packer *packer;
	struct buf direct, packed, again;
};

/* @return false: the stream is over. */
static bool check(struct streams *s, struct str record)
{
	bool is_void = false, is_void_too = false;

	buf_reset(&s->direct);
	buf_reset(&s->packed);
	buf_reset(&s->again);
	bool is_good = flow_unpacker_take(s->first, record, &s->direct, &is_void, NULL) == ERR_OK;
	bool is_good_too = flow_repack(s->between, record, s->packer, &s->packed, NULL) == ERR_OK;
	if (s->packed.failed)
		abort();
	if (s->packed.len && flow_unpacker_take(s->last, buf_str(&s->packed), &s->again,
						&is_void_too, NULL) != ERR_OK)
		return false; /* of more bytes than we have here */
	if (is_good && is_good_too &&
	    (is_void != is_void_too || !str_eq(buf_str(&s->direct), buf_str(&s->again))))
		abort();
	return is_good && is_good_too;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct streams s = {
		.direct = buf_init(RESPONSE_MAX),
		.packed = buf_init(STREAM_MAX),
		.again = buf_init(RESPONSE_MAX),
	};

	if (flow_unpacker_new(0, &s.first, NULL) != ERR_OK ||
	    flow_unpacker_new(0, &s.between, NULL) != ERR_OK ||
	    flow_unpacker_new(0, &s.last, NULL) != ERR_OK ||
	    flow_packer_new(0, &s.packer, NULL) != ERR_OK)
		abort();
	while (size) {
		size_t len = *data++;
		size--;
		if (len > size || len == UINT8_MAX)
			len = size;
		if (!check(&s, str_n(data, len)))
			break;
		data += len;
		size -= len;
	}
	flow_unpacker_free(s.first);
	flow_unpacker_free(s.between);
	flow_unpacker_free(s.last);
	flow_packer_free(s.packer);
	buf_done(&s.direct);
	buf_done(&s.packed);
	buf_done(&s.again);
	return 0;
}
