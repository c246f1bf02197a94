#include "cli/explain_field.h"

#include "base/buf.h"
#include "flow/json.h"
#include "flow/names.h"

enum { VALUE_MAX_BYTES = 1 << 20 };

/* --- texts that came from outside --- */

static void put_escaped(struct buf *b, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < ' ' || c == 0x7f)
			buf_printf(b, "\\x%02x", c);
		else
			buf_char(b, (char)c);
	}
}

/* Bare where it cannot be misread among other words, in double quotes otherwise. */
static void put_name(struct buf *b, struct str s)
{
	static const char also[] = "._-:/*+=%~@[]";
	bool bare = s.len > 0;

	for (size_t i = 0; bare && i < s.len; i++) {
		char c = s.p[i];
		bare = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		       memchr(also, c, sizeof also - 1);
	}
	if (bare) {
		buf_str_put(b, s);
		return;
	}
	buf_char(b, '"');
	put_escaped(b, s);
	buf_char(b, '"');
}

static void put_code(struct buf *b, struct str s)
{
	buf_char(b, '`');
	put_escaped(b, s);
	buf_char(b, '`');
}

/* --- what one value says: the verb is returned, what follows it is appended --- */

typedef const char *says_fn(struct buf *b, const void *value);

static struct str text_at(const void *value)
{
	return str_of(*(char *const *)value);
}

static const char *says_name(struct buf *b, const void *value)
{
	put_name(b, text_at(value));
	return "is";
}

static const char *says_address(struct buf *b, const void *value)
{
	struct str s = text_at(value);

	put_name(b, s);
	return str_find(s, '/') < s.len ? "is in" : "is";
}

/* "namespace/name-prefix" of a @noun. */
static const char *says_path(struct buf *b, const void *value, const char *noun)
{
	struct str s = text_at(value);
	size_t slash = str_find(s, '/');
	struct str namespace_ = slash < s.len ? str_upto(s, slash) : STR("default");
	struct str prefix = slash < s.len ? str_from(s, slash + 1) : s;

	if (!prefix.len && !namespace_.len) {
		buf_lit(b, "in any namespace");
		return "is";
	}
	if (prefix.len)
		buf_printf(b, "a %s of ", noun);
	else
		buf_lit(b, "in ");
	if (namespace_.len) {
		buf_lit(b, "namespace ");
		put_name(b, namespace_);
	} else {
		buf_lit(b, "any namespace");
	}
	if (prefix.len) {
		buf_lit(b, " whose name begins with ");
		put_name(b, prefix);
	}
	return "is";
}

static const char *says_pod(struct buf *b, const void *value)
{
	return says_path(b, value, "pod");
}

static const char *says_service(struct buf *b, const void *value)
{
	return says_path(b, value, "service");
}

static const char *says_glob(struct buf *b, const void *value)
{
	struct str s = text_at(value);

	put_name(b, s);
	return str_find(s, '*') < s.len ? "matches" : "is";
}

static const char *says_selector(struct buf *b, const void *value)
{
	put_name(b, text_at(value));
	return "match";
}

static const char *says_regexp(struct buf *b, const void *value)
{
	put_code(b, text_at(value));
	return "matches the regular expression";
}

static const char *says_true(struct buf *b, const void *value)
{
	put_code(b, text_at(value));
	return "to true:";
}

/* "node", "cluster/node", "cluster/", "/node": a part that is missing is not asked for. */
static const char *says_node(struct buf *b, const void *value)
{
	struct str s = text_at(value);
	size_t slash = str_find(s, '/');
	struct str cluster = slash < s.len ? str_upto(s, slash) : STR("");
	struct str node = slash < s.len ? str_from(s, slash + 1) : s;

	if (!node.len && !cluster.len)
		buf_lit(b, "any");
	if (node.len) {
		buf_lit(b, "named ");
		put_name(b, node);
	}
	if (cluster.len) {
		buf_printf(b, "%sin cluster ", node.len ? " " : "");
		put_name(b, cluster);
	}
	return "is";
}

static const char *says_status(struct buf *b, const void *value)
{
	struct str s = text_at(value);
	bool prefix = str_has_suffix(s, STR("+"));

	put_name(b, prefix ? str_upto(s, s.len - 1) : s);
	return prefix ? "begins with" : "is";
}

static const char *says_trace_id(struct buf *b, const void *value)
{
	struct str s = text_at(value);

	if (s.len)
		put_name(b, s);
	else
		buf_lit(b, "absent");
	return "is";
}

static const char *says_workload(struct buf *b, const void *value)
{
	const Flow__Workload *w = *(Flow__Workload *const *)value;

	if (!*w->kind && !*w->name)
		buf_lit(b, "of any kind");
	if (*w->kind) {
		buf_lit(b, "a ");
		put_name(b, str_of(w->kind));
	}
	if (*w->name) {
		buf_printf(b, "%snamed ", *w->kind ? " " : "");
		put_name(b, str_of(w->name));
	}
	return "is";
}

static const char *says_verdict(struct buf *b, const void *value)
{
	enum_put(b, &flow__verdict__descriptor, *(const int *)value);
	return "is";
}

static const char *says_direction(struct buf *b, const void *value)
{
	enum_put(b, &flow__traffic_direction__descriptor, *(const int *)value);
	return "is";
}

static const char *says_drop_reason(struct buf *b, const void *value)
{
	enum_put(b, &flow__drop_reason__descriptor, *(const int *)value);
	return "is";
}

static const char *says_ip_version(struct buf *b, const void *value)
{
	if (*(const int *)value == FLOW__IPVERSION__IP_NOT_USED)
		buf_lit(b, "none (not IP)");
	else
		enum_put(b, &flow__ipversion__descriptor, *(const int *)value);
	return "is";
}

static const char *says_interface(struct buf *b, const void *value)
{
	const Flow__NetworkInterface *i = *(Flow__NetworkInterface *const *)value;

	if (!*i->name && !i->index)
		buf_lit(b, "known");
	if (*i->name)
		put_name(b, str_of(i->name));
	if (i->index)
		buf_printf(b, "%snumber %u", *i->name ? ", " : "", i->index);
	return "is";
}

/* As --type takes it where it can. */
static const char *says_event_type(struct buf *b, const void *value)
{
	enum { ANY = 0, TRACE = 4 };
	const Flow__EventTypeFilter *t = *(Flow__EventTypeFilter *const *)value;
	const char *type = t->type == ANY ? "any" : event_type_text(t->type);
	const char *point = t->type == TRACE && t->match_sub_type
				    ? trace_point_text((uint32_t)t->sub_type)
				    : NULL;

	if (type)
		buf_printf(b, "%s", type);
	else
		buf_i64(b, t->type);
	if (point)
		buf_printf(b, ":%s", point);
	else if (t->match_sub_type)
		buf_printf(b, ":%d", t->sub_type);
	return "is";
}

static const char *says_reply(struct buf *b, const void *value)
{
	if (*(const protobuf_c_boolean *)value)
		buf_lit(b, "a reply");
	else
		buf_lit(b, "known not to be a reply, or dropped and not known to be one");
	return "is";
}

static const char *says_encrypted(struct buf *b, const void *value)
{
	if (*(const protobuf_c_boolean *)value)
		buf_lit(b, "encrypted");
	else
		buf_lit(b, "not encrypted");
	return "is";
}

static const char *says_identity(struct buf *b, const void *value)
{
	uint32_t identity = *(const uint32_t *)value;
	const char *name = identity_name(identity);

	buf_u64(b, identity);
	if (name)
		buf_printf(b, " (%s)", name);
	return "is";
}

static const char *says_header(struct buf *b, const void *value)
{
	const Flow__HTTPHeader *h = *(Flow__HTTPHeader *const *)value;
	AUTO_BUF struct buf line = buf_init(VALUE_MAX_BYTES);

	buf_printf(&line, "%s: %s", h->key, h->value);
	put_code(b, buf_str(&line));
	return "is";
}

static const char *says_tcp_flags(struct buf *b, const void *value)
{
	const Flow__TCPFlags *t = *(Flow__TCPFlags *const *)value;
	const struct {
		const char *name;
		bool set;
	} flags[] = { { "SYN", t->syn }, { "ACK", t->ack }, { "FIN", t->fin },
		      { "RST", t->rst }, { "PSH", t->psh }, { "URG", t->urg },
		      { "ECE", t->ece }, { "CWR", t->cwr }, { "NS", t->ns } };
	const char *plus = "";

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (!flags[i].set)
			continue;
		buf_printf(b, "%s%s", plus, flags[i].name);
		plus = "+";
	}
	if (!*plus) {
		buf_lit(b, "known");
		return "are";
	}
	return "include";
}

static const char *says_ip_trace_id(struct buf *b, const void *value)
{
	uint64_t id = *(const uint64_t *)value;

	if (id)
		buf_u64(b, id);
	else
		buf_lit(b, "absent");
	return "is";
}

/* --- the fields --- */

static const struct explained {
	const char *name;
	const char *subject;
	says_fn *says;
} fields[] = {
	{ "uuid", "the unique id", says_name },
	{ "source_ip", "the source address", says_address },
	{ "source_ip_xlated", "the translated source address", says_address },
	{ "source_pod", "the source", says_pod },
	{ "source_fqdn", "a DNS name of the source", says_glob },
	{ "source_label", "the labels of the source", says_selector },
	{ "source_service", "the service of the source", says_service },
	{ "source_workload", "a workload of the source", says_workload },
	{ "source_cluster_name", "the cluster of the source", says_name },
	{ "destination_ip", "the destination address", says_address },
	{ "destination_pod", "the destination", says_pod },
	{ "destination_fqdn", "a DNS name of the destination", says_glob },
	{ "destination_label", "the labels of the destination", says_selector },
	{ "destination_service", "the service of the destination", says_service },
	{ "destination_workload", "a workload of the destination", says_workload },
	{ "destination_cluster_name", "the cluster of the destination", says_name },
	{ "traffic_direction", "the traffic direction", says_direction },
	{ "verdict", "the verdict", says_verdict },
	{ "drop_reason_desc", "the flow was dropped, and the reason", says_drop_reason },
	{ "interface", "the network interface", says_interface },
	{ "event_type", "the event type", says_event_type },
	{ "http_status_code", "the HTTP status", says_status },
	{ "protocol", "the protocol", says_name },
	{ "source_port", "the source port", says_name },
	{ "destination_port", "the destination port", says_name },
	{ "reply", "the flow", says_reply },
	{ "dns_query", "the DNS query", says_regexp },
	{ "source_identity", "the security identity of the source", says_identity },
	{ "destination_identity", "the security identity of the destination", says_identity },
	{ "http_method", "the HTTP method", says_name },
	{ "http_path", "the path of the HTTP URL", says_regexp },
	{ "http_url", "the HTTP URL", says_regexp },
	{ "http_header", "an HTTP header", says_header },
	{ "tcp_flags", "the TCP flags", says_tcp_flags },
	{ "node_name", "the node", says_node },
	{ "node_labels", "the labels of the node", says_selector },
	{ "ip_version", "the IP version", says_ip_version },
	{ "trace_id", "the trace id", says_trace_id },
	{ "ip_trace_id", "the trace id in the IP header", says_ip_trace_id },
	{ "encrypted", "the flow", says_encrypted },
	{ "experimental.cel_expression", "CEL evaluates", says_true },
};
_Static_assert(ARRAY_LEN(fields) == EXPLAIN_FIELD_COUNT, "a field more or less");

/* The values of a repeated field: @count of @size bytes each. */
struct values {
	const ProtobufCFieldDescriptor *field;
	const char *at;
	size_t count, size;
};

static size_t value_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_STRING:
		return sizeof(char *);
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(ProtobufCMessage *);
	case PROTOBUF_C_TYPE_UINT64:
		return sizeof(uint64_t);
	default: /* enums, booleans and uint32 */
		return sizeof(uint32_t);
	}
}
_Static_assert(sizeof(protobuf_c_boolean) == sizeof(uint32_t) &&
		       sizeof(Flow__Verdict) == sizeof(uint32_t),
	       "booleans and enums are as wide as uint32");

static struct values values_of(size_t field, const Flow__FlowFilter *f)
{
	const ProtobufCMessage *m = &f->base;
	const char *name = fields[field].name;
	const char *dot = strchr(name, '.');

	if (dot) { /* the one field that lies deeper */
		if (!f->experimental)
			return (struct values){ 0 };
		m = &f->experimental->base;
		name = dot + 1;
	}
	const ProtobufCFieldDescriptor *desc =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);
	const char *base = (const char *)m;
	return (struct values){
		.field = desc,
		.at = *(const char *const *)(base + desc->offset),
		.count = *(const size_t *)(base + desc->quantifier_offset),
		.size = value_size(desc->type),
	};
}

const char *explain_field_name(size_t field)
{
	return fields[field].name;
}

size_t explain_field_values(size_t field, const Flow__FlowFilter *f)
{
	return values_of(field, f).count;
}

void explain_field_put_words(size_t field, const Flow__FlowFilter *f, struct buf *b)
{
	struct values v = values_of(field, f);
	AUTO_BUF struct buf object = buf_init(VALUE_MAX_BYTES);
	const char *last = "";

	buf_printf(b, "%s ", fields[field].subject);
	for (size_t i = 0; i < v.count; i++) {
		buf_reset(&object);
		const char *verb = fields[field].says(&object, v.at + i * v.size);
		if (i)
			buf_lit(b, " or ");
		if (strcmp(verb, last) != 0)
			buf_printf(b, "%s ", verb);
		buf_str_put(b, buf_str(&object));
		b->failed |= object.failed;
		last = verb;
	}
}

static enum err_code put_message(struct buf *b, const ProtobufCMessage *m, struct err *e)
{
	AUTO_BUF struct buf wire = buf_init(VALUE_MAX_BYTES);
	char *to = buf_reserve(&wire, protobuf_c_message_get_packed_size(m) + 1);

	if (!to)
		return err_set(e, ERR_NOMEM, "explanation");
	wire.len = protobuf_c_message_pack(m, (uint8_t *)to);
	return json_put_message(b, m->descriptor, buf_str(&wire), e);
}

static void put_enum(struct buf *b, const ProtobufCEnumDescriptor *desc, int number)
{
	const char *name = enum_name(desc, number);

	if (name)
		json_put_string(b, str_of(name));
	else
		buf_i64(b, number);
}

enum err_code explain_field_put_json(size_t field, const Flow__FlowFilter *f, struct buf *b,
				     struct err *e)
{
	struct values v = values_of(field, f);

	buf_char(b, '[');
	for (size_t i = 0; i < v.count; i++) {
		const void *at = v.at + i * v.size;
		if (i)
			buf_char(b, ',');
		switch (v.field->type) {
		case PROTOBUF_C_TYPE_STRING:
			json_put_string(b, text_at(at));
			break;
		case PROTOBUF_C_TYPE_ENUM:
			put_enum(b, v.field->descriptor, *(const int *)at);
			break;
		case PROTOBUF_C_TYPE_BOOL:
			buf_printf(b, "%s", *(const protobuf_c_boolean *)at ? "true" : "false");
			break;
		case PROTOBUF_C_TYPE_UINT64: /* a string, as in proto3 JSON */
			buf_char(b, '"');
			buf_u64(b, *(const uint64_t *)at);
			buf_char(b, '"');
			break;
		case PROTOBUF_C_TYPE_MESSAGE:
			if (put_message(b, *(ProtobufCMessage *const *)at, e) != ERR_OK)
				return e->code;
			break;
		default:
			buf_u64(b, *(const uint32_t *)at);
		}
	}
	buf_char(b, ']');
	return ERR_OK;
}
