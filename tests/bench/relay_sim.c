/*
 * relay_sim - a thousand observers in one process: what bench_relay.py puts under a relay.
 *
 *	relay_sim COUNT FLOWS_PER_S [PORT]
 *
 * Answers on COUNT ports, or on one port of COUNT addresses from 127.1.0.0 on, like so many observers that each hold 4,095 flows and see FLOWS_PER_S
 * more a second. They serve from memory: a flow is a template of about 330 bytes with the time of
 * the moment. Prints a line for the relay's peers file for each, then "ready", and serves until its
 * standard input ends.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "rpc/batch.h"
#include "rpc/server.h"

enum { HELD = 4095, COUNT_MAX = 4000, BURST = 256, MESSAGE_MAX = 4096 };

struct sim {
	uint64_t period_ns;
	struct buf flow; /* field 1 of a response and its node name */
	uint64_t streams;
};

struct stream {
	struct sim *sim;
	bool is_batched, follow;
	uint64_t next_ns; /* time of the next flow */
	uint64_t end_ns;  /* !follow */
	struct rpc_batch batch;
};

static void stream_done(void *state)
{
	struct stream *s = state;

	rpc_batch_done(&s->batch);
	free(s);
}

static bool send(struct stream *s, struct rpc_call *call)
{
	char text[MESSAGE_MAX];
	struct buf b = buf_fixed(text, sizeof text);

	buf_str_put(&b, buf_str(&s->sim->flow));
	size_t mark = wire_begin(&b, 1001);
	wire_put_u64(&b, 1, s->next_ns / NS_PER_S);
	wire_put_u64(&b, 2, s->next_ns % NS_PER_S);
	wire_end(&b, mark);
	return s->is_batched ? rpc_batch_put(&s->batch, call, buf_str(&b))
			     : rpc_call_send(call, buf_str(&b));
}

static enum rpc_fill fill(struct rpc_call *call, void *state)
{
	struct stream *s = state;
	uint64_t now = s->follow ? wall_now().v : s->end_ns;

	for (int i = 0; s->next_ns < now; i++) {
		if (i == BURST || !send(s, call))
			return RPC_MORE;
		s->next_ns += s->sim->period_ns;
	}
	if (!rpc_batch_flush(&s->batch, call, !s->follow))
		return RPC_MORE;
	if (s->follow)
		return RPC_IDLE;
	rpc_call_end(call, RPC_OK, "%s", "");
	return RPC_ENDED;
}

static const struct rpc_stream_ops ops = { fill, stream_done };

static void begin(struct rpc_call *call, struct str request, struct sim *sim, bool is_batched)
{
	Observer__GetFlowsRequest *r = observer__get_flows_request__unpack(
		NULL, request.len, (const uint8_t *)(request.len ? request.p : ""));
	struct stream *s = calloc(1, sizeof *s);

	if (!r || !s) {
		rpc_call_end(call, RPC_INVALID_ARGUMENT, "no request");
		free(s);
	} else {
		uint64_t back = r->number < HELD && (r->number || r->follow) ? r->number : HELD;
		/* A clock of its own, a little beside the others'. */
		uint64_t now = wall_now().v - sim->streams++ * 7919 % sim->period_ns;
		*s = (struct stream){ .sim = sim,
				      .is_batched = is_batched,
				      .follow = r->follow,
				      .end_ns = now,
				      .next_ns = now - back * sim->period_ns };
		rpc_batch_init(&s->batch, MESSAGE_MAX);
		rpc_call_stream(call, &ops, s);
	}
	if (r)
		observer__get_flows_request__free_unpacked(r, NULL);
}

static void get_flows(struct rpc_call *call, struct str request, void *ctx)
{
	begin(call, request, ctx, false);
}

static void get_flow_batches(struct rpc_call *call, struct str request, void *ctx)
{
	begin(call, request, ctx, true);
}

static void server_status(struct rpc_call *call, struct str request, void *ctx)
{
	uint8_t bytes[64];
	Observer__ServerStatusResponse r;

	(void)request, (void)ctx;
	observer__server_status_response__init(&r);
	r.num_flows = r.max_flows = r.seen_flows = HELD;
	rpc_call_reply(call, str_n(bytes, observer__server_status_response__pack(&r, bytes)));
}

static char *lend(const char *text)
{
	return (char *)(uintptr_t)text;
}

static void make_flow(struct buf *out)
{
	char *labels[] = { lend("k8s:app=cart"), lend("k8s:io.kubernetes.pod.namespace=shop"),
			   lend("k8s:tier=front") };
	Flow__Flow f;
	Flow__IP ip;
	Flow__TCP tcp;
	Flow__Layer4 l4;
	Flow__Endpoint source, destination;
	Flow__CiliumEventType type;
	uint8_t bytes[MESSAGE_MAX];

	flow__flow__init(&f);
	flow__ip__init(&ip);
	flow__tcp__init(&tcp);
	flow__layer4__init(&l4);
	flow__endpoint__init(&source);
	flow__endpoint__init(&destination);
	flow__cilium_event_type__init(&type);

	f.uuid = lend("8f7c2c2e-6a7d-4f7e-9c11-000000000001");
	f.verdict = FLOW__VERDICT__FORWARDED;
	ip.source = lend("10.0.1.10");
	ip.destination = lend("10.0.2.20");
	ip.ipversion = FLOW__IPVERSION__IPv4;
	f.ip = &ip;
	tcp.source_port = 41234;
	tcp.destination_port = 5432;
	l4.protocol_case = FLOW__LAYER4__PROTOCOL_TCP;
	l4.tcp = &tcp;
	f.l4 = &l4;
	source.namespace_ = destination.namespace_ = lend("shop");
	source.pod_name = lend("cart-7f9c5d8b6-x2x9q");
	destination.pod_name = lend("db-0");
	source.labels = destination.labels = labels;
	source.n_labels = destination.n_labels = ARRAY_LEN(labels);
	f.source = &source;
	f.destination = &destination;
	f.node_name = lend("sim/node");
	type.type = 4;
	f.event_type = &type;
	wire_put_len(out, 1, str_n(bytes, flow__flow__pack(&f, bytes)));
	wire_put_str(out, 1000, STR("sim/node"));
}

int main(int argc, char **argv)
{
	static struct rpc_listen listens[COUNT_MAX];
	static char addresses[COUNT_MAX][32];
	static struct sim sim;
	struct rpc_server *server;
	uint64_t count, rate, port = 0;
	struct err e;

	if (argc < 3 || argc > 4 || !parse_u64(str_of(argv[1]), COUNT_MAX, &count) ||
	    !parse_u64(str_of(argv[2]), 1000000, &rate) || !rate ||
	    (argc == 4 && !parse_u64(str_of(argv[3]), UINT16_MAX, &port))) {
		(void)fprintf(stderr, "usage: relay_sim COUNT FLOWS_PER_S [PORT]\n");
		return 1;
	}
	sim.period_ns = NS_PER_S / rate;
	sim.flow = buf_init(MESSAGE_MAX);
	make_flow(&sim.flow);
	for (uint64_t i = 0; i < count; i++) {
		unsigned at = port ? (unsigned)i : 0, net = port ? 1 : 0, host = port ? 0 : 1;
		(void)snprintf(addresses[i], sizeof addresses[i], "127.%u.%u.%u:%u", net, at >> 8,
			       (at & 255) + host, (unsigned)port);
		listens[i] = (struct rpc_listen){ .address = addresses[i] };
	}
	const struct rpc_method methods[] = {
		{ "/observer.Observer/GetFlows", get_flows, &sim },
		{ "/tycho.v1.Flows/GetFlowBatches", get_flow_batches, &sim },
		{ "/observer.Observer/ServerStatus", server_status, &sim },
	};
	const struct rpc_server_config config = { .methods = methods,
						  .method_count = ARRAY_LEN(methods),
						  .listens = listens,
						  .listen_count = count };
	rpc_init();
	if (rpc_server_new(&config, &server, &e) != ERR_OK) {
		(void)fprintf(stderr, "relay_sim: %s\n", e.msg);
		return 1;
	}
	for (uint64_t i = 0; i < count; i++)
		(void)printf("sim/node-%llu=%.*s:%d\n", (unsigned long long)i,
			     (int)(strrchr(addresses[i], ':') - addresses[i]), addresses[i],
			     rpc_server_port(server, i));
	(void)puts("ready");
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	rpc_server_free(server, NS_PER_S);
	rpc_shutdown();
	buf_done(&sim.flow);
	return 0;
}
