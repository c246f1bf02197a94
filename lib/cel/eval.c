#include "cel/eval.h"

#include "cel/message.h"
#include "cel/quick.h"

struct value eval_keep_string(struct eval *ev, struct str s)
{
	struct str kept = mem_str(ev->mem, s);

	return kept.p ? value_string(kept) : EVAL_NO_MEMORY;
}

struct value eval_fault(struct eval *ev, const char *sentence)
{
	struct value fault = eval_keep_string(ev, str_of(sentence));

	fault.kind = VALUE_ERROR;
	return fault;
}

/* --- paths --------------------------------------------------------------------------------- */

/* The message that holds the path's last field. */
static struct value walk(struct eval *ev, const struct expr *n)
{
	struct value v = message_flow_for(ev, n->path[0]);

	for (size_t i = 0; i + 1 < n->path_len && v.kind == VALUE_MESSAGE; i++)
		v = message_get(ev, v, n->path[i]);
	return v;
}

static struct value eval_path(struct eval *ev, const struct expr *n)
{
	struct value v;

	if (n->quick && n->quick->read(ev, n->quick->which, &v))
		return v;
	v = walk(ev, n);
	return v.kind == VALUE_MESSAGE ? message_get(ev, v, n->path[n->path_len - 1]) : v;
}

static struct value eval_has_path(struct eval *ev, const struct expr *n)
{
	struct value v;

	if (n->quick && n->quick->read(ev, n->quick->which, &v))
		return v;
	v = walk(ev, n);
	if (v.kind != VALUE_MESSAGE)
		return v;
	return value_bool(message_has(ev, v, n->path[n->path_len - 1]));
}

static struct value eval_select(struct eval *ev, const struct expr *n)
{
	struct value v = eval_expr(ev, n->args);

	if (v.kind == VALUE_MESSAGE && n->field)
		return message_get(ev, v, n->field);
	if (v.kind != VALUE_MESSAGE && v.kind != VALUE_MAP)
		return v.kind == VALUE_ERROR ? v : VALUE_NO_OVERLOAD;
	return op_index(ev, n, (struct value[]){ v, value_string(n->name) }, 2);
}

static struct value eval_has(struct eval *ev, const struct expr *n)
{
	struct value v = eval_expr(ev, n->args);

	if (v.kind == VALUE_MESSAGE) {
		const struct schema_field *f =
			n->field ? n->field : schema_field_named(v.message.schema, n->name);

		if (!f || !str_eq(f->name, n->name))
			return VALUE_FAULT("no such field");
		return value_bool(message_has(ev, v, f));
	}
	if (v.kind == VALUE_MAP)
		return op_in(ev, n, (struct value[]){ value_string(n->name), v }, 2);
	return v.kind == VALUE_ERROR ? v : VALUE_NO_OVERLOAD;
}

/* --- logic --------------------------------------------------------------------------------- */

/* && and ||: one side that decides outweighs an error on the other, in either order. */
static struct value eval_logic(struct eval *ev, const struct expr *n)
{
	bool decides = n->op == OP_OR;
	struct value a = eval_expr(ev, n->args);

	if (a.kind == VALUE_BOOL && a.yes == decides)
		return a;
	struct value b = eval_expr(ev, n->args->next);
	if (b.kind == VALUE_BOOL && (b.yes == decides || a.kind == VALUE_BOOL))
		return b;
	if (a.kind == VALUE_ERROR)
		return a;
	return b.kind == VALUE_ERROR ? b : VALUE_NO_OVERLOAD;
}

static struct value eval_conditional(struct eval *ev, const struct expr *n)
{
	struct value condition = eval_expr(ev, n->args);
	const struct expr *yes = n->args->next;

	if (condition.kind != VALUE_BOOL)
		return condition.kind == VALUE_ERROR ? condition : VALUE_NO_OVERLOAD;
	return eval_expr(ev, condition.yes ? yes : yes->next);
}

static struct value compare(struct eval *ev, enum op op, const struct value *args)
{
	struct value order = value_compare(ev, args[0], args[1]);

	if (order.kind == VALUE_ERROR)
		return order;
	return value_bool(op == OP_LESS         ? order.num < 0
			  : op == OP_LESS_EQUAL ? order.num <= 0
			  : op == OP_GREATER    ? order.num > 0
						: order.num >= 0);
}

static struct value apply(struct eval *ev, const struct expr *n, const struct value *args,
			  size_t count)
{
	switch ((enum op)n->op) {
	case OP_NOT:
		return args[0].kind == VALUE_BOOL ? value_bool(!args[0].yes) : VALUE_NO_OVERLOAD;
	case OP_EQUAL:
		return value_bool(value_equal(ev, args[0], args[1]));
	case OP_NOT_EQUAL:
		return value_bool(!value_equal(ev, args[0], args[1]));
	case OP_LESS:
	case OP_LESS_EQUAL:
	case OP_GREATER:
	case OP_GREATER_EQUAL:
		return compare(ev, (enum op)n->op, args);
	case OP_INDEX:
		return op_index(ev, n, args, count);
	case OP_IN:
		return op_in(ev, n, args, count);
	case OP_SIZE:
		return op_size(ev, n, args, count);
	case OP_CONTAINS:
	case OP_STARTS_WITH:
	case OP_ENDS_WITH:
		return op_text(ev, n, args, count);
	case OP_MATCHES:
		return op_matches(ev, n, args, count);
	case OP_ADD:
	case OP_SUBTRACT:
	case OP_MULTIPLY:
	case OP_DIVIDE:
	case OP_MODULO:
	case OP_NEGATE:
		return op_arithmetic(ev, n, args, count);
	default:
		return n->op >= OP_FULL_YEAR ? op_time_part(ev, n, args, count)
					     : op_convert(ev, n, args, count);
	}
}

static struct value eval_call(struct eval *ev, const struct expr *n)
{
	struct value args[CALL_MAX_ARGS];
	size_t count = 0;

	if (n->op == OP_AND || n->op == OP_OR)
		return eval_logic(ev, n);
	if (n->op == OP_CONDITIONAL)
		return eval_conditional(ev, n);
	for (const struct expr *arg = n->args; arg; arg = arg->next) {
		args[count] = eval_expr(ev, arg);
		if (args[count++].kind == VALUE_ERROR)
			return args[count - 1];
	}
	return apply(ev, n, args, count);
}

/* --- lists, maps, messages, macros --------------------------------------------------------- */

static struct value eval_list(struct eval *ev, const struct expr *n)
{
	struct value *items = mem_get(ev->mem, n->arg_count * sizeof *items);
	size_t i = 0;

	if (!items)
		return EVAL_NO_MEMORY;
	for (const struct expr *x = n->args; x; x = x->next) {
		items[i] = eval_expr(ev, x);
		if (items[i++].kind == VALUE_ERROR)
			return items[i - 1];
	}
	return value_list(items, i);
}

static struct value eval_message(struct eval *ev, const struct expr *n)
{
	struct value *values = mem_get(ev->mem, n->arg_count * sizeof *values);
	size_t i = 0;

	if (!values)
		return EVAL_NO_MEMORY;
	for (const struct expr *x = n->args; x; x = x->next) {
		values[i] = eval_expr(ev, x->args);
		if (values[i++].kind == VALUE_ERROR)
			return values[i - 1];
	}
	return message_make(ev, n, values);
}

static bool is_key(struct value v)
{
	return v.kind == VALUE_BOOL || v.kind == VALUE_INT || v.kind == VALUE_UINT ||
	       v.kind == VALUE_STRING || v.kind == VALUE_DOUBLE;
}

/* A key that comes again replaces its value. */
static struct value eval_map(struct eval *ev, const struct expr *n)
{
	struct value *items = mem_get(ev->mem, 2 * n->arg_count * sizeof *items);
	uint32_t count = 0;

	if (!items)
		return EVAL_NO_MEMORY;
	for (const struct expr *x = n->args; x; x = x->next) {
		struct value key = eval_expr(ev, x->args), of = eval_expr(ev, x->last);
		uint32_t i = 0;

		if (key.kind == VALUE_ERROR || of.kind == VALUE_ERROR)
			return key.kind == VALUE_ERROR ? key : of;
		if (!is_key(key))
			return VALUE_FAULT("unsupported key type");
		/* 1 and 1u are two keys, though they are equal */
		while (i < count &&
		       (items[2 * i].kind != key.kind || !value_equal(ev, items[2 * i], key)))
			i++;
		items[2 * i] = key;
		items[2 * i + 1] = of;
		count += i == count;
	}
	return (struct value){ .kind = VALUE_MAP, .len = count, .items = items };
}

/* all, exists: as a chain of && or || over the elements. */
static struct value fold_quantifier(struct eval *ev, const struct expr *n, struct value range,
				    size_t stride)
{
	bool decides = n->fold == FOLD_EXISTS;
	struct value result = value_bool(!decides);

	for (uint32_t i = 0; i < range.len && ev->steps; i++) {
		ev->variables[n->slot] = range.items[i * stride];
		struct value v = eval_expr(ev, n->last);
		if (v.kind == VALUE_BOOL && v.yes == decides)
			return v;
		if (v.kind != VALUE_BOOL && result.kind != VALUE_ERROR)
			result = v.kind == VALUE_ERROR ? v : VALUE_NO_OVERLOAD;
	}
	return result;
}

/* exists_one, filter, map: the first error ends them. */
static struct value fold_collect(struct eval *ev, const struct expr *n, struct value range,
				 size_t stride)
{
	const struct expr *condition =
		n->fold != FOLD_MAP || n->arg_count == 3 ? n->args->next : NULL;
	struct value *items = NULL;
	uint32_t count = 0;

	if (n->fold != FOLD_EXISTS_ONE && !(items = mem_get(ev->mem, range.len * sizeof *items)))
		return EVAL_NO_MEMORY;
	for (uint32_t i = 0; i < range.len && ev->steps; i++) {
		struct value element = range.items[i * stride];

		ev->variables[n->slot] = element;
		struct value v = condition ? eval_expr(ev, condition) : value_bool(true);
		if (v.kind != VALUE_BOOL)
			return v.kind == VALUE_ERROR ? v : VALUE_NO_OVERLOAD;
		if (!v.yes)
			continue;
		if (n->fold == FOLD_MAP) {
			element = eval_expr(ev, n->last);
			if (element.kind == VALUE_ERROR)
				return element;
		}
		if (items)
			items[count] = element;
		count++;
	}
	return n->fold == FOLD_EXISTS_ONE ? value_bool(count == 1) : value_list(items, count);
}

static struct value eval_fold(struct eval *ev, const struct expr *n)
{
	struct value range = eval_expr(ev, n->args);

	if (range.kind != VALUE_LIST && range.kind != VALUE_MAP)
		return range.kind == VALUE_ERROR ? range : VALUE_NO_OVERLOAD;
	size_t stride = range.kind == VALUE_MAP ? 2 : 1;
	return n->fold == FOLD_ALL || n->fold == FOLD_EXISTS ? fold_quantifier(ev, n, range, stride)
							     : fold_collect(ev, n, range, stride);
}

struct value eval_expr(struct eval *ev, const struct expr *n)
{
	if (!eval_spend(ev, 1))
		return EVAL_EXHAUSTED;
	switch ((enum expr_kind)n->kind) {
	case EXPR_LITERAL:
		return n->value;
	case EXPR_PATH:
		return eval_path(ev, n);
	case EXPR_HAS_PATH:
		return eval_has_path(ev, n);
	case EXPR_CALL:
		return eval_call(ev, n);
	case EXPR_VARIABLE:
		return ev->variables[n->slot];
	case EXPR_SELECT:
		return eval_select(ev, n);
	case EXPR_HAS:
		return eval_has(ev, n);
	case EXPR_FOLD:
		return eval_fold(ev, n);
	case EXPR_LIST:
		return eval_list(ev, n);
	case EXPR_MAP:
		return eval_map(ev, n);
	case EXPR_MESSAGE:
		return eval_message(ev, n);
	case EXPR_FLOW:
		return message_flow(ev);
	default:
		return VALUE_FAULT("not an expression");
	}
}
