/* observer/source: names of interfaces, in a network namespace of our own. */
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "observer/source/link_names.h"
#include "observer/source/links.h"

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("'%s' failed", command);
}

static const struct mono_ns long_past = { NS_PER_S };

static void assert_named(struct link_names *l, uint32_t ifindex, struct mono_ns now,
			 const char *want)
{
	char name[IF_NAMESIZE];

	assert_true(link_names_get(l, ifindex, now, name));
	assert_string_equal(name, want);
}

static void assert_unknown(struct link_names *l, uint32_t ifindex, struct mono_ns now)
{
	char name[IF_NAMESIZE];

	assert_false(link_names_get(l, ifindex, now, name));
}

static void names_come_go_and_change(void **state)
{
	(void)state;
	AUTO(link_names_free) struct link_names *l = NULL;
	struct mono_ns now = long_past;
	struct err e;

	if (unshare(CLONE_NEWNET) < 0)
		fail_msg("a network namespace: errno %d; this test needs root", errno);
	run("ip link set lo up");
	run("ip link add one type veth peer name peer1");
	if (link_names_new(&l, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	uint32_t one = if_nametoindex("one");
	assert_named(l, 1, now, "lo");
	assert_named(l, one, now, "one");
	assert_unknown(l, 0, now);
	assert_unknown(l, one + 100, now);

	/* noticed when it is time to look, not before */
	run("ip link add two type veth peer name peer2");
	uint32_t two = if_nametoindex("two");
	assert_unknown(l, two, now);
	now.v += LINK_NAMES_LOOK_MS * NS_PER_MS;
	assert_named(l, two, now, "two");
	run("ip link set one name three");
	run("ip link del two");
	now.v += LINK_NAMES_LOOK_MS * NS_PER_MS;
	assert_named(l, one, now, "three");
	assert_unknown(l, two, now);
	/* numbers that meet in one place of the memory for the last ones */
	assert_unknown(l, one + 256, now);
	assert_named(l, one, now, "three");
}

/* As a router has them: a default route over each of a hundred interfaces. */
static void every_interface_with_a_way_out_is_one(void **state)
{
	enum { MANY = 100 };
	(void)state;
	AUTO(links_free) struct links *l = NULL;
	size_t count, out = 0, gateways = 0;
	struct err e;

	if (unshare(CLONE_NEWNET) < 0)
		fail_msg("a network namespace: errno %d; this test needs root", errno);
	FILE *ip = popen("ip -batch -", "we");
	assert_non_null(ip);
	for (int i = 0; i < MANY; i++)
		(void)fprintf(ip,
			      "link add v%d type veth peer name p%d\nlink set v%d up\n"
			      "link set p%d up\naddr add 10.9.%d.1/24 dev v%d\n"
			      "route add default via 10.9.%d.2 dev v%d metric %d\n",
			      i, i, i, i, i, i, i, i, i + 1);
	assert_int_equal(pclose(ip), 0);
	if (links_open(true, &l, &e) != ERR_OK || links_refresh(l, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	const struct link *list = links_list(l, &count);
	for (size_t i = 0; i < count; i++) {
		out += list[i].route_out;
		gateways += list[i].gateway;
	}
	assert_int_equal(out, MANY);
	assert_int_equal(gateways, MANY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_come_go_and_change),
		cmocka_unit_test(every_interface_with_a_way_out_is_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
