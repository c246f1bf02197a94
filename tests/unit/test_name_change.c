/* observer/name: what a provider changes comes to the same as if it said all of it again. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "observer/name/name.h"

enum { ADDRESSES = 600, ROUNDS = 400 };

struct world {
	struct flow_dict *dict;
	struct name_table *table;
};

static void world_init(struct world *w)
{
	const struct name_config config = { .cluster = "", .node = "n" };

	assert_int_equal(flow_dict_new(1 << 16, &w->dict, NULL), ERR_OK);
	assert_int_equal(name_table_new(&config, w->dict, &w->table, NULL), ERR_OK);
}

static void world_done(struct world *w)
{
	name_table_free(w->table);
	flow_dict_free(w->dict);
}

static uint64_t random_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	return *x ^= *x << 17;
}

/* What a plain list has: who claims address @i (0 nobody, else pod number), and how. */
struct claim {
	unsigned pod;
	bool local;
};
/* One in 50 is a block of addresses. */
static uint8_t bits_of(unsigned i)
{
	return i % 50 ? 128 : 96 + 28;
}
static void ip_of(unsigned i, uint8_t ip[16])
{
	memset(ip, 0, 16);
	ip[10] = ip[11] = 0xff;
	ip[12] = 10;
	ip[14] = (uint8_t)(i >> 4);
	ip[15] = (uint8_t)(i << 4);
}

struct texts {
	char pod[32], label[32];
	struct str labels[1];
};
static void fill(unsigned i, const struct claim *c, struct name_prefix *p, struct texts *t)
{
	(void)snprintf(t->pod, sizeof t->pod, "pod-%u", c->pod);
	(void)snprintf(t->label, sizeof t->label, "k8s:app=%u", c->pod % 7);
	t->labels[0] = str_of(t->label);
	*p = (struct name_prefix){ .bits = bits_of(i),
				   .local = c->local,
				   .endpoint = { .namespace_ = STR("n"),
						 .pod = str_of(t->pod),
						 .labels = t->labels,
						 .label_count = 1 } };
	ip_of(i, p->ip);
}

static void say_all(struct world *w, unsigned who, const struct claim *claims)
{
	static struct name_prefix list[ADDRESSES];
	static struct texts texts[ADDRESSES];
	size_t n = 0;

	for (unsigned i = 0; i < ADDRESSES; i++)
		if (claims[i].pod) {
			fill(i, &claims[i], &list[n], &texts[n]);
			n++;
		}
	assert_int_equal(name_update(w->table, who,
				     &(struct name_view){ .prefixes = list, .prefix_count = n },
				     NULL),
			 ERR_OK);
}

static void say_changes(struct world *w, unsigned who, struct claim *claims, uint64_t *random)
{
	struct name_prefix list[8];
	struct name_gone gone[8];
	struct texts texts[8];
	struct name_change change = { .gone = gone, .prefixes = list };

	for (size_t k = random_next(random) % 8 + 1; k; k--) {
		unsigned i = random_next(random) % ADDRESSES;
		claims[i] = (struct claim){
			(unsigned)(random_next(random) % 3 ? random_next(random) % 300 : 0),
			random_next(random) % 2
		};
		if (claims[i].pod) {
			fill(i, &claims[i], &list[change.prefix_count],
			     &texts[change.prefix_count]);
			change.prefix_count++;
		} else {
			gone[change.gone_count].bits = bits_of(i);
			ip_of(i, gone[change.gone_count++].ip);
			/* in one change, what is gone counts first */
			for (size_t j = 0; j < change.prefix_count; j++)
				if (memcmp(list[j].ip, gone[change.gone_count - 1].ip, 16) == 0)
					list[j--] = list[--change.prefix_count];
		}
	}
	assert_int_equal(name_change(w->table, who, &change, NULL), ERR_OK);
}

static void assert_same(struct world *a, struct world *b)
{
	for (unsigned i = 0; i < ADDRESSES * 16; i += 5) {
		uint8_t ip[16];
		ip_of(i >> 4, ip);
		ip[15] |= i & 15;
		struct name_found x = name_find(a->table, ip), y = name_find(b->table, ip);
		assert_int_equal(x.ep != NULL, y.ep != NULL);
		if (!x.ep)
			continue;
		assert_true(str_eq(x.ep->pod, y.ep->pod));
		assert_int_equal(x.local, y.local);
		assert_true(str_eq(x.ep->labels[0], y.ep->labels[0]));
		if (x.local)
			assert_ptr_equal(name_local(a->table, x.ep->id), x.ep);
	}
}

static void changes_come_to_the_same_as_all_of_it_said_again(void **state)
{
	(void)state;
	static struct claim claims[2][ADDRESSES];
	struct world changed, fresh;
	uint64_t random = UINT64_C(0x9e3779b97f4a7c15);

	world_init(&changed);
	world_init(&fresh);
	print_message("seed %llx\n", (unsigned long long)random);
	for (unsigned i = 0; i < ADDRESSES; i += 2)
		claims[0][i] = (struct claim){ i % 90, i % 3 };
	say_all(&changed, 0, claims[0]);
	for (int round = 0; round < ROUNDS; round++) {
		unsigned who = random_next(&random) % 3 == 0;
		say_changes(&changed, who, claims[who], &random);
		if (round % 20)
			continue;
		say_all(&fresh, 0, claims[0]);
		say_all(&fresh, 1, claims[1]);
		assert_same(&changed, &fresh);
	}
	world_done(&changed);
	world_done(&fresh);
}

static struct name_prefix pod_at(uint8_t last, const char *name)
{
	struct name_prefix p = { .bits = 128,
				 .endpoint = { .namespace_ = STR("n"), .pod = str_of(name) } };

	p.ip[10] = p.ip[11] = 0xff;
	p.ip[12] = 10;
	p.ip[15] = last;
	return p;
}

static void change(struct world *w, unsigned who, const struct name_change *c)
{
	assert_int_equal(name_change(w->table, who, c, NULL), ERR_OK);
}

static void what_one_provider_gives_up_another_has(void **state)
{
	(void)state;
	struct world w;
	const struct name_prefix mine = pod_at(1, "mine"), theirs = pod_at(1, "theirs");
	struct name_gone gone = { .bits = 128 };

	world_init(&w);
	change(&w, 1, &(struct name_change){ .prefixes = &theirs, .prefix_count = 1 });
	change(&w, 0, &(struct name_change){ .prefixes = &mine, .prefix_count = 1 });
	assert_true(str_is(name_find(w.table, mine.ip).ep->pod, "mine"));
	memcpy(gone.ip, mine.ip, 16);
	change(&w, 0, &(struct name_change){ .gone = &gone, .gone_count = 1 });
	assert_true(str_is(name_find(w.table, mine.ip).ep->pod, "theirs"));
	change(&w, 0, &(struct name_change){ .gone = &gone, .gone_count = 1 }); /* is no more */
	change(&w, 1, &(struct name_change){ .gone = &gone, .gone_count = 1 });
	assert_null(name_find(w.table, mine.ip).ep);
	world_done(&w);
}

static void services_are_replaced_only_when_they_are_given(void **state)
{
	(void)state;
	struct world w;
	const struct name_prefix pod = pod_at(1, "p");
	struct name_service service = { .port = 80, .service = { STR("web"), STR("n"), STR("") } };
	struct flow f = { .bits = FLOW_HAS_SRC_IP | FLOW_HAS_DST_IP,
			  .l4 = FLOW_L4_TCP,
			  .dst_port = 80 };
	char bytes[4096];
	struct buf ext = buf_fixed(bytes, sizeof bytes);

	world_init(&w);
	memcpy(service.ip, pod.ip, 16);
	memcpy(f.dst_ip, pod.ip, 16);
	change(&w, 0,
	       &(struct name_change){
		       .has_services = true, .services = &service, .service_count = 1 });
	change(&w, 0, &(struct name_change){ .prefixes = &pod, .prefix_count = 1 });
	name_flow(w.table, &f, &ext);
	assert_int_not_equal(f.dst_svc.v, 0);
	change(&w, 0, &(struct name_change){ .has_services = true });
	f.dst_svc.v = 0;
	name_flow(w.table, &f, &ext);
	assert_int_equal(f.dst_svc.v, 0);
	world_done(&w);
}

/* --- when --------------------------------------------------------------------------------- */

static const uint64_t noon = UINT64_C(1700000000) * NS_PER_S;

/* Pod @pod has the address from @ms after noon on; 0: nobody does. */
static void has_pod(struct world *w, unsigned pod, uint64_t ms)
{
	struct name_prefix p;
	struct texts t;
	struct name_gone gone = { .bits = 128 };

	fill(1, &(struct claim){ pod, true }, &p, &t);
	memcpy(gone.ip, p.ip, 16);
	change(w, 0,
	       &(struct name_change){ .since = { noon + ms * NS_PER_MS },
				      .gone = &gone,
				      .gone_count = pod == 0,
				      .prefixes = &p,
				      .prefix_count = pod != 0 });
}

/* Whom a flow from @time has, that is read now. */
static void assert_pod(struct world *w, uint64_t time, unsigned pod)
{
	struct flow f = { .bits = FLOW_HAS_SRC_IP | FLOW_HAS_TIME, .time = { time } };
	AUTO_BUF struct buf ext = buf_init(64);
	char text[32] = "";

	ip_of(1, f.src_ip);
	name_flow(w->table, &f, &ext);
	if (pod)
		(void)snprintf(text, sizeof text, "pod-%u", pod);
	struct str got = flow_dict_get_endpoint(w->dict, f.src_ep)->pod;
	if (!str_is(got, text))
		fail_msg("at %" PRIi64 " ms: '%.*s' is not '%s'",
			 ((int64_t)time - (int64_t)noon) / (int64_t)NS_PER_MS, STR_FMT(got), text);
}

static void a_flow_from_before_a_change_has_the_names_of_its_time(void **state)
{
	(void)state;
	struct world w;

	world_init(&w);
	has_pod(&w, 1, 0); /* what is said first was true before */
	assert_pod(&w, noon - NS_PER_S, 1);
	has_pod(&w, 2, 1000);
	has_pod(&w, 0, 2000);
	has_pod(&w, 3, 2500);
	for (int twice = 0; twice < 2; twice++) {
		assert_pod(&w, noon - 1, 1);
		assert_pod(&w, noon + 1000 * NS_PER_MS - 1, 1);
		assert_pod(&w, noon + 1000 * NS_PER_MS, 2);
		assert_pod(&w, noon + 1999 * NS_PER_MS, 2);
		assert_pod(&w, noon + 2000 * NS_PER_MS, 0);
		assert_pod(&w, noon + 2500 * NS_PER_MS, 3);
		assert_pod(&w, noon + 3600 * NS_PER_S, 3);
		/* of a time long past nobody knows anything, nor of none */
		assert_pod(&w, noon - 3600 * NS_PER_S, 3);
		assert_pod(&w, 0, 3);
		name_quiet(w.table, (struct wall_ns){ noon });
	}
	/* what ended more than NAME_PAST_S ago is forgotten */
	has_pod(&w, 4, 2500 + NAME_PAST_S * 1000 - 1);
	has_pod(&w, 5, 2500 + NAME_PAST_S * 1000 + 1);
	assert_pod(&w, noon + 2502 * NS_PER_MS, 3);
	assert_pod(&w, noon + 2400 * NS_PER_MS, 5);
	assert_pod(&w, noon + 2501 * NS_PER_MS + NAME_PAST_S * NS_PER_S, 5);
	assert_pod(&w, noon + 2500 * NS_PER_MS + NAME_PAST_S * NS_PER_S, 4);
	world_done(&w);
}

static void of_many_changes_the_last_are_known(void **state)
{
	(void)state;
	struct world w;

	world_init(&w);
	has_pod(&w, 1, 0);
	for (unsigned i = 2; i <= NAME_PAST + 10; i++) /* pod i from i ms on */
		has_pod(&w, i, i);
	for (unsigned i = 10; i <= NAME_PAST + 10; i++)
		assert_pod(&w, noon + i * NS_PER_MS, i);
	assert_pod(&w, noon + 5 * NS_PER_MS, 10); /* the oldest is as near as we come */
	world_done(&w);
}

/* @n addresses, of which the one that assert_pod asks for is @pod's from @ms after noon on. */
static void say_many(struct world *w, size_t n, unsigned pod, uint64_t ms)
{
	struct name_prefix *list = calloc(n, sizeof *list);
	struct texts t;

	assert_non_null(list);
	for (size_t i = 0; i < n; i++) {
		fill(1, &(struct claim){ pod, true }, &list[i], &t);
		if (i)
			memcpy(list[i].ip, (uint32_t[]){ 0xfd, 0, 0, (uint32_t)i }, 16);
	}
	assert_int_equal(name_update(w->table, 0,
				     &(struct name_view){ .since = { noon + ms * NS_PER_MS },
							  .prefixes = list,
							  .prefix_count = n },
				     NULL),
			 ERR_OK);
	free(list);
}

static void what_takes_too_much_room_is_not_remembered(void **state)
{
	enum { FEW = 100, MANY = 1 << 17 }; /* more than NAME_PAST_BYTES */
	(void)state;
	struct world w;

	world_init(&w);
	say_many(&w, FEW, 1, 0);
	say_many(&w, FEW, 2, 1000);
	assert_pod(&w, noon, 1);
	say_many(&w, MANY, 3, 2000); /* shares nothing with what it replaces */
	assert_pod(&w, noon, 3);
	assert_pod(&w, noon + 1500 * NS_PER_MS, 3);
	world_done(&w);
}

static void what_one_more_provider_says_first_was_true_before(void **state)
{
	(void)state;
	struct world w;
	struct name_prefix p;
	struct texts t;

	world_init(&w);
	fill(2, &(struct claim){ 9, true }, &p, &t);
	change(&w, 0,
	       &(struct name_change){ .since = { noon }, .prefixes = &p, .prefix_count = 1 });
	p.ip[15] ^= 0xf0;
	change(&w, 0,
	       &(struct name_change){
		       .since = { noon + NS_PER_S }, .prefixes = &p, .prefix_count = 1 });
	fill(1, &(struct claim){ 7, true }, &p, &t);
	change(&w, 1,
	       &(struct name_change){
		       .since = { noon + 2 * NS_PER_S }, .prefixes = &p, .prefix_count = 1 });
	assert_pod(&w, noon, 7);
	world_done(&w);
}

static void a_change_that_is_wrong_changes_nothing(void **state)
{
	(void)state;
	struct world w;
	struct name_prefix pod = pod_at(1, "p");
	struct err e;

	world_init(&w);
	pod.bits = 129;
	assert_int_equal(name_change(w.table, 0,
				     &(struct name_change){ .prefixes = &pod, .prefix_count = 1 },
				     &e),
			 ERR_INVALID);
	assert_string_equal(e.msg, "a prefix of 129 bits");
	const struct name_prefix two[] = { pod_at(2, "q"), pod };
	assert_int_equal(name_update(w.table, 0,
				     &(struct name_view){ .prefixes = two, .prefix_count = 2 }, &e),
			 ERR_INVALID);
	assert_null(name_find(w.table, two[0].ip).ep);
	pod.bits = 128;
	assert_int_equal(name_change(w.table, NAME_PROVIDERS,
				     &(struct name_change){ .prefixes = &pod, .prefix_count = 1 },
				     &e),
			 ERR_INVALID);
	assert_null(name_find(w.table, pod.ip).ep);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_come_to_the_same_as_all_of_it_said_again),
		cmocka_unit_test(what_one_provider_gives_up_another_has),
		cmocka_unit_test(services_are_replaced_only_when_they_are_given),
		cmocka_unit_test(what_one_more_provider_says_first_was_true_before),
		cmocka_unit_test(of_many_changes_the_last_are_known),
		cmocka_unit_test(what_takes_too_much_room_is_not_remembered),
		cmocka_unit_test(a_flow_from_before_a_change_has_the_names_of_its_time),
		cmocka_unit_test(a_change_that_is_wrong_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
