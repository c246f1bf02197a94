/* getHours() and its like, of timestamps and durations. Source: cel-go common/types/timestamp.go,
 * duration.go. */
#include "cel/eval.h"
#include "cel/zone.h"

enum { ZONE_STEPS = 2000 }; /* of reading a file */

static int day_of_year(const struct civil *c)
{
	return (int)((civil_to_s(c->year, c->month, c->day, 0, 0, 0) -
		      civil_to_s(c->year, 1, 1, 0, 0, 0)) /
		     86400);
}

static struct value part_of_time(enum op op, struct timestamp t)
{
	struct civil c = civil_of(t.s);

	switch (op) {
	case OP_FULL_YEAR:
		return value_int(c.year);
	case OP_MONTH: /* months, days of the month and of the year count from 0; the date from 1 */
		return value_int(c.month - 1);
	case OP_DAY_OF_YEAR:
		return value_int(day_of_year(&c));
	case OP_DAY_OF_MONTH:
		return value_int(c.day - 1);
	case OP_DATE:
		return value_int(c.day);
	case OP_DAY_OF_WEEK:
		return value_int(c.weekday);
	case OP_HOURS:
		return value_int(c.hour);
	case OP_MINUTES:
		return value_int(c.minute);
	case OP_SECONDS:
		return value_int(c.second);
	default:
		return value_int(t.ns / (int64_t)NS_PER_MS);
	}
}

/* All of it, in that unit. */
static struct value part_of_duration(enum op op, int64_t ns)
{
	switch (op) {
	case OP_HOURS:
		return value_int(ns / (int64_t)NS_PER_S / 3600);
	case OP_MINUTES:
		return value_int(ns / (int64_t)NS_PER_S / 60);
	case OP_SECONDS:
		return value_int(ns / (int64_t)NS_PER_S);
	case OP_MILLISECONDS:
		return value_int(ns / (int64_t)NS_PER_MS);
	default:
		return VALUE_NO_OVERLOAD;
	}
}

struct value op_time_part(struct eval *ev, const struct expr *n, const struct value *args,
			  size_t count)
{
	enum op op = (enum op)n->op;
	struct timestamp t = args[0].time;
	AUTO(zone_free) struct zone *read = NULL;
	const struct zone *zone = n->zone;
	struct err e;

	if (args[0].kind == VALUE_DURATION && count == 1)
		return part_of_duration(op, args[0].num);
	if (args[0].kind != VALUE_TIMESTAMP || (count == 2 && args[1].kind != VALUE_STRING))
		return VALUE_NO_OVERLOAD;
	if (count == 2 && !zone) {
		if (!eval_spend(ev, ZONE_STEPS))
			return EVAL_EXHAUSTED;
		if (zone_new(args[1].str, &read, &e) != ERR_OK)
			return eval_fault(ev, e.msg);
		zone = read;
	}
	if (zone && __builtin_add_overflow(t.s, zone_offset_s(zone, t.s), &t.s))
		return VALUE_FAULT("timestamp overflow");
	return part_of_time(op, t);
}
