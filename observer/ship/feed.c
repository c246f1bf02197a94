#include "observer/ship/feed.h"

#include <jansson.h>

#include "base/time.h"
#include "observer/ship/row.h"

/* EXT_MAX: variable bytes of a record; a row, which has them up to three times, is then well below
 * FEED_BYTES_MAX. */
enum { PORTION = 16384, GAP_BYTES = 4 << 20, EXT_MAX = 4 << 20 };

struct feed {
	struct store *store;
	const char *node;
	struct store_reader *reader;
	struct ship_row row;
	struct buf rows;
	uint64_t begun_at; /* the first number that the store held at the beginning */
	bool is_sought;

	uint64_t next;    /* numbers below are there, or known to be missing */
	uint64_t entry;   /* the chain's entries below were looked at */
	uint64_t time_ns; /* of the record before @next */
	uint64_t last; /* of a block that may be there: it ends here when it comes again; 0: none */
	uint64_t sent; /* number of the last row that is there for sure; 0: none */

	/* The scan that the blocks are from; NULL: it begins anew at @next. Records [at, count) of it
	 * were not given out. */
	struct store_scan *scan;
	const struct flow *flows;
	size_t at, count;
	bool is_out;       /* of memory, for a block's first record */
	bool more, is_cut; /* is_cut: retention removed records while they were read */

	uint64_t counted_from, counted_to, counted; /* records that waited at the last look */
	uint64_t left_out;
};

/* --- life ---------------------------------------------------------------------------------- */

enum err_code feed_new(struct store *store, const struct flow_dict *dict, const char *node,
		       struct feed **ret, struct err *e)
{
	AUTO(feed_free) struct feed *f = calloc(1, sizeof *f);
	struct store_bounds bounds;

	if (!f)
		return err_set(e, ERR_NOMEM, "what is shipped");
	f->store = store;
	f->node = node;
	f->rows = buf_init(FEED_BYTES_MAX);
	f->row = ship_row_init(dict, str_of(node));
	enum err_code code = store_reader_new(store, &f->reader, e);
	if (code == ERR_OK)
		code = store_bounds(f->reader, &bounds, e);
	if (code != ERR_OK)
		return code;
	f->begun_at = bounds.first_seq;
	*ret = TAKE(f);
	return ERR_OK;
}

/* The next scan begins at @next. */
static void end_scan(struct feed *f)
{
	store_scan_free(TAKE(f->scan));
	f->at = f->count = 0;
}

void feed_free(struct feed *f)
{
	if (!f)
		return;
	end_scan(f);
	store_reader_free(f->reader);
	ship_row_done(&f->row);
	buf_done(&f->rows);
	free(f);
}

void feed_seek(struct feed *f, uint64_t seq, uint64_t time_ns, uint64_t entry)
{
	end_scan(f);
	/* numbers behind the last row that are no rows were looked at */
	if (!f->is_sought || !seq || seq != f->sent)
		f->next = seq ? seq + 1 : f->begun_at;
	f->sent = seq;
	f->time_ns = time_ns;
	f->entry = entry + 1;
	if (f->last < f->next)
		f->last = 0;
	f->is_sought = true;
}

/* --- what retention took ------------------------------------------------------------------- */

/* How many of [next, first) there were when they were counted; 0: not known. */
static enum err_code count_pruned(struct feed *f, uint64_t first, uint64_t *ret, struct err *e)
{
	uint64_t held = 0;

	*ret = 0;
	if (f->counted_from != f->next || f->counted_to < first)
		return ERR_OK;
	enum err_code code = store_held(f->reader, f->next, f->counted_to, &held, e);
	if (code == ERR_OK && held < f->counted)
		*ret = f->counted - held;
	return code;
}

static enum err_code take_pruned(struct feed *f, uint64_t first, struct feed_block *ret,
				 struct err *e)
{
	const struct wall_ns oldest = store_counts(f->store).oldest;
	uint64_t lost;
	enum err_code code = count_pruned(f, first, &lost, e);

	if (code != ERR_OK)
		return code;
	const struct store_gap gap = {
		.from = { f->time_ns ? f->time_ns : oldest.v },
		.to = oldest.v > f->time_ns ? oldest : (struct wall_ns){ f->time_ns },
		.lost = lost,
		.first_seq = f->next,
		.last_seq = first - 1,
		.node = STR(""),
		.detail = STR("retention of the node's store removed it before it was sent"),
	};
	const uint64_t entry = CLICKHOUSE_ENTRY_PRUNED | f->next;
	ship_gap_put(&f->rows, str_of(f->node), entry, STR(CLICKHOUSE_CAUSE_PRUNED), &gap);
	*ret = (struct feed_block){ .table = &clickhouse_gaps,
				    .rows = buf_str(&f->rows),
				    .count = 1,
				    .first = entry,
				    .last = entry,
				    .next = first,
				    .time_ns = f->time_ns,
				    .lost = lost,
				    .is_pruned = true };
	return ERR_OK;
}

/* --- gaps of the chain --------------------------------------------------------------------- */

struct gap_walk {
	struct feed *feed;
	struct feed_block *block;
	size_t left; /* entries that are looked at */
};

static uint64_t number_of(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));
	uint64_t v = 0;

	(void)(text && parse_u64(str_of(text), INT64_MAX, &v));
	return v;
}

static struct wall_ns time_of(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));
	struct timestamp t;
	struct wall_ns w = { 0 };

	if (text && timestamp_parse(str_of(text), &t))
		(void)timestamp_to_wall(t, &w);
	return w;
}

static struct str text_of(const json_t *o, const char *name)
{
	const json_t *v = json_object_get(o, name);

	return v && json_is_string(v) ? str_n(json_string_value(v), json_string_length(v))
				      : STR("");
}

static bool take_entry(void *ctx, const struct store_entry *entry)
{
	struct gap_walk *w = ctx;
	struct feed_block *b = w->block;
	json_error_t where;

	if (!entry->is_block && str_has_prefix(entry->body, STR("{\"kind\":\"gap\""))) {
		json_t *o = json_loadb(entry->body.p, entry->body.len, 0, &where);
		if (!o) { /* the store wrote it: no memory */
			w->feed->rows.failed = true;
			return false;
		}
		const struct store_gap gap = { .from = time_of(o, "from"),
					       .to = time_of(o, "to"),
					       .lost = number_of(o, "lost"),
					       .first_seq = number_of(o, "first_seq"),
					       .last_seq = number_of(o, "last_seq"),
					       .node = text_of(o, "node"),
					       .detail = text_of(o, "detail") };
		ship_gap_put(&w->feed->rows, str_of(w->feed->node), entry->number,
			     text_of(o, "cause"), &gap);
		json_decref(o);
		b->first = b->count ? b->first : entry->number;
		b->last = entry->number;
		b->count++;
	}
	b->next = entry->number + 1;
	return b->count < FEED_GAPS && w->feed->rows.len < GAP_BYTES;
}

static enum err_code take_gaps(struct feed *f, struct feed_block *ret, struct err *e)
{
	struct gap_walk w = { .feed = f, .block = ret };

	*ret = (struct feed_block){ .table = &clickhouse_gaps, .next = f->entry };
	enum err_code code = store_chain(f->reader, f->entry, take_entry, &w, e);
	if (code != ERR_OK)
		return code;
	if (f->rows.failed)
		return err_set(e, ERR_NOMEM, "gaps that are shipped");
	if (!ret->count) /* other entries: they need not be looked at again */
		f->entry = ret->next;
	ret->rows = buf_str(&f->rows);
	ret->time_ns = f->time_ns;
	return ERR_OK;
}

/* --- records ------------------------------------------------------------------------------- */

static enum err_code first_held(struct feed *f, uint64_t *ret, struct err *e)
{
	struct store_bounds bounds;
	enum err_code code = store_bounds(f->reader, &bounds, e);

	if (code == ERR_OK)
		*ret = bounds.first_seq;
	return code;
}

static enum err_code begin_scan(struct feed *f, struct err *e)
{
	const struct store_scan_config config = {
		.range = { .until = { UINT64_MAX },
			   .from_seq = f->next,
			   .to_seq = store_sealed(f->store) },
		.kinds = 1U << FLOW_KIND_FLOW | 1U << FLOW_KIND_LOST,
		.takes_nameless = true,
	};

	f->more = config.range.from_seq < config.range.to_seq;
	return f->more ? store_scan_new(f->reader, &config, &f->scan, e) : ERR_OK;
}

/* More records, if there are. What retention may have removed while they were read ends the scan:
 * nothing of it is skipped unseen. */
static enum err_code more_records(struct feed *f, struct err *e)
{
	const uint64_t at = store_scan_at(f->scan);
	uint64_t first;

	f->at = f->count = 0;
	enum err_code code = store_scan_next(f->scan, PORTION, &f->flows, &f->count, &f->more, e);
	if (code == ERR_OK)
		code = first_held(f, &first, e);
	f->is_cut = code == ERR_OK && first > at;
	if (f->is_cut)
		f->count = 0;
	return code;
}

/* Appends the next record. @return false if it belongs to another block. */
static bool take_record(struct feed *f, struct feed_block *b)
{
	const struct flow *flow = &f->flows[f->at];
	const uint64_t otherwise = f->time_ns ? f->time_ns : wall_now().v;
	const uint64_t before = b->count ? b->time_ns : otherwise;
	const uint64_t time_ns = flow_is(flow, FLOW_HAS_TIME) ? flow->time.v : before;
	const struct clickhouse_partition day = clickhouse_partition_of(time_ns),
					  day_before = clickhouse_partition_of(before);
	const size_t len = f->rows.len;

	if (b->count && (day.day != day_before.day || day.wrapped_day != day_before.wrapped_day))
		return false;
	if (b->count == FEED_RECORDS || f->rows.len >= FEED_BYTES)
		return false;
	if (f->last && flow->seq > f->last) {
		if (b->count)
			return false;
		f->last = 0; /* of that block nothing is left */
	}
	if (flow->ext_len > EXT_MAX) {
		f->left_out++;
		b->next = flow->seq + 1;
		f->at++;
		return true;
	}
	ship_row_put(&f->row, &f->rows, flow, time_ns);
	if (f->rows.failed) { /* no memory: what is there already goes without it */
		f->rows.failed = false;
		f->rows.len = len;
		f->is_out = !b->count;
		return false;
	}
	b->first = b->count ? b->first : flow->seq;
	b->last = flow->seq;
	b->next = flow->seq + 1;
	b->time_ns = time_ns;
	b->count++;
	f->at++;
	return true;
}

static enum err_code take_records(struct feed *f, struct feed_block *ret, struct err *e)
{
	f->is_cut = f->is_out = false;
	*ret = (struct feed_block){ .table = &clickhouse_flows,
				    .next = f->next,
				    .time_ns = f->time_ns };
	enum err_code code = f->scan ? ERR_OK : begin_scan(f, e);
	while (code == ERR_OK) {
		while (f->at < f->count && take_record(f, ret))
			;
		if (f->is_out)
			code = err_set(e, ERR_NOMEM, "a block of flows");
		if (f->at < f->count || !f->scan)
			break; /* full */
		if (!f->more || f->is_cut) {
			if (!f->is_cut)
				ret->next = store_scan_at(f->scan);
			end_scan(f);
			break;
		}
		code = more_records(f, e);
	}
	if (code != ERR_OK) {
		end_scan(f);
		return code;
	}
	ret->rows = buf_str(&f->rows);
	if (!ret->count) /* records that are no rows */
		f->next = ret->next > f->next ? ret->next : f->next;
	return ERR_OK;
}

/* --- blocks -------------------------------------------------------------------------------- */

static enum err_code take_block(struct feed *f, struct feed_block *ret, struct err *e)
{
	uint64_t first;
	enum err_code code = ERR_OK;

	buf_reset(&f->rows);
	f->is_cut = false;
	if (!f->scan) {
		code = first_held(f, &first, e);
		if (code == ERR_OK && first > f->next)
			return take_pruned(f, first, ret, e);
		if (code == ERR_OK)
			code = take_gaps(f, ret, e);
		if (code != ERR_OK || ret->count)
			return code;
	}
	return take_records(f, ret, e);
}

enum err_code feed_next(struct feed *f, struct feed_block *ret, struct err *e)
{
	enum err_code code;

	do
		code = take_block(f, ret, e);
	while (code == ERR_OK && !ret->count && f->is_cut);
	return code;
}

void feed_sent(struct feed *f, const struct feed_block *block)
{
	if (block->table == &clickhouse_gaps && !block->is_pruned) {
		f->entry = block->next;
	} else {
		f->next = block->next;
		f->time_ns = block->time_ns;
		f->last = 0;
		f->sent = block->is_pruned ? block->next - 1 : block->last;
	}
	if (f->rows.cap > FEED_BYTES / 16) { /* rarely so large again */
		buf_done(&f->rows);
		f->rows = buf_init(FEED_BYTES_MAX);
	}
}

void feed_unsure(struct feed *f, const struct feed_block *block)
{
	end_scan(f);
	f->last = block->table == &clickhouse_flows ? block->last : f->last;
}

/* --- what waits ---------------------------------------------------------------------------- */

enum err_code feed_waiting(struct feed *f, uint64_t *ret_records, struct wall_ns *ret_oldest,
			   struct err *e)
{
	const uint64_t to = store_sealed(f->store), from = f->is_sought ? f->next : f->begun_at;
	const struct store_scan_config config = {
		.range = { .until = { UINT64_MAX }, .from_seq = from, .to_seq = to },
		.kinds = 1U << FLOW_KIND_FLOW | 1U << FLOW_KIND_LOST,
		.takes_nameless = true,
	};
	AUTO(store_scan_free) struct store_scan *scan = NULL;
	const struct flow *flows;
	size_t count = 0;
	uint64_t records = 0;
	bool more = from < to;
	enum err_code code = more ? store_held(f->reader, from, to, &records, e) : ERR_OK;

	if (code == ERR_OK && more)
		code = store_scan_new(f->reader, &config, &scan, e);
	while (code == ERR_OK && more && !count)
		code = store_scan_next(scan, 1, &flows, &count, &more, e);
	if (code != ERR_OK)
		return code;
	f->counted_from = from;
	f->counted_to = to;
	f->counted = records;
	*ret_records = count ? records : 0;
	*ret_oldest = (struct wall_ns){ 0 };
	if (count)
		ret_oldest->v = flow_is(&flows[0], FLOW_HAS_TIME) ? flows[0].time.v : f->time_ns;
	return ERR_OK;
}

uint64_t feed_ahead(const struct feed *f)
{
	const uint64_t to = store_sealed(f->store);

	return to > f->next ? to - f->next : 0;
}

uint64_t feed_left_out(const struct feed *f)
{
	return f->left_out;
}
