/* ui-server/ask: what a browser asks is read strictly, and becomes the filters of GetFlowsRequest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <stdio.h>

#include <cmocka.h>

#include "flow/flow.pb-c.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"
#include "ui-server/ask.h"

static enum err_code read_ask(const char *text, uint32_t *watch, struct buf *out, struct err *e)
{
	return ui_ask_read(str_of(text), watch, out, e);
}

static void filters_become_the_lists_of_the_request(void **state)
{
	(void)state;
	AUTO_BUF struct buf out = buf_init(1 << 16);
	uint32_t watch;
	struct err e;

	assert_int_equal(
		read_ask("{\"type\":\"watch\",\"watch\":7,"
			 "\"allow\":[{\"verdict\":[\"DROPPED\"],\"source_pod\":[\"shop/\"]},"
			 "{\"destination_port\":[\"443\"]}],"
			 "\"deny\":[{\"protocol\":[\"udp\"]}]}",
			 &watch, &out, &e),
		ERR_OK);
	assert_int_equal(watch, 7);
	Observer__GetFlowsRequest *r =
		observer__get_flows_request__unpack(NULL, out.len, (const uint8_t *)out.p);
	assert_non_null(r);
	assert_int_equal(r->n_whitelist, 2);
	assert_int_equal(r->whitelist[0]->verdict[0], FLOW__VERDICT__DROPPED);
	assert_string_equal(r->whitelist[0]->source_pod[0], "shop/");
	assert_string_equal(r->whitelist[1]->destination_port[0], "443");
	assert_int_equal(r->n_blacklist, 1);
	assert_string_equal(r->blacklist[0]->protocol[0], "udp");
	observer__get_flows_request__free_unpacked(r, NULL);
}

static void how_far_a_page_has_read_is_a_number_and_nothing_else(void **state)
{
	(void)state;
	static const char *const no[] = {
		"",
		"7",
		"[]",
		"null",
		"{}",
		"{\"type\":\"taken\"}",
		"{\"messages\":7}",
		"{\"type\":\"taken\",\"messages\":-1}",
		"{\"type\":\"taken\",\"messages\":\"7\"}",
		"{\"type\":\"taken\",\"messages\":7.0}",
		"{\"type\":\"taken\",\"messages\":18446744073709551616}",
		"{\"type\":\"taken\",\"messages\":7,\"messages\":8}",
		"{\"type\":\"watch\",\"watch\":7}",
		"{\"type\":[\"taken\"],\"messages\":7}",
	};
	uint64_t n = 77;

	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		assert_false(ui_taken_read(str_of(no[i]), &n));
	assert_int_equal(n, 77);
	assert_true(ui_taken_read(STR("{\"type\":\"taken\",\"messages\":0}"), &n));
	assert_int_equal(n, 0);
	assert_true(ui_taken_read(
		STR("{\"messages\":9223372036854775807,\"later\":{},\"type\":\"taken\"}"), &n));
	assert_int_equal(n, INT64_MAX);
}

static void without_filters_everything_is_asked_for(void **state)
{
	(void)state;
	AUTO_BUF struct buf out = buf_init(1 << 16);
	uint32_t watch;
	struct err e;

	assert_int_equal(read_ask("{\"type\":\"watch\",\"watch\":4294967295}", &watch, &out, &e),
			 ERR_OK);
	assert_int_equal(out.len, 0);
	assert_int_equal(watch, UINT32_MAX);
}

static void a_range_becomes_since_and_until(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"\"since\":1000",
		"\"until\":1000",
		"\"since\":1000,\"until\":1000",
		"\"since\":-1,\"until\":1000",
		"\"since\":\"1\",\"until\":1000",
		"\"since\":1,\"until\":2147483648000",
	};
	AUTO_BUF struct buf out = buf_init(1 << 16);
	uint32_t watch;
	struct err e;

	assert_int_equal(read_ask("{\"type\":\"watch\",\"watch\":1,\"since\":1767225600001,"
				  "\"until\":1767225660000}",
				  &watch, &out, &e),
			 ERR_OK);
	Observer__GetFlowsRequest *r =
		observer__get_flows_request__unpack(NULL, out.len, (const uint8_t *)out.p);
	assert_non_null(r);
	assert_int_equal(r->since->seconds, 1767225600);
	assert_int_equal(r->since->nanos, 1000000);
	/* A server's "until" is part of the range, a page's is not. */
	assert_int_equal(r->until->seconds, 1767225659);
	assert_int_equal(r->until->nanos, 999999999);
	observer__get_flows_request__free_unpacked(r, NULL);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char text[200];
		(void)snprintf(text, sizeof text, "{\"type\":\"watch\",\"watch\":1,%s}", bad[i]);
		assert_int_equal(read_ask(text, &watch, &out, &e), ERR_INVALID);
		assert_non_null(strstr(e.msg, "since"));
	}
}

static void what_is_no_question_is_refused_with_a_sentence(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum err_code code;
		uint32_t watch;
	} cases[] = {
		{ "", ERR_PARSE, 0 },
		{ "{", ERR_PARSE, 0 },
		{ "[]", ERR_PARSE, 0 },
		{ "null", ERR_PARSE, 0 },
		{ "{\"watch\":1}", ERR_PARSE, 1 },
		{ "{\"type\":\"watch\"}", ERR_PARSE, 0 },
		{ "{\"type\":\"watch\",\"watch\":0}", ERR_PARSE, 0 },
		{ "{\"type\":\"watch\",\"watch\":-1}", ERR_PARSE, 0 },
		{ "{\"type\":\"watch\",\"watch\":4294967296}", ERR_PARSE, 0 },
		{ "{\"type\":\"watch\",\"watch\":1,\"watch\":2}", ERR_PARSE, 0 },
		{ "{\"type\":\"watch\",\"watch\":1} x", ERR_PARSE, 0 },
		{ "{\"type\":\"watch\",\"watch\":1,\"allow\":{}}", ERR_PARSE, 1 },
		{ "{\"type\":\"watch\",\"watch\":1,\"allow\":[1]}", ERR_PARSE, 1 },
		{ "{\"type\":\"watch\",\"watch\":1,\"allow\":[{\"bogus\":[]}]}", ERR_PARSE, 1 },
		{ "{\"type\":\"watch\",\"watch\":1,\"allow\":[{\"verdict\":[\"BOGUS\"]}]}",
		  ERR_PARSE, 1 },
		{ "{\"type\":\"watch\",\"watch\":1,\"allow\":[{\"source_ip\":[\"1.2.3\"]}]}",
		  ERR_INVALID, 1 },
		{ "{\"type\":\"watch\",\"watch\":1,\"deny\":[{\"source_port\":[\"x\"]}]}",
		  ERR_INVALID, 1 },
		{ "{\"type\":\"watch\",\"watch\":1,\"only\":\"rates\"}", ERR_INVALID, 1 },
		{ "{\"type\":\"watch\",\"watch\":1,\"since\":1,\"until\":2,\"only\":\"map\"}",
		  ERR_INVALID, 1 },
		{ "{\"type\":\"watch\",\"watch\":1,\"since\":1,\"until\":2,\"only\":1}",
		  ERR_INVALID, 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf out = buf_init(1 << 16);
		uint32_t watch = 99;
		struct err e = { .msg = "" };
		buf_lit(&out, "before");
		assert_int_equal(read_ask(cases[i].text, &watch, &out, &e), cases[i].code);
		assert_int_equal(watch, cases[i].watch);
		assert_int_equal(out.len, strlen("before"));
		assert_true(strlen(e.msg) > 0);
	}
}

static void rates_alone_are_another_question(void **state)
{
	(void)state;
	AUTO_BUF struct buf all = buf_init(1 << 16), rates = buf_init(1 << 16);
	uint32_t watch;
	struct err e;
	struct wire_field field;

	assert_int_equal(read_ask("{\"type\":\"watch\",\"watch\":1,\"since\":1,\"until\":2}",
				  &watch, &all, &e),
			 ERR_OK);
	assert_int_equal(read_ask("{\"type\":\"watch\",\"watch\":1,\"since\":1,\"until\":2,"
				  "\"only\":\"rates\"}",
				  &watch, &rates, &e),
			 ERR_OK);
	assert_true(rates.len > all.len);
	assert_memory_equal(rates.p, all.p, all.len);
	struct wire_reader r = wire_reader_of(str_n(rates.p + all.len, rates.len - all.len));
	assert_true(wire_next(&r, &field));
	assert_int_equal(field.number, UI_ASK_ONLY_RATES);
	assert_false(wire_next(&r, &field));
}

static void one_filter_too_many_is_refused(void **state)
{
	(void)state;
	for (int n = UI_WIRE_ASK_FILTERS; n <= UI_WIRE_ASK_FILTERS + 1; n++) {
		AUTO_BUF struct buf text = buf_init(1 << 16), out = buf_init(1 << 16);
		uint32_t watch;
		struct err e;
		buf_lit(&text, "{\"type\":\"watch\",\"watch\":1,\"allow\":[");
		for (int i = 0; i < n; i++)
			buf_printf(&text, "%s{}", i ? "," : "");
		buf_lit(&text, "]}");
		assert_int_equal(ui_ask_read(buf_str(&text), &watch, &out, &e),
				 n > UI_WIRE_ASK_FILTERS ? ERR_INVALID : ERR_OK);
	}
}

static void equal_questions_give_equal_bytes(void **state)
{
	(void)state;
	AUTO_BUF struct buf a = buf_init(1 << 16), b = buf_init(1 << 16);
	uint32_t watch;
	struct err e;

	assert_int_equal(read_ask("{\"type\":\"watch\",\"watch\":1,\"allow\":[{\"protocol\":"
				  "[\"tcp\"],\"verdict\":[\"DROPPED\"]}]}",
				  &watch, &a, &e),
			 ERR_OK);
	assert_int_equal(read_ask("{ \"allow\" : [ {\"protocol\":[ \"tcp\" ], \"verdict\":[2]} ],"
				  " \"watch\":9, \"type\":\"watch\" }",
				  &watch, &b, &e),
			 ERR_OK);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.p, b.p, a.len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(filters_become_the_lists_of_the_request),
		cmocka_unit_test(a_range_becomes_since_and_until),
		cmocka_unit_test(how_far_a_page_has_read_is_a_number_and_nothing_else),
		cmocka_unit_test(without_filters_everything_is_asked_for),
		cmocka_unit_test(what_is_no_question_is_refused_with_a_sentence),
		cmocka_unit_test(rates_alone_are_another_question),
		cmocka_unit_test(one_filter_too_many_is_refused),
		cmocka_unit_test(equal_questions_give_equal_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
