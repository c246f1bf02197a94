/* observer/upstream/agent_names: names come from an agent's socket, stay while it is away, and are
 * renewed when it is back or tells of a change. The agent is a thread that answers as the REST API
 * does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "observer/upstream/agent_names.h"

enum { WHO = 2, PATHS = 8 };

struct fake {
	char folder[64];
	struct sockaddr_un address;
	int fd;
	pthread_t thread;
	pthread_mutex_t mx;
	const char *answers[PATHS]; /* guarded by mx; NULL: 404, "500": an error */
	_Atomic unsigned asked;     /* for endpoints */
};

static const char *const paths[PATHS] = { "/v1/endpoint",
					  "/v1/ip",
					  "/v1/identity",
					  "/v1/service",
					  "/v1/cgroup-dump-metadata",
					  "/v1/policy/selectors",
					  "/v1/fqdn/cache",
					  "/v1/policy" };

static void answer(struct fake *f, int fd)
{
	char request[4096], path[200], head[200];
	size_t n = 0;
	const char *body = NULL;

	while (n < sizeof request - 1) {
		ssize_t got = recv(fd, request + n, sizeof request - 1 - n, 0);
		if (got <= 0)
			return;
		n += (size_t)got;
		request[n] = 0;
		if (strstr(request, "\r\n\r\n"))
			break;
	}
	if (sscanf(request, "GET %199s HTTP/1.1", path) != 1)
		return;
	pthread_mutex_lock(&f->mx);
	for (size_t i = 0; i < PATHS; i++)
		if (strcmp(path, paths[i]) == 0)
			body = f->answers[i];
	pthread_mutex_unlock(&f->mx);
	if (strcmp(path, paths[0]) == 0)
		f->asked++;
	const char *status = !body ? "404 Not Found" : strcmp(body, "500") ? "200 OK" : "500 No";
	body = body ? body : "";
	int len = snprintf(head, sizeof head,
			   "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
			   status, strlen(body));
	(void)!send(fd, head, (size_t)len, MSG_NOSIGNAL);
	(void)!send(fd, body, strlen(body), MSG_NOSIGNAL);
}

static void *fake_main(void *arg)
{
	struct fake *f = arg;

	for (;;) {
		int fd = accept(f->fd, NULL, NULL);
		if (fd < 0)
			return NULL; /* shut down */
		answer(f, fd);
		(void)close(fd);
	}
}

static void fake_start(struct fake *f)
{
	f->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(f->fd >= 0);
	assert_int_equal(bind(f->fd, (struct sockaddr *)&f->address, sizeof f->address), 0);
	assert_int_equal(listen(f->fd, 8), 0);
	assert_int_equal(pthread_create(&f->thread, NULL, fake_main, f), 0);
}

static void fake_stop(struct fake *f)
{
	if (f->fd < 0)
		return;
	(void)shutdown(f->fd, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	(void)close(f->fd);
	(void)unlink(f->address.sun_path);
	f->fd = -1;
}

static void fake_init(struct fake *f)
{
	*f = (struct fake){ .folder = "/tmp/tycho-names-XXXXXX", .fd = -1 };
	pthread_mutex_init(&f->mx, NULL);
	assert_non_null(mkdtemp(f->folder));
	f->address.sun_family = AF_UNIX;
	(void)snprintf(f->address.sun_path, sizeof f->address.sun_path, "%s/s", f->folder);
}

static void fake_done(struct fake *f)
{
	fake_stop(f);
	(void)rmdir(f->folder);
	pthread_mutex_destroy(&f->mx);
}

static void say(struct fake *f, const char *pod)
{
	static char ips[2][300];
	static unsigned turn;
	char *to = ips[turn++ % 2];

	(void)snprintf(to, sizeof ips[0],
		       "[{\"cidr\":\"10.0.2.9/32\",\"identity\":4002,\"metadata\":"
		       "{\"namespace\":\"shop\",\"name\":\"%s\"}}]",
		       pod);
	pthread_mutex_lock(&f->mx);
	f->answers[0] = "[{\"id\":42,\"status\":{\"external-identifiers\":{\"k8s-namespace\":"
			"\"shop\",\"k8s-pod-name\":\"cart-0\"},\"identity\":{\"id\":4001,"
			"\"labels\":[\"k8s:app=cart\"]},\"networking\":{\"addressing\":"
			"[{\"ipv4\":\"10.0.1.5\"}]}}}]";
	f->answers[1] = to;
	f->answers[2] = "[{\"id\":4002,\"labels\":[\"k8s:app=db\"]}]";
	f->answers[3] = "[{\"spec\":{\"frontend-address\":{\"ip\":\"10.96.0.10\",\"port\":53,"
			"\"protocol\":\"UDP\"},\"flags\":{\"name\":\"dns\"}}}]";
	pthread_mutex_unlock(&f->mx);
}

struct set_up {
	struct fake fake;
	struct flow_dict *dict;
	struct name_table *names;
	struct agent_policies *policies;
	struct agent_names *agent;
	/* what was told of rules: their revision, or 0 for none; guarded by the fake's mx */
	unsigned told;
	long long revision;
};

static void on_rules(void *ctx, const json_t *answer)
{
	struct set_up *s = ctx;

	pthread_mutex_lock(&s->fake.mx);
	s->told++;
	s->revision = json_integer_value(json_object_get(answer, "revision"));
	pthread_mutex_unlock(&s->fake.mx);
}

static int setup(void **state)
{
	struct set_up *s = calloc(1, sizeof *s);
	const struct name_config config = { .cluster = "", .node = "n" };

	fake_init(&s->fake);
	assert_int_equal(flow_dict_new(1000, &s->dict, NULL), ERR_OK);
	assert_int_equal(name_table_new(&config, s->dict, &s->names, NULL), ERR_OK);
	assert_int_equal(agent_policies_new(&s->policies, NULL), ERR_OK);
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct set_up *s = *state;

	agent_names_free(s->agent);
	fake_done(&s->fake);
	agent_policies_free(s->policies);
	name_table_free(s->names);
	flow_dict_free(s->dict);
	free(s);
	return 0;
}

static void start(struct set_up *s, uint64_t interval_ns)
{
	const struct agent_names_config config = { .socket = s->fake.address.sun_path,
						   .who = WHO,
						   .interval_ns = interval_ns,
						   .names = s->names,
						   .policies = s->policies,
						   .on_rules = on_rules,
						   .ctx = s };

	assert_int_equal(agent_names_new(&config, &s->agent, NULL), ERR_OK);
}

/* Until so many refreshes, or failures, have been. */
static struct agent_names_counts wait_counts(struct set_up *s, uint64_t refreshes,
					     uint64_t failures)
{
	struct mono_ns end = { mono_now().v + 120 * NS_PER_S };

	for (;;) {
		struct agent_names_counts c = agent_names_counts(s->agent);
		if (c.refreshes >= refreshes && c.failures >= failures)
			return c;
		if (mono_now().v > end.v)
			fail_msg("%llu refreshes, %llu failures", (unsigned long long)c.refreshes,
				 (unsigned long long)c.failures);
		(void)sched_yield();
	}
}

static const struct endpoint *who_has(struct set_up *s, const char *ip, bool *ret_local)
{
	uint8_t bytes[16];

	assert_true(ip_parse(str_of(ip), bytes));
	struct name_found found = name_find(s->names, bytes);
	*ret_local = found.local;
	return found.ep;
}

static void assert_pod(struct set_up *s, const char *ip, const char *pod)
{
	bool local;
	const struct endpoint *e = who_has(s, ip, &local);

	assert_non_null(e);
	assert_true(str_is(e->pod, pod));
}

static void what_the_agent_knows_names_addresses(void **state)
{
	struct set_up *s = *state;
	bool local;
	say(&s->fake, "db-0");
	fake_start(&s->fake);
	start(s, 3600 * NS_PER_S);
	struct agent_names_counts c = wait_counts(s, 1, 0);
	assert_int_equal(c.endpoints, 1);
	assert_int_equal(c.addresses, 2);
	assert_int_equal(c.identities, 1);
	assert_int_equal(c.services, 1);
	assert_false(c.is_stale);
	assert_true(c.fresh_at.v > 0 && c.fresh_at.v <= mono_now().v);
	const struct endpoint *e = who_has(s, "10.0.1.5", &local);
	assert_non_null(e);
	assert_true(local);
	assert_int_equal(e->id, 42);
	assert_int_equal(e->identity, 4001);
	assert_non_null(name_local(s->names, 42));
	assert_pod(s, "10.0.2.9", "db-0");
	e = who_has(s, "10.0.2.9", &local);
	assert_false(local);
	assert_int_equal(e->label_count, 1); /* of the identity */
	assert_true(str_is(e->labels[0], "k8s:app=db"));
}

static void an_agent_that_comes_later_is_found(void **state)
{
	struct set_up *s = *state;
	start(s, 10 * NS_PER_MS);
	struct agent_names_counts c = wait_counts(s, 0, 2);
	assert_true(c.is_stale);
	assert_int_equal(c.fresh_at.v, 0);
	say(&s->fake, "db-0");
	fake_start(&s->fake);
	c = wait_counts(s, 1, 2);
	assert_false(c.is_stale);
	assert_pod(s, "10.0.2.9", "db-0");
}

static void an_agent_that_goes_leaves_its_names_and_renews_them_when_it_is_back(void **state)
{
	struct set_up *s = *state;
	say(&s->fake, "db-0");
	fake_start(&s->fake);
	start(s, 10 * NS_PER_MS);
	(void)wait_counts(s, 1, 0);
	fake_stop(&s->fake);
	struct agent_names_counts c = wait_counts(s, 1, 1);
	assert_true(c.is_stale);
	assert_true(c.fresh_at.v > 0);
	assert_int_equal(c.addresses, 2);
	assert_pod(s, "10.0.2.9", "db-0");
	say(&s->fake, "db-1");
	fake_start(&s->fake);
	(void)wait_counts(s, c.refreshes + 1, 1);
	assert_pod(s, "10.0.2.9", "db-1");
	assert_false(agent_names_counts(s->agent).is_stale);
}

static void half_an_answer_changes_nothing(void **state)
{
	struct set_up *s = *state;
	static const char *const bad[] = { "500", "not json", "{}", NULL };
	say(&s->fake, "db-0");
	fake_start(&s->fake);
	start(s, 10 * NS_PER_MS);
	(void)wait_counts(s, 1, 0);
	for (size_t i = 0; bad[i]; i++) {
		pthread_mutex_lock(&s->fake.mx);
		s->fake.answers[0] = "[]"; /* no endpoint any more … */
		s->fake.answers[1] = bad[i];
		pthread_mutex_unlock(&s->fake.mx);
		uint64_t failures = agent_names_counts(s->agent).failures;
		(void)wait_counts(s, 0, failures + 2); /* one may have begun before */
		assert_pod(s, "10.0.2.9", "db-0");
		assert_pod(s, "10.0.1.5", "cart-0");
	}
}

static void services_that_an_agent_does_not_have_are_no_failure(void **state)
{
	struct set_up *s = *state;
	say(&s->fake, "db-0");
	s->fake.answers[3] = "500";
	s->fake.answers[2] = NULL; /* 404: no identities */
	fake_start(&s->fake);
	start(s, 3600 * NS_PER_S);
	struct agent_names_counts c = wait_counts(s, 1, 0);
	assert_int_equal(c.services + c.identities, 0);
	assert_pod(s, "10.0.2.9", "db-0");
}

/* What the endpoint at 10.0.1.5 was told for 192.0.2.7, as a flow shows it. */
static void assert_destination_names(struct set_up *s, const char *want)
{
	AUTO_BUF struct buf ext = buf_init(65536);
	struct flow f = { .time = wall_now(),
			  .bits = FLOW_HAS_TIME | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP };
	struct str name = STR("");

	assert_true(ip_parse(STR("10.0.1.5"), f.src_ip) && ip_parse(STR("192.0.2.7"), f.dst_ip));
	(void)name_flow_said(s->names, &f, 0, 0, &ext);
	(void)wire_find(buf_str(&ext), 14, &name);
	assert_true(str_is(name, want));
}

static void set_names(struct set_up *s, const char *answer)
{
	pthread_mutex_lock(&s->fake.mx);
	s->fake.answers[6] = answer;
	pthread_mutex_unlock(&s->fake.mx);
}

/* Until a whole round has been asked for after now. */
static void wait_anew(struct set_up *s)
{
	(void)wait_counts(s, agent_names_counts(s->agent).refreshes + 2, 0);
}

static void dns_names_of_the_agent_follow_it_and_stay_while_it_does_not_say(void **state)
{
	struct set_up *s = *state;
	say(&s->fake, "db-0");
	set_names(s, "[{\"endpoint-id\":42,\"fqdn\":\"one.example.\",\"ips\":[\"192.0.2.7\"]}]");
	fake_start(&s->fake);
	start(s, 10 * NS_PER_MS);
	assert_int_equal(wait_counts(s, 1, 0).dns_names, 1);
	assert_destination_names(s, "one.example");
	set_names(s, "[{\"endpoint-id\":42,\"fqdn\":\"two.example.\",\"ips\":[\"192.0.2.7\"]}]");
	wait_anew(s);
	assert_destination_names(s, "two.example");
	set_names(s, "500"); /* nothing is known of them now: what was known stays */
	wait_anew(s);
	assert_destination_names(s, "two.example");
	assert_int_equal(agent_names_counts(s->agent).dns_names, 1);
	fake_stop(&s->fake); /* and so while the agent is away */
	(void)wait_counts(s, 1, 1);
	assert_destination_names(s, "two.example");
	set_names(s, NULL); /* 404: there is none any more */
	fake_start(&s->fake);
	wait_anew(s);
	assert_destination_names(s, "");
	assert_int_equal(agent_names_counts(s->agent).dns_names, 0);
}

static void rules_are_told_and_that_there_are_none_but_not_what_did_not_come(void **state)
{
	static const char *const answers[] = { "{\"revision\":7,\"policy\":\"[]\"}", NULL, "500",
					       "no json" };
	static const struct {
		unsigned told;
		long long revision;
	} then[] = { { 1, 7 }, { 1, 0 }, { 0, 0 }, { 0, 0 } };

	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		struct set_up *s;
		(void)setup(state); /* each its own agent */
		s = *state;
		say(&s->fake, "db-0");
		s->fake.answers[7] = answers[i];
		fake_start(&s->fake);
		start(s, 3600 * NS_PER_S);
		(void)wait_counts(s, 1, 0);
		assert_int_equal(s->told, then[i].told);
		assert_int_equal(s->revision, then[i].revision);
		(void)teardown(state);
	}
}

static void a_poke_renews_before_the_interval_is_over(void **state)
{
	struct set_up *s = *state;
	say(&s->fake, "db-0");
	fake_start(&s->fake);
	start(s, 3600 * NS_PER_S);
	(void)wait_counts(s, 1, 0);
	say(&s->fake, "db-1");
	for (int i = 0; i < 1000; i++) /* many of them are one */
		agent_names_poke(s->agent);
	(void)wait_counts(s, 2, 0);
	assert_pod(s, "10.0.2.9", "db-1");
	assert_int_equal(s->fake.asked, 2);
	agent_names_poke(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_the_agent_knows_names_addresses, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_agent_that_comes_later_is_found, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			an_agent_that_goes_leaves_its_names_and_renews_them_when_it_is_back, setup,
			teardown),
		cmocka_unit_test_setup_teardown(half_an_answer_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(services_that_an_agent_does_not_have_are_no_failure,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			dns_names_of_the_agent_follow_it_and_stay_while_it_does_not_say, setup,
			teardown),
		cmocka_unit_test(rules_are_told_and_that_there_are_none_but_not_what_did_not_come),
		cmocka_unit_test_setup_teardown(a_poke_renews_before_the_interval_is_over, setup,
						teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
