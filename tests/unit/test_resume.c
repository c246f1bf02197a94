/* observer/upstream/resume: after a break nothing comes twice, and what is missing lies in a gap
 * that was told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "observer/upstream/resume.h"

#define AT(s) ((struct wall_ns){ (uint64_t)(s)*NS_PER_S })
#define NOW AT(1000000)

static struct resume *resume_of(size_t remembered)
{
	struct resume *r;

	assert_int_equal(resume_new(remembered, 7, &r, NULL), ERR_OK);
	return r;
}

/* @return 'n' new, 's' seen, 'g' new after a gap. */
static char take(struct resume *r, const char *node, const char *id, uint64_t s,
		 struct resume_gap *ret_gap)
{
	struct resume_gap gap;
	bool has_gap;
	bool fresh =
		resume_take(r, str_of(node), str_of(id), AT(s), &has_gap, ret_gap ? ret_gap : &gap);

	assert_false(has_gap && !fresh);
	return has_gap ? 'g' : fresh ? 'n' : 's';
}

static uint64_t since_s(const struct resume *r)
{
	struct wall_ns since;

	return resume_since(r, NOW, &since) ? since.v / NS_PER_S : UINT64_MAX;
}

static void nothing_has_come_so_there_is_no_place_to_go_on_from(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(16);
	struct resume_gap gap;
	resume_break(r);
	assert_true(since_s(r) == UINT64_MAX);
	assert_false(resume_next_gap(r, NOW, &gap));
	assert_int_equal(take(r, "a", "1", 100, NULL), 'n'); /* the first is no gap */
}

static void what_was_there_before_the_break_is_known_again(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(16);
	assert_int_equal(take(r, "a", "1", 100, NULL), 'n');
	assert_int_equal(take(r, "a", "2", 103, NULL), 'n');
	resume_break(r);
	assert_int_equal(since_s(r), 98); /* 5 s before the newest */
	assert_int_equal(take(r, "a", "1", 100, NULL), 's');
	assert_int_equal(take(r, "a", "2", 103, NULL), 's');
	assert_int_equal(take(r, "a", "3", 103, NULL), 'n'); /* the same instant, another flow */
	assert_int_equal(take(r, "a", "4", 104, NULL), 'n');
}

static void an_id_belongs_to_its_node_and_time(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(16);
	assert_int_equal(take(r, "a", "1", 100, NULL), 'n');
	assert_int_equal(take(r, "b", "1", 100, NULL), 'n');
	assert_int_equal(take(r, "a", "1", 101, NULL), 'n');
	assert_int_equal(take(r, "a", "1", 100, NULL), 's');
	assert_int_equal(resume_nodes(r), 2);
}

static void without_a_time_everything_is_new(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(16);
	assert_int_equal(take(r, "a", "1", 0, NULL), 'n');
	assert_int_equal(take(r, "a", "1", 0, NULL), 'n');
	assert_true(since_s(r) == UINT64_MAX);
}

static void a_seam_that_nobody_saw_is_a_gap_told_once_for_each_node(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(16);
	struct resume_gap gap;
	(void)take(r, "a", "1", 100, NULL);
	(void)take(r, "b", "1", 101, NULL);
	resume_break(r);
	assert_int_equal(take(r, "a", "9", 109, &gap), 'g');
	assert_true(str_is(gap.node, "a"));
	assert_true(gap.from.v == AT(100).v && gap.to.v == AT(109).v);
	assert_int_equal(take(r, "a", "10", 110, NULL), 'n');
	assert_int_equal(take(r, "b", "1", 101, NULL),
			 's'); /* of this one the server kept its past */
	assert_int_equal(take(r, "b", "2", 102, NULL), 'n');
}

static void a_server_with_nothing_to_say_leaves_gaps_up_to_now(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(16);
	struct resume_gap gap;
	(void)take(r, "a", "1", 100, NULL);
	(void)take(r, "b", "1", 101, NULL);
	assert_false(resume_next_gap(r, NOW, &gap)); /* nothing broke */
	resume_break(r);
	assert_int_equal(take(r, "a", "1", 100, NULL), 's');
	assert_true(resume_next_gap(r, NOW, &gap));
	assert_true(str_is(gap.node, "b") && gap.from.v == AT(101).v && gap.to.v == NOW.v);
	assert_false(resume_next_gap(r, NOW, &gap));
	assert_int_equal(take(r, "b", "2", 102, NULL), 'n'); /* it was told */
}

static void the_node_furthest_behind_says_where_to_go_on_unless_it_is_quiet(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(16);
	(void)take(r, "busy", "1", 5000, NULL);
	(void)take(r, "behind", "1", 4000, NULL);
	(void)take(r, "quiet", "1", 1399, NULL); /* more than an hour */
	assert_int_equal(since_s(r), 3995);
	resume_break(r);
	assert_int_equal(take(r, "quiet", "2", 5001, NULL), 'g');
}

static void a_clock_in_the_future_does_not_keep_us_from_asking(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(16);
	struct wall_ns since;
	(void)take(r, "a", "1", 1000000, NULL);
	assert_true(resume_since(r, AT(100), &since));
	assert_int_equal(since.v / NS_PER_S, 95);
}

static void a_clock_that_is_set_back_is_followed(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(16);
	(void)take(r, "a", "1", 1000, NULL);
	(void)take(r, "a", "2", 996, NULL); /* sources differ by a bit */
	assert_int_equal(since_s(r), 995);
	assert_int_equal(take(r, "a", "3", 500, NULL), 'n');
	assert_int_equal(since_s(r), 495);
	assert_int_equal(take(r, "a", "4", 501, NULL), 'n');
	resume_break(r);
	assert_int_equal(take(r, "a", "4", 501, NULL), 's');
	assert_int_equal(take(r, "a", "5", 502, NULL), 'n');
}

static void a_lost_node_is_judged_alone_and_a_late_word_of_it_does_not_count(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(16);
	(void)take(r, "a", "1", 100, NULL);
	(void)take(r, "b", "1", 100, NULL);
	resume_break_node(r, STR("a"), 0);
	resume_break_node(r, STR("nobody"), 0);
	assert_int_equal(take(r, "b", "2", 120, NULL), 'n');
	assert_int_equal(take(r, "a", "2", 120, NULL), 'g');
	/* the relay had it back, and told its past again, before it told of the loss */
	uint64_t before = resume_taken(r);
	assert_int_equal(take(r, "a", "2", 120, NULL), 's');
	resume_break_node(r, STR("a"), before);
	assert_int_equal(take(r, "a", "3", 121, NULL), 'n');
}

static void what_is_no_longer_remembered_counts_as_seen_after_a_break_only(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(4);
	const char *ids[] = { "1", "2", "3", "4", "5", "6" };
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(take(r, "a", ids[i], 101 + i, NULL), 'n');
	assert_int_equal(since_s(r), 102); /* 1 and 2 are forgotten: from 2 on */
	assert_int_equal(take(r, "b", "1", 101, NULL), 'n');
	resume_break(r);
	assert_int_equal(take(r, "a", "2", 102, NULL), 's');
	assert_int_equal(take(r, "a", "6", 106, NULL), 's');
	assert_int_equal(take(r, "a", "7", 107, NULL), 'n');
}

static void what_was_forgotten_before_the_clock_was_set_back_hides_nothing(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(4);
	const char *ids[] = { "1", "2", "3", "4", "5", "6" };
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(take(r, "a", ids[i], 1001 + i, NULL), 'n');
	assert_int_equal(take(r, "a", "7", 500, NULL), 'n');
	resume_break(r);
	assert_int_equal(take(r, "a", "7", 500, NULL), 's');
	assert_int_equal(take(r, "a", "8", 501, NULL), 'n');
}

static void all_that_is_remembered_is_known_however_it_is_pushed_about(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(64);
	char id[16];
	for (unsigned i = 0; i < 600; i++) {
		for (unsigned back = i < 64 ? i : 64; back; back--) {
			(void)snprintf(id, sizeof id, "%u", i - back);
			assert_int_equal(take(r, "a", id, 100 + i - back, NULL), 's');
		}
		(void)snprintf(id, sizeof id, "%u", i);
		assert_int_equal(take(r, "a", id, 100 + i, NULL), 'n');
	}
}

static void more_nodes_than_there_is_room_for_share_one_place(void **state)
{
	(void)state;
	AUTO(resume_free) struct resume *r = resume_of(16);
	char name[16];
	for (size_t i = 0; i < RESUME_NODES_MAX + 3; i++) {
		(void)snprintf(name, sizeof name, "n%zu", i);
		assert_int_equal(take(r, name, "1", 100, NULL), i > RESUME_NODES_MAX ? 's' : 'n');
	}
	assert_int_equal(resume_nodes(r), RESUME_NODES_MAX);
}

/* ---- against a model: servers with rings, a stream that breaks anywhere */

enum { NODES = 3, FLOWS = 3000, RING = 40 };

struct model {
	uint64_t random;
	struct flow_ {
		uint64_t time;
		int came;     /* how often it was new */
		bool excused; /* a gap tells of it */
	} flows[NODES][FLOWS];
	uint64_t clock[NODES];
	size_t made[NODES], sent[NODES]; /* sent: the stream's place in the node's log */
};

static uint64_t roll(struct model *m, uint64_t n)
{
	m->random ^= m->random << 13;
	m->random ^= m->random >> 7;
	m->random ^= m->random << 17;
	return m->random % n;
}

static void make(struct model *m, size_t node, uint64_t jitter)
{
	struct flow_ *f = &m->flows[node][m->made[node]];

	if (m->made[node] == FLOWS)
		return;
	/* a second on average; a little late at times where there is jitter */
	m->clock[node] += NS_PER_MS + roll(m, 2 * NS_PER_S);
	f->time = 50 * NS_PER_S + m->clock[node];
	if (jitter && roll(m, 4) == 0)
		f->time -= roll(m, jitter);
	m->made[node]++;
}

static void hand_over(struct model *m, struct resume *r, size_t node, uint64_t slack)
{
	static const char *const names[NODES] = { "a", "b", "c" };
	size_t i = m->sent[node]++;
	struct flow_ *f = &m->flows[node][i];
	struct resume_gap gap;
	bool has_gap;

	if (resume_take(r, str_of(names[node]), str_n(&i, sizeof i), (struct wall_ns){ f->time },
			&has_gap, &gap))
		f->came++;
	for (size_t k = 0; has_gap && k < m->made[node]; k++)
		if (m->flows[node][k].time + slack >= gap.from.v &&
		    m->flows[node][k].time <= gap.to.v + slack)
			m->flows[node][k].excused = true;
}

static void connect_again(struct model *m, struct resume *r)
{
	struct wall_ns since = { 0 };

	resume_break(r);
	(void)resume_since(r, AT(1000000), &since);
	for (size_t n = 0; n < NODES; n++) {
		size_t oldest = m->made[n] > RING ? m->made[n] - RING : 0;
		m->sent[n] = oldest;
		/* the reference goes back until the first that is older, and skips those */
		while (m->sent[n] < m->made[n] && m->flows[n][m->sent[n]].time < since.v)
			m->sent[n]++;
	}
}

static void run_model(uint64_t seed, size_t remembered, uint64_t jitter)
{
	struct model *m = calloc(1, sizeof *m);
	AUTO(resume_free) struct resume *r = resume_of(remembered);
	assert_non_null(m);
	m->random = seed;
	for (int step = 0; step < 12000; step++) {
		size_t node = roll(m, NODES);
		uint64_t what = roll(m, 100);
		if (what < 30)
			make(m, node, jitter);
		else if (what < 99 && m->sent[node] < m->made[node])
			hand_over(m, r, node, jitter);
		else if (what == 99) {
			/* away for a while: more than a ring's worth, at times */
			for (uint64_t k = roll(m, 12) == 0 ? roll(m, 300) : roll(m, 20); k; k--)
				make(m, roll(m, NODES), jitter);
			connect_again(m, r);
		}
	}
	for (size_t n = 0; n < NODES; n++)
		while (m->sent[n] < m->made[n])
			hand_over(m, r, n, jitter);
	size_t missing = 0;
	for (size_t n = 0; n < NODES; n++)
		for (size_t i = 0; i < m->made[n]; i++) {
			const struct flow_ *f = &m->flows[n][i];
			if (f->came > 1 || (!f->came && !f->excused))
				print_error("seed %llu: flow %zu of node %zu came %d times\n",
					    (unsigned long long)seed, i, n, f->came);
			assert_true(f->came == 1 || (f->came == 0 && f->excused));
			missing += !f->came;
		}
	assert_in_range(missing, 1, FLOWS); /* the model did have holes to tell of */
	free(m);
}

static void no_break_makes_a_hole_or_a_duplicate_that_is_not_told(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		run_model(seed, 1 << 10, 3 * NS_PER_S);
		run_model(seed, 1 << 10, 0);
		run_model(seed, 1 << 3, 0); /* hardly remembers anything */
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_has_come_so_there_is_no_place_to_go_on_from),
		cmocka_unit_test(what_was_there_before_the_break_is_known_again),
		cmocka_unit_test(an_id_belongs_to_its_node_and_time),
		cmocka_unit_test(without_a_time_everything_is_new),
		cmocka_unit_test(a_seam_that_nobody_saw_is_a_gap_told_once_for_each_node),
		cmocka_unit_test(a_server_with_nothing_to_say_leaves_gaps_up_to_now),
		cmocka_unit_test(the_node_furthest_behind_says_where_to_go_on_unless_it_is_quiet),
		cmocka_unit_test(a_clock_in_the_future_does_not_keep_us_from_asking),
		cmocka_unit_test(a_clock_that_is_set_back_is_followed),
		cmocka_unit_test(a_lost_node_is_judged_alone_and_a_late_word_of_it_does_not_count),
		cmocka_unit_test(what_is_no_longer_remembered_counts_as_seen_after_a_break_only),
		cmocka_unit_test(what_was_forgotten_before_the_clock_was_set_back_hides_nothing),
		cmocka_unit_test(all_that_is_remembered_is_known_however_it_is_pushed_about),
		cmocka_unit_test(more_nodes_than_there_is_room_for_share_one_place),
		cmocka_unit_test(no_break_makes_a_hole_or_a_duplicate_that_is_not_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
