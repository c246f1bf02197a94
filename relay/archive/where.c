#include "relay/archive/where.h"

#include "base/buf.h"
#include "clickhouse/quote.h"
#include "filter/netip.h"
#include "flow/flow.pb-c.h"
#include "flow/names.h"

enum { OCTET_BITS = 8, V4_BYTES = 4, V4_AT = 12 /* in a mapped address */ };

/* Conditions joined by AND. */
struct rule {
	struct buf *b;
	size_t count;
};

static void join(struct rule *r)
{
	if (r->count++)
		buf_lit(r->b, " AND ");
}

/* " IN (" the first, "," the others. */
static void next_of_list(struct buf *b, size_t i)
{
	buf_str_put(b, i ? STR(",") : STR(" IN ("));
}

static void put_texts(struct rule *r, const char *column, char *const *values, size_t count)
{
	if (!count)
		return;
	join(r);
	buf_str_put(r->b, str_of(column));
	for (size_t i = 0; i < count; i++) {
		next_of_list(r->b, i);
		clickhouse_quote_put(r->b, str_of(values[i]));
	}
	buf_char(r->b, ')');
}

static void put_numbers(struct rule *r, const char *column, const uint32_t *values, size_t count)
{
	if (!count)
		return;
	join(r);
	buf_str_put(r->b, str_of(column));
	for (size_t i = 0; i < count; i++) {
		next_of_list(r->b, i);
		buf_u64(r->b, values[i]);
	}
	buf_char(r->b, ')');
}

/* protobuf-c's enums are as wide as int. */
_Static_assert(sizeof(Flow__Verdict) == sizeof(int) && sizeof(Flow__DropReason) == sizeof(int) &&
		       sizeof(Flow__TrafficDirection) == sizeof(int),
	       "enums are ints");

/* The column has their names, or numbers that have none. */
static void put_enums(struct rule *r, const char *column, const ProtobufCEnumDescriptor *desc,
		      const void *values, size_t count)
{
	const int *numbers = values;

	if (!count)
		return;
	join(r);
	buf_str_put(r->b, str_of(column));
	for (size_t i = 0; i < count; i++) {
		next_of_list(r->b, i);
		buf_char(r->b, '\'');
		enum_put(r->b, desc, numbers[i]);
		buf_char(r->b, '\'');
	}
	buf_char(r->b, ')');
}

/* A port beyond 16 bits is compared by its low half: such rows all pass. */
static void put_ports(struct rule *r, const char *column, char *const *values, size_t count)
{
	if (!count)
		return;
	join(r);
	buf_printf(r->b, "(%s > 65535 OR %s", column, column);
	for (size_t i = 0; i < count; i++) {
		struct str digits = str_of(values[i]);
		while (digits.len > 1 && digits.p[0] == '0')
			digits = str_from(digits, 1);
		next_of_list(r->b, i);
		buf_str_put(r->b, digits);
	}
	buf_lit(r->b, "))");
}

/* "10.1." for 10.1.0.0/16 and 10.1.2.0/23; false: the prefix has no whole octet of IPv4. */
static bool put_octets(struct buf *b, const struct netip_prefix *p)
{
	unsigned octets = p->bits / OCTET_BITS;

	if (!p->addr.is_v4 || !octets)
		return false;
	for (unsigned i = 0; i < octets && i < V4_BYTES; i++)
		buf_printf(b, "%u%s", p->addr.ip[V4_AT + i], i + 1 < V4_BYTES ? "." : "");
	return true;
}

static bool put_address(struct buf *b, const char *column, struct str value)
{
	struct netip_prefix prefix;

	if (str_find(value, '/') == value.len) {
		buf_printf(b, "%s = ", column);
		clickhouse_quote_put(b, value);
		return true;
	}
	if (netip_prefix_parse(value, &prefix, NULL) != ERR_OK)
		return false;
	buf_printf(b, "startsWith(%s, '", column);
	bool said = put_octets(b, &prefix);
	buf_lit(b, "')");
	return said;
}

/* "ns/prefix", "prefix": of the namespace default. As lib/filter reads it. */
struct path {
	struct str namespace_, prefix;
};

static struct path path_of(struct str s)
{
	size_t slash = str_find(s, '/');
	struct str prefix = str_from(s, slash + 1);

	return slash == s.len ? (struct path){ STR("default"), s }
			      : (struct path){ str_upto(s, slash),
					       str_upto(prefix, str_find(prefix, '/')) };
}

static bool put_pod(struct buf *b, const char *side, struct str value)
{
	const struct path p = path_of(value);

	if (!p.namespace_.len && !p.prefix.len)
		return false;
	if (p.namespace_.len) {
		buf_printf(b, "%s_namespace = ", side);
		clickhouse_quote_put(b, p.namespace_);
	}
	if (p.prefix.len) {
		buf_printf(b, "%sstartsWith(%s_pod, ", p.namespace_.len ? " AND " : "", side);
		clickhouse_quote_put(b, p.prefix);
		buf_char(b, ')');
	}
	return true;
}

/* The column is "ns/name". */
static bool put_service(struct buf *b, const char *column, struct str value)
{
	const struct path p = path_of(value);

	if (!p.namespace_.len)
		return false;
	buf_printf(b, "startsWith(%s, concat(", column);
	clickhouse_quote_put(b, p.namespace_);
	buf_lit(b, ",'/',");
	clickhouse_quote_put(b, p.prefix);
	buf_lit(b, "))");
	return true;
}

/* A pattern that is a plain name in lower case, so that only that name fits. */
static bool put_node(struct buf *b, const char *column, struct str value)
{
	size_t slash = str_find(value, '/');
	bool has_cluster = slash < value.len;

	for (size_t i = 0; i < value.len; i++) {
		char c = value.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' &&
		    i != slash)
			return false;
	}
	if (has_cluster && (!slash || slash + 1 == value.len))
		return false;
	struct str node = has_cluster ? str_from(value, slash + 1) : value;
	buf_printf(b, "%s = ", column); /* a node without a cluster is in "default" */
	clickhouse_quote_put(b, node);
	if (has_cluster) {
		buf_printf(b, " OR %s = ", column);
		clickhouse_quote_put(b, value);
	} else {
		buf_printf(b, " OR endsWith(%s, concat('/',", column);
		clickhouse_quote_put(b, node);
		buf_lit(b, "))");
	}
	return true;
}

/* Values joined by OR; one of which nothing can be said takes all others with it. */
static void put_any(struct rule *r, bool (*put)(struct buf *b, const char *what, struct str value),
		    const char *what, char *const *values, size_t count)
{
	const struct rule before = *r;
	size_t len = r->b->len;

	if (!count)
		return;
	join(r);
	buf_char(r->b, '(');
	for (size_t i = 0; i < count; i++) {
		buf_str_put(r->b, i ? STR(" OR (") : STR("("));
		if (!put(r->b, what, str_of(values[i]))) {
			r->b->len = r->b->failed ? r->b->len : len;
			*r = before;
			return;
		}
		buf_char(r->b, ')');
	}
	buf_char(r->b, ')');
}

static void put_protocols(struct rule *r, const Flow__FlowFilter *ff)
{
	static const struct {
		const char *asked, *column; /* as lib/filter and l4_name have them */
	} known[] = {
		{ "icmp", "'ICMPv4','ICMPv6'" },
		{ "icmpv4", "'ICMPv4'" },
		{ "icmpv6", "'ICMPv6'" },
		{ "tcp", "'TCP'" },
		{ "udp", "'UDP'" },
		{ "sctp", "'SCTP'" },
		{ "vrrp", "'VRRP'" },
		{ "igmp", "'IGMP'" },
	};
	const char *columns[ARRAY_LEN(known)];
	bool asked[ARRAY_LEN(known)] = { false };

	for (size_t i = 0; i < ff->n_protocol; i++) {
		size_t k = 0;
		while (k < ARRAY_LEN(known) &&
		       !str_eq_nocase(str_of(ff->protocol[i]), str_of(known[k].asked)))
			k++;
		if (k == ARRAY_LEN(known))
			return; /* of layer 7 */
		asked[k] = true;
		columns[k] = known[k].column;
	}
	for (size_t k = 0, n = 0; k < ARRAY_LEN(known); k++) {
		if (!asked[k])
			continue;
		if (!n++) {
			join(r);
			buf_lit(r->b, "protocol IN (");
		} else {
			buf_char(r->b, ',');
		}
		buf_str_put(r->b, str_of(columns[k]));
	}
	if (ff->n_protocol)
		buf_char(r->b, ')');
}

static void put_ip_versions(struct rule *r, const Flow__FlowFilter *ff)
{
	uint32_t columns[2];

	if (!ff->n_ip_version || ff->n_ip_version > ARRAY_LEN(columns))
		return;
	for (size_t i = 0; i < ff->n_ip_version; i++) {
		if (ff->ip_version[i] != FLOW__IPVERSION__IPv4 &&
		    ff->ip_version[i] != FLOW__IPVERSION__IPv6)
			return;
		columns[i] = ff->ip_version[i] == FLOW__IPVERSION__IPv4 ? 4 : 6;
	}
	put_numbers(r, "ip_version", columns, ff->n_ip_version);
}

/* What values of a bool are asked for: bit 0 false, bit 1 true. */
static unsigned bools_of(const protobuf_c_boolean *values, size_t count)
{
	unsigned asked = 0;

	for (size_t i = 0; i < count; i++)
		asked |= values[i] ? 2 : 1;
	return asked;
}

static void put_bools(struct rule *r, const Flow__FlowFilter *ff)
{
	unsigned reply = bools_of(ff->reply, ff->n_reply),
		 encrypted = bools_of(ff->encrypted, ff->n_encrypted);

	if (reply == 1 || reply == 2) {
		join(r);
		/* a drop that does not say counts as no reply */
		buf_str_put(r->b, reply == 2 ? STR("is_reply = 1")
					     : STR("(is_reply = 0 OR verdict = 'DROPPED')"));
	}
	if (encrypted == 1 || encrypted == 2) {
		join(r);
		buf_printf(r->b, "encrypted = %u", encrypted - 1);
	}
}

static void put_event_types(struct rule *r, const Flow__FlowFilter *ff)
{
	for (size_t i = 0; i < ff->n_event_type; i++)
		if (!ff->event_type[i]->type) /* any */
			return;
	if (!ff->n_event_type)
		return;
	join(r);
	buf_lit(r->b, "event_type");
	for (size_t i = 0; i < ff->n_event_type; i++) {
		next_of_list(r->b, i);
		buf_i64(r->b, ff->event_type[i]->type);
	}
	buf_char(r->b, ')');
}

/* One filter. @return false: nothing can be said. */
static bool put_rule(struct buf *b, const Flow__FlowFilter *ff)
{
	struct rule r = { b, 0 };

	put_enums(&r, "verdict", &flow__verdict__descriptor, ff->verdict, ff->n_verdict);
	put_enums(&r, "drop_reason_desc", &flow__drop_reason__descriptor, ff->drop_reason_desc,
		  ff->n_drop_reason_desc);
	put_enums(&r, "traffic_direction", &flow__traffic_direction__descriptor,
		  ff->traffic_direction, ff->n_traffic_direction);
	put_ip_versions(&r, ff);
	put_protocols(&r, ff);
	put_bools(&r, ff);
	put_event_types(&r, ff);
	put_ports(&r, "source_port", ff->source_port, ff->n_source_port);
	put_ports(&r, "destination_port", ff->destination_port, ff->n_destination_port);
	put_numbers(&r, "source_identity", ff->source_identity, ff->n_source_identity);
	put_numbers(&r, "destination_identity", ff->destination_identity,
		    ff->n_destination_identity);
	put_texts(&r, "uuid", ff->uuid, ff->n_uuid);
	put_texts(&r, "source_cluster", ff->source_cluster_name, ff->n_source_cluster_name);
	put_texts(&r, "destination_cluster", ff->destination_cluster_name,
		  ff->n_destination_cluster_name);
	put_any(&r, put_node, "node_name", ff->node_name, ff->n_node_name);
	put_any(&r, put_address, "source_ip", ff->source_ip, ff->n_source_ip);
	put_any(&r, put_address, "destination_ip", ff->destination_ip, ff->n_destination_ip);
	put_any(&r, put_pod, "source", ff->source_pod, ff->n_source_pod);
	put_any(&r, put_pod, "destination", ff->destination_pod, ff->n_destination_pod);
	put_any(&r, put_service, "source_service", ff->source_service, ff->n_source_service);
	put_any(&r, put_service, "destination_service", ff->destination_service,
		ff->n_destination_service);
	return r.count > 0;
}

void where_put(struct buf *b, Flow__FlowFilter *const *whitelist, size_t count)
{
	AUTO_BUF struct buf text = buf_init(WHERE_MAX_BYTES);
	bool says_something = count > 0;

	for (size_t i = 0; i < count && says_something; i++) {
		buf_str_put(&text, i ? STR(" OR (") : STR("("));
		says_something = put_rule(&text, whitelist[i]);
		buf_char(&text, ')');
	}
	buf_str_put(b, says_something && !text.failed ? buf_str(&text) : STR("1"));
}
