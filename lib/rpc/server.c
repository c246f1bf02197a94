#include "rpc/server.h"

#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>

#include <grpc/support/time.h>

#include "base/thread.h"
#include "rpc/serving.h"

enum {
	/* of the queue, before streams with nothing in flight get their turn */
	EVENTS_PER_PASS = 64,
	DEFAULT_QUEUE_MESSAGES = 128,
	DEFAULT_MAX_STREAMS = 1024,
	DEFAULT_MAX_REQUEST_BYTES = 4 << 20,
	/* after the last call: for clients to take the goodbye and close by themselves */
	LINGER_MS = 250,
	/* for streams, before calls that have just come are looked at again */
	TURNS_MS = 10,
};

/* ---- waking */

void server_ring(struct rpc_server *s)
{
	if (atomic_exchange(&s->bell_is_rung, true))
		return;
	pthread_mutex_lock(&s->bell_mx);
	if (!s->bell_is_gone)
		grpc_server_shutdown_and_notify(s->bell, s->cq, &s->bell_tag);
	else
		atomic_store(&s->bell_is_rung, false);
	pthread_mutex_unlock(&s->bell_mx);
}

static bool is_own_thread(const struct rpc_server *s)
{
	return s->fan && atomic_load_explicit(&s->runs, memory_order_acquire) &&
	       pthread_equal(pthread_self(), s->self);
}

/* Either this sees the idle stream and rings, or the loop, which counts a stream idle before it
 * looks at wake_idle, sees the flag: both orders are sequentially consistent. */
void rpc_server_wake(struct rpc_server *s)
{
	atomic_store(&s->wake_idle, true);
	/* Of its own accord, when it does a fan's work, the loop looks anyway. */
	if (atomic_load(&s->idle_count) > 0 && !is_own_thread(s))
		server_ring(s);
}

static void on_accept_failed(struct accept_watch *w)
{
	struct rpc_server *s = LINK_OWNER(w, struct rpc_server, watch);

	atomic_store(&s->accept_failed, true);
	server_ring(s);
}

/* ---- the loop */

static void on_event(struct rpc_server *s, struct tag *t, bool ok)
{
	switch (t->kind) {
	case TAG_BELL:
		/* what was set before the next ring is looked at below */
		atomic_store(&s->bell_is_rung, false);
		break;
	case TAG_CORE_DOWN: {
		struct core *c = t->owner;
		core_free(c);
		break;
	}
	default:
		call_event(t, ok);
	}
}

/* Events until none is there or @deadline_ns has passed (0: do not wait; UINT64_MAX: no limit). */
static void take_events(struct rpc_server *s, uint64_t now_ns, uint64_t deadline_ns)
{
	gpr_timespec until = gpr_inf_future(GPR_CLOCK_MONOTONIC),
		     at_once = gpr_inf_past(GPR_CLOCK_MONOTONIC);

	if (deadline_ns <= now_ns)
		until = at_once;
	else if (deadline_ns != UINT64_MAX)
		until = gpr_time_add(
			gpr_now(GPR_CLOCK_MONOTONIC),
			gpr_time_from_nanos((int64_t)(deadline_ns - now_ns), GPR_TIMESPAN));
	for (int i = 0; i < EVENTS_PER_PASS; i++) {
		grpc_event ev = grpc_completion_queue_next(s->cq, i == 0 ? until : at_once, NULL);
		if (ev.type != GRPC_OP_COMPLETE)
			break;
		if (fan_is_marked(ev.tag))
			fan_take(s->fan, ev.tag);
		else
			on_event(s, ev.tag, ev.success);
	}
	if (s->fan)
		fan_tell(s->fan);
}

/* Each stream that waits for a turn gets one; whoever asks for another meanwhile stands behind. When
 * turns take long, the rest have theirs later, before all others. */
static void run_ready(struct rpc_server *s)
{
	uint64_t until = mono_now().v + TURNS_MS * NS_PER_MS;
	struct link turn;

	if (link_is_empty(&s->ready))
		return;
	turn = s->ready;
	turn.next->prev = turn.prev->next = &turn;
	link_init(&s->ready);
	do {
		struct rpc_call *c = LINK_OWNER(turn.next, struct rpc_call, in_turn);
		link_del(&c->in_turn);
		call_fill(c);
	} while (!link_is_empty(&turn) && mono_now().v < until);
	if (link_is_empty(&turn))
		return;
	turn.prev->next = s->ready.next;
	s->ready.next->prev = turn.prev;
	s->ready.next = turn.next;
	turn.next->prev = &s->ready;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Serves until rpc_server_free asks to stop. */
static void serve(struct rpc_server *s)
{
	uint64_t next_tick = 0, next_check = 0;

	while (!atomic_load(&s->stop)) {
		uint64_t now = mono_now().v, deadline = UINT64_MAX;

		/* A deadline of each kind exists only while somebody needs it: a server without
		 * followers sleeps. */
		if (link_is_empty(&s->idle))
			next_tick = 0;
		else if (next_tick == 0)
			next_tick = now + s->tick_ns;
		if (s->live_calls == 0)
			next_check = 0;
		else if (next_check == 0)
			next_check = now + s->stall_ns / 4;
		if (next_tick)
			deadline = earlier(deadline, next_tick);
		if (next_check)
			deadline = earlier(deadline, next_check);
		if (s->rebuild_at_ns)
			deadline = earlier(deadline, s->rebuild_at_ns);
		if (!link_is_empty(&s->ready) || atomic_load(&s->wake_idle))
			deadline = 0;

		take_events(s, now, deadline);

		now = mono_now().v;
		if (atomic_exchange(&s->wake_idle, false) || (next_tick && now >= next_tick)) {
			call_wake_idle(s);
			next_tick = 0;
		}
		run_ready(s);
		if (next_check && now >= next_check) {
			call_check_stalls(s, now);
			next_check = 0;
		}
		health_publish(s->health);
		listen_repair(s, now);
		for (struct core *c = s->cores; c; c = c->next)
			core_expect(c);
	}
}

/* A batch started after the queue's shutdown aborts the process: first every call must be over and
 * every grpc_server down. */
static void wind_down(struct rpc_server *s)
{
	uint64_t now = mono_now().v, give_up = now + atomic_load(&s->grace_ns), linger = 0;
	bool cancelled = false;

	s->is_stopping = true;
	for (struct core *c = s->cores; c; c = c->next)
		core_stop(c);
	call_end_all(s);
	while (s->cores || s->live_calls || s->unstarted) {
		now = mono_now().v;
		if (s->live_calls == 0 && linger == 0)
			linger = earlier(give_up, now + LINGER_MS * NS_PER_MS);
		if (!cancelled && now >= (linger ? linger : give_up)) {
			cancelled = true;
			for (struct core *c = s->cores; c; c = c->next)
				grpc_server_cancel_all_calls(c->grpc);
		}
		take_events(s, now, cancelled ? UINT64_MAX : linger ? linger : give_up);
	}
}

static void *server_main(void *arg)
{
	struct rpc_server *s = arg;

	s->self = pthread_self();
	atomic_store_explicit(&s->runs, true, memory_order_release);
	serve(s);
	wind_down(s);
	return NULL;
}

/* ---- life */

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* the old limit serves too */
	}
}

static bool dup_text(const char *from, const char **to)
{
	*to = from ? str_dup(str_of(from)) : NULL;
	return !from || *to;
}

static void listener_done(struct listener *l)
{
	free((void *)(uintptr_t)l->tls.cert_file);
	free((void *)(uintptr_t)l->tls.key_file);
	for (size_t i = 0; l->tls.ca_files && i < l->tls.ca_file_count; i++)
		free((void *)(uintptr_t)l->tls.ca_files[i]);
	free((void *)(uintptr_t)l->tls.ca_files);
}

static enum err_code listener_init(struct listener *l, const struct rpc_listen *from, struct err *e)
{
	l->socket_mode = from->socket_mode;
	if (address_parse(str_of(from->address), &l->address, e) != ERR_OK)
		return e->code;
	if (l->address.is_tls)
		return err_set(e, ERR_INVALID, "address '%s': tls:// is for clients",
			       from->address);
	if (!from->tls)
		return ERR_OK;
	l->has_tls = true;
	const char **ca = calloc(from->tls->ca_file_count + 1, sizeof *ca);
	l->tls.ca_files = ca;
	bool ok = ca && dup_text(from->tls->cert_file, &l->tls.cert_file) &&
		  dup_text(from->tls->key_file, &l->tls.key_file);
	for (; ok && l->tls.ca_file_count < from->tls->ca_file_count; l->tls.ca_file_count++)
		ok = dup_text(from->tls->ca_files[l->tls.ca_file_count], &ca[l->tls.ca_file_count]);
	return ok ? ERR_OK : err_set(e, ERR_NOMEM, "listen on '%s'", from->address);
}

static enum err_code copy_config(struct rpc_server *s, const struct rpc_server_config *config,
				 struct err *e)
{
	s->tick_ns = config->tick_ns ? config->tick_ns : 10 * NS_PER_MS;
	s->stall_ns = config->stall_ns ? config->stall_ns : 30 * NS_PER_S;
	s->queue_messages =
		config->queue_messages ? config->queue_messages : DEFAULT_QUEUE_MESSAGES;
	s->max_request_bytes =
		config->max_request_bytes ? config->max_request_bytes : DEFAULT_MAX_REQUEST_BYTES;
	s->max_streams = config->max_streams ? config->max_streams : DEFAULT_MAX_STREAMS;
	if (s->max_request_bytes > INT32_MAX || s->max_streams > INT32_MAX)
		return err_set(e, ERR_INVALID, "server: a limit beyond %d", INT32_MAX);
	s->gate = config->gate;
	s->methods = calloc(config->method_count + 1, sizeof *s->methods);
	s->listeners = calloc(config->listen_count + 1, sizeof *s->listeners);
	if (!s->methods || !s->listeners)
		return err_set(e, ERR_NOMEM, "server");
	for (; s->method_count < config->method_count; s->method_count++) {
		s->methods[s->method_count] = config->methods[s->method_count];
		if (!dup_text(config->methods[s->method_count].path,
			      &s->methods[s->method_count].path))
			return err_set(e, ERR_NOMEM, "server");
	}
	for (; s->listener_count < config->listen_count; s->listener_count++)
		if (listener_init(&s->listeners[s->listener_count],
				  &config->listens[s->listener_count], e) != ERR_OK) {
			s->listener_count++; /* half built: to be freed too */
			return e->code;
		}
	if (metadata_copy(config->metadata, config->metadata_count, &s->metadata, e) != ERR_OK)
		return e->code;
	s->metadata_count = config->metadata_count;
	if (health_new(config->health_services, config->health_service_count, &s->health, e) !=
	    ERR_OK)
		return e->code;
	if (reflection_new(s, &s->reflection, e) != ERR_OK)
		return e->code;
	s->tallies = tally_new(s->methods, s->method_count, s->reflection, &s->tally_count);
	return s->tallies ? ERR_OK : err_set(e, ERR_NOMEM, "server");
}

/* A fan's queue lives on; only our bell must have stopped ringing. */
static void drain(struct rpc_server *s)
{
	if (s->fan) {
		while (atomic_load(&s->bell_is_rung))
			take_events(s, 0, UINT64_MAX);
		return;
	}
	grpc_completion_queue_shutdown(s->cq);
	while (grpc_completion_queue_next(s->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
	       GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(s->cq);
}

/* After the thread, or without one. */
static void server_done(struct rpc_server *s)
{
	if (s->cq) {
		wind_down(s); /* what a failed start has left; nothing after a thread */
		pthread_mutex_lock(&s->bell_mx);
		s->bell_is_gone = true;
		pthread_mutex_unlock(&s->bell_mx);
		drain(s);
		grpc_server_destroy(s->bell);
	}
	health_free(s->health);
	reflection_free(s->reflection);
	metadata_free(s->metadata, s->metadata_count);
	for (size_t i = 0; i < s->listener_count; i++)
		listener_done(&s->listeners[i]);
	free(s->listeners);
	for (size_t i = 0; i < s->method_count; i++)
		free((void *)(uintptr_t)s->methods[i].path);
	free(s->methods);
	free(s->tallies);
	pthread_mutex_destroy(&s->bell_mx);
	free(s);
}

static void make_bell(struct rpc_server *s)
{
	s->bell_tag = (struct tag){ TAG_BELL, NULL };
	s->bell = grpc_server_create(NULL, NULL);
	grpc_server_register_completion_queue(s->bell, s->cq, NULL);
	grpc_server_start(s->bell);
	atomic_store(&s->bell_is_rung, true);
	grpc_server_shutdown_and_notify(s->bell, s->cq, &s->bell_tag);
}

enum err_code rpc_server_new(const struct rpc_server_config *config, struct rpc_server **ret,
			     struct err *e)
{
	struct err why;
	struct rpc_server *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_NOMEM, "server");
	pthread_mutex_init(&s->bell_mx, NULL);
	link_init(&s->calls);
	link_init(&s->ready);
	link_init(&s->idle);
	s->watch.failed = on_accept_failed;
	(void)!getrandom(&s->seed, sizeof s->seed, 0);
	raise_descriptor_limit();
	if (copy_config(s, config, &why) != ERR_OK)
		goto failed;
	s->fan = config->fan;
	s->cq = s->fan ? fan_queue(s->fan) : grpc_completion_queue_create_for_next(NULL);
	make_bell(s);
	if (core_start(s, &why) != ERR_OK ||
	    thread_start("rpc-server", server_main, s, &s->thread, &why) != ERR_OK)
		goto failed;
	accept_watch_add(&s->watch);
	*ret = s;
	return ERR_OK;
failed:
	server_done(s);
	if (e)
		*e = why;
	return why.code;
}

void rpc_server_free(struct rpc_server *s, uint64_t grace_ns)
{
	if (!s)
		return;
	accept_watch_remove(&s->watch);
	atomic_store(&s->grace_ns, grace_ns);
	atomic_store(&s->stop, true);
	server_ring(s);
	pthread_join(s->thread, NULL);
	server_done(s);
}

int rpc_server_port(const struct rpc_server *s, size_t i)
{
	return i < s->listener_count && !s->listeners[i].address.is_unix
		       ? s->listeners[i].address.port
		       : 0;
}

void rpc_server_set_health(struct rpc_server *s, const char *service, bool serving)
{
	health_set(s->health, service, serving);
	server_ring(s);
}

struct rpc_server_stats rpc_server_stats(const struct rpc_server *s)
{
	return (struct rpc_server_stats){
		.calls = atomic_load_explicit(&s->stat_calls, memory_order_relaxed),
		.live_calls = atomic_load_explicit(&s->stat_live, memory_order_relaxed),
		.messages_sent = atomic_load_explicit(&s->stat_messages, memory_order_relaxed),
		.bytes_sent = atomic_load_explicit(&s->stat_bytes, memory_order_relaxed),
		.stalled_calls = atomic_load_explicit(&s->stat_stalled, memory_order_relaxed),
	};
}

size_t rpc_server_method_counts(const struct rpc_server *s, struct rpc_method_counts *out,
				size_t max)
{
	for (size_t i = 0; i < s->tally_count && i < max; i++)
		out[i] = tally_counts(&s->tallies[i]);
	return s->tally_count;
}
