#include "evidence/report.h"

#include <jansson.h>

#include "base/map.h"
#include "flow/fields.h"
#include "flow/schema.h"
#include "flow/wire.h"

enum { KEY_MAX = 2048, VERDICT_DROPPED = 2 };

/* Texts of an edge stand in its key, separated by NULs. */
enum column { FROM, TO, SERVICE, VERDICT, BY, COLUMNS_ };

struct edge {
	struct str key;
	uint64_t flows;
	struct wall_ns first, last;
	bool is_drop;
};

struct report {
	struct map *index;
	struct edge *edges;
	size_t count;
	uint64_t beyond; /* flows of edges there was no room for */
	uint64_t flows, dropped;
	const struct schema_enum *verdicts, *drops;
};

enum err_code report_new(struct report **ret, struct err *e)
{
	AUTO(report_free) struct report *r = calloc(1, sizeof *r);

	if (!r)
		return err_set(e, ERR_NOMEM, "a report");
	r->edges = calloc(REPORT_EDGES, sizeof *r->edges);
	r->verdicts = schema_find_enum(STR("flow.Verdict"));
	r->drops = schema_find_enum(STR("flow.DropReason"));
	if (!r->edges || !r->verdicts || !r->drops)
		return err_set(e, ERR_NOMEM, "a report");
	enum err_code code = map_new(REPORT_EDGES, (uint64_t)(uintptr_t)r, &r->index, e);
	if (code == ERR_OK)
		*ret = TAKE(r);
	return code;
}

void report_free(struct report *r)
{
	if (!r)
		return;
	map_free(r->index);
	free(r->edges);
	free(r);
}

/* --- counting --- */

static void put_clean(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		buf_char(b, s.p[i] ? s.p[i] : ' ');
}

/* "shop/web (Deployment)", else the pod, a reserved name, a DNS name, an address. */
static void put_party(struct buf *b, const struct renderer *rendered, enum flow_side side)
{
	const struct flow *f = renderer_flow(rendered);
	const struct endpoint *ep = flow_dict_get_endpoint(
		renderer_dict(rendered), side == FLOW_SRC ? f->src_ep : f->dst_ep);
	char tmp[FLOW_IP_TEXT_BYTES];
	struct str name = { "", 0 };

	if (ep && ep->namespace_.len) {
		put_clean(b, ep->namespace_);
		buf_char(b, '/');
	}
	if (ep && ep->workload_count) {
		put_clean(b, ep->workloads[0].name);
		return;
	}
	if (ep && ep->pod.len) {
		put_clean(b, ep->pod);
		return;
	}
	for (size_t i = 0; ep && i < ep->label_count && !name.len; i++)
		if (str_has_prefix(ep->labels[i], STR("reserved:")))
			name = str_from(ep->labels[i], strlen("reserved:"));
	put_clean(b, name);
	if (!name.len || str_eq(name, STR("world"))) {
		if (name.len)
			buf_char(b, ' ');
		put_clean(b, flow_ip_text(f, side, tmp));
	}
}

static void put_service(struct buf *b, const struct flow *f, bool is_reply)
{
	static const char *const names[] = {
		[FLOW_L4_NONE] = "",        [FLOW_L4_TCP] = "TCP",      [FLOW_L4_UDP] = "UDP",
		[FLOW_L4_ICMP4] = "ICMPv4", [FLOW_L4_ICMP6] = "ICMPv6", [FLOW_L4_SCTP] = "SCTP",
		[FLOW_L4_VRRP] = "VRRP",    [FLOW_L4_IGMP] = "IGMP",
	};
	uint32_t port;

	buf_str_put(b, str_of(f->l4 < ARRAY_LEN(names) ? names[f->l4] : ""));
	if (flow_port(f, is_reply ? FLOW_SRC : FLOW_DST, &port))
		buf_printf(b, " %u", port);
}

static void put_enum(struct buf *b, const struct schema_enum *e, int32_t number)
{
	struct str name = schema_enum_name(e, number);

	if (name.len)
		buf_str_put(b, name);
	else
		buf_printf(b, "%d", number);
}

/* Names of the policies that allowed or denied; of a drop without one, its reason. */
static void put_by(struct buf *b, const struct report *r, const struct flow *f)
{
	struct wire_reader reader = wire_reader_of(str_n(f->ext, f->ext_len));
	size_t start = b->len;

	for (struct wire_field x; wire_next(&reader, &x);) {
		struct str name = { "", 0 }, ns = { "", 0 };
		if (x.type != WIRE_LEN || (x.number != FLOW_FIELD_EGRESS_ALLOWED_BY &&
					   x.number != FLOW_FIELD_INGRESS_ALLOWED_BY &&
					   x.number != FLOW_FIELD_EGRESS_DENIED_BY &&
					   x.number != FLOW_FIELD_INGRESS_DENIED_BY))
			continue;
		(void)wire_find(x.bytes, 1, &name);
		(void)wire_find(x.bytes, 2, &ns);
		if (b->len > start)
			buf_lit(b, ", ");
		put_clean(b, ns);
		if (ns.len)
			buf_char(b, '/');
		put_clean(b, name);
	}
	if (b->len == start && f->drop_desc)
		put_enum(b, r->drops, (int32_t)f->drop_desc);
}

/* Flows of an edge; without a key: of one that cannot be shown. */
static enum err_code add_edge(struct report *r, const struct edge *more, struct err *e)
{
	uint32_t at;
	bool is_known = map_get(r->index, more->key, &at);

	if (!more->key.len || (!is_known && r->count == REPORT_EDGES)) {
		r->beyond += more->flows;
		return ERR_OK;
	}
	if (!is_known) {
		struct str key;
		at = (uint32_t)r->count;
		if (map_put(r->index, more->key, at, &key, e) != ERR_OK)
			return ERR_NOMEM;
		r->edges[r->count++] = *more;
		r->edges[at].key = key;
		return ERR_OK;
	}
	struct edge *edge = &r->edges[at];
	edge->flows += more->flows;
	if (more->first.v < edge->first.v)
		edge->first = more->first;
	if (more->last.v > edge->last.v)
		edge->last = more->last;
	return ERR_OK;
}

enum err_code report_add(struct report *r, const struct renderer *rendered, struct err *e)
{
	const struct flow *f = renderer_flow(rendered);
	char space[KEY_MAX];
	struct buf key = buf_fixed(space, sizeof space);
	bool is_reply = f->is_reply == FLOW_REPLY_TRUE;

	/* An answer belongs to the question's edge: who asked stands first. */
	put_party(&key, rendered, is_reply ? FLOW_DST : FLOW_SRC);
	buf_char(&key, 0);
	put_party(&key, rendered, is_reply ? FLOW_SRC : FLOW_DST);
	buf_char(&key, 0);
	put_service(&key, f, is_reply);
	buf_char(&key, 0);
	put_enum(&key, r->verdicts, flow_enum(f, FLOW_FIELD_VERDICT, f->verdict));
	buf_char(&key, 0);
	put_by(&key, r, f);
	r->flows++;
	r->dropped += f->verdict == VERDICT_DROPPED;
	const struct edge one = { .key = key.failed ? STR("") : buf_str(&key),
				  .flows = 1,
				  .first = f->time,
				  .last = f->time,
				  .is_drop = f->verdict == VERDICT_DROPPED };
	return add_edge(r, &one, e);
}

enum err_code report_merge(struct report *r, const struct report *from, struct err *e)
{
	r->flows += from->flows;
	r->dropped += from->dropped;
	r->beyond += from->beyond;
	for (size_t i = 0; i < from->count; i++)
		if (add_edge(r, &from->edges[i], e) != ERR_OK)
			return ERR_NOMEM;
	return ERR_OK;
}

/* --- writing --- */

static void put_html(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		switch (s.p[i]) {
		case '&':
			buf_lit(b, "&amp;");
			break;
		case '<':
			buf_lit(b, "&lt;");
			break;
		case '>':
			buf_lit(b, "&gt;");
			break;
		case '"':
			buf_lit(b, "&quot;");
			break;
		case '\n':
			buf_lit(b, "<br>");
			break;
		default:
			buf_char(b, s.p[i]);
		}
}

static void put_cell(struct buf *b, struct str s)
{
	buf_lit(b, "<td>");
	put_html(b, s);
	buf_lit(b, "</td>");
}

static void put_time_cell(struct buf *b, struct wall_ns t)
{
	buf_lit(b, "<td>");
	if (t.v)
		timestamp_put(b, timestamp_of((struct wall_ns){ t.v / NS_PER_S * NS_PER_S }));
	buf_lit(b, "</td>");
}

static void put_fact(struct buf *b, const char *what, struct str value)
{
	buf_printf(b, "<dt>%s</dt><dd>", what);
	put_html(b, value.len ? value : STR("–"));
	buf_lit(b, "</dd>\n");
}

static int compare_edges(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	if (x->is_drop != y->is_drop)
		return x->is_drop ? -1 : 1;
	if (x->flows != y->flows)
		return x->flows > y->flows ? -1 : 1;
	return str_cmp(x->key, y->key);
}

static void put_edges(const struct report *r, bool drops, struct buf *b)
{
	static const char *const heads[2] = { "Allowed by", "Denied by" };
	size_t shown = 0;

	buf_printf(b,
		   "<table><thead><tr><th>From</th><th>To</th><th>Service</th><th>Verdict</th>"
		   "<th>%s</th><th>Flows</th><th>First</th><th>Last</th></tr></thead><tbody>\n",
		   heads[drops]);
	for (size_t i = 0; i < r->count; i++) {
		const struct edge *edge = &r->edges[i];
		struct str rest = edge->key, cell;
		if (edge->is_drop != drops)
			continue;
		buf_lit(b, "<tr>");
		for (enum column c = FROM; c < COLUMNS_ && str_split(&rest, 0, &cell); c++)
			put_cell(b, cell);
		buf_printf(b, "<td class=n>%llu</td>", (unsigned long long)edge->flows);
		put_time_cell(b, edge->first);
		put_time_cell(b, edge->last);
		buf_lit(b, "</tr>\n");
		shown++;
	}
	if (!shown)
		buf_lit(b, "<tr><td colspan=8>None.</td></tr>\n");
	buf_lit(b, "</tbody></table>\n");
}

static struct str member(const json_t *j, const char *name)
{
	return str_of(json_string_value(json_object_get(j, name)));
}

static void put_gaps(const struct report_node *node, struct buf *b)
{
	json_t *j = json_loadb(node->statement.p, node->statement.len, 0, NULL), *gap;
	size_t i;

	json_array_foreach(json_object_get(j, "gaps"), i, gap)
	{
		buf_lit(b, "<tr>");
		put_cell(b, node->name);
		put_cell(b, member(gap, "cause"));
		put_cell(b, member(gap, "from"));
		put_cell(b, member(gap, "to"));
		struct str lost = member(gap, "lost");
		put_cell(b, str_eq(lost, STR("0")) ? STR("not known") : lost);
		put_cell(b, member(gap, "detail"));
		buf_lit(b, "</tr>\n");
	}
	json_decref(j);
}

static void put_nodes(const struct report_node *nodes, size_t count, struct buf *b)
{
	buf_lit(b, "<h2>Nodes</h2>\n<table><thead><tr><th>Node</th><th>Flows</th><th>Oldest record"
		   "</th><th>Newest record</th><th>Clock</th><th>Program</th><th>Key</th></tr>"
		   "</thead><tbody>\n");
	for (size_t i = 0; i < count; i++) {
		const struct report_node *node = &nodes[i];
		buf_lit(b, "<tr>");
		put_cell(b, node->name);
		if (!node->statement.len) {
			buf_lit(b, "<td colspan=6 class=bad>did not answer: ");
			put_html(b, node->error);
			buf_lit(b, "</td></tr>\n");
			continue;
		}
		json_t *j = json_loadb(node->statement.p, node->statement.len, 0, NULL);
		buf_printf(b, "<td class=n>%llu</td>", (unsigned long long)node->flows);
		put_cell(b, member(j, "oldest"));
		put_cell(b, member(j, "newest"));
		put_cell(b,
			 json_is_true(json_object_get(json_object_get(j, "clock"), "synchronized"))
				 ? STR("synchronized")
				 : STR("not synchronized"));
		put_cell(b, member(j, "version"));
		put_cell(b, node->fingerprint);
		buf_lit(b, "</tr>\n");
		json_decref(j);
	}
	buf_lit(b, "</tbody></table>\n<h2>What is not covered</h2>\n<table><thead><tr><th>Node</th>"
		   "<th>Cause</th><th>From</th><th>To</th><th>Records lost</th><th>Detail</th></tr>"
		   "</thead><tbody>\n");
	size_t before = b->len;
	for (size_t i = 0; i < count; i++)
		if (nodes[i].statement.len)
			put_gaps(&nodes[i], b);
	if (b->len == before)
		buf_lit(b, "<tr><td colspan=6>No gap is known in this range, on the nodes that "
			   "answered.</td></tr>\n");
	buf_lit(b, "</tbody></table>\n");
}

static void put_policies(struct str lines, struct buf *b)
{
	struct str line;

	buf_lit(b, "<h2>Policies in force</h2>\n<table><thead><tr><th>Kind</th><th>Namespace</th>"
		   "<th>Name</th><th>Version</th><th>From</th><th>To</th></tr></thead><tbody>\n");
	size_t before = b->len;
	while (lines.len && str_split(&lines, '\n', &line) && line.len) {
		json_t *j = json_loadb(line.p, line.len, 0, NULL);
		buf_lit(b, "<tr>");
		put_cell(b, member(j, "kind"));
		put_cell(b, member(j, "namespace"));
		put_cell(b, member(j, "name"));
		put_cell(b, member(j, "resource_version"));
		put_cell(b, member(j, "from"));
		put_cell(b, member(j, "to"));
		buf_lit(b, "</tr>\n");
		json_decref(j);
	}
	if (b->len == before)
		buf_lit(b, "<tr><td colspan=6>None is known.</td></tr>\n");
	buf_lit(b, "</tbody></table>\n");
}

void report_put_html(struct report *r, const struct report_scope *scope,
		     const struct report_node *nodes, size_t node_count, struct str policies,
		     struct buf *b)
{
	if (r->count)
		qsort(r->edges, r->count, sizeof *r->edges, compare_edges);
	buf_lit(b,
		"<!doctype html>\n<html lang=en><meta charset=utf-8><title>Flows: "
		"evidence</title>\n"
		"<style>body{font:14px/1.4 system-ui,sans-serif;margin:2em;max-width:80em}"
		"table{border-collapse:collapse;width:100%;margin:0 0 1.5em}"
		"th,td{border:1px solid #bbb;padding:.25em .5em;text-align:left;vertical-align:top;"
		"overflow-wrap:anywhere}th{background:#eee}td.n{text-align:right}"
		".bad{color:#a00}dt{font-weight:600}dd{margin:0 0 .4em 1.5em}"
		"thead{display:table-header-group}tr{break-inside:avoid}"
		"@media print{body{font-size:9pt;margin:0}h2{break-after:avoid}}</style>\n"
		"<h1>Network flows: evidence</h1>\n<dl>\n");
	put_fact(b, "Scope", scope->words);
	put_fact(b, "From", scope->since.len ? scope->since : STR("the oldest record"));
	put_fact(b, "To", scope->until);
	put_fact(b, "Redacted", scope->redacted.len ? scope->redacted : STR("nothing"));
	put_fact(b, "Made", scope->created);
	put_fact(b, "By", scope->tool);
	buf_printf(b, "<dt>Flows</dt><dd>%llu, of these %llu dropped</dd>\n</dl>\n",
		   (unsigned long long)r->flows, (unsigned long long)r->dropped);
	buf_lit(b, "<p>This page is for reading. What proves it are the other files of the bundle: "
		   "<code>tycho evidence verify</code> checks them.</p>\n");
	put_nodes(nodes, node_count, b);
	buf_lit(b, "<h2>Denied</h2>\n");
	put_edges(r, true, b);
	buf_lit(b, "<h2>Who talked to whom</h2>\n");
	put_edges(r, false, b);
	if (r->beyond)
		buf_printf(b,
			   "<p>%llu more flows are in the bundle; this page has room for %d "
			   "different edges.</p>\n",
			   (unsigned long long)r->beyond, (int)REPORT_EDGES);
	put_policies(policies, b);
	buf_lit(b, "</html>\n");
}
