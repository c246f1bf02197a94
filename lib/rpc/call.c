/*
 * The life of a call on the server's side.
 *
 *	request ─► close, read posted ─► begin() ─┬─► reply:   headers+message+status in one batch
 *	                                          └─► stream:  headers │ message … message │ status
 *
 * A call is freed when the close tag and every other batch have come back. Rules of the C core that
 * shape it: initial metadata and a first message with BUFFER_HINT must not share a batch (gRPC
 * issues 12975, 34231: the tag never comes back); one message per batch and one SEND_MESSAGE at a
 * time; a hinted message may stay in the buffer until the next one, so the hint is set only if more
 * is queued behind it.
 */
#include <stdarg.h>
#include <stdio.h>

#include <grpc/byte_buffer.h>
#include <grpc/support/alloc.h>

#include "base/buf.h"
#include "base/counter.h"
#include "rpc/serving.h"

/* Bounds a queue of large messages, whatever its length; one message always fits. */
enum { QUEUE_MAX_BYTES = 4 << 20 };

static void start(struct rpc_call *c, const grpc_op *ops, size_t n, struct tag *tag)
{
	if (grpc_call_start_batch(c->grpc, ops, n, tag, NULL) == GRPC_CALL_OK)
		c->in_flight++;
	else
		c->is_dead = true; /* only misuse gets here; the close tag still ends the call */
}

bool call_post(struct core *core)
{
	struct rpc_server *s = core->server;
	struct rpc_call *c = calloc(1, sizeof *c);
	if (!c)
		return false;
	*c = (struct rpc_call){
		.server = s,
		.core = core,
		.request = { TAG_REQUEST, c },
		.close = { TAG_CLOSE, c },
		.read = { TAG_READ, c },
		.sent_headers = { TAG_HEADERS, c },
		.send = { TAG_SEND, c },
		.status = { TAG_STATUS, c },
		.end_text = grpc_empty_slice(),
	};
	link_init(&c->in_calls);
	link_init(&c->in_turn);
	grpc_call_details_init(&c->details);
	grpc_metadata_array_init(&c->headers);
	if (grpc_server_request_call(core->grpc, &c->grpc, &c->details, &c->headers, s->cq, s->cq,
				     &c->request) != GRPC_CALL_OK) {
		grpc_call_details_destroy(&c->details);
		grpc_metadata_array_destroy(&c->headers);
		free(c);
		return false;
	}
	core->requests++;
	s->unstarted++;
	return true;
}

static void leave_turn(struct rpc_call *c)
{
	link_del(&c->in_turn);
	if (c->is_idle) {
		c->is_idle = false;
		atomic_fetch_sub_explicit(&c->server->idle_count, 1, memory_order_relaxed);
	}
}

static void drop_queue(struct rpc_call *c)
{
	for (; c->queue_count; c->queue_count--) {
		grpc_slice_unref(c->queue[c->queue_head]);
		c->queue_head = (c->queue_head + 1) % c->server->queue_messages;
	}
	c->queue_bytes = 0;
}

/* The method hears no more of this call. */
static void leave_method(struct rpc_call *c)
{
	leave_turn(c);
	if (c->ops) {
		void (*done)(void *) = c->ops->done;
		c->ops = NULL;
		if (done)
			done(TAKE(c->state));
	}
}

static void call_free(struct rpc_call *c)
{
	struct rpc_server *s = c->server;

	leave_method(c);
	if (c->release_guest)
		c->release_guest(TAKE(c->guest));
	link_del(&c->in_calls);
	drop_queue(c);
	free(c->queue);
	if (c->has_reserved)
		grpc_slice_unref(c->reserved);
	grpc_slice_unref(c->end_text);
	if (c->received)
		grpc_byte_buffer_destroy(c->received);
	gpr_free(c->peer);
	grpc_call_details_destroy(&c->details);
	grpc_metadata_array_destroy(&c->headers);
	if (c->connection)
		--*c->connection;
	s->asked_bytes -= c->asked_bytes;
	if (c->grpc) {
		tally_handled(c->tally, c->end_status, mono_now().v - c->begun_ns);
		grpc_call_unref(c->grpc);
		s->live_calls--;
		atomic_store_explicit(&s->stat_live, s->live_calls, memory_order_relaxed);
	} else {
		s->unstarted--;
	}
	free(c);
}

/* ---- sending */

static grpc_op headers_op(const struct rpc_call *c)
{
	return (grpc_op){
		.op = GRPC_OP_SEND_INITIAL_METADATA,
		.data.send_initial_metadata = { .count = c->server->metadata_count,
						.metadata = c->server->metadata },
	};
}

static grpc_op status_op(struct rpc_call *c)
{
	return (grpc_op){
		.op = GRPC_OP_SEND_STATUS_FROM_SERVER,
		.data.send_status_from_server = { .status = (grpc_status_code)c->end_status,
						  .status_details = &c->end_text },
	};
}

static void start_status(struct rpc_call *c)
{
	grpc_op ops[2];
	size_t n = 0;

	if (!c->headers_started)
		ops[n++] = headers_op(c);
	ops[n++] = status_op(c);
	c->headers_started = c->status_started = true;
	start(c, ops, n, &c->status);
}

static void start_read(struct rpc_call *c)
{
	grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &c->received };

	c->is_reading = true;
	start(c, &op, 1, &c->read);
}

static void send_next(struct rpc_call *c)
{
	grpc_slice slice = c->queue[c->queue_head];
	size_t bytes = GRPC_SLICE_LENGTH(slice);
	grpc_byte_buffer *bb = grpc_raw_byte_buffer_create(&slice, 1);

	c->queue_head = (c->queue_head + 1) % c->server->queue_messages;
	c->queue_count--;
	c->queue_bytes -= bytes;
	grpc_slice_unref(slice);
	grpc_op op = {
		.op = GRPC_OP_SEND_MESSAGE,
		.flags = c->queue_count > 0 || c->is_ending ? GRPC_WRITE_BUFFER_HINT : 0,
		.data.send_message.send_message = bb,
	};
	c->is_sending = true;
	start(c, &op, 1, &c->send);
	grpc_byte_buffer_destroy(bb);
	tally_sent(c->tally);
	counter_add(&c->server->stat_messages, 1);
	counter_add(&c->server->stat_bytes, bytes);
}

void call_pump(struct rpc_call *c)
{
	if (c->is_dead || !c->has_begun || c->is_sending || c->status_started)
		return;
	if (c->headers_started && !c->headers_done)
		return;
	if (c->queue_count)
		send_next(c);
	else if (c->is_ending)
		start_status(c);
	else if (c->on_message && !c->is_reading)
		start_read(c); /* every answer is on its way: the client may go on */
}

/* Many streams share what few may have each: a thousand that nobody reads are no more of a burden
 * than sixteen. */
static size_t share_bytes(const struct rpc_server *s)
{
	size_t share = RPC_QUEUES_BYTES / (s->live_calls + 1);

	return share < QUEUE_MAX_BYTES ? share : QUEUE_MAX_BYTES;
}

/* Room for a useful number of messages: half the queue, so that fill is called for a batch, not for
 * one. */
static bool wants_fill(const struct rpc_call *c)
{
	return c->ops && c->ops->fill && !c->is_ending && !c->is_dead && !c->is_idle &&
	       !c->server->is_stopping && c->headers_done &&
	       c->queue_count <= c->server->queue_messages / 2 &&
	       c->queue_bytes <= share_bytes(c->server) / 2;
}

/* With the queue low but not empty, fill comes before the next send: the message sent next then
 * knows whether another stands behind it. */
void call_fill(struct rpc_call *c)
{
	struct rpc_server *s = c->server;

	if (wants_fill(c)) {
		const struct rpc_gate *gate = &s->gate;
		leave_turn(c);
		enum rpc_fill fill = !c->guest || gate->may_go_on(c, gate->ctx)
					     ? c->ops->fill(c, c->state)
					     : RPC_ENDED;
		if (fill == RPC_ENDED && !c->is_ending)
			rpc_call_end(c, RPC_INTERNAL, "the method stopped without a status");
		if (fill == RPC_IDLE && !c->is_ending) {
			c->is_idle = true;
			link_append(&s->idle, &c->in_turn);
			/* ordered before the loop reads wake_idle */
			atomic_fetch_add(&s->idle_count, 1);
		} else if (fill == RPC_MORE && !c->is_ending && c->queue_count == 0 &&
			   !c->is_sending) {
			link_append(&s->ready, &c->in_turn); /* the others first */
		}
	}
	call_pump(c);
}

void call_wake_idle(struct rpc_server *s)
{
	while (!link_is_empty(&s->idle)) {
		struct rpc_call *c = LINK_OWNER(s->idle.next, struct rpc_call, in_turn);
		leave_turn(c);
		link_append(&s->ready, &c->in_turn);
	}
}

void call_check_stalls(struct rpc_server *s, uint64_t now_ns)
{
	struct link *next;

	for (struct link *l = s->calls.next; l != &s->calls; l = next) {
		struct rpc_call *c = LINK_OWNER(l, struct rpc_call, in_calls);
		next = l->next;
		bool waits = c->is_sending || (c->status_started && !c->status_done);
		if (!waits || c->is_dead || c->sent != c->sent_at_check) {
			c->sent_at_check = c->sent;
			c->stuck_since_ns = 0;
		} else if (c->stuck_since_ns == 0) {
			c->stuck_since_ns = now_ns;
		} else if (now_ns - c->stuck_since_ns >= s->stall_ns) {
			/* A status batch would queue up behind the message that is stuck. */
			(void)grpc_call_cancel_with_status(c->grpc, GRPC_STATUS_RESOURCE_EXHAUSTED,
							   "client reads too slowly", NULL);
			c->is_dead = true;
			c->end_status = RPC_RESOURCE_EXHAUSTED;
			counter_add(&s->stat_stalled, 1);
			leave_method(c);
		}
	}
}

void call_end_all(struct rpc_server *s)
{
	struct link *next;

	for (struct link *l = s->calls.next; l != &s->calls; l = next) {
		struct rpc_call *c = LINK_OWNER(l, struct rpc_call, in_calls);
		next = l->next;
		rpc_call_end(c, RPC_UNAVAILABLE, "server is shutting down");
		c->has_begun = true; /* even if its request has not arrived */
		call_pump(c);
	}
}

/* ---- events */

typedef void begin_fn(struct rpc_call *, struct str, void *);

static const struct rpc_method *own_method(const struct rpc_server *s, struct str path)
{
	for (size_t i = 0; i < s->method_count; i++)
		if (str_is(path, s->methods[i].path))
			return &s->methods[i];
	return NULL;
}

static begin_fn *builtin_method(struct rpc_server *s, struct str path, void **ret_ctx)
{
	begin_fn *fn = health_method(path);

	*ret_ctx = fn ? (void *)s->health : (void *)s->reflection;
	return fn ? fn : reflection_method(path);
}

/* The core tells clients how many streams they may have, and 1.51 holds them to it only once they
 * have acknowledged that: who never does has any number. */
static bool connection_has_room(struct rpc_call *c)
{
	struct rpc_server *s = c->server;
	struct str peer = str_of(rpc_call_peer(c));

	if (str_has_prefix(peer, STR("unix:"))) /* all of them have one name */
		return true;
	c->connection = &s->connection_streams[hash_bytes(peer.p, peer.len, s->seed) % CONNECTIONS];
	return ++*c->connection <= s->max_streams;
}

static void on_request(struct rpc_call *c, bool ok)
{
	struct rpc_server *s = c->server;
	struct str path = slice_str(&c->details.method);

	c->core->requests--;
	if (!ok) { /* the server is shutting down */
		c->grpc = NULL;
		call_free(c);
		return;
	}
	s->unstarted--;
	s->live_calls++;
	counter_add(&s->stat_calls, 1);
	atomic_store_explicit(&s->stat_live, s->live_calls, memory_order_relaxed);
	link_append(&s->calls, &c->in_calls);
	c->begun_ns = mono_now().v;
	c->tally = tally_find(s->tallies, s->tally_count, path);
	tally_started(c->tally);

	grpc_op op = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER,
		       .data.recv_close_on_server.cancelled = &c->cancelled };
	start(c, &op, 1, &c->close);
	/* Neither waits for a request: a client may be silent until it has heard something. */
	if (s->is_stopping) {
		rpc_call_end(c, RPC_UNAVAILABLE, "server is shutting down");
	} else if (!connection_has_room(c)) {
		rpc_call_end(c, RPC_RESOURCE_EXHAUSTED, "more than %u calls at a time",
			     s->max_streams);
	} else if (!own_method(s, path) && !builtin_method(s, path, &(void *){ NULL })) {
		rpc_call_end(c, RPC_UNIMPLEMENTED, "unknown method %.*s", STR_FMT(path));
	} else {
		start_read(c);
		return;
	}
	c->has_begun = true;
	call_pump(c);
}

static void begin_own(struct rpc_call *c, const struct rpc_method *method, struct str request)
{
	struct rpc_admission what = { method->path, request };
	const struct rpc_gate *gate = &c->server->gate;

	c->path = method->path;
	if (gate->admit && !gate->admit(c, &what, gate->ctx))
		return;
	if (what.path != method->path)
		method = own_method(c->server, str_of(what.path));
	if (method)
		method->begin(c, what.request, method->ctx);
	else
		rpc_call_end(c, RPC_UNIMPLEMENTED, "unknown method %s", what.path);
}

/* on_request saw that there is such a method. */
static void begin(struct rpc_call *c, struct str request)
{
	struct str path = slice_str(&c->details.method);
	const struct rpc_method *own = own_method(c->server, path);
	void *ctx;

	c->has_begun = true;
	if (request.len > RPC_ASKED_SMALL_BYTES &&
	    c->server->asked_bytes + request.len > RPC_ASKED_BYTES) {
		rpc_call_end(c, RPC_RESOURCE_EXHAUSTED,
			     "too much is asked for at the same time: try again later");
		return;
	}
	c->asked_bytes = request.len;
	c->server->asked_bytes += request.len;
	if (own)
		begin_own(c, own, request);
	else
		builtin_method(c->server, path, &ctx)(c, request, ctx);
	if (!c->is_ending && !c->ops && !c->status_started)
		rpc_call_end(c, RPC_INTERNAL, "the method gave no answer");
}

static void on_read(struct rpc_call *c, bool ok)
{
	struct message m;
	struct str text;
	enum rpc_status status;
	bool is_first = !c->has_begun;

	c->is_reading = false;
	if (c->is_dead || c->is_ending)
		return;
	if (!ok || !c->received) {
		/* The client has finished, which is for a conversation to end, and for a call too
		 * early. */
		c->has_begun = true;
		if (is_first)
			rpc_call_end(c, RPC_INTERNAL, "the call carried no request");
		else
			rpc_call_end(c, RPC_OK, "%s", "");
	} else if ((status = message_open(&m, TAKE(c->received), c->server->max_request_bytes,
					  &text)) != RPC_OK) {
		c->has_begun = true;
		rpc_call_end(c, status, "the request %s", message_fault(status));
		message_close(&m);
	} else {
		tally_received(c->tally);
		if (is_first)
			begin(c, text);
		else
			c->on_message(c, text);
		message_close(&m);
	}
	call_pump(c);
}

void call_event(struct tag *t, bool ok)
{
	struct rpc_call *c = t->owner;

	if (t->kind == TAG_REQUEST) {
		on_request(c, ok);
		return;
	}
	c->in_flight--;
	switch (t->kind) {
	case TAG_CLOSE:
		c->is_closed = true;
		if (c->cancelled) {
			if (!c->is_dead && !c->is_ending)
				c->end_status = RPC_CANCELLED;
			c->is_dead = true;
			leave_method(c);
			drop_queue(c);
		}
		break;
	case TAG_READ:
		on_read(c, ok);
		break;
	case TAG_HEADERS:
		c->headers_done = true;
		call_fill(c);
		break;
	case TAG_SEND:
		c->is_sending = false;
		c->sent++;
		if (!ok)
			c->is_dead = true;
		call_fill(c);
		break;
	default: /* TAG_STATUS: nothing remains to be said */
		c->status_done = true;
		leave_method(c);
		break;
	}
	if (c->is_closed && c->in_flight == 0)
		call_free(c);
}

/* ---- what methods call */

void rpc_call_reply(struct rpc_call *c, struct str message)
{
	if (c->is_dead || c->is_ending || c->ops)
		return;
	grpc_slice slice = slice_of(message);
	grpc_byte_buffer *bb = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	c->end_status = RPC_OK;
	grpc_op ops[] = {
		headers_op(c),
		{ .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = bb },
		status_op(c),
	};
	c->is_ending = c->headers_started = c->status_started = true;
	start(c, ops, ARRAY_LEN(ops), &c->status);
	grpc_byte_buffer_destroy(bb);
	tally_sent(c->tally);
	counter_add(&c->server->stat_messages, 1);
	counter_add(&c->server->stat_bytes, message.len);
}

void rpc_call_end(struct rpc_call *c, enum rpc_status status, const char *fmt, ...)
{
	char text[512], clean[3 * sizeof text];
	va_list ap;

	if (c->is_ending)
		return;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	size_t len = utf8_sanitize(str_n(text, n < 0 ? 0 : strlen(text)), clean, sizeof clean);
	c->is_ending = true;
	c->end_status = status;
	c->end_text = slice_of(str_n(clean, len));
}

static void begin_stream(struct rpc_call *c)
{
	grpc_op op = headers_op(c);

	c->queue = calloc(c->server->queue_messages, sizeof *c->queue);
	if (!c->queue) {
		rpc_call_end(c, RPC_RESOURCE_EXHAUSTED, "out of memory");
		return;
	}
	c->headers_started = true;
	start(c, &op, 1, &c->sent_headers);
}

void rpc_call_stream(struct rpc_call *c, const struct rpc_stream_ops *ops, void *state)
{
	c->ops = ops;
	c->state = state;
	begin_stream(c);
}

void call_converse(struct rpc_call *c, void (*on_message)(struct rpc_call *, struct str),
		   void *state)
{
	static const struct rpc_stream_ops not_pulled = { 0 };

	c->on_message = on_message;
	rpc_call_stream(c, &not_pulled, state);
}

static bool has_room(const struct rpc_call *c, size_t bytes)
{
	return c->queue && c->queue_count < c->server->queue_messages &&
	       (c->queue_count == 0 || c->queue_bytes + bytes <= share_bytes(c->server));
}

static void push(struct rpc_call *c, grpc_slice slice_take)
{
	c->queue[(c->queue_head + c->queue_count++) % c->server->queue_messages] = slice_take;
	c->queue_bytes += GRPC_SLICE_LENGTH(slice_take);
}

bool rpc_call_send(struct rpc_call *c, struct str message)
{
	if (!has_room(c, message.len) || c->is_ending)
		return false;
	push(c, slice_of(message));
	return true;
}

uint8_t *rpc_call_reserve(struct rpc_call *c, size_t bytes)
{
	if (!has_room(c, bytes) || c->is_ending)
		return NULL;
	if (c->has_reserved)
		grpc_slice_unref(c->reserved);
	c->reserved = grpc_slice_malloc(bytes);
	c->has_reserved = true;
	return GRPC_SLICE_START_PTR(c->reserved);
}

void rpc_call_commit(struct rpc_call *c, size_t used)
{
	if (!c->has_reserved)
		return;
	c->has_reserved = false;
	if (used == 0 || used > GRPC_SLICE_LENGTH(c->reserved)) {
		grpc_slice_unref(c->reserved);
		return;
	}
	GRPC_SLICE_SET_LENGTH(c->reserved, used);
	push(c, c->reserved);
}

const char *rpc_call_peer(const struct rpc_call *call)
{
	/* a cache: the answer never changes */
	struct rpc_call *c = (struct rpc_call *)(uintptr_t)call;

	if (!c->peer)
		c->peer = grpc_call_get_peer(c->grpc);
	return c->peer ? c->peer : "";
}

struct str rpc_call_header(const struct rpc_call *c, const char *key)
{
	return metadata_find(&c->headers, key);
}

/* The core keeps HTTP's own headers to itself; these it shows. */
static bool is_callers_own(struct str key)
{
	static const char *const not_own[] = { "user-agent", "te",       "content-type",
					       "host",       "lb-token", "lb-cost-bin" };

	for (size_t i = 0; i < ARRAY_LEN(not_own); i++)
		if (str_is(key, not_own[i]))
			return false;
	return !str_has_prefix(key, STR("grpc-")) && !str_has_prefix(key, STR(":"));
}

size_t rpc_call_headers(const struct rpc_call *c, struct rpc_header *out, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < c->headers.count && n < max; i++) {
		const grpc_metadata *m = &c->headers.metadata[i];
		if (is_callers_own(slice_str(&m->key)))
			out[n++] = (struct rpc_header){ slice_str(&m->key), slice_str(&m->value) };
	}
	return n;
}

static size_t names_of(const grpc_auth_context *auth, const char *property, struct buf *out)
{
	grpc_auth_property_iterator it = grpc_auth_context_find_properties_by_name(auth, property);
	const grpc_auth_property *p;
	size_t n = 0;

	/* A name that is cut would be another one. */
	while ((p = grpc_auth_property_iterator_next(&it)))
		if (!memchr(p->value, 0, p->value_length)) {
			buf_put(out, p->value, p->value_length);
			buf_char(out, '\0');
			n++;
		}
	return n;
}

size_t rpc_call_cert_names(const struct rpc_call *c, struct buf *out)
{
	grpc_auth_context *auth = grpc_call_auth_context(c->grpc);
	size_t n = 0;

	if (auth && grpc_auth_context_peer_is_authenticated(auth)) {
		n = names_of(auth, GRPC_X509_SAN_PROPERTY_NAME, out);
		if (!n)
			n = names_of(auth, GRPC_X509_CN_PROPERTY_NAME, out);
	}
	grpc_auth_context_release(auth);
	return n;
}

void rpc_call_set_guest(struct rpc_call *c, void *guest, void (*release)(void *guest))
{
	c->guest = guest;
	c->release_guest = release;
}

void *rpc_call_guest(const struct rpc_call *c)
{
	return c->guest;
}
