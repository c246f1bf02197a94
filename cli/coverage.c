/*
 * tycho coverage - since when each node has a record, and what is missing from it.
 */
#include "cli/command.h"
#include "cli/history.h"
#include "cli/report.h"
#include "flow/json.h"
#include "flow/text_table.h"

enum { TEXT_MAX_BYTES = 256 << 20 };

static const struct flag_def coverage_defs[] = {
	{ .name = "since",
	  .type = FLAG_STRING,
	  .def = "",
	  .placeholder = "TIME",
	  .help = "What is covered since a time, relative (\"24h\") or absolute (RFC 3339)" },
	{ .name = "until",
	  .type = FLAG_STRING,
	  .def = "",
	  .placeholder = "TIME",
	  .help = "What is covered until a time" },
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_CHOICE,
	  .def = "table",
	  .placeholder = "FORMAT",
	  .values = "json table",
	  .help = "Output format: table, or json (one node per line)" },
};
static const struct flag_set coverage_flags = { "Coverage", coverage_defs,
						ARRAY_LEN(coverage_defs) };

static void put_time(struct buf *b, const Google__Protobuf__Timestamp *m)
{
	if (m)
		timestamp_put(b, (struct timestamp){ m->seconds, m->nanos });
	else
		buf_char(b, '-');
	buf_char(b, '\t');
}

static bool is_before(const Google__Protobuf__Timestamp *a, const Google__Protobuf__Timestamp *b)
{
	return timestamp_cmp((struct timestamp){ a->seconds, a->nanos },
			     (struct timestamp){ b->seconds, b->nanos }) < 0;
}

static void put_gap(struct buf *b, const char *node, const Tycho__V1__Gap *g)
{
	/* A clock set back loses nothing. */
	bool is_note = g->cause == TYCHO__V1__GAP__CAUSE__CLOCK_SET_BACK;

	report_text(b, *g->node_name ? g->node_name : node);
	buf_str_put(b, is_note ? STR("\tnote\t") : STR("\tmissing\t"));
	put_time(b, g->from);
	put_time(b, g->to);
	if (g->lost)
		buf_grouped(b, g->lost);
	else
		buf_char(b, is_note ? '-' : '?');
	buf_printf(b, "\t%s", history_cause_words(g->cause));
	if (*g->detail) {
		buf_lit(b, ": ");
		report_text(b, g->detail);
	}
	buf_char(b, '\n');
}

/* What was asked for and lies before the record. */
static void put_before(struct buf *b, const Tycho__V1__GetCoverageResponse *n,
		       const struct history_range *range)
{
	Google__Protobuf__Timestamp times[2], *since, *until;

	history_set_range(range, times, &since, &until);
	bool is_all = until &&
		      timestamp_cmp(range->until,
				    (struct timestamp){ n->oldest->seconds, n->oldest->nanos }) < 0;
	report_text(b, n->node_name);
	buf_lit(b, "\tmissing\t");
	put_time(b, since);
	put_time(b, is_all ? until : n->oldest);
	buf_str_put(b, n->has_store ? STR("?\tits record begins later\n")
				    : STR("?\tit keeps no history beyond its memory\n"));
}

/* What of the record is in the range; all of it where nothing is. */
static void put_extent(struct buf *b, const Tycho__V1__GetCoverageResponse *n,
		       const struct history_range *range)
{
	Google__Protobuf__Timestamp times[2], *since, *until;
	const Google__Protobuf__Timestamp *from = n->oldest, *to = n->newest;

	history_set_range(range, times, &since, &until);
	if (since && from && is_before(from, since))
		from = since;
	if (until && to && is_before(until, to))
		to = until;
	bool is_apart = from && to && is_before(to, from);
	put_time(b, is_apart ? n->oldest : from);
	put_time(b, is_apart ? n->newest : to);
}

static void put_records(struct buf *b, const Tycho__V1__GetCoverageResponse *n,
			const struct history_range *range)
{
	if (n->counted)
		buf_grouped(b, n->range_records);
	else if (n->oldest && !n->records) /* the counts are not for who asks */
		buf_char(b, '-');
	else if (n->oldest && (range->has_since || range->has_until)) /* it does not know how */
		buf_char(b, '?');
	else
		buf_grouped(b, n->records);
}

static void put_node(struct buf *b, const Tycho__V1__GetCoverageResponse *n,
		     const struct history_range *range)
{
	report_text(b, n->node_name);
	if (*n->error) {
		buf_lit(b, "\tunknown\t-\t-\t-\t");
		report_text(b, n->error);
		buf_char(b, '\n');
		return;
	}
	buf_str_put(b, n->oldest ? STR("\tcovered\t") : STR("\tempty\t"));
	put_extent(b, n, range);
	put_records(b, n, range);
	buf_str_put(b, n->has_store ? STR("\tstore") : STR("\tmemory only"));
	if (n->bytes)
		buf_printf(b, ", %.1f MiB", (double)n->bytes / (double)(1 << 20));
	buf_char(b, '\n');
	if (history_begins_late(n, range, HISTORY_OF_FLOWS))
		put_before(b, n, range);
	for (size_t i = 0; i < n->n_gaps; i++)
		put_gap(b, n->node_name, n->gaps[i]);
}

static enum err_code put_table(struct buf *out, const struct history *h,
			       const struct history_range *range, struct err *e)
{
	AUTO_BUF struct buf rows = buf_init(TEXT_MAX_BYTES);

	buf_lit(&rows, "NODE\tSTATE\tFROM\tTO\tRECORDS\tREMARK\n");
	for (size_t i = 0; i < h->count; i++)
		put_node(&rows, h->nodes[i].said, range);
	if (rows.failed || !text_table_put(out, buf_str(&rows)))
		return err_set(e, ERR_NOMEM, "table");
	return ERR_OK;
}

static enum err_code put_json(struct buf *out, const struct history *h, struct err *e)
{
	for (size_t i = 0; i < h->count; i++) {
		const struct history_node *n = &h->nodes[i];
		if (json_put_message(out, &tycho__v1__get_coverage_response__descriptor,
				     str_upto(str_from(buf_str(&h->wire), n->at), n->len),
				     e) != ERR_OK)
			return e->code;
		buf_char(out, '\n');
	}
	return ERR_OK;
}

static enum err_code coverage(struct cli *cli, struct err *e)
{
	AUTO_HISTORY struct history h = { 0 };
	AUTO_BUF struct buf out = buf_init(TEXT_MAX_BYTES);
	struct history_range range = { 0 };
	bool json = strcmp(flags_text(cli->flags, "output"), "json") == 0;

	if (history_read_range(cli, &range, e) != ERR_OK)
		return e->code;
	if (history_ask(cli->settings, &range, range.has_since || range.has_until, &h, e) !=
		    ERR_OK ||
	    (json ? put_json(&out, &h, e) : put_table(&out, &h, &range, e)) != ERR_OK)
		return e->code;
	return cli_write(buf_str(&out), e);
}

static const struct flag_set *const sets[] = { &coverage_flags };

const struct command coverage_command = {
	.name = "coverage",
	.help = "Show since when there is a record, and what is missing from it",
	.details =
		"Asks an observer, or every node behind a relay, how far its record reaches "
		"back and where it has gaps: while no observer ran, where the kernel or the "
		"store lost flows, and how many. Without --since and --until, all of it; else the "
		"records are those of the range.\n"
		"\n"
		"A row is what is covered, what is missing and why, a note (a clock that was "
		"set back, which lost nothing), or a node whose record is empty or unknown: it "
		"could not be asked.",
	.examples = "  # Can the last day be trusted to be whole?\n"
		    "  tycho coverage --since 24h",
	.sets = sets,
	.set_count = ARRAY_LEN(sets),
	.uses_server = true,
	.run = coverage,
};
