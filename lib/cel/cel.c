#include "cel/cel.h"

#include "cel/check.h"
#include "cel/plan.h"
#include "flow/schema.h"

enum { COMPILE_MEMORY_BYTES = 1 << 25, FLOW_MAX_BYTES = 1 << 26 };

struct cel_program {
	struct mem tree;   /* lives as long as the program */
	struct mem memory; /* of one evaluation */
	struct expr *root;
	struct eval ev;
	uint32_t steps; /* of one evaluation */
};

/* What records that hold no flow are taken for. */
static const struct flow no_flow = { .kind = FLOW_KIND_LOST };

static enum err_code refuse_result(const struct type *type, struct err *e)
{
	char text[ERR_MSG_BYTES];
	struct buf b = buf_fixed(text, sizeof text - 1);

	type_put_result(&b, type);
	return err_set(e, ERR_INVALID, "got \"%.*s\", wanted \"bool\" result type",
		       STR_FMT(buf_str(&b)));
}

static enum err_code compile(struct cel_program *p, struct str text, struct issues *issues,
			     struct typing *typing, struct err *e)
{
	issues->text = mem_str(&p->tree, text);
	if (!issues->text.p)
		return err_set(e, ERR_NOMEM, "CEL expression");
	p->root = parse(&p->tree, issues);
	if (p->root && !check(p->root, typing, issues) && !issues->count)
		return err_set(e, ERR_INVALID, "the expression is too complex");
	if (issues->count)
		return issues_report(issues, e);
	if (!p->root)
		return err_set(e, ERR_NOMEM, "CEL expression");
	if (p->root->type->kind != TYPE_BOOL || p->root->type->nullable)
		return refuse_result(p->root->type, e);
	p->ev.mem = &p->tree;
	p->ev.flow = &no_flow;
	p->ev.steps = CEL_STEPS;
	plan(&p->ev, p->root);
	p->ev.mem = &p->memory;
	return ERR_OK;
}

enum err_code cel_compile(struct str text, struct cel_program **ret, struct err *e)
{
	AUTO(cel_free) struct cel_program *p = calloc(1, sizeof *p);
	AUTO(own_free) struct issues *issues = calloc(1, sizeof *issues);

	if (!p || !issues)
		return err_set(e, ERR_NOMEM, "CEL expression");
	p->steps = CEL_STEPS;
	p->tree = mem_init(COMPILE_MEMORY_BYTES);
	p->memory = mem_init(CEL_MEMORY_BYTES);
	p->ev.flow_wire = buf_init(FLOW_MAX_BYTES);
	p->ev.schema = schema_find(STR("flow.Flow"));
	if (!p->ev.schema)
		return err_set(e, ERR_NOMEM, "CEL expression");
	issues->mem = &p->tree;
	struct typing typing = { .mem = &p->tree };
	enum err_code code = compile(p, text, issues, &typing, e);
	typing_done(&typing);
	if (code == ERR_OK)
		*ret = TAKE(p);
	return code;
}

void cel_free(struct cel_program *p)
{
	if (!p)
		return;
	if (p->root)
		plan_done(p->root);
	buf_done(&p->ev.flow_wire);
	mem_done(&p->memory);
	mem_done(&p->tree);
	free(p);
}

void cel_set_steps(struct cel_program *p, uint32_t steps)
{
	p->steps = steps;
}

enum cel_answer cel_eval(struct cel_program *p, const struct flow *f, const struct flow_dict *dict,
			 struct str *ret_why)
{
	struct eval *ev = &p->ev;

	mem_reset(&p->memory);
	ev->steps = p->steps;
	ev->flow = f->kind == FLOW_KIND_FLOW ? f : &no_flow;
	ev->dict = dict;
	ev->has_flow_wire = false;
	struct value v = eval_expr(ev, p->root);
	if (!ev->steps)
		v = EVAL_EXHAUSTED;
	if (v.kind == VALUE_BOOL)
		return v.yes ? CEL_YES : CEL_NO;
	*ret_why = v.kind == VALUE_ERROR ? v.str : STR("no such overload");
	return CEL_FAULT;
}
