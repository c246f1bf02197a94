/* lib/policy: texts and objects that are read, and those that are refused. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy_fixture.h"

/* The sentence with which @text is refused. */
static const char *refused(const char *text)
{
	static struct err e;
	AUTO(policy_builder_free) struct policy_builder *b = builder();

	e = (struct err){ 0 };
	assert_int_not_equal(policy_builder_add_text(b, str_of(text), &e), ERR_OK);
	return e.msg;
}

/* --- text ------------------------------------------------------------------------------------- */

static void text_that_is_no_yaml_is_refused_with_line_and_column(void **state)
{
	(void)state;
	assert_string_equal(refused("a: %x"),
			    "line 1, column 4: found character that cannot start any token");
	assert_string_equal(refused("a: &x 1\n"),
			    "line 1, column 4: anchors, aliases and tags are not read");
	assert_string_equal(refused("a: 1\nb: *x\n"),
			    "line 2, column 4: anchors, aliases and tags are not read");
	assert_string_equal(refused("a: 1\na: 2\n"), "line 2, column 1: the key is there twice");
	assert_string_equal(refused("<<: {a: 1}\n"), "line 1, column 1: merge keys are not read");
}

/* A list of one list of …, with @inside in the last. */
static enum err_code read_nested(bool json, size_t levels, const char *inside, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(8192);
	json_t *v;

	buf_str_put(&text, json ? STR("[") : STR("- ")); /* the first of them */
	for (size_t i = 1; i < levels; i++)
		buf_char(&text, '[');
	buf_str_put(&text, str_of(inside));
	for (size_t i = json ? 0 : 1; i < levels; i++)
		buf_char(&text, ']');
	enum err_code code = policy_yaml(buf_str(&text), &v, e);
	if (code == ERR_OK)
		json_decref(v);
	return code;
}

static void nesting_ends_at_its_limit_in_yaml_as_in_json(void **state)
{
	(void)state;
	char text[8192];
	struct err e;
	json_t *v;

	for (int json = 0; json < 2; json++) {
		assert_int_equal(read_nested(json, POLICY_DEPTH_MAX, "", &e), ERR_OK);
		assert_int_equal(read_nested(json, POLICY_DEPTH_MAX, " ", &e), ERR_OK);
		/* brackets in a text are none */
		assert_int_equal(read_nested(json, POLICY_DEPTH_MAX - 1, "\"[[\\\"[\"", &e),
				 ERR_OK);
		assert_int_equal(read_nested(json, POLICY_DEPTH_MAX - 1, "1, {}, []", &e), ERR_OK);
		assert_int_equal(read_nested(json, POLICY_DEPTH_MAX, "1", &e), ERR_PARSE);
		assert_non_null(strstr(e.msg, "line 1, column "));
		assert_non_null(strstr(e.msg, ": more than 48 levels"));
		assert_int_equal(read_nested(json, POLICY_DEPTH_MAX - 1, "{\"a\": 1}", &e),
				 ERR_PARSE);
		assert_int_equal(read_nested(json, POLICY_DEPTH_MAX + 1, "", &e), ERR_PARSE);
		assert_non_null(strstr(e.msg, ": more than 48 levels"));
	}
	memset(text, '[', sizeof text);
	assert_int_equal(policy_yaml(str_n(text, sizeof text), &v, NULL), ERR_PARSE);
}

static void plain_values_have_the_types_that_kubernetes_gives_them(void **state)
{
	(void)state;
	json_t *v;
	AUTO(own_free) char *text = NULL;

	assert_int_equal(
		policy_yaml(STR("[a, 1, -2, 0x10, 1.5, true, No, ~, '1', \"true\", 1a, 10.0.0.0/8, "
				"12:30, '', 0o17]"),
			    &v, NULL),
		ERR_OK);
	text = json_dumps(v, JSON_COMPACT | JSON_REAL_PRECISION(3));
	assert_string_equal(text, "[[\"a\",1,-2,16,1.5,true,false,null,\"1\",\"true\",\"1a\","
				  "\"10.0.0.0/8\",\"12:30\",\"\",15]]");
	json_decref(v);
}

/* --- objects ---------------------------------------------------------------------------------- */

static void what_is_wrong_is_said_with_its_place(void **state)
{
	(void)state;
	assert_string_equal(refused(CNP("{endpointSelector: {}, ingress: [{}, {toPorts: [{ports: "
					"[{port: 80}]}]}]}")),
			    "CiliumNetworkPolicy shop/p: spec.ingress[1].toPorts[0].ports[0].port: "
			    "it is a number, "
			    "must be text (put it in quotes)");
	assert_string_equal(refused("kind: Deployment\napiVersion: apps/v1\n"),
			    "kind 'Deployment' is none that policies are made of");
	assert_string_equal(refused("kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\n"),
			    "NetworkPolicy: metadata.name is missing");
	assert_string_equal(refused(KNP("a", "{podSelector: {}}") "---\n- 1\n"),
			    "document 2: it is no object, but a plain value or a list");
	assert_string_equal(
		refused(KNP(
			"a",
			"{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/33}}]}]}")),
		"NetworkPolicy shop/a: spec.ingress[0].from[0].ipBlock.cidr: "
		"'10.0.0.0/33' is no address block: prefix length out of range");
}

#define IN(rule) KNP("a", "{podSelector: {}, ingress: [" rule "]}")
#define EGRESS(rule) CNP("{endpointSelector: {}, egress: [" rule "]}")

static void fails_with(const char *text, const char *why)
{
	if (!strstr(refused(text), why))
		fail_msg("'%s' is not in: %s", why, refused(text));
}

/* Each of these would be a rule for more, or for something else, than what was meant. */
static void a_field_that_its_kind_does_not_know_is_refused_with_its_place(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ IN("{ports: [{prt: 5432}]}"),
		  "NetworkPolicy shop/a: spec.ingress[0].ports[0].prt: no such field; did you mean "
		  "port?" },
		{ IN("{ports: [{port: 1, protokol: UDP}]}"), "; did you mean protocol?" },
		{ IN("{form: [{podSelector: {}}]}"), "spec.ingress[0].form: no such field; did you "
						     "mean from?" },
		{ IN("{to: [{podSelector: {}}]}"),
		  "spec.ingress[0].to: no such field; there are from and ports" },
		{ IN("{from: [{podSelector: {}, namespaceSelecter: {}}]}"),
		  "spec.ingress[0].from[0].namespaceSelecter: no such field; did you mean "
		  "namespaceSelector?" },
		{ IN("{from: [{ipBlock: {cidr: 10.0.0.0/8, exept: [10.0.0.0/9]}}]}"),
		  "ipBlock.exept: no such field; did you mean except?" },
		{ KNP("a", "{podSelector: {app: web}}"),
		  "spec.podSelector.app: no such field; there are matchLabels and "
		  "matchExpressions" },
		{ KNP("a", "{podSelector: {}, policytypes: [Egress]}"),
		  "spec.policytypes: no such field; did you mean policyTypes?" },
		{ KNP("a", "{podSelector: {}}") "specs: []\n", "specs: no such field; did you mean "
							       "spec?" },
		{ "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
		  "metadata: {name: a, namspace: shop}\nspec: {podSelector: {}}\n",
		  "metadata.namspace: no such field; did you mean namespace?" },
		{ CNP("{endpointSelector: {}, ingresss: [{}]}"), "did you mean ingress?" },
		{ EGRESS("{toPorts: [{ports: [{port: '80', protcol: TCP}]}]}"),
		  "CiliumNetworkPolicy shop/p: spec.egress[0].toPorts[0].ports[0].protcol: no such "
		  "field; did you mean protocol?" },
		{ EGRESS("{toFqdns: [{matchName: a.b}]}"), "did you mean toFQDNs?" },
		{ EGRESS("{toEndpoints: [{matchLabel: {}}]}"), "did you mean matchLabels?" },
		{ EGRESS("{toCIDRSet: [{cidr: 10.0.0.0/8, excepts: []}]}"),
		  "did you mean except?" },
		{ EGRESS("{authentication: {mood: required}}"), "authentication.mood: no such" },
		{ EGRESS("{toServices: [{k8sService: {servicename: x}}]}"),
		  "k8sService.servicename: no such field; did you mean serviceName?" },
		{ EGRESS("{toGroups: [{aws: {regoin: x}}]}"), "toGroups[0].aws.regoin: no such" },
		{ EGRESS("{toPorts: [{ports: [{port: '443', protocol: TCP}], terminatingTLS: "
			 "{secrets: {name: x}}}]}"),
		  "terminatingTLS.secrets: no such field; did you mean secret?" },
		{ EGRESS("{toPorts: [{ports: [{port: '80', protocol: TCP}], listener: {nam: x}}]}"),
		  "listener.nam: no such field; did you mean name?" },
		{ EGRESS("{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: "
			 "[{headerMatches: [{nme: x}]}]}}]}"),
		  "http[0].headerMatches[0].nme: no such field; did you mean name?" },
		{ CNP("{endpointSelector: {}, egress: [{}], log: {valu: x}}"),
		  "spec.log.valu: no such field; did you mean value?" },
		{ CNP("{endpointSelector: {}, egress: [{}], enableDefaultDeny: {ingres: false}}"),
		  "spec.enableDefaultDeny.ingres: no such field; did you mean ingress?" },
		{ "apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {name: g}\n"
		  "spec: {externalCIDRS: [10.0.0.0/8]}\n",
		  "spec.externalCIDRS: no such field; did you mean externalCIDRs?" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		fails_with(cases[i].text, cases[i].why);
}

/* Kubernetes, pkg/apis/networking/validation; of Cilium's what the resource definition says. */
static void values_that_cannot_be_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ IN("{ports: [{port: 70000}]}"), "port '70000': must be a number up to 65535" },
		{ IN("{ports: [{port: 65536}]}"), "port '65536'" },
		{ IN("{ports: [{port: -1}]}"), "port '-1'" },
		{ IN("{ports: [{port: 0}]}"), "port 0: must be 1 to 65535" },
		{ IN("{ports: [{port: 80.5}]}"),
		  "ports[0].port: it is a number, must be a whole number or a name" },
		{ IN("{ports: [{port: [80]}]}"), "it is a list, must be a whole number or a name" },
		{ IN("{ports: [{port: 80, endPort: 79}]}"), "endPort 79 is below port 80" },
		{ IN("{ports: [{port: 80, endPort: 0}]}"), "endPort 0: must be 1 to 65535" },
		{ IN("{ports: [{port: 80, endPort: 65536}]}"),
		  "endPort: it must be a number up to" },
		{ IN("{ports: [{port: 80, endPort: '90'}]}"),
		  "endPort: it must be a number up to" },
		{ IN("{ports: [{endPort: 90}]}"), "endPort without port" },
		{ IN("{ports: [{port: web, endPort: 90}]}"),
		  "endPort beside a port that is a name" },
		{ IN("{ports: [{protocol: tcp}]}"), "protocol 'tcp': must be TCP, UDP or SCTP" },
		{ IN("{ports: [{protocol: ANY}]}"), "protocol 'ANY': must be TCP, UDP or SCTP" },
		{ IN("{ports: {port: 80}}"),
		  "spec.ingress[0].ports: it is a mapping, must be a list" },
		{ IN("{from: [{ipBlock: {cidr: 10.0.0.0}}]}"), "'10.0.0.0' is no address block" },
		{ IN("{from: [{ipBlock: {cidr: 10.0.0.256/8}}]}"), "is no address block" },
		{ IN("{from: [{ipBlock: {except: []}}]}"), "ipBlock.cidr: it is missing" },
		{ IN("{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/9]}}]}"),
		  "ipBlock.except[0]: it is not within cidr" },
		{ IN("{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}"),
		  "ipBlock.except[0]: it leaves nothing of cidr" },
		{ IN("{from: [{}]}"), "a peer without" },
		{ IN("{from: [{podSelector: {matchLabels: {app: 'a b'}}}]}"),
		  "matchLabels.app: 'a b' is no value of a label" },
		{ IN("{from: [{podSelector: {matchLabels: {app: \"a\\0b\"}}}]}"),
		  "matchLabels.app: 'a' is no value of a label" }, /* as far as its NUL */
		{ IN("{from: [{podSelector: {matchLabels: {'a b': x}}}]}"),
		  "is no key of a label" },
		{ IN("{from: [{podSelector: {matchLabels: {a: 1}}}]}"),
		  "matchLabels.a: it is a number, must be text (put it in quotes)" },
		{ KNP("a", "{podSelector: {}, policyTypes: [ingress]}"),
		  "policyTypes[0] 'ingress': must be Ingress or Egress" },
		{ EGRESS("{toPorts: [{ports: [{port: '70000', protocol: TCP}]}]}"),
		  "port '70000': must be" },
		{ EGRESS("{toPorts: [{ports: [{port: '80', endPort: 79}]}]}"),
		  "endPort 79 is below port 80" },
		{ EGRESS("{toPorts: [{ports: [{port: '80', protocol: tcp}]}]}"), "protocol 'tcp'" },
		{ EGRESS("{toCIDR: [10.0.0.0/33]}"),
		  "toCIDR[0]: '10.0.0.0/33' is no address block" },
		{ "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
		  "metadata: {name: a, namespace: 7}\nspec: {podSelector: {}}\n",
		  "metadata.namespace: it must be text" },
		{ "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
		  "metadata: {name: a, namespace: Shop}\nspec: {podSelector: {}}\n",
		  "metadata.namespace 'Shop': lower case" },
		{ "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
		  "metadata: {name: a, labels: {a: [b]}}\nspec: {podSelector: {}}\n",
		  "metadata.labels.a: it is a list, must be text" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		fails_with(cases[i].text, cases[i].why);
}

/* Passed over as kinds of others, they would not be there at all. */
static void a_kind_that_is_nearly_a_policy_is_not_passed_over(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "kind: NetworkPolcy\napiVersion: networking.k8s.io/v1\nmetadata: {name: x}\n",
		  "kind 'NetworkPolcy' of apiVersion 'networking.k8s.io/v1'; did you mean "
		  "NetworkPolicy?" },
		{ "kind: NetworkPolicy\napiVersion: networking.k8s.oi/v1\nmetadata: {name: x}\n",
		  "must be networking.k8s.io/v1" },
		{ "kind: NetworkPolicy\napiVersion: v1\nmetadata: {name: x}\n",
		  "must be networking.k8s.io/v1" },
		{ "kind: CiliumNetworkPolicy\napiVersion: networking.k8s.io/v1\n"
		  "metadata: {name: x}\n",
		  "must be cilium.io/v2" },
	};
	static const char *const others[] = {
		"kind: Ingress\napiVersion: networking.k8s.io/v1\nmetadata: {name: x}\n",
		"kind: CiliumEndpoint\napiVersion: cilium.io/v2\nmetadata: {name: x}\n",
		"kind: NetworkPolicy\napiVersion: crd.antrea.io/v1\nmetadata: {name: x}\n",
		"kind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n",
	};
	const struct policy_config config = { .skip_other_kinds = true };
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	struct err e;

	assert_int_equal(policy_builder_new(&config, &b, NULL), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(policy_builder_add_text(b, str_of(cases[i].text), &e),
				 ERR_UNSUPPORTED);
		assert_non_null(strstr(e.msg, cases[i].why));
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(policy_builder_add_text(b, str_of(others[i]), NULL), ERR_OK);
	assert_int_equal(policy_builder_skipped(b), ARRAY_LEN(others));
}

static bool is_unsure(const struct policy_set *set, const struct policy_end *subject)
{
	return ask(set, POLICY_INGRESS, subject, &web, NULL, IPPROTO_TCP, 80).unsure;
}

/* A newer API server knows more than we do. */
static void what_a_server_gave_may_have_fields_nobody_here_knows(void **state)
{
	(void)state;
	static const struct policy_end other = { .namespace_ = { "other", 5 }, .pod = { "x", 1 } };
	static const char *const texts[] = {
		KNP("a", "{podSelector: {}, ingress: [{ports: [{port: 80, zone: x}]}]}"),
		CNP("{endpointSelector: {}, ingress: [{fromNewThings: []}]}"),
		CCNP("{endpointSelector: {}, ingress: [{newer: 1}]}"),
	};
	static const char *const first[] = {
		"NetworkPolicy shop/a: spec.ingress[0].ports[0].zone: no such field is known here",
		"CiliumNetworkPolicy shop/p: spec.ingress[0].fromNewThings: no such field is known "
		"here",
		"CiliumClusterwideNetworkPolicy p: spec.ingress[0].newer: no such field is known "
		"here",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		AUTO(policy_builder_free) struct policy_builder *b = builder();
		AUTO(policy_set_free) struct policy_set *set = NULL;
		const char *said;

		assert_int_equal(policy_builder_partly(b, &said), 0);
		assert_string_equal(said, "");
		policy_builder_served(b, true);
		assert_int_equal(policy_builder_add_text(b, str_of(texts[i]), NULL), ERR_OK);
		assert_int_equal(policy_builder_partly(b, &said), 1);
		assert_string_equal(said, first[i]);
		assert_int_equal(policy_builder_finish(b, &set, NULL), ERR_OK);
		assert_true(is_unsure(set, &db));
		assert_int_equal(is_unsure(set, &other), i == 2);
	}
	AUTO(policy_set_free)
	struct policy_set *set = set_by(KNP("a", "{podSelector: {}, ingress: [{}]}"), true);
	assert_false(is_unsure(set, &db));
}

static void where_something_in_force_is_not_known_answers_are_unsure(void **state)
{
	(void)state;
	static const char *const missed[] = { "shop", "elsewhere", "" };
	static const bool unsure[] = { true, false, true };

	for (size_t i = 0; i < ARRAY_LEN(missed); i++) {
		AUTO(policy_builder_free) struct policy_builder *b = builder();
		AUTO(policy_set_free) struct policy_set *set = NULL;

		policy_builder_miss(b, str_of(missed[i]));
		policy_builder_miss(b, str_of(missed[i]));
		assert_int_equal(policy_builder_finish(b, &set, NULL), ERR_OK);
		assert_int_equal(is_unsure(set, &db), unsure[i]);
	}
}

/* Flows have the labels that are part of identities: others are asked for in vain. */
static void where_labels_are_asked_for_that_ends_do_not_tell_answers_are_unsure(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum policy_meaning meaning;
		bool counted, unsure;
	} cases[] = {
		{ KNP("a", "{podSelector: {matchLabels: {pod-template-hash: x}}}"),
		  POLICY_AS_KUBERNETES, true, true },
		{ KNP("a", "{podSelector: {matchLabels: {pod-template-hash: x}}}"),
		  POLICY_AS_KUBERNETES, false, false },
		{ KNP("a", "{podSelector: {matchLabels: {pod-template-hash: x}}}"),
		  POLICY_AS_CILIUM, true, false },
		{ KNP("a", "{podSelector: {}, ingress: [{from: [{podSelector: {matchExpressions: "
			   "[{key: statefulset.kubernetes.io/pod-name, operator: Exists}]}}]}]}"),
		  POLICY_AS_KUBERNETES, true, true },
		{ KNP("a", "{podSelector: {matchLabels: {app: db}}, ingress: [{from: "
			   "[{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: "
			   "shop}}}]}]}"),
		  POLICY_AS_KUBERNETES, true, false },
		{ CNP("{endpointSelector: {matchLabels: {pod-template-hash: x}}, ingress: [{}]}"),
		  POLICY_AS_KUBERNETES, true, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct policy_config config = { .cluster = "c1",
						      .meaning = cases[i].meaning,
						      .counted_labels = cases[i].counted };
		AUTO(policy_builder_free) struct policy_builder *b = NULL;
		AUTO(policy_set_free) struct policy_set *set = NULL;

		assert_int_equal(policy_builder_new(&config, &b, NULL), ERR_OK);
		assert_int_equal(policy_builder_add_text(b, str_of(cases[i].text), NULL), ERR_OK);
		assert_int_equal(policy_builder_finish(b, &set, NULL), ERR_OK);
		if (is_unsure(set, &db) != cases[i].unsure)
			fail_msg("case %zu", i);
	}
}

#define TO_PORTS(to_ports) CNP("{endpointSelector: {}, egress: [{toPorts: [" to_ports "]}]}")

#define TO_443(more) TO_PORTS("{ports: [{port: '443', protocol: TCP}], " more "}")

/* Cilium, pkg/policy/api/rule_validation.go, and the resource definition (oneOf of rules). */
static void what_the_agent_refuses_of_ports_and_proxies_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ TO_PORTS("{ports: [{port: '80', protocol: TCP}], rules: {}}"), "one of http" },
		{ TO_PORTS("{ports: [{port: '80', protocol: TCP}], rules: {http: [], dns: []}}"),
		  "exclude each other" },
		{ TO_PORTS("{ports: [{port: '0', protocol: TCP}], rules: {http: [{}]}}"),
		  "port 0" },
		{ TO_PORTS("{ports: [{port: '53', protocol: UDP}], rules: {http: [{}]}}"),
		  "only apply to TCP" },
		{ TO_443("rules: {http: [{path: '*'}]}"), "path: " },
		{ TO_443("rules: {http: [{headers: [a, 1]}]}"), "headers[1]: it is a number" },
		{ CNP("{endpointSelector: {matchLabels: {a: b}, matchExpressions: [{key: a, "
		      "operator: "
		      "Is}]}, egress: [{}]}"),
		  "spec.endpointSelector.matchExpressions[0]" },
		{ TO_443("rules: {l7proto: x, l7: [{a: 1}]}"),
		  "l7[0].a: it is a number, must be text" },
		{ TO_443("rules: {l7proto: x, l7: [{'': a}]}"), "a key that is empty" },
		{ TO_PORTS("{rules: {dns: [{matchPattern: '*'}]}}"), "need a port" },
		{ TO_PORTS("{ports: [{port: '80', protocol: TCP}], rules: {http: [{}]}, listener: "
			   "{name: x, envoyConfig: {name: y}}}"),
		  "listener" },
		{ TO_PORTS("{ports: [{port: '80', protocol: VRRP}]}"), "must be 0" },
		{ TO_PORTS("{ports: [{port: '53', protocol: UDP}], rules: {dns: [{matchName: "
			   "''}]}}"),
		  "empty" },
		{ TO_PORTS("{ports: [{port: '53', protocol: UDP}], rules: {dns: [{matchName: "
			   "a..b}]}}"),
		  "before a dot" },
		{ TO_PORTS("{ports: [{port: '53', protocol: UDP}], rules: {dns: [{matchName: "
			   "\"a\\0b\"}]}}"),
		  "only letters" },
		{ TO_PORTS("{ports: [{port: '443', protocol: TCP}], serverNames: [\"a\\0b\"]}"),
		  "no name of a server" },
		{ TO_443("listener: {envoyConfig: {name: c}}"), "listener.name: it is missing" },
		{ TO_443("listener: {name: l}"), "listener.envoyConfig: it is missing" },
		{ TO_443("listener: {name: l, envoyConfig: {}}"),
		  "envoyConfig.name: it is missing" },
		{ TO_443("listener: {name: l, envoyConfig: {name: c, kind: X}}"), "kind must be" },
		{ TO_443("listener: {name: l, envoyConfig: {name: c}, priority: 101}"),
		  "priority must be 1 to 100" },
		{ TO_443("listener: {name: l, envoyConfig: {name: c}, priority: 0}"),
		  "priority must be 1 to 100" },
		{ TO_443("listener: {name: l, envoyConfig: {name: c}, priority: '1'}"),
		  "priority must be 1 to 100" },
		{ TO_443("listener: {name: l, envoyConfig: {name: c}, priority: 256}"),
		  "priority must be 1 to 100" },
		{ CCNP("{endpointSelector: {}, egress: [{toPorts: [{ports: [{port: '443'}], "
		       "listener: {name: l, envoyConfig: {name: c, kind: CiliumEnvoyConfig}}}]}]}"),
		  "needs a CiliumClusterwideEnvoyConfig" },
		{ TO_443("terminatingTLS: {}"), "terminatingTLS: secret is missing" },
		{ TO_443("originatingTLS: {secret: {namespace: n}}"),
		  "originatingTLS.secret.name: it is missing" },
		{ TO_443("serverNames: []"), "serverNames: at least one" },
		{ TO_443("serverNames: [a.b, c.d, a.b]"), "serverNames[2]: it is there already" },
		{ TO_443("rules: {http: [{headerMatches: [{value: x}]}]}"),
		  "headerMatches[0].name: it is missing" },
		{ TO_443("rules: {http: [{headerMatches: [{name: x, mismatch: log}]}]}"),
		  "mismatch must be" },
		{ TO_443("rules: {http: [{headerMatches: [{name: x, secret: {}}]}]}"),
		  "secret.name: it is missing" },
		{ TO_443("rules: {kafka: [{role: Produce}]}"), "role must be" },
		{ TO_443("rules: {kafka: [{apiKey: createtopic}]}"), "apiKey is no request" },
		{ TO_443("rules: {kafka: [{apiVersion: '32768'}]}"), "apiVersion must be" },
		{ TO_443("rules: {kafka: [{apiVersion: v1}]}"), "apiVersion must be" },
		{ TO_443("rules: {kafka: [{topic: a/b}]}"), "topic: at most" },
		{ CNP("{endpointSelector: {}, egress: [{icmps: [{fields: [{type: "
		      "ExtendedEchoReply}]}]}]}"),
		  "is none of ICMP" },
		{ CNP("{endpointSelector: {}, egress: [{}], labels: [{value: x}]}"),
		  "labels[0]: key is missing" },
		{ CNP("{endpointSelector: {}, egress: [{}], labels: [{key: ''}]}"),
		  "labels[0]: key is missing" },
		{ TO_443("originatingTLS: {secret: {name: s}, trustedCA: 1}"),
		  "originatingTLS.trustedCA: it is a number" },
		{ TO_PORTS("{ports: [{port: '80', protocol: ''}]}"), "protocol is empty" },
		{ CNP("{endpointSelector: {}, egress: [{icmps: [{fields: [{type: 8, family: "
		      "''}]}]}]}"),
		  "icmps[0].fields[0]: family must be" },
		{ CNP("{endpointSelector: {}, egress: [{icmps: [{fields: [{type: '08'}]}]}]}"),
		  "is none of ICMP" },
		/* "toPorts:" with nothing behind it is not all ports */
		{ CNP("{endpointSelector: {}, ingress: [{toPorts: }]}"),
		  "ingress[0].toPorts: it is null" },
		{ CNP("{endpointSelector: {matchLabels: {a: }}, ingress: [{}]}"),
		  "matchLabels.a: it is null" },
		{ CNP("{endpointSelector: {}, egressDeny: [{toPorts: [{ports: [{port: '443'}], "
		      "rules: {http: [{path: /x}]}}]}]}"),
		  "toPorts[0].rules: no such field" },
		{ CNP("{endpointSelector: {}, egress: [{}], log: {value: \"a\\tb\"}}"),
		  "control character" },
		{ CNP("{endpointSelector: {}, egress: [{}], log: {value: "
		      "a23456789b123456789c123456789d123}}"),
		  "log: value: at most 32" },
		{ CNP("{endpointSelector: {}, ingress: []}"), "at least one rule" },
		{ CNP("{endpointSelector: {}, egress: [{toCIDRSet: [{cidrGroupRef: Upper}]}]}"),
		  "cidrGroupRef" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (!strstr(refused(cases[i].text), cases[i].why))
			fail_msg("case %zu: '%s' is not in: %s", i, cases[i].why,
				 refused(cases[i].text));
}

static void what_the_agent_lets_pass_of_them_is_let_pass(void **state)
{
	(void)state;
	static const char *const texts[] = {
		/* a proxy of one's own may take any protocol if it lists no rules */
		TO_PORTS("{ports: [{port: '80', protocol: UDP}], rules: {l7proto: x}}"),
		TO_PORTS("{ports: [{port: '53', protocol: ANY}], rules: {dns: [{matchPattern: "
			 "'**.a.b.'}]}}"),
		/* what is empty asks for nothing */
		TO_PORTS("{ports: [{port: '53', protocol: UDP}], rules: {http: []}}"),
		TO_PORTS("{ports: [{port: '0'}], rules: {kafka: []}, serverNames: [a]}"),
		TO_PORTS("{rules: {dns: []}}"),
		TO_443("rules: {http: [{host: 'a['}]}"),
		TO_PORTS("{ports: [{port: '0', protocol: IGMP}]}"),
		TO_PORTS("{ports: [{port: web, protocol: TCP, endPort: 90}]}"),
		TO_443("listener: {name: l, priority: 100, envoyConfig: {name: c, kind: "
		       "CiliumClusterwideEnvoyConfig}}"),
		TO_443("serverNames: [a.b, c.d], terminatingTLS: {secret: {name: s, namespace: "
		       "n}}"),
		TO_443("rules: {http: [{headerMatches: [{name: x, mismatch: LOG, secret: {name: "
		       "s}}]}]}"),
		TO_443("rules: {kafka: [{apiKey: createTopics, apiVersion: '32767', topic: "
		       "A-z_0.9, "
		       "clientID: 'a b'}]}"),
		TO_443("rules: {kafka: [{role: consume, topic: ''}]}"),
		CNP("{endpointSelector: {}, egressDeny: [{toPorts: [{ports: [{port: '443'}], "
		    "serverNames: [], listener: {}}]}]}"),
		CNP("{endpointSelector: {}, egress: [{}], labels: [{key: k}], log: {value: "
		    "äöü456789b123456789c123456789d12}}"),
		CNP("{endpointSelector: {}, ingress: [], egress: [{}]}"),
		/* a policy of nothing */
		"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
		"metadata: {name: none, namespace: shop}\nspecs: []\n",
		CNP("{endpointSelector: {matchLabels: {a: A, b: Z0, c: '9', d: 0.z}}, egress: "
		    "[{}]}"),
		CNP("{endpointSelector: {}, egress: [{toCIDRSet: [{cidrGroupRef: a-b.c}]}]}"),
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		policy_set_free(set_of(texts[i]));
}

#define TEN "aaaaaaaaaa"
#define NINE "aaaaaaaaa"
#define SELECT(key) CNP("{endpointSelector: {matchLabels: {" key ": x}}, ingress: [{}]}")
#define GROUP(key)                                                                                 \
	CNP("{endpointSelector: {}, egress: [{toCIDRSet: [{cidrGroupSelector: {matchLabels: {" key \
	    ": x}}}]}]}")
#define FROM_NAMESPACES(key)                                                                       \
	KNP("a", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {" key     \
		 ": x}}}]}]}")

/* Kubernetes allows 63 bytes behind the slash, or without one. Cilium's agent checks its own
 * policies with the source before the key, and NetworkPolicy not at all. */
static void a_key_of_a_label_may_be_as_long_as_who_checks_it_allows(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ SELECT(NINE TEN TEN TEN TEN TEN), true },
		{ SELECT(TEN TEN TEN TEN TEN TEN), false },
		{ SELECT("'k8s:" NINE TEN TEN TEN TEN TEN "'"), true },
		{ SELECT("'k8s:" TEN TEN TEN TEN TEN TEN "'"), false },
		{ SELECT("a.b/aaa" TEN TEN TEN TEN TEN TEN), true },
		{ SELECT("a.b/aaaa" TEN TEN TEN TEN TEN TEN), false },
		{ SELECT("A.b/a"), false },
		{ SELECT("a..b/a"), false },
		{ SELECT("a/b/c"), false },
		{ SELECT("'k8s:'"), false },
		{ GROUP("aaa" TEN TEN TEN TEN TEN), true },
		{ GROUP("aaaa" TEN TEN TEN TEN TEN), false },
		{ KNP("a", "{podSelector: {matchLabels: {aaa" TEN TEN TEN TEN TEN TEN ": x}}}"),
		  true },
		{ KNP("a", "{podSelector: {matchLabels: {aaaa" TEN TEN TEN TEN TEN TEN ": x}}}"),
		  false },
		{ FROM_NAMESPACES("aaa" TEN TEN TEN TEN TEN TEN), true },
		{ FROM_NAMESPACES("-a"), false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (cases[i].good)
			policy_set_free(set_of(cases[i].text));
		else
			fails_with(cases[i].text, "is no key of a label");
	/* newer agents allow more */
	policy_set_free(set_by(
		SELECT("'k8s:io.cilium.k8s.namespace.labels.aaa" TEN TEN TEN TEN TEN TEN "'"),
		true));
}

/* Cilium, pkg/policy/portrange.go: a last port that is not above the first is none; a range may
 * begin at 0, and at a named port. */
static void ranges_of_ports_are_what_the_agent_makes_of_them(void **state)
{
	(void)state;
	static const struct {
		const char *port;
		uint16_t in, out;
	} cases[] = {
		{ "{port: '80', protocol: TCP, endPort: 79}", 80, 79 },
		{ "{port: '80', protocol: TCP, endPort: 79}", 80, 81 },
		{ "{port: '80', protocol: TCP, endPort: 0}", 80, 81 },
		{ "{port: '80', protocol: TCP, endPort: 82}", 82, 83 },
		{ "{port: '0', protocol: TCP, endPort: 1000}", 1000, 1001 },
		{ "{port: '0', protocol: TCP, endPort: 65535}", 65535, 0 },
		{ "{port: web, protocol: TCP, endPort: 8090}", 8090, 8079 },
		{ "{port: web, protocol: TCP, endPort: 8090}", 8080, 8091 },
		{ "{port: web, protocol: TCP, endPort: 80}", 8080, 8081 },
	};
	static const char pod[] =
		"---\nkind: Pod\napiVersion: v1\nmetadata: {name: db-0, namespace: shop}\n"
		"spec: {containers: [{ports: [{name: web, containerPort: 8080}]}]}\n";

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int egress = 0; egress < 2; egress++) {
			AUTO_BUF struct buf text = buf_init(4096);
			buf_printf(&text,
				   "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
				   "metadata: {name: p, namespace: shop}\nspec: {endpointSelector: "
				   "{}, %s: [{toPorts: [{ports: [%s]}]}]}\n%s",
				   egress ? "egress" : "ingress", cases[i].port, pod);
			/* a last port below the first is refused only where a person wrote it */
			AUTO(policy_set_free)
			struct policy_set *set = set_by(buf_cstr(&text), true);
			const struct policy_end *at = egress ? &web : &db;
			const struct policy_end *to = egress ? &db : &web;
			enum policy_direction direction = egress ? POLICY_EGRESS : POLICY_INGRESS;
			assert_int_equal(
				ask(set, direction, at, to, NULL, IPPROTO_TCP, cases[i].in).verdict,
				POLICY_ALLOWED);
			if (cases[i].out)
				assert_int_equal(
					ask(set, direction, at, to, NULL, IPPROTO_TCP, cases[i].out)
						.verdict,
					POLICY_DEFAULT_DENIED);
		}
}

static void a_policy_that_is_there_twice_is_refused(void **state)
{
	(void)state;
	assert_string_equal(
		refused(KNP("a", "{podSelector: {}}") "---\n" KNP("a", "{podSelector: {}}")),
		"document 2: NetworkPolicy shop/a: it is there twice");
}

static void kinds_of_others_that_share_a_name_are_not_ours(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"kind: NetworkPolicy\napiVersion: projectcalico.org/v3\nmetadata: {name: x}\n",
		"kind: Service\napiVersion: serving.knative.dev/v1\nmetadata: {name: x}\n",
	};
	const struct policy_config config = { .skip_other_kinds = true };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		AUTO(policy_builder_free) struct policy_builder *b = NULL;

		assert_non_null(strstr(refused(texts[i]), "is none that policies are made of"));
		assert_int_equal(policy_builder_new(&config, &b, NULL), ERR_OK);
		assert_int_equal(policy_builder_add_text(b, str_of(texts[i]), NULL), ERR_OK);
		assert_int_equal(policy_builder_skipped(b), 1);
	}
	/* another version of ours is no reason to look away */
	assert_non_null(strstr(refused("kind: NetworkPolicy\napiVersion: networking.k8s.io/v2\n"),
			       "must be networking.k8s.io/v1"));
}

static void json_and_what_is_nearly_json_are_read_alike(void **state)
{
	(void)state;
	json_t *strict, *loose;

	assert_int_equal(policy_yaml(STR("{\"a\": [1, \"b\", null]}"), &strict, NULL), ERR_OK);
	assert_int_equal(policy_yaml(STR("{a: [1, b, ],}"), &loose, NULL), ERR_OK);
	assert_int_equal(json_array_size(strict), 1);
	assert_int_equal(json_integer_value(json_array_get(
				 json_object_get(json_array_get(strict, 0), "a"), 0)),
			 1);
	assert_int_equal(json_array_size(json_object_get(json_array_get(loose, 0), "a")), 2);
	json_decref(strict);
	json_decref(loose);
	assert_int_equal(policy_yaml(STR("{\"a\": 1, \"a\": 2}"), &strict, NULL), ERR_PARSE);
}

static void an_object_that_fails_leaves_nothing_behind(void **state)
{
	(void)state;
	AUTO(policy_builder_free) struct policy_builder *b = builder();
	AUTO(policy_set_free) struct policy_set *set = NULL;

	assert_int_equal(policy_builder_add_text(b, str_of(KNP("a", "{podSelector: {}}")), NULL),
			 ERR_OK);
	assert_int_equal(
		policy_builder_add_text(
			b, str_of(CNP("{endpointSelector: {}, ingress: [{}], egress: 1}")), NULL),
		ERR_INVALID);
	assert_int_equal(policy_builder_count(b), 1);
	assert_int_equal(policy_builder_add_text(
				 b, str_of(CNP("{endpointSelector: {}, egress: [{}]}")), NULL),
			 ERR_OK);
	assert_int_equal(policy_builder_finish(b, &set, NULL), ERR_OK);
	assert_int_equal(policy_set_count(set), 2);
	bool in, out;
	policy_set_default_deny(set, 1, &in, &out);
	assert_true(!in && out);
}

/* Also of a policy of which some was well. */
static void the_first_part_of_an_object_that_fails_is_not_in_force(void **state)
{
	(void)state;
	AUTO(policy_builder_free) struct policy_builder *b = builder();
	AUTO(policy_set_free) struct policy_set *set = NULL;

	assert_int_equal(
		policy_builder_add_text(
			b,
			STR("apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
			    "metadata: {name: p, namespace: shop}\n"
			    "specs: [{endpointSelector: {}, ingress: [{fromEntities: [host]}]},"
			    " {endpointSelector: {}, ingress: 1}]\n"),
			NULL),
		ERR_INVALID);
	assert_int_equal(policy_builder_finish(b, &set, NULL), ERR_OK);
	assert_int_equal(ask(set, POLICY_INGRESS, &web, &db, NULL, IPPROTO_TCP, 80).verdict,
			 POLICY_NOT_SELECTED);
}

static void items_of_a_list_are_objects_and_may_leave_out_their_kind(void **state)
{
	(void)state;
	AUTO(policy_set_free)
	struct policy_set *set =
		set_of("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems:\n"
		       "- metadata: {name: a, namespace: x}\n  spec: {podSelector: {}}\n"
		       "- metadata: {name: b}\n  spec: {podSelector: {}}\n");
	AUTO_BUF struct buf key = buf_init(64);

	assert_int_equal(policy_set_count(set), 2);
	policy_key_put(set, 1, &key);
	assert_string_equal(buf_cstr(&key), "knp:default/b");
}

static void a_policy_keeps_its_version(void **state)
{
	(void)state;
	AUTO(policy_set_free) struct policy_set *set = set_of(KNP("a", "{podSelector: {}}"));
	const struct policy_info *info = policy_set_info(set, 0);

	assert_true(str_is(info->uid, "u-1") && str_is(info->resource_version, "42"));
	assert_int_equal(info->revision, 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_that_is_no_yaml_is_refused_with_line_and_column),
		cmocka_unit_test(nesting_ends_at_its_limit_in_yaml_as_in_json),
		cmocka_unit_test(plain_values_have_the_types_that_kubernetes_gives_them),
		cmocka_unit_test(what_is_wrong_is_said_with_its_place),
		cmocka_unit_test(a_field_that_its_kind_does_not_know_is_refused_with_its_place),
		cmocka_unit_test(values_that_cannot_be_are_refused),
		cmocka_unit_test(a_kind_that_is_nearly_a_policy_is_not_passed_over),
		cmocka_unit_test(what_a_server_gave_may_have_fields_nobody_here_knows),
		cmocka_unit_test(where_something_in_force_is_not_known_answers_are_unsure),
		cmocka_unit_test(
			where_labels_are_asked_for_that_ends_do_not_tell_answers_are_unsure),
		cmocka_unit_test(ranges_of_ports_are_what_the_agent_makes_of_them),
		cmocka_unit_test(what_the_agent_lets_pass_of_them_is_let_pass),
		cmocka_unit_test(a_key_of_a_label_may_be_as_long_as_who_checks_it_allows),
		cmocka_unit_test(what_the_agent_refuses_of_ports_and_proxies_is_refused),
		cmocka_unit_test(a_policy_that_is_there_twice_is_refused),
		cmocka_unit_test(kinds_of_others_that_share_a_name_are_not_ours),
		cmocka_unit_test(json_and_what_is_nearly_json_are_read_alike),
		cmocka_unit_test(an_object_that_fails_leaves_nothing_behind),
		cmocka_unit_test(the_first_part_of_an_object_that_fails_is_not_in_force),
		cmocka_unit_test(items_of_a_list_are_objects_and_may_leave_out_their_kind),
		cmocka_unit_test(a_policy_keeps_its_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
