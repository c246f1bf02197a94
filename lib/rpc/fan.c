#include "rpc/fan.h"

#include <grpc/byte_buffer.h>

#include "base/thread.h"
#include "rpc/failure.h"
#include "rpc/fanning.h"

enum { HEADERS_MAX = 64 /* of a call; more are left out */ };

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
	enum rpc_status status = RPC_RESOURCE_EXHAUSTED;
	if (ev)
		status = message_open(&ev->message, bb, c->ch->dial.max_message_bytes,
				      &ev->pub.message);
	if (status == RPC_OK) {
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
	(void)grpc_call_cancel_with_status(c->core, (grpc_status_code)status,
					   status == RPC_INTERNAL ? "a message cannot be read"
								  : "a message is too large",
					   NULL);
	start_read(c); /* of a cancelled call: the end */
}

static void on_status(struct rpc_fan_call *c)
{
	c->is_over = true;
	c->result.status = (enum rpc_status)c->status;
	failure_text(c->result.status, slice_str(&c->status_text), &c->ch->dial.address,
		     c->result.message, sizeof c->result.message);
	end_if_over(c);
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
	for (size_t i = 0; i < c->ch->dial.metadata_count && md_count < HEADERS_MAX; i++)
		md[md_count++] = c->ch->dial.metadata[i];
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
	channel_renew(ch);
	grpc_slice path = slice_of(str_of(method));
	c->core = grpc_channel_create_call(ch->core, NULL, GRPC_PROPAGATE_DEFAULTS, f->cq, path,
					   NULL, dial_deadline(timeout_ns), NULL);
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
		channel_on_watch(t->owner);
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

enum err_code rpc_fan_new(struct rpc_fan **ret, struct err *e)
{
	AUTO(rpc_fan_free) struct rpc_fan *f = NULL;
	enum err_code code = rpc_fan_new_for_server(&f, e);

	if (code == ERR_OK)
		code = thread_start("rpc-fan", fan_main, f, &f->thread, e);
	if (code != ERR_OK)
		return code;
	f->has_thread = true;
	*ret = TAKE(f);
	return ERR_OK;
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
