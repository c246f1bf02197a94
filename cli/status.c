#include <stdio.h>

#include "base/time.h"
#include "cli/command.h"
#include "cli/connect.h"
#include "cli/report.h"
#include "flow/json.h"
#include "flow/names.h"
#include "flow/text_table.h"
#include "grpc/health/v1/health.pb-c.h"
#include "observer/observer.pb-c.h"

enum { ANSWER_MAX_BYTES = 4 << 20 }; /* gRPC's default */

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

static enum err_code put_status(struct buf *out, const char *format, struct str answer,
				struct err *e)
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
	} else if (strcmp(format, "dict") == 0) {
		put_values(out, s, labels, "\n", "\n");
	} else if (strcmp(format, "tab") == 0 || strcmp(format, "table") == 0) {
		buf_lit(&rows, "NUM FLOWS\tMAX FLOWS\tSEEN FLOWS\tFLOWS PER SECOND\tUPTIME\tNUM "
			       "CONNECTED NODES\tNUM UNAVAILABLE NODES\tVERSION\n");
		put_values(&rows, s, NULL, "\t", "\n");
		if (!text_table_put(out, buf_str(&rows)))
			code = err_set(e, ERR_NOMEM, "table");
	} else if (strcmp(format, "json") == 0 || strcmp(format, "JSON") == 0 ||
		   strcmp(format, "jsonpb") == 0) {
		code = json_put_message(out, &observer__server_status_response__descriptor, answer,
					e);
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

static enum err_code run_status(struct cli *cli, struct err *e)
{
	AUTO_CONNECTION struct connection c = { 0 };
	AUTO_BUF struct buf word = buf_init(256), line = buf_init(4096),
			    answer = buf_init(ANSWER_MAX_BYTES),
			    out = buf_init(4 * ANSWER_MAX_BYTES);
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
	if (put_status(&out, format, buf_str(&answer), e) != ERR_OK)
		return e->code;
	return cli_write(buf_str(&out), e);
}

static const struct flag_set *const status_sets[] = { &status_flags };

const struct command status_command = {
	.name = "status",
	.help = "Show the status of an observer or relay",
	.details = "Shows whether the server is up, how much of its memory is used and how many "
		   "flows it sees. A basic test of the connection.",
	.sets = status_sets,
	.set_count = ARRAY_LEN(status_sets),
	.ignores_words = true,
	.uses_server = true,
	.run = run_status,
};
