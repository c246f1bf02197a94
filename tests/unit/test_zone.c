/* Zones: what they can refuse, what their bytes keep, and that damage is told. That they never
 * refuse wrongly is held by test_filter and test_filter_golden, against every filter there. */
#include "flow_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "filter/zone.h"
#include "flow/flow.pb-c.h"

enum { SOME = 40 };

static struct flow_zone *zone_new(void)
{
	struct flow_zone *z = NULL;
	struct err e;

	assert_int_equal(flow_zone_new(&z, &e), ERR_OK);
	return z;
}

static struct flow_filter *filter_of(Flow__FlowFilter *white, const struct flow_dict *d)
{
	struct flow_filter *ff = NULL;
	struct err e;

	if (flow_filter_new(&white, 1, NULL, 0, d, &ff, &e) != ERR_OK)
		fail_msg("%s", e.msg);
	return ff;
}

static struct flow tcp_flow(const char *src, const char *dst, uint16_t src_port, uint16_t dst_port)
{
	struct flow f = { .bits = FLOW_HAS_IP | FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP,
			  .verdict = FLOW__VERDICT__FORWARDED,
			  .l4 = FLOW_L4_TCP,
			  .src_port = src_port,
			  .dst_port = dst_port };

	assert_true(ip_parse(str_of(src), f.src_ip) && ip_parse(str_of(dst), f.dst_ip));
	return f;
}

static bool port_may_be(const struct flow_zone *z, const struct flow_dict *d, const char *port)
{
	char *value = pool_text(str_of(port));
	Flow__FlowFilter *ff = NEW(flow__flow_filter);

	ff->n_destination_port = 1;
	ff->destination_port = &value;
	AUTO(flow_filter_free) struct flow_filter *filter = filter_of(ff, d);
	return flow_filter_may_match(filter, z);
}

static bool ip_may_be(const struct flow_zone *z, const struct flow_dict *d, const char *ip)
{
	char *value = pool_text(str_of(ip));
	Flow__FlowFilter *ff = NEW(flow__flow_filter);

	ff->n_source_ip = 1;
	ff->source_ip = &value;
	AUTO(flow_filter_free) struct flow_filter *filter = filter_of(ff, d);
	return flow_filter_may_match(filter, z);
}

static void a_zone_of_nothing_refuses_even_the_filter_of_everything(void **state)
{
	AUTO(flow_zone_free) struct flow_zone *z = zone_new();
	struct flow f = tcp_flow("10.0.0.1", "10.0.0.2", 4000, 80);

	(void)state;
	assert_false(flow_filter_may_match(NULL, z));
	flow_zone_add(z, &f, 0);
	assert_false(flow_filter_may_match(NULL, z));
	flow_zone_add(z, &f, 1);
	assert_true(flow_filter_may_match(NULL, z));
	flow_zone_reset(z);
	assert_false(flow_filter_may_match(NULL, z));
}

static void store_and_get(struct flow_zone *to, const struct flow_zone *from,
			  const struct flow_zone_ids *ids)
{
	AUTO_BUF struct buf b = buf_init(FLOW_ZONE_BYTES);
	struct err e;

	flow_zone_put(&b, from);
	assert_false(b.failed);
	if (flow_zone_get(to, buf_str(&b), FLOW_MEMBERS_ALL, ids, &e) != ERR_OK)
		fail_msg("%s", e.msg);
}

static const struct flow_zone_ids same_ids = { .endpoints = NULL };

static void low_ports_are_known_exactly_and_high_ones_by_256(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(8);
	AUTO(flow_zone_free) struct flow_zone *made = zone_new(), *z = zone_new();
	struct flow f = tcp_flow("10.0.0.1", "10.0.0.2", 41000, 443);

	(void)state;
	pool_reset();
	flow_zone_add(made, &f, 1);
	store_and_get(z, made, &same_ids);
	assert_true(port_may_be(z, d, "443"));
	assert_false(port_may_be(z, d, "442"));
	assert_false(port_may_be(z, d, "80"));
	assert_true(port_may_be(z, d, "41000"));
	assert_true(port_may_be(z, d, "40960")); /* 41000 = 0xa028: of the same 256 */
	assert_false(port_may_be(z, d, "40959"));
	assert_false(port_may_be(z, d, "41216"));
}

/* Every low port there is: then all are known by 256. */
static void more_ports_than_a_zone_names_are_still_all_there(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(8);
	AUTO(flow_zone_free) struct flow_zone *made = zone_new(), *z = zone_new();

	(void)state;
	for (unsigned port = 1024; port < 6000; port++) {
		struct flow f = tcp_flow("10.0.0.1", "10.0.0.2", (uint16_t)port, 80);

		flow_zone_add(made, &f, 1);
	}
	store_and_get(z, made, &same_ids);
	for (unsigned port = 1024; port < 6000; port += 7) {
		char text[8];

		pool_reset();
		(void)snprintf(text, sizeof text, "%u", port);
		assert_true(port_may_be(z, d, text));
	}
	assert_true(port_may_be(z, d, "80"));
	assert_false(port_may_be(z, d, "300"));
	assert_false(port_may_be(z, d, "6200"));
}

static void addresses_are_known_one_by_one_and_by_range(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(8);
	AUTO(flow_zone_free) struct flow_zone *made = zone_new(), *z = zone_new();
	size_t wrong = 0;

	(void)state;
	pool_reset();
	for (unsigned i = 1; i < 200; i++) {
		char src[32];

		(void)snprintf(src, sizeof src, "10.9.%u.%u", i / 100, i % 100);
		struct flow f = tcp_flow(src, "10.9.7.1", 4000, 80);
		flow_zone_add(made, &f, 1);
	}
	store_and_get(z, made, &same_ids);
	for (unsigned i = 1; i < 200; i++) {
		char ip[32];

		pool_reset();
		(void)snprintf(ip, sizeof ip, "10.9.%u.%u", i / 100, i % 100);
		assert_true(ip_may_be(z, d, ip));
		(void)snprintf(ip, sizeof ip, "10.8.%u.%u", i / 100, i % 100);
		wrong += ip_may_be(z, d, ip);
	}
	assert_in_range(wrong, 0, 20); /* three places, a quarter of the bits set: 1 in 64 */
	pool_reset();
	assert_true(ip_may_be(z, d, "10.9.7.1"));
	assert_true(ip_may_be(z, d, "10.9.0.0/16"));
	assert_true(ip_may_be(z, d, "0.0.0.0/0"));
	assert_true(ip_may_be(z, d, "10.9.1.1/32"));
	assert_false(ip_may_be(z, d, "10.10.0.0/16"));
	assert_false(ip_may_be(z, d, "10.9.8.0/24"));
	assert_false(ip_may_be(z, d, "fd00::/8"));
	struct flow six = tcp_flow("fd00::1", "fd00::2", 4000, 80);
	flow_zone_add(z, &six, 1);
	assert_true(ip_may_be(z, d, "fd00::/8"));
}

static void shifted(void *ctx, uint32_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ids[i] += *(const uint32_t *)ctx;
}

static void unknown(void *ctx, uint32_t *ids, size_t n)
{
	(void)ctx;
	memset(ids, 0, n * sizeof *ids);
}

static void names_are_found_by_the_ids_of_the_reader(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(8);
	AUTO(flow_zone_free) struct flow_zone *made = zone_new(), *z = zone_new();
	struct flow f = tcp_flow("10.0.0.1", "10.0.0.2", 4000, 80);
	char *names[] = { (char[]){ "shop/cart" }, (char[]){ "shop/till" } };
	uint32_t shift = 0;

	(void)state;
	pool_reset();
	struct endpoint_id cart = flow_dict_endpoint(
		d, &(struct endpoint){ .namespace_ = STR("shop"), .pod = STR("cart-0") });
	(void)flow_dict_endpoint(
		d, &(struct endpoint){ .namespace_ = STR("shop"), .pod = STR("till-0") });
	f.src_ep = cart;
	flow_zone_add(made, &f, 1);
	for (uint32_t k = 0; k < 2; k++) {
		Flow__FlowFilter *ff = NEW(flow__flow_filter);

		ff->n_source_pod = 1;
		ff->source_pod = &names[k];
		AUTO(flow_filter_free) struct flow_filter *filter = filter_of(ff, d);
		store_and_get(z, made, &same_ids);
		assert_int_equal(flow_filter_may_match(filter, z), k == 0);
		/* stored 1 is the reader's 2, the till */
		shift = 1;
		const struct flow_zone_ids moved = { .endpoints = shifted, .ctx = &shift };
		store_and_get(z, made, &moved);
		assert_int_equal(flow_filter_may_match(filter, z), k == 1);
		const struct flow_zone_ids lost = { .endpoints = unknown };
		store_and_get(z, made, &lost);
		assert_true(flow_filter_may_match(filter, z));
	}
}

/* More names than are translated at once, and the last of them. */
static void every_one_of_many_names_is_translated(void **state)
{
	enum { NAMES = 200 };
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(2 * NAMES);
	AUTO(flow_zone_free) struct flow_zone *made = zone_new(), *z = zone_new();
	struct flow f = tcp_flow("10.0.0.1", "10.0.0.2", 4000, 80);
	uint32_t shift = NAMES;
	const struct flow_zone_ids moved = { .endpoints = shifted, .ctx = &shift };

	(void)state;
	for (uint32_t i = 1; i <= 2 * NAMES; i++) {
		char pod[16];

		(void)snprintf(pod, sizeof pod, "pod-%u-", i);
		struct endpoint_id id = flow_dict_endpoint(
			d, &(struct endpoint){ .namespace_ = STR("shop"), .pod = str_of(pod) });
		assert_int_equal(id.v, i);
	}
	for (f.src_ep.v = 1; f.src_ep.v <= NAMES; f.src_ep.v++)
		flow_zone_add(made, &f, 1);
	store_and_get(z, made, &moved);
	for (uint32_t i = 1; i <= 2 * NAMES; i++) {
		pool_reset();
		Flow__FlowFilter *ff = NEW(flow__flow_filter);
		char pod[24], *name = pod;

		(void)snprintf(pod, sizeof pod, "shop/pod-%u-", i);
		ff->n_source_pod = 1;
		ff->source_pod = &name;
		AUTO(flow_filter_free) struct flow_filter *filter = filter_of(ff, d);
		assert_int_equal(flow_filter_may_match(filter, z), i > NAMES);
	}
}

static void what_is_no_flow_is_refused_only_by_filters_that_do_not_look_at_it(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(8);
	AUTO(flow_zone_free) struct flow_zone *z = zone_new();
	Flow__FlowFilter *labels = NEW(flow__flow_filter);
	struct flow lost = { .kind = FLOW_KIND_LOST };
	char *label = (char[]){ "!app" };

	(void)state;
	pool_reset();
	labels->n_source_label = 1;
	labels->source_label = &label;
	AUTO(flow_filter_free) struct flow_filter *filter = filter_of(labels, d);
	flow_zone_add(z, &lost, 1);
	assert_true(flow_filter_match(filter, &lost));
	assert_true(flow_filter_may_match(filter, z));
	assert_false(port_may_be(z, d, "80"));
}

/* In whatever parts the records come, by way of bytes or not. */
static void the_same_records_make_the_same_bytes(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1 << 10);
	struct random r = random_of("zone", 40);

	(void)state;
	for (int round = 0; round < 200; round++) {
		AUTO(flow_zone_free)
		struct flow_zone *all = zone_new(), *a = zone_new(), *b = zone_new();
		AUTO_BUF struct buf parts = buf_init(FLOW_ZONE_BYTES);
		AUTO_BUF struct buf x = buf_init(FLOW_ZONE_BYTES), y = buf_init(FLOW_ZONE_BYTES);
		size_t n = random_below(&r, SOME);
		static struct flow flows[SOME];

		pool_reset();
		for (size_t i = 0; i < n; i++) {
			flows[i] = random_made(&r, d);
			flows[i].kind = (uint8_t)(random_below(&r, 9) == 0);
		}
		size_t cut = random_below(&r, n + 1);
		flow_zone_add(all, flows, n);
		flow_zone_add(a, flows, cut);
		flow_zone_add(a, flows + cut, n - cut);
		flow_zone_put(&x, all);
		flow_zone_put(&parts, a);
		/* lists of few numbers keep the order of their coming: the same here */
		assert_bytes_equal(buf_str(&parts), buf_str(&x));
		store_and_get(b, all, &same_ids);
		flow_zone_put(&y, b);
		assert_bytes_equal(buf_str(&y), buf_str(&x));
		store_and_get(a, b, &same_ids);
		flow_zone_reset(all);
		flow_zone_add(all, flows, n);
		buf_reset(&y);
		flow_zone_put(&y, all);
		assert_bytes_equal(buf_str(&y), buf_str(&x));
		for (size_t i = 0; i < n; i++) {
			char tmp[FLOW_IP_TEXT_BYTES], port[8];
			uint32_t number;

			if (flows[i].kind != FLOW_KIND_FLOW)
				continue;
			assert_true(ip_may_be(a, d, pool_text(ip_text(flows[i].src_ip, tmp))) ||
				    !flow_is(&flows[i], FLOW_HAS_SRC_IP));
			if (!flow_port(&flows[i], FLOW_DST, &number))
				continue;
			(void)snprintf(port, sizeof port, "%u", number);
			assert_true(port_may_be(a, d, port));
		}
	}
}

static void any_change_or_cut_of_the_bytes_is_survived(void **state)
{
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1 << 10);
	AUTO(flow_zone_free) struct flow_zone *made = zone_new(), *z = zone_new();
	AUTO_BUF struct buf b = buf_init(FLOW_ZONE_BYTES);
	struct random r = random_of("zone", 41);
	const flow_members asked[] = { FLOW_MEMBERS_ALL, 0, FLOW_MEMBER(FLOW_MEMBER_NODE) };
	struct err e;

	(void)state;
	pool_reset();
	for (size_t i = 0; i < SOME; i++) {
		struct flow f = random_made(&r, d);

		flow_zone_add(made, &f, 1);
	}
	flow_zone_put(&b, made);
	for (size_t len = 0; len < b.len; len++) {
		AUTO(own_free) char *cut = malloc(len + 1);

		assert_non_null(cut);
		memcpy(cut, b.p, len);
		for (size_t k = 0; k < ARRAY_LEN(asked); k++)
			assert_int_equal(flow_zone_get(z, str_n(cut, len), asked[k], &same_ids, &e),
					 ERR_PARSE);
	}
	for (size_t i = 0; i < b.len; i++) {
		b.p[i] = (char)(b.p[i] ^ 1 << random_below(&r, 8));
		for (size_t k = 0; k < ARRAY_LEN(asked); k++) {
			enum err_code code = flow_zone_get(z, buf_str(&b), asked[k], &same_ids, &e);
			assert_true(code == ERR_OK || code == ERR_PARSE);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_zone_of_nothing_refuses_even_the_filter_of_everything),
		cmocka_unit_test(low_ports_are_known_exactly_and_high_ones_by_256),
		cmocka_unit_test(more_ports_than_a_zone_names_are_still_all_there),
		cmocka_unit_test(addresses_are_known_one_by_one_and_by_range),
		cmocka_unit_test(names_are_found_by_the_ids_of_the_reader),
		cmocka_unit_test(every_one_of_many_names_is_translated),
		cmocka_unit_test(what_is_no_flow_is_refused_only_by_filters_that_do_not_look_at_it),
		cmocka_unit_test(the_same_records_make_the_same_bytes),
		cmocka_unit_test(any_change_or_cut_of_the_bytes_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
