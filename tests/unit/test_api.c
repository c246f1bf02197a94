/* observer/api over a real server: the calls, their refusals, and what many or slow clients do to
 * each other. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "observer/api/api.h"
#include "observer/observer.pb-c.h"
#include "peer/peer.pb-c.h"
#include "rpc/client.h"

enum { CAPACITY = 1023 };

static const uint64_t patience_ns = 60 * NS_PER_S;

struct scene {
	struct flow_dict *dict;
	struct flow_log *log;
	struct name_table *names;
	struct api *api;
	struct rpc_server *server;
	struct rpc_channel *channel;
	uint64_t put; /* flows put; flow n has time n seconds */
};

static struct rpc_channel *connect_to(const struct rpc_server *server)
{
	struct rpc_channel *ch = NULL;
	char address[32];
	struct err e;

	(void)snprintf(address, sizeof address, "127.0.0.1:%d", rpc_server_port(server, 0));
	if (rpc_channel_new(&(struct rpc_channel_config){ .address = address }, &ch, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return ch;
}

static int make_scene_with(void **state, const char *tls_server_name, uint64_t stall_ns)
{
	struct scene *s = calloc(1, sizeof *s);
	const struct rpc_listen listen = { .address = "127.0.0.1:0" };
	const struct rpc_metadata header = { "x-test", "yes" };
	struct rpc_server_config server = { .listens = &listen,
					    .listen_count = 1,
					    .metadata = &header,
					    .metadata_count = 1,
					    .tick_ns = NS_PER_MS,
					    .stall_ns = stall_ns };
	struct err e = { 0 };

	*state = s;
	if (!s || flow_dict_new(1000, &s->dict, &e) != ERR_OK ||
	    flow_log_new(&(struct flow_log_config){ CAPACITY, 0, 1 }, &s->log, &e) != ERR_OK ||
	    name_table_new(&(struct name_config){ .cluster = "edge", .node = "n1" }, s->dict,
			   &s->names, &e) != ERR_OK)
		return -1;
	const struct api_config config = {
		.log = s->log,
		.dict = s->dict,
		.names = s->names,
		.version = "tycho v0",
		.node_name = "edge/n1",
		.address = "192.0.2.1:4244",
		.tls_server_name = tls_server_name,
		.started = mono_now(),
	};
	if (api_new(&config, &s->api, &e) != ERR_OK)
		return -1;
	server.methods = api_methods(s->api, &server.method_count);
	if (rpc_server_new(&server, &s->server, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	s->channel = connect_to(s->server);
	return 0;
}

static int make_scene(void **state)
{
	return make_scene_with(state, NULL, 0);
}

static int make_impatient_scene(void **state)
{
	return make_scene_with(state, NULL, 100 * NS_PER_MS);
}

static int make_tls_scene(void **state)
{
	return make_scene_with(state, "n1.edge.example", 0);
}

static int free_scene(void **state)
{
	struct scene *s = *state;

	rpc_channel_free(s->channel);
	rpc_server_free(s->server, NS_PER_S);
	api_free(s->api);
	name_table_free(s->names);
	flow_log_free(s->log);
	flow_dict_free(s->dict);
	free(s);
	return 0;
}

/* Appends flow number @s->put + 1, every third of them dropped. */
static void put_flows(struct scene *s, size_t n)
{
	AUTO_BUF struct buf ext = buf_init(4096);

	for (size_t i = 0; i < n; i++) {
		struct flow f = { .kind = FLOW_KIND_FLOW,
				  .bits = FLOW_HAS_TIME | FLOW_HAS_IP,
				  .time = { ++s->put * NS_PER_S },
				  .verdict = s->put % 3 ? FLOW__VERDICT__FORWARDED
							: FLOW__VERDICT__DROPPED };
		name_flow(s->names, &f, &ext);
		(void)flow_log_put(s->log, &f);
	}
}

static void put_event(struct scene *s, enum flow_kind kind, const void *message)
{
	uint8_t bytes[256];
	size_t len = protobuf_c_message_pack(message, bytes);
	struct flow f = { .kind = (uint8_t)kind,
			  .bits = FLOW_HAS_TIME,
			  .time = { (s->put + 1) * NS_PER_S },
			  .ext = bytes,
			  .ext_len = (uint32_t)len };

	assert_true(len <= sizeof bytes);
	(void)flow_log_put(s->log, &f);
}

/* --- asking ------------------------------------------------------------------------------- */

static struct rpc_stream *open_stream(struct rpc_channel *ch, const char *method,
				      const void *request)
{
	struct rpc_stream *stream = NULL;
	struct err e;
	uint8_t bytes[1024];
	size_t len = protobuf_c_message_get_packed_size(request);

	assert_true(len <= sizeof bytes);
	(void)protobuf_c_message_pack(request, bytes);
	if (rpc_stream_open(ch, method, str_n(bytes, len), &stream, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return stream;
}

static struct rpc_stream *get_flows(const struct scene *s, const Observer__GetFlowsRequest *request)
{
	return open_stream(s->channel, "/observer.Observer/GetFlows", request);
}

/* Own (protobuf_c_message_free_unpacked); NULL at the end of the stream. */
static void *next(struct rpc_stream *stream, const ProtobufCMessageDescriptor *desc)
{
	struct str bytes;
	struct err e;
	enum err_code code = rpc_stream_next(stream, patience_ns, &bytes, &e);

	if (code == ERR_CLOSED)
		return NULL;
	if (code != ERR_OK)
		fail_msg("%s", e.msg);
	void *m = protobuf_c_message_unpack(desc, NULL, bytes.len, (const uint8_t *)bytes.p);
	assert_non_null(m);
	return m;
}

static Observer__GetFlowsResponse *next_flow(struct rpc_stream *stream)
{
	return next(stream, &observer__get_flows_response__descriptor);
}

static void drop(void *message)
{
	protobuf_c_message_free_unpacked(message, NULL);
}

/* The next message is flow number @number. */
static void assert_next(struct rpc_stream *stream, uint64_t number)
{
	Observer__GetFlowsResponse *m = next_flow(stream);

	assert_non_null(m);
	assert_int_equal(m->response_types_case, OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_FLOW);
	assert_int_equal(m->flow->time->seconds, number);
	drop(m);
}

static void assert_end(struct rpc_stream *stream)
{
	assert_null(next_flow(stream));
	rpc_stream_free(stream);
}

/* The call is refused with @status and a sentence that holds @says. */
static void assert_refused(const struct scene *s, const char *method, struct str request,
			   enum rpc_status status, const char *says)
{
	AUTO(rpc_stream_free) struct rpc_stream *stream = NULL;
	struct str bytes;
	struct err e;

	assert_int_equal(rpc_stream_open(s->channel, method, request, &stream, &e), ERR_OK);
	assert_int_not_equal(rpc_stream_next(stream, patience_ns, &bytes, &e), ERR_OK);
	assert_int_equal(rpc_stream_result(stream)->status, status);
	if (!strstr(rpc_stream_result(stream)->message, says))
		fail_msg("\"%s\" does not say \"%s\"", rpc_stream_result(stream)->message, says);
}

static void assert_flows_refused(const struct scene *s, const Observer__GetFlowsRequest *request,
				 enum rpc_status status, const char *says)
{
	uint8_t bytes[1024];

	assert_refused(s, "/observer.Observer/GetFlows",
		       str_n(bytes, protobuf_c_message_pack(&request->base, bytes)), status, says);
}

static void *unary(const struct scene *s, const char *method,
		   const ProtobufCMessageDescriptor *desc)
{
	AUTO_BUF struct buf answer = buf_init(1 << 20);
	struct rpc_result result;
	struct err e;

	if (rpc_unary(s->channel, method, STR(""), patience_ns, &answer, &result, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	void *m = protobuf_c_message_unpack(desc, NULL, answer.len, (const uint8_t *)answer.p);
	assert_non_null(m);
	return m;
}

/* --- flows -------------------------------------------------------------------------------- */

static void the_whole_ring_is_sent_and_the_newest_flow_with_it(void **state)
{
	struct scene *s = *state;
	Observer__GetFlowsRequest request;

	observer__get_flows_request__init(&request);
	assert_end(get_flows(s, &request));
	put_flows(s, 1);
	struct rpc_stream *one = get_flows(s, &request);
	Observer__GetFlowsResponse *m = next_flow(one);
	assert_int_equal(m->time->seconds, 1);
	assert_string_equal(m->node_name, "edge/n1");
	assert_string_equal(m->flow->node_name, "edge/n1");
	assert_int_equal(m->flow->verdict, FLOW__VERDICT__FORWARDED);
	drop(m);
	assert_end(one);
	put_flows(s, 2 * CAPACITY - 1);
	struct rpc_stream *all = get_flows(s, &request);
	for (uint64_t i = CAPACITY + 1; i <= 2 * CAPACITY; i++)
		assert_next(all, i);
	assert_end(all);
}

static void the_last_n_are_n_that_match(void **state)
{
	struct scene *s = *state;
	Observer__GetFlowsRequest request;
	Flow__FlowFilter dropped, *list = &dropped;
	Flow__Verdict verdict = FLOW__VERDICT__DROPPED;

	flow__flow_filter__init(&dropped);
	dropped.n_verdict = 1;
	dropped.verdict = &verdict;
	put_flows(s, 900);
	observer__get_flows_request__init(&request);
	request.number = 200;
	request.n_whitelist = 1;
	request.whitelist = &list;
	struct rpc_stream *stream = get_flows(s, &request);
	for (uint64_t i = 303; i <= 900; i += 3)
		assert_next(stream, i);
	assert_end(stream);
	request.n_whitelist = 0;
	request.n_blacklist = 1;
	request.blacklist = &list;
	request.number = 3;
	stream = get_flows(s, &request);
	assert_next(stream, 896);
	assert_next(stream, 898);
	assert_next(stream, 899);
	assert_end(stream);
}

static void a_masked_flow_has_what_was_asked_for_and_no_more(void **state)
{
	struct scene *s = *state;
	Observer__GetFlowsRequest request;
	Google__Protobuf__FieldMask mask;
	char verdict[] = "verdict", time[] = "time", ports[] = "l4.TCP",
	     *paths[] = { verdict, ports, time };

	put_flows(s, 3);
	google__protobuf__field_mask__init(&mask);
	mask.n_paths = 2;
	mask.paths = paths;
	observer__get_flows_request__init(&request);
	request.field_mask = &mask;
	request.number = 1;
	struct rpc_stream *stream = get_flows(s, &request);
	Observer__GetFlowsResponse *m = next_flow(stream);
	assert_int_equal(m->flow->verdict, FLOW__VERDICT__DROPPED);
	assert_non_null(m->flow->l4); /* reference/hubble-api.md 3.5: messages on the path are
					 there, empty */
	assert_null(m->flow->ip);
	assert_null(m->flow->time);
	assert_null(m->time);
	assert_string_equal(m->node_name, "");
	drop(m);
	assert_end(stream);
	mask.n_paths = 3;
	stream = get_flows(s, &request);
	m = next_flow(stream);
	assert_int_equal(m->time->seconds, 3);
	assert_string_equal(m->node_name, "");
	drop(m);
	assert_end(stream);
	mask.n_paths = 0; /* everything */
	stream = get_flows(s, &request);
	m = next_flow(stream);
	assert_non_null(m->flow->ip);
	assert_string_equal(m->node_name, "edge/n1");
	drop(m);
	assert_end(stream);
}

static void bad_requests_are_refused_in_the_references_words(void **state)
{
	struct scene *s = *state;
	Observer__GetFlowsRequest request;
	Google__Protobuf__FieldMask mask;
	Google__Protobuf__Timestamp late;
	Flow__FlowFilter filter, *list = &filter;
	char bogus[] = "bogus", *paths[] = { bogus };

	observer__get_flows_request__init(&request);
	request.first = request.follow = true;
	assert_flows_refused(s, &request, RPC_INVALID_ARGUMENT,
			     "first cannot be specified with follow");
	request.follow = false;
	google__protobuf__field_mask__init(&mask);
	mask.n_paths = 1;
	mask.paths = paths;
	request.field_mask = &mask;
	assert_flows_refused(s, &request, RPC_UNKNOWN, "invalid fieldmask");
	google__protobuf__timestamp__init(&late);
	late.seconds = INT64_C(1) << 50;
	request.since = &late; /* comes before the mask */
	assert_flows_refused(s, &request, RPC_UNKNOWN, "after 9999-12-31");
	flow__flow_filter__init(&filter);
	filter.n_source_pod = 1;
	char empty[] = "", *pods[] = { empty };
	filter.source_pod = pods;
	request.n_whitelist = 1;
	request.whitelist = &list; /* comes before the times */
	assert_flows_refused(s, &request, RPC_UNKNOWN, "must not be empty");
	char latin[] = "caf\xe9", *names[] = { bogus, latin };
	filter.n_uuid = 2;
	filter.uuid = names; /* comes before everything */
	assert_flows_refused(s, &request, RPC_INVALID_ARGUMENT,
			     "is no valid observer.GetFlowsRequest");
	static const char *const methods[][2] = {
		{ "/observer.Observer/GetFlows", "observer.GetFlowsRequest" },
		{ "/observer.Observer/GetAgentEvents", "observer.GetAgentEventsRequest" },
		{ "/observer.Observer/GetDebugEvents", "observer.GetDebugEventsRequest" },
		{ "/observer.Observer/ServerStatus", "observer.ServerStatusRequest" },
		{ "/observer.Observer/GetNodes", "observer.GetNodesRequest" },
		{ "/observer.Observer/GetNamespaces", "observer.GetNamespacesRequest" },
		{ "/tycho.v1.Flows/GetFlowBatches", "observer.GetFlowsRequest" },
		{ "/tycho.v1.Flows/GetFilteredStatus", "tycho.v1.GetFilteredStatusRequest" },
		{ "/tycho.v1.Flows/GetTime", "tycho.v1.GetTimeRequest" },
		{ "/tycho.v1.History/GetCoverage", "tycho.v1.GetCoverageRequest" },
		{ "/tycho.v1.History/GetServiceMap", "tycho.v1.GetServiceMapRequest" },
		{ "/peer.Peer/Notify", "peer.NotifyRequest" },
	};
	size_t served;
	(void)api_methods(s->api, &served);
	assert_int_equal(served, ARRAY_LEN(methods)); /* each of them */
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		char words[96];
		(void)snprintf(words, sizeof words, "the request is no valid %s", methods[i][1]);
		assert_refused(s, methods[i][0], STR("\xff\xff\xff"), RPC_INVALID_ARGUMENT, words);
	}
	/* first, follow */
	assert_refused(s, methods[1][0], STR("\x10\x01\x48\x01"), RPC_INVALID_ARGUMENT,
		       "first cannot be specified with follow");
}

static void a_follower_starts_after_the_newest_and_sees_each_flow_at_once(void **state)
{
	struct scene *s = *state;
	Observer__GetFlowsRequest request;

	put_flows(s, 5);
	observer__get_flows_request__init(&request);
	request.follow = true;
	request.number = 2;
	struct rpc_stream *backlog = get_flows(s, &request);
	assert_next(backlog, 4);
	assert_next(backlog, 5);
	request.number = 0;
	struct rpc_stream *live = get_flows(s, &request);
	/* The answer's headers say that the call has begun: from here on its "newest" is settled.
	 * */
	struct str bytes;
	while (!rpc_stream_header(live, "x-test").len)
		assert_int_equal(rpc_stream_next(live, NS_PER_MS, &bytes, NULL), ERR_TIMEOUT);
	for (uint64_t i = 6; i < 30; i++) {
		put_flows(s, 1);
		assert_next(live, i);
		assert_next(backlog, i);
	}
	rpc_stream_cancel(live);
	rpc_stream_cancel(backlog);
	rpc_stream_free(live);
	rpc_stream_free(backlog);
}

static void a_hundred_followers_all_see_everything(void **state)
{
	struct scene *s = *state;
	enum { FOLLOWERS = 100, ROUNDS = 20, FLOWS = 50 };
	struct rpc_stream *followers[FOLLOWERS];
	Observer__GetFlowsRequest request;

	put_flows(s, 1);
	observer__get_flows_request__init(&request);
	request.follow = true;
	request.number = 1;
	for (size_t i = 0; i < FOLLOWERS; i++)
		followers[i] = get_flows(s, &request);
	for (size_t i = 0; i < FOLLOWERS; i++)
		assert_next(followers[i], 1);
	for (int round = 0; round < ROUNDS; round++) {
		put_flows(s, FLOWS);
		for (size_t i = 0; i < FOLLOWERS; i++)
			for (uint64_t n = s->put - FLOWS + 1; n <= s->put; n++)
				assert_next(followers[i], n);
	}
	for (size_t i = 0; i < FOLLOWERS; i++)
		rpc_stream_free(followers[i]);
	while (rpc_server_stats(s->server).live_calls)
		continue; /* cancelled calls are given back */
}

static void a_follower_that_was_overtaken_is_told_each_lost_flow_once(void **state)
{
	struct scene *s = *state;
	enum { FLOWS = 200 * CAPACITY };
	Observer__GetFlowsRequest request;

	put_flows(s, 1);
	observer__get_flows_request__init(&request);
	request.follow = true;
	request.number = 1;
	struct rpc_stream *stuck = get_flows(s, &request);
	assert_next(stuck, 1);
	put_flows(s, FLOWS - 1);
	uint64_t at = 2, missed = 0, told = 0;
	while (at <= FLOWS || missed != told) {
		Observer__GetFlowsResponse *m = next_flow(stuck);
		assert_non_null(m);
		if (m->response_types_case ==
		    OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_LOST_EVENTS) {
			const Flow__LostEvent *lost = m->lost_events;
			assert_int_equal(lost->source, FLOW__LOST_EVENT_SOURCE__HUBBLE_RING_BUFFER);
			assert_non_null(lost->first);
			assert_non_null(lost->last);
			assert_null(lost->cpu);
			assert_string_equal(m->node_name, "edge/n1");
			assert_non_null(m->time);
			told += lost->num_events_lost;
		} else {
			uint64_t number = (uint64_t)m->flow->time->seconds;
			assert_true(number >= at); /* in order, none twice */
			missed += number - at;
			at = number + 1;
		}
		drop(m);
	}
	assert_int_equal(at, FLOWS + 1);
	assert_true(missed > 0);
	rpc_stream_free(stuck);
}

static void a_client_that_does_not_read_is_cut_off_and_costs_the_others_nothing(void **state)
{
	struct scene *s = *state;
	Observer__GetFlowsRequest request;
	AUTO(rpc_channel_free) struct rpc_channel *other = connect_to(s->server);

	put_flows(s, 1);
	observer__get_flows_request__init(&request);
	request.follow = true;
	request.number = 1;
	struct rpc_stream *stuck = open_stream(other, "/observer.Observer/GetFlows", &request);
	struct rpc_stream *good = get_flows(s, &request);
	assert_next(good, 1);
	while (rpc_server_stats(s->server).stalled_calls == 0) {
		uint64_t first = s->put + 1;
		put_flows(s, 100);
		for (uint64_t n = first; n <= s->put; n++)
			assert_next(good, n);
	}
	struct str bytes;
	struct err e;
	enum err_code code;
	while ((code = rpc_stream_next(stuck, patience_ns, &bytes, &e)) == ERR_OK)
		continue;
	assert_int_not_equal(code, ERR_CLOSED);
	rpc_stream_free(stuck);
	rpc_stream_free(good);
}

/* --- events ------------------------------------------------------------------------------- */

static void events_have_streams_of_their_own_and_losses_of_the_log_go_with_flows(void **state)
{
	struct scene *s = *state;
	Observer__GetAgentEventsRequest agent;
	Observer__GetDebugEventsRequest debug;
	Observer__GetFlowsRequest flows;
	Flow__AgentEvent started;
	Flow__DebugEvent message;
	Flow__LostEvent lost;

	flow__agent_event__init(&started);
	started.type = FLOW__AGENT_EVENT_TYPE__AGENT_STARTED;
	flow__debug_event__init(&message);
	message.type = FLOW__DEBUG_EVENT_TYPE__DBG_GENERIC;
	flow__lost_event__init(&lost);
	lost.source = FLOW__LOST_EVENT_SOURCE__PERF_EVENT_RING_BUFFER;
	lost.num_events_lost = 17;
	put_event(s, FLOW_KIND_AGENT, &started);
	put_flows(s, 1);
	put_event(s, FLOW_KIND_LOST, &lost);
	put_event(s, FLOW_KIND_DEBUG, &message);

	observer__get_agent_events_request__init(&agent);
	agent.number = 1;
	struct rpc_stream *stream =
		open_stream(s->channel, "/observer.Observer/GetAgentEvents", &agent);
	Observer__GetAgentEventsResponse *a =
		next(stream, &observer__get_agent_events_response__descriptor);
	assert_int_equal(a->agent_event->type, FLOW__AGENT_EVENT_TYPE__AGENT_STARTED);
	assert_string_equal(a->node_name, "edge/n1");
	assert_int_equal(a->time->seconds, 1);
	drop(a);
	assert_end(stream);

	observer__get_debug_events_request__init(&debug);
	stream = open_stream(s->channel, "/observer.Observer/GetDebugEvents", &debug);
	Observer__GetDebugEventsResponse *d =
		next(stream, &observer__get_debug_events_response__descriptor);
	assert_int_equal(d->debug_event->type, FLOW__DEBUG_EVENT_TYPE__DBG_GENERIC);
	drop(d);
	assert_end(stream);

	observer__get_flows_request__init(&flows);
	stream = get_flows(s, &flows);
	assert_next(stream, 1);
	Observer__GetFlowsResponse *m = next_flow(stream);
	assert_int_equal(m->response_types_case,
			 OBSERVER__GET_FLOWS_RESPONSE__RESPONSE_TYPES_LOST_EVENTS);
	assert_int_equal(m->lost_events->num_events_lost, 17);
	assert_int_equal(m->lost_events->source, FLOW__LOST_EVENT_SOURCE__PERF_EVENT_RING_BUFFER);
	assert_string_equal(m->node_name, "edge/n1");
	drop(m);
	assert_end(stream);
}

/* --- status ------------------------------------------------------------------------------- */

static void the_status_counts_what_the_log_holds_and_saw(void **state)
{
	struct scene *s = *state;
	Flow__AgentEvent started;

	flow__agent_event__init(&started);
	put_flows(s, 2 * CAPACITY);
	put_event(s, FLOW_KIND_AGENT, &started);
	Observer__ServerStatusResponse *m = unary(s, "/observer.Observer/ServerStatus",
						  &observer__server_status_response__descriptor);
	assert_int_equal(m->num_flows, CAPACITY);
	assert_int_equal(m->max_flows, CAPACITY);
	assert_int_equal(m->seen_flows, 2 * CAPACITY);
	assert_true(m->uptime_ns > 0);
	assert_string_equal(m->version, "tycho v0");
	assert_null(m->num_connected_nodes);
	assert_true(m->flows_rate >= 0 && m->flows_rate < 1e-9); /* all of 1970 */
	drop(m);
}

static void get_nodes_knows_this_node(void **state)
{
	struct scene *s = *state;

	put_flows(s, 4);
	Observer__GetNodesResponse *m =
		unary(s, "/observer.Observer/GetNodes", &observer__get_nodes_response__descriptor);
	assert_int_equal(m->n_nodes, 1);
	const Observer__Node *n = m->nodes[0];
	assert_string_equal(n->name, "edge/n1");
	assert_string_equal(n->version, "tycho v0");
	assert_string_equal(n->address, "192.0.2.1:4244");
	assert_int_equal(n->state, RELAY__NODE_STATE__NODE_CONNECTED);
	assert_true(n->tls->enabled);
	assert_string_equal(n->tls->server_name, "n1.edge.example");
	assert_int_equal(n->num_flows, 4);
	assert_int_equal(n->max_flows, CAPACITY);
	assert_int_equal(n->seen_flows, 4);
	drop(m);
}

static void namespaces_come_from_the_flows(void **state)
{
	struct scene *s = *state;
	AUTO_BUF struct buf ext = buf_init(4096);
	struct name_prefix p = { .bits = 128, .endpoint = { .namespace_ = STR("shop") } };
	struct flow f = { .bits = FLOW_HAS_SRC_IP };

	assert_true(ip_parse(STR("10.0.0.1"), p.ip));
	memcpy(f.src_ip, p.ip, 16);
	assert_int_equal(name_update(s->names, 0,
				     &(struct name_view){ .prefixes = &p, .prefix_count = 1 },
				     NULL),
			 ERR_OK);
	Observer__GetNamespacesResponse *m = unary(s, "/observer.Observer/GetNamespaces",
						   &observer__get_namespaces_response__descriptor);
	assert_int_equal(m->n_namespaces, 0);
	drop(m);
	name_quiet(s->names, wall_now());
	name_flow(s->names, &f, &ext);
	m = unary(s, "/observer.Observer/GetNamespaces",
		  &observer__get_namespaces_response__descriptor);
	assert_int_equal(m->n_namespaces, 1);
	assert_string_equal(m->namespaces[0]->cluster, "edge");
	assert_string_equal(m->namespaces[0]->namespace_, "shop");
	drop(m);
}

static void peers_are_told_of_this_node_and_kept(void **state)
{
	struct scene *s = *state;
	Peer__NotifyRequest request;
	struct str bytes;

	peer__notify_request__init(&request);
	AUTO(rpc_stream_free)
	struct rpc_stream *stream = open_stream(s->channel, "/peer.Peer/Notify", &request);
	Peer__ChangeNotification *m = next(stream, &peer__change_notification__descriptor);
	assert_string_equal(m->name, "edge/n1");
	assert_string_equal(m->address, "192.0.2.1:4244");
	assert_int_equal(m->type, PEER__CHANGE_NOTIFICATION_TYPE__PEER_ADDED);
	assert_string_equal(m->tls->server_name, "n1.edge.example");
	drop(m);
	assert_int_equal(rpc_stream_next(stream, 50 * NS_PER_MS, &bytes, NULL), ERR_TIMEOUT);
	rpc_stream_cancel(stream);
	assert_int_equal(rpc_stream_next(stream, patience_ns, &bytes, NULL), ERR_CANCELLED);
}

static int start_rpc(void **state)
{
	(void)state;
	rpc_init();
	return 0;
}

static int stop_rpc(void **state)
{
	(void)state;
	rpc_shutdown();
	return 0;
}

#define WITH(test, setup) cmocka_unit_test_setup_teardown(test, setup, free_scene)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(the_whole_ring_is_sent_and_the_newest_flow_with_it, make_scene),
		WITH(the_last_n_are_n_that_match, make_scene),
		WITH(a_masked_flow_has_what_was_asked_for_and_no_more, make_scene),
		WITH(bad_requests_are_refused_in_the_references_words, make_scene),
		WITH(a_follower_starts_after_the_newest_and_sees_each_flow_at_once, make_scene),
		WITH(a_hundred_followers_all_see_everything, make_scene),
		WITH(a_follower_that_was_overtaken_is_told_each_lost_flow_once, make_scene),
		WITH(a_client_that_does_not_read_is_cut_off_and_costs_the_others_nothing,
		     make_impatient_scene),
		WITH(events_have_streams_of_their_own_and_losses_of_the_log_go_with_flows,
		     make_scene),
		WITH(the_status_counts_what_the_log_holds_and_saw, make_scene),
		WITH(get_nodes_knows_this_node, make_tls_scene),
		WITH(namespaces_come_from_the_flows, make_scene),
		WITH(peers_are_told_of_this_node_and_kept, make_tls_scene),
	};
	return cmocka_run_group_tests(tests, start_rpc, stop_rpc);
}
