#include "cli/filter_rule.h"

#include <stdio.h>

#include "cli/flags.h"
#include "flow/names.h"

const struct filter_rule filter_rules[] = {
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
_Static_assert(ARRAY_LEN(filter_rules) == FILTER_RULE_COUNT, "a rule more or less");

size_t filter_rule_find(const char *flag)
{
	size_t i = 0;

	while (i < FILTER_RULE_COUNT && strcmp(filter_rules[i].flag, flag) != 0)
		i++;
	return i;
}

/* --- repeated fields of a message, by name --- */

static void *field_at(ProtobufCMessage *m, unsigned offset)
{
	return (char *)m + offset;
}

/* Room for one more element of @size bytes in repeated field @name of @m; zeroed. NULL: no memory.
 */
static void *field_grow(ProtobufCMessage *m, const char *name, size_t size)
{
	const ProtobufCFieldDescriptor *field =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
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

/* A new message of @desc as an element of @name; its members are the caller's to fill. NULL: no
 * memory. */
static void *add_message(ProtobufCMessage *m, const char *name,
			 const ProtobufCMessageDescriptor *desc)
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

/* --- one flag's text to one field's value --- */

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
		return err_in(e,
			      "unable to parse type '%s', not a known type name and unable to "
			      "parse as numeric value",
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
		/* The monitor's numbers, not flow.AgentEventType's: the reference sends these,
		 * which is why they do not find agent events there either. */
		static const char *const agent[] = { "unspecified",
						     "message",
						     "agent-started",
						     "endpoint-regenerate-success",
						     "endpoint-regenerate-failure",
						     "policy-updated",
						     "policy-deleted",
						     "endpoint-created",
						     "endpoint-deleted",
						     "ipcache-upserted",
						     "ipcache-deleted" };
		for (size_t i = 0; i < ARRAY_LEN(agent); i++) {
			if (str_is(why, agent[i])) {
				t->sub_type = (int32_t)i;
				return ERR_OK;
			}
		}
	}
	if (flag_parse_uint(why.p, 10, 32, &number, e) != ERR_OK)
		return err_in(e,
			      "unable to parse event sub-type '%s', not a known sub-type name and "
			      "unable to parse as numeric value",
			      why.p);
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
		return err_set(e, ERR_INVALID,
			       "invalid security identity, expected one of [host world unmanaged "
			       "health init remote-node kube-apiserver ingress world-ipv4 "
			       "world-ipv6 11] or a numeric value");
	*ret = (uint32_t)number;
	return ERR_OK;
}

static enum err_code put_ip_trace_id(uint64_t *ret, const char *text, struct err *e)
{
	if (strcmp(text, "0") == 0)
		return err_set(e, ERR_INVALID,
			       "invalid --ip-trace-id value; must be greater than 0");
	if (flag_parse_uint(text, 10, 64, ret, e) != ERR_OK)
		return err_in(e, "invalid --ip-trace-id value");
	return ERR_OK;
}

/* What is no IP version by name means "no IP". */
static int ip_version_of(const char *text)
{
	static const char *const v4[] = { "4", "v4", "ipv4", "ip4" }, *const v6[] = { "6", "v6",
										      "ipv6",
										      "ip6" };

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
		return err_set(e, ERR_INVALID,
			       "%s: invalid traffic direction, expected ingress or egress", lower);
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
	return put_member(&w->kind, str_upto(s, slash)) &&
	       put_member(&w->name, str_from(s, slash + 1));
}

enum err_code filter_rule_put(const struct filter_rule *rule, const char *field, const char *text,
			      Flow__FlowFilter *f, struct err *e)
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
		if (!s.len)
			return err_set(e, ERR_INVALID, "empty --drop-reason-desc value");
		if (!enum_number(&flow__drop_reason__descriptor, s, &number))
			return err_set(e, ERR_INVALID, "invalid --drop-reason-desc value: %s",
				       text);
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
			return err_set(e, ERR_INVALID,
				       "invalid http-header value %s, expected name:value",
				       FLAG_QUOTE(text));
		Flow__HTTPHeader *header = add_message(m, field, &flow__httpheader__descriptor);
		return header && put_member(&header->key, str_upto(s, colon)) &&
				       put_member(&header->value, str_from(s, colon + 1))
			       ? ERR_OK
			       : no_memory(e);
	}
	case RULE_WORKLOAD:
		sub = add_message(m, field, &flow__workload__descriptor);
		return sub && put_workload(sub, text) ? ERR_OK : no_memory(e);
	case RULE_INTERFACE: {
		Flow__NetworkInterface *iface =
			add_message(m, field, &flow__network_interface__descriptor);
		return iface && put_member(&iface->name, s) ? ERR_OK : no_memory(e);
	}
	case RULE_CEL:
		return put_cel(f, text) ? ERR_OK : no_memory(e);
	}
	return err_set(e, ERR_INTERNAL, "no rule for --%s", rule->flag);
}

bool filter_add_text(Flow__FlowFilter *f, const char *field, struct str text)
{
	return add_text(&f->base, field, text);
}

void filter_text_field(Flow__FlowFilter *f, const char *field, char ****ret_items,
		       size_t **ret_count)
{
	const ProtobufCFieldDescriptor *desc =
		protobuf_c_message_descriptor_get_field_by_name(f->base.descriptor, field);

	*ret_items = field_at(&f->base, desc->offset);
	*ret_count = field_at(&f->base, desc->quantifier_offset);
}
