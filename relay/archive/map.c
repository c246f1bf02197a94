/*
 * tycho.v1.History/GetServiceMap: who talks to whom, of any range, summed up from the flows: they are
 * all read.
 */
#include <sys/random.h>

#include "edge/put.h"
#include "edge/rates.h"
#include "flow/wire.h"
#include "relay/archive/asked.h"
#include "relay/archive/inside.h"
#include "relay/archive/query.h"
#include "tycho/v1/history.pb-c.h"

enum { EDGES_MAX = 200000, EDGES_A_MESSAGE = 256, MESSAGE_MAX_BYTES = 4 << 20 };

enum { ANSWER_NODE = 1, ANSWER_COMPLETE = 3, ANSWER_LEFT_OUT = 4, ANSWER_RATES = 5 };

struct map_work {
	struct asked asked;
	struct edge_map *map;
	struct rates *rates; /* NULL: nobody asks */
	bool rates_only;
	struct buf message;
	size_t in_message;
};

static void map_work_free(void *work)
{
	struct map_work *w = work;

	if (!w)
		return;
	asked_done(&w->asked);
	edge_map_free(w->map);
	rates_free(w->rates);
	buf_done(&w->message);
	free(w);
}
AUTO_DEFINE(struct map_work, map_work_free);

/* ---- on the query's thread */

static bool take_flow(void *ctx, const struct scan_row *row, struct err *e)
{
	struct map_work *w = ctx;

	(void)e;
	if (w->rates)
		rates_add(w->rates, row->flow->time, row->flow->verdict, 1);
	if (!w->rates_only)
		edge_map_add_flow(w->map, row->flow, w->asked.dict);
	return true;
}

static bool put_edge(void *ctx, const struct edge_key *key, const struct edge_totals *totals)
{
	struct map_work *w = ctx;

	if (w->in_message == EDGES_A_MESSAGE)
		return false;
	w->in_message++;
	edge_put(&w->message, key, totals);
	return true;
}

static enum err_code tell(struct query *q, struct map_work *w, struct err *e)
{
	enum err_code code = ERR_OK;
	bool is_last = false;

	for (size_t at = 0; code == ERR_OK && !is_last;) {
		buf_reset(&w->message);
		w->in_message = 0;
		wire_put_str(&w->message, ANSWER_NODE, str_of(query_archive(q)->config.node_name));
		is_last = edge_map_each(w->map, 0, &at, put_edge, w);
		if (is_last) {
			wire_put_u64(&w->message, ANSWER_COMPLETE, 1);
			if (w->rates)
				rates_put(w->rates, ANSWER_RATES, &w->message);
			wire_put_u64(&w->message, ANSWER_LEFT_OUT, edge_map_left_out(w->map));
		}
		code = w->message.failed ? err_set(e, ERR_NOMEM, "no memory for a message")
					 : query_say(q, buf_str(&w->message), e);
	}
	return code;
}

static enum err_code run(struct query *q, void *work, struct err *e)
{
	struct map_work *w = work;
	struct scan_config scan = asked_scan(&w->asked);

	scan.flows_only = scan.keys_only = scan.decodes = scan.keeps_names = true;
	scan.take = take_flow;
	scan.ctx = w;
	enum err_code code = scan_run(q, &scan, e);
	return code == ERR_OK ? tell(q, w, e) : code;
}

/* ---- the request */

static enum err_code prepare(struct map_work *w, const Tycho__V1__GetServiceMapRequest *in,
			     struct err *e)
{
	uint64_t seed = 0;

	(void)!getrandom(&seed, sizeof seed, 0);
	w->message = buf_init(MESSAGE_MAX_BYTES);
	w->rates_only = in->rates_only;
	enum err_code code = edge_map_new(EDGES_MAX, seed, &w->map, e);
	if (code == ERR_OK)
		code = asked_init(&w->asked, ASKED_NAMES_OF_MAP, in->whitelist, in->n_whitelist,
				  in->blacklist, in->n_blacklist, in->since, in->until, e);
	return code == ERR_OK ? rates_asked(in, w->asked.from, wall_now(), &w->rates, e) : code;
}

void archive_get_service_map(struct rpc_call *call, struct str request, void *ctx)
{
	static const struct query_work work = { run, map_work_free };
	ProtobufCMessage *m =
		rpc_request_unpack(call, request, &tycho__v1__get_service_map_request__descriptor);
	const Tycho__V1__GetServiceMapRequest *in = (const Tycho__V1__GetServiceMapRequest *)m;
	struct err e;

	if (!m)
		return;
	AUTO(map_work_free) struct map_work *w = calloc(1, sizeof *w);
	if (!w)
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a map");
	else if (in->follow)
		rpc_call_end(call, RPC_INVALID_ARGUMENT, "%s", ARCHIVE_HAS_NO_LIVE_FLOWS);
	else if (prepare(w, in, &e) != ERR_OK)
		archive_refuse(call, &e);
	else
		query_begin(ctx, call, QUERY_ANSWERS, &work, TAKE(w));
	protobuf_c_message_free_unpacked(m, NULL);
}
