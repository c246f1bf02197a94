/* Any text as JSON of several messages: what is read can be written, read again, and written the
 * same. */
#include <stdlib.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "observer/observer.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_and_write(const ProtobufCMessageDescriptor *desc, struct str text,
			   bool reject_unknown)
{
	struct json_options options = { .reject_unknown = reject_unknown };
	AUTO_BUF struct buf wire = buf_init(1 << 24);
	AUTO_BUF struct buf again = buf_init(1 << 24);
	AUTO_BUF struct buf first = buf_init(1 << 24);
	AUTO_BUF struct buf second = buf_init(1 << 24);
	struct err e;

	if (json_read_message(text, desc, &options, &wire, NULL, &e) != ERR_OK)
		return;
	options.reject_unknown = true;
	if (json_put_message(&first, desc, buf_str(&wire), &e) != ERR_OK ||
	    json_read_message(buf_str(&first), desc, &options, &again, NULL, &e) != ERR_OK ||
	    json_put_message(&second, desc, buf_str(&again), &e) != ERR_OK ||
	    !str_eq(buf_str(&first), buf_str(&second)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const ProtobufCMessageDescriptor *const messages[] = {
		&observer__export_event__descriptor,
		&observer__get_flows_request__descriptor,
		&observer__server_status_response__descriptor,
		&flow__flow_filter__descriptor,
	};

	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		read_and_write(messages[i], str_n(data, size), true);
		read_and_write(messages[i], str_n(data, size), false);
	}
	return 0;
}
