/* observer/upstream/seed: what the store holds is known again after a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/wire.h"
#include "observer/upstream/seed.h"
#include "store/store.h"

#define NOW_S 1700000000

struct place {
	char dir[64];
	struct flow_dict *dict;
	struct store *store;
	struct record_queue *queue;
	struct intake intake;
};

static struct wall_ns at(uint64_t s)
{
	return (struct wall_ns){ s * NS_PER_S };
}

static void open_place(struct place *p)
{
	assert_int_equal(flow_dict_new(1000, &p->dict, NULL), ERR_OK);
	const struct store_config config = {
		.dir = p->dir, .dict = p->dict, .node = "n", .version = "test"
	};
	assert_int_equal(store_open(&config, at(NOW_S), 1, &p->store, NULL), ERR_OK);
	assert_int_equal(record_queue_new(1 << 20, &p->queue, NULL), ERR_OK);
	assert_int_equal(intake_init(&p->intake, "x", p->queue, 1 << 10, 1, NULL), ERR_OK);
}

static void close_place(struct place *p)
{
	intake_done(&p->intake);
	record_queue_free(p->queue);
	store_close(p->store, at(NOW_S));
	flow_dict_free(p->dict);
}

static void reopen(struct place *p)
{
	close_place(p);
	open_place(p);
}

static int setup(void **state)
{
	static struct place p;
	p = (struct place){ .dir = "/tmp/tycho-seed-XXXXXX" };
	assert_non_null(mkdtemp(p.dir));
	open_place(&p);
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char command[128];

	close_place(p);
	(void)snprintf(command, sizeof command, "rm -r %s", p->dir);
	return system(command);
}

/* flow.Flow{time 1, node_name 11, uuid 34} */
static void put_flow(struct buf *b, const char *node, const char *uuid, uint64_t s)
{
	size_t mark = wire_begin(b, 1);

	wire_put_u64(b, 1, s);
	wire_end(b, mark);
	wire_put_str(b, 11, str_of(node));
	wire_put_str(b, 34, str_of(uuid));
}

static void store_flow(struct place *p, const char *node, const char *uuid, uint64_t s)
{
	char bytes[200];
	struct buf b = buf_fixed(bytes, sizeof bytes);
	struct flow f;

	put_flow(&b, node, uuid, s);
	assert_int_equal(flow_decode(buf_str(&b), p->dict, &f, NULL), ERR_OK);
	f.seq = store_taken(p->store) ? store_taken(p->store) : 1;
	assert_int_equal(store_put(p->store, &f, 1, at(NOW_S), NULL), ERR_OK);
}

/* An event of ours, or of a server's node. */
static void store_event(struct place *p, enum flow_kind kind, const char *node, struct str message,
			uint64_t s)
{
	struct flow f = { .kind = (uint8_t)kind,
			  .bits = FLOW_HAS_TIME,
			  .time = at(s),
			  .node = flow_dict_node(p->dict, &(struct node){ .name = str_of(node) }),
			  .ext = (const uint8_t *)message.p,
			  .ext_len = (uint32_t)message.len };

	f.seq = store_taken(p->store) ? store_taken(p->store) : 1;
	assert_int_equal(store_put(p->store, &f, 1, at(NOW_S), NULL), ERR_OK);
}

static bool is_new(struct place *p, const char *node, const char *uuid, uint64_t s)
{
	char bytes[300];
	struct buf b = buf_fixed(bytes, sizeof bytes);
	uint64_t before = p->intake.flows;

	size_t mark = wire_begin(&b, 1);
	put_flow(&b, node, uuid, s);
	wire_end(&b, mark);
	assert_true(intake_message(&p->intake, INTAKE_FLOWS, buf_str(&b), (struct mono_ns){ 1 },
				   at(NOW_S)));
	return p->intake.flows > before;
}

static void seed(struct place *p, size_t most)
{
	assert_int_equal(seed_intake(&p->intake, p->store, p->dict, most, at(NOW_S), NULL), ERR_OK);
}

static void an_empty_store_knows_nothing(void **state)
{
	struct place *p = *state;
	seed(p, 100);
	assert_true(is_new(p, "a", "1", NOW_S));
	assert_int_equal(p->intake.gaps, 0);
}

static void what_the_store_holds_is_known_again_and_its_end_is_a_break(void **state)
{
	struct place *p = *state;
	char request[64];
	struct buf b = buf_fixed(request, sizeof request);
	store_flow(p, "a", "1", NOW_S - 100);
	store_flow(p, "b", "1", NOW_S - 50);
	store_flow(p, "a", "2", NOW_S - 50);
	reopen(p);
	seed(p, 100);
	intake_request(&p->intake, INTAKE_FLOWS, 3600 * NS_PER_S, at(NOW_S), &b);
	struct str since;
	assert_true(wire_find(buf_str(&b), 7, &since));
	struct wire_reader r = wire_reader_of(since);
	struct wire_field field;
	assert_true(wire_next(&r, &field));
	assert_int_equal(field.value, NOW_S - 55); /* not an hour ago */
	assert_false(is_new(p, "a", "1", NOW_S - 100));
	assert_false(is_new(p, "a", "2", NOW_S - 50));
	assert_true(is_new(p, "a", "3", NOW_S - 40));
	assert_int_equal(p->intake.gaps, 0);
	assert_true(is_new(p, "b", "2", NOW_S - 40)); /* its past did not come again */
	assert_int_equal(p->intake.gaps, 1);
}

static void only_the_newest_count_and_none_older_than_a_day(void **state)
{
	struct place *p = *state;
	store_flow(p, "a", "old", NOW_S - 90000);
	store_flow(p, "a", "1", NOW_S - 100);
	store_flow(p, "a", "2", NOW_S - 99);
	store_flow(p, "a", "3", NOW_S - 98);
	reopen(p);
	seed(p, 2);
	assert_true(is_new(p, "a", "1", NOW_S - 100));
	assert_false(is_new(p, "a", "2", NOW_S - 99));
	assert_false(is_new(p, "a", "3", NOW_S - 98));
	reopen(p);
	seed(p, 100);
	assert_false(is_new(p, "a", "1", NOW_S - 100));
	assert_true(is_new(p, "a", "old", NOW_S - 90000));
}

static void events_of_servers_are_known_again(void **state)
{
	struct place *p = *state;
	static const char lost[] = "\x08\x01\x10\x07", agent[] = "\x08\x02";
	store_event(p, FLOW_KIND_LOST, "a", str_n(lost, 4), NOW_S - 9);
	store_event(p, FLOW_KIND_AGENT, "a", str_n(agent, 2), NOW_S - 8);
	reopen(p);
	seed(p, 100);
	/* GetFlowsResponse{lost_events 3, node_name 1000, time 1001}; the other has its event in 1
	 */
	for (unsigned which = 0; which < 2; which++) {
		char bytes[100];
		struct buf b = buf_fixed(bytes, sizeof bytes);
		wire_put_len(&b, which ? 1 : 3, which ? str_n(agent, 2) : str_n(lost, 4));
		wire_put_str(&b, 1000, STR("a"));
		size_t mark = wire_begin(&b, 1001);
		wire_put_u64(&b, 1, NOW_S - 9 + which);
		wire_end(&b, mark);
		assert_true(intake_message(&p->intake, which ? INTAKE_AGENT : INTAKE_FLOWS,
					   buf_str(&b), (struct mono_ns){ 1 }, at(NOW_S)));
		assert_int_equal(p->intake.seen_before, which + 1);
	}
	assert_int_equal(p->intake.other, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_empty_store_knows_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(
			what_the_store_holds_is_known_again_and_its_end_is_a_break, setup,
			teardown),
		cmocka_unit_test_setup_teardown(only_the_newest_count_and_none_older_than_a_day,
						setup, teardown),
		cmocka_unit_test_setup_teardown(events_of_servers_are_known_again, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
