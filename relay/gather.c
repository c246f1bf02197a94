/*
 * ServerStatus, GetNodes, GetNamespaces, and tycho.v1's GetFilteredStatus and GetTime: every peer
 * is asked, and given the drain time to answer.
 *
 * To the client these are calls with one answer; inside they are streams of one message, because
 * the answer comes later than the question.
 */
#include <stdio.h>

#include "access/access.h"
#include "access/gate.h"
#include "base/buf.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "relay/inside.h"
#include "rpc/failure.h"
#include "rpc/request.h"
#include "tycho/v1/flows.pb-c.h"

enum { NAMED_UNAVAILABLE = 10, ANSWER_MAX_BYTES = 4 << 20 };

struct answer {
	struct peer *peer;       /* borrowed from the gathering's list */
	bool was_available;      /* asked */
	bool is_ok;              /* answered with OK and a message */
	bool is_foreign;         /* knows no tycho.v1 */
	struct wall_ns asked_at; /* for what its clock says */
	struct mono_ns asked, answered;
	char why[PEER_WHY_BYTES]; /* it has no answer; "": it gave one, or ended without */
	ProtobufCMessage *message;
};

struct gathering;

struct question {
	const char *method;                              /* to the peers */
	const ProtobufCMessageDescriptor *request;       /* of the caller */
	const ProtobufCMessageDescriptor *answer;        /* what they send */
	void (*put)(struct gathering *g, struct buf *b); /* what becomes of it all */
};

struct gathering {
	struct api *api;
	const struct question *question;
	const struct rights *rights; /* of the caller, borrowed from its call; NULL: all */
	struct buf request;          /* to the peers */
	struct rpc_group *group;
	struct peer_list list;
	struct answer *answers; /* one for each peer */
	size_t opened, awaited;
	bool has_answer;           /* of one at least */
	struct rpc_result refused; /* what one has against the request; RPC_OK: none has */
};

static void gathering_free(struct gathering *g)
{
	if (!g)
		return;
	rpc_group_free(g->group);
	for (size_t i = 0; g->answers && i < g->list.count; i++)
		if (g->answers[i].message)
			protobuf_c_message_free_unpacked(g->answers[i].message, NULL);
	free(g->answers);
	peer_list_done(&g->list);
	buf_done(&g->request);
	free(g);
}
AUTO_DEFINE(struct gathering, gathering_free);

static void done(void *state)
{
	gathering_free(state);
}

/* protobuf-c does not write through the strings of messages to be packed. */
static char *lend(const char *text)
{
	return (char *)(uintptr_t)(text ? text : "");
}

static void pack(struct buf *b, const ProtobufCMessage *m)
{
	char *to = buf_reserve(b, protobuf_c_message_get_packed_size(m));

	if (to)
		b->len += protobuf_c_message_pack(m, (uint8_t *)to);
}

/* ---- what becomes of all the answers: one for each question */

/* A peer that counts nodes is a relay itself: its nodes are meant, not the relay. */
static void count_nodes(const Observer__ServerStatusResponse *one,
			Observer__ServerStatusResponse *sum)
{
	if (!one->num_connected_nodes && !one->num_unavailable_nodes) {
		sum->num_connected_nodes->value++;
		return;
	}
	if (one->num_connected_nodes)
		sum->num_connected_nodes->value += one->num_connected_nodes->value;
	if (one->num_unavailable_nodes)
		sum->num_unavailable_nodes->value += one->num_unavailable_nodes->value;
	for (size_t i = 0;
	     i < one->n_unavailable_nodes && sum->n_unavailable_nodes < NAMED_UNAVAILABLE; i++)
		sum->unavailable_nodes[sum->n_unavailable_nodes++] = one->unavailable_nodes[i];
}

static void put_status(struct gathering *g, struct buf *b)
{
	Observer__ServerStatusResponse sum;
	Google__Protobuf__UInt32Value connected, unavailable;
	char *names[NAMED_UNAVAILABLE];

	observer__server_status_response__init(&sum);
	google__protobuf__uint32_value__init(&connected);
	google__protobuf__uint32_value__init(&unavailable);
	sum.version = lend(g->api->config.version);
	sum.num_connected_nodes = &connected;
	sum.num_unavailable_nodes = &unavailable;
	sum.unavailable_nodes = names;
	for (size_t i = 0; i < g->list.count; i++) {
		const Observer__ServerStatusResponse *one =
			(const Observer__ServerStatusResponse *)g->answers[i].message;
		if (g->answers[i].is_foreign) { /* it lives; what it has cannot be told apart */
			connected.value++;
			continue;
		}
		if (!g->answers[i].is_ok) {
			unavailable.value++;
			if (sum.n_unavailable_nodes < NAMED_UNAVAILABLE)
				names[sum.n_unavailable_nodes++] = g->list.peers[i]->name;
			continue;
		}
		count_nodes(one, &sum);
		sum.num_flows += one->num_flows;
		sum.max_flows += one->max_flows;
		sum.seen_flows += one->seen_flows;
		sum.flows_rate += one->flows_rate;
		if (one->uptime_ns > sum.uptime_ns)
			sum.uptime_ns = one->uptime_ns;
	}
	pack(b, &sum.base);
}

static void put_nodes(struct gathering *g, struct buf *b)
{
	enum { FIELD_NODES = 1 };

	for (size_t i = 0; i < g->list.count; i++) {
		const struct answer *a = &g->answers[i];
		const Observer__ServerStatusResponse *status =
			(const Observer__ServerStatusResponse *)a->message;
		Observer__Node node;
		Observer__TLS tls;
		observer__node__init(&node);
		observer__tls__init(&tls);
		tls.enabled = a->peer->has_tls;
		tls.server_name = lend(a->peer->tls_name);
		node.name = a->peer->name;
		node.address = a->peer->address;
		node.tls = &tls;
		node.state = !a->was_available ? RELAY__NODE_STATE__NODE_UNAVAILABLE
			     : !a->is_ok       ? RELAY__NODE_STATE__NODE_ERROR
					       : RELAY__NODE_STATE__NODE_CONNECTED;
		if (a->is_ok) {
			node.version = status->version;
			node.uptime_ns = status->uptime_ns;
		}
		if (a->is_ok && !g->rights) { /* counts of all namespaces are for who may see all */
			node.num_flows = status->num_flows;
			node.max_flows = status->max_flows;
			node.seen_flows = status->seen_flows;
		}
		size_t mark = wire_begin(b, FIELD_NODES);
		pack(b, &node.base);
		wire_end(b, mark);
	}
}

static int by_cluster_and_name(const void *a, const void *b)
{
	const Observer__Namespace *x = *(const Observer__Namespace *const *)a,
				  *y = *(const Observer__Namespace *const *)b;
	int order = strcmp(x->cluster, y->cluster);

	return order ? order : strcmp(x->namespace_, y->namespace_);
}

static void put_namespaces(struct gathering *g, struct buf *b)
{
	size_t count = 0, kept = 0;

	for (size_t i = 0; i < g->list.count; i++)
		if (g->answers[i].is_ok)
			count += ((const Observer__GetNamespacesResponse *)g->answers[i].message)
					 ->n_namespaces;
	AUTO(own_free) Observer__Namespace **all = calloc(count + 1, sizeof *all);
	if (!all) {
		b->failed = true;
		return;
	}
	count = 0;
	for (size_t i = 0; i < g->list.count; i++) {
		const Observer__GetNamespacesResponse *one =
			(const Observer__GetNamespacesResponse *)g->answers[i].message;
		for (size_t k = 0; g->answers[i].is_ok && k < one->n_namespaces; k++)
			if (!g->rights ||
			    rights_see(g->rights, str_of(one->namespaces[k]->namespace_)))
				all[count++] = one->namespaces[k];
	}
	if (count)
		qsort(all, count, sizeof *all, by_cluster_and_name);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || by_cluster_and_name(&all[i - 1], &all[i]) != 0)
			all[kept++] = all[i];
	Observer__GetNamespacesResponse answer;
	observer__get_namespaces_response__init(&answer);
	answer.n_namespaces = kept;
	answer.namespaces = all;
	pack(b, &answer.base);
}

static void put_time(struct gathering *g, struct buf *b)
{
	struct timestamp now = timestamp_of(wall_now());
	Google__Protobuf__Timestamp time;
	Tycho__V1__GetTimeResponse all;
	size_t n = g->list.count;
	AUTO(own_free) Tycho__V1__PeerTime *peers = calloc(n + 1, sizeof *peers);
	AUTO(own_free) Tycho__V1__PeerTime **list = calloc(n + 1, sizeof *list);

	if (!peers || !list) {
		b->failed = true;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const struct answer *a = &g->answers[i];
		const Tycho__V1__GetTimeResponse *one =
			(const Tycho__V1__GetTimeResponse *)a->message;
		struct wall_ns theirs;
		tycho__v1__peer_time__init(list[i] = &peers[i]);
		peers[i].name = g->list.peers[i]->name;
		if (a->is_ok && one->time &&
		    timestamp_to_wall((struct timestamp){ one->time->seconds, one->time->nanos },
				      &theirs)) {
			peers[i].round_trip_ns = a->answered.v - a->asked.v;
			peers[i].ahead_ns =
				(int64_t)(theirs.v - a->asked_at.v - peers[i].round_trip_ns / 2);
		} else {
			peers[i].error = lend(*a->why ? a->why : "it did not say");
		}
	}
	google__protobuf__timestamp__init(&time);
	time.seconds = now.s;
	time.nanos = now.ns;
	tycho__v1__get_time_response__init(&all);
	all.time = &time;
	all.node_name = lend(g->api->config.node_name);
	all.n_peers = n;
	all.peers = list;
	pack(b, &all.base);
}

static const struct question status_question = { "/observer.Observer/ServerStatus",
						 &observer__server_status_request__descriptor,
						 &observer__server_status_response__descriptor,
						 put_status };
static const struct question filtered_question = {
	"/tycho.v1.Flows/GetFilteredStatus", &tycho__v1__get_filtered_status_request__descriptor,
	&observer__server_status_response__descriptor, put_status
};
static const struct question time_question = { "/tycho.v1.Flows/GetTime",
					       &tycho__v1__get_time_request__descriptor,
					       &tycho__v1__get_time_response__descriptor,
					       put_time };
static const struct question nodes_question = { "/observer.Observer/ServerStatus",
						&observer__get_nodes_request__descriptor,
						&observer__server_status_response__descriptor,
						put_nodes };
static const struct question namespaces_question = { "/observer.Observer/GetNamespaces",
						     &observer__get_namespaces_request__descriptor,
						     &observer__get_namespaces_response__descriptor,
						     put_namespaces };

/* ---- asking */

static void open_some(struct gathering *g)
{
	struct rpc_fan_call *call;
	struct err e;

	for (size_t n = 0; g->opened < g->list.count && n < API_OPENED_AT_ONCE; g->opened++) {
		struct answer *a = &g->answers[g->opened];
		a->peer = g->list.peers[g->opened];
		a->was_available = peer_is_available(a->peer);
		(void)snprintf(a->why, sizeof a->why, "%s",
			       a->peer->channel ? "it cannot be reached" : a->peer->why);
		if (!a->was_available)
			continue;
		n++;
		a->asked_at = wall_now();
		a->asked = mono_now();
		if (rpc_fan_call_open(g->group, a->peer->channel, g->question->method,
				      buf_str(&g->request), g->api->config.drain_ns, a, &call,
				      &e) == ERR_OK)
			g->awaited++;
	}
}

static void on_event(struct gathering *g, const struct rpc_fan_event *ev)
{
	struct answer *a = ev->owner;

	if (ev->kind == RPC_FAN_MESSAGE && !a->message) {
		a->message = protobuf_c_message_unpack(g->question->answer, NULL, ev->message.len,
						       (const uint8_t *)ev->message.p);
		/* Packed again, it would spoil the answer of all. */
		if (a->message && !rpc_texts_are_valid(a->message))
			protobuf_c_message_free_unpacked(TAKE(a->message), NULL);
	} else if (ev->kind == RPC_FAN_END) {
		struct err e;
		a->answered = mono_now();
		a->is_ok = ev->result->status == RPC_OK && a->message;
		g->has_answer |= a->is_ok;
		/* Hubble's word, and ours, for filters that make no sense */
		if (g->question == &filtered_question &&
		    (ev->result->status == RPC_UNKNOWN ||
		     ev->result->status == RPC_INVALID_ARGUMENT))
			g->refused = *ev->result;
		a->is_foreign = g->question == &filtered_question &&
				ev->result->status == RPC_UNIMPLEMENTED;
		a->why[0] = '\0';
		if (ev->result->status != RPC_OK) {
			(void)failure_set(&e, ev->result);
			(void)str_excerpt(str_of(e.msg), a->why, sizeof a->why);
		}
		g->awaited--;
		if (ev->result->status == RPC_DEADLINE_EXCEEDED)
			api_suspect(g->api, a->peer);
	}
}

static void answer(struct gathering *g, struct rpc_call *call)
{
	AUTO_BUF struct buf b = buf_init(ANSWER_MAX_BYTES);

	if (g->refused.status != RPC_OK && !g->has_answer) {
		rpc_call_end(call, g->refused.status, "%s", g->refused.message);
		return;
	}
	g->question->put(g, &b);
	if (b.failed || !rpc_call_send(call, buf_str(&b)))
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for an answer");
	else
		rpc_call_end(call, RPC_OK, "%s", "");
}

static enum rpc_fill fill(struct rpc_call *call, void *state)
{
	struct gathering *g = state;
	struct rpc_fan_event *ev = rpc_group_take(g->group);

	while (ev) {
		struct rpc_fan_event *next = ev->next;
		on_event(g, ev);
		rpc_fan_event_free(ev);
		ev = next;
	}
	open_some(g);
	if (g->opened < g->list.count)
		return RPC_MORE;
	if (g->awaited)
		return RPC_IDLE;
	answer(g, call);
	return RPC_ENDED;
}

static const struct rpc_stream_ops ops = { fill, done };

static enum err_code prepare(struct gathering *g, const struct rpc_call *call, struct err *e)
{
	enum err_code code = rpc_group_new(g->api->config.fan, api_wake, g->api, &g->group, e);
	if (code == ERR_OK)
		code = api_forward_headers(g->api, call, NULL, 0, g->group, e);
	if (code == ERR_OK)
		code = peers_snapshot(g->api->config.peers, &g->list, e);
	if (code != ERR_OK)
		return code;
	g->answers = calloc(g->list.count + 1, sizeof *g->answers);
	return g->answers ? ERR_OK : err_set(e, ERR_NOMEM, "answers of %zu peers", g->list.count);
}

/* @forwarded: what goes on to the peers of the request. */
static void gather(struct api *a, struct rpc_call *call, const struct question *question,
		   struct str request, struct str forwarded)
{
	struct err e;

	if (!rpc_request_is(call, request, question->request))
		return;
	AUTO(gathering_free) struct gathering *g = calloc(1, sizeof *g);
	if (g) {
		g->api = a;
		g->rights = gate_rights(call);
		g->request = buf_init(ANSWER_MAX_BYTES);
		buf_str_put(&g->request, forwarded);
		api_add(&a->gathers, 1);
		g->question = question;
	}
	if (!g || g->request.failed) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for an answer");
		return;
	}
	enum err_code code = prepare(g, call, &e);
	if (code == ERR_OK)
		rpc_call_stream(call, &ops, TAKE(g));
	else
		rpc_call_end(call,
			     code == ERR_NOMEM ? RPC_RESOURCE_EXHAUSTED : RPC_INVALID_ARGUMENT,
			     "%s", e.msg);
}

/* These have no fields. */
void api_server_status(struct rpc_call *call, struct str request, void *ctx)
{
	gather(ctx, call, &status_question, request, STR(""));
}

void api_get_nodes(struct rpc_call *call, struct str request, void *ctx)
{
	gather(ctx, call, &nodes_question, request, STR(""));
}

void api_get_namespaces(struct rpc_call *call, struct str request, void *ctx)
{
	gather(ctx, call, &namespaces_question, request, STR(""));
}

void api_get_time(struct rpc_call *call, struct str request, void *ctx)
{
	gather(ctx, call, &time_question, request, STR(""));
}

/* This one has filters, which are the peers' to apply. */
void api_get_filtered_status(struct rpc_call *call, struct str request, void *ctx)
{
	gather(ctx, call, &filtered_question, request, request);
}
