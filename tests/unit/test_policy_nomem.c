/* lib/policy when memory runs out: each allocation fails once, the sentence says so, nothing leaks
 * (the address sanitizer looks), and what was taken before is whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/policy.h"
#include "tests/unit/nomem.h"

static const char text[] =
	"apiVersion: cilium.io/v2\n"
	"kind: CiliumNetworkPolicy\n"
	"metadata: {name: web, namespace: shop}\n"
	"spec:\n"
	"  endpointSelector: {matchLabels: {app: web}}\n"
	"  ingress:\n"
	"  - fromEndpoints: [{matchLabels: {app: a}}, {matchExpressions: [{key: b, operator: "
	"Exists}]}]\n"
	"    toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{path: '/x.*'}]}}]\n"
	"  egress:\n"
	"  - toCIDRSet: [{cidrGroupRef: office, except: [192.0.2.8/29]}]\n"
	"  - toFQDNs: [{matchPattern: '*.example'}]\n"
	"  - toServices: [{k8sService: {serviceName: db, namespace: shop}}]\n"
	"  - toEntities: [world]\n"
	"    toPorts: [{ports: [{port: '443'}], listener: {envoyConfig: {name: c}, name: l},\n"
	"               terminatingTLS: {secret: {name: a, namespace: shop}}}]\n"
	"  - toEntities: [world]\n"
	"    toPorts: [{ports: [{port: '443'}], originatingTLS: {secret: {name: b}},\n"
	"               terminatingTLS: {secret: {name: b}}}]\n"
	"---\n"
	"apiVersion: cilium.io/v2\n"
	"kind: CiliumCIDRGroup\n"
	"metadata: {name: office}\n"
	"spec: {externalCIDRs: [192.0.2.0/24]}\n"
	"---\n"
	"apiVersion: v1\n"
	"kind: Service\n"
	"metadata: {name: db, namespace: shop}\n"
	"spec: {selector: {app: db}}\n";

/* @return true if an allocation failed on the way. jansson and libyaml have allocators of their
 * own, which are not ours to fail. */
static bool build(void)
{
	static const struct policy_config config = { .cluster = "c1" };
	AUTO(policy_builder_free) struct policy_builder *b = NULL;
	AUTO(policy_set_free) struct policy_set *set = NULL;
	struct err e = { 0 };
	enum err_code code = policy_builder_new(&config, &b, &e);

	if (code == ERR_OK)
		code = policy_builder_add_text(b, str_of(text), &e);
	if (code == ERR_OK)
		code = policy_builder_finish(b, &set, &e);
	bool failed = nomem_end();
	if (code == ERR_OK)
		assert_int_equal(policy_set_count(set), 1);
	else
		assert_true(*e.msg);
	/* a failure that nobody noticed would be one that the next reader trips over */
	assert_true(code == ERR_OK || failed);
	return failed;
}

static void reading_survives_each_failed_allocation(void **state)
{
	(void)state;
	long n = 0;

	do
		nomem_after(n++);
	while (build());
	assert_true(n > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading_survives_each_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
