#include "flow/flow.pb-c.h"
#include "store/inside.h"

/*
 * Most questions are about few: what was dropped, one pod. So a large segment's records are sorted
 * by what they answer to, and a question opens the shelves that may hold an answer:
 *
 *	0             verdicts other than those of traffic that goes its way
 *	1 + (a, b)    what busy hosts of group a and of group b, a >= b, say to each other
 *	behind these  what busy hosts say to others, in other groups of the busy ones
 *
 * Hosts fall into groups by a hash of the address; a host is busy that is met often. One of a
 * node's pods is met on one shelf for each group, and on one of the others; a pod somewhere else on
 * those of the few that it talks to. A shelf is a segment of its own, whose numbers have holes:
 * nothing is written twice.
 */

enum {
	COUNTERS = 1 << 14, /* of hosts, by hash: two that share one are only sorted worse */
	BUSY_PART = 1024,   /* a host in so many records of a segment is busy */
	FEW_GROUPS = 5, /* of segments with less than MANY: shelves are to have 2,000 and more */
	FEW_LONE = 8,
	MANY = STORE_MERGED_FLOWS * 3 / 4,
	APART_PART = 8, /* what is set apart is at most such a part of all */
};
_Static_assert(SHELVES <= 64, "a bit for each piece");
_Static_assert(SHELVED_LEAST > SHELVES, "a piece's number is that of a record of the segment");

struct sorting {
	struct store *s;
	size_t count;
	uint32_t busy;         /* records that make a host so */
	unsigned groups, lone; /* of busy hosts: with each other, with the rest */
	uint32_t counters[COUNTERS];
	bool sets_apart;
	size_t ends[SHELVES];
	uint8_t *shelf_of; /* [count] */
	uint32_t *rows;    /* [count], by shelf */
	uint64_t bytes;
};

static void sorting_free(struct sorting *x)
{
	if (!x)
		return;
	free(x->shelf_of);
	free(x->rows);
	free(x);
}
AUTO_DEFINE(struct sorting, sorting_free);

static enum err_code sorting_new(struct store *s, size_t count, struct sorting **ret, struct err *e)
{
	AUTO(sorting_free) struct sorting *x = calloc(1, sizeof *x);

	if (x) {
		x->shelf_of = malloc(count);
		x->rows = malloc(count * sizeof *x->rows);
	}
	if (!x || !x->shelf_of || !x->rows)
		return err_set(e, ERR_NOMEM, "sort %zu records", count);
	x->s = s;
	x->count = count;
	x->busy = (uint32_t)(count / BUSY_PART);
	x->groups = count < MANY ? FEW_GROUPS : SHELF_GROUPS;
	x->lone = count < MANY ? FEW_LONE : SHELF_LONE;
	*ret = TAKE(x);
	return ERR_OK;
}

/* --- which shelf -------------------------------------------------------------------------- */

static uint64_t host_hash(const uint8_t ip[16])
{
	return hash_bytes((const char *)ip, 16, 0);
}

static bool is_apart(const struct flow *f)
{
	return f->kind != FLOW_KIND_FLOW ||
	       (f->verdict != FLOW__VERDICT__FORWARDED && f->verdict != FLOW__VERDICT__REDIRECTED &&
		f->verdict != FLOW__VERDICT__TRACED && f->verdict != FLOW__VERDICT__TRANSLATED);
}

static uint8_t shelf_of(const struct sorting *x, const struct flow *f)
{
	if (x->sets_apart && is_apart(f))
		return 0;
	uint64_t a = host_hash(f->src_ip), b = host_hash(f->dst_ip);
	uint32_t count_a = x->counters[a % COUNTERS], count_b = x->counters[b % COUNTERS];
	/* Both directions of a conversation find the same place. */
	if (count_a < count_b || (count_a == count_b && a < b)) {
		uint64_t hash = a;
		a = b;
		b = hash;
		count_b = count_a;
	}
	unsigned group = a >> 32 & 0xffff, other = b >> 32 & 0xffff;
	if (count_b < x->busy)
		return (uint8_t)(1 + x->groups * (x->groups + 1) / 2 + group % x->lone);
	group %= x->groups;
	other %= x->groups;
	unsigned high = group > other ? group : other, low = group > other ? other : group;
	return (uint8_t)(1 + high * (high + 1) / 2 + low);
}

/* Calls @each for all records of the open segment, with what decides where they go. */
static enum err_code for_each(struct sorting *x,
			      void (*each)(struct sorting *x, const struct flow *f, size_t row),
			      struct err *e)
{
	const flow_members members =
		FLOW_MEMBER(FLOW_MEMBER_BITS) | FLOW_MEMBER(FLOW_MEMBER_VERDICT) |
		FLOW_MEMBER(FLOW_MEMBER_SRC_IP) | FLOW_MEMBER(FLOW_MEMBER_DST_IP);
	enum err_code code = ERR_OK;

	for (size_t at = 0; at < x->count && code == ERR_OK; at += STORE_CHUNK) {
		size_t n = x->count - at < STORE_CHUNK ? x->count - at : STORE_CHUNK;
		code = segment_load(x->s->segment, members, at, n, x->s->scratch, e);
		for (size_t i = 0; i < n && code == ERR_OK; i++)
			each(x, &x->s->scratch[i], at + i);
	}
	return code;
}

static void count_hosts(struct sorting *x, const struct flow *f, size_t row)
{
	(void)row;
	x->counters[host_hash(f->src_ip) % COUNTERS]++;
	x->counters[host_hash(f->dst_ip) % COUNTERS]++;
	x->ends[0] += is_apart(f);
}

static void sort_one(struct sorting *x, const struct flow *f, size_t row)
{
	x->shelf_of[row] = shelf_of(x, f);
	x->ends[x->shelf_of[row]]++;
}

static enum err_code sort(struct sorting *x, struct err *e)
{
	enum err_code code = for_each(x, count_hosts, e);

	x->sets_apart = x->ends[0] < x->count / APART_PART;
	x->ends[0] = 0;
	if (code == ERR_OK)
		code = for_each(x, sort_one, e);
	if (code != ERR_OK)
		return code;
	for (size_t i = 1; i < SHELVES; i++)
		x->ends[i] += x->ends[i - 1];
	size_t at[SHELVES] = { 0 };
	for (size_t i = 1; i < SHELVES; i++)
		at[i] = x->ends[i - 1];
	for (size_t row = 0; row < x->count; row++)
		x->rows[at[x->shelf_of[row]]++] = (uint32_t)row;
	return ERR_OK;
}

/* --- writing them ------------------------------------------------------------------------- */

static enum err_code write_shelf(struct sorting *x, const uint32_t *rows, size_t count, uint64_t id,
				 struct err *e)
{
	struct store *s = x->s;
	enum err_code code = ERR_OK;

	segment_encoder_reset(s->merger);
	flow_zone_reset(s->merge_zone);
	for (size_t at = 0; at < count && code == ERR_OK; at += STORE_CHUNK) {
		size_t n = count - at < STORE_CHUNK ? count - at : STORE_CHUNK;
		memset(s->scratch, 0, n * sizeof *s->scratch);
		code = segment_load_rows(s->segment, FLOW_MEMBERS_ALL, rows + at, n, s->scratch, e);
		if (code == ERR_OK)
			code = segment_add(s->merger, s->scratch, n, e);
		if (code == ERR_OK)
			flow_zone_add(s->merge_zone, s->scratch, n);
	}
	buf_reset(&s->piece);
	buf_reset(&s->zone_bytes);
	if (code == ERR_OK)
		code = segment_finish(s->merger, &s->piece, e);
	if (code != ERR_OK)
		return code;
	flow_zone_put(&s->zone_bytes, s->merge_zone);
	if (s->piece.failed || s->zone_bytes.failed)
		return err_set(e, ERR_NOMEM, "a shelf of the store");
	const struct shelf_row row = { .id = id,
				       .count = count,
				       .sum = hash_bytes(s->piece.p, s->piece.len, 0),
				       .zone = buf_str(&s->zone_bytes) };
	x->bytes += s->piece.len;
	code = piece_insert(&s->db, id, buf_str(&s->piece), e);
	return code == ERR_OK ? shelf_insert(&s->db, &row, e) : code;
}

enum err_code segment_shelve(struct store *s, struct segment_row *row, bool *ret_is_read,
			     struct err *e)
{
	AUTO(sorting_free) struct sorting *x = NULL;
	uint64_t shelves = 0;
	enum err_code code = piece_read(&s->db, row->first_seq, row->sum, &s->bytes, e);

	if (code == ERR_OK)
		code = segment_open(s->segment, buf_str(&s->bytes), e);
	if (code == ERR_OK && segment_count(s->segment) != row->count)
		code = err_set(e, ERR_PARSE, "segment %llu does not hold %llu records",
			       (unsigned long long)row->first_seq, (unsigned long long)row->count);
	if (code == ERR_OK)
		code = sorting_new(s, row->count, &x, e);
	if (code == ERR_OK)
		code = sort(x, e);
	*ret_is_read = code == ERR_OK;
	if (code == ERR_OK)
		code = pieces_delete(&s->db, row, e);
	for (size_t i = 0, from = 0; i < SHELVES && code == ERR_OK; from = x->ends[i++])
		if (x->ends[i] > from)
			code = write_shelf(x, x->rows + from, x->ends[i] - from,
					   row->first_seq + shelves++, e);
	if (code != ERR_OK)
		return code;
	row->level = STORE_LEVEL_DONE;
	row->shelves = shelves;
	row->bytes = x->bytes;
	return DB_RUN(&s->db, e,
		      "UPDATE segment SET level = ?2, shelves = ?3, bytes = ?4, sum = 0"
		      " WHERE first_seq = ?1",
		      DB_I(row->first_seq), DB_I(row->level), DB_I(row->shelves), DB_I(row->bytes));
}
