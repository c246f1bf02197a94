/* lib/evidence: what a store exports is proven, and what was changed on the way is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "evidence/redact.h"
#include "evidence_fixture.h"
#include "flow/wire.h"

/* Three blocks of 40 records, a checkpoint behind each, a gap before the last. */
static void fill(struct evidence_fixture *ef)
{
	struct fixture *fx = ef->store;
	const struct store_gap gap = { .cause = STORE_GAP_KERNEL,
				       .from = after(NOON, 1),
				       .to = after(NOON, 1.5),
				       .lost = 17,
				       .node = STR(""),
				       .detail = STR("PERF_EVENT_RING_BUFFER") };

	for (int i = 0; i < 3; i++) {
		if (i == 2)
			store_note_gap(fx->store, &gap);
		fixture_block(fx, 40);
		evidence_checkpoint(ef);
	}
}

static void assert_proven(struct evidence_fixture *ef, const struct ask *ask, const char *word)
{
	AUTO_BUF struct buf summary = buf_init(1 << 20);
	struct err e = { 0 };

	if (evidence_bundle(ef, ask, &e) != ERR_OK)
		fail_msg("no bundle: %s", e.msg);
	if (evidence_check(ef, &summary, &e) != ERR_OK)
		fail_msg("not proven: %s", e.msg);
	if (!strstr(buf_cstr(&summary), word))
		fail_msg("'%s' is not in: %s", word, buf_cstr(&summary));
}

static void what_a_store_exports_is_proven(void **state)
{
	struct evidence_fixture ef;

	evidence_make(&ef, *state);
	fill(&ef);
	assert_proven(&ef, &(struct ask){ .csv = true }, "120 flows in 3 blocks");
	assert_proven(&ef, &(struct ask){ .verdict = "DROPPED" }, "2 flows in 2 blocks");
	assert_proven(&ef, &(struct ask){ .port = 9 }, "0 flows in 0 blocks");
	assert_proven(&ef, &(struct ask){ .since = after(NOON, 1), .until = after(NOON, 1.5) },
		      "40 flows in 1 block,");
	assert_proven(&ef, &(struct ask){ .redact = REDACT_IP }, "120 flows");
	assert_proven(&ef, &(struct ask){ .redact = REDACT_LABELS, .csv = true }, "120 flows");
	assert_proven(&ef, &(struct ask){ .redact = REDACT_ALL }, "120 flows");
	evidence_done(&ef);
}

/* --- records that somebody else's program made --- */

/* The fields of @message the other way round, and then @more. */
static void turn_round(struct str message, struct str more, struct buf *out)
{
	struct str raw[64];
	struct wire_reader r = wire_reader_of(message);
	size_t n = 0;

	for (struct wire_field x; wire_next(&r, &x);) {
		assert_true(n < ARRAY_LEN(raw));
		raw[n++] = x.raw;
	}
	while (n)
		buf_str_put(out, raw[--n]);
	buf_str_put(out, more);
}

/* Their bytes do not follow from what the lines say: an order of fields that is not ours, a field
 * that we do not know, text that is none. */
static void records_that_their_lines_do_not_tell_are_proven(void **state)
{
	static const char *const more[] = { "", "\xfa\xff\x3e\x01x" /* field 131071 */,
					    "\x5a\x02\xff\xfe" /* node_name */ };
	struct evidence_fixture ef;
	struct fixture *fx = *state;
	struct err e = { 0 };

	evidence_make(&ef, fx);
	fixture_block(fx, 5);
	for (size_t i = 0; i < ARRAY_LEN(more); i++) {
		AUTO_BUF struct buf made = buf_init(1 << 16), odd = buf_init(1 << 16);
		struct flow f = fixture_flow(fx, fx->next_seq, fx->now);
		flow_encode(&made, &f, fx->dict);
		turn_round(buf_str(&made), str_of(more[i]), &odd);
		assert_int_equal(flow_decode(buf_str(&odd), fx->dict, &f, &e), ERR_OK);
		f.seq = fx->next_seq++;
		f.time = fx->now;
		assert_int_equal(store_put(fx->store, &f, 1, fx->now, &e), ERR_OK);
		fixture_block(fx, 5);
	}
	evidence_checkpoint(&ef);
	assert_proven(&ef, &(struct ask){ .csv = true }, "23 flows in 4 blocks");
	assert_proven(&ef, &(struct ask){ .redact = REDACT_ALL }, "23 flows");
	evidence_done(&ef);
}

/* --- what happens meanwhile --- */

static void more_is_recorded(struct evidence_fixture *ef)
{
	struct fixture *fx = ef->store;
	const struct store_gap gap = { .cause = STORE_GAP_KERNEL,
				       .from = fx->now,
				       .to = fx->now,
				       .lost = 1,
				       .node = STR(""),
				       .detail = STR("") };
	const struct store_policy policy = { .kind = STR("NetworkPolicy"),
					     .namespace_ = STR("shop"),
					     .name = STR("late"),
					     .uid = STR(""),
					     .resource_version = STR(""),
					     .json = STR("{}"),
					     .from = fx->now };
	struct err e = { 0 };

	assert_int_equal(store_note_policy(fx->store, &policy, fx->now, &e), ERR_OK);
	store_note_gap(fx->store, &gap);
	fixture_block(fx, 40);
	evidence_checkpoint(ef);
}

static void somebody_takes_the_name(struct evidence_fixture *ef)
{
	FILE *f = fopen(ef->bundle_path, "we");

	assert_non_null(f);
	assert_int_equal(fputs("theirs", f), 1);
	assert_int_equal(fclose(f), 0);
}

/* A file that is made while the export is under way: it stays, and the bundle is beside it. */
static void a_file_that_appears_meanwhile_stays(void **state)
{
	struct evidence_fixture ef;
	struct err e = { 0 };
	const struct ask keep = { .keep = true };
	size_t len;

	evidence_make(&ef, *state);
	fill(&ef);
	assert_int_equal(evidence_bundle(&ef, &keep, &e), ERR_OK);
	assert_int_equal(unlink(ef.bundle_path), 0);
	ef.happens = somebody_takes_the_name;
	ef.happens_at = 2;
	assert_int_equal(evidence_bundle(&ef, &keep, &e), ERR_EXISTS);
	char *theirs = read_all(ef.bundle_path, &len);
	assert_int_equal(len, 6);
	assert_memory_equal(theirs, "theirs", 6);
	free(theirs);
	const char *name = strrchr(e.msg, ' ');
	assert_non_null(name);
	struct str beside = str_n(name + 2, strlen(name) - 3); /* in quotes */
	assert_true(str_has_prefix(beside, str_of(ef.bundle_path)));
	(void)snprintf(ef.bundle_path, sizeof ef.bundle_path, "%.*s", STR_FMT(beside));
	assert_int_equal(evidence_check(&ef, NULL, &e), ERR_OK);
	evidence_done(&ef);
}

/* All that was sent, but for what the kernel thinks of its clock, and what is signed with it. */
static void keep(void *ctx, struct str message)
{
	const char *clock = memmem(message.p, message.len, "\"clock\"", 7);
	struct buf *all = ctx;

	if (clock) { /* behind the lengths, which tell how long the clock's numbers are */
		const char *text = memchr(message.p, '{', message.len);
		message = str_n(text, (size_t)(clock - text));
	}
	buf_str_put(all, message);
}

static void what_is_recorded_meanwhile_is_not_in_it(void **state)
{
	struct evidence_fixture ef;
	struct err e = { 0 };
	const struct ask asks[] = { { .csv = false },
				    { .verdict = "DROPPED" },
				    { .since = after(NOON, 1) } };
	size_t calls = 1;

	evidence_make(&ef, *state);
	fill(&ef);
	for (size_t at = 1; at < calls + 2; at++) {
		AUTO_BUF struct buf before = buf_init(1 << 24), during = buf_init(1 << 24);
		const struct ask *ask = &asks[at % ARRAY_LEN(asks)];
		ef.happens = NULL;
		assert_int_equal(evidence_run(&ef, ask, keep, &before, &e), ERR_OK);
		calls = at == 1 ? ef.calls : calls;
		ef.happens = more_is_recorded;
		ef.happens_at = at;
		assert_int_equal(evidence_run(&ef, ask, keep, &during, &e), ERR_OK);
		if (!str_eq(buf_str(&before), buf_str(&during)))
			fail_msg("what came behind call %zu is in the answer", at);
		assert_proven(&ef, ask, " flows in ");
	}
	assert_true(calls > 8);
	evidence_done(&ef);
}

enum { KEPT_S = 3600 };
static int pruned_blocks;

static void the_oldest_are_pruned(struct evidence_fixture *ef)
{
	struct fixture *fx = ef->store;
	uint64_t before = store_counts(fx->store).pruned_blocks;

	fx->now = after(NOON, KEPT_S + 0.5 + pruned_blocks);
	fixture_tend(fx);
	assert_int_equal(store_counts(fx->store).pruned_blocks - before, pruned_blocks);
}

/* Prunes @pruned_blocks of three behind call @at. @return how it ended. */
static enum err_code export_with_pruning(const struct ask *ask, size_t at, const char *whole,
					 size_t *ret_calls)
{
	void *state = NULL;
	struct evidence_fixture ef;
	struct err e = { 0 };

	assert_int_equal(fixture_make(&state), 0);
	struct fixture *fx = state;
	fx->config.retention_ns = KEPT_S * NS_PER_S;
	evidence_make(&ef, fx);
	fill(&ef);
	ef.happens = the_oldest_are_pruned;
	ef.happens_at = at;
	enum err_code code = evidence_bundle(&ef, ask, &e);
	*ret_calls = ef.calls;
	if (code == ERR_OK) {
		AUTO_BUF struct buf summary = buf_init(1 << 20);
		if (evidence_check(&ef, &summary, &e) != ERR_OK)
			fail_msg("not proven: %s", e.msg);
		if (!strstr(buf_cstr(&summary), whole))
			fail_msg("pruned behind call %zu: '%s' is not in: %s", at, whole,
				 buf_cstr(&summary));
	} else if (code != ERR_AGAIN || !strstr(e.msg, "retention pruned what")) {
		fail_msg("pruned behind call %zu: %s", at, e.msg);
	}
	evidence_done(&ef);
	assert_int_equal(fixture_remove(&state), 0);
	return code;
}

static void what_is_pruned_meanwhile_ends_it_or_was_read_before(void **state)
{
	(void)state;
	const struct {
		struct ask ask;
		const char *whole;
	} cases[] = { { { .csv = false }, "120 flows in 3 blocks" },
		      { { .verdict = "DROPPED" }, "2 flows in 2 blocks" },
		      { { .since = after(NOON, 1) }, "80 flows in 2 blocks" } };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (pruned_blocks = 1; pruned_blocks <= 3; pruned_blocks += 2) {
			size_t ended = 0, through = 0, calls = 2;
			for (size_t at = 1; at < calls; at++) {
				enum err_code code = export_with_pruning(&cases[i].ask, at,
									 cases[i].whole, &calls);
				ended += code != ERR_OK;
				through += code == ERR_OK;
				calls = code == ERR_OK ? calls : at + 2;
			}
			/* Between the first two calls it had read next to nothing, before the last
			 * one all. */
			assert_true(ended > 0);
			assert_true(through > 0);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(what_a_store_exports_is_proven),
		T(records_that_their_lines_do_not_tell_are_proven),
		T(what_is_recorded_meanwhile_is_not_in_it),
		T(a_file_that_appears_meanwhile_stays),
		cmocka_unit_test(what_is_pruned_meanwhile_ends_it_or_was_read_before),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
