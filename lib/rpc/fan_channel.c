#include <stdio.h>

#include "base/log.h"
#include "rpc/fanning.h"

static const struct dial_pace pace = {
	.window_bytes = 64 << 10,
	.connect_timeout_ms = 5000,
	.backoff_min_ms = 200,
	.backoff_max_ms = 5000,
};

static void channel_destroy(struct rpc_fan_channel *ch)
{
	if (ch->core)
		grpc_channel_destroy(ch->core);
	dial_done(&ch->dial);
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
	enum err_code code = dial_init(&ch->dial, config, e);
	if (code == ERR_OK)
		code = dial_channel(&ch->dial, &pace, &ch->core, e);
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

	if (ch->is_closed)
		return ERR_OK;
	enum err_code code = dial_channel(&ch->dial, &pace, &fresh, e);
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

void rpc_fan_channel_close(struct rpc_fan_channel *ch, const char *why)
{
	pthread_mutex_lock(&ch->fan->mx);
	ch->is_closed = true;
	end_calls(ch, why);
	set_usable(ch, false);
	ch->generation++; /* the last watch goes with the connection */
	atomic_store_explicit(&ch->state, (int)GRPC_CHANNEL_SHUTDOWN, memory_order_relaxed);
	grpc_channel_destroy(ch->core);
	ch->core = grpc_lame_client_channel_create(ch->dial.target, GRPC_STATUS_UNAVAILABLE,
						   "the channel was closed");
	pthread_mutex_unlock(&ch->fan->mx);
}

void channel_renew(struct rpc_fan_channel *ch)
{
	struct err e;

	if (ch->dial.tls && tls_files_changed(ch->dial.tls) && replace_core(ch, &e) != ERR_OK)
		log_warn("new certificate is broken, keeping the old one", "error=%s",
			 LOG_QUOTE(e.msg));
}

void rpc_fan_channel_renew(struct rpc_fan_channel *ch)
{
	pthread_mutex_lock(&ch->fan->mx);
	channel_renew(ch);
	pthread_mutex_unlock(&ch->fan->mx);
}
