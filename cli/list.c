#include <stdio.h>

#include "base/time.h"
#include "cli/command.h"
#include "cli/connect.h"
#include "cli/report.h"
#include "flow/json.h"
#include "flow/text_table.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"

enum { ANSWER_MAX_BYTES = 4 << 20, TEXT_MAX_BYTES = 64 << 20 };

static const struct flag_def list_defs[] = {
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_STRING,
	  .def = "table",
	  .placeholder = "FORMAT",
	  .values = "json table wide",
	  .help = "Output format: json, table, wide (a table with more columns)" },
};
static const struct flag_set list_flags = { "Formatting", list_defs, ARRAY_LEN(list_defs) };

/* One call without a request; what the format asks for comes from @put_rows, JSON from the messages
 * in field 1. */
struct listing {
	const char *method;
	const ProtobufCMessageDescriptor *item;
	enum err_code (*put_rows)(struct buf *b, struct str answer, bool wide, struct err *e);
	int (*compare)(const void *a,
		       const void *b); /* of two struct str, messages; NULL: as they came */
};

static enum err_code put_json(struct buf *out, const struct listing *l, struct str answer,
			      struct err *e)
{
	struct wire_reader r = wire_reader_of(answer);
	struct wire_field field;
	size_t count = 0;
	AUTO(own_free) struct str *items = calloc(answer.len + 1, sizeof *items);

	if (!items)
		return err_set(e, ERR_NOMEM, "list");
	while (wire_next(&r, &field))
		if (field.number == 1 && field.type == WIRE_LEN)
			items[count++] = field.bytes;
	if (r.bad)
		return err_set(e, ERR_PARSE, "the server's answer cannot be read");
	if (l->compare)
		qsort(items, count, sizeof *items, l->compare);
	buf_str_put(out, count ? STR("[\n") : STR("null\n"));
	for (size_t i = 0; i < count; i++) {
		buf_lit(out, "  ");
		if (json_put_message_indented(out, l->item, items[i], "  ", "  ", e) != ERR_OK)
			return e->code;
		buf_str_put(out, i + 1 < count ? STR(",\n") : STR("\n]\n"));
	}
	return ERR_OK;
}

static enum err_code run_list(const struct cli *cli, const struct listing *l, struct err *e)
{
	AUTO_CONNECTION struct connection c = { 0 };
	AUTO_BUF struct buf answer = buf_init(ANSWER_MAX_BYTES), rows = buf_init(TEXT_MAX_BYTES),
			    out = buf_init(TEXT_MAX_BYTES);
	const char *format = flags_text(cli->flags, "output");
	bool wide = strcmp(format, "wide") == 0;

	if (connection_open(cli->settings, &c, e) != ERR_OK ||
	    connection_call(&c, cli->settings, l->method, STR(""), &answer, e) != ERR_OK)
		return e->code;
	if (strcmp(format, "json") == 0) {
		if (put_json(&out, l, buf_str(&answer), e) != ERR_OK)
			return e->code;
	} else if (wide || strcmp(format, "table") == 0) {
		if (l->put_rows(&rows, buf_str(&answer), wide, e) != ERR_OK)
			return e->code;
		if (rows.failed || !text_table_put(&out, buf_str(&rows)))
			return err_set(e, ERR_NOMEM, "table");
	} else {
		return err_set(e, ERR_INVALID, "unknown output format: %s", format);
	}
	return cli_write(buf_str(&out), e);
}

/* --- nodes --- */

static const char *state_text(Relay__NodeState state)
{
	switch (state) {
	case RELAY__NODE_STATE__NODE_CONNECTED:
		return "Connected";
	case RELAY__NODE_STATE__NODE_UNAVAILABLE:
		return "Unavailable";
	case RELAY__NODE_STATE__NODE_GONE:
		return "Gone";
	case RELAY__NODE_STATE__NODE_ERROR:
		return "Error";
	default:
		return "Unknown";
	}
}

static void put_node(struct buf *b, const Observer__Node *n, bool wide)
{
	uint64_t uptime_s = n->uptime_ns > INT64_MAX ? 0 : (n->uptime_ns + NS_PER_S / 2) / NS_PER_S;

	report_text(b, n->name);
	buf_printf(b, "\t%s\t", state_text(n->state));
	if (uptime_s) {
		duration_put(b, (int64_t)(uptime_s * NS_PER_S));
		if (n->max_flows || n->seen_flows)
			buf_printf(b, "\t%.2f\t", (double)n->seen_flows / (double)uptime_s);
		else /* the counts are not for who asks */
			buf_lit(b, "\tN/A\t");
	} else {
		buf_lit(b, "N/A\tN/A\t");
	}
	if (n->max_flows)
		buf_printf(b, "%llu/%llu (%6.2f%%)", (unsigned long long)n->num_flows,
			   (unsigned long long)n->max_flows,
			   (double)n->num_flows / (double)n->max_flows * 100);
	else
		buf_lit(b, "N/A");
	if (wide) {
		buf_char(b, '\t');
		report_text(b, *n->version ? n->version : "N/A");
		buf_char(b, '\t');
		report_text(b, n->address);
		buf_printf(b, "\t%s", !n->tls ? "N/A" : n->tls->enabled ? "Enabled" : "Disabled");
	}
	buf_char(b, '\n');
}

static int by_node_name(const void *a, const void *b)
{
	return strcmp((*(Observer__Node *const *)a)->name, (*(Observer__Node *const *)b)->name);
}

/* Nodes as wire bytes, by their name (field 1). */
static int by_wire_name(const void *a, const void *b)
{
	struct str name_a = STR(""), name_b = STR("");

	(void)wire_find(*(const struct str *)a, 1, &name_a);
	(void)wire_find(*(const struct str *)b, 1, &name_b);
	return str_cmp(name_a, name_b);
}

static enum err_code put_nodes(struct buf *b, struct str answer, bool wide, struct err *e)
{
	Observer__GetNodesResponse *r =
		observer__get_nodes_response__unpack(NULL, answer.len, (const uint8_t *)answer.p);

	if (!r)
		return err_set(e, ERR_PARSE, "the server's list of nodes cannot be read");
	if (r->n_nodes)
		qsort(r->nodes, r->n_nodes, sizeof(Observer__Node *), by_node_name);
	buf_lit(b, "NAME\tSTATUS\tAGE\tFLOWS/S\tCURRENT/MAX-FLOWS");
	buf_str_put(b, wide ? STR("\tVERSION\tADDRESS\tTLS\n") : STR("\n"));
	for (size_t i = 0; i < r->n_nodes; i++)
		put_node(b, r->nodes[i], wide);
	observer__get_nodes_response__free_unpacked(r, NULL);
	return ERR_OK;
}

static enum err_code list_nodes(struct cli *cli, struct err *e)
{
	static const struct listing nodes = { "/observer.Observer/GetNodes",
					      &observer__node__descriptor, put_nodes,
					      by_wire_name };

	return run_list(cli, &nodes, e);
}

/* --- namespaces --- */

static enum err_code put_namespaces(struct buf *b, struct str answer, bool wide, struct err *e)
{
	Observer__GetNamespacesResponse *r = observer__get_namespaces_response__unpack(
		NULL, answer.len, (const uint8_t *)answer.p);

	if (!r)
		return err_set(e, ERR_PARSE, "the server's list of namespaces cannot be read");
	buf_str_put(b, wide ? STR("NAMESPACE\tCLUSTER\n") : STR("NAMESPACE\n"));
	for (size_t i = 0; i < r->n_namespaces; i++) {
		report_text(b, r->namespaces[i]->namespace_);
		if (wide && *r->namespaces[i]->cluster) {
			buf_char(b, '\t');
			report_text(b, r->namespaces[i]->cluster);
		}
		buf_char(b, '\n');
	}
	observer__get_namespaces_response__free_unpacked(r, NULL);
	return ERR_OK;
}

static enum err_code list_namespaces(struct cli *cli, struct err *e)
{
	static const struct listing namespaces = { "/observer.Observer/GetNamespaces",
						   &observer__namespace__descriptor, put_namespaces,
						   NULL };

	return run_list(cli, &namespaces, e);
}

static const struct flag_set *const list_sets[] = { &list_flags };

static const struct command list_nodes_command = {
	.name = "nodes",
	.alias = "node",
	.help = "List nodes",
	.details =
		"Lists the nodes that a relay knows, or the observer's own, with what they hold.",
	.sets = list_sets,
	.set_count = ARRAY_LEN(list_sets),
	.ignores_words = true,
	.uses_server = true,
	.run = list_nodes,
};

static const struct command list_namespaces_command = {
	.name = "namespaces",
	.help = "List namespaces with recent flows",
	.details = "Lists the namespaces that flows came from or went to in the last hour.",
	.sets = list_sets,
	.set_count = ARRAY_LEN(list_sets),
	.ignores_words = true,
	.uses_server = true,
	.run = list_namespaces,
};

static const struct command *const list_children[] = { &list_namespaces_command,
						       &list_nodes_command };

const struct command list_command = {
	.name = "list",
	.help = "List nodes or namespaces",
	.ignores_words = true,
	.children = list_children,
	.child_count = ARRAY_LEN(list_children),
};
