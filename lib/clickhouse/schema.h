/*
 * schema - the tables of flows and gaps in ClickHouse: names, types and order of their columns, in
 * one place for who writes them and who reads them.
 *
 *	tycho_flows   a row per record that GetFlows gives out: columns for people's SQL, named as
 *	              those of the local table flows (docs/sql.md), and last the record itself
 *	tycho_gaps    a row per gap of a node's chain
 *
 * Fits     a table may have more columns, another engine, order or codecs, and LowCardinality(String)
 *          where we have String; the columns below must be there with these types.
 * Unknown  what a record does not say is 0, "" or an empty list; is_reply is NULL.
 */
#ifndef TYCHO_CLICKHOUSE_SCHEMA_H
#define TYCHO_CLICKHOUSE_SCHEMA_H

#include "clickhouse/client.h"

#define CLICKHOUSE_FLOWS "tycho_flows"
#define CLICKHOUSE_GAPS "tycho_gaps"

/* Columns of tycho_flows in their order. */
enum clickhouse_flows_column {
	CF_NODE,    /* String: "cluster/node" or "node", the observer's */
	CF_SEQ,     /* UInt64: number on that node, never given twice */
	CF_TIME_NS, /* UInt64 */
	CF_KIND,    /* String: CLICKHOUSE_KIND_… */
	CF_UUID,
	CF_VERDICT,
	CF_DROP_REASON_DESC,
	CF_TYPE,
	CF_NODE_NAME,
	CF_SOURCE_IP,
	CF_SOURCE_PORT,
	CF_SOURCE_IDENTITY,
	CF_SOURCE_CLUSTER,
	CF_SOURCE_NAMESPACE,
	CF_SOURCE_POD,
	CF_SOURCE_WORKLOAD,
	CF_SOURCE_LABELS,
	CF_SOURCE_SERVICE,
	CF_SOURCE_NAMES,
	CF_DESTINATION_IP,
	CF_DESTINATION_PORT,
	CF_DESTINATION_IDENTITY,
	CF_DESTINATION_CLUSTER,
	CF_DESTINATION_NAMESPACE,
	CF_DESTINATION_POD,
	CF_DESTINATION_WORKLOAD,
	CF_DESTINATION_LABELS,
	CF_DESTINATION_SERVICE,
	CF_DESTINATION_NAMES,
	CF_IP_VERSION,
	CF_PROTOCOL,
	CF_TCP_FLAGS,
	CF_TRAFFIC_DIRECTION,
	CF_IS_REPLY,
	CF_TRACE_OBSERVATION_POINT,
	CF_TRACE_REASON,
	CF_EVENT_TYPE,
	CF_EVENT_SUB_TYPE,
	CF_INTERFACE,
	CF_INTERFACE_INDEX,
	CF_ENCRYPTED,
	CF_PACKETS,
	CF_BYTES,
	CF_NETNS,
	CF_KERNEL_DROP_REASON,
	CF_POLICIES,
	CF_L7_TYPE,
	CF_L7_LATENCY_NS,
	CF_DNS_QUERY,
	CF_DNS_RCODE,
	CF_HTTP_METHOD,
	CF_HTTP_URL,
	CF_HTTP_CODE,
	CF_HTTP_PROTOCOL,
	CF_SUMMARY,
	CF_RESPONSE, /* observer.GetFlowsResponse */
	CF_COLUMNS_
};
#define CLICKHOUSE_KIND_FLOW "flow"
#define CLICKHOUSE_KIND_LOST "lost_events"

enum clickhouse_gaps_column {
	CG_NODE,  /* String: whose chain it stands in */
	CG_ENTRY, /* UInt64: its number there; from CLICKHOUSE_ENTRY_PRUNED on: not in the chain */
	CG_CAUSE, /* String: as docs/store.md names them, and CLICKHOUSE_CAUSE_PRUNED */
	CG_FROM_NS,   /* UInt64 */
	CG_TO_NS,     /* UInt64: the same as from_ns for an instant */
	CG_LOST,      /* UInt64: records, 0: not known */
	CG_FIRST_SEQ, /* UInt64: first number that is missing, 0: not known */
	CG_LAST_SEQ,  /* UInt64 */
	CG_OF_NODE,   /* String: whose records are missing; "" the node's own */
	CG_DETAIL,    /* String: what the system said */
	CG_COLUMNS_
};
/* What the node's retention removed before it was sent: this and the first missing number, which are
 * below 2^63, as entries of the chain are. */
#define CLICKHOUSE_ENTRY_PRUNED (UINT64_C(1) << 63)
#define CLICKHOUSE_CAUSE_PRUNED "not-shipped"

struct clickhouse_column {
	const char *name, *type; /* of ClickHouse, as system.columns has it */
	const char *codec;       /* NULL: the server's */
	const char *help;
};
struct clickhouse_table {
	const char *name, *help;
	const struct clickhouse_column *columns;
	size_t count;
	const char *alias; /* columns that are computed */
	const char *tail;  /* ENGINE … */
};
extern const struct clickhouse_table clickhouse_flows;
extern const struct clickhouse_table clickhouse_gaps;

/* A partition of tycho_flows is a day in UTC. Times of one key are of one partition, whatever the
 * server does with times that its DateTime cannot hold. */
struct clickhouse_partition {
	uint64_t day, wrapped_day;
};
struct clickhouse_partition clickhouse_partition_of(uint64_t time_ns);

/* "node, seq, time_ns, …" */
void clickhouse_columns_put(struct buf *b, const struct clickhouse_table *t);
/* CREATE TABLE IF NOT EXISTS …, without a semicolon. @codecs: for servers that know them (19.1 and
 * later). */
void clickhouse_create_put(struct buf *b, const struct clickhouse_table *t, bool codecs);
/* Whether the table is there and its columns fit. ERR_NOT_FOUND: there is none; ERR_INVALID: it does
 * not fit, with a sentence that says which column and why. Else as clickhouse_run. */
MUST_CHECK enum err_code clickhouse_table_check(struct clickhouse *c,
						const struct clickhouse_table *t, struct err *e);
/* Makes both tables if they are missing and we may, and checks them. */
MUST_CHECK enum err_code clickhouse_schema_open(struct clickhouse *c, struct err *e);

#endif
