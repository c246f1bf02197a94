#include "ui-server/status.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/thread.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "rpc/client.h"
#include "tycho/v1/history.pb-c.h"
#include "ui-server/history.h"

enum {
	EVERY_S = 2,
	EVERY_S_AWAY = 1,
	COVERAGE_EVERY = 5 /* rounds */,
	MINUTE_S = 60,
	/* of tycho.v1.GetCoverageResponse, and of its times */
	COVERAGE_OLDEST = 2,
	COVERAGE_NEWEST = 3,
	COVERAGE_RECORDS = 7,
	COVERAGE_BYTES = 8,
	COVERAGE_EDGES_OLDEST = 9,
	COVERAGE_LAST_CHECKPOINT = 13,
	TIME_SECONDS = 1,
};
#define TIMEOUT_NS (2 * NS_PER_S)

struct ui_status {
	struct ui_status_config config; /* immutable after start */
	pthread_t thread;
	bool has_thread;
	struct ui_history *history;
	uint64_t seed;              /* immutable: of keys */
	struct ui_status_text next; /* the thread's; its coverage stays from round to round */
	unsigned round;
	bool is_away;         /* the last answer was none */
	bool record_is_young; /* nobody had one yet: ask again soon */
	enum { RECORD_UNKNOWN, RECORD_NONE, RECORD_KEPT } record; /* as the server last said */
	pthread_mutex_t mx;
	pthread_cond_t wake;
	/* guarded by mx */
	bool stopping;
	struct ui_status_text text; /* the latest */
};

static enum err_code call(struct ui_status *s, const char *method,
			  const ProtobufCMessageDescriptor *desc, struct buf *b, struct err *e)
{
	AUTO_BUF struct buf answer = buf_init(UI_STATUS_PART_BYTES);
	struct rpc_result result;

	enum err_code code =
		rpc_unary(s->config.channel, method, STR(""), TIMEOUT_NS, &answer, &result, e);
	return code == ERR_OK ? json_put_message(b, desc, buf_str(&answer), e) : code;
}

static uint64_t seconds_of(struct str time)
{
	struct wire_reader r = wire_reader_of(time);
	struct wire_field f;

	while (wire_next(&r, &f))
		if (f.number == TIME_SECONDS && f.type == WIRE_VARINT)
			return f.value;
	return 0;
}

/* Seconds since the epoch, from when on a node has records; 0: it has none. */
static uint64_t oldest_of(struct str coverage)
{
	struct str time;

	return wire_find(coverage, COVERAGE_OLDEST, &time) ? seconds_of(time) : 0;
}

/* What a page makes of a node's coverage, as a number: of how much it holds and up to when, which
 * changes all the time, nothing; of when it begins, the minute. */
static uint64_t key_of(struct str coverage, uint64_t seed)
{
	struct wire_reader r = wire_reader_of(coverage);
	struct wire_field f;
	uint64_t key = seed;

	while (wire_next(&r, &f)) {
		switch (f.number) {
		case COVERAGE_NEWEST:
		case COVERAGE_RECORDS:
		case COVERAGE_BYTES:
		case COVERAGE_EDGES_OLDEST:
		case COVERAGE_LAST_CHECKPOINT:
			break;
		case COVERAGE_OLDEST: {
			uint64_t minute = seconds_of(f.bytes) / MINUTE_S;
			key = hash_bytes(&minute, sizeof minute, key);
			break;
		}
		default:
			key = hash_bytes(f.raw.p, f.raw.len, key);
		}
	}
	return key;
}

/* One message a node, in any order; of more than there is room for, @b has none. ERR_UNSUPPORTED: a
 * server other than ours, which does not know the call. */
static enum err_code ask_coverage(struct ui_status *s, struct buf *b, uint64_t *ret_key,
				  struct wall_ns *ret_oldest, struct err *e)
{
	AUTO(rpc_stream_free) struct rpc_stream *stream = NULL;
	struct mono_ns end = { mono_now().v + TIMEOUT_NS };
	const char *before = "[";
	uint64_t oldest_s = UINT64_MAX, key = 0;
	struct str message;

	enum err_code code = rpc_stream_open(s->config.channel, "/tycho.v1.History/GetCoverage",
					     STR(""), &stream, e);
	while (code == ERR_OK) {
		struct mono_ns now = mono_now();
		if (now.v >= end.v)
			return err_set(e, ERR_TIMEOUT, "coverage");
		code = rpc_stream_next(stream, end.v - now.v, &message, e);
		if (code != ERR_OK)
			break;
		buf_str_put(b, str_of(before));
		before = ",";
		key += key_of(message, s->seed); /* whatever their order */
		uint64_t node_s = oldest_of(message);
		if (node_s && node_s < oldest_s)
			oldest_s = node_s;
		code = json_put_message(b, &tycho__v1__get_coverage_response__descriptor, message,
					e);
		if (b->failed)
			code = ERR_OK; /* since when there is a record is to be known all the same */
	}
	if (code != ERR_CLOSED)
		return code;
	buf_str_put(b, *before == '[' ? STR("[]") : STR("]"));
	if (b->failed)
		buf_reset(b);
	*ret_key = key;
	ret_oldest->v = oldest_s < UINT64_MAX / NS_PER_S ? oldest_s * NS_PER_S : 0;
	return ERR_OK;
}

static void refresh_coverage(struct ui_status *s)
{
	struct ui_status_part_text *part = &s->next.parts[UI_STATUS_COVERAGE];
	struct err e;

	if (s->round++ % COVERAGE_EVERY && !s->record_is_young)
		return;
	struct wall_ns oldest = { 0 };
	buf_reset(&part->json);
	enum err_code code = ask_coverage(s, &part->json, &part->key, &oldest, &e);
	if (code == ERR_OK)
		ui_history_from(s->history, oldest);
	else
		buf_reset(&part->json);
	s->record_is_young = code == ERR_OK && !oldest.v;
	s->record = code == ERR_OK            ? RECORD_KEPT
		    : code == ERR_UNSUPPORTED ? RECORD_NONE
					      : RECORD_UNKNOWN;
}

static void finish_part(const struct ui_status *s, struct ui_status_part_text *part, bool is_there)
{
	if (is_there)
		part->key = hash_bytes(part->json.p, part->json.len, s->seed);
	else
		buf_reset(&part->json);
}

/* Namespaces are for completion only: a server that does not know them is none the worse. While it
 * is away, it is not known what it has. */
static void ask(struct ui_status *s)
{
	struct ui_status_part_text *parts = s->next.parts;
	struct buf *b = &s->next.head, *namespaces = &parts[UI_STATUS_NAMESPACES].json,
		   *history = &parts[UI_STATUS_HISTORY].json;
	struct err e;

	buf_reset(b);
	buf_reset(namespaces);
	buf_reset(history);
	buf_lit(b, "{\"type\":\"status\",\"server\":");
	json_put_string(b, str_of(s->config.server));
	size_t mark = b->len;
	buf_lit(b, ",\"status\":");
	s->is_away = call(s, "/observer.Observer/ServerStatus",
			  &observer__server_status_response__descriptor, b, &e) != ERR_OK;
	if (s->is_away) {
		b->len = mark;
		buf_lit(b, ",\"reason\":");
		json_put_string(b, str_of(e.msg));
		buf_reset(&parts[UI_STATUS_COVERAGE].json);
		s->record_is_young = true; /* asked for as soon as it is back */
		return;
	}
	finish_part(s, &parts[UI_STATUS_NAMESPACES],
		    call(s, "/observer.Observer/GetNamespaces",
			 &observer__get_namespaces_response__descriptor, namespaces, &e) == ERR_OK);
	refresh_coverage(s);
	if (s->record != RECORD_UNKNOWN)
		buf_printf(b, ",\"record\":%s", s->record == RECORD_KEPT ? "true" : "false");
	finish_part(s, &parts[UI_STATUS_HISTORY], ui_history_put(s->history, history));
}

static void *keep_asking(void *arg)
{
	struct ui_status *s = arg;
	bool stopping = false;

	while (!stopping) {
		ask(s);
		(void)pthread_mutex_lock(&s->mx);
		(void)ui_status_text_take(&s->text, &s->next); /* else pages keep the last one */
		(void)pthread_mutex_unlock(&s->mx);
		s->config.notify(s->config.ctx);
		const struct mono_ns until = { mono_now().v +
					       (s->is_away ? EVERY_S_AWAY : EVERY_S) * NS_PER_S };
		(void)pthread_mutex_lock(&s->mx);
		while (!s->stopping && thread_cond_wait(&s->wake, &s->mx, until))
			;
		stopping = s->stopping;
		(void)pthread_mutex_unlock(&s->mx);
	}
	return NULL;
}

void ui_status_free(struct ui_status *s)
{
	if (!s)
		return;
	if (s->has_thread) {
		(void)pthread_mutex_lock(&s->mx);
		s->stopping = true;
		(void)pthread_cond_signal(&s->wake);
		(void)pthread_mutex_unlock(&s->mx);
		(void)pthread_join(s->thread, NULL);
	}
	ui_history_free(s->history);
	(void)pthread_mutex_destroy(&s->mx);
	(void)pthread_cond_destroy(&s->wake);
	ui_status_text_done(&s->next);
	ui_status_text_done(&s->text);
	free(s);
}

enum err_code ui_status_new(const struct ui_status_config *config, struct ui_status **ret,
			    struct err *e)
{
	struct ui_status *made = calloc(1, sizeof *made);

	if (!made)
		return err_set(e, ERR_NOMEM, "status");
	made->config = *config;
	ui_status_text_init(&made->text);
	ui_status_text_init(&made->next);
	(void)pthread_mutex_init(&made->mx, NULL);
	thread_cond_init(&made->wake);
	AUTO(ui_status_free) struct ui_status *s = made; /* from here on free accepts it */
	if (getrandom(&s->seed, sizeof s->seed, 0) != sizeof s->seed)
		return err_os(e, "random seed");
	if (ui_history_new(config->channel, &s->history, e) != ERR_OK)
		return e->code;
	if (thread_start("status", keep_asking, s, &s->thread, e) != ERR_OK)
		return e->code;
	s->has_thread = true;
	*ret = TAKE(s);
	return ERR_OK;
}

bool ui_status_read(struct ui_status *s, struct ui_status_text *copy)
{
	(void)pthread_mutex_lock(&s->mx);
	bool news = s->text.version != copy->version && ui_status_text_copy(copy, &s->text);
	(void)pthread_mutex_unlock(&s->mx);
	return news;
}
