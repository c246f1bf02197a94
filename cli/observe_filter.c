#include "cli/observe_filter.h"

#include <stdio.h>

#include "base/buf.h"
#include "cli/filter_rule.h"
#include "cli/flags.h"
#include "cli/json_piece.h"
#include "cli/yaml_text.h"
#include "flow/json.h"

enum {
	FILTER_MAX_BYTES = 16 << 20, /* of one filter as JSON or protobuf */
	FAULTS_MAX_BYTES = 16 << 10, /* of what is wrong with one flag: ten complaints */
};

/* Flags that exclude each other. A fault names the first of the group that was used, then the
 * other. */
static const char *const conflict_groups[][9] = {
	{ "from-fqdn", "from-ip", "ip", "fqdn", "from-namespace", "namespace",
	  "from-all-namespaces", "all-namespaces" },
	{ "from-fqdn", "from-ip", "ip", "fqdn", "from-pod", "pod" },
	{ "to-fqdn", "to-ip", "ip", "fqdn", "to-namespace", "namespace", "to-all-namespaces",
	  "all-namespaces" },
	{ "to-fqdn", "to-ip", "ip", "fqdn", "to-pod", "pod" },
	{ "to-pod", "namespace", "all-namespaces" },
	{ "from-pod", "namespace", "all-namespaces" },
	{ "to-service", "namespace", "all-namespaces" },
	{ "from-service", "namespace", "all-namespaces" },
	{ "label", "from-label" },
	{ "label", "to-label" },
	{ "service", "from-service" },
	{ "service", "to-service" },
	{ "port", "to-port" },
	{ "port", "from-port" },
	{ "identity", "to-identity" },
	{ "identity", "from-identity" },
	{ "workload", "to-workload" },
	{ "workload", "from-workload" },
	{ "encrypted", "unencrypted" },
};

struct words {
	char **items;
	size_t count;
};

/* What the plain flags, or the negated ones, have said so far. */
struct polarity {
	bool used[FILTER_RULE_COUNT];
	Flow__FlowFilter *left, *right; /* both or neither */
	struct words namespaces[SIDE_COUNT_];
};

struct observe_filter {
	struct polarity allow, deny;
	bool negate_next; /* a --not waits for its flag */
};

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NOMEM, "filter");
}

/* --- conflicts --- */

static enum err_code check_groups(const struct polarity *p, struct err *e)
{
	for (size_t g = 0; g < ARRAY_LEN(conflict_groups); g++) {
		const char *first = NULL;
		for (const char *const *flag = conflict_groups[g]; *flag; flag++) {
			if (!p->used[filter_rule_find(*flag)])
				continue;
			if (first)
				return err_set(e, ERR_INVALID,
					       "filters --%s and --%s cannot be combined", first,
					       *flag);
			first = *flag;
		}
	}
	return ERR_OK;
}

/* The namespace in "ns/name"; "" if there is none. */
static struct str namespace_in(const char *name)
{
	struct str s = str_of(name);
	size_t slash = str_find(s, '/');

	return slash < s.len ? str_upto(s, slash) : STR("");
}

/* Each pair of lists has one complaint at most; as in the reference, all are told, one to a line. */
static void complain(struct buf *faults, const char *what, const char *a, const char *does,
		     const char *b)
{
	buf_printf(faults, "%s%s %s %s %s", faults->len ? "\n" : "", what, FLAG_QUOTE(a), does,
		   FLAG_QUOTE(b));
}

static void check_names(const struct words *namespaces, char *const *names, size_t count,
			struct buf *faults)
{
	for (size_t n = 0; n < namespaces->count; n++) {
		for (size_t i = 0; i < count; i++) {
			struct str own = namespace_in(names[i]);
			if (own.len && !str_is(own, namespaces->items[n])) {
				complain(faults, "namespace conflict:", namespaces->items[n],
					 "does not contain", names[i]);
				return;
			}
		}
	}
}

static void check_services(char *const *pods, size_t pod_count, char *const *services,
			   size_t service_count, struct buf *faults)
{
	for (size_t p = 0; p < pod_count; p++) {
		struct str own = namespace_in(pods[p]);
		for (size_t s = 0; own.len && s < service_count; s++) {
			char ns[256];
			snprintf(ns, sizeof ns, "%.*s", STR_FMT(own));
			if (!str_eq(own, namespace_in(services[s]))) {
				complain(faults, "namespace of service", services[s],
					 "conflict with pod", ns);
				return;
			}
		}
	}
}

static enum err_code check_namespaces(const struct polarity *p, const Flow__FlowFilter *f,
				      struct err *e)
{
	const struct words *both = &p->namespaces[SIDE_BOTH], *from = &p->namespaces[SIDE_FROM];
	const struct words *to = &p->namespaces[SIDE_TO];
	AUTO_BUF struct buf faults = buf_init(FAULTS_MAX_BYTES);

	if (!f)
		return ERR_OK;
	check_names(both, f->source_pod, f->n_source_pod, &faults);
	check_names(both, f->source_service, f->n_source_service, &faults);
	check_names(both, f->destination_pod, f->n_destination_pod, &faults);
	check_names(both, f->destination_service, f->n_destination_service, &faults);
	check_names(from, f->source_pod, f->n_source_pod, &faults);
	check_names(from, f->source_service, f->n_source_service, &faults);
	check_names(to, f->destination_pod, f->n_destination_pod, &faults);
	check_names(to, f->destination_service, f->n_destination_service, &faults);
	check_services(f->source_pod, f->n_source_pod, f->source_service, f->n_source_service,
		       &faults);
	check_services(f->destination_pod, f->n_destination_pod, f->destination_service,
		       f->n_destination_service, &faults);
	if (!faults.len)
		return faults.failed ? no_memory(e) : ERR_OK;
	return err_set(e, ERR_INVALID, "%.*s", STR_FMT(buf_str(&faults)));
}

/* --- the builder --- */

static Flow__FlowFilter *filter_new(void)
{
	Flow__FlowFilter *f = malloc(sizeof *f);

	if (f)
		flow__flow_filter__init(f);
	return f;
}

static enum err_code need_filters(struct polarity *p, struct err *e)
{
	if (!p->left)
		p->left = filter_new();
	if (!p->right)
		p->right = filter_new();
	return p->left && p->right ? ERR_OK : no_memory(e);
}

static enum err_code add_namespace(struct words *w, const char *text, struct err *e)
{
	char **grown = reallocarray(w->items, w->count + 1, sizeof *grown);

	if (!grown)
		return no_memory(e);
	w->items = grown;
	if (!(w->items[w->count] = str_dup(str_of(text))))
		return no_memory(e);
	w->count++;
	return ERR_OK;
}

enum err_code observe_filter_set(struct observe_filter *of, const char *name, const char *text,
				 struct err *e)
{
	size_t i = filter_rule_find(name);
	struct polarity *p = of->negate_next ? &of->deny : &of->allow;

	if (i == FILTER_RULE_COUNT)
		return err_set(e, ERR_INTERNAL, "--%s is no filter", name);
	const struct filter_rule *rule = &filter_rules[i];
	if (rule->rule == RULE_NOT) {
		if (of->negate_next)
			return err_set(e, ERR_INVALID, "consecutive --not statements");
		of->negate_next = true;
		return ERR_OK;
	}
	if (!utf8_is_valid(str_of(text))) /* no message can hold it */
		return err_set(e, ERR_INVALID, "no valid UTF-8");
	of->negate_next = false;
	p->used[i] = true;
	if (check_groups(p, e) != ERR_OK)
		return e->code;
	if (rule->rule == RULE_NAMESPACE || rule->rule == RULE_ANY_NAMESPACE) {
		if (add_namespace(&p->namespaces[rule->aux],
				  rule->rule == RULE_NAMESPACE ? text : "", e) != ERR_OK)
			return e->code;
	} else {
		const char *right = rule->right ? rule->right : rule->left;
		if (need_filters(p, e) != ERR_OK ||
		    filter_rule_put(rule, rule->left, text, p->left, e) != ERR_OK ||
		    filter_rule_put(rule, right, text, p->right, e) != ERR_OK)
			return e->code;
	}
	if (check_namespaces(p, p->left, e) != ERR_OK)
		return e->code;
	return check_namespaces(p, p->right, e);
}

enum err_code observe_filter_check(const struct observe_filter *of, struct err *e)
{
	return of->negate_next ? err_set(e, ERR_INVALID, "trailing --not found in the arguments")
			       : ERR_OK;
}

/* Prefixes the names of repeated string field @name that have no namespace with each of
 * @namespaces. */
static bool prefix_names(Flow__FlowFilter *f, const char *name, const struct words *namespaces)
{
	char ***array, **old;
	size_t *count, old_count;
	bool ok = true;

	filter_text_field(f, name, &array, &count);
	old = *array;
	old_count = *count;
	*count = 0;
	*array = NULL;
	for (size_t i = 0; i < old_count; i++) {
		struct str s = str_of(old[i]);
		for (size_t n = 0; ok && n < namespaces->count; n++) {
			AUTO_BUF struct buf whole = buf_init(FILTER_MAX_BYTES);
			if (str_find(s, '/') < s.len) {
				ok = filter_add_text(f, name, s);
				break;
			}
			buf_printf(&whole, "%s/%s", namespaces->items[n], old[i]);
			ok = !whole.failed && filter_add_text(f, name, buf_str(&whole));
		}
		free(old[i]);
	}
	free(old);
	return ok;
}

static bool apply_namespaces(Flow__FlowFilter *f, bool source, const struct words *namespaces)
{
	const char *pod = source ? "source_pod" : "destination_pod";
	const char *service = source ? "source_service" : "destination_service";
	size_t pods = source ? f->n_source_pod : f->n_destination_pod;
	size_t services = source ? f->n_source_service : f->n_destination_service;

	if (!namespaces->count)
		return true;
	if (!pods && !services && !filter_add_text(f, pod, STR("")))
		return false;
	return prefix_names(f, pod, namespaces) && prefix_names(f, service, namespaces);
}

static bool same_message(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
	size_t size = protobuf_c_message_get_packed_size(a);
	uint8_t *both = size == protobuf_c_message_get_packed_size(b) ? malloc(2 * size + 1) : NULL;
	bool same = false;

	if (both) {
		(void)protobuf_c_message_pack(a, both);
		(void)protobuf_c_message_pack(b, both + size);
		same = memcmp(both, both + size, size) == 0;
	}
	free(both);
	return same;
}

static bool list_add(struct filter_list *list, Flow__FlowFilter *f)
{
	Flow__FlowFilter **grown =
		reallocarray(list->items, list->count + 1, sizeof(Flow__FlowFilter *));

	if (!grown) {
		flow__flow_filter__free_unpacked(f, NULL);
		return false;
	}
	list->items = grown;
	list->items[list->count++] = f;
	return true;
}

static enum err_code take_filters(struct polarity *p, struct filter_list *ret, struct err *e)
{
	bool any = p->left != NULL;

	for (size_t i = 0; i < SIDE_COUNT_; i++)
		any |= p->namespaces[i].count > 0;
	if (!any)
		return ERR_OK;
	if (need_filters(p, e) != ERR_OK)
		return e->code;
	Flow__FlowFilter *both[] = { p->left, p->right };
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		if (!apply_namespaces(both[i], false, &p->namespaces[SIDE_TO]) ||
		    !apply_namespaces(both[i], true, &p->namespaces[SIDE_FROM]) ||
		    !apply_namespaces(both[i], i == 0, &p->namespaces[SIDE_BOTH]))
			return no_memory(e);
	bool one = same_message(&p->left->base, &p->right->base);
	if (!list_add(ret, TAKE(p->left)) || (!one && !list_add(ret, TAKE(p->right))))
		return no_memory(e);
	return ERR_OK;
}

enum err_code observe_filter_lists(struct observe_filter *of, struct filter_list *ret_allow,
				   struct filter_list *ret_deny, struct err *e)
{
	AUTO_FILTER_LIST struct filter_list allow = { 0 }, deny = { 0 };

	if (take_filters(&of->allow, &allow, e) != ERR_OK ||
	    take_filters(&of->deny, &deny, e) != ERR_OK)
		return e->code;
	*ret_allow = allow;
	*ret_deny = deny;
	allow = deny = (struct filter_list){ 0 };
	return ERR_OK;
}

enum err_code observe_filter_new(struct observe_filter **ret, struct err *e)
{
	struct observe_filter *of = calloc(1, sizeof *of);

	if (!of)
		return no_memory(e);
	*ret = of;
	return ERR_OK;
}

static void polarity_done(struct polarity *p)
{
	flow__flow_filter__free_unpacked(p->left, NULL);
	flow__flow_filter__free_unpacked(p->right, NULL);
	for (size_t i = 0; i < SIDE_COUNT_; i++) {
		for (size_t k = 0; k < p->namespaces[i].count; k++)
			free(p->namespaces[i].items[k]);
		free(p->namespaces[i].items);
	}
}

void observe_filter_free(struct observe_filter *of)
{
	if (!of)
		return;
	polarity_done(&of->allow);
	polarity_done(&of->deny);
	free(of);
}

/* --- lists --- */

void filter_list_done(struct filter_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		flow__flow_filter__free_unpacked(list->items[i], NULL);
	free(list->items);
	*list = (struct filter_list){ 0 };
}

enum err_code filter_list_add_json(struct filter_list *list, const char *json, struct err *e)
{
	const struct json_options strict = { .reject_unknown = true };
	struct str rest = str_of(json);

	for (;;) {
		AUTO_BUF struct buf wire = buf_init(FILTER_MAX_BYTES);
		size_t used;
		while (rest.len && strchr(" \t\r\n", rest.p[0]))
			rest = str_from(rest, 1);
		if (!rest.len)
			return ERR_OK;
		if (json_piece(rest, &used, e) != ERR_OK ||
		    json_read_message(str_upto(rest, used), &flow__flow_filter__descriptor, &strict,
				      &wire, NULL, e) != ERR_OK)
			return err_in(e, "failed to decode '%s'", json);
		Flow__FlowFilter *f = flow__flow_filter__unpack(NULL, wire.len,
								(const uint8_t *)buf_str(&wire).p);
		if (!f || !list_add(list, f))
			return no_memory(e);
		rest = str_from(rest, used);
	}
}

static enum err_code put_list(struct buf *b, const char *name, const struct filter_list *list,
			      struct err *e)
{
	if (list->count)
		buf_printf(b, "%s:\n", name);
	for (size_t i = 0; i < list->count; i++) {
		AUTO_BUF struct buf wire = buf_init(FILTER_MAX_BYTES),
				    json = buf_init(4 * FILTER_MAX_BYTES);
		char *to =
			buf_reserve(&wire, flow__flow_filter__get_packed_size(list->items[i]) + 1);
		if (!to)
			return no_memory(e);
		wire.len = flow__flow_filter__pack(list->items[i], (uint8_t *)to);
		if (json_put_message(&json, &flow__flow_filter__descriptor, buf_str(&wire), e) !=
		    ERR_OK)
			return e->code;
		buf_lit(b, "    - ");
		yaml_put_string(b, buf_str(&json));
		buf_char(b, '\n');
	}
	return b->failed ? no_memory(e) : ERR_OK;
}

enum err_code filter_lists_put_yaml(struct buf *b, const struct filter_list *allow,
				    const struct filter_list *deny, struct err *e)
{
	if (!allow->count && !deny->count)
		buf_lit(b, "{}\n");
	if (put_list(b, "allowlist", allow, e) != ERR_OK)
		return e->code;
	return put_list(b, "denylist", deny, e);
}
