/* What pages are told of a view: in rounds, and the same to all that are at the same place. */
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "ui-server/frame.h"
#include "ui-server/view_in.h"
#include "ui-server/wire.h"

enum {
	PULSE_AGAIN_S = 5, /* seconds that are sent again: flows come late */
	ROUNDS_PER_S = NS_PER_S / VIEW_TICK_NS,
	/* Of all pages together, so that hundreds of them take no more than part of a core. */
	ROWS_PER_S = 50000,
	ROWS_LEAST = 20, /* for each page in each round all the same */
	MAP_BYTES_PER_S = 64 << 20,
};
#define MAP_EVERY_NS (500 * NS_PER_MS)
#define MAP_EVERY_MOST_NS (5 * NS_PER_S)

void view_forget(struct ui_view *v)
{
	for (size_t i = 0; i < v->told_count; i++)
		ui_frame_unref(v->told[i].frame);
	v->told_count = 0;
}

/* --- JSON --- */

static void put_state(struct buf *b, const struct ui_view *v)
{
	static const char *const kinds[] = { "connecting", "live", "away", "past" };

	buf_printf(b, "\"state\":{\"kind\":\"%s\"", kinds[v->state]);
	if (v->state == VIEW_AWAY) {
		buf_printf(b, ",\"since\":%llu,\"reason\":",
			   (unsigned long long)(v->away_since.v / NS_PER_MS));
		json_put_string(b, str_of(v->reason));
	}
	buf_char(b, '}');
}

static void put_totals(struct buf *b, const struct ui_view *v)
{
	const bool is_ahead = v->newest_ahead.v > v->newest.v;
	const struct {
		const char *member;
		uint64_t value;
	} totals[] = {
		{ "flows", v->flows },
		{ "dropped", v->dropped },
		{ "lost", v->lost },
		{ "gaps", v->gaps },
		{ "gap_ms", v->gap_ns / NS_PER_MS },
		{ "oldest", v->oldest.v / NS_PER_MS },
		{ "newest", (is_ahead ? v->newest_ahead.v : v->newest.v) / NS_PER_MS },
		{ "lag_ms", v->lag_ns / NS_PER_MS },
	};

	buf_lit(b, ",\"totals\":{");
	for (size_t i = 0; i < ARRAY_LEN(totals); i++)
		buf_printf(b, "%s\"%s\":%llu", i ? "," : "", totals[i].member,
			   (unsigned long long)totals[i].value);
	buf_char(b, '}');
}

/* v->raw to JSON. @return how many could not be shown. */
static uint64_t put_rows(struct ui_view *v)
{
	struct str rest = buf_str(&v->raw), message;
	uint64_t left_out = 0;

	buf_reset(&v->rows);
	while (ui_recent_next(&rest, &message)) {
		size_t mark = v->rows.len;
		if (mark)
			buf_char(&v->rows, ',');
		if (!v->rows.failed &&
		    json_put_message(&v->rows, &flow__flow__descriptor, message, NULL) == ERR_OK)
			continue;
		v->rows.len = mark;
		v->rows.failed = false;
		left_out++;
	}
	return left_out;
}

/* Finer where all flows of a range came, by the minute where they are more than that. */
static const struct ui_pulse *pulse_of(const struct ui_view *v)
{
	return v->recorded.step_s && v->flows > v->pulse_flows ? &v->recorded : &v->pulse;
}

/* One more than the range has, for it need not begin with a step. */
static uint64_t range_steps(const struct ui_view *v)
{
	return (v->until.v - v->since.v) / (pulse_of(v)->step_s * NS_PER_S) + 1;
}

/* --- rounds --- */

static uint64_t map_pause_ns(const struct ui_view *v, size_t pages)
{
	uint64_t ns = (uint64_t)v->map_bytes * pages * NS_PER_S / MAP_BYTES_PER_S;

	return ns < MAP_EVERY_NS ? MAP_EVERY_NS : ns < MAP_EVERY_MOST_NS ? ns : MAP_EVERY_MOST_NS;
}

static struct ui_recent_most most_rows(const struct ui_view *v, size_t pages)
{
	size_t all = ROWS_PER_S / ROUNDS_PER_S / (pages ? pages : 1);

	if (v->until.v)
		return (struct ui_recent_most){ VIEW_ROWS_PAST, UI_WIRE_ROWS_REFUSED };
	all = all < ROWS_LEAST ? ROWS_LEAST : all < UI_WIRE_ROWS ? all : UI_WIRE_ROWS;
	return (struct ui_recent_most){ all, all * UI_WIRE_ROWS_REFUSED / UI_WIRE_ROWS };
}

/* With mx. The moment that everybody is told of until the next round: who comes late in it is then
 * at the same place as who came early, and one text does for both from there on. */
static void begin_round(struct ui_view *v, uint64_t second, const struct ui_telling *t)
{
	if (v->round_second == second && v->round_tick == v->ticks)
		return;
	view_forget(v);
	v->round_tick = v->ticks;
	v->round_second = second;
	v->round_has_caught_up = v->has_caught_up;
	v->round_end = (struct ui_view_cursor){
		.recent = ui_recent_newest(v->recent),
		.map = ui_map_version(v->map),
		.changes = v->changes,
		.second = second,
		.tick = v->ticks,
	};
	if (v->round_end.map != v->map_told &&
	    t->now.v - v->map_told_at.v >= map_pause_ns(v, t->pages)) {
		v->map_told = v->round_end.map;
		v->map_told_at = t->now;
	}
}

/* With mx: an update but for its rows, into v->text. *ret_to: where the page is after it. */
static void put_update(struct ui_view *v, const struct ui_view_cursor *from,
		       const struct ui_telling *t, struct wall_ns end,
		       struct ui_view_cursor *ret_to)
{
	struct buf *b = &v->text;
	bool first = !from->map && v->round_end.map;

	*ret_to = v->round_end;
	buf_printf(b, "\"sent\":%llu,", (unsigned long long)(t->wall.v / NS_PER_MS));
	put_state(b, v);
	if (v->round_has_caught_up)
		buf_lit(b, ",\"caught_up\":true");
	put_totals(b, v);
	if (first || from->map < v->map_told) {
		size_t mark = b->len;
		buf_lit(b, ",\"map\":");
		ui_map_put(v->map, from->map, b);
		if (!first)
			v->map_bytes = b->len - mark;
	} else {
		ret_to->map = from->map;
	}
	uint64_t behind =
		v->until.v ? range_steps(v) : ret_to->second - from->second + PULSE_AGAIN_S;
	buf_lit(b, ",\"pulse\":");
	ui_pulse_put(pulse_of(v), end,
		     behind < UI_WIRE_PULSE_SECONDS ? (unsigned)behind : UI_WIRE_PULSE_SECONDS, b);
}

static bool is_same_place(const struct ui_view_cursor *a, const struct ui_view_cursor *b)
{
	return a->recent == b->recent && a->map == b->map && a->changes == b->changes &&
	       a->second == b->second;
}

static struct ui_frame *take_told(const struct view_told *told, struct ui_view_cursor *cursor)
{
	*cursor = told->to;
	return ui_frame_ref(told->frame);
}

struct ui_frame *ui_view_tell(struct ui_view *v, struct ui_view_cursor *cursor,
			      const struct ui_telling *t)
{
	/* A range that is past does not move on with the clock. */
	struct wall_ns end = v->until.v ? (struct wall_ns){ v->until.v - 1 } : t->wall;
	struct view_told told = { .from = *cursor };
	uint64_t left_out;

	(void)pthread_mutex_lock(&v->mx);
	begin_round(v, end.v / NS_PER_S, t);
	bool is_done = cursor->tick == v->round_tick && cursor->second == v->round_second;
	for (size_t i = 0; !is_done && i < v->told_count; i++)
		if (is_same_place(&v->told[i].from, cursor)) {
			(void)pthread_mutex_unlock(&v->mx);
			return take_told(&v->told[i], cursor);
		}
	if (is_done || v->told_count == VIEW_TOLD) {
		(void)pthread_mutex_unlock(&v->mx);
		return NULL;
	}
	buf_reset(&v->raw);
	buf_reset(&v->text);
	bool news = cursor->changes != v->round_end.changes ||
		    cursor->second != v->round_end.second || cursor->map < v->map_told;
	(void)ui_recent_read(v->recent, cursor->recent, v->round_end.recent, most_rows(v, t->pages),
			     &v->raw, &left_out);
	if (news)
		put_update(v, cursor, t, end, &told.to);
	(void)pthread_mutex_unlock(&v->mx);
	if (!news) {
		cursor->tick = v->round_tick;
		return NULL;
	}
	left_out += put_rows(v); /* writing JSON takes its time: not while the stream waits */
	buf_lit(&v->text, ",\"rows\":[");
	buf_str_put(&v->text, buf_str(&v->rows));
	buf_printf(&v->text, "],\"left_out\":%llu}", (unsigned long long)left_out);
	told.frame = v->text.failed ? NULL : ui_frame_new(t->frames, buf_str(&v->text));
	if (!told.frame)
		return NULL; /* no memory now: asked again in the next round */
	v->told[v->told_count++] = told;
	return take_told(&told, cursor);
}
