/* Source: cel-go parser/macro.go. */
#include "cel/macro.h"

static void refuse(struct issues *issues, struct expr *call, const struct expr *arg,
		   const char *sentence)
{
	call->kind = EXPR_BAD;
	call->at = arg->at;
	issue_add(issues, arg->at, "%s", sentence);
}

/* has(a.b): the selection, asked for its presence. In has(has(a.b)) it is already, which cel-go lets
 * pass (parser/macro.go: such a selection is one, too). */
static void expand_has(struct issues *issues, struct expr **call)
{
	struct expr *arg = (*call)->args;

	if (arg->kind != EXPR_SELECT && arg->kind != EXPR_HAS) {
		refuse(issues, *call, arg, "invalid argument to has() macro");
		return;
	}
	arg->kind = EXPR_HAS;
	arg->at = (*call)->at;
	*call = arg;
}

static const struct macro {
	const char *name;
	uint8_t fold;
	uint8_t fewest, most; /* arguments */
} macros[] = {
	{ "all", FOLD_ALL, 2, 2 },
	{ "exists", FOLD_EXISTS, 2, 2 },
	{ "exists_one", FOLD_EXISTS_ONE, 2, 2 },
	{ "existsOne", FOLD_EXISTS_ONE, 2, 2 },
	{ "map", FOLD_MAP, 2, 3 },
	{ "filter", FOLD_FILTER, 2, 2 },
};

/* range.macro(variable, …): the variable's name becomes the fold's. */
static void expand_fold(struct issues *issues, struct expr *call, enum fold fold)
{
	struct expr *range = call->args, *variable = range->next;
	bool makes_list = fold == FOLD_MAP || fold == FOLD_FILTER;

	if (variable->kind != EXPR_NAME) {
		refuse(issues, call, variable,
		       makes_list ? "argument is not an identifier"
				  : "argument must be a simple name");
		return;
	}
	if (str_is(variable->name, "__result__")) {
		refuse(issues, call, variable,
		       "iteration variable overwrites accumulator variable");
		return;
	}
	call->kind = EXPR_FOLD;
	call->fold = (uint8_t)fold;
	call->name = variable->name;
	range->next = variable->next;
	call->arg_count--;
}

void macro_expand(struct issues *issues, struct expr **call)
{
	const struct expr *c = *call;

	if (!c->is_member) {
		if (str_is(c->name, "has") && c->arg_count == 1)
			expand_has(issues, call);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(macros); i++) {
		const struct macro *m = &macros[i];

		if (str_is(c->name, m->name) && c->arg_count - 1 >= m->fewest &&
		    c->arg_count - 1 <= m->most) {
			expand_fold(issues, *call, (enum fold)m->fold);
			return;
		}
	}
}
