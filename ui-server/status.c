#include "ui-server/status.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/buf.h"
#include "base/time.h"
#include "flow/json.h"
#include "observer/observer.pb-c.h"
#include "rpc/client.h"

enum { EVERY_S = 2, TEXT_BYTES = 1 << 20 };
#define TIMEOUT_NS (2 * NS_PER_S)

struct ui_status {
	struct ui_status_config config; /* immutable after start */
	pthread_t thread;
	bool has_thread;
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
		b->len = mark;
		buf_lit(b, ",\"reason\":");
		json_put_string(b, str_of(e.msg));
	} else {
		mark = b->len;
		buf_lit(b, ",\"namespaces\":");
		if (call(s, "/observer.Observer/GetNamespaces",
			 &observer__get_namespaces_response__descriptor, b, &e) != ERR_OK)
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
		struct timespec until;
		buf_reset(&b);
		ask(s, &b);
		(void)pthread_mutex_lock(&s->mx);
		buf_reset(&s->text);
		buf_str_put(&s->text, buf_str(&b));
		if (!b.failed && !s->text.failed)
			s->version++;
		(void)pthread_mutex_unlock(&s->mx);
		s->config.notify(s->config.ctx);
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += EVERY_S;
		(void)pthread_mutex_lock(&s->mx);
		while (!s->stopping &&
		       pthread_cond_timedwait(&s->wake, &s->mx, &until) != ETIMEDOUT)
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
	(void)pthread_mutex_destroy(&s->mx);
	(void)pthread_cond_destroy(&s->wake);
	buf_done(&s->text);
	free(s);
}

enum err_code ui_status_new(const struct ui_status_config *config, struct ui_status **ret,
			    struct err *e)
{
	pthread_condattr_t attr;
	struct ui_status *made = calloc(1, sizeof *made);

	if (!made)
		return err_set(e, ERR_NOMEM, "status");
	made->config = *config;
	made->text = buf_init(TEXT_BYTES);
	(void)pthread_mutex_init(&made->mx, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&made->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	AUTO(ui_status_free) struct ui_status *s = made; /* from here on free accepts it */
	int os = pthread_create(&s->thread, NULL, keep_asking, s);
	if (os)
		return err_errno(e, os, "thread");
	s->has_thread = true;
	(void)pthread_setname_np(s->thread, "status");
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
