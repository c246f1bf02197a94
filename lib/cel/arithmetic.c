/* + - * / % and the sign. Source: cel-go common/types, overflow.go. */
#include <math.h>

#include "cel/eval.h"

#define OVERFLOW_INT VALUE_FAULT("integer overflow")
#define OVERFLOW_UINT VALUE_FAULT("unsigned integer overflow")
#define OVERFLOW_TIME VALUE_FAULT("timestamp overflow")
#define OVERFLOW_DURATION VALUE_FAULT("duration overflow")

static struct value int_op(enum op op, int64_t a, int64_t b)
{
	int64_t v = 0;
	bool overflow;

	switch (op) {
	case OP_ADD:
		overflow = __builtin_add_overflow(a, b, &v);
		break;
	case OP_SUBTRACT:
		overflow = __builtin_sub_overflow(a, b, &v);
		break;
	case OP_MULTIPLY:
		overflow = __builtin_mul_overflow(a, b, &v);
		break;
	default:
		if (!b)
			return op == OP_DIVIDE ? VALUE_FAULT("division by zero")
					       : VALUE_FAULT("modulus by zero");
		overflow = a == INT64_MIN && b == -1;
		if (!overflow)
			v = op == OP_DIVIDE ? a / b : a % b;
	}
	return overflow ? OVERFLOW_INT : value_int(v);
}

static struct value uint_op(enum op op, uint64_t a, uint64_t b)
{
	uint64_t v = 0;
	bool overflow = false;

	switch (op) {
	case OP_ADD:
		overflow = __builtin_add_overflow(a, b, &v);
		break;
	case OP_SUBTRACT:
		overflow = __builtin_sub_overflow(a, b, &v);
		break;
	case OP_MULTIPLY:
		overflow = __builtin_mul_overflow(a, b, &v);
		break;
	default:
		if (!b)
			return op == OP_DIVIDE ? VALUE_FAULT("division by zero")
					       : VALUE_FAULT("modulus by zero");
		v = op == OP_DIVIDE ? a / b : a % b;
	}
	return overflow ? OVERFLOW_UINT : value_uint(v);
}

static struct value double_op(enum op op, double a, double b)
{
	switch (op) {
	case OP_ADD:
		return value_double(a + b);
	case OP_SUBTRACT:
		return value_double(a - b);
	case OP_MULTIPLY:
		return value_double(a * b);
	case OP_DIVIDE:
		return value_double(a / b); /* by zero: an infinity, or NaN */
	default:
		return VALUE_NO_OVERLOAD;
	}
}

static struct value duration_op(enum op op, int64_t a, int64_t b)
{
	int64_t v;

	if (op == OP_ADD ? __builtin_add_overflow(a, b, &v) : __builtin_sub_overflow(a, b, &v))
		return OVERFLOW_DURATION;
	return value_duration(v);
}

static struct value time_plus(struct timestamp t, int64_t ns, bool minus)
{
	int64_t s = ns / (int64_t)NS_PER_S, rest = ns % (int64_t)NS_PER_S;

	s = minus ? -s : s;
	rest = (minus ? -rest : rest) + t.ns;
	if (rest < 0 || rest >= (int64_t)NS_PER_S) {
		s += rest < 0 ? -1 : 1;
		rest += rest < 0 ? (int64_t)NS_PER_S : -(int64_t)NS_PER_S;
	}
	if (__builtin_add_overflow(t.s, s, &s) || s < TIMESTAMP_MIN_S || s > TIMESTAMP_MAX_S)
		return OVERFLOW_TIME;
	return value_time((struct timestamp){ s, (int32_t)rest });
}

static struct value time_minus(struct timestamp a, struct timestamp b)
{
	int64_t s, ns;

	if (__builtin_sub_overflow(a.s, b.s, &s) ||
	    __builtin_mul_overflow(s, (int64_t)NS_PER_S, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)a.ns - b.ns, &ns))
		return OVERFLOW_DURATION;
	return value_duration(ns);
}

static struct value time_op(enum op op, struct value a, struct value b)
{
	if (a.kind == VALUE_TIMESTAMP && b.kind == VALUE_DURATION)
		return time_plus(a.time, b.num, op == OP_SUBTRACT);
	if (a.kind == VALUE_DURATION && b.kind == VALUE_TIMESTAMP && op == OP_ADD)
		return time_plus(b.time, a.num, false);
	if (a.kind == VALUE_TIMESTAMP && b.kind == VALUE_TIMESTAMP && op == OP_SUBTRACT)
		return time_minus(a.time, b.time);
	if (a.kind == VALUE_DURATION && b.kind == VALUE_DURATION)
		return duration_op(op, a.num, b.num);
	return VALUE_NO_OVERLOAD;
}

static struct value join_texts(struct eval *ev, struct value a, struct value b)
{
	char *to = mem_get(ev->mem, a.str.len + b.str.len);

	if (!to)
		return EVAL_NO_MEMORY;
	if (!eval_spend_bytes(ev, a.str.len + b.str.len))
		return EVAL_EXHAUSTED;
	if (a.str.len)
		memcpy(to, a.str.p, a.str.len);
	if (b.str.len)
		memcpy(to + a.str.len, b.str.p, b.str.len);
	a.str = str_n(to, a.str.len + b.str.len);
	return a;
}

static struct value join_lists(struct eval *ev, struct value a, struct value b)
{
	size_t n = (size_t)a.len + b.len;
	struct value *to = mem_get(ev->mem, n * sizeof *to);

	if (!to)
		return EVAL_NO_MEMORY;
	if (!eval_spend(ev, n))
		return EVAL_EXHAUSTED;
	if (a.len)
		memcpy(to, a.items, a.len * sizeof *to);
	if (b.len)
		memcpy(to + a.len, b.items, b.len * sizeof *to);
	return value_list(to, n);
}

static struct value negate(struct value v)
{
	if (v.kind == VALUE_DOUBLE)
		return value_double(-v.real);
	if (v.kind != VALUE_INT && v.kind != VALUE_DURATION)
		return VALUE_NO_OVERLOAD;
	if (v.num == INT64_MIN)
		return v.kind == VALUE_INT ? OVERFLOW_INT : OVERFLOW_DURATION;
	v.num = -v.num;
	return v;
}

struct value op_arithmetic(struct eval *ev, const struct expr *n, const struct value *args,
			   size_t count)
{
	enum op op = (enum op)n->op;
	struct value a = args[0], b = args[count - 1];

	if (op == OP_NEGATE)
		return negate(a);
	if ((op == OP_ADD || op == OP_SUBTRACT) &&
	    (a.kind == VALUE_TIMESTAMP || a.kind == VALUE_DURATION))
		return time_op(op, a, b);
	if (a.kind != b.kind)
		return VALUE_NO_OVERLOAD;
	switch ((enum value_kind)a.kind) {
	case VALUE_INT:
		return int_op(op, a.num, b.num);
	case VALUE_UINT:
		return uint_op(op, a.unum, b.unum);
	case VALUE_DOUBLE:
		return double_op(op, a.real, b.real);
	case VALUE_STRING:
	case VALUE_BYTES:
		return op == OP_ADD ? join_texts(ev, a, b) : VALUE_NO_OVERLOAD;
	case VALUE_LIST:
		return op == OP_ADD ? join_lists(ev, a, b) : VALUE_NO_OVERLOAD;
	default:
		return VALUE_NO_OVERLOAD;
	}
}
