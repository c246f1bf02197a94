#include "cli/history.h"

#include "cli/command.h"
#include "cli/connect.h"
#include "cli/observe_time.h"
#include "cli/report.h"

enum {
	NODES_MAX = 100000,
	WIRE_MAX_BYTES = 256 << 20,
	REMARKS_MAX = 10,
	REMARKS_MAX_BYTES = 1 << 20,
	MINUTE_S = 60,
};

void history_done(struct history *h)
{
	for (size_t i = 0; i < h->count; i++)
		tycho__v1__get_coverage_response__free_unpacked(h->nodes[i].said, NULL);
	free(h->nodes);
	buf_done(&h->wire);
	*h = (struct history){ 0 };
}

const char *history_cause_words(Tycho__V1__Gap__Cause cause)
{
	switch (cause) {
	case TYCHO__V1__GAP__CAUSE__OBSERVER_DOWN:
		return "no observer ran";
	case TYCHO__V1__GAP__CAUSE__OBSERVER_CRASHED:
		return "the observer ended without warning";
	case TYCHO__V1__GAP__CAUSE__KERNEL_LOST:
		return "events were lost before the observer had them";
	case TYCHO__V1__GAP__CAUSE__RING_OVERWRITTEN:
		return "the store was slower than the flows";
	case TYCHO__V1__GAP__CAUSE__STORE_WRITE_FAILED:
		return "the store could not write";
	case TYCHO__V1__GAP__CAUSE__STORE_DAMAGED:
		return "the store is damaged there";
	case TYCHO__V1__GAP__CAUSE__CLOCK_SET_BACK:
		return "the clock was set back, times overlap";
	case TYCHO__V1__GAP__CAUSE__NOT_SHIPPED:
		return "the node had to delete it before ClickHouse had it";
	default:
		return "for a reason that this command does not know";
	}
}

enum err_code history_read_range(const struct cli *cli, struct history_range *ret, struct err *e)
{
	struct history_range range = { 0 };

	if (observe_time_flag(cli->flags, "since", &range.has_since, &range.since, e) != ERR_OK ||
	    observe_time_flag(cli->flags, "until", &range.has_until, &range.until, e) != ERR_OK)
		return e->code;
	if (range.has_since && range.has_until && timestamp_cmp(range.until, range.since) < 0)
		return err_set(e, ERR_INVALID, "--until %s is before --since %s",
			       flags_text(cli->flags, "until"), flags_text(cli->flags, "since"));
	if (range.has_since && timestamp_cmp(range.since, timestamp_of(wall_now())) > 0)
		return err_set(e, ERR_INVALID, "--since %s is still to come",
			       flags_text(cli->flags, "since"));
	*ret = range;
	return ERR_OK;
}

/* --- asking --------------------------------------------------------------------------------- */

static enum err_code on_message(void *ctx, struct str message, struct err *e)
{
	struct history *h = ctx;
	Tycho__V1__GetCoverageResponse *m = tycho__v1__get_coverage_response__unpack(
		NULL, message.len, (const uint8_t *)message.p);

	if (!m)
		return err_set(e, ERR_PARSE, "the server's coverage cannot be read");
	struct history_node *nodes = realloc(h->nodes, (h->count + 1) * sizeof *nodes);
	h->nodes = nodes ? nodes : h->nodes;
	size_t at = h->wire.len;
	buf_str_put(&h->wire, message);
	if (!nodes || h->wire.failed || h->count == NODES_MAX) {
		tycho__v1__get_coverage_response__free_unpacked(m, NULL);
		return err_set(e, ERR_NOMEM, "coverage of more than %zu nodes", h->count);
	}
	h->nodes[h->count++] = (struct history_node){ m, at, message.len };
	return ERR_OK;
}

static int by_name(const void *left, const void *right)
{
	const struct history_node *a = left, *b = right;
	int c = strcmp(a->said->node_name, b->said->node_name);

	return c ? c : (a->at > b->at) - (a->at < b->at);
}

/* Servers refuse times that no record has (before 1970, after 2554), and all of these are alike: before
 * the first one, after the last. */
static Google__Protobuf__Timestamp *time_that_records_have(struct timestamp t,
							   Google__Protobuf__Timestamp *ret)
{
	struct wall_ns ns = { UINT64_MAX };
	struct timestamp nearest = t;

	if (t.s < 0)
		nearest = (struct timestamp){ 0 };
	else if (!timestamp_to_wall(t, &ns))
		nearest = timestamp_of((struct wall_ns){ UINT64_MAX });
	ret->seconds = nearest.s;
	ret->nanos = nearest.ns;
	return ret;
}

void history_set_range(const struct history_range *range, Google__Protobuf__Timestamp times[2],
		       Google__Protobuf__Timestamp **ret_since,
		       Google__Protobuf__Timestamp **ret_until)
{
	google__protobuf__timestamp__init(&times[0]);
	google__protobuf__timestamp__init(&times[1]);
	*ret_since = range->has_since ? time_that_records_have(range->since, &times[0]) : NULL;
	*ret_until = range->has_until ? time_that_records_have(range->until, &times[1]) : NULL;
}

static const char method[] = "/tycho.v1.History/GetCoverage";
enum { REQUEST_BYTES = 128 };

static struct str pack_request(const struct history_range *range, bool counts,
			       uint8_t bytes[REQUEST_BYTES])
{
	Tycho__V1__GetCoverageRequest request;
	Google__Protobuf__Timestamp times[2];

	tycho__v1__get_coverage_request__init(&request);
	history_set_range(range, times, &request.since, &request.until);
	request.count = counts;
	return str_n(bytes, tycho__v1__get_coverage_request__pack(&request, bytes));
}

/* All nodes have answered: hands over what they said. */
static void finish(struct history *h, struct history *ret)
{
	if (h->count)
		qsort(h->nodes, h->count, sizeof *h->nodes, by_name);
	*ret = *h;
	*h = (struct history){ 0 };
}

enum err_code history_ask(const struct settings *s, const struct history_range *range, bool counts,
			  struct history *ret, struct err *e)
{
	uint8_t bytes[REQUEST_BYTES];
	AUTO_HISTORY struct history h = { .wire = buf_init(WIRE_MAX_BYTES) };
	const struct stream_handler handler = { .on_message = on_message, .ctx = &h };

	enum err_code code =
		connection_stream(s, method, pack_request(range, counts, bytes), &handler, e);
	if (code == ERR_OK)
		finish(&h, ret);
	return code;
}

enum err_code history_ask_over(const struct connection *c, const struct settings *s,
			       const struct history_range *range, struct history *ret,
			       struct err *e)
{
	uint8_t bytes[REQUEST_BYTES];
	AUTO_HISTORY struct history h = { .wire = buf_init(WIRE_MAX_BYTES) };
	AUTO(rpc_stream_free) struct rpc_stream *stream = NULL;
	int64_t timeout_ns = settings_duration_ns(s, "request-timeout");
	const struct mono_ns end = { mono_now().v + (timeout_ns > 0 ? (uint64_t)timeout_ns : 1) };
	struct str message;

	enum err_code code =
		rpc_stream_open(c->channel, method, pack_request(range, false, bytes), &stream, e);
	while (code == ERR_OK) {
		const struct mono_ns now = mono_now();
		code = rpc_stream_next(stream, end.v > now.v ? end.v - now.v : 1, &message, e);
		if (code == ERR_OK)
			code = on_message(&h, message, e);
	}
	if (code == ERR_TIMEOUT)
		return err_set(e, code, "no answer within --request-timeout");
	if (code != ERR_CLOSED)
		return code;
	finish(&h, ret);
	return ERR_OK;
}

/* --- remarks -------------------------------------------------------------------------------- */

static struct timestamp time_of(const Google__Protobuf__Timestamp *m)
{
	return (struct timestamp){ m->seconds, m->nanos };
}

struct remarks {
	struct buf *b;
	size_t missing, notes; /* of either, REMARKS_MAX are printed */
};

/* Starts a line, or only counts it. */
static bool begin(struct remarks *r, const char *node, bool is_note)
{
	size_t *count = is_note ? &r->notes : &r->missing;

	if ((*count)++ >= REMARKS_MAX)
		return false;
	buf_str_put(r->b, is_note ? STR("note: ") : STR("incomplete: "));
	report_text(r->b, *node ? node : "this node");
	buf_lit(r->b, ": ");
	return true;
}

static void put_gap(struct remarks *r, const char *node, const Tycho__V1__Gap *g)
{
	/* A clock set back loses nothing. */
	if (!begin(r, *g->node_name ? g->node_name : node,
		   g->cause == TYCHO__V1__GAP__CAUSE__CLOCK_SET_BACK))
		return;
	if (g->from)
		timestamp_put(r->b, time_of(g->from));
	if (g->to && (!g->from || timestamp_cmp(time_of(g->from), time_of(g->to)))) {
		buf_lit(r->b, " to ");
		timestamp_put(r->b, time_of(g->to));
	}
	buf_printf(r->b, ": %s", history_cause_words(g->cause));
	if (g->lost) {
		buf_lit(r->b, " (");
		buf_grouped(r->b, g->lost);
		buf_lit(r->b, " lost)");
	}
	if (*g->detail) {
		buf_lit(r->b, ": ");
		report_text(r->b, g->detail);
	}
	buf_char(r->b, '\n');
}

/* From when on @n can answer: the service map goes back further than flows. NULL: not at all. */
static const Google__Protobuf__Timestamp *oldest_of(const Tycho__V1__GetCoverageResponse *n,
						    enum history_of of)
{
	/* In the minute that the record began in, it did not begin with the minute. */
	bool is_further = n->edges_oldest &&
			  (!n->oldest || n->edges_oldest->seconds + MINUTE_S <= n->oldest->seconds);

	return of == HISTORY_OF_EDGES && is_further ? n->edges_oldest : n->oldest;
}

bool history_begins_late(const Tycho__V1__GetCoverageResponse *n, const struct history_range *range,
			 enum history_of of)
{
	const Google__Protobuf__Timestamp *m = oldest_of(n, of);
	const struct timestamp oldest = m ? time_of(m) : (struct timestamp){ 0 };

	return m && ((range->has_since && timestamp_cmp(oldest, range->since) > 0) ||
		     (range->has_until && timestamp_cmp(oldest, range->until) > 0));
}

/* Gaps are known for longer than flows are kept. */
static bool is_behind(const Tycho__V1__GetCoverageResponse *n, const Tycho__V1__Gap *g,
		      enum history_of of)
{
	const Google__Protobuf__Timestamp *oldest = oldest_of(n, of);

	return oldest && g->to && timestamp_cmp(time_of(g->to), time_of(oldest)) < 0;
}

static void put_node(struct remarks *r, const Tycho__V1__GetCoverageResponse *n,
		     const struct history_range *range, enum history_of of)
{
	if (*n->error) {
		if (begin(r, n->node_name, false)) {
			report_text(r->b, n->error);
			buf_char(r->b, '\n');
		}
		return;
	}
	const Google__Protobuf__Timestamp *oldest = oldest_of(n, of);
	if (!oldest && begin(r, n->node_name, false))
		buf_lit(r->b, "nothing is recorded yet\n");
	if (oldest && history_begins_late(n, range, of) && begin(r, n->node_name, false)) {
		buf_lit(r->b, "nothing before ");
		timestamp_put(r->b, time_of(oldest));
		buf_str_put(r->b, n->has_store ? STR(", where its record begins\n")
					       : STR(": it keeps no history beyond its memory\n"));
	}
	for (size_t i = 0; i < n->n_gaps; i++)
		if (!is_behind(n, n->gaps[i], of))
			put_gap(r, n->node_name, n->gaps[i]);
}

void history_put_remarks(struct buf *b, const struct history *h, const struct history_range *range,
			 enum history_of of)
{
	struct remarks r = { .b = b };

	for (size_t i = 0; i < h->count; i++)
		put_node(&r, h->nodes[i].said, range, of);
	if (r.missing > REMARKS_MAX)
		buf_printf(b, "incomplete: and %zu more; `tycho coverage` lists them\n",
			   r.missing - REMARKS_MAX);
	if (r.missing)
		return;
	buf_printf(b, "complete: %zu node%s", h->count, h->count == 1 ? "" : "s");
	if (range->has_since) {
		buf_lit(b, ", since ");
		timestamp_put(b, range->since);
	}
	if (range->has_until) {
		buf_lit(b, ", until ");
		timestamp_put(b, range->until);
	}
	buf_char(b, '\n');
}

bool history_put_empty(struct buf *b, const struct history_range *range, struct timestamp now)
{
	if (range->has_since && range->has_until && timestamp_cmp(range->until, range->since) < 0) {
		buf_lit(b, "note: no time is in this range: ");
		timestamp_put(b, range->until);
		buf_lit(b, ", its end, is before ");
		timestamp_put(b, range->since);
		buf_lit(b, ", its begin\n");
		return true;
	}
	if (range->has_since && timestamp_cmp(range->since, now) > 0) {
		buf_lit(b, "note: nothing is of this range yet: ");
		timestamp_put(b, range->since);
		buf_lit(b, ", its begin, is still to come\n");
		return true;
	}
	return false;
}

bool history_put_remark(struct buf *b, const struct settings *s, const struct history_range *range,
			enum history_of of)
{
	AUTO_HISTORY struct history h = { 0 };
	struct history_range past = *range;
	struct err e;

	/* What is still to come can be neither recorded nor missing. */
	past.has_until = past.has_until && timestamp_cmp(past.until, timestamp_of(wall_now())) <= 0;
	enum err_code code = history_ask(s, &past, false, &h, &e);

	if (code == ERR_OK)
		history_put_remarks(b, &h, &past, of);
	else if (code != ERR_UNSUPPORTED)
		buf_printf(b, "completeness unknown: %s\n", e.msg);
	return code != ERR_UNSUPPORTED;
}

void history_remark(const struct settings *s, const struct history_range *range, enum history_of of)
{
	AUTO_BUF struct buf text = buf_init(REMARKS_MAX_BYTES);

	if (history_put_remark(&text, s, range, of))
		cli_say(buf_str(&text));
}
