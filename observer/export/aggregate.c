#include "observer/export/aggregate.h"

#include "base/buf.h"
#include "base/map.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/mask.h"
#include "flow/wire.h"

enum {
	FLOW_BYTES = 16 << 20, /* one, at most */
	FIRST_GROUPS = 64,
	/* flow.Aggregate */
	INGRESS = 1,
	EGRESS = 2,
	UNKNOWN = 3,
};

struct group {
	struct str key; /* the map's */
	uint32_t counts[3];
};

struct aggregate {
	struct flow_mask *mask;
	struct map *index; /* key to place in groups */
	struct group *groups;
	size_t count, room, bytes; /* bytes: of the keys */
	struct buf whole, left;
};

enum err_code aggregate_new(const char *const *paths, size_t count, struct aggregate **ret,
			    struct err *e)
{
	AUTO(aggregate_free) struct aggregate *a = calloc(1, sizeof *a);

	if (!a)
		return err_set(e, ERR_NOMEM, "aggregation");
	a->whole = buf_init(FLOW_BYTES);
	a->left = buf_init(FLOW_BYTES);
	enum err_code code = flow_mask_new(paths, count, &a->mask, e);
	/* keys come from packets; the address of this is as good a secret as time is */
	if (code == ERR_OK)
		code = map_new(AGGREGATE_GROUPS, mono_now().v ^ (uintptr_t)a, &a->index, e);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(a);
	return ERR_OK;
}

void aggregate_free(struct aggregate *a)
{
	if (!a)
		return;
	flow_mask_free(a->mask);
	map_free(a->index);
	free(a->groups);
	buf_done(&a->whole);
	buf_done(&a->left);
	free(a);
}

static bool make_room(struct aggregate *a)
{
	size_t room = a->room ? 2 * a->room : FIRST_GROUPS;

	if (a->count < a->room)
		return true;
	struct group *groups = reallocarray(a->groups, room, sizeof *groups);
	if (!groups)
		return false;
	a->groups = groups;
	a->room = room;
	return true;
}

/* Place of the group of @key, made if it is new. @return false: there is no room. */
static bool find_group(struct aggregate *a, struct str key, uint32_t *ret)
{
	if (map_get(a->index, key, ret))
		return true;
	if (a->count && a->bytes + key.len > AGGREGATE_BYTES)
		return false;
	struct group g = { 0 };
	if (!make_room(a) || map_put(a->index, key, (uint32_t)a->count, &g.key, NULL) != ERR_OK)
		return false;
	a->groups[a->count] = g;
	a->bytes += key.len;
	*ret = (uint32_t)a->count++;
	return true;
}

bool aggregate_add(struct aggregate *a, const struct flow *f, const struct flow_dict *d)
{
	int32_t direction = flow_enum(f, FLOW_FIELD_TRAFFIC_DIRECTION, f->direction);
	unsigned which = direction == FLOW__TRAFFIC_DIRECTION__INGRESS  ? INGRESS
			 : direction == FLOW__TRAFFIC_DIRECTION__EGRESS ? EGRESS
									: UNKNOWN;
	uint32_t at;

	buf_reset(&a->whole);
	buf_reset(&a->left);
	flow_encode(&a->whole, f, d);
	flow_mask_apply(a->mask, buf_str(&a->whole), &a->left);
	if (a->whole.failed || a->left.failed || !find_group(a, buf_str(&a->left), &at))
		return false;
	uint32_t *count = &a->groups[at].counts[which - 1];
	if (*count == UINT32_MAX)
		return false;
	++*count;
	return true;
}

size_t aggregate_count(const struct aggregate *a)
{
	return a->count;
}

/* But for counts that the flows had already (of another exporter): these are ours. */
static void put_key(struct buf *b, struct str key)
{
	struct wire_reader r = wire_reader_of(key);

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number != FLOW_FIELD_AGGREGATE)
			buf_str_put(b, x.raw);
}

void aggregate_tell(struct aggregate *a, void (*tell)(void *ctx, struct str flow), void *ctx)
{
	for (size_t i = 0; i < a->count; i++) {
		const struct group *g = &a->groups[i];
		buf_reset(&a->left);
		put_key(&a->left, g->key);
		size_t mark = wire_begin(&a->left, FLOW_FIELD_AGGREGATE);
		for (unsigned which = INGRESS; which <= UNKNOWN; which++)
			wire_put_u64(&a->left, which, g->counts[which - 1]);
		wire_end(&a->left, mark);
		tell(ctx, buf_str(&a->left));
	}
	map_reset(a->index);
	a->count = a->bytes = 0;
}
