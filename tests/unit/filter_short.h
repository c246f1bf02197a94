/*
 * filter_short - filters written short, for the tests of lib/filter.
 *
 * Messages and their lists lie in flow_random's pool; a compiled filter is the caller's to free.
 */
#ifndef TYCHO_TESTS_FILTER_SHORT_H
#define TYCHO_TESTS_FILTER_SHORT_H

#include "filter/filter.h"
#include "flow/flow.pb-c.h"
#include "flow_random.h"

/* set_texts(ff, source_port, 2, "53", "853") */
#define set_texts(ff, field, n, ...)                                                               \
	((ff)->n_##field = (n), (ff)->field = texts_of((n), __VA_ARGS__))
char **texts_of(size_t n, ...);

/* set_numbers(ff, verdict, Flow__Verdict, FLOW__VERDICT__DROPPED) */
#define set_numbers(ff, field, type, ...)                                                          \
	((ff)->n_##field = ARRAY_LEN(((type[]){ __VA_ARGS__ })),                                   \
	 (ff)->field = copy_of((type[]){ __VA_ARGS__ }, sizeof((type[]){ __VA_ARGS__ })))
void *copy_of(const void *p, size_t bytes);

void add_event_type(Flow__FlowFilter *ff, int32_t type, bool match_sub_type, int32_t sub_type);

/* Compiled; either may be NULL. Fails the test if it cannot be. */
struct flow_filter *filter_of(Flow__FlowFilter *white, Flow__FlowFilter *black,
			      const struct flow_dict *d);
/* What a zone of @f alone says: false promises that @f does not match. */
bool zone_may_match(struct flow_filter *ff, const struct flow *f);

#endif
