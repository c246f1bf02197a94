/* Lost events, and what a relay says of its nodes: hubble-cli.md sections 6 and 7. */
#include "base/gotext.h"
#include "flow/json.h"
#include "flow/names.h"
#include "flow/print_in.h"

#include "flow/flow.pb-c.h"
#include "observer/observer.pb-c.h"
#include "relay/relay.pb-c.h"

static struct timestamp timestamp_from(const Google__Protobuf__Timestamp *t)
{
	return (struct timestamp){ t->seconds, t->nanos };
}

/* --- lost events -------------------------------------------------------------------- */

/* "17", and where both ends are known " (first: …, last: …)". */
static void put_lost_count(const struct flow_printer *p, struct buf *b, const Flow__LostEvent *lost)
{
	buf_u64(b, lost->num_events_lost);
	if (!lost->first || !lost->last)
		return;
	struct timestamp first = timestamp_from(lost->first), last = timestamp_from(lost->last);
	buf_lit(b, " (first: ");
	print_time(p, b, &first);
	buf_lit(b, ", last: ");
	print_time(p, b, &last);
	buf_char(b, ')');
}

static void put_cpu(struct buf *b, const Flow__LostEvent *lost)
{
	buf_lit(b, "CPU(");
	buf_i64(b, lost->cpu ? lost->cpu->value : 0);
	buf_char(b, ')');
}

static void put_lost_node(const struct flow_printer *p, struct buf *b, struct str node,
			  const char *before, const char *after)
{
	if (!p->options.node_name)
		return;
	buf_str_put(b, str_of(before));
	buf_str_put(b, node.len ? node : STR("-"));
	buf_str_put(b, str_of(after));
}

enum err_code print_lost(struct flow_printer *p, const struct flow_response *r, struct err *e)
{
	Flow__LostEvent *lost =
		flow__lost_event__unpack(NULL, r->message.len, (const uint8_t *)r->message.p);
	const struct timestamp *time = r->has_time ? &r->time : NULL;
	struct buf *b = print_output(p);
	size_t from = b->len;

	if (!lost)
		return err_set(e, ERR_PARSE, "malformed lost events");
	switch (p->options.format) {
	case FLOW_FORMAT_COMPACT:
		print_time(p, b, time);
		buf_lit(b, " EVENTS LOST: ");
		enum_put(b, &flow__lost_event_source__descriptor, (int32_t)lost->source);
		buf_char(b, ' ');
		put_cpu(b, lost);
		buf_char(b, ' ');
		put_lost_count(p, b, lost);
		buf_char(b, '\n');
		break;
	case FLOW_FORMAT_DICT:
		print_dict_begin(p, b, false);
		buf_lit(b, "  TIMESTAMP: ");
		print_time(p, b, time);
		put_lost_node(p, b, r->node_name, "\n       NODE: ", "");
		buf_lit(b, "\n     SOURCE: ");
		enum_put(b, &flow__lost_event_source__descriptor, (int32_t)lost->source);
		buf_lit(b, "\n       TYPE: EVENTS LOST\n    VERDICT: -\n    SUMMARY: ");
		put_cpu(b, lost);
		buf_lit(b, " - ");
		put_lost_count(p, b, lost);
		buf_char(b, '\n');
		break;
	case FLOW_FORMAT_TABLE:
		print_table_header(p, "TIMESTAMP", "SOURCE\tDESTINATION\tTYPE\tVERDICT\tSUMMARY");
		print_time(p, b, time);
		buf_char(b, '\t');
		put_lost_node(p, b, r->node_name, "", "\t");
		enum_put(b, &flow__lost_event_source__descriptor, (int32_t)lost->source);
		buf_lit(b, "\t-\tEVENTS LOST\t-\t");
		put_cpu(b, lost);
		buf_lit(b, " - ");
		put_lost_count(p, b, lost);
		buf_char(b, '\n');
		break;
	case FLOW_FORMAT_JSON:
	case FLOW_FORMAT_JSON_LEGACY:
		break;
	}
	print_escape(p, b, from);
	flow__lost_event__free_unpacked(lost, NULL);
	return ERR_OK;
}

/* --- node status -------------------------------------------------------------------- */

/* Names are added while they and their separators stay within this many bytes; one always is. */
enum { NODE_LIST_BYTES = 50 };

static void put_node_list(struct buf *b, const Relay__NodeStatusEvent *s)
{
	size_t length = 0, shown = 0;

	for (; shown < s->n_node_names; shown++) {
		length += strlen(s->node_names[shown]) + 2;
		if (length > NODE_LIST_BYTES && shown)
			break;
		if (shown)
			buf_lit(b, ", ");
		buf_str_put(b, str_of(s->node_names[shown]));
	}
	if (shown < s->n_node_names)
		buf_printf(b, " (and %zu more)", s->n_node_names - shown);
}

/* All of the event in protobuf's text form, on one line. */
static void put_status_text(struct buf *b, const Relay__NodeStatusEvent *s)
{
	const char *blank = "";

	if (s->state_change) {
		buf_lit(b, "state_change:");
		enum_put(b, &relay__node_state__descriptor, (int32_t)s->state_change);
		blank = " ";
	}
	for (size_t i = 0; i < s->n_node_names; i++, blank = " ") {
		buf_str_put(b, str_of(blank));
		buf_lit(b, "node_names:");
		go_quote_put(b, str_of(s->node_names[i]));
	}
	if (s->message[0]) {
		buf_str_put(b, str_of(blank));
		buf_lit(b, "message:");
		go_quote_put(b, str_of(s->message));
	}
	buf_char(b, '\n');
}

static void put_status_line(const struct flow_printer *p, struct buf *b,
			    const struct flow_response *r, const Relay__NodeStatusEvent *s)
{
	print_time(p, b, r->has_time ? &r->time : NULL);
	buf_lit(b, " [");
	buf_str_put(b, r->node_name);
	buf_lit(b, "]: ");
	switch (s->state_change) {
	case RELAY__NODE_STATE__NODE_CONNECTED:
		buf_printf(b, "Receiving flows from %zu nodes: ", s->n_node_names);
		break;
	case RELAY__NODE_STATE__NODE_UNAVAILABLE:
		buf_printf(b, "%zu nodes are unavailable: ", s->n_node_names);
		break;
	case RELAY__NODE_STATE__NODE_GONE:
		buf_printf(b, "%zu nodes removed from cluster: ", s->n_node_names);
		break;
	case RELAY__NODE_STATE__NODE_ERROR:
		buf_lit(b, "Error ");
		go_quote_put(b, str_of(s->message));
		buf_printf(b, " on %zu nodes: ", s->n_node_names);
		break;
	default:
		buf_lit(b, "unknown node status event: ");
		put_status_text(b, s);
		return;
	}
	put_node_list(b, s);
	buf_char(b, '\n');
}

static void put_status_dict(struct flow_printer *p, struct buf *b, const struct flow_response *r,
			    const Relay__NodeStatusEvent *s)
{
	print_dict_begin(p, b, false);
	buf_lit(b, "  TIMESTAMP: ");
	print_time(p, b, r->has_time ? &r->time : NULL);
	buf_lit(b, "\n      STATE: ");
	enum_put(b, &relay__node_state__descriptor, (int32_t)s->state_change);
	buf_lit(b, "\n      NODES: ");
	put_node_list(b, s);
	buf_lit(b, "\n    MESSAGE: ");
	if (s->message[0])
		go_quote_put(b, str_of(s->message));
	else
		buf_lit(b, "N/A");
	buf_char(b, '\n');
}

enum err_code print_status(struct flow_printer *p, const struct flow_response *r,
			   struct str response, struct err *e)
{
	enum err_code code = ERR_OK;
	size_t from = p->status.len;

	if (p->options.format == FLOW_FORMAT_JSON_LEGACY)
		return ERR_OK;
	Relay__NodeStatusEvent *s = relay__node_status_event__unpack(NULL, r->message.len,
								     (const uint8_t *)r->message.p);
	if (!s)
		return err_set(e, ERR_PARSE, "malformed node status");
	bool due = p->options.status_all || s->state_change == RELAY__NODE_STATE__NODE_ERROR ||
		   s->state_change == RELAY__NODE_STATE__NODE_UNAVAILABLE;
	if (due && p->options.status_quiet) {
		/* the next entry is set off from what would stand here, as by the reference */
		p->printed |= p->options.format == FLOW_FORMAT_DICT;
	} else if (due) {
		if (p->options.format == FLOW_FORMAT_JSON) {
			code = json_put_message(
				&p->status, &observer__get_flows_response__descriptor, response, e);
			if (code == ERR_OK)
				buf_char(&p->status, '\n');
		} else if (p->options.format == FLOW_FORMAT_DICT) {
			put_status_dict(p, &p->status, r, s);
		} else {
			put_status_line(p, &p->status, r, s);
		}
	}
	relay__node_status_event__free_unpacked(s, NULL);
	if (p->options.format != FLOW_FORMAT_JSON)
		print_escape(p, &p->status, from);
	return code;
}
