#include "observer/policy/words.h"

#include "flow/flow.h"
#include "flow/wire.h"

/* Where in the bytes a policy's message is, and its name after it. */
struct words {
	uint32_t at;
	uint32_t message, key; /* bytes */
};

struct policy_words {
	const struct policy_set *set;
	struct buf bytes;
	struct words of[];
};

enum {
	WORDS_MAX = 256 << 20, /* as the memory of a set: names are a part of it */
	POLICY_NAME = 1,       /* fields of flow.Policy */
	POLICY_NAMESPACE,
	POLICY_LABELS,
	POLICY_REVISION,
	POLICY_KIND,
};

static void put_message(const struct policy_info *info, struct buf *out)
{
	wire_put_str(out, POLICY_NAME, info->name);
	wire_put_str(out, POLICY_NAMESPACE, info->namespace_);
	wire_put_len(out, POLICY_LABELS, STR(FLOW_POLICY_DERIVED_LABEL));
	if (info->origin.len) {
		size_t label = wire_begin(out, POLICY_LABELS);
		buf_lit(out, FLOW_POLICY_ORIGIN_LABEL);
		buf_str_put(out, info->origin);
		wire_end(out, label);
	}
	wire_put_u64(out, POLICY_REVISION, info->revision);
	wire_put_str(out, POLICY_KIND, str_of(policy_kind_name(info->kind)));
}

enum err_code policy_words_new(const struct policy_set *set, struct policy_words **ret,
			       struct err *e)
{
	size_t count = policy_set_count(set);
	AUTO(policy_words_free)
	struct policy_words *w = calloc(1, sizeof *w + count * sizeof *w->of);

	if (!w)
		return err_set(e, ERR_NOMEM, "policy table");
	w->set = set;
	w->bytes = buf_init(WORDS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		struct words *of = &w->of[i];
		of->at = (uint32_t)w->bytes.len;
		put_message(policy_set_info(set, i), &w->bytes);
		of->message = (uint32_t)w->bytes.len - of->at;
		policy_key_put(set, i, &w->bytes);
		of->key = (uint32_t)w->bytes.len - of->at - of->message;
	}
	if (w->bytes.failed)
		return err_set(e, ERR_NOMEM, "policy table");
	*ret = TAKE(w);
	return ERR_OK;
}

void policy_words_free(struct policy_words *w)
{
	if (!w)
		return;
	buf_done(&w->bytes);
	free(w);
}

void policy_words_put(const struct policy_words *w, uint32_t field, uint32_t policy,
		      struct buf *out)
{
	const struct words *of = &w->of[policy];

	wire_put_len(out, field, str_n(w->bytes.p + of->at, of->message));
}

void policy_words_put_rule(const struct policy_words *w, uint32_t field, struct policy_ref ref,
			   struct buf *out)
{
	const struct words *of = &w->of[ref.policy];
	size_t mark = wire_begin(out, field);

	buf_put(out, w->bytes.p + of->at + of->message, of->key);
	policy_ref_rule_put(w->set, ref, out);
	wire_end(out, mark);
}
