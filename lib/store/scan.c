#include "store/filed.h"
#include "store/reader.h"

/*
 *	segments ─time, zone─► their shelves ─zone─► parts ─segment_match─► hits, by number
 *	                                                     ─all members─► out
 *
 * A scan holds no snapshot between two calls: it remembers a number, and what it has of the segment
 * that it is in. Merging behind its back may put the number into the middle of another segment.
 */

enum {
	CHUNK = 1024,
	OUT = 4096,     /* records given out at once */
	FEW = 4,        /* one in more than so many matches: only these are worked out */
	SKIP_WORK = 64, /* what a segment costs that is not looked into, in records */
};
#define WHERE_MEMBERS (FLOW_MEMBER(FLOW_MEMBER_BITS) | FLOW_MEMBER(FLOW_MEMBER_TIME))

/* A shelf of the open segment that may hold a match, or all of the segment. */
struct part {
	struct segment *segment;
	uint64_t id, count, sum;
	size_t end; /* of its bytes in the scan's */
};

/* A record that is to be given out. */
struct hit {
	uint64_t seq;
	uint32_t part, row;
};

struct store_scan {
	struct store_reader *r;
	struct store_scan_config config;
	struct flow_zone *zone;
	struct filed *filed;        /* config.checks_rows */
	flow_members asked_members; /* that the filter looks at */
	struct part parts[SHELVES]; /* the first one's segment is always there */
	size_t part_count;
	struct buf bytes;         /* of all parts */
	struct flow *chunk, *out; /* CHUNK, OUT */
	uint64_t *bits;           /* of one part: records that match */
	struct hit *hits, *spare; /* of the open segment, by number; as much again */
	uint32_t *places;         /* twice as much again, for sorting */
	size_t hit_room;
	bool is_asked; /* the hits are there */
	/* forward: numbers below are done; backward: numbers from here on are */
	uint64_t at;
	uint64_t next; /* the same to the record, for store_scan_at */
	bool is_open;  /* a segment is, and hits [low, high) of it are left */
	struct segment_row row;
	size_t low, high;
	bool is_bare;       /* the rows of its shelves cannot be read, which may not be for ever */
	uint64_t overflows; /* of the dictionary, before this scan */
	bool plain; /* the next segment is asked for by its first number only: the table is damaged
		     */
};

void store_scan_free(struct store_scan *sc)
{
	if (!sc)
		return;
	for (size_t i = SHELVES; i-- > 0;) /* the first one last: others borrow from it */
		segment_free(sc->parts[i].segment);
	buf_done(&sc->bytes);
	flow_zone_free(sc->zone);
	filed_free(sc->filed);
	free(sc->chunk);
	free(sc->out);
	free(sc->bits);
	free(sc->hits);
	free(sc->spare);
	free(sc->places);
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
	sc->overflows = flow_dict_counts(r->dict).overflows;
	if (sc->config.filter && flow_filter_is_empty(sc->config.filter))
		sc->config.filter = NULL;
	sc->asked_members = flow_filter_members(sc->config.filter);
	sc->at = config->backward ? config->range.to_seq : config->range.from_seq;
	sc->bytes = buf_init(STORE_SEGMENT_BYTES);
	sc->chunk = calloc(CHUNK, sizeof *sc->chunk);
	sc->out = calloc(OUT, sizeof *sc->out);
	sc->bits = calloc(SEGMENT_MAX / 64, sizeof *sc->bits);
	if (!sc->chunk || !sc->out || !sc->bits)
		return err_set(e, ERR_NOMEM, "a scan of the store");
	enum err_code code = segment_new(&sc->parts[0].segment, e);
	if (code == ERR_OK)
		code = flow_zone_new(&sc->zone, e);
	if (code == ERR_OK && config->checks_rows)
		code = filed_new(&sc->filed, e);
	if (code != ERR_OK)
		return code;
	const struct segment_question question = { sc->config.filter, config->kinds,
						   config->unfiltered };
	const struct segment_ids ids = { back_endpoint, back_service, back_node, back_reason, sc };
	segment_ask(sc->parts[0].segment, &question);
	segment_translate(sc->parts[0].segment, &ids);
	*ret = TAKE(sc);
	return ERR_OK;
}

uint64_t store_scan_at(const struct store_scan *sc)
{
	return sc->is_open ? sc->next : sc->at;
}

/* No segment is open: nobody knows an id. */
static void forget_names(struct store_scan *sc)
{
	struct flow_dict *dict = sc->r->dict;

	if (sc->config.forgets_names && flow_dict_is_half_full(dict))
		flow_dict_reset(dict);
}

/* Names without a place would be nobody's, or one another's. */
static enum err_code check_names(const struct store_scan *sc, struct err *e)
{
	if (!sc->config.forgets_names || flow_dict_counts(sc->r->dict).overflows == sc->overflows)
		return ERR_OK;
	return err_set(e, ERR_NOMEM,
		       "a segment of the store has more names than there is room for");
}

/* --- which segment ------------------------------------------------------------------------ */

static void zone_endpoints(void *ctx, uint32_t *ids, size_t n)
{
	struct store_scan *sc = ctx;

	dict_back_ids(sc->r->back, &sc->r->db, DICT_ENDPOINT, ids, n);
}

static void zone_services(void *ctx, uint32_t *ids, size_t n)
{
	struct store_scan *sc = ctx;

	dict_back_ids(sc->r->back, &sc->r->db, DICT_SERVICE, ids, n);
}

static void zone_nodes(void *ctx, uint32_t *ids, size_t n)
{
	struct store_scan *sc = ctx;

	dict_back_ids(sc->r->back, &sc->r->db, DICT_NODE, ids, n);
}

static struct flow_zone_ids zone_ids(struct store_scan *sc)
{
	return (struct flow_zone_ids){ zone_endpoints, zone_services, zone_nodes, sc };
}

static bool zone_may_match(struct store_scan *sc, struct str zone)
{
	const struct flow_zone_ids ids = zone_ids(sc);

	if (!sc->config.filter || sc->config.unfiltered & sc->config.kinds)
		return true;
	if (flow_zone_get(sc->zone, zone, sc->asked_members, &ids, NULL) != ERR_OK)
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

/* Every question meets it again. */
static void note_unmarked(struct store_scan *sc, const struct segment_row *row, const char *why)
{
	if (!sc->r->store)
		segment_note_unmarked(&sc->r->found, row, why);
	else if (!segment_is_told(&sc->r->db, row))
		segment_note_unmarked(&sc->r->store->gaps, row, why);
}

/* The table of segments itself cannot be read at this place. */
static enum err_code step_over(struct store_scan *sc, bool *ret_end, struct err *e)
{
	struct segment_row row;
	enum err_code code = segment_find_bare(&sc->r->db, sc->at, sc->config.backward, &row, e);

	if (code != ERR_OK)
		return code;
	if (!row.first_seq) {
		*ret_end = true;
		return ERR_OK;
	}
	note_unmarked(sc, &row, segment_is_bare);
	(void)reader_told(sc->r, ERR_PARSE);
	pass(sc, &row);
	sc->plain = true;
	return ERR_OK;
}

static enum err_code part_add(struct store_scan *sc, uint64_t id, uint64_t count, uint64_t sum,
			      struct err *e)
{
	struct part *p = &sc->parts[sc->part_count];
	enum err_code code = ERR_OK;

	if (!p->segment)
		code = segment_new_beside(sc->parts[0].segment, &p->segment, e);
	if (code != ERR_OK)
		return code;
	p->id = id;
	p->count = count;
	p->sum = sum;
	sc->part_count++;
	return ERR_OK;
}

static enum err_code not_what_it_should(const struct segment_row *row, struct err *e)
{
	return err_set(e, ERR_PARSE, "segment %llu does not hold what it should",
		       (unsigned long long)row->first_seq);
}

/* Which of the segment's shelves may hold a match. */
static enum err_code choose_parts(struct store_scan *sc, struct err *e)
{
	const struct segment_row *row = &sc->row;
	uint64_t count = 0, shelves = 0;
	enum err_code code = ERR_OK;
	struct shelf_row shelf;
	const struct flow_zone_ids ids = zone_ids(sc);

	sc->part_count = 0;
	sc->is_bare = false;
	if (!row->shelves)
		return part_add(sc, row->first_seq, row->count, row->sum, e);
	sqlite3_stmt *st = shelves_ask(&sc->r->db, row);
	while (code == ERR_OK && shelves < SHELVES && db_next(&sc->r->db, st)) {
		shelf = shelf_row_of(st);
		count += shelf.count;
		shelves++;
		if (zone_may_match(sc, shelf.zone))
			code = part_add(sc, shelf.id, shelf.count, shelf.sum, e);
		if (sc->filed && code == ERR_OK)
			code = filed_part(sc->filed, sc->part_count - 1, shelf.zone, &ids, e);
	}
	db_leave(st);
	if (code == ERR_OK) {
		code = reader_ended(sc->r, "read the shelves of a segment", e);
		sc->is_bare = code == ERR_PARSE;
	}
	if (code == ERR_OK && (shelves != row->shelves || count != row->count))
		code = not_what_it_should(row, e);
	return code;
}

/* The bytes of what may hold a match: all in the snapshot that the row was read in. */
static enum err_code read_parts(struct store_scan *sc, struct err *e)
{
	enum err_code code = choose_parts(sc, e);

	buf_reset(&sc->bytes);
	for (size_t i = 0; i < sc->part_count && code == ERR_OK; i++) {
		struct part *p = &sc->parts[i];
		code = piece_append(&sc->r->db, p->id, p->sum, &sc->bytes, e);
		p->end = sc->bytes.len;
	}
	return code;
}

static enum err_code open_parts(struct store_scan *sc, struct err *e)
{
	enum err_code code = ERR_OK;

	for (size_t i = 0, from = 0; i < sc->part_count && code == ERR_OK; i++) {
		struct part *p = &sc->parts[i];
		code = segment_open(p->segment, str_n(sc->bytes.p + from, p->end - from), e);
		from = p->end;
		if (code == ERR_OK && segment_count(p->segment) != p->count)
			code = not_what_it_should(&sc->row, e);
	}
	return code;
}

/* Opens the next segment that may hold something; false: none is left, or the work is done. */
static enum err_code next_segment(struct store_scan *sc, size_t *work, bool *ret_end, struct err *e)
{
	struct db *db = &sc->r->db;
	enum err_code code = db_begin_reading(db, e);

	if (code != ERR_OK)
		return code;
	sqlite3_stmt *st = ask(sc);
	bool found = false, end = true, is_astray = false;
	const struct flow_zone_ids ids = zone_ids(sc);
	enum err_code filing = ERR_OK;
	while (db_next(db, st)) {
		struct segment_row row = segment_row_of(st);
		/* a page that lies where another should: it would lead back again and again */
		is_astray = sc->config.backward ? row.first_seq >= sc->at : row.last_seq < sc->at;
		if (is_astray)
			break;
		end = false;
		forget_names(sc);
		struct str zone = column_blob(st, SEGMENT_COLUMN_COUNT);
		if (zone_may_match(sc, zone)) {
			if (sc->filed)
				filing = filed_begin(sc->filed, &row, zone, &ids, e);
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
	code = filing == ERR_OK ? db_ended(db, "read the segments", e) : filing;
	if (code == ERR_OK && is_astray)
		code = err_set(e, ERR_PARSE, "the segments are not in order");
	if (code == ERR_OK && found)
		code = read_parts(sc, e);
	db_end_reading(db);
	if (code == ERR_PARSE && !found)
		return step_over(sc, ret_end, e);
	if (code == ERR_OK && found)
		code = open_parts(sc, e);
	if (code == ERR_PARSE && found) {
		if (sc->is_bare)
			note_unmarked(sc, &sc->row, e->msg);
		else
			note_damage(sc, &sc->row, e->msg);
		pass(sc, &sc->row);
		return ERR_OK;
	}
	if (code != ERR_OK)
		return code;
	sc->is_open = found;
	sc->is_asked = false;
	sc->next = sc->at;
	sc->low = sc->high = 0;
	*ret_end = end && !found;
	return ERR_OK;
}

/* --- which records ------------------------------------------------------------------------ */

static bool is_in_order(const struct store_scan *sc, uint64_t seq)
{
	const struct store_range *range = &sc->config.range;

	return seq >= range->from_seq && seq < range->to_seq &&
	       (sc->config.backward ? seq < sc->at : seq >= sc->at);
}

/* Adds those of @rows that are wanted by number and time; at most CHUNK. */
static enum err_code add_hits(struct store_scan *sc, uint32_t part, const uint32_t *rows, size_t n,
			      const uint64_t *numbers, struct err *e)
{
	const struct store_range *range = &sc->config.range;
	bool timed = sc->row.from.v < range->since.v || sc->row.to.v > range->until.v;
	enum err_code code = ERR_OK;

	if (timed)
		code = segment_load_rows(sc->parts[part].segment, WHERE_MEMBERS, rows, n, sc->chunk,
					 e);
	for (size_t i = 0; i < n && code == ERR_OK; i++) {
		const struct flow *f = &sc->chunk[i];
		if (timed && flow_is(f, FLOW_HAS_TIME) &&
		    (f->time.v < range->since.v || f->time.v > range->until.v))
			continue;
		if (is_in_order(sc, numbers[i]))
			sc->hits[sc->high++] = (struct hit){ numbers[i], part, rows[i] };
	}
	return code;
}

static enum err_code ask_part(struct store_scan *sc, uint32_t part, struct err *e)
{
	struct segment *segment = sc->parts[part].segment;
	size_t count = segment_count(segment), found;
	uint32_t rows[CHUNK];
	uint64_t numbers[CHUNK];
	enum err_code code = segment_match(segment, 0, count, sc->bits, &found, e);

	if (code == ERR_OK && sc->config.filter && found * FEW < count)
		code = segment_expect(segment, sc->bits, e);
	for (size_t from = 0; from < count && code == ERR_OK && found; from += CHUNK) {
		size_t to = count - from < CHUNK ? count : from + CHUNK, hits = 0;

		for (size_t base = from; base < to; base += 64)
			for (uint64_t bits = sc->bits[base / 64]; bits; bits &= bits - 1)
				rows[hits++] = (uint32_t)base + (uint32_t)__builtin_ctzll(bits);
		if (hits)
			code = segment_numbers(segment, rows, hits, numbers, e);
		if (code == ERR_OK && hits)
			code = add_hits(sc, part, rows, hits, numbers, e);
	}
	return code;
}

static void swap_hits(struct store_scan *sc)
{
	struct hit *sorted = sc->spare;

	sc->spare = sc->hits;
	sc->hits = sorted;
}

/* hits[from, middle) and hits[middle, to) are in order each. */
static void merge_hits(const struct hit *hits, size_t from, size_t middle, size_t to,
		       struct hit *ret)
{
	size_t a = from, b = middle;

	for (size_t i = from; i < to; i++)
		ret[i] = b == to || (a < middle && hits[a].seq < hits[b].seq) ? hits[a++]
									      : hits[b++];
}

/* Most of the numbers that there are, and hardly a hole between them: each has its place. */
static bool place_hits(struct store_scan *sc)
{
	uint64_t span = sc->row.last_seq - sc->row.first_seq + 1;
	size_t count = 0;

	if (span > 2 * sc->row.count || sc->high < sc->row.count / 8)
		return false;
	memset(sc->places, 0, span * sizeof *sc->places);
	for (size_t i = 0; i < sc->high; i++) {
		uint64_t place = sc->hits[i].seq - sc->row.first_seq;
		if (place >= span)
			return false;
		sc->places[place] = (uint32_t)i + 1;
	}
	for (size_t i = 0; i < span; i++)
		if (sc->places[i])
			sc->spare[count++] = sc->hits[sc->places[i] - 1];
	if (count < sc->high)
		return false;
	swap_hits(sc);
	return true;
}

/* What each part gave is in order; @ends: where it ends. */
static void sort_hits(struct store_scan *sc, size_t *ends, size_t count)
{
	if (count > 1 && place_hits(sc))
		return;
	while (count > 1) {
		size_t made = 0, from = 0;

		for (size_t i = 0; i < count; i += 2) {
			size_t to = ends[i + 1 < count ? i + 1 : i];
			merge_hits(sc->hits, from, ends[i], to, sc->spare);
			ends[made++] = from = to;
		}
		swap_hits(sc);
		count = made;
	}
}

static enum err_code make_room(struct store_scan *sc, struct err *e)
{
	if (sc->row.count <= sc->hit_room)
		return ERR_OK;
	free(sc->hits);
	free(sc->spare);
	free(sc->places);
	sc->hit_room = sc->row.count;
	sc->hits = malloc(sc->hit_room * sizeof *sc->hits);
	sc->spare = malloc(sc->hit_room * sizeof *sc->spare);
	sc->places = malloc(2 * sc->hit_room * sizeof *sc->places);
	if (sc->hits && sc->spare && sc->places)
		return ERR_OK;
	sc->hit_room = 0;
	return err_set(e, ERR_NOMEM, "a scan of the store");
}

/* Which of the open segment's records are to be given out. */
static enum err_code ask_segment(struct store_scan *sc, size_t *work, struct err *e)
{
	uint64_t unreadable = dict_back_unreadable(sc->r->back);
	size_t ends[SHELVES], looked = 0;
	enum err_code code = make_room(sc, e);

	for (uint32_t i = 0; i < sc->part_count && code == ERR_OK; i++) {
		code = ask_part(sc, i, e);
		looked += sc->parts[i].count;
		ends[i] = sc->high;
	}
	if (code == ERR_OK)
		sort_hits(sc, ends, sc->part_count);
	/* All names of what is open have been asked for now. */
	if (code == ERR_OK && dict_back_unreadable(sc->r->back) != unreadable) {
		note_unmarked(sc, &sc->row, segment_is_nameless);
		if (dict_back_met_damage(sc->r->back))
			(void)reader_told(sc->r, ERR_PARSE);
		if (!sc->config.takes_nameless)
			sc->low = sc->high = 0;
	}
	*work -= *work > looked ? looked : *work;
	sc->is_asked = true;
	return code;
}

/* Appends @n hits from @from on, whole, in the scan's order. */
static enum err_code take(struct store_scan *sc, size_t from, size_t n, size_t *count,
			  struct err *e)
{
	uint32_t rows[CHUNK], places[CHUNK];
	size_t ends[SHELVES] = { 0 };
	struct flow *out = &sc->out[*count];
	enum err_code code = ERR_OK;

	for (size_t i = from; i < from + n; i++)
		ends[sc->hits[i].part]++;
	for (size_t p = 1; p < sc->part_count; p++)
		ends[p] += ends[p - 1];
	for (size_t k = n; k-- > 0;) { /* backwards: what each begins at is its end at first */
		const struct hit *h = &sc->hits[sc->config.backward ? from + n - 1 - k : from + k];
		size_t at = --ends[h->part];
		rows[at] = h->row;
		places[at] = (uint32_t)k;
	}
	for (size_t p = 0; p < sc->part_count && code == ERR_OK; p++) {
		size_t begin = ends[p], end = p + 1 < sc->part_count ? ends[p + 1] : n;
		if (begin < end)
			code = segment_load_whole(sc->parts[p].segment, rows + begin,
						  places + begin, end - begin, out, e);
	}
	if (code == ERR_OK)
		*count += n;
	return code;
}

/* One chunk of the open segment. */
static enum err_code look(struct store_scan *sc, size_t *count, size_t *work, struct err *e)
{
	size_t before = *count, n = 0;
	enum err_code code = sc->is_asked ? ERR_OK : ask_segment(sc, work, e);

	if (code == ERR_OK) {
		n = sc->high - sc->low < CHUNK ? sc->high - sc->low : CHUNK;
		size_t from = sc->config.backward ? sc->high - n : sc->low;
		if (n)
			code = take(sc, from, n, count, e);
		for (size_t i = 0; i < n && sc->filed && code == ERR_OK; i++)
			code = filed_take(sc->filed, sc->hits[from + i].part, &sc->out[before + i],
					  e);
		if (n && code == ERR_OK)
			sc->next = sc->config.backward ? sc->hits[from].seq
						       : sc->hits[from + n - 1].seq + 1;
	}
	if (code == ERR_PARSE) {
		*count = before;
		note_damage(sc, &sc->row, e->msg);
		sc->low = sc->high;
		return ERR_OK;
	}
	if (sc->config.backward)
		sc->high -= n;
	else
		sc->low += n;
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
	(void)!dict_back_ended(sc->r->back, NULL); /* what failed before was told */
	enum err_code code = sc->is_open ? ERR_OK : reader_ready(sc->r, &any, e);
	if (code == ERR_OK && !sc->is_open && !any)
		end = true;
	while (code == ERR_OK && !end && work) {
		if (!sc->is_open) {
			if (count)
				break; /* what was found points into the segment before */
			code = next_segment(sc, &work, &end, e);
			continue;
		}
		if (count + CHUNK > OUT)
			break;
		code = look(sc, &count, &work, e);
		if (code == ERR_OK && sc->low == sc->high) {
			sc->is_open = false;
			pass(sc, &sc->row);
			if (sc->filed)
				code = filed_end(sc->filed, e);
		}
	}
	if (code == ERR_OK)
		code = dict_back_ended(sc->r->back, e);
	if (code == ERR_OK)
		code = check_names(sc, e);
	if (code != ERR_OK)
		return code;
	*ret_flows = sc->out;
	*ret_count = count;
	*ret_more = !end;
	return ERR_OK;
}
