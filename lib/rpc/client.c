#include "rpc/client.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include <grpc/byte_buffer.h>

#include "base/buf.h"
#include "base/log.h"
#include "rpc/dial.h"
#include "rpc/failure.h"

static const struct dial_pace pace = {
	.window_bytes = 256 << 10,
	.connect_timeout_ms = 10000,
	.backoff_min_ms = 200, /* calls in between fail at once */
	.backoff_max_ms = 2000,
};

struct rpc_channel {
	struct dial dial; /* immutable after new, but for tls: guarded by mx */
	pthread_mutex_t mx;
	grpc_channel *core; /* guarded by mx: replaced when the certificate files change */
};

enum tag { TAG_SENT = 1, TAG_HEADERS, TAG_MESSAGE, TAG_STATUS };

struct rpc_stream {
	struct rpc_channel *ch;
	grpc_call *call;
	grpc_completion_queue *cq;
	size_t in_flight; /* tags still to come */
	grpc_metadata_array headers, trailers;
	bool has_headers;
	grpc_byte_buffer *incoming; /* gRPC's until TAG_MESSAGE */
	bool is_reading, has_message, is_over;
	struct message message; /* lent to the caller */
	grpc_status_code status;
	grpc_slice status_text;
	struct rpc_result result;
	atomic_bool is_cancelled;
};

/* ---- channel */

enum err_code rpc_channel_new(const struct rpc_channel_config *config, struct rpc_channel **ret,
			      struct err *e)
{
	AUTO(rpc_channel_free) struct rpc_channel *ch = calloc(1, sizeof *ch);
	if (!ch)
		return err_set(e, ERR_NOMEM, "channel");
	pthread_mutex_init(&ch->mx, NULL);
	enum err_code code = dial_init(&ch->dial, config, e);
	if (code == ERR_OK)
		code = dial_channel(&ch->dial, &pace, &ch->core, e);
	if (code == ERR_OK)
		*ret = TAKE(ch);
	return code;
}

void rpc_channel_free(struct rpc_channel *ch)
{
	if (!ch)
		return;
	if (ch->core)
		grpc_channel_destroy(ch->core);
	dial_done(&ch->dial);
	pthread_mutex_destroy(&ch->mx);
	free(ch);
}

/* A call on the newest identity; calls in progress stay on the channel they began with. */
static grpc_call *create_call(struct rpc_channel *ch, const char *method, gpr_timespec deadline,
			      grpc_completion_queue *cq)
{
	struct err e;
	grpc_channel *fresh;

	pthread_mutex_lock(&ch->mx);
	if (ch->dial.tls && tls_files_changed(ch->dial.tls)) {
		if (dial_channel(&ch->dial, &pace, &fresh, &e) == ERR_OK) {
			grpc_channel_destroy(ch->core);
			ch->core = fresh;
		} else {
			log_warn("new certificate is broken, keeping the old one", "error=%s",
				 LOG_QUOTE(e.msg));
		}
	}
	grpc_slice path = slice_of(str_of(method));
	grpc_call *call = grpc_channel_create_call(ch->core, NULL, GRPC_PROPAGATE_DEFAULTS, cq,
						   path, NULL, deadline, NULL);
	grpc_slice_unref(path);
	pthread_mutex_unlock(&ch->mx);
	return call;
}

/* ---- stream */

static void start(struct rpc_stream *s, const grpc_op *ops, size_t n, enum tag tag)
{
	/* Fails on misuse only. */
	if (grpc_call_start_batch(s->call, ops, n, (void *)(uintptr_t)tag, NULL) == GRPC_CALL_OK)
		s->in_flight++;
}

static void start_read(struct rpc_stream *s)
{
	grpc_op op = { .op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &s->incoming };

	s->is_reading = true;
	start(s, &op, 1, TAG_MESSAGE);
}

static void start_call(struct rpc_stream *s, struct str request)
{
	grpc_slice slice = slice_of(request);
	grpc_byte_buffer *bb = grpc_raw_byte_buffer_create(&slice, 1);
	grpc_slice_unref(slice);
	grpc_op headers = { .op = GRPC_OP_RECV_INITIAL_METADATA,
			    .data.recv_initial_metadata.recv_initial_metadata = &s->headers };
	grpc_op status = { .op = GRPC_OP_RECV_STATUS_ON_CLIENT,
			   .data.recv_status_on_client = { .trailing_metadata = &s->trailers,
							   .status = &s->status,
							   .status_details = &s->status_text } };
	grpc_op send[] = {
		{ .op = GRPC_OP_SEND_INITIAL_METADATA,
		  .data.send_initial_metadata = { .count = s->ch->dial.metadata_count,
						  .metadata = s->ch->dial.metadata } },
		{ .op = GRPC_OP_SEND_MESSAGE, .data.send_message.send_message = bb },
		{ .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT },
	};
	start(s, send, ARRAY_LEN(send), TAG_SENT);
	start(s, &headers, 1, TAG_HEADERS);
	start(s, &status, 1, TAG_STATUS);
	start_read(s);
	grpc_byte_buffer_destroy(bb);
}

static enum err_code open_call(struct rpc_channel *ch, const char *method, struct str request,
			       gpr_timespec deadline, struct rpc_stream **ret, struct err *e)
{
	struct rpc_stream *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_NOMEM, "call %s", method);
	s->ch = ch;
	s->status_text = grpc_empty_slice();
	grpc_metadata_array_init(&s->headers);
	grpc_metadata_array_init(&s->trailers);
	s->cq = grpc_completion_queue_create_for_next(NULL);
	s->call = create_call(ch, method, deadline, s->cq);
	start_call(s, request);
	*ret = s;
	return ERR_OK;
}

enum err_code rpc_stream_open(struct rpc_channel *ch, const char *method, struct str request,
			      struct rpc_stream **ret, struct err *e)
{
	return open_call(ch, method, request, gpr_inf_future(GPR_CLOCK_MONOTONIC), ret, e);
}

static void on_status(struct rpc_stream *s)
{
	s->is_over = true;
	s->result.status = (enum rpc_status)s->status;
	failure_text(s->result.status, slice_str(&s->status_text), &s->ch->dial.address,
		     s->result.message, sizeof s->result.message);
}

/* One event; false when @until passed without one. */
static bool take_event(struct rpc_stream *s, gpr_timespec until)
{
	grpc_event ev = grpc_completion_queue_next(s->cq, until, NULL);

	if (ev.type != GRPC_OP_COMPLETE)
		return false;
	s->in_flight--;
	switch ((enum tag)(uintptr_t)ev.tag) {
	case TAG_SENT: /* whether it got there is for the status to say */
		break;
	case TAG_HEADERS:
		s->has_headers = true;
		break;
	case TAG_MESSAGE:
		s->is_reading = false;
		s->has_message = s->incoming != NULL; /* else the last one was the last */
		break;
	case TAG_STATUS:
		on_status(s);
		break;
	}
	return true;
}

/* Only after the last message: what was received is delivered before the status. */
static bool is_finished(const struct rpc_stream *s)
{
	return s->is_over && !s->is_reading && !s->has_message;
}

enum err_code rpc_stream_next(struct rpc_stream *s, uint64_t timeout_ns, struct str *ret_message,
			      struct err *e)
{
	if (s->message.bb)
		message_close(&s->message);
	gpr_timespec until = { 0 };
	bool has_until = false;
	while (!s->has_message && !is_finished(s)) {
		if (!has_until)
			until = dial_deadline(timeout_ns);
		has_until = true;
		if (!take_event(s, until))
			return err_set(e, ERR_TIMEOUT, "no message yet");
	}
	if (atomic_load_explicit(&s->is_cancelled, memory_order_acquire)) {
		s->result.status = RPC_CANCELLED;
		return err_set(e, ERR_CANCELLED,
			       "rpc error: code = Canceled desc = context canceled");
	}
	if (s->has_message) {
		s->has_message = false;
		enum rpc_status status = message_open(&s->message, TAKE(s->incoming),
						      s->ch->dial.max_message_bytes, ret_message);
		if (status != RPC_OK) {
			s->result.status = status;
			(void)snprintf(s->result.message, sizeof s->result.message, "a message %s",
				       message_fault(status));
			return failure_set(e, &s->result);
		}
		start_read(s); /* the next one is fetched while the caller looks at this one */
		return ERR_OK;
	}
	if (s->result.status == RPC_OK)
		return err_set(e, ERR_CLOSED, "end of stream");
	return failure_set(e, &s->result);
}

bool rpc_stream_has_next(struct rpc_stream *s)
{
	while (!s->has_message && !is_finished(s))
		if (!take_event(s, gpr_inf_past(GPR_CLOCK_MONOTONIC)))
			break;
	return s->has_message;
}

const struct rpc_result *rpc_stream_result(const struct rpc_stream *s)
{
	return &s->result;
}

struct str rpc_stream_header(const struct rpc_stream *s, const char *key)
{
	return s->has_headers ? metadata_find(&s->headers, key) : STR("");
}

void rpc_stream_cancel(struct rpc_stream *s)
{
	atomic_store_explicit(&s->is_cancelled, true, memory_order_release);
	(void)grpc_call_cancel(s->call, NULL);
}

void rpc_stream_free(struct rpc_stream *s)
{
	if (!s)
		return;
	if (!s->is_over)
		(void)grpc_call_cancel(s->call, NULL);
	while (s->in_flight > 0)
		(void)take_event(s, gpr_inf_future(GPR_CLOCK_MONOTONIC));
	if (s->message.bb)
		message_close(&s->message);
	if (s->incoming)
		grpc_byte_buffer_destroy(s->incoming);
	grpc_completion_queue_shutdown(s->cq);
	while (grpc_completion_queue_next(s->cq, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
	       GRPC_QUEUE_SHUTDOWN)
		;
	grpc_completion_queue_destroy(s->cq);
	grpc_metadata_array_destroy(&s->headers);
	grpc_metadata_array_destroy(&s->trailers);
	grpc_slice_unref(s->status_text);
	grpc_call_unref(s->call);
	free(s);
}

enum err_code rpc_unary(struct rpc_channel *ch, const char *method, struct str request,
			uint64_t timeout_ns, struct buf *ret_response,
			struct rpc_result *ret_result, struct err *e)
{
	AUTO(rpc_stream_free) struct rpc_stream *s = NULL;
	AUTO_BUF struct buf answer = buf_init(ch->dial.max_message_bytes);
	struct str message;
	size_t messages = 0;
	struct rpc_result result;

	enum err_code code = open_call(ch, method, request, dial_deadline(timeout_ns), &s, e);
	if (code != ERR_OK)
		return code;
	while ((code = rpc_stream_next(s, 0, &message, e)) == ERR_OK) {
		if (messages++ > 0)
			break; /* nor would anything end a server that goes on and on */
		buf_str_put(&answer, message);
	}
	result = s->result;
	if (code == ERR_OK || (code == ERR_CLOSED && result.status == RPC_OK)) {
		code = ERR_OK;
		if (messages == 1 && !answer.failed) {
			size_t before = ret_response->len;
			buf_str_put(ret_response, buf_str(&answer));
			if (ret_response->failed) {
				ret_response->len = before;
				code = err_set(e, ERR_NOMEM, "no room for the answer to %s",
					       method);
			}
		} else {
			result = (struct rpc_result){ RPC_INTERNAL,
						      "the server sent no single answer" };
			code = failure_set(e, &result);
		}
	}
	if (ret_result)
		*ret_result = result;
	return code;
}
