/* What the server's answers become: the map, the rates, the newest flows, the totals. */
#include "base/log.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "ui-server/view_in.h"

enum {
	TAKE_MOST = 64,      /* flows that are read before the lock is taken once for all of them */
	BATCH_RESPONSES = 1, /* of tycho.v1.FlowBatch */
	LOST_SOURCE = 1,     /* of flow.LostEvent */
	LOST_COUNT = 2,
};
/* A stream that is silent for so long may be one that nobody is behind: ask. */
#define QUIET_NS (2 * NS_PER_S)
/* Clocks differ a little; beyond this one of them is wrong. */
#define AHEAD_NS (60 * NS_PER_S)

/* Answers of one message of the stream, read but not counted yet. */
struct taken {
	struct flow flows[TAKE_MOST];
	struct str messages[TAKE_MOST];
	size_t count;
};

/* With mx. One node whose clock is ahead must not hide, after a break, what the others saw. */
static void count_newest(struct ui_view *v, struct wall_ns time, struct wall_ns now)
{
	struct wall_ns *newest = time.v <= now.v + AHEAD_NS ? &v->newest : &v->newest_ahead;

	if (time.v > newest->v)
		*newest = time;
}

/* With mx. */
static void count_time(struct ui_view *v, const struct flow *f, struct wall_ns now)
{
	if (!flow_is(f, FLOW_HAS_TIME))
		return;
	if (!v->oldest.v || f->time.v < v->oldest.v)
		v->oldest = f->time;
	count_newest(v, f->time, now);
	if (f->time.v >= v->connected.v && now.v > f->time.v && now.v - f->time.v > v->tick_lag_ns)
		v->tick_lag_ns = now.v - f->time.v;
	ui_pulse_add(&v->pulse, f->time, v->until.v ? v->until : now,
		     ui_outcome_of(f) == UI_DROPPED);
	v->pulse_flows++;
}

/* With mx. */
static void count_flow(struct ui_view *v, const struct flow *f, struct str message,
		       struct wall_ns now)
{
	enum ui_outcome outcome = ui_outcome_of(f);

	v->flows += !v->map_is_whole;
	v->dropped += !v->map_is_whole && outcome == UI_DROPPED;
	count_time(v, f, now);
	if (!v->map_is_whole)
		ui_map_add(v->map, f, v->dict);
	ui_recent_put(v->recent, message, outcome == UI_DROPPED || outcome == UI_AUDITED);
}

static void count_all(struct ui_view *v, struct taken *t, struct wall_ns now)
{
	if (!t->count)
		return;
	(void)pthread_mutex_lock(&v->mx);
	for (size_t i = 0; i < t->count; i++)
		count_flow(v, &t->flows[i], t->messages[i], now);
	v->changes++;
	(void)pthread_mutex_unlock(&v->mx);
	t->count = 0;
}

static void count_loss(struct ui_view *v, struct str message)
{
	struct wire_reader r = wire_reader_of(message);
	struct wire_field field;
	uint64_t lost = 0, source = 0;

	while (wire_next(&r, &field)) {
		if (field.number == LOST_COUNT && field.type == WIRE_VARINT)
			lost = field.value;
		if (field.number == LOST_SOURCE && field.type == WIRE_VARINT)
			source = field.value;
	}
	/* On the way here; what others say they lost never was a flow. */
	if (v->backlog && source == FLOW__LOST_EVENT_SOURCE__HUBBLE_RING_BUFFER)
		ui_backlog_lost(v->backlog);
	(void)pthread_mutex_lock(&v->mx);
	v->lost += lost;
	v->changes++;
	(void)pthread_mutex_unlock(&v->mx);
}

static void take_response(struct ui_view *v, struct taken *t, struct str response,
			  struct wall_ns now)
{
	struct flow_response r;
	struct err e;

	if (flow_response_split(response, &r, &e) != ERR_OK) {
		log_warn("an answer that cannot be read, skipped", "err=%s", LOG_QUOTE(e.msg));
	} else if (r.has_message && r.kind == FLOW_KIND_LOST) {
		if (!v->backlog || ui_backlog_saw(v->backlog, &r, NULL))
			count_loss(v, r.message);
	} else if (r.has_message && r.kind == FLOW_KIND_FLOW) {
		if (t->count == TAKE_MOST)
			count_all(v, t, now);
		if (flow_decode(r.message, v->dict, &t->flows[t->count], &e) != ERR_OK)
			log_warn("a flow that cannot be read, skipped", "err=%s", LOG_QUOTE(e.msg));
		else if (!v->backlog || ui_backlog_saw(v->backlog, &r, &t->flows[t->count]))
			t->messages[t->count++] = r.message;
	}
}

static void take_message(struct ui_view *v, struct taken *t, struct str message, bool is_batched)
{
	struct flow_dict_counts counts = flow_dict_counts(v->dict);
	struct wall_ns now = wall_now();

	/* between messages only: the flows of one name their ends in the same dictionary */
	if (counts.endpoints > VIEW_DICT_FULL || counts.services > VIEW_DICT_FULL ||
	    counts.nodes > VIEW_DICT_FULL)
		flow_dict_reset(v->dict);
	if (is_batched) {
		struct wire_reader r = wire_reader_of(message);
		struct wire_field field;
		while (wire_next(&r, &field))
			if (field.number == BATCH_RESPONSES && field.type == WIRE_LEN)
				take_response(v, t, field.bytes, now);
		if (r.bad)
			log_warn("a batch that cannot be read to its end", "bytes=%zu",
				 message.len);
	} else {
		take_response(v, t, message, now);
	}
	count_all(v, t, now);
}

static void end_tick(struct ui_view *v)
{
	(void)pthread_mutex_lock(&v->mx);
	if (v->lag_ns != v->tick_lag_ns)
		v->changes++;
	v->lag_ns = v->tick_lag_ns;
	v->tick_lag_ns = 0;
	v->ticks++;
	(void)pthread_mutex_unlock(&v->mx);
	v->config.notify(v->config.ctx);
}

/* All that the view begins with has been counted: pages are told, with the next they are told. */
static void look_for_end_of_history(struct ui_view *v, struct mono_ns now)
{
	if (!v->backlog || !ui_backlog_has_come(v->backlog, now, v->dict))
		return;
	ui_backlog_free(TAKE(v->backlog));
	(void)pthread_mutex_lock(&v->mx);
	v->has_caught_up = true;
	v->changes++;
	v->ticks++;
	(void)pthread_mutex_unlock(&v->mx);
	v->config.notify(v->config.ctx);
}

/* A connection may be open with nobody behind it: a process that was stopped, a network that is
 * gone. The stream is kept: if somebody is there after all, nothing was missed. */
static void doubt(struct ui_view *v, bool *is_away)
{
	struct err e;
	bool there = view_greet(v, &e) == ERR_OK;

	if (there == *is_away && !v->until.v)
		view_set_state(v, there ? VIEW_LIVE : VIEW_AWAY, there ? "" : e.msg);
	*is_away = !there;
}

enum err_code view_pump(struct ui_view *v, struct rpc_stream *stream, bool is_batched,
			struct err *e)
{
	AUTO(own_free) struct taken *t = calloc(1, sizeof *t);
	struct mono_ns now = mono_now(), tick = { now.v + VIEW_TICK_NS }, heard = now;
	bool is_away = false;

	if (!t)
		return err_set(e, ERR_NOMEM, "flows");
	for (;;) {
		struct str message;
		now = mono_now();
		if (now.v >= tick.v) {
			end_tick(v);
			tick.v = now.v + VIEW_TICK_NS;
		}
		if (now.v - heard.v >= QUIET_NS) {
			doubt(v, &is_away);
			now = heard = mono_now();
		}
		look_for_end_of_history(v, now);
		uint64_t wait_ns = tick.v > now.v ? tick.v - now.v : 1;
		enum err_code code = rpc_stream_next(stream, wait_ns, &message, e);
		if (code == ERR_OK) {
			heard = mono_now();
			v->last_good = wall_now();
			take_message(v, t, message, is_batched);
			if (is_away)
				doubt(v, &is_away);
		} else if (code == ERR_CLOSED) {
			return err_set(e, code, "the server ended the stream");
		} else if (code != ERR_TIMEOUT) {
			return code;
		}
	}
}
