#include "evidence_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "bundle_edit.h"

int world_make(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	void *fx = NULL;

	if (!w || fixture_make(&fx) != 0)
		return -1;
	w->fx = fx;
	evidence_make(&w->ef, w->fx);
	const struct store_gap gap = { .cause = STORE_GAP_KERNEL,
				       .from = after(NOON, 1),
				       .to = after(NOON, 1.5),
				       .lost = 17,
				       .node = STR(""),
				       .detail = STR("PERF_EVENT_RING_BUFFER") };
	const struct store_policy policy = { .kind = STR("NetworkPolicy"),
					     .namespace_ = STR("shop"),
					     .name = STR("deny-all"),
					     .uid = STR("u-1"),
					     .resource_version = STR("7"),
					     .json = STR("{\"spec\":{\"podSelector\":{}}}"),
					     .from = NOON };
	struct err e;
	assert_int_equal(store_note_policy(w->fx->store, &policy, w->fx->now, &e), ERR_OK);
	for (int i = 0; i < 4; i++) {
		if (i == 2)
			store_note_gap(w->fx->store, &gap);
		fixture_block(w->fx, i == 3 ? 3 : 9);
		evidence_checkpoint(&w->ef);
	}
	*state = w;
	return 0;
}

int world_remove(void **state)
{
	struct world *w = *state;
	void *fx = w->fx;

	evidence_done(&w->ef);
	free(w);
	return fixture_remove(&fx);
}

void world_leave(const struct world *w, const char *verdict, const char *name)
{
	const char *dir = getenv("TYCHO_EVIDENCE_CASES");
	char path[512];
	size_t len;

	if (!dir)
		return;
	AUTO(own_free) char *bytes = read_all(w->ef.bundle_path, &len);
	(void)snprintf(path, sizeof path, "%s/%s-%s.tar.zst", dir, verdict, name);
	write_file(path, str_n(bytes, len));
}

void world_bundle(struct world *w, const struct ask *ask)
{
	struct err e;

	if (evidence_bundle(&w->ef, ask, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

void assert_good(struct world *w, const char *name)
{
	struct err e;

	world_leave(w, "good", name);
	if (evidence_check(&w->ef, NULL, &e) != ERR_OK)
		fail_msg("%s: %s", name, e.msg);
}

void assert_bad(struct world *w, const char *name, const char *words)
{
	struct err e = { .msg = "" };

	world_leave(w, "bad", name);
	enum err_code code = evidence_check(&w->ef, NULL, &e);
	if (code != ERR_PARSE || !strstr(e.msg, words))
		fail_msg("%s: %s; '%s' was to be found in: %s", name, err_code_name(code), words,
			 e.msg);
}
