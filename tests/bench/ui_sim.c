/*
 * ui_sim - an observer of a busy cluster, from memory: what bench_ui.py puts under tycho-ui.
 *
 *	ui_sim WORKLOADS EDGES FLOWS_PER_S batched|standard
 *
 * Every flow is of the next of EDGES connections between WORKLOADS workloads in namespaces of
 * twenty; one connection in twenty is dropped by policy. Flows have the time of the moment, and are
 * about 400 bytes long. "standard": without tycho.v1, as Hubble. Prints "ready ADDRESS", serves
 * until its standard input ends.
 */
#include <stdio.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "rpc/batch.h"
#include "rpc/server.h"

enum { BURST = 512, MESSAGE_MAX = 4096, EDGES_MAX = 50000, BY_NAMESPACE = 20, DROPPED_OF = 20 };

struct sim {
	uint64_t period_ns;
	size_t edges;
	struct buf flows[EDGES_MAX]; /* flow.Flow but for its time */
};

struct stream {
	struct sim *sim;
	bool is_batched, follow;
	uint64_t next_ns, end_ns; /* end: !follow */
	size_t next;
	struct rpc_batch batch;
};

static void stream_done(void *state)
{
	struct stream *s = state;

	rpc_batch_done(&s->batch);
	free(s);
}

static void put_time(struct buf *b, uint32_t field, uint64_t ns)
{
	size_t mark = wire_begin(b, field);

	wire_put_u64(b, 1, ns / NS_PER_S);
	wire_put_u64(b, 2, ns % NS_PER_S);
	wire_end(b, mark);
}

static bool send(struct stream *s, struct rpc_call *call)
{
	char text[MESSAGE_MAX];
	struct buf b = buf_fixed(text, sizeof text);
	size_t mark = wire_begin(&b, 1);

	put_time(&b, 1, s->next_ns);
	buf_str_put(&b, buf_str(&s->sim->flows[s->next]));
	wire_end(&b, mark);
	wire_put_str(&b, 1000, STR("sim/node"));
	put_time(&b, 1001, s->next_ns);
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
		s->next = (s->next + 1) % s->sim->edges;
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
	uint64_t now = wall_now().v;

	if (!r || !s) {
		rpc_call_end(call, RPC_INVALID_ARGUMENT, "no request");
		free(s);
	} else {
		*s = (struct stream){ .sim = sim,
				      .is_batched = is_batched,
				      .follow = r->follow,
				      .end_ns = now,
				      .next_ns = now };
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
	Observer__ServerStatusResponse r;
	uint8_t bytes[64];

	(void)request, (void)ctx;
	observer__server_status_response__init(&r);
	r.num_flows = r.max_flows = r.seen_flows = 4095;
	rpc_call_reply(call, str_n(bytes, observer__server_status_response__pack(&r, bytes)));
}

static char *lend(const char *text)
{
	return (char *)(uintptr_t)text;
}

/* Texts of one end of an edge. */
struct end {
	char namespace_[32], pod[48], name[32], app[48], scope[64], ip[32];
	char *labels[3];
	Flow__Workload workload, *workloads[1];
	Flow__Endpoint endpoint;
};

static void make_end(struct end *e, size_t i)
{
	flow__endpoint__init(&e->endpoint);
	flow__workload__init(&e->workload);
	(void)snprintf(e->namespace_, sizeof e->namespace_, "team-%zu", i / BY_NAMESPACE);
	(void)snprintf(e->name, sizeof e->name, "service-%zu", i);
	(void)snprintf(e->pod, sizeof e->pod, "service-%zu-7f9c5d8b6-x2x9q", i);
	(void)snprintf(e->app, sizeof e->app, "k8s:app=service-%zu", i);
	(void)snprintf(e->scope, sizeof e->scope, "k8s:io.kubernetes.pod.namespace=team-%zu",
		       i / BY_NAMESPACE);
	(void)snprintf(e->ip, sizeof e->ip, "10.%zu.%zu.10", 1 + i / 250, i % 250);
	e->labels[0] = e->app;
	e->labels[1] = e->scope;
	e->labels[2] = lend("k8s:tier=back");
	e->workload.name = e->name;
	e->workload.kind = lend("Deployment");
	e->workloads[0] = &e->workload;
	e->endpoint.id = (uint32_t)(100 + i);
	e->endpoint.identity = (uint32_t)(1000 + i);
	e->endpoint.namespace_ = e->namespace_;
	e->endpoint.pod_name = e->pod;
	e->endpoint.labels = e->labels;
	e->endpoint.n_labels = ARRAY_LEN(e->labels);
	e->endpoint.workloads = e->workloads;
	e->endpoint.n_workloads = 1;
}

static void make_flow(size_t i, size_t workloads, struct buf *out)
{
	static struct end source, destination;
	Flow__Flow f;
	Flow__IP ip;
	Flow__TCP tcp;
	Flow__TCPFlags flags;
	Flow__Layer4 l4;
	Flow__CiliumEventType type;
	uint8_t bytes[MESSAGE_MAX];
	size_t from = i % workloads, step = 1 + i / workloads * 37 % (workloads - 1);
	bool dropped = i % DROPPED_OF == 7;

	flow__flow__init(&f);
	flow__ip__init(&ip);
	flow__tcp__init(&tcp);
	flow__tcpflags__init(&flags);
	flow__layer4__init(&l4);
	flow__cilium_event_type__init(&type);
	make_end(&source, from);
	make_end(&destination, (from + step) % workloads);
	f.uuid = lend("8f7c2c2e-6a7d-4f7e-9c11-000000000001");
	f.verdict = dropped ? FLOW__VERDICT__DROPPED : FLOW__VERDICT__FORWARDED;
	if (dropped) {
		f.drop_reason = FLOW__DROP_REASON__POLICY_DENIED;
		f.drop_reason_desc = FLOW__DROP_REASON__POLICY_DENIED;
	}
	ip.source = source.ip;
	ip.destination = destination.ip;
	ip.ipversion = FLOW__IPVERSION__IPv4;
	f.ip = &ip;
	flags.syn = true;
	tcp.flags = &flags;
	tcp.source_port = 41234;
	tcp.destination_port = (uint32_t)(8000 + i % 5);
	l4.protocol_case = FLOW__LAYER4__PROTOCOL_TCP;
	l4.tcp = &tcp;
	f.l4 = &l4;
	f.source = &source.endpoint;
	f.destination = &destination.endpoint;
	f.node_name = lend("sim/node");
	type.type = dropped ? 1 : 4;
	f.event_type = &type;
	f.type = FLOW__FLOW_TYPE__L3_L4;
	f.traffic_direction = FLOW__TRAFFIC_DIRECTION__EGRESS;
	f.summary = lend("TCP Flags: SYN");
	*out = buf_init(MESSAGE_MAX);
	buf_put(out, bytes, flow__flow__pack(&f, bytes));
}

int main(int argc, char **argv)
{
	static struct sim sim;
	const struct rpc_listen listen = { .address = "127.0.0.1:0" };
	struct rpc_server *server;
	uint64_t workloads, edges, rate;
	struct err e;

	if (argc != 5 || !parse_u64(str_of(argv[1]), 50000, &workloads) || workloads < 2 ||
	    !parse_u64(str_of(argv[2]), EDGES_MAX, &edges) || !edges ||
	    !parse_u64(str_of(argv[3]), 10000000, &rate) || !rate) {
		(void)fprintf(stderr,
			      "usage: ui_sim WORKLOADS EDGES FLOWS_PER_S batched|standard\n");
		return 1;
	}
	sim.period_ns = NS_PER_S / rate;
	sim.edges = edges;
	for (size_t i = 0; i < edges; i++)
		make_flow(i, workloads, &sim.flows[i]);
	const struct rpc_method methods[] = {
		{ "/observer.Observer/GetFlows", get_flows, &sim },
		{ "/observer.Observer/ServerStatus", server_status, &sim },
		{ "/tycho.v1.Flows/GetFlowBatches", get_flow_batches, &sim },
	};
	const struct rpc_server_config config = { .methods = methods,
						  .method_count = str_is(str_of(argv[4]), "batched")
									  ? 3
									  : 2,
						  .listens = &listen,
						  .listen_count = 1 };
	rpc_init();
	if (rpc_server_new(&config, &server, &e) != ERR_OK) {
		(void)fprintf(stderr, "ui_sim: %s\n", e.msg);
		return 1;
	}
	(void)printf("ready 127.0.0.1:%d\n", rpc_server_port(server, 0));
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	rpc_server_free(server, NS_PER_S);
	rpc_shutdown();
	for (size_t i = 0; i < edges; i++)
		buf_done(&sim.flows[i]);
	return 0;
}
