/* What a page says on its websocket, from whoever got that far. */
#include <stdlib.h>

#include "observer/observer.pb-c.h"
#include "ui-server/ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_BUF struct buf filters = buf_init((size_t)UI_WIRE_ASK_BYTES * 4);
	uint32_t watch = 77;
	uint64_t messages = UINT64_MAX;
	struct err e;

	if (size > UI_WIRE_ASK_BYTES)
		return 0;
	if (ui_taken_read(str_n(data, size), &messages) != (messages != UINT64_MAX))
		abort();
	if (ui_ask_read(str_n(data, size), &watch, &filters, &e) != ERR_OK) {
		if (filters.len || !e.msg[0])
			abort();
		return 0;
	}
	/* what is asked of a server on a page's behalf is a request, and within the limits */
	Observer__GetFlowsRequest *r = observer__get_flows_request__unpack(
		NULL, filters.len, (const uint8_t *)(filters.len ? filters.p : ""));
	if (!watch || !r || r->follow || r->number || r->n_whitelist > UI_WIRE_ASK_FILTERS ||
	    r->n_blacklist > UI_WIRE_ASK_FILTERS || !r->since != !r->until)
		abort();
	observer__get_flows_request__free_unpacked(r, NULL);
	return 0;
}
