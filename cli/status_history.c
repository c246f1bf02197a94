#include "cli/status_history.h"

#include "cli/report.h"

enum { NAMES_MOST = 5, DAY_S = 24 * 3600 };

/* All nodes together. */
struct sums {
	size_t nodes, stores, gapped, failing; /* nodes: of those that answered */
	size_t archived;                       /* of the stores: those that an archive speaks for */
	uint64_t records, bytes, gaps;
	/* the earliest and the latest of when records begin, and the earliest of the checkpoints */
	const Google__Protobuf__Timestamp *first, *last, *checkpoint;
	bool has_unsigned, has_same_retention;
	uint64_t retention_s, retention_bytes;
};

static int compare(const Google__Protobuf__Timestamp *a, const Google__Protobuf__Timestamp *b)
{
	return timestamp_cmp((struct timestamp){ a->seconds, a->nanos },
			     (struct timestamp){ b->seconds, b->nanos });
}

/* A clock that was set back loses nothing. */
static size_t gaps_of(const Tycho__V1__GetCoverageResponse *n)
{
	size_t gaps = 0;

	for (size_t i = 0; i < n->n_gaps; i++)
		gaps += n->gaps[i]->cause != TYCHO__V1__GAP__CAUSE__CLOCK_SET_BACK;
	return gaps;
}

static void add(struct sums *s, const Tycho__V1__GetCoverageResponse *n)
{
	s->nodes++;
	if (!n->has_store)
		return;
	if (!n->archived) { /* what the node itself does, an archive does not know */
		bool same = n->retention_s == s->retention_s &&
			    n->retention_bytes == s->retention_bytes;
		s->has_same_retention = s->stores == s->archived || (s->has_same_retention && same);
		s->retention_s = n->retention_s;
		s->retention_bytes = n->retention_bytes;
	}
	s->stores++;
	s->archived += n->archived;
	s->records += n->records;
	s->bytes += n->bytes;
	s->gaps += gaps_of(n);
	s->gapped += gaps_of(n) > 0;
	s->failing += n->not_writing;
	if (n->oldest && (!s->first || compare(n->oldest, s->first) < 0))
		s->first = n->oldest;
	if (n->oldest && (!s->last || compare(n->oldest, s->last) > 0))
		s->last = n->oldest;
	if (n->archived)
		return;
	if (!n->last_checkpoint)
		s->has_unsigned = true;
	else if (!s->checkpoint || compare(n->last_checkpoint, s->checkpoint) < 0)
		s->checkpoint = n->last_checkpoint;
}

static struct sums sums_of(const struct history *h)
{
	struct sums s = { 0 };

	for (size_t i = 0; i < h->count; i++)
		if (!*h->nodes[i].said->error)
			add(&s, h->nodes[i].said);
	return s;
}

static void put_time(struct buf *b, const Google__Protobuf__Timestamp *m)
{
	timestamp_put(b, (struct timestamp){ m->seconds, 0 }); /* to the second is near enough */
}

static void put_bytes(struct buf *b, uint64_t bytes)
{
	if (bytes < UINT64_C(1) << 30)
		buf_printf(b, "%.1f MiB", (double)bytes / (double)(1 << 20));
	else
		buf_printf(b, "%.1f GiB", (double)bytes / (double)(1 << 30));
}

static void put_history(struct buf *b, const struct sums *s)
{
	if (s->nodes > 1)
		buf_printf(b, "%zu/%zu nodes, ", s->stores, s->nodes);
	if (!s->first) {
		buf_lit(b, "empty so far");
		return;
	}
	if (s->records) { /* else the counts are not for who asks */
		buf_grouped(b, s->records);
		buf_lit(b, " records ");
	}
	buf_lit(b, "since ");
	put_time(b, s->first);
	if (s->first->seconds != s->last->seconds) {
		buf_lit(b, " (all since ");
		put_time(b, s->last);
		buf_char(b, ')');
	}
	if (s->bytes) {
		buf_lit(b, ", ");
		put_bytes(b, s->bytes);
	}
}

static void put_retention(struct buf *b, const struct sums *s)
{
	if (s->archived == s->stores) {
		buf_lit(b, "ClickHouse's");
		return;
	}
	if (!s->has_same_retention) {
		buf_lit(b, "differs between nodes");
		return;
	}
	if (!s->retention_s && !s->retention_bytes)
		buf_lit(b, "without limit");
	else if (!s->retention_s)
		buf_lit(b, "of any age");
	else if (s->retention_s % DAY_S == 0)
		buf_printf(b, "%llud", (unsigned long long)(s->retention_s / DAY_S));
	else
		duration_put(b, (int64_t)(s->retention_s * NS_PER_S));
	if (s->retention_bytes) {
		buf_lit(b, ", ");
		put_bytes(b, s->retention_bytes);
	}
}

const char *status_history_label(enum status_history_value which)
{
	static const char *const labels[] = { "History", "Retention", "Gaps in 24h",
					      "Last Checkpoint", "Not Writing" };

	_Static_assert(ARRAY_LEN(labels) == STATUS_HISTORY_COUNT_, "a value without a label");
	return labels[which];
}

static void put_value(struct buf *b, const struct sums *s, enum status_history_value which)
{
	if (!s->stores) {
		buf_str_put(b, which == STATUS_HISTORY && s->nodes ? STR("none beyond memory")
								   : STR("N/A"));
		return;
	}
	switch (which) {
	case STATUS_HISTORY:
		put_history(b, s);
		break;
	case STATUS_HISTORY_RETENTION:
		put_retention(b, s);
		break;
	case STATUS_HISTORY_GAPS:
		buf_grouped(b, s->gaps);
		if (s->gaps && s->nodes > 1)
			buf_printf(b, " on %zu node%s", s->gapped, s->gapped == 1 ? "" : "s");
		break;
	case STATUS_HISTORY_CHECKPOINT:
		if (s->archived == s->stores)
			buf_lit(b, "not known here");
		else if (s->has_unsigned)
			buf_str_put(b, s->stores == 1 ? STR("none yet")
						      : STR("none yet on some nodes"));
		else
			put_time(b, s->checkpoint);
		break;
	default:
		buf_printf(b, "%zu", s->failing);
	}
}

void status_history_put(struct buf *b, const struct history *h, enum status_history_value which)
{
	const struct sums s = sums_of(h);

	put_value(b, &s, which);
}

/* --- the nodes that want to be looked at ------------------------------------------------------ */

static bool is_not_writing(const Tycho__V1__GetCoverageResponse *n)
{
	return n->not_writing;
}

static bool has_no_history(const Tycho__V1__GetCoverageResponse *n)
{
	return !*n->error && !n->has_store;
}

static bool is_not_known(const Tycho__V1__GetCoverageResponse *n)
{
	return *n->error != '\0';
}

static void put_nodes(struct buf *b, const struct history *h, const char *label,
		      bool (*is_one)(const Tycho__V1__GetCoverageResponse *n))
{
	size_t count = 0;

	for (size_t i = 0; i < h->count; i++)
		count += is_one(h->nodes[i].said);
	if (!count)
		return;
	buf_printf(b, "%s: %zu\n", label, count);
	for (size_t i = 0, shown = 0; i < h->count && shown < NAMES_MOST; i++) {
		const Tycho__V1__GetCoverageResponse *n = h->nodes[i].said;
		if (!is_one(n))
			continue;
		shown++;
		buf_lit(b, "  - ");
		report_text(b, n->node_name);
		if (*n->error) {
			buf_lit(b, ": ");
			report_text(b, n->error);
		}
		buf_char(b, '\n');
	}
	if (count > NAMES_MOST)
		buf_printf(b, "  - and %zu more...\n", count - NAMES_MOST);
}

void status_history_put_lines(struct buf *b, const struct history *h)
{
	const struct sums s = sums_of(h);

	for (unsigned i = 0; i < STATUS_HISTORY_NOT_WRITING; i++) {
		if (i ? !s.stores : !s.nodes)
			continue; /* one line says it */
		buf_printf(b, "%s: ", status_history_label(i));
		put_value(b, &s, i);
		buf_char(b, '\n');
	}
	put_nodes(b, h, status_history_label(STATUS_HISTORY_NOT_WRITING), is_not_writing);
	if (s.stores) /* else all of them have none */
		put_nodes(b, h, "Without History", has_no_history);
	put_nodes(b, h, "History Unknown", is_not_known);
}
