/* observer/policy: policies in files, read again as they change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "observer/policy/file.h"
#include "policy_world.h"

static void write_file(const char *folder, const char *name, const char *text)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void remove_file(const char *folder, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	(void)unlink(path);
}

static void a_folder_is_read_again_when_it_changes_and_kept_when_it_is_bad(void **state)
{
	struct world *w = *state;
	static const struct policy_config config = { 0 };
	char folder[] = "/tmp/tycho-policies-XXXXXX";
	AUTO(policy_file_free) struct policy_file *file = NULL;
	struct err e = { 0 };
	size_t skipped;

	assert_non_null(mkdtemp(folder));
	write_file(folder, "a.yaml", DB_FROM_WEB "kind: Deployment\napiVersion: apps/v1\n");
	write_file(folder, "notes.txt", "not yaml: [");
	assert_int_equal(policy_file_new(folder, &config, w->table, false, &file, &e), ERR_OK);
	assert_int_equal(policy_file_count(file, &skipped), 1);
	assert_int_equal(skipped, 1);
	assert_int_equal(policy_file_poll(file, &e), ERR_AGAIN);

	write_file(folder, "b.yaml", KNP("b", "{podSelector: 1}"));
	assert_int_equal(policy_file_poll(file, &e), ERR_INVALID);
	assert_non_null(strstr(
		e.msg,
		"/b.yaml': document 1: NetworkPolicy shop/b: spec.podSelector: it is a number"));
	done(named(w, flow_of(EVENT_DROP, w->far, w->db, PORT)));
	assert_int_equal(policy_table_counts(w->table).likely, 1);

	write_file(folder, "b.yaml", KNP("b", "{podSelector: {}}"));
	assert_int_equal(policy_file_poll(file, &e), ERR_OK);
	assert_int_equal(policy_file_count(file, &skipped), 2);
	remove_file(folder, "a.yaml");
	assert_int_equal(policy_file_poll(file, &e), ERR_OK);
	assert_int_equal(policy_file_count(file, &skipped), 1);
	remove_file(folder, "b.yaml");
	remove_file(folder, "notes.txt");
	(void)rmdir(folder);
}

struct seen_objects {
	size_t count, policies;
};

static enum err_code see_object(void *ctx, const json_t *object, struct err *e)
{
	struct seen_objects *seen = ctx;
	const char *kind = json_string_value(json_object_get(object, "kind"));

	(void)e;
	seen->count++;
	seen->policies += kind && strcmp(kind, "NetworkPolicy") == 0;
	return ERR_OK;
}

static void shared_files_are_published_once_and_then_by_who_asks_for_them(void **state)
{
	struct world *w = *state;
	static const struct policy_config config = { 0 };
	char folder[] = "/tmp/tycho-policies-XXXXXX";
	AUTO(policy_file_free) struct policy_file *file = NULL;
	struct seen_objects seen = { 0 };
	struct err e = { 0 };

	assert_non_null(mkdtemp(folder));
	write_file(folder, "a.yaml", DB_FROM_WEB);
	assert_int_equal(policy_file_new(folder, &config, w->table, true, &file, &e), ERR_OK);
	Flow__Flow *m = named(w, flow_of(EVENT_DROP, w->far, w->db, PORT));
	assert_string_equal(m->ingress_denied_by[0]->labels[1], "tycho:from=files");
	done(m);

	/* items of a typed list need not say what they are */
	write_file(folder, "b.yaml",
		   "---\nkind: NetworkPolicyList\napiVersion: networking.k8s.io/v1\nitems:\n"
		   "- {metadata: {name: c}, spec: {podSelector: {}}}\n"
		   "---\nkind: Deployment\napiVersion: apps/v1\n");
	assert_int_equal(policy_file_poll(file, &e), ERR_OK);
	assert_int_equal(policy_table_counts(w->table).policies, 1);
	assert_int_equal(policy_file_each(file, see_object, &seen, &e), ERR_OK);
	assert_int_equal(seen.count, 3);
	assert_int_equal(seen.policies, 2);

	write_file(folder, "b.yaml", KNP("b", "{podSelector: 1}"));
	assert_int_equal(policy_file_poll(file, &e), ERR_INVALID);
	seen = (struct seen_objects){ 0 };
	assert_int_equal(policy_file_each(file, see_object, &seen, &e), ERR_OK);
	assert_int_equal(seen.count, 3); /* those before */
	remove_file(folder, "a.yaml");
	remove_file(folder, "b.yaml");
	(void)rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_free)
		TEST(a_folder_is_read_again_when_it_changes_and_kept_when_it_is_bad),
		TEST(shared_files_are_published_once_and_then_by_who_asks_for_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
