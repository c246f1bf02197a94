#include "relay/archive/archive.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/thread.h"
#include "clickhouse/failure.h"
#include "clickhouse/schema.h"
#include "relay/archive/inside.h"

/* Between two looks at ClickHouse, and how long one may take. */
#define LOOK_NS (3 * NS_PER_S)
enum { LOOK_MS = 10000, KILL_MS = 2000, KILL_BYTES = 64 << 10, LIST_MAX = 10000 };

static void get_agent_events(struct rpc_call *call, struct str request, void *ctx)
{
	(void)request, (void)ctx;
	rpc_call_end(call, RPC_UNIMPLEMENTED,
		     "an archive in ClickHouse has flows and no agent events; ask the node's "
		     "observer");
}

static void get_debug_events(struct rpc_call *call, struct str request, void *ctx)
{
	(void)request, (void)ctx;
	rpc_call_end(call, RPC_UNIMPLEMENTED,
		     "an archive in ClickHouse has flows and no debug events; ask the node's "
		     "observer");
}

static void export(struct rpc_call *call, struct str request, void *ctx)
{
	(void)request, (void)ctx;
	rpc_call_end(call, RPC_UNIMPLEMENTED,
		     "an archive in ClickHouse has flows and no proofs of them; ask the observers, "
		     "or a relay over them, for evidence");
}

static const struct rpc_method methods[ARCHIVE_METHODS] = {
	{ "/observer.Observer/GetFlows", archive_get_flows, NULL },
	{ "/tycho.v1.Flows/GetFlowBatches", archive_get_flow_batches, NULL },
	{ "/tycho.v1.Flows/GetFilteredStatus", archive_get_filtered_status, NULL },
	{ "/tycho.v1.Flows/GetTime", archive_get_time, NULL },
	{ "/tycho.v1.History/GetCoverage", archive_get_coverage, NULL },
	{ "/tycho.v1.History/GetServiceMap", archive_get_service_map, NULL },
	{ "/tycho.v1.Evidence/Export", export, NULL },
	{ "/observer.Observer/GetAgentEvents", get_agent_events, NULL },
	{ "/observer.Observer/GetDebugEvents", get_debug_events, NULL },
	{ "/observer.Observer/GetNodes", archive_get_nodes, NULL },
	{ "/observer.Observer/GetNamespaces", archive_get_namespaces, NULL },
	{ "/observer.Observer/ServerStatus", archive_server_status, NULL },
};

enum err_code archive_new(const struct archive_config *config, struct archive **ret, struct err *e)
{
	struct archive *a = calloc(1, sizeof *a);

	if (!a)
		return err_set(e, ERR_NOMEM, "archive");
	(void)pthread_mutex_init(&a->mx, NULL);
	thread_cond_init(&a->moved);
	a->config = *config;
	if (getrandom(&a->seed, sizeof a->seed, 0) != sizeof a->seed)
		a->seed = wall_now().v; /* it is a name, not a secret */
	(void)snprintf(a->why, sizeof a->why, "ClickHouse has not been asked yet");
	memcpy(a->methods, methods, sizeof methods);
	for (size_t i = 0; i < ARCHIVE_METHODS; i++)
		a->methods[i].ctx = a;
	struct clickhouse_config watched = *config->clickhouse;
	watched.quiet_ms = LOOK_MS;
	enum err_code code = clickhouse_new(&watched, &a->watched, e);
	if (code != ERR_OK) {
		archive_free(a);
		return code;
	}
	*ret = a;
	return ERR_OK;
}

void archive_stop(struct archive *a)
{
	if (!a->is_watching)
		return;
	pthread_mutex_lock(&a->mx);
	a->is_stopping = true;
	pthread_cond_broadcast(&a->moved);
	pthread_mutex_unlock(&a->mx);
	clickhouse_stop(a->watched);
	(void)pthread_join(a->watch, NULL);
	a->is_watching = false;
}

void archive_free(struct archive *a)
{
	if (!a)
		return;
	archive_stop(a);
	pthread_mutex_lock(&a->mx);
	while (a->running)
		(void)pthread_cond_wait(&a->moved, &a->mx);
	pthread_mutex_unlock(&a->mx);
	clickhouse_free(a->watched);
	(void)pthread_cond_destroy(&a->moved);
	(void)pthread_mutex_destroy(&a->mx);
	free(a);
}

const struct rpc_method *archive_methods(const struct archive *a, size_t *ret_count)
{
	*ret_count = ARCHIVE_METHODS;
	return a->methods;
}

void archive_set_server(struct archive *a, struct rpc_server *s)
{
	atomic_store_explicit(&a->server, s, memory_order_release);
}

/* ---- threads of queries */

bool archive_enter(struct archive *a)
{
	pthread_mutex_lock(&a->mx);
	bool has_room = a->running < a->config.queries;
	a->running += has_room;
	pthread_mutex_unlock(&a->mx);
	atomic_fetch_add_explicit(has_room ? &a->queries : &a->refused, 1, memory_order_relaxed);
	return has_room;
}

void archive_leave(struct archive *a)
{
	pthread_mutex_lock(&a->mx);
	a->running--;
	pthread_cond_broadcast(&a->moved);
	pthread_mutex_unlock(&a->mx);
}

/* ---- statements */

struct asking {
	struct rowbinary_rows rows;
	bool (*each)(void *ctx, struct rowbinary_reader *r);
	void *ctx;
	uint64_t row_count, byte_count;
	bool has_enough;
};

static bool on_row(void *ctx, struct rowbinary_reader *r)
{
	struct asking *a = ctx;
	bool goes_on = a->each(a->ctx, r);

	a->row_count += rowbinary_is_well(r);
	a->has_enough = !goes_on;
	return goes_on;
}

static bool on_piece(void *ctx, struct str piece)
{
	struct asking *a = ctx;

	a->byte_count += piece.len;
	return rowbinary_rows_take(&a->rows, piece);
}

static void note(struct archive *a, const struct asking *asking, uint64_t took_ns)
{
	atomic_fetch_add_explicit(&a->rows, asking->row_count, memory_order_relaxed);
	atomic_fetch_add_explicit(&a->bytes, asking->byte_count, memory_order_relaxed);
	pthread_mutex_lock(&a->mx);
	histogram_observe(&a->statements, (double)took_ns / (double)NS_PER_S);
	pthread_mutex_unlock(&a->mx);
}

/* Of a server that has to be told. What is to be done about it is done: no error is one of ours. */
static void kill_statement(const struct archive *a, const char *id)
{
	struct clickhouse_config config = *a->config.clickhouse;
	AUTO(clickhouse_free) struct clickhouse *c = NULL;
	char text[128];
	struct buf answer = buf_init(KILL_BYTES);

	config.connect_ms = config.quiet_ms = KILL_MS;
	if (clickhouse_new(&config, &c, NULL) != ERR_OK)
		return;
	int len = snprintf(text, sizeof text, "KILL QUERY WHERE query_id = '%s' ASYNC", id);
	const struct clickhouse_statement s = { .sql = str_n(text, (size_t)len) };
	(void)!clickhouse_ask(c, s, &answer, NULL);
	buf_done(&answer);
}

/* New servers end by themselves what nobody waits for any more, if they may be told to. */
static enum err_code run(struct archive *a, struct clickhouse *c, struct clickhouse_statement *s,
			 struct err *e)
{
	static const struct clickhouse_setting settings[] = {
		{ "readonly", "2" }, { "cancel_http_readonly_queries_on_client_close", "1" }
	};

	if (!atomic_load_explicit(&a->is_plain, memory_order_relaxed)) {
		s->settings = settings;
		s->setting_count = ARRAY_LEN(settings);
		enum err_code code = clickhouse_run(c, s, e);
		int said = clickhouse_code(c);
		if (code == ERR_OK ||
		    (said != CLICKHOUSE_READONLY && said != CLICKHOUSE_UNKNOWN_SETTING))
			return code;
		s->setting_count = 0;
		atomic_store_explicit(&a->is_plain, true, memory_order_relaxed);
	}
	return clickhouse_run(c, s, e);
}

enum err_code archive_ask(struct archive *a, struct clickhouse *c, struct str sql,
			  bool (*each)(void *ctx, struct rowbinary_reader *r), void *ctx,
			  struct err *e)
{
	struct asking asking = { .each = each, .ctx = ctx };
	uint64_t began_ns = mono_now().v;
	struct err fault;
	char id[64];

	(void)snprintf(id, sizeof id, "tycho-relay-%016llx-%llu", (unsigned long long)a->seed,
		       (unsigned long long)atomic_fetch_add_explicit(&a->statement_ids, 1,
								     memory_order_relaxed));
	struct clickhouse_statement s = {
		.sql = sql, .query_id = id, .on_piece = on_piece, .ctx = &asking
	};
	asking.rows = (struct rowbinary_rows){ .each = on_row,
					       .ctx = &asking,
					       .text_max = ARCHIVE_TEXT_MAX,
					       .list_max = LIST_MAX,
					       .rest = buf_init(2 * ARCHIVE_TEXT_MAX) };
	enum err_code code = run(a, c, &s, &fault);
	/* what has begun to answer has ended there */
	if (code == ERR_CANCELLED && !asking.byte_count &&
	    atomic_load_explicit(&a->is_plain, memory_order_relaxed))
		kill_statement(a, id);
	note(a, &asking, mono_now().v - began_ns);
	if (asking.has_enough)
		code = ERR_OK;
	else if (code == ERR_OK || asking.rows.is_bad)
		code = rowbinary_rows_end(&asking.rows, &fault);
	buf_done(&asking.rows.rest);
	if (code != ERR_OK && e)
		*e = fault;
	return code;
}

enum rpc_status archive_status_of(const struct err *e)
{
	switch (e->code) {
	case ERR_UNAVAILABLE: /* ClickHouse's faults are not the caller's */
	case ERR_TIMEOUT:
	case ERR_PERMISSION:
	case ERR_NOT_FOUND:
	case ERR_CANCELLED:
		return RPC_UNAVAILABLE;
	case ERR_NOMEM:
		return RPC_RESOURCE_EXHAUSTED;
	default:
		return RPC_INTERNAL;
	}
}

/* ---- requests */

void archive_refuse(struct rpc_call *call, const struct err *e)
{
	rpc_call_end(call, e->code == ERR_NOMEM ? RPC_RESOURCE_EXHAUSTED : RPC_UNKNOWN, "%s",
		     e->msg);
}

/* ---- is it there? */

static bool take_any(void *ctx, struct rowbinary_reader *r)
{
	(void)ctx;
	(void)rowbinary_u64(r);
	return true;
}

/* That we may read is seen by reading. */
static enum err_code look(struct archive *a, struct err *e)
{
	enum err_code code = clickhouse_table_check(a->watched, &clickhouse_flows, e);

	if (code == ERR_OK)
		code = clickhouse_table_check(a->watched, &clickhouse_gaps, e);
	if (code == ERR_NOT_FOUND && !clickhouse_code(a->watched)) {
		struct err why = *e;
		return err_set(e, ERR_NOT_FOUND, "%s; observers with --clickhouse make it",
			       why.msg);
	}
	return code != ERR_OK ? code
			      : archive_ask(a, a->watched,
					    STR("SELECT seq FROM " CLICKHOUSE_FLOWS
						" LIMIT 1 FORMAT RowBinary"),
					    take_any, NULL, e);
}

/* @return false: it is time to stop. */
static bool tell(struct archive *a, bool is_well, const char *why)
{
	pthread_mutex_lock(&a->mx);
	bool changed = is_well != a->is_well || !a->has_looked, goes_on = !a->is_stopping;
	a->is_well = is_well;
	a->has_looked = true;
	(void)str_excerpt(str_of(is_well ? "" : why), a->why, sizeof a->why);
	pthread_mutex_unlock(&a->mx);
	if (changed && goes_on)
		a->config.changed(a->config.ctx, is_well, why);
	return goes_on;
}

static void *watch(void *arg)
{
	struct archive *a = arg;
	struct err e = { 0 };

	while (tell(a, look(a, &e) == ERR_OK, e.msg)) {
		const struct mono_ns until = { mono_now().v + LOOK_NS };
		pthread_mutex_lock(&a->mx);
		while (!a->is_stopping && mono_now().v < until.v)
			(void)thread_cond_wait(&a->moved, &a->mx, until);
		pthread_mutex_unlock(&a->mx);
	}
	return NULL;
}

enum err_code archive_start(struct archive *a, struct err *e)
{
	enum err_code code = thread_start("archive-watch", watch, a, &a->watch, e);

	a->is_watching = code == ERR_OK;
	return code;
}

/* ---- what others see */

bool archive_is_well(struct archive *a, char why[ARCHIVE_WHY_BYTES])
{
	pthread_mutex_lock(&a->mx);
	bool is_well = a->is_well;
	memcpy(why, a->why, ARCHIVE_WHY_BYTES);
	pthread_mutex_unlock(&a->mx);
	return is_well;
}

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void archive_counts(struct archive *a, struct archive_counts *ret)
{
	*ret = (struct archive_counts){
		.queries = load(&a->queries),
		.refused = load(&a->refused),
		.failed = load(&a->failed),
		.rows = load(&a->rows),
		.bytes = load(&a->bytes),
	};
	pthread_mutex_lock(&a->mx);
	ret->live_queries = a->running;
	ret->statements = a->statements;
	pthread_mutex_unlock(&a->mx);
}
