#include "flow/print.h"

#include <stdio.h>

#include "base/terminal.h"
#include "flow/dict.h"
#include "flow/json.h"
#include "flow/print_in.h"
#include "flow/text_table.h"

#include "observer/observer.pb-c.h"

enum { FLUSH_BYTES = 64 << 10 };

/* --- sinks -------------------------------------------------------------------------- */

static enum err_code write_fd(void *ctx, struct str bytes, struct err *e)
{
	const int *fd = ctx;

	return terminal_write(*fd, bytes, e);
}

struct print_sink print_sink_fd(int *fd)
{
	return (struct print_sink){ write_fd, fd };
}

/* --- shared by the printers --------------------------------------------------------- */

void print_color_begin(struct buf *b, bool on, enum print_color color)
{
	if (!on || color == PRINT_COLOR_NONE)
		return;
	buf_lit(b, "\x1b[");
	buf_u64(b, color);
	buf_char(b, 'm');
}

void print_color_end(struct buf *b, bool on, enum print_color color)
{
	if (on && color != PRINT_COLOR_NONE)
		buf_lit(b, "\x1b[0m");
}

struct buf *print_output(struct flow_printer *p)
{
	return p->options.format == FLOW_FORMAT_TABLE ? &p->table : &p->out;
}

/* Length of the colour sequence at @s, 0 if it is none that the reference itself uses. */
static size_t color_length(struct str s)
{
	if (str_has_prefix(s, STR("\x1b[0m")))
		return 4;
	bool color = s.len >= 5 && s.p[1] == '[' && s.p[2] == '3' && s.p[3] >= '1' &&
		     s.p[3] <= '6' && s.p[4] == 'm';
	return color ? 5 : 0;
}

void print_escape(const struct flow_printer *p, struct buf *b, size_t from)
{
	bool colored = p->options.color && p->options.format != FLOW_FORMAT_TABLE;

	if (b->failed || from == b->len ||
	    (!memchr(b->p + from, 0x1b, b->len - from) &&
	     !memchr(b->p + from, '\r', b->len - from)))
		return;
	AUTO_BUF struct buf copy = buf_init(SIZE_MAX);
	buf_put(&copy, b->p + from, b->len - from);
	b->len = from;
	b->failed |= copy.failed;
	for (struct str rest = buf_str(&copy); rest.len;) {
		size_t own = colored && rest.p[0] == 0x1b ? color_length(rest) : 0;
		size_t n = own ? own : 1;
		if (!own && (rest.p[0] == 0x1b || rest.p[0] == '\r'))
			buf_str_put(b, rest.p[0] == '\r' ? STR("\\r") : STR("^["));
		else {
			while (n < rest.len && rest.p[n] != 0x1b && rest.p[n] != '\r')
				n++;
			buf_put(b, rest.p, n);
		}
		rest = str_from(rest, n);
	}
}

void print_time(const struct flow_printer *p, struct buf *b, const struct timestamp *t)
{
	bool valid = t && t->s >= TIMESTAMP_MIN_S && t->s <= TIMESTAMP_MAX_S && t->ns >= 0 &&
		     t->ns < (int32_t)NS_PER_S;

	if (valid)
		time_format_put(b, p->options.time_format, *t);
	else
		buf_lit(b, "N/A");
}

void print_dict_begin(struct flow_printer *p, struct buf *b, bool unfinished)
{
	if (p->printed)
		buf_lit(b, "------------");
	if (p->printed && !unfinished)
		buf_char(b, '\n');
	p->printed = true;
}

void print_table_header(struct flow_printer *p, const char *first, const char *rest)
{
	if (p->table.len)
		return;
	buf_printf(&p->table, "%s\t%s%s\n", first, p->options.node_name ? "NODE\t" : "", rest);
}

/* --- life --------------------------------------------------------------------------- */

enum err_code flow_printer_new(const struct flow_printer_options *options,
			       struct flow_printer **ret, struct err *e)
{
	struct flow_printer *p = malloc(sizeof *p);

	if (!p)
		return err_set(e, ERR_NOMEM, "printer");
	*p = (struct flow_printer){
		.options = *options,
		.out = buf_init(SIZE_MAX),
		.status = buf_init(SIZE_MAX),
		.table = buf_init(SIZE_MAX),
	};
	*ret = p;
	return ERR_OK;
}

void flow_printer_free(struct flow_printer *p)
{
	if (!p)
		return;
	buf_done(&p->out);
	buf_done(&p->status);
	buf_done(&p->table);
	free(p);
}

static enum err_code drain(struct buf *b, const struct print_sink *sink, struct err *e)
{
	enum err_code code = ERR_OK;

	if (b->len)
		code = sink->write(sink->ctx, buf_str(b), e);
	buf_reset(b);
	return code;
}

/* After each message: one that does not fit in memory is a fault; what is due goes to the sinks. */
static enum err_code settle(struct flow_printer *p, struct err *e)
{
	if (p->out.failed || p->status.failed || p->table.failed)
		return err_set(e, ERR_NOMEM, "output does not fit in memory");
	if (p->status.len || p->out.len >= FLUSH_BYTES)
		return flow_printer_flush(p, e);
	return ERR_OK;
}

enum err_code flow_printer_flush(struct flow_printer *p, struct err *e)
{
	enum err_code code = drain(&p->out, &p->options.out, e);

	return code == ERR_OK ? drain(&p->status, &p->options.status, e) : code;
}

enum err_code flow_printer_end(struct flow_printer *p, struct err *e)
{
	if (p->table.len && !text_table_put(&p->out, buf_str(&p->table)))
		return err_set(e, ERR_NOMEM, "the table does not fit in memory");
	buf_reset(&p->table);
	return flow_printer_flush(p, e);
}

/* --- messages ----------------------------------------------------------------------- */

/* Prints a flow that comes as bytes. Names of foreign flows are unbounded: when the dictionary is
 * full, it starts anew. */
static enum err_code print_flow_bytes(struct flow_printer *p, struct str message, struct err *e)
{
	struct flow_dict *dict = p->options.dict;
	uint64_t overflows = flow_dict_counts(dict).overflows;
	struct flow f;

	if (flow_decode(message, dict, &f, e) != ERR_OK)
		return err_in(e, "flow");
	if (flow_dict_counts(dict).overflows != overflows) {
		flow_dict_reset(dict);
		if (flow_decode(message, dict, &f, e) != ERR_OK)
			return err_in(e, "flow");
	}
	print_flow(p, &f);
	return ERR_OK;
}

/* A line of JSON; nothing of it on failure. */
static enum err_code print_json(struct flow_printer *p, const ProtobufCMessageDescriptor *desc,
				struct str message, struct err *e)
{
	if (json_put_message(&p->out, desc, message, e) != ERR_OK)
		return err_in(e, "print as JSON");
	buf_char(&p->out, '\n');
	return ERR_OK;
}

enum err_code flow_printer_response(struct flow_printer *p, struct str response,
				    const struct flow *flow, struct err *e)
{
	const ProtobufCMessageDescriptor *desc = &observer__get_flows_response__descriptor;
	struct flow_response r;
	enum err_code code = ERR_OK;

	if (flow_response_split(response, &r, e) != ERR_OK)
		return err_in(e, "response");
	if (!r.has_message)
		return ERR_OK;
	switch (r.kind) {
	case FLOW_KIND_FLOW:
		if (p->options.format == FLOW_FORMAT_JSON)
			code = print_json(p, desc, response, e);
		else if (p->options.format == FLOW_FORMAT_JSON_LEGACY)
			code = print_json(p, &flow__flow__descriptor, r.message, e);
		else if (flow)
			print_flow(p, flow);
		else
			code = print_flow_bytes(p, r.message, e);
		break;
	case FLOW_KIND_LOST:
		if (p->options.format == FLOW_FORMAT_JSON)
			code = print_json(p, desc, response, e);
		else if (p->options.format == FLOW_FORMAT_JSON_LEGACY)
			code = print_json(p, &flow__lost_event__descriptor, r.message, e);
		else
			code = print_lost(p, &r, e);
		break;
	case FLOW_KIND_NODE_STATUS:
		code = print_status(p, &r, response, e);
		break;
	case FLOW_KIND_AGENT:
	case FLOW_KIND_DEBUG:
		break;
	}
	return code == ERR_OK ? settle(p, e) : code;
}

/* The response, or in the old form of JSON the event alone, which is its field 1. */
static enum err_code print_event_json(struct flow_printer *p,
				      const ProtobufCMessageDescriptor *response_desc,
				      const ProtobufCMessageDescriptor *event_desc,
				      struct str response, struct err *e)
{
	struct str event = STR("");

	if (p->options.format == FLOW_FORMAT_JSON)
		return print_json(p, response_desc, response, e);
	(void)wire_find(response, 1, &event);
	return print_json(p, event_desc, event, e);
}

static bool prints_json(const struct flow_printer *p)
{
	return p->options.format == FLOW_FORMAT_JSON ||
	       p->options.format == FLOW_FORMAT_JSON_LEGACY;
}

/* Of GetAgentEventsResponse and GetDebugEventsResponse. */
static bool has_event(struct str response)
{
	struct str event;

	return wire_find(response, 1, &event);
}

enum err_code flow_printer_agent_event(struct flow_printer *p, struct str response, struct err *e)
{
	if (!has_event(response))
		return err_set(e, ERR_PARSE, "not an agent event");
	enum err_code code =
		prints_json(p)
			? print_event_json(p, &observer__get_agent_events_response__descriptor,
					   &flow__agent_event__descriptor, response, e)
			: print_agent_event(p, response, e);

	return code == ERR_OK ? settle(p, e) : code;
}

enum err_code flow_printer_debug_event(struct flow_printer *p, struct str response, struct err *e)
{
	if (!has_event(response))
		return err_set(e, ERR_PARSE, "not a debug event");
	enum err_code code =
		prints_json(p)
			? print_event_json(p, &observer__get_debug_events_response__descriptor,
					   &flow__debug_event__descriptor, response, e)
			: print_debug_event(p, response, e);

	return code == ERR_OK ? settle(p, e) : code;
}
