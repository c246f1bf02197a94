/* lib/metrics/http: requests, what they accept, who asks. Accept headers are those that Prometheus
 * 2.42 and 3.2 send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "metrics/http.h"

static enum http_read read_text(const char *text, struct http_request *ret)
{
	size_t used;
	enum http_read got = http_request_read(str_of(text), ret, &used);

	if (got == HTTP_READY)
		assert_int_equal(used, strlen(text));
	return got;
}

static void a_request_is_read_when_its_empty_line_is_there(void **state)
{
	(void)state;
	static const char whole[] = "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n"
				    "ACCEPT-ENCODING:gzip \r\nAuthorization: Basic eA==\r\n\r\n";
	struct http_request r;
	size_t used;
	for (size_t n = 0; n < sizeof whole - 1; n++)
		assert_int_equal(http_request_read(str_n(whole, n), &r, &used), HTTP_MORE);
	assert_int_equal(read_text(whole, &r), HTTP_READY);
	assert_true(str_is(r.method, "GET"));
	assert_true(str_is(r.path, "/metrics"));
	assert_true(str_is(r.accept, "text/plain"));
	assert_true(str_is(r.accept_encoding, "gzip"));
	assert_true(str_is(r.authorization, "Basic eA=="));
	assert_true(r.keep_alive);
	assert_false(r.has_body);
}

static void who_wants_to_go_on_is_known(void **state)
{
	(void)state;
	struct http_request r;
	assert_int_equal(read_text("GET / HTTP/1.0\r\n\r\n", &r), HTTP_READY);
	assert_false(r.keep_alive);
	assert_int_equal(read_text("GET / HTTP/1.1\nConnection: x, Close\n\n", &r), HTTP_READY);
	assert_false(r.keep_alive);
	assert_int_equal(read_text("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n", &r), HTTP_READY);
	assert_true(r.has_body);
	assert_int_equal(read_text("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", &r),
			 HTTP_READY);
	assert_true(r.has_body);
	assert_int_equal(read_text("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", &r), HTTP_READY);
	assert_false(r.has_body);
}

static void what_is_no_request_is_bad(void **state)
{
	static const char *const bad[] = {
		"\r\n",
		"GET\r\n",
		"GET /\r\n",
		"GET / HTTP/2.0\r\n",
		"GET / HTTP/1.1 x\r\n",
		"GET  / HTTP/1.1\r\n",
		"GET metrics HTTP/1.1\r\n",
		"G\tT / HTTP/1.1\r\n",
		"GET /\x01 HTTP/1.1\r\n",
		"GET / HTTP/1.1\r\nno colon\r\n",
		"GET / HTTP/1.1\r\n: empty\r\n",
		"GET / HTTP/1.1\r\nA : b\r\n",
		" GET / HTTP/1.1\r\n",
		"\x16\x03\x01\x02\n", /* a TLS handshake */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct http_request r;
		if (read_text(bad[i], &r) != HTTP_BAD)
			fail_msg("taken: %s", bad[i]);
	}
	struct http_request r;
	size_t used;
	assert_int_equal(http_request_read(STR("GET / HTTP/1.1\r\nA\0: b\r\n"), &r, &used),
			 HTTP_BAD);
}

static void the_format_is_the_one_that_is_asked_for_most(void **state)
{
	static const struct {
		const char *accept;
		enum http_format format;
	} cases[] = {
		{ "", HTTP_FORMAT_TEXT },
		{ "*/*", HTTP_FORMAT_TEXT },
		{ "text/html,application/xhtml+xml,*/*;q=0.8", HTTP_FORMAT_TEXT },
		{ "application/openmetrics-text", HTTP_FORMAT_OPENMETRICS_1 },
		/* Prometheus 2.42 */
		{ "application/openmetrics-text;version=1.0.0,application/"
		  "openmetrics-text;version=0.0.1;"
		  "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		  HTTP_FORMAT_OPENMETRICS_1 },
		/* Prometheus 3 */
		{ "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
		  "application/openmetrics-text;version=0.0.1;q=0.4,"
		  "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/"
		  "plain;version=0.0.4;q=0.2,"
		  "*/*;q=0.1",
		  HTTP_FORMAT_OPENMETRICS_1 },
		/* with native histograms */
		{ "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
		  "encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,"
		  "application/openmetrics-text;version=0.0.1;q=0.75,text/"
		  "plain;version=0.0.4;q=0.5",
		  HTTP_FORMAT_OPENMETRICS_1 },
		{ "application/openmetrics-text; version=0.0.1", HTTP_FORMAT_OPENMETRICS_0 },
		{ "application/openmetrics-text; version=2.0.0, text/plain", HTTP_FORMAT_TEXT },
		{ "application/openmetrics-text;q=0.4,text/plain;q=0.5", HTTP_FORMAT_TEXT },
		{ "application/openmetrics-text;q=0", HTTP_FORMAT_TEXT },
		{ "application/openmetrics-text;q=x", HTTP_FORMAT_TEXT },
		{ "Application/OpenMetrics-Text;Q=0.5,text/plain;q=0.5",
		  HTTP_FORMAT_OPENMETRICS_1 },
		{ ",;,;;q=,", HTTP_FORMAT_TEXT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (http_format_of(str_of(cases[i].accept)) != cases[i].format)
			fail_msg("%s", cases[i].accept);
}

static void gzip_is_used_when_it_is_accepted(void **state)
{
	(void)state;
	assert_true(http_accepts_gzip(STR("gzip")));
	assert_true(http_accepts_gzip(STR("deflate, GZIP;q=0.5")));
	assert_true(http_accepts_gzip(STR("*")));
	assert_false(http_accepts_gzip(STR("")));
	assert_false(http_accepts_gzip(STR("gzip;q=0")));
	assert_false(http_accepts_gzip(STR("gzip;q=0, *")));
	assert_false(http_accepts_gzip(STR("identity")));
}

static bool basic(const char *header, char *out, size_t size)
{
	char bytes[256];
	struct buf scratch = buf_fixed(bytes, sizeof bytes);
	struct str user, password;

	if (!http_basic_auth(str_of(header), &scratch, &user, &password))
		return false;
	(void)snprintf(out, size, "%.*s|%.*s", STR_FMT(user), STR_FMT(password));
	return true;
}

static void user_and_password_are_read_from_their_base64(void **state)
{
	char out[256];

	(void)state;
	/* RFC 7617 §2 */
	assert_true(basic("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", out, sizeof out));
	assert_string_equal(out, "Aladdin|open sesame");
	assert_true(basic("basic  YTpiOmM=", out, sizeof out));
	assert_string_equal(out, "a|b:c");
	assert_true(basic("Basic Og==", out, sizeof out));
	assert_string_equal(out, "|");
	assert_false(basic("Basic YWI=", out, sizeof out)); /* no colon */
	assert_false(basic("Basic YTo", out, sizeof out));
	assert_false(basic("Basic Y=o=", out, sizeof out));
	assert_false(basic("Basic !!!!", out, sizeof out));
	assert_false(basic("Bearer YTpi", out, sizeof out));
	assert_false(basic("", out, sizeof out));
	assert_false(basic("Basic YTpiAA==", out, sizeof out)); /* a NUL */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_is_read_when_its_empty_line_is_there),
		cmocka_unit_test(who_wants_to_go_on_is_known),
		cmocka_unit_test(what_is_no_request_is_bad),
		cmocka_unit_test(the_format_is_the_one_that_is_asked_for_most),
		cmocka_unit_test(gzip_is_used_when_it_is_accepted),
		cmocka_unit_test(user_and_password_are_read_from_their_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
