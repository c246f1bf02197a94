/* observer/cilium: recorded monitor messages and what the reference parser of Cilium 1.19 makes of
 * them, given the same world (golden/events/README.md); and what its oracle (tests/oracle/events)
 * said of made-up ones that were once read otherwise, in the same form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/watch.h"
#include "cilium_ask.h"
#include "recorded.h"

enum { COLUMNS = 9 };

/* One line of events.tsv. */
struct recorded {
	struct str id, outcome, expected, note;
	struct cilium_question question;
};

static bool next_event(struct str *rest, struct recorded *ret)
{
	struct cilium_question *q = &ret->question;
	struct str line, *columns[COLUMNS] = { &ret->id,       &q->kind,    &q->payload,
					       &q->cpu,        &q->node,    &ret->outcome,
					       &ret->expected, &q->options, &ret->note };

	if (!str_split(rest, '\n', &line) || !line.len)
		return false;
	for (size_t i = 0; i < COLUMNS; i++)
		assert_true(str_split(&line, '\t', columns[i]));
	return true;
}

/* The agent's REST API, where our policies come from, does not have it. */
static const char *const not_told[] = { "policy_log" };

/* Members that differ, or that only one of the two has. */
static void print_differences(const json_t *want, const json_t *got)
{
	const json_t *const sides[2] = { want, got };
	const char *key;
	json_t *v;

	for (int side = 0; side < 2; side++)
		json_object_foreach((json_t *)(uintptr_t)sides[side], key, v)
		{
			if (json_equal(v, json_object_get(sides[!side], key)))
				continue;
			char *text = json_dumps(v, JSON_SORT_KEYS | JSON_ENCODE_ANY);
			print_error("  %s %s: %.300s\n", side ? "got " : "want", key, text);
			free(text);
		}
}

static bool same(const struct recorded *r, const json_t *got)
{
	json_t *want = json_loadb(r->expected.p, r->expected.len, JSON_ALLOW_NUL, NULL);

	assert_non_null(want);
	for (size_t i = 0; i < ARRAY_LEN(not_told); i++)
		(void)json_object_del(want, not_told[i]);
	bool equal = json_equal(want, got);
	if (!equal) {
		print_error("%.*s (%.*s) differs\n", STR_FMT(r->id), STR_FMT(r->note));
		print_differences(want, got);
	}
	json_decref(want);
	return equal;
}

static bool holds(struct cilium_asker *a, const struct recorded *r)
{
	json_t *got = NULL;
	const char *outcome = cilium_ask(a, &r->question, &got);
	bool as_recorded = str_is(r->outcome, outcome);

	if (!as_recorded)
		print_error("%.*s (%.*s) is \"%s\", not \"%.*s\"\n", STR_FMT(r->id),
			    STR_FMT(r->note), outcome, STR_FMT(r->outcome));
	else if (got)
		as_recorded = same(r, got);
	json_decref(got);
	return as_recorded;
}

static void check(struct str events, size_t at_least)
{
	char path[RECORDED_PATH_BYTES];
	AUTO_CILIUM_WORLD w = cilium_world_open(recorded_path(path, "golden/events/world.json"));
	AUTO(cilium_asker_free) struct cilium_asker *asker = cilium_asker_new(&w);
	struct recorded r;
	struct str head;
	size_t lines = 0, wrong = 0;

	assert_true(str_split(&events, '\n', &head));
	for (; next_event(&events, &r); lines++)
		wrong += !holds(asker, &r);
	assert_in_range(lines, at_least, SIZE_MAX);
	if (wrong)
		fail_msg("%zu of %zu events differ", wrong, lines);
}

static void every_recorded_event_gives_what_the_reference_made_of_it(void **state)
{
	(void)state;
	AUTO_BUF struct buf all = recorded_read("golden/events/events.tsv");

	check(buf_str(&all), 2000);
}

static void what_was_once_read_otherwise_is_not(void **state)
{
	(void)state;
	AUTO_BUF struct buf all = buf_init(1 << 20);
	struct err e;

	if (file_read(TYCHO_FOUND, "the events", &all, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	check(buf_str(&all), 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_recorded_event_gives_what_the_reference_made_of_it),
		cmocka_unit_test(what_was_once_read_otherwise_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
