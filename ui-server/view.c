#include "ui-server/view_in.h"

#include <stdio.h>

#include "base/log.h"
#include "base/thread.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "tycho/v1/history.pb-c.h"
#include "ui-server/ask.h"
#include "ui-server/wire.h"

enum {
	DICT_ENTRIES = 2 * VIEW_DICT_FULL,
	CARDS_MOST = 4096,
	EDGES_MOST = 20000,
	ADDRESSES_MOST = 256,
	RAW_BYTES = (VIEW_ROWS_PAST + UI_WIRE_ROWS_REFUSED) * (UI_RECENT_MESSAGE_BYTES + 8),
	ROWS_BYTES = 16 << 20, /* of JSON in one update, at most */
	TEXT_BYTES = 48 << 20, /* of an update */

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
	GET_MAP_RATES_STEP = 7,
	GET_MAP_RATES_ONLY = 8,
};
#define STATUS_TIMEOUT_NS (2 * NS_PER_S)
#define PAUSE_MIN_NS (250 * NS_PER_MS)
#define PAUSE_MAX_NS                                                                               \
	(1 *                                                                                       \
	 NS_PER_S) /* asking costs next to nothing while there is no connection                \
			*/

static const struct ui_map_limits map_limits = { CARDS_MOST, EDGES_MOST, ADDRESSES_MOST };

static bool is_stopping(struct ui_view *v)
{
	(void)pthread_mutex_lock(&v->mx);
	bool stopping = v->stopping;
	(void)pthread_mutex_unlock(&v->mx);
	return stopping;
}

void view_set_state(struct ui_view *v, enum view_state state, const char *reason)
{
	(void)pthread_mutex_lock(&v->mx);
	if (state == VIEW_AWAY && v->state != VIEW_AWAY)
		v->away_since = wall_now();
	v->state = state;
	(void)snprintf(v->reason, sizeof v->reason, "%s", reason);
	v->changes++;
	v->ticks++;
	(void)pthread_mutex_unlock(&v->mx);
	v->config.notify(v->config.ctx);
}

/* --- the stream --- */

/* From the last flow on; before all of history has come, with that. Where all clocks are ahead, it is
 * ours that is wrong. */
static void put_request(struct ui_view *v, struct buf *b)
{
	bool is_anew = v->backlog && ui_backlog_is_asked_for(v->backlog);
	uint64_t newest = is_anew ? 0 : v->newest.v ? v->newest.v : v->newest_ahead.v;

	wire_put_u64(b, GET_FLOWS_NUMBER, newest ? 0 : v->config.history);
	if (!v->until.v)
		wire_put_u64(b, GET_FLOWS_FOLLOW, 1);
	buf_str_put(b, buf_str(&v->filters));
	if (newest) {
		struct timestamp since = timestamp_of((struct wall_ns){ newest + 1 });
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

static enum err_code follow_by(struct ui_view *v, const char *method, bool is_batched,
			       struct err *e)
{
	AUTO(rpc_stream_free) struct rpc_stream *stream = NULL;
	AUTO_BUF struct buf request = buf_init(4 << 20);

	put_request(v, &request);
	if (request.failed)
		return err_set(e, ERR_NOMEM, "request");
	v->connected = wall_now();
	enum err_code code =
		rpc_stream_open(v->config.channel, method, buf_str(&request), &stream, e);
	if (code != ERR_OK)
		return code;
	bool stopping = hold_stream(v, stream);
	if (v->backlog)
		ui_backlog_begin(v->backlog);
	if (!v->until.v)
		view_set_state(v, VIEW_LIVE, "");
	code = stopping ? err_set(e, ERR_CANCELLED, "stopping")
			: view_pump(v, stream, is_batched, e);
	(void)hold_stream(v, NULL);
	return code;
}

/* By the batch where the server can: a third of what single messages cost here. */
static enum err_code follow(struct ui_view *v, struct err *e)
{
	enum err_code code = ERR_UNSUPPORTED;

	if (!v->server_has_no_batches)
		code = follow_by(v, "/tycho.v1.Flows/GetFlowBatches", true, e);
	v->server_has_no_batches = code == ERR_UNSUPPORTED;
	return code == ERR_UNSUPPORTED ? follow_by(v, "/observer.Observer/GetFlows", false, e)
				       : code;
}

/* Is the server there, and still the one that we knew? A stream alone does not say: it is silent
 * until there is a flow. */
enum err_code view_greet(struct ui_view *v, struct err *e)
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

/* The record is counted by the minute. */
static uint64_t minutes_of(uint64_t step_s)
{
	return (step_s + 59) / 60 * 60;
}

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
	wire_put_u64(b, GET_MAP_RATES_STEP, minutes_of(v->pulse.step_s));
	if (v->only_rates)
		wire_put_u64(b, GET_MAP_RATES_ONLY, 1);
}

/* What a range's answers add up to. */
struct recorded {
	struct ui_map *map;
	uint64_t flows, dropped;
	struct ui_pulse pulse;
	uint64_t rated, rated_drops; /* in it */
	bool has_rates;
};

static enum err_code take_answer(struct str message, struct recorded *r, struct err *e)
{
	Tycho__V1__GetServiceMapResponse *m = tycho__v1__get_service_map_response__unpack(
		NULL, message.len, (const uint8_t *)message.p);

	if (!m)
		return err_set(e, ERR_PARSE, "the server's service map cannot be read");
	for (size_t i = 0; i < m->n_edges; i++) {
		ui_map_add_edge(r->map, m->edges[i]);
		r->flows += m->edges[i]->flows;
		if (m->edges[i]->verdict == FLOW__VERDICT__DROPPED ||
		    m->edges[i]->verdict == FLOW__VERDICT__ERROR)
			r->dropped += m->edges[i]->flows;
	}
	for (size_t i = 0; i < m->n_rates; i++) {
		ui_pulse_add_sum(&r->pulse, m->rates[i]->step, m->rates[i]->flows,
				 m->rates[i]->dropped);
		r->rated += m->rates[i]->flows;
		r->rated_drops += m->rates[i]->dropped;
	}
	r->has_rates |= m->n_rates > 0;
	tycho__v1__get_service_map_response__free_unpacked(m, NULL);
	return ERR_OK;
}

static enum err_code read_map(struct ui_view *v, struct rpc_stream *stream, struct err *e)
{
	struct recorded r = { .pulse.step_s = minutes_of(v->pulse.step_s) };
	struct str message;

	enum err_code code = ui_map_new(map_limits, v->config.seed, &r.map, e);
	while (code == ERR_OK) {
		code = rpc_stream_next(stream, 0, &message, e);
		if (code == ERR_OK)
			code = take_answer(message, &r, e);
	}
	if (code != ERR_CLOSED) {
		ui_map_free(r.map);
		return code;
	}
	(void)pthread_mutex_lock(&v->mx);
	struct ui_map *before = v->map;
	v->map = r.map;
	v->flows = v->only_rates ? r.rated : r.flows;
	v->dropped = v->only_rates ? r.rated_drops : r.dropped;
	if (r.has_rates)
		v->recorded = r.pulse;
	v->changes++;
	(void)pthread_mutex_unlock(&v->mx);
	ui_map_free(before);
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
	if (v->only_rates && v->map_is_whole)
		return ERR_OK;
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

static bool has_field(struct str filters, uint32_t number)
{
	struct wire_reader r = wire_reader_of(filters);
	struct wire_field field;

	while (wire_next(&r, &field))
		if (field.number == number)
			return true;
	return false;
}

static void wait_for(struct ui_view *v, uint64_t pause_ns)
{
	const struct mono_ns until = { mono_now().v + pause_ns };

	(void)pthread_mutex_lock(&v->mx);
	while (!v->stopping && thread_cond_wait(&v->wake, &v->mx, until))
		;
	(void)pthread_mutex_unlock(&v->mx);
}

static void *watch(void *arg)
{
	struct ui_view *v = arg;
	uint64_t pause_ns = PAUSE_MIN_NS;
	struct err e;

	while (!is_stopping(v)) {
		bool there = view_greet(v, &e) == ERR_OK;
		if (there) {
			pause_ns = PAUSE_MIN_NS;
			if (v->until.v && look_back(v, &e) == ERR_OK) {
				view_set_state(v, VIEW_PAST, "");
				break;
			}
			if (!v->until.v)
				(void)follow(v, &e); /* always ends with a reason */
		}
		if (is_stopping(v))
			break;
		view_set_state(v, VIEW_AWAY, e.msg);
		v->server_has_no_batches = false; /* it may come back as another */
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
	ui_backlog_free(v->backlog);
	ui_map_free(v->map);
	ui_recent_free(v->recent);
	flow_dict_free(v->dict);
	buf_done(&v->filters);
	buf_done(&v->raw);
	buf_done(&v->rows);
	buf_done(&v->text);
	view_forget(v);
	free(v);
}

struct str ui_view_filters(const struct ui_view *v)
{
	return buf_str(&v->filters);
}

enum err_code ui_view_new(const struct ui_view_config *config, struct ui_view **ret, struct err *e)
{
	struct ui_view *made = calloc(1, sizeof *made);

	if (!made)
		return err_set(e, ERR_NOMEM, "view");
	made->config = *config;
	made->filters = buf_init(config->filters.len + 1);
	made->raw = buf_init(RAW_BYTES);
	made->rows = buf_init(ROWS_BYTES);
	made->text = buf_init(TEXT_BYTES);
	(void)pthread_mutex_init(&made->mx, NULL);
	thread_cond_init(&made->wake);
	AUTO(ui_view_free) struct ui_view *v = made; /* from here on free accepts it */
	buf_str_put(&v->filters, config->filters);
	v->since = time_in(config->filters, GET_FLOWS_SINCE);
	v->until = time_in(config->filters, GET_FLOWS_UNTIL);
	v->only_rates = has_field(config->filters, UI_ASK_ONLY_RATES);
	if (v->until.v > v->since.v)
		v->pulse.step_s =
			(v->until.v - v->since.v) / ((UI_WIRE_PULSE_SECONDS - 1) * NS_PER_S) + 1;
	if (v->filters.failed)
		return err_set(e, ERR_NOMEM, "view");
	if (flow_dict_new(DICT_ENTRIES, &v->dict, e) != ERR_OK ||
	    ui_map_new(map_limits, config->seed, &v->map, e) != ERR_OK ||
	    ui_recent_new(v->until.v ? VIEW_ROWS_PAST : UI_WIRE_ROWS, UI_WIRE_ROWS_REFUSED,
			  &v->recent, e) != ERR_OK)
		return e->code;
	if (!v->until.v && ui_backlog_new(config->channel, buf_str(&v->filters), config->seed,
					  &v->backlog, e) != ERR_OK)
		return e->code;
	if (thread_start("view", watch, v, &v->thread, e) != ERR_OK)
		return e->code;
	v->has_thread = true;
	*ret = TAKE(v);
	return ERR_OK;
}
