/* observer/kubernetes: lists taken apart. lib/kube: kubeconfigs read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "kube/kubeconfig.h"
#include "observer/kubernetes/split.h"

/* ---- lists */

struct heard {
	struct kube_split split;
	char text[4096]; /* items in <>, members as key=value; */
	struct buf out;
};

static enum err_code item(void *ctx, struct str json, struct err *e)
{
	struct heard *h = ctx;

	(void)e;
	buf_printf(&h->out, "<%.*s>", STR_FMT(json));
	return ERR_OK;
}

static enum err_code member(void *ctx, struct str key, struct str json, struct err *e)
{
	struct heard *h = ctx;

	(void)e;
	buf_printf(&h->out, "%.*s=%.*s;", STR_FMT(key), STR_FMT(json));
	return ERR_OK;
}

static void begin(struct heard *h)
{
	const struct kube_split_to to = { item, member, h };

	h->out = buf_fixed(h->text, sizeof h->text);
	kube_split_init(&h->split, &to);
}

static const char list_text[] =
	" {\"kind\":\"L\", \"metadata\" : {\"a\":[1,{}]},\n\"items\":[ {\"x\":\"}]\\\"{\"} ,{}],"
	"\"n\":-1.5,\"z\":null}\n";
static const char list_parts[] = "kind=\"L\";metadata={\"a\":[1,{}]};<{\"x\":\"}]\\\"{\"}><{}>n=-1."
				 "5;z=null;";

static void a_list_comes_apart_the_same_wherever_it_is_cut(void **state)
{
	(void)state;
	for (size_t cut = 0; cut <= sizeof list_text - 1; cut++) {
		struct heard h;
		begin(&h);
		assert_int_equal(kube_split_feed(&h.split, str_n(list_text, cut), NULL), ERR_OK);
		assert_int_equal(kube_split_feed(&h.split, str_from(str_of(list_text), cut), NULL),
				 ERR_OK);
		assert_true(kube_split_is_complete(&h.split));
		assert_string_equal(buf_cstr(&h.out), list_parts);
		kube_split_done(&h.split);
	}
}

static void a_list_that_breaks_off_is_not_complete(void **state)
{
	(void)state;
	size_t end = strrchr(list_text, '}') - list_text;
	for (size_t cut = 0; cut <= end; cut++) {
		struct heard h;
		begin(&h);
		assert_int_equal(kube_split_feed(&h.split, str_n(list_text, cut), NULL), ERR_OK);
		assert_false(kube_split_is_complete(&h.split));
		kube_split_done(&h.split);
	}
}

static void what_is_no_list_is_an_error(void **state)
{
	static const char *const bad[] = {
		"[",
		"404 page not found",
		"{\"items\":[1]}",
		"{\"items\":[{},]}",
		"{\"a\":}",
		"{\"a\" 1}",
		"{}{",
		"{\"items\":[{}}",
		"{,}",
		"{\"a\":1,}",
		"{\"a\":1]",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct heard h;
		struct err e;
		begin(&h);
		if (kube_split_feed(&h.split, str_of(bad[i]), &e) != ERR_PARSE)
			fail_msg("%s is taken", bad[i]);
		kube_split_done(&h.split);
	}
}

static void an_object_beyond_the_bound_is_refused_and_one_at_it_is_not(void **state)
{
	(void)state;
	for (size_t over = 0; over < 2; over++) {
		size_t n = KUBE_ITEM_MAX + over;
		char *big = malloc(n);
		struct heard h;
		assert_non_null(big);
		memset(big, ' ', n);
		big[0] = '{';
		big[n - 1] = '}';
		begin(&h);
		assert_int_equal(kube_split_feed(&h.split, STR("{\"items\":["), NULL), ERR_OK);
		assert_int_equal(kube_split_feed(&h.split, str_n(big, n), NULL),
				 over ? ERR_NOMEM : ERR_OK);
		kube_split_done(&h.split);
		free(big);
	}
}

/* ---- kubeconfigs */

#define CLUSTER "clusters: [{name: k, cluster: {server: 'https://192.0.2.1:6443/'%s}}]\n"
#define CONTEXTS                                                                                   \
	"current-context: c\ncontexts:\n- {name: c, context: {cluster: k, user: u}}\n"             \
	"- {name: other, context: {cluster: k}}\n- {name: lost, context: {cluster: gone}}\n"

static enum err_code read_config(const char *cluster, const char *user, const char *context,
				 struct kube_config **ret, struct err *e)
{
	char text[4096];

	(void)snprintf(text, sizeof text, CONTEXTS CLUSTER "users: [{name: u, user: {%s}}]\n",
		       cluster, user);
	return kube_config_parse(str_of(text), "/etc/kube", context, ret, e);
}

static void certificates_and_tokens_are_read_and_files_are_found_beside_the_file(void **state)
{
	AUTO(kube_config_free) struct kube_config *c = NULL;

	(void)state;
	/* RFC 4648 §10: "Zm9vYg==" is "foob" */
	assert_int_equal(read_config(", certificate-authority-data: Zm9vYg==",
				     "client-certificate: me.crt, client-key: /k/me.key, "
				     "tokenFile: t, token: x",
				     NULL, &c, NULL),
			 ERR_OK);
	assert_string_equal(c->server, "https://192.0.2.1:6443");
	assert_string_equal(c->ca_pem, "foob");
	assert_null(c->ca_file);
	assert_string_equal(c->cert_file, "/etc/kube/me.crt");
	assert_string_equal(c->key_file, "/k/me.key");
	assert_string_equal(c->token_file, "/etc/kube/t");
	assert_string_equal(c->token, "x");
	assert_string_equal(c->context, "c");
	assert_false(c->insecure);
}

static void another_context_can_be_named(void **state)
{
	AUTO(kube_config_free) struct kube_config *c = NULL;
	struct err e;

	(void)state;
	assert_int_equal(
		read_config(", insecure-skip-tls-verify: true", "token: x", "other", &c, NULL),
		ERR_OK);
	assert_null(c->token); /* that context has no user */
	assert_true(c->insecure);
	struct kube_config *none = NULL;
	assert_int_equal(read_config("", "", "missing", &none, &e), ERR_NOT_FOUND);
	assert_string_equal(e.msg, "there is no context 'missing'");
	assert_int_equal(read_config("", "", "lost", &none, &e), ERR_NOT_FOUND);
	assert_string_equal(e.msg, "there is no cluster 'gone'");
}

static void what_is_not_supported_is_refused_with_a_sentence(void **state)
{
	static const struct {
		const char *cluster, *user, *says;
	} cases[] = {
		{ "", "exec: {command: aws}", "user 'u': exec: no other program is started" },
		{ "", "auth-provider: {name: gcp}", "user 'u': auth-provider" },
		{ "", "username: a, password: b", "user 'u': username" },
		{ "", "as: root", "user 'u': as: " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct kube_config *none = NULL;
		struct err e;
		assert_int_equal(read_config(cases[i].cluster, cases[i].user, NULL, &none, &e),
				 ERR_UNSUPPORTED);
		if (!str_has_prefix(str_of(e.msg), str_of(cases[i].says)))
			fail_msg("%s", e.msg);
	}
}

static void a_name_for_tls_becomes_the_servers(void **state)
{
	static const struct {
		const char *server, *name, *url, *to;
	} cases[] = {
		{ "https://192.0.2.1:6443", "api.test", "https://api.test:6443",
		  "::192.0.2.1:6443" },
		{ "https://[2001:db8::1]/k8s/c/", "api.test", "https://api.test:443/k8s/c",
		  "::[2001:db8::1]:443" },
		{ "https://[2001:db8::1]:8443", "2001:db8::2", "https://[2001:db8::2]:8443",
		  "::[2001:db8::1]:8443" },
		{ "https://lb.test/", "api.test", "https://api.test:443", "::lb.test:443" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[1024];
		AUTO(kube_config_free) struct kube_config *c = NULL;
		(void)snprintf(text, sizeof text,
			       CONTEXTS "clusters: [{name: k, cluster: {server: '%s', "
					"tls-server-name: '%s', proxy-url: 'http://p:1'}}]\n"
					"users: [{name: u, user: {}}]\n",
			       cases[i].server, cases[i].name);
		assert_int_equal(kube_config_parse(str_of(text), "/", NULL, &c, NULL), ERR_OK);
		assert_string_equal(c->server, cases[i].url);
		assert_string_equal(c->connect_to->data, cases[i].to);
		assert_string_equal(c->proxy, "http://p:1");
		assert_false(c->proxy_from_environment); /* a service's */
	}
}

static void a_name_for_tls_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = { "a/b", "a@b", "a b", "a?b" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct kube_config *none = NULL;
		char more[64];
		(void)snprintf(more, sizeof more, ", tls-server-name: '%s'", bad[i]);
		assert_int_equal(read_config(more, "", NULL, &none, NULL), ERR_INVALID);
	}
}

static void bad_values_are_refused(void **state)
{
	static const char *const users[] = {
		"client-certificate: a",
		"client-key-data: '=', client-certificate: a",
		"token: [1]",
		"client-key-data: 'Zg=', client-certificate: a",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		struct kube_config *none = NULL;
		struct err e;
		if (read_config("", users[i], NULL, &none, &e) != ERR_INVALID)
			fail_msg("%s is taken", users[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_comes_apart_the_same_wherever_it_is_cut),
		cmocka_unit_test(a_list_that_breaks_off_is_not_complete),
		cmocka_unit_test(what_is_no_list_is_an_error),
		cmocka_unit_test(an_object_beyond_the_bound_is_refused_and_one_at_it_is_not),
		cmocka_unit_test(
			certificates_and_tokens_are_read_and_files_are_found_beside_the_file),
		cmocka_unit_test(another_context_can_be_named),
		cmocka_unit_test(what_is_not_supported_is_refused_with_a_sentence),
		cmocka_unit_test(a_name_for_tls_becomes_the_servers),
		cmocka_unit_test(a_name_for_tls_that_is_none_is_refused),
		cmocka_unit_test(bad_values_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
