#include "store/inside.h"
#include "store/reader.h"

enum { PORTION = 65536 };

/* Looks at each: for a segment with holes of which only a part is asked for. */
static enum err_code count_each(struct store_reader *r, uint64_t from, uint64_t to,
				uint64_t *ret_held, struct err *e)
{
	const struct store_scan_config config = {
		.range = { .until = { UINT64_MAX }, .from_seq = from, .to_seq = to },
		.kinds = UINT32_MAX,
		.takes_nameless = true,
	};
	AUTO(store_scan_free) struct store_scan *scan = NULL;
	enum err_code code = store_scan_new(r, &config, &scan, e);
	uint64_t held = 0;

	for (bool more = true; code == ERR_OK && more;) {
		const struct flow *flows;
		size_t n;
		code = store_scan_next(scan, PORTION, &flows, &n, &more, e);
		held += code == ERR_OK ? n : 0;
	}
	if (code == ERR_OK)
		*ret_held = held;
	return code;
}

struct part {
	uint64_t from, to;
};

enum err_code store_held(struct store_reader *r, uint64_t from, uint64_t to, uint64_t *ret_held,
			 struct err *e)
{
	struct part unsure[2]; /* the first and the last segment, at most */
	size_t unsure_count = 0;
	uint64_t held = 0;
	bool any;
	enum err_code code = reader_ready(r, &any, e);

	if (code != ERR_OK)
		return code;
	sqlite3_stmt *st = !any ? NULL
				: DB_ASK(&r->db,
					 "SELECT first_seq, last_seq, count FROM segment"
					 " WHERE first_seq < ?2 AND last_seq >= ?1 AND damaged = 0",
					 DB_I(store_i64(from)), DB_I(store_i64(to)));
	while (any && db_next(&r->db, st)) {
		uint64_t first = column_u64(st, 0), end = column_u64(st, 1) + 1;
		uint64_t count = column_u64(st, 2);
		uint64_t a = first > from ? first : from, b = end < to ? end : to;
		if (a == first && b == end)
			held += count;
		else if (count == end - first)
			held += b - a;
		else if (unsure_count < ARRAY_LEN(unsure))
			unsure[unsure_count++] = (struct part){ a, b };
	}
	if (any)
		code = reader_ended(r, "count what is held", e);
	for (size_t i = 0; code == ERR_OK && i < unsure_count; i++) {
		uint64_t n = 0;
		code = count_each(r, unsure[i].from, unsure[i].to, &n, e);
		held += n;
	}
	if (code == ERR_OK)
		*ret_held = held;
	return code;
}

enum err_code store_count(struct store_reader *r, struct wall_ns since, struct wall_ns until,
			  uint64_t *ret_records,
			  void (*partly)(void *ctx, uint64_t from, uint64_t to), void *ctx,
			  struct err *e)
{
	uint64_t records = 0;
	bool any;
	enum err_code code = reader_ready(r, &any, e);

	if (code != ERR_OK)
		return code;
	sqlite3_stmt *st =
		!any ? NULL
		     : DB_ASK(&r->db, "SELECT first_seq, last_seq, count, untimed, from_ns, to_ns"
				      " FROM segment WHERE damaged = 0 ORDER BY first_seq");
	while (any && db_next(&r->db, st)) {
		uint64_t count = column_u64(st, 2), untimed = column_u64(st, 3);
		uint64_t from = column_u64(st, 4), to = column_u64(st, 5);
		bool is_outside = to < since.v || from > until.v;
		if (untimed == count || (from >= since.v && to <= until.v))
			records += count;
		else if (is_outside)
			records += untimed;
		else
			partly(ctx, column_u64(st, 0), column_u64(st, 1) + 1);
	}
	if (any)
		code = reader_ended(r, "count records", e);
	if (code == ERR_OK)
		*ret_records = records;
	return code;
}
