#include "cli/recorded.h"

#include "base/buf.h"
#include "flow/dict.h"
#include "flow/wire.h"

enum { DEFAULT_RANGE_S = 3600 };

struct taking {
	const struct recorded *recorded;
	struct flow_printer *says;
};

static enum err_code take(void *ctx, struct str message, const struct flow *decoded, struct err *e)
{
	const struct taking *t = ctx;
	struct flow_response r;
	struct flow f;

	(void)decoded; /* its names are of another dictionary */
	if (flow_response_split(message, &r, e) != ERR_OK)
		return e->code;
	if (!r.has_message || r.kind != FLOW_KIND_FLOW)
		return flow_printer_response(t->says, message, NULL, e);
	if (flow_decode(r.message, t->recorded->dict, &f, e) != ERR_OK)
		return e->code;
	return t->recorded->take(t->recorded->ctx, &f, e);
}

static enum err_code read_range(const struct cli *cli, bool of_server, struct observe_request *r,
				struct err *e)
{
	struct history_range range;

	if (history_read_range(cli, &range, e) != ERR_OK)
		return e->code;
	r->has_since = range.has_since;
	r->has_until = range.has_until;
	r->since = range.since;
	r->until = range.until;
	if (of_server && !r->has_since && !r->has_until) {
		r->has_since = true;
		r->since = timestamp_of(wall_now());
		r->since.s -= DEFAULT_RANGE_S;
	}
	return ERR_OK;
}

static enum err_code say_unread(const struct recorded *r, uint64_t lines, struct err *e)
{
	AUTO_BUF struct buf b = buf_init(256);

	if (!lines)
		return ERR_OK;
	buf_lit(&b, "incomplete: lines of the file that cannot be read: ");
	buf_grouped(&b, lines);
	buf_char(&b, '\n');
	return r->says.write(r->says.ctx, buf_str(&b), e);
}

enum err_code recorded_each(const struct cli *cli, struct observe_request *request,
			    const struct recorded *r, bool *ret_of_server, struct err *e)
{
	AUTO(flow_dict_free)
	struct flow_dict *others = NULL; /* what looks at a file empties its own, */
	AUTO(flow_dict_free) struct flow_dict *no_flows = NULL; /* and so may a printer */
	AUTO(flow_printer_free) struct flow_printer *says = NULL;

	*ret_of_server = !*flags_text(cli->flags, "input-file");
	if (read_range(cli, *ret_of_server, request, e) != ERR_OK ||
	    flow_dict_new(RECORDED_DICT_ENTRIES, &others, e) != ERR_OK ||
	    flow_dict_new(1, &no_flows, e) != ERR_OK)
		return e->code;
	struct flow_printer_options options = {
		.format = FLOW_FORMAT_COMPACT,
		.dict = no_flows,
		.out = r->says,
		.status = r->says,
	};
	if (flow_printer_new(&options, &says, e) != ERR_OK)
		return e->code;
	struct taking t = { r, says };
	uint64_t unread = 0;
	const struct observe_sink sink = { .take = take, .ctx = &t, .unread = &unread };
	enum err_code code = *ret_of_server ? observe_server_each(cli, request, &sink, e)
					    : observe_file_each(cli, request, others, &sink, e);
	if (code == ERR_OK)
		code = flow_printer_end(says, e);
	return code == ERR_OK ? say_unread(r, unread, e) : code;
}
