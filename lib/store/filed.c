#include "store/filed.h"

enum { WHOLE = SHELVES, ZONES }; /* behind the parts: that of all of the segment */

struct filed {
	struct segment_row row;
	struct flow_zone *zones[ZONES]; /* made when they are first needed */
	struct buf said[ZONES]; /* as they were before a record was added; empty: not looked at */
	struct buf now;
};

enum err_code filed_new(struct filed **ret, struct err *e)
{
	AUTO(filed_free) struct filed *f = calloc(1, sizeof *f);

	if (!f)
		return err_set(e, ERR_NOMEM, "zones of the store");
	f->now = buf_init(FLOW_ZONE_BYTES);
	for (size_t i = 0; i < ZONES; i++)
		f->said[i] = buf_init(FLOW_ZONE_BYTES);
	*ret = TAKE(f);
	return ERR_OK;
}

void filed_free(struct filed *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < ZONES; i++) {
		flow_zone_free(f->zones[i]);
		buf_done(&f->said[i]);
	}
	buf_done(&f->now);
	free(f);
}

static enum err_code open_zone(struct filed *f, size_t i, struct str bytes,
			       const struct flow_zone_ids *ids, struct err *e)
{
	struct err unread;
	enum err_code code = f->zones[i] ? ERR_OK : flow_zone_new(&f->zones[i], e);

	buf_reset(&f->said[i]);
	if (code != ERR_OK)
		return code;
	if (flow_zone_get(f->zones[i], bytes, FLOW_MEMBERS_ALL, ids, &unread) != ERR_OK)
		return unread.code == ERR_NOMEM ? err_set(e, ERR_NOMEM, "a zone") : ERR_OK;
	flow_zone_put(&f->said[i], f->zones[i]);
	return f->said[i].failed ? err_set(e, ERR_NOMEM, "a zone of the store") : ERR_OK;
}

enum err_code filed_begin(struct filed *f, const struct segment_row *row, struct str zone,
			  const struct flow_zone_ids *ids, struct err *e)
{
	f->row = *row;
	for (size_t i = 0; i < ZONES; i++)
		buf_reset(&f->said[i]);
	return open_zone(f, WHOLE, zone, ids, e);
}

enum err_code filed_part(struct filed *f, size_t part, struct str zone,
			 const struct flow_zone_ids *ids, struct err *e)
{
	return open_zone(f, part, zone, ids, e);
}

static enum err_code elsewhere(const struct filed *f, uint64_t seq, const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID,
		       "record %llu lies in segment %llu, whose row says other %s: questions would "
		       "pass it by",
		       (unsigned long long)seq, (unsigned long long)f->row.first_seq, what);
}

enum err_code filed_take(struct filed *f, size_t part, const struct flow *record, struct err *e)
{
	const struct segment_row *row = &f->row;

	if (record->seq < row->first_seq || record->seq > row->last_seq)
		return elsewhere(f, record->seq, "numbers", e);
	/* a segment with records of no time is looked into for any */
	if (!row->untimed && (!flow_is(record, FLOW_HAS_TIME) || record->time.v < row->from.v ||
			      record->time.v > row->to.v))
		return elsewhere(f, record->seq, "times", e);
	if (f->said[part].len)
		flow_zone_add(f->zones[part], record, 1);
	if (f->said[WHOLE].len)
		flow_zone_add(f->zones[WHOLE], record, 1);
	return ERR_OK;
}

enum err_code filed_end(struct filed *f, struct err *e)
{
	for (size_t i = 0; i < ZONES; i++) {
		if (!f->said[i].len)
			continue;
		buf_reset(&f->now);
		flow_zone_put(&f->now, f->zones[i]);
		if (f->now.failed)
			return err_set(e, ERR_NOMEM, "a zone of the store");
		if (!str_eq(buf_str(&f->now), buf_str(&f->said[i])))
			return err_set(e, ERR_INVALID,
				       "segment %llu holds records that its zones do not know: "
				       "questions would pass them by",
				       (unsigned long long)f->row.first_seq);
	}
	return ERR_OK;
}
