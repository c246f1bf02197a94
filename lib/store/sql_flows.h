/*
 * sql_flows - the table flows: its columns, what is pushed into a scan, and cells.
 */
#ifndef TYCHO_STORE_SQL_FLOWS_H
#define TYCHO_STORE_SQL_FLOWS_H

#include "flow/flow.pb-c.h"
#include "store/sql_inside.h"
#include "store/store.h"

enum flows_column {
	C_SEQ,
	C_TIME,
	C_TIME_NS,
	C_KIND,
	C_UUID,
	C_VERDICT,
	C_DROP_REASON_DESC,
	C_TYPE,
	C_NODE_NAME,
	C_SOURCE_IP,
	C_SOURCE_PORT,
	C_SOURCE_IDENTITY,
	C_SOURCE_CLUSTER,
	C_SOURCE_NAMESPACE,
	C_SOURCE_POD,
	C_SOURCE_WORKLOAD,
	C_SOURCE_LABELS,
	C_SOURCE_SERVICE,
	C_SOURCE_NAMES,
	C_DESTINATION_IP,
	C_DESTINATION_PORT,
	C_DESTINATION_IDENTITY,
	C_DESTINATION_CLUSTER,
	C_DESTINATION_NAMESPACE,
	C_DESTINATION_POD,
	C_DESTINATION_WORKLOAD,
	C_DESTINATION_LABELS,
	C_DESTINATION_SERVICE,
	C_DESTINATION_NAMES,
	C_IP_VERSION,
	C_PROTOCOL,
	C_TCP_FLAGS,
	C_TRAFFIC_DIRECTION,
	C_IS_REPLY,
	C_TRACE_OBSERVATION_POINT,
	C_TRACE_REASON,
	C_EVENT_TYPE,
	C_EVENT_SUB_TYPE,
	C_INTERFACE,
	C_INTERFACE_INDEX,
	C_ENCRYPTED,
	C_PACKETS,
	C_BYTES,
	C_NETNS,
	C_KERNEL_DROP_REASON,
	C_POLICIES,
	C_SUMMARY,
	C_JSON,
	COLUMNS_
};

/* --- sql_push.c: constraints as a scan ----------------------------------------------------- */

enum { FLOWS_BACKWARD = 1 }; /* idxNum */
int flows_best_index(sqlite3_vtab *v, sqlite3_index_info *info);

/* What xFilter was given, as a range, kinds, and one FlowFilter with at most one value a field. */
struct pushed {
	Flow__FlowFilter ff;
	struct store_scan_config config;
	Flow__Verdict verdict;
	Flow__DropReason drop;
	Flow__TrafficDirection direction;
	uint32_t identities[2];
	char *uuid, *node, *ips[2], *ports[2], *pods[2], *protocol;
	char port_texts[2][8], pod_texts[2][600], protocol_text[8], node_text[300];
	Flow__Workload workloads[2], *workload_list[2];
	struct str namespaces[2], names[2];
	char *workload_texts[2];
	bool any;     /* the filter asks for something */
	bool nothing; /* no row can be true */
};

/* @what: idxStr. Texts of @argv are not kept. */
void flows_push(struct pushed *p, const char *what, int argc, sqlite3_value **argv);
void flows_pushed_done(struct pushed *p);

/* --- sql_cells.c --------------------------------------------------------------------------- */

/* @text is used for what has to be put together. */
void flows_cell(sqlite3_context *x, const struct flow *f, const struct flow_dict *dict,
		struct buf *text, int column);

#endif
