/* Builder and set: objects in, one immutable set out. */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/meant.h"
#include "policy/inside.h"

struct policy_builder {
	struct policy_set *set; /* NULL once finished */
	bool skip_other_kinds, served;
	size_t skipped, foreign, partly;
	char first_foreign[128]; /* "KIND of APIVERSION" */
	char first_partly[512];  /* a sentence */
	struct str origin;       /* of what is added now */
};

static const char *const kind_names[] = {
	[POLICY_KIND_UNKNOWN] = "",
	[POLICY_KNP] = "NetworkPolicy",
	[POLICY_CNP] = "CiliumNetworkPolicy",
	[POLICY_CCNP] = "CiliumClusterwideNetworkPolicy",
};
_Static_assert(ARRAY_LEN(kind_names) == POLICY_KIND_COUNT_, "a kind without a name");
static const char *const short_names[] = {
	[POLICY_KIND_UNKNOWN] = "",
	[POLICY_KNP] = "knp",
	[POLICY_CNP] = "cnp",
	[POLICY_CCNP] = "ccnp",
};
_Static_assert(ARRAY_LEN(short_names) == POLICY_KIND_COUNT_, "a kind without a short name");

const char *policy_kind_name(enum policy_kind kind)
{
	return (unsigned)kind < POLICY_KIND_COUNT_ ? kind_names[kind] : "";
}

const char *policy_kind_short(enum policy_kind kind)
{
	return (unsigned)kind < POLICY_KIND_COUNT_ ? short_names[kind] : "";
}

bool policy_meaning_parse(struct str s, enum policy_meaning *ret)
{
	if (!str_is(s, "cilium") && !str_is(s, "kubernetes"))
		return false;
	*ret = str_is(s, "kubernetes") ? POLICY_AS_KUBERNETES : POLICY_AS_CILIUM;
	return true;
}

/* --- life ----------------------------------------------------------------------------------- */

void policy_set_free(struct policy_set *set)
{
	if (!set)
		return;
	map_free(set->by_selector);
	map_free(set->by_object);
	map_free(set->group_ids);
	mem_done(&set->mem);
	free(set);
}

void policy_builder_free(struct policy_builder *b)
{
	if (!b)
		return;
	policy_set_free(b->set);
	free(b);
}

static enum err_code keep_config(struct policy_set *set, const struct policy_config *config,
				 struct err *e)
{
	struct reading r = { .set = set, .e = e };

	set->cluster = keep(&r, str_of(config->cluster ? config->cluster : "default"));
	set->host_firewall = config->host_firewall;
	set->kubernetes = config->meaning == POLICY_AS_KUBERNETES;
	set->counted_labels = config->counted_labels;
	set->node_labels = room(&r, (config->node_label_count + 1) * sizeof *set->node_labels);
	if (r.code != ERR_OK)
		return r.code;
	for (size_t i = 0; i < config->node_label_count; i++) {
		struct label l = label_read(keep(&r, str_of(config->node_labels[i])));

		l.source = str_is(l.source, "any") ? STR("k8s") : l.source;
		set->node_labels[set->node_label_count++] = l;
	}
	struct label host = label_read(STR("reserved:host"));
	set->node_labels[set->node_label_count++] = host;
	return r.code;
}

enum err_code policy_builder_new(const struct policy_config *config, struct policy_builder **ret,
				 struct err *e)
{
	AUTO(policy_builder_free) struct policy_builder *b = calloc(1, sizeof *b);

	if (!b || !(b->set = calloc(1, sizeof *b->set)))
		return err_set(e, ERR_NOMEM, "policies");
	if (getrandom(&b->set->seed, sizeof b->set->seed, 0) != sizeof b->set->seed)
		return err_os(e, "random seed");
	b->skip_other_kinds = config->skip_other_kinds;
	b->origin = STR("");
	b->set->mem = mem_init(POLICY_MEMORY_MAX);
	enum err_code code = map_new(POLICY_SELECTORS_MAX, b->set->seed, &b->set->by_selector, e);
	if (code == ERR_OK)
		code = map_new(POLICY_OBJECTS_MAX, b->set->seed, &b->set->by_object, e);
	if (code == ERR_OK)
		code = keep_config(b->set, config, e);
	if (code == ERR_OK)
		*ret = TAKE(b);
	return code;
}

enum err_code policy_builder_origin(struct policy_builder *b, struct str origin, struct err *e)
{
	struct reading r = { .set = b->set, .e = e };
	struct str kept = keep(&r, origin);

	if (r.code == ERR_OK)
		b->origin = kept;
	return r.code;
}

void policy_builder_served(struct policy_builder *b, bool served)
{
	b->served = served;
}

size_t policy_builder_partly(const struct policy_builder *b, const char **ret_first)
{
	*ret_first = b->first_partly;
	return b->partly;
}

/* Ends of that namespace, of all for "": whatever selects them there may not be all. */
static void doubt(struct reading *r, struct str namespace_)
{
	struct requirement *own = room(r, sizeof *own);
	struct selector s = { .requirements = own };

	if (r->code == ERR_OK && namespace_.len)
		selector_require(r, &s, REQ_IN, STR("k8s"), KEY_NAMESPACE, keep(r, namespace_));
	uint32_t id = intern_selector(r, &s);
	const uint32_t *there = r->set->doubts.items;
	for (size_t i = 0; i < r->set->doubts.count; i++)
		if (there[i] == id)
			return;
	uint32_t *to =
		r->code == ERR_OK ? list_add(&r->set->mem, &r->set->doubts, sizeof *to) : NULL;
	if (to)
		*to = id;
	else
		no_memory(r);
}

void policy_builder_miss(struct policy_builder *b, struct str namespace_)
{
	struct err e;
	struct reading r = { .set = b->set, .e = &e };

	doubt(&r, namespace_);
	if (r.code != ERR_OK) /* no room to say where */
		b->set->unsure = true;
}

size_t policy_builder_skipped(const struct policy_builder *b)
{
	return b->skipped;
}

size_t policy_builder_foreign(const struct policy_builder *b, const char **ret_first)
{
	*ret_first = b->first_foreign;
	return b->foreign;
}

size_t policy_builder_count(const struct policy_builder *b)
{
	return b->set->policies.count;
}

/* --- one object ------------------------------------------------------------------------------- */

struct kind {
	const char *name, *api; /* @api: with "/" at the end, any version */
	enum policy_kind policy;
	bool clusterwide;
	void (*read)(struct reading *r, const json_t *object);
	struct list *(*list)(struct policy_set *set);
};

static struct list *policies_of(struct policy_set *s)
{
	return &s->policies;
}
static struct list *groups_of(struct policy_set *s)
{
	return &s->groups;
}
static struct list *namespaces_of(struct policy_set *s)
{
	return &s->namespaces;
}
static struct list *services_of(struct policy_set *s)
{
	return &s->services;
}
static struct list *backends_of(struct policy_set *s)
{
	return &s->backends;
}
static struct list *pods_of(struct policy_set *s)
{
	return &s->pods;
}

static const struct kind kinds[] = {
	{ "NetworkPolicy", "networking.k8s.io/v1", POLICY_KNP, false, NULL, policies_of },
	{ "CiliumNetworkPolicy", "cilium.io/v2", POLICY_CNP, false, NULL, policies_of },
	{ "CiliumClusterwideNetworkPolicy", "cilium.io/v2", POLICY_CCNP, true, NULL, policies_of },
	{ "CiliumCIDRGroup", "cilium.io/", 0, true, read_group, groups_of },
	{ "Namespace", "v1", 0, true, read_namespace, namespaces_of },
	{ "Service", "v1", 0, false, read_service, services_of },
	{ "Endpoints", "v1", 0, false, read_endpoints, backends_of },
	{ "EndpointSlice", "discovery.k8s.io/", 0, false, read_endpoint_slice, backends_of },
	{ "Pod", "v1", 0, false, read_pod, pods_of },
};

static void object_key(struct buf *b, const char *kind, struct str namespace_, struct str name)
{
	buf_printf(b, "%s %.*s/%.*s", kind, STR_FMT(namespace_), STR_FMT(name));
}

bool object_find(const struct policy_set *s, const char *kind, struct str namespace_,
		 struct str name, uint32_t *ret)
{
	char text[512];
	struct buf key = buf_fixed(text, sizeof text);

	object_key(&key, kind, namespace_, name);
	return !key.failed && map_get(s->by_object, buf_str(&key), ret);
}

struct spec *add_spec(struct reading *r, uint32_t policy, int32_t index)
{
	struct spec *s =
		r->code == ERR_OK ? list_add(&r->set->mem, &r->set->specs, sizeof *s) : NULL;

	if (!s) {
		no_memory(r);
		return NULL;
	}
	s->policy = policy;
	s->index = index;
	return s;
}

struct rule *add_rules(struct reading *r, struct spec *spec, enum policy_section section, size_t n)
{
	if (r->set->rule_count + n > POLICY_RULES_MAX)
		bad(r, "more than %d rules in all policies", POLICY_RULES_MAX);
	struct rule *rules = r->code == ERR_OK ? room(r, n * sizeof *rules) : NULL;
	if (!rules)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		rules[i].index = (uint32_t)i;
		rules[i].section = (uint8_t)section;
	}
	r->set->rule_count += n;
	spec->rules[section] = rules;
	spec->rule_count[section] = n;
	return rules;
}

static uint64_t revision_of(struct str text)
{
	uint64_t n = 0;

	return parse_u64(text, UINT64_MAX, &n) ? n : 0;
}

static struct str kept_member(struct reading *r, const json_t *object, const char *key)
{
	struct str s = member_text(r, object, key);

	return keep(r, s.p ? s : STR(""));
}

/* Kubernetes, ObjectMeta; those that older ones had, too. */
static void check_metadata(struct reading *r, const json_t *metadata)
{
	static const char *const keys[] = { "name",
					    "generateName",
					    "namespace",
					    "selfLink",
					    "uid",
					    "resourceVersion",
					    "generation",
					    "creationTimestamp",
					    "deletionTimestamp",
					    "deletionGracePeriodSeconds",
					    "labels",
					    "annotations",
					    "ownerReferences",
					    "finalizers",
					    "managedFields",
					    "clusterName",
					    NULL };
	size_t at = step(r, "metadata");

	only(r, metadata, keys);
	check_labels(r, member_object(r, metadata, "labels"));
	(void)member_object(r, metadata, "annotations");
	back(r, at);
}

static void read_policy(struct reading *r, const json_t *object, const struct kind *kind,
			struct str namespace_, struct str name, struct str origin)
{
	json_t *metadata = json_object_get(object, "metadata");
	uint32_t policy = (uint32_t)r->set->policies.count;
	struct policy_info *info = list_add(&r->set->mem, &r->set->policies, sizeof *info);

	if (!info) {
		no_memory(r);
		return;
	}
	info->kind = kind->policy;
	info->namespace_ = keep(r, namespace_);
	info->name = keep(r, name);
	info->uid = kept_member(r, metadata, "uid");
	info->resource_version = kept_member(r, metadata, "resourceVersion");
	info->revision = revision_of(info->resource_version);
	info->origin = origin;
	if (!r->served)
		check_metadata(r, metadata);
	if (kind->policy == POLICY_KNP)
		read_network_policy(r, object, policy);
	else
		read_cilium_policy(r, object, policy);
	if (r->unknown || r->uncounted)
		doubt(r, namespace_);
}

/* What is undone after an object that failed. Selectors that it brought stay; they match nothing
 * that counts. */
struct mark {
	size_t policies, specs, rules, groups, services, backends, namespaces, pods, doubts;
};

static struct mark mark_of(const struct policy_set *s)
{
	return (struct mark){ s->policies.count,   s->specs.count,    s->rule_count,
			      s->groups.count,     s->services.count, s->backends.count,
			      s->namespaces.count, s->pods.count,     s->doubts.count };
}

static void undo(struct policy_set *s, const struct mark *m)
{
	s->policies.count = m->policies;
	s->specs.count = m->specs;
	s->rule_count = m->rules;
	s->groups.count = m->groups;
	s->services.count = m->services;
	s->backends.count = m->backends;
	s->namespaces.count = m->namespaces;
	s->pods.count = m->pods;
	s->doubts.count = m->doubts;
}

static void tell_partly(struct policy_builder *b, const struct reading *r, const char *kind,
			struct str namespace_, struct str name)
{
	if (!r->unknown)
		return;
	if (!b->partly++)
		(void)snprintf(b->first_partly, sizeof b->first_partly,
			       "%s %.*s%s%.*s: %s: no such field is known here", kind,
			       (int)(namespace_.len < 63 ? namespace_.len : 63), namespace_.p,
			       namespace_.len ? "/" : "", (int)(name.len < 253 ? name.len : 253),
			       name.p, r->first_unknown);
}

static enum err_code take(struct policy_builder *b, const json_t *object, const struct kind *kind,
			  struct str namespace_, struct str name, struct err *e)
{
	struct policy_set *set = b->set;
	struct reading r = { .set = set, .e = e, .served = b->served };
	struct mark before = mark_of(set);
	char text[512];
	struct buf key = buf_fixed(text, sizeof text);
	uint32_t there;

	object_key(&key, kind->name, namespace_, name);
	if (key.failed)
		return err_set(e, ERR_INVALID, "a name or namespace that is too long");
	/* of policies that are there twice, which one is meant is not ours to say */
	if (map_get(set->by_object, buf_str(&key), &there))
		return err_set(e, ERR_EXISTS, "it is there twice");
	if (kind->policy)
		read_policy(&r, object, kind, namespace_, name, b->origin);
	else
		kind->read(&r, object);
	if (r.code == ERR_OK)
		r.code = map_put(set->by_object, buf_str(&key),
				 (uint32_t)kind->list(set)->count - 1, NULL, e);
	if (r.code != ERR_OK)
		undo(set, &before);
	else
		set->object_count++;
	if (r.code == ERR_OK)
		tell_partly(b, &r, kind->name, namespace_, name);
	return r.code;
}

/* "networking.k8s.io" of "networking.k8s.io/v1", "" of "v1". */
static struct str group_of_api(struct str api)
{
	size_t slash = str_find(api, '/');

	return slash < api.len ? str_upto(api, slash) : STR("");
}

/* Others have kinds of these names, too: Calico its NetworkPolicy, Knative its Service. */
static const struct kind *find_kind(struct str name, struct str api)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct str group = group_of_api(str_of(kinds[i].api));

		if (str_is(name, kinds[i].name) && (!api.len || str_eq(group, group_of_api(api))))
			return &kinds[i];
	}
	return NULL;
}

static struct str text_at(const json_t *object, const char *key)
{
	const json_t *v = json_object_get(object, key);

	return v ? str_n(json_string_value(v) ? json_string_value(v) : "", json_string_length(v))
		 : STR("");
}

/* Almost a policy: nobody's kind, but a typing mistake. */
static enum err_code check_other_kind(struct str kind, struct str api, struct err *e)
{
	struct meant name = meant_of(kind), version = meant_of(api);
	const char *right = NULL;
	bool ours = !group_of_api(api).len; /* of Kubernetes' own, which has no kind like that */
	char text[256];
	struct buf b = buf_fixed(text, sizeof text);

	for (size_t i = 0; i < ARRAY_LEN(kinds) && kinds[i].policy; i++) {
		if (str_is(kind, kinds[i].name)) {
			right = kinds[i].api;
			meant_offer(&version, right);
		}
		if (str_eq(group_of_api(str_of(kinds[i].api)), group_of_api(api))) {
			ours = true;
			meant_offer(&name, kinds[i].name);
		}
	}
	if (right && (ours || version.count))
		buf_printf(&b, ": must be %s", right);
	else
		meant_put(&b, &name, "");
	if (!b.len)
		return ERR_OK;
	return err_set(e, ERR_UNSUPPORTED, "kind '%s' of apiVersion '%s'%.*s", EXCERPT(kind),
		       EXCERPT(api), STR_FMT(buf_str(&b)));
}

static enum err_code check_names(const json_t *metadata, const struct kind *kind, struct err *e)
{
	static const char *const keys[] = { "name", "namespace" };

	if (!json_is_object(metadata))
		return err_set(e, ERR_INVALID, "%s: metadata.name is missing", kind->name);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const json_t *v = json_object_get(metadata, keys[i]);
		struct str s = text_at(metadata, keys[i]);

		if (v && !json_is_null(v) && !json_is_string(v))
			return err_set(e, ERR_INVALID,
				       "%s: metadata.%s: it must be text (put it in quotes)",
				       kind->name, keys[i]);
		if (kind->policy && !is_subdomain(s))
			return err_set(
				e, ERR_INVALID,
				"%s: metadata.%s '%.*s': lower case letters, digits, '-' and "
				"'.' only, a letter or digit at both ends",
				kind->name, keys[i], (int)(s.len < 60 ? s.len : 60), s.p);
	}
	if (!text_at(metadata, "name").len)
		return err_set(e, ERR_INVALID, "%s: metadata.name is missing", kind->name);
	return ERR_OK;
}

/* Other policies may decide, too: Calico's, Antrea's, AdminNetworkPolicy, … */
static void tell_skipped(struct policy_builder *b, struct str kind, struct str api)
{
	b->skipped++;
	if (str_has_suffix(kind, STR("NetworkPolicy")) && !b->foreign++)
		(void)snprintf(b->first_foreign, sizeof b->first_foreign, "%s of %s", EXCERPT(kind),
			       EXCERPT(api));
}

static enum err_code add_one(struct policy_builder *b, const json_t *object, struct err *e)
{
	struct str kind_text = text_at(object, "kind"), api = text_at(object, "apiVersion");
	const json_t *metadata = json_object_get(object, "metadata");
	const struct kind *kind = find_kind(kind_text, api);

	if (!json_is_object(object))
		return err_set(e, ERR_INVALID, "it is no object, but %s",
			       json_is_null(object) ? "null" : "a plain value or a list");
	if (!kind_text.len)
		return err_set(e, ERR_INVALID, "kind is missing");
	if (!kind && b->skip_other_kinds && api.len) {
		if (check_other_kind(kind_text, api, e) != ERR_OK)
			return e->code;
		tell_skipped(b, kind_text, api);
		return ERR_OK;
	}
	if (!kind)
		return err_set(e, ERR_UNSUPPORTED, "kind '%s' is none that policies are made of",
			       EXCERPT(kind_text));
	struct str right = str_of(kind->api);
	bool any_version = str_has_suffix(right, STR("/"));
	if (any_version ? !str_has_prefix(api, right) : !str_eq(api, right))
		return err_set(e, ERR_INVALID, "%s of apiVersion '%s': must be %s%s", kind->name,
			       EXCERPT(api), kind->api, any_version ? "v1" : "");
	struct str name = text_at(metadata, "name"), ns = text_at(metadata, "namespace");
	if (check_names(metadata, kind, e) != ERR_OK)
		return e->code;
	if (kind->clusterwide)
		ns = STR("");
	else if (!ns.len)
		ns = STR("default");
	if (take(b, object, kind, ns, name, e) == ERR_OK)
		return ERR_OK;
	char shown[254 + 3]; /* names have 253 bytes at most */
	/* a copy: without one the code would be lost where the caller wants no sentence */
	return kind->clusterwide
		       ? err_in(e, "%s %s", kind->name, str_excerpt(name, shown, sizeof shown))
		       : err_in(e, "%s %s/%s", kind->name, EXCERPT(ns),
				str_excerpt(name, shown, sizeof shown));
}

/* @item of a typed list with what the list says of all of them; one reference more. */
static json_t *whole_item(json_t *item, struct str kind, const json_t *list)
{
	if (!kind.len || !json_is_object(item) || json_object_get(item, "kind"))
		return json_incref(item);
	json_t *whole = json_copy(item), *api = json_object_get(list, "apiVersion");
	if (!whole || json_object_set_new(whole, "kind", json_stringn(kind.p, kind.len)) ||
	    (api && json_object_set(whole, "apiVersion", api))) {
		json_decref(whole);
		return NULL;
	}
	return whole;
}

enum err_code policy_items_each(const json_t *object,
				enum err_code (*each)(void *ctx, const json_t *one, struct err *e),
				void *ctx, struct err *e)
{
	struct str list = text_at(object, "kind");
	json_t *item;
	size_t i;

	if (!str_has_suffix(list, STR("List")) || !json_is_array(json_object_get(object, "items")))
		return each(ctx, object, e);
	struct str kind = str_upto(list, list.len - strlen("List"));
	json_array_foreach(json_object_get(object, "items"), i, item)
	{
		json_t *whole = whole_item(item, kind, object);

		if (!whole)
			return err_set(e, ERR_NOMEM, "items[%zu]", i);
		enum err_code code = each(ctx, whole, e);
		json_decref(whole);
		if (code != ERR_OK)
			return err_in(e, "items[%zu]", i);
	}
	return ERR_OK;
}

static enum err_code add_item(void *ctx, const json_t *one, struct err *e)
{
	return add_one(ctx, one, e);
}

enum err_code policy_builder_add(struct policy_builder *b, const json_t *object, struct err *e)
{
	struct err own;

	return policy_items_each(object, add_item, b, e ? e : &own);
}

enum err_code policy_builder_add_text(struct policy_builder *b, struct str text, struct err *e)
{
	json_t *documents = NULL, *one;
	struct err own;
	size_t i;

	e = e ? e : &own;
	enum err_code code = policy_yaml(text, &documents, e);
	if (code != ERR_OK)
		return code;
	json_array_foreach(documents, i, one)
	{
		if (json_is_null(one)) /* "---" and nothing */
			continue;
		code = policy_builder_add(b, one, e);
		if (code != ERR_OK) {
			if (json_array_size(documents) > 1)
				code = err_in(e, "document %zu", i + 1);
			break;
		}
	}
	json_decref(documents);
	return code;
}

enum err_code policy_builder_finish(struct policy_builder *b, struct policy_set **ret,
				    struct err *e)
{
	struct policy_set *set = b->set;
	struct reading r = { .set = set, .e = e };

	link_rules(&r);
	index_selectors(&r);
	if (r.code != ERR_OK)
		return r.code;
	set->selector_words = (set->selectors.count + 63) / 64;
	set->spec_words = (set->specs.count + 63) / 64;
	map_free(set->by_selector); /* only reading needs it */
	set->by_selector = NULL;
	b->set = NULL;
	*ret = set;
	return ERR_OK;
}

/* --- what is in force --------------------------------------------------------------------- */

size_t policy_set_count(const struct policy_set *set)
{
	return set->policies.count;
}

const struct policy_info *policy_set_info(const struct policy_set *set, uint32_t policy)
{
	return set_policy(set, policy);
}

bool policy_set_uses_names(const struct policy_set *set)
{
	return set->uses_names;
}

bool policy_set_uses_addresses(const struct policy_set *set)
{
	return set->uses_addresses || set->uses_names || set->groups.count;
}

void policy_key_put(const struct policy_set *set, uint32_t policy, struct buf *out)
{
	const struct policy_info *p = set_policy(set, policy);

	buf_str_put(out, str_of(policy_kind_short(p->kind)));
	buf_char(out, ':');
	if (p->kind != POLICY_CCNP) {
		buf_str_put(out, p->namespace_);
		buf_char(out, '/');
	}
	buf_str_put(out, p->name);
}

/* "[12]": written for each answer, so without printf. */
static void put_index(struct buf *out, uint32_t n)
{
	char digits[12];
	size_t at = sizeof digits;

	digits[--at] = ']';
	do
		digits[--at] = (char)('0' + n % 10);
	while (n /= 10);
	digits[--at] = '[';
	buf_put(out, digits + at, sizeof digits - at);
}

void policy_ref_rule_put(const struct policy_set *set, struct policy_ref ref, struct buf *out)
{
	static const struct str sections[] = { STR("ingress"), STR("ingressDeny"), STR("egress"),
					       STR("egressDeny") };

	_Static_assert(ARRAY_LEN(sections) == POLICY_SECTION_COUNT_, "a section without a name");
	if (ref.rule == POLICY_NO_RULE)
		return;
	buf_char(out, '#');
	if (set_policy(set, ref.policy)->kind != POLICY_KNP) {
		buf_lit(out, "spec");
		if (ref.spec != POLICY_SPEC) {
			buf_char(out, 's');
			put_index(out, (uint32_t)ref.spec);
		}
		buf_char(out, '.');
	}
	buf_str_put(out, sections[ref.section]);
	put_index(out, ref.rule);
}

void policy_ref_put(const struct policy_set *set, struct policy_ref ref, struct buf *out)
{
	policy_key_put(set, ref.policy, out);
	policy_ref_rule_put(set, ref, out);
}

size_t set_first_spec(const struct policy_set *s, uint32_t policy)
{
	size_t first = 0, end = s->specs.count;

	while (first < end) { /* they were added policy after policy */
		size_t middle = first + (end - first) / 2;

		if (set_spec(s, middle)->policy < policy)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

bool is_spec_of(const struct policy_set *set, size_t i, uint32_t policy)
{
	return i < set->specs.count && set_spec(set, i)->policy == policy;
}

bool policy_set_is_of_nodes(const struct policy_set *set, uint32_t policy)
{
	bool nodes = false;

	for (size_t i = set_first_spec(set, policy); is_spec_of(set, i, policy); i++) {
		if (!set_spec(set, i)->node)
			return false;
		nodes = true;
	}
	return nodes;
}

void policy_set_default_deny(const struct policy_set *set, uint32_t policy, bool *ret_ingress,
			     bool *ret_egress)
{
	*ret_ingress = *ret_egress = false;
	for (size_t i = set_first_spec(set, policy); is_spec_of(set, i, policy); i++) {
		*ret_ingress |= set_spec(set, i)->default_deny[POLICY_INGRESS];
		*ret_egress |= set_spec(set, i)->default_deny[POLICY_EGRESS];
	}
}
