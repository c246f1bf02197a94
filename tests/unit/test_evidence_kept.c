/* lib/evidence: a store against the checkpoints that had left it, those of entries that retention
 * has pruned since among them: no fault where it forgot, one where it was written anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "evidence/store_check.h"
#include "evidence_fixture.h"

enum { LINES_MAX = 8 };

/* A store that forgets what is older than an hour, and what was sent elsewhere. */
struct world {
	struct evidence_fixture ef;
	struct fixture *fx;
	char kept_path[100];
	struct evidence_sender *sender;
};

static void begin(struct world *w, struct fixture *fx)
{
	char target[120];
	const char *const targets[] = { target };
	const struct evidence_sender_config sender = { .targets = targets, .target_count = 1 };
	struct err e;

	w->fx = fx;
	fx->config.retention_ns = 3600 * NS_PER_S;
	evidence_make(&w->ef, fx);
	(void)snprintf(w->kept_path, sizeof w->kept_path, "%s/kept", fx->dir);
	(void)snprintf(target, sizeof target, "file:%s", w->kept_path);
	assert_int_equal(evidence_sender_new(&sender, &w->sender, &e), ERR_OK);
	checkpoints_free(w->ef.checkpoints);
	const struct checkpoints_config config = { .store = fx->store,
						   .key = w->ef.key,
						   .node = fx->config.node,
						   .sender = w->sender,
						   .interval_ns = 1 };
	assert_int_equal(checkpoints_new(&config, &w->ef.checkpoints, &e), ERR_OK);
}

static void end(struct world *w)
{
	fixture_close(w->fx);
	evidence_sender_free(w->sender);
	evidence_done(&w->ef);
}

static void block(struct world *w, size_t records)
{
	fixture_block(w->fx, records);
	evidence_checkpoint(&w->ef);
}

static void two_hours_pass(struct world *w)
{
	struct err e;

	w->fx->now = after(w->fx->now, 7200);
	assert_int_equal(store_tick(w->fx->store, w->fx->now, &e), ERR_OK);
	fixture_tend(w->fx);
}

/* Entries: 1 start; blocks 2 and 3, signed each, which are forgotten; 4 says so; block 5, signed;
 * 6 stop. */
static void write_record(struct world *w, struct fixture *fx, size_t records)
{
	begin(w, fx);
	block(w, records);
	block(w, records);
	two_hours_pass(w);
	block(w, records);
	end(w);
}

/* The lines that had left the store, in order. */
struct kept {
	char *text; /* own */
	struct str all, lines[LINES_MAX];
	size_t count;
};

static struct kept read_kept(const struct world *w)
{
	size_t len;
	struct kept k = { .text = read_all(w->kept_path, &len) };
	struct str rest = k.all = str_n(k.text, len);

	while (rest.len) {
		assert_true(k.count < LINES_MAX);
		k.lines[k.count] = str_upto(rest, str_find(rest, '\n') + 1);
		rest = str_from(rest, k.lines[k.count++].len);
	}
	return k;
}

static struct store_check_result held_against(const struct world *w, struct str lines,
					      const char *fault)
{
	struct store_check_result found = { .records = 0 };
	AUTO(store_reader_free) struct store_reader *r = NULL;
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	struct err e = { .msg = "" };

	assert_int_equal(flow_dict_new(4096, &dict, &e), ERR_OK);
	assert_int_equal(store_reader_open(w->fx->dir, dict, &r, &e), ERR_OK);
	const struct store_check_config config = { .reader = r,
						   .dict = dict,
						   .checkpoints = lines };
	enum err_code code = evidence_store_check(&config, &found, &e);
	if (code != (fault ? ERR_PARSE : ERR_OK) || (fault && !strstr(e.msg, fault)))
		fail_msg("'%s' was to be found in: %s", fault ? fault : "", e.msg);
	return found;
}

static void expect(struct store_check_result found, uint64_t agree, uint64_t older)
{
	assert_int_equal(found.kept_agree, agree);
	assert_int_equal(found.kept_older, older);
}

static const char not_held[] = "are all of entries that it does not hold any more: its chain "
			       "begins with entry 4";

static void what_retention_took_is_no_fault_and_what_is_left_must_agree(void **state)
{
	struct world w;

	write_record(&w, *state, 10);
	struct kept k = read_kept(&w);
	assert_int_equal(k.count, 3);
	struct store_check_result found = held_against(&w, k.all, NULL);
	assert_int_equal(found.first_entry, 4);
	assert_int_equal(found.records, 10);
	/* Entry 3 has gone, but 4 holds its hash. */
	expect(found, 2, 1);
	expect(held_against(&w, k.lines[1], NULL), 1, 0);
	expect(held_against(&w, k.lines[2], NULL), 1, 0);
	/* One alone that nothing is left of proves nothing: that is no yes. */
	(void)held_against(&w, k.lines[0], not_held);
	free(k.text);
}

/* By whoever owns the node, and its key with it. It forgets at the same time as the one before. */
static void a_record_written_anew_is_found_though_it_forgets_as_the_old_one_did(void **state)
{
	struct fixture *fx = *state;
	struct world w;
	char command[256];

	write_record(&w, fx, 10);
	struct kept k = read_kept(&w);
	(void)snprintf(command, sizeof command, "mv %s/kept %s/old && rm %s/flows.db*", fx->dir,
		       fx->dir, fx->dir);
	assert_int_equal(system(command), 0);
	flow_dict_free(fx->dict);
	assert_int_equal(flow_dict_new(4096, &fx->dict, NULL), ERR_OK);
	fx->config.dict = fx->dict;
	fx->now = NOON;
	fx->next_seq = FIRST_SEQ;
	write_record(&w, fx, 9); /* a record of each block is to be forgotten, too */
	struct kept own = read_kept(&w);
	expect(held_against(&w, own.all, NULL), 2, 1);
	(void)held_against(&w, k.all,
			   "the chain is not the one that was signed: line 2 of the separately "
			   "kept checkpoints has another hash of entry 3");
	(void)held_against(&w, k.lines[1], "another hash of entry 3");
	(void)held_against(&w, k.lines[2], "another hash of entry 5");
	(void)held_against(&w, k.lines[0], not_held);
	free(own.text);
	free(k.text);
}

/* Nor does it help to forget all that somebody else holds a signature of. */
static void a_record_that_forgot_all_that_was_kept_elsewhere_is_not_believed(void **state)
{
	struct world w;

	begin(&w, *state);
	block(&w, 10);
	fixture_block(w.fx, 10); /* nobody has a signature of it */
	two_hours_pass(&w);
	fixture_block(w.fx, 10);
	end(&w);
	struct kept k = read_kept(&w);
	assert_int_equal(k.count, 1);
	(void)held_against(&w, k.all, not_held);
	free(k.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(what_retention_took_is_no_fault_and_what_is_left_must_agree),
		T(a_record_written_anew_is_found_though_it_forgets_as_the_old_one_did),
		T(a_record_that_forgot_all_that_was_kept_elsewhere_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
