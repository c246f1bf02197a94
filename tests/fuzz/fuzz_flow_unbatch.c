/* Any bytes as messages of a batched call: one length byte before each (of 0xff: the rest). */
#include <stdint.h>
#include <stdlib.h>

#include "flow/unbatch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct flow_unbatch_limits limits = { 1 << 16, FLOW_TABLE_MIN, 4 * FLOW_TABLE_MIN };
	struct flow_unbatch *u;
	enum err_code code = ERR_CLOSED;
	struct str response;

	if (flow_unbatch_new(&limits, &u, NULL) != ERR_OK)
		abort();
	while (size && code == ERR_CLOSED) {
		size_t len = *data++;
		size--;
		if (len > size || len == UINT8_MAX)
			len = size;
		flow_unbatch_message(u, str_n(data, len));
		while ((code = flow_unbatch_next(u, &response, NULL)) == ERR_OK)
			if (response.len > limits.response_bytes &&
			    (response.p < (const char *)data ||
			     response.p >= (const char *)data + len))
				abort();
		data += len;
		size -= len;
	}
	flow_unbatch_free(u);
	return 0;
}
