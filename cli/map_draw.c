#include "cli/map_draw.h"

#include "cli/report.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/names.h"
#include "flow/text_table.h"

enum { ROWS_MAX_BYTES = 256 << 20, NAMESPACE_SIDES = 2 };

/* --- merging -------------------------------------------------------------------------------- */

static int compare_peers(const Tycho__V1__Peer *a, const Tycho__V1__Peer *b)
{
	int c = strcmp(a->cluster, b->cluster);

	if (!c)
		c = strcmp(a->namespace_, b->namespace_);
	if (!c)
		c = strcmp(a->workload, b->workload);
	if (!c)
		c = strcmp(a->workload_kind, b->workload_kind);
	if (!c)
		c = strcmp(a->n_dns_names ? a->dns_names[0] : "",
			   b->n_dns_names ? b->dns_names[0] : "");
	return c;
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare(const void *left, const void *right)
{
	const Tycho__V1__Edge *a = *(Tycho__V1__Edge *const *)left,
			      *b = *(Tycho__V1__Edge *const *)right;
	int c = compare_peers(a->source, b->source);

	if (!c)
		c = compare_peers(a->destination, b->destination);
	if (!c)
		c = compare_numbers(a->port, b->port);
	if (!c)
		c = strcmp(a->protocol, b->protocol);
	if (!c)
		c = compare_numbers(a->verdict, b->verdict);
	if (!c)
		c = compare_numbers(a->drop_reason, b->drop_reason);
	if (!c)
		c = strcmp(a->n_policies ? a->policies[0] : "",
			   b->n_policies ? b->policies[0] : "");
	return c;
}

static void add(Tycho__V1__Edge *to, const Tycho__V1__Edge *by)
{
	to->flows += by->flows;
	to->packets += by->packets;
	to->bytes += by->bytes;
	to->l7_requests += by->l7_requests;
	to->l7_errors += by->l7_errors;
	if (to->first_seen && by->first_seen && by->first_seen->seconds < to->first_seen->seconds)
		*to->first_seen = *by->first_seen;
	if (to->last_seen && by->last_seen && by->last_seen->seconds > to->last_seen->seconds)
		*to->last_seen = *by->last_seen;
}

void map_merge(struct map_edges *edges)
{
	size_t kept = 0, whole = 0;

	for (size_t i = 0; i < edges->count; i++) /* a server may send anything */
		if (edges->list[i]->source && edges->list[i]->destination)
			edges->list[whole++] = edges->list[i];
	edges->count = whole;
	if (!whole)
		return;
	qsort(edges->list, edges->count, sizeof *edges->list, compare);
	for (size_t i = 1; i < edges->count; i++) {
		if (compare(&edges->list[kept], &edges->list[i]) == 0)
			add(edges->list[kept], edges->list[i]);
		else
			edges->list[++kept] = edges->list[i];
	}
	edges->count = kept + 1;
}

/* --- names ---------------------------------------------------------------------------------- */

static int compare_nodes(const void *a, const void *b)
{
	return compare_peers(*(Tycho__V1__Peer *const *)a, *(Tycho__V1__Peer *const *)b);
}

/* Each peer once, sorted: so that a namespace's stand side by side. */
static Tycho__V1__Peer **nodes_of(const struct map_edges *edges, size_t *ret_count)
{
	Tycho__V1__Peer **nodes = malloc((edges->count * NAMESPACE_SIDES + 1) * sizeof *nodes);
	size_t n = 0, kept = 0;

	for (size_t i = 0; nodes && i < edges->count; i++) {
		nodes[n++] = edges->list[i]->source;
		nodes[n++] = edges->list[i]->destination;
	}
	if (n)
		qsort(nodes, n, sizeof *nodes, compare_nodes);
	for (size_t i = 0; i < n; i++)
		if (!kept || compare_nodes(&nodes[kept - 1], &nodes[i]) != 0)
			nodes[kept++] = nodes[i];
	*ret_count = kept;
	return nodes;
}

/* What names must say so that no two are alike. */
struct naming {
	bool clusters; /* whoever has a namespace is of more than one */
	bool kinds;    /* workloads of one name are of more than one */
};

static struct naming naming_of(Tycho__V1__Peer *const *nodes, size_t count)
{
	struct naming naming = { .clusters = false };
	const Tycho__V1__Peer *before = NULL;

	for (size_t i = 0; i < count; i++) {
		const Tycho__V1__Peer *p = nodes[i];
		if (!*p->namespace_)
			continue;
		bool same_cluster = before && strcmp(before->cluster, p->cluster) == 0;
		naming.clusters |= before && !same_cluster;
		naming.kinds |= same_cluster && strcmp(before->namespace_, p->namespace_) == 0 &&
				strcmp(before->workload, p->workload) == 0 &&
				strcmp(before->workload_kind, p->workload_kind) != 0;
		before = p;
	}
	return naming;
}

/* "cluster/namespace" */
static void put_namespace(struct buf *b, const Tycho__V1__Peer *p, struct naming naming,
			  void (*text)(struct buf *b, const char *text))
{
	if (naming.clusters && *p->cluster) {
		text(b, p->cluster);
		buf_char(b, '/');
	}
	text(b, p->namespace_);
}

/* "workload (kind)" */
static void put_workload(struct buf *b, const Tycho__V1__Peer *p, struct naming naming,
			 void (*text)(struct buf *b, const char *text))
{
	text(b, *p->workload ? p->workload : "unknown");
	if (naming.kinds && *p->workload_kind) {
		buf_lit(b, " (");
		text(b, p->workload_kind);
		buf_char(b, ')');
	}
}

/* --- table and JSON ------------------------------------------------------------------------- */

static void put_name(struct buf *b, const Tycho__V1__Peer *p, struct naming naming)
{
	if (*p->namespace_) {
		put_namespace(b, p, naming, report_text);
		buf_char(b, '/');
	}
	put_workload(b, p, naming, report_text);
	if (p->n_dns_names) {
		buf_lit(b, " (");
		report_text(b, p->dns_names[0]);
		buf_char(b, ')');
	}
}

/* "443/TCP", "ICMPv4", "-" */
static void put_port(struct buf *b, const Tycho__V1__Edge *edge)
{
	if (edge->port)
		buf_printf(b, "%u/", edge->port);
	report_text(b, *edge->protocol ? edge->protocol : "-");
}

static void put_verdict(struct buf *b, const Tycho__V1__Edge *edge)
{
	enum_put(b, &flow__verdict__descriptor, (int32_t)edge->verdict);
	if (edge->drop_reason) {
		buf_lit(b, " (");
		enum_put(b, &flow__drop_reason__descriptor, (int32_t)edge->drop_reason);
		buf_char(b, ')');
	}
}

static enum err_code full(const struct buf *out, struct err *e)
{
	return out->failed ? err_set(e, ERR_NOMEM, "service map as text") : ERR_OK;
}

enum err_code map_put_table(struct buf *out, const struct map_edges *edges, struct err *e)
{
	AUTO_BUF struct buf rows = buf_init(ROWS_MAX_BYTES);
	size_t count;
	AUTO(own_free) Tycho__V1__Peer **nodes = nodes_of(edges, &count);

	if (!nodes)
		return err_set(e, ERR_NOMEM, "names of the map");
	struct naming naming = naming_of(nodes, count);
	buf_lit(&rows, "SOURCE\tDESTINATION\tPORT\tVERDICT\tFLOWS\tPACKETS\tBYTES\tPOLICY\n");
	for (size_t i = 0; i < edges->count; i++) {
		const Tycho__V1__Edge *edge = edges->list[i];
		put_name(&rows, edge->source, naming);
		buf_char(&rows, '\t');
		put_name(&rows, edge->destination, naming);
		buf_char(&rows, '\t');
		put_port(&rows, edge);
		buf_char(&rows, '\t');
		put_verdict(&rows, edge);
		buf_printf(&rows, "\t%llu\t%llu\t%llu\t", (unsigned long long)edge->flows,
			   (unsigned long long)edge->packets, (unsigned long long)edge->bytes);
		report_text(&rows, edge->n_policies ? edge->policies[0] : "-");
		buf_char(&rows, '\n');
	}
	if (rows.failed || !text_table_put(out, buf_str(&rows)))
		return err_set(e, ERR_NOMEM, "table");
	return full(out, e);
}

enum err_code map_put_json(struct buf *out, const struct map_edges *edges, struct err *e)
{
	AUTO_BUF struct buf wire = buf_init(ROWS_MAX_BYTES);

	for (size_t i = 0; i < edges->count; i++) {
		const Tycho__V1__Edge *edge = edges->list[i];
		buf_reset(&wire);
		char *to = buf_reserve(&wire, tycho__v1__edge__get_packed_size(edge) + 1);
		if (!to)
			return err_set(e, ERR_NOMEM, "an edge as JSON");
		wire.len = tycho__v1__edge__pack(edge, (uint8_t *)to);
		if (json_put_message(out, &tycho__v1__edge__descriptor, buf_str(&wire), e) !=
		    ERR_OK)
			return e->code;
		buf_char(out, '\n');
	}
	return full(out, e);
}

/* --- pictures ------------------------------------------------------------------------------- */

/* What differs between the two languages. */
struct language {
	const char *open, *close; /* of the whole */
	void (*group)(struct buf *b, size_t number, const Tycho__V1__Peer *p, struct naming naming);
	const char *group_close;
	void (*node)(struct buf *b, size_t number, const Tycho__V1__Peer *p, struct naming naming);
	void (*edge)(struct buf *b, size_t number, size_t from, size_t to,
		     const Tycho__V1__Edge *edge);
};

enum outcome { PASSED, DROPPED, AUDITED, OTHER };
static enum outcome outcome_of(const Tycho__V1__Edge *edge)
{
	switch (edge->verdict) {
	case FLOW__VERDICT__FORWARDED:
	case FLOW__VERDICT__REDIRECTED:
	case FLOW__VERDICT__TRANSLATED:
	case FLOW__VERDICT__TRACED:
		return PASSED;
	case FLOW__VERDICT__DROPPED:
	case FLOW__VERDICT__ERROR:
		return DROPPED;
	case FLOW__VERDICT__AUDIT:
		return AUDITED;
	default:
		return OTHER;
	}
}
static const char *const colours[] = {
	[PASSED] = "#2e7d32", [DROPPED] = "#c62828", [AUDITED] = "#ef6c00", [OTHER] = "#616161"
};

static void put_label(struct buf *b, const Tycho__V1__Edge *edge,
		      void (*text)(struct buf *b, const char *text))
{
	if (edge->port)
		buf_printf(b, "%u/", edge->port);
	text(b, edge->protocol);
	buf_printf(b, " %llu", (unsigned long long)edge->flows);
	if (outcome_of(edge) != PASSED) {
		buf_char(b, ' ');
		enum_put(b, &flow__verdict__descriptor, (int32_t)edge->verdict);
	}
	if (edge->n_policies) {
		buf_lit(b, " by ");
		text(b, edge->policies[0]);
	}
}

static void dot_text(struct buf *b, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			buf_char(b, '\\');
		buf_char(b, (unsigned char)*text < ' ' ? ' ' : *text);
	}
}

static void dot_group(struct buf *b, size_t number, const Tycho__V1__Peer *p, struct naming naming)
{
	buf_printf(b, "\tsubgraph cluster_%zu {\n\t\tlabel=\"", number);
	put_namespace(b, p, naming, dot_text);
	buf_lit(b, "\";\n");
}

static void dot_node(struct buf *b, size_t number, const Tycho__V1__Peer *p, struct naming naming)
{
	buf_printf(b, "\t\tn%zu [label=\"", number);
	put_workload(b, p, naming, dot_text);
	if (p->n_dns_names) {
		buf_lit(b, "\\n");
		dot_text(b, p->dns_names[0]);
	}
	buf_lit(b, "\"];\n");
}

static void dot_edge(struct buf *b, size_t number, size_t from, size_t to,
		     const Tycho__V1__Edge *edge)
{
	enum outcome o = outcome_of(edge);

	(void)number;
	buf_printf(b, "\tn%zu -> n%zu [label=\"", from, to);
	put_label(b, edge, dot_text);
	buf_printf(b, "\", color=\"%s\", style=%s];\n", colours[o],
		   o == PASSED ? "solid" : "dashed");
}

/* Mermaid's entity codes. */
static void mermaid_text(struct buf *b, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '#' || *text == '<' || *text == '>' || *text == '|')
			buf_printf(b, "#%d;", *text);
		else
			buf_char(b, (unsigned char)*text < ' ' ? ' ' : *text);
	}
}

static void mermaid_group(struct buf *b, size_t number, const Tycho__V1__Peer *p,
			  struct naming naming)
{
	buf_printf(b, "\tsubgraph g%zu [\"", number);
	put_namespace(b, p, naming, mermaid_text);
	buf_lit(b, "\"]\n");
}

static void mermaid_node(struct buf *b, size_t number, const Tycho__V1__Peer *p,
			 struct naming naming)
{
	buf_printf(b, "\t\tn%zu[\"", number);
	put_workload(b, p, naming, mermaid_text);
	if (p->n_dns_names) {
		buf_lit(b, "<br/>");
		mermaid_text(b, p->dns_names[0]);
	}
	buf_lit(b, "\"]\n");
}

static void mermaid_edge(struct buf *b, size_t number, size_t from, size_t to,
			 const Tycho__V1__Edge *edge)
{
	enum outcome o = outcome_of(edge);

	buf_printf(b, "\tn%zu %s|\"", from, o == PASSED ? "-->" : "-.->");
	put_label(b, edge, mermaid_text);
	buf_printf(b, "\"| n%zu\n\tlinkStyle %zu stroke:%s\n", to, number, colours[o]);
}

static const struct language dot = {
	.open = "digraph flows {\n\trankdir=LR;\n\tnode [shape=box];\n",
	.close = "}\n",
	.group = dot_group,
	.group_close = "\t}\n",
	.node = dot_node,
	.edge = dot_edge,
};
static const struct language mermaid = {
	.open = "flowchart LR\n",
	.close = "",
	.group = mermaid_group,
	.group_close = "\tend\n",
	.node = mermaid_node,
	.edge = mermaid_edge,
};

static size_t number_of(Tycho__V1__Peer *const *nodes, size_t count, Tycho__V1__Peer *peer)
{
	Tycho__V1__Peer *const *at = bsearch(&peer, nodes, count, sizeof *nodes, compare_nodes);

	return (size_t)(at - nodes);
}

static bool is_new_group(const Tycho__V1__Peer *before, const Tycho__V1__Peer *p)
{
	return !before || strcmp(before->cluster, p->cluster) != 0 ||
	       strcmp(before->namespace_, p->namespace_) != 0;
}

static enum err_code draw(struct buf *out, const struct map_edges *edges, const struct language *in,
			  struct err *e)
{
	size_t count;
	AUTO(own_free) Tycho__V1__Peer **nodes = nodes_of(edges, &count);
	bool is_open = false;

	if (!nodes)
		return err_set(e, ERR_NOMEM, "nodes of the map");
	struct naming naming = naming_of(nodes, count);
	buf_str_put(out, str_of(in->open));
	for (size_t i = 0; i < count; i++) {
		if (is_new_group(i ? nodes[i - 1] : NULL, nodes[i])) {
			if (is_open)
				buf_str_put(out, str_of(in->group_close));
			is_open = *nodes[i]->namespace_;
			if (is_open)
				in->group(out, i, nodes[i], naming);
		}
		in->node(out, i, nodes[i], naming);
	}
	if (is_open)
		buf_str_put(out, str_of(in->group_close));
	for (size_t i = 0; i < edges->count; i++)
		in->edge(out, i, number_of(nodes, count, edges->list[i]->source),
			 number_of(nodes, count, edges->list[i]->destination), edges->list[i]);
	buf_str_put(out, str_of(in->close));
	return full(out, e);
}

enum err_code map_put_dot(struct buf *out, const struct map_edges *edges, struct err *e)
{
	return draw(out, edges, &dot, e);
}

enum err_code map_put_mermaid(struct buf *out, const struct map_edges *edges, struct err *e)
{
	return draw(out, edges, &mermaid, e);
}
