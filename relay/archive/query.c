#include "relay/archive/query.h"

#include "access/access.h"
#include "access/gate.h"
#include "base/buf.h"
#include "base/thread.h"
#include "flow/pack.h"
#include "flow/unbatch.h"
#include "flow/wire.h"
#include "relay/archive/inside.h"
#include "rpc/batch.h"

enum { MESSAGE_MAX_BYTES = 64 << 20 };

struct query {
	struct archive *archive;
	const struct query_work *how;
	void *work;
	const struct rights *rights; /* counted; NULL: all */
	atomic_uint uses;            /* the call's, the thread's */

	pthread_mutex_t mx;
	pthread_cond_t has_room;
	struct buf queue;              /* messages, each behind its length; guarded by mx, … */
	struct clickhouse *clickhouse; /* … the thread's; others may stop it … */
	bool is_gone, has_ended;       /* … the client; the thread … */
	struct err fault;              /* … why; of has_ended. code ERR_OK: none */

	/* server's thread */
	enum query_form form;
	struct buf sending; /* what was the queue, from @at on */
	size_t at;
	struct rpc_batch batch;
	struct flow_packer *packer; /* NULL: the caller cannot unpack */
};

static void unref(struct query *q)
{
	if (atomic_fetch_sub_explicit(&q->uses, 1, memory_order_acq_rel) != 1)
		return;
	clickhouse_free(q->clickhouse);
	q->how->free(q->work);
	rights_unref(q->rights);
	buf_done(&q->queue);
	buf_done(&q->sending);
	rpc_batch_done(&q->batch);
	flow_packer_free(q->packer);
	(void)pthread_mutex_destroy(&q->mx);
	(void)pthread_cond_destroy(&q->has_room);
	free(q);
}

/* ---- the query's thread */

struct archive *query_archive(const struct query *q)
{
	return q->archive;
}

const struct rights *query_rights(const struct query *q)
{
	return q->rights;
}

static enum err_code is_cancelled(struct err *e)
{
	return err_set(e, ERR_CANCELLED, "nobody listens any more");
}

static bool has_room(const struct query *q, struct str message)
{
	return !q->queue.len || q->queue.len + message.len <= QUERY_QUEUE_BYTES;
}

static void wake_server(struct query *q)
{
	struct rpc_server *s = atomic_load_explicit(&q->archive->server, memory_order_acquire);

	if (s)
		rpc_server_wake(s);
}

enum err_code query_say(struct query *q, struct str message, struct err *e)
{
	const size_t len = message.len;

	pthread_mutex_lock(&q->mx);
	while (!q->is_gone && !has_room(q, message))
		pthread_cond_wait(&q->has_room, &q->mx);
	bool was_empty = !q->queue.len, is_gone = q->is_gone;
	if (!is_gone) {
		buf_put(&q->queue, &len, sizeof len);
		buf_str_put(&q->queue, message);
		/* under the lock: once the client is gone the server may be, too */
		if (was_empty)
			wake_server(q);
	}
	bool failed = q->queue.failed;
	pthread_mutex_unlock(&q->mx);
	if (is_gone)
		return is_cancelled(e);
	return failed ? err_set(e, ERR_NOMEM, "no memory for a message") : ERR_OK;
}

enum err_code query_ask(struct query *q, struct str sql,
			bool (*each)(void *ctx, struct rowbinary_reader *r), void *ctx,
			struct err *e)
{
	return archive_ask(q->archive, q->clickhouse, sql, each, ctx, e);
}

static enum err_code connect_to(struct query *q, struct err *e)
{
	struct clickhouse *c = NULL;
	enum err_code code = clickhouse_new(q->archive->config.clickhouse, &c, e);

	if (code != ERR_OK)
		return code;
	pthread_mutex_lock(&q->mx);
	bool is_gone = q->is_gone;
	q->clickhouse = c;
	pthread_mutex_unlock(&q->mx);
	return is_gone ? is_cancelled(e) : ERR_OK;
}

static void *run(void *arg)
{
	struct query *q = arg;
	struct archive *a = q->archive;
	struct err e = { .code = ERR_OK };

	if (connect_to(q, &e) == ERR_OK && q->how->run(q, q->work, &e) == ERR_OK)
		e.code = ERR_OK;
	pthread_mutex_lock(&q->mx);
	if (e.code != ERR_OK && !q->is_gone)
		atomic_fetch_add_explicit(&a->failed, 1, memory_order_relaxed);
	q->fault = e;
	q->has_ended = true;
	if (!q->is_gone)
		wake_server(q);
	pthread_mutex_unlock(&q->mx);
	unref(q);
	archive_leave(a);
	return NULL;
}

/* ---- the server's thread */

/* @return false: no room. */
static bool send(struct query *q, struct rpc_call *call, struct str message)
{
	if (q->form != QUERY_BATCHES)
		return rpc_call_send(call, message);
	if (!q->packer)
		return rpc_batch_put(&q->batch, call, message);
	struct buf *batch = rpc_batch_open(&q->batch, call);
	if (!batch)
		return false;
	size_t mark = wire_begin(batch, BATCH_PACKED);
	flow_packer_put(q->packer, message, batch);
	wire_end(batch, mark);
	return true;
}

/* What is there. @return false: no room. */
static bool send_all(struct query *q, struct rpc_call *call)
{
	uint64_t sent = 0;
	bool done = true;
	size_t len;

	while (q->at < q->sending.len) {
		memcpy(&len, q->sending.p + q->at, sizeof len);
		done = send(q, call, str_n(q->sending.p + q->at + sizeof len, len));
		if (!done)
			break;
		q->at += sizeof len + len;
		sent++;
	}
	if (q->form != QUERY_ANSWERS)
		gate_count(call, sent);
	return done;
}

/* Turns to what has come meanwhile. @return false: nothing has. */
static bool take_queue(struct query *q, bool *ret_has_ended, struct err *ret_fault)
{
	pthread_mutex_lock(&q->mx);
	const struct buf queue = q->queue;
	q->queue = q->sending;
	buf_reset(&q->queue);
	q->sending = queue;
	q->at = 0;
	*ret_has_ended = q->has_ended;
	*ret_fault = q->fault;
	pthread_cond_signal(&q->has_room);
	pthread_mutex_unlock(&q->mx);
	return q->sending.len > 0;
}

static enum rpc_fill fill(struct rpc_call *call, void *state)
{
	struct query *q = state;
	struct err fault;
	bool has_ended;

	do {
		if (!send_all(q, call))
			return RPC_MORE;
	} while (take_queue(q, &has_ended, &fault));
	if (rpc_batch_failed(&q->batch)) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a message");
		return RPC_ENDED;
	}
	if (!rpc_batch_flush(&q->batch, call, has_ended))
		return RPC_MORE;
	if (!has_ended)
		return RPC_IDLE;
	if (fault.code == ERR_OK)
		rpc_call_end(call, RPC_OK, "%s", "");
	else
		rpc_call_end(call, archive_status_of(&fault), "%s", fault.msg);
	return RPC_ENDED;
}

static void done(void *state)
{
	struct query *q = state;

	pthread_mutex_lock(&q->mx);
	q->is_gone = true;
	if (q->clickhouse)
		clickhouse_stop(q->clickhouse);
	pthread_cond_signal(&q->has_room);
	pthread_mutex_unlock(&q->mx);
	unref(q);
}

static const struct rpc_stream_ops ops = { fill, done };

/* What the caller said it can unpack. */
static enum err_code agree_on_packing(struct query *q, const struct rpc_call *call, struct err *e)
{
	size_t table = q->form == QUERY_BATCHES
			       ? flow_table_agreed(rpc_call_header(call, FLOW_TABLE_HEADER))
			       : 0;

	return table ? flow_packer_new(table, &q->packer, e) : ERR_OK;
}

static enum err_code start(struct query *q, struct err *e)
{
	pthread_t thread;

	q->uses++;
	enum err_code code = thread_start("clickhouse", run, q, &thread, e);
	if (code != ERR_OK) {
		q->uses--;
		return code;
	}
	(void)pthread_detach(thread); /* archive_free waits until it has left */
	return ERR_OK;
}

void query_begin(struct archive *a, struct rpc_call *call, enum query_form form,
		 const struct query_work *how, void *work)
{
	struct query *q = calloc(1, sizeof *q);
	struct err e;

	if (!q) {
		how->free(work);
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a query");
		return;
	}
	*q = (struct query){ .archive = a, .how = how, .work = work, .uses = 1, .form = form };
	const struct rights *rights = gate_rights(call);
	q->rights = rights ? rights_ref(rights) : NULL;
	q->queue = q->sending = buf_init(MESSAGE_MAX_BYTES);
	rpc_batch_init(&q->batch, MESSAGE_MAX_BYTES);
	(void)pthread_mutex_init(&q->mx, NULL);
	(void)pthread_cond_init(&q->has_room, NULL);
	if (!archive_enter(a)) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED,
			     "as many queries as may be at a time (%zu) are being answered; ask "
			     "again in a moment",
			     a->config.queries);
	} else if (agree_on_packing(q, call, &e) != ERR_OK || start(q, &e) != ERR_OK) {
		archive_leave(a);
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "%s", e.msg);
	} else {
		rpc_call_stream(call, &ops, q);
		return;
	}
	unref(q);
}
