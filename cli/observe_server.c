/*
 * Flows from an observer or relay.
 */
#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "cli/connect.h"
#include "cli/history.h"
#include "cli/observe.h"
#include "flow/dict.h"
#include "flow/unbatch.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"

enum {
	DICT_ENTRIES = 1 << 17,
	DICT_FULL = 1 << 16,         /* a long stream of a large cluster: start anew from here on */
	REQUEST_MAX_BYTES = 4 << 20, /* servers take no more (gRPC's default) */
	RESPONSE_MAX_BYTES = 4 << 20, /* as of a message */
	REMARK_MAX_BYTES = 1 << 10,
};

static enum err_code pack_request(const struct observe_request *r, struct buf *out, struct err *e)
{
	Observer__GetFlowsRequest request = OBSERVER__GET_FLOWS_REQUEST__INIT;
	Google__Protobuf__Timestamp since = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Google__Protobuf__Timestamp until = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	AUTO(own_free) char **paths = calloc(r->mask_count + 1, sizeof *paths);

	if (!paths)
		return err_set(e, ERR_NOMEM, "request");
	request.number = r->number;
	request.first = r->first;
	request.follow = r->follow;
	request.whitelist = r->allow.items;
	request.n_whitelist = r->allow.count;
	request.blacklist = r->deny.items;
	request.n_blacklist = r->deny.count;
	since.seconds = r->since.s;
	since.nanos = r->since.ns;
	until.seconds = r->until.s;
	until.nanos = r->until.ns;
	request.since = r->has_since ? &since : NULL;
	request.until = r->has_until ? &until : NULL;
	if (r->mask_count)
		memcpy(paths, r->mask,
		       r->mask_count * sizeof *paths); /* protobuf-c has no const, and only reads */
	mask.paths = paths;
	mask.n_paths = r->mask_count;
	request.field_mask = r->mask_count ? &mask : NULL;
	char *to = buf_reserve(out, observer__get_flows_request__get_packed_size(&request) + 1);
	if (!to)
		return err_set(e, ERR_INVALID,
			       "the filters are larger than a server takes (%d bytes)",
			       REQUEST_MAX_BYTES);
	out->len = observer__get_flows_request__pack(&request, (uint8_t *)to);
	return ERR_OK;
}

struct flow_stream {
	struct flow_printer *printer;
	struct flow_dict *dict;
	bool wants_times;
	bool any; /* a flow had a time: from the earliest to the latest */
	struct timestamp earliest, latest;
};

static void note_time(struct flow_stream *s, struct str message)
{
	struct flow_response r;
	struct err e;

	if (flow_response_split(message, &r, &e) != ERR_OK || !r.has_time ||
	    r.kind != FLOW_KIND_FLOW)
		return;
	if (!s->any || timestamp_cmp(r.time, s->earliest) < 0)
		s->earliest = r.time;
	if (!s->any || timestamp_cmp(r.time, s->latest) > 0)
		s->latest = r.time;
	s->any = true;
}

/* Did the user ask for a stretch of history, so that they would want to know whether it is whole?
 */
static bool is_history(const struct cli *cli, const struct observe_request *r)
{
	const struct flags *f = cli->flags;

	if (flags_bool(f, "silent-errors"))
		return false;
	return r->has_since || (!r->follow && (r->has_until || r->first || flags_u64(f, "last") ||
					       flags_bool(f, "all")));
}

/* Says so if no record can be of the time that was asked for: then none is missing. */
static bool is_empty(const struct observe_request *r)
{
	AUTO_BUF struct buf text = buf_init(REMARK_MAX_BYTES);
	const struct history_range asked = { r->has_since, r->has_until, r->since, r->until };
	bool empty = history_put_empty(&text, &asked, timestamp_of(wall_now()));

	cli_say(buf_str(&text));
	return empty;
}

/* The stretch that the answer covers: as asked for, else from its first flow to its last. */
static struct history_range range_of(const struct observe_request *r, const struct flow_stream *s)
{
	struct history_range range = { r->has_since, r->has_until, r->since, r->until };

	/* without a number it is all of them, too */
	if (!r->has_since && !r->first && r->number && r->number != UINT64_MAX && s->any) {
		range.has_since = true;
		range.since = s->earliest;
	}
	if (!r->has_until && r->first && s->any) {
		range.has_until = true;
		range.until = s->latest;
	}
	return range;
}

static enum err_code print(void *ctx, struct str message, const struct flow *decoded, struct err *e)
{
	struct flow_stream *s = ctx;
	struct flow_dict_counts c = flow_dict_counts(s->dict);

	if (c.endpoints > DICT_FULL || c.services > DICT_FULL || c.nodes > DICT_FULL)
		flow_dict_reset(s->dict);
	if (s->wants_times)
		note_time(s, message);
	return flow_printer_response(s->printer, message, decoded, e);
}

/* An answer as it comes: in messages of one flow, or of many. */
struct answer {
	const struct observe_sink *sink;
	struct flow_unbatch *unbatch;
};

static enum err_code on_message(void *ctx, struct str message, struct err *e)
{
	const struct answer *a = ctx;

	return a->sink->take(a->sink->ctx, message, NULL, e);
}

static enum err_code on_batch(void *ctx, struct str message, struct err *e)
{
	struct answer *a = ctx;
	struct str response;
	enum err_code code;

	flow_unbatch_message(a->unbatch, message);
	while ((code = flow_unbatch_next(a->unbatch, &response, e)) == ERR_OK)
		if ((code = on_message(ctx, response, e)) != ERR_OK)
			return code;
	return code == ERR_CLOSED ? ERR_OK : code;
}

static enum err_code on_pause(void *ctx, struct err *e)
{
	const struct answer *a = ctx;

	return a->sink->pause ? a->sink->pause(a->sink->ctx, e) : ERR_OK;
}

static enum err_code flush(void *ctx, struct err *e)
{
	struct flow_stream *s = ctx;

	return flow_printer_flush(s->printer, e);
}

enum err_code observe_server_each(const struct cli *cli, const struct observe_request *r,
				  const struct observe_sink *sink, struct err *e)
{
	AUTO(flow_unbatch_free) struct flow_unbatch *unbatch = NULL;
	AUTO_BUF struct buf request = buf_init(REQUEST_MAX_BYTES);
	const struct flow_unbatch_limits limits = { RESPONSE_MAX_BYTES, FLOW_TABLE_SERVED,
						    FLOW_TABLES_SERVED };

	if (pack_request(r, &request, e) != ERR_OK ||
	    flow_unbatch_new(&limits, &unbatch, e) != ERR_OK)
		return e->code;
	struct answer answer = { sink, unbatch };
	/* Servers that are none of ours know only the second. */
	const struct stream_call calls[] = {
		{ "/tycho.v1.Flows/GetFlowBatches", { on_batch, on_pause, &answer } },
		{ "/observer.Observer/GetFlows", { on_message, on_pause, &answer } },
	};
	const struct rpc_metadata tables[] = { { FLOW_TABLE_HEADER, FLOW_TABLE_TEXT },
					       { FLOW_TABLES_HEADER, FLOW_TABLES_TEXT } };
	log_debug("Sending GetFlows request",
		  "server=%s number=%llu follow=%d filters=%zu bytes=%zu",
		  LOG_QUOTE(settings_text(cli->settings, "server")), (unsigned long long)r->number,
		  r->follow, r->allow.count + r->deny.count, request.len);
	return connection_stream_either(cli->settings, tables, ARRAY_LEN(tables), calls,
					ARRAY_LEN(calls), buf_str(&request), e);
}

enum err_code observe_from_server(const struct cli *cli, const struct observe_request *r,
				  struct flow_printer_options *options, struct err *e)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_printer_free) struct flow_printer *printer = NULL;

	if (flow_dict_new(DICT_ENTRIES, &dict, e) != ERR_OK ||
	    observe_printer_new(options, dict, &printer, e) != ERR_OK)
		return e->code;
	bool history = is_history(cli, r);
	struct flow_stream stream = {
		.printer = printer,
		.dict = dict,
		.wants_times = history,
	};
	const struct observe_sink sink = { .take = print, .pause = flush, .ctx = &stream };
	if (history)
		history = !is_empty(r);
	if (history && r->follow) {
		const struct history_range backlog = { r->has_since, r->has_until, r->since,
						       r->until };
		history_remark(cli->settings, &backlog, HISTORY_OF_FLOWS);
	}
	enum err_code code = observe_server_each(cli, r, &sink, e);
	if (code == ERR_CLOSED)
		return code;
	bool is_cut = code == ERR_CANCELLED;
	if (is_cut)
		code = ERR_OK;
	struct err at_end;
	if (flow_printer_end(printer, &at_end) != ERR_OK && code == ERR_OK) {
		*e = at_end;
		return e->code;
	}
	if (code == ERR_OK && history && !r->follow && is_cut) {
		(void)fprintf(stderr, "incomplete: the answer was interrupted\n");
	} else if (code == ERR_OK && history && !r->follow) {
		const struct history_range range = range_of(r, &stream);
		history_remark(cli->settings, &range, HISTORY_OF_FLOWS);
	}
	return code;
}
