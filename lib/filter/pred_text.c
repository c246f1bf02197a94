/* Texts that the record holds in part or not at all: UUIDs, DNS names of addresses, trace ids. */
#include "filter/glob.h"
#include "filter/pred.h"
#include "filter/zone_sets.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"

struct text_pred {
	struct pred t;
	struct strs *texts;
	struct glob **globs;
	size_t glob_count;
	uint32_t field; /* of flow.Flow: whose names */
};

static void text_free(struct pred *t)
{
	struct text_pred *x = (struct text_pred *)t;

	for (size_t i = 0; i < x->glob_count; i++)
		glob_free(x->globs[i]);
	free(x->globs);
	free(x->texts);
	free(x);
}

static enum err_code text_pred_new(char *const *values, size_t count,
				   bool (*matches)(struct pred *, const struct flow *),
				   struct text_pred **ret, struct err *e)
{
	struct text_pred *x = calloc(1, sizeof *x);

	if (!x)
		return err_set(e, ERR_NOMEM, "flow filter");
	x->t = (struct pred){ .matches = matches, .free = text_free, .cost = 3 };
	AUTO(pred_free) struct pred *made = &x->t;
	x->texts = strs_copy(values, count);
	if (!x->texts)
		return err_set(e, ERR_NOMEM, "flow filter");
	*ret = (struct text_pred *)TAKE(made);
	return ERR_OK;
}

static bool uuid_matches(struct pred *t, const struct flow *f)
{
	char tmp[FLOW_UUID_TEXT_BYTES];

	return strs_have(((struct text_pred *)t)->texts, flow_uuid_text(f, tmp));
}

enum err_code pred_uuid_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
			    struct pred **ret, struct err *e)
{
	struct text_pred *x = NULL;

	(void)dict;
	if (!ff->n_uuid)
		return ERR_OK;
	if (text_pred_new(ff->uuid, ff->n_uuid, uuid_matches, &x, e) != ERR_OK)
		return ERR_NOMEM;
	x->t.members = FLOW_MEMBER(FLOW_MEMBER_UUID) | FLOW_MEMBER(FLOW_MEMBER_BITS);
	*ret = &x->t;
	return ERR_OK;
}

/* A flow without a trace id has the id "". So has, in the reference, what is no flow. */
static bool trace_id_matches(struct pred *t, const struct flow *f)
{
	enum { PARENT = 1, TRACE_ID = 1 };
	struct str parent, id = STR("");

	if (f->kind == FLOW_KIND_FLOW && flow_is(f, FLOW_HAS_TRACE_CONTEXT) &&
	    wire_find(flow_ext(f), FLOW_FIELD_TRACE_CONTEXT, &parent) &&
	    wire_find(parent, PARENT, &parent) && !wire_find(parent, TRACE_ID, &id))
		id = STR("");
	return strs_have(((struct text_pred *)t)->texts, id);
}

enum err_code pred_trace_id_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				struct pred **ret, struct err *e)
{
	struct text_pred *x = NULL;

	(void)dict;
	if (!ff->n_trace_id)
		return ERR_OK;
	if (text_pred_new(ff->trace_id, ff->n_trace_id, trace_id_matches, &x, e) != ERR_OK)
		return ERR_NOMEM;
	x->t.sees_events = true;
	x->t.members = FLOW_MEMBER(FLOW_MEMBER_EXT) | FLOW_MEMBER(FLOW_MEMBER_BITS);
	*ret = &x->t;
	return ERR_OK;
}

static bool fqdn_matches(struct pred *t, const struct flow *f)
{
	const struct text_pred *x = (const struct text_pred *)t;
	struct wire_field field;

	if (!flow_is(f, FLOW_HAS_NAMES))
		return false;
	for (struct wire_reader r = wire_reader_of(flow_ext(f)); wire_next(&r, &field);) {
		if (field.number != x->field || field.type != WIRE_LEN)
			continue;
		for (size_t i = 0; i < x->glob_count; i++)
			if (glob_match(x->globs[i], field.bytes))
				return true;
	}
	return false;
}

static bool fqdn_may_match(struct pred *t, const struct flow_zone *z)
{
	(void)t;
	return z->some_bits & FLOW_HAS_NAMES;
}

static enum err_code fqdn_pred_new(char *const *values, size_t count, uint32_t field,
				   struct pred **ret, struct err *e)
{
	struct text_pred *x = NULL;

	if (!count)
		return ERR_OK;
	if (text_pred_new(values, count, fqdn_matches, &x, e) != ERR_OK)
		return ERR_NOMEM;
	AUTO(pred_free) struct pred *made = &x->t;
	x->field = field;
	x->t.may_match = fqdn_may_match;
	x->t.needs = FLOW_HAS_NAMES;
	x->t.members = FLOW_MEMBER(FLOW_MEMBER_EXT);
	x->globs = calloc(count, sizeof(struct glob *));
	if (!x->globs)
		return err_set(e, ERR_NOMEM, "flow filter");
	for (; x->glob_count < count; x->glob_count++) {
		enum err_code code =
			glob_new(x->texts->v[x->glob_count], &x->globs[x->glob_count], e);

		if (code != ERR_OK)
			return code;
	}
	*ret = TAKE(made);
	return ERR_OK;
}

enum err_code pred_source_fqdn_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				   struct pred **ret, struct err *e)
{
	(void)dict;
	return fqdn_pred_new(ff->source_fqdn, ff->n_source_fqdn, FLOW_FIELD_SOURCE_NAMES, ret, e);
}

enum err_code pred_destination_fqdn_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
					struct pred **ret, struct err *e)
{
	(void)dict;
	return fqdn_pred_new(ff->destination_fqdn, ff->n_destination_fqdn,
			     FLOW_FIELD_DESTINATION_NAMES, ret, e);
}
