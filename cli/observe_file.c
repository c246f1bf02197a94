/*
 * Flows from a file or stdin, chosen here as a server would choose them.
 */
#include "base/buf.h"
#include "base/log.h"
#include "cli/observe.h"
#include "filter/filter.h"
#include "flow/dict.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"

enum {
	LAST_MOST = 1000000, /* of --last: they are held in memory */
	DICT_ENTRIES = 1 << 17,
	DICT_FULL = 1 << 16, /* names of a foreign file are unbounded: start anew from here on */
	MESSAGE_MAX_BYTES = 1 << 20, /* a line is at most 64 KiB of JSON, protobuf is shorter */
};

/* The newest messages seen, as wire bytes. */
struct last_ring {
	struct message {
		char *p;
		size_t len;
	} * items;
	size_t capacity, count, next;
};

struct file_source {
	const struct observe_request *request;
	struct flow_dict *dict;
	struct flow_filter *filter;
	const struct observe_sink *sink;
	struct buf message;  /* the line at hand as protobuf */
	bool ignore_unknown; /* unknown fields were met and warned of */
	struct last_ring last;
	uint64_t printed;
};

static enum err_code ring_put(struct last_ring *ring, struct str message, struct err *e)
{
	char *copy = str_dup(message);

	if (!copy)
		return err_set(e, ERR_NOMEM, "--last");
	if (ring->count < ring->capacity) {
		if ((ring->count & (ring->count - 1)) == 0) { /* grows at powers of two */
			size_t room = ring->count ? 2 * ring->count : 1;
			struct message *grown = reallocarray(ring->items, room, sizeof *grown);
			if (!grown) {
				free(copy);
				return err_set(e, ERR_NOMEM, "--last");
			}
			ring->items = grown;
		}
		ring->items[ring->count++] = (struct message){ copy, message.len };
		return ERR_OK;
	}
	struct message *oldest = &ring->items[ring->next];
	free(oldest->p);
	*oldest = (struct message){ copy, message.len };
	ring->next = (ring->next + 1) % ring->capacity;
	return ERR_OK;
}

static void ring_done(struct last_ring *ring)
{
	for (size_t i = 0; i < ring->count; i++)
		free(ring->items[i].p);
	free(ring->items);
}

/* False: the line is no message, which was said. */
static bool read_line(struct file_source *s, struct str line)
{
	const ProtobufCMessageDescriptor *desc = &observer__get_flows_response__descriptor;
	struct json_options options = { .reject_unknown = !s->ignore_unknown };
	bool unknown = false;
	struct err first, e;

	buf_reset(&s->message);
	if (json_read_message(line, desc, &options, &s->message, &unknown, &e) == ERR_OK)
		return true;
	if (unknown && !s->ignore_unknown) {
		first = e;
		options.reject_unknown = false;
		buf_reset(&s->message);
		if (json_read_message(line, desc, &options, &s->message, NULL, &e) == ERR_OK) {
			s->ignore_unknown = true;
			log_warn("unknown field detected, a newer version of this command may know "
				 "it",
				 "error=%s", LOG_QUOTE(first.msg));
			return true;
		}
	}
	log_warn("Failed to unmarshal json to flow", "error=%s line=%s", LOG_QUOTE(e.msg),
		 LOG_QUOTE_STR(line));
	return false;
}

/* Does the message at hand pass? @ret_flow is filled where the filter had to look, *@ret_decoded
 * tells. */
static enum err_code choose(struct file_source *s, bool *ret_pass, struct flow *ret_flow,
			    bool *ret_decoded, struct err *e)
{
	const struct observe_request *r = s->request;
	struct flow_response response;

	*ret_pass = *ret_decoded = false;
	if (flow_response_split(buf_str(&s->message), &response, e) != ERR_OK)
		return e->code;
	/* What has no time happened at the epoch. */
	struct timestamp time = response.has_time ? response.time : (struct timestamp){ 0 };
	if ((r->has_since && timestamp_cmp(r->since, time) > 0) ||
	    (r->has_until && timestamp_cmp(r->until, time) < 0))
		return ERR_OK;
	*ret_pass = true;
	if (flow_filter_is_empty(s->filter))
		return ERR_OK;
	if (response.has_message && response.kind == FLOW_KIND_FLOW) {
		if (flow_decode(response.message, s->dict, ret_flow, e) != ERR_OK)
			return e->code;
		*ret_decoded = true;
	} else {
		/* Also an empty response is judged, as something that is no flow. */
		*ret_flow = (struct flow){ .kind = response.has_message ? (uint8_t)response.kind
									: FLOW_KIND_NODE_STATUS };
	}
	*ret_pass = flow_filter_match(s->filter, ret_flow);
	return ERR_OK;
}

static bool wants_last(const struct observe_request *r)
{
	return !r->first && r->number && r->number != UINT64_MAX;
}

static enum err_code take_line(struct file_source *s, struct str line, struct err *e)
{
	struct flow flow;
	bool pass, decoded;

	if (!read_line(s, line)) {
		if (s->sink->unread)
			++*s->sink->unread;
		return ERR_OK;
	}
	if (choose(s, &pass, &flow, &decoded, e) != ERR_OK)
		return e->code;
	if (!pass)
		return ERR_OK;
	if (wants_last(s->request))
		return ring_put(&s->last, buf_str(&s->message), e);
	s->printed++;
	return s->sink->take(s->sink->ctx, buf_str(&s->message), decoded ? &flow : NULL, e);
}

static void forget_names(struct file_source *s)
{
	struct flow_dict_counts c = flow_dict_counts(s->dict);

	if (c.endpoints > DICT_FULL || c.services > DICT_FULL || c.nodes > DICT_FULL)
		flow_dict_reset(s->dict);
}

static enum err_code print_last(struct file_source *s, struct err *e)
{
	for (size_t i = 0; i < s->last.count; i++) {
		const struct message *m = &s->last.items[(s->last.next + i) % s->last.count];
		if (s->sink->take(s->sink->ctx, str_n(m->p, m->len), NULL, e) != ERR_OK)
			return e->code;
		forget_names(s);
	}
	return ERR_OK;
}

static enum err_code read_all(struct file_source *s, int fd, const char *path, struct err *e)
{
	AUTO(line_reader_free) struct line_reader *lines = NULL;
	bool first = s->request->first && s->request->number != UINT64_MAX;
	struct str line;

	if (line_reader_new(fd, path, &lines, e) != ERR_OK)
		return e->code;
	while (!first || s->printed < s->request->number) {
		/* A pipe may pause here: what was read before must be seen. */
		if (!line_reader_has_next(lines) && s->sink->pause &&
		    s->sink->pause(s->sink->ctx, e) != ERR_OK)
			return e->code;
		enum err_code code = line_reader_next(lines, &line, e);
		if (code == ERR_CLOSED)
			return print_last(s, e);
		if (code != ERR_OK || take_line(s, line, e) != ERR_OK)
			return e->code;
		forget_names(s);
	}
	return ERR_OK;
}

/* The reference says so of each flow; once, with their number, is enough. */
static void report_faults(struct flow_filter *filter)
{
	const char *why = "";
	uint64_t faults = flow_filter_faults(filter, &why);

	if (faults)
		log_error("error running CEL program", "error=%s flows=%llu", LOG_QUOTE(why),
			  (unsigned long long)faults);
}

static void source_done(struct file_source *s)
{
	flow_filter_free(s->filter);
	buf_done(&s->message);
	ring_done(&s->last);
}

enum err_code observe_file_each(const struct cli *cli, const struct observe_request *r,
				struct flow_dict *dict, const struct observe_sink *sink,
				struct err *e)
{
	__attribute__((cleanup(source_done))) struct file_source s = {
		.request = r, .dict = dict, .sink = sink, .message = buf_init(MESSAGE_MAX_BYTES)
	};
	const char *path = flags_text(cli->flags, "input-file");
	AUTO_FD int own_fd = -1;
	int fd = STDIN_FILENO;

	if (settings_bool(cli->settings, "port-forward"))
		return err_set(e, ERR_INVALID,
			       "cannot use --input-file and --auto-port-forward together");
	if (strcmp(path, "-") != 0) {
		if (file_open(path, &own_fd, e) != ERR_OK)
			return e->code;
		fd = own_fd;
	}
	if (flow_filter_new(r->allow.items, r->allow.count, r->deny.items, r->deny.count, s.dict,
			    &s.filter, e) != ERR_OK)
		return e->code;
	if (wants_last(r) && r->number > LAST_MOST)
		return err_set(e, ERR_INVALID, "--last must be <= 1_000_000, got %llu",
			       (unsigned long long)r->number);
	s.last.capacity = wants_last(r) ? (size_t)r->number : 0;
	log_debug("Reading flows from a file", "path=%s", LOG_QUOTE(path));
	enum err_code code = read_all(&s, fd, path, e);
	report_faults(s.filter);
	return code;
}

static enum err_code print(void *ctx, struct str message, const struct flow *decoded, struct err *e)
{
	return flow_printer_response(ctx, message, decoded, e);
}

static enum err_code flush(void *ctx, struct err *e)
{
	return flow_printer_flush(ctx, e);
}

enum err_code observe_from_file(const struct cli *cli, const struct observe_request *r,
				struct flow_printer_options *options, struct err *e)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_printer_free) struct flow_printer *printer = NULL;

	if (flow_dict_new(DICT_ENTRIES, &dict, e) != ERR_OK ||
	    observe_printer_new(options, dict, &printer, e) != ERR_OK)
		return e->code;
	const struct observe_sink sink = { .take = print, .pause = flush, .ctx = printer };
	struct err at_end;
	enum err_code code = observe_file_each(cli, r, dict, &sink, e);
	if (code == ERR_CLOSED)
		return code; /* stdout is gone */
	if (code == ERR_CANCELLED)
		code = ERR_OK;
	/* A fault does not take back what came before it. */
	if (flow_printer_end(printer, &at_end) != ERR_OK && code == ERR_OK) {
		*e = at_end;
		return e->code;
	}
	return code;
}
