/* Any bytes as the wire form of several messages: what is written as JSON can be read again. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "observer/observer.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* JSON that is written but not read: an Any of unknown type, an odd field mask, deep nesting. */
static bool is_one_way(const char *fault)
{
	return strstr(fault, "unable to resolve") ||
	       strstr(fault, "@type field contains empty value") ||
	       strstr(fault, "invalid google.protobuf.FieldMask value") ||
	       strstr(fault, "exceeded max recursion depth");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const ProtobufCMessageDescriptor *const messages[] = {
		&observer__export_event__descriptor,
		&observer__get_flows_request__descriptor,
		&observer__server_status_response__descriptor,
		&flow__flow_filter__descriptor,
	};
	const struct json_options strict = { .reject_unknown = true };
	struct err e;

	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		AUTO_BUF struct buf json = buf_init(1 << 24);
		AUTO_BUF struct buf wire = buf_init(1 << 24);
		if (json_put_message(&json, messages[i], str_n(data, size), &e) != ERR_OK)
			continue;
		if (json_read_message(buf_str(&json), messages[i], &strict, &wire, NULL, &e) !=
			    ERR_OK &&
		    !is_one_way(e.msg))
			abort();
	}
	return 0;
}
