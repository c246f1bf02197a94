#include "ui-server/pulse.h"

#include "base/buf.h"

static uint64_t step_s(const struct ui_pulse *p)
{
	return p->step_s ? p->step_s : 1;
}

void ui_pulse_add(struct ui_pulse *p, struct wall_ns time, struct wall_ns now, bool dropped)
{
	uint64_t last_s = now.v / NS_PER_S + UI_WIRE_PULSE_SECONDS / 2 * step_s(p);

	if (time.v / NS_PER_S <= last_s)
		ui_pulse_add_sum(p, time.v / NS_PER_S, 1, dropped);
}

static uint32_t sum(uint32_t a, uint64_t b)
{
	return b > UINT32_MAX - a ? UINT32_MAX : a + (uint32_t)b;
}

void ui_pulse_add_sum(struct ui_pulse *p, uint64_t s, uint64_t flows, uint64_t drops)
{
	uint64_t second = s / step_s(p);
	size_t i = second % UI_WIRE_PULSE_SECONDS;

	if (p->at[i].second > second)
		return;
	if (p->at[i].second < second) {
		p->at[i].second = second;
		p->at[i].flows = p->at[i].drops = 0;
	}
	p->at[i].flows = sum(p->at[i].flows, flows);
	p->at[i].drops = sum(p->at[i].drops, drops);
}

static void put_counts(const struct ui_pulse *p, uint64_t from, unsigned seconds, bool drops,
		       struct buf *b)
{
	for (uint64_t s = from; s < from + seconds; s++) {
		size_t i = s % UI_WIRE_PULSE_SECONDS;
		bool here = p->at[i].second == s;
		if (s > from)
			buf_char(b, ',');
		buf_u64(b, !here ? 0 : drops ? p->at[i].drops : p->at[i].flows);
	}
}

void ui_pulse_put(const struct ui_pulse *p, struct wall_ns now, unsigned seconds, struct buf *b)
{
	uint64_t from = now.v / NS_PER_S / step_s(p) + 1 - seconds;

	buf_lit(b, "{\"from\":");
	buf_u64(b, from * step_s(p));
	if (step_s(p) > 1) {
		buf_lit(b, ",\"step\":");
		buf_u64(b, step_s(p));
	}
	buf_lit(b, ",\"flows\":[");
	put_counts(p, from, seconds, false, b);
	buf_lit(b, "],\"drops\":[");
	put_counts(p, from, seconds, true, b);
	buf_lit(b, "]}");
}
