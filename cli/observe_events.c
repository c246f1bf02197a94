/*
 * observe agent-events and observe debug-events: what the server's agent did, and what its datapath
 * says for debugging. Only servers have them (a relay does not), and no filter applies.
 */
#include "base/buf.h"
#include "cli/connect.h"
#include "cli/observe.h"
#include "flow/dict.h"
#include "observer/observer.pb-c.h"

enum { LAST_DEFAULT = 20, DICT_ENTRIES = 64, REQUEST_MAX_BYTES = 4096 };

struct event_kind {
	const char *method;
	enum err_code (*print)(struct flow_printer *p, struct str response, struct err *e);
};

struct event_stream {
	const struct event_kind *kind;
	struct flow_printer *printer;
};

static enum err_code on_message(void *ctx, struct str message, struct err *e)
{
	struct event_stream *s = ctx;

	return s->kind->print(s->printer, message, e);
}

static enum err_code on_pause(void *ctx, struct err *e)
{
	struct event_stream *s = ctx;

	return flow_printer_flush(s->printer, e);
}

/* GetAgentEventsRequest and GetDebugEventsRequest have the same fields with the same numbers. */
static void pack_request(const struct observe_request *r, struct buf *out)
{
	Observer__GetAgentEventsRequest request = OBSERVER__GET_AGENT_EVENTS_REQUEST__INIT;
	Google__Protobuf__Timestamp since = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	Google__Protobuf__Timestamp until = GOOGLE__PROTOBUF__TIMESTAMP__INIT;

	request.number = r->number;
	request.follow = r->follow;
	since.seconds = r->since.s;
	since.nanos = r->since.ns;
	until.seconds = r->until.s;
	until.nanos = r->until.ns;
	request.since = r->has_since ? &since : NULL;
	request.until = r->has_until ? &until : NULL;
	char *to =
		buf_reserve(out, observer__get_agent_events_request__get_packed_size(&request) + 1);
	if (to)
		out->len = observer__get_agent_events_request__pack(&request, (uint8_t *)to);
}

static enum err_code observe_events(struct cli *cli, const struct event_kind *kind, struct err *e)
{
	AUTO_OBSERVE_REQUEST struct observe_request r = { 0 };
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_printer_free) struct flow_printer *printer = NULL;
	AUTO_BUF struct buf request = buf_init(REQUEST_MAX_BYTES);
	struct flow_printer_options options;

	if (observe_read_format(cli, &options, e) != ERR_OK ||
	    observe_read_times(cli, &r, e) != ERR_OK)
		return e->code;
	r.follow = flags_bool(cli->flags, "follow");
	r.number = flags_u64(cli->flags, "last");
	if (!r.has_since && (!r.has_until || r.follow)) {
		if (flags_bool(cli->flags, "all"))
			r.number = UINT64_MAX;
		else if (!r.number)
			r.number = LAST_DEFAULT;
	}
	pack_request(&r, &request);
	if (flow_dict_new(DICT_ENTRIES, &dict, e) != ERR_OK ||
	    observe_printer_new(&options, dict, &printer, e) != ERR_OK)
		return e->code;
	struct event_stream stream = { kind, printer };
	const struct stream_handler handler = { on_message, on_pause, &stream };
	enum err_code code =
		connection_stream(cli->settings, kind->method, buf_str(&request), &handler, e);
	if (code == ERR_CLOSED)
		return code;
	if (code == ERR_CANCELLED) /* as of flows */
		code = ERR_OK;
	struct err at_end;
	if (flow_printer_end(printer, &at_end) != ERR_OK && code == ERR_OK) {
		*e = at_end;
		return e->code;
	}
	return code;
}

static enum err_code observe_agent_events(struct cli *cli, struct err *e)
{
	static const struct event_kind kind = { "/observer.Observer/GetAgentEvents",
						flow_printer_agent_event };

	return observe_events(cli, &kind, e);
}

static enum err_code observe_debug_events(struct cli *cli, struct err *e)
{
	static const struct event_kind kind = { "/observer.Observer/GetDebugEvents",
						flow_printer_debug_event };

	return observe_events(cli, &kind, e);
}

static const struct flag_set *const event_sets[] = { &selector_flags, &formatting_flags,
						     &other_flags };

const struct command observe_agent_events_command = {
	.name = "agent-events",
	.help = "Observe events of the agent",
	.details = "Shows what the server's agent did: its start, policy changes, endpoints that "
		   "came and went. Relays have no such events.",
	.sets = event_sets,
	.set_count = ARRAY_LEN(event_sets),
	.ignores_words = true,
	.uses_server = true,
	.run = observe_agent_events,
};

const struct command observe_debug_events_command = {
	.name = "debug-events",
	.help = "Observe debug events of the datapath",
	.details = "Shows the debug messages of the server's datapath. Relays have no such events.",
	.sets = event_sets,
	.set_count = ARRAY_LEN(event_sets),
	.ignores_words = true,
	.uses_server = true,
	.run = observe_debug_events,
};
