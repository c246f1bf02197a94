/* The policies that flows name: who allowed or denied them. */
#include "flow/fields.h"
#include "flow/wire.h"
#include "policy/audit_inside.h"

enum { POLICY_NAME = 1, POLICY_NAMESPACE = 2, POLICY_KIND = 5, KEY_MAX = 1024 };

struct named {
	struct str name, namespace_, kind;
};

static bool is_by(uint32_t field, enum policy_direction *ret)
{
	*ret = field == FLOW_FIELD_EGRESS_ALLOWED_BY || field == FLOW_FIELD_EGRESS_DENIED_BY
		       ? POLICY_EGRESS
		       : POLICY_INGRESS;
	return *ret == POLICY_EGRESS || field == FLOW_FIELD_INGRESS_ALLOWED_BY ||
	       field == FLOW_FIELD_INGRESS_DENIED_BY;
}

/* Older ones do not say their kind. */
static bool find_policy(const struct policy_set *set, const struct named *n, uint32_t *ret)
{
	for (int kind = POLICY_KNP; kind < POLICY_KIND_COUNT_; kind++) {
		const char *name = policy_kind_name((enum policy_kind)kind);

		if ((!n->kind.len || str_is(n->kind, name)) &&
		    object_find(set, name, n->namespace_, n->name, ret))
			return true;
	}
	return false;
}

/* "cnp:shop/db", of a kind that is no policy of ours with the kind's own name. */
static void put_named(const struct named *n, struct buf *out)
{
	struct str kind = n->kind;

	for (int i = POLICY_KNP; i < POLICY_KIND_COUNT_; i++)
		if (str_is(kind, policy_kind_name((enum policy_kind)i)))
			kind = str_of(policy_kind_short((enum policy_kind)i));
	buf_str_put(out, kind);
	if (kind.len)
		buf_char(out, ':');
	buf_str_put(out, n->namespace_);
	if (n->namespace_.len)
		buf_char(out, '/');
	buf_str_put(out, n->name);
}

static enum err_code add(struct audit *a, const struct named *n, struct by_list *to,
			 uint32_t *first_foreign, struct err *e)
{
	char text[KEY_MAX];
	struct buf b = buf_fixed(text, sizeof text);
	uint32_t policy;

	if (!find_policy(a->set, n, &policy)) {
		to->foreign = true;
		put_named(n, &b);
		return *first_foreign || b.failed ? ERR_OK
						  : audit_text(a, buf_str(&b), first_foreign, e);
	}
	if (to->count == ARRAY_LEN(to->policies))
		to->more = true;
	else
		to->policies[to->count++] = policy;
	return ERR_OK;
}

/* Names that had no room in the flow. */
static bool has_more(struct str ext)
{
	struct str detail;
	struct wire_field field;

	if (!wire_find(ext, FLOW_FIELD_TYCHO, &detail))
		return false;
	struct wire_reader r = wire_reader_of(detail);
	while (wire_next(&r, &field))
		if (field.number == DETAIL_FIELD_POLICIES_LEFT_OUT && field.type == WIRE_VARINT &&
		    field.value)
			return true;
	return false;
}

enum err_code audit_by_read(struct audit *a, const struct flow *f, struct by *ret, struct err *e)
{
	struct str ext = str_n(f->ext, f->ext_len);
	struct wire_reader r = wire_reader_of(ext);
	struct wire_field field;
	enum policy_direction direction;

	*ret = (struct by){ .hash = 0 };
	if (!flow_is(f, FLOW_HAS_POLICIES))
		return ERR_OK;
	while (wire_next(&r, &field)) {
		struct named n = { STR(""), STR(""), STR("") };

		if (field.type != WIRE_LEN || !is_by(field.number, &direction) ||
		    !wire_find(field.bytes, POLICY_NAME, &n.name) || !n.name.len)
			continue;
		(void)wire_find(field.bytes, POLICY_NAMESPACE, &n.namespace_);
		(void)wire_find(field.bytes, POLICY_KIND, &n.kind);
		ret->hash = hash_bytes(n.name.p, n.name.len, ret->hash + direction + 1);
		ret->hash = hash_bytes(n.namespace_.p, n.namespace_.len, ret->hash);
		ret->hash = hash_bytes(n.kind.p, n.kind.len, ret->hash);
		if (add(a, &n, &ret->of[direction], &ret->first_foreign, e) != ERR_OK)
			return e->code;
	}
	if (ret->hash && has_more(ext))
		ret->of[POLICY_INGRESS].more = ret->of[POLICY_EGRESS].more = true;
	return ERR_OK;
}
