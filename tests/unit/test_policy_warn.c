/* lib/policy: what is valid, and hardly ever meant. Each case has the mistake, and the right form beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy_fixture.h"

struct told {
	const struct policy_set *set;
	struct buf out;
};

static void tell(void *ctx, const struct policy_warning *w)
{
	static const char *const names[] = {
		"split",   "two peers", "every peer", "empty peers", "empty ports",
		"no port", "except",    "everything", "nothing",     "covered",
		"denied",  "types",     "idle deny",  "only denies", "names",
	};
	_Static_assert(ARRAY_LEN(names) == POLICY_WARN_COUNT_, "a kind without a name");
	struct told *told = ctx;

	assert_true(strlen(policy_warning_words(w)) > 20);
	buf_printf(&told->out, "%s%s", told->out.len ? "; " : "", names[w->kind]);
	for (size_t i = 0; i < w->rule_count; i++) {
		buf_char(&told->out, ' ');
		policy_ref_rule_put(told->set, w->rules[i], &told->out);
	}
}

/* All that the policies of @text are warned of. */
static void expect(const char *text, const char *warnings)
{
	AUTO(policy_set_free) struct policy_set *set = set_of(text);
	struct told told = { set, buf_init(4096) };

	for (uint32_t i = 0; i < policy_set_count(set); i++)
		policy_set_warn(set, i, tell, &told);
	if (strcmp(buf_cstr(&told.out), warnings) != 0)
		fail_msg("%s\nis warned of: %s\nand not of: %s", text, buf_cstr(&told.out),
			 warnings);
	buf_done(&told.out);
}

#define ONE(of_spec) KNP("one", "{podSelector: {}, " of_spec "}")
#define EACH(of_spec) CNP("{endpointSelector: {}, " of_spec "}")
#define WEB "{podSelector: {matchLabels: {app: web}}}"
#define SHOP "{namespaceSelector: {matchLabels: {team: shop}}}"
#define OPEN "enableDefaultDeny: {ingress: false, egress: false}"
#define E_WEB "fromEndpoints: [{matchLabels: {app: web}}]"
#define P80 "toPorts: [{ports: [{port: '80', protocol: TCP}]}]"

static void peers_and_ports_that_became_two_items_are_told(void **state)
{
	(void)state;
	expect(ONE("ingress: [{from: [" WEB "]}, {ports: [{port: 80}]}]"),
	       "split #ingress[0] #ingress[1]");
	expect(ONE("ingress: [{ports: [{port: 80}]}, {from: [" WEB "]}]"),
	       "split #ingress[0] #ingress[1]");
	expect(ONE("ingress: [{from: [" WEB "], ports: [{port: 80}]}]"), "");
	expect(EACH("ingress: [{" E_WEB "}, {" P80 "}]"),
	       "split #spec.ingress[0] #spec.ingress[1]");
	expect(EACH("ingressDeny: [{" E_WEB "}, {" P80 "}], " OPEN),
	       "split #spec.ingressDeny[0] #spec.ingressDeny[1]");
	expect(EACH("egress: [{toCIDR: [192.0.2.0/24]}, {" P80 "}]"),
	       "split #spec.egress[0] #spec.egress[1]");
	expect(EACH("ingress: [{" E_WEB ", " P80 "}]"), "");
}

static void who_knows_how_to_say_both_may_mean_either(void **state)
{
	(void)state;
	expect(ONE("ingress: [{from: [" WEB "]}, {ports: [{port: 80}]}, "
		   "{from: [" SHOP "], ports: [{port: 81}]}]"),
	       "");
	/* names from anybody, pings from anybody */
	expect(ONE("egress: [{to: [" WEB "]}, {ports: [{port: 53, protocol: UDP}, {port: 53}]}]"),
	       "");
	expect(ONE("ingress: [{from: [" WEB "]}, {ports: [{port: 53}]}]"),
	       "split #ingress[0] #ingress[1]");
	expect(EACH("ingress: [{" E_WEB "}, {icmps: [{fields: [{type: 8}]}]}]"), "");
	expect(EACH("ingress: [{fromEntities: [all]}, {" P80 "}]"), "everything #spec.ingress[0]");
	/* the entities [all] are written by nobody who forgot the peers */
	expect(EACH("ingress: [{" E_WEB "}, {fromEntities: [all], " P80 "}]"), "");
}

static void labels_and_namespaces_that_became_two_peers_are_told(void **state)
{
	(void)state;
	expect(ONE("ingress: [{from: [" SHOP ", " WEB "]}]"), "two peers #ingress[0]");
	expect(ONE("egress: [{to: [" WEB ", " SHOP "]}]"), "two peers #egress[0]");
	expect(ONE("ingress: [{from: [{namespaceSelector: {}}, " WEB "]}]"),
	       "two peers #ingress[0]");
	expect(ONE("ingress: [{from: [{namespaceSelector: {matchLabels: {team: shop}}, "
		   "podSelector: {matchLabels: {app: web}}}]}]"),
	       "");
	/* all of the own namespace, and all of others, is what people mean */
	expect(ONE("ingress: [{from: [" SHOP ", {podSelector: {}}]}]"), "");
	/* who lists more than the two lists peers */
	expect(ONE("ingress: [{from: [" SHOP ", " WEB ", {ipBlock: {cidr: 192.0.2.0/24}}]}]"), "");
	expect(ONE("ingress: [{from: [" SHOP "]}, {from: [" WEB "]}]"), "");
}

static void a_peer_that_is_everybody_there_beside_narrower_ones_is_told(void **state)
{
	(void)state;
	expect(ONE("ingress: [{from: [{podSelector: {}}, " WEB "], ports: [{port: 80}]}]"),
	       "every peer #ingress[0]");
	expect(ONE("ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]"), "");
	expect(EACH("ingress: [{fromEndpoints: [{}, {matchLabels: {app: web}}]}]"),
	       "every peer #spec.ingress[0]");
	expect(EACH("ingress: [{fromEndpoints: [{}, {matchLabels: {app: web, "
		    "'k8s:io.kubernetes.pod.namespace': other}}]}]"),
	       "");
	expect(EACH("ingress: [{fromEntities: [cluster, host]}]"), "");
	expect(EACH("ingress: [{fromEntities: [all, host]}]"), "");
}

static void lists_without_anything_are_told(void **state)
{
	(void)state;
	expect(ONE("ingress: [{from: [], ports: [{port: 80}]}]"), "empty peers #ingress[0]");
	expect(ONE("ingress: [{from: null}]"), "empty peers #ingress[0]");
	expect(ONE("egress: [{to: [" WEB "], ports: []}]"), "empty ports #egress[0]");
	expect(ONE("ingress: [{ports: [{port: 80}]}]"), "");
	/* once is enough */
	expect(ONE("ingress: [{from: [" WEB "]}, {from: [], ports: [{port: 80}]}]"),
	       "empty peers #ingress[1]");
	expect(ONE("ingress: [{from: []}, {from: [" WEB "]}]"), "empty peers #ingress[0]");
	expect(ONE("ingress: []"), "");                     /* denies all of it, as meant */
	expect(EACH("ingress: [{fromEndpoints: []}]"), ""); /* nobody, as meant */
	expect(EACH("ingress: [{" E_WEB ", toPorts: [{ports: []}]}]"), "no port #spec.ingress[0]");
	expect(EACH("ingress: [{" E_WEB ", icmps: [{}]}]"), "no port #spec.ingress[0]");
}

static void a_rule_that_is_everything_beside_others_is_told_once(void **state)
{
	(void)state;
	expect(ONE("ingress: [{from: [" WEB "]}, {}, {ports: [{port: 80}]}]"),
	       "everything #ingress[1]");
	expect(ONE("ingress: [{}]"), "");
	expect(ONE("ingress: [{}], egress: [{to: [" WEB "]}]"), "");
	expect(EACH("ingress: [{fromEntities: [all]}, {" E_WEB "}]"),
	       "everything #spec.ingress[0]");
	expect(EACH("ingressDeny: [{" E_WEB "}, {fromEntities: [all]}], " OPEN),
	       "everything #spec.ingressDeny[1]");
}

static void an_empty_rule_of_ciliums_is_nobody_and_told_beside_others(void **state)
{
	(void)state;
	expect(EACH("ingress: [{}, {" E_WEB "}]"), "nothing #spec.ingress[0]");
	expect(EACH("ingress: [{}], egress: [{}]"), ""); /* denies by default, as meant */
	expect(EACH("ingress: [{}], ingressDeny: [{" E_WEB "}]"), "");
}

static void a_rule_that_another_covers_is_told(void **state)
{
	(void)state;
	expect(ONE("ingress: [{from: [" WEB "], ports: [{port: 80}]}, {from: [" SHOP ", " WEB
		   ", {ipBlock: {cidr: 192.0.2.0/24}}], ports: [{port: 1, endPort: 90}]}]"),
	       "covered #ingress[0] #ingress[1]");
	/* of two that are the same, the later */
	expect(ONE("ingress: [{from: [" WEB "]}, {from: [" SHOP "]}, {from: [" WEB "]}]"),
	       "covered #ingress[2] #ingress[0]");
	/* other peers, other ports, another protocol, another direction */
	expect(ONE("ingress: [{from: [" WEB "], ports: [{port: 80}]}, {from: [" SHOP
		   "], ports: [{port: 80}]}, {from: [" WEB "], ports: [{port: 81}]}, {from: [" WEB
		   "], ports: [{port: 80, protocol: UDP}]}], egress: [{to: [" WEB
		   "], ports: [{port: 80}]}]"),
	       "");
	expect(ONE("ingress: [{from: [" WEB "], ports: [{port: http}]}, {from: [" WEB
		   "], ports: [{port: 80}]}, {from: [" WEB "], ports: [{port: metrics}]}]"),
	       "");
}

static void blocks_cover_what_they_do_not_leave_out(void **state)
{
	(void)state;
#define TWO(a, b) ONE("egress: [{to: [{ipBlock: {" a "}}]}, {to: [{ipBlock: {" b "}}]}]")
	expect(TWO("cidr: 192.0.2.0/24", "cidr: 192.0.2.128/25"), "covered #egress[1] #egress[0]");
	expect(TWO("cidr: 192.0.2.0/24", "cidr: 192.0.0.0/16, except: [192.0.3.0/24]"),
	       "covered #egress[0] #egress[1]");
	expect(TWO("cidr: 192.0.2.0/24", "cidr: 192.0.0.0/16, except: [192.0.2.8/32]"), "");
	expect(TWO("cidr: 192.0.2.0/24", "cidr: 192.0.0.0/16, except: [192.0.2.0/23]"), "");
	expect(TWO("cidr: 192.0.2.0/24, except: [192.0.2.8/29]",
		   "cidr: 192.0.0.0/16, except: [192.0.2.8/32]"),
	       "covered #egress[0] #egress[1]");
	expect(TWO("cidr: 0.0.0.0/0", "cidr: 2001:db8::/32"), "");
	expect(TWO("cidr: '::/0'", "cidr: 2001:db8::/32"), "covered #egress[1] #egress[0]");
	expect(TWO("cidr: '::/0'", "cidr: 192.0.2.0/24"), "");
}

static void an_except_that_takes_in_its_block_is_told(void **state)
{
	(void)state;
#define EXCEPT(cidr, except)                                                                       \
	EACH("egress: [{toCIDRSet: [{cidr: 192.0.2.0/24}, {cidr: " cidr ", except: [" except       \
	     "]}]}]")
	expect(EXCEPT("10.0.0.0/16", "10.0.0.0/8"), "except #spec.egress[0]");
	expect(EXCEPT("10.0.0.0/16", "10.0.1.0/24, 10.0.0.0/16"), "except #spec.egress[0]");
	expect(EXCEPT("10.0.0.0/16", "10.0.0.0/17"), "");
}

static void selectors_cover_those_that_ask_for_more(void **state)
{
	(void)state;
#define PAIR(narrow, wide)                                                                         \
	ONE("ingress: [{from: [{podSelector: {" narrow "}}]}, {from: [{podSelector: {" wide "}}]}" \
	    "]")
#define EXPR(key, op, values) "matchExpressions: [{key: " key ", operator: " op values "}]"
	const char *covered = "covered #ingress[0] #ingress[1]";

	expect(PAIR("matchLabels: {app: web, tier: a}", "matchLabels: {app: web}"), covered);
	expect(PAIR("matchLabels: {app: web}", ""), covered);
	expect(PAIR("matchLabels: {app: web}", EXPR("app", "In", ", values: [db, web]")), covered);
	expect(PAIR("matchLabels: {app: web}", EXPR("app", "Exists", "")), covered);
	expect(PAIR(EXPR("app", "NotIn", ", values: [a, b]"),
		    EXPR("app", "NotIn", ", values: [a]")),
	       covered);
	expect(PAIR(EXPR("app", "DoesNotExist", ""), EXPR("app", "NotIn", ", values: [a]")),
	       covered);
	expect(PAIR("matchLabels: {app: web}", "matchLabels: {tier: a}"), "");
	expect(PAIR(EXPR("app", "In", ", values: [db, web]"),
		    EXPR("app", "In", ", values: [db, a]")),
	       "");
	expect(PAIR(EXPR("app", "NotIn", ", values: [a]"), EXPR("app", "Exists", "")), "");
	expect(ONE("ingress: [{from: [{podSelector: {}}]}, {from: [{namespaceSelector: {}}]}]"),
	       covered);
	expect(ONE("ingress: [{from: [{podSelector: {}}]}, {from: [" SHOP "]}]"), "");
}

static void what_asks_for_more_than_to_pass_is_covered_by_nothing(void **state)
{
	(void)state;
	expect(EACH("ingress: [{" E_WEB "}, {" E_WEB ", toPorts: [{ports: [{port: '80', "
		    "protocol: TCP}], rules: {http: [{method: GET}]}}]}]"),
	       "");
	expect(EACH("ingress: [{" E_WEB "}, {" E_WEB ", authentication: {mode: required}}]"), "");
	/* what they stand for may change */
#define SERVICE "{toServices: [{k8sService: {serviceName: web, namespace: shop}}]}"
#define WITH_SERVICE                                                                               \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\n"             \
	"spec: {selector: {app: web}}\n"
#define WITH_GROUP                                                                                 \
	"---\napiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {name: a}\n"              \
	"spec: {externalCIDRs: [192.0.2.0/24]}\n"
	expect(EACH("egress: [" SERVICE ", {toEndpoints: [{matchLabels: {'k8s:app': web}}]}]")
		       WITH_SERVICE,
	       "");
	expect(EACH("egress: [" SERVICE ", {toEndpoints: [{matchLabels: {'k8s:app': web, a: b}}]}]")
		       WITH_SERVICE,
	       "");
	expect(EACH("egress: [{toCIDRSet: [{cidrGroupRef: a}]}, {toCIDR: [192.0.0.0/16]}]")
		       WITH_GROUP,
	       "");
	expect(EACH("egress: [{toCIDRSet: [{cidrGroupRef: a}]}, {toCIDR: [192.0.2.0/25]}]")
		       WITH_GROUP,
	       "");
	expect(EACH("egress: [" SERVICE ", {toEntities: [all]}]") WITH_SERVICE,
	       "everything #spec.egress[1]");
	expect(EACH("ingress: [{" E_WEB "}, {" E_WEB ", " P80 "}]"),
	       "covered #spec.ingress[1] #spec.ingress[0]");
}

static void what_is_denied_and_allowed_is_told(void **state)
{
	(void)state;
	expect(EACH("ingress: [{" E_WEB ", " P80 "}], ingressDeny: [{" E_WEB "}]"),
	       "denied #spec.ingress[0] #spec.ingressDeny[0]");
	expect(EACH("ingress: [{" E_WEB "}], ingressDeny: [{" E_WEB ", " P80 "}]"), "");
	expect(EACH("ingress: [{" E_WEB "}], egressDeny: [{toEndpoints: [{}]}], " OPEN), "");
}

static void policy_types_that_leave_rules_out_are_told(void **state)
{
	(void)state;
	expect(ONE("policyTypes: [Ingress], egress: [{to: [" WEB "]}]"), "types ");
	expect(ONE("policyTypes: [Egress], ingress: [{from: [" WEB "]}]"), "types ");
	expect(ONE("policyTypes: [Egress, Ingress], ingress: [{from: [" WEB "]}]"), "");
	expect(ONE("policyTypes: [Egress]"), "");
	expect(ONE("egress: [{to: [" WEB "]}]"), "");
}

static void what_denies_by_default_and_not_is_told(void **state)
{
	(void)state;
#define ALLOWED "ingress: [{" E_WEB "}]"
#define DENIED "ingressDeny: [{" E_WEB "}]"
	expect(EACH(ALLOWED ", enableDefaultDeny: {egress: true}"), "idle deny ");
	expect(EACH("egress: [{}], enableDefaultDeny: {ingress: true, egress: true}"),
	       "idle deny ");
	expect(EACH(ALLOWED ", enableDefaultDeny: {ingress: true, egress: false}"), "");
	expect(EACH("egress: [{}], enableDefaultDeny: {egress: true}"), "");

	expect(EACH(DENIED), "only denies #spec.ingressDeny[0]");
	expect(EACH("egressDeny: [{toCIDR: [192.0.2.0/24]}, {toCIDR: [198.51.100.0/24]}]"),
	       "only denies #spec.egressDeny[0]");
	expect(EACH(DENIED ", enableDefaultDeny: {ingress: false}"), "");
	expect(EACH(DENIED ", ingress: [{fromEntities: [world]}]"), "");
	expect(EACH(DENIED ", ingress: [{}]"), "");
	expect(EACH(DENIED ", egress: [{toEntities: [world]}]"),
	       "only denies #spec.ingressDeny[0]");
	/* another policy may allow the rest */
	expect(EACH(DENIED) "---\n" CCNP(
		       "{endpointSelector: {}, ingress: [{fromEntities: [world]}]}"),
	       "");
	expect(EACH(DENIED) "---\n" KNP("a", "{podSelector: {}, ingress: [{}]}"), "");
	expect(CNP("{endpointSelector: {matchLabels: {app: web}}, " DENIED
		   "}") "---\n" CCNP("{endpointSelector: {matchLabels: {app: db}}, ingress: "
				     "[{fromEntities: [all]}]}"),
	       "only denies #spec.ingressDeny[0]");
}

#define DNS                                                                                        \
	"{toEndpoints: [{matchLabels: {app: dns}}], toPorts: [{ports: [{port: '53', protocol: "    \
	"ANY}], "                                                                                  \
	"rules: {dns: [{matchPattern: '*'}]}}]}"
#define FQDN "{toFQDNs: [{matchName: a.example}]}"

static void names_that_nobody_shows_to_the_proxy_are_told(void **state)
{
	(void)state;
	expect(EACH("egress: [" FQDN "]"), "names #spec.egress[0]");
	expect(EACH("egress: [" DNS ", " FQDN "]"), "");
	expect(EACH("egress: [{toEndpoints: [{matchLabels: {app: dns}}], toPorts: [{ports: [{port: "
		    "'53', protocol: ANY}]}]}, " FQDN "]"),
	       "names #spec.egress[1]");
	/* another policy may have the rule, of pods that may be the same */
	expect(EACH("egress: [" FQDN "]") "---\n" CCNP("{endpointSelector: {}, egress: [" DNS "]}"),
	       "");
	expect(CNP("{endpointSelector: {matchLabels: {app: web}}, egress: [" FQDN
		   "]}") "---\n" CCNP("{endpointSelector: {matchLabels: {app: db}}, egress: [" DNS
				      "]}"),
	       "names #spec.egress[0]");
	/* nodes are no pods */
	expect(EACH("egress: [" FQDN "]") "---\n" CCNP("{nodeSelector: {}, egress: [" DNS "]}"),
	       "names #spec.egress[0]");
}

static void subjects_that_are_everybody_ask_for_no_labels(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool asks;
	} cases[] = {
		{ KNP("a", "{podSelector: {}}"), false },
		{ KNP("a", "{podSelector: {matchLabels: {app: web}}}"), true },
		{ CCNP("{endpointSelector: {}, ingress: [{}]}"), false },
		{ CCNP("{endpointSelector: {matchLabels: {app: web}}, ingress: [{}]}"), true },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(policy_set_free) struct policy_set *set = set_of(cases[i].text);
		assert_int_equal(policy_set_asks_labels(set, 0), cases[i].asks);
	}
}

/* What covers what is asked of each two rules: there is an end to it. */
static void many_rules_are_compared_up_to_a_bound(void **state)
{
	(void)state;
	enum { RULES = 8000 };
	AUTO_BUF struct buf text = buf_init(8 << 20);

	buf_lit(&text, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
		       "metadata: {name: a, namespace: shop}\nspec: {podSelector: {}, ingress: [");
	for (int i = 0; i < RULES; i++)
		buf_printf(&text, "{from: [{podSelector: {matchLabels: {app: a%d}}}]},\n", i);
	buf_lit(&text, "]}\n");
	expect(buf_cstr(&text), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peers_and_ports_that_became_two_items_are_told),
		cmocka_unit_test(who_knows_how_to_say_both_may_mean_either),
		cmocka_unit_test(labels_and_namespaces_that_became_two_peers_are_told),
		cmocka_unit_test(a_peer_that_is_everybody_there_beside_narrower_ones_is_told),
		cmocka_unit_test(lists_without_anything_are_told),
		cmocka_unit_test(a_rule_that_is_everything_beside_others_is_told_once),
		cmocka_unit_test(an_empty_rule_of_ciliums_is_nobody_and_told_beside_others),
		cmocka_unit_test(a_rule_that_another_covers_is_told),
		cmocka_unit_test(blocks_cover_what_they_do_not_leave_out),
		cmocka_unit_test(an_except_that_takes_in_its_block_is_told),
		cmocka_unit_test(selectors_cover_those_that_ask_for_more),
		cmocka_unit_test(what_asks_for_more_than_to_pass_is_covered_by_nothing),
		cmocka_unit_test(what_is_denied_and_allowed_is_told),
		cmocka_unit_test(policy_types_that_leave_rules_out_are_told),
		cmocka_unit_test(what_denies_by_default_and_not_is_told),
		cmocka_unit_test(names_that_nobody_shows_to_the_proxy_are_told),
		cmocka_unit_test(subjects_that_are_everybody_ask_for_no_labels),
		cmocka_unit_test(many_rules_are_compared_up_to_a_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
