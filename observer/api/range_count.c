#include "observer/api/range_count.h"

enum { PORTION = 16384 };

static void take_part(void *ctx, uint64_t from, uint64_t to)
{
	struct range_count *c = ctx;

	if (c->part_count && c->parts[c->part_count - 1].to == from) {
		c->parts[c->part_count - 1].to = to;
		return;
	}
	if (c->part_count == c->part_max) {
		size_t max = c->part_max ? 2 * c->part_max : 8;
		struct range_part *more = realloc(c->parts, max * sizeof *more);
		c->no_memory |= !more;
		if (!more)
			return;
		c->parts = more;
		c->part_max = max;
	}
	c->parts[c->part_count++] = (struct range_part){ from, to };
}

enum err_code range_count_init(struct range_count *c, const struct flow_log *log, struct past *past,
			       struct wall_ns since, struct wall_ns until, struct err *e)
{
	struct flow_log_range range = flow_log_range(log);

	*c = (struct range_count){ .log = log, .past = past, .since = since, .until = until };
	if (past) {
		enum err_code code =
			store_count(past_reader(past), since, until, &c->records, take_part, c, e);
		if (code != ERR_OK)
			return code;
	} else {
		take_part(c, range.oldest, range.next);
	}
	return c->no_memory ? err_set(e, ERR_NOMEM, "no memory for a count") : ERR_OK;
}

void range_count_done(struct range_count *c)
{
	past_leave(c->past, &c->place);
	free(c->parts);
}

static bool is_in_range(const struct range_count *c, const struct flow *f)
{
	return !flow_is(f, FLOW_HAS_TIME) || (f->time.v >= c->since.v && f->time.v <= c->until.v);
}

/* @return false: that was all of it. */
static bool count_log(struct range_count *c, struct flow_batch *batch)
{
	struct range_part *part = &c->parts[c->part];
	uint64_t lost;

	for (size_t seen = 0; seen < PORTION && part->from < part->to; seen += batch->count) {
		(void)flow_log_read(c->log, &part->from, part->to, batch, &lost);
		for (size_t i = 0; i < batch->count; i++)
			c->records += is_in_range(c, &batch->flows[i]);
	}
	return part->from < part->to;
}

static enum err_code count_past(struct range_count *c, bool *ret_more, struct err *e)
{
	const struct range_part *part = &c->parts[c->part];
	const struct flow *flows;
	size_t n;

	if (!c->is_looking)
		c->place = (struct past_place){
			.config = { .range = { c->since, c->until, part->from, part->to },
				    .kinds = UINT32_MAX,
				    .takes_nameless = true },
		};
	c->is_looking = true;
	enum err_code code = past_peek(c->past, &c->place, PORTION, &flows, &n, ret_more, e);
	if (code != ERR_OK)
		return code;
	c->records += n;
	past_took(&c->place, n);
	if (!*ret_more) {
		past_leave(c->past, &c->place);
		c->is_looking = false;
	}
	return ERR_OK;
}

enum err_code range_count_go_on(struct range_count *c, struct flow_batch *batch, bool *ret_more,
				struct err *e)
{
	enum err_code code = ERR_OK;
	bool more = false;

	if (c->part < c->part_count) {
		if (c->past)
			code = count_past(c, &more, e);
		else
			more = count_log(c, batch);
		c->part += !more;
	}
	*ret_more = c->part < c->part_count;
	return code;
}
