#include "clickhouse/schema.h"

#include "base/time.h"
#include "clickhouse/failure.h"
#include "clickhouse/quote.h"
#include "clickhouse/rowbinary.h"

enum { STATEMENT_BYTES = 64 << 10, ANSWER_BYTES = 1 << 20, NAME_BYTES = 4096 };

static const struct clickhouse_column flows_columns[] = {
	[CF_NODE] = { "node", "String", NULL, "cluster/node of the observer that saw it" },
	[CF_SEQ] = { "seq", "UInt64", "Delta, ZSTD", "number of the record on this node" },
	[CF_TIME_NS] = { "time_ns", "UInt64", "Delta, ZSTD", "nanoseconds since 1970" },
	[CF_KIND] = { "kind", "String", NULL, "flow, lost_events: what the record is" },
	[CF_UUID] = { "uuid", "String", "ZSTD", "name of the flow" },
	[CF_VERDICT] = { "verdict", "String", NULL, "FORWARDED, DROPPED, AUDIT, …" },
	[CF_DROP_REASON_DESC] = { "drop_reason_desc", "String", NULL,
				  "of drops: POLICY_DENIED, …" },
	[CF_TYPE] = { "type", "String", NULL, "L3_L4, L7, SOCK" },
	[CF_NODE_NAME] = { "node_name", "String", NULL, "cluster/node that the flow itself names" },
	[CF_SOURCE_IP] = { "source_ip", "String", NULL, "address" },
	[CF_SOURCE_PORT] = { "source_port", "UInt32", NULL, "of TCP, UDP, SCTP" },
	[CF_SOURCE_IDENTITY] = { "source_identity", "UInt32", NULL, "security identity" },
	[CF_SOURCE_CLUSTER] = { "source_cluster", "String", NULL, "name of the cluster" },
	[CF_SOURCE_NAMESPACE] = { "source_namespace", "String", NULL, "Kubernetes namespace" },
	[CF_SOURCE_POD] = { "source_pod", "String", NULL, "name of the pod" },
	[CF_SOURCE_WORKLOAD] = { "source_workload", "String", NULL, "name of its first workload" },
	[CF_SOURCE_LABELS] = { "source_labels", "Array(String)", NULL, "labels" },
	[CF_SOURCE_SERVICE] = { "source_service", "String", NULL, "namespace/name" },
	[CF_SOURCE_NAMES] = { "source_names", "Array(String)", NULL, "DNS names" },
	[CF_DESTINATION_IP] = { "destination_ip", "String", NULL, "address" },
	[CF_DESTINATION_PORT] = { "destination_port", "UInt32", NULL, "of TCP, UDP, SCTP" },
	[CF_DESTINATION_IDENTITY] = { "destination_identity", "UInt32", NULL, "security identity" },
	[CF_DESTINATION_CLUSTER] = { "destination_cluster", "String", NULL, "name of the cluster" },
	[CF_DESTINATION_NAMESPACE] = { "destination_namespace", "String", NULL,
				       "Kubernetes namespace" },
	[CF_DESTINATION_POD] = { "destination_pod", "String", NULL, "name of the pod" },
	[CF_DESTINATION_WORKLOAD] = { "destination_workload", "String", NULL,
				      "name of its first workload" },
	[CF_DESTINATION_LABELS] = { "destination_labels", "Array(String)", NULL, "labels" },
	[CF_DESTINATION_SERVICE] = { "destination_service", "String", NULL, "namespace/name" },
	[CF_DESTINATION_NAMES] = { "destination_names", "Array(String)", NULL, "DNS names" },
	[CF_IP_VERSION] = { "ip_version", "UInt8", NULL, "4 or 6" },
	[CF_PROTOCOL] = { "protocol", "String", NULL,
			  "TCP, UDP, SCTP, ICMPv4, ICMPv6, VRRP, IGMP" },
	[CF_TCP_FLAGS] = { "tcp_flags", "String", NULL, "SYN ACK …" },
	[CF_TRAFFIC_DIRECTION] = { "traffic_direction", "String", NULL, "INGRESS, EGRESS" },
	[CF_IS_REPLY] = { "is_reply", "Nullable(UInt8)", NULL, "0, 1, NULL if unknown" },
	[CF_TRACE_OBSERVATION_POINT] = { "trace_observation_point", "String", NULL,
					 "TO_ENDPOINT, …" },
	[CF_TRACE_REASON] = { "trace_reason", "String", NULL, "NEW, ESTABLISHED, REPLY, …" },
	[CF_EVENT_TYPE] = { "event_type", "Int32", NULL, "number of Cilium's monitor" },
	[CF_EVENT_SUB_TYPE] = { "event_sub_type", "Int32", NULL, "number of Cilium's monitor" },
	[CF_INTERFACE] = { "interface", "String", NULL, "name of the interface" },
	[CF_INTERFACE_INDEX] = { "interface_index", "UInt32", NULL, "its number" },
	[CF_ENCRYPTED] = { "encrypted", "UInt8", NULL, "0, 1" },
	[CF_PACKETS] = { "packets", "UInt64", NULL, "packets that the record stands for" },
	[CF_BYTES] = { "bytes", "UInt64", NULL, "bytes that it stands for" },
	[CF_NETNS] = { "netns", "UInt32", NULL, "inode of the network namespace" },
	[CF_KERNEL_DROP_REASON] = { "kernel_drop_reason", "String", NULL,
				    "the kernel's name for a drop" },
	[CF_POLICIES] = { "policies", "Array(String)", NULL, "names of policies that decided" },
	[CF_L7_TYPE] = { "l7_type", "String", NULL, "REQUEST, RESPONSE, SAMPLE of L7 flows" },
	[CF_L7_LATENCY_NS] = { "l7_latency_ns", "UInt64", NULL, "of an L7 response" },
	[CF_DNS_QUERY] = { "dns_query", "String", NULL, "name that was asked for" },
	[CF_DNS_RCODE] = { "dns_rcode", "UInt32", NULL, "code of a DNS answer" },
	[CF_HTTP_METHOD] = { "http_method", "String", NULL, "GET, …" },
	[CF_HTTP_URL] = { "http_url", "String", NULL, "URL of the request" },
	[CF_HTTP_CODE] = { "http_code", "UInt32", NULL, "status of the answer" },
	[CF_HTTP_PROTOCOL] = { "http_protocol", "String", NULL, "HTTP/1.1, …" },
	[CF_SUMMARY] = { "summary", "String", NULL, "TCP Flags: SYN; DNS Query …" },
	[CF_RESPONSE] = { "response", "String", "ZSTD",
			  "the record as observer.GetFlowsResponse, protobuf" },
};
_Static_assert(ARRAY_LEN(flows_columns) == CF_COLUMNS_, "a name for each");

static const struct clickhouse_column gaps_columns[] = {
	[CG_NODE] = { "node", "String", NULL,
		      "cluster/node of the observer in whose chain it stands" },
	[CG_ENTRY] = { "entry", "UInt64", NULL,
		       "its number there; 2^63 and more: not in the chain" },
	[CG_CAUSE] = { "cause", "String", NULL,
		       "observer-down, kernel-lost, …; not-shipped: the node had to delete it "
		       "first" },
	[CG_FROM_NS] = { "from_ns", "UInt64", NULL, "begin, nanoseconds since 1970" },
	[CG_TO_NS] = { "to_ns", "UInt64", NULL, "end; the same as from_ns for an instant" },
	[CG_LOST] = { "lost", "UInt64", NULL, "records, 0 if nobody knows" },
	[CG_FIRST_SEQ] = { "first_seq", "UInt64", NULL,
			   "first number that is missing, 0 if nobody knows" },
	[CG_LAST_SEQ] = { "last_seq", "UInt64", NULL, "last number that is missing" },
	[CG_OF_NODE] = { "of_node", "String", NULL,
			 "whose records are missing, empty: the node's own" },
	[CG_DETAIL] = { "detail", "String", NULL, "what the system said" },
};
_Static_assert(ARRAY_LEN(gaps_columns) == CG_COLUMNS_, "a name for each");

const struct clickhouse_table clickhouse_flows = {
	CLICKHOUSE_FLOWS,
	"Flows, and what was lost of them.",
	flows_columns,
	CF_COLUMNS_,
	"time DateTime ALIAS toDateTime(intDiv(time_ns, 1000000000))",
	"ENGINE = MergeTree\n"
	"PARTITION BY toYYYYMMDD(toDateTime(intDiv(time_ns, 1000000000)), 'UTC')\n"
	"ORDER BY (time_ns, node, seq)",
};

const struct clickhouse_table clickhouse_gaps = {
	CLICKHOUSE_GAPS,
	"What is missing in the record, and why.",
	gaps_columns,
	CG_COLUMNS_,
	"from_time DateTime ALIAS toDateTime(intDiv(from_ns, 1000000000)),\n"
	"\tto_time DateTime ALIAS toDateTime(intDiv(to_ns, 1000000000))",
	"ENGINE = MergeTree\n"
	"ORDER BY (node, entry)",
};

struct clickhouse_partition clickhouse_partition_of(uint64_t time_ns)
{
	const uint64_t s = time_ns / NS_PER_S, day_s = UINT64_C(86400);

	/* a DateTime is 32 bits of seconds: what is beyond wraps (old servers) or is the last one */
	return (struct clickhouse_partition){ s / day_s, (uint32_t)s / day_s };
}

void clickhouse_columns_put(struct buf *b, const struct clickhouse_table *t)
{
	for (size_t i = 0; i < t->count; i++)
		buf_printf(b, "%s%s", i ? ", " : "", t->columns[i].name);
}

void clickhouse_create_put(struct buf *b, const struct clickhouse_table *t, bool codecs)
{
	buf_printf(b, "CREATE TABLE IF NOT EXISTS %s (\n", t->name);
	for (size_t i = 0; i < t->count; i++) {
		buf_printf(b, "\t%s %s", t->columns[i].name, t->columns[i].type);
		if (codecs && t->columns[i].codec)
			buf_printf(b, " CODEC(%s)", t->columns[i].codec);
		buf_lit(b, ",\n");
	}
	buf_printf(b, "\t%s\n) %s", t->alias, t->tail);
}

/* --- is it there, does it fit -------------------------------------------------------------- */

struct fit {
	const struct clickhouse_table *table;
	uint64_t there;                        /* bit i: column i of it was seen */
	const struct clickhouse_column *other; /* the first whose type does not fit; NULL: all do */
	char type[64];                         /* which that is */
	bool any;                              /* there is a table */
};
_Static_assert(CF_COLUMNS_ <= 64, "a bit for each");

/* LowCardinality(String) takes and gives the same bytes. */
static bool fits(struct str type, const char *ours)
{
	const struct str prefix = STR("LowCardinality(");

	if (str_has_prefix(type, prefix) && str_has_suffix(type, STR(")")))
		type = str_upto(str_from(type, prefix.len), type.len - prefix.len - 1);
	return str_is(type, ours);
}

static bool see_column(void *ctx, struct rowbinary_reader *r)
{
	struct fit *f = ctx;
	const struct str name = rowbinary_text(r), type = rowbinary_text(r);

	if (!rowbinary_is_well(r))
		return true;
	f->any = true;
	for (size_t i = 0; i < f->table->count; i++) {
		const struct clickhouse_column *c = &f->table->columns[i];
		if (!str_is(name, c->name))
			continue;
		f->there |= UINT64_C(1) << i;
		if (!f->other && !fits(type, c->type)) {
			f->other = c;
			(void)str_excerpt(type, f->type, sizeof f->type);
		}
	}
	return true;
}

static enum err_code judge(const struct fit *f, const struct clickhouse *c, struct err *e)
{
	const struct clickhouse_table *t = f->table;
	const char *database = clickhouse_database(c);

	if (!f->any)
		return err_set(e, ERR_NOT_FOUND, "there is no table %s.%s, or we may not see it",
			       database, t->name);
	for (size_t i = 0; i < t->count; i++)
		if (!(f->there >> i & 1))
			return err_set(
				e, ERR_INVALID,
				"table %s.%s has no column %s of type %s: it was not made by "
				"this version (deploy/clickhouse/schema.sql)",
				database, t->name, t->columns[i].name, t->columns[i].type);
	if (f->other)
		return err_set(
			e, ERR_INVALID,
			"column %s of table %s.%s is %s, and not %s: it was not made by this "
			"version (deploy/clickhouse/schema.sql)",
			f->other->name, database, t->name, f->type, f->other->type);
	return ERR_OK;
}

enum err_code clickhouse_table_check(struct clickhouse *c, const struct clickhouse_table *t,
				     struct err *e)
{
	AUTO_BUF struct buf sql = buf_init(STATEMENT_BYTES);
	struct fit f = { .table = t };
	struct rowbinary_rows rows = { .each = see_column,
				       .ctx = &f,
				       .text_max = NAME_BYTES,
				       .rest = buf_init(ANSWER_BYTES) };

	buf_lit(&sql, "SELECT name, type FROM system.columns WHERE database = ");
	clickhouse_quote_put(&sql, str_of(clickhouse_database(c)));
	buf_lit(&sql, " AND table = ");
	clickhouse_quote_put(&sql, str_of(t->name));
	buf_lit(&sql, " FORMAT RowBinary");
	const struct clickhouse_statement s = { .sql = buf_str(&sql),
						.on_piece = rowbinary_rows_take,
						.ctx = &rows };
	enum err_code code =
		sql.failed ? err_set(e, ERR_NOMEM, "ClickHouse") : clickhouse_run(c, &s, e);
	if (code == ERR_OK || rows.is_bad) {
		enum err_code end = rowbinary_rows_end(&rows, e);
		code = end == ERR_OK ? code : end;
	}
	buf_done(&rows.rest);
	return code == ERR_OK ? judge(&f, c, e) : code;
}

static enum err_code make(struct clickhouse *c, const struct clickhouse_table *t, bool codecs,
			  struct err *e)
{
	AUTO_BUF struct buf sql = buf_init(STATEMENT_BYTES);

	clickhouse_create_put(&sql, t, codecs);
	if (sql.failed)
		return err_set(e, ERR_NOMEM, "ClickHouse");
	const struct clickhouse_statement s = { .sql = buf_str(&sql) };
	return clickhouse_run(c, &s, e);
}

static enum err_code open_table(struct clickhouse *c, const struct clickhouse_table *t,
				struct err *e)
{
	enum err_code code = clickhouse_table_check(c, t, e);

	if (code != ERR_NOT_FOUND || clickhouse_code(c))
		return code;
	code = make(c, t, true, e);
	if (clickhouse_code(c) == CLICKHOUSE_SYNTAX_ERROR) /* a server that knows no codecs */
		code = make(c, t, false, e);
	if (code != ERR_OK)
		return err_in(e, "table %s.%s", clickhouse_database(c), t->name);
	return clickhouse_table_check(c, t, e);
}

enum err_code clickhouse_schema_open(struct clickhouse *c, struct err *e)
{
	enum err_code code = open_table(c, &clickhouse_flows, e);

	return code == ERR_OK ? open_table(c, &clickhouse_gaps, e) : code;
}
