/* Source: cel-go common/types/compare.go, util.go, and Equal and Compare of each type. */
#include "cel/value.h"

#include <math.h>

#include "cel/eval.h"
#include "cel/message.h"

static int order(bool less, bool more)
{
	return (int)more - (int)less;
}

static int compare_int_double(int64_t a, double b)
{
	if (b < -0x1p63)
		return 1;
	if (b > 0x1p63)
		return -1;
	return order((double)a<b, (double)a> b);
}

static int compare_uint_double(uint64_t a, double b)
{
	if (b < 0)
		return 1;
	if (b > 0x1p64)
		return -1;
	return order((double)a<b, (double)a> b);
}

static int compare_int_uint(int64_t a, uint64_t b)
{
	if (a < 0 || b > INT64_MAX)
		return -1;
	return order(a<(int64_t)b, a>(int64_t) b);
}

static bool is_number(struct value v)
{
	return v.kind == VALUE_INT || v.kind == VALUE_UINT || v.kind == VALUE_DOUBLE;
}

/* Of two numbers, none of which is NaN. */
static int compare_numbers(struct value a, struct value b)
{
	if (a.kind > b.kind)
		return -compare_numbers(b, a);
	if (a.kind == VALUE_INT)
		return b.kind == VALUE_INT    ? order(a.num<b.num, a.num> b.num)
		       : b.kind == VALUE_UINT ? compare_int_uint(a.num, b.unum)
					      : compare_int_double(a.num, b.real);
	if (a.kind == VALUE_UINT)
		return b.kind == VALUE_UINT ? order(a.unum<b.unum, a.unum> b.unum)
					    : compare_uint_double(a.unum, b.real);
	return order(a.real<b.real, a.real> b.real);
}

static bool is_nan(struct value v)
{
	return v.kind == VALUE_DOUBLE && isnan(v.real);
}

static bool lists_equal(struct eval *ev, struct value a, struct value b)
{
	if (a.len != b.len)
		return false;
	for (uint32_t i = 0; i < a.len; i++)
		if (!value_equal(ev, a.items[i], b.items[i]))
			return false;
	return true;
}

static bool maps_equal(struct eval *ev, struct value a, struct value b)
{
	if (a.len != b.len)
		return false;
	for (uint32_t i = 0; i < a.len; i++) {
		uint32_t k = 0;

		while (k < b.len && !value_equal(ev, a.items[2 * i], b.items[2 * k]))
			k++;
		if (k == b.len || !value_equal(ev, a.items[2 * i + 1], b.items[2 * k + 1]))
			return false;
	}
	return true;
}

bool value_equal(struct eval *ev, struct value a, struct value b)
{
	if (!eval_spend(ev, 1))
		return false;
	if (is_number(a) && is_number(b))
		return !is_nan(a) && !is_nan(b) && compare_numbers(a, b) == 0;
	if (a.kind != b.kind)
		return false;
	switch ((enum value_kind)a.kind) {
	case VALUE_NULL:
		return true;
	case VALUE_BOOL:
		return a.yes == b.yes;
	case VALUE_STRING:
	case VALUE_BYTES:
	case VALUE_TYPE:
		return str_eq(a.str, b.str) && eval_spend_bytes(ev, a.str.len);
	case VALUE_TIMESTAMP:
		return timestamp_cmp(a.time, b.time) == 0;
	case VALUE_DURATION:
		return a.num == b.num;
	case VALUE_LIST:
		return lists_equal(ev, a, b);
	case VALUE_MAP:
		return maps_equal(ev, a, b);
	case VALUE_MESSAGE:
		return message_equal(ev, a, b);
	default:
		return false;
	}
}

struct value value_compare(struct eval *ev, struct value a, struct value b)
{
	if (is_nan(a) || (is_nan(b) && is_number(a)))
		return VALUE_FAULT("NaN values cannot be ordered");
	if (is_number(a) && is_number(b))
		return value_int(compare_numbers(a, b));
	if (a.kind != b.kind)
		return VALUE_NO_OVERLOAD;
	switch ((enum value_kind)a.kind) {
	case VALUE_BOOL:
		return value_int(order(a.yes<b.yes, a.yes> b.yes));
	case VALUE_STRING:
	case VALUE_BYTES: {
		int c = str_cmp(a.str, b.str);
		(void)eval_spend_bytes(ev, a.str.len);
		return value_int(order(c<0, c> 0));
	}
	case VALUE_TIMESTAMP: {
		int c = timestamp_cmp(a.time, b.time);
		return value_int(order(c<0, c> 0));
	}
	case VALUE_DURATION:
		return value_int(order(a.num<b.num, a.num> b.num));
	default:
		return VALUE_NO_OVERLOAD;
	}
}

struct str value_type_name(struct value v)
{
	static const struct str names[] = {
		[VALUE_NULL] = { "null_type", 9 },
		[VALUE_BOOL] = { "bool", 4 },
		[VALUE_INT] = { "int", 3 },
		[VALUE_UINT] = { "uint", 4 },
		[VALUE_DOUBLE] = { "double", 6 },
		[VALUE_STRING] = { "string", 6 },
		[VALUE_BYTES] = { "bytes", 5 },
		[VALUE_TIMESTAMP] = { "google.protobuf.Timestamp", 25 },
		[VALUE_DURATION] = { "google.protobuf.Duration", 24 },
		[VALUE_TYPE] = { "type", 4 },
		[VALUE_LIST] = { "list", 4 },
		[VALUE_MAP] = { "map", 3 },
	};

	return v.kind == VALUE_MESSAGE ? v.message.schema->name : names[v.kind];
}

bool value_whole(struct value v, int64_t *ret)
{
	if (v.kind == VALUE_INT)
		*ret = v.num;
	else if (v.kind == VALUE_UINT && v.unum <= INT64_MAX)
		*ret = (int64_t)v.unum;
	else if (v.kind == VALUE_DOUBLE && v.real >= -0x1p63 && v.real < 0x1p63 &&
		 v.real == trunc(v.real))
		*ret = (int64_t)v.real;
	else
		return false;
	return true;
}
