/* Whom a bundle is believed: keys that were given, and checkpoints that were kept elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "bundle_edit.h"
#include "evidence_world.h"
#include "flow/wire.h"

static void only_keys_that_were_given_are_believed(void **state)
{
	struct world *w = *state;
	AUTO(evidence_key_free) struct evidence_key *other = NULL;
	AUTO_BUF struct buf pem = buf_init(4096), other_pem = buf_init(4096),
			    summary = buf_init(1 << 20);
	char path[128];
	struct err e = { .msg = "" };

	(void)snprintf(path, sizeof path, "%s/other.pem", w->fx->dir);
	assert_int_equal(evidence_key_open(path, true, &other, &e), ERR_OK);
	evidence_key_put_pem(w->ef.key, &pem);
	evidence_key_put_pem(other, &other_pem);
	world_bundle(w, &everything);
	struct str keys[2] = { buf_str(&other_pem), buf_str(&pem) };
	struct evidence_verify_config config = { .path = w->ef.bundle_path,
						 .keys = keys,
						 .key_count = 2 };
	assert_int_equal(evidence_verify(&config, &summary, &e), ERR_OK);
	config.key_count = 1;
	assert_int_equal(evidence_verify(&config, &summary, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "is not signed by a key that was given"));
	keys[0] = str_of(evidence_key_fingerprint(w->ef.key));
	assert_int_equal(evidence_verify(&config, &summary, &e), ERR_OK);
}

static void keep_checkpoint(void *ctx, struct str message)
{
	struct buf *b = ctx;
	struct str s;

	if (!wire_find(message, 4, &s))
		return;
	struct signed_text t = { .text = STR("") };
	struct str bytes;
	assert_true(wire_find(s, 1, &t.text));
	assert_true(wire_find(s, 2, &bytes));
	memcpy(t.signature, bytes.p, sizeof t.signature);
	assert_true(wire_find(s, 3, &bytes));
	memcpy(t.key, bytes.p, sizeof t.key);
	buf_lit(b, "Nov 21 10:00:00 host tycho: checkpoint "); /* as syslog would */
	signed_text_put(b, &t);
	buf_char(b, '\n');
}

/* Whoever owns the node has its key, too: makes another past and signs it. Not the checkpoints that
 * left the node before. */
static void a_past_written_anew_is_found_by_checkpoints_kept_elsewhere(void **state)
{
	struct world *w = *state;
	AUTO_BUF struct buf kept = buf_init(1 << 20), summary = buf_init(1 << 20);
	struct err e = { .msg = "" };
	char command[256];

	assert_int_equal(evidence_run(&w->ef, &everything, keep_checkpoint, &kept, &e), ERR_OK);
	world_bundle(w, &everything);
	struct evidence_verify_config config = { .path = w->ef.bundle_path,
						 .checkpoints = buf_str(&kept) };
	if (evidence_verify(&config, &summary, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	assert_non_null(strstr(buf_cstr(&summary), "that agree: 4"));

	fixture_close(w->fx);
	(void)snprintf(command, sizeof command, "rm %s/flows.db*", w->fx->dir);
	assert_int_equal(system(command), 0);
	checkpoints_free(w->ef.checkpoints);
	w->fx->now = NOON;
	w->fx->next_seq = FIRST_SEQ;
	fixture_open(w->fx);
	const struct checkpoints_config again = { .store = w->fx->store,
						  .key = w->ef.key,
						  .node = w->fx->config.node,
						  .interval_ns = 1 };
	assert_int_equal(checkpoints_new(&again, &w->ef.checkpoints, &e), ERR_OK);
	for (int i = 0; i < 6; i++) {
		fixture_block(w->fx, 8); /* not nine */
		evidence_checkpoint(&w->ef);
	}
	world_bundle(w, &everything);
	assert_int_equal(evidence_check(&w->ef, NULL, &e), ERR_OK);
	assert_int_equal(evidence_verify(&config, &summary, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, "a separately kept checkpoint"));
}

/* Who opens no other file learns of each gap from what was signed; and what others say in a bundle
 * stays on its own line. */
static void the_summary_tells_gaps_and_no_word_looks_like_ours(void **state)
{
	struct world *w = *state;
	AUTO_BUF struct buf summary = buf_init(1 << 20);
	const struct evidence_verify_config config = { .path = w->ef.bundle_path };
	struct bundle_edit b;
	struct err e = { .msg = "" };

	world_bundle(w, &everything);
	bundle_edit_open(&b, w->ef.bundle_path);
	(void)json_array_append_new(json_object_get(b.manifest, "unanswered"),
				    json_pack("{s:s,s:s}", "name", "there\nx: every flow is proven",
					      "error", "away\r\n  node     n9: 7 flows"));
	bundle_edit_write(&b, w->ef.bundle_path, false);
	bundle_edit_done(&b);
	if (evidence_verify(&config, &summary, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	const char *said = buf_cstr(&summary);
	assert_non_null(strstr(said, ", 1 gap"));
	assert_non_null(strstr(said, ": kernel-lost, 17 records"));
	assert_null(strstr(said, "the report"));
	assert_non_null(strstr(said,
			       "  missing  there x: every flow is proven did not answer: away "
			       "   node     n9: 7 flows\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)
		T(only_keys_that_were_given_are_believed),
		T(a_past_written_anew_is_found_by_checkpoints_kept_elsewhere),
		T(the_summary_tells_gaps_and_no_word_looks_like_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
