/* A gob stream: read as the agent's L7 record, and as a notification; then cut into messages as the
 * monitor socket's reader does. */
#include <stdlib.h>

#include "base/buf.h"
#include "observer/cilium/access_log.h"
#include "observer/cilium/agent_event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must_lie_within(struct str s, struct str all)
{
	if (s.len && (s.p < all.p || s.p + s.len > all.p + all.len))
		abort();
}

static void walk(struct access_log *log, const struct gob_types *t, struct str all)
{
	struct gob_list *const texts[] = { &log->dns.ips, &log->dns.cnames };
	struct gob_list *const numbers[] = { &log->dns.qtypes, &log->dns.answer_types };
	struct gob_list *const labels[] = { &log->source.labels, &log->destination.labels };
	struct gob_list values;
	struct access_label label;
	struct str key, value;
	int64_t number;

	for (size_t i = 0; i < 2; i++) {
		while (access_next_text(texts[i], t, &value))
			must_lie_within(value, all);
		while (access_next_number(numbers[i], t, &number))
			;
		while (access_next_label(labels[i], t, &label))
			must_lie_within(label.key, all);
	}
	while (access_next_texts(&log->http.headers, t, &key, &values))
		while (access_next_text(&values, t, &value))
			must_lie_within(value, all);
	while (access_next_pair(&log->l7.fields, t, &key, &value))
		must_lie_within(value, all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gob_types types;
	struct str all = str_n(data, size), rest = all;
	AUTO_BUF struct buf out = buf_init(1 << 20);
	struct access_log log;
	struct gob value;
	size_t head, body;
	int32_t id;

	if (access_log_read(all, &types, &log)) {
		must_lie_within(log.timestamp, all);
		must_lie_within(log.http.url, all);
		walk(&log, &types, all);
	}
	(void)agent_event_put(all, &types, &out);
	gob_types_reset(&types);
	while (gob_frame(rest, &head, &body) == GOB_FRAME_WHOLE) {
		switch (gob_take(&types, str_n(rest.p + head, body), &id, &value)) {
		case GOB_BAD:
			return 0;
		case GOB_VALUE:
			gob_skip(&value, &types, id);
			if (value.p > value.end)
				abort();
			break;
		case GOB_DEFINED:
			break;
		}
		rest = str_from(rest, head + body);
	}
	return 0;
}
