/*
 * Source: cel-go checker/checker.go, checker/env.go, common/types/provider.go.
 */
#include "cel/check.h"

#include "base/buf.h"
#include "cel/cel.h"
#include "cel/function.h"
#include "flow/schema.h"

enum { NAME_BYTES = 512, TYPES_BYTES = 400 };

struct variable {
	struct str name;
	const struct type *type;
};

struct checker {
	struct typing *t;
	struct issues *issues;
	struct variable variables[CEL_NESTING]; /* of the macros around, outermost first */
	size_t variable_count;
};

static void check_expr(struct checker *c, struct expr *n);

/* --- reports ------------------------------------------------------------------------------ */

static void undeclared(struct checker *c, struct expr *n, struct str name)
{
	issue_add(c->issues, n->at, "undeclared reference to '%.*s' (in container 'flow')",
		  STR_FMT(name));
	n->type = &type_error;
}

/* Writes the type's name to @out, which holds TYPES_BYTES; returns it. */
static const char *show(const struct type *type, char *out)
{
	struct buf b = buf_fixed(out, TYPES_BYTES - 1);

	type_put(&b, type);
	out[b.len] = '\0';
	return out;
}
#define SHOW(type) show((type), (char[TYPES_BYTES]){ 0 })

static void no_overload(struct checker *c, uint32_t at, struct str function,
			const struct type *const *args, size_t n, bool is_member)
{
	char text[TYPES_BYTES];
	struct buf b = buf_fixed(text, sizeof text - 1);

	if (is_member) {
		type_put(&b, type_resolve(c->t, args[0], true));
		buf_char(&b, '.');
	}
	buf_char(&b, '(');
	for (size_t i = is_member; i < n; i++) {
		if (i > is_member)
			buf_lit(&b, ", ");
		type_put(&b, type_resolve(c->t, args[i], true));
	}
	buf_char(&b, ')');
	issue_add(c->issues, at, "found no matching overload for '%.*s' applied to '%.*s'",
		  STR_FMT(function), STR_FMT(buf_str(&b)));
}

/* --- names -------------------------------------------------------------------------------- */

/* What a global name is: a type, the number of an enum's constant, or the flow. */
struct meaning {
	enum { MEANS_NOTHING, MEANS_TYPE, MEANS_CONSTANT, MEANS_FLOW } kind;
	const struct type *type; /* that it names, or of the flow */
	int32_t number;
};

static const struct {
	const char *name;
	const struct type *type;
} plain_types[] = {
	{ "bool", &type_bool },      { "bytes", &type_bytes }, { "double", &type_double },
	{ "int", &type_int },        { "uint", &type_uint },   { "string", &type_string },
	{ "null_type", &type_null },
};

/* Messages that expressions may name: those of the flow and of protobuf itself. */
static const struct schema_message *message_named(struct str name)
{
	if (!str_has_prefix(name, STR("flow.")) && !str_has_prefix(name, STR("tycho.")) &&
	    !str_has_prefix(name, STR("google.protobuf.")))
		return NULL;
	return schema_find(name);
}

static struct meaning type_meaning(struct checker *c, struct str name)
{
	const struct type *type = NULL;
	const struct schema_message *m = message_named(name);

	for (size_t i = 0; i < ARRAY_LEN(plain_types); i++)
		if (str_is(name, plain_types[i].name))
			type = plain_types[i].type;
	if (m)
		type = type_message(c->t, m);
	else if (str_is(name, "list"))
		type = type_list(c->t, &type_dyn);
	else if (str_is(name, "map"))
		type = type_map(c->t, &type_dyn, &type_dyn);
	else if (str_is(name, "type"))
		type = type_type(c->t, &type_dyn);
	return (struct meaning){ type ? MEANS_TYPE : MEANS_NOTHING, type, 0 };
}

static struct meaning meaning_of(struct checker *c, struct str name)
{
	if (str_is(name, "_flow")) {
		const struct schema_message *m = schema_find(STR("flow.Flow"));
		if (m)
			return (struct meaning){ MEANS_FLOW, type_message(c->t, m), 0 };
	}
	struct meaning meaning = type_meaning(c, name);
	size_t dot = str_find_last(name, '.');
	if (meaning.kind != MEANS_NOTHING || dot == name.len)
		return meaning;
	const struct schema_enum *e = schema_find_enum(str_upto(name, dot));
	if (e && (str_has_prefix(name, STR("flow.")) || str_has_prefix(name, STR("tycho."))) &&
	    schema_enum_number(e, str_from(name, dot + 1), &meaning.number))
		meaning.kind = MEANS_CONSTANT;
	return meaning;
}

/* Looks a name up in the container, then as it stands; with a leading dot, only so. */
static struct meaning resolve(struct checker *c, struct str name,
			      struct meaning (*look)(struct checker *, struct str))
{
	char qualified[NAME_BYTES];
	static const char container[] = "flow.";
	size_t prefix = sizeof container - 1;

	if (name.len && name.p[0] == '.')
		return look(c, str_from(name, 1));
	if (name.len + prefix <= sizeof qualified) {
		memcpy(qualified, container, prefix);
		memcpy(qualified + prefix, name.p, name.len);
		struct meaning meaning = look(c, str_n(qualified, prefix + name.len));
		if (meaning.kind != MEANS_NOTHING)
			return meaning;
	}
	return look(c, name);
}

static const struct variable *variable_named(const struct checker *c, struct str name)
{
	for (size_t i = c->variable_count; i-- > 0;)
		if (str_eq(c->variables[i].name, name))
			return &c->variables[i];
	return NULL;
}

/* The name by which type() knows a type. */
static struct str type_value_name(struct checker *c, const struct type *type)
{
	char text[NAME_BYTES];
	struct buf b = buf_fixed(text, sizeof text);
	struct type bare = *type;

	bare.of[0] = bare.of[1] = NULL;
	bare.nullable = false;
	type_put_result(&b, &bare);
	struct str name = mem_str(c->t->mem, buf_str(&b));
	c->t->failed |= !name.p;
	return name;
}

static void become(struct checker *c, struct expr *n, struct meaning meaning)
{
	n->args = n->last = NULL;
	n->arg_count = 0;
	switch (meaning.kind) {
	case MEANS_FLOW:
		n->kind = EXPR_FLOW;
		n->type = meaning.type;
		break;
	case MEANS_CONSTANT:
		n->kind = EXPR_LITERAL;
		n->value = value_int(meaning.number);
		n->type = &type_int;
		break;
	default:
		n->kind = EXPR_LITERAL;
		n->value = value_type(type_value_name(c, meaning.type));
		n->type = type_type(c->t, meaning.type);
	}
}

static void check_name(struct checker *c, struct expr *n)
{
	const struct variable *v = variable_named(c, n->name);

	if (v) {
		n->kind = EXPR_VARIABLE;
		n->slot = (uint16_t)(v - c->variables);
		n->type = v->type;
		return;
	}
	struct meaning meaning = resolve(c, n->name, meaning_of);
	if (meaning.kind == MEANS_NOTHING)
		undeclared(c, n, n->name);
	else
		become(c, n, meaning);
}

/* "a.b.c" of a chain of selections from a name, in front of which no macro's variable stands. False
 * for other chains, and for those longer than any name. */
static bool qualified_name(const struct checker *c, const struct expr *n, char out[NAME_BYTES],
			   struct str *ret)
{
	size_t from = NAME_BYTES;

	for (; n->kind == EXPR_SELECT; n = n->args) {
		if (n->name.len + 1 > from)
			return false;
		from -= n->name.len;
		memcpy(out + from, n->name.p, n->name.len);
		out[--from] = '.';
	}
	if (n->kind != EXPR_NAME || n->name.len > from || variable_named(c, n->name))
		return false;
	from -= n->name.len;
	memcpy(out + from, n->name.p, n->name.len);
	*ret = str_n(out + from, NAME_BYTES - from);
	return true;
}

static const struct type *field_type(struct checker *c, uint32_t at, const struct schema_message *m,
				     struct str name, const struct schema_field **ret)
{
	/* The schema has no fields of Duration, which are Timestamp's. */
	const struct schema_message *twin = schema_find(STR("google.protobuf.Timestamp"));
	const struct schema_field *f =
		schema_field_named(m->special == SCHEMA_DURATION && twin ? twin : m, name);

	/* schema_field_named takes JSON names as well; CEL does not */
	if (!f || !str_eq(f->name, name)) {
		issue_add(c->issues, at, "undefined field '%.*s'", STR_FMT(name));
		return &type_error;
	}
	*ret = f;
	return type_of_field(c->t, f);
}

static void check_select(struct checker *c, struct expr *n)
{
	char space[NAME_BYTES];
	struct str name;
	const struct type *result;

	if (n->kind == EXPR_SELECT && qualified_name(c, n, space, &name)) {
		struct meaning meaning = resolve(c, name, meaning_of);
		if (meaning.kind != MEANS_NOTHING) {
			become(c, n, meaning);
			return;
		}
	}
	check_expr(c, n->args);
	const struct type *operand = type_resolve(c->t, n->args->type, false);
	switch (operand->kind) {
	case TYPE_MAP:
		result = operand->of[1];
		break;
	case TYPE_MESSAGE:
		result = field_type(c, n->at, operand->message, n->name, &n->field);
		break;
	case TYPE_UNKNOWN:
		(void)type_assignable(c->t, &type_dyn, operand);
		result = &type_dyn;
		break;
	default:
		if (operand->kind != TYPE_ERROR && operand->kind != TYPE_DYN &&
		    operand->kind != TYPE_ANY)
			issue_add(c->issues, n->at, "type '%s' does not support field selection",
				  SHOW(operand));
		result = &type_dyn;
	}
	n->type = n->kind == EXPR_HAS ? &type_bool : type_resolve(c->t, result, false);
}

/* --- calls -------------------------------------------------------------------------------- */

/* The type of @name applied to @args, or type_error and an issue. Of several overloads that fit (as
 * arguments are dyn), the result is dyn unless all agree. */
static const struct type *call_type(struct checker *c, uint32_t at, const char *name,
				    const char *overloads, const struct type *const *args, size_t n,
				    bool is_member)
{
	const struct type *result = NULL;
	struct overload o;

	while (overload_next(c->t, &overloads, &o)) {
		if (o.is_member != is_member || o.count != n ||
		    !types_assignable(c->t, args, o.params, n))
			continue;
		const struct type *found = type_resolve(c->t, o.result, false);
		if (!result)
			result = found;
		else if (result->kind != TYPE_DYN && !type_same(c->t, result, found))
			result = &type_dyn;
	}
	if (!result)
		no_overload(c, at, str_of(name), args, n, is_member);
	return result ? result : &type_error;
}

/* && and || name the side that is no bool, not themselves. */
static bool check_bool(struct checker *c, const struct expr *n)
{
	if (type_assignable(c->t, n->type, &type_bool))
		return true;
	issue_add(c->issues, n->at, "expected type 'bool' but found '%s'", SHOW(n->type));
	return false;
}

static void check_call(struct checker *c, struct expr *n)
{
	const struct type *args[CALL_MAX_ARGS + 1] = { NULL };
	size_t count = 0;
	struct str name = n->name;

	/* the arguments first, then the target: so are the mistakes reported where they share a
	 * place */
	for (struct expr *arg = n->is_member ? n->args->next : n->args; arg; arg = arg->next)
		check_expr(c, arg);
	if (n->is_member)
		check_expr(c, n->args);
	if (name.len && name.p[0] == '.')
		name = str_from(name, 1);
	const struct function *f = function_find(name);
	if (!f) {
		undeclared(c, n, n->name);
		return;
	}
	n->op = f->op;
	if (f->op == OP_AND || f->op == OP_OR) {
		bool left = check_bool(c, n->args), right = check_bool(c, n->last);

		n->type = left && right ? &type_bool : &type_error;
		return;
	}
	for (struct expr *arg = n->args; arg && count <= CALL_MAX_ARGS; arg = arg->next)
		args[count++] = arg->type;
	if (n->arg_count <= CALL_MAX_ARGS) {
		n->type = call_type(c, n->at, f->name, f->overloads, args, count, n->is_member);
		return;
	}
	const struct type **all = mem_get(c->t->mem, n->arg_count * sizeof(const struct type *));
	n->type = &type_error;
	if (!all) {
		c->t->failed = true;
		return;
	}
	count = 0;
	for (struct expr *arg = n->args; arg; arg = arg->next)
		all[count++] = arg->type;
	no_overload(c, n->at, str_of(f->name), all, count, n->is_member);
}

/* --- lists, maps, messages ----------------------------------------------------------------- */

/* The type of elements of type @before and @n's: mixed ones are dyn. */
static const struct type *join(struct checker *c, const struct type *before, const struct expr *n)
{
	if (!before)
		return n->type;
	if (!type_assignable(c->t, before, n->type))
		return &type_dyn;
	return type_general(c->t, before, n->type);
}

static void check_list(struct checker *c, struct expr *n)
{
	const struct type *of = NULL;

	for (struct expr *x = n->args; x; x = x->next) {
		check_expr(c, x);
		of = join(c, of, x);
	}
	n->type = type_list(c->t, of ? of : type_unknown(c->t));
}

static void check_map(struct checker *c, struct expr *n)
{
	const struct type *key = NULL, *of = NULL;

	for (struct expr *x = n->args; x; x = x->next) {
		check_expr(c, x->args);
		key = join(c, key, x->args);
		check_expr(c, x->last);
		of = join(c, of, x->last);
	}
	/* the key's is numbered before the value's */
	key = key ? key : type_unknown(c->t);
	n->type = type_map(c->t, key, of ? of : type_unknown(c->t));
}

/* The message that a type is made of, by its name, be it one that CEL has a type of its own for. */
static const struct schema_message *message_type(struct checker *c, struct expr *n)
{
	struct meaning meaning = resolve(c, n->name, type_meaning);

	if (meaning.kind == MEANS_NOTHING) {
		undeclared(c, n, n->name);
		return NULL;
	}
	n->type = meaning.type;
	struct str name = n->name.len && n->name.p[0] == '.' ? str_from(n->name, 1) : n->name;
	if (meaning.type->kind == TYPE_MESSAGE)
		return meaning.type->message;
	const struct schema_message *m = message_named(name);
	if (!m) {
		char text[NAME_BYTES];
		struct buf b = buf_fixed(text, sizeof text);

		type_put_result(&b, meaning.type);
		issue_add(c->issues, n->at, "'%.*s' is not a message type", STR_FMT(buf_str(&b)));
		n->type = &type_error;
	}
	return m;
}

static void check_message(struct checker *c, struct expr *n)
{
	n->message = message_type(c, n);
	for (struct expr *x = n->args; n->type->kind != TYPE_ERROR && x; x = x->next) {
		check_expr(c, x->args);
		const struct type *wanted = field_type(c, x->at, n->message, x->name, &x->field);
		if (!type_assignable(c->t, wanted, x->args->type))
			issue_add(c->issues, x->at,
				  "expected type of field '%.*s' is '%s' but provided type is '%s'",
				  STR_FMT(x->name), SHOW(wanted), SHOW(x->args->type));
	}
}

/* --- macros ------------------------------------------------------------------------------- */

static const struct type *element_type(struct checker *c, const struct expr *range)
{
	const struct type *type = type_resolve(c->t, range->type, false);

	switch (type->kind) {
	case TYPE_LIST:
	case TYPE_MAP: /* its keys */
		return type->of[0];
	case TYPE_DYN:
	case TYPE_ANY:
	case TYPE_ERROR:
	case TYPE_UNKNOWN:
		(void)type_assignable(c->t, &type_dyn, type);
		return &type_dyn;
	default:
		issue_add(c->issues, range->at,
			  "expression of type '%s' cannot be range of a comprehension (must be "
			  "list, map, or dynamic)",
			  SHOW(type));
		return &type_error;
	}
}

/* "condition ? a : a", which exists_one, filter and map are made of. */
static void check_condition(struct checker *c, const struct expr *n, const struct expr *condition,
			    const struct type *a)
{
	const struct type *args[] = { condition->type, a, a };

	(void)call_type(c, n->at, "_?_:_", "AbAA", args, 3, false);
}

/* As if the macro were written out: reports name the operators that it is made of. */
static void check_fold(struct checker *c, struct expr *n)
{
	struct expr *range = n->args, *first = range->next;

	check_expr(c, range);
	if (c->variable_count == CEL_NESTING) {
		c->t->failed = true;
		n->type = &type_error;
		return;
	}
	n->slot = (uint16_t)c->variable_count;
	c->variables[c->variable_count++] = (struct variable){ n->name, element_type(c, range) };
	for (struct expr *x = first; x; x = x->next)
		check_expr(c, x);
	const struct type *element = c->variables[--c->variable_count].type;
	n->type = &type_bool;
	switch ((enum fold)n->fold) {
	case FOLD_ALL:
	case FOLD_EXISTS:
		(void)check_bool(c, first);
		break;
	case FOLD_EXISTS_ONE:
		check_condition(c, n, first, &type_int);
		break;
	case FOLD_FILTER:
		n->type = type_list(c->t, element);
		check_condition(c, n, first, n->type);
		break;
	case FOLD_MAP:
		n->type = type_list(c->t, n->last->type);
		if (first != n->last)
			check_condition(c, n, first, n->type);
	}
	n->type = type_resolve(c->t, n->type, false);
}

static const struct type *literal_type(struct value v)
{
	static const struct type *const types[] = {
		[VALUE_NULL] = &type_null,     [VALUE_BOOL] = &type_bool,
		[VALUE_INT] = &type_int,       [VALUE_UINT] = &type_uint,
		[VALUE_DOUBLE] = &type_double, [VALUE_STRING] = &type_string,
		[VALUE_BYTES] = &type_bytes,
	};

	return types[v.kind];
}

static void check_expr(struct checker *c, struct expr *n)
{
	switch ((enum expr_kind)n->kind) {
	case EXPR_LITERAL:
		n->type = literal_type(n->value);
		break;
	case EXPR_NAME:
		check_name(c, n);
		break;
	case EXPR_SELECT:
	case EXPR_HAS:
		check_select(c, n);
		break;
	case EXPR_CALL:
		check_call(c, n);
		break;
	case EXPR_LIST:
		check_list(c, n);
		break;
	case EXPR_MAP:
		check_map(c, n);
		break;
	case EXPR_MESSAGE:
		check_message(c, n);
		break;
	case EXPR_FOLD:
		check_fold(c, n);
		break;
	default:
		n->type = &type_error;
	}
}

bool check(struct expr *root, struct typing *typing, struct issues *issues)
{
	struct checker c = { .t = typing, .issues = issues };

	check_expr(&c, root);
	root->type = type_resolve(typing, root->type, true);
	return !typing->failed;
}
