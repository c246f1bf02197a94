#include "ui-server/status.h"

#include <pthread.h>
#include <string.h>

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
	COVERAGE_BYTES = 4 << 20, /* of a thousand nodes, with dozens of gaps each */
	TEXT_BYTES = 6 << 20
};
#define TIMEOUT_NS (2 * NS_PER_S)

struct ui_status {
	struct ui_status_config config; /* immutable after start */
	pthread_t thread;
	bool has_thread;
	struct ui_history *history;
	struct buf coverage; /* the thread's: a JSON list, empty if the server knows none */
	unsigned round;
	bool is_away;         /* the last answer was none */
	bool record_is_young; /* nobody had one yet: ask again soon */
	enum { RECORD_UNKNOWN, RECORD_NONE, RECORD_KEPT } record; /* as the server last said */
	pthread_mutex_t mx;
	pthread_cond_t wake;
	/* guarded by mx */
	bool stopping;
	struct buf text; /* the latest, as JSON */
	uint64_t version;
};

static enum err_code call(struct ui_status *s, const char *method,
			  const ProtobufCMessageDescriptor *desc, struct buf *b, struct err *e)
{
	AUTO_BUF struct buf answer = buf_init(TEXT_BYTES);
	struct rpc_result result;

	enum err_code code =
		rpc_unary(s->config.channel, method, STR(""), TIMEOUT_NS, &answer, &result, e);
	return code == ERR_OK ? json_put_message(b, desc, buf_str(&answer), e) : code;
}

/* Seconds since the epoch, from when on a node has records; 0: it has none. */
static uint64_t oldest_of(struct str coverage)
{
	enum { OLDEST = 2, SECONDS = 1 }; /* of tycho.v1.GetCoverageResponse, and of its times */
	struct str time;
	struct wire_reader r;
	struct wire_field f;

	if (!wire_find(coverage, OLDEST, &time))
		return 0;
	r = wire_reader_of(time);
	while (wire_next(&r, &f))
		if (f.number == SECONDS && f.type == WIRE_VARINT)
			return f.value;
	return 0;
}

/* One message a node; of more than there is room for, @b has none. ERR_UNSUPPORTED: a server other
 * than ours, which does not know the call. */
static enum err_code ask_coverage(struct ui_status *s, struct buf *b, struct wall_ns *ret_oldest,
				  struct err *e)
{
	AUTO(rpc_stream_free) struct rpc_stream *stream = NULL;
	struct mono_ns end = { mono_now().v + TIMEOUT_NS };
	const char *before = "[";
	uint64_t oldest_s = UINT64_MAX;
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
	ret_oldest->v = oldest_s < UINT64_MAX / NS_PER_S ? oldest_s * NS_PER_S : 0;
	return ERR_OK;
}

static void refresh_coverage(struct ui_status *s)
{
	AUTO_BUF struct buf b = buf_init(COVERAGE_BYTES);
	struct err e;

	if (s->round++ % COVERAGE_EVERY && !s->record_is_young)
		return;
	struct wall_ns oldest = { 0 };
	enum err_code code = ask_coverage(s, &b, &oldest, &e);
	if (code == ERR_OK)
		ui_history_from(s->history, oldest);
	s->record_is_young = code == ERR_OK && !oldest.v;
	s->record = code == ERR_OK            ? RECORD_KEPT
		    : code == ERR_UNSUPPORTED ? RECORD_NONE
					      : RECORD_UNKNOWN;
	buf_reset(&s->coverage);
	if (code == ERR_OK)
		buf_str_put(&s->coverage, buf_str(&b));
}

/* Namespaces are for completion only: a server that does not know them is none the worse. */
static void ask(struct ui_status *s, struct buf *b)
{
	struct err e;

	buf_lit(b, "{\"type\":\"status\",\"server\":");
	json_put_string(b, str_of(s->config.server));
	size_t mark = b->len;
	buf_lit(b, ",\"status\":");
	if (call(s, "/observer.Observer/ServerStatus",
		 &observer__server_status_response__descriptor, b, &e) != ERR_OK) {
		s->is_away = true;
		b->len = mark;
		buf_lit(b, ",\"reason\":");
		json_put_string(b, str_of(e.msg));
	} else {
		s->is_away = false;
		mark = b->len;
		buf_lit(b, ",\"namespaces\":");
		if (call(s, "/observer.Observer/GetNamespaces",
			 &observer__get_namespaces_response__descriptor, b, &e) != ERR_OK)
			b->len = mark;
		refresh_coverage(s);
		if (s->record != RECORD_UNKNOWN)
			buf_printf(b, ",\"record\":%s",
				   s->record == RECORD_KEPT ? "true" : "false");
		if (s->coverage.len && !s->coverage.failed) {
			buf_lit(b, ",\"coverage\":");
			buf_str_put(b, buf_str(&s->coverage));
		}
		mark = b->len;
		buf_lit(b, ",\"history\":");
		if (!ui_history_put(s->history, b))
			b->len = mark;
	}
	buf_char(b, '}');
}

static void *keep_asking(void *arg)
{
	struct ui_status *s = arg;
	AUTO_BUF struct buf b = buf_init(TEXT_BYTES);
	bool stopping = false;

	while (!stopping) {
		buf_reset(&b);
		ask(s, &b);
		(void)pthread_mutex_lock(&s->mx);
		buf_reset(&s->text);
		buf_str_put(&s->text, buf_str(&b));
		if (!b.failed && !s->text.failed)
			s->version++;
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
	buf_done(&s->coverage);
	buf_done(&s->text);
	free(s);
}

enum err_code ui_status_new(const struct ui_status_config *config, struct ui_status **ret,
			    struct err *e)
{
	struct ui_status *made = calloc(1, sizeof *made);

	if (!made)
		return err_set(e, ERR_NOMEM, "status");
	made->config = *config;
	made->text = buf_init(TEXT_BYTES);
	made->coverage = buf_init(COVERAGE_BYTES);
	(void)pthread_mutex_init(&made->mx, NULL);
	thread_cond_init(&made->wake);
	AUTO(ui_status_free) struct ui_status *s = made; /* from here on free accepts it */
	if (ui_history_new(config->channel, &s->history, e) != ERR_OK)
		return e->code;
	if (thread_start("status", keep_asking, s, &s->thread, e) != ERR_OK)
		return e->code;
	s->has_thread = true;
	*ret = TAKE(s);
	return ERR_OK;
}

bool ui_status_read(struct ui_status *s, uint64_t *cursor, struct buf *b)
{
	(void)pthread_mutex_lock(&s->mx);
	bool news = s->version != *cursor;
	if (news) {
		buf_str_put(b, buf_str(&s->text));
		*cursor = s->version;
	}
	(void)pthread_mutex_unlock(&s->mx);
	return news && !b->failed;
}
