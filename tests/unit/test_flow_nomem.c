/* lib/flow when memory runs out: every allocation fails once, and nothing is lost but what did not
 * fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "flow/dict.h"
#include "flow/mask.h"
#include "flow/wire.h"
#include "tests/unit/nomem.h"

enum { PODS = 700, MAX_BYTES = 1 << 20 };

/* @return true if an allocation failed on the way. */
static bool use_dict(struct flow_dict *d)
{
	char name[4000];
	memset(name, 'x', sizeof name);

	for (uint32_t i = 0; i < PODS; i++) {
		int digits = snprintf(name, sizeof name, "pod-%u", i);
		name[digits] =
			'x'; /* a long name: entries beyond the fixed buffers, and many blocks */
		struct str pod = str_n(name, i % 10 ? (size_t)digits : sizeof name);
		struct endpoint ep = { .pod = pod, .identity = i };
		struct endpoint_id id = flow_dict_endpoint(d, &ep);
		const struct endpoint *got = flow_dict_get_endpoint(d, id);
		if (id.v) { /* the pod, or an overflow entry with or without identity */
			assert_non_null(got);
			assert_true(str_eq(got->pod, pod) || got->pod.len == 0);
		}
		(void)flow_dict_service(d, &(struct service){ .name = pod });
		(void)flow_dict_node(d, &(struct node){ .name = pod });
		(void)flow_dict_kernel_reason(d, str_upto(pod, 20));
		(void)flow_dict_endpoint_wire(
			d, STR("\x10\x05\x10\x03")); /* not canonical: an alias */
	}
	bool failed = nomem_end(); /* with memory at hand again, everything fits */
	struct endpoint_id id = flow_dict_endpoint(d, &(struct endpoint){ .pod = STR("after") });
	assert_true(str_is(flow_dict_get_endpoint(d, id)->pod, "after"));
	return failed;
}

static void a_dictionary_survives_each_failed_allocation(void **state)
{
	(void)state;
	long n = 0;

	for (bool failed = true; failed; n++) {
		AUTO(flow_dict_free) struct flow_dict *d = NULL;
		struct err e;
		nomem_after(n);
		enum err_code code = flow_dict_new(10000, &d, &e);
		if (code != ERR_OK) {
			assert_int_equal(code, ERR_NOMEM);
			assert_null(d);
			continue;
		}
		failed = use_dict(d);
	}
	assert_true(n > 50); /* the dictionary allocates in blocks, these pods need that many */
}

static void a_mask_is_whole_or_not_there(void **state)
{
	(void)state;
	static const char *const paths[] = { "time", "source.identity", "l4.TCP.flags.SYN" };

	for (long n = 0;; n++) {
		AUTO(flow_mask_free) struct flow_mask *m = NULL;
		struct err e;
		nomem_after(n);
		enum err_code code = flow_mask_new(paths, ARRAY_LEN(paths), &m, &e);
		(void)nomem_end();
		if (code == ERR_OK) {
			assert_int_equal(n, 5); /* Flow, source, l4, TCP, flags */
			break;
		}
		assert_int_equal(code, ERR_NOMEM);
		assert_null(m);
	}
}

static void a_flow_without_memory_fails_its_buffer(void **state)
{
	(void)state;
	AUTO(flow_dict_free) struct flow_dict *d = NULL;
	assert_int_equal(flow_dict_new(10, &d, NULL), ERR_OK);
	struct flow f = { .bits = FLOW_HAS_TIME };
	AUTO_BUF struct buf b = buf_init(MAX_BYTES);

	nomem_after(0);
	flow_encode_response(&b, &f, d, STR("n"));
	(void)nomem_end();
	assert_true(b.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dictionary_survives_each_failed_allocation),
		cmocka_unit_test(a_mask_is_whole_or_not_there),
		cmocka_unit_test(a_flow_without_memory_fails_its_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
