/* lib/access: who may see what, and requests that are cut down to it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "access/access.h"
#include "access/limit.h"
#include "filter/filter.h"
#include "observer/observer.pb-c.h"

struct scene {
	char folder[64], path[96], token[96];
};

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static int make_scene(void **state)
{
	struct scene *s = calloc(1, sizeof *s);

	*state = s;
	(void)snprintf(s->folder, sizeof s->folder, "/tmp/tycho-access-XXXXXX");
	if (!s || !mkdtemp(s->folder))
		return -1;
	(void)snprintf(s->path, sizeof s->path, "%s/access", s->folder);
	(void)snprintf(s->token, sizeof s->token, "%s/token", s->folder);
	return 0;
}

static int free_scene(void **state)
{
	struct scene *s = *state;

	(void)unlink(s->path);
	(void)unlink(s->token);
	(void)rmdir(s->folder);
	free(s);
	return 0;
}

static struct access *access_of(const struct scene *s, const char *text)
{
	struct access *a = NULL;
	struct err e;

	write_file(s->path, text, 0600);
	if (access_new(s->path, &a, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return a;
}

/* "who: namespaces" of what is found; "nobody". */
static const char *found(const struct access *a, struct credentials c)
{
	static char text[512];
	const struct rights *r = access_find(a, &c);
	size_t n;

	if (!r)
		return "nobody";
	n = (size_t)snprintf(text, sizeof text, "%s:%s", r->who, r->all ? " *" : "");
	for (size_t i = 0; i < r->namespace_count; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, " %s", r->namespaces[i]);
	rights_unref(r);
	return text;
}

static const char *found_name(const struct access *a, const char *name)
{
	return found(a, (struct credentials){ .cert_names = &name, .cert_name_count = 1 });
}

static void an_empty_file_knows_nobody(void **state)
{
	AUTO(access_free) struct access *a = access_of(*state, "# nothing\n\n");

	assert_string_equal(found(a, (struct credentials){ 0 }), "nobody");
	assert_string_equal(found_name(a, "x"), "nobody");
	assert_string_equal(found(a, (struct credentials){ .is_local = true }), "nobody");
}

static void the_first_line_that_fits_decides(void **state)
{
	AUTO(access_free)
	struct access *a = access_of(*state, "cert a.example  shop, cart,shop-2\n"
					     "cert *.example  *\n"
					     "local  ops # by the socket\n"
					     "anyone public\n");

	assert_string_equal(found_name(a, "a.example"), "cert a.example: cart shop shop-2");
	assert_string_equal(found_name(a, "A.EXAMPLE"), "cert a.example: cart shop shop-2");
	assert_string_equal(found_name(a, "b.example"), "cert *.example: *");
	assert_string_equal(found_name(a, "c.b.example"), "anyone: public"); /* one label only */
	assert_string_equal(found_name(a, ".example"), "anyone: public");
	assert_string_equal(found_name(a, "example"), "anyone: public");
	assert_string_equal(found(a, (struct credentials){ .is_local = true }), "local: ops");
}

static void a_token_is_its_files_content_without_blanks(void **state)
{
	const struct scene *s = *state;
	char text[256];

	write_file(s->token, "  0123456789abcdef\n", 0600);
	(void)snprintf(text, sizeof text, "token-file %s shop\n", s->token);
	AUTO(access_free) struct access *a = access_of(s, text);
	const struct {
		const char *shown;
		bool fits;
	} cases[] = {
		{ "Bearer 0123456789abcdef", true },
		{ "bearer 0123456789abcdef ", true },
		{ "Bearer 0123456789abcdeF", false },
		{ "Bearer 0123456789abcde", false },
		{ "Bearer 0123456789abcdef0", false },
		{ "Basic 0123456789abcdef", false },
		{ "0123456789abcdef", false },
		{ "Bearer ", false },
		{ "Bearer", false },
		{ "", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(strcmp(found(a, (struct credentials){ .authorization = str_of(
									       cases[i].shown) }),
					"nobody") != 0,
				 cases[i].fits);
}

static void expect_fault(const struct scene *s, const char *text, const char *sentence)
{
	struct access *a = NULL;
	struct err e = { 0 };

	write_file(s->path, text, 0600);
	assert_int_not_equal(access_new(s->path, &a, &e), ERR_OK);
	assert_null(a);
	if (!strstr(e.msg, sentence))
		fail_msg("'%s' is not in '%s'", sentence, e.msg);
}

static void a_wrong_line_is_named(void **state)
{
	const struct scene *s = *state;
	char text[256];

	expect_fault(s, "\ncrt x *\n",
		     "line 2: 'crt' is none of cert, token-file, local and anyone");
	expect_fault(s, "cert x\n", "line 1: no namespaces");
	expect_fault(s, "local\n", "no namespaces");
	expect_fault(s, "local a,,b\n", "'' is no namespace");
	expect_fault(s, "local A\n", "'A' is no namespace");
	expect_fault(s, "local a/b\n", "'a/b' is no namespace");
	expect_fault(s, "local a*\n", "'a*' is no namespace");
	expect_fault(s, "token-file /nowhere/at-all *\n", "No such file");
	write_file(s->token, "short\n", 0600);
	(void)snprintf(text, sizeof text, "token-file %s *\n", s->token);
	expect_fault(s, text, "less than 16 characters");
	write_file(s->token, "0123456789abcdef\n", 0604);
	expect_fault(s, text, "is open to others");
}

static void a_file_that_changes_is_read_again_and_a_broken_one_said_once(void **state)
{
	const struct scene *s = *state;
	AUTO(access_free) struct access *a = access_of(s, "anyone shop\n");
	struct mono_ns now = { NS_PER_S };
	struct err e;

	assert_int_equal(access_poll(a, now, &e), ERR_AGAIN);
	write_file(s->path, "anyone shop, cart\n", 0600);
	now.v += ACCESS_LOOK_NS - 1;
	assert_int_equal(access_poll(a, now, &e), ERR_AGAIN); /* not yet */
	now.v += 1;
	assert_int_equal(access_poll(a, now, &e), ERR_OK);
	assert_string_equal(found(a, (struct credentials){ 0 }), "anyone: cart shop");
	uint64_t generation = access_generation(a);
	write_file(s->path, "everyone\n", 0600);
	now.v += ACCESS_LOOK_NS;
	assert_int_equal(access_poll(a, now, &e), ERR_PARSE);
	now.v += ACCESS_LOOK_NS;
	assert_int_equal(access_poll(a, now, &e), ERR_AGAIN);
	assert_string_equal(found(a, (struct credentials){ 0 }), "anyone: cart shop");
	assert_int_equal(access_generation(a), generation);
	write_file(s->path, "anyone *\n", 0600);
	now.v += ACCESS_LOOK_NS;
	assert_int_equal(access_poll(a, now, &e), ERR_OK);
	assert_string_equal(found(a, (struct credentials){ 0 }), "anyone: *");
}

/* ---- requests */

static const char *const shop[] = { "shop", "store" };
static const struct rights two = { "test", false, shop, 2 };
static const struct rights none = { "test", false, NULL, 0 };

static Observer__GetFlowsRequest *limited(const struct rights *r, struct str request)
{
	AUTO_BUF struct buf out = buf_init(1 << 20);

	assert_int_equal(limit_request(r, request, 6, &out, NULL), ERR_OK);
	Observer__GetFlowsRequest *m = observer__get_flows_request__unpack(
		NULL, out.len, (const uint8_t *)buf_str(&out).p);
	assert_non_null(m);
	return m;
}

static void without_filters_either_end_must_be_in_a_namespace(void **state)
{
	(void)state;
	Observer__GetFlowsRequest *m = limited(&two, STR("\x08\x05")); /* number: 5 */

	assert_int_equal(m->number, 5);
	assert_int_equal(m->n_whitelist, 2);
	assert_int_equal(m->whitelist[0]->n_source_pod, 2);
	assert_string_equal(m->whitelist[0]->source_pod[0], "shop/");
	assert_string_equal(m->whitelist[0]->source_pod[1], "store/");
	assert_int_equal(m->whitelist[0]->n_destination_pod, 0);
	assert_int_equal(m->whitelist[1]->n_source_pod, 0);
	assert_string_equal(m->whitelist[1]->destination_pod[0], "shop/");
	observer__get_flows_request__free_unpacked(m, NULL);
}

static void filters_keep_what_they_ask_and_pods_only_where_they_may_be(void **state)
{
	char texts[][12] = { "shop/cart", "other/x", "/db", "plain" };
	char *pods[] = { texts[0], texts[1], texts[2], texts[3] };
	Flow__Verdict verdict = FLOW__VERDICT__DROPPED;
	Flow__FlowFilter filter;
	Flow__FlowFilter *list[] = { &filter };
	Observer__GetFlowsRequest request;
	uint8_t bytes[256];

	(void)state;
	flow__flow_filter__init(&filter);
	filter.source_pod = pods;
	filter.n_source_pod = ARRAY_LEN(pods);
	filter.verdict = &verdict;
	filter.n_verdict = 1;
	observer__get_flows_request__init(&request);
	request.whitelist = list;
	request.n_whitelist = 1;
	size_t len = observer__get_flows_request__pack(&request, bytes);
	Observer__GetFlowsRequest *m = limited(&two, str_n(bytes, len));

	assert_int_equal(m->n_whitelist, 2);
	assert_int_equal(m->whitelist[0]->n_source_pod, 3);
	assert_string_equal(m->whitelist[0]->source_pod[0], "shop/cart");
	assert_string_equal(m->whitelist[0]->source_pod[1], "shop/db");
	assert_string_equal(m->whitelist[0]->source_pod[2], "store/db");
	assert_int_equal(m->whitelist[0]->verdict[0], FLOW__VERDICT__DROPPED);
	assert_int_equal(m->whitelist[1]->n_source_pod, 4); /* as asked */
	assert_int_equal(m->whitelist[1]->n_destination_pod, 2);
	assert_int_equal(m->whitelist[1]->n_verdict, 1);
	observer__get_flows_request__free_unpacked(m, NULL);
}

static void who_may_see_nothing_gets_a_filter_that_nothing_passes(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = NULL;
	AUTO(flow_filter_free) struct flow_filter *ff = NULL;
	Observer__GetFlowsRequest *m = limited(&none, STR(""));

	assert_int_equal(flow_dict_new(100, &d, NULL), ERR_OK);
	assert_int_equal(m->n_whitelist, 1);
	assert_int_equal(flow_filter_new(m->whitelist, 1, NULL, 0, d, &ff, NULL), ERR_OK);
	for (int verdict = 0; verdict < 256; verdict++) {
		struct flow f = { .kind = FLOW_KIND_FLOW, .verdict = (uint8_t)verdict };
		assert_false(flow_filter_match(ff, &f));
	}
	observer__get_flows_request__free_unpacked(m, NULL);
}

static void what_is_no_message_is_refused(void **state)
{
	static const char *const bad[] = { "\x32\x7f", "\x30\x01", "\x32\x02\x12\x7f", "\xff" };
	AUTO_BUF struct buf out = buf_init(1000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(limit_request(&two, str_of(bad[i]), 6, &out, NULL), ERR_PARSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_empty_file_knows_nobody, make_scene, free_scene),
		cmocka_unit_test_setup_teardown(the_first_line_that_fits_decides, make_scene,
						free_scene),
		cmocka_unit_test_setup_teardown(a_token_is_its_files_content_without_blanks,
						make_scene, free_scene),
		cmocka_unit_test_setup_teardown(a_wrong_line_is_named, make_scene, free_scene),
		cmocka_unit_test_setup_teardown(
			a_file_that_changes_is_read_again_and_a_broken_one_said_once, make_scene,
			free_scene),
		cmocka_unit_test(without_filters_either_end_must_be_in_a_namespace),
		cmocka_unit_test(filters_keep_what_they_ask_and_pods_only_where_they_may_be),
		cmocka_unit_test(who_may_see_nothing_gets_a_filter_that_nothing_passes),
		cmocka_unit_test(what_is_no_message_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
