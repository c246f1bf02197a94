#include "observer/keep/policies.h"

#include "base/buf.h"

/* Owns its texts: they lie in one buffer after the other. */
struct noted {
	char *kind, *namespace_, *name, *uid, *resource_version, *origin, *json;
};

struct keep_policies {
	struct noted *list;
	size_t count, room;
	struct str unknown; /* origin of those that stay as they are; "": none */
};

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

size_t keep_policies_count(const struct keep_policies *p)
{
	return p->count;
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

static bool grow(struct keep_policies *p)
{
	size_t room = p->room ? p->room * 2 : 16;

	if (p->count < p->room)
		return true;
	struct noted *list = realloc(p->list, room * sizeof *list);
	if (!list)
		return false;
	p->list = list;
	p->room = room;
	return true;
}

enum err_code keep_policies_add(struct keep_policies *p, const json_t *object, struct str origin,
				struct err *e)
{
	const json_t *metadata = json_object_get(object, "metadata");

	if (!is_policy(json_string_value(json_object_get(object, "kind"))))
		return ERR_OK;
	if (!grow(p))
		return err_set(e, ERR_NOMEM, "policies for the store");
	struct noted n = {
		.kind = text_of(object, "kind"),
		.namespace_ = text_of(metadata, "namespace"),
		.name = text_of(metadata, "name"),
		.uid = text_of(metadata, "uid"),
		.resource_version = text_of(metadata, "resourceVersion"),
		.origin = str_dup(origin),
		.json = canonical(object),
	};
	if (!n.kind || !n.namespace_ || !n.name || !n.uid || !n.resource_version || !n.origin ||
	    !n.json) {
		noted_done(&n);
		return err_set(e, ERR_NOMEM, "policies for the store");
	}
	p->list[p->count++] = n;
	return ERR_OK;
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

/* --- telling ------------------------------------------------------------------------------ */

struct gone {
	const struct keep_policies *now;
	struct keep_policies old; /* in force so far, and not any more */
	bool failed;
};

static bool holds(const struct keep_policies *p, const struct store_policy *policy)
{
	for (size_t i = 0; i < p->count; i++)
		if (str_is(policy->kind, p->list[i].kind) &&
		    str_is(policy->namespace_, p->list[i].namespace_) &&
		    str_is(policy->name, p->list[i].name))
			return true;
	return false;
}

/* Of an origin that is not known yet; nor is it known of those that were kept without one. */
static bool stays(const struct keep_policies *p, const struct store_policy *policy)
{
	return p->unknown.len && (!policy->origin.len || str_eq(policy->origin, p->unknown));
}

static void add_gone(void *ctx, const struct store_policy *policy)
{
	struct gone *gone = ctx;

	if (policy->to.v || holds(gone->now, policy) || stays(gone->now, policy))
		return;
	struct noted *list =
		realloc(gone->old.list, (gone->old.count + 1) * sizeof *gone->old.list);
	if (!list) {
		gone->failed = true;
		return;
	}
	gone->old.list = list;
	list[gone->old.count++] = (struct noted){
		.kind = str_dup(policy->kind),
		.namespace_ = str_dup(policy->namespace_),
		.name = str_dup(policy->name),
	};
}

static enum err_code find_gone(struct gone *gone, struct store *s, struct wall_ns now,
			       struct err *e)
{
	AUTO(store_reader_free) struct store_reader *r = NULL;
	enum err_code code = store_reader_new(s, &r, e);

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
	struct gone gone = { .now = p };
	enum err_code code = find_gone(&gone, s, now, e);

	for (size_t i = 0; i < gone.old.count && code == ERR_OK; i++)
		code = note(&gone.old.list[i], s, now, e);
	for (size_t i = 0; i < p->count && code == ERR_OK; i++)
		code = note(&p->list[i], s, now, e);
	for (size_t i = 0; i < gone.old.count; i++)
		noted_done(&gone.old.list[i]);
	free(gone.old.list);
	return code;
}
