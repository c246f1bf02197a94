/*
 * ServerStatus, GetNodes, GetNamespaces; tycho.v1's GetFilteredStatus and GetTime. Flows that are
 * held are those that were seen and those that there is room for: an archive has no other numbers.
 * Its uptime, and a node's, is the time that the record spans, so that flows by it are a rate.
 */
#include "access/access.h"
#include "access/gate.h"
#include "flow/wire.h"
#include "clickhouse/schema.h"
#include "observer/observer.pb-c.h"
#include "relay/archive/asked.h"
#include "relay/archive/held.h"
#include "relay/archive/inside.h"
#include "relay/archive/query.h"
#include "tycho/v1/flows.pb-c.h"

enum { ANSWER_MAX_BYTES = 4 << 20, RATE_WINDOW_S = 60 };

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

static enum err_code say(struct query *q, const struct buf *b, struct err *e)
{
	return b->failed ? err_set(e, ERR_NOMEM, "no memory for an answer")
			 : query_say(q, buf_str(b), e);
}

static void free_nothing(void *work)
{
	(void)work;
}

/* ---- ServerStatus */

static enum err_code say_status(struct query *q, uint64_t flows, uint64_t recent,
				const struct held *held, struct err *e)
{
	AUTO_BUF struct buf b = buf_init(ANSWER_MAX_BYTES);
	const struct archive *a = query_archive(q);
	Observer__ServerStatusResponse m;
	Google__Protobuf__UInt32Value connected, unavailable;

	observer__server_status_response__init(&m);
	google__protobuf__uint32_value__init(&connected);
	google__protobuf__uint32_value__init(&unavailable);
	connected.value = (uint32_t)held->count;
	m.num_flows = m.max_flows = m.seen_flows = flows;
	m.uptime_ns = held_span_ns(held);
	m.version = lend(a->config.version);
	m.flows_rate = (double)recent / RATE_WINDOW_S;
	m.num_connected_nodes = &connected;
	m.num_unavailable_nodes = &unavailable;
	pack(&b, &m.base);
	return say(q, &b, e);
}

static bool take_number(void *ctx, struct rowbinary_reader *r)
{
	uint64_t n = rowbinary_u64(r);

	if (rowbinary_is_well(r))
		*(uint64_t *)ctx = n;
	return true;
}

static uint64_t recent_from(void)
{
	return wall_now().v - RATE_WINDOW_S * NS_PER_S;
}

static enum err_code run_status(struct query *q, void *work, struct err *e)
{
	AUTO_HELD struct held held = { 0 };
	char text[256];
	struct buf sql = buf_fixed(text, sizeof text);
	uint64_t flows = 0, recent = 0;

	(void)work;
	buf_printf(&sql,
		   "SELECT toUInt64(count()) FROM " CLICKHOUSE_FLOWS
		   " WHERE time_ns >= %llu AND kind = '" CLICKHOUSE_KIND_FLOW "' FORMAT RowBinary",
		   (unsigned long long)recent_from());
	enum err_code code =
		held_ask(q, (struct wall_ns){ 0 }, (struct wall_ns){ UINT64_MAX }, &held, e);
	if (code == ERR_OK)
		code = query_ask(q, buf_str(&sql), take_number, &recent, e);
	if (code != ERR_OK)
		return code;
	for (size_t i = 0; i < held.count; i++)
		flows += held.nodes[i].flows;
	return say_status(q, flows, recent, &held, e);
}

void archive_server_status(struct rpc_call *call, struct str request, void *ctx)
{
	static const struct query_work work = { run_status, free_nothing };

	if (rpc_request_is(call, request, &observer__server_status_request__descriptor))
		query_begin(ctx, call, QUERY_ANSWERS, &work, NULL);
}

/* ---- GetFilteredStatus */

struct counting {
	struct asked asked;
	uint64_t flows, recent, recent_from;
};

static void counting_free(void *work)
{
	struct counting *c = work;

	if (!c)
		return;
	asked_done(&c->asked);
	free(c);
}
AUTO_DEFINE(struct counting, counting_free);

static bool take_flow(void *ctx, const struct scan_row *row, struct err *e)
{
	struct counting *c = ctx;

	(void)e;
	c->flows++;
	c->recent += row->place->time.v >= c->recent_from;
	return true;
}

static enum err_code run_filtered(struct query *q, void *work, struct err *e)
{
	AUTO_HELD struct held held = { 0 };
	struct counting *c = work;
	struct scan_config scan = asked_scan(&c->asked);

	scan.flows_only = scan.keys_only = true;
	scan.take = take_flow;
	scan.ctx = c;
	c->recent_from = recent_from();
	enum err_code code = scan_run(q, &scan, e);
	if (code == ERR_OK)
		code = held_ask(q, (struct wall_ns){ 0 }, (struct wall_ns){ UINT64_MAX }, &held, e);
	return code == ERR_OK ? say_status(q, c->flows, c->recent, &held, e) : code;
}

void archive_get_filtered_status(struct rpc_call *call, struct str request, void *ctx)
{
	static const struct query_work work = { run_filtered, counting_free };
	ProtobufCMessage *m = rpc_request_unpack(
		call, request, &tycho__v1__get_filtered_status_request__descriptor);
	const Tycho__V1__GetFilteredStatusRequest *in =
		(const Tycho__V1__GetFilteredStatusRequest *)m;
	struct err e;

	if (!m)
		return;
	AUTO(counting_free) struct counting *c = calloc(1, sizeof *c);
	if (!c)
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a count");
	else if (asked_init(&c->asked, ASKED_NAMES, in->whitelist, in->n_whitelist, in->blacklist,
			    in->n_blacklist, NULL, NULL, &e) != ERR_OK)
		archive_refuse(call, &e);
	else
		query_begin(ctx, call, QUERY_ANSWERS, &work, TAKE(c));
	protobuf_c_message_free_unpacked(m, NULL);
}

/* ---- GetNodes */

static enum err_code run_nodes(struct query *q, void *work, struct err *e)
{
	enum { FIELD_NODES = 1 };
	AUTO_HELD struct held held = { 0 };
	AUTO_BUF struct buf b = buf_init(ANSWER_MAX_BYTES);
	const bool sees_counts = !query_rights(q); /* of all namespaces: for who may see all */

	(void)work;
	enum err_code code =
		held_ask(q, (struct wall_ns){ 0 }, (struct wall_ns){ UINT64_MAX }, &held, e);
	if (code != ERR_OK)
		return code;
	for (size_t i = 0; i < held.count; i++) {
		const struct held_node *n = &held.nodes[i];
		Observer__Node node;
		observer__node__init(&node);
		node.name = n->name;
		node.version = lend(query_archive(q)->config.version);
		node.state = RELAY__NODE_STATE__NODE_CONNECTED;
		node.uptime_ns = n->newest.v - n->oldest.v;
		if (sees_counts)
			node.num_flows = node.max_flows = node.seen_flows = n->flows;
		size_t mark = wire_begin(&b, FIELD_NODES);
		pack(&b, &node.base);
		wire_end(&b, mark);
	}
	return say(q, &b, e);
}

void archive_get_nodes(struct rpc_call *call, struct str request, void *ctx)
{
	static const struct query_work work = { run_nodes, free_nothing };

	if (rpc_request_is(call, request, &observer__get_nodes_request__descriptor))
		query_begin(ctx, call, QUERY_ANSWERS, &work, NULL);
}

/* ---- GetNamespaces */

struct listing {
	struct buf to;
	const struct rights *rights; /* NULL: all */
};

static bool take_namespace(void *ctx, struct rowbinary_reader *r)
{
	enum { FIELD_NAMESPACES = 1, NAMESPACE_CLUSTER = 1, NAMESPACE_NAME = 2 };
	struct listing *l = ctx;
	struct str cluster = rowbinary_text(r), name = rowbinary_text(r);

	if (!rowbinary_is_well(r) || (l->rights && !rights_see(l->rights, name)))
		return true;
	size_t mark = wire_begin(&l->to, FIELD_NAMESPACES);
	wire_put_str(&l->to, NAMESPACE_CLUSTER, cluster);
	wire_put_str(&l->to, NAMESPACE_NAME, name);
	wire_end(&l->to, mark);
	return true;
}

/* Those of all rows, in order of cluster and name. */
static enum err_code run_namespaces(struct query *q, void *work, struct err *e)
{
	struct listing l = { buf_init(ANSWER_MAX_BYTES), query_rights(q) };

	(void)work;
	enum err_code code = query_ask(
		q,
		STR("SELECT DISTINCT c, n FROM (SELECT source_cluster AS c, source_namespace AS n "
		    "FROM " CLICKHOUSE_FLOWS " WHERE source_namespace != '' "
		    "GROUP BY source_cluster, source_namespace UNION ALL "
		    "SELECT destination_cluster AS c, destination_namespace AS n "
		    "FROM " CLICKHOUSE_FLOWS " WHERE destination_namespace != '' "
		    "GROUP BY destination_cluster, destination_namespace) "
		    "ORDER BY c, n FORMAT RowBinary"),
		take_namespace, &l, e);
	if (code == ERR_OK)
		code = say(q, &l.to, e);
	buf_done(&l.to);
	return code;
}

void archive_get_namespaces(struct rpc_call *call, struct str request, void *ctx)
{
	static const struct query_work work = { run_namespaces, free_nothing };

	if (rpc_request_is(call, request, &observer__get_namespaces_request__descriptor))
		query_begin(ctx, call, QUERY_ANSWERS, &work, NULL);
}

/* ---- GetTime: ours; ClickHouse stamps no flow */

void archive_get_time(struct rpc_call *call, struct str request, void *ctx)
{
	AUTO_BUF struct buf b = buf_init(ANSWER_MAX_BYTES);
	const struct archive *a = ctx;
	struct timestamp now = timestamp_of(wall_now());
	Google__Protobuf__Timestamp time;
	Tycho__V1__GetTimeResponse m;

	if (!rpc_request_is(call, request, &tycho__v1__get_time_request__descriptor))
		return;
	google__protobuf__timestamp__init(&time);
	time.seconds = now.s;
	time.nanos = now.ns;
	tycho__v1__get_time_response__init(&m);
	m.time = &time;
	m.node_name = lend(a->config.node_name);
	pack(&b, &m.base);
	if (b.failed)
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for an answer");
	else
		rpc_call_reply(call, buf_str(&b));
}
