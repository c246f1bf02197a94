#include "edge/put.h"

#include "flow/names.h"
#include "flow/wire.h"

/* Field numbers of history.proto. */
enum {
	ANSWER_EDGES = 2,
	PEER_CLUSTER = 1,
	PEER_NAMESPACE = 2,
	PEER_WORKLOAD = 3,
	PEER_KIND = 4,
	PEER_DNS = 5,
	EDGE_SOURCE = 1,
	EDGE_DESTINATION = 2,
	EDGE_PROTOCOL = 3,
	EDGE_PORT = 4,
	EDGE_VERDICT = 5,
	EDGE_DROP_REASON = 6,
	EDGE_POLICIES = 7,
	EDGE_FLOWS = 8,
	EDGE_PACKETS = 9,
	EDGE_BYTES = 10,
	EDGE_FIRST = 11,
	EDGE_LAST = 12,
	EDGE_L7_REQUESTS = 13,
	EDGE_L7_ERRORS = 14,
	TIMESTAMP_SECONDS = 1,
	TIMESTAMP_NANOS = 2,
};

static void put_side(struct buf *b, uint32_t field, const struct edge_side *side, struct str dns)
{
	size_t mark = wire_begin(b, field);

	wire_put_str(b, PEER_CLUSTER, side->cluster);
	wire_put_str(b, PEER_NAMESPACE, side->namespace_);
	wire_put_str(b, PEER_WORKLOAD, side->name);
	wire_put_str(b, PEER_KIND, side->kind);
	wire_put_str(b, PEER_DNS, dns);
	wire_end(b, mark);
}

static void put_time(struct buf *b, uint32_t field, struct wall_ns w)
{
	const struct timestamp t = timestamp_of(w);
	size_t mark = wire_begin(b, field);

	wire_put_u64(b, TIMESTAMP_SECONDS, (uint64_t)t.s);
	wire_put_u64(b, TIMESTAMP_NANOS, (uint64_t)t.ns);
	wire_end(b, mark);
}

void edge_put(struct buf *b, const struct edge_key *key, const struct edge_totals *totals)
{
	size_t mark = wire_begin(b, ANSWER_EDGES);

	put_side(b, EDGE_SOURCE, &key->src, STR(""));
	put_side(b, EDGE_DESTINATION, &key->dst, key->dns);
	wire_put_str(b, EDGE_PROTOCOL, str_of(l4_name(key->l4)));
	wire_put_u64(b, EDGE_PORT, key->port);
	wire_put_u64(b, EDGE_VERDICT, key->verdict);
	wire_put_u64(b, EDGE_DROP_REASON, key->drop_desc);
	wire_put_str(b, EDGE_POLICIES, key->policy);
	wire_put_u64(b, EDGE_FLOWS, totals->flows);
	wire_put_u64(b, EDGE_PACKETS, totals->packets);
	wire_put_u64(b, EDGE_BYTES, totals->bytes);
	if (totals->last.v) {
		put_time(b, EDGE_FIRST, totals->first);
		put_time(b, EDGE_LAST, totals->last);
	}
	wire_put_u64(b, EDGE_L7_REQUESTS, totals->l7_ok + totals->l7_errors);
	wire_put_u64(b, EDGE_L7_ERRORS, totals->l7_errors);
	wire_end(b, mark);
}
