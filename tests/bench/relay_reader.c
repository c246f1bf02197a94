/*
 * relay_reader - a client that counts what a relay, or an observer, brings, and looks whether it is
 * in order.
 *
 *	relay_reader ADDRESS standard|batched|packed all|last|follow N SECONDS
 *
 * all: everything, the oldest first; last: the last N of each node; follow: what comes during
 * SECONDS. Prints: flows=… s=… first_s=… late=… (flows older than one before them) worst_ms=… (by
 * how much) bytes=… (of messages, a flow) cpu_s=… (our own time meanwhile). packed: by the batch,
 * unpacked here. The clocks start when the connection stands.
 */
#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/time.h"
#include "flow/unbatch.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "rpc/client.h"

struct reading {
	struct mono_ns start, first, last;
	uint64_t flows, late, newest_ns, worst_ns, bytes;
	struct flow_unbatch *unbatch;
};

static void take(struct reading *r, struct str bytes)
{
	struct flow_response response;
	struct wall_ns t = { 0 };

	if (flow_response_split(bytes, &response, NULL) != ERR_OK ||
	    response.kind != FLOW_KIND_FLOW || !response.has_message)
		return;
	if (!r->flows++)
		r->first = mono_now();
	if (!response.has_time || !timestamp_to_wall(response.time, &t))
		return;
	if (t.v < r->newest_ns) {
		r->late++;
		if (r->newest_ns - t.v > r->worst_ns)
			r->worst_ns = r->newest_ns - t.v;
	} else {
		r->newest_ns = t.v;
	}
}

static enum err_code take_batch(struct reading *r, struct str bytes, struct err *e)
{
	enum err_code code;
	struct str response;

	flow_unbatch_message(r->unbatch, bytes);
	while ((code = flow_unbatch_next(r->unbatch, &response, e)) == ERR_OK)
		take(r, response);
	return code == ERR_CLOSED ? ERR_OK : code;
}

static double cpu_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Any answer will do. */
static enum err_code connect_to(struct rpc_channel *ch, struct err *e)
{
	AUTO_BUF struct buf answer = buf_init(1 << 20);
	struct rpc_result result;

	return rpc_unary(ch, "/observer.Observer/ServerStatus", STR(""), 30 * NS_PER_S, &answer,
			 &result, e);
}

int main(int argc, char **argv)
{
	Observer__GetFlowsRequest request = OBSERVER__GET_FLOWS_REQUEST__INIT;
	struct reading r = { 0 };
	const struct rpc_metadata tables[] = { { FLOW_TABLE_HEADER, FLOW_TABLE_TEXT },
					       { FLOW_TABLES_HEADER, FLOW_TABLES_TEXT } };
	const struct flow_unbatch_limits limits = { 4 << 20, FLOW_TABLE_SERVED,
						    FLOW_TABLES_SERVED };
	uint8_t bytes[64];
	uint64_t number, seconds;
	struct rpc_channel *ch;
	struct rpc_stream *stream;
	struct str message;
	struct err e;

	if (argc != 6 || flow_unbatch_new(&limits, &r.unbatch, &e) != ERR_OK ||
	    !parse_u64(str_of(argv[4]), UINT64_MAX, &number) ||
	    !parse_u64(str_of(argv[5]), 3600, &seconds)) {
		(void)fprintf(stderr, "usage: relay_reader ADDRESS standard|batched|packed "
				      "all|last|follow N SECONDS\n");
		return 1;
	}
	bool packed = strcmp(argv[2], "packed") == 0,
	     batched = packed || strcmp(argv[2], "batched") == 0;
	request.number = strcmp(argv[3], "all") == 0 ? UINT64_MAX : number;
	request.first = strcmp(argv[3], "all") == 0;
	request.follow = strcmp(argv[3], "follow") == 0;
	size_t len = observer__get_flows_request__pack(&request, bytes);
	rpc_init();
	enum err_code code = rpc_channel_new(
		&(struct rpc_channel_config){ .address = argv[1],
					      .metadata = tables,
					      .metadata_count = packed ? ARRAY_LEN(tables) : 0 },
		&ch, &e);
	if (code == ERR_OK)
		code = connect_to(ch, &e);
	r.start = mono_now();
	double cpu_before_s = cpu_s();
	if (code == ERR_OK)
		code = rpc_stream_open(ch,
				       batched ? "/tycho.v1.Flows/GetFlowBatches"
					       : "/observer.Observer/GetFlows",
				       str_n(bytes, len), &stream, &e);
	while (code == ERR_OK) {
		code = rpc_stream_next(stream, 100 * NS_PER_MS, &message, &e);
		r.bytes += code == ERR_OK ? message.len : 0;
		if (code == ERR_OK && batched)
			code = take_batch(&r, message, &e);
		else if (code == ERR_OK)
			take(&r, message);
		else if (code == ERR_TIMEOUT)
			code = ERR_OK;
		if (request.follow && mono_now().v - r.start.v > seconds * NS_PER_S)
			code = ERR_CLOSED;
	}
	r.last = mono_now();
	double spent_s = cpu_s() - cpu_before_s;
	if (code != ERR_CLOSED) {
		(void)fprintf(stderr, "relay_reader: %s\n", e.msg);
		return 1;
	}
	rpc_stream_free(stream);
	rpc_channel_free(ch);
	rpc_shutdown();
	flow_unbatch_free(r.unbatch);
	(void)printf("flows=%llu s=%.3f first_s=%.3f late=%llu worst_ms=%.1f bytes=%.0f "
		     "cpu_s=%.6f\n",
		     (unsigned long long)r.flows,
		     (double)(r.last.v - (request.follow && r.flows ? r.first : r.start).v) / 1e9,
		     (double)(r.first.v - r.start.v) / 1e9, (unsigned long long)r.late,
		     (double)r.worst_ns / 1e6, (double)r.bytes / (double)(r.flows ? r.flows : 1),
		     spent_s);
	return 0;
}
