/* lib/evidence: what a store exports is proven, and what was changed on the way is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "evidence/redact.h"
#include "evidence_fixture.h"

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
		      "40 flows in 1 blocks");
	assert_proven(&ef, &(struct ask){ .redact = REDACT_IP }, "120 flows");
	assert_proven(&ef, &(struct ask){ .redact = REDACT_LABELS, .csv = true }, "120 flows");
	assert_proven(&ef, &(struct ask){ .redact = REDACT_ALL }, "120 flows");
	evidence_done(&ef);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_make, fixture_remove)
		T(what_a_store_exports_is_proven),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
