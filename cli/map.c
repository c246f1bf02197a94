/*
 * tycho map - the service map: who talks to whom, by which port, and what became of it.
 *
 *	GetServiceMap of every node ──► edges, equal ones added up ──► table, JSON, DOT, Mermaid
 */
#include "cli/map_draw.h"

#include <stdio.h>

#include "cli/connect.h"
#include "cli/history.h"
#include "cli/observe.h"

enum { REQUEST_MAX_BYTES = 4 << 20, TEXT_MAX_BYTES = 256 << 20, MINUTE_S = 60 };

static const struct flag_def map_defs[] = {
	{ .name = "since",
	  .type = FLAG_STRING,
	  .def = "",
	  .placeholder = "TIME",
	  .help = "From a time on, relative (\"24h\") or absolute (RFC 3339); without it, what the "
		  "nodes hold in memory" },
	{ .name = "until",
	  .type = FLAG_STRING,
	  .def = "",
	  .placeholder = "TIME",
	  .help = "Up to a time" },
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_CHOICE,
	  .def = "table",
	  .placeholder = "FORMAT",
	  .values = "table json dot mermaid",
	  .help = "Output format: table, json (one edge per line), dot (Graphviz), mermaid" },
};
static const struct flag_set map_flags = { "Map", map_defs, ARRAY_LEN(map_defs) };

/* --- asking --------------------------------------------------------------------------------- */

/* The answers as they came, and all their edges. */
struct answers {
	Tycho__V1__GetServiceMapResponse **list; /* own */
	size_t count;
	struct map_edges edges; /* borrowed from the list */
	uint64_t left_out;
};

static void answers_done(struct answers *a)
{
	for (size_t i = 0; i < a->count; i++)
		tycho__v1__get_service_map_response__free_unpacked(a->list[i], NULL);
	free(a->list);
	free(a->edges.list);
}

static enum err_code on_message(void *ctx, struct str message, struct err *e)
{
	struct answers *a = ctx;
	Tycho__V1__GetServiceMapResponse *m = tycho__v1__get_service_map_response__unpack(
		NULL, message.len, (const uint8_t *)message.p);

	if (!m)
		return err_set(e, ERR_PARSE, "the server's service map cannot be read");
	Tycho__V1__GetServiceMapResponse **list = realloc(a->list, (a->count + 1) * sizeof *list);
	if (!list) {
		tycho__v1__get_service_map_response__free_unpacked(m, NULL);
		return err_set(e, ERR_NOMEM, "service map");
	}
	a->list = list;
	a->list[a->count++] = m;
	a->left_out += m->left_out;
	if (!m->n_edges)
		return ERR_OK;
	Tycho__V1__Edge **edges =
		realloc(a->edges.list, (a->edges.count + m->n_edges) * sizeof *edges);
	if (!edges)
		return err_set(e, ERR_NOMEM, "service map");
	a->edges.list = edges;
	memcpy(edges + a->edges.count, m->edges, m->n_edges * sizeof(Tycho__V1__Edge *));
	a->edges.count += m->n_edges;
	return ERR_OK;
}

static enum err_code pack_request(const struct history_range *range,
				  const struct observe_request *r, struct buf *out, struct err *e)
{
	Tycho__V1__GetServiceMapRequest request;
	Google__Protobuf__Timestamp times[2];

	tycho__v1__get_service_map_request__init(&request);
	history_set_range(range, times, &request.since, &request.until);
	request.whitelist = r->allow.items;
	request.n_whitelist = r->allow.count;
	request.blacklist = r->deny.items;
	request.n_blacklist = r->deny.count;
	char *to =
		buf_reserve(out, tycho__v1__get_service_map_request__get_packed_size(&request) + 1);
	if (!to)
		return err_set(e, ERR_INVALID, "the filters are larger than a server takes");
	out->len = tycho__v1__get_service_map_request__pack(&request, (uint8_t *)to);
	return ERR_OK;
}

/* --- what was counted ----------------------------------------------------------------------- */

static struct timestamp seen(const Google__Protobuf__Timestamp *t)
{
	return t ? (struct timestamp){ t->seconds, t->nanos } : (struct timestamp){ 0 };
}

/* Sums are of whole minutes: of those that @range begins and ends in, what lies outside is counted,
 * too. They say when their minute began, not when their flows were, and that gives them away. */
static struct history_range counted_range(const struct map_edges *edges,
					  const struct history_range *range)
{
	const struct timestamp since = { range->since.s - range->since.s % MINUTE_S, 0 };
	const struct timestamp until = { range->until.s - range->until.s % MINUTE_S, 0 };
	struct history_range counted = *range;

	for (size_t i = 0; i < edges->count; i++) {
		const Tycho__V1__Edge *edge = edges->list[i];
		if (range->has_since && timestamp_cmp(seen(edge->first_seen), range->since) < 0)
			counted.since = since;
		if (range->has_until && timestamp_cmp(seen(edge->last_seen), until) == 0)
			counted.until = (struct timestamp){ until.s + MINUTE_S, 0 };
	}
	return counted;
}

static void say_if_wider(const struct history_range *counted, const struct history_range *range)
{
	AUTO_BUF struct buf text = buf_init(TEXT_MAX_BYTES);

	if (timestamp_cmp(counted->since, range->since) == 0 &&
	    timestamp_cmp(counted->until, range->until) == 0)
		return;
	buf_lit(&text, "note: counted by whole minutes");
	if (range->has_since) {
		buf_lit(&text, ", since ");
		timestamp_put(&text, counted->since);
	}
	if (range->has_until) {
		buf_lit(&text, ", until ");
		timestamp_put(&text, counted->until);
	}
	buf_lit(&text, "; with filters, flow by flow\n");
	cli_say(buf_str(&text));
}

/* --- the command ---------------------------------------------------------------------------- */

static enum err_code show(struct cli *cli, struct err *e)
{
	/* In the order of the flag's values. */
	static enum err_code (*const put[])(struct buf * out, const struct map_edges *edges,
					    struct err *e) = { map_put_table, map_put_json,
							       map_put_dot, map_put_mermaid };
	__attribute__((cleanup(answers_done))) struct answers a = { 0 };
	AUTO_OBSERVE_REQUEST struct observe_request r = { 0 };
	struct history_range range = { 0 };
	AUTO_BUF struct buf request = buf_init(REQUEST_MAX_BYTES), out = buf_init(TEXT_MAX_BYTES);
	const struct stream_handler handler = { .on_message = on_message, .ctx = &a };

	if (observe_filter_check(cli->filter, e) != ERR_OK ||
	    history_read_range(cli, &range, e) != ERR_OK ||
	    observe_read_filters(cli, &r, e) != ERR_OK ||
	    pack_request(&range, &r, &request, e) != ERR_OK ||
	    connection_stream(cli->settings, "/tycho.v1.History/GetServiceMap", buf_str(&request),
			      &handler, e) != ERR_OK)
		return e->code;
	const struct history_range counted = counted_range(&a.edges, &range);
	map_merge(&a.edges);
	/* The sums by the minute know no filter. */
	const enum history_of of =
		r.allow.count || r.deny.count ? HISTORY_OF_FLOWS : HISTORY_OF_EDGES;
	if (put[flags_choice(cli->flags, "output")](&out, &a.edges, e) != ERR_OK ||
	    cli_write(buf_str(&out), e) != ERR_OK)
		return e->code;
	say_if_wider(&counted, &range);
	if (range.has_since || range.has_until)
		history_remark(cli->settings, &range, of);
	if (a.left_out)
		(void)fprintf(stderr,
			      "incomplete: %llu flows found no room in the map; narrow it by "
			      "filters or time\n",
			      (unsigned long long)a.left_out);
	return ERR_OK;
}

static const struct flag_set *const sets[] = { &map_flags, &filter_flags, &raw_filter_flags };

const struct command map_command = {
	.name = "map",
	.help = "Show who talks to whom",
	.details = "Sums up flows as edges between workloads: source, destination, the service's "
		   "port, what was decided, by which policy, and how often. Of a range of time it "
		   "takes the record's sums by the minute, so that a month costs little, and says "
		   "so where that counts more than was asked for; with filters, the flows "
		   "themselves. Behind a relay, what several nodes saw of one "
		   "edge is added up. Clusters are named where there are several.\n"
		   "\n"
		   "A packet counts wherever it was seen, in flows, packets and bytes: on its way "
		   "from one pod of a node to another where it leaves the one and where it reaches "
		   "the other.",
	.examples = "  # What talked to namespace shop during the last day\n"
		    "  tycho map --since 24h --to-namespace shop\n"
		    "\n"
		    "  # A picture of what was dropped\n"
		    "  tycho map --since 1h --verdict DROPPED -o dot | dot -Tsvg > dropped.svg",
	.sets = sets,
	.set_count = ARRAY_LEN(sets),
	.uses_server = true,
	.run = show,
};
