/* ServerStatus and GetNodes; and tycho.v1 GetTime. */
#include "access/gate.h"
#include "observer/api/inside.h"
#include "observer/api/rate.h"
#include "observer/observer.pb-c.h"
#include "tycho/v1/flows.pb-c.h"

static uint64_t uptime_ns(const struct api *a)
{
	return mono_now().v - a->started.v;
}

/* num_connected_nodes and its sisters are a relay's to fill. */
void api_server_status(struct rpc_call *call, struct str request, void *ctx)
{
	struct api *a = ctx;
	ProtobufCMessage *m =
		rpc_request_unpack(call, request, &observer__server_status_request__descriptor);

	if (!m)
		return;
	protobuf_c_message_free_unpacked(m, NULL);
	struct flow_log_counts counts = flow_log_counts(a->log);
	Observer__ServerStatusResponse answer;
	observer__server_status_response__init(&answer);
	answer.num_flows = counts.held;
	answer.max_flows = counts.capacity;
	answer.seen_flows = counts.seen_flows;
	answer.uptime_ns = uptime_ns(a);
	answer.version = a->version;
	answer.flows_rate = rate_of_flows(a->log, a->batch, wall_now(), answer.uptime_ns);
	api_reply(a, call, &answer.base);
}

/* The reference's server leaves this to the relay (UNIMPLEMENTED); we know one node, ourselves, and
 * say so. */
void api_get_nodes(struct rpc_call *call, struct str request, void *ctx)
{
	struct api *a = ctx;
	ProtobufCMessage *m =
		rpc_request_unpack(call, request, &observer__get_nodes_request__descriptor);

	if (!m)
		return;
	protobuf_c_message_free_unpacked(m, NULL);
	struct flow_log_counts counts = flow_log_counts(a->log);
	Observer__TLS tls;
	observer__tls__init(&tls);
	tls.enabled = a->tls_server_name != NULL;
	if (a->tls_server_name)
		tls.server_name = a->tls_server_name;
	char address[ADDRESS_TARGET_BYTES];
	api_address(a, address);
	Observer__Node node;
	observer__node__init(&node);
	node.name = a->node_name;
	node.version = a->version;
	node.address = address;
	node.state = RELAY__NODE_STATE__NODE_CONNECTED;
	node.tls = &tls;
	node.uptime_ns = uptime_ns(a);
	if (!gate_rights(call)) { /* counts of all namespaces are for who may see all */
		node.num_flows = counts.held;
		node.max_flows = counts.capacity;
		node.seen_flows = counts.seen_flows;
	}
	Observer__GetNodesResponse answer;
	observer__get_nodes_response__init(&answer);
	answer.n_nodes = 1;
	answer.nodes = (Observer__Node *[]){ &node };
	api_reply(a, call, &answer.base);
}

void api_get_time(struct rpc_call *call, struct str request, void *ctx)
{
	struct api *a = ctx;
	struct timestamp now = timestamp_of(wall_now());
	Google__Protobuf__Timestamp time;
	Tycho__V1__GetTimeResponse answer;

	if (!rpc_request_is(call, request, &tycho__v1__get_time_request__descriptor))
		return;
	google__protobuf__timestamp__init(&time);
	time.seconds = now.s;
	time.nanos = now.ns;
	tycho__v1__get_time_response__init(&answer);
	answer.time = &time;
	answer.node_name = a->node_name;
	api_reply(a, call, &answer.base);
}
