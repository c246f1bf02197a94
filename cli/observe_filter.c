#include "cli/observe_filter.h"

#include <stdio.h>

#include "base/buf.h"
#include "cli/flags.h"
#include "cli/yaml_text.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/names.h"

enum { FILTER_MAX_BYTES = 16 << 20 }; /* of one filter as JSON or protobuf */

/* How a flag's text becomes a value of its field. */
enum rule {
	RULE_NOT,
	RULE_TEXT,
	RULE_NAMESPACE,
	RULE_ANY_NAMESPACE,
	RULE_NUMBER, /* aux: the number, whatever the text */
	RULE_IP_VERSION,
	RULE_IP_TRACE_ID,
	RULE_VERDICT,
	RULE_DROP_REASON,
	RULE_TYPE,
	RULE_TCP_FLAGS,
	RULE_HTTP_HEADER,
	RULE_WORKLOAD,
	RULE_IDENTITY,
	RULE_DIRECTION,
	RULE_INTERFACE,
	RULE_CEL,
};

/* Where a namespace flag applies. */
enum side { SIDE_BOTH, SIDE_FROM, SIDE_TO, SIDE_COUNT_ };

/* Every filter flag; the fields are those of flow.FlowFilter, for the left and the right alternative. */
static const struct rule_def {
	const char *flag;
	enum rule rule;
	const char *left, *right; /* NULL right: the same as left */
	int aux;                  /* RULE_NUMBER: the number; namespaces: enum side */
} rules[] = {
	{ "not", RULE_NOT, NULL, NULL, 0 },
	{ "uuid", RULE_TEXT, "uuid", NULL, 0 },
	{ "node-name", RULE_TEXT, "node_name", NULL, 0 },
	{ "node-label", RULE_TEXT, "node_labels", NULL, 0 },
	{ "from-cluster", RULE_TEXT, "source_cluster_name", NULL, 0 },
	{ "cluster", RULE_TEXT, "source_cluster_name", "destination_cluster_name", 0 },
	{ "to-cluster", RULE_TEXT, "destination_cluster_name", NULL, 0 },
	{ "protocol", RULE_TEXT, "protocol", NULL, 0 },
	{ "tcp-flags", RULE_TCP_FLAGS, "tcp_flags", NULL, 0 },
	{ "type", RULE_TYPE, "event_type", NULL, 0 },
	{ "verdict", RULE_VERDICT, "verdict", NULL, 0 },
	{ "drop-reason-desc", RULE_DROP_REASON, "drop_reason_desc", NULL, 0 },
	{ "http-status", RULE_TEXT, "http_status_code", NULL, 0 },
	{ "http-method", RULE_TEXT, "http_method", NULL, 0 },
	{ "http-path", RULE_TEXT, "http_path", NULL, 0 },
	{ "http-url", RULE_TEXT, "http_url", NULL, 0 },
	{ "http-header", RULE_HTTP_HEADER, "http_header", NULL, 0 },
	{ "trace-id", RULE_TEXT, "trace_id", NULL, 0 },
	{ "ip-trace-id", RULE_IP_TRACE_ID, "ip_trace_id", NULL, 0 },
	{ "from-fqdn", RULE_TEXT, "source_fqdn", NULL, 0 },
	{ "fqdn", RULE_TEXT, "source_fqdn", "destination_fqdn", 0 },
	{ "to-fqdn", RULE_TEXT, "destination_fqdn", NULL, 0 },
	{ "from-ip", RULE_TEXT, "source_ip", NULL, 0 },
	{ "snat-ip", RULE_TEXT, "source_ip_xlated", NULL, 0 },
	{ "ip", RULE_TEXT, "source_ip", "destination_ip", 0 },
	{ "to-ip", RULE_TEXT, "destination_ip", NULL, 0 },
	{ "ipv4", RULE_NUMBER, "ip_version", NULL, FLOW__IPVERSION__IPv4 },
	{ "ipv6", RULE_NUMBER, "ip_version", NULL, FLOW__IPVERSION__IPv6 },
	{ "ip-version", RULE_IP_VERSION, "ip_version", NULL, 0 },
	{ "from-pod", RULE_TEXT, "source_pod", NULL, 0 },
	{ "pod", RULE_TEXT, "source_pod", "destination_pod", 0 },
	{ "to-pod", RULE_TEXT, "destination_pod", NULL, 0 },
	{ "from-namespace", RULE_NAMESPACE, NULL, NULL, SIDE_FROM },
	{ "namespace", RULE_NAMESPACE, NULL, NULL, SIDE_BOTH },
	{ "to-namespace", RULE_NAMESPACE, NULL, NULL, SIDE_TO },
	{ "from-all-namespaces", RULE_ANY_NAMESPACE, NULL, NULL, SIDE_FROM },
	{ "all-namespaces", RULE_ANY_NAMESPACE, NULL, NULL, SIDE_BOTH },
	{ "to-all-namespaces", RULE_ANY_NAMESPACE, NULL, NULL, SIDE_TO },
	{ "from-label", RULE_TEXT, "source_label", NULL, 0 },
	{ "label", RULE_TEXT, "source_label", "destination_label", 0 },
	{ "to-label", RULE_TEXT, "destination_label", NULL, 0 },
	{ "from-service", RULE_TEXT, "source_service", NULL, 0 },
	{ "service", RULE_TEXT, "source_service", "destination_service", 0 },
	{ "to-service", RULE_TEXT, "destination_service", NULL, 0 },
	{ "from-port", RULE_TEXT, "source_port", NULL, 0 },
	{ "port", RULE_TEXT, "source_port", "destination_port", 0 },
	{ "to-port", RULE_TEXT, "destination_port", NULL, 0 },
	{ "from-workload", RULE_WORKLOAD, "source_workload", NULL, 0 },
	{ "workload", RULE_WORKLOAD, "source_workload", "destination_workload", 0 },
	{ "to-workload", RULE_WORKLOAD, "destination_workload", NULL, 0 },
	{ "from-identity", RULE_IDENTITY, "source_identity", NULL, 0 },
	{ "identity", RULE_IDENTITY, "source_identity", "destination_identity", 0 },
	{ "to-identity", RULE_IDENTITY, "destination_identity", NULL, 0 },
	{ "traffic-direction", RULE_DIRECTION, "traffic_direction", NULL, 0 },
	{ "cel-expression", RULE_CEL, "experimental", NULL, 0 },
	{ "interface", RULE_INTERFACE, "interface", NULL, 0 },
	{ "encrypted", RULE_NUMBER, "encrypted", NULL, 1 },
	{ "unencrypted", RULE_NUMBER, "encrypted", NULL, 0 },
};
enum { RULE_COUNT = ARRAY_LEN(rules) };

/* Flags that exclude each other. A fault names the first of the group that was used, then the other. */
static const char *const conflict_groups[][9] = {
	{ "from-fqdn", "from-ip", "ip", "fqdn", "from-namespace", "namespace", "from-all-namespaces", "all-namespaces" },
	{ "from-fqdn", "from-ip", "ip", "fqdn", "from-pod", "pod" },
	{ "to-fqdn", "to-ip", "ip", "fqdn", "to-namespace", "namespace", "to-all-namespaces", "all-namespaces" },
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
	bool used[RULE_COUNT];
	Flow__FlowFilter *left, *right; /* both or neither */
	struct words namespaces[SIDE_COUNT_];
};

struct observe_filter {
	struct polarity allow, deny;
	bool negate_next; /* a --not waits for its flag */
};

/* --- repeated fields of a message, by name -------------------------------------------------------------- */

static void *field_at(ProtobufCMessage *m, unsigned offset)
{
	return (char *)m + offset;
}

/* Room for one more element of @size bytes in repeated field @name of @m; zeroed. NULL: no memory. */
static void *field_grow(ProtobufCMessage *m, const char *name, size_t size)
{
	const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
	size_t *count = field_at(m, field->quantifier_offset);
	void **array = field_at(m, field->offset);
	char *grown = reallocarray(*array, *count + 1, size);

	if (!grown)
		return NULL;
	*array = grown;
	return memset(grown + size * (*count)++, 0, size);
}

static bool add_text(ProtobufCMessage *m, const char *name, struct str text)
{
	char *copy = str_dup(text), **at = copy ? field_grow(m, name, sizeof *at) : NULL;

	if (!at) {
		free(copy);
		return false;
	}
	*at = copy;
	return true;
}

static bool add_int(ProtobufCMessage *m, const char *name, int v)
{
	int *at = field_grow(m, name, sizeof *at); /* enums and protobuf-c's booleans are ints */

	if (at)
		*at = v;
	return at != NULL;
}

/* A new message of @desc as an element of @name; its members are the caller's to fill. NULL: no memory. */
static void *add_message(ProtobufCMessage *m, const char *name, const ProtobufCMessageDescriptor *desc)
{
	ProtobufCMessage *fresh = malloc(desc->sizeof_message), **at = NULL;

	if (fresh) {
		protobuf_c_message_init(desc, fresh);
		at = field_grow(m, name, sizeof *at);
	}
	if (!at) {
		free(fresh);
		return NULL;
	}
	return *at = fresh;
}

_Static_assert(sizeof(protobuf_c_boolean) == sizeof(int) && sizeof(Flow__Verdict) == sizeof(int),
	       "add_int fills booleans and enums");

/* --- one flag's text to one field's value ---------------------------------------------------------------- */

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NOMEM, "filter");
}

static enum err_code put_type(Flow__EventTypeFilter *t, const char *text, struct err *e)
{
	enum { MOST_TYPES = 256 };
	struct str rest = str_of(text), name, why;
	size_t colon = str_find(rest, ':');
	bool named = false;
	uint64_t number = 0;

	name = str_upto(rest, colon);
	for (int i = 0; i < MOST_TYPES && !named; i++) {
		const char *known = event_type_text(i);
		if ((named = known && str_is(name, known)))
			t->type = i;
	}
	char word[256];
	snprintf(word, sizeof word, "%.*s", STR_FMT(name));
	if (!named && flag_parse_uint(word, 10, 32, &number, e) != ERR_OK)
		return err_in(e, "unable to parse type '%s', not a known type name and unable to parse as numeric value",
			      word);
	if (!named)
		t->type = (int32_t)(uint32_t)number;
	if (colon == rest.len)
		return ERR_OK;

	t->match_sub_type = true;
	why = str_from(rest, colon + 1);
	if (named && t->type == 4) {
		for (uint32_t i = 0; i < MOST_TYPES; i++) {
			const char *known = trace_point_text(i);
			if (known && str_is(why, known)) {
				t->sub_type = (int32_t)i;
				return ERR_OK;
			}
		}
	}
	if (named && t->type == 130) {
		/* The monitor's numbers, not flow.AgentEventType's: the reference sends these, which is why they do not
		 * find agent events there either. */
		static const char *const agent[] = { "unspecified", "message", "agent-started",
						     "endpoint-regenerate-success", "endpoint-regenerate-failure",
						     "policy-updated", "policy-deleted", "endpoint-created",
						     "endpoint-deleted", "ipcache-upserted", "ipcache-deleted" };
		for (size_t i = 0; i < ARRAY_LEN(agent); i++) {
			if (str_is(why, agent[i])) {
				t->sub_type = (int32_t)i;
				return ERR_OK;
			}
		}
	}
	if (flag_parse_uint(why.p, 10, 32, &number, e) != ERR_OK)
		return err_in(e, "unable to parse event sub-type '%s', not a known sub-type name and unable to parse as "
			      "numeric value", why.p);
	t->sub_type = (int32_t)(uint32_t)number;
	return ERR_OK;
}

static enum err_code put_tcp_flags(Flow__TCPFlags *flags, const char *text, struct err *e)
{
	struct {
		const char *name;
		protobuf_c_boolean *at;
	} known[] = { { "SYN", &flags->syn }, { "FIN", &flags->fin }, { "RST", &flags->rst },
		      { "PSH", &flags->psh }, { "ACK", &flags->ack }, { "URG", &flags->urg },
		      { "ECE", &flags->ece }, { "CWR", &flags->cwr }, { "NS", &flags->ns } };
	struct str rest = str_of(text), word;

	while (str_split(&rest, ',', &word)) {
		size_t i = 0;
		while (i < ARRAY_LEN(known) && !str_eq_nocase(word, str_of(known[i].name)))
			i++;
		if (i == ARRAY_LEN(known))
			return err_set(e, ERR_INVALID, "unknown tcp flag: %.*s", STR_FMT(word));
		*known[i].at = true;
	}
	return ERR_OK;
}

static enum err_code put_identity(uint32_t *ret, const char *text, struct err *e)
{
	uint64_t number;

	if (identity_parse_name(str_of(text), ret))
		return ERR_OK;
	if (flag_parse_uint(text, 0, 32, &number, NULL) != ERR_OK)
		return err_set(e, ERR_INVALID, "invalid security identity, expected one of [host world unmanaged health init "
			       "remote-node kube-apiserver ingress world-ipv4 world-ipv6 11] or a numeric value");
	*ret = (uint32_t)number;
	return ERR_OK;
}

static enum err_code put_ip_trace_id(uint64_t *ret, const char *text, struct err *e)
{
	if (strcmp(text, "0") == 0)
		return err_set(e, ERR_INVALID, "invalid --ip-trace-id value; must be greater than 0");
	if (flag_parse_uint(text, 10, 64, ret, e) != ERR_OK)
		return err_in(e, "invalid --ip-trace-id value");
	return ERR_OK;
}

/* What is no IP version by name means "no IP". */
static int ip_version_of(const char *text)
{
	static const char *const v4[] = { "4", "v4", "ipv4", "ip4" }, *const v6[] = { "6", "v6", "ipv6", "ip6" };

	for (size_t i = 0; i < ARRAY_LEN(v4); i++) {
		if (str_eq_nocase(str_of(text), str_of(v4[i])))
			return FLOW__IPVERSION__IPv4;
		if (str_eq_nocase(str_of(text), str_of(v6[i])))
			return FLOW__IPVERSION__IPv6;
	}
	return FLOW__IPVERSION__IP_NOT_USED;
}

static enum err_code put_direction(int *ret, const char *text, struct err *e)
{
	if (str_eq_nocase(str_of(text), STR("ingress"))) {
		*ret = FLOW__TRAFFIC_DIRECTION__INGRESS;
	} else if (str_eq_nocase(str_of(text), STR("egress"))) {
		*ret = FLOW__TRAFFIC_DIRECTION__EGRESS;
	} else {
		char lower[128];
		snprintf(lower, sizeof lower, "%s", text);
		for (char *c = lower; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
		return err_set(e, ERR_INVALID, "%s: invalid traffic direction, expected ingress or egress", lower);
	}
	return ERR_OK;
}

static bool put_cel(Flow__FlowFilter *f, const char *text)
{
	if (!f->experimental) {
		f->experimental = malloc(sizeof *f->experimental);
		if (!f->experimental)
			return false;
		flow__flow_filter__experimental__init(f->experimental);
	}
	return add_text(&f->experimental->base, "cel_expression", str_of(text));
}

/* An own string member of a sub-message; protobuf-c's empty string where there is none. */
static bool put_member(char **member, struct str text)
{
	if (!text.len)
		return true;
	char *copy = str_dup(text);
	if (copy)
		*member = copy;
	return copy != NULL;
}

static bool put_workload(Flow__Workload *w, const char *text)
{
	struct str s = str_of(text);
	size_t slash = str_find(s, '/');

	if (slash == s.len)
		return put_member(&w->name, s);
	return put_member(&w->kind, str_upto(s, slash)) && put_member(&w->name, str_from(s, slash + 1));
}

static enum err_code put_value(Flow__FlowFilter *f, const struct rule_def *rule, const char *field, const char *text,
			       struct err *e)
{
	ProtobufCMessage *m = &f->base;
	struct str s = str_of(text);
	int32_t number = 0;
	uint32_t identity = 0, *u32;
	uint64_t trace_id = 0, *u64;
	void *sub;

	switch (rule->rule) {
	case RULE_NOT:
	case RULE_NAMESPACE:
	case RULE_ANY_NAMESPACE:
		return ERR_OK; /* not fields: dealt with before */
	case RULE_TEXT:
		return add_text(m, field, s) ? ERR_OK : no_memory(e);
	case RULE_NUMBER:
		return add_int(m, field, rule->aux) ? ERR_OK : no_memory(e);
	case RULE_IP_VERSION:
		return add_int(m, field, ip_version_of(text)) ? ERR_OK : no_memory(e);
	case RULE_VERDICT:
		if (!enum_number(&flow__verdict__descriptor, s, &number))
			return err_set(e, ERR_INVALID, "invalid --verdict value: %s", text);
		return add_int(m, field, number) ? ERR_OK : no_memory(e);
	case RULE_DROP_REASON:
		if (!enum_number(&flow__drop_reason__descriptor, s, &number))
			return err_set(e, ERR_INVALID, "invalid --drop-reason-desc value: %s", text);
		return add_int(m, field, number) ? ERR_OK : no_memory(e);
	case RULE_DIRECTION:
		if (put_direction(&number, text, e) != ERR_OK)
			return e->code;
		return add_int(m, field, number) ? ERR_OK : no_memory(e);
	case RULE_IDENTITY:
		if (put_identity(&identity, text, e) != ERR_OK)
			return e->code;
		if (!(u32 = field_grow(m, field, sizeof *u32)))
			return no_memory(e);
		*u32 = identity;
		return ERR_OK;
	case RULE_IP_TRACE_ID:
		if (put_ip_trace_id(&trace_id, text, e) != ERR_OK)
			return e->code;
		if (!(u64 = field_grow(m, field, sizeof *u64)))
			return no_memory(e);
		*u64 = trace_id;
		return ERR_OK;
	case RULE_TYPE:
		sub = add_message(m, field, &flow__event_type_filter__descriptor);
		return sub ? put_type(sub, text, e) : no_memory(e);
	case RULE_TCP_FLAGS:
		sub = add_message(m, field, &flow__tcpflags__descriptor);
		return sub ? put_tcp_flags(sub, text, e) : no_memory(e);
	case RULE_HTTP_HEADER: {
		size_t colon = str_find(s, ':');
		if (colon == s.len)
			return err_set(e, ERR_INVALID, "invalid http-header value %s, expected name:value",
				       FLAG_QUOTE(text));
		Flow__HTTPHeader *header = add_message(m, field, &flow__httpheader__descriptor);
		return header && put_member(&header->key, str_upto(s, colon)) &&
		       put_member(&header->value, str_from(s, colon + 1)) ? ERR_OK : no_memory(e);
	}
	case RULE_WORKLOAD:
		sub = add_message(m, field, &flow__workload__descriptor);
		return sub && put_workload(sub, text) ? ERR_OK : no_memory(e);
	case RULE_INTERFACE: {
		Flow__NetworkInterface *iface = add_message(m, field, &flow__network_interface__descriptor);
		return iface && put_member(&iface->name, s) ? ERR_OK : no_memory(e);
	}
	case RULE_CEL:
		return put_cel(f, text) ? ERR_OK : no_memory(e);
	}
	return err_set(e, ERR_INTERNAL, "no rule for --%s", rule->flag);
}

/* --- conflicts -------------------------------------------------------------------------------------------- */

static size_t rule_index(const char *flag)
{
	size_t i = 0;

	while (i < RULE_COUNT && strcmp(rules[i].flag, flag) != 0)
		i++;
	return i;
}

static enum err_code check_groups(const struct polarity *p, struct err *e)
{
	for (size_t g = 0; g < ARRAY_LEN(conflict_groups); g++) {
		const char *first = NULL;
		for (const char *const *flag = conflict_groups[g]; *flag; flag++) {
			if (!p->used[rule_index(*flag)])
				continue;
			if (first)
				return err_set(e, ERR_INVALID, "filters --%s and --%s cannot be combined", first, *flag);
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

static enum err_code check_names(const struct words *namespaces, char *const *names, size_t count, struct err *e)
{
	for (size_t n = 0; n < namespaces->count; n++) {
		for (size_t i = 0; i < count; i++) {
			struct str own = namespace_in(names[i]);
			if (own.len && !str_is(own, namespaces->items[n]))
				return err_set(e, ERR_INVALID, "namespace conflict: %s does not contain %s",
					       FLAG_QUOTE(namespaces->items[n]), FLAG_QUOTE(names[i]));
		}
	}
	return ERR_OK;
}

static enum err_code check_services(char *const *pods, size_t pod_count, char *const *services, size_t service_count,
				    struct err *e)
{
	for (size_t p = 0; p < pod_count; p++) {
		struct str own = namespace_in(pods[p]);
		for (size_t s = 0; own.len && s < service_count; s++) {
			char ns[256];
			snprintf(ns, sizeof ns, "%.*s", STR_FMT(own));
			if (!str_eq(own, namespace_in(services[s])))
				return err_set(e, ERR_INVALID, "namespace of service %s conflict with pod %s",
					       FLAG_QUOTE(services[s]), FLAG_QUOTE(ns));
		}
	}
	return ERR_OK;
}

static enum err_code check_namespaces(const struct polarity *p, const Flow__FlowFilter *f, struct err *e)
{
	const struct words *both = &p->namespaces[SIDE_BOTH], *from = &p->namespaces[SIDE_FROM];
	const struct words *to = &p->namespaces[SIDE_TO];

	if (!f)
		return ERR_OK;
	if (check_names(both, f->source_pod, f->n_source_pod, e) != ERR_OK ||
	    check_names(both, f->source_service, f->n_source_service, e) != ERR_OK ||
	    check_names(both, f->destination_pod, f->n_destination_pod, e) != ERR_OK ||
	    check_names(both, f->destination_service, f->n_destination_service, e) != ERR_OK ||
	    check_names(from, f->source_pod, f->n_source_pod, e) != ERR_OK ||
	    check_names(from, f->source_service, f->n_source_service, e) != ERR_OK ||
	    check_names(to, f->destination_pod, f->n_destination_pod, e) != ERR_OK ||
	    check_names(to, f->destination_service, f->n_destination_service, e) != ERR_OK ||
	    check_services(f->source_pod, f->n_source_pod, f->source_service, f->n_source_service, e) != ERR_OK)
		return e->code;
	return check_services(f->destination_pod, f->n_destination_pod, f->destination_service,
			      f->n_destination_service, e);
}

/* --- the builder ------------------------------------------------------------------------------------------ */

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

enum err_code observe_filter_set(struct observe_filter *of, const char *name, const char *text, struct err *e)
{
	size_t i = rule_index(name);
	struct polarity *p = of->negate_next ? &of->deny : &of->allow;

	if (i == RULE_COUNT)
		return err_set(e, ERR_INTERNAL, "--%s is no filter", name);
	const struct rule_def *rule = &rules[i];
	if (rule->rule == RULE_NOT) {
		if (of->negate_next)
			return err_set(e, ERR_INVALID, "consecutive --not statements");
		of->negate_next = true;
		return ERR_OK;
	}
	of->negate_next = false;
	p->used[i] = true;
	if (check_groups(p, e) != ERR_OK)
		return e->code;
	if (rule->rule == RULE_NAMESPACE || rule->rule == RULE_ANY_NAMESPACE) {
		if (add_namespace(&p->namespaces[rule->aux], rule->rule == RULE_NAMESPACE ? text : "", e) != ERR_OK)
			return e->code;
	} else {
		const char *right = rule->right ? rule->right : rule->left;
		if (need_filters(p, e) != ERR_OK || put_value(p->left, rule, rule->left, text, e) != ERR_OK ||
		    put_value(p->right, rule, right, text, e) != ERR_OK)
			return e->code;
	}
	if (check_namespaces(p, p->left, e) != ERR_OK)
		return e->code;
	return check_namespaces(p, p->right, e);
}

enum err_code observe_filter_check(const struct observe_filter *of, struct err *e)
{
	return of->negate_next ? err_set(e, ERR_INVALID, "trailing --not found in the arguments") : ERR_OK;
}

/* Prefixes the names of repeated string field @name that have no namespace with each of @namespaces. */
static bool prefix_names(Flow__FlowFilter *f, const char *name, const struct words *namespaces)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(f->base.descriptor, name);
	size_t *count = field_at(&f->base, field->quantifier_offset), old_count = *count;
	char ***array = field_at(&f->base, field->offset), **old = *array;
	bool ok = true;

	*count = 0;
	*array = NULL;
	for (size_t i = 0; i < old_count; i++) {
		struct str s = str_of(old[i]);
		for (size_t n = 0; ok && n < namespaces->count; n++) {
			AUTO_BUF struct buf whole = buf_init(FILTER_MAX_BYTES);
			if (str_find(s, '/') < s.len) {
				ok = add_text(&f->base, name, s);
				break;
			}
			buf_printf(&whole, "%s/%s", namespaces->items[n], old[i]);
			ok = !whole.failed && add_text(&f->base, name, buf_str(&whole));
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
	if (!pods && !services && !add_text(&f->base, pod, STR("")))
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
	Flow__FlowFilter **grown = reallocarray(list->items, list->count + 1, sizeof(Flow__FlowFilter *));

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

enum err_code observe_filter_lists(struct observe_filter *of, struct filter_list *ret_allow, struct filter_list *ret_deny,
				   struct err *e)
{
	AUTO_FILTER_LIST struct filter_list allow = { 0 }, deny = { 0 };

	if (take_filters(&of->allow, &allow, e) != ERR_OK || take_filters(&of->deny, &deny, e) != ERR_OK)
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

/* --- lists ------------------------------------------------------------------------------------------------ */

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
		if (json_read_prefix(rest, &flow__flow_filter__descriptor, &strict, &wire, &used, e) != ERR_OK)
			return err_in(e, "failed to decode '%s'", json);
		Flow__FlowFilter *f = flow__flow_filter__unpack(NULL, wire.len, (const uint8_t *)buf_str(&wire).p);
		if (!f || !list_add(list, f))
			return no_memory(e);
		rest = str_from(rest, used);
	}
}

static enum err_code put_list(struct buf *b, const char *name, const struct filter_list *list, struct err *e)
{
	if (list->count)
		buf_printf(b, "%s:\n", name);
	for (size_t i = 0; i < list->count; i++) {
		AUTO_BUF struct buf wire = buf_init(FILTER_MAX_BYTES), json = buf_init(4 * FILTER_MAX_BYTES);
		char *to = buf_reserve(&wire, flow__flow_filter__get_packed_size(list->items[i]) + 1);
		if (!to)
			return no_memory(e);
		wire.len = flow__flow_filter__pack(list->items[i], (uint8_t *)to);
		if (json_put_message(&json, &flow__flow_filter__descriptor, buf_str(&wire), e) != ERR_OK)
			return e->code;
		buf_lit(b, "    - ");
		yaml_put_string(b, buf_str(&json));
		buf_char(b, '\n');
	}
	return b->failed ? no_memory(e) : ERR_OK;
}

enum err_code filter_lists_put_yaml(struct buf *b, const struct filter_list *allow, const struct filter_list *deny,
				    struct err *e)
{
	if (!allow->count && !deny->count)
		buf_lit(b, "{}\n");
	if (put_list(b, "allowlist", allow, e) != ERR_OK)
		return e->code;
	return put_list(b, "denylist", deny, e);
}
