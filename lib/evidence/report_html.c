/* The report as a page: one file, nothing fetched, nothing run; wide tables, so print is landscape.
 * What comes from elsewhere goes through put_html; a browser is told to run nothing all the same.
 */
#include "evidence/report_inside.h"

#include <jansson.h>
#include <stdio.h>

#include "evidence/text.h"
#include "store/store.h"

static const char style[] =
	":root{--ink:#1d2733;--soft:#5b6875;--line:#d8dee5;--wash:#f4f6f8;--good:#1b7340;--bad:#"
	"b3261e;"
	"--warn:#8a5a00}\n"
	"*{box-sizing:border-box}\n"
	"body{font:14px/1.45 system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;color:var(--ink);"
	"background:#fff;margin:0 auto;padding:2.5em 2em;max-width:86em}\n"
	"header{border-bottom:3px solid var(--ink);padding-bottom:1em;margin-bottom:1.5em}\n"
	".brand{font-size:.8em;letter-spacing:.12em;text-transform:uppercase;color:var(--soft)}\n"
	"h1{font-size:2em;line-height:1.2;margin:.1em 0 .3em}\n"
	"h2{font-size:1.25em;margin:2em 0 .2em}\n"
	"h2+p{margin:.1em 0 .8em;color:var(--soft)}\n"
	".scope{font-size:1.1em;margin:0;white-space:pre-wrap}\n"
	".tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:1em;margin:0 0 1.5em}\n"
	".tile{border:1px solid var(--line);border-top:3px solid var(--soft);padding:.7em 1em}\n"
	".tile b{display:block;font-size:1.8em;line-height:1.2;font-variant-numeric:tabular-nums}\n"
	".tile span{color:var(--soft)}\n"
	".tile.good{border-top-color:var(--good)}.tile.bad{border-top-color:var(--bad)}"
	".tile.warn{border-top-color:var(--warn)}\n"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:.15em 1.2em;margin:0}\n"
	"dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\n"
	"table{border-collapse:collapse;width:100%;margin:.6em 0 0}\n"
	"th,td{text-align:left;vertical-align:top;padding:.35em .7em;border-bottom:1px solid "
	"var(--line)}\n"
	"th{white-space:nowrap;font-weight:600;background:var(--wash);border-bottom:2px solid "
	"var(--soft)}\n"
	"td{overflow-wrap:anywhere;min-width:5em;unicode-bidi:isolate}\n"
	"td.s,td.t,td.n{white-space:nowrap;min-width:0;font-variant-numeric:tabular-nums}\n"
	"td.n,th.n{text-align:right}\n"
	"td.w{min-width:9em}\n"
	"td.k{font:.85em/1.5 ui-monospace,'DejaVu Sans Mono',monospace;word-break:break-all}\n"
	".v{display:inline-block;padding:0 .5em;border-radius:.6em;border:1px "
	"solid;font-size:.85em;"
	"color:var(--good)}\n"
	".v.d{color:var(--bad)}.v.a{color:var(--warn)}\n"
	".bad{color:var(--bad)}.none{color:var(--soft)}\n"
	"footer{margin-top:2.5em;border-top:1px solid "
	"var(--line);padding-top:.8em;color:var(--soft)}\n"
	"@media screen and (max-width:80em){td.t{white-space:normal;min-width:6.5em}}\n"
	"@page{size:A4 landscape;margin:12mm}\n"
	"@media print{body{font-size:8.5pt;padding:0;max-width:none}"
	"h2{break-after:avoid}h2+p{break-after:avoid}thead{display:table-header-group}"
	"tr,.tile{break-inside:avoid}th,.tile,.v{print-color-adjust:exact;"
	"-webkit-print-color-adjust:exact}}\n";

/* --- texts --- */

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
		case '\'':
			buf_lit(b, "&#39;");
			break;
		case '\n':
			buf_lit(b, "<br>");
			break;
		default:
			buf_char(b, s.p[i]);
		}
}

/* @kind: of the style, or "". @rows: how many it is beside. */
static void put_cell_over(struct buf *b, const char *kind, size_t rows, struct str s)
{
	buf_lit(b, "<td");
	if (*kind)
		buf_printf(b, " class=%s", kind);
	if (rows > 1)
		buf_printf(b, " rowspan=%zu", rows);
	buf_char(b, '>');
	if (s.len)
		put_html(b, s);
	else
		buf_lit(b, "<span class=none>–</span>");
	buf_lit(b, "</td>");
}

static void put_cell(struct buf *b, const char *kind, struct str s)
{
	put_cell_over(b, kind, 1, s);
}

/* 2026-11-21 06:51:19: the page says once that all times are UTC. */
static void put_time_cell(struct buf *b, struct str rfc3339)
{
	struct wall_ns t;
	char text[40];
	struct buf to = buf_fixed(text, sizeof text);

	if (!time_parse(rfc3339, &t)) {
		put_cell(b, "t", rfc3339);
		return;
	}
	timestamp_put(&to, timestamp_of((struct wall_ns){ t.v / NS_PER_S * NS_PER_S }));
	struct str s = buf_str(&to); /* with a T and a Z */
	buf_lit(b, "<td class=t>");
	buf_str_put(b, str_upto(s, 10));
	buf_char(b, ' ');
	buf_str_put(b, str_n(s.p + 11, s.len - 12));
	buf_lit(b, "</td>");
}

static void put_wall_cell(struct buf *b, struct wall_ns t)
{
	char text[40];
	struct buf to = buf_fixed(text, sizeof text);

	if (t.v)
		timestamp_put(&to, timestamp_of(t));
	put_time_cell(b, buf_str(&to));
}

static void put_count_cell(struct buf *b, uint64_t v)
{
	buf_lit(b, "<td class=n>");
	buf_grouped(b, v);
	buf_lit(b, "</td>");
}

static void put_fact(struct buf *b, const char *what, struct str value)
{
	buf_printf(b, "<dt>%s</dt><dd>", what);
	put_html(b, value.len ? value : STR("–"));
	buf_lit(b, "</dd>\n");
}

static void put_section(struct buf *b, const char *title, const char *what)
{
	buf_printf(b, "<h2>%s</h2>\n<p>%s</p>\n", title, what);
}

/* @heads: names of columns, those of numbers with a '#' in front; up to NULL. */
static void begin_table(struct buf *b, const char *const *heads)
{
	buf_lit(b, "<table><thead><tr>");
	for (; *heads; heads++)
		if (**heads == '#')
			buf_printf(b, "<th class=n>%s</th>", *heads + 1);
		else
			buf_printf(b, "<th>%s</th>", *heads);
	buf_lit(b, "</tr></thead><tbody>\n");
}

static void end_table(struct buf *b, size_t from, unsigned columns, const char *none)
{
	if (b->len == from)
		buf_printf(b, "<tr><td colspan=%u class=none>%s</td></tr>\n", columns, none);
	buf_lit(b, "</tbody></table>\n");
}

static struct str member(const json_t *j, const char *name)
{
	return str_of(json_string_value(json_object_get(j, name)));
}

/* --- tables --- */

static int compare_edges(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	if (x->is_drop != y->is_drop)
		return x->is_drop ? -1 : 1;
	if (x->flows != y->flows)
		return x->flows > y->flows ? -1 : 1;
	return str_cmp(x->key, y->key);
}

/* Neither of what would have been denied, nor of what failed. */
static bool is_good(struct str verdict)
{
	return !str_eq(verdict, STR("AUDIT")) && !str_eq(verdict, STR("ERROR"));
}

static void put_edges(const struct report *r, bool drops, struct buf *b)
{
	const char *const heads[] = {
		"From",   "To",    "Service", "Verdict", drops ? "Denied by" : "Allowed by",
		"#Flows", "First", "Last",    NULL
	};

	begin_table(b, heads);
	size_t before = b->len;
	for (size_t i = 0; i < r->count; i++) {
		const struct edge *edge = &r->edges[i];
		struct str rest = edge->key, cell[COLUMNS_] = { { "", 0 } };
		if (edge->is_drop != drops)
			continue;
		for (size_t c = FROM; c < COLUMNS_ && str_split(&rest, 0, &cell[c]); c++)
			;
		buf_lit(b, "<tr>");
		put_cell(b, "w", cell[FROM]);
		put_cell(b, "w", cell[TO]);
		put_cell(b, "s", cell[SERVICE]);
		buf_printf(b, "<td class=s><span class=\"v%s\">",
			   drops                    ? " d"
			   : is_good(cell[VERDICT]) ? ""
						    : " a");
		put_html(b, cell[VERDICT]);
		buf_lit(b, "</span></td>");
		put_cell(b, "", cell[BY]);
		put_count_cell(b, edge->flows);
		put_wall_cell(b, edge->first);
		put_wall_cell(b, edge->last);
		buf_lit(b, "</tr>\n");
	}
	end_table(b, before, 8, "None.");
}

static void put_nodes(const struct report_node *nodes, size_t count, struct buf *b)
{
	static const char *const heads[] = { "Node",  "#Flows",  "Oldest record", "Newest record",
					     "Clock", "Program", "Key (SHA-256)", NULL };

	put_section(b, "Nodes", "Who was asked, and by which key each answer is signed.");
	begin_table(b, heads);
	size_t before = b->len;
	for (size_t i = 0; i < count; i++) {
		const struct report_node *node = &nodes[i];
		buf_lit(b, "<tr>");
		put_cell(b, "w", node->name);
		if (!node->statement.len) {
			buf_lit(b, "<td colspan=6 class=bad>did not answer: ");
			put_html(b, node->error);
			buf_lit(b, "</td></tr>\n");
			continue;
		}
		json_t *j = json_loadb(node->statement.p, node->statement.len, 0, NULL);
		put_count_cell(b, node->flows);
		put_time_cell(b, member(j, "oldest"));
		put_time_cell(b, member(j, "newest"));
		put_cell(b, "s",
			 json_is_true(json_object_get(json_object_get(j, "clock"), "synchronized"))
				 ? STR("synchronized")
				 : STR("not synchronized"));
		put_cell(b, "s", member(j, "version"));
		put_cell(b, "k", node->fingerprint);
		buf_lit(b, "</tr>\n");
		json_decref(j);
	}
	end_table(b, before, 7, "None.");
}

/* --- what is missing --- */

/* Does the asked range begin before the record does, or all of it lie there? *@ret_to: up to when.
 */
static bool lies_before(const json_t *j, struct str *ret_to)
{
	struct wall_ns since, until, oldest = { UINT64_MAX };
	struct str to = member(j, "oldest");
	bool is_any = time_parse(to, &oldest);
	bool is_late = !is_any || (time_parse(member(j, "since"), &since) && since.v < oldest.v);

	if (time_parse(member(j, "until"), &until) && until.v < oldest.v) {
		to = member(j, "until");
		is_late = true;
	}
	*ret_to = to;
	return is_late;
}

/* A clock that was set back loses nothing. */
static bool is_loss(const json_t *gap)
{
	return !str_is(member(gap, "cause"), store_gap_cause_name(STORE_GAP_CLOCK));
}

static uint64_t count_gaps(const json_t *j)
{
	struct str to;
	json_t *gap;
	uint64_t count = lies_before(j, &to);
	size_t i;

	json_array_foreach(json_object_get(j, "gaps"), i, gap) count += is_loss(gap);
	return count;
}

static void put_lost_cell(const json_t *gap, struct buf *b)
{
	struct str lost = member(gap, "lost");
	uint64_t count;

	if (!is_loss(gap))
		put_cell(b, "n", STR("none"));
	else if (str_eq(lost, STR("0")))
		put_cell(b, "n", STR("not known"));
	else if (parse_u64(lost, UINT64_MAX, &count))
		put_count_cell(b, count);
	else
		put_cell(b, "n", lost);
}

/* A row of what is missing as a whole. */
static void put_missing(struct buf *b, struct str node, const char *cause, struct str from,
			struct str to, struct str detail)
{
	buf_lit(b, "<tr>");
	put_cell(b, "w", node);
	put_cell(b, "s", str_of(cause));
	put_time_cell(b, from);
	put_time_cell(b, to);
	put_cell(b, "n", STR("not known"));
	put_cell(b, "", detail);
	buf_lit(b, "</tr>\n");
}

static void put_gaps(const struct report_node *node, struct buf *b)
{
	json_t *j = json_loadb(node->statement.p, node->statement.len, 0, NULL), *gap;
	struct str to;
	size_t i;

	if (lies_before(j, &to))
		put_missing(b, node->name, "no record", member(j, "since"), to,
			    STR("the record begins later than was asked"));
	json_array_foreach(json_object_get(j, "gaps"), i, gap)
	{
		buf_lit(b, "<tr>");
		put_cell(b, "w", node->name);
		put_cell(b, "s", member(gap, "cause"));
		put_time_cell(b, member(gap, "from"));
		put_time_cell(b, member(gap, "to"));
		put_lost_cell(gap, b);
		put_cell(b, "", member(gap, "detail"));
		buf_lit(b, "</tr>\n");
	}
	json_decref(j);
}

static void put_coverage(const struct report_scope *scope, const struct report_node *nodes,
			 size_t count, struct buf *b)
{
	static const char *const heads[] = { "Node",          "Cause",  "From", "To",
					     "#Records lost", "Detail", NULL };

	put_section(b, "What is not covered",
		    "Where the record has gaps, as the nodes know and have signed it, and the "
		    "nodes that did not answer.");
	begin_table(b, heads);
	size_t before = b->len;
	for (size_t i = 0; i < count; i++)
		if (nodes[i].statement.len)
			put_gaps(&nodes[i], b);
		else
			put_missing(b, nodes[i].name, "no answer", scope->since, scope->until,
				    nodes[i].error);
	end_table(b, before, 6, "No gap is known in this range.");
}

/* --- policies --- */

/* One policy at one node, for one time. */
struct policy_row {
	json_t *j; /* without the policy's text */
	struct str node;
	struct str from, to; /* to "": still in force */
};

/* What makes two of them the same policy; all but the last are shown. */
static const char *const policy_members[] = { "kind", "namespace", "name", "resource_version",
					      "sha256" };

static int compare_policies(const struct policy_row *x, const struct policy_row *y)
{
	int order = 0;

	for (size_t i = 0; i < ARRAY_LEN(policy_members) && !order; i++)
		order = str_cmp(member(x->j, policy_members[i]), member(y->j, policy_members[i]));
	return order;
}

/* To the second, as they are shown: nodes hear of a policy a little apart. */
static int compare_times(const struct policy_row *x, const struct policy_row *y)
{
	enum { UP_TO_THE_SECOND = 19 }; /* 2026-11-21T06:51:19 */
	int order =
		str_cmp(str_upto(x->from, UP_TO_THE_SECOND), str_upto(y->from, UP_TO_THE_SECOND));

	return order ? order
		     : str_cmp(str_upto(x->to, UP_TO_THE_SECOND),
			       str_upto(y->to, UP_TO_THE_SECOND));
}

static int compare_policy_rows(const void *a, const void *b)
{
	const struct policy_row *x = a, *y = b;
	int order = compare_policies(x, y);

	order = order ? order : compare_times(x, y);
	return order ? order : str_cmp(x->node, y->node);
}

/* Those of @count rows, which are of one policy and time. */
static void put_policy_nodes(const struct policy_row *rows, size_t count, size_t answered,
			     struct buf *b)
{
	size_t nodes = 1;

	for (size_t i = 1; i < count; i++)
		nodes += !str_eq(rows[i].node, rows[i - 1].node);
	buf_lit(b, "<td class=w>");
	if (nodes > 1 && nodes == answered) {
		buf_printf(b, "all %zu", nodes);
		count = 0;
	}
	for (size_t i = 0; i < count; i++) {
		if (i && str_eq(rows[i].node, rows[i - 1].node))
			continue;
		buf_str_put(b, i ? STR(", ") : STR(""));
		put_html(b, rows[i].node);
	}
	buf_lit(b, "</td>");
}

/* Of one policy: a row for each time that it was in force. */
static void put_policy(const struct policy_row *rows, size_t count, size_t answered, struct buf *b)
{
	size_t times = 1;

	for (size_t i = 1; i < count; i++)
		times += compare_times(&rows[i], &rows[i - 1]) != 0;
	buf_lit(b, "<tr>");
	for (size_t i = 0; i + 1 < ARRAY_LEN(policy_members); i++)
		put_cell_over(b, i == 3 ? "s" : "", times, member(rows->j, policy_members[i]));
	for (size_t from = 0, to; from < count; from = to) {
		for (to = from + 1; to < count && !compare_times(&rows[to], &rows[from]);)
			to++;
		buf_str_put(b, from ? STR("<tr>") : STR(""));
		put_policy_nodes(&rows[from], to - from, answered, b);
		put_time_cell(b, rows[from].from);
		put_time_cell(b, rows[from].to);
		buf_lit(b, "</tr>\n");
	}
}

static size_t read_policies(const struct report_node *node, struct policy_row *rows)
{
	struct str lines = node->policies, line;
	size_t count = 0;

	while (lines.len && str_split(&lines, '\n', &line) && line.len) {
		json_t *j = json_loadb(line.p, line.len, 0, NULL);

		(void)json_object_del(j, "text");
		rows[count++] =
			(struct policy_row){ j, node->name, member(j, "from"), member(j, "to") };
	}
	return count;
}

static void put_policies(const struct report_scope *scope, const struct report_node *nodes,
			 size_t node_count, struct buf *b)
{
	static const char *const heads[] = { "Kind",  "Namespace",     "Name", "Version",
					     "Nodes", "In force from", "To",   NULL };
	size_t lines = 0, count = 0, answered = 0;

	put_section(b, "Policies in force",
		    scope->redacted.len
			    ? "Their texts name what is redacted, and were left out; their sums "
			      "are in the bundle, as policies.jsonl."
			    : "Their texts are in the bundle, as policies.jsonl.");
	begin_table(b, heads);
	size_t before = b->len;
	for (size_t i = 0; i < node_count; i++) {
		answered += nodes[i].statement.len != 0;
		for (size_t k = 0; k < nodes[i].policies.len; k++)
			lines += nodes[i].policies.p[k] == '\n';
		lines++; /* an end without a newline */
	}
	AUTO(own_free) struct policy_row *rows = calloc(lines + 1, sizeof *rows);
	if (!rows) {
		b->failed = true;
		return;
	}
	for (size_t i = 0; i < node_count; i++)
		count += read_policies(&nodes[i], rows + count);
	if (count)
		qsort(rows, count, sizeof *rows, compare_policy_rows);
	for (size_t from = 0, to; from < count; from = to) {
		for (to = from + 1; to < count && !compare_policies(&rows[to], &rows[from]);)
			to++;
		put_policy(&rows[from], to - from, answered, b);
	}
	end_table(b, before, 7, "None is known.");
	for (size_t i = 0; i < count; i++)
		json_decref(rows[i].j);
}

/* --- the head --- */

static void put_tile(struct buf *b, const char *kind, uint64_t number, const char *of,
		     const char *what)
{
	buf_printf(b, "<div class=\"tile %s\"><b>", kind);
	buf_grouped(b, number);
	buf_printf(b, "%s</b><span>%s</span></div>\n", of, what);
}

static void put_tiles(const struct report *r, const struct report_node *nodes, size_t count,
		      struct buf *b)
{
	uint64_t answered = 0, gaps = 0;
	char of[40];

	for (size_t i = 0; i < count; i++) {
		json_t *j = json_loadb(nodes[i].statement.p, nodes[i].statement.len, 0, NULL);
		answered += nodes[i].statement.len != 0;
		gaps += j ? count_gaps(j) : 0;
		json_decref(j);
	}
	(void)snprintf(of, sizeof of, " of %zu", count);
	buf_lit(b, "<div class=tiles>\n");
	put_tile(b, "", r->flows, "", "flows");
	put_tile(b, r->dropped ? "bad" : "good", r->dropped, "", "of them dropped");
	put_tile(b, answered < count ? "bad" : "good", answered, of, "nodes answered");
	put_tile(b, gaps ? "warn" : "good", gaps, "", "known gaps in the record");
	buf_lit(b, "</div>\n");
}

static void put_head(const struct report *r, const struct report_scope *scope,
		     const struct report_node *nodes, size_t count, struct buf *b)
{
	buf_lit(b, "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
		   "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; "
		   "style-src 'unsafe-inline'\">"
		   "<title>Network flows: evidence</title>\n<style>");
	buf_str_put(b, str_n(style, sizeof style - 1));
	buf_lit(b, "</style></head>\n<body><header><div class=brand>Tycho · evidence</div>"
		   "<h1>Network flows</h1>\n<p class=scope>");
	put_html(b, scope->words);
	buf_lit(b, "</p></header>\n");
	put_tiles(r, nodes, count, b);
	buf_lit(b, "<dl>\n");
	put_fact(b, "From", scope->since.len ? scope->since : STR("the oldest record"));
	put_fact(b, "To", scope->until);
	put_fact(b, "Redacted", scope->redacted.len ? scope->redacted : STR("nothing"));
	put_fact(b, "Made", scope->created);
	put_fact(b, "By", scope->tool);
	buf_lit(b, "</dl>\n");
}

static int by_name(const void *a, const void *b)
{
	const struct report_node *x = a, *y = b;

	return str_cmp(x->name, y->name);
}

void report_put_html(struct report *r, const struct report_scope *scope, struct report_node *nodes,
		     size_t node_count, struct buf *b)
{
	if (node_count)
		qsort(nodes, node_count, sizeof *nodes, by_name);
	if (r->count)
		qsort(r->edges, r->count, sizeof *r->edges, compare_edges);
	put_head(r, scope, nodes, node_count, b);
	put_nodes(nodes, node_count, b);
	put_coverage(scope, nodes, node_count, b);
	put_section(b, "Denied",
		    "Who was kept from whom, by which policy, or else for which reason.");
	put_edges(r, true, b);
	put_section(b, "Who talked to whom",
		    "Answers count with the questions: who asked stands first.");
	put_edges(r, false, b);
	if (r->beyond) {
		buf_lit(b, "<p class=bad>");
		buf_grouped(b, r->beyond);
		buf_lit(b, " more flows are in the bundle; this page has room for ");
		buf_grouped(b, REPORT_EDGES);
		buf_lit(b, " different rows.</p>\n");
	}
	put_policies(scope, nodes, node_count, b);
	buf_lit(b, "<footer>All times are UTC. This page is for reading: what proves it are the "
		   "other files of the bundle, and <code>tycho evidence verify</code> checks "
		   "them.</footer>\n</body></html>\n");
}
