/*
 * bench_getflows - how fast one stream brings all flows of an observer that runs.
 *
 *	bench_getflows ADDRESS STREAMS WHAT [masked]
 *
 * A client that only counts asks for the whole ring, STREAMS times over; the best counts.
 * `masked`: with the field mask that the CLI sends for its compact output.
 * bench_stream.py starts the observer.
 */
#include <string.h>

#include "base/buf.h"
#include "base/time.h"
#include "observer/observer.pb-c.h"
#include "rpc/client.h"
#include "tests/bench/bench.h"
#include "cli/default_mask.h"

static const double budget_per_s = 700000;

static bool pack_request(bool masked, struct buf *b)
{
	Observer__GetFlowsRequest request = OBSERVER__GET_FLOWS_REQUEST__INIT;
	Google__Protobuf__FieldMask mask = GOOGLE__PROTOBUF__FIELD_MASK__INIT;
	char *paths[ARRAY_LEN(default_mask)];

	if (masked) {
		for (size_t i = 0; i < ARRAY_LEN(default_mask); i++)
			if (!(paths[i] = strdup(default_mask[i])))
				return false;
		mask.paths = paths;
		mask.n_paths = ARRAY_LEN(default_mask);
		request.field_mask = &mask;
	}
	char *room = buf_reserve(b, observer__get_flows_request__get_packed_size(&request) + 1);
	if (room)
		b->len += observer__get_flows_request__pack(&request, (uint8_t *)room);
	for (size_t i = 0; masked && i < ARRAY_LEN(default_mask); i++)
		free(paths[i]);
	return room != NULL;
}

struct reading {
	uint64_t flows, bytes;
	double per_s;
};

static enum err_code read_all(struct rpc_channel *ch, struct str request, struct reading *ret,
			      struct err *e)
{
	AUTO(rpc_stream_free) struct rpc_stream *stream = NULL;
	struct str message;
	struct reading r = { 0 };
	struct mono_ns start = mono_now();
	enum err_code code =
		rpc_stream_open(ch, "/observer.Observer/GetFlows", request, &stream, e);

	if (code != ERR_OK)
		return code;
	while ((code = rpc_stream_next(stream, 0, &message, e)) == ERR_OK) {
		r.flows++;
		r.bytes += message.len;
	}
	if (code != ERR_CLOSED)
		return code;
	r.per_s = (double)r.flows * 1e9 / (double)(mono_now().v - start.v);
	*ret = r;
	return ERR_OK;
}

int main(int argc, char **argv)
{
	AUTO_BUF struct buf request = buf_init(4096);
	struct rpc_channel *ch = NULL;
	struct reading best = { 0 };
	uint64_t streams;
	struct err e;
	char what[128];

	if (argc < 4 || argc > 5 || !parse_u64(str_of(argv[2]), 1000, &streams) ||
	    (argc == 5 && strcmp(argv[4], "masked") != 0)) {
		(void)fprintf(stderr, "usage: bench_getflows ADDRESS STREAMS WHAT [masked]\n");
		return 1;
	}
	if (!pack_request(argc == 5, &request))
		return 1;
	rpc_init();
	enum err_code code =
		rpc_channel_new(&(struct rpc_channel_config){ .address = argv[1] }, &ch, &e);
	for (uint64_t i = 0; i < streams && code == ERR_OK; i++) {
		struct reading r;
		code = read_all(ch, buf_str(&request), &r, &e);
		if (code == ERR_OK && r.per_s > best.per_s)
			best = r;
	}
	rpc_channel_free(ch);
	rpc_shutdown();
	if (code != ERR_OK || !best.flows) {
		(void)fprintf(stderr, "bench_getflows: %s\n", code != ERR_OK ? e.msg : "no flows");
		return 1;
	}
	(void)snprintf(what, sizeof what, "%s, %llu flows of %llu bytes", argv[3],
		       (unsigned long long)best.flows,
		       (unsigned long long)(best.bytes / best.flows));
	bench_at_least(what, best.per_s, "/s", budget_per_s);
	return 0;
}
