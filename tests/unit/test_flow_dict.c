/* lib/flow: names behind ids. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/dict.h"
#include "flow/flow.pb-c.h"
#include "flow_random.h"

#define assert_str(got, want)                                                                      \
	do {                                                                                       \
		struct str got_ = (got);                                                           \
		if (!str_is(got_, (want)))                                                         \
			fail_msg("'%.*s' is not '%s'", STR_FMT(got_), (want));                     \
	} while (0)

static struct endpoint_id put_pod(struct flow_dict *d, const char *pod, uint32_t identity)
{
	return flow_dict_endpoint(d,
				  &(struct endpoint){ .pod = str_of(pod), .identity = identity });
}

static void the_same_content_has_the_same_id(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct str labels[] = { STR("k8s:app=cart"), STR("k8s:tier=web") };
	struct workload workload = { STR("cart"), STR("Deployment") };
	struct endpoint ep = { .id = 11,
			       .identity = 4001,
			       .cluster = STR("edge"),
			       .namespace_ = STR("shop"),
			       .pod = STR("cart-0"),
			       .labels = labels,
			       .label_count = 2,
			       .workloads = &workload,
			       .workload_count = 1 };
	struct endpoint_id id = flow_dict_endpoint(d, &ep);

	assert_int_equal(id.v, 1);
	assert_int_equal(flow_dict_endpoint(d, &ep).v, 1);
	const struct endpoint *got = flow_dict_get_endpoint(d, id);
	assert_int_equal(got->id, 11);
	assert_int_equal(got->identity, 4001);
	assert_str(got->cluster, "edge");
	assert_str(got->namespace_, "shop");
	assert_str(got->pod, "cart-0");
	assert_int_equal(got->label_count, 2);
	assert_str(got->labels[1], "k8s:tier=web");
	assert_int_equal(got->workload_count, 1);
	assert_str(got->workloads[0].kind, "Deployment");

	labels[0] = STR("k8s:tier=web");
	labels[1] = STR("k8s:app=cart"); /* the order is part of the content */
	assert_int_equal(flow_dict_endpoint(d, &ep).v, 2);
	assert_str(got->labels[0], "k8s:app=cart"); /* a copy */
}

static void there_is_nothing_behind_ids_that_were_not_given_out(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct endpoint_id id = put_pod(d, "a", 0);

	assert_null(flow_dict_get_endpoint(d, (struct endpoint_id){ 0 }));
	assert_null(flow_dict_get_endpoint(d, (struct endpoint_id){ id.v + 1 }));
	assert_null(flow_dict_get_endpoint(d, (struct endpoint_id){ UINT32_MAX }));
	assert_null(flow_dict_get_service(d, (struct service_id){ 1 }));
	assert_null(flow_dict_get_node(d, (struct node_id){ 1 }));
	assert_str(flow_dict_get_kernel_reason(d, 0), "");
	assert_str(flow_dict_get_kernel_reason(d, 1), "");
}

static void bytes_are_another_way_to_say_the_content(void **state)
{
	(void)state;
	struct random r = random_of(__func__, 0xd1c7);
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10000);

	for (int i = 0; i < 2000; i++) {
		struct endpoint_id id = random_endpoint(&r, d);
		const struct endpoint *ep = flow_dict_get_endpoint(d, id);
		assert_int_equal(flow_dict_endpoint(d, ep).v, id.v);
		assert_int_equal(flow_dict_endpoint_wire(d, ep->wire).v, id.v);
		/* protobuf-c reads the entry's bytes, and writes the same */
		pool_reset();
		Flow__Endpoint *m = flow__endpoint__unpack(&pool_allocator, ep->wire.len,
							   (const uint8_t *)ep->wire.p);
		assert_non_null(m);
		assert_bytes_equal(pack(m), ep->wire);
		assert_int_equal(m->identity, ep->identity);
		assert_int_equal(m->n_labels, ep->label_count);
		assert_str(ep->pod, m->pod_name);
		struct service_id svc = random_service(&r, d);
		assert_int_equal(flow_dict_service_wire(d, flow_dict_get_service(d, svc)->wire).v,
				 svc.v);
		struct node_id node = random_node(&r, d);
		assert_int_equal(flow_dict_node_wire(d, flow_dict_get_node(d, node)->wire).v,
				 node.v);
	}
	assert_int_equal(flow_dict_counts(d).overflows, 0);
}

static void other_bytes_with_the_same_content_find_the_same_entry(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct endpoint_id id = put_pod(d, "a", 3);
	static const struct str same[] = {
		{ "\x2a\x01"
		  "a\x10\x03",
		  5 }, /* other order */
		{ "\x10\x03\x2a\x01"
		  "a\x98\x06\x01",
		  8 }, /* an unknown field */
		{ "\x10\x83\x00\x2a\x01"
		  "a",
		  6 }, /* a long varint */
		{ "\x10\x05\x10\x03\x2a\x01"
		  "a",
		  7 }, /* the last one counts */
	};

	for (int again = 0; again < 2; again++)
		for (size_t i = 0; i < ARRAY_LEN(same); i++)
			assert_int_equal(flow_dict_endpoint_wire(d, same[i]).v, id.v);
	assert_int_equal(flow_dict_counts(d).endpoints, 1);
}

static void malformed_bytes_have_no_id(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);

	assert_int_equal(flow_dict_endpoint_wire(d, STR("\x2a\x05"
							"a"))
				 .v,
			 0);
	assert_int_equal(flow_dict_endpoint_wire(d, STR("\x32\x01\x0a")).v,
			 0); /* within a workload */
	assert_int_equal(flow_dict_service_wire(d, STR("\x0a")).v, 0);
	assert_int_equal(flow_dict_node_wire(d, STR("\xca\x02\x01\x0a")).v,
			 0); /* within the emitter */
	assert_int_equal(flow_dict_counts(d).endpoints, 0);
}

static void text_that_is_not_utf8_is_mended(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct endpoint_id id = put_pod(d, "a\xff", 0);

	assert_str(flow_dict_get_endpoint(d, id)->pod, "a\xef\xbf\xbd");
	assert_int_equal(flow_dict_endpoint_wire(d, STR("\x2a\x02"
							"a\xfe"))
				 .v,
			 id.v);
	assert_str(flow_dict_get_kernel_reason(d, flow_dict_kernel_reason(d, STR("R\xff"))),
		   "R\xef\xbf\xbd");
}

static void an_empty_endpoint_is_an_entry(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct endpoint_id id = flow_dict_endpoint_wire(d, STR(""));

	assert_int_equal(id.v, 1);
	assert_int_equal(flow_dict_endpoint(d, &(struct endpoint){ 0 }).v, 1);
	assert_int_equal(flow_dict_get_endpoint(d, id)->wire.len, 0);
}

static void a_node_knows_the_parts_of_its_bytes(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	struct str label = STR("k=v");
	struct node in = {
		.name = STR("n1"), .labels = &label, .label_count = 1, .emitter_name = STR("Tycho")
	};
	const struct node *n = flow_dict_get_node(d, flow_dict_node(d, &in));

	assert_bytes_equal(n->name_wire, STR("\x5a\x02n1"));
	assert_bytes_equal(n->labels_wire, STR("\xaa\x02\x03k=v"));
	assert_bytes_equal(n->emitter_wire, STR("\xca\x02\x07\x0a\x05Tycho"));
	assert_int_equal(n->wire.len, n->name_wire.len + n->labels_wire.len + n->emitter_wire.len);
	assert_str(n->emitter_name, "Tycho");

	n = flow_dict_get_node(d, flow_dict_node(d, &(struct node){ .emitter_version = STR("1") }));
	assert_int_equal(n->name_wire.len + n->labels_wire.len, 0);
	assert_str(n->emitter_version, "1");
}

static void a_full_table_keeps_identities_and_counts(void **state)
{
	(void)state;
	AUTO(flow_dict_free)
	struct flow_dict *d = dict_of(4); /* and one overflow entry beside, and the last */
	const char *const pods[] = { "a", "b", "c", "d" };
	for (size_t i = 0; i < ARRAY_LEN(pods); i++)
		assert_int_equal(put_pod(d, pods[i], 7).v, i + 1);
	assert_int_equal(flow_dict_counts(d).overflows, 0);

	struct endpoint_id lost = put_pod(d, "e", 8);
	const struct endpoint *ep = flow_dict_get_endpoint(d, lost);
	assert_int_equal(ep->identity, 8);
	assert_str(ep->pod, "");
	assert_str(ep->labels[0], FLOW_DICT_OVERFLOW_LABEL);
	assert_int_equal(flow_dict_counts(d).overflows, 1);
	assert_int_equal(put_pod(d, "f", 8).v, lost.v); /* one per identity */
	assert_int_equal(flow_dict_counts(d).overflows, 2);

	ep = flow_dict_get_endpoint(d, put_pod(d, "g", 9)); /* no place for identities any more */
	assert_int_equal(ep->identity, 0);
	assert_str(ep->labels[0], FLOW_DICT_OVERFLOW_LABEL);
	assert_int_equal(flow_dict_endpoint_wire(d, STR("\x2a\x01"
							"x\x10\x0a"))
				 .v,
			 put_pod(d, "h", 11).v);
	assert_int_equal(flow_dict_counts(d).overflows, 5);
	assert_int_equal(flow_dict_endpoint_wire(d, STR("\x2a\x01"
							"x\x10\x0a"))
				 .v,
			 put_pod(d, "h", 11).v);
	assert_int_equal(flow_dict_counts(d).overflows, 7);
	assert_int_equal(put_pod(d, "a", 7).v, 1); /* what is known stays known */
	assert_int_equal(flow_dict_counts(d).endpoints, 6);
}

static void services_and_nodes_beyond_the_limit_have_no_id(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1);

	assert_int_equal(flow_dict_service(d, &(struct service){ .name = STR("a") }).v, 1);
	assert_int_equal(flow_dict_service(d, &(struct service){ .name = STR("b") }).v, 0);
	assert_int_equal(flow_dict_service(d, &(struct service){ .name = STR("a") }).v, 1);
	assert_int_equal(flow_dict_node(d, &(struct node){ .name = STR("a") }).v, 1);
	assert_int_equal(flow_dict_node(d, &(struct node){ .name = STR("b") }).v, 0);
	assert_int_equal(flow_dict_counts(d).overflows, 2);
}

static void kernel_reasons_end_at_a_thousand(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(1);
	char name[16];

	assert_int_equal(flow_dict_kernel_reason(d, STR("")), 0);
	for (int i = 1; i <= FLOW_DICT_MAX_KERNEL_REASONS; i++) {
		(void)snprintf(name, sizeof name, "R%d", i);
		assert_int_equal(flow_dict_kernel_reason(d, str_of(name)), i);
	}
	assert_int_equal(flow_dict_kernel_reason(d, STR("one too many")), 0);
	assert_int_equal(flow_dict_kernel_reason(d, STR("R1000")), 1000);
	assert_str(flow_dict_get_kernel_reason(d, 1000), "R1000");
	assert_int_equal(flow_dict_counts(d).kernel_reasons, 1000);
	assert_int_equal(flow_dict_counts(d).overflows, 1);
}

static void a_reset_forgets_and_starts_a_generation(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(3000);
	uint64_t generation = flow_dict_generation(d);

	for (int round = 0; round < 3; round++) {
		char name[32];
		for (int i = 0; i < 3000; i++) { /* beyond one chunk of everything */
			(void)snprintf(name, sizeof name, "%d-%d", round, i);
			assert_int_equal(put_pod(d, name, 0).v, i + 1);
		}
		size_t bytes = flow_dict_counts(d).bytes;
		assert_true(bytes > 3000 * sizeof(struct endpoint));
		flow_dict_reset(d);
		assert_int_equal(flow_dict_counts(d).bytes, 0);
		assert_int_equal(flow_dict_counts(d).endpoints, 0);
		assert_null(flow_dict_get_endpoint(d, (struct endpoint_id){ 1 }));
		assert_int_equal(flow_dict_generation(d), ++generation);
	}
}

static void a_very_long_entry_is_kept_whole(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(10);
	AUTO(own_free) char *name = malloc(200001);
	assert_non_null(name);
	memset(name, 'x', 200000);
	name[200000] = 0;
	struct endpoint_id id = put_pod(d, name, 0);

	assert_int_equal(flow_dict_get_endpoint(d, id)->pod.len, 200000);
	assert_int_equal(put_pod(d, name, 0).v, id.v);
	assert_int_equal(put_pod(d, "short", 0).v, id.v + 1);
}

static void a_dictionary_of_nothing_is_refused(void **state)
{
	(void)state;
	struct flow_dict *d = NULL;
	struct err e;

	assert_int_equal(flow_dict_new(0, &d, &e), ERR_INVALID);
	assert_null(d);
	flow_dict_free(NULL);
}

/* --- threads --- */

enum { THREADS = 4, PODS = 2000, LOOPS = 3 };

struct worker {
	pthread_t thread;
	struct flow_dict *dict;
	uint32_t ids[PODS]; /* what this thread was told */
	bool wrong;
};

/* All threads put the same pods, and read back what ids they got; reading needs no lock and sees
 * whole entries. */
static void *put_and_get(void *arg)
{
	struct worker *w = arg;
	char name[16];

	for (int loop = 0; loop < LOOPS; loop++)
		for (int i = 0; i < PODS; i++) {
			(void)snprintf(name, sizeof name, "pod-%d", i);
			struct endpoint_id id = put_pod(w->dict, name, (uint32_t)i);
			const struct endpoint *ep = flow_dict_get_endpoint(w->dict, id);
			w->wrong |= !ep || ep->identity != (uint32_t)i || !str_is(ep->pod, name);
			w->wrong |= loop && w->ids[i] != id.v;
			w->ids[i] = id.v;
			(void)flow_dict_kernel_reason(w->dict, str_of(name));
		}
	return NULL;
}

static void all_threads_agree_on_ids(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = dict_of(PODS);
	static struct worker workers[THREADS];

	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .dict = d };
		assert_int_equal(pthread_create(&workers[i].thread, NULL, put_and_get, &workers[i]),
				 0);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_false(workers[i].wrong);
		assert_memory_equal(workers[i].ids, workers[0].ids, sizeof workers[0].ids);
	}
	assert_int_equal(flow_dict_counts(d).endpoints, PODS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_content_has_the_same_id),
		cmocka_unit_test(there_is_nothing_behind_ids_that_were_not_given_out),
		cmocka_unit_test(bytes_are_another_way_to_say_the_content),
		cmocka_unit_test(other_bytes_with_the_same_content_find_the_same_entry),
		cmocka_unit_test(malformed_bytes_have_no_id),
		cmocka_unit_test(text_that_is_not_utf8_is_mended),
		cmocka_unit_test(an_empty_endpoint_is_an_entry),
		cmocka_unit_test(a_node_knows_the_parts_of_its_bytes),
		cmocka_unit_test(a_full_table_keeps_identities_and_counts),
		cmocka_unit_test(services_and_nodes_beyond_the_limit_have_no_id),
		cmocka_unit_test(kernel_reasons_end_at_a_thousand),
		cmocka_unit_test(a_reset_forgets_and_starts_a_generation),
		cmocka_unit_test(a_very_long_entry_is_kept_whole),
		cmocka_unit_test(a_dictionary_of_nothing_is_refused),
		cmocka_unit_test(all_threads_agree_on_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
