#include <ctype.h>
#include <stdio.h>

#include "base/time.h"
#include "cli/command.h"
#include "cli/connect.h"
#include "cli/report.h"
#include "cli/status_history.h"
#include "flow/json.h"
#include "flow/names.h"
#include "flow/text_table.h"
#include "grpc/health/v1/health.pb-c.h"
#include "observer/observer.pb-c.h"

enum {
	ANSWER_MAX_BYTES = 4 << 20, /* gRPC's default */
	TEXT_MAX_BYTES = 256 << 20, /* with what a thousand nodes say */
};

static const struct flag_def status_defs[] = {
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_STRING,
	  .def = "compact",
	  .placeholder = "FORMAT",
	  .values = "compact dict json table",
	  .help = "Output format: compact, dict, json, table" },
};
static const struct flag_set status_flags = { "Formatting", status_defs, ARRAY_LEN(status_defs) };

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_rate(struct buf *b, double per_second)
{
	if (per_second > 0)
		buf_printf(b, "%.2f", per_second);
	else
		buf_lit(b, "N/A");
}

static void put_node_count(struct buf *b, const Google__Protobuf__UInt32Value *v)
{
	if (v)
		buf_u64(b, v->value);
	else
		buf_lit(b, "N/A");
}

static void put_compact(struct buf *b, const Observer__ServerStatusResponse *s)
{
	double rate = s->flows_rate;

	buf_lit(b, "Current/Max Flows: ");
	buf_grouped(b, s->num_flows);
	buf_char(b, '/');
	buf_grouped(b, s->max_flows);
	if (s->max_flows)
		buf_printf(b, " (%.2f%%)", (double)s->num_flows / (double)s->max_flows * 100);
	buf_lit(b, "\nFlows/s: ");
	if (rate > 0 || (int64_t)s->uptime_ns <= 0)
		put_rate(b, rate);
	else
		buf_printf(b, "%.2f",
			   (double)s->seen_flows / ((double)s->uptime_ns / (double)NS_PER_S));
	buf_char(b, '\n');
	if (s->num_connected_nodes) {
		buf_printf(b, "Connected Nodes: %u", s->num_connected_nodes->value);
		if (s->num_unavailable_nodes)
			buf_printf(b, "/%u",
				   s->num_connected_nodes->value + s->num_unavailable_nodes->value);
		buf_char(b, '\n');
	}
	if (!s->num_unavailable_nodes || !s->num_unavailable_nodes->value)
		return;
	buf_printf(b, "Unavailable Nodes: %u\n", s->num_unavailable_nodes->value);
	for (size_t i = 0; i < s->n_unavailable_nodes; i++) {
		buf_lit(b, "  - ");
		report_text(b, s->unavailable_nodes[i]);
		buf_char(b, '\n');
	}
	if (s->n_unavailable_nodes && s->num_unavailable_nodes->value > s->n_unavailable_nodes)
		buf_printf(b, "  - and %zu more...\n",
			   s->num_unavailable_nodes->value - s->n_unavailable_nodes);
}

/* The eight values, each after its label and before @after. */
static void put_values(struct buf *b, const Observer__ServerStatusResponse *s,
		       const char *const labels[8], const char *after, const char *last_after)
{
	for (size_t i = 0; i < 8; i++) {
		buf_str_put(b, str_of(labels ? labels[i] : ""));
		switch (i) {
		case 0:
			buf_grouped(b, s->num_flows);
			break;
		case 1:
			buf_grouped(b, s->max_flows);
			break;
		case 2:
			buf_grouped(b, s->seen_flows);
			break;
		case 3:
			put_rate(b, s->flows_rate);
			break;
		case 4:
			if (s->uptime_ns > INT64_MAX) /* no duration of Go's */
				buf_printf(b, "%lluns", (unsigned long long)s->uptime_ns);
			else
				duration_put(b, (int64_t)s->uptime_ns);
			break;
		case 5:
			put_node_count(b, s->num_connected_nodes);
			break;
		case 6:
			put_node_count(b, s->num_unavailable_nodes);
			break;
		default:
			report_text(b, s->version);
		}
		buf_str_put(b, str_of(i < 7 ? after : last_after));
	}
}

/* In front of a dict's values. */
enum { LABEL_COLUMNS = 19 };

static void put_dict_history(struct buf *b, const struct history *h)
{
	for (unsigned i = 0; i < STATUS_HISTORY_COUNT_; i++) {
		const char *label = status_history_label(i);
		buf_printf(b, "%*s", (int)(LABEL_COLUMNS - strlen(label)), "");
		for (; *label; label++)
			buf_char(b, (char)toupper((unsigned char)*label));
		buf_lit(b, ": ");
		status_history_put(b, h, i);
		buf_char(b, '\n');
	}
}

/* As further cells of the head's line or of the row below. */
static void put_cells(struct buf *b, const struct history *h, bool is_head)
{
	for (unsigned i = 0; h && i < STATUS_HISTORY_COUNT_; i++) {
		buf_char(b, '\t');
		for (const char *c = status_history_label(i); is_head && *c; c++)
			buf_char(b, (char)toupper((unsigned char)*c));
		if (!is_head)
			status_history_put(b, h, i);
	}
	buf_char(b, '\n');
}

/* One member more of the object that @b ends with: what each node said. */
static enum err_code put_json_history(struct buf *b, const struct history *h, struct err *e)
{
	if (!b->len || b->p[b->len - 1] != '}')
		return ERR_OK;
	b->len--;
	buf_str_put(b, b->len && b->p[b->len - 1] == '{' ? STR("\"history\":[")
							 : STR(",\"history\":["));
	for (size_t i = 0; i < h->count; i++) {
		const struct history_node *n = &h->nodes[i];
		if (i)
			buf_char(b, ',');
		if (json_put_message(b, &tycho__v1__get_coverage_response__descriptor,
				     str_upto(str_from(buf_str(&h->wire), n->at), n->len),
				     e) != ERR_OK)
			return e->code;
	}
	buf_lit(b, "]}");
	return ERR_OK;
}

/* @h NULL: the server knows none. */
static enum err_code put_status(struct buf *out, const char *format, struct str answer,
				const struct history *h, struct err *e)
{
	static const char *const labels[] = {
		"          NUM FLOWS: ", "          MAX FLOWS: ", "         SEEN FLOWS: ",
		"   FLOWS PER SECOND: ", "             UPTIME: ", "NUM CONNECTED NODES: ",
		" NUM UNAVAIL. NODES: ", "            VERSION: ",
	};
	Observer__ServerStatusResponse *s = observer__server_status_response__unpack(
		NULL, answer.len, (const uint8_t *)answer.p);
	AUTO_BUF struct buf rows = buf_init(ANSWER_MAX_BYTES);

	if (!s)
		return err_set(e, ERR_PARSE, "the server's status cannot be read");
	if (s->n_unavailable_nodes)
		qsort(s->unavailable_nodes, s->n_unavailable_nodes, sizeof *s->unavailable_nodes,
		      by_text);
	enum err_code code = ERR_OK;
	if (strcmp(format, "compact") == 0) {
		put_compact(out, s);
		if (h)
			status_history_put_lines(out, h);
	} else if (strcmp(format, "dict") == 0) {
		put_values(out, s, labels, "\n", "\n");
		if (h)
			put_dict_history(out, h);
	} else if (strcmp(format, "tab") == 0 || strcmp(format, "table") == 0) {
		buf_lit(&rows, "NUM FLOWS\tMAX FLOWS\tSEEN FLOWS\tFLOWS PER SECOND\tUPTIME\tNUM "
			       "CONNECTED NODES\tNUM UNAVAILABLE NODES\tVERSION");
		put_cells(&rows, h, true);
		put_values(&rows, s, NULL, "\t", "");
		put_cells(&rows, h, false);
		if (!text_table_put(out, buf_str(&rows)))
			code = err_set(e, ERR_NOMEM, "table");
	} else if (strcmp(format, "json") == 0 || strcmp(format, "JSON") == 0 ||
		   strcmp(format, "jsonpb") == 0) {
		code = json_put_message(out, &observer__server_status_response__descriptor, answer,
					e);
		if (code == ERR_OK && h)
			code = put_json_history(out, h, e);
		buf_char(out, '\n');
	} else {
		code = err_set(e, ERR_INVALID, "invalid output format: %s", format);
	}
	observer__server_status_response__free_unpacked(s, NULL);
	return code;
}

/* *@ret_healthy and the server's word for it. */
static enum err_code check_health(struct connection *c, const struct cli *cli, bool *ret_healthy,
				  struct buf *ret_word, struct err *e)
{
	Grpc__Health__V1__HealthCheckRequest request;
	char service[] =
		"hubble.server.Observer"; /* the name that observers and relays report under */
	uint8_t wire[64];
	AUTO_BUF struct buf answer = buf_init(ANSWER_MAX_BYTES);

	grpc__health__v1__health_check_request__init(&request);
	request.service = service;
	size_t len = grpc__health__v1__health_check_request__pack(&request, wire);
	if (connection_call(c, cli->settings, "/grpc.health.v1.Health/Check", str_n(wire, len),
			    &answer, e) != ERR_OK)
		return e->code;
	Grpc__Health__V1__HealthCheckResponse *r = grpc__health__v1__health_check_response__unpack(
		NULL, answer.len, (const uint8_t *)buf_str(&answer).p);
	if (!r)
		return err_set(e, ERR_PARSE, "the answer of the health check cannot be read");
	*ret_healthy =
		r->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
	if (*ret_healthy) {
		buf_lit(ret_word, "Ok");
	} else {
		buf_lit(ret_word, "Unavailable: ");
		enum_put(ret_word,
			 &grpc__health__v1__health_check_response__serving_status__descriptor,
			 (int32_t)r->status);
	}
	grpc__health__v1__health_check_response__free_unpacked(r, NULL);
	return ERR_OK;
}

/* False: the server knows none (Hubble's), or did not say, which is said on stderr: the status itself
 * is there. */
static void say_unknown(const char *why)
{
	AUTO_BUF struct buf text = buf_init(2 * ERR_MSG_BYTES);

	buf_printf(&text, "of history nothing is known: %s\n", why);
	cli_say(buf_str(&text));
}

static bool ask_history(const struct connection *c, const struct cli *cli, struct history *ret)
{
	struct timestamp now = timestamp_of(wall_now());
	const struct history_range last_day = {
		.has_since = true, .since = { now.s - STATUS_HISTORY_SPAN_S, now.ns }
	};
	struct err e;
	enum err_code code = history_ask_over(c, cli->settings, &last_day, ret, &e);

	if (code != ERR_OK && code != ERR_UNSUPPORTED)
		say_unknown(e.msg);
	return code == ERR_OK;
}

static enum err_code run_status(struct cli *cli, struct err *e)
{
	AUTO_CONNECTION struct connection c = { 0 };
	AUTO_HISTORY struct history h = { 0 };
	AUTO_BUF struct buf word = buf_init(256), line = buf_init(4096),
			    answer = buf_init(ANSWER_MAX_BYTES), out = buf_init(TEXT_MAX_BYTES);
	const char *format = flags_text(cli->flags, "output");
	bool healthy = false;

	if (connection_open(cli->settings, &c, e) != ERR_OK)
		return e->code;
	if (check_health(&c, cli, &healthy, &word, e) != ERR_OK)
		return err_in(e, "failed getting status");
	if (strcmp(format, "compact") == 0) {
		buf_printf(&line, "Healthcheck (via %s): %s\n", connection_target(cli->settings),
			   buf_cstr(&word));
		if (cli_write(buf_str(&line), e) != ERR_OK)
			return e->code;
	}
	if (!healthy)
		return err_set(e, ERR_UNAVAILABLE, "not healthy");
	if (connection_call(&c, cli->settings, "/observer.Observer/ServerStatus", STR(""), &answer,
			    e) != ERR_OK)
		return err_in(e, "failed to get hubble server status");
	bool knows_history = ask_history(&c, cli, &h);
	if (put_status(&out, format, buf_str(&answer), knows_history ? &h : NULL, e) != ERR_OK)
		return e->code;
	return cli_write(buf_str(&out), e);
}

static const struct flag_set *const status_sets[] = { &status_flags };

const struct command status_command = {
	.name = "status",
	.help = "Show the status of an observer or relay",
	.details = "Shows whether the server is up, how much of its memory is used and how many "
		   "flows it sees. A basic test of the connection. Of a server of Tycho's also the "
		   "history that it keeps: since when, how large, for how long, gaps of the last "
		   "24 hours ('tycho coverage' says which), when it was last signed, and whether "
		   "its store can write; through a relay, of all nodes together. -o json has it "
		   "node by node, as 'tycho coverage' does.",
	.sets = status_sets,
	.set_count = ARRAY_LEN(status_sets),
	.ignores_words = true,
	.uses_server = true,
	.run = run_status,
};
