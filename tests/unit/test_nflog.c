/* observer/source/nflog: log prefixes to verdicts, and what is missing. A real kernel logs in
 * tests/lab/test_nflog.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "observer/source/nflog.h"

/* What a prefix says of the policy beyond its name. */
struct naming {
	const char *prefix;
	bool known;
	enum raw_verdict verdict;
	enum raw_direction direction;
	const char *policy, *namespace_, *kind;
};

struct reading {
	const char *prefix;
	enum raw_verdict verdict;
	enum raw_direction direction;
	const char *policy;
};

static void check(const char *pattern, const struct reading *readings, size_t n)
{
	AUTO(nflog_pattern_free) struct nflog_pattern *p = NULL;
	struct err e = { 0 };
	if (nflog_pattern_new(pattern, &p, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	for (size_t i = 0; i < n; i++) {
		/* a block of its own without terminator, and an event that holds something else */
		size_t len = strlen(readings[i].prefix);
		char *prefix = malloc(len ? len : 1);
		assert_non_null(prefix);
		memcpy(prefix, readings[i].prefix, len);
		struct raw_event ev = { .verdict = RAW_DENY,
					.direction = RAW_DIR_EGRESS,
					.policy = STR("old") };
		(void)nflog_pattern_read(p, str_n(prefix, len), &ev);
		if (ev.verdict != readings[i].verdict || ev.direction != readings[i].direction ||
		    !str_is(ev.policy, readings[i].policy))
			fail_msg("'%s': verdict %d direction %d policy '%.*s'", readings[i].prefix,
				 (int)ev.verdict, (int)ev.direction, STR_FMT(ev.policy));
		assert_true(str_is(ev.prefix, readings[i].prefix));
		free(prefix);
	}
}

static void the_default_form_names_verdict_direction_and_policy(void **state)
{
	(void)state;
	static const struct reading readings[] = {
		{ "tycho:allow:ingress:web", RAW_ALLOW, RAW_DIR_INGRESS, "web" },
		{ "tycho:deny:egress:default-deny", RAW_DENY, RAW_DIR_EGRESS, "default-deny" },
		{ "tycho:audit:ingress:x", RAW_AUDIT, RAW_DIR_INGRESS, "x" },
		{ "tycho:deny:ingress:", RAW_DENY, RAW_DIR_INGRESS, "" },
		{ "tycho:deny:ingress:ns/a:b:c", RAW_DENY, RAW_DIR_INGRESS, "ns/a:b:c" },
		{ "tycho:allow:egress:with blank ", RAW_ALLOW, RAW_DIR_EGRESS, "with blank" },
		{ "tycho:allow:egress:\xff\xfe", RAW_ALLOW, RAW_DIR_EGRESS, "\xff\xfe" },
	};
	check(NULL, readings, ARRAY_LEN(readings));
}

static void what_does_not_match_is_an_audit_without_policy(void **state)
{
	(void)state;
	static const struct reading readings[] = {
		{ "", RAW_AUDIT, RAW_DIR_UNKNOWN, "" },
		{ "tycho", RAW_AUDIT, RAW_DIR_UNKNOWN, "" },
		{ "tycho:allow:ingress", RAW_AUDIT, RAW_DIR_UNKNOWN, "" },
		{ "tycho:allow:sideways:x", RAW_AUDIT, RAW_DIR_UNKNOWN, "" },
		{ "tycho:drop:ingress:x", RAW_AUDIT, RAW_DIR_UNKNOWN, "" },
		{ " tycho:allow:ingress:x", RAW_AUDIT, RAW_DIR_UNKNOWN, "" },
		{ "[UFW BLOCK] ", RAW_AUDIT, RAW_DIR_UNKNOWN, "" },
	};
	check(NULL, readings, ARRAY_LEN(readings));
}

/* Prefixes from Calico's own tests (felix/rules/nflog_test.go, 3.29 and 3.31) and documentation. */
static void prefixes_of_calico_are_read_with_their_policies(void **state)
{
	(void)state;
	static const struct naming namings[] = {
		{ "API0|np/namespace1/default.policy", true, RAW_ALLOW, RAW_DIR_INGRESS,
		  "default.policy", "namespace1", "CalicoNetworkPolicy" },
		{ "DPE88|gnp/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", true, RAW_DENY,
		  RAW_DIR_EGRESS, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "",
		  "GlobalNetworkPolicy" },
		{ "APE3|knp/shop/db", true, RAW_ALLOW, RAW_DIR_EGRESS, "db", "shop",
		  "NetworkPolicy" },
		{ "DPI|knp/shop/db", true, RAW_DENY, RAW_DIR_INGRESS, "db", "shop",
		  "NetworkPolicy" },
		{ "PRE999|short.profile.name", true, RAW_AUDIT, RAW_DIR_EGRESS,
		  "short.profile.name", "", "Profile" },
		{ "ARI0|kns.shop", true, RAW_ALLOW, RAW_DIR_INGRESS, "kns.shop", "", "Profile" },
		{ "DPE|tier-1", true, RAW_DENY, RAW_DIR_EGRESS, "tier-1", "", "Tier" },
		{ "DRI", true, RAW_DENY, RAW_DIR_INGRESS, "", "", "" },
		{ "DRE", true, RAW_DENY, RAW_DIR_EGRESS, "", "", "" },
		/* before 3.31 */
		{ "API0|shop/knp.default.db", true, RAW_ALLOW, RAW_DIR_INGRESS, "db", "shop",
		  "NetworkPolicy" },
		{ "NPI2|shop/tier.db", true, RAW_AUDIT, RAW_DIR_INGRESS, "tier.db", "shop",
		  "CalicoNetworkPolicy" },
		{ "DPE0|default.all", true, RAW_DENY, RAW_DIR_EGRESS, "default.all", "",
		  "GlobalNetworkPolicy" },
		/* hashed: 63 bytes; the name is lost */
		{ "DPI88|gnp/_12IXaBPahNM7a7dZhI8zg6PStmHsgneYaax8LVSIq_RSTUVWXYZ0", true, RAW_DENY,
		  RAW_DIR_INGRESS, "", "", "" },
		{ "calico-drop: ", true, RAW_DENY, RAW_DIR_UNKNOWN, "", "", "" },
		{ "calico-packet: ", true, RAW_AUDIT, RAW_DIR_UNKNOWN, "", "", "" },
		{ "calico-packet shop/db: ", true, RAW_AUDIT, RAW_DIR_UNKNOWN, "shop/db", "", "" },
		/* nobody's */
		{ "", false, RAW_AUDIT, RAW_DIR_UNKNOWN, "", "", "" },
		{ "DP", false, RAW_AUDIT, RAW_DIR_UNKNOWN, "", "", "" },
		{ "DPI", false, RAW_AUDIT, RAW_DIR_UNKNOWN, "", "", "" },
		{ "DROP", false, RAW_AUDIT, RAW_DIR_UNKNOWN, "", "", "" },
		{ "DPI0|", false, RAW_AUDIT, RAW_DIR_UNKNOWN, "", "", "" },
		{ "DPI0x|a", false, RAW_AUDIT, RAW_DIR_UNKNOWN, "", "", "" },
		{ "calico-packet", false, RAW_AUDIT, RAW_DIR_UNKNOWN, "", "", "" },
	};
	AUTO(nflog_pattern_free) struct nflog_pattern *usual = NULL, *own = NULL;

	assert_int_equal(nflog_pattern_new(NULL, &usual, NULL), ERR_OK);
	assert_int_equal(nflog_pattern_new("^x$", &own, NULL), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(namings); i++) {
		const struct naming *n = &namings[i];
		struct raw_event ev = { .policy_kind = STR("old") };

		if (nflog_pattern_read(usual, str_of(n->prefix), &ev) != n->known ||
		    ev.verdict != n->verdict || ev.direction != n->direction ||
		    !str_is(ev.policy, n->policy) || !str_is(ev.policy_namespace, n->namespace_) ||
		    !str_is(ev.policy_kind, n->kind))
			fail_msg("'%s': verdict %d direction %d policy '%.*s' '%.*s' '%.*s'",
				 n->prefix, (int)ev.verdict, (int)ev.direction, STR_FMT(ev.policy),
				 STR_FMT(ev.policy_namespace), STR_FMT(ev.policy_kind));
		/* who brings a pattern means that and nothing else */
		assert_false(nflog_pattern_read(own, str_of(n->prefix), &ev));
		assert_true(str_is(ev.policy, "") && ev.verdict == RAW_AUDIT);
	}
}

static void a_pattern_of_ones_own_may_name_any_of_the_groups(void **state)
{
	(void)state;
	static const struct reading ufw[] = {
		{ "[UFW BLOCK] ", RAW_DENY, RAW_DIR_UNKNOWN, "" },
		{ "[UFW ALLOW] ", RAW_ALLOW, RAW_DIR_UNKNOWN, "" },
		{ "[UFW LIMIT BLOCK] ", RAW_AUDIT, RAW_DIR_UNKNOWN, "" },
	};
	check("^\\[UFW (?<verdict>\\w+)\\]", ufw, ARRAY_LEN(ufw));
	static const struct reading policy_only[] = { { "A|policy-7", RAW_AUDIT, RAW_DIR_UNKNOWN,
							"policy-7" } };
	check("\\|(?<policy>.*)", policy_only, ARRAY_LEN(policy_only));
	static const struct reading all[] = {
		{ "IN=Drop p1", RAW_DENY, RAW_DIR_INGRESS, "p1" },
		{ "OUT=accept p2", RAW_ALLOW, RAW_DIR_EGRESS, "p2" },
		{ "inbound=PASS", RAW_ALLOW, RAW_DIR_INGRESS, "" },
		{ "output=reject", RAW_DENY, RAW_DIR_EGRESS, "" },
		{ "forward=drop x", RAW_DENY, RAW_DIR_UNKNOWN, "x" },
	};
	check("^(?<direction>\\w+)=(?<verdict>\\w+)(?: (?<policy>.+))?$", all, ARRAY_LEN(all));
	/* none at all: everything is an audit */
	static const struct reading none[] = { { "anything", RAW_AUDIT, RAW_DIR_UNKNOWN, "" } };
	check("any", none, ARRAY_LEN(none));
}

static void a_bad_pattern_is_refused_with_the_place(void **state)
{
	(void)state;
	struct nflog_pattern *p = NULL;
	struct err e;
	assert_int_equal(nflog_pattern_new("ab(c", &p, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "offset 4"));
	assert_null(p);
	assert_int_equal(nflog_pattern_new("^(?<verdct>.)", &p, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "'verdct'"));
	assert_int_equal(nflog_pattern_new("(?J)(?<policy>a)|(?<policy>b)", &p, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "twice"));
	/* a pattern cannot switch to UTF-8, which would make any other byte an error */
	assert_int_equal(nflog_pattern_new("(*UTF)a", &p, &e), ERR_INVALID);
	assert_null(p);
}

static void a_pattern_that_backtracks_without_end_gives_up(void **state)
{
	(void)state;
	char prefix[128];
	memset(prefix, 'a', sizeof prefix - 1);
	prefix[sizeof prefix - 1] = '\0';
	const struct reading readings[] = { { prefix, RAW_AUDIT, RAW_DIR_UNKNOWN, "" } };
	check("^(?<policy>(a+)+)$(?<!a)", readings, 1);
}

static uint64_t given_up(const struct nflog_pattern *p)
{
	struct source_figure figures[SOURCE_FIGURES];

	assert_int_equal(nflog_pattern_figures(p, figures), 1);
	assert_string_equal(figures[0].kind->name, "prefixes_given_up_total");
	return figures[0].value;
}

static void what_is_given_up_is_counted_and_what_does_not_match_is_not(void **state)
{
	(void)state;
	AUTO(nflog_pattern_free) struct nflog_pattern *p = NULL;
	struct raw_event ev = { .kind = RAW_VERDICT };
	struct str many =
		STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");

	assert_int_equal(nflog_pattern_new("^(?<policy>(a+)+)$(?<!a)", &p, NULL), ERR_OK);
	assert_false(nflog_pattern_read(p, STR("b"), &ev));
	assert_int_equal(given_up(p), 0);
	assert_false(nflog_pattern_read(p, many, &ev));
	assert_int_equal(given_up(p), 1);
}

/* The kernel's log has lines of 8 KiB. */
static void the_default_form_names_policies_of_any_length(void **state)
{
	(void)state;
	enum { HEAD = 19, LONGEST = 8192 };
	AUTO(nflog_pattern_free) struct nflog_pattern *p = NULL;
	struct raw_event ev = { .kind = RAW_VERDICT };
	static char prefix[LONGEST];

	memset(prefix, 'x', sizeof prefix);
	memcpy(prefix, "tycho:deny:ingress:", HEAD);
	prefix[LONGEST - 1] = ' ';
	assert_int_equal(nflog_pattern_new(NULL, &p, NULL), ERR_OK);
	assert_true(nflog_pattern_read(p, str_n(prefix, sizeof prefix), &ev));
	assert_int_equal(ev.verdict, RAW_DENY);
	assert_int_equal(ev.policy.len, LONGEST - HEAD - 1);
	assert_int_equal(given_up(p), 0);
}

static void groups_are_checked_before_the_kernel_is_asked(void **state)
{
	(void)state;
	struct source *s = NULL;
	struct err e;
	assert_int_equal(source_nflog_new(&(struct source_nflog_config){ 0 }, &s, &e), ERR_INVALID);
	const uint16_t twice[] = { 4, 5, 4 };
	assert_int_equal(
		source_nflog_new(&(struct source_nflog_config){ .groups = twice, .group_count = 3 },
				 &s, &e),
		ERR_INVALID);
	assert_non_null(strstr(e.msg, "group 4"));
	const struct source_nflog_config bad = { .groups = twice,
						 .group_count = 1,
						 .pattern = "(" };
	assert_int_equal(source_nflog_new(&bad, &s, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "offset 1"));
	assert_null(s);
}

/* --- a kernel of our own ---------------------------------------------------------------------- */

/* What the source asks of libmnl, instead of it: requests are granted, batches are those below. */
enum { GROUP = 7 };
static struct {
	int fds[2];       /* the first one can always be read */
	uint32_t request; /* its number, not answered yet */
	const uint32_t *seqs;
	size_t count; /* of packets that are still to come, one in each batch */
} kernel;

struct mnl_socket *mnl_socket_open2(int bus, int flags)
{
	(void)bus, (void)flags;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, kernel.fds), 0);
	assert_int_equal(write(kernel.fds[1], "", 1), 1);
	return (struct mnl_socket *)(void *)&kernel;
}

int mnl_socket_bind(struct mnl_socket *nl, unsigned groups, pid_t pid)
{
	(void)nl, (void)groups, (void)pid;
	return 0;
}

int mnl_socket_get_fd(const struct mnl_socket *nl)
{
	(void)nl;
	return kernel.fds[0];
}

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *request, size_t bytes)
{
	(void)nl;
	kernel.request = ((const struct nlmsghdr *)request)->nlmsg_seq;
	return (ssize_t)bytes;
}

ssize_t mnl_socket_recvfrom(const struct mnl_socket *nl, void *buf, size_t bytes)
{
	struct nlmsghdr *m = mnl_nlmsg_put_header(buf);

	(void)nl, (void)bytes;
	if (kernel.request) {
		struct nlmsgerr *granted = mnl_nlmsg_put_extra_header(m, sizeof *granted);
		m->nlmsg_type = NLMSG_ERROR;
		m->nlmsg_seq = kernel.request;
		granted->error = 0;
		kernel.request = 0;
	} else if (kernel.count) {
		struct nfgenmsg *header = mnl_nlmsg_put_extra_header(m, sizeof *header);
		m->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET;
		header->res_id = htons(GROUP);
		mnl_attr_put_u32(m, NFULA_SEQ, htonl(*kernel.seqs++));
		kernel.count--;
	} else {
		errno = EAGAIN;
		return -1;
	}
	return m->nlmsg_len;
}

int mnl_socket_close(struct mnl_socket *nl)
{
	(void)nl;
	return close(kernel.fds[0]) | close(kernel.fds[1]);
}

struct heard {
	struct raw_sink sink;
	size_t packets;
	uint64_t lost;
};

static void hear(struct raw_sink *sink, const struct raw_event *ev)
{
	struct heard *h = (struct heard *)sink;

	h->packets += ev->kind == RAW_VERDICT;
	h->lost += ev->kind == RAW_LOST ? ev->lost : 0;
}

static void numbers_left_out_are_losses_and_numbers_set_back_are_none(void **state)
{
	(void)state;
	static const struct {
		uint32_t seqs[5];
		size_t count;
		uint64_t lost;
	} cases[] = {
		{ { 0, 1, 2 }, 3, 0 },
		{ { 3 }, 1, 3 }, /* the kernel counts from 0 */
		{ { 0, 1, 5, 6 }, 4, 3 },
		{ { 0, 1, 0, 1, 2 }, 5, 0 }, /* the kernel has begun again */
		{ { 0, 1000, 0, 3, 4 }, 5, 999 + 2 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		static const uint16_t group = GROUP;
		AUTO(source_free) struct source *s = NULL;
		struct heard h = { .sink = { hear } };
		struct err e;

		if (source_nflog_new(
			    &(struct source_nflog_config){ .groups = &group, .group_count = 1 }, &s,
			    &e) != ERR_OK)
			fail_msg("%s", e.msg);
		kernel.seqs = cases[i].seqs;
		kernel.count = cases[i].count;
		(void)source_drain(s, &h.sink, 100);
		assert_int_equal(h.packets, cases[i].count);
		assert_int_equal(h.lost, cases[i].lost);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_default_form_names_verdict_direction_and_policy),
		cmocka_unit_test(what_does_not_match_is_an_audit_without_policy),
		cmocka_unit_test(prefixes_of_calico_are_read_with_their_policies),
		cmocka_unit_test(a_pattern_of_ones_own_may_name_any_of_the_groups),
		cmocka_unit_test(a_bad_pattern_is_refused_with_the_place),
		cmocka_unit_test(a_pattern_that_backtracks_without_end_gives_up),
		cmocka_unit_test(what_is_given_up_is_counted_and_what_does_not_match_is_not),
		cmocka_unit_test(the_default_form_names_policies_of_any_length),
		cmocka_unit_test(groups_are_checked_before_the_kernel_is_asked),
		cmocka_unit_test(numbers_left_out_are_losses_and_numbers_set_back_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
