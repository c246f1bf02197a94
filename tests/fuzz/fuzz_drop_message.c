/* Any bytes as a flow that was dropped: what is told of it is a sentence that Kubernetes takes. */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "observer/drop_events/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void tell(const struct flow *f, const struct flow_dict *dict, bool incoming)
{
	char text[DROP_MESSAGE_BYTES];
	struct buf b = buf_fixed(text, sizeof text);

	drop_message_put(&b, f, dict, incoming, true);
	if (b.failed || !b.len || text[b.len - 1] != '.' || !utf8_is_valid(buf_str(&b)))
		abort();
	for (size_t i = 0; i < b.len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	struct flow f;

	if (flow_dict_new(64, &dict, NULL) != ERR_OK)
		return 0;
	if (flow_decode(str_n(data, size), dict, &f, NULL) == ERR_OK) {
		tell(&f, dict, true);
		tell(&f, dict, false);
	}
	return 0;
}
