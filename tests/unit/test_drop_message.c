/* observer/drop_events/message: what an event says of a drop. Sentences: Hubble's
 * (reference/hubble-exporter-relay.md 1.1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/wire.h"
#include "observer/drop_events/message.h"

/* The message of a flow as JSON has it; @incoming to its destination. '~' is a byte that is no UTF-8. */
static void says(const char *json, bool incoming, bool extended, const char *want)
{
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	AUTO_BUF struct buf wire = buf_init(1 << 20);
	char text[DROP_MESSAGE_BYTES];
	struct buf b = buf_fixed(text, sizeof text);
	struct flow f;
	struct err e = { 0 };

	assert_int_equal(flow_dict_new(100, &dict, NULL), ERR_OK);
	if (json_read_message(str_of(json), &flow__flow__descriptor, NULL, &wire, NULL, &e) !=
	    ERR_OK)
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < wire.len; i++)
		wire.p[i] = wire.p[i] == '~' ? (char)0xff : wire.p[i];
	if (flow_decode(buf_str(&wire), dict, &f, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	drop_message_put(&b, &f, dict, incoming, extended);
	assert_false(b.failed);
	if (!str_is(buf_str(&b), want))
		fail_msg("'%.*s', but wanted '%s'", (int)b.len, text, want);
}

#define FROM_CLIENT                                                                                \
	"\"IP\":{\"source\":\"10.0.0.1\",\"destination\":\"10.0.0.2\"},"                           \
	"\"source\":{\"namespace\":\"default\",\"pod_name\":\"client\",\"identity\":4001},"        \
	"\"destination\":{\"identity\":2},\"drop_reason_desc\":\"POLICY_DENIED\""
#define HTTP ",\"l4\":{\"TCP\":{\"source_port\":40000,\"destination_port\":80}}"

static void what_comes_in_is_from_somebody_and_what_goes_out_to_somebody(void **state)
{
	(void)state;
	says("{" FROM_CLIENT HTTP "}", true, false,
	     "Incoming packet dropped (policy_denied) from default/client (10.0.0.1) TCP/80.");
	says("{" FROM_CLIENT HTTP "}", false, false,
	     "Outgoing packet dropped (policy_denied) to world (10.0.0.2) TCP/80.");
}

static void each_transport_has_its_word_and_two_have_the_port(void **state)
{
	static const char *const cases[][2] = {
		{ "\"UDP\":{\"source_port\":1,\"destination_port\":53}", " UDP/53" },
		{ "\"TCP\":{\"source_port\":1,\"destination_port\":0}", " TCP/0" },
		{ "\"ICMPv4\":{\"type\":8}", " ICMPv4" },
		{ "\"ICMPv6\":{\"type\":128}", " ICMPv6" },
		{ "\"SCTP\":{\"source_port\":1,\"destination_port\":2}", " SCTP" },
		{ "\"VRRP\":{\"type\":1}", " VRRP" },
		{ "\"IGMP\":{\"type\":17}", " IGMP" },
		{ "\"UDP\":{\"destination_port\":70000}", " UDP/70000" },
		{ "", "" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char json[600], want[200];
		(void)snprintf(json, sizeof json, "{" FROM_CLIENT ",\"l4\":{%s}}", cases[i][0]);
		(void)snprintf(want, sizeof want,
			       "Incoming packet dropped (policy_denied) from default/client "
			       "(10.0.0.1)%s.",
			       cases[i][1]);
		says(json, true, false, want);
	}
}

static void a_peer_is_a_pod_or_a_reserved_name_or_an_address(void **state)
{
	static const char *const cases[][3] = {
		{ "\"identity\":6", "192.0.2.1", "remote-node (192.0.2.1)" },
		{ "\"identity\":1", "fd00::1", "host (fd00::1)" },
		{ "\"identity\":0", "192.0.2.1", "unknown (192.0.2.1)" },
		{ "\"identity\":4711", "192.0.2.1", "192.0.2.1" },
		{ "\"identity\":4711", "FD00:0::1", "FD00:0::1" },
		{ "\"identity\":16777217", "", "an unknown address" },
		{ "\"identity\":2", "", "world" },
		{ "\"namespace\":\"n\",\"pod_name\":\"p\",\"identity\":2", "fd00::2",
		  "n/p (fd00::2)" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char json[600], want[200];
		(void)snprintf(json, sizeof json,
			       "{\"drop_reason_desc\":\"AUTH_REQUIRED\",\"IP\":{\"source\":\"%s\"},"
			       "\"source\":{%s}}",
			       cases[i][1], cases[i][0]);
		(void)snprintf(want, sizeof want,
			       "Incoming packet dropped (auth_required) from %s.", cases[i][2]);
		says(json, true, false, want);
	}
	says("{\"drop_reason_desc\":\"POLICY_DENY\",\"IP\":{\"destination\":\"192.0.2.9\"}}", false,
	     false, "Outgoing packet dropped (policy_deny) to unknown (192.0.2.9).");
}

static void a_reason_that_has_no_name_is_its_number(void **state)
{
	(void)state;
	says("{\"drop_reason_desc\":250,\"IP\":{\"source\":\"192.0.2.9\"}}", true, false,
	     "Incoming packet dropped (250) from unknown (192.0.2.9).");
}

#define HEAD "Incoming packet dropped (policy_denied) from default/client (10.0.0.1) TCP/80."
#define POLICY(name, kind) "{\"name\":\"" name "\",\"namespace\":\"shop\",\"kind\":\"" kind "\"}"
#define WIDE(name) "{\"name\":\"" name "\",\"kind\":\"CiliumClusterwideNetworkPolicy\"}"

static void policies_of_that_direction_are_named_in_order_and_once(void **state)
{
	(void)state;
	says("{" FROM_CLIENT HTTP
	     ",\"ingress_denied_by\":[" POLICY("b", "NetworkPolicy") "," WIDE("all") "," POLICY(
		     "a",
		     "NetworkPolicy") "," POLICY("b",
						 "NetworkPolicy") "],"
								  "\"egress_denied_by\":"
								  "[" POLICY(
									  "other",
									  "NetworkPolic"
									  "y") "],"
									       "\"ingres"
									       "s_"
									       "allowed_"
									       "by\":"
									       "[" POLICY(
										       "not",
										       "NetworkPoli"
										       "cy") "]}",
	     true, true,
	     HEAD
	     " Applied policies: NetworkPolicy/a,NetworkPolicy/b. Applied clusterwide policies: "
	     "CiliumClusterwideNetworkPolicy/all.");
	says("{\"drop_reason_desc\":\"POLICY_DENY\",\"IP\":{\"destination\":\"192.0.2.9\"},"
	     "\"egress_denied_by\":[" POLICY("no", "CiliumNetworkPolicy") "]}",
	     false, true,
	     "Outgoing packet dropped (policy_deny) to unknown (192.0.2.9). Denied by policies: "
	     "CiliumNetworkPolicy/no.");
	says("{\"drop_reason_desc\":\"POLICY_DENY\",\"IP\":{\"destination\":\"192.0.2.9\"},"
	     "\"egress_denied_by\":[" WIDE("w") "]}",
	     false, true,
	     "Outgoing packet dropped (policy_deny) to unknown (192.0.2.9). Denied by clusterwide "
	     "policies: CiliumClusterwideNetworkPolicy/w.");
	says("{" FROM_CLIENT HTTP "}", true, true, HEAD);
	says("{" FROM_CLIENT HTTP ",\"ingress_denied_by\":[" POLICY("b", "NetworkPolicy") "]}",
	     true, false, HEAD);
}

static void policies_that_do_not_fit_are_counted(void **state)
{
	AUTO_BUF struct buf json = buf_init(1 << 16), want = buf_init(1 << 16);
	enum { POLICIES = 100, NAME = 200 }; /* more than are looked at */
	char name[NAME + 1];
	(void)state;

	memset(name, 'x', NAME);
	name[NAME] = 0;
	buf_lit(&json, "{" FROM_CLIENT HTTP ",\"ingress_denied_by\":[");
	buf_lit(&want, HEAD " Applied policies: ");
	for (int i = 0; i < POLICIES; i++) {
		name[0] = (char)('a' + i / 26);
		name[1] = (char)('a' + i % 26);
		buf_printf(&json, "%s" POLICY("%s", "K"), i ? "," : "", name);
		/* 78 + 19 bytes, then 202 each and a comma: four make 908 */
		if (i < 4)
			buf_printf(&want, "%sK/%s", i ? "," : "", name);
	}
	buf_lit(&json, "]}");
	buf_printf(&want, ",… (%d more).", POLICIES - 4);
	says(buf_cstr(&json), true, true, buf_cstr(&want));
}

static void the_longest_names_there_are_fit(void **state)
{
	AUTO_BUF struct buf json = buf_init(1 << 16), want = buf_init(1 << 16);
	char name[254];
	(void)state;

	memset(name, 'x', sizeof name - 1);
	name[253] = 0;
	buf_printf(&json,
		   "{\"drop_reason_desc\":"
		   "\"NO_CONFIGURATION_AVAILABLE_TO_PERFORM_POLICY_DECISION\","
		   "\"IP\":{\"source\":\"2001:db8:1111:2222:3333:4444:5555:6666\"},"
		   "\"source\":{\"namespace\":\"%s\",\"pod_name\":\"%s\"},"
		   "\"ingress_denied_by\":[" POLICY(
			   "%s", "%s") "]"
				       ",\"l4\":{\"TCP\":{\"destination_port\":65535}}}",
		   name, name, name, name);
	buf_printf(&want,
		   "Incoming packet dropped "
		   "(no_configuration_available_to_perform_policy_decision) from %s/%s "
		   "(2001:db8:1111:2222:3333:4444:5555:6666) TCP/65535. Applied policies: … (1 "
		   "more).",
		   name, name);
	says(buf_cstr(&json), true, true, buf_cstr(&want));
}

static void what_others_wrote_steers_no_terminal_and_is_utf_8(void **state)
{
	(void)state;
	says("{\"drop_reason_desc\":\"POLICY_DENY\",\"IP\":{\"source\":\"1~2\\u001b[2J\"},"
	     "\"source\":{\"namespace\":\"a\\u001b[31m\\n\",\"pod_name\":\"\\u009bb\\u007f~"
	     "\u00e9\"},"
	     "\"ingress_denied_by\":[" POLICY("n~\\u0007", "K~") "]}",
	     true, true,
	     "Incoming packet dropped (policy_deny) from a?[31m?/?b?\xef\xbf\xbd\xc3\xa9 "
	     "(1\xef\xbf\xbd"
	     "2?[2J). Denied by policies: K\xef\xbf\xbd/n\xef\xbf\xbd?.");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_in_is_from_somebody_and_what_goes_out_to_somebody),
		cmocka_unit_test(each_transport_has_its_word_and_two_have_the_port),
		cmocka_unit_test(a_peer_is_a_pod_or_a_reserved_name_or_an_address),
		cmocka_unit_test(a_reason_that_has_no_name_is_its_number),
		cmocka_unit_test(policies_of_that_direction_are_named_in_order_and_once),
		cmocka_unit_test(policies_that_do_not_fit_are_counted),
		cmocka_unit_test(the_longest_names_there_are_fit),
		cmocka_unit_test(what_others_wrote_steers_no_terminal_and_is_utf_8),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
