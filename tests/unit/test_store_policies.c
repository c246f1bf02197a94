/* lib/store: policies of a time, and checkpoints of the chain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store_fixture.h"

static struct store_policy policy_of(const char *json)
{
	return (struct store_policy){ .kind = STR("NetworkPolicy"),
				      .namespace_ = STR("shop"),
				      .name = STR("deny-all"),
				      .uid = STR("u1"),
				      .resource_version = STR("7"),
				      .json = str_of(json) };
}

struct policy_list {
	size_t count;
	struct wall_ns from[8], to[8];
};

static void add_policy(void *ctx, const struct store_policy *p)
{
	struct policy_list *list = ctx;

	assert_true(str_is(p->name, "deny-all"));
	assert_true(list->count < ARRAY_LEN(list->from));
	list->from[list->count] = p->from;
	list->to[list->count++] = p->to;
}

static void policies_are_known_for_their_time(void **state)
{
	struct fixture *fx = *state;
	struct policy_list all = { 0 }, early = { 0 };
	struct err e = { 0 };

	fixture_open(fx);
	fixture_block(fx, 10);
	const char *const texts[] = { "{\"a\":1}", "{\"a\":1}", "{\"a\":2}", "" };
	struct wall_ns began = fx->now;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct store_policy p = policy_of(texts[i]);
		assert_int_equal(fixture_put(fx, 3, &e), ERR_OK);
		assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
		fx->now = after(fx->now, 10);
	}
	fixture_block(fx, 10);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(store_policies(r, NOON, fx->now, add_policy, &all, &e), ERR_OK);
	assert_int_equal(all.count, 2); /* the second said nothing new */
	assert_int_equal(all.from[0].v, began.v);
	assert_int_equal(all.to[0].v, after(began, 20).v);
	assert_int_equal(all.from[1].v, after(began, 20).v);
	assert_int_equal(all.to[1].v, after(began, 30).v);
	assert_int_equal(store_policies(r, NOON, after(began, 5), add_policy, &early, &e), ERR_OK);
	assert_int_equal(early.count, 1);
	assert_string_equal(fixture_chain(r).kinds, "sppp");
	assert_int_equal(fixture_scan(fx, r, &ALL_RECORDS).count, 32);
}

static void a_policy_that_was_made_anew_is_another_one(void **state)
{
	struct fixture *fx = *state;
	struct policy_list list = { 0 };
	struct store_policy p = policy_of("{}");
	struct err e = { 0 };

	fixture_open(fx);
	assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
	p.uid = STR("u2"); /* deleted meanwhile, and the same made again */
	fx->now = after(fx->now, 10);
	assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(store_policies(r, NOON, fx->now, add_policy, &list, &e), ERR_OK);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.to[0].v, fx->now.v);
	assert_int_equal(list.from[1].v, fx->now.v);
}

static void a_policy_in_force_is_said_again_when_its_entry_is_pruned(void **state)
{
	struct fixture *fx = *state;
	struct store_policy p = policy_of("{}");
	struct err e = { 0 };

	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
	fixture_block(fx, 10);
	fx->now = after(fx->now, 7200);
	fixture_block(fx, 10);
	fixture_tend(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	struct seen_chain chain = fixture_chain(r);
	assert_string_equal(chain.kinds, "pp"); /* pruned, and the policy */
	assert_non_null(strstr(chain.last_body, "\"kind\":\"policy\""));
	assert_int_equal(fixture_sql(fx, "SELECT entry FROM policy"), chain.last);
}

static void a_policy_that_ended_is_known_as_long_as_records_of_its_time_are(void **state)
{
	struct fixture *fx = *state;
	struct policy_list list = { 0 }, none = { 0 };
	struct err e = { 0 };

	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	struct store_policy p = policy_of("{}");
	assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
	fixture_block(fx, 10);
	fx->now = after(fx->now, 3000);
	fixture_block(fx, 10);
	p = policy_of("");
	assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
	fx->now = after(fx->now, 700); /* the first block goes, the second stays */
	fixture_block(fx, 10);
	fixture_tend(fx);
	assert_int_equal(store_counts(fx->store).pruned_records, 10);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(store_policies(r, NOON, fx->now, add_policy, &list, &e), ERR_OK);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.to[0].v, after(NOON, 3002).v);
	fx->now = after(fx->now, 7200); /* the second goes, and another behind it */
	fixture_block(fx, 10);
	fixture_tend(fx);
	assert_int_equal(store_policies(r, NOON, fx->now, add_policy, &none, &e), ERR_OK);
	assert_int_equal(none.count, 0);
}

/* A list of addresses, say: the largest that an observer notes is an agent's, of 16 MiB. */
static void policies_of_any_size_are_said_again(void **state)
{
	enum { LARGE = 16 << 20 };
	static const char *const names[] = { "a-small-one", "large", "one more" };
	struct fixture *fx = *state;
	struct err e = { 0 };
	AUTO(own_free) char *json = malloc(LARGE + 1);

	assert_non_null(json);
	memset(json, ' ', LARGE);
	json[0] = '{';
	json[LARGE - 1] = '}';
	json[LARGE] = '\0';
	fx->config.retention_ns = 3600 * NS_PER_S;
	fixture_open(fx);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct store_policy p = policy_of(i == 1 ? json : "{}");
		p.name = str_of(names[i]);
		assert_int_equal(store_note_policy(fx->store, &p, fx->now, &e), ERR_OK);
	}
	fixture_block(fx, 10);
	fx->now = after(fx->now, 7200);
	fixture_block(fx, 10);
	fixture_tend(fx);
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_string_equal(fixture_chain(r).kinds, "pppp"); /* pruned, and the policies */
	assert_int_equal(fixture_sql(fx, "SELECT count(*) FROM policy p JOIN entry e"
					 " ON e.number = p.entry WHERE e.kind = 5 AND e.body LIKE"
					 " '%\"name\":\"' || p.name || '\"%'"),
			 ARRAY_LEN(names));
	assert_int_equal(
		fixture_sql(fx, "SELECT min(length(text)) FROM policy WHERE name = 'large'"),
		LARGE);
}

struct checkpoint_list {
	size_t count;
	uint64_t entry[8];
};

static bool add_checkpoint(void *ctx, const struct store_checkpoint *c)
{
	struct checkpoint_list *list = ctx;

	assert_true(str_is(c->text, "text"));
	assert_true(str_eq(c->signature, str_n("s\0g", 3)));
	list->entry[list->count++] = c->entry;
	return list->count < 2;
}

static void keep_checkpoint(void *ctx, const struct store_checkpoint *c)
{
	(void)add_checkpoint(ctx, c);
}

static void checkpoints_come_back_in_order_until_it_is_enough(void **state)
{
	struct fixture *fx = *state;
	struct checkpoint_list list = { 0 };
	struct err e = { 0 };

	fixture_open(fx);
	AUTO(store_reader_free) struct store_reader *early = fixture_reader(fx);
	assert_int_equal(store_last_checkpoint(early, keep_checkpoint, &list, &e), ERR_OK);
	assert_int_equal(list.count, 0);
	for (uint64_t entry = 1; entry < 6; entry++) {
		const struct store_checkpoint c = { .entry = entry,
						    .text = STR("text"),
						    .signature = str_n("s\0g", 3),
						    .key = STR("key") };
		assert_int_equal(store_put_checkpoint(fx->store, &c, &e), ERR_OK);
	}
	AUTO(store_reader_free) struct store_reader *r = fixture_reader(fx);
	assert_int_equal(store_checkpoints(r, 3, add_checkpoint, &list, &e), ERR_OK);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.entry[0], 3);
	assert_int_equal(list.entry[1], 4);
	list.count = 0;
	assert_int_equal(store_last_checkpoint(r, keep_checkpoint, &list, &e), ERR_OK);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.entry[0], 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(policies_are_known_for_their_time),
		T(a_policy_that_was_made_anew_is_another_one),
		T(a_policy_in_force_is_said_again_when_its_entry_is_pruned),
		T(a_policy_that_ended_is_known_as_long_as_records_of_its_time_are),
		T(policies_of_any_size_are_said_again),
		T(checkpoints_come_back_in_order_until_it_is_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
