#include "relay/archive/asked.h"

#include "filter/filter.h"
#include "flow/dict.h"
#include "relay/archive/inside.h"
#include "relay/archive/where.h"

/* The nearest time that rows can have. */
static enum err_code take_time(const Google__Protobuf__Timestamp *in, struct wall_ns *ret,
			       struct err *e)
{
	struct timestamp t;

	if (!in)
		return ERR_OK;
	enum err_code code = timestamp_check(in->seconds, in->nanos, &t, e);
	if (code == ERR_OK && !timestamp_to_wall(t, ret))
		ret->v = t.s < 0 ? 0 : UINT64_MAX;
	return code;
}

enum err_code asked_init(struct asked *a, size_t names, struct Flow__FlowFilter *const *whitelist,
			 size_t whitelist_count, struct Flow__FlowFilter *const *blacklist,
			 size_t blacklist_count, const Google__Protobuf__Timestamp *since,
			 const Google__Protobuf__Timestamp *until, struct err *e)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO(flow_filter_free) struct flow_filter *filter = NULL;
	struct asked new = { .until = { UINT64_MAX }, .where = buf_init(WHERE_MAX_BYTES) };

	enum err_code code = flow_dict_new(names, &dict, e);
	if (code == ERR_OK)
		code = flow_filter_new(whitelist, whitelist_count, blacklist, blacklist_count, dict,
				       &filter, e);
	if (code == ERR_OK)
		code = take_time(since, &new.from, e);
	if (code == ERR_OK)
		code = take_time(until, &new.until, e);
	if (code != ERR_OK)
		return code;
	where_put(&new.where, whitelist, whitelist_count);
	if (new.where.failed) {
		buf_done(&new.where);
		return err_set(e, ERR_NOMEM, "flow filter");
	}
	if (!flow_filter_is_empty(filter))
		new.filter = TAKE(filter);
	new.dict = TAKE(dict);
	*a = new;
	return ERR_OK;
}

void asked_done(struct asked *a)
{
	flow_filter_free(a->filter);
	flow_dict_free(a->dict);
	buf_done(&a->where);
}

struct scan_config asked_scan(const struct asked *a)
{
	return (struct scan_config){ .from = a->from,
				     .until = a->until,
				     .has_timeless = true,
				     .where = buf_str(&a->where),
				     .filter = a->filter,
				     .dict = a->dict };
}
