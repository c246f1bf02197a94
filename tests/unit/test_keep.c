/* observer/keep: what the log holds goes into the store, and what is lost is owned up to. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/buf.h"
#include "flow/wire.h"
#include "observer/keep/keep.h"
#include "policy/policy.h"
#include "store_fixture.h"

static struct flow_log *log_of(size_t capacity)
{
	const struct flow_log_config config = { .capacity = capacity, .first_seq = FIRST_SEQ };
	struct flow_log *log = NULL;

	assert_int_equal(flow_log_new(&config, &log, NULL), ERR_OK);
	return log;
}

static void put(struct fixture *fx, struct flow_log *log, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct flow f = fixture_flow(fx, fx->next_seq++, NOON);
		(void)flow_log_put(log, &f);
	}
}

/* The keeper's whole life; it takes what is in the log at the latest when it ends. */
static void keep(struct fixture *fx, struct flow_log *log)
{
	const struct keep_config config = { .log = log, .dict = fx->dict, .store = fx->store };
	struct keep *k = NULL;

	assert_int_equal(keep_new(&config, &k, NULL), ERR_OK);
	keep_free(k);
	struct err e = { 0 };
	fx->now = after(wall_now(), 3600); /* whatever is open is old enough */
	if (store_tick(fx->store, fx->now, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

static void all_that_the_log_holds_is_kept(void **state)
{
	struct fixture *fx = *state;
	AUTO(flow_log_free) struct flow_log *log = log_of(16383);

	fixture_open(fx);
	put(fx, log, 10000);
	keep(fx, log);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen seen = fixture_scan(fx, r, &ALL_RECORDS);
	assert_int_equal(seen.count, 10000);
	assert_int_equal(seen.wrong, 0);
	assert_int_equal(count_gaps(r, STORE_GAP_RING), 0);
}

static sqlite3 *lock_file(struct fixture *fx)
{
	char path[100];
	sqlite3 *h;

	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	assert_int_equal(sqlite3_exec(h, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	return h;
}

static void what_was_overwritten_before_it_came_is_a_gap(void **state)
{
	struct fixture *fx = *state;
	AUTO(flow_log_free) struct flow_log *log = log_of(1023);
	struct seen_gap gaps[64];
	struct keep *k = NULL;

	fx->config.seal_flows = 64;
	fixture_open(fx);
	/* It waits at the first block, whenever it looks: what is a log behind that is overwritten.
	 */
	sqlite3 *other = lock_file(fx);
	const struct keep_config config = { .log = log, .dict = fx->dict, .store = fx->store };
	assert_int_equal(keep_new(&config, &k, NULL), ERR_OK);
	put(fx, log, 5000);
	assert_int_equal(sqlite3_close(other), SQLITE_OK);
	keep_free(k);
	struct err e = { 0 };
	assert_int_equal(store_tick(fx->store, after(wall_now(), 3600), &e), ERR_OK);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	uint64_t lost = 0;
	size_t n = fixture_gaps(r, gaps, ARRAY_LEN(gaps));
	assert_true(n <= ARRAY_LEN(gaps));
	for (size_t i = 0; i < n; i++)
		if (gaps[i].cause == STORE_GAP_RING)
			lost += gaps[i].lost;
	assert_true(lost > 0);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count + lost, 5000);
}

/* The log is never more than half a log ahead: a keeper that looked each second only would
 * need minutes. */
static void a_keeper_is_woken_by_what_comes_fast(void **state)
{
	enum { RECORDS = 50000, HALF = 500 };
	struct fixture *fx = *state;
	AUTO(flow_log_free) struct flow_log *log = log_of(1023);
	struct keep *k = NULL;

	fixture_open(fx);
	const struct keep_config config = { .log = log, .dict = fx->dict, .store = fx->store };
	assert_int_equal(keep_new(&config, &k, NULL), ERR_OK);
	for (uint64_t first = fx->next_seq; fx->next_seq < first + RECORDS;) {
		while (store_taken(fx->store) + HALF <= fx->next_seq)
			(void)sched_yield();
		put(fx, log, 1);
	}
	keep_free(k);
	struct err e = { 0 };
	assert_int_equal(store_tick(fx->store, after(wall_now(), 3600), &e), ERR_OK);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(count_gaps(r, STORE_GAP_RING), 0);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, RECORDS);
}

static void what_has_come_is_sealed_soon_and_by_itself(void **state)
{
	struct fixture *fx = *state;
	AUTO(flow_log_free) struct flow_log *log = log_of(1023);
	struct keep *k = NULL;

	fixture_open(fx);
	const struct keep_config config = {
		.log = log, .dict = fx->dict, .store = fx->store, .seal_ns = 100 * NS_PER_MS
	};
	assert_int_equal(keep_new(&config, &k, NULL), ERR_OK);
	for (int i = 0; i < 3; i++) {
		put(fx, log, 5);
		while (store_sealed(fx->store) < fx->next_seq)
			(void)sched_yield();
	}
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 15);
	keep_free(k);
}

static void a_lost_event_is_a_gap_of_the_kernel(void **state)
{
	struct fixture *fx = *state;
	AUTO(flow_log_free) struct flow_log *log = log_of(63);
	const struct node node = { .name = STR("edge/there") };
	struct seen_gap gaps[4];
	char bytes[64];
	struct buf ext = buf_fixed(bytes, sizeof bytes);

	fixture_open(fx);
	wire_put_u64(&ext, 1, 1); /* PERF_EVENT_RING_BUFFER */
	wire_put_u64(&ext, 2, 4711);
	struct flow f = { .kind = FLOW_KIND_LOST,
			  .bits = FLOW_HAS_TIME,
			  .time = NOON,
			  .node = flow_dict_node(fx->dict, &node),
			  .ext = (const uint8_t *)ext.p,
			  .ext_len = (uint32_t)ext.len };
	(void)flow_log_put(log, &f);
	keep(fx, log);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_gaps(r, gaps, ARRAY_LEN(gaps)), 1);
	assert_int_equal(gaps[0].cause, STORE_GAP_KERNEL);
	assert_int_equal(gaps[0].lost, 4711);
	assert_int_equal(gaps[0].from.v, NOON.v);
	assert_string_equal(gaps[0].detail, "PERF_EVENT_RING_BUFFER");
	/* The event itself is history, too. */
	struct store_scan_config config = ALL_RECORDS;
	config.kinds = 1 << FLOW_KIND_LOST;
	assert_int_equal(fixture_scan(fx, r, &config).count, 1);
}

static void a_lost_event_that_ends_before_it_begins_is_a_gap_of_an_instant(void **state)
{
	struct fixture *fx = *state;
	AUTO(flow_log_free) struct flow_log *log = log_of(63);
	struct seen_gap gaps[4];
	char bytes[64];
	struct buf ext = buf_fixed(bytes, sizeof bytes);

	fixture_open(fx);
	wire_put_u64(&ext, 2, 1);
	wire_put_str(&ext, 4, STR("\x08\x64")); /* first: 100 s after 1970 */
	wire_put_str(&ext, 5, STR("\x08\x32")); /* last: 50 s */
	struct flow f = { .kind = FLOW_KIND_LOST,
			  .bits = FLOW_HAS_TIME,
			  .time = NOON,
			  .ext = (const uint8_t *)ext.p,
			  .ext_len = (uint32_t)ext.len };
	(void)flow_log_put(log, &f);
	keep(fx, log);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_gaps(r, gaps, ARRAY_LEN(gaps)), 1);
	assert_int_equal(gaps[0].from.v, 100 * NS_PER_S);
	assert_int_equal(gaps[0].to.v, 100 * NS_PER_S);
}

/* --- failures ----------------------------------------------------------------------------- */

struct heard {
	struct raw_sink sink; /* first */
	char text[1024];      /* of the event that came last */
};

static void hear(struct raw_sink *sink, const struct raw_event *ev)
{
	struct heard *h = (struct heard *)sink;

	(void)snprintf(h->text, sizeof h->text, "%.*s", STR_FMT(ev->packet));
}

/* Until the observer says so; one record a look, so that there is something to write. */
static void wait_for(struct fixture *fx, struct flow_log *log, struct source *events,
		     struct heard *h, const char *what)
{
	while (!strstr(h->text, what)) {
		put(fx, log, 1);
		(void)poll(NULL, 0, 1);
		(void)source_drain(events, &h->sink, 1);
	}
}

static void all_that_a_failing_disk_lost_is_told_when_it_works_again(void **state)
{
	struct fixture *fx = *state;
	AUTO(flow_log_free) struct flow_log *log = log_of(16383);
	AUTO(agent_free) struct agent *agent = NULL;
	AUTO(source_free) struct source *events = NULL;
	struct heard h = { .sink = { hear } };
	struct rlimit limit;
	struct keep *k = NULL;
	char want[64];

	assert_int_equal(agent_new(&agent, &events, NULL), ERR_OK);
	fx->config.seal_ns = NS_PER_MS;
	fx->now = wall_now();
	fixture_open(fx);
	/* no file grows beyond this */
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	const struct rlimit tight = { 4096, limit.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	const struct keep_config config = {
		.log = log, .dict = fx->dict, .store = fx->store, .agent = agent
	};
	assert_int_equal(keep_new(&config, &k, NULL), ERR_OK);
	wait_for(fx, log, events, &h, "store-failed");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	wait_for(fx, log, events, &h, "store-recovered");
	keep_free(k);
	uint64_t lost = store_counts(fx->store).lost;
	assert_true(lost > 0);
	(void)snprintf(want, sizeof want, "\"lost\":\"%llu\"", (unsigned long long)lost);
	if (!strstr(h.text, want))
		fail_msg("%s is not in %s", want, h.text);
}

/* On the file, by a connection of its own. */
static void run_sql(struct fixture *fx, const char *sql)
{
	char path[100], *why = NULL;
	sqlite3 *h;

	(void)snprintf(path, sizeof path, "%s/flows.db", fx->dir);
	assert_int_equal(sqlite3_open(path, &h), SQLITE_OK);
	(void)sqlite3_busy_timeout(h, 10000);
	if (sqlite3_exec(h, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s", why);
	assert_int_equal(sqlite3_close(h), SQLITE_OK);
}

static size_t lines_with(const char *path, const char *what)
{
	char line[1024];
	size_t n = 0;
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	while (fgets(line, sizeof line, f))
		n += strstr(line, what) != NULL;
	assert_int_equal(fclose(f), 0);
	return n;
}

static void wait_for_tend_errors(struct fixture *fx, uint64_t count)
{
	while (store_counts(fx->store).tend_errors < count)
		(void)poll(NULL, 0, 1);
}

/* What is too old cannot be removed, for one reason and then another, and then it can. */
static void what_keeps_the_store_from_pruning_is_told_once_for_each_reason(void **state)
{
	static const char refuse[] = "CREATE TRIGGER no BEFORE DELETE ON segment"
				     " BEGIN SELECT RAISE(ABORT, 'the first reason'); END";
	static const char refuse_again[] = "BEGIN IMMEDIATE; DROP TRIGGER no;"
					   "CREATE TRIGGER no BEFORE DELETE ON segment"
					   " BEGIN SELECT RAISE(ABORT, 'another'); END; COMMIT";
	struct fixture *fx = *state;
	AUTO(flow_log_free) struct flow_log *log = NULL;
	AUTO(agent_free) struct agent *agent = NULL;
	AUTO(source_free) struct source *events = NULL;
	struct heard h = { .sink = { hear } };
	struct keep *k = NULL;
	char path[100];

	assert_int_equal(agent_new(&agent, &events, NULL), ERR_OK);
	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	fixture_block(fx, 10); /* in 2023 */
	run_sql(fx, refuse);
	const struct flow_log_config numbers = { .capacity = 16383, .first_seq = fx->next_seq };
	assert_int_equal(flow_log_new(&numbers, &log, NULL), ERR_OK);
	(void)snprintf(path, sizeof path, "%s/log", fx->dir);
	AUTO_FD int said = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	AUTO_FD int stderr_fd = dup(STDERR_FILENO);
	assert_int_equal(dup2(said, STDERR_FILENO), STDERR_FILENO);
	const struct keep_config config = { .log = log,
					    .dict = fx->dict,
					    .store = fx->store,
					    .agent = agent,
					    .seal_ns = 10 * NS_PER_MS };
	assert_int_equal(keep_new(&config, &k, NULL), ERR_OK);
	wait_for(fx, log, events, &h, "the first reason");
	wait_for_tend_errors(fx, 2);
	run_sql(fx, refuse_again);
	wait_for(fx, log, events, &h, "another");
	struct store_counts failing = store_counts(fx->store);
	run_sql(fx, "DROP TRIGGER no");
	wait_for(fx, log, events, &h, "store-tending-recovered");
	keep_free(k);
	assert_int_equal(dup2(stderr_fd, STDERR_FILENO), STDERR_FILENO);
	assert_true(failing.is_writing);
	assert_int_equal(failing.pruned_records, 0);
	assert_int_equal(store_counts(fx->store).pruned_records, 10);
	assert_int_equal(lines_with(path, "not merged or pruned"), 2);
	assert_int_equal(lines_with(path, "the first reason"), 1);
	assert_int_equal(lines_with(path, "merged and pruned again"), 1);
}

/* --- policies ----------------------------------------------------------------------------- */

static enum err_code add_kept(void *ctx, const json_t *object, struct err *e)
{
	return keep_policies_add(ctx, object, STR("files"), e);
}

static struct keep_policies *policies_of(const char *yaml)
{
	struct keep_policies *p = NULL;
	json_t *documents, *one;
	size_t i;

	assert_int_equal(keep_policies_new(&p, NULL), ERR_OK);
	assert_int_equal(policy_yaml(str_of(yaml), &documents, NULL), ERR_OK);
	json_array_foreach(documents, i, one)
		assert_int_equal(policy_items_each(one, add_kept, p, NULL), ERR_OK);
	json_decref(documents);
	return p;
}

struct policy_texts {
	size_t in_force, ended;
	char json[1024], origin[32];
};

static void add_policy(void *ctx, const struct store_policy *p)
{
	struct policy_texts *texts = ctx;

	texts->in_force += !p->to.v;
	texts->ended += p->to.v != 0;
	(void)snprintf(texts->json, sizeof texts->json, "%.*s", STR_FMT(p->json));
	(void)snprintf(texts->origin, sizeof texts->origin, "%.*s", STR_FMT(p->origin));
}

static struct policy_texts all_policies(struct fixture *fx)
{
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct policy_texts texts = { 0 };

	assert_int_equal(store_policies(r, (struct wall_ns){ 0 }, (struct wall_ns){ UINT64_MAX },
					add_policy, &texts, NULL),
			 ERR_OK);
	return texts;
}

#define DENY                                                                                       \
	"kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\n"                                  \
	"metadata: {namespace: shop, name: deny, managedFields: [{a: b}]}\n"                       \
	"spec: {policyTypes: [Ingress], podSelector: {}}\nstatus: {x: 1}\n"
#define LIST                                                                                       \
	"kind: List\nitems:\n- kind: CiliumNetworkPolicy\n"                                        \
	"  metadata: {name: web, namespace: shop, uid: u7, resourceVersion: '12'}\n"               \
	"  spec: {}\n- kind: Deployment\n  metadata: {name: web}\n"

static void policies_are_known_as_long_as_they_are_in_the_files(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	AUTO(keep_policies_free) struct keep_policies *both = policies_of(DENY "---\n" LIST);
	for (int i = 0; i < 2; i++) /* told again, nothing is new */
		assert_int_equal(keep_policies_note(both, fx->store, fx->now, &e), ERR_OK);
	assert_int_equal(all_policies(fx).in_force, 2);
	assert_int_equal(all_policies(fx).ended, 0);
	fx->now = after(fx->now, 60);
	AUTO(keep_policies_free) struct keep_policies *one = policies_of(DENY);
	assert_int_equal(keep_policies_note(one, fx->store, fx->now, &e), ERR_OK);
	assert_int_equal(all_policies(fx).in_force, 1);
	assert_int_equal(all_policies(fx).ended, 1);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_string_equal(fixture_chain(r).kinds, "sppp");
}

static void what_is_not_known_of_another_origin_stays_in_force(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	AUTO(keep_policies_free)
	struct keep_policies *both = policies_of(DENY), *late = NULL, *none = NULL;
	json_t *web = json_pack("{s:s,s:{s:s,s:s}}", "kind", "CiliumNetworkPolicy", "metadata",
				"name", "web", "namespace", "shop");
	assert_int_equal(keep_policies_add(both, web, STR("kubernetes"), NULL), ERR_OK);
	json_decref(web);
	assert_int_equal(keep_policies_note(both, fx->store, fx->now, NULL), ERR_OK);
	assert_int_equal(all_policies(fx).in_force, 2);
	assert_string_equal(all_policies(fx).origin, "kubernetes"); /* of the last one */
	/* files say that theirs is gone, and the API server has not answered yet */
	fx->now = after(fx->now, 60);
	assert_int_equal(keep_policies_new(&late, NULL), ERR_OK);
	keep_policies_leave(late, STR("kubernetes"));
	assert_int_equal(keep_policies_note(late, fx->store, fx->now, NULL), ERR_OK);
	assert_int_equal(all_policies(fx).in_force, 1);
	assert_int_equal(keep_policies_new(&none, NULL), ERR_OK);
	assert_int_equal(keep_policies_note(none, fx->store, fx->now, NULL), ERR_OK);
	assert_int_equal(all_policies(fx).in_force, 0);
}

static void texts_of_policies_are_canonical(void **state)
{
	struct fixture *fx = *state;
	struct err e = { 0 };

	fixture_open(fx);
	AUTO(keep_policies_free) struct keep_policies *one = policies_of(DENY);
	assert_int_equal(keep_policies_note(one, fx->store, fx->now, &e), ERR_OK);
	assert_string_equal(all_policies(fx).json,
			    "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"NetworkPolicy\","
			    "\"metadata\":{\"name\":\"deny\",\"namespace\":\"shop\"},"
			    "\"spec\":{\"podSelector\":{},\"policyTypes\":[\"Ingress\"]}}");
}

/* --- rules of a Cilium agent --- */

#define LABEL(key, value) "{'key':'" key "','value':'" value "','source':'k8s'}"
#define OF(kind, name)                                                                             \
	LABEL("io.cilium.k8s.policy.derived-from", kind)                                           \
	"," LABEL("io.cilium.k8s.policy.name", name) "," LABEL("io.cilium.k8s.policy.namespace",   \
							       "shop")
#define RULE(number, labels) "{'ingress':[" number "],'labels':[" labels "]}"

/* As the agent answers: the rules are JSON within JSON. @rules has ' for "; NULL: it has none. */
static struct keep_policies *agent_says(const char *rules)
{
	struct keep_policies *p = NULL;
	struct err e = { 0 };
	json_t *answer = NULL;
	char text[2048];

	if (rules) {
		assert_true(strlen(rules) < sizeof text);
		for (size_t i = 0; i == 0 || rules[i - 1]; i++)
			text[i] = rules[i] == '\'' ? '"' : rules[i];
		answer = json_pack("{s:i,s:s}", "revision", 7, "policy", text);
		assert_non_null(answer);
	}
	if (keep_policies_of_agent(answer, &p, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	json_decref(answer);
	return p;
}

static void note(struct fixture *fx, struct keep_policies *p)
{
	struct err e = { 0 };

	fx->now = after(fx->now, 60);
	if (keep_policies_note(p, fx->store, fx->now, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	keep_policies_free(p);
}

static void the_keeper_tells_the_store_what_it_was_given_last(void **state)
{
	struct fixture *fx = *state;
	AUTO(flow_log_free) struct flow_log *log = log_of(63);
	struct keep *k = NULL;

	fixture_open(fx);
	const struct keep_config config = { .log = log, .dict = fx->dict, .store = fx->store };
	assert_int_equal(keep_new(&config, &k, NULL), ERR_OK);
	keep_take_policies(k, policies_of(DENY "---\n" LIST));
	keep_take_policies(k, policies_of(LIST));
	keep_take_policies(k, agent_says("[" RULE("1", LABEL("a", "b")) "]"));
	keep_free(k);
	fx->now = after(wall_now(), 60);
	assert_int_equal(all_policies(fx).in_force, 2);
}

static void wait_for_lines(const char *path, const char *what, size_t n)
{
	while (lines_with(path, what) < n)
		(void)poll(NULL, 0, 1);
}

static void policies_that_could_not_be_written_are_written_when_it_works_again(void **state)
{
	struct fixture *fx = *state;
	AUTO(flow_log_free) struct flow_log *log = log_of(63);
	struct keep *k = NULL;
	char path[100];

	fixture_open(fx);
	run_sql(fx, "CREATE TRIGGER no BEFORE INSERT ON policy"
		    " BEGIN SELECT RAISE(ABORT, 'not now'); END");
	(void)snprintf(path, sizeof path, "%s/log", fx->dir);
	AUTO_FD int said = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	AUTO_FD int stderr_fd = dup(STDERR_FILENO);
	assert_int_equal(dup2(said, STDERR_FILENO), STDERR_FILENO);
	const struct keep_config config = {
		.log = log, .dict = fx->dict, .store = fx->store, .seal_ns = 10 * NS_PER_MS
	};
	assert_int_equal(keep_new(&config, &k, NULL), ERR_OK);
	keep_take_policies(k, policies_of(DENY "---\n" LIST));
	wait_for_lines(path, "policies are not in the history", 1);
	run_sql(fx, "DROP TRIGGER no");
	keep_free(k); /* tries once more at the latest */
	assert_int_equal(dup2(stderr_fd, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(lines_with(path, "policies are not in the history"), 1);
	assert_int_equal(lines_with(path, "policies are in the history again"), 1);
	fx->now = after(wall_now(), 60);
	assert_int_equal(all_policies(fx).in_force, 2);
}

static void rules_of_an_agent_are_one_policy_for_each_name(void **state)
{
	static const char text[] =
		"SELECT count(*) FROM policy WHERE namespace = 'shop' AND text LIKE"
		" '{\"kind\":\"CiliumAgentPolicy\",\"metadata\":{\"name\":\"NetworkPolicy/web\","
		"\"namespace\":\"shop\",\"uid\":\"\"},\"rules\":[{\"ingress\":[1],%},"
		"{\"ingress\":[2],%}]}'";
	const char *const web[2] = { RULE("1", OF("NetworkPolicy", "web")),
				     RULE("2", OF("NetworkPolicy", "web")) },
			  *own = RULE("3", LABEL("b", "c") ",'any:static'");
	struct fixture *fx = *state;
	char rules[2048];

	fixture_open(fx);
	(void)snprintf(rules, sizeof rules, "[%s,%s,%s]", web[1], own, web[0]);
	note(fx, agent_says(rules));
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy WHERE to_ns = 0"), 2);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy WHERE name ="
					 " 'NetworkPolicy/web' AND namespace = 'shop' AND"
					 " kind = 'CiliumAgentPolicy' AND resource_version = '7'"),
			 1);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy WHERE name ="
					 " 'k8s:b=c,any:static' AND namespace = ''"),
			 1);
	/* in order, whatever the order in which the agent gave them */
	assert_int_equal(fixture_sql(fx, text), 1);
	(void)snprintf(rules, sizeof rules, "[%s,%s,%s]", web[0], web[1], own);
	note(fx, agent_says(rules));
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy"), 2); /* nothing is new */
	(void)snprintf(rules, sizeof rules, "[%s]", web[0]);
	note(fx, agent_says(rules));
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy WHERE to_ns > 0"), 2);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy WHERE to_ns = 0"), 1);
	note(fx, agent_says(NULL));
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy WHERE to_ns = 0"), 0);
}

static void objects_and_rules_end_on_their_own_and_an_object_is_not_told_twice(void **state)
{
	static const char rules[] = "[" RULE("1", OF("NetworkPolicy", "deny")) "," RULE(
		"2", OF("CiliumNetworkPolicy", "deny")) "]";
	struct fixture *fx = *state;

	fixture_open(fx);
	note(fx, agent_says(rules));
	assert_int_equal(all_policies(fx).in_force, 2);
	note(fx, policies_of(DENY)); /* NetworkPolicy shop/deny */
	assert_int_equal(all_policies(fx).in_force, 3);
	note(fx, agent_says(rules));
	assert_int_equal(all_policies(fx).in_force, 2);
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy WHERE to_ns = 0 AND"
					 " name = 'CiliumNetworkPolicy/deny'"),
			 1);
	note(fx, policies_of("---\n"));
	assert_int_equal(all_policies(fx).in_force, 1);
	note(fx, agent_says("null"));
	assert_int_equal(all_policies(fx).in_force, 0);
}

static void what_is_no_list_of_rules_ends_none(void **state)
{
	static const char *const bad[] = {
		"{}", "{\"policy\":\"\"}", "{\"policy\":\"{}\"}", "{\"policy\":[]}", "[]", "7"
	};
	struct keep_policies *p = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		json_t *answer = json_loads(bad[i], JSON_DECODE_ANY, NULL);
		assert_non_null(answer);
		assert_int_equal(keep_policies_of_agent(answer, &p, NULL), ERR_PARSE);
		json_decref(answer);
	}
}

static void rules_that_are_odd_are_kept_all_the_same(void **state)
{
	struct fixture *fx = *state;

	fixture_open(fx);
	note(fx, agent_says("[1,{},{'Labels':[7,{'Key':'k'}]}]"));
	/* without labels they have one name */
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy WHERE to_ns = 0"), 2);
}

struct asking {
	struct fixture *fx;
	_Atomic bool *over;
	bool backward;
	uint64_t scans, wrong;
};

/* Scans, gaps and chain, over and over, as clients would ask for them. */
static void *ask(void *arg)
{
	struct asking *a = arg;
	struct store_scan_config config = ALL_RECORDS;
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(a->fx);

	config.backward = a->backward;
	do {
		struct seen seen = fixture_scan(a->fx, r, &config);
		a->wrong += seen.wrong + !seen.ordered;
		(void)fixture_gaps(r, NULL, 0);
		(void)fixture_chain(r);
		a->scans++;
	} while (!atomic_load_explicit(a->over, memory_order_acquire));
	return NULL;
}

/* For the thread sanitizer above all. */
static void readers_and_the_keeper_do_not_disturb_each_other(void **state)
{
	struct fixture *fx = *state;
	AUTO(flow_log_free) struct flow_log *log = log_of(65535);
	_Atomic bool over = false;
	struct asking asking[] = { { .fx = fx, .over = &over },
				   { .fx = fx, .over = &over, .backward = true } };
	pthread_t threads[ARRAY_LEN(asking)];
	struct keep *k = NULL;

	fx->config.seal_flows = 500;
	fixture_open(fx);
	const struct keep_config config = { .log = log, .dict = fx->dict, .store = fx->store };
	assert_int_equal(keep_new(&config, &k, NULL), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(asking); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask, &asking[i]), 0);
	put(fx, log, 40000);
	keep_free(k);
	struct err e = { 0 };
	assert_int_equal(store_tick(fx->store, after(wall_now(), 3600), &e), ERR_OK);
	atomic_store_explicit(&over, true, memory_order_release);
	for (size_t i = 0; i < ARRAY_LEN(asking); i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_true(asking[i].scans > 0);
		assert_int_equal(asking[i].wrong, 0);
	}
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 40000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(all_that_the_log_holds_is_kept),
		T(what_was_overwritten_before_it_came_is_a_gap),
		T(a_keeper_is_woken_by_what_comes_fast),
		T(what_has_come_is_sealed_soon_and_by_itself),
		T(a_lost_event_is_a_gap_of_the_kernel),
		T(a_lost_event_that_ends_before_it_begins_is_a_gap_of_an_instant),
		T(all_that_a_failing_disk_lost_is_told_when_it_works_again),
		T(what_keeps_the_store_from_pruning_is_told_once_for_each_reason),
		T(policies_are_known_as_long_as_they_are_in_the_files),
		T(what_is_not_known_of_another_origin_stays_in_force),
		T(texts_of_policies_are_canonical),
		T(the_keeper_tells_the_store_what_it_was_given_last),
		T(policies_that_could_not_be_written_are_written_when_it_works_again),
		T(rules_of_an_agent_are_one_policy_for_each_name),
		T(objects_and_rules_end_on_their_own_and_an_object_is_not_told_twice),
		T(what_is_no_list_of_rules_ends_none),
		T(rules_that_are_odd_are_kept_all_the_same),
		T(readers_and_the_keeper_do_not_disturb_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
