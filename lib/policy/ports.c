/* Ports and ICMP types. */
#include <netinet/in.h>

#include "policy/inside.h"

enum { PORTS_MAX = 40, ICMP_FIELDS_MAX = 40, PORT_NAME_MAX = 15, IPPROTO_VRRP = 112 };

/* RFC 6335 §5.1: 1 to 15 letters, digits and hyphens, at least one letter, no hyphen at an end or
 * beside another. */
static bool is_service_name(struct str s)
{
	bool letter = false;

	if (!s.len || s.len > PORT_NAME_MAX || s.p[0] == '-' || s.p[s.len - 1] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '-' && s.p[i - 1] == '-')
			return false;
		if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) && s.p[i] != '-')
			return false;
		letter |= is_alpha(s.p[i]);
	}
	return letter;
}

/* Digits only; a leading zero makes them octal, as in the reference. (What has a letter, "0x50", is
 * a name.) */
static bool read_number(struct str s, uint16_t *ret)
{
	uint32_t base = s.len > 1 && s.p[0] == '0' ? 8 : 10, n = 0;

	if (!s.len)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!is_digit(s.p[i]) || (uint32_t)(s.p[i] - '0') >= base)
			return false;
		n = n * base + (uint32_t)(s.p[i] - '0');
		if (n > UINT16_MAX)
			return false;
	}
	*ret = (uint16_t)n;
	return true;
}

static struct str lower(struct reading *r, struct str s)
{
	char *p = room(r, s.len);

	if (!p)
		return STR("");
	for (size_t i = 0; i < s.len; i++)
		p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 'a' - 'A') : s.p[i];
	return str_n(p, s.len);
}

/* --- protocols ------------------------------------------------------------------------------ */

enum { PROTOCOLS_MAX = 3 };
struct protocols {
	uint8_t list[PROTOCOLS_MAX];
	size_t count;
	bool any;
};

static const struct protocols any_protocol = { { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP },
					       PROTOCOLS_MAX,
					       true };

static struct protocols read_protocol(struct reading *r, struct str s, bool exact)
{
	static const struct {
		const char *name;
		uint8_t number;
	} known[] = { { "TCP", IPPROTO_TCP },
		      { "UDP", IPPROTO_UDP },
		      { "SCTP", IPPROTO_SCTP },
		      { "VRRP", IPPROTO_VRRP },
		      { "IGMP", IPPROTO_IGMP } };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (exact ? str_is(s, known[i].name) : str_eq_nocase(s, str_of(known[i].name)))
			return (struct protocols){ { known[i].number }, 1, false };
	if (!s.len || (exact ? str_is(s, "ANY") : str_eq_nocase(s, STR("any"))))
		return any_protocol;
	bad(r, "protocol '%.*s': must be TCP, UDP, SCTP, VRRP, IGMP or ANY",
	    (int)(s.len < 40 ? s.len : 40), s.p);
	return any_protocol;
}

/* --- one port --------------------------------------------------------------------------------- */

static void add_port(struct reading *r, struct rule *rule, struct port port)
{
	/* grows by doubling: a rule has a handful */
	if ((rule->port_count & (rule->port_count - 1)) == 0) {
		struct port *more =
			room(r, (rule->port_count ? rule->port_count * 2 : 1) * sizeof *more);
		if (!more)
			return;
		if (rule->port_count)
			memcpy(more, rule->ports, rule->port_count * sizeof *more);
		rule->ports = more;
	}
	rule->ports[rule->port_count++] = port;
}

static void add_protocols(struct reading *r, struct rule *rule, const struct protocols *protocols,
			  struct port port)
{
	for (size_t i = 0; i < protocols->count; i++) {
		port.protocol = protocols->list[i];
		add_port(r, rule, port);
	}
}

static uint16_t read_end(struct reading *r, const json_t *end)
{
	if (!end || json_is_null(end))
		return 0;
	if (!json_is_integer(end) || json_integer_value(end) < 0 ||
	    json_integer_value(end) > UINT16_MAX) {
		size_t at = step(r, "endPort");

		bad(r, "it must be a number up to %d", UINT16_MAX);
		back(r, at);
		return 0;
	}
	return (uint16_t)json_integer_value(end);
}

/* Port text and last port to a range or a name. Cilium (PortRangeToMaskedPorts) takes a last port
 * that is not above the first for none, and lets one begin at a named port. Nobody writes one that
 * is below the first and means it. */
static struct port make_port(struct reading *r, struct str text, const json_t *end)
{
	struct port port = { 0 };
	uint16_t last = read_end(r, end);

	port.end = last;
	if (!text.len) {
		bad(r, "the port is missing");
		return port;
	}
	if (is_service_name(text)) {
		port.name = lower(r, text);
		port.named_last = last;
		return port;
	}
	if (!read_number(text, &port.first)) {
		bad(r,
		    "port '%.*s': must be a number up to 65535, or a name of at most %d letters, "
		    "digits and single hyphens",
		    (int)(text.len < 40 ? text.len : 40), text.p, PORT_NAME_MAX);
		return port;
	}
	port.last = port.first;
	if (last && last < port.first && !r->served)
		bad(r, "endPort %u is below port %u", last, port.first);
	if (last > port.first)
		port.last = last;
	else if (port.first == 0)
		port.last = UINT16_MAX;
	return port;
}

static void check_proxy_port(struct reading *r, const struct l7 *l7, const struct port *port,
			     const struct protocols *protocols)
{
	bool ranged = port->first != port->last;

	if (!l7->any)
		return;
	if (!l7->dns && (protocols->any || protocols->list[0] != IPPROTO_TCP))
		bad(r, "rules for a proxy can only apply to TCP, but for those of DNS");
	if (l7->dns && !port->name.len && port->first && ranged)
		bad(r, "rules for DNS take no range of ports");
	if (!port->name.len && !port->first)
		bad(r, "rules for a proxy take no port 0");
}

static void check_port(struct reading *r, const struct port *port,
		       const struct protocols *protocols)
{
	bool has_no_ports = !protocols->any && (protocols->list[0] == IPPROTO_VRRP ||
						protocols->list[0] == IPPROTO_IGMP);

	if (has_no_ports && !port->name.len && port->first)
		bad(r, "VRRP and IGMP have no ports: it must be 0");
}

/* --- toPorts ------------------------------------------------------------------------------------
 */

static void read_ports_of(struct reading *r, const json_t *ports, const struct l7 *l7,
			  const struct proxies *proxies, struct rule *rule)
{
	static const char *const keys[] = { "port", "endPort", "protocol", NULL };
	size_t n = json_array_size(ports);

	if (n > PORTS_MAX)
		bad(r, "%zu ports: at most %d", n, PORTS_MAX);
	for (size_t i = 0; i < n && r->code == ERR_OK; i++) {
		const json_t *one = json_array_get(ports, i);
		size_t at = step_to(r, i);

		if (is_object(r, one)) {
			only(r, one, keys);
			struct str text = member_text(r, one, "port");
			struct str protocol = member_text(r, one, "protocol");
			struct protocols protocols = read_protocol(r, protocol, true);
			struct port port = make_port(r, text, json_object_get(one, "endPort"));

			if (protocol.p && !protocol.len && !r->served)
				bad(r, "protocol is empty: leave it out for all, or write ANY");
			check_port(r, &port, &protocols);
			check_proxy_port(r, l7, &port, &protocols);
			for (size_t j = 0; j < protocols.count; j++) {
				port.protocol = protocols.list[j];
				port.proxy = port.protocol == IPPROTO_TCP ? proxies->tcp
									  : proxies->other;
				port.asks = proxies->asks;
				add_port(r, rule, port);
			}
		}
		back(r, at);
	}
}

static void read_to_port(struct reading *r, const json_t *entry, struct port_context where,
			 struct rule *rule)
{
	static const char *const keys[] = { "ports",    "rules",          "serverNames",
					    "listener", "terminatingTLS", "originatingTLS",
					    NULL };
	struct l7 l7;

	only(r, entry, keys);
	json_t *ports = member_array(r, entry, "ports");
	struct proxies proxies = read_proxies(r, entry, where, &l7);
	if (l7.dns && !json_array_size(ports))
		bad(r, "rules for DNS need a port");
	size_t at = step(r, "ports");
	read_ports_of(r, ports, &l7, &proxies, rule);
	back(r, at);
}

void read_to_ports(struct reading *r, const json_t *list, struct port_context where,
		   struct rule *rule)
{
	size_t at = step(r, "toPorts");

	for (size_t i = 0; i < json_array_size(list) && r->code == ERR_OK; i++) {
		const json_t *entry = json_array_get(list, i);
		size_t below = step_to(r, i);

		if (is_object(r, entry))
			read_to_port(r, entry, where, rule);
		rule->narrowed = true;
		back(r, below);
	}
	back(r, at);
}

/* --- NetworkPolicy: ports -----------------------------------------------------------------------
 */

/* What the API server lets pass (Kubernetes, pkg/apis/networking/validation), which has seen it
 * already when it gave the policy. A number in quotes it would refuse; the agent takes it. */
static void check_kube_port(struct reading *r, const json_t *one, struct str protocol,
			    const struct port *port)
{
	const json_t *value = json_object_get(one, "port"), *end = json_object_get(one, "endPort");

	if (protocol.p && !str_is(protocol, "TCP") && !str_is(protocol, "UDP") &&
	    !str_is(protocol, "SCTP"))
		bad(r, "protocol '%.*s': must be TCP, UDP or SCTP",
		    (int)(protocol.len < 40 ? protocol.len : 40), protocol.p);
	if (value && !json_is_null(value) && !port->name.len && !port->first)
		bad(r, "port 0: must be 1 to %d", UINT16_MAX);
	if (!end || json_is_null(end))
		return;
	if (!value || json_is_null(value))
		bad(r, "endPort without port");
	else if (port->name.len)
		bad(r, "endPort beside a port that is a name");
	else if (!json_integer_value(end))
		bad(r, "endPort 0: must be 1 to %d", UINT16_MAX);
}

void read_kube_ports(struct reading *r, const json_t *list, struct rule *rule)
{
	static const char *const keys[] = { "port", "endPort", "protocol", NULL };
	size_t at = step(r, "ports");

	for (size_t i = 0; i < json_array_size(list) && r->code == ERR_OK; i++) {
		const json_t *one = json_array_get(list, i);
		size_t below = step_to(r, i);

		if (is_object(r, one)) {
			only(r, one, keys);
			json_t *value = json_object_get(one, "port");
			struct str protocol = member_text(r, one, "protocol");
			struct protocols protocols =
				read_protocol(r, protocol.p ? protocol : STR("TCP"), false);
			struct port port = { .last = UINT16_MAX };
			char digits[24];

			if (json_is_integer(value)) {
				(void)snprintf(digits, sizeof digits, "%lld",
					       (long long)json_integer_value(value));
				port = make_port(r, str_of(digits),
						 json_object_get(one, "endPort"));
			} else if (json_is_string(value)) {
				port = make_port(r, text_of(r, value),
						 json_object_get(one, "endPort"));
			} else if (value && !json_is_null(value)) {
				size_t down = step(r, "port");
				bad_type(r, value, "a whole number or a name");
				back(r, down);
			} else {
				(void)read_end(r, json_object_get(one, "endPort"));
			}
			if (!r->served)
				check_kube_port(r, one, protocol, &port);
			add_protocols(r, rule, &protocols, port);
			rule->narrowed = true;
		}
		back(r, below);
	}
	back(r, at);
}

/* --- ICMP ---------------------------------------------------------------------------------------
 */

struct icmp_name {
	const char *name;
	uint8_t type;
};
/* Names of the resource definition (CiliumNetworkPolicy, v2), which has no ExtendedEchoReply: it writes
 * it as two words, that the agent does not know. Numbers: IANA. */
static const struct icmp_name icmp4_names[] = {
	{ "EchoReply", 0 },
	{ "DestinationUnreachable", 3 },
	{ "Redirect", 5 },
	{ "Echo", 8 },
	{ "EchoRequest", 8 },
	{ "RouterAdvertisement", 9 },
	{ "RouterSelection", 10 },
	{ "TimeExceeded", 11 },
	{ "ParameterProblem", 12 },
	{ "Timestamp", 13 },
	{ "TimestampReply", 14 },
	{ "Photuris", 40 },
	{ "ExtendedEchoRequest", 42 },
};
static const struct icmp_name icmp6_names[] = {
	{ "DestinationUnreachable", 1 },
	{ "PacketTooBig", 2 },
	{ "TimeExceeded", 3 },
	{ "ParameterProblem", 4 },
	{ "EchoRequest", 128 },
	{ "EchoReply", 129 },
	{ "MulticastListenerQuery", 130 },
	{ "MulticastListenerReport", 131 },
	{ "MulticastListenerDone", 132 },
	{ "RouterSolicitation", 133 },
	{ "RouterAdvertisement", 134 },
	{ "NeighborSolicitation", 135 },
	{ "NeighborAdvertisement", 136 },
	{ "RedirectMessage", 137 },
	{ "RouterRenumbering", 138 },
	{ "ICMPNodeInformationQuery", 139 },
	{ "ICMPNodeInformationResponse", 140 },
	{ "InverseNeighborDiscoverySolicitation", 141 },
	{ "InverseNeighborDiscoveryAdvertisement", 142 },
	{ "HomeAgentAddressDiscoveryRequest", 144 },
	{ "HomeAgentAddressDiscoveryReply", 145 },
	{ "MobilePrefixSolicitation", 146 },
	{ "MobilePrefixAdvertisement", 147 },
	{ "DuplicateAddressRequestCodeSuffix", 157 },
	{ "DuplicateAddressConfirmationCodeSuffix", 158 },
	{ "ExtendedEchoRequest", 160 },
};

static bool icmp_type(struct str text, bool v6, uint8_t *ret)
{
	const struct icmp_name *names = v6 ? icmp6_names : icmp4_names;
	size_t n = v6 ? ARRAY_LEN(icmp6_names) : ARRAY_LEN(icmp4_names);

	/* "08" the resource definition does not take */
	if (parse_u8(text, ret))
		return text.len == 1 || text.p[0] != '0';
	for (size_t i = 0; i < n; i++)
		if (str_is(text, names[i].name)) {
			*ret = names[i].type;
			return true;
		}
	return false;
}

static void read_icmp_field(struct reading *r, const json_t *field, struct rule *rule)
{
	static const char *const keys[] = { "family", "type", NULL };

	if (!is_object(r, field))
		return;
	only(r, field, keys);
	struct str family = member_text(r, field, "family");
	const json_t *type = json_object_get(field, "type");
	bool v6 = str_is(family, "IPv6");
	uint8_t number = 0;

	if ((family.len || (family.p && !r->served)) && !v6 && !str_is(family, "IPv4"))
		bad(r, "family must be IPv4 or IPv6");
	if (json_is_integer(type)) {
		if (json_integer_value(type) < 0 || json_integer_value(type) > UINT8_MAX)
			bad(r, "type must be 0 to 255");
		number = (uint8_t)json_integer_value(type);
	} else if (!json_is_string(type)) {
		bad(r, "type must be a number or a name");
	} else if (!icmp_type(text_of(r, type), v6, &number)) {
		bad(r, "type '%s' is none of ICMP over %s", EXCERPT(text_of(r, type)),
		    v6 ? "IPv6" : "IPv4");
	}
	/* type 0 is kept where ports are kept, where 0 means all of them */
	add_port(r, rule,
		 (struct port){ .protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP,
				.first = number,
				.last = number ? number : UINT16_MAX });
}

void read_icmps(struct reading *r, const json_t *list, struct rule *rule)
{
	static const char *const keys[] = { "fields", NULL };
	size_t at = step(r, "icmps");

	for (size_t i = 0; i < json_array_size(list) && r->code == ERR_OK; i++) {
		const json_t *entry = json_array_get(list, i);
		size_t below = step_to(r, i);

		if (is_object(r, entry)) {
			only(r, entry, keys);
			json_t *fields = member_array(r, entry, "fields");
			if (json_array_size(fields) > ICMP_FIELDS_MAX)
				bad(r, "%zu fields: at most %d", json_array_size(fields),
				    ICMP_FIELDS_MAX);
			for (size_t j = 0; j < json_array_size(fields) && r->code == ERR_OK; j++) {
				size_t down = step(r, "fields");

				(void)step_to(r, j);
				read_icmp_field(r, json_array_get(fields, j), rule);
				back(r, down);
			}
		}
		rule->narrowed = true; /* an entry without fields is for none of them */
		back(r, below);
	}
	back(r, at);
}
