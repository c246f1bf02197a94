/* What Hubble's metrics do not say: which policies allowed and denied. One increment for each
 * policy that a flow names. */
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "observer/metrics/handler.h"

enum { POLICY_NAME = 1, POLICY_NAMESPACE = 2 }; /* flow.Policy */

/* One policy of a flow, handed on as the flow's layer-7 part. */
struct named {
	struct l7_part l7; /* first */
	struct str name, namespace_;
	bool ingress;
};

static struct str action_of(const struct flow *f)
{
	switch (f->verdict) {
	case FLOW__VERDICT__FORWARDED:
	case FLOW__VERDICT__REDIRECTED:
		return STR("forwarded");
	case FLOW__VERDICT__DROPPED:
		return STR("dropped");
	case FLOW__VERDICT__AUDIT:
		return STR("audit");
	default:
		return STR("unknown");
	}
}

static void put_policy(struct handler *h, const struct flow *f, const struct l7_part *l7,
		       struct handler_values *v)
{
	const struct named *n = (const struct named *)l7;
	struct page_value path = page_value_begin(v->scratch);

	(void)h;
	if (n->namespace_.len) {
		page_value_put(&path, n->namespace_);
		page_value_put(&path, STR("/"));
	}
	page_value_put(&path, n->name);
	size_t len = page_value_end(&path);
	v->values[0] = v->scratch->failed ? STR("") : str_n(v->scratch->p + path.from, len);
	v->values[1] = n->ingress ? STR("ingress") : STR("egress");
	v->values[2] = action_of(f);
}

static void count_one(struct handler *h, struct handler_env *env, const struct flow *f,
		      struct str policy, bool ingress)
{
	struct named n = { .name = STR(""), .namespace_ = STR(""), .ingress = ingress };
	struct wire_reader r = wire_reader_of(policy);
	struct buf *b = &env->texts->scratch;

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.type == WIRE_LEN && x.number == POLICY_NAME)
			n.name = x.bytes;
		else if (x.type == WIRE_LEN && x.number == POLICY_NAMESPACE)
			n.namespace_ = x.bytes;
	buf_reset(b);
	buf_u64(b, n.namespace_.len);
	buf_char(b, ' ');
	struct page_value path = page_value_begin(b);
	page_value_put(&path, n.namespace_);
	page_value_put(&path, n.name);
	(void)page_value_end(&path);
	uint64_t second = texts_id(env->texts, buf_str(b));
	uint64_t key = (uint64_t)f->verdict << 1 | ingress;
	handler_add(env, handler_ref(h, env, f, &n.l7, 0, key, second, put_policy));
}

static void count_policies(struct handler *h, struct handler_env *env, const struct flow *f,
			   const struct l7_part *l7)
{
	struct wire_reader r = wire_reader_of(str_n(f->ext, f->ext_len));

	(void)l7;
	if (!flow_is(f, FLOW_HAS_POLICIES))
		return;
	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.type != WIRE_LEN)
			continue;
		if (x.number == FLOW_FIELD_INGRESS_ALLOWED_BY ||
		    x.number == FLOW_FIELD_INGRESS_DENIED_BY)
			count_one(h, env, f, x.bytes, true);
		else if (x.number == FLOW_FIELD_EGRESS_ALLOWED_BY ||
			 x.number == FLOW_FIELD_EGRESS_DENIED_BY)
			count_one(h, env, f, x.bytes, false);
	}
}

const struct handler_kind handler_of_policies = {
	.name = "tycho-policy",
	.count = count_policies,
	.own_word = true,
	.families = { { "tycho_policy_verdicts_total",
			"Flows by the policy that allowed or denied them",
			METRIC_COUNTER,
			{ "*policy", "direction", "action" } } },
};
