#include "observer/upstream/hubble.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/thread.h"
#include "flow/wire.h"
#include "observer/upstream/intake.h"
#include "observer/upstream/seed.h"
#include "rpc/failure.h"
#include "rpc/fan.h"

enum {
	QUEUE_BYTES = 4 << 20,
	REMEMBERED = 1 << 18,
	STATUS_BYTES = 1 << 16,
	EVENTS_AT_ONCE = 4096, /* before timers and the stop are looked at */
	BATCH_RESPONSE = 1,    /* of tycho.v1.FlowBatch */
	/* ServerStatusResponse */
	STATUS_UPTIME_NS = 4,
	STATUS_CONNECTED_NODES = 5,
	STATUS_VERSION = 8,
};
#define PAUSE_MIN_NS (250 * NS_PER_MS)
#define PAUSE_MAX_NS (30 * NS_PER_S)
#define SILENCE_NS (15 * NS_PER_S)
#define RENEW_NS                                                                                   \
	(2 * NS_PER_S) /* the certificate files are looked at, while there is no connection */
#define ANSWER_NS (10 * NS_PER_S)
/* A server that was started anew tells what it has at once; when it has been idle so long, that
 * was all. */
#define IDLE_NS (1 * NS_PER_S)

enum stream_state {
	STREAM_CLOSED, /* to be opened at retry_at, or when the channel is usable */
	STREAM_OPEN,
	STREAM_REFUSED, /* the server has no such method: again when it may be another server */
};

struct stream {
	enum intake_stream which;
	enum stream_state state;
	struct rpc_fan_call *call;
	uint64_t pause_ns;
	struct mono_ns retry_at;
	uint64_t connection; /* in which it was opened */
	bool is_batched;     /* the call */
	bool has_spoken;     /* in this call */
	bool is_bad;         /* what it says is no protobuf: the rest is not looked at */
};

struct source_hubble {
	struct source source; /* first */
	char *address;
	uint64_t history_ns;
	struct record_queue *queue;
	int wake_fd; /* the fan has news, or it is time to stop */
	pthread_t thread;
	bool is_running;
	atomic_bool is_stopping, is_closing; /* closing: the last drain has begun */

	/* the thread's own */
	struct rpc_fan *fan;
	struct rpc_fan_channel *channel;
	struct rpc_group *group;
	struct intake intake;
	struct stream streams[INTAKE_STREAMS];
	uint64_t connection;            /* how often the stream of flows was opened */
	bool is_foreign;                /* the server has no GetFlowBatches, as none but ours has */
	size_t batch_at;                /* so much of the first event's batch is taken */
	struct rpc_fan_event *inbox;    /* taken, not looked at yet */
	struct rpc_fan_call *status;    /* under way */
	struct mono_ns status_asked_at; /* 0: not since the stream of flows was opened */
	struct mono_ns broke_at;        /* 0: never */
	struct mono_ns renew_at;
	struct mono_ns gap_at;  /* when to tell the gaps of a new server; 0: none */
	struct mono_ns flow_at; /* when something last came on the stream of flows */
	uint64_t random;
	bool is_connected, was_told_away;

	/* any thread's */
	atomic_bool is_connected_now;
	_Atomic uint64_t connects;
};

static const char *const methods[INTAKE_STREAMS] = {
	[INTAKE_FLOWS] = "/observer.Observer/GetFlows",
	[INTAKE_AGENT] = "/observer.Observer/GetAgentEvents",
	[INTAKE_DEBUG] = "/observer.Observer/GetDebugEvents",
};

static void wake(void *ctx)
{
	const uint64_t one = 1;

	(void)!write(((struct source_hubble *)ctx)->wake_fd, &one, sizeof one);
}

/* ---- connected or not */

static void set_connected(struct source_hubble *s, bool on)
{
	s->is_connected = on;
	atomic_store_explicit(&s->is_connected_now, on, memory_order_relaxed);
}

/* The server is there, and answers. */
static void note_connected(struct source_hubble *s, struct str version)
{
	char text[200];

	if (s->is_connected)
		return;
	set_connected(s, true);
	s->was_told_away = false;
	atomic_fetch_add_explicit(&s->connects, 1, memory_order_relaxed);
	(void)str_excerpt(version, text, sizeof text);
	log_info("following a hubble server", "server=%s version=%s", LOG_QUOTE(s->address),
		 LOG_QUOTE(text));
	intake_tell(&s->intake, "hubble-connected", "version", text, wall_now());
}

static void note_lost(struct source_hubble *s, const char *why)
{
	if (!s->is_connected && s->was_told_away)
		return;
	log_warn("hubble server is away, trying again", "server=%s err=%s", LOG_QUOTE(s->address),
		 LOG_QUOTE(why));
	if (s->is_connected)
		intake_tell(&s->intake, "hubble-lost", "error", why, wall_now());
	set_connected(s, false);
	s->was_told_away = true;
}

/* ---- calls */

/* A fifth more or less, so that many of us do not come back in one moment (xorshift64). */
static uint64_t jittered(struct source_hubble *s, uint64_t ns)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return ns - ns / 5 + s->random % (2 * ns / 5);
}

static void close_stream(struct source_hubble *s, struct stream *st, struct mono_ns now)
{
	uint64_t doubled = 2 * st->pause_ns < PAUSE_MAX_NS ? 2 * st->pause_ns : PAUSE_MAX_NS;

	st->pause_ns = st->has_spoken || !st->pause_ns ? PAUSE_MIN_NS : doubled;
	st->retry_at.v = now.v + jittered(s, st->pause_ns);
	st->state = STREAM_CLOSED;
	st->call = NULL;
	intake_break(&s->intake, st->which);
	if (st->which != INTAKE_FLOWS)
		return;
	s->broke_at = now;
	s->gap_at.v = 0;
	s->is_foreign = false; /* the next one may be ours */
}

static void open_stream(struct source_hubble *s, struct stream *st, struct mono_ns now)
{
	char bytes[128];
	struct buf request = buf_fixed(bytes, sizeof bytes);
	struct err e;

	intake_request(&s->intake, st->which, s->history_ns, wall_now(), &request);
	st->has_spoken = st->is_bad = false;
	if (st->which == INTAKE_FLOWS) {
		s->connection++;
		for (size_t i = 0; i < INTAKE_STREAMS; i++)
			if (s->streams[i].state == STREAM_REFUSED)
				s->streams[i].state = STREAM_CLOSED; /* it may be another server */
	}
	st->connection = s->connection;
	st->is_batched = st->which == INTAKE_FLOWS && !s->is_foreign;
	const char *method = st->is_batched ? "/tycho.v1.Flows/GetFlowBatches" : methods[st->which];
	if (rpc_fan_call_open(s->group, s->channel, method, buf_str(&request), 0, st, &st->call,
			      &e) != ERR_OK) {
		if (st->which == INTAKE_FLOWS)
			note_lost(s, e.msg);
		close_stream(s, st, now);
		return;
	}
	st->state = STREAM_OPEN;
	if (st->which == INTAKE_FLOWS)
		s->status_asked_at.v = 0;
}

static void ask_status(struct source_hubble *s, struct mono_ns now)
{
	struct err e;

	s->status_asked_at = now;
	if (rpc_fan_call_open(s->group, s->channel, "/observer.Observer/ServerStatus", STR(""),
			      ANSWER_NS, NULL, &s->status, &e) != ERR_OK)
		s->status = NULL; /* the next turn will do */
}

/* ---- what comes */

/* Whether the server was started after the stream broke, so that its memory begins there. A relay's
 * does not matter: flows are kept by the nodes behind it. */
static void on_status(struct source_hubble *s, struct str message, struct mono_ns now)
{
	struct wire_reader r = wire_reader_of(message);
	struct str version = STR("");
	uint64_t uptime_ns = UINT64_MAX;
	bool is_relay = false;

	for (struct wire_field f; wire_next(&r, &f);) {
		if (f.type == WIRE_VARINT && f.number == STATUS_UPTIME_NS)
			uptime_ns = f.value;
		else if (f.type == WIRE_LEN && f.number == STATUS_CONNECTED_NODES)
			is_relay = true;
		else if (f.type == WIRE_LEN && f.number == STATUS_VERSION)
			version = f.bytes;
	}
	if (r.bad || s->streams[INTAKE_FLOWS].state != STREAM_OPEN)
		return;
	if (!s->is_connected && !is_relay && s->broke_at.v && uptime_ns < now.v - s->broke_at.v)
		s->gap_at.v = now.v + IDLE_NS;
	note_connected(s, version);
}

static void be_bad(struct source_hubble *s, struct stream *st)
{
	st->is_bad = true;
	atomic_fetch_add_explicit(&s->intake.bad, 1, memory_order_relaxed);
	log_warn("the hubble server sent bytes that are no message", "server=%s method=%s",
		 LOG_QUOTE(s->address), methods[st->which]);
	rpc_fan_call_cancel(st->call);
}

static bool has_room_for(struct source_hubble *s, struct str message)
{
	return record_queue_has_room(s->queue, message.len + INTAKE_OWN_BYTES);
}

/* A FlowBatch, from s->batch_at on. @return false: not all of it, for want of room. */
static bool take_batch(struct source_hubble *s, struct stream *st, struct str batch,
		       struct mono_ns now, struct wall_ns wall)
{
	struct wire_reader r = wire_reader_of(str_from(batch, s->batch_at));

	for (struct wire_field f; wire_next(&r, &f);) {
		if (f.number != BATCH_RESPONSE || f.type != WIRE_LEN)
			continue;
		if (!has_room_for(s, f.bytes)) {
			s->batch_at = (size_t)(f.raw.p - batch.p);
			return false;
		}
		if (!intake_message(&s->intake, st->which, f.bytes, now, wall)) {
			r.bad = true;
			break;
		}
	}
	s->batch_at = 0;
	if (r.bad)
		be_bad(s, st);
	return true;
}

/* @return false: not (all) taken, for want of room. */
static bool on_message(struct source_hubble *s, const struct rpc_fan_event *ev, struct mono_ns now)
{
	struct stream *st = ev->owner;

	if (!st) {
		if (!has_room_for(s, STR("")))
			return false;
		on_status(s, ev->message, now);
		return true;
	}
	if (st->is_bad || ev->call != st->call)
		return true;
	st->has_spoken = true;
	if (st->which == INTAKE_FLOWS)
		s->flow_at = now;
	if (st->is_batched)
		return take_batch(s, st, ev->message, now, wall_now());
	if (!has_room_for(s, ev->message))
		return false;
	if (!intake_message(&s->intake, st->which, ev->message, now, wall_now()))
		be_bad(s, st);
	return true;
}

static void on_status_end(struct source_hubble *s, const struct rpc_result *result)
{
	bool was_heard = rpc_fan_channel_heard(s->channel).v >= s->status_asked_at.v;

	s->status = NULL;
	if (result->status != RPC_DEADLINE_EXCEEDED || was_heard)
		return;
	log_warn("hubble server does not answer, connecting anew", "server=%s",
		 LOG_QUOTE(s->address));
	rpc_fan_channel_reset(s->channel, "the server does not answer");
}

static void on_end(struct source_hubble *s, const struct rpc_fan_event *ev, struct mono_ns now)
{
	struct stream *st = ev->owner;
	struct err e = { .msg = "the server ended the stream" };

	if (!st) {
		on_status_end(s, ev->result);
		return;
	}
	if (ev->call != st->call)
		return;
	s->batch_at = st->which == INTAKE_FLOWS ? 0 : s->batch_at;
	if (st->is_batched && ev->result->status == RPC_UNIMPLEMENTED) {
		s->is_foreign = true;
		open_stream(s, st, now);
		return;
	}
	if (ev->result->status != RPC_OK)
		(void)failure_set(&e, ev->result);
	close_stream(s, st, now);
	if (st->which == INTAKE_FLOWS)
		note_lost(s, e.msg);
	else if (ev->result->status == RPC_UNIMPLEMENTED && st->connection == s->connection)
		st->state = STREAM_REFUSED;
}

/* @return false: not all, for want of room in the queue. */
static bool take_events(struct source_hubble *s, struct mono_ns now)
{
	for (size_t i = 0; i < EVENTS_AT_ONCE; i++) {
		if (!s->inbox)
			s->inbox = rpc_group_take(s->group);
		struct rpc_fan_event *ev = s->inbox;
		if (!ev)
			return true;
		if (ev->kind == RPC_FAN_MESSAGE) {
			if (!on_message(s, ev, now))
				return false;
		} else {
			if (!has_room_for(s, STR("")))
				return false;
			on_end(s, ev, now);
		}
		s->inbox = ev->next;
		rpc_fan_event_free(ev);
	}
	wake(s); /* the rest in the next round */
	return true;
}

/* ---- timers */

static void sooner(struct mono_ns *next, uint64_t at)
{
	if (at < next->v)
		next->v = at;
}

static void run_streams(struct source_hubble *s, struct mono_ns now, struct mono_ns *next)
{
	if (!rpc_fan_channel_is_usable(s->channel)) {
		if (s->streams[INTAKE_FLOWS].state != STREAM_OPEN)
			note_lost(s, "no connection");
		/* It says when it is. New certificates may be all that is missing. */
		if (now.v >= s->renew_at.v) {
			rpc_fan_channel_renew(s->channel);
			s->renew_at.v = now.v + RENEW_NS;
		}
		sooner(next, s->renew_at.v);
		return;
	}
	for (size_t i = 0; i < INTAKE_STREAMS; i++) {
		struct stream *st = &s->streams[i];
		if (st->state == STREAM_CLOSED && now.v >= st->retry_at.v)
			open_stream(s, st, now);
		if (st->state == STREAM_CLOSED)
			sooner(next, st->retry_at.v);
	}
}

static void run_status(struct source_hubble *s, struct mono_ns now, struct mono_ns *next)
{
	if (s->streams[INTAKE_FLOWS].state != STREAM_OPEN || s->status)
		return;
	uint64_t heard = rpc_fan_channel_heard(s->channel).v;
	uint64_t asked = s->status_asked_at.v;
	uint64_t due = asked ? (heard > asked ? heard : asked) + SILENCE_NS : 0;
	if (now.v >= due)
		ask_status(s, now);
	else
		sooner(next, due);
}

static void run_gap(struct source_hubble *s, struct mono_ns now, struct mono_ns *next)
{
	if (!s->gap_at.v)
		return;
	if (s->flow_at.v + IDLE_NS > s->gap_at.v)
		s->gap_at.v = s->flow_at.v + IDLE_NS; /* it is still telling */
	while (s->gap_at.v && now.v >= s->gap_at.v) {
		if (!record_queue_has_room(s->queue, INTAKE_OWN_BYTES))
			return; /* woken when there is */
		if (!intake_tell_gap(&s->intake, wall_now()))
			s->gap_at.v = 0;
	}
	if (s->gap_at.v)
		sooner(next, s->gap_at.v);
}

static int wait_ms(struct mono_ns now, struct mono_ns next)
{
	if (next.v <= now.v)
		return 0;
	uint64_t ms = (next.v - now.v) / NS_PER_MS + 1;
	return ms < 60000 ? (int)ms : 60000;
}

static void *upstream_main(void *arg)
{
	struct source_hubble *s = arg;
	uint64_t n;

	while (!atomic_load_explicit(&s->is_stopping, memory_order_acquire)) {
		struct mono_ns now = mono_now(), next = { UINT64_MAX };
		bool has_room = true;

		if (!atomic_load_explicit(&s->is_closing, memory_order_acquire)) {
			has_room = take_events(s, now) &&
				   record_queue_has_room(s->queue, INTAKE_OWN_BYTES);
			/* what they tell goes into the queue, too */
			if (has_room) {
				run_streams(s, now, &next);
				run_status(s, now, &next);
				run_gap(s, now, &next);
			}
		}
		struct pollfd fds[] = {
			{ .fd = has_room ? -1 : record_queue_room_fd(s->queue), .events = POLLIN },
			{ .fd = s->wake_fd, .events = POLLIN },
		};
		(void)poll(fds, ARRAY_LEN(fds), wait_ms(now, next));
		for (size_t i = 0; i < ARRAY_LEN(fds); i++)
			if (fds[i].revents)
				(void)!read(fds[i].fd, &n, sizeof n);
	}
	return NULL;
}

/* ---- the source */

static int hubble_fd(const struct source *source)
{
	return record_queue_fd(((const struct source_hubble *)source)->queue);
}

static size_t hubble_drain(struct source *source, struct raw_sink *sink, size_t max)
{
	struct source_hubble *s = (struct source_hubble *)source;
	struct record r;
	size_t n = 0;

	while (n < max && record_queue_peek(s->queue, &r)) {
		const struct raw_event ev = {
			.kind = (enum raw_kind)r.kind,
			.wall = r.wall,
			.packet = r.message,
			.node = r.who,
			.lost = r.kind == RAW_LOST ? r.count : 0,
			.cpu = -1,
		};
		sink->event(sink, &ev);
		record_queue_pop(s->queue);
		n++;
	}
	if (n == max)
		record_queue_rest(s->queue);
	return n;
}

/* Before a stop: what has come is taken, nothing more is. */
static bool hubble_flush(struct source *source)
{
	struct source_hubble *s = (struct source_hubble *)source;

	atomic_store_explicit(&s->is_closing, true, memory_order_release);
	return false;
}

static void hubble_free(struct source *source)
{
	struct source_hubble *s = (struct source_hubble *)source;

	atomic_store_explicit(&s->is_stopping, true, memory_order_release);
	if (s->is_running) {
		wake(s);
		(void)pthread_join(s->thread, NULL);
	}
	while (s->inbox) {
		struct rpc_fan_event *next = s->inbox->next;
		rpc_fan_event_free(s->inbox);
		s->inbox = next;
	}
	rpc_group_free(s->group);
	rpc_fan_channel_free(s->channel);
	rpc_fan_free(s->fan);
	intake_done(&s->intake);
	record_queue_free(s->queue);
	if (s->wake_fd >= 0)
		(void)close(s->wake_fd);
	free(s->address);
	free(s);
}

static size_t hubble_figures(const struct source *source, struct source_figure out[SOURCE_FIGURES])
{
	static const struct source_figure_kind
		connected = { "connected", "1: the server answers", false },
		connects = { "connects_total", "How often the server came to answer", true },
		seen = { "seen_before_total",
			 "Records that came again after a break, and "
			 "were left out",
			 true },
		gaps = { "gaps_total",
			 "Places where the server may have had flows "
			 "that did not come",
			 true },
		bad = { "bad_messages_total", "Messages that are no protobuf, or too large", true },
		nodes = { "nodes", "Nodes seen, by name", false };
	const struct source_hubble_counts c = source_hubble_counts(source);
	const struct source_figure figures[] = {
		{ &connected, c.is_connected },
		{ &connects, c.connects },
		{ &seen, c.seen_before },
		{ &gaps, c.gaps },
		{ &bad, c.bad },
		{ &nodes, c.nodes },
	};

	_Static_assert(ARRAY_LEN(figures) <= SOURCE_FIGURES, "no room for all figures");
	memcpy(out, figures, sizeof figures);
	return ARRAY_LEN(figures);
}

static const struct source_ops hubble_ops = {
	.name = "hubble",
	.fd = hubble_fd,
	.drain = hubble_drain,
	.flush = hubble_flush,
	.figures = hubble_figures,
	.free = hubble_free,
};

static enum err_code open_parts(struct source_hubble *s, const struct source_hubble_config *config,
				struct err *e)
{
	const struct rpc_channel_config channel = { .address = s->address, .tls = config->tls };
	enum err_code code = record_queue_new(
		config->queue_bytes ? config->queue_bytes : QUEUE_BYTES, &s->queue, e);

	if (code == ERR_OK)
		code = intake_init(&s->intake, s->address, s->queue,
				   config->remembered ? config->remembered : REMEMBERED, s->random,
				   e);
	if (code == ERR_OK)
		code = rpc_fan_new(&s->fan, e);
	if (code == ERR_OK)
		code = rpc_fan_channel_new(s->fan, &channel, wake, s, &s->channel, e);
	if (code == ERR_OK)
		code = rpc_group_new(s->fan, wake, s, &s->group, e);
	return code;
}

/* Without it we begin anew, and what the store has may come twice. */
static void seed(struct source_hubble *s, const struct source_hubble_config *config)
{
	struct err e;

	if (config->store && seed_intake(&s->intake, config->store, config->dict,
					 config->remembered ? config->remembered : REMEMBERED,
					 wall_now(), &e) != ERR_OK)
		log_warn("the store does not say what came before; some of it may come again",
			 "err=%s", LOG_QUOTE(e.msg));
}

enum err_code source_hubble_new(const struct source_hubble_config *config, struct source **ret,
				struct err *e)
{
	struct source_hubble *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_NOMEM, "hubble server");
	s->source.ops = &hubble_ops;
	s->history_ns = config->history_ns;
	s->wake_fd = -1;
	for (size_t i = 0; i < INTAKE_STREAMS; i++)
		s->streams[i] = (struct stream){ .which = (enum intake_stream)i };

	AUTO(source_free) struct source *guard = &s->source;
	s->address = str_dup(str_of(config->address));
	if (!s->address)
		return err_set(e, ERR_NOMEM, "hubble server");
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0 || getrandom(&s->random, sizeof s->random, 0) != sizeof s->random)
		return err_os(e, "hubble server '%s'", s->address);
	s->random |= 1; /* xorshift stays at zero */
	if (open_parts(s, config, e) != ERR_OK)
		return err_in(e, "hubble server");
	seed(s, config);
	enum err_code code = thread_start("tycho-upstream", upstream_main, s, &s->thread, e);
	if (code != ERR_OK)
		return code;
	s->is_running = true;
	*ret = TAKE(guard);
	return ERR_OK;
}

struct source_hubble_counts source_hubble_counts(const struct source *source)
{
	const struct source_hubble *s = (const struct source_hubble *)source;
	const struct intake *in = &s->intake;

	return (struct source_hubble_counts){
		.is_connected = atomic_load_explicit(&s->is_connected_now, memory_order_relaxed),
		.connects = atomic_load_explicit(&s->connects, memory_order_relaxed),
		.flows = atomic_load_explicit(&in->flows, memory_order_relaxed),
		.other = atomic_load_explicit(&in->other, memory_order_relaxed),
		.seen_before = atomic_load_explicit(&in->seen_before, memory_order_relaxed),
		.gaps = atomic_load_explicit(&in->gaps, memory_order_relaxed),
		.bad = atomic_load_explicit(&in->bad, memory_order_relaxed),
		.nodes = atomic_load_explicit(&in->nodes, memory_order_relaxed),
		.newest = { atomic_load_explicit(&in->newest_ns, memory_order_relaxed) },
		.heard_at = rpc_fan_channel_heard(s->channel),
	};
}
