/* CEL expressions: any of them may hold; the first that fails to yield an answer makes it a no. */
#include "cel/cel.h"
#include "filter/pred.h"
#include "flow/flow.pb-c.h"

enum { WHY_BYTES = 160 };

struct cel_pred {
	struct pred t;
	const struct flow_dict *dict;
	struct cel_program **programs;
	size_t count;
	uint64_t faults;
	char why[WHY_BYTES]; /* of the last one */
};

static bool cel_matches(struct pred *t, const struct flow *f)
{
	struct cel_pred *p = (struct cel_pred *)t;
	struct str why;

	for (size_t i = 0; i < p->count; i++) {
		enum cel_answer answer = cel_eval(p->programs[i], f, p->dict, &why);

		if (answer == CEL_YES)
			return true;
		if (answer == CEL_NO)
			continue;
		(void)str_excerpt(why, p->why, sizeof p->why);
		p->faults++;
		return false;
	}
	return false;
}

static uint64_t cel_faults(struct pred *t, const char **ret_why)
{
	struct cel_pred *p = (struct cel_pred *)t;
	uint64_t faults = p->faults;

	if (faults)
		*ret_why = p->why;
	p->faults = 0;
	return faults;
}

static void cel_share(struct pred *t, size_t n)
{
	struct cel_pred *p = (struct cel_pred *)t;

	for (size_t i = 0; i < p->count; i++)
		cel_set_steps(p->programs[i], (uint32_t)(CEL_STEPS / n));
}

static void cel_pred_free(struct pred *t)
{
	struct cel_pred *p = (struct cel_pred *)t;

	for (size_t i = 0; i < p->count; i++)
		cel_free(p->programs[i]);
	free(p->programs);
	free(p);
}

enum err_code pred_cel_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
			   struct pred **ret, struct err *e)
{
	size_t n = ff->experimental ? ff->experimental->n_cel_expression : 0;

	if (!n)
		return ERR_OK;
	struct cel_pred *p = calloc(1, sizeof *p);
	if (!p)
		return err_set(e, ERR_NOMEM, "flow filter");
	AUTO(pred_free) struct pred *made = &p->t;
	/* what is no flow is asked about as a flow without fields */
	p->t = (struct pred){ .matches = cel_matches,
			      .free = cel_pred_free,
			      .faults = cel_faults,
			      .share = cel_share,
			      .members = FLOW_MEMBERS_ALL,
			      .sees_events = true,
			      .cost = 4 };
	p->dict = dict;
	p->programs = calloc(n, sizeof(struct cel_program *));
	if (!p->programs)
		return err_set(e, ERR_NOMEM, "flow filter");
	for (; p->count < n; p->count++) {
		enum err_code code = cel_compile(str_of(ff->experimental->cel_expression[p->count]),
						 &p->programs[p->count], e);

		if (code != ERR_OK)
			return code == ERR_INVALID ? err_in(e, "error compiling CEL expression")
						   : code;
	}
	*ret = TAKE(made);
	return ERR_OK;
}
