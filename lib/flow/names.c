#include "flow/names.h"

#include "flow/flow.h"

/* --- enums --- */

const char *enum_name(const ProtobufCEnumDescriptor *desc, int32_t number)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(desc, number);

	return v ? v->name : NULL;
}

void enum_put(struct buf *b, const ProtobufCEnumDescriptor *desc, int32_t number)
{
	const char *name = enum_name(desc, number);

	if (name)
		buf_str_put(b, str_of(name));
	else
		buf_i64(b, number);
}

bool enum_number(const ProtobufCEnumDescriptor *desc, struct str name, int32_t *ret)
{
	for (unsigned i = 0; i < desc->n_values; i++)
		if (str_is(name, desc->values[i].name)) {
			*ret = desc->values[i].value;
			return true;
		}
	return false;
}

/* --- tables --- */

#define NAME_AT(table, i) ((i) < ARRAY_LEN(table) ? (table)[i] : NULL)

/* pkg/monitor/api/drop.go; codes below 130 are reasons of metrics, never of drops. */
static const char *const drop_texts[] = {
	[0] = "Success",
	[2] = "Invalid packet",
	[3] = "Interface",
	[4] = "Interface Decrypted",
	[5] = "LB, sock cgroup: No backend slot entry found",
	[6] = "LB, sock cgroup: No backend entry found",
	[7] = "LB, sock cgroup: Reverse entry update failed",
	[8] = "LB, sock cgroup: Reverse entry stale",
	[9] = "Fragmented packet",
	[10] = "Fragmented packet entry update failed",
	[11] = "Missed tail call to custom program",
	[12] = "Interface Decrypting",
	[13] = "Interface Encrypting",
	[14] = "LB: sock cgroup: Reverse entry delete succeeded",
	[15] = "MTU error message",
	[130] = "Invalid source mac",
	[131] = "Invalid destination mac",
	[132] = "Invalid source ip",
	[133] = "Policy denied",
	[134] = "Invalid packet",
	[135] = "CT: Truncated or invalid header",
	[136] = "Fragmentation needed",
	[137] = "CT: Unknown L4 protocol",
	[138] = "CT: Can't create entry from packet",
	[139] = "Unsupported L3 protocol",
	[140] = "Missed tail call",
	[141] = "Error writing to packet",
	[142] = "Unknown L4 protocol",
	[143] = "Unknown ICMPv4 code",
	[144] = "Unknown ICMPv4 type",
	[145] = "Unknown ICMPv6 code",
	[146] = "Unknown ICMPv6 type",
	[147] = "Error retrieving tunnel key",
	[148] = "Error retrieving tunnel options",
	[149] = "Invalid Geneve option",
	[150] = "Unknown L3 target address",
	[151] = "Stale or unroutable IP",
	[152] = "No matching local container found",
	[153] = "Error while correcting L3 checksum",
	[154] = "Error while correcting L4 checksum",
	[155] = "CT: Map insertion failed",
	[156] = "Invalid IPv6 extension header",
	[157] = "IP fragmentation not supported",
	[158] = "Service backend not found",
	[160] = "No tunnel/encapsulation endpoint (datapath BUG!)",
	[161] = "NAT 46/64 not enabled",
	[162] = "Reached EDT rate-limiting drop horizon",
	[163] = "Unknown connection tracking state",
	[164] = "Local host is unreachable",
	[165] = "No configuration available to perform policy decision",
	[166] = "Unsupported L2 protocol",
	[167] = "No mapping for NAT masquerade",
	[168] = "Unsupported protocol for NAT masquerade",
	[169] = "FIB lookup failed",
	[170] = "Encapsulation traffic is prohibited",
	[171] = "Invalid identity",
	[172] = "Unknown sender",
	[173] = "NAT not needed",
	[174] = "Is a ClusterIP",
	[175] = "First logical datagram fragment not found",
	[176] = "Forbidden ICMPv6 message",
	[177] = "Denied by LB src range check",
	[178] = "Socket lookup failed",
	[179] = "Socket assign failed",
	[180] = "Proxy redirection not supported for protocol",
	[181] = "Policy denied by denylist",
	[182] = "VLAN traffic disallowed by VLAN filter",
	[183] = "Incorrect VNI from VTEP",
	[184] = "Failed to update or lookup TC buffer",
	[185] = "No SID was found for the IP address",
	[186] = "SRv6 state was removed during tail call",
	[187] = "L3 translation from IPv4 to IPv6 failed (NAT46)",
	[188] = "L3 translation from IPv6 to IPv4 failed (NAT64)",
	[189] = "Authentication required",
	[190] = "No conntrack map found",
	[191] = "No nat map found",
	[192] = "Invalid ClusterID",
	[193] = "Unsupported packet protocol for DSR encapsulation",
	[194] = "No egress gateway found",
	[195] = "Traffic is unencrypted",
	[196] = "TTL exceeded",
	[197] = "No node ID found",
	[198] = "Rate limited",
	[199] = "IGMP handled",
	[200] = "IGMP subscribed",
	[201] = "Multicast handled",
	[202] = "Host datapath not ready",
	[203] = "Endpoint policy program not available",
	[204] = "No Egress IP configured",
	[205] = "Punt to proxy",
};

const char *drop_reason_text(uint32_t code)
{
	return NAME_AT(drop_texts, code);
}

/* pkg/identity/numericidentity.go; 11 (overlay-to-encrypt) is read, but written as a number. */
static const char *const identity_names[] = {
	"unknown",     "host",           "world",   "unmanaged",  "health",     "init",
	"remote-node", "kube-apiserver", "ingress", "world-ipv4", "world-ipv6",
};
enum { IDENTITY_OVERLAY_TO_ENCRYPT = 11 };

const char *identity_name(uint32_t identity)
{
	return NAME_AT(identity_names, identity);
}

bool identity_parse_name(struct str name, uint32_t *ret)
{
	for (uint32_t i = 1; i < ARRAY_LEN(identity_names); i++)
		if (str_is(name, identity_names[i])) {
			*ret = i;
			return true;
		}
	if (str_is(name, "overlay-to-encrypt")) {
		*ret = IDENTITY_OVERLAY_TO_ENCRYPT;
		return true;
	}
	return false;
}

/* pkg/monitor/api/types.go, the raw sub types of trace events. */
const char *trace_point_text(uint32_t raw_sub_type)
{
	static const char *const texts[] = {
		"to-endpoint",   "to-proxy",   "to-host",     "to-stack",   "to-overlay",
		"from-endpoint", "from-proxy", "from-host",   "from-stack", "from-overlay",
		"from-network",  "to-network", "from-crypto", "to-crypto",
	};

	return NAME_AT(texts, raw_sub_type);
}

/* pkg/monitor/api/types.go, PolicyMatchType */
const char *policy_match_text(uint32_t match_type)
{
	static const char *const texts[] = { "none", "L3-Only",  "L3-L4",     "L4-Only",
					     "all",  "L3-Proto", "Proto-Only" };
	const char *text = NAME_AT(texts, match_type);

	return text ? text : "unknown";
}

const char *l4_name(uint64_t l4)
{
	static const char *const names[] = {
		[FLOW_L4_NONE] = "",        [FLOW_L4_TCP] = "TCP",      [FLOW_L4_UDP] = "UDP",
		[FLOW_L4_ICMP4] = "ICMPv4", [FLOW_L4_ICMP6] = "ICMPv6", [FLOW_L4_SCTP] = "SCTP",
		[FLOW_L4_VRRP] = "VRRP",    [FLOW_L4_IGMP] = "IGMP",
	};

	return l4 < ARRAY_LEN(names) ? names[l4] : "";
}

const char *event_type_text(int32_t type)
{
	switch (type) { /* pkg/monitor/api/types.go, MessageTypeNames */
	case 0:
		return "unspec";
	case 1:
		return "drop";
	case 2:
		return "debug";
	case 3:
		return "capture";
	case 4:
		return "trace";
	case 5:
		return "policy-verdict";
	case 7:
		return "trace-sock";
	case 129:
		return "l7";
	case 130:
		return "agent";
	default:
		return NULL;
	}
}

/* --- ICMP, IGMP: gopacket's layers --- */

struct icmp_type {
	uint8_t type;
	const char *name;
	size_t code_count;
	/* of 0 to code_count - 1; NULL: the type has none, and only 0 is expected */
	const char *const *codes;
};

static const char *const unreachable4[] = {
	"Net",
	"Host",
	"Protocol",
	"Port",
	"FragmentationNeeded",
	"SourceRoutingFailed",
	"NetUnknown",
	"HostUnknown",
	"SourceIsolated",
	"NetAdminProhibited",
	"HostAdminProhibited",
	"NetTOS",
	"HostTOS",
	"CommAdminProhibited",
	"HostPrecedence",
	"PrecedenceCutoff",
};
static const char *const redirect4[] = { "Net", "Host", "TOS+Net", "TOS+Host" };
static const char *const exceeded4[] = { "TTLExceeded", "FragmentReassemblyTimeExceeded" };
static const char *const parameter4[] = { "PointerIndicatesError", "MissingOption", "BadLength" };
static const char *const unreachable6[] = {
	"NoRouteToDst",    "AdminProhibited",        "BeyondScopeOfSrc", "AddressUnreachable",
	"PortUnreachable", "SrcAddressFailedPolicy", "RejectRouteToDst",
};
static const char *const exceeded6[] = { "HopLimitExceeded", "FragmentReassemblyTimeExceeded" };
static const char *const parameter6[] = { "ErroneousHeaderField", "UnrecognizedNextHeader",
					  "UnrecognizedIPv6Option" };

#define WITH_CODES(table) ARRAY_LEN(table), table

static const struct icmp_type icmp4_types[] = {
	{ 0, "EchoReply", 0, NULL },
	{ 3, "DestinationUnreachable", WITH_CODES(unreachable4) },
	{ 4, "SourceQuench", 0, NULL },
	{ 5, "Redirect", WITH_CODES(redirect4) },
	{ 8, "EchoRequest", 0, NULL },
	{ 9, "RouterAdvertisement", 0, NULL },
	{ 10, "RouterSolicitation", 0, NULL },
	{ 11, "TimeExceeded", WITH_CODES(exceeded4) },
	{ 12, "ParameterProblem", WITH_CODES(parameter4) },
	{ 13, "TimestampRequest", 0, NULL },
	{ 14, "TimestampReply", 0, NULL },
	{ 15, "InfoRequest", 0, NULL },
	{ 16, "InfoReply", 0, NULL },
	{ 17, "AddressMaskRequest", 0, NULL },
	{ 18, "AddressMaskReply", 0, NULL },
};

static const struct icmp_type icmp6_types[] = {
	{ 1, "DestinationUnreachable", WITH_CODES(unreachable6) },
	{ 2, "PacketTooBig", 0, NULL },
	{ 3, "TimeExceeded", WITH_CODES(exceeded6) },
	{ 4, "ParameterProblem", WITH_CODES(parameter6) },
	{ 128, "EchoRequest", 0, NULL },
	{ 129, "EchoReply", 0, NULL },
	{ 133, "RouterSolicitation", 0, NULL },
	{ 134, "RouterAdvertisement", 0, NULL },
	{ 135, "NeighborSolicitation", 0, NULL },
	{ 136, "NeighborAdvertisement", 0, NULL },
	{ 137, "Redirect", 0, NULL },
};

static void put_icmp(struct buf *b, const struct icmp_type *types, size_t n, uint8_t type,
		     uint8_t code)
{
	const struct icmp_type *t = types;

	while (t < types + n && t->type != type)
		t++;
	if (t == types + n) {
		buf_u64(b, type);
		buf_char(b, '(');
		buf_u64(b, code);
		buf_char(b, ')');
		return;
	}
	buf_str_put(b, str_of(t->name));
	if (!t->codes && !code)
		return;
	buf_char(b, '(');
	if (code < t->code_count) {
		buf_str_put(b, str_of(t->codes[code]));
	} else {
		buf_lit(b, "Code: ");
		buf_u64(b, code);
	}
	buf_char(b, ')');
}

void icmp4_text_put(struct buf *b, uint8_t type, uint8_t code)
{
	put_icmp(b, icmp4_types, ARRAY_LEN(icmp4_types), type, code);
}

void icmp6_text_put(struct buf *b, uint8_t type, uint8_t code)
{
	put_icmp(b, icmp6_types, ARRAY_LEN(icmp6_types), type, code);
}

const char *igmp_type_text(uint8_t type)
{
	switch (type) {
	case 0x11:
		return "IGMP Membership Query";
	case 0x12:
		return "IGMPv1 Membership Report";
	case 0x16:
		return "IGMPv2 Membership Report";
	case 0x17:
		return "Leave Group";
	case 0x22:
		return "IGMPv3 Membership Report";
	default:
		return "";
	}
}

/* --- DNS: gopacket's names of types and response codes --- */

const char *dns_type_text(uint16_t type)
{
	static const char *const texts[] = {
		[1] = "A",       [2] = "NS",    [3] = "MD",     [4] = "MF",     [5] = "CNAME",
		[6] = "SOA",     [7] = "MB",    [8] = "MG",     [9] = "MR",     [10] = "NULL",
		[11] = "WKS",    [12] = "PTR",  [13] = "HINFO", [14] = "MINFO", [15] = "MX",
		[16] = "TXT",    [28] = "AAAA", [33] = "SRV",   [41] = "OPT",   [46] = "RRSIG",
		[48] = "DNSKEY", [64] = "SVCB", [65] = "HTTPS", [256] = "URI",
	};
	const char *text = NAME_AT(texts, type);

	return text ? text : "Unknown";
}

const char *dns_rcode_text(uint16_t rcode)
{
	static const char *const texts[] = {
		[0] = "No Error",
		[1] = "Format Error",
		[2] = "Server Failure",
		[3] = "Non-Existent Domain",
		[4] = "Not Implemented",
		[5] = "Query Refused",
		[6] = "Name Exists when it should not",
		[7] = "RR Set Exists when it should not",
		[8] = "RR Set that should exist does not",
		[9] = "Server Not Authoritative for zone",
		[10] = "Name not contained in zone",
		[16] = "Bad OPT Version",
		[17] = "Key not recognized",
		[18] = "Signature out of time window",
		[19] = "Bad TKEY Mode",
		[20] = "Duplicate key name",
		[21] = "Algorithm not supported",
		[22] = "Bad Truncation",
		[23] = "Bad Cookie",
	};
	const char *text = NAME_AT(texts, rcode);

	return text ? text : "Unknown";
}
