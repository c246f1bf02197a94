#include <stdio.h>

#include "base/log.h"
#include "config.h"
#include "rpc/fanning.h"

enum {
	DEFAULT_MAX_MESSAGE_BYTES = 4 << 20,
	/* Without probing: else the core grows the window of a fast sender to megabytes. */
	WINDOW_BYTES = 64 << 10,
	CONNECT_TIMEOUT_MS = 5000, /* TCP, TLS and HTTP/2 together */
	/* times 1.6 after each failure, a fifth more or less; the core's own rule */
	BACKOFF_MIN_MS = 200,
	BACKOFF_MAX_MS = 5000,
};

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

void channel_unref(struct rpc_fan_channel *ch)
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
void channel_on_watch(struct watch *w)
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

void channel_renew(struct rpc_fan_channel *ch)
{
	struct err e;

	if (ch->tls && tls_files_changed(ch->tls) && replace_core(ch, &e) != ERR_OK)
		log_warn("new certificate is broken, keeping the old one", "error=%s",
			 LOG_QUOTE(e.msg));
}

void rpc_fan_channel_renew(struct rpc_fan_channel *ch)
{
	pthread_mutex_lock(&ch->fan->mx);
	channel_renew(ch);
	pthread_mutex_unlock(&ch->fan->mx);
}
