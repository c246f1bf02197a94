/*
 * The flags of observe. Words and groups follow the reference; the texts are ours.
 */
#include "cli/observe.h"

#define TIME_HELP                                                                                  \
	"A duration (3s, 4m, 1h43m, 7d) means that long ago. Otherwise one of: 2006-01-02 "        \
	"(midnight "                                                                               \
	"UTC), 2006-01-02T15Z, 2006-01-02T15:04Z, RFC 3339 (2006-01-02T15:04:05.999Z), RFC 1123 "  \
	"with a numeric zone (Mon, 02 Jan 2006 15:04:05 -0700)."

static const struct flag_def selector_defs[] = {
	{ .name = "all",
	  .type = FLAG_BOOL,
	  .help = "Everything that is stored. This may be much: filter, or use --last." },
	{ .name = "last",
	  .type = FLAG_UINT64,
	  .def = "0",
	  .help = "The last N (20 when nothing else is selected); with --since, the first N from "
		  "there on, as servers count. A relay asks each node for N." },
	{ .name = "first",
	  .type = FLAG_UINT64,
	  .def = "0",
	  .help = "The oldest N. A relay asks each node for N." },
	{ .name = "follow",
	  .short_ = 'f',
	  .type = FLAG_BOOL,
	  .help = "Follow: print flows as they happen" },
	{ .name = "since",
	  .type = FLAG_STRING,
	  .placeholder = "TIME",
	  .help = "Only from this time on. " TIME_HELP },
	{ .name = "until",
	  .type = FLAG_STRING,
	  .placeholder = "TIME",
	  .help = "Only up to this time; with --follow, ends then. Takes the same forms as --since." },
};
const struct flag_set selector_flags = { "Selectors", selector_defs, ARRAY_LEN(selector_defs) };

static const struct flag_def formatting_defs[] = {
	{ .name = "output",
	  .short_ = 'o',
	  .type = FLAG_STRING,
	  .def = "compact",
	  .placeholder = "FORMAT",
	  .values = "compact dict json jsonpb table",
	  .help = "Output format: compact (one line each), dict (KEY: VALUE blocks), json or "
		  "jsonpb (one GetFlowsResponse per line), table (aligned columns, written at the "
		  "end)" },
	{ .name = "print-node-name", .type = FLAG_BOOL, .help = "Print the node's name" },
	{ .name = "print-policy-names",
	  .type = FLAG_BOOL,
	  .help = "Print the names of the policies that decided" },
	{ .name = "time-format",
	  .type = FLAG_STRING,
	  .def = "StampMilli",
	  .placeholder = "FORMAT",
	  .values = "YearMonthDay YearMonthDayHour YearMonthDayHourMinute StampMilli RFC3339 "
		    "RFC3339Milli RFC3339Micro RFC3339Nano RFC1123Z",
	  .help = "Time format of compact, dict and table: StampMilli (Jan _2 15:04:05.000), "
		  "YearMonthDay, YearMonthDayHour, YearMonthDayHourMinute, RFC3339, RFC3339Milli, "
		  "RFC3339Micro, RFC3339Nano, RFC1123Z. Always UTC." },
};
const struct flag_set formatting_flags = { "Formatting", formatting_defs,
					   ARRAY_LEN(formatting_defs) };

static const struct flag_def flow_format_defs[] = {
	{ .name = "numeric", .type = FLAG_BOOL, .help = "Addresses instead of names" },
	{ .name = "ip-translation",
	  .type = FLAG_BOOL,
	  .def = "true",
	  .help = "Show addresses by their logical names: pod, service, DNS name" },
	{ .name = "color",
	  .type = FLAG_STRING,
	  .def = "auto",
	  .values = "auto always never",
	  .placeholder = "WHEN",
	  .help = "Colours in compact and dict: auto, always or never" },
};
const struct flag_set flow_format_flags = { "Flow Format", flow_format_defs,
					    ARRAY_LEN(flow_format_defs) };

#define FILTER(flag, help_text)                                                                    \
	{                                                                                          \
		.name = flag, .type = FLAG_FILTER, .help = help_text, .placeholder = "VALUE"       \
	}
#define FILTER_SHORT(flag, letter, help_text)                                                      \
	{                                                                                          \
		.name = flag, .short_ = letter, .type = FLAG_FILTER, .help = help_text,            \
		.placeholder = "VALUE"                                                             \
	}
#define FILTER_WORDS(flag, words, help_text)                                                       \
	{                                                                                          \
		.name = flag, .type = FLAG_FILTER, .values = words, .help = help_text,             \
		.placeholder = "VALUE"                                                             \
	}
#define FILTER_ALONE(flag, letter, value, help_text)                                               \
	{                                                                                          \
		.name = flag, .short_ = letter, .type = FLAG_FILTER, .no_opt = value,              \
		.help = help_text                                                                  \
	}
#define IDENTITY_WORDS                                                                             \
	"host world unmanaged health init remote-node kube-apiserver ingress world-ipv4 "          \
	"world-ipv6"

static const struct flag_def filter_defs[] = {
	FILTER_ALONE(
		"not", 0, "true",
		"Reverse the next filter flag: hide what it matches (--not --from-ip 2.2.2.2)"),
	FILTER("uuid", "Flow with this unique id"),
	FILTER("node-name", "Nodes by name (\"k8s*\", \"test-cluster/*.company.com\")"),
	FILTER("node-label", "Nodes by label (\"key1=value1\", \"io.cilium/egress-gateway\")"),
	FILTER("from-cluster", "Source endpoint's cluster"),
	FILTER("cluster", "Source or destination endpoint's cluster"),
	FILTER("to-cluster", "Destination endpoint's cluster"),
	FILTER_WORDS("protocol", "icmp icmpv4 icmpv6 igmp sctp tcp udp vrrp dns http kafka",
		     "Protocol of layer 4 or 7 (\"udp\", \"http\")"),
	FILTER_WORDS(
		"tcp-flags", "syn fin rst psh ack urg ece cwr ns",
		"TCP flags; a comma joins flags that must come together (\"syn\", \"syn,ack\")"),
	{ .name = "type",
	  .short_ = 't',
	  .type = FLAG_FILTER,
	  .placeholder = "TYPE[:SUBTYPE]",
	  .values = "capture drop l7 policy-verdict trace trace:from-endpoint trace:from-host "
		    "trace:from-network trace:from-overlay trace:from-proxy trace:from-stack "
		    "trace:from-crypto trace:to-endpoint trace:to-host trace:to-network "
		    "trace:to-overlay trace:to-proxy trace:to-stack trace:to-crypto trace-sock",
	  .help = "Event type, by name or number: capture, drop, l7, policy-verdict, trace, "
		  "trace-sock. Traces have observation points as subtypes: from- and to- endpoint, "
		  "host, network, overlay, proxy, stack, crypto." },
	FILTER_WORDS("verdict", "FORWARDED DROPPED AUDIT REDIRECTED ERROR TRACED TRANSLATED",
		     "Verdict: FORWARDED, DROPPED, AUDIT, REDIRECTED, ERROR, TRACED, TRANSLATED"),
	FILTER("drop-reason-desc",
	       "Drop reason by name (\"POLICY_DENIED\", \"UNSUPPORTED_L3_PROTOCOL\")"),
	FILTER("http-status", "HTTP status code or prefix (\"404\", \"5+\")"),
	FILTER_WORDS("http-method", "CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT TRACE",
		     "HTTP method"),
	FILTER("http-path", "HTTP path as a regular expression (\"/page/\\\\d+\")"),
	FILTER("http-url", "HTTP URL as a regular expression"),
	FILTER("http-header", "HTTP header as name:value, both exact"),
	FILTER("trace-id", "Trace id of the request's trace context"),
	FILTER("ip-trace-id", "Trace id of the IP option, greater than 0"),
	FILTER("from-fqdn", "Source by DNS name (\"*.cilium.io\")"),
	FILTER("fqdn", "Source or destination by DNS name (\"*.cilium.io\")"),
	FILTER("to-fqdn", "Destination by DNS name (\"*.cilium.io\")"),
	FILTER("from-ip", "Source address or CIDR range (1.1.1.1, 1.1.1.0/24)"),
	FILTER("snat-ip", "Source address after translation, or CIDR range"),
	FILTER("ip", "Source or destination address, or CIDR range"),
	FILTER("to-ip", "Destination address or CIDR range"),
	FILTER_ALONE("ipv4", '4', "v4", "Only IPv4"),
	FILTER_ALONE("ipv6", '6', "v6", "Only IPv6"),
	FILTER_WORDS("ip-version", "none v4 v6", "IPv4, IPv6, or none for what is no IP (ARP)"),
	FILTER("from-pod", "Source pod as [namespace/]name-prefix; 'default' is the namespace if "
			   "none is given"),
	FILTER("pod", "Source or destination pod as [namespace/]name-prefix"),
	FILTER("to-pod", "Destination pod as [namespace/]name-prefix"),
	FILTER("from-namespace", "Source namespace"),
	FILTER_SHORT("namespace", 'n', "Source or destination namespace"),
	FILTER("to-namespace", "Destination namespace"),
	FILTER_ALONE("from-all-namespaces", 0, "true", "Source in any namespace"),
	FILTER_ALONE("all-namespaces", 'A', "true", "Source or destination in any namespace"),
	FILTER_ALONE("to-all-namespaces", 0, "true", "Destination in any namespace"),
	FILTER("from-label", "Source endpoint's labels (\"key1=value1\", \"reserved:world\")"),
	FILTER_SHORT(
		"label", 'l',
		"Source or destination endpoint's labels (\"key1=value1\", \"reserved:world\")"),
	FILTER("to-label", "Destination endpoint's labels (\"key1=value1\", \"reserved:world\")"),
	FILTER("from-service", "Source service as [namespace/]name-prefix"),
	FILTER("service", "Source or destination service as [namespace/]name-prefix"),
	FILTER("to-service", "Destination service as [namespace/]name-prefix"),
	FILTER("from-port", "Source port"),
	FILTER("port", "Source or destination port"),
	FILTER("to-port", "Destination port"),
	FILTER("from-workload", "Source workload as [Kind/]name"),
	FILTER("workload", "Source or destination workload as [Kind/]name"),
	FILTER("to-workload", "Destination workload as [Kind/]name"),
	FILTER_WORDS("from-identity", IDENTITY_WORDS,
		     "Source security identity, by reserved name or number"),
	FILTER_WORDS("identity", IDENTITY_WORDS, "Source or destination security identity"),
	FILTER_WORDS("to-identity", IDENTITY_WORDS, "Destination security identity"),
	FILTER_WORDS("traffic-direction", "ingress egress", "Traffic direction: ingress or egress"),
	FILTER("cel-expression", "CEL expression over the flow, which is _flow"),
	FILTER("interface", "Network interface by name (eth0)"),
	FILTER_ALONE("encrypted", 0, "true", "Only encrypted traffic"),
	FILTER_ALONE("unencrypted", 0, "true", "Only traffic that is not encrypted"),
};
const struct flag_set filter_flags = { "Filters", filter_defs, ARRAY_LEN(filter_defs) };

static const struct flag_def raw_filter_defs[] = {
	{ .name = "allowlist",
	  .type = FLAG_STRING_ARRAY,
	  .placeholder = "JSON",
	  .help = "Further alternatives to the filter flags: FlowFilters as JSON objects" },
	{ .name = "denylist",
	  .type = FLAG_STRING_ARRAY,
	  .placeholder = "JSON",
	  .help = "Flows to hide: FlowFilters as JSON objects" },
};
const struct flag_set raw_filter_flags = { "Raw Filters", raw_filter_defs,
					   ARRAY_LEN(raw_filter_defs) };

static const struct flag_def other_defs[] = {
	{ .name = "silent-errors",
	  .short_ = 's',
	  .type = FLAG_BOOL,
	  .help = "Say nothing about nodes that fail or are unavailable" },
	{ .name = "print-raw-filters",
	  .type = FLAG_BOOL,
	  .help = "Print the filters as YAML, as --config takes them, and exit without asking "
		  "anybody" },
	{ .name = "input-file",
	  .type = FLAG_STRING,
	  .values = "FILE",
	  .placeholder = "FILE",
	  .help = "Read flows from this file (JSON, one GetFlowsResponse per line) instead of a "
		  "server; '-' is stdin" },
	{ .name = "field-mask",
	  .type = FLAG_STRING_SLICE,
	  .placeholder = "PATHS",
	  .help = "Comma-separated fields of the flow to ask for; only with JSON output" },
	{ .name = "use-default-field-masks",
	  .type = FLAG_BOOL,
	  .def = "true",
	  .help = "Ask only for the fields that compact, dict and table show" },
};
const struct flag_set other_flags = { "Other", other_defs, ARRAY_LEN(other_defs) };

static const struct flag_def explain_defs[] = {
	{ .name = "explain",
	  .type = FLAG_BOOL,
	  .help = "Print what the other flags will show and how they combine, in words or (-o "
		  "json) "
		  "as JSON, and exit without asking anybody" },
};
const struct flag_set explain_flags = { "Explanation", explain_defs, ARRAY_LEN(explain_defs) };
