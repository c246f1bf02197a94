#include "ui-server/history.h"

#include <pthread.h>

#include "base/buf.h"
#include "base/thread.h"
#include "flow/wire.h"
#include "rpc/client.h"
#include "ui-server/wire.h"

enum {
	EVERY_S = 10,
	AGAIN = 3,   /* steps at the end that are asked for again: nodes may come late */
	FIRST_S = 1, /* until it is known since when there is a record */

	ASK_SINCE = 1, /* of tycho.v1.GetServiceMapRequest */
	ASK_STEP = 7,
	ASK_ONLY = 8,
	ANSWER_RATES = 5, /* of GetServiceMapResponse */
	RATE_STEP = 1,
	RATE_FLOWS = 2,
	RATE_DROPPED = 3,
};
#define TIMEOUT_NS (30 * NS_PER_S)

struct series {
	uint64_t from_s, step_s; /* from_s: a multiple of step_s */
	size_t count;
	uint64_t flows[UI_WIRE_PULSE_SECONDS], drops[UI_WIRE_PULSE_SECONDS];
};

struct ui_history {
	struct rpc_channel *channel; /* immutable after start */
	pthread_t thread;
	bool has_thread;
	pthread_mutex_t mx;
	pthread_cond_t wake;
	/* guarded by mx */
	bool stopping;
	struct rpc_stream *stream; /* of the thread; for free to cancel */
	struct wall_ns oldest;
	struct series known; /* written by the thread only */
};

uint64_t ui_history_step_s(uint64_t record_s)
{
	static const uint64_t minutes[] = { 1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440 };

	/* One more than it has, for it need not begin with a step. */
	for (size_t i = 0; i < ARRAY_LEN(minutes); i++)
		if (record_s / (minutes[i] * 60) + 2 <= UI_WIRE_PULSE_SECONDS)
			return minutes[i] * 60;
	return (record_s / (86400 * (UI_WIRE_PULSE_SECONDS - 2)) + 1) * 86400;
}

/* What of @known is good for a record from @oldest_s to @now_s: all but its end. */
static void begin(const struct series *known, uint64_t oldest_s, uint64_t now_s, struct series *ret)
{
	uint64_t step = ui_history_step_s(now_s - oldest_s);
	uint64_t first = oldest_s / step;

	*ret = (struct series){ .from_s = first * step, .step_s = step };
	ret->count = (size_t)(now_s / step - first + 1);
	if (known->step_s != step || known->from_s > ret->from_s)
		return;
	size_t gone = (size_t)((ret->from_s - known->from_s) / step);
	for (size_t i = 0; i + gone + AGAIN < known->count && i < ret->count; i++) {
		ret->flows[i] = known->flows[i + gone];
		ret->drops[i] = known->drops[i + gone];
	}
}

/* Where to ask from on: what begin took over is known. */
static uint64_t ask_from(const struct series *known, const struct series *s)
{
	if (known->step_s != s->step_s || known->from_s > s->from_s || known->count <= AGAIN)
		return s->from_s;
	uint64_t from = known->from_s + (known->count - AGAIN) * known->step_s;
	return from > s->from_s ? from : s->from_s;
}

static void take_rate(struct series *s, struct str message)
{
	struct wire_reader r = wire_reader_of(message);
	struct wire_field f;
	uint64_t values[RATE_DROPPED + 1] = { 0 };

	while (wire_next(&r, &f))
		if (f.type == WIRE_VARINT && f.number <= RATE_DROPPED)
			values[f.number] = f.value;
	uint64_t i = (values[RATE_STEP] - s->from_s) / s->step_s;
	if (r.bad || values[RATE_STEP] < s->from_s || i >= s->count)
		return;
	s->flows[i] += values[RATE_FLOWS];
	s->drops[i] += values[RATE_DROPPED];
}

static bool hold_stream(struct ui_history *h, struct rpc_stream *stream)
{
	(void)pthread_mutex_lock(&h->mx);
	h->stream = stream;
	bool stopping = h->stopping;
	(void)pthread_mutex_unlock(&h->mx);
	return stopping;
}

static enum err_code read_answers(struct rpc_stream *stream, struct series *s, struct err *e)
{
	struct mono_ns end = { mono_now().v + TIMEOUT_NS };

	for (;;) {
		struct mono_ns now = mono_now();
		struct str message;
		if (now.v >= end.v)
			return err_set(e, ERR_TIMEOUT, "rates");
		enum err_code code = rpc_stream_next(stream, end.v - now.v, &message, e);
		if (code != ERR_OK)
			return code == ERR_CLOSED ? ERR_OK : code;
		struct wire_reader r = wire_reader_of(message);
		struct wire_field f;
		while (wire_next(&r, &f))
			if (f.number == ANSWER_RATES && f.type == WIRE_LEN)
				take_rate(s, f.bytes);
	}
}

static enum err_code ask(struct ui_history *h, uint64_t since_s, struct series *s, struct err *e)
{
	AUTO(rpc_stream_free) struct rpc_stream *stream = NULL;
	AUTO_BUF struct buf request = buf_init(256);

	size_t mark = wire_begin(&request, ASK_SINCE);
	wire_put_u64(&request, 1, since_s);
	wire_end(&request, mark);
	wire_put_u64(&request, ASK_STEP, s->step_s);
	wire_put_u64(&request, ASK_ONLY, 1);
	enum err_code code =
		request.failed ? err_set(e, ERR_NOMEM, "request")
			       : rpc_stream_open(h->channel, "/tycho.v1.History/GetServiceMap",
						 buf_str(&request), &stream, e);
	if (code != ERR_OK)
		return code;
	code = hold_stream(h, stream) ? err_set(e, ERR_CANCELLED, "stopping")
				      : read_answers(stream, s, e);
	(void)hold_stream(h, NULL);
	return code;
}

/* What is not answered now is asked for again next time. */
static void refresh(struct ui_history *h, struct wall_ns oldest)
{
	uint64_t now_s = wall_now().v / NS_PER_S, oldest_s = oldest.v / NS_PER_S;
	struct series next;
	struct err e;

	if (!oldest.v || oldest_s > now_s)
		return;
	begin(&h->known, oldest_s, now_s, &next);
	if (ask(h, ask_from(&h->known, &next), &next, &e) != ERR_OK)
		return;
	(void)pthread_mutex_lock(&h->mx);
	h->known = next;
	(void)pthread_mutex_unlock(&h->mx);
}

static void *keep_asking(void *arg)
{
	struct ui_history *h = arg;

	(void)pthread_mutex_lock(&h->mx);
	while (!h->stopping) {
		struct wall_ns oldest = h->oldest;
		(void)pthread_mutex_unlock(&h->mx);
		refresh(h, oldest);
		const struct mono_ns until = { mono_now().v +
					       (oldest.v ? EVERY_S : FIRST_S) * NS_PER_S };
		(void)pthread_mutex_lock(&h->mx);
		while (!h->stopping && thread_cond_wait(&h->wake, &h->mx, until))
			;
	}
	(void)pthread_mutex_unlock(&h->mx);
	return NULL;
}

enum err_code ui_history_new(struct rpc_channel *channel, struct ui_history **ret, struct err *e)
{
	struct ui_history *made = calloc(1, sizeof *made);

	if (!made)
		return err_set(e, ERR_NOMEM, "history");
	made->channel = channel;
	(void)pthread_mutex_init(&made->mx, NULL);
	thread_cond_init(&made->wake);
	AUTO(ui_history_free) struct ui_history *h = made; /* from here on free accepts it */
	enum err_code code = thread_start("history", keep_asking, h, &h->thread, e);
	if (code != ERR_OK)
		return code;
	h->has_thread = true;
	*ret = TAKE(h);
	return ERR_OK;
}

void ui_history_free(struct ui_history *h)
{
	if (!h)
		return;
	if (h->has_thread) {
		(void)pthread_mutex_lock(&h->mx);
		h->stopping = true;
		if (h->stream)
			rpc_stream_cancel(h->stream);
		(void)pthread_cond_signal(&h->wake);
		(void)pthread_mutex_unlock(&h->mx);
		(void)pthread_join(h->thread, NULL);
	}
	(void)pthread_mutex_destroy(&h->mx);
	(void)pthread_cond_destroy(&h->wake);
	free(h);
}

void ui_history_from(struct ui_history *h, struct wall_ns oldest)
{
	(void)pthread_mutex_lock(&h->mx);
	h->oldest = oldest;
	(void)pthread_mutex_unlock(&h->mx);
}

static void put_counts(const char *member, const uint64_t *counts, size_t n, struct buf *b)
{
	buf_printf(b, ",\"%s\":[", member);
	for (size_t i = 0; i < n; i++)
		buf_printf(b, "%s%llu", i ? "," : "", (unsigned long long)counts[i]);
	buf_char(b, ']');
}

bool ui_history_put(struct ui_history *h, struct buf *b)
{
	(void)pthread_mutex_lock(&h->mx);
	const struct series *s = &h->known;
	bool is_known = s->count > 0;
	if (is_known) {
		buf_printf(b, "{\"from\":%llu,\"step\":%llu", (unsigned long long)s->from_s,
			   (unsigned long long)s->step_s);
		put_counts("flows", s->flows, s->count, b);
		put_counts("drops", s->drops, s->count, b);
		buf_char(b, '}');
	}
	(void)pthread_mutex_unlock(&h->mx);
	return is_known;
}
