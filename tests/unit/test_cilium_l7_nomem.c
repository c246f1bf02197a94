/* observer/cilium/l7 when memory runs out: what a record says is all there, or it is said that it is
 * not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "l7_record.h"
#include "tests/unit/nomem.h"

static const struct str records[] = {
	/* SourceEndpoint { Labels }, HTTP { URL, Headers } */
	STR("\1\2\2\1\1a\1\1b\1\3k8s\0\1\1c\2\3k8s\0\0\1\1\5/path\1\1\3Key\2\1a\1b\0\0"),
	/* HTTP { URL }, DNS { Query }: a Summary of its own */
	STR("\2\1\5/path\0\1\1\2a.\0\0"),
	/* DNS { IPs } with a zone of 130 bytes */
	STR("\3\2\1\xff\x92\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1"
	    "0123456789012345678901234567890123456789012345678901234567890123456789"
	    "012345678901234567890123456789012345678901234567890123456789\0\0"),
	/* L7 { Proto, Fields } */
	STR("\4\1\2pg\1\2\1a\1b\1c\1d\0\0"),
};

/* What one record is told as, by a reader of its own. */
struct told {
	struct buf ext;
	size_t labels;
	uint64_t overflows; /* endpoints that found no room */
	bool failed;        /* an allocation has */
};

static struct told told_of(struct str members, long fail)
{
	AUTO_BUF struct buf record = buf_init(1 << 16);
	AUTO(flow_dict_free) struct flow_dict *dict = NULL;
	struct name_table *names = NULL;
	struct cilium *cilium = NULL;
	struct told t = { .ext = buf_init(1 << 16) };
	struct flow f = { .time = { 1 }, .bits = FLOW_HAS_TIME };

	assert_int_equal(flow_dict_new(10, &dict, NULL), ERR_OK);
	assert_int_equal(name_table_new(&(struct name_config){ .node = "n", .cluster = "" }, dict,
					&names, NULL),
			 ERR_OK);
	assert_int_equal(
		cilium_new(&(struct cilium_config){ .dict = dict, .names = names }, &cilium, NULL),
		ERR_OK);
	put_record(&record, "Response", members);
	assert_false(record.failed);
	assert_non_null(buf_reserve(&t.ext, 4096)); /* as compose's, which is there */
	const struct cilium_sample in = { .bytes = buf_str(&record), .monitor = true };
	nomem_after(fail);
	assert_int_equal(cilium_event(cilium, &in, &f, &t.ext), CILIUM_TAKEN);
	t.failed = nomem_end();
	t.overflows = flow_dict_counts(dict).overflows;
	const struct endpoint *ep = flow_dict_get_endpoint(dict, f.src_ep);
	t.labels = ep ? ep->label_count : 0;
	cilium_free(cilium);
	name_table_free(names);
	return t;
}

static void a_record_is_told_whole_or_not_as_if_it_were(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(records); k++) {
		struct told whole = told_of(records[k], 1000);
		long i = 0, told_so = 0;

		assert_false(whole.failed || whole.ext.failed || whole.overflows);
		assert_int_equal(whole.labels, k == 0 ? 2 : 0);
		for (bool failed = true; failed; i++) {
			struct told t = told_of(records[k], i);
			failed = t.failed;
			if (!t.ext.failed) {
				assert_true(str_eq(buf_str(&t.ext), buf_str(&whole.ext)));
				assert_true(t.overflows || t.labels == whole.labels);
			}
			told_so += t.ext.failed;
			buf_done(&t.ext);
		}
		assert_true(told_so > 2);
		buf_done(&whole.ext);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_told_whole_or_not_as_if_it_were),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
