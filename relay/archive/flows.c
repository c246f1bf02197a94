/*
 * GetFlows, and tycho.v1's GetFlowBatches.
 *
 *	first, since, all   forward from the beginning of the range
 *	last N              back from its end until N match; then forward from there
 */
#include "flow/mask.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "relay/archive/asked.h"
#include "relay/archive/inside.h"
#include "relay/archive/query.h"

enum { RESPONSE_MAX_BYTES = 32 << 20 };

struct flows {
	struct asked asked;
	struct flow_mask *mask; /* NULL: everything */
	struct buf masked;
	bool is_last;  /* the newest of those that match */
	uint64_t left; /* of them; UINT64_MAX: all */
	/* the query's thread */
	struct query *query;
	struct scan_place begin; /* of the last ones; before it, nothing is given out */
	bool has_begin;
};

static void flows_free(void *work)
{
	struct flows *f = work;

	if (!f)
		return;
	asked_done(&f->asked);
	flow_mask_free(f->mask);
	buf_done(&f->masked);
	free(f);
}
AUTO_DEFINE(struct flows, flows_free);

/* ---- back */

static bool take_back(void *ctx, const struct scan_row *row, struct err *e)
{
	struct flows *f = ctx;

	(void)e;
	if (--f->left)
		return true;
	f->begin = *row->place;
	f->has_begin = true;
	return false;
}

/* Where the last N begin. If there are fewer, nowhere: all are given out. */
static enum err_code find_begin(struct flows *f, struct err *e)
{
	const uint64_t wanted = f->left;
	struct scan_config back = asked_scan(&f->asked);

	back.backward = back.flows_only = back.keys_only = true;
	back.take = take_back;
	back.ctx = f;
	enum err_code code = scan_run(f->query, &back, e);
	f->left = wanted;
	return code;
}

/* ---- forward */

/* What the mask leaves. */
static enum err_code mask(struct flows *f, struct str response, struct str *ret, struct err *e)
{
	struct flow_response parts;
	enum err_code code = flow_response_split(response, &parts, e);

	if (code != ERR_OK)
		return code;
	buf_reset(&f->masked);
	flow_mask_response(f->mask, parts.message, &f->masked);
	if (f->masked.failed)
		return err_set(e, ERR_NOMEM, "no memory for a flow");
	*ret = buf_str(&f->masked);
	return ERR_OK;
}

static bool take_forth(void *ctx, const struct scan_row *row, struct err *e)
{
	struct flows *f = ctx;
	struct str response = row->response;

	if (f->has_begin && scan_place_cmp(row->place, &f->begin) < 0)
		return true;
	if (f->mask && row->is_flow && mask(f, response, &response, e) != ERR_OK)
		return false;
	if (query_say(f->query, response, e) != ERR_OK)
		return false;
	if (row->is_flow && f->left != UINT64_MAX)
		f->left--;
	return f->left > 0;
}

static enum err_code run(struct query *q, void *work, struct err *e)
{
	struct flows *f = work;

	f->query = q;
	if (f->is_last) {
		enum err_code code = find_begin(f, e);
		if (code != ERR_OK)
			return code;
	}
	struct scan_config forth = asked_scan(&f->asked);
	if (f->has_begin) {
		forth.from = f->begin.time;
		forth.has_timeless = !f->begin.time.v;
	}
	forth.take = take_forth;
	forth.ctx = f;
	return scan_run(q, &forth, e);
}

static const struct query_work work = { run, flows_free };

/* ---- the request */

/* In the reference's order. @return false: refused, and the call has ended. */
static bool prepare(struct flows *f, struct rpc_call *call,
		    const Observer__GetFlowsRequest *request)
{
	struct err e = { 0 };

	if (request->first && request->follow) {
		rpc_call_end(call, RPC_INVALID_ARGUMENT, "first cannot be specified with follow");
		return false;
	}
	if (request->follow) {
		rpc_call_end(call, RPC_INVALID_ARGUMENT, "%s", ARCHIVE_HAS_NO_LIVE_FLOWS);
		return false;
	}
	f->masked = buf_init(RESPONSE_MAX_BYTES);
	f->left = request->number ? request->number : UINT64_MAX;
	f->is_last = request->number && !request->first && !request->since;
	if (asked_init(&f->asked, ASKED_NAMES, request->whitelist, request->n_whitelist,
		       request->blacklist, request->n_blacklist, request->since, request->until,
		       &e) != ERR_OK) {
		archive_refuse(call, &e);
		return false;
	}
	if (request->field_mask &&
	    flow_mask_new((const char *const *)request->field_mask->paths,
			  request->field_mask->n_paths, &f->mask, &e) != ERR_OK) {
		rpc_call_end(call, RPC_UNKNOWN, "invalid fieldmask");
		return false;
	}
	return true;
}

static void begin(struct rpc_call *call, struct str request, struct archive *a,
		  enum query_form form)
{
	ProtobufCMessage *m =
		rpc_request_unpack(call, request, &observer__get_flows_request__descriptor);

	if (!m)
		return;
	AUTO(flows_free) struct flows *f = calloc(1, sizeof *f);
	if (!f)
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a query");
	else if (prepare(f, call, (const Observer__GetFlowsRequest *)m))
		query_begin(a, call, form, &work, TAKE(f));
	protobuf_c_message_free_unpacked(m, NULL);
}

void archive_get_flows(struct rpc_call *call, struct str request, void *ctx)
{
	begin(call, request, ctx, QUERY_FLOWS);
}

void archive_get_flow_batches(struct rpc_call *call, struct str request, void *ctx)
{
	begin(call, request, ctx, QUERY_BATCHES);
}
