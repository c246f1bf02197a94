/* lib/policy: proxies and authentication that rules ask for, and rules that exclude each other. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/flow.h"
#include "policy_fixture.h"

/* Of @egress, two rules, asked for 203.0.113.7, or www.example: 443/TCP, or UDP. */
static struct policy_answer ask_for(const char *egress, uint8_t protocol, char proxy[16],
				    char mode[32])
{
	static const struct str world[] = { { "reserved:world", 14 } };
	uint8_t ip[1][16];
	char text[2048];

	assert_true(ip_parse(STR("203.0.113.7"), ip[0]));
	const struct policy_end out = {
		.labels = world, .label_count = 1, .ips = (const uint8_t(*)[16])ip, .ip_count = 1
	};
	(void)snprintf(text, sizeof text, CNP("{endpointSelector: {}, egress: [%s]}"), egress);
	AUTO(policy_set_free) struct policy_set *set = set_of(text);
	const struct policy_answer a =
		ask(set, POLICY_EGRESS, &web, &out, "www.example", protocol, 443);
	(void)snprintf(proxy, 16, "%.*s", STR_FMT(a.redirect)); /* the set goes */
	(void)snprintf(mode, 32, "%.*s", STR_FMT(a.authentication));
	return a;
}

static struct policy_answer ask_for_proxy(const char *egress, uint8_t protocol, char proxy[16])
{
	char mode[32];

	return ask_for(egress, protocol, proxy, mode);
}

#define WORLD "toEntities: [world]"
#define TO_443(peer, more)                                                                         \
	"{" peer ", toPorts: [{ports: [{port: '443', protocol: TCP}], " more "}]}"
#define TO_RANGE(more)                                                                             \
	"{" WORLD ", toPorts: [{ports: [{port: '400', endPort: 500, protocol: TCP}], " more "}]}"
#define NOTHING "rules: {http: []}"
#define HTTP "rules: {http: [{method: GET}]}"
#define KAFKA "rules: {kafka: [{topic: t}]}"
#define OWN "rules: {l7proto: pg, l7: [{a: b}]}"
#define DNS "rules: {dns: [{matchPattern: '*'}]}"
#define NAMES "serverNames: [www.example]"
#define TERMINATING(secret) "terminatingTLS: {secret: {" secret "}}"
#define ORIGINATING(secret) "originatingTLS: {secret: {" secret "}}"
#define LISTENER(more) "listener: {envoyConfig: {name: c}, name: l" more "}"

/* Cilium's order of what rules ask for of one packet, whichever rule comes first (pkg/policy, the
 * priorities of listeners). */
static void of_proxies_one_wins(void **state)
{
	(void)state;
	static const struct {
		const char *one, *other, *proxy;
	} cases[] = {
		{ TO_443(WORLD, NAMES ", " TERMINATING("name: s")), TO_443(WORLD, HTTP), "http" },
		{ TO_443(WORLD, TERMINATING("name: s")), TO_443(WORLD, OWN), "pg" },
		{ TO_443(WORLD, KAFKA), TO_RANGE(HTTP), "http" },
		{ TO_443(WORLD, OWN), TO_RANGE(KAFKA), "kafka" },
		{ TO_443(WORLD, NAMES), TO_RANGE(OWN), "pg" },
		{ TO_443(WORLD, DNS), TO_RANGE(NAMES), "tls" },
		{ TO_443(WORLD, DNS), TO_RANGE(LISTENER("")), "dns" },
		{ TO_443(WORLD, HTTP), TO_RANGE(LISTENER(", priority: 100")), "crd" },
		{ TO_443(WORLD, "originatingTLS: {secret: {name: s}}"), TO_RANGE(NOTHING), "tls" },
		{ TO_443(WORLD, NAMES ", " LISTENER("")), TO_RANGE(NOTHING), "crd" },
		{ TO_443(WORLD, NOTHING), TO_RANGE(LISTENER("")), "crd" },
	};
	char proxy[16], both[1024];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (size_t turn = 0; turn < 2; turn++) {
			(void)snprintf(both, sizeof both, "%s, %s",
				       turn ? cases[i].other : cases[i].one,
				       turn ? cases[i].one : cases[i].other);
			assert_int_equal(ask_for_proxy(both, IPPROTO_TCP, proxy).verdict,
					 POLICY_ALLOWED);
			assert_string_equal(proxy, cases[i].proxy);
		}
}

/* All but DNS, TLS and listeners look at TCP only, where the rule is for any protocol. */
static void proxies_of_tcp_are_no_others(void **state)
{
	(void)state;
	static const struct {
		const char *more, *tcp, *udp;
	} cases[] = { { "rules: {l7proto: pg}", "pg", "" },
		      { DNS, "dns", "dns" },
		      { NAMES, "tls", "tls" },
		      { LISTENER(""), "crd", "crd" } };
	char text[512], proxy[16];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(text, sizeof text,
			       "{" WORLD ", toPorts: [{ports: [{port: '443'}], %s}]}",
			       cases[i].more);
		assert_int_equal(ask_for_proxy(text, IPPROTO_TCP, proxy).verdict, POLICY_ALLOWED);
		assert_string_equal(proxy, cases[i].tcp);
		assert_int_equal(ask_for_proxy(text, IPPROTO_UDP, proxy).verdict, POLICY_ALLOWED);
		assert_string_equal(proxy, cases[i].udp);
	}
}

/* Two rules that ask for different proxies, or authentication, of one peer on one port: Cilium
 * cannot compute the policy of the end (pkg/policy, how the rules of a port are merged). */
static void rules_that_exclude_each_other_break_the_end(void **state)
{
	(void)state;
#define CIDR "toCIDR: [203.0.113.0/24]"
#define SET "toCIDRSet: [{cidr: 203.0.113.0/24, except: [203.0.113.128/25]}]"
#define GROUP(more) "toCIDRSet: [{cidrGroupRef: nobody" more "}]"
#define TO_PORT(port, more) "{" WORLD ", toPorts: [{ports: [{" port ", protocol: TCP}], " more "}]}"
#define NAME "toFQDNs: [{matchName: www.example}]"
#define AUTH(peer, mode) "{" peer ", authentication: {mode: " mode "}}"
#define OTHER_LISTENER(more) "listener: {envoyConfig: {name: c}, name: m" more "}"
#define PORT_443 "toPorts: [{ports: [{port: '443', protocol: TCP}]}]"
	static const struct {
		const char *rules;
		bool breaks;
	} cases[] = {
		{ TO_443(WORLD, HTTP) ", " TO_443(WORLD, KAFKA), true },
		{ TO_443(WORLD, HTTP) ", " TO_RANGE(KAFKA), false },
		{ TO_443(WORLD, HTTP) ", " TO_443(CIDR, KAFKA), false },
		{ TO_443(CIDR, HTTP) ", " TO_443(CIDR, KAFKA), true },
		{ TO_443(CIDR, HTTP) ", " TO_443("toCIDR: [203.0.0.0/16]", KAFKA), false },
		{ TO_443(CIDR, HTTP) ", " TO_443(NAME, KAFKA), false },
		{ TO_443("toEntities: [host, world]", HTTP) ", " TO_443(WORLD, KAFKA), true },
		{ TO_443(CIDR, HTTP) ", " TO_443("toCIDR: [203.0.113.9/24]", KAFKA), false },
		{ TO_443(SET, HTTP) ", " TO_443(SET, KAFKA), true },
		{ TO_443(SET, HTTP) ", " TO_443(CIDR, KAFKA), false },
		{ TO_443("toEntities: [none]", HTTP) ", " TO_443("toEntities: [none]", KAFKA),
		  false },
		{ TO_443(GROUP(""), HTTP) ", " TO_443(GROUP(""), KAFKA), true },
		{ TO_443(GROUP(", except: [10.0.0.0/8]"), HTTP) ", " TO_443(GROUP(""), KAFKA),
		  false },
		{ "{toPorts: [{ports: [{port: '443', protocol: TCP}], " HTTP "}]}, " //
		  TO_443("toCIDRSet: [{cidrGroupSelector: {}}]", KAFKA),
		  true },
		{ TO_443(WORLD, HTTP) ", " TO_PORT("port: '443', endPort: 443", KAFKA), false },
		{ TO_PORT("port: web", HTTP) ", " TO_PORT("port: web, endPort: 500", KAFKA), true },
		{ TO_443(NAME, HTTP) ", " TO_443(NAME, KAFKA), true },
		{ TO_443(NAME, HTTP) ", " TO_443("toFQDNs: [{matchPattern: '*.example'}]", KAFKA),
		  false },
		{ TO_443("toEntities: [all]", HTTP) ", " TO_443("toEntities: [all]", KAFKA), true },
		{ "{toPorts: [{ports: [{port: '443', protocol: TCP}], " HTTP "}]}, " //
		  TO_443("toEntities: [all, host]", KAFKA),
		  true },
		{ TO_443(WORLD, NAMES) ", " TO_443(WORLD, HTTP), true },
		{ TO_443(WORLD, HTTP) ", " TO_443(WORLD, NAMES), true },
		{ TO_443(WORLD, NAMES ", " TERMINATING("name: s")) ", " TO_443(WORLD, HTTP),
		  false },
		{ TO_443(WORLD, NAMES) ", " TO_443(WORLD, HTTP ", " TERMINATING("name: s")),
		  false },
		{ TO_443(WORLD, NAMES) ", " TO_443(WORLD, "rules: {http: []}"), false },
		{ TO_443(WORLD, NAMES) ", " TO_443(CIDR, HTTP), false },
		{ TO_443(WORLD, TERMINATING("name: s")) ", " TO_443(WORLD, TERMINATING("name: t")),
		  true },
		{ TO_443(WORLD, TERMINATING("name: s")) ", " //
		  TO_443(WORLD, TERMINATING("name: s, namespace: shop")),
		  true },
		{ TO_443(WORLD, TERMINATING("name: s")) ", " TO_443(WORLD, TERMINATING("name: s")),
		  false },
		{ TO_443(WORLD, TERMINATING("name: s")) ", " TO_443(WORLD, ORIGINATING("name: t")),
		  false },
		{ TO_443(WORLD, TERMINATING("name: s")) ", " TO_443(CIDR, TERMINATING("name: t")),
		  false },
		{ TO_443(WORLD, ORIGINATING("name: s")) ", " TO_443(WORLD, ORIGINATING("name: t")),
		  true },
		{ TO_443(WORLD, ORIGINATING("name: s, namespace: a")) ", " //
		  TO_443(WORLD, ORIGINATING("name: s, namespace: b") ", " HTTP),
		  true },
		{ TO_443(WORLD, LISTENER("")) ", " TO_443(WORLD, LISTENER("")), false },
		{ TO_443(WORLD, LISTENER("")) ", " TO_443(WORLD, OTHER_LISTENER("")), true },
		{ TO_443(WORLD, LISTENER(", priority: 7")) ", " //
		  TO_443(WORLD, OTHER_LISTENER(", priority: 7")),
		  true },
		{ TO_443(WORLD, LISTENER(", priority: 7")) ", " TO_443(WORLD, OTHER_LISTENER("")),
		  false },
		{ TO_443(WORLD, LISTENER("")) ", " //
		  TO_443(WORLD, "listener: {envoyConfig: {name: d}, name: l}"),
		  true },
		{ TO_443(WORLD, LISTENER("")) ", " //
		  TO_443(WORLD, "listener: {envoyConfig: {name: c, kind: "
				"CiliumClusterwideEnvoyConfig}, name: l}"),
		  true },
		{ TO_443(WORLD, LISTENER("")) ", " //
		  TO_443(WORLD, "listener: {envoyConfig: {name: c, kind: CiliumEnvoyConfig}, "
				"name: l}"),
		  false },
		{ TO_443(WORLD, LISTENER("")) ", " TO_443(CIDR, OTHER_LISTENER("")), false },
		{ TO_443(WORLD, LISTENER("")) ", " //
		  TO_443(WORLD, "listener: {envoyConfig: {name: d}, name: shop/c/l}"),
		  false },
		{ TO_443(WORLD, LISTENER("")) ", " //
		  TO_443(WORLD, "listener: {envoyConfig: {name: c}, name: far/c/l}"),
		  true },
		{ TO_443(WORLD, "listener: {envoyConfig: {name: c}, name: far/l}") ", " //
		  TO_443(WORLD, "listener: {envoyConfig: {name: d}, name: shop/c/far/l}"),
		  false },
		{ TO_443(WORLD, NAMES) ", " TO_443(WORLD, DNS), true },
		{ TO_443(WORLD, NAMES) ", " TO_443(WORLD, LISTENER("")), true },
		{ TO_443(WORLD, HTTP) ", " TO_443(WORLD, LISTENER("")), true },
		{ TO_443(WORLD, NAMES) ", " TO_443(WORLD, NAMES), false },
		{ AUTH(WORLD, "required") ", " AUTH(WORLD, "disabled"), true },
		{ AUTH(WORLD, "required") ", " AUTH(WORLD, "required"), false },
		{ AUTH(WORLD, "required") ", {" WORLD "}", false },
		{ AUTH(WORLD, "required") ", " AUTH(CIDR, "disabled"), false },
		{ AUTH(CIDR, "required") ", " AUTH(CIDR, "disabled"), true },
		{ AUTH(WORLD, "required") ", " AUTH(WORLD ", " PORT_443, "disabled"), false },
		{ AUTH(WORLD ", " PORT_443, "required") ", " AUTH(WORLD ", " PORT_443, "disabled"),
		  true },
	};
	char proxy[16];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if ((ask_for_proxy(cases[i].rules, IPPROTO_TCP, proxy).verdict == POLICY_BROKEN) !=
		    cases[i].breaks)
			fail_msg("%s", cases[i].rules);
}

/* Which rules, for whoever has to mend them. */
static void what_breaks_an_end_is_told(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set = set_of(CNP("{endpointSelector: {}, ingress: [{}], egress: [{" WORLD
					    "}, " TO_443(WORLD, TERMINATING("name: t")) ", " TO_443(
						    WORLD, TERMINATING("name: s")) "]}"));
	const struct policy_answer a = ask(set, POLICY_INGRESS, &web, &db, NULL, IPPROTO_TCP, 80);
	AUTO_BUF struct buf by = buf_init(256);

	assert_int_equal(a.verdict, POLICY_BROKEN);
	assert_int_equal(a.clash, POLICY_CLASH_TERMINATING);
	assert_int_equal(a.count, 2);
	for (size_t i = 0; i < a.count; i++)
		policy_ref_rule_put(set, a.by[i], &by);
	assert_string_equal(buf_cstr(&by), "#spec.egress[1]#spec.egress[2]");
}

/* Of other pods' rules nothing is broken here, nor do they hide what is. */
static void only_ends_that_both_rules_select_are_broken(void **state)
{
	(void)state;
#define OF(app, what)                                                                              \
	"---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: " app what     \
	", namespace: shop}\nspec: {endpointSelector: {matchLabels: {app: " app                    \
	"}}, egress: [" TO_443(WORLD, TERMINATING("name: " what)) "]}\n"
	AUTO(policy_set_free)
	struct policy_set *set =
		set_of(OF("a", "s") OF("a", "t") OF("web", "s") OF("web", "t") OF("db", "s"));

	assert_int_equal(ask(set, POLICY_EGRESS, &web, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_BROKEN);
	assert_int_equal(ask(set, POLICY_EGRESS, &db, &web, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_DEFAULT_DENIED);
}

/* Cilium merges rule by rule, in the order of the policies' keys, "ccnp//NAME" before "cnp/NAMESPACE/NAME"
 * (1.19, pkg/policy/rules.go, sort; pkg/policy/rule.go: mergePortProto skips what meets a rule that
 * denies, mergeRedirect a listener that meets a better one). */
static void rules_that_are_merged_into_what_goes_before_contradict_nothing(void **state)
{
	(void)state;
#define NAMED(name, more)                                                                          \
	"---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"                               \
	"metadata: {name: " name ", namespace: shop}\n" more "\n"
#define CLUSTERWIDE(name, more)                                                                    \
	"---\napiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\n"                    \
	"metadata: {name: " name "}\n" more "\n"
#define SPEC(subject, more) "spec: {endpointSelector: " subject ", " more "}"
#define WEB "{matchLabels: {app: web}}"
#define BOTH "egress: [" TO_443(WORLD, HTTP) ", " TO_443(WORLD, KAFKA) "]"
#define DENY "egressDeny: [{" WORLD ", " PORT_443 "}]"
#define THIRD                                                                                      \
	"listener: {envoyConfig: {name: c, kind: CiliumClusterwideEnvoyConfig}, name: n, "         \
	"priority: 3}"
#define TWO_LISTENERS                                                                              \
	TO_443(WORLD, LISTENER(", priority: 7"))                                                   \
	", " TO_443(WORLD, OTHER_LISTENER(", priority: 7"))
	static const struct {
		const char *text;
		enum policy_verdict web, db;
	} cases[] = {
		{ CLUSTERWIDE("z", SPEC("{}", DENY)) NAMED("m", SPEC("{}", BOTH)), POLICY_DENIED,
		  POLICY_DENIED },
		{ NAMED("m", SPEC("{}", BOTH)) NAMED("a", SPEC("{}", DENY)), POLICY_DENIED,
		  POLICY_DENIED },
		{ NAMED("m", SPEC("{}", BOTH)) NAMED("a", SPEC(WEB, DENY)), POLICY_DENIED,
		  POLICY_BROKEN },
		{ NAMED("m", SPEC("{}", BOTH)) NAMED("n", SPEC("{}", DENY)), POLICY_BROKEN,
		  POLICY_BROKEN },
		{ CLUSTERWIDE("a", SPEC(WEB, BOTH)) NAMED("a", SPEC(WEB, DENY)), POLICY_BROKEN,
		  POLICY_NOT_SELECTED },
		{ NAMED("m", SPEC(WEB, DENY ", " BOTH)), POLICY_BROKEN, POLICY_NOT_SELECTED },
		{ NAMED("m", "specs: [{endpointSelector: {}, " DENY
			     "}, {endpointSelector: {}, " BOTH "}]"),
		  POLICY_DENIED, POLICY_DENIED },
		{ NAMED("m", "specs: [{endpointSelector: {}, " BOTH
			     "}, {endpointSelector: {}, " DENY "}]"),
		  POLICY_BROKEN, POLICY_BROKEN },
		/* between the two is early enough */
		{ NAMED("a", SPEC("{}", "egress: [" TO_443(WORLD, HTTP) "]"))
			  NAMED("b", SPEC("{}", DENY))
				  NAMED("c", SPEC("{}", "egress: [" TO_443(WORLD, KAFKA) "]")),
		  POLICY_DENIED, POLICY_DENIED },
		/* other ports, other peers, another direction */
		{ NAMED("a", SPEC("{}", "egressDeny: [{" WORLD "}]")) NAMED("m", SPEC("{}", BOTH)),
		  POLICY_BROKEN, POLICY_BROKEN },
		{ NAMED("a", SPEC("{}", "egressDeny: [{" CIDR ", " PORT_443 "}]"))
			  NAMED("m", SPEC("{}", BOTH)),
		  POLICY_BROKEN, POLICY_BROKEN },
		{ NAMED("a", SPEC("{}", "ingressDeny: [{fromEntities: [world], " PORT_443 "}]"))
			  NAMED("m", SPEC("{}", BOTH)),
		  POLICY_BROKEN, POLICY_BROKEN },
		{ CLUSTERWIDE("z", SPEC(WEB, "egress: [" TO_443(WORLD, THIRD) "]"))
			  NAMED("m", SPEC("{}", "egress: [" TWO_LISTENERS "]")),
		  POLICY_ALLOWED, POLICY_BROKEN },
		{ NAMED("n", SPEC("{}", "egress: [" TO_443(WORLD, THIRD) "]"))
			  NAMED("m", SPEC("{}", "egress: [" TWO_LISTENERS "]")),
		  POLICY_BROKEN, POLICY_BROKEN },
		{ NAMED("m", SPEC("{}", "egress: [" TO_443(WORLD, THIRD) ", " TWO_LISTENERS "]")),
		  POLICY_ALLOWED, POLICY_ALLOWED },
		{ NAMED("m", SPEC("{}", "egress: [" TWO_LISTENERS ", " TO_443(WORLD, THIRD) "]")),
		  POLICY_BROKEN, POLICY_BROKEN },
	};
	const struct policy_end out = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(policy_set_free) struct policy_set *set = set_of(cases[i].text);
		enum policy_verdict of_web =
			ask(set, POLICY_EGRESS, &web, &out, NULL, IPPROTO_TCP, 443).verdict;
		enum policy_verdict of_db =
			ask(set, POLICY_EGRESS, &db, &out, NULL, IPPROTO_TCP, 443).verdict;

		if (of_web != cases[i].web || of_db != cases[i].db)
			fail_msg("case %zu: %s, %s\n%s", i, policy_verdict_name(of_web),
				 policy_verdict_name(of_db), cases[i].text);
	}
}

/* Thousands of namespaces may ask the same world for different things. */
static void rules_for_pods_of_different_namespaces_never_meet(void **state)
{
	(void)state;
	enum { NAMESPACES = 100 }; /* pairs of them: more than a set takes of contradictions */
	AUTO_BUF struct buf text = buf_init(1 << 20);

	for (int i = 0; i < NAMESPACES; i++)
		buf_printf(&text,
			   "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
			   "metadata: {name: x, namespace: n%d}\n"
			   "spec: {endpointSelector: {}, egress: [%s]}\n",
			   i, i % 2 ? TO_443(WORLD, HTTP) : TO_443(WORLD, NAMES));
	AUTO(policy_set_free) struct policy_set *set = set_of(buf_cstr(&text));
	assert_int_equal(policy_set_count(set), NAMESPACES);
	assert_int_equal(policy_set_conflict_count(set), 0);
}

static void policies_contradict_each_other_up_to_a_limit(void **state)
{
	(void)state;
	enum { FEW = 4, MANY = 130 }; /* policies; two halves, 65 * 65 pairs */
	struct err e;

	for (int n = FEW; n <= MANY; n += MANY - FEW) {
		AUTO(policy_builder_free) struct policy_builder *b = builder();
		AUTO(policy_set_free) struct policy_set *set = NULL;
		AUTO_BUF struct buf text = buf_init(1 << 20);

		for (int i = 0; i < n; i++)
			buf_printf(&text,
				   "---\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
				   "metadata: {name: x%d, namespace: shop}\n"
				   "spec: {endpointSelector: {}, egress: [%s]}\n",
				   i, i % 2 ? TO_443(CIDR, HTTP) : TO_443(CIDR, KAFKA));
		assert_int_equal(policy_builder_add_text(b, buf_str(&text), &e), ERR_OK);
		enum err_code code = policy_builder_finish(b, &set, &e);
		if (n == FEW) {
			assert_int_equal(code, ERR_OK);
			assert_int_equal(policy_set_conflict_count(set), FEW / 2 * (FEW / 2));
		} else {
			assert_int_equal(code, ERR_INVALID);
			assert_non_null(strstr(e.msg, "more than 4096 rules that exclude"));
		}
	}
}

/* Cilium: an entry of the policy map says what is asked for; the most specific one that says it
 * counts, for wider ones, too. */
static void authentication_is_told_of_what_is_allowed(void **state)
{
	(void)state;
#define AT_443(peer, mode) "{" peer ", " PORT_443 ", authentication: {mode: " mode "}}"
	static const struct {
		const char *rules, *mode;
	} cases[] = {
		{ "{" WORLD "}", "" },
		{ AUTH(WORLD, "required"), "required" },
		{ AUTH(WORLD, "disabled"), "" },
		{ AUTH(WORLD, "test-always-fail"), "test-always-fail" },
		{ AUTH(WORLD, "required") ", " TO_443(WORLD, NOTHING), "required" },
		{ AUTH("toCIDR: [198.51.100.0/24]", "required") ", {" WORLD "}", "" },
		{ AUTH(WORLD, "required") ", " AT_443(WORLD, "disabled"), "" },
		{ AUTH(WORLD, "disabled") ", " AT_443(WORLD, "required"), "required" },
		{ AUTH(WORLD, "disabled") ", " AUTH(CIDR, "required"), "required" },
		{ AUTH(CIDR, "required") ", " AUTH(WORLD, "test-always-fail"), "test-always-fail" },
		/* what is for everybody and asks for a proxy goes before what is for the peer, and the other way round */
		{ AUTH(CIDR, "required") ", {toPorts: [{ports: [{port: '443', protocol: TCP}], " //
		  HTTP "}]}",
		  "" },
		{ "{" PORT_443 ", authentication: {mode: required}}, " TO_443(CIDR, NAMES), "" },
		{ "{" PORT_443 ", authentication: {mode: required}}, " TO_443(CIDR, NOTHING),
		  "required" },
		/* of 443 to 700 the map has 443 by itself, of 440 to 447 one entry */
		{ "{" WORLD ", toPorts: [{ports: [{port: '443', endPort: 700, protocol: TCP}]}], "
		  "authentication: {mode: disabled}}, {" WORLD ", toPorts: [{ports: [{port: "
		  "'440', endPort: 447, protocol: TCP}]}], authentication: {mode: required}}",
		  "" },
		{ "{" PORT_443 ", authentication: {mode: required}}, " AT_443(WORLD, "disabled"),
		  "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int turn = 0; turn < 2; turn++) {
			char proxy[16], mode[32], text[1024], *comma;

			(void)snprintf(text, sizeof text, "%s", cases[i].rules);
			if (turn && (comma = strstr(text, "}, {"))) /* the other way round */
				(void)snprintf(text, sizeof text, "%s, %.*s", //
					       cases[i].rules + (comma - text) + 3,
					       (int)(comma - text) + 1, cases[i].rules);
			assert_int_equal(ask_for(text, IPPROTO_TCP, proxy, mode).verdict,
					 POLICY_ALLOWED);
			if (strcmp(mode, cases[i].mode) != 0)
				fail_msg("%s: '%s'", text, mode);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(policies_contradict_each_other_up_to_a_limit),
		cmocka_unit_test(of_proxies_one_wins),
		cmocka_unit_test(proxies_of_tcp_are_no_others),
		cmocka_unit_test(rules_that_exclude_each_other_break_the_end),
		cmocka_unit_test(what_breaks_an_end_is_told),
		cmocka_unit_test(rules_that_are_merged_into_what_goes_before_contradict_nothing),
		cmocka_unit_test(only_ends_that_both_rules_select_are_broken),
		cmocka_unit_test(rules_for_pods_of_different_namespaces_never_meet),
		cmocka_unit_test(authentication_is_told_of_what_is_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
