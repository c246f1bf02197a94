#include "observer/source/notice.h"

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/lost.h"
#include "flow/wire.h"

enum { TEXT_BYTES = 400, EVENT_UNKNOWN = 100 };

static void put_member(struct buf *b, const char *key, const char *value)
{
	json_put_string(b, str_of(key));
	buf_char(b, ':');
	json_put_string(b, str_upto(str_of(value), TEXT_BYTES));
}

void notice_event(struct raw_sink *sink, const char *type, const char *path, const char *key,
		  const char *value)
{
	char json[6 * 2 * TEXT_BYTES + 128], message[sizeof json + 128];
	struct buf text = buf_fixed(json, sizeof json), b = buf_fixed(message, sizeof message);

	buf_char(&text, '{');
	put_member(&text, "path", path);
	if (key) {
		buf_char(&text, ',');
		put_member(&text, key, value);
	}
	buf_char(&text, '}');
	size_t mark = wire_begin(&b, EVENT_UNKNOWN);
	wire_put_str(&b, 1, str_of(type));
	wire_put_str(&b, 2, buf_str(&text));
	wire_end(&b, mark);
	if (b.failed || text.failed)
		return;
	const struct raw_event ev = { .kind = RAW_AGENT, .packet = buf_str(&b), .cpu = -1 };
	sink->event(sink, &ev);
}

void notice_gap(struct raw_sink *sink, struct wall_ns from, struct wall_ns to)
{
	char message[64];
	struct buf b = buf_fixed(message, sizeof message);

	flow_lost_put(&b,
		      &(struct flow_lost){ .source = FLOW__LOST_EVENT_SOURCE__OBSERVER_EVENTS_QUEUE,
					   .cpu = -1,
					   .first = timestamp_of(from),
					   .last = timestamp_of(to),
					   .has_first = true,
					   .has_last = true });
	const struct raw_event ev = {
		.kind = RAW_LOST_MESSAGE, .wall = to, .packet = buf_str(&b), .cpu = -1
	};
	sink->event(sink, &ev);
}
