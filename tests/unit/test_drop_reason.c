/* observer/drop_reason: the kernel's reasons in Cilium's words. Codes:
 * reference/drop-reasons.tsv. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "flow/names.h"
#include "observer/drop_reason.h"

static void a_firewall_drop_reads_as_policy_denied(void **state)
{
	(void)state;
	assert_int_equal(drop_reason_of_kernel(STR("NETFILTER_DROP")),
			 FLOW__DROP_REASON__POLICY_DENIED);
	assert_string_equal(drop_reason_text(drop_reason_of_kernel(STR("NETFILTER_DROP"))),
			    "Policy denied");
}

static void families_of_reasons_share_a_code(void **state)
{
	(void)state;
	assert_int_equal(drop_reason_of_kernel(STR("NEIGH_FAILED")),
			 FLOW__DROP_REASON__LOCAL_HOST_IS_UNREACHABLE);
	assert_int_equal(drop_reason_of_kernel(STR("NEIGH_SOMETHING_NEW")),
			 FLOW__DROP_REASON__LOCAL_HOST_IS_UNREACHABLE);
	assert_int_equal(drop_reason_of_kernel(STR("QDISC_DROP")),
			 FLOW__DROP_REASON__DROP_RATE_LIMITED);
	assert_int_equal(drop_reason_of_kernel(STR("TCP_OLD_DATA")),
			 FLOW__DROP_REASON__UNKNOWN_CONNECTION_TRACKING_STATE);
	assert_int_equal(drop_reason_of_kernel(STR("TCP_CSUM")),
			 FLOW__DROP_REASON__ERROR_WHILE_CORRECTING_L4_CHECKSUM);
}

static void what_nothing_comes_near_misleads_nobody(void **state)
{
	(void)state;
	assert_int_equal(drop_reason_of_kernel(STR("CANXL_RX_INVALID_FRAME")), DROP_REASON_OTHER);
	assert_int_equal(drop_reason_of_kernel(STR("")), DROP_REASON_OTHER);
	assert_null(enum_name(&flow__drop_reason__descriptor, DROP_REASON_OTHER));
	assert_null(drop_reason_text(DROP_REASON_OTHER));
}

static void every_code_but_other_has_a_text_in_hubble(void **state)
{
	(void)state;
	static const char *const reasons[] = {
		"NO_SOCKET", "IP_OUTNOROUTES",     "IP_RPFILTER",     "OTHERHOST",
		"IP_CSUM",   "UNHANDLED_PROTO",    "IPV6_BAD_EXTHDR", "FRAG_TOO_FAR",
		"XDP",       "MAC_INVALID_SOURCE", "HDR_TRUNC",       "IP_INADDRERRORS",
		"IP_NOPROTO"
	};
	for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
		assert_non_null(drop_reason_text(drop_reason_of_kernel(str_of(reasons[i]))));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_firewall_drop_reads_as_policy_denied),
		cmocka_unit_test(families_of_reasons_share_a_code),
		cmocka_unit_test(what_nothing_comes_near_misleads_nobody),
		cmocka_unit_test(every_code_but_other_has_a_text_in_hubble),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
