#include "ui-server/view.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/log.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "rpc/client.h"
#include "tycho/v1/history.pb-c.h"
#include "ui-server/pulse.h"
#include "ui-server/recent.h"
#include "ui-server/servicemap.h"
#include "ui-server/wire.h"

enum {
	DICT_ENTRIES = 1 << 16,
	DICT_FULL = 1 << 15, /* a long stream of a large cluster: start anew from here on */
	CARDS_MOST = 4096,
	EDGES_MOST = 20000,
	ADDRESSES_MOST = 256,
	RECENT_PAST = 4000,   /* of a past range, which comes at once */
	ROWS_BYTES = 8 << 20, /* of JSON in one update */
	RAW_BYTES = (UI_WIRE_ROWS + UI_WIRE_ROWS_REFUSED) * (UI_RECENT_MESSAGE_BYTES + 8),
	PULSE_AGAIN_S = 5, /* seconds that are sent again: flows come late */

	GET_FLOWS_NUMBER = 1, /* fields of observer.GetFlowsRequest */
	GET_FLOWS_FOLLOW = 3,
	GET_FLOWS_BLACKLIST = 5,
	GET_FLOWS_WHITELIST = 6,
	GET_FLOWS_SINCE = 7,
	GET_FLOWS_UNTIL = 8,
	GET_MAP_SINCE = 1, /* of tycho.v1.GetServiceMapRequest */
	GET_MAP_UNTIL = 2,
	GET_MAP_WHITELIST = 4,
	GET_MAP_BLACKLIST = 5,
	LOST_COUNT = 2, /* of flow.LostEvent */
};
#define TICK_NS (200 * NS_PER_MS)
#define MAP_EVERY_NS (500 * NS_PER_MS)
#define STATUS_TIMEOUT_NS (2 * NS_PER_S)
#define PAUSE_MIN_NS (250 * NS_PER_MS)
#define PAUSE_MAX_NS (4 * NS_PER_S)

static const struct ui_map_limits map_limits = { CARDS_MOST, EDGES_MOST, ADDRESSES_MOST };

enum view_state { VIEW_CONNECTING, VIEW_LIVE, VIEW_AWAY, VIEW_PAST };

struct ui_view {
	/* immutable after start */
	struct ui_view_config config;
	struct buf filters;
	struct wall_ns since, until; /* 0: what comes */
	pthread_t thread;
	bool has_thread;

	/* the view's thread only */
	struct flow_dict *dict;
	struct wall_ns connected; /* start of this stream: older flows are history */
	bool server_has_no_map;   /* of a range; it said so */
	bool map_is_whole;        /* it came from the server: flows add nothing to it */
	struct wall_ns last_good; /* when the server was last known to be there; 0 never */

	atomic_bool ended;

	pthread_mutex_t mx;
	pthread_cond_t wake;
	/* guarded by mx */
	bool stopping;
	struct rpc_stream *stream; /* of the thread; for stop to cancel */
	struct ui_map *map;
	struct ui_recent *recent;
	struct ui_pulse pulse;
	enum view_state state;
	char reason[ERR_MSG_BYTES];    /* of VIEW_AWAY */
	struct wall_ns away_since;     /* of VIEW_AWAY */
	uint64_t changes;              /* of anything a reader is told */
	uint64_t flows, dropped, lost; /* lost: as the server said */
	uint64_t gaps, gap_ns;         /* times that nobody watched: the server was a new one */
	struct wall_ns oldest, newest; /* flows */
	uint64_t lag_ns;               /* longest from flow to here in the last tick */
	uint64_t tick_lag_ns;          /* in the tick that goes on */

	/* reader only */
	struct buf raw, rows;
};

static bool is_stopping(struct ui_view *v)
{
	(void)pthread_mutex_lock(&v->mx);
	bool stopping = v->stopping;
	(void)pthread_mutex_unlock(&v->mx);
	return stopping;
}

static void set_state(struct ui_view *v, enum view_state state, const char *reason)
{
	(void)pthread_mutex_lock(&v->mx);
	if (state == VIEW_AWAY && v->state != VIEW_AWAY)
		v->away_since = wall_now();
	v->state = state;
	(void)snprintf(v->reason, sizeof v->reason, "%s", reason);
	v->changes++;
	(void)pthread_mutex_unlock(&v->mx);
	v->config.notify(v->config.ctx);
}

/* --- the stream --- */

/* With mx. */
static void count_time(struct ui_view *v, const struct flow *f, struct wall_ns now)
{
	if (!flow_is(f, FLOW_HAS_TIME))
		return;
	if (!v->oldest.v || f->time.v < v->oldest.v)
		v->oldest = f->time;
	if (f->time.v > v->newest.v)
		v->newest = f->time;
	if (f->time.v >= v->connected.v && now.v > f->time.v && now.v - f->time.v > v->tick_lag_ns)
		v->tick_lag_ns = now.v - f->time.v;
	ui_pulse_add(&v->pulse, f->time, ui_outcome_of(f) == UI_DROPPED);
}

static void take_flow(struct ui_view *v, struct str message, struct wall_ns now)
{
	struct flow_dict_counts counts = flow_dict_counts(v->dict);
	struct flow f;
	struct err e;

	if (counts.endpoints > DICT_FULL || counts.services > DICT_FULL || counts.nodes > DICT_FULL)
		flow_dict_reset(v->dict);
	if (flow_decode(message, v->dict, &f, &e) != ERR_OK) {
		log_warn("a flow that cannot be read, skipped", "err=%s", LOG_QUOTE(e.msg));
		return;
	}
	enum ui_outcome outcome = ui_outcome_of(&f);
	(void)pthread_mutex_lock(&v->mx);
	v->flows += !v->map_is_whole;
	v->dropped += !v->map_is_whole && outcome == UI_DROPPED;
	v->changes++;
	count_time(v, &f, now);
	if (!v->map_is_whole)
		ui_map_add(v->map, &f, v->dict);
	ui_recent_put(v->recent, message, outcome == UI_DROPPED || outcome == UI_AUDITED);
	(void)pthread_mutex_unlock(&v->mx);
}

static void take_loss(struct ui_view *v, struct str message)
{
	struct wire_reader r = wire_reader_of(message);
	struct wire_field field;
	uint64_t lost = 0;

	while (wire_next(&r, &field))
		if (field.number == LOST_COUNT && field.type == WIRE_VARINT)
			lost = field.value;
	(void)pthread_mutex_lock(&v->mx);
	v->lost += lost;
	v->changes++;
	(void)pthread_mutex_unlock(&v->mx);
}

static void take_message(struct ui_view *v, struct str message, struct wall_ns now)
{
	struct flow_response r;
	struct err e;

	if (flow_response_split(message, &r, &e) != ERR_OK)
		log_warn("an answer that cannot be read, skipped", "err=%s", LOG_QUOTE(e.msg));
	else if (r.has_message && r.kind == FLOW_KIND_FLOW)
		take_flow(v, r.message, now);
	else if (r.has_message && r.kind == FLOW_KIND_LOST)
		take_loss(v, r.message);
}

static void end_tick(struct ui_view *v)
{
	(void)pthread_mutex_lock(&v->mx);
	if (v->lag_ns != v->tick_lag_ns)
		v->changes++;
	v->lag_ns = v->tick_lag_ns;
	v->tick_lag_ns = 0;
	(void)pthread_mutex_unlock(&v->mx);
	v->config.notify(v->config.ctx);
}

static enum err_code pump(struct ui_view *v, struct rpc_stream *stream, struct err *e)
{
	struct mono_ns tick = { mono_now().v + TICK_NS };

	for (;;) {
		struct mono_ns now = mono_now();
		struct str message;
		if (now.v >= tick.v) {
			end_tick(v);
			v->last_good = wall_now();
			tick.v = now.v + TICK_NS;
		}
		enum err_code code = rpc_stream_next(stream, tick.v - now.v, &message, e);
		if (code == ERR_OK)
			take_message(v, message, wall_now());
		else if (code == ERR_CLOSED)
			return err_set(e, code, "the server ended the stream");
		else if (code != ERR_TIMEOUT)
			return code;
	}
}

static void put_request(struct ui_view *v, struct buf *b)
{
	wire_put_u64(b, GET_FLOWS_NUMBER, v->newest.v ? 0 : v->config.history);
	if (!v->until.v)
		wire_put_u64(b, GET_FLOWS_FOLLOW, 1);
	buf_str_put(b, buf_str(&v->filters));
	if (v->newest.v) {
		struct timestamp since = timestamp_of((struct wall_ns){ v->newest.v + 1 });
		size_t mark = wire_begin(b, GET_FLOWS_SINCE);
		wire_put_u64(b, 1, (uint64_t)since.s);
		wire_put_u64(b, 2, (uint64_t)since.ns);
		wire_end(b, mark);
	}
}

/* For stop to cancel; NULL: none any more. @return true if it is time to stop. */
static bool hold_stream(struct ui_view *v, struct rpc_stream *stream)
{
	(void)pthread_mutex_lock(&v->mx);
	v->stream = stream;
	bool stopping = v->stopping;
	(void)pthread_mutex_unlock(&v->mx);
	return stopping;
}

static enum err_code follow(struct ui_view *v, struct err *e)
{
	AUTO(rpc_stream_free) struct rpc_stream *stream = NULL;
	AUTO_BUF struct buf request = buf_init(4 << 20);

	put_request(v, &request);
	if (request.failed)
		return err_set(e, ERR_NOMEM, "request");
	v->connected = wall_now();
	enum err_code code = rpc_stream_open(v->config.channel, "/observer.Observer/GetFlows",
					     buf_str(&request), &stream, e);
	if (code != ERR_OK)
		return code;
	bool stopping = hold_stream(v, stream);
	if (!v->until.v)
		set_state(v, VIEW_LIVE, "");
	code = stopping ? err_set(e, ERR_CANCELLED, "stopping") : pump(v, stream, e);
	(void)hold_stream(v, NULL);
	return code;
}

/* Is the server there, and still the one that we knew? A stream alone does not say: it is silent
 * until there is a flow. */
static enum err_code greet(struct ui_view *v, struct err *e)
{
	AUTO_BUF struct buf answer = buf_init(1 << 20);
	struct rpc_result result;
	enum { UPTIME_NS = 4 }; /* of observer.ServerStatusResponse */

	enum err_code code = rpc_unary(v->config.channel, "/observer.Observer/ServerStatus",
				       STR(""), STATUS_TIMEOUT_NS, &answer, &result, e);
	if (code != ERR_OK)
		return code;
	struct wire_reader r = wire_reader_of(buf_str(&answer));
	struct wire_field field;
	uint64_t uptime_ns = 0, now = wall_now().v;
	while (wire_next(&r, &field))
		if (field.number == UPTIME_NS && field.type == WIRE_VARINT)
			uptime_ns = field.value;
	if (v->last_good.v && uptime_ns && uptime_ns < now && now - uptime_ns > v->last_good.v) {
		(void)pthread_mutex_lock(&v->mx);
		v->gaps++;
		v->gap_ns += now - uptime_ns - v->last_good.v;
		v->changes++;
		(void)pthread_mutex_unlock(&v->mx);
	}
	v->last_good.v = now;
	return ERR_OK;
}

/* --- a past range --- */

static void put_map_request(const struct ui_view *v, struct buf *b)
{
	static const uint32_t fields[][2] = { { GET_FLOWS_SINCE, GET_MAP_SINCE },
					      { GET_FLOWS_UNTIL, GET_MAP_UNTIL },
					      { GET_FLOWS_WHITELIST, GET_MAP_WHITELIST },
					      { GET_FLOWS_BLACKLIST, GET_MAP_BLACKLIST } };
	struct wire_reader r = wire_reader_of(buf_str(&v->filters));
	struct wire_field field;

	while (wire_next(&r, &field))
		for (size_t i = 0; i < ARRAY_LEN(fields); i++)
			if (field.number == fields[i][0])
				wire_put_len(b, fields[i][1], field.bytes);
}

/* What an answer adds to @map, and to the totals. */
static enum err_code take_edges(struct str message, struct ui_map *map, uint64_t *flows,
				uint64_t *dropped, struct err *e)
{
	Tycho__V1__GetServiceMapResponse *m = tycho__v1__get_service_map_response__unpack(
		NULL, message.len, (const uint8_t *)message.p);

	if (!m)
		return err_set(e, ERR_PARSE, "the server's service map cannot be read");
	for (size_t i = 0; i < m->n_edges; i++) {
		ui_map_add_edge(map, m->edges[i]);
		*flows += m->edges[i]->flows;
		if (m->edges[i]->verdict == FLOW__VERDICT__DROPPED ||
		    m->edges[i]->verdict == FLOW__VERDICT__ERROR)
			*dropped += m->edges[i]->flows;
	}
	tycho__v1__get_service_map_response__free_unpacked(m, NULL);
	return ERR_OK;
}

static enum err_code read_map(struct ui_view *v, struct rpc_stream *stream, struct err *e)
{
	AUTO(ui_map_free) struct ui_map *map = NULL;
	uint64_t flows = 0, dropped = 0;
	struct str message;

	enum err_code code = ui_map_new(map_limits, v->config.seed, &map, e);
	while (code == ERR_OK) {
		code = rpc_stream_next(stream, 0, &message, e);
		if (code == ERR_OK)
			code = take_edges(message, map, &flows, &dropped, e);
	}
	if (code != ERR_CLOSED)
		return code;
	(void)pthread_mutex_lock(&v->mx);
	struct ui_map *before = v->map;
	v->map = map;
	map = before;
	v->flows = flows;
	v->dropped = dropped;
	v->changes++;
	(void)pthread_mutex_unlock(&v->mx);
	v->map_is_whole = true;
	return ERR_OK;
}

/* ERR_UNSUPPORTED: the server does not know the call. */
static enum err_code ask_map(struct ui_view *v, struct err *e)
{
	AUTO(rpc_stream_free) struct rpc_stream *stream = NULL;
	AUTO_BUF struct buf request = buf_init(4 << 20);

	put_map_request(v, &request);
	if (request.failed)
		return err_set(e, ERR_NOMEM, "request");
	enum err_code code = rpc_stream_open(v->config.channel, "/tycho.v1.History/GetServiceMap",
					     buf_str(&request), &stream, e);
	if (code != ERR_OK)
		return code;
	bool stopping = hold_stream(v, stream);
	code = stopping ? err_set(e, ERR_CANCELLED, "stopping") : read_map(v, stream, e);
	(void)hold_stream(v, NULL);
	if (code != ERR_OK && rpc_stream_result(stream)->status == RPC_UNIMPLEMENTED)
		return ERR_UNSUPPORTED;
	return code;
}

/* ERR_OK: all that was asked for is here. */
static enum err_code look_back(struct ui_view *v, struct err *e)
{
	if (!v->map_is_whole && !v->server_has_no_map) {
		enum err_code code = ask_map(v, e);
		v->server_has_no_map = code == ERR_UNSUPPORTED;
		if (code != ERR_OK && code != ERR_UNSUPPORTED)
			return code;
	}
	enum err_code code = follow(v, e);
	return code == ERR_CLOSED ? ERR_OK : code;
}

static struct wall_ns time_in(struct str filters, uint32_t number)
{
	struct str message;
	struct wire_field field;
	uint64_t ns = 0;

	if (!wire_find(filters, number, &message))
		return (struct wall_ns){ 0 };
	struct wire_reader r = wire_reader_of(message);
	while (wire_next(&r, &field))
		ns += field.number == 1 ? field.value * NS_PER_S : field.value;
	return (struct wall_ns){ ns };
}

static void wait_for(struct ui_view *v, uint64_t pause_ns)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	uint64_t ns = (uint64_t)until.tv_nsec + pause_ns;
	until.tv_sec += (time_t)(ns / NS_PER_S);
	until.tv_nsec = (long)(ns % NS_PER_S);
	(void)pthread_mutex_lock(&v->mx);
	while (!v->stopping && pthread_cond_timedwait(&v->wake, &v->mx, &until) != ETIMEDOUT)
		;
	(void)pthread_mutex_unlock(&v->mx);
}

static void *watch(void *arg)
{
	struct ui_view *v = arg;
	uint64_t pause_ns = PAUSE_MIN_NS;
	struct err e;

	while (!is_stopping(v)) {
		bool there = greet(v, &e) == ERR_OK;
		if (there) {
			pause_ns = PAUSE_MIN_NS;
			if (v->until.v && look_back(v, &e) == ERR_OK) {
				set_state(v, VIEW_PAST, "");
				break;
			}
			if (!v->until.v)
				(void)follow(v, &e); /* always ends with a reason */
		}
		if (is_stopping(v))
			break;
		set_state(v, VIEW_AWAY, e.msg);
		wait_for(v, pause_ns);
		pause_ns = pause_ns * 2 < PAUSE_MAX_NS ? pause_ns * 2 : PAUSE_MAX_NS;
	}
	atomic_store_explicit(&v->ended, true, memory_order_release); /* pairs with has_ended */
	v->config.notify(v->config.ctx);
	return NULL;
}

/* --- life --- */

void ui_view_stop(struct ui_view *v)
{
	(void)pthread_mutex_lock(&v->mx);
	v->stopping = true;
	if (v->stream)
		rpc_stream_cancel(v->stream);
	(void)pthread_cond_signal(&v->wake);
	(void)pthread_mutex_unlock(&v->mx);
}

bool ui_view_has_ended(struct ui_view *v)
{
	return atomic_load_explicit(&v->ended, memory_order_acquire); /* pairs with watch */
}

void ui_view_free(struct ui_view *v)
{
	if (!v)
		return;
	if (v->has_thread) {
		ui_view_stop(v);
		(void)pthread_join(v->thread, NULL);
	}
	(void)pthread_mutex_destroy(&v->mx);
	(void)pthread_cond_destroy(&v->wake);
	ui_map_free(v->map);
	ui_recent_free(v->recent);
	flow_dict_free(v->dict);
	buf_done(&v->filters);
	buf_done(&v->raw);
	buf_done(&v->rows);
	free(v);
}

struct str ui_view_filters(const struct ui_view *v)
{
	return buf_str(&v->filters);
}

enum err_code ui_view_new(const struct ui_view_config *config, struct ui_view **ret, struct err *e)
{
	pthread_condattr_t attr;
	struct ui_view *made = calloc(1, sizeof *made);

	if (!made)
		return err_set(e, ERR_NOMEM, "view");
	made->config = *config;
	made->filters = buf_init(config->filters.len + 1);
	made->raw = buf_init(RAW_BYTES);
	made->rows = buf_init(ROWS_BYTES * 2);
	(void)pthread_mutex_init(&made->mx, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&made->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	AUTO(ui_view_free) struct ui_view *v = made; /* from here on free accepts it */
	buf_str_put(&v->filters, config->filters);
	v->since = time_in(config->filters, GET_FLOWS_SINCE);
	v->until = time_in(config->filters, GET_FLOWS_UNTIL);
	if (v->until.v > v->since.v)
		v->pulse.step_s =
			(v->until.v - v->since.v) / ((UI_WIRE_PULSE_SECONDS - 1) * NS_PER_S) + 1;
	if (v->filters.failed)
		return err_set(e, ERR_NOMEM, "view");
	if (flow_dict_new(DICT_ENTRIES, &v->dict, e) != ERR_OK ||
	    ui_map_new(map_limits, config->seed, &v->map, e) != ERR_OK ||
	    ui_recent_new(v->until.v ? RECENT_PAST : UI_WIRE_ROWS, UI_WIRE_ROWS_REFUSED, &v->recent,
			  e) != ERR_OK)
		return e->code;
	int os = pthread_create(&v->thread, NULL, watch, v);
	if (os)
		return err_errno(e, os, "thread");
	v->has_thread = true;
	(void)pthread_setname_np(v->thread, "view");
	*ret = TAKE(v);
	return ERR_OK;
}

/* --- reading --- */

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
		{ "newest", v->newest.v / NS_PER_MS },
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
		if (mark < ROWS_BYTES && !v->rows.failed &&
		    json_put_message(&v->rows, &flow__flow__descriptor, message, NULL) == ERR_OK)
			continue;
		v->rows.len = mark;
		v->rows.failed = false;
		left_out++;
	}
	return left_out;
}

/* One more than the range has, for it need not begin with a step. */
static uint64_t range_steps(const struct ui_view *v)
{
	return (v->until.v - v->since.v) / (v->pulse.step_s * NS_PER_S) + 1;
}

bool ui_view_read(struct ui_view *v, struct ui_view_cursor *cursor, uint32_t watch,
		  struct mono_ns now, struct wall_ns wall, struct buf *b)
{
	/* A range that is past does not move on with the clock. */
	struct wall_ns end = v->until.v ? (struct wall_ns){ v->until.v - 1 } : wall;
	uint64_t second = end.v / NS_PER_S, left_out;
	struct ui_view_cursor next = *cursor;
	size_t mark = b->len;

	buf_reset(&v->raw);
	(void)pthread_mutex_lock(&v->mx);
	bool send_map = ui_map_version(v->map) != cursor->map &&
			(!cursor->map || now.v - cursor->map_at.v >= MAP_EVERY_NS);
	if (cursor->changes == v->changes && cursor->second == second && !send_map) {
		(void)pthread_mutex_unlock(&v->mx);
		return false;
	}
	(void)ui_recent_read(v->recent, &next.recent, &v->raw, &left_out);
	buf_printf(b, "{\"type\":\"update\",\"watch\":%u,\"sent\":%llu,", watch,
		   (unsigned long long)(wall.v / NS_PER_MS));
	put_state(b, v);
	put_totals(b, v);
	if (send_map) {
		buf_lit(b, ",\"map\":");
		ui_map_put(v->map, cursor->map, b);
		next.map = ui_map_version(v->map);
		next.map_at = now;
	}
	buf_lit(b, ",\"pulse\":");
	uint64_t behind = v->until.v ? range_steps(v) : second - cursor->second + PULSE_AGAIN_S;
	ui_pulse_put(&v->pulse, end,
		     behind < UI_WIRE_PULSE_SECONDS ? (unsigned)behind : UI_WIRE_PULSE_SECONDS, b);
	next.second = second;
	next.changes = v->changes;
	(void)pthread_mutex_unlock(&v->mx);
	left_out += put_rows(v); /* writing JSON takes its time: not while the stream waits */
	buf_lit(b, ",\"rows\":[");
	buf_str_put(b, buf_str(&v->rows));
	buf_printf(b, "],\"left_out\":%llu}", (unsigned long long)left_out);
	if (b->failed) {
		b->len = mark;
		b->failed = false;
		return false;
	}
	*cursor = next;
	return true;
}
