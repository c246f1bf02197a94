/*
 * What is pushed is only a hint: SQLite asks again of every row that comes out. So a constraint
 * that cannot be said as a filter is simply not pushed, and one that is may let too much through.
 */
#include <stdio.h>

#include "flow/names.h"
#include "store/sql_flows.h"

enum {
	ALL_KINDS = 1 << FLOW_KIND_FLOW | 1 << FLOW_KIND_LOST | 1 << FLOW_KIND_AGENT |
		    1 << FLOW_KIND_DEBUG,
};

enum { OP_EQ = '=', OP_LOW = '>', OP_HIGH = '<' };

/* How a constraint on the column can narrow the scan; 0: not at all. */
static char op_of(int column, int op)
{
	bool is_number = column == C_SEQ || column == C_TIME_NS;

	if (op == SQLITE_INDEX_CONSTRAINT_EQ)
		switch (column) {
		case C_SEQ:
		case C_TIME:
		case C_TIME_NS:
		case C_KIND:
		case C_UUID:
		case C_VERDICT:
		case C_DROP_REASON_DESC:
		case C_NODE_NAME:
		case C_SOURCE_IP:
		case C_SOURCE_PORT:
		case C_SOURCE_IDENTITY:
		case C_SOURCE_NAMESPACE:
		case C_SOURCE_POD:
		case C_SOURCE_WORKLOAD:
		case C_DESTINATION_IP:
		case C_DESTINATION_PORT:
		case C_DESTINATION_IDENTITY:
		case C_DESTINATION_NAMESPACE:
		case C_DESTINATION_POD:
		case C_DESTINATION_WORKLOAD:
		case C_PROTOCOL:
		case C_TRAFFIC_DIRECTION:
			return OP_EQ;
		default:
			return 0;
		}
	if (!is_number && column != C_TIME)
		return 0;
	if (op == SQLITE_INDEX_CONSTRAINT_GT || op == SQLITE_INDEX_CONSTRAINT_GE)
		return OP_LOW;
	if (op == SQLITE_INDEX_CONSTRAINT_LT || op == SQLITE_INDEX_CONSTRAINT_LE)
		return OP_HIGH;
	return 0;
}

/* idxStr has two characters for each argument: 'A' + the column, and the operation. */
int flows_best_index(sqlite3_vtab *v, sqlite3_index_info *info)
{
	char text[2 * COLUMNS_ + 1];
	size_t len = 0;
	int args = 0;
	double rows = 1e8;

	(void)v;
	for (int i = 0; i < info->nConstraint && len + 2 < sizeof text; i++) {
		int column = info->aConstraint[i].iColumn;
		char op = column >= 0 ? op_of(column, info->aConstraint[i].op) : 0;

		if (!op || !info->aConstraint[i].usable ||
		    !(column == C_TIME
			      ? sql_compares_times(info, i)
			      : sqlite3_stricmp(sqlite3_vtab_collation(info, i), "BINARY") == 0))
			continue;
		text[len++] = (char)('A' + column);
		text[len++] = op;
		info->aConstraintUsage[i].argvIndex = ++args;
		rows /= op != OP_EQ ? 4 : column == C_SEQ || column == C_UUID ? 1e7 : 20;
	}
	text[len] = 0;
	if (info->nOrderBy == 1 && info->aOrderBy[0].iColumn == C_SEQ) {
		info->orderByConsumed = 1;
		info->idxNum = info->aOrderBy[0].desc ? FLOWS_BACKWARD : 0;
	}
	info->idxStr = sqlite3_mprintf("%s", text);
	info->needToFreeIdxStr = 1;
	info->estimatedRows = rows < 1 ? 1 : (sqlite3_int64)rows;
	info->estimatedCost = rows < 1 ? 1 : rows;
	return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}

static struct str text_of(sqlite3_value *v)
{
	return str_n(sqlite3_value_text(v), (size_t)sqlite3_value_bytes(v));
}

static void push_low(uint64_t *bound, uint64_t v)
{
	*bound = v > *bound ? v : *bound;
}

static void push_high(uint64_t *bound, uint64_t v)
{
	*bound = v < *bound ? v : *bound;
}

static void push_number(struct pushed *p, int column, char op, int64_t v)
{
	struct store_range *range = &p->config.range;
	uint64_t u = v > 0 ? (uint64_t)v : 0;
	int side = column == C_SOURCE_PORT || column == C_SOURCE_IDENTITY ? 0 : 1;

	switch (column) {
	case C_SEQ:
		if (op != OP_HIGH)
			push_low(&range->from_seq, u);
		if (op != OP_LOW)
			push_high(&range->to_seq, u + 1);
		break;
	case C_TIME_NS:
		if (op != OP_HIGH)
			push_low(&range->since.v, u);
		if (op != OP_LOW)
			push_high(&range->until.v, u);
		break;
	case C_SOURCE_PORT:
	case C_DESTINATION_PORT:
		if (v < 0 || v > UINT16_MAX)
			break;
		(void)snprintf(p->port_texts[side], sizeof p->port_texts[side], "%d", (int)v);
		p->ports[side] = p->port_texts[side];
		*(side ? &p->ff.destination_port : &p->ff.source_port) = &p->ports[side];
		*(side ? &p->ff.n_destination_port : &p->ff.n_source_port) = 1;
		p->any = true;
		break;
	default:
		if (v <= 0 || v > UINT32_MAX)
			break;
		p->identities[side] = (uint32_t)v;
		*(side ? &p->ff.destination_identity : &p->ff.source_identity) =
			&p->identities[side];
		*(side ? &p->ff.n_destination_identity : &p->ff.n_source_identity) = 1;
		p->any = true;
	}
}

/* Lower case and free of what a pattern or path would read otherwise. */
static bool is_plain_name(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
		      s.p[i] == '-' || s.p[i] == '.'))
			return false;
	return s.len > 0 && s.len < 256;
}

static void push_time(struct pushed *p, char op, struct str s)
{
	struct store_range *range = &p->config.range;
	struct wall_ns first, last;

	if (!sql_time_span(s, &first, &last))
		return;
	if (op != OP_HIGH)
		push_low(&range->since.v, first.v);
	if (op != OP_LOW)
		push_high(&range->until.v, last.v);
}

static void push_kind(struct pushed *p, struct str s)
{
	static const char *const kinds[] = { "flow", "lost", "agent", "debug" };
	uint32_t asked = 0;

	for (uint32_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (str_is(s, kinds[i]))
			asked = UINT32_C(1) << i;
	p->config.kinds &= asked;
}

static void push_protocol(struct pushed *p, struct str s)
{
	for (unsigned l4 = FLOW_L4_TCP; l4 <= FLOW_L4_IGMP; l4++)
		if (str_is(s, l4_name(l4))) {
			(void)snprintf(p->protocol_text, sizeof p->protocol_text, "%s",
				       l4_name(l4));
			p->protocol = p->protocol_text;
			p->ff.protocol = &p->protocol;
			p->ff.n_protocol = 1;
			p->any = true;
		}
}

static void push_ip(struct pushed *p, int side, struct str s)
{
	uint8_t ip[16];
	char *text = ip_parse(s, ip) ? str_dup(s) : NULL;

	if (!text)
		return;
	free(p->ips[side]);
	p->ips[side] = text;
	*(side ? &p->ff.destination_ip : &p->ff.source_ip) = &p->ips[side];
	*(side ? &p->ff.n_destination_ip : &p->ff.n_source_ip) = 1;
	p->any = true;
}

static void push_text(struct pushed *p, int column, char op, struct str s)
{
	int32_t number;

	switch (column) {
	case C_TIME:
		push_time(p, op, s);
		break;
	case C_KIND:
		push_kind(p, s);
		break;
	case C_UUID:
		if (s.len != FLOW_UUID_TEXT_BYTES - 1 || p->uuid)
			break;
		p->uuid = str_dup(s);
		p->ff.uuid = &p->uuid;
		p->ff.n_uuid = p->uuid != NULL;
		p->any |= p->uuid != NULL;
		break;
	case C_VERDICT:
		if (!enum_number(&flow__verdict__descriptor, s, &number))
			break;
		p->verdict = (Flow__Verdict)number;
		p->ff.verdict = &p->verdict;
		p->ff.n_verdict = 1;
		p->any = true;
		break;
	case C_DROP_REASON_DESC:
		if (!enum_number(&flow__drop_reason__descriptor, s, &number))
			break;
		p->drop = (Flow__DropReason)number;
		p->ff.drop_reason_desc = &p->drop;
		p->ff.n_drop_reason_desc = 1;
		p->any = true;
		break;
	case C_TRAFFIC_DIRECTION:
		if (!enum_number(&flow__traffic_direction__descriptor, s, &number))
			break;
		p->direction = (Flow__TrafficDirection)number;
		p->ff.traffic_direction = &p->direction;
		p->ff.n_traffic_direction = 1;
		p->any = true;
		break;
	case C_NODE_NAME: {
		size_t slash = str_find(s, '/');

		if (!is_plain_name(str_upto(s, slash)) ||
		    (slash < s.len && !is_plain_name(str_from(s, slash + 1))) ||
		    str_has_suffix(s, STR(".")))
			break;
		(void)snprintf(p->node_text, sizeof p->node_text, "%.*s", STR_FMT(s));
		p->node = p->node_text;
		p->ff.node_name = &p->node;
		p->ff.n_node_name = s.len < sizeof p->node_text;
		p->any |= p->ff.n_node_name;
		break;
	}
	case C_SOURCE_IP:
	case C_DESTINATION_IP:
		push_ip(p, column == C_DESTINATION_IP, s);
		break;
	case C_SOURCE_NAMESPACE:
	case C_DESTINATION_NAMESPACE:
		p->namespaces[column == C_DESTINATION_NAMESPACE] = s;
		break;
	case C_SOURCE_POD:
	case C_DESTINATION_POD:
		p->names[column == C_DESTINATION_POD] = s;
		break;
	case C_PROTOCOL:
		push_protocol(p, s);
		break;
	default:
		break; /* workloads: below */
	}
}

/* A namespace and a pod together are one path, "namespace/pod". */
static void push_pods(struct pushed *p)
{
	for (int side = 0; side < 2; side++) {
		struct str ns = p->namespaces[side], pod = p->names[side];

		if ((!ns.len && !pod.len) || (ns.len && !is_plain_name(ns)) ||
		    (pod.len && !is_plain_name(pod)))
			continue;
		(void)snprintf(p->pod_texts[side], sizeof p->pod_texts[side], "%.*s/%.*s",
			       STR_FMT(ns), STR_FMT(pod));
		p->pods[side] = p->pod_texts[side];
		*(side ? &p->ff.destination_pod : &p->ff.source_pod) = &p->pods[side];
		*(side ? &p->ff.n_destination_pod : &p->ff.n_source_pod) = 1;
		p->any = true;
	}
}

static void push_workload(struct pushed *p, int side, struct str s)
{
	if (!s.len || p->workload_texts[side])
		return;
	p->workload_texts[side] = str_dup(s);
	if (!p->workload_texts[side])
		return;
	flow__workload__init(&p->workloads[side]);
	p->workloads[side].name = p->workload_texts[side];
	p->workload_list[side] = &p->workloads[side];
	*(side ? &p->ff.destination_workload : &p->ff.source_workload) = &p->workload_list[side];
	*(side ? &p->ff.n_destination_workload : &p->ff.n_source_workload) = 1;
	p->any = true;
}

void flows_push(struct pushed *p, const char *what, int argc, sqlite3_value **argv)
{
	*p = (struct pushed){ .any = false };
	flow__flow_filter__init(&p->ff);
	p->config = (struct store_scan_config){
		.range = { .until = { UINT64_MAX }, .to_seq = UINT64_MAX }, .kinds = ALL_KINDS
	};
	for (int i = 0; i < argc; i++) {
		int column = what[2 * i] - 'A', type = sqlite3_value_type(argv[i]);
		char op = what[2 * i + 1];
		bool is_number = strcmp(sql_flows_table.columns[column].type, "INTEGER") == 0;

		if (type == SQLITE_NULL)
			p->nothing = true; /* compared with NULL, nothing is true */
		else if (is_number && type == SQLITE_INTEGER)
			push_number(p, column, op, sqlite3_value_int64(argv[i]));
		else if (is_number || type != SQLITE_TEXT)
			continue;
		else if (column == C_SOURCE_WORKLOAD || column == C_DESTINATION_WORKLOAD)
			push_workload(p, column == C_DESTINATION_WORKLOAD, text_of(argv[i]));
		else
			push_text(p, column, op, text_of(argv[i]));
	}
	push_pods(p);
}

void flows_pushed_done(struct pushed *p)
{
	free(p->uuid);
	for (int side = 0; side < 2; side++) {
		free(p->ips[side]);
		free(p->workload_texts[side]);
	}
}
