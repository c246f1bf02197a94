#include "filter_short.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "filter/zone.h"

char **texts_of(size_t n, ...)
{
	char **list = pool_take(n * sizeof *list);
	va_list ap;

	va_start(ap, n);
	for (size_t i = 0; i < n; i++)
		list[i] = pool_text(str_of(va_arg(ap, const char *)));
	va_end(ap);
	return list;
}

void *copy_of(const void *p, size_t bytes)
{
	return memcpy(pool_take(bytes), p, bytes);
}

struct flow_filter *filter_of(Flow__FlowFilter *white, Flow__FlowFilter *black,
			      const struct flow_dict *d)
{
	struct flow_filter *ff = NULL;
	struct err e;

	if (flow_filter_new(&white, white != NULL, &black, black != NULL, d, &ff, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return ff;
}

bool zone_may_match(struct flow_filter *ff, const struct flow *f)
{
	AUTO(flow_zone_free) struct flow_zone *z = NULL;
	struct err e;

	assert_int_equal(flow_zone_new(&z, &e), ERR_OK);
	flow_zone_add(z, f, 1);
	return flow_filter_may_match(ff, z);
}

void add_event_type(Flow__FlowFilter *ff, int32_t type, bool match_sub_type, int32_t sub_type)
{
	Flow__EventTypeFilter *ev = NEW(flow__event_type_filter),
			      **list = pool_take(8 * sizeof(void *));

	ev->type = type;
	ev->match_sub_type = match_sub_type;
	ev->sub_type = sub_type;
	for (size_t i = 0; i < ff->n_event_type; i++)
		list[i] = ff->event_type[i];
	list[ff->n_event_type++] = ev;
	ff->event_type = list;
}
