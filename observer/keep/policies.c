#include "observer/keep/policies.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/map.h"
#include "flow/json.h"

enum { RULES_BYTES = 16 << 20 };

/* Owns its texts: they lie in one buffer after the other. */
struct noted {
	char *kind, *namespace_, *name, *uid, *resource_version, *origin, *json;
};

struct keep_policies {
	bool of_agent;
	struct noted *list;
	size_t count, room;
	struct str unknown; /* origin of those that stay as they are; "": none */
};

#define AGENT_KIND "CiliumAgentPolicy"
#define AGENT_ORIGIN "cilium-agent"

static void noted_done(struct noted *n)
{
	free(n->kind);
	free(n->namespace_);
	free(n->name);
	free(n->uid);
	free(n->resource_version);
	free(n->origin);
	free(n->json);
}

void keep_policies_free(struct keep_policies *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->count; i++)
		noted_done(&p->list[i]);
	free(p->list);
	free(p);
}

bool keep_policies_are_of_agent(const struct keep_policies *p)
{
	return p->of_agent;
}

/* --- reading ------------------------------------------------------------------------------ */

static bool is_policy(const char *kind)
{
	static const char *const kinds[] = { "NetworkPolicy", "CiliumNetworkPolicy",
					     "CiliumClusterwideNetworkPolicy", "CiliumCIDRGroup" };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kind && strcmp(kind, kinds[i]) == 0)
			return true;
	return false;
}

static char *text_of(const json_t *object, const char *member)
{
	const char *text = json_string_value(json_object_get(object, member));

	return str_dup(str_of(text));
}

/* The object without what is no policy. NULL: no memory. */
static char *canonical(const json_t *object)
{
	json_t *bare = json_deep_copy(object);

	(void)json_object_del(bare, "status");
	(void)json_object_del(json_object_get(bare, "metadata"), "managedFields");
	char *text = json_dumps(bare, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(bare);
	return text;
}

/* Takes the texts of @n, also on failure. */
static enum err_code add_noted(struct keep_policies *p, struct noted n, struct err *e)
{
	bool is_whole = n.kind && n.namespace_ && n.name && n.uid && n.resource_version &&
			n.origin && n.json;

	if (is_whole && p->count == p->room) {
		size_t room = p->room ? p->room * 2 : 16;
		struct noted *list = realloc(p->list, room * sizeof *list);
		if (list) {
			p->list = list;
			p->room = room;
		}
	}
	if (!is_whole || p->count == p->room) {
		noted_done(&n);
		return err_set(e, ERR_NOMEM, "policies for the store");
	}
	p->list[p->count++] = n;
	return ERR_OK;
}

enum err_code keep_policies_add(struct keep_policies *p, const json_t *object, struct str origin,
				struct err *e)
{
	const json_t *metadata = json_object_get(object, "metadata");

	if (!is_policy(json_string_value(json_object_get(object, "kind"))))
		return ERR_OK;
	return add_noted(p,
			 (struct noted){
				 .kind = text_of(object, "kind"),
				 .namespace_ = text_of(metadata, "namespace"),
				 .name = text_of(metadata, "name"),
				 .uid = text_of(metadata, "uid"),
				 .resource_version = text_of(metadata, "resourceVersion"),
				 .origin = str_dup(origin),
				 .json = canonical(object),
			 },
			 e);
}

enum err_code keep_policies_new(struct keep_policies **ret, struct err *e)
{
	struct keep_policies *p = calloc(1, sizeof *p);

	if (!p)
		return err_set(e, ERR_NOMEM, "policies for the store");
	p->unknown = STR("");
	*ret = p;
	return ERR_OK;
}

void keep_policies_leave(struct keep_policies *p, struct str origin)
{
	p->unknown = origin;
}

/* --- rules of an agent ---------------------------------------------------------------------- */

enum { RULE_NAME_BYTES = 8192 };

struct rule {
	char *namespace_, *name, *uid, *json;
};

static int by_name(const void *a, const void *b)
{
	const struct rule *x = a, *y = b;
	int order = strcmp(x->namespace_, y->namespace_);

	order = order ? order : strcmp(x->name, y->name);
	return order ? order : strcmp(x->json, y->json);
}

/* A member by its name in the API, or with a capital, as newer agents have it. */
static const json_t *member(const json_t *object, const char *small, const char *capital)
{
	const json_t *v = json_object_get(object, small);

	return v ? v : json_object_get(object, capital);
}

/* A label: "source:key=value", or an object of the three. */
static void put_label(struct buf *b, const json_t *label)
{
	const char *text = json_string_value(label),
		   *source = json_string_value(member(label, "source", "Source")),
		   *key = json_string_value(member(label, "key", "Key")),
		   *value = json_string_value(member(label, "value", "Value"));

	if (text) {
		buf_str_put(b, str_of(text));
		return;
	}
	buf_str_put(b, str_of(source));
	buf_lit(b, ":");
	buf_str_put(b, str_of(key));
	if (value && *value) {
		buf_lit(b, "=");
		buf_str_put(b, str_of(value));
	}
}

/* By what the labels say of where it comes from. */
static enum err_code read_rule(const json_t *object, struct rule *ret, struct err *e)
{
	static const char prefix[] = "k8s:io.cilium.k8s.policy.";
	AUTO_BUF struct buf all = buf_init(RULE_NAME_BYTES), one = buf_init(RULE_NAME_BYTES),
			    name = buf_init(RULE_NAME_BYTES);
	struct str known[] = { STR("name="), STR("namespace="), STR("derived-from="), STR("uid=") };
	enum { NAME, NAMESPACE, KIND, UID, KNOWN };
	char *values[KNOWN] = { NULL };
	const json_t *label;
	size_t i;

	json_array_foreach(member(object, "labels", "Labels"), i, label)
	{
		buf_reset(&one);
		put_label(&one, label);
		if (all.len)
			buf_char(&all, ',');
		buf_str_put(&all, buf_str(&one));
		struct str text = buf_str(&one);
		if (!str_has_prefix(text, str_of(prefix)))
			continue;
		text = str_from(text, sizeof prefix - 1);
		for (int k = 0; k < KNOWN; k++)
			if (!values[k] && str_has_prefix(text, known[k]))
				values[k] = str_dup(str_from(text, known[k].len));
	}
	if (values[KIND] && values[NAME])
		buf_printf(&name, "%s/", values[KIND]);
	buf_str_put(&name, values[NAME] ? str_of(values[NAME]) : buf_str(&all));
	*ret = (struct rule){ .namespace_ = str_dup(str_of(values[NAMESPACE])),
			      .name = str_dup(buf_str(&name)),
			      .uid = str_dup(str_of(values[UID])),
			      .json = json_dumps(object,
						 JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) };
	for (int k = 0; k < KNOWN; k++)
		free(values[k]);
	if (all.failed || one.failed || name.failed)
		return err_set(e, ERR_PARSE, "a rule with labels of more than %d bytes",
			       RULE_NAME_BYTES);
	return ret->namespace_ && ret->name && ret->uid && ret->json
		       ? ERR_OK
		       : err_set(e, ERR_NOMEM, "rules of the agent");
}

/* Rules [0, @count) of one name. */
static enum err_code add_rules(struct keep_policies *p, const struct rule *rules, size_t count,
			       const char *revision, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(RULES_BYTES);

	buf_lit(&text, "{\"kind\":\"" AGENT_KIND "\",\"metadata\":{\"name\":");
	json_put_string(&text, str_of(rules->name));
	buf_lit(&text, ",\"namespace\":");
	json_put_string(&text, str_of(rules->namespace_));
	buf_lit(&text, ",\"uid\":");
	json_put_string(&text, str_of(rules->uid));
	buf_lit(&text, "},\"rules\":[");
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_char(&text, ',');
		buf_str_put(&text, str_of(rules[i].json));
	}
	buf_lit(&text, "]}");
	if (text.failed)
		return err_set(e, ERR_PARSE, "rules '%s' of more than %d bytes", rules->name,
			       RULES_BYTES);
	return add_noted(p,
			 (struct noted){ .kind = str_dup(STR(AGENT_KIND)),
					 .namespace_ = str_dup(str_of(rules->namespace_)),
					 .name = str_dup(str_of(rules->name)),
					 .uid = str_dup(str_of(rules->uid)),
					 .resource_version = str_dup(str_of(revision)),
					 .origin = str_dup(STR(AGENT_ORIGIN)),
					 .json = str_dup(buf_str(&text)) },
			 e);
}

static enum err_code group_rules(struct keep_policies *p, const json_t *list, const char *revision,
				 struct err *e)
{
	size_t n = json_array_size(list), read = 0;
	AUTO(own_free) struct rule *rules = calloc(n + 1, sizeof *rules);
	enum err_code code = rules ? ERR_OK : err_set(e, ERR_NOMEM, "rules of the agent");

	for (; code == ERR_OK && read < n; read++)
		code = read_rule(json_array_get(list, read), &rules[read], e);
	if (code == ERR_OK && n)
		qsort(rules, n, sizeof *rules, by_name);
	for (size_t from = 0, to = 0; code == ERR_OK && from < n; from = to) {
		while (to < n && strcmp(rules[from].name, rules[to].name) == 0 &&
		       strcmp(rules[from].namespace_, rules[to].namespace_) == 0)
			to++;
		code = add_rules(p, &rules[from], to - from, revision, e);
	}
	for (size_t i = 0; i < read; i++) {
		free(rules[i].namespace_);
		free(rules[i].name);
		free(rules[i].uid);
		free(rules[i].json);
	}
	return code;
}

enum err_code keep_policies_of_agent(const json_t *answer, struct keep_policies **ret,
				     struct err *e)
{
	AUTO(keep_policies_free) struct keep_policies *p = NULL;
	const json_t *inner = json_object_get(answer, "policy"); /* JSON within JSON */
	char revision[24];

	if (keep_policies_new(&p, e) != ERR_OK)
		return ERR_NOMEM;
	p->of_agent = true;
	if (!answer) {
		*ret = TAKE(p);
		return ERR_OK;
	}
	(void)snprintf(revision, sizeof revision, "%lld",
		       (long long)json_integer_value(json_object_get(answer, "revision")));
	json_t *list = json_is_string(inner) ? json_loadb(json_string_value(inner),
							  json_string_length(inner), 0, NULL)
					     : NULL;
	/* An agent without rules may say "null". */
	enum err_code code = json_is_array(list) || (inner && json_string_length(inner) == 4 &&
						     strcmp(json_string_value(inner), "null") == 0)
				     ? group_rules(p, list, revision, e)
				     : err_set(e, ERR_PARSE, "the agent's rules are no list");
	json_decref(list);
	if (code == ERR_OK)
		*ret = TAKE(p);
	return code;
}

/* --- telling ------------------------------------------------------------------------------ */

struct gone {
	const struct keep_policies *now;
	struct map *by_name; /* indices of now's by kind, namespace and name */
	struct buf key;
	bool *is_known;           /* [now->count]: an object in force says it */
	struct keep_policies old; /* in force so far, and not any more */
	bool failed;
};

/* None of the texts has a zero in it. */
static struct str key_of(struct gone *gone, struct str kind, struct str namespace_, struct str name)
{
	buf_reset(&gone->key);
	buf_str_put(&gone->key, kind);
	buf_char(&gone->key, 0);
	buf_str_put(&gone->key, namespace_);
	buf_char(&gone->key, 0);
	buf_str_put(&gone->key, name);
	gone->failed |= gone->key.failed;
	return buf_str(&gone->key);
}

static enum err_code index_names(struct gone *gone, struct err *e)
{
	const struct keep_policies *p = gone->now;
	enum err_code code = map_new(p->count + 1, (uint64_t)(uintptr_t)p, &gone->by_name, e);

	for (size_t i = 0; i < p->count && code == ERR_OK; i++) {
		const struct noted *n = &p->list[i];
		struct str key =
			key_of(gone, str_of(n->kind), str_of(n->namespace_), str_of(n->name));
		code = map_put(gone->by_name, key, (uint32_t)i, NULL, e);
	}
	return code;
}

static bool holds(struct gone *gone, const struct store_policy *policy)
{
	struct str key = key_of(gone, policy->kind, policy->namespace_, policy->name);
	uint32_t i;

	return map_get(gone->by_name, key, &i) && !gone->is_known[i];
}

static bool is_of_agent(const struct store_policy *policy)
{
	return str_is(policy->kind, AGENT_KIND);
}

/* What the agent says ends nothing of the others, nor they anything of its. Of an origin that is not
 * known yet; nor is it known of those that were kept without one. */
static bool stays(const struct keep_policies *p, const struct store_policy *policy)
{
	if (is_of_agent(policy) != p->of_agent)
		return true;
	return p->unknown.len && (!policy->origin.len || str_eq(policy->origin, p->unknown));
}

/* The agent's rules of an object that is in force by itself: "NetworkPolicy/web". */
static void find_known(void *ctx, const struct store_policy *policy)
{
	struct gone *gone = ctx;
	uint32_t i;

	if (policy->to.v || is_of_agent(policy))
		return;
	(void)key_of(gone, STR(AGENT_KIND), policy->namespace_, policy->kind);
	buf_char(&gone->key, '/');
	buf_str_put(&gone->key, policy->name);
	gone->failed |= gone->key.failed;
	if (map_get(gone->by_name, buf_str(&gone->key), &i))
		gone->is_known[i] = true;
}

static void add_gone(void *ctx, const struct store_policy *policy)
{
	struct gone *gone = ctx;

	if (policy->to.v || holds(gone, policy) || stays(gone->now, policy))
		return;
	struct noted *list =
		realloc(gone->old.list, (gone->old.count + 1) * sizeof *gone->old.list);
	if (!list) {
		gone->failed = true;
		return;
	}
	gone->old.list = list;
	struct noted *n = &list[gone->old.count++];
	*n = (struct noted){
		.kind = str_dup(policy->kind),
		.namespace_ = str_dup(policy->namespace_),
		.name = str_dup(policy->name),
	};
	gone->failed |= !n->kind || !n->namespace_ || !n->name;
}

static enum err_code find_gone(struct gone *gone, struct store *s, struct wall_ns now,
			       struct err *e)
{
	AUTO(store_reader_free) struct store_reader *r = NULL;
	enum err_code code = index_names(gone, e);

	if (code == ERR_OK)
		code = store_reader_new(s, &r, e);
	if (code == ERR_OK && gone->now->of_agent)
		code = store_policies(r, now, now, find_known, gone, e);
	if (code == ERR_OK)
		code = store_policies(r, now, now, add_gone, gone, e);
	if (code == ERR_OK && gone->failed)
		code = err_set(e, ERR_NOMEM, "policies for the store");
	return code;
}

static enum err_code note(const struct noted *n, struct store *s, struct wall_ns now, struct err *e)
{
	const struct store_policy policy = {
		.kind = str_of(n->kind),
		.namespace_ = str_of(n->namespace_),
		.name = str_of(n->name),
		.uid = str_of(n->uid),
		.resource_version = str_of(n->resource_version),
		.origin = str_of(n->origin),
		.json = str_of(n->json),
		.from = now,
	};

	return store_note_policy(s, &policy, now, e);
}

enum err_code keep_policies_note(const struct keep_policies *p, struct store *s, struct wall_ns now,
				 struct err *e)
{
	AUTO(own_free) bool *is_known = calloc(p->count + 1, sizeof *is_known);
	struct gone gone = { .now = p, .key = buf_init(RULES_BYTES), .is_known = is_known };
	enum err_code code = is_known ? find_gone(&gone, s, now, e)
				      : err_set(e, ERR_NOMEM, "policies for the store");

	for (size_t i = 0; i < gone.old.count && code == ERR_OK; i++)
		code = note(&gone.old.list[i], s, now, e);
	for (size_t i = 0; i < p->count && code == ERR_OK; i++)
		if (!is_known[i])
			code = note(&p->list[i], s, now, e);
	for (size_t i = 0; i < gone.old.count; i++)
		noted_done(&gone.old.list[i]);
	free(gone.old.list);
	map_free(gone.by_name);
	buf_done(&gone.key);
	return code;
}
