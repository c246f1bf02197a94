#include "store/reader.h"

/*
 *	segments ─time, zone─► those that may hold a match ─segment_match─► matches ─all members─►
 *
 * A scan holds no snapshot between two calls: it remembers a number, and what it has of the segment
 * that it is in. Merging behind its back may put the number into the middle of another segment.
 */

enum {
	CHUNK = 1024,
	OUT = 4096,     /* records given out at once */
	FEW = 32,       /* one in more than so many matches: only these are worked out */
	SKIP_WORK = 64, /* what a segment costs that is not looked into, in records */
};
#define WHERE_MEMBERS                                                                              \
	(FLOW_MEMBER(FLOW_MEMBER_SEQ) | FLOW_MEMBER(FLOW_MEMBER_BITS) |                            \
	 FLOW_MEMBER(FLOW_MEMBER_TIME))

struct store_scan {
	struct store_reader *r;
	struct store_scan_config config;
	struct segment *segment;
	struct flow_zone *zone;
	struct buf bytes;
	struct flow *chunk, *out;        /* CHUNK, OUT */
	uint64_t bits[SEGMENT_MAX / 64]; /* of the open segment: records that match */
	bool is_asked;                   /* they are there */
	/* forward: numbers below are done; backward: numbers from here on are */
	uint64_t at;
	uint64_t next; /* the same to the record, for store_scan_at */
	bool is_open;  /* a segment is, and rows [low, high) of it are left */
	struct segment_row row;
	size_t low, high;
	bool plain; /* the next segment is asked for by its first number only: the table is damaged
		     */
};

void store_scan_free(struct store_scan *sc)
{
	if (!sc)
		return;
	segment_free(sc->segment);
	flow_zone_free(sc->zone);
	buf_done(&sc->bytes);
	free(sc->chunk);
	free(sc->out);
	free(sc);
}

/* --- the file's ids to the dictionary's --------------------------------------------------- */

static uint32_t back(void *ctx, enum dict_kind kind, uint32_t stored)
{
	struct store_scan *sc = ctx;

	return dict_back_id(sc->r->back, &sc->r->db, kind, stored);
}

static uint32_t back_endpoint(void *ctx, uint32_t stored)
{
	return back(ctx, DICT_ENDPOINT, stored);
}

static uint32_t back_service(void *ctx, uint32_t stored)
{
	return back(ctx, DICT_SERVICE, stored);
}

static uint32_t back_node(void *ctx, uint32_t stored)
{
	return back(ctx, DICT_NODE, stored);
}

static uint16_t back_reason(void *ctx, uint16_t stored)
{
	return (uint16_t)back(ctx, DICT_REASON, stored);
}

enum err_code store_scan_new(struct store_reader *r, const struct store_scan_config *config,
			     struct store_scan **ret, struct err *e)
{
	AUTO(store_scan_free) struct store_scan *sc = calloc(1, sizeof *sc);

	if (!sc)
		return err_set(e, ERR_NOMEM, "a scan of the store");
	sc->r = r;
	sc->config = *config;
	if (sc->config.filter && flow_filter_is_empty(sc->config.filter))
		sc->config.filter = NULL;
	sc->at = config->backward ? config->range.to_seq : config->range.from_seq;
	sc->bytes = buf_init(STORE_SEGMENT_BYTES);
	sc->chunk = calloc(CHUNK, sizeof *sc->chunk);
	sc->out = calloc(OUT, sizeof *sc->out);
	if (!sc->chunk || !sc->out)
		return err_set(e, ERR_NOMEM, "a scan of the store");
	enum err_code code = segment_new(&sc->segment, e);
	if (code == ERR_OK)
		code = flow_zone_new(&sc->zone, e);
	if (code != ERR_OK)
		return code;
	const struct segment_question question = { sc->config.filter, config->kinds,
						   config->unfiltered };
	const struct segment_ids ids = { back_endpoint, back_service, back_node, back_reason, sc };
	segment_ask(sc->segment, &question);
	segment_translate(sc->segment, &ids);
	*ret = TAKE(sc);
	return ERR_OK;
}

uint64_t store_scan_at(const struct store_scan *sc)
{
	return sc->is_open ? sc->next : sc->at;
}

/* --- which segment ------------------------------------------------------------------------ */

static struct endpoint_id zone_endpoint(void *ctx, uint32_t stored)
{
	return (struct endpoint_id){ back_endpoint(ctx, stored) };
}

static struct service_id zone_service(void *ctx, uint32_t stored)
{
	return (struct service_id){ back_service(ctx, stored) };
}

static struct node_id zone_node(void *ctx, uint32_t stored)
{
	return (struct node_id){ back_node(ctx, stored) };
}

static bool zone_may_match(struct store_scan *sc, struct str zone)
{
	const struct flow_zone_ids ids = { zone_endpoint, zone_service, zone_node, sc };

	if (!sc->config.filter || sc->config.unfiltered & sc->config.kinds)
		return true;
	if (flow_zone_get(sc->zone, zone, &ids, NULL) != ERR_OK)
		return true; /* a damaged zone cannot say no */
	return flow_filter_may_match(sc->config.filter, sc->zone);
}

/* The segments that are left, in the scan's order. */
static sqlite3_stmt *ask(struct store_scan *sc)
{
	const struct store_range *range = &sc->config.range;
	const struct db_value since = DB_I(store_i64(range->since.v)),
			      until = DB_I(store_i64(range->until.v)), at = DB_I(store_i64(sc->at));

	if (sc->config.backward)
		return DB_ASK(&sc->r->db,
			      "SELECT " SEGMENT_COLUMNS ", zone FROM segment WHERE first_seq < ?1"
			      " AND last_seq >= ?2 AND (untimed > 0 OR (to_ns >= ?3 AND"
			      " from_ns <= ?4)) AND damaged = 0 ORDER BY first_seq DESC",
			      at, DB_I(store_i64(range->from_seq)), since, until);
	if (sc->plain)
		return DB_ASK(&sc->r->db,
			      "SELECT " SEGMENT_COLUMNS ", zone FROM segment WHERE first_seq >= ?1"
			      " AND first_seq < ?2 AND (untimed > 0 OR (to_ns >= ?3 AND"
			      " from_ns <= ?4)) AND damaged = 0 ORDER BY first_seq",
			      at, DB_I(store_i64(range->to_seq)), since, until);
	return DB_ASK(&sc->r->db,
		      "SELECT " SEGMENT_COLUMNS ", zone FROM segment WHERE first_seq >="
		      " coalesce((SELECT max(first_seq) FROM segment WHERE first_seq <= ?1), ?1)"
		      " AND last_seq >= ?1 AND first_seq < ?2 AND (untimed > 0 OR (to_ns >= ?3 AND"
		      " from_ns <= ?4)) AND damaged = 0 ORDER BY first_seq",
		      at, DB_I(store_i64(range->to_seq)), since, until);
}

static void pass(struct store_scan *sc, const struct segment_row *row)
{
	sc->at = sc->config.backward ? row->first_seq : row->last_seq + 1;
}

static void note_damage(struct store_scan *sc, const struct segment_row *row, const char *why)
{
	segment_note_damage(sc->r->store ? &sc->r->store->gaps : &sc->r->found, row, why);
}

/* The table of segments itself cannot be read at this place. An index, which lies elsewhere, knows
 * where the next one begins. */
static enum err_code step_over(struct store_scan *sc, bool *ret_end, struct err *e)
{
	struct db *db = &sc->r->db;
	struct segment_row row = { 0 };
	sqlite3_stmt *st = sc->config.backward ? DB_ASK(db,
							"SELECT first_seq, sealed_ns FROM segment "
							"INDEXED BY segment_sealed"
							" WHERE sealed_ns > 0 AND first_seq < ?1"
							" ORDER BY first_seq DESC LIMIT 1",
							DB_I(store_i64(sc->at)))
					       : DB_ASK(db,
							"SELECT first_seq, sealed_ns FROM segment "
							"INDEXED BY segment_sealed"
							" WHERE sealed_ns > 0 AND first_seq >= ?1"
							" ORDER BY first_seq LIMIT 1",
							DB_I(store_i64(sc->at)));

	if (db_next(db, st)) {
		row.first_seq = row.last_seq = column_u64(st, 0);
		row.from.v = row.to.v = row.sealed.v = column_u64(st, 1);
		db_leave(st);
	}
	enum err_code code = db_ended(db, "read the segments", e);
	if (code != ERR_OK)
		return code;
	if (!row.first_seq) {
		*ret_end = true;
		return ERR_OK;
	}
	note_damage(sc, &row, "a page of the table of segments");
	pass(sc, &row);
	sc->plain = true;
	return ERR_OK;
}

/* Opens the next segment that may hold something; false: none is left, or the work is done. */
static enum err_code next_segment(struct store_scan *sc, size_t *work, bool *ret_end, struct err *e)
{
	struct db *db = &sc->r->db;
	enum err_code code = reader_begin(sc->r, e);

	if (code != ERR_OK)
		return code;
	sqlite3_stmt *st = ask(sc);
	bool found = false, end = true;
	while (db_next(db, st)) {
		struct segment_row row = segment_row_of(st);
		end = false;
		if (zone_may_match(sc, column_blob(st, SEGMENT_COLUMN_COUNT))) {
			sc->row = row;
			found = true;
			break;
		}
		pass(sc, &row);
		end = true;
		*work -= *work > SKIP_WORK ? SKIP_WORK : *work;
		if (!*work) {
			end = false;
			break;
		}
	}
	db_leave(st);
	code = db_ended(db, "read the segments", e);
	if (code == ERR_OK && found)
		code = segment_read(db, &sc->row, &sc->bytes, e);
	reader_end(sc->r);
	if (code == ERR_PARSE && !found)
		return step_over(sc, ret_end, e);
	if (code == ERR_OK && found)
		code = segment_open(sc->segment, buf_str(&sc->bytes), e);
	if (code == ERR_OK && found && segment_count(sc->segment) != sc->row.count)
		code = err_set(e, ERR_PARSE, "segment %llu does not hold what it should",
			       (unsigned long long)sc->row.first_seq);
	if (code == ERR_PARSE && found) {
		note_damage(sc, &sc->row, e->msg);
		pass(sc, &sc->row);
		return ERR_OK;
	}
	if (code != ERR_OK)
		return code;
	sc->is_open = found;
	sc->is_asked = false;
	sc->next = sc->at;
	sc->low = 0;
	sc->high = sc->row.count;
	*ret_end = end && !found;
	return ERR_OK;
}

/* --- which records ------------------------------------------------------------------------ */

static bool has_no_holes(const struct segment_row *row)
{
	return row->last_seq - row->first_seq + 1 == row->count;
}

/* Numbers without holes: where the wanted ones are is known without looking. */
static void narrow(struct store_scan *sc)
{
	const struct segment_row *row = &sc->row;
	uint64_t from = sc->config.range.from_seq, to = sc->config.range.to_seq;

	if (!has_no_holes(row))
		return;
	if (!sc->config.backward)
		from = from > sc->at ? from : sc->at;
	else
		to = to < sc->at ? to : sc->at;
	if (from > row->first_seq)
		sc->low = (size_t)(from - row->first_seq);
	if (to <= row->last_seq)
		sc->high = to > row->first_seq ? (size_t)(to - row->first_seq) : 0;
	if (sc->low > sc->high)
		sc->low = sc->high;
}

/* All of the segment's records that are left lie in the range: nobody need look. */
static bool is_inside(const struct store_scan *sc)
{
	const struct store_range *range = &sc->config.range;

	return has_no_holes(&sc->row) && sc->row.from.v >= range->since.v &&
	       sc->row.to.v <= range->until.v;
}

static bool is_wanted(const struct store_scan *sc, const struct flow *f)
{
	const struct store_range *range = &sc->config.range;

	if (f->seq < range->from_seq || f->seq >= range->to_seq)
		return false;
	if (sc->config.backward ? f->seq >= sc->at : f->seq < sc->at)
		return false;
	return !flow_is(f, FLOW_HAS_TIME) ||
	       (f->time.v >= range->since.v && f->time.v <= range->until.v);
}

static bool is_match(const struct store_scan *sc, size_t row)
{
	return sc->bits[row / 64] >> row % 64 & 1;
}

/* Which of the open segment's records match. */
static enum err_code ask_segment(struct store_scan *sc, struct err *e)
{
	size_t count = segment_count(sc->segment), found;
	enum err_code code = segment_match(sc->segment, 0, count, sc->bits, &found, e);

	if (code == ERR_OK && sc->config.filter && found * FEW < count)
		code = segment_expect(sc->segment, sc->bits, e);
	sc->is_asked = code == ERR_OK;
	return code;
}

/* Which of the @n records from @from on are wanted, too: others lose their bit. */
static enum err_code decide(struct store_scan *sc, size_t from, size_t n, size_t *ret_matches,
			    struct err *e)
{
	enum err_code code = sc->is_asked ? ERR_OK : ask_segment(sc, e);
	size_t matches = 0;

	for (size_t i = from; i < from + n && code == ERR_OK; i++)
		matches += is_match(sc, i);
	if (code == ERR_OK && matches && !is_inside(sc))
		code = segment_load(sc->segment, WHERE_MEMBERS, from, n, sc->chunk, e);
	for (size_t i = 0; i < n && code == ERR_OK && matches && !is_inside(sc); i++)
		if (is_match(sc, from + i) && !is_wanted(sc, &sc->chunk[i])) {
			sc->bits[(from + i) / 64] &= ~(UINT64_C(1) << (from + i) % 64);
			matches--;
		}
	*ret_matches = matches;
	return code;
}

/* Appends the matches, whole, in the scan's order. */
static enum err_code take(struct store_scan *sc, size_t from, size_t n, size_t matches,
			  size_t *count, struct err *e)
{
	uint32_t rows[CHUNK];
	struct flow *out = &sc->out[*count];
	size_t found = 0;

	for (size_t k = 0; k < n && found < matches; k++) {
		size_t i = sc->config.backward ? n - 1 - k : k;

		if (is_match(sc, from + i))
			rows[found++] = (uint32_t)(from + i);
	}
	memset(out, 0, found * sizeof *out);
	enum err_code code = segment_load_rows(sc->segment, FLOW_MEMBERS_ALL, rows, found, out, e);
	if (code == ERR_OK)
		*count += found;
	return code;
}

/* Number of the segment's record at @row. */
static enum err_code seq_at(struct store_scan *sc, size_t row, uint64_t *ret, struct err *e)
{
	struct flow f = { .seq = sc->row.first_seq + row };
	enum err_code code = ERR_OK;

	if (!has_no_holes(&sc->row))
		code = segment_load(sc->segment, FLOW_MEMBER(FLOW_MEMBER_SEQ), row, 1, &f, e);
	if (code == ERR_OK)
		*ret = f.seq;
	return code;
}

/* One chunk of the open segment. */
static enum err_code look(struct store_scan *sc, size_t *count, size_t *work, struct err *e)
{
	size_t n = sc->high - sc->low < CHUNK ? sc->high - sc->low : CHUNK;
	size_t from = sc->config.backward ? sc->high - n : sc->low, matches, before = *count;
	enum err_code code = decide(sc, from, n, &matches, e);

	uint64_t edge = 0;
	if (code == ERR_OK && matches)
		code = take(sc, from, n, matches, count, e);
	if (code == ERR_OK)
		code = seq_at(sc, sc->config.backward ? from : from + n - 1, &edge, e);
	if (code == ERR_PARSE) {
		*count = before;
		note_damage(sc, &sc->row, e->msg);
		sc->low = sc->high;
		code = ERR_OK;
	} else if (sc->config.backward) {
		sc->high -= n;
		sc->next = edge;
	} else {
		sc->low += n;
		sc->next = edge + 1;
	}
	*work -= *work > n ? n : *work;
	return code;
}

enum err_code store_scan_next(struct store_scan *sc, size_t work, const struct flow **ret_flows,
			      size_t *ret_count, bool *ret_more, struct err *e)
{
	struct err mine = { 0 };
	size_t count = 0;
	bool any, end = false;

	e = e ? e : &mine; /* a damaged segment is stepped over, whoever listens */
	enum err_code code = sc->is_open ? ERR_OK : reader_ready(sc->r, &any, e);
	if (code == ERR_OK && !sc->is_open && !any)
		end = true;
	while (code == ERR_OK && !end && work) {
		if (!sc->is_open) {
			if (count)
				break; /* what was found points into the segment before */
			code = next_segment(sc, &work, &end, e);
			if (code == ERR_OK && sc->is_open)
				narrow(sc);
			continue;
		}
		if (count + CHUNK > OUT)
			break;
		if (sc->low < sc->high)
			code = look(sc, &count, &work, e);
		if (code == ERR_OK && sc->low == sc->high) {
			sc->is_open = false;
			pass(sc, &sc->row);
		}
	}
	if (code != ERR_OK)
		return code;
	*ret_flows = sc->out;
	*ret_count = count;
	*ret_more = !end;
	return ERR_OK;
}
