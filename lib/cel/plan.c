#include "cel/plan.h"

#include "cel/quick.h"
#include "cel/zone.h"
#include "regex/regex.h"

static bool is_flow_field(const struct expr *n)
{
	return (n->kind == EXPR_SELECT || n->kind == EXPR_HAS) && n->field &&
	       (n->args->kind == EXPR_FLOW || n->args->kind == EXPR_PATH);
}

/* "_flow.a" and, as operands come first, "path.b". */
static void make_path(struct eval *ev, struct expr *n)
{
	const struct expr *operand = n->args;
	size_t before = operand->kind == EXPR_PATH ? operand->path_len : 0;
	const struct schema_field **path =
		mem_get(ev->mem, (before + 1) * sizeof(const struct schema_field *));

	if (!path)
		return; /* it works without */
	for (size_t i = 0; i < before; i++)
		path[i] = operand->path[i];
	path[before] = n->field;
	bool presence = n->kind == EXPR_HAS;
	n->kind = presence ? EXPR_HAS_PATH : EXPR_PATH;
	n->path = path;
	n->path_len = (uint16_t)(before + 1);
	n->quick = quick_find(path, before + 1, presence);
	n->args = n->last = NULL;
	n->arg_count = 0;
}

static bool is_constant(const struct expr *n)
{
	if (n->kind != EXPR_CALL && n->kind != EXPR_LIST && n->kind != EXPR_MAP)
		return false;
	for (const struct expr *x = n->args; x; x = x->next) {
		const struct expr *value = x->kind == EXPR_ENTRY ? x->last : x;

		if (value->kind != EXPR_LITERAL ||
		    (x->kind == EXPR_ENTRY && x->args->kind != EXPR_LITERAL))
			return false;
	}
	return true;
}

/* What fails now fails then, too: such a part stays as it is, and so do all when the steps are used
 * up. */
static void fold_constant(struct eval *ev, struct expr *n)
{
	struct value v = eval_expr(ev, n);

	if (v.kind == VALUE_ERROR || !ev->steps)
		return;
	n->kind = EXPR_LITERAL;
	n->value = v;
	n->args = n->last = NULL;
	n->arg_count = 0;
}

/* A pattern or a zone that is wrong is so at each evaluation, which says so. */
static void read_literal(struct expr *n)
{
	if (n->kind != EXPR_CALL || n->arg_count != 2 || n->last->kind != EXPR_LITERAL ||
	    n->last->value.kind != VALUE_STRING)
		return;
	if (n->op == OP_MATCHES && !n->regex &&
	    regex_new(n->last->value.str, &n->regex, NULL) != ERR_OK)
		n->regex = NULL;
	if (n->op >= OP_FULL_YEAR && !n->zone &&
	    zone_new(n->last->value.str, &n->zone, NULL) != ERR_OK)
		n->zone = NULL;
}

void plan(struct eval *ev, struct expr *root)
{
	for (struct expr *x = root->args; x; x = x->next)
		plan(ev, x);
	if (is_flow_field(root))
		make_path(ev, root);
	else if (is_constant(root))
		fold_constant(ev, root);
	read_literal(root);
}

void plan_done(struct expr *root)
{
	for (struct expr *x = root->args; x; x = x->next)
		plan_done(x);
	regex_free(root->regex);
	zone_free(root->zone);
}
