#include "rpc/fan.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include <grpc/byte_buffer.h>
#include <grpc/support/time.h>

#include "base/log.h"
#include "config.h"
#include "rpc/address.h"
#include "rpc/failure.h"
#include "rpc/inside.h"
#include "rpc/tls.h"

enum {
	/* of the queue, before the groups concerned are told: once for many */
	EVENTS_PER_PASS = 64,
	DEFAULT_MAX_MESSAGE_BYTES = 4 << 20,
	/* Without probing: else the core grows the window of a fast sender to megabytes. */
	WINDOW_BYTES = 64 << 10,
	CONNECT_TIMEOUT_MS = 5000, /* TCP, TLS and HTTP/2 together */
	/* times 1.6 after each failure, a fifth more or less; the core's own rule */
	BACKOFF_MIN_MS = 200,
	BACKOFF_MAX_MS = 5000,
	HEADERS_MAX = 64, /* of a call; more are left out */
};

enum tag_kind { TAG_WATCH, TAG_SENT, TAG_HEADERS, TAG_MESSAGE, TAG_STATUS };
struct tag {
	enum tag_kind kind;
	void *owner; /* struct watch, struct rpc_fan_call */
};

struct rpc_fan {
	grpc_completion_queue *cq;
	pthread_t thread;
	bool has_thread; /* else a server does its work */
	/* Guards all below and everything in channels, groups and calls that is not immutable.
	 * Sections are short; none waits, but for certificate files that have changed. */
	pthread_mutex_t mx;
	struct rpc_group *told[EVENTS_PER_PASS]; /* groups with news in this pass */
	size_t told_count;
	struct mono_ns pass_at;
};

struct rpc_fan_channel {
	struct rpc_fan *fan; /* immutable after new, down to @changed_ctx */
	struct address address;
	char target[ADDRESS_TARGET_BYTES];
	char *user_agent;
	size_t max_message_bytes;
	grpc_metadata *metadata;
	size_t metadata_count;
	void (*changed)(void *ctx);
	void *changed_ctx;

	size_t refs; /* the owner's, each watch's and each call's */
	bool is_freed;
	struct tls_files *tls; /* NULL: plain text */
	grpc_channel *core;    /* replaced by a reset, and when the certificate files change … */
	unsigned generation;   /* … so many times */
	/* written under the lock, read by any */
	atomic_bool is_usable;
	_Atomic int state; /* enum rpc_connection, as the core last said */
	_Atomic uint64_t heard_ns;
	struct rpc_fan_call *calls;
};

/* The core tells of one change of one connection state; then it is asked again. */
struct watch {
	struct tag tag;
	struct rpc_fan_channel *ch; /* counted */
	unsigned generation;        /* of the core it watches */
};

struct rpc_group {
	struct rpc_fan *fan;
	void (*notify)(void *ctx);
	void *ctx;
	bool is_freed, is_told;
	size_t refs;            /* the owner's and each call's */
	grpc_metadata *headers; /* written under the lock, by the owner's thread only */
	size_t header_count;
	struct rpc_fan_call *calls;
	size_t call_count;
	struct rpc_fan_event *first, **last; /* inbox */
};

/* What an event is in here: the message's bytes stand on the core's buffer. */
struct event {
	struct rpc_fan_event pub; /* first: the event is one */
	struct message message;
	size_t bytes;
};

struct rpc_fan_call {
	struct rpc_fan_call *next_in_group, **prev_in_group;
	struct rpc_fan_call *next_in_channel, **prev_in_channel;
	struct rpc_group *group;
	struct rpc_fan_channel *ch;
	void *owner;
	grpc_call *core;
	struct tag sent, headers_came, message_came, status_came;
	size_t refs; /* the core's tags under way, and each event's */
	grpc_metadata_array headers, trailers;
	grpc_byte_buffer *incoming; /* the core's until TAG_MESSAGE */
	bool is_reading, is_drained, is_over, has_ended;
	size_t held, held_bytes; /* messages the owner has not freed */
	grpc_status_code status;
	grpc_slice status_text;
	struct rpc_result result;
	struct event end; /* there in any case: an end must not fail for want of memory */
};

/* ---- channels */

static grpc_arg int_arg(const char *key, int value)
{
	return (grpc_arg){ .type = GRPC_ARG_INTEGER,
			   .key = (char *)(uintptr_t)key,
			   .value.integer = value };
}

static grpc_arg text_arg(const char *key, const char *value)
{
	return (grpc_arg){ .type = GRPC_ARG_STRING,
			   .key = (char *)(uintptr_t)key,
			   .value.string = (char *)(uintptr_t)value };
}

/* No HTTP/2 pings: servers as they come from the library punish them (more often than every 5
 * minutes: GOAWAY ENHANCE_YOUR_CALM). Who needs to know asks the server something, and resets. */
static enum err_code connect_core(struct rpc_fan_channel *ch, grpc_channel **ret, struct err *e)
{
	grpc_channel_credentials *creds;
	grpc_arg args[16];
	size_t n = 0;

	if (!ch->tls)
		creds = grpc_insecure_credentials_create();
	else if (tls_channel_creds(ch->tls, &creds, e) != ERR_OK)
		return e->code;
	args[n++] = text_arg(GRPC_ARG_PRIMARY_USER_AGENT_STRING, ch->user_agent);
	args[n++] = int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)ch->max_message_bytes);
	args[n++] = int_arg(GRPC_ARG_HTTP2_BDP_PROBE, 0);
	args[n++] = int_arg(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, WINDOW_BYTES);
	args[n++] = int_arg(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, CONNECT_TIMEOUT_MS);
	args[n++] = int_arg(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, BACKOFF_MIN_MS);
	args[n++] = int_arg(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, BACKOFF_MAX_MS);
	args[n++] = int_arg(GRPC_ARG_ENABLE_RETRIES, 0);
	/* Channels to one address do not share a connection: one reset leaves the other alone. */
	args[n++] = int_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
	args[n++] = int_arg(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
	args[n++] = int_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
	if (ch->tls && tls_files_server_name(ch->tls))
		args[n++] =
			text_arg(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG, tls_files_server_name(ch->tls));
	*ret = grpc_channel_create(ch->target, creds, &(grpc_channel_args){ n, args });
	grpc_channel_credentials_release(creds);
	return ERR_OK;
}

static void channel_destroy(struct rpc_fan_channel *ch)
{
	if (ch->core)
		grpc_channel_destroy(ch->core);
	tls_files_free(ch->tls);
	metadata_free(ch->metadata, ch->metadata_count);
	free(ch->user_agent);
	free(ch);
}

/* Under the lock. */
static void channel_unref(struct rpc_fan_channel *ch)
{
	if (--ch->refs == 0)
		channel_destroy(ch);
}

static void set_usable(struct rpc_fan_channel *ch, bool usable)
{
	if (atomic_exchange_explicit(&ch->is_usable, usable, memory_order_acq_rel) != usable &&
	    ch->changed && !ch->is_freed)
		ch->changed(ch->changed_ctx);
}

/* Under the lock. Asks the core to connect if it does not, and to tell of the next change. */
static void watch_again(struct rpc_fan_channel *ch, struct watch *w)
{
	grpc_connectivity_state state = grpc_channel_check_connectivity_state(ch->core, 1);

	atomic_store_explicit(&ch->state, (int)state, memory_order_relaxed);
	if (state == GRPC_CHANNEL_READY)
		set_usable(ch, true);
	else if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN)
		set_usable(ch, false);
	w->generation = ch->generation;
	grpc_channel_watch_connectivity_state(ch->core, state, gpr_inf_future(GPR_CLOCK_MONOTONIC),
					      ch->fan->cq, fan_mark(&w->tag));
}

static bool watch_new(struct rpc_fan_channel *ch)
{
	struct watch *w = malloc(sizeof *w);
	if (!w)
		return false;
	*w = (struct watch){ .tag = { TAG_WATCH, w }, .ch = ch };
	ch->refs++;
	watch_again(ch, w);
	return true;
}

/* Under the lock. A destroyed core says "shut down" to its last watch. */
static void on_watch(struct watch *w)
{
	struct rpc_fan_channel *ch = w->ch;

	if (!ch->is_freed && w->generation == ch->generation) {
		watch_again(ch, w);
		return;
	}
	free(w);
	channel_unref(ch);
}

enum err_code rpc_fan_channel_new(struct rpc_fan *f, const struct rpc_channel_config *config,
				  void (*changed)(void *ctx), void *ctx,
				  struct rpc_fan_channel **ret, struct err *e)
{
	static const struct rpc_tls system_tls = { 0 };
	struct err mine;
	struct rpc_fan_channel *ch = calloc(1, sizeof *ch);
	if (!ch)
		return err_set(e, ERR_NOMEM, "channel");
	e = e ? e : &mine;
	ch->fan = f;
	ch->refs = 1;
	ch->changed = changed;
	ch->changed_ctx = ctx;
	atomic_init(&ch->is_usable, true);
	ch->max_message_bytes =
		config->max_message_bytes ? config->max_message_bytes : DEFAULT_MAX_MESSAGE_BYTES;
	ch->user_agent =
		str_dup(str_of(config->user_agent ? config->user_agent : "tycho/" TYCHO_VERSION));
	enum err_code code = ch->user_agent
				     ? address_parse(str_of(config->address), &ch->address, e)
				     : err_set(e, ERR_NOMEM, "channel");
	if (code == ERR_OK && !ch->address.is_unix && ch->address.port == 0)
		code = err_set(e, ERR_INVALID, "address '%s': not a port", config->address);
	if (code == ERR_OK && ch->max_message_bytes > INT32_MAX)
		code = err_set(e, ERR_INVALID, "messages of more than %d bytes", INT32_MAX);
	if (code == ERR_OK) {
		address_target(&ch->address, ch->target);
		code = metadata_copy(config->metadata, config->metadata_count, &ch->metadata, e);
	}
	const struct rpc_tls *tls = config->tls          ? config->tls
				    : ch->address.is_tls ? &system_tls
							 : NULL;
	if (code == ERR_OK) {
		ch->metadata_count = config->metadata_count;
		code = tls ? tls_files_new(tls, &ch->tls, e) : ERR_OK;
	}
	if (code == ERR_OK)
		code = connect_core(ch, &ch->core, e);
	if (code == ERR_OK) {
		pthread_mutex_lock(&f->mx);
		bool watched = watch_new(ch);
		pthread_mutex_unlock(&f->mx);
		code = watched ? ERR_OK : err_set(e, ERR_NOMEM, "channel");
	}
	if (code != ERR_OK) {
		channel_destroy(ch);
		return code;
	}
	*ret = ch;
	return ERR_OK;
}

/* Under the lock. The calls' own connection goes with the last of them. */
static void end_calls(struct rpc_fan_channel *ch, const char *why)
{
	for (struct rpc_fan_call *c = ch->calls; c; c = c->next_in_channel)
		(void)grpc_call_cancel_with_status(c->core, GRPC_STATUS_UNAVAILABLE, why, NULL);
}

void rpc_fan_channel_free(struct rpc_fan_channel *ch)
{
	if (!ch)
		return;
	struct rpc_fan *f = ch->fan;
	pthread_mutex_lock(&f->mx);
	ch->is_freed = true;
	end_calls(ch, "the channel was closed");
	grpc_channel_destroy(TAKE(ch->core));
	channel_unref(ch);
	pthread_mutex_unlock(&f->mx);
}

struct mono_ns rpc_fan_channel_heard(const struct rpc_fan_channel *ch)
{
	return (struct mono_ns){ atomic_load_explicit(&ch->heard_ns, memory_order_relaxed) };
}

bool rpc_fan_channel_is_usable(const struct rpc_fan_channel *ch)
{
	return atomic_load_explicit(&ch->is_usable, memory_order_acquire);
}

_Static_assert((int)RPC_CONNECTION_IDLE == (int)GRPC_CHANNEL_IDLE &&
		       (int)RPC_CONNECTION_CONNECTING == (int)GRPC_CHANNEL_CONNECTING &&
		       (int)RPC_CONNECTION_READY == (int)GRPC_CHANNEL_READY &&
		       (int)RPC_CONNECTION_FAILED == (int)GRPC_CHANNEL_TRANSIENT_FAILURE &&
		       (int)RPC_CONNECTION_SHUTDOWN == (int)GRPC_CHANNEL_SHUTDOWN,
	       "states are numbered as the core's");

enum rpc_connection rpc_fan_channel_state(const struct rpc_fan_channel *ch)
{
	return (enum rpc_connection)atomic_load_explicit(&ch->state, memory_order_relaxed);
}

/* Under the lock: a new core in place of the old, if one can be had. */
static enum err_code replace_core(struct rpc_fan_channel *ch, struct err *e)
{
	grpc_channel *fresh, *old = ch->core;
	enum err_code code = connect_core(ch, &fresh, e);

	if (code != ERR_OK)
		return code;
	ch->core = fresh;
	ch->generation++;
	if (!watch_new(ch)) {
		ch->core = old;
		ch->generation--;
		grpc_channel_destroy(fresh);
		return err_set(e, ERR_NOMEM, "channel");
	}
	grpc_channel_destroy(old);
	return ERR_OK;
}

void rpc_fan_channel_reset(struct rpc_fan_channel *ch, const char *why)
{
	struct err e;

	pthread_mutex_lock(&ch->fan->mx);
	end_calls(ch, why);
	set_usable(ch, false);
	if (replace_core(ch, &e) != ERR_OK)
		log_warn("connection not renewed", "error=%s", LOG_QUOTE(e.msg));
	pthread_mutex_unlock(&ch->fan->mx);
}

/* Under the lock. */
static void renew(struct rpc_fan_channel *ch)
{
	struct err e;

	if (ch->tls && tls_files_changed(ch->tls) && replace_core(ch, &e) != ERR_OK)
		log_warn("new certificate is broken, keeping the old one", "error=%s",
			 LOG_QUOTE(e.msg));
}

void rpc_fan_channel_renew(struct rpc_fan_channel *ch)
{
	pthread_mutex_lock(&ch->fan->mx);
	renew(ch);
	pthread_mutex_unlock(&ch->fan->mx);
}

/* ---- groups */

enum err_code rpc_group_new(struct rpc_fan *f, void (*notify)(void *ctx), void *ctx,
			    struct rpc_group **ret, struct err *e)
{
	struct rpc_group *g = calloc(1, sizeof *g);
	if (!g)
		return err_set(e, ERR_NOMEM, "group of calls");
	*g = (struct rpc_group){ .fan = f, .notify = notify, .ctx = ctx, .refs = 1 };
	g->last = &g->first;
	*ret = g;
	return ERR_OK;
}

static void group_unref(struct rpc_group *g)
{
	if (--g->refs > 0)
		return;
	metadata_free(g->headers, g->header_count);
	free(g);
}

enum err_code rpc_group_set_headers(struct rpc_group *g, const struct rpc_header *headers,
				    size_t count, struct err *e)
{
	grpc_metadata *md = calloc(count + 1, sizeof *md);
	size_t n = 0;

	if (!md)
		return err_set(e, ERR_NOMEM, "headers");
	for (size_t i = 0; i < count; i++) {
		grpc_slice key = slice_of(headers[i].key), value = slice_of(headers[i].value);
		if (grpc_header_key_is_legal(key) &&
		    (grpc_is_binary_header(key) || grpc_header_nonbin_value_is_legal(value))) {
			md[n++] = (grpc_metadata){ .key = key, .value = value };
			continue;
		}
		grpc_slice_unref(key);
		grpc_slice_unref(value);
	}
	pthread_mutex_lock(&g->fan->mx);
	grpc_metadata *old = g->headers;
	size_t old_count = g->header_count;
	g->headers = md;
	g->header_count = n;
	pthread_mutex_unlock(&g->fan->mx);
	metadata_free(old, old_count);
	return ERR_OK;
}

static void event_free(struct event *ev);

void rpc_group_free(struct rpc_group *g)
{
	if (!g)
		return;
	struct rpc_fan *f = g->fan;
	pthread_mutex_lock(&f->mx);
	g->is_freed = true;
	for (struct rpc_fan_call *c = g->calls; c; c = c->next_in_group)
		(void)grpc_call_cancel(c->core, NULL);
	while (g->first) {
		struct rpc_fan_event *ev = g->first;
		g->first = ev->next;
		event_free((struct event *)ev);
	}
	g->last = &g->first;
	group_unref(g);
	pthread_mutex_unlock(&f->mx);
}

struct rpc_fan_event *rpc_group_take(struct rpc_group *g)
{
	pthread_mutex_lock(&g->fan->mx);
	struct rpc_fan_event *all = g->first;
	g->first = NULL;
	g->last = &g->first;
	pthread_mutex_unlock(&g->fan->mx);
	return all;
}

/* ---- calls. All under the lock from here on, but for what the header offers. */

static void call_unref(struct rpc_fan_call *c)
{
	if (--c->refs > 0)
		return;
	c->group->call_count--;
	*c->prev_in_group = c->next_in_group;
	if (c->next_in_group)
		c->next_in_group->prev_in_group = c->prev_in_group;
	*c->prev_in_channel = c->next_in_channel;
	if (c->next_in_channel)
		c->next_in_channel->prev_in_channel = c->prev_in_channel;
	grpc_metadata_array_destroy(&c->headers);
	grpc_metadata_array_destroy(&c->trailers);
	grpc_slice_unref(c->status_text);
	if (c->incoming)
		grpc_byte_buffer_destroy(c->incoming);
	grpc_call_unref(c->core);
	channel_unref(c->ch);
	group_unref(c->group);
	free(c);
}

static void start(struct rpc_fan_call *c, const grpc_op *ops, size_t n, struct tag *tag)
{
	/* Fails on misuse only. */
	if (grpc_call_start_batch(c->core, ops, n, fan_mark(tag), NULL) == GRPC_CALL_OK)
		c->refs++;
}

static void start_read(struct rpc_fan_call *c)
{
	grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &c->incoming };

	c->is_reading = true;
	start(c, &op, 1, &c->message_came);
}

/* A group of many calls shares what few may have each. */
static size_t share_bytes(const struct rpc_group *g)
{
	size_t share = RPC_FAN_GROUP_BYTES / (g->call_count + 1);

	return share < RPC_FAN_BYTES ? share : RPC_FAN_BYTES;
}

static void read_on(struct rpc_fan_call *c)
{
	bool has_room = c->held < RPC_FAN_MESSAGES &&
			(c->held == 0 || c->held_bytes < share_bytes(c->group));

	if (!c->is_reading && !c->is_drained && !c->group->is_freed && has_room)
		start_read(c);
}

static void event_free(struct event *ev)
{
	struct rpc_fan_call *c = ev->pub.call;

	if (ev->pub.kind == RPC_FAN_MESSAGE) {
		message_close(&ev->message);
		c->held--;
		c->held_bytes -= ev->bytes;
		read_on(c);
		free(ev);
	}
	call_unref(c);
}

void rpc_fan_event_free(struct rpc_fan_event *ev)
{
	if (!ev)
		return;
	struct rpc_fan *f = ev->call->group->fan;
	pthread_mutex_lock(&f->mx);
	event_free((struct event *)ev);
	pthread_mutex_unlock(&f->mx);
}

static void deliver(struct rpc_fan_call *c, struct event *ev)
{
	struct rpc_group *g = c->group;
	struct rpc_fan *f = g->fan;

	ev->pub.next = NULL;
	ev->pub.call = c;
	ev->pub.owner = c->owner;
	c->refs++;
	*g->last = &ev->pub;
	g->last = &ev->pub.next;
	if (!g->is_told) {
		g->is_told = true;
		g->refs++;
		f->told[f->told_count++] = g;
	}
}

/* The end comes after the last message: the core may report the status first. */
static void end_if_over(struct rpc_fan_call *c)
{
	if (!c->is_over || !c->is_drained || c->has_ended)
		return;
	c->has_ended = true;
	if (c->group->is_freed)
		return;
	c->end.pub.kind = RPC_FAN_END;
	c->end.pub.result = &c->result;
	deliver(c, &c->end);
}

static void on_message(struct rpc_fan_call *c)
{
	grpc_byte_buffer *bb = TAKE(c->incoming);

	c->is_reading = false;
	if (!bb) {
		c->is_drained = true; /* the last one was the last */
		end_if_over(c);
		return;
	}
	atomic_store_explicit(&c->ch->heard_ns, c->ch->fan->pass_at.v, memory_order_relaxed);
	if (c->group->is_freed) { /* and cancelled; the queue may be, too: nothing more is begun */
		grpc_byte_buffer_destroy(bb);
		return;
	}
	struct event *ev = calloc(1, sizeof *ev);
	if (ev && message_open(&ev->message, bb, &ev->pub.message)) {
		ev->pub.kind = RPC_FAN_MESSAGE;
		ev->bytes = ev->pub.message.len;
		c->held++;
		c->held_bytes += ev->bytes;
		deliver(c, ev);
		read_on(c);
		return;
	}
	if (ev)
		message_close(&ev->message);
	else
		grpc_byte_buffer_destroy(bb);
	free(ev);
	(void)grpc_call_cancel_with_status(c->core, GRPC_STATUS_INTERNAL,
					   "a message cannot be read", NULL);
	start_read(c); /* of a cancelled call: the end */
}

static void on_status(struct rpc_fan_call *c)
{
	c->is_over = true;
	c->result.status = (enum rpc_status)c->status;
	failure_text(c->result.status, slice_str(&c->status_text), &c->ch->address,
		     c->result.message, sizeof c->result.message);
	end_if_over(c);
}

static gpr_timespec deadline_after(uint64_t timeout_ns)
{
	if (timeout_ns == 0 || timeout_ns > INT64_MAX / 2)
		return gpr_inf_future(GPR_CLOCK_MONOTONIC);
	return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
			    gpr_time_from_nanos((int64_t)timeout_ns, GPR_TIMESPAN));
}

static void start_call(struct rpc_fan_call *c, struct str request)
{
	grpc_slice slice = slice_of(request);
	grpc_byte_buffer *bb = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	grpc_op headers = { .op = GRPC_OP_RECV_INITIAL_METADATA,
			    .data.recv_initial_metadata.recv_initial_metadata = &c->headers };
	grpc_op status = { .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
			   .data.recv_status_on_client = { .trailing_metadata = &c->trailers,
							   .status = &c->status,
							   .status_details = &c->status_text } };
	/* The core copies them. */
	grpc_metadata md[HEADERS_MAX];
	size_t md_count = 0;
	for (size_t i = 0; i < c->ch->metadata_count && md_count < HEADERS_MAX; i++)
		md[md_count++] = c->ch->metadata[i];
	for (size_t i = 0; i < c->group->header_count && md_count < HEADERS_MAX; i++)
		md[md_count++] = c->group->headers[i];
	grpc_op send[] = {
		{ .op = GRPC_OP_SEND_INITIAL_METADATA,
		  .data.send_initial_metadata = { .count = md_count, .metadata = md } },
		{ .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = bb },
		{ .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT },
	};
	start(c, send, ARRAY_LEN(send), &c->sent);
	start(c, &headers, 1, &c->headers_came);
	start(c, &status, 1, &c->status_came);
	start_read(c);
	grpc_byte_buffer_destroy(bb);
}

enum err_code rpc_fan_call_open(struct rpc_group *g, struct rpc_fan_channel *ch, const char *method,
				struct str request, uint64_t timeout_ns, void *owner,
				struct rpc_fan_call **ret, struct err *e)
{
	struct rpc_fan *f = g->fan;
	struct rpc_fan_call *c = calloc(1, sizeof *c);
	if (!c)
		return err_set(e, ERR_NOMEM, "call %s", method);
	*c = (struct rpc_fan_call){
		.group = g,
		.ch = ch,
		.owner = owner,
		.sent = { TAG_SENT, c },
		.headers_came = { TAG_HEADERS, c },
		.message_came = { TAG_MESSAGE, c },
		.status_came = { TAG_STATUS, c },
		.status_text = grpc_empty_slice(),
	};
	grpc_metadata_array_init(&c->headers);
	grpc_metadata_array_init(&c->trailers);
	pthread_mutex_lock(&f->mx);
	renew(ch);
	grpc_slice path = slice_of(str_of(method));
	c->core = grpc_channel_create_call(ch->core, NULL, GRPC_PROPAGATE_DEFAULTS, f->cq, path,
					   NULL, deadline_after(timeout_ns), NULL);
	grpc_slice_unref(path);
	g->refs++;
	ch->refs++;
	c->next_in_group = g->calls;
	c->prev_in_group = &g->calls;
	if (g->calls)
		g->calls->prev_in_group = &c->next_in_group;
	g->calls = c;
	g->call_count++;
	c->next_in_channel = ch->calls;
	c->prev_in_channel = &ch->calls;
	if (ch->calls)
		ch->calls->prev_in_channel = &c->next_in_channel;
	ch->calls = c;
	start_call(c, request);
	pthread_mutex_unlock(&f->mx);
	*ret = c;
	return ERR_OK;
}

void rpc_fan_call_cancel(struct rpc_fan_call *c)
{
	pthread_mutex_lock(&c->group->fan->mx);
	(void)grpc_call_cancel(c->core, NULL);
	pthread_mutex_unlock(&c->group->fan->mx);
}

/* ---- the thread */

static void on_event(struct tag *t)
{
	struct rpc_fan_call *c = t->owner;

	switch (t->kind) {
	case TAG_WATCH:
		on_watch(t->owner);
		return;
	case TAG_SENT: /* whether it got there is for the status to say */
	case TAG_HEADERS:
		break;
	case TAG_MESSAGE:
		on_message(c);
		break;
	case TAG_STATUS:
		on_status(c);
		break;
	}
	call_unref(c);
}

static void tell_groups(struct rpc_fan *f)
{
	for (size_t i = 0; i < f->told_count; i++) {
		struct rpc_group *g = f->told[i];
		g->is_told = false;
		if (!g->is_freed)
			g->notify(g->ctx);
		group_unref(g);
	}
	f->told_count = 0;
}

static void *fan_main(void *arg)
{
	struct rpc_fan *f = arg;
	gpr_timespec never = gpr_inf_future(GPR_CLOCK_MONOTONIC),
		     at_once = gpr_inf_past(GPR_CLOCK_MONOTONIC);

	for (;;) {
		grpc_event ev = grpc_completion_queue_next(f->cq, never, NULL);
		if (ev.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
		pthread_mutex_lock(&f->mx);
		f->pass_at = mono_now();
		/* An event brings news to one group at most, so told[] has room for a pass. */
		for (int i = 0; i < EVENTS_PER_PASS && ev.type == GRPC_OP_COMPLETE; i++) {
			on_event(fan_unmark(ev.tag));
			if (i + 1 < EVENTS_PER_PASS)
				ev = grpc_completion_queue_next(f->cq, at_once, NULL);
		}
		tell_groups(f);
		pthread_mutex_unlock(&f->mx);
		if (ev.type == GRPC_QUEUE_SHUTDOWN)
			return NULL;
	}
}

grpc_completion_queue *fan_queue(const struct rpc_fan *f)
{
	return f->cq;
}

void fan_take(struct rpc_fan *f, void *tag)
{
	pthread_mutex_lock(&f->mx);
	f->pass_at = mono_now();
	on_event(fan_unmark(tag));
	if (f->told_count == EVENTS_PER_PASS)
		tell_groups(f);
	pthread_mutex_unlock(&f->mx);
}

void fan_tell(struct rpc_fan *f)
{
	pthread_mutex_lock(&f->mx);
	tell_groups(f);
	pthread_mutex_unlock(&f->mx);
}

enum err_code rpc_fan_new_for_server(struct rpc_fan **ret, struct err *e)
{
	struct rpc_fan *f = calloc(1, sizeof *f);
	if (!f)
		return err_set(e, ERR_NOMEM, "fan");
	pthread_mutex_init(&f->mx, NULL);
	f->cq = grpc_completion_queue_create_for_next(NULL);
	*ret = f;
	return ERR_OK;
}

static enum err_code start_thread(struct rpc_fan *f, struct err *e)
{
	sigset_t all, before;

	sigfillset(&all); /* signals are main's business */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(&f->thread, NULL, fan_main, f);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (failed)
		return err_errno(e, failed, "start the thread of the outgoing calls");
	f->has_thread = true;
	(void)pthread_setname_np(f->thread, "rpc-fan");
	return ERR_OK;
}

enum err_code rpc_fan_new(struct rpc_fan **ret, struct err *e)
{
	AUTO(rpc_fan_free) struct rpc_fan *f = NULL;
	enum err_code code = rpc_fan_new_for_server(&f, e);

	if (code == ERR_OK)
		code = start_thread(f, e);
	if (code == ERR_OK)
		*ret = TAKE(f);
	return code;
}

void rpc_fan_free(struct rpc_fan *f)
{
	if (!f)
		return;
	/* Comes through when the last tag has: freed channels and groups start no more of them. */
	grpc_completion_queue_shutdown(f->cq);
	if (f->has_thread)
		pthread_join(f->thread, NULL);
	else
		(void)fan_main(f);
	grpc_completion_queue_destroy(f->cq);
	pthread_mutex_destroy(&f->mx);
	free(f);
}
