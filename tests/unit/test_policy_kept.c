/* observer/policy: answers that are kept, and policies and labels that were so when a flow happened. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/wire.h"
#include "observer/name/name.h"
#include "policy_world.h"

/* --- what is kept ----------------------------------------------------------------------------- */

static void an_answer_is_asked_for_once(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	for (int i = 0; i < 5; i++)
		done(named(w, flow_of(EVENT_DROP, w->far, w->db, PORT)));
	assert_int_equal(policy_table_counts(w->table).asked, 1);
	done(named(w, flow_of(EVENT_DROP, w->far, w->db, PORT + 1)));
	assert_int_equal(policy_table_counts(w->table).asked, 2);
}

static void new_policies_are_in_force_at_the_next_flow(void **state)
{
	struct world *w = *state;

	in_force(w, DB_FROM_WEB);
	done(named(w, flow_of(EVENT_DROP, w->far, w->db, PORT)));
	in_force(w, KNP("other", "{podSelector: {}}"));
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT));
	assert_string_equal(m->ingress_denied_by[0]->name, "other");
	done(m);
}

/* More answers than there is room for: each is right, however often room is made. */
static void answers_stay_right_when_room_runs_out(void **state)
{
	struct world *w = *state;
	AUTO_BUF struct buf text = buf_init(65536);

	for (int i = 0; i < 8; i++)
		buf_printf(&text,
			   "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
			   "metadata: {name: '%0200d', namespace: shop}\n"
			   "spec: {podSelector: {}, ingress: [{ports: [{port: 1, endPort: "
			   "9}]}]}\n---\n",
			   i);
	in_force(w, buf_cstr(&text));
	for (uint16_t i = 1; i < 3009; i++) {
		uint16_t port = i < 3000 ? i : i - 2999; /* the first ones again: made room with */
		struct flow f = flow_of(EVENT_VERDICT, w->far, w->db, port);
		f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
		f.verdict = port < 10 ? FLOW__VERDICT__FORWARDED : FLOW__VERDICT__DROPPED;
		policy_flow(w->table, &f, &w->ext);
		struct wire_reader r = wire_reader_of(buf_str(&w->ext));
		struct wire_field wf;
		size_t lists = 0;
		while (wire_next(&r, &wf))
			lists += wf.number == (port < 10 ? 21002 : 21005);
		assert_false(r.bad);
		assert_int_equal(lists, 8);
		buf_reset(&w->ext);
	}
	assert_true(policy_table_counts(w->table).asked >= 2999);
}

/* Ends whose rows fill what there is for them: a row that is made for one end never takes the place
 * of the other's. */
static void two_ends_of_a_flow_are_told_apart_when_room_runs_out(void **state)
{
	enum { SELECTORS = 16000, PODS = 12000 };
	struct world *w = *state;
	AUTO_BUF struct buf text = buf_init(2 << 20);

	/* Rows are long with selectors of other namespaces. */
	buf_lit(&text, DB_FROM_WEB "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
				   "metadata: {name: many, namespace: other}\n"
				   "spec: {podSelector: {}, ingress: [{from: [");
	for (int i = 0; i < SELECTORS; i++)
		buf_printf(&text, "{podSelector: {matchLabels: {a: '%d'}}},\n", i);
	buf_lit(&text, "]}]}\n");
	assert_false(text.failed);
	in_force(w, buf_cstr(&text));
	for (uint32_t i = 0; i < PODS; i++) {
		char pod[16];
		(void)snprintf(pod, sizeof pod, "db-%u", i);
		struct flow f = flow_of(EVENT_VERDICT, w->web,
					endpoint(w, 0, "shop", pod, "k8s:app=db"), PORT);
		f.direction = FLOW__TRAFFIC_DIRECTION__INGRESS;
		f.verdict = FLOW__VERDICT__FORWARDED;
		policy_flow(w->table, &f, &w->ext);
		assert_true(f.bits & FLOW_HAS_POLICIES);
		buf_reset(&w->ext);
	}
	assert_int_equal(policy_table_counts(w->table).derived, PODS);
}

struct race {
	struct world *w;
	_Atomic bool stop;
};

static void *name_without_end(void *arg)
{
	struct race *r = arg;
	char bytes[4096];
	struct buf ext = buf_fixed(bytes, sizeof bytes);

	while (!atomic_load(&r->stop)) {
		struct flow f = flow_of(EVENT_DROP, r->w->far, r->w->db, PORT);
		buf_reset(&ext);
		policy_flow(r->w->table, &f, &ext);
		assert_true(f.bits & FLOW_HAS_POLICIES);
		policy_quiet(r->w->table);
	}
	return NULL;
}

static void policies_may_change_while_flows_are_named(void **state)
{
	struct world *w = *state;
	struct race r = { .w = w };
	pthread_t thread;

	in_force(w, DB_FROM_WEB);
	assert_int_equal(pthread_create(&thread, NULL, name_without_end, &r), 0);
	for (int i = 0; i < 200; i++)
		in_force(w, i % 2 ? DB_FROM_WEB : KNP("other", "{podSelector: {}}"));
	atomic_store(&r.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void in_force_since(struct world *w, const char *text, uint64_t since)
{
	assert_int_equal(policy_publish(w->table, set_of(text), (struct wall_ns){ since }, NULL),
			 ERR_OK);
}

/* A drop at @time; its policy is @name, "" for none. */
static void assert_named(struct world *w, uint64_t time, const char *name)
{
	struct flow f = flow_of(EVENT_DROP, w->far, w->db, PORT);

	f.bits |= FLOW_HAS_TIME;
	f.time.v = time;
	Flow__Flow *m = named(w, f);
	if (*name) {
		assert_int_equal(m->n_ingress_denied_by, 1);
		assert_string_equal(m->ingress_denied_by[0]->name, name);
	} else {
		assert_int_equal(m->n_ingress_denied_by, 0);
	}
	flow__flow__free_unpacked(m, NULL);
}

#define CLOSED(name) KNP(name, "{podSelector: {matchLabels: {app: db}}, ingress: []}")

static void labels(struct name_table *names, const char *label, uint64_t since)
{
	const struct str list[] = { str_of(label) };
	struct name_prefix p = { .bits = 128,
				 .local = true,
				 .endpoint = { .namespace_ = STR("shop"),
					       .pod = STR("db-9"),
					       .labels = list,
					       .label_count = 1 } };

	ip_from_v4(p.ip, (const uint8_t[]){ 10, 0, 0, 99 });
	assert_int_equal(name_change(names, 0,
				     &(struct name_change){ .since = { since },
							    .prefixes = &p,
							    .prefix_count = 1 },
				     NULL),
			 ERR_OK);
}

static void a_flow_is_put_to_the_policies_with_the_labels_of_its_time(void **state)
{
	struct world *w = *state;
	const uint64_t noon = UINT64_C(1700000000) * NS_PER_S;
	const struct name_config config = { .cluster = "", .node = "n" };
	AUTO(name_table_free) struct name_table *names = NULL;
	const struct {
		uint64_t time;
		size_t denied;
	} cases[] = {
		{ noon - 1, 1 }, { noon, 0 }, { noon + NS_PER_S - 1, 0 }, { noon + NS_PER_S, 1 }
	};

	assert_int_equal(name_table_new(&config, w->dict, &names, NULL), ERR_OK);
	in_force(w, KNP("closed", "{podSelector: {matchLabels: {app: db}}, ingress: []}"));
	labels(names, "k8s:app=db", noon - NS_PER_S);
	labels(names, "k8s:app=old", noon);
	labels(names, "k8s:app=db", noon + NS_PER_S);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) { /* all of them are read only now */
		struct flow f = flow_of(EVENT_DROP, w->far, w->db, PORT);

		f.bits |= FLOW_HAS_TIME;
		f.time.v = cases[i].time;
		ip_from_v4(f.dst_ip, (const uint8_t[]){ 10, 0, 0, 99 });
		name_flow(names, &f, &w->ext);
		buf_reset(&w->ext);
		f.src_ep = w->far;
		Flow__Flow *m = named(w, f);
		assert_string_equal(m->destination->pod_name, "db-9");
		assert_int_equal(m->n_ingress_denied_by, cases[i].denied);
		done(m);
	}
}

static void a_flow_is_put_to_the_policies_that_were_in_force_when_it_happened(void **state)
{
	struct world *w = *state;
	const uint64_t noon = UINT64_C(1700000000) * NS_PER_S;

	in_force_since(w, CLOSED("first"), noon); /* the first ones were there before */
	assert_named(w, noon - NS_PER_S, "first");
	in_force_since(w, CLOSED("second"), noon);
	in_force_since(w, "", noon + NS_PER_S);
	in_force_since(w, CLOSED("third"), noon + 2 * NS_PER_S);
	for (int twice = 0; twice < 2; twice++) {
		assert_named(w, noon - 1, "first");
		assert_named(w, noon, "second");
		assert_named(w, noon + NS_PER_S - 1, "second");
		assert_named(w, noon + NS_PER_S, "");
		assert_named(w, noon + 2 * NS_PER_S - 1, "");
		assert_named(w, noon + 2 * NS_PER_S, "third");
	}
	/* of a past that is forgotten, the oldest that is known counts */
	policy_tidy(w->table, (struct wall_ns){ noon + (1 + POLICY_PAST_S) * NS_PER_S + 1 });
	assert_named(w, noon - 1, "");
	assert_named(w, noon + 2 * NS_PER_S, "third");
	policy_tidy(w->table, (struct wall_ns){ noon + 100 * NS_PER_S });
	assert_named(w, noon - 1, "third");
}

static void of_many_sets_the_last_ones_are_remembered(void **state)
{
	struct world *w = *state;

	for (uint64_t i = 1; i <= 20; i++)
		in_force_since(w, i % 2 ? CLOSED("odd") : CLOSED("even"), i * 10);
	assert_named(w, 201, "even");
	assert_named(w, 195, "odd");
	assert_named(w, 165, "even");
	assert_named(w, 10, "even"); /* the sixteenth is the oldest that is known */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_free)
		TEST(a_flow_is_put_to_the_policies_that_were_in_force_when_it_happened),
		TEST(of_many_sets_the_last_ones_are_remembered),
		TEST(an_answer_is_asked_for_once),
		TEST(new_policies_are_in_force_at_the_next_flow),
		TEST(answers_stay_right_when_room_runs_out),
		TEST(two_ends_of_a_flow_are_told_apart_when_room_runs_out),
		TEST(policies_may_change_while_flows_are_named),
		TEST(a_flow_is_put_to_the_policies_with_the_labels_of_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
