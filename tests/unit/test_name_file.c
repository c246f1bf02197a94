/* observer/name/file: the endpoint table as a YAML file, and how changes to it are noticed. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/buf.h"
#include "observer/name/endpoints.h"
#include "observer/name/file.h"

#define assert_str(a, z)                                                                           \
	do {                                                                                       \
		struct str a_ = (a);                                                               \
		if (!str_is(a_, (z)))                                                              \
			fail_msg("\"%.*s\" is not \"%s\"", STR_FMT(a_), (z));                      \
	} while (0)

static struct endpoints *parsed(const char *text)
{
	struct endpoints *ep = NULL;
	struct err e;

	if (endpoints_parse(str_of(text), &ep, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return ep;
}

static void every_key_of_the_contract_is_read(void **state)
{
	(void)state;
	AUTO(endpoints_free)
	struct endpoints *ep = parsed("endpoints:\n"
				      "- ip: 10.0.1.5\n"
				      "  namespace: shop\n"
				      "  pod: cart-0\n"
				      "  labels: [k8s:app=cart, env=prod, reserved:host, url=a:b]\n"
				      "  workload: Deployment/cart\n"
				      "  identity: 4001\n"
				      "  local: true\n"
				      "- ips: [10.0.1.6, 'fd00::6']\n"
				      "  labels: {app: web, 'cidr:x': y, bare: }\n"
				      "- cidr: 10.0.2.0/24\n"
				      "- cidr: 2001:db8::/32\n"
				      "services:\n"
				      "- ip: 10.96.0.10\n"
				      "  port: 53\n"
				      "  name: kube-dns\n"
				      "  namespace: kube-system\n"
				      "- {ip: 10.96.0.10, name: rest}\n");
	struct name_view v = endpoints_view(ep);
	uint8_t ip[16];

	assert_int_equal(v.prefix_count, 5);
	const struct name_prefix *p = v.prefixes;
	assert_true(ip_parse(STR("10.0.1.5"), ip));
	assert_memory_equal(p[0].ip, ip, 16);
	assert_int_equal(p[0].bits, 128);
	assert_true(p[0].local);
	assert_str(p[0].endpoint.namespace_, "shop");
	assert_str(p[0].endpoint.pod, "cart-0");
	assert_int_equal(p[0].endpoint.identity, 4001);
	static const char *const labels[] = { "k8s:app=cart", "k8s:env=prod", "reserved:host",
					      "k8s:url=a:b" };
	assert_int_equal(p[0].endpoint.label_count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_str(p[0].endpoint.labels[i], labels[i]);
	assert_int_equal(p[0].endpoint.workload_count, 1);
	assert_str(p[0].endpoint.workloads[0].kind, "Deployment");
	assert_str(p[0].endpoint.workloads[0].name, "cart");
	assert_true(ip_parse(STR("fd00::6"), ip));
	assert_memory_equal(p[2].ip, ip, 16);
	assert_false(p[2].local);
	assert_int_equal(p[2].endpoint.label_count, 3);
	assert_str(p[2].endpoint.labels[0], "k8s:app=web");
	assert_str(p[2].endpoint.labels[1], "cidr:x=y");
	assert_str(p[2].endpoint.labels[2], "k8s:bare");
	assert_int_equal(p[3].bits, 96 + 24);
	assert_int_equal(p[4].bits, 32);
	assert_int_equal(v.service_count, 2);
	assert_int_equal(v.services[0].port, 53);
	assert_str(v.services[0].service.name, "kube-dns");
	assert_str(v.services[0].service.namespace_, "kube-system");
	assert_int_equal(v.services[1].port, 0);
}

static void a_file_without_content_is_an_empty_table(void **state)
{
	(void)state;
	static const char *const empty[] = { "", "# nothing\n", "---\n",
					     "endpoints:\nservices: []\n", "{}" };

	for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
		AUTO(endpoints_free) struct endpoints *ep = parsed(empty[i]);
		assert_int_equal(endpoints_view(ep).prefix_count, 0);
		assert_int_equal(endpoints_view(ep).service_count, 0);
	}
}

static void what_is_wrong_is_said_with_line_and_column(void **state)
{
	(void)state;
	static const struct {
		const char *text, *says;
	} bad[] = {
		{ "endpoints:\n- ip: 10.0.0.1\n  colour: red\n",
		  "line 3, column 3: an endpoint has no key 'colour'" },
		{ "endpionts: []\n", "line 1, column 1: an endpoint file has no key 'endpionts'" },
		{ "services:\n- {ip: 10.0.0.1, name: a, proto: tcp}\n",
		  "line 2, column 27: a service has no key 'proto'" },
		{ "endpoints:\n- ip: 10.0.0.1\n  ip: 10.0.0.2\n",
		  "line 3, column 3: 'ip' is given twice" },
		{ "endpoints:\n- ip: 10.0.0.1\n- ips: [10.0.0.2, 10.0.0.1]\n",
		  "line 3, column 19: 10.0.0.1 is given already in line 2" },
		{ "endpoints:\n- ip: 10.0.0.1\n- cidr: 10.0.0.1/32\n",
		  "line 3, column 9: 10.0.0.1 is given already in line 2" },
		{ "services:\n- {ip: '::1', port: 1, name: a}\n- {ip: '::1', port: 1, name: b}\n",
		  "line 3, column 8: ::1 is given already in line 2" },
		{ "endpoints:\n- namespace: shop\n",
		  "line 2, column 3: an endpoint has one of 'ip', 'ips' and 'cidr'" },
		{ "endpoints:\n- {ip: 10.0.0.1, cidr: 10.0.0.0/8}\n", "an endpoint has one of" },
		{ "endpoints:\n- ip: 10.0.0.256\n",
		  "line 2, column 7: '10.0.0.256' is no IP address" },
		{ "endpoints:\n- ip: [10.0.0.2]\n", "an address is one text" },
		{ "endpoints:\n- ips: []\n", "'ips' is a list of addresses" },
		{ "endpoints:\n- cidr: 10.0.0.1/8\n", "has bits set beyond its length" },
		{ "endpoints:\n- cidr: 10.0.0.0/33\n", "a prefix of IPv4 has at most 32 bits" },
		{ "endpoints:\n- cidr: 10.0.0.0\n", "no prefix like" },
		{ "endpoints:\n- {ip: 10.0.0.1, labels: [=x]}\n", "has no key" },
		{ "endpoints:\n- {ip: 10.0.0.1, labels: [[x]]}\n", "a label is one text" },
		{ "endpoints:\n- {ip: 10.0.0.1, labels: x}\n", "'labels' is a list like" },
		{ "endpoints:\n- {ip: 10.0.0.1, workload: cart}\n",
		  "no workload like Deployment/cart" },
		{ "endpoints:\n- {ip: 10.0.0.1, identity: 0}\n", "no identity" },
		{ "endpoints:\n- {ip: 10.0.0.1, identity: -1}\n", "no identity" },
		{ "endpoints:\n- {ip: 10.0.0.1, local: maybe}\n", "'local' is true or false" },
		{ "services:\n- {ip: 10.0.0.1}\n", "a service has an 'ip' and a 'name'" },
		{ "services:\n- {ip: 10.0.0.1, name: a, port: 65536}\n", "no port" },
		{ "endpoints: 7\n", "line 1, column 12: 'endpoints' is a list" },
		{ "- a\n", "line 1, column 1: an endpoint file is a mapping" },
		{ "endpoints: []\n---\nservices: []\n", "a second YAML document" },
		{ "endpoints: [\n", "line 2, column 1: " },
		{ "endpoints: &e\n- *e\n", "an endpoint is a mapping" },
		{ "endpoints:\n- *nobody\n", "line 2, column 3: " },
		{ "\xff\xff\xff", "byte 0: " },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct endpoints *ep = NULL;
		struct err e = { 0 };
		assert_int_equal(endpoints_parse(str_of(bad[i].text), &ep, &e), ERR_PARSE);
		assert_null(ep);
		if (!strstr(e.msg, bad[i].says))
			fail_msg("\"%s\" does not say \"%s\"", e.msg, bad[i].says);
		assert_int_equal(endpoints_parse(str_of(bad[i].text), &ep, NULL), ERR_PARSE);
	}
}

static void aliases_work_but_cannot_multiply_without_bound(void **state)
{
	(void)state;
	AUTO(endpoints_free)
	struct endpoints *ep = parsed(
		"endpoints:\n- {ip: 10.0.0.1, labels: &l [a=b]}\n- {ip: 10.0.0.2, labels: *l}\n");
	assert_int_equal(endpoints_view(ep).prefix_count, 2);
	assert_str(endpoints_view(ep).prefixes[1].endpoint.labels[0], "k8s:a=b");

	/* 250 labels of 8 KB, by alias in each of 200 endpoints: 400 MB of text from 2 MB */
	AUTO_BUF struct buf text = buf_init(ENDPOINTS_TEXT_MAX);
	buf_lit(&text, "endpoints:\n- ip: 10.1.0.0\n  labels: &l\n");
	for (int i = 0; i < 250; i++) {
		buf_printf(&text, "  - k%d=", i);
		for (int n = 0; n < 8000; n += 50)
			buf_lit(&text, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
		buf_char(&text, '\n');
	}
	for (int i = 1; i < 200; i++)
		buf_printf(&text, "- {ip: 10.1.0.%d, labels: *l}\n", i);
	assert_false(text.failed);
	struct endpoints *bomb = NULL;
	struct err e;
	assert_int_equal(endpoints_parse(buf_str(&text), &bomb, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "aliases"));
}

static void what_goes_beyond_the_limits_is_said_to(void **state)
{
	(void)state;
	AUTO_BUF struct buf text = buf_init(ENDPOINTS_TEXT_MAX);
	struct endpoints *ep = NULL;
	struct err e;

	buf_lit(&text, "endpoints:\n- ips: [10.0.0.0");
	for (unsigned i = 1; i < ENDPOINTS_MAX; i++)
		buf_printf(&text, ", 10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
	size_t full = text.len;
	buf_lit(&text, "]\n");
	AUTO(endpoints_free) struct endpoints *most = parsed(buf_cstr(&text));
	assert_int_equal(endpoints_view(most).prefix_count, ENDPOINTS_MAX);
	text.len = full;
	buf_lit(&text, ", 192.0.2.1]\n");
	assert_int_equal(endpoints_parse(buf_str(&text), &ep, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "more than 131072 addresses"));
	buf_reset(&text);
	buf_lit(&text, "endpoints:\n- {ip: 10.0.0.1, labels: [a");
	for (int i = 0; i < ENDPOINTS_LABELS_MAX; i++)
		buf_printf(&text, ", l%d", i);
	buf_lit(&text, "]}\n");
	assert_int_equal(endpoints_parse(buf_str(&text), &ep, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "line 2, column 26: more than 256 labels"));
	assert_null(ep);
}

/* --- the file on disk --------------------------------------------------------------------- */

struct place {
	char dir[64], path[128], other[128];
	struct flow_dict *dict;
	struct name_table *table;
};

static int make_place(void **state)
{
	struct place *p = calloc(1, sizeof *p);

	if (!p)
		return -1;
	(void)snprintf(p->dir, sizeof p->dir, "/tmp/tycho-names-XXXXXX");
	if (!mkdtemp(p->dir) || flow_dict_new(1000, &p->dict, NULL) != ERR_OK ||
	    name_table_new(&(struct name_config){ .node = "n1" }, p->dict, &p->table, NULL) !=
		    ERR_OK)
		return -1;
	(void)snprintf(p->path, sizeof p->path, "%s/endpoints.yaml", p->dir);
	(void)snprintf(p->other, sizeof p->other, "%s/other", p->dir);
	*state = p;
	return 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;

	(void)unlink(p->path);
	(void)unlink(p->other);
	int rc = rmdir(p->dir);
	name_table_free(p->table);
	flow_dict_free(p->dict);
	free(p);
	return rc;
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Who 10.0.0.1 is: an identity. */
static uint32_t who(const struct place *p)
{
	struct flow f = { .bits = FLOW_HAS_SRC_IP };

	assert_true(ip_parse(STR("10.0.0.1"), f.src_ip));
	name_flow(p->table, &f, &(struct buf){ 0 });
	return flow_dict_get_endpoint(p->dict, f.src_ep)->identity;
}

static bool is_readable(const struct name_file *f)
{
	struct pollfd fd = { .fd = name_file_fd(f), .events = POLLIN };

	return poll(&fd, 1, 0) == 1;
}

static struct name_file *open_file(const struct place *p)
{
	struct name_file *f = NULL;
	struct err e;

	if (name_file_new(p->path, 0, p->table, &f, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return f;
}

static const char version_1[] = "endpoints: [{ip: 10.0.0.1, identity: 1001}]\n";
static const char version_2[] = "endpoints: [{ip: 10.0.0.1, identity: 1002}]\n";

static void a_written_or_replaced_file_is_reread(void **state)
{
	struct place *p = *state;
	struct err e;

	write_text(p->path, version_1);
	AUTO(name_file_free) struct name_file *f = open_file(p);
	assert_int_equal(who(p), 1001);
	assert_false(is_readable(f));
	assert_int_equal(name_file_poll(f, &e), ERR_AGAIN);

	write_text(p->path, version_2);
	assert_true(is_readable(f));
	assert_int_equal(name_file_poll(f, &e), ERR_OK);
	assert_int_equal(who(p), 1002);
	assert_false(is_readable(f));

	write_text(p->other, version_1);
	assert_int_equal(name_file_poll(f, &e), ERR_AGAIN); /* another file in the folder */
	assert_int_equal(rename(p->other, p->path), 0);
	assert_int_equal(name_file_poll(f, &e), ERR_OK);
	assert_int_equal(who(p), 1001);
}

static void a_bad_or_missing_file_keeps_the_old_content(void **state)
{
	struct place *p = *state;
	struct err e;

	write_text(p->path, version_1);
	AUTO(name_file_free) struct name_file *f = open_file(p);
	write_text(p->path, "endpoints: [{ip: 10.0.0.1, identity: nobody}]\n");
	assert_int_equal(name_file_poll(f, &e), ERR_PARSE);
	assert_non_null(strstr(e.msg, p->path));
	assert_non_null(strstr(e.msg, "line 1, column 38"));
	assert_int_equal(who(p), 1001);
	assert_int_equal(unlink(p->path), 0);
	assert_int_equal(name_file_poll(f, &e), ERR_NOT_FOUND);
	assert_int_equal(who(p), 1001);
	write_text(p->path, version_2);
	assert_int_equal(name_file_poll(f, NULL), ERR_OK);
	assert_int_equal(who(p), 1002);
}

static void the_swapped_links_of_a_config_map_are_noticed(void **state)
{
	struct place *p = *state;
	char v1[128], v2[128], data[128], fresh[128];
	struct err e;

	(void)snprintf(v1, sizeof v1, "%s/..v1", p->dir);
	(void)snprintf(v2, sizeof v2, "%s/..v2", p->dir);
	(void)snprintf(data, sizeof data, "%s/..data", p->dir);
	(void)snprintf(fresh, sizeof fresh, "%s/..data_tmp", p->dir);
	char file[160];
	assert_true(mkdir(v1, 0755) == 0 && mkdir(v2, 0755) == 0);
	(void)snprintf(file, sizeof file, "%s/endpoints.yaml", v1);
	write_text(file, version_1);
	(void)snprintf(file, sizeof file, "%s/endpoints.yaml", v2);
	write_text(file, version_2);
	assert_true(symlink("..v1", data) == 0 && symlink("..data/endpoints.yaml", p->path) == 0);

	AUTO(name_file_free) struct name_file *f = open_file(p);
	assert_int_equal(who(p), 1001);
	assert_true(symlink("..v2", fresh) == 0 && rename(fresh, data) == 0);
	assert_int_equal(name_file_poll(f, &e), ERR_OK);
	assert_int_equal(who(p), 1002);

	(void)unlink(file);
	(void)snprintf(file, sizeof file, "%s/endpoints.yaml", v1);
	(void)unlink(file);
	assert_true(unlink(data) == 0 && rmdir(v1) == 0 && rmdir(v2) == 0);
}

static void a_file_that_cannot_be_read_at_the_start_is_an_error(void **state)
{
	struct place *p = *state;
	struct name_file *f = NULL;
	struct err e;

	assert_int_equal(name_file_new(p->path, 0, p->table, &f, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, p->path));
	assert_int_equal(name_file_new("/nowhere/at/all.yaml", 0, p->table, &f, &e), ERR_NOT_FOUND);
	assert_int_equal(name_file_new(p->dir, 0, p->table, &f, &e), ERR_INVALID);
	assert_int_equal(mkfifo(p->path, 0600), 0);
	assert_int_equal(name_file_new(p->path, 0, p->table, &f, &e), ERR_INVALID);
	assert_null(f);
	name_file_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_of_the_contract_is_read),
		cmocka_unit_test(a_file_without_content_is_an_empty_table),
		cmocka_unit_test(what_is_wrong_is_said_with_line_and_column),
		cmocka_unit_test(aliases_work_but_cannot_multiply_without_bound),
		cmocka_unit_test(what_goes_beyond_the_limits_is_said_to),
		cmocka_unit_test_setup_teardown(a_written_or_replaced_file_is_reread, make_place,
						remove_place),
		cmocka_unit_test_setup_teardown(a_bad_or_missing_file_keeps_the_old_content,
						make_place, remove_place),
		cmocka_unit_test_setup_teardown(the_swapped_links_of_a_config_map_are_noticed,
						make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_file_that_cannot_be_read_at_the_start_is_an_error,
						make_place, remove_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
