/* The printers, against recorded output of the reference (golden/cases.tsv: areas print, timefmt,
 * color, events) and the examples of hubble-cli.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/time.h"
#include "flow/dict.h"
#include "flow/json.h"
#include "flow/print.h"
#include "flow/text_table.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "recorded.h"

enum { FILE_BYTES = 1 << 24 };

static enum err_code write_buf(void *ctx, struct str bytes, struct err *e)
{
	(void)e;
	buf_str_put(ctx, bytes);
	return ERR_OK;
}

/* A printer that writes to memory. */
struct paper {
	struct buf out, status;
	struct flow_dict *dict;
	struct flow_printer *printer;
};

static void paper_done(struct paper *p)
{
	flow_printer_free(p->printer);
	flow_dict_free(p->dict);
	buf_done(&p->out);
	buf_done(&p->status);
}

#define AUTO_PAPER __attribute__((cleanup(paper_done)))

static void paper_init(struct paper *p, struct flow_printer_options options, size_t dict_size)
{
	struct err e;

	*p = (struct paper){ .out = buf_init(SIZE_MAX), .status = buf_init(SIZE_MAX) };
	assert_int_equal(flow_dict_new(dict_size, &p->dict, &e), ERR_OK);
	options.dict = p->dict;
	options.out = (struct print_sink){ write_buf, &p->out };
	options.status = (struct print_sink){ write_buf, &p->status };
	assert_int_equal(flow_printer_new(&options, &p->printer, &e), ERR_OK);
}

/* Prints @json, read as @desc, by @print. */
static void print_with(struct paper *p, const ProtobufCMessageDescriptor *desc, struct str json,
		       enum err_code (*print)(struct flow_printer *, struct str, struct err *))
{
	AUTO_BUF struct buf wire = buf_init(SIZE_MAX);
	struct err e;

	if (json_read_message(json, desc, NULL, &wire, NULL, &e) != ERR_OK ||
	    print(p->printer, buf_str(&wire), &e) != ERR_OK)
		fail_msg("%.*s: %s", STR_FMT(json), e.msg);
}

static enum err_code print_response(struct flow_printer *p, struct str response, struct err *e)
{
	return flow_printer_response(p, response, NULL, e);
}

static void put(struct paper *p, const char *response)
{
	print_with(p, &observer__get_flows_response__descriptor, str_of(response), print_response);
}

static void put_agent_event(struct paper *p, const char *response)
{
	print_with(p, &observer__get_agent_events_response__descriptor, str_of(response),
		   flow_printer_agent_event);
}

static void put_debug_event(struct paper *p, const char *response)
{
	print_with(p, &observer__get_debug_events_response__descriptor, str_of(response),
		   flow_printer_debug_event);
}

static const char *end_of(struct paper *p)
{
	struct err e;

	assert_int_equal(flow_printer_end(p->printer, &e), ERR_OK);
	return buf_cstr(&p->out);
}

/* --- recorded output ---------------------------------------------------------------- */

static enum flow_format format_of(struct str word)
{
	return str_is(word, "dict")                             ? FLOW_FORMAT_DICT
	       : str_is(word, "table") || str_is(word, "tab")   ? FLOW_FORMAT_TABLE
	       : str_is(word, "json") || str_is(word, "jsonpb") ? FLOW_FORMAT_JSON
								: FLOW_FORMAT_COMPACT;
}

/* Printer options from the case's arguments; false if it has others, which are the command line's
 * to test. */
static bool read_options(struct str argv, struct flow_printer_options *ret)
{
	json_t *list = json_loadb(argv.p, argv.len, 0, NULL);
	bool known = true;

	assert_non_null(list);
	for (size_t i = 0; i < json_array_size(list) && known; i++) {
		struct str arg = str_of(json_string_value(json_array_get(list, i)));
		struct str next = str_of(json_string_value(json_array_get(list, i + 1)));
		if (str_is(arg, "-o")) {
			ret->format = format_of(next);
			i++;
		} else if (str_is(arg, "--time-format")) {
			ret->time_format = time_format_parse(next);
			i++;
		} else if (str_is(arg, "--color")) {
			ret->color = str_eq_nocase(next, STR("always"));
			i++;
		} else if (str_is(arg, "--print-node-name")) {
			ret->node_name = true;
		} else if (str_is(arg, "--print-policy-names")) {
			ret->policy_names = true;
		} else if (str_is(arg, "--numeric") || str_is(arg, "--ip-translation=false")) {
			ret->numeric = true;
		} else if (str_is(arg, "-s")) {
			ret->status_quiet = true;
		} else {
			known = false;
		}
	}
	json_decref(list);
	return known;
}

enum { ID, AREA, ARGV, INPUT, EXIT, STDOUT, COLUMNS };

static bool area_is_ours(struct str area)
{
	return str_is(area, "print") || str_is(area, "timefmt") || str_is(area, "color") ||
	       str_is(area, "events");
}

/* @return true if the case was one of ours. */
static bool check_case(const struct str cells[COLUMNS], size_t dict_size)
{
	struct flow_printer_options options = { 0 };
	AUTO_PAPER struct paper paper;
	AUTO_BUF struct buf wire = buf_init(SIZE_MAX);
	struct str line, input = cells[INPUT];
	struct err e;

	paper_init(&paper, (struct flow_printer_options){ 0 }, 1);
	if (!area_is_ours(cells[AREA]) || !read_options(cells[ARGV], &options))
		return false;
	paper_done(&paper);
	paper_init(&paper, options, dict_size);
	if (str_has_prefix(input, STR("stdin:")))
		input = str_from(input, strlen("stdin:"));
	AUTO_BUF struct buf in = recorded_read("golden/%.*s", STR_FMT(input));
	AUTO_BUF struct buf expected = recorded_read("golden/%.*s", STR_FMT(cells[STDOUT]));
	struct str rest = str_trim(buf_str(&in));
	while (rest.len && str_split(&rest, '\n', &line)) {
		buf_reset(&wire);
		/* malformed lines are the command line's affair */
		if (json_read_message(line, &observer__get_flows_response__descriptor, NULL, &wire,
				      NULL, &e) != ERR_OK)
			continue;
		if (flow_printer_response(paper.printer, buf_str(&wire), NULL, &e) != ERR_OK)
			fail_msg("%.*s: %s", STR_FMT(cells[ID]), e.msg);
	}
	(void)end_of(&paper);
	if (!str_eq(buf_str(&paper.out), buf_str(&expected)))
		fail_msg("%.*s: output differs", STR_FMT(cells[ID]));
	return true;
}

static void output_is_the_references_to_the_byte(void **state)
{
	AUTO_BUF struct buf cases = recorded_read("golden/cases.tsv");
	struct str line, rest = buf_str(&cases);
	size_t checked = 0;
	(void)state;

	while (str_split(&rest, '\n', &line)) {
		struct str cells[COLUMNS];
		int n = 0;
		while (n < COLUMNS && str_split(&line, '\t', &cells[n]))
			n++;
		/* every tenth with a dictionary that overflows all the time: names survive it */
		if (n == COLUMNS)
			checked += check_case(cells, checked % 10 == 0 ? 2 : 100000);
	}
	assert_true(checked > 100);
}

/* --- what no recording shows -------------------------------------------------------- */

#define AGENT(event)                                                                               \
	"{\"agent_event\":{" event "},\"node_name\":\"n1\",\"time\":\"2025-11-20T20:47:22.152Z\"}"
#define DEBUG_EVENT(event)                                                                         \
	"{\"debug_event\":{" event "},\"node_name\":\"n1\",\"time\":\"2025-11-20T20:47:22.152Z\"}"

/* WriteProtoAgentEvent and WriteProtoDebugEvent of the reference's printer: whatever the format. */
static void a_response_without_its_event_is_refused(void **state)
{
	const struct str node_only = STR("\xc2\x3e\x02n1"); /* node_name, 1000 */
	struct err e;
	(void)state;

	for (enum flow_format f = FLOW_FORMAT_COMPACT; f <= FLOW_FORMAT_JSON_LEGACY; f++) {
		AUTO_PAPER struct paper p;
		paper_init(&p, (struct flow_printer_options){ .format = f }, 8);
		assert_int_equal(flow_printer_agent_event(p.printer, node_only, &e), ERR_PARSE);
		assert_string_equal(e.msg, "not an agent event");
		assert_int_equal(flow_printer_debug_event(p.printer, node_only, &e), ERR_PARSE);
		assert_string_equal(e.msg, "not a debug event");
		assert_string_equal(end_of(&p), "");
	}
}

static void agent_events_tell_what_happened(void **state)
{
	AUTO_PAPER struct paper p;
	(void)state;

	paper_init(&p, (struct flow_printer_options){ 0 }, 8);
	put_agent_event(&p,
			AGENT("\"type\":2,\"agent_start\":{\"time\":\"2023-11-14T22:13:20Z\"}"));
	put_agent_event(&p, AGENT("\"type\":3,\"policy_update\":{\"labels\":[\"k8s:a=b\"],"
				  "\"revision\":7,\"rule_count\":2}"));
	put_agent_event(
		&p,
		AGENT("\"type\":9,\"ipcache_update\":{\"cidr\":\"10.0.0.9/32\",\"identity\":501,"
		      "\"old_identity\":5,\"host_ip\":\"192.168.1.1\",\"encrypt_key\":3}"));
	put_agent_event(&p, AGENT("\"unknown\":{\"type\":\"T\",\"notification\":\"{}\"}"));
	put_agent_event(&p, AGENT("\"type\":6,\"endpoint_regenerate\":{\"id\":4,\"labels\":[\"a\","
				  "\"b\"],\"error\":\"E\\u001b[0m\"}"));
	put_agent_event(&p, AGENT("\"type\":7,\"endpoint_update\":{\"id\":4,\"namespace\":\"X\","
				  "\"pod_name\":\"Y\"}"));
	put_agent_event(&p, AGENT("\"type\":11,\"service_upsert\":{\"id\":4}"));
	/* Hubble 1.19: getAgentEventDetails in hubble/pkg/printer/printer.go */
	put_agent_event(&p, AGENT("\"type\":11,\"service_upsert\":{\"id\":4,"
				  "\"frontend_address\":{\"ip\":\"fd00::1\",\"port\":80},"
				  "\"backend_addresses\":[{\"ip\":\"10.0.0.1\",\"port\":8080},{}],"
				  "\"type\":\"ClusterIP\",\"traffic_policy\":\"Local\","
				  "\"name\":\"web\",\"namespace\":\"shop\"}"));
	put_agent_event(&p, AGENT("\"type\":12,\"service_delete\":{\"id\":4}"));
	put_agent_event(&p, AGENT("\"type\":12,\"service_upsert\":{\"id\":4}"));
	put_agent_event(&p, AGENT("\"type\":2,\"policy_update\":{}"));
	put_agent_event(&p, "{\"agent_event\":{}}");
	assert_string_equal(
		end_of(&p),
		"Nov 20 20:47:22.152: AGENT_STARTED (start time: Nov 14 22:13:20.000)\n"
		"Nov 20 20:47:22.152: POLICY_UPDATED (labels: [k8s:a=b], revision: 7, count: 2)\n"
		"Nov 20 20:47:22.152: IPCACHE_UPSERTED (cidr: 10.0.0.9/32, identity: 501, old "
		"identity: 5, "
		"host ip: 192.168.1.1, encrypt key: 3)\n"
		"Nov 20 20:47:22.152: AGENT_EVENT_UNKNOWN (type: T, notification: {})\n"
		"Nov 20 20:47:22.152: ENDPOINT_REGENERATE_FAILURE (id: 4, labels: [a,b], error: "
		"E^[[0m)\n"
		"Nov 20 20:47:22.152: ENDPOINT_CREATED (id: 4, namespace: X, pod name: Y)\n"
		"Nov 20 20:47:22.152: SERVICE_UPSERTED (id: 4)\n"
		"Nov 20 20:47:22.152: SERVICE_UPSERTED (id: 4, frontend: [fd00::1]:80, backends: "
		"[10.0.0.1:8080,:0], type: ClusterIP, traffic policy: Local, namespace: shop, "
		"name: web)\n"
		"Nov 20 20:47:22.152: SERVICE_DELETED (id: 4)\n"
		"Nov 20 20:47:22.152: SERVICE_DELETED (UNKNOWN)\n"
		"Nov 20 20:47:22.152: AGENT_STARTED (UNKNOWN)\n"
		"N/A: AGENT_EVENT_UNKNOWN (UNKNOWN)\n");
}

static void agent_events_fit_the_other_formats(void **state)
{
	static const char event[] =
		AGENT("\"type\":2,\"agent_start\":{\"time\":\"2023-11-14T22:13:20Z\"}");
	AUTO_PAPER struct paper table, dict, node, json, legacy;
	(void)state;

	paper_init(&table, (struct flow_printer_options){ .format = FLOW_FORMAT_TABLE }, 8);
	put_agent_event(&table, event);
	assert_string_equal(
		end_of(&table),
		"TIMESTAMP             TYPE            DETAILS\n"
		"Nov 20 20:47:22.152   AGENT_STARTED   start time: Nov 14 22:13:20.000\n");
	paper_init(&dict, (struct flow_printer_options){ .format = FLOW_FORMAT_DICT }, 8);
	put_agent_event(&dict, event);
	put_agent_event(&dict, event);
	assert_string_equal(end_of(&dict), "  TIMESTAMP: Nov 20 20:47:22.152\n"
					   "       TYPE: AGENT_STARTED\n"
					   "    DETAILS: start time: Nov 14 22:13:20.000\n"
					   "------------  TIMESTAMP: Nov 20 20:47:22.152\n"
					   "       TYPE: AGENT_STARTED\n"
					   "    DETAILS: start time: Nov 14 22:13:20.000\n");
	paper_init(&node, (struct flow_printer_options){ .node_name = true }, 8);
	put_agent_event(&node, event);
	assert_string_equal(
		end_of(&node),
		"Nov 20 20:47:22.152 [n1]: AGENT_STARTED (start time: Nov 14 22:13:20.000)\n");
	paper_init(&json, (struct flow_printer_options){ .format = FLOW_FORMAT_JSON }, 8);
	put_agent_event(&json, event);
	assert_string_equal(end_of(&json),
			    "{\"agent_event\":{\"type\":\"AGENT_STARTED\",\"agent_start\":{"
			    "\"time\":\"2023-11-14T22:13:20Z\"}},"
			    "\"node_name\":\"n1\",\"time\":\"2025-11-20T20:47:22.152Z\"}\n");
	/* Hubble 1.19: JSONLegacyOutput in hubble/pkg/printer/printer.go, the event alone */
	paper_init(&legacy, (struct flow_printer_options){ .format = FLOW_FORMAT_JSON_LEGACY }, 8);
	put_agent_event(&legacy, event);
	put_debug_event(&legacy, DEBUG_EVENT("\"type\":6,\"message\":\"m\""));
	assert_string_equal(end_of(&legacy), "{\"type\":\"AGENT_STARTED\",\"agent_start\":{"
					     "\"time\":\"2023-11-14T22:13:20Z\"}}\n"
					     "{\"type\":\"DBG_CT_LOOKUP\",\"message\":\"m\"}\n");
}

static void debug_events_tell_from_where(void **state)
{
	static const char event[] =
		DEBUG_EVENT("\"type\":6,\"source\":{\"ID\":12},\"hash\":43981,\"cpu\":2,"
			    "\"message\":\"CT lookup: sport=0 dport=1 nexthdr=0 flags=RELATED\"");
	AUTO_PAPER struct paper compact, table, dict;
	(void)state;

	paper_init(&compact, (struct flow_printer_options){ 0 }, 8);
	put_debug_event(&compact, event);
	put_debug_event(
		&compact,
		DEBUG_EVENT("\"source\":{\"ID\":12,\"namespace\":\"ns\",\"pod_name\":\"pod\"}"));
	put_debug_event(&compact,
			DEBUG_EVENT("\"source\":{\"ID\":12,\"labels\":[\"reserved:host\"]}"));
	put_debug_event(&compact,
			DEBUG_EVENT("\"source\":{\"ID\":12,\"labels\":[\"reserved:host\",\"x\"]}"));
	put_debug_event(&compact, "{\"debug_event\":{}}");
	assert_string_equal(
		end_of(&compact),
		"Nov 20 20:47:22.152: ID: 12 DBG_CT_LOOKUP MARK: 0xabcd CPU: 02 "
		"(CT lookup: sport=0 dport=1 nexthdr=0 flags=RELATED)\n"
		"Nov 20 20:47:22.152: ns/pod (ID: 12) DBG_EVENT_UNKNOWN MARK: N/A CPU: N/A ()\n"
		"Nov 20 20:47:22.152: reserved:host (ID: 12) DBG_EVENT_UNKNOWN MARK: N/A CPU: N/A "
		"()\n"
		"Nov 20 20:47:22.152: ID: 12 DBG_EVENT_UNKNOWN MARK: N/A CPU: N/A ()\n"
		"N/A: N/A DBG_EVENT_UNKNOWN MARK: N/A CPU: N/A ()\n");
	paper_init(&table, (struct flow_printer_options){ .format = FLOW_FORMAT_TABLE }, 8);
	put_debug_event(&table, event);
	assert_string_equal(
		end_of(&table),
		"TIMESTAMP             FROM        TYPE            CPU/MARK    MESSAGE\n"
		"Nov 20 20:47:22.152   ID: 12      DBG_CT_LOOKUP   02 0xabcd   CT lookup: sport=0 "
		"dport=1 nexthdr=0 flags=RELATED\n");
	paper_init(&dict,
		   (struct flow_printer_options){ .format = FLOW_FORMAT_DICT, .node_name = true },
		   8);
	put_debug_event(&dict, event);
	assert_string_equal(end_of(&dict),
			    "  TIMESTAMP: Nov 20 20:47:22.152\n"
			    "       NODE: n1\n"
			    "       TYPE: DBG_CT_LOOKUP\n"
			    "       FROM: ID: 12\n"
			    "       MARK: 0xabcd\n"
			    "        CPU: 02\n"
			    "    MESSAGE: CT lookup: sport=0 dport=1 nexthdr=0 flags=RELATED\n");
}

#define STATUS(status)                                                                             \
	"{\"node_status\":{" status                                                                \
	"},\"node_name\":\"node-a\",\"time\":\"2025-11-20T20:47:29.094Z\"}"

static void node_status_goes_to_the_other_sink(void **state)
{
	static const char *const events[] = {
		STATUS("\"state_change\":\"NODE_CONNECTED\",\"node_names\":[\"node-a\"]"),
		STATUS("\"state_change\":\"NODE_UNAVAILABLE\",\"node_names\":[\"other/node-b\"]"),
		STATUS("\"state_change\":\"NODE_GONE\",\"node_names\":[\"edge/n1\"]"),
		STATUS("\"state_change\":\"NODE_ERROR\",\"node_names\":[\"edge/n1\",\"edge/"
		       "n2\"],\"message\":\"boom \\\"x\\\"\""),
		STATUS("\"state_change\":77,\"node_names\":[\"x\"]"),
	};
	AUTO_PAPER struct paper some, all, none, legacy;
	(void)state;

	paper_init(&some, (struct flow_printer_options){ 0 }, 8);
	paper_init(&all, (struct flow_printer_options){ .status_all = true }, 8);
	paper_init(&none, (struct flow_printer_options){ .status_all = true, .status_quiet = true },
		   8);
	paper_init(&legacy, (struct flow_printer_options){ .format = FLOW_FORMAT_JSON_LEGACY }, 8);
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		put(&some, events[i]);
		put(&all, events[i]);
		put(&none, events[i]);
		put(&legacy, events[i]);
	}
	/* status is not held back */
	assert_string_equal(buf_cstr(&some.status),
			    "Nov 20 20:47:29.094 [node-a]: 1 nodes are unavailable: other/node-b\n"
			    "Nov 20 20:47:29.094 [node-a]: Error \"boom \\\"x\\\"\" on 2 nodes: "
			    "edge/n1, edge/n2\n");
	assert_string_equal(buf_cstr(&all.status),
			    "Nov 20 20:47:29.094 [node-a]: Receiving flows from 1 nodes: node-a\n"
			    "Nov 20 20:47:29.094 [node-a]: 1 nodes are unavailable: other/node-b\n"
			    "Nov 20 20:47:29.094 [node-a]: 1 nodes removed from cluster: edge/n1\n"
			    "Nov 20 20:47:29.094 [node-a]: Error \"boom \\\"x\\\"\" on 2 nodes: "
			    "edge/n1, edge/n2\n"
			    "Nov 20 20:47:29.094 [node-a]: unknown node status event: "
			    "state_change:77 node_names:\"x\"\n");
	assert_int_equal(none.status.len, 0);
	assert_int_equal(legacy.status.len, 0);
	assert_string_equal(end_of(&all), "");
}

/* %q and strconv.Quote in Cilium 1.19.4's hubble/pkg/printer/printer.go. */
static void messages_of_nodes_are_quoted_as_go_does(void **state)
{
	static const char event[] = STATUS("\"state_change\":\"NODE_ERROR\",\"node_names\":[\"n\"],"
					   "\"message\":\"\\t\\u001b\\u009b\\u202e\\u00e9\"");
	AUTO_PAPER struct paper line, dict;
	(void)state;

	paper_init(&line, (struct flow_printer_options){ 0 }, 8);
	paper_init(&dict, (struct flow_printer_options){ .format = FLOW_FORMAT_DICT }, 8);
	put(&line, event);
	put(&dict, event);
	assert_string_equal(buf_cstr(&line.status), "Nov 20 20:47:29.094 [node-a]: Error "
						    "\"\\t\\x1b\\u009b\\u202eé\" on 1 nodes: n\n");
	assert_string_equal(buf_cstr(&dict.status), "  TIMESTAMP: Nov 20 20:47:29.094\n"
						    "      STATE: NODE_ERROR\n"
						    "      NODES: n\n"
						    "    MESSAGE: "
						    "\"\\t\\x1b\\u009b\\u202eé\"\n");
}

static void a_decoded_flow_prints_like_its_bytes(void **state)
{
	static const char text[] = "{\"flow\":{\"verdict\":200,\"IP\":{\"source\":\"fd00::5\","
				   "\"destination\":\"fd00::9\"},"
				   "\"l4\":{\"TCP\":{\"source_port\":40004,\"destination_port\":"
				   "70000}},\"source\":{\"identity\":4001},"
				   "\"destination\":{\"pod_name\":\"a/../"
				   "b\",\"namespace\":\"n\"},\"Summary\":\"s\\r\"}}";
	static const char line[] =
		"N/A: [fd00::5]:40004 (ID:4001) <> n/b:70000 (unknown) UNKNOWN 200 (s\\r)\n";
	AUTO_PAPER struct paper p;
	AUTO_BUF struct buf wire = buf_init(SIZE_MAX);
	struct flow_response r;
	struct flow f;
	struct err e;
	(void)state;

	paper_init(&p, (struct flow_printer_options){ 0 }, 8);
	assert_int_equal(json_read_message(str_of(text), &observer__get_flows_response__descriptor,
					   NULL, &wire, NULL, &e),
			 ERR_OK);
	assert_int_equal(flow_response_split(buf_str(&wire), &r, &e), ERR_OK);
	assert_int_equal(flow_decode(r.message, p.dict, &f, &e), ERR_OK);
	assert_int_equal(flow_printer_response(p.printer, buf_str(&wire), &f, &e), ERR_OK);
	assert_int_equal(flow_printer_flush(p.printer, &e), ERR_OK);
	assert_string_equal(buf_cstr(&p.out), line);
	buf_reset(&p.out);
	put(&p, text);
	assert_string_equal(end_of(&p), line);
}

/* Hubble 1.19 names no policies in drops, whatever they carry (hubble/pkg/printer/printer.go,
 * getVerdict); what Tycho derived is shown, and as such. */
static void policies_of_drops_are_named_and_derived_ones_marked(void **state)
{
	static const char text[] =
		"{\"flow\":{\"verdict\":\"DROPPED\",\"IP\":{\"source\":\"10.0.0.5\","
		"\"destination\":\"10.0.0.9\"},\"l4\":{\"TCP\":{\"source_port\":4000,"
		"\"destination_port\":80}},\"Type\":\"L3_L4\",\"event_type\":{\"type\":1,"
		"\"sub_type\":133},\"drop_reason_desc\":\"POLICY_DENIED\","
		"\"ingress_denied_by\":[{\"name\":\"db\",\"namespace\":\"n\",\"labels\":%s,"
		"\"kind\":\"NetworkPolicy\"}],\"Summary\":\"s\"}}";
	static const struct {
		const char *labels, *shown;
		bool names;
	} cases[] = {
		{ "[\"tycho:derived\"]", " BY db (NetworkPolicy) [derived]", true },
		{ "[\"k8s:x=y\"]", "", true },
		{ "[\"tycho:derived\"]", "", false },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_PAPER struct paper p;
		char response[1024], line[256];

		(void)snprintf(response, sizeof response, text, cases[i].labels);
		(void)snprintf(line, sizeof line,
			       "N/A: 10.0.0.5:4000 (unknown) <> 10.0.0.9:80 (unknown) Policy "
			       "denied DROPPED%s (s)\n",
			       cases[i].shown);
		paper_init(&p, (struct flow_printer_options){ .policy_names = cases[i].names }, 8);
		put(&p, response);
		assert_int_equal(flow_printer_flush(p.printer, NULL), ERR_OK);
		assert_string_equal(buf_cstr(&p.out), line);
	}
}

static void paths_of_pods_are_cleaned_as_go_does(void **state)
{
	/* path.Join(namespace, pod) */
	static const char *const cases[][3] = {
		{ "a", "b", "a/b" },   { "", "b", "b" },        { "", "b//c/", "b/c" },
		{ "a", "..", "." },    { "a", "../..", ".." },  { "/a", "..", "/" },
		{ "/", "../b", "/b" }, { "..", "b", "../b" },   { "a", "./b", "a/b" },
		{ ".", ".", "." },     { "..", "..", "../.." }, { "a", ".b", "a/.b" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_PAPER struct paper p;
		char text[256], expected[256];
		paper_init(&p, (struct flow_printer_options){ 0 }, 8);
		(void)snprintf(text, sizeof text,
			       "{\"flow\":{\"IP\":{},\"source\":{\"namespace\":\"%s\",\"pod_name\":"
			       "\"%s\"}}}",
			       cases[i][0], cases[i][1]);
		(void)snprintf(expected, sizeof expected,
			       "N/A: %s (unknown) <>  (unknown) UNKNOWN VERDICT_UNKNOWN ()\n",
			       cases[i][2]);
		put(&p, text);
		assert_string_equal(end_of(&p), expected);
	}
}

static void responses_without_content_print_nothing(void **state)
{
	AUTO_PAPER struct paper p;
	struct err e;
	(void)state;

	paper_init(&p, (struct flow_printer_options){ .format = FLOW_FORMAT_TABLE }, 8);
	put(&p, "{}");
	put(&p, "{\"node_name\":\"n\"}");
	print_with(&p, &observer__export_event__descriptor, STR("{\"agent_event\":{}}"),
		   print_response);
	assert_int_equal(flow_printer_response(p.printer, STR("\x0a"), NULL, &e), ERR_PARSE);
	assert_int_equal(flow_printer_response(p.printer, STR("\x0a\x01\x0a"), NULL, &e),
			 ERR_PARSE);
	assert_string_equal(end_of(&p), "");
}

static enum err_code refuse(void *ctx, struct str bytes, struct err *e)
{
	(void)ctx;
	(void)bytes;
	return err_set(e, ERR_CLOSED, "gone");
}

static void a_closed_sink_ends_the_output(void **state)
{
	struct flow_printer_options options = { .out = { refuse, NULL },
						.status = { refuse, NULL } };
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_printer_free) struct flow_printer *p = NULL;
	AUTO_BUF struct buf wire = buf_init(SIZE_MAX);
	struct err e;
	(void)state;

	assert_int_equal(flow_dict_new(8, &dict, &e), ERR_OK);
	options.dict = dict;
	assert_int_equal(flow_printer_new(&options, &p, &e), ERR_OK);
	assert_int_equal(json_read_message(STR("{\"flow\":{}}"),
					   &observer__get_flows_response__descriptor, NULL, &wire,
					   NULL, &e),
			 ERR_OK);
	assert_int_equal(flow_printer_response(p, buf_str(&wire), NULL, &e), ERR_OK);
	assert_int_equal(flow_printer_flush(p, &e), ERR_CLOSED);
	assert_int_equal(flow_printer_flush(p, &e), ERR_OK); /* nothing is left */
	/* without a flush it is noticed when the buffer is full */
	size_t printed = 0;
	while (printed < 100000 && flow_printer_response(p, buf_str(&wire), NULL, &e) == ERR_OK)
		printed++;
	assert_int_equal(e.code, ERR_CLOSED);
	assert_in_range(printed, 100, 10000);
}

static void tables_follow_tabwriter(void **state)
{
	/* each by the rules of Go's text/tabwriter with minwidth 2, padding 3 */
	static const char *const cases[][2] = {
		{ "", "" },
		{ "a\n", "a\n" },
		{ "a\tb\nccc\td\n", "a     b\nccc   d\n" },
		{ "\tb\n", "   b\n" },
		{ "a\t\n", "a   \n" },
		{ "\xc3\xa9\tb\ncc\td\n", "\xc3\xa9    b\ncc   d\n" },
		/* a line without a cell in a column ends the column */
		{ "aaaa\tb\nx\nc\td\n", "aaaa   b\nx\nc   d\n" },
		{ "a\tbb\tc\naa\tb\nd\te\tf\n", "a    bb   c\naa   b\nd    e   f\n" },
		{ "aaaa\tb\fc\td\n", "aaaa   b\nc   d\n" },
		{ "a\vb\n", "a   b\n" },
	};
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf out = buf_init(SIZE_MAX);
		assert_true(text_table_put(&out, str_of(cases[i][0])));
		assert_string_equal(buf_cstr(&out), cases[i][1]);
	}
}

static void times_have_nine_formats(void **state)
{
	static const struct {
		const char *name, *text;
	} cases[] = {
		{ "StampMilli", "Mar  1 09:05:07.012" },
		{ "yearmonthday", "2024-03-01" },
		{ "YearMonthDayHour", "2024-03-01T09Z" },
		{ "YearMonthDayHourMinute", "2024-03-01T09:05Z" },
		{ "RFC3339", "2024-03-01T09:05:07Z" },
		{ "RFC3339Milli", "2024-03-01T09:05:07.012Z" },
		{ "RFC3339Micro", "2024-03-01T09:05:07.01234Z" },
		{ "RFC3339Nano", "2024-03-01T09:05:07.012340009Z" },
		{ "RFC1123Z", "Fri, 01 Mar 2024 09:05:07 +0000" },
		{ "nonsense", "Mar  1 09:05:07.012" },
	};
	struct timestamp t = { civil_to_s(2024, 3, 1, 9, 5, 7), 12340009 };
	(void)state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf out = buf_init(SIZE_MAX);
		time_format_put(&out, time_format_parse(str_of(cases[i].name)), t);
		assert_string_equal(buf_cstr(&out), cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_is_the_references_to_the_byte),
		cmocka_unit_test(a_response_without_its_event_is_refused),
		cmocka_unit_test(agent_events_tell_what_happened),
		cmocka_unit_test(agent_events_fit_the_other_formats),
		cmocka_unit_test(debug_events_tell_from_where),
		cmocka_unit_test(node_status_goes_to_the_other_sink),
		cmocka_unit_test(messages_of_nodes_are_quoted_as_go_does),
		cmocka_unit_test(a_decoded_flow_prints_like_its_bytes),
		cmocka_unit_test(policies_of_drops_are_named_and_derived_ones_marked),
		cmocka_unit_test(paths_of_pods_are_cleaned_as_go_does),
		cmocka_unit_test(responses_without_content_print_nothing),
		cmocka_unit_test(a_closed_sink_ends_the_output),
		cmocka_unit_test(tables_follow_tabwriter),
		cmocka_unit_test(times_have_nine_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
