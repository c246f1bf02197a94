/* int(), string(), timestamp(), … Source: ConvertToType in cel-go common/types. */
#include <math.h>

#include "cel/eval.h"
#include "cel/number.h"

enum { TEXT_BYTES = 400 }; /* the longest double without exponent has 330 characters */

/* type() and the rest of the reference say so of what cannot be converted. */
static struct value cannot(struct eval *ev, struct value v, const char *to)
{
	char text[TEXT_BYTES];
	struct buf b = buf_fixed(text, sizeof text - 1);

	buf_printf(&b, "type conversion error from '%.*s' to '%s'", STR_FMT(value_type_name(v)),
		   to);
	return eval_fault(ev, buf_cstr(&b));
}

static struct value to_int(struct eval *ev, struct value v)
{
	switch ((enum value_kind)v.kind) {
	case VALUE_INT:
		return v;
	case VALUE_UINT:
		return v.unum <= INT64_MAX ? value_int((int64_t)v.unum)
					   : VALUE_FAULT("integer overflow");
	case VALUE_DOUBLE: /* both ends excluded, as the reference does */
		return v.real > -0x1p63 && v.real < 0x1p63 ? value_int((int64_t)v.real)
							   : VALUE_FAULT("integer overflow");
	case VALUE_DURATION:
		return value_int(v.num);
	case VALUE_TIMESTAMP:
		return value_int(v.time.s);
	case VALUE_STRING:
		if (parse_int(v.str, &v.num))
			return value_int(v.num);
		return cannot(ev, v, "int");
	default:
		return VALUE_NO_OVERLOAD;
	}
}

static struct value to_uint(struct eval *ev, struct value v)
{
	uint64_t u;

	switch ((enum value_kind)v.kind) {
	case VALUE_UINT:
		return v;
	case VALUE_INT:
		return v.num >= 0 ? value_uint((uint64_t)v.num)
				  : VALUE_FAULT("unsigned integer overflow");
	case VALUE_DOUBLE:
		return v.real >= 0 && v.real < 0x1p64 ? value_uint((uint64_t)v.real)
						      : VALUE_FAULT("unsigned integer overflow");
	case VALUE_STRING:
		return parse_u64(v.str, UINT64_MAX, &u) ? value_uint(u) : cannot(ev, v, "uint");
	default:
		return VALUE_NO_OVERLOAD;
	}
}

static struct value to_double(struct eval *ev, struct value v)
{
	double d;

	switch ((enum value_kind)v.kind) {
	case VALUE_DOUBLE:
		return v;
	case VALUE_INT:
		return value_double((double)v.num);
	case VALUE_UINT:
		return value_double((double)v.unum);
	case VALUE_STRING:
		return parse_double(v.str, &d) ? value_double(d) : cannot(ev, v, "double");
	default:
		return VALUE_NO_OVERLOAD;
	}
}

/* Go's RFC3339Nano: as few digits after the second as it takes. */
static void put_time(struct buf *b, struct timestamp t)
{
	struct civil c = civil_of(t.s);

	buf_printf(b, "%04lld-%02d-%02dT%02d:%02d:%02d", (long long)c.year, c.month, c.day, c.hour,
		   c.minute, c.second);
	if (t.ns) {
		buf_printf(b, ".%09d", t.ns);
		while (!b->failed && b->p[b->len - 1] == '0')
			b->len--;
	}
	buf_char(b, 'Z');
}

static struct value to_string(struct eval *ev, struct value v)
{
	char text[TEXT_BYTES];
	struct buf b = buf_fixed(text, sizeof text);

	switch ((enum value_kind)v.kind) {
	case VALUE_STRING:
		return v;
	case VALUE_BYTES:
		if (!eval_spend_bytes(ev, v.str.len))
			return EVAL_EXHAUSTED;
		return utf8_is_valid(v.str)
			       ? value_string(v.str)
			       : VALUE_FAULT("invalid UTF-8 in bytes, cannot convert to string");
	case VALUE_BOOL:
		return value_string(v.yes ? STR("true") : STR("false"));
	case VALUE_INT:
		buf_i64(&b, v.num);
		break;
	case VALUE_UINT:
		buf_u64(&b, v.unum);
		break;
	case VALUE_DOUBLE:
		double_put(&b, v.real);
		break;
	case VALUE_DURATION: /* whole seconds and the rest apart, as Go divides */
		double_put_plain(&b, (double)(v.num / (int64_t)NS_PER_S) +
					     (double)(v.num % (int64_t)NS_PER_S) / 1e9);
		buf_char(&b, 's');
		break;
	case VALUE_TIMESTAMP:
		put_time(&b, v.time);
		break;
	default:
		return VALUE_NO_OVERLOAD;
	}
	return eval_keep_string(ev, buf_str(&b));
}

static struct value to_timestamp(struct eval *ev, struct value v)
{
	struct timestamp t;

	if (v.kind == VALUE_TIMESTAMP)
		return v;
	if (v.kind == VALUE_INT)
		return v.num >= TIMESTAMP_MIN_S && v.num <= TIMESTAMP_MAX_S
			       ? value_time((struct timestamp){ v.num, 0 })
			       : VALUE_FAULT("timestamp overflow");
	if (v.kind != VALUE_STRING)
		return VALUE_NO_OVERLOAD;
	return timestamp_parse_lax(v.str, &t) ? value_time(t)
					      : cannot(ev, v, "google.protobuf.Timestamp");
}

static struct value to_duration(struct eval *ev, struct value v)
{
	int64_t ns;

	if (v.kind == VALUE_DURATION)
		return v;
	if (v.kind == VALUE_INT) /* declared, but no number is a duration */
		return cannot(ev, v, "google.protobuf.Duration");
	if (v.kind != VALUE_STRING)
		return VALUE_NO_OVERLOAD;
	return duration_parse(v.str, &ns) ? value_duration(ns)
					  : cannot(ev, v, "google.protobuf.Duration");
}

static struct value to_bool(struct eval *ev, struct value v)
{
	bool yes;

	if (v.kind == VALUE_BOOL)
		return v;
	if (v.kind != VALUE_STRING)
		return VALUE_NO_OVERLOAD;
	return parse_bool(v.str, &yes) ? value_bool(yes) : cannot(ev, v, "bool");
}

struct value op_convert(struct eval *ev, const struct expr *n, const struct value *args,
			size_t count)
{
	struct value v = args[0];

	(void)count;
	switch ((enum op)n->op) {
	case OP_TYPE:
		return value_type(value_type_name(v));
	case OP_TO_BOOL:
		return to_bool(ev, v);
	case OP_TO_BYTES:
		if (v.kind != VALUE_STRING && v.kind != VALUE_BYTES)
			return VALUE_NO_OVERLOAD;
		return value_bytes(v.str);
	case OP_TO_DOUBLE:
		return to_double(ev, v);
	case OP_TO_DURATION:
		return to_duration(ev, v);
	case OP_TO_INT:
		return to_int(ev, v);
	case OP_TO_STRING:
		return to_string(ev, v);
	case OP_TO_TIMESTAMP:
		return to_timestamp(ev, v);
	case OP_TO_UINT:
		return to_uint(ev, v);
	default: /* dyn() */
		return v;
	}
}
