/* observer/cilium/l7: records with more, and longer, texts than any that was recorded. Nothing of them
 * is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "l7_record.h"
#include "observer/cilium/debug.h"
#include "observer/cilium/monitor.h"

/* --- the reader --------------------------------------------------------------------------- */

struct world {
	struct flow_dict *dict;
	struct name_table *names;
	struct cilium *cilium;
	struct buf record, ext;
	struct flow f;
	Flow__Flow *told;
};

enum { LOCAL_LABELS = 300 }; /* of endpoints 12 and 13, which live here */

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof *w);
	static char texts[LOCAL_LABELS][8];
	static struct str labels[LOCAL_LABELS];
	struct name_prefix pods[2];

	for (int i = 0; i < LOCAL_LABELS; i++)
		labels[i] = str_n(texts[i], (size_t)snprintf(texts[i], sizeof *texts, "k:%03d", i));
	for (uint8_t i = 0; i < 2; i++)
		pods[i] = (struct name_prefix){
			.ip = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 12 + i },
			.bits = 128,
			.local = true,
			.verbatim = true,
			.endpoint = { .id = 12 + i,
				      .identity = i ? 1 << 24 | 5 : 3000,
				      .labels = labels,
				      .label_count = LOCAL_LABELS },
		};
	assert_int_equal(flow_dict_new(1000, &w->dict, NULL), ERR_OK);
	assert_int_equal(name_table_new(&(struct name_config){ .node = "n", .cluster = "" },
					w->dict, &w->names, NULL),
			 ERR_OK);
	assert_int_equal(name_update(w->names, 0,
				     &(struct name_view){ .prefixes = pods, .prefix_count = 2 },
				     NULL),
			 ERR_OK);
	const struct cilium_config config = { .dict = w->dict, .names = w->names };
	assert_int_equal(cilium_new(&config, &w->cilium, NULL), ERR_OK);
	w->record = buf_init(16 << 20);
	w->ext = buf_init(16 << 20);
	*state = w;
	return 0;
}

static void forget(struct world *w)
{
	if (w->told)
		flow__flow__free_unpacked(w->told, NULL);
	w->told = NULL;
	buf_reset(&w->record);
	buf_reset(&w->ext);
}

static int teardown(void **state)
{
	struct world *w = *state;

	forget(w);
	buf_done(&w->record);
	buf_done(&w->ext);
	cilium_free(w->cilium);
	name_table_free(w->names);
	flow_dict_free(w->dict);
	free(w);
	return 0;
}

/* What is told of a record, beyond the members of struct flow. */
static const Flow__Flow *read_record(struct world *w, const char *type, struct buf *members)
{
	forget(w);
	assert_false(members->failed);
	put_record(&w->record, type, buf_str(members));
	buf_done(members);
	const struct cilium_sample in = { .bytes = buf_str(&w->record), .monitor = true };
	w->f = (struct flow){ .time = { 1 }, .bits = FLOW_HAS_TIME };
	assert_int_equal(cilium_event(w->cilium, &in, &w->f, &w->ext), CILIUM_TAKEN);
	assert_false(w->ext.failed);
	w->told = flow__flow__unpack(NULL, w->ext.len, (const uint8_t *)buf_str(&w->ext).p);
	assert_non_null(w->told);
	return w->told;
}

/* @n bytes, no two stretches of which are alike. */
static void put_long(struct buf *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_char(b, (char)('a' + (i * i / 7 + i / 26) % 26));
}

/* --- tests -------------------------------------------------------------------------------- */

/* Written backwards, told in order: all of them, each with all its values. */
static void however_many_headers_there_are_all_are_told(void **state)
{
	struct world *w = *state;
	static const int counts[] = { 0, 1, 512, 513, 20000 };

	for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
		struct buf members = buf_init(1 << 20);
		int n = counts[k];

		buf_put(&members, "\2\1\1/", 4); /* HTTP { URL "/", Headers } */
		if (n) {
			buf_char(&members, 1);
			monitor_put_uint(&members, (uint64_t)n);
		}
		for (int i = n - 1; i >= 0; i--)
			buf_printf(&members, "%cX-%05d%c%ca%cb", 7, i, 2, 1, 1);
		buf_put(&members, "\0\0", 2);
		const Flow__HTTP *http = read_record(w, "Request", &members)->l7->http;
		assert_int_equal(http->n_headers, 2 * n);
		for (int i = 0; i < 2 * n; i++) {
			char want[16];
			(void)snprintf(want, sizeof want, "X-%05d", i / 2);
			assert_string_equal(http->headers[i]->key, want);
			assert_string_equal(http->headers[i]->value, i % 2 ? "b" : "a");
		}
	}
}

static void however_many_labels_there_are_all_are_told(void **state)
{
	struct world *w = *state;
	static const int counts[] = { 0, 1, 256, 257, 5000 };

	for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
		struct buf members = buf_init(1 << 20);
		int n = counts[k];

		buf_put(&members, "\1\1\x07", 3); /* SourceEndpoint { Identity 7, Labels } */
		if (n) {
			buf_char(&members, 1);
			monitor_put_uint(&members, (uint64_t)n);
		}
		for (int i = n - 1; i >= 0; i--)
			buf_printf(&members, "%c%c%05d%c%cvalue%c%ck8s%c", 1, 5, i, 1, 5, 1, 3, 0);
		buf_put(&members, "\0\0", 2);
		(void)read_record(w, "Request", &members);
		const struct endpoint *ep = flow_dict_get_endpoint(w->dict, w->f.src_ep);
		assert_int_equal(ep->label_count, n);
		for (int i = 0; i < n; i++) {
			char want[32];
			(void)snprintf(want, sizeof want, "k8s:%05d=value", i);
			assert_true(str_is(ep->labels[i], want));
		}
	}
}

/* The text of a label takes no more room than the label, which is how much there is for it. */
static void the_shortest_and_the_longest_label_find_room(void **state)
{
	struct world *w = *state;
	struct buf members = buf_init(1 << 20);
	AUTO_BUF struct buf text = buf_init(1 << 20);

	buf_put(&members, "\1\2\2\0\1", 5); /* Labels { {}, { Key } } */
	put_long(&text, 200000);
	put_text(&members, buf_str(&text));
	buf_put(&members, "\0\0\0", 3);
	(void)read_record(w, "Request", &members);
	const struct endpoint *ep = flow_dict_get_endpoint(w->dict, w->f.src_ep);
	assert_int_equal(ep->label_count, 2);
	assert_true(str_is(ep->labels[0], ":"));
	assert_int_equal(ep->labels[1].len, 200001);
	assert_true(str_eq(str_from(ep->labels[1], 1), buf_str(&text)));
}

static void however_long_a_url_is_it_is_told_whole(void **state)
{
	struct world *w = *state;
	static const size_t lengths[] = { 65536, 65537, 250000 };

	for (size_t k = 0; k < ARRAY_LEN(lengths); k++) {
		struct buf members = buf_init(1 << 20);
		AUTO_BUF struct buf url = buf_init(1 << 20);

		buf_lit(&url, "http://u:p@shop/");
		put_long(&url, lengths[k] - url.len);
		buf_put(&members, "\2\1", 2);
		put_text(&members, buf_str(&url));
		buf_put(&members, "\0\0", 2);
		const char *got = read_record(w, "Request", &members)->l7->http->url;
		assert_int_equal(strncmp(got, "http://u:HUBBLE_REDACTED@shop/", 30), 0);
		assert_string_equal(got + 30, buf_cstr(&url) + 16);
	}
}

/* The Summary of a record that is both is the one of HTTP (reference 6.5). */
static void a_summary_that_is_put_down_is_whole(void **state)
{
	struct world *w = *state;
	static const size_t lengths[] = { 16000, 17000, 120000 };

	for (size_t k = 0; k < ARRAY_LEN(lengths); k++) {
		struct buf members = buf_init(1 << 20);
		AUTO_BUF struct buf url = buf_init(1 << 20), want = buf_init(1 << 20);

		put_long(&url, lengths[k]);
		buf_put(&members, "\2\1", 2); /* HTTP { URL } */
		put_text(&members, buf_str(&url));
		buf_put(&members, "\0\1\1\2a.\0\0", 8); /* DNS { Query } */
		const Flow__Flow *told = read_record(w, "Request", &members);
		buf_lit(&want, "  ");
		buf_str_put(&want, buf_str(&url));
		assert_string_equal(told->summary, buf_cstr(&want));
		assert_string_equal(told->l7->dns->query, "a.");
	}
}

static void however_many_fields_there_are_all_are_in_the_summary(void **state)
{
	struct world *w = *state;
	static const int counts[] = { 0, 1, 512, 513, 20000 };

	for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
		struct buf members = buf_init(1 << 20);
		AUTO_BUF struct buf want = buf_init(1 << 20);
		int n = counts[k];

		buf_put(&members, "\4\1\2pg", 5); /* L7 { Proto, Fields } */
		if (n) {
			buf_char(&members, 1);
			monitor_put_uint(&members, (uint64_t)n);
		}
		buf_lit(&want, "pg Fields: map[");
		for (int i = 0; i < n; i++) {
			buf_printf(&members, "%c%05d%cx", 5, n - 1 - i, 1);
			buf_printf(&want, "%s%05d:x", i ? " " : "", i);
		}
		buf_put(&members, "\0\0", 2);
		buf_lit(&want, "]");
		assert_string_equal(read_record(w, "Request", &members)->summary, buf_cstr(&want));
	}
}

static void the_zone_of_an_address_is_told_whole(void **state)
{
	struct world *w = *state;
	static const size_t lengths[] = { 1, 119, 120, 5000 };

	for (size_t k = 0; k < ARRAY_LEN(lengths); k++) {
		struct buf members = buf_init(1 << 20);
		AUTO_BUF struct buf ip = buf_init(1 << 20);

		buf_put(&ip, "\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16);
		put_long(&ip, lengths[k]);
		buf_put(&members, "\3\2\1", 3); /* DNS { IPs } */
		put_text(&members, buf_str(&ip));
		buf_put(&members, "\0\0", 2);
		const Flow__DNS *dns = read_record(w, "Response", &members)->l7->dns;
		assert_int_equal(dns->n_ips, 1);
		assert_int_equal(strncmp(dns->ips[0], "fe80::1%", 8), 0);
		assert_string_equal(dns->ips[0] + 8, buf_cstr(&ip) + 16);
	}
}

/* Each byte that is none becomes U+FFFD, however many there are. */
static void of_a_text_that_is_no_utf8_nothing_is_left_out(void **state)
{
	struct world *w = *state;
	static const size_t lengths[] = { 1, 1365, 1366, 100000 };

	for (size_t k = 0; k < ARRAY_LEN(lengths); k++) {
		struct buf members = buf_init(1 << 20);

		buf_put(&members, "\3\1", 2); /* DNS { Query } */
		monitor_put_uint(&members, lengths[k] + 1);
		for (size_t i = 0; i < lengths[k]; i++)
			buf_char(&members, (char)0xff);
		buf_put(&members, ".\0\0", 3);
		const char *got = read_record(w, "Request", &members)->l7->dns->query;
		assert_int_equal(strlen(got), 3 * lengths[k] + 1);
		for (size_t i = 0; i < lengths[k]; i++)
			assert_int_equal(strncmp(got + 3 * i, "\xef\xbf\xbd", 3), 0);
		assert_string_equal(got + 3 * lengths[k], ".");
	}
}

/* The largest message there is, of nothing but what has to be replaced: what compose has room for
 * suffices. */
static void the_largest_record_fits(void **state)
{
	struct world *w = *state;
	struct buf members = buf_init(1 << 20);
	struct buf *ext = cilium_ext(w->cilium);

	forget(w);
	buf_put(&members, "\3\1", 2);
	monitor_put_uint(&members, MONITOR_MESSAGE_MAX);
	for (size_t i = 0; i < MONITOR_MESSAGE_MAX; i++)
		buf_char(&members, (char)0xff);
	buf_put(&members, "\0\0", 2);
	put_record(&w->record, "Request", buf_str(&members));
	buf_done(&members);
	const struct cilium_sample in = { .bytes = buf_str(&w->record), .monitor = true };
	w->f = (struct flow){ .time = { 1 }, .bits = FLOW_HAS_TIME };
	assert_int_equal(cilium_event(w->cilium, &in, &w->f, ext), CILIUM_TAKEN);
	assert_false(ext->failed);
	assert_true(ext->len > 3 * MONITOR_MESSAGE_MAX);
	/* and the next one finds it empty */
	assert_int_equal(cilium_ext(w->cilium)->len, 0);
}

/* With as much room as it needs nothing is missing, with a byte less it says so. */
static void what_does_not_fit_is_not_told_as_if_it_were_whole(void **state)
{
	struct world *w = *state;
	static const struct str all[] = {
		STR("\2\1\5/path\1\1\3Key\2\1a\1b\0\0"), /* HTTP { URL, Headers } */
		STR("\2\1\5/path\0\1\1\2a.\0\0"),        /* HTTP and DNS: a Summary of its own */
		STR("\4\1\2pg\1\2\1a\1b\1c\1d\0\0"),     /* L7 */
		STR("\3\1\2a.\1\1\4\1\2\3\4\0\0"),       /* DNS */
	};

	for (size_t k = 0; k < ARRAY_LEN(all); k++) {
		struct buf members = buf_init(1 << 10);

		buf_str_put(&members, all[k]);
		(void)read_record(w, "Response", &members);
		for (size_t room = 0; room <= w->ext.len; room++) {
			AUTO_BUF struct buf ext = buf_init(room);
			struct flow f = { .time = { 1 }, .bits = FLOW_HAS_TIME };
			const struct cilium_sample in = { .bytes = buf_str(&w->record),
							  .monitor = true };
			assert_int_equal(cilium_event(w->cilium, &in, &f, &ext), CILIUM_TAKEN);
			assert_int_equal(ext.failed, room < w->ext.len);
		}
	}
}

static void a_name_with_very_many_values_ends_where_the_room_does(void **state)
{
	struct world *w = *state;
	AUTO_BUF struct buf members = buf_init(1 << 20);
	struct buf *ext = cilium_ext(w->cilium);
	enum { VALUES = 100000, NAME = 100000 };

	forget(w);
	buf_put(&members, "\2\2\1", 3); /* HTTP { Headers } */
	monitor_put_uint(&members, NAME);
	put_long(&members, NAME);
	monitor_put_uint(&members, VALUES);
	for (int i = 0; i < VALUES; i++)
		buf_char(&members, 0);
	buf_put(&members, "\0\0", 2);
	put_record(&w->record, "Request", buf_str(&members));
	const struct cilium_sample in = { .bytes = buf_str(&w->record), .monitor = true };
	w->f = (struct flow){ .time = { 1 }, .bits = FLOW_HAS_TIME };
	assert_int_equal(cilium_event(w->cilium, &in, &w->f, ext), CILIUM_TAKEN);
	assert_true(ext->failed);
}

/* Of whatever identity: one that this node numbers itself has some of its labels hidden. */
static void a_debug_message_has_all_labels_of_its_source(void **state)
{
	struct world *w = *state;

	for (uint8_t id = 12; id <= 13; id++) {
		const uint8_t debug[20] = { [0] = 2, [1] = 1, [2] = id };
		const struct cilium_sample in = { .bytes = str_n(debug, sizeof debug), .cpu = -1 };
		forget(w);
		w->f = (struct flow){ .time = { 1 }, .bits = FLOW_HAS_TIME };
		assert_int_equal(cilium_event(w->cilium, &in, &w->f, &w->ext), CILIUM_TAKEN);
		Flow__DebugEvent *told = flow__debug_event__unpack(
			NULL, w->ext.len, (const uint8_t *)buf_str(&w->ext).p);
		assert_non_null(told);
		assert_int_equal(told->source->n_labels, LOCAL_LABELS);
		assert_string_equal(told->source->labels[LOCAL_LABELS - 1], "k:299");
		flow__debug_event__free_unpacked(told, NULL);
	}
}

/* read_debug has 256 bytes for them. */
static void no_text_of_a_debug_message_is_too_long(void **state)
{
	(void)state;
	for (unsigned subtype = 0; subtype < 256; subtype++) {
		char text[256];
		struct buf b = buf_fixed(text, sizeof text);
		debug_text_put(&b, (uint8_t)subtype, UINT32_MAX, UINT32_MAX, UINT32_MAX);
		assert_false(b.failed);
	}
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_WORLD(however_many_headers_there_are_all_are_told),
		WITH_WORLD(however_many_labels_there_are_all_are_told),
		WITH_WORLD(the_shortest_and_the_longest_label_find_room),
		WITH_WORLD(however_long_a_url_is_it_is_told_whole),
		WITH_WORLD(a_summary_that_is_put_down_is_whole),
		WITH_WORLD(however_many_fields_there_are_all_are_in_the_summary),
		WITH_WORLD(the_zone_of_an_address_is_told_whole),
		WITH_WORLD(of_a_text_that_is_no_utf8_nothing_is_left_out),
		WITH_WORLD(the_largest_record_fits),
		WITH_WORLD(what_does_not_fit_is_not_told_as_if_it_were_whole),
		WITH_WORLD(a_name_with_very_many_values_ends_where_the_room_does),
		WITH_WORLD(a_debug_message_has_all_labels_of_its_source),
		cmocka_unit_test(no_text_of_a_debug_message_is_too_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
