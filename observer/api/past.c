#include "observer/api/past.h"

struct slot {
	struct store_scan *scan;
	uint64_t id;   /* the place's; 0: free */
	uint64_t used; /* by the clock of uses */
};

struct past {
	struct store *store; /* borrowed */
	struct store_reader *reader;
	bool is_older; /* it held records when this began */
	struct slot slots[PAST_SCANS];
	uint64_t ids, uses;
};

enum err_code past_new(struct store *store, struct past **ret, struct err *e)
{
	AUTO(past_free) struct past *p = calloc(1, sizeof *p);

	if (!p)
		return err_set(e, ERR_NOMEM, "history");
	p->store = store;
	p->is_older = store_counts(store).records > 0;
	enum err_code code = store_reader_new(store, &p->reader, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(p);
	return ERR_OK;
}

void past_free(struct past *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < PAST_SCANS; i++)
		store_scan_free(p->slots[i].scan);
	store_reader_free(p->reader);
	free(p);
}

uint64_t past_sealed(const struct past *p)
{
	return store_sealed(p->store);
}

uint64_t past_taken(const struct past *p)
{
	return store_taken(p->store);
}

bool past_is_older(const struct past *p)
{
	return p->is_older;
}

struct store_counts past_counts(const struct past *p)
{
	return store_counts(p->store);
}

struct store_reader *past_reader(struct past *p)
{
	return p->reader;
}

static void release(struct slot *s)
{
	store_scan_free(s->scan);
	*s = (struct slot){ 0 };
}

/* Its own scan, or the one longest unused opened anew for it. */
static enum err_code scan_of(struct past *p, struct past_place *place, struct slot **ret,
			     struct err *e)
{
	struct slot *oldest = &p->slots[0];

	for (size_t i = 0; i < PAST_SCANS; i++) {
		struct slot *s = &p->slots[i];
		if (place->scan && s->id == place->scan) {
			s->used = ++p->uses;
			*ret = s;
			return ERR_OK;
		}
		if (s->used < oldest->used)
			oldest = s;
	}
	place->count = 0; /* they were the old scan's */
	place->is_last = false;
	release(oldest);
	enum err_code code = store_scan_new(p->reader, &place->config, &oldest->scan, e);
	if (code != ERR_OK)
		return code;
	oldest->id = place->scan = ++p->ids;
	oldest->used = ++p->uses;
	*ret = oldest;
	return ERR_OK;
}

static enum err_code look_on(struct past_place *place, struct store_scan *scan, size_t work,
			     struct err *e)
{
	struct store_range *range = &place->config.range;
	bool more;
	enum err_code code = store_scan_next(scan, work, &place->flows, &place->count, &more, e);

	if (code != ERR_OK)
		return code;
	place->is_last = !more;
	/* Should the scan be taken away, it goes on here. */
	if (!place->count && more && place->config.backward)
		range->to_seq = store_scan_at(scan);
	else if (!place->count && more)
		range->from_seq = store_scan_at(scan);
	return ERR_OK;
}

enum err_code past_peek(struct past *p, struct past_place *place, size_t work,
			const struct flow **ret_flows, size_t *ret_count, bool *ret_more,
			struct err *e)
{
	bool is_over = place->is_last && !place->count;
	struct slot *s;

	if (!is_over) {
		enum err_code code = scan_of(p, place, &s, e);
		if (code == ERR_OK && !place->count)
			code = look_on(place, s->scan, work, e);
		if (code != ERR_OK)
			return code;
	}
	*ret_flows = place->flows;
	*ret_count = place->count;
	*ret_more = !place->is_last;
	if (!is_over && place->is_last && !place->count)
		release(s);
	return ERR_OK;
}

void past_took(struct past_place *place, size_t n)
{
	if (!n)
		return;
	uint64_t seq = place->flows[n - 1].seq;

	if (place->config.backward)
		place->config.range.to_seq = seq;
	else
		place->config.range.from_seq = seq + 1;
	place->flows += n;
	place->count -= n;
}

void past_leave(struct past *p, struct past_place *place)
{
	for (size_t i = 0; p && place->scan && i < PAST_SCANS; i++)
		if (p->slots[i].id == place->scan)
			release(&p->slots[i]);
	*place = (struct past_place){ .config = place->config };
}
