/* What a ClickHouse server says and is told: texts, bytes, names. The client itself is held against a
 * real server in tests/clickhouse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "clickhouse/failure.h"
#include "clickhouse/options.h"
#include "clickhouse/place.h"
#include "clickhouse/quote.h"
#include "clickhouse/rowbinary.h"
#include "clickhouse/schema.h"

/* --- errors -------------------------------------------------------------------------------- */

static void failures_of_old_and_new_servers_are_cut_to_what_matters(void **state)
{
	static const struct {
		const char *text, *said;
		enum err_code code;
	} cases[] = {
		{ "Code: 60, e.displayText() = DB::Exception: Table a.b doesn't exist., e.what() = "
		  "DB::Exception\n",
		  "http://h:1 says: Table a.b doesn't exist (code 60)", ERR_NOT_FOUND },
		{ "Code: 60. DB::Exception: Table a.b does not exist. (UNKNOWN_TABLE) (version "
		  "24.3.1.2672 (official build))\n",
		  "http://h:1 says: Table a.b does not exist (code 60)", ERR_NOT_FOUND },
		{ "Code: 516. DB::Exception: bob: Authentication failed: password is incorrect.\n\n"
		  "If you use ClickHouse Cloud, … (AUTHENTICATION_FAILED) (version 24.3.1.1)",
		  "http://h:1 says: bob: Authentication failed: password is incorrect.  If you use "
		  "ClickHouse Cloud, … (code 516)",
		  ERR_PERMISSION },
		{ "Code: 216, e.displayText() = DB::Exception: Query with id = x is already "
		  "running., e.what() = DB::Exception",
		  "http://h:1 says: Query with id = x is already running (code 216)", ERR_AGAIN },
		{ "Code: 241. DB::Exception: Memory limit (total) exceeded (MEMORY_LIMIT_EXCEEDED)",
		  "http://h:1 says: Memory limit (total) exceeded (code 241)", ERR_UNAVAILABLE },
		{ "Code: 9999. DB::Exception: \x1b[31mred\xff (total)",
		  "http://h:1 says:  [31mred\xef\xbf\xbd (total) (code 9999)", ERR_IO },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct clickhouse_failure f;
		struct err e;
		assert_true(clickhouse_failure_read(str_of(cases[i].text), &f));
		assert_int_equal(clickhouse_failure_set(&e, "http://h:1", &f), cases[i].code);
		assert_string_equal(e.msg, cases[i].said);
	}
}

static void other_texts_are_no_failures(void **state)
{
	static const char *const texts[] = { "",
					     "Ok.\n",
					     "Code: ",
					     "Code: x. DB",
					     "Code: 60",
					     "Code: 99999999. DB::Exception: x",
					     "<html>Code: 60. DB::Exception: x</html>" };
	struct clickhouse_failure f;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_false(clickhouse_failure_read(str_of(texts[i]), &f));
}

/* --- URLs and options ---------------------------------------------------------------------- */

static void the_same_failure_of_a_connection_has_the_same_text(void **state)
{
	static const char *const cases[][2] = {
		{ "Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server",
		  "Failed to connect to 127.0.0.1 port 1: Couldn't connect to server" },
		{ "Connection timed out after 5001 milliseconds", "Connection timed out" },
		{ "Operation timed out after 300 milliseconds with 0 out of 5 bytes received",
		  "Operation timed out with 0 out of 5 bytes received" },
		{ "Empty reply from server", "Empty reply from server" },
		{ "ended after ms", "ended after ms" },
		{ "gave up after 3 attempts", "gave up after 3 attempts" },
		{ "", "" },
	};
	char text[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(text, sizeof text, "%s", cases[i][0]);
		clickhouse_failure_steady(text);
		assert_string_equal(text, cases[i][1]);
	}
}

static void a_url_says_server_and_database(void **state)
{
	static const struct {
		const char *url, *server, *database;
		bool is_https, is_local;
	} cases[] = {
		{ "http://ch", "http://ch:8123", "default", false, false },
		{ "https://ch.example/flows", "https://ch.example:8443", "flows", true, false },
		{ "http://127.0.0.1:81/", "http://127.0.0.1:81", "default", false, true },
		{ "http://[::1]:81/a%20b", "http://[::1]:81", "a b", false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct clickhouse_place p;
		assert_int_equal(clickhouse_place_parse(cases[i].url, &p, NULL), ERR_OK);
		assert_string_equal(p.server, cases[i].server);
		assert_string_equal(p.database, cases[i].database);
		assert_int_equal(p.is_https, cases[i].is_https);
		assert_int_equal(p.is_local, cases[i].is_local);
	}
}

static void other_urls_are_refused(void **state)
{
	static const char *const urls[] = { "",
					    "ch:8123",
					    "ftp://ch",
					    "http://",
					    "http://ch/a/b",
					    "http://ch/?database=x",
					    "http://ch/a#b",
					    "http://bob@ch",
					    "http://bob:secret@ch",
					    "http://ch:99999" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct clickhouse_place p;
		struct err e;
		assert_int_equal(clickhouse_place_parse(urls[i], &p, &e), ERR_INVALID);
		assert_non_null(strstr(e.msg, "--clickhouse"));
		assert_null(strstr(e.msg, "secret"));
	}
}

static void options_that_do_nothing_alone_are_refused(void **state)
{
	static const struct {
		struct clickhouse_config o;
		const char *said;
	} cases[] = {
		{ { .user = "bob" }, "--clickhouse-user needs --clickhouse" },
		{ { .ca_file = "/x" }, "--clickhouse-ca-file needs --clickhouse" },
		{ { .url = "https://ch", .key_file = "/x" },
		  "--clickhouse-cert-file and --clickhouse-key-file are needed together" },
		{ { .url = "http://ch", .ca_file = "/x" },
		  "--clickhouse-ca-file needs an https:// URL with --clickhouse" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e;
		assert_int_equal(clickhouse_options_check(&cases[i].o, &e), ERR_INVALID);
		assert_string_equal(e.msg, cases[i].said);
	}
	assert_int_equal(clickhouse_options_check(&(struct clickhouse_config){ 0 }, NULL), ERR_OK);
}

static void files_and_names_that_cannot_be_used_are_refused(void **state)
{
	static const struct {
		struct clickhouse_config o;
		const char *said;
	} cases[] = {
		{ { .url = "https://ch", .ca_file = "/nowhere/ca" },
		  "--clickhouse-ca-file '/nowhere/ca': No such file or directory" },
		{ { .url = "http://ch", .password_file = "/nowhere/p" },
		  "--clickhouse-password-file '/nowhere/p': No such file or directory" },
		{ { .url = "http://ch", .user = "a\nb" },
		  "--clickhouse-user: control characters cannot be sent" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct clickhouse *c = NULL;
		struct err e;
		assert_int_equal(clickhouse_new(&cases[i].o, &c, &e), ERR_INVALID);
		assert_string_equal(e.msg, cases[i].said);
		assert_null(c);
	}
}

/* --- SQL ----------------------------------------------------------------------------------- */

static void quoted_texts_cannot_end_their_literal(void **state)
{
	AUTO_BUF struct buf b = buf_init(4096);

	(void)state;
	clickhouse_quote_put(&b, STR("a'b\\c\"d`e\0f\n\xff;--"));
	assert_string_equal(buf_cstr(&b), "'a\\x27b\\x5Cc\\x22d\\x60e\\x00f\\x0A\\xFF;--'");
	buf_reset(&b);
	clickhouse_name_put(&b, STR("a`b"));
	assert_string_equal(buf_cstr(&b), "`a\\x60b`");
	buf_reset(&b);
	clickhouse_quote_list_put(&b, (struct str[]){ STR("a"), STR("'") }, 2);
	assert_string_equal(buf_cstr(&b), "['a','\\x27']");
	buf_reset(&b);
	clickhouse_quote_list_put(&b, NULL, 0);
	assert_string_equal(buf_cstr(&b), "[]");
}

/* --- rows ---------------------------------------------------------------------------------- */

static void put_row(struct buf *b, uint64_t n, struct str text)
{
	rowbinary_put_u64(b, n);
	rowbinary_put_text(b, text);
	rowbinary_put_length(b, 2);
	rowbinary_put_u16(b, 0x1234);
	rowbinary_put_u16(b, 0xffff);
	rowbinary_put_null(b, true);
	rowbinary_put_null(b, false);
	rowbinary_put_u8(b, 7);
	rowbinary_put_u32(b, 0xdeadbeef);
}

struct seen {
	unsigned rows;
	size_t text_bytes;
};

static bool see_row(void *ctx, struct rowbinary_reader *r)
{
	struct seen *seen = ctx;
	const uint64_t n = rowbinary_u64(r);
	const struct str text = rowbinary_text(r);
	const size_t list = rowbinary_length(r);
	const uint16_t a = rowbinary_u16(r), b = rowbinary_u16(r);
	const bool is_null = rowbinary_is_null(r), is_value = !rowbinary_is_null(r);
	const uint8_t u8 = rowbinary_u8(r);
	const uint32_t u32 = rowbinary_u32(r);

	if (!rowbinary_is_well(r))
		return true;
	assert_int_equal(n, seen->rows);
	assert_int_equal(list, 2);
	assert_int_equal(a, 0x1234);
	assert_int_equal(b, 0xffff);
	assert_true(is_null && is_value);
	assert_int_equal(u8, 7);
	assert_int_equal(u32, 0xdeadbeef);
	seen->rows++;
	seen->text_bytes += text.len;
	return true;
}

static struct rowbinary_rows rows_of(struct seen *seen)
{
	return (struct rowbinary_rows){
		.each = see_row, .ctx = seen, .text_max = 300, .list_max = 2, .rest = buf_init(1024)
	};
}

static void rows_are_read_wherever_they_are_cut(void **state)
{
	static const char text[300] = { 'x' };
	AUTO_BUF struct buf b = buf_init(4096);

	(void)state;
	put_row(&b, 0, STR(""));
	put_row(&b, 1, str_n(text, 127));
	put_row(&b, 2, str_n(text, 128));
	put_row(&b, 3, str_n(text, 300));
	for (size_t step = 1; step <= b.len; step++) {
		struct seen seen = { 0 };
		struct rowbinary_rows rows = rows_of(&seen);
		for (size_t at = 0; at < b.len; at += step)
			assert_true(rowbinary_rows_take(&rows,
							str_upto(str_from(buf_str(&b), at), step)));
		assert_int_equal(rowbinary_rows_end(&rows, NULL), ERR_OK);
		assert_int_equal(seen.rows, 4);
		assert_int_equal(seen.text_bytes, 127 + 128 + 300);
		buf_done(&rows.rest);
	}
}

static void an_answer_that_ends_within_a_row_is_not_whole(void **state)
{
	AUTO_BUF struct buf b = buf_init(4096);

	(void)state;
	put_row(&b, 0, STR("abc"));
	for (size_t n = 1; n < b.len; n++) {
		struct seen seen = { 0 };
		struct rowbinary_rows rows = rows_of(&seen);
		assert_true(rowbinary_rows_take(&rows, str_upto(buf_str(&b), n)));
		assert_int_equal(seen.rows, 0);
		assert_int_equal(rowbinary_rows_end(&rows, NULL), ERR_PARSE);
		buf_done(&rows.rest);
	}
}

static void lengths_beyond_the_limit_are_bad_and_not_waited_for(void **state)
{
	static const char *const lengths[] = { "\xad\x02",
					       "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
					       "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct rowbinary_reader r = rowbinary_reader_of(str_of(lengths[i]), 300, 300);
		assert_int_equal(rowbinary_text(&r).len, 0);
		assert_true(r.is_bad && !r.is_short);
		r = rowbinary_reader_of(str_of(lengths[i]), 300, 300);
		assert_int_equal(rowbinary_length(&r), 0);
		assert_true(r.is_bad);
		assert_int_equal(rowbinary_u8(&r), 0);
	}
	struct rowbinary_reader r = rowbinary_reader_of(STR("\2"), 1, 1);
	assert_false(rowbinary_is_null(&r));
	assert_true(r.is_bad);
}

/* --- tables -------------------------------------------------------------------------------- */

static void times_of_one_key_are_of_one_day(void **state)
{
	const uint64_t day_ns = UINT64_C(86400000000000), beyond_ns = UINT64_C(4294967296000000000);
	const struct clickhouse_partition a = clickhouse_partition_of(20000 * day_ns),
					  b = clickhouse_partition_of(20001 * day_ns - 1),
					  c = clickhouse_partition_of(20001 * day_ns),
					  d = clickhouse_partition_of(beyond_ns - 1),
					  e = clickhouse_partition_of(beyond_ns);

	(void)state;
	assert_memory_equal(&a, &b, sizeof a);
	assert_int_not_equal(b.day, c.day);
	/* one day, but where a DateTime ends */
	assert_int_equal(d.day, e.day);
	assert_int_not_equal(d.wrapped_day, e.wrapped_day);
}

/* TYCHO_WRITE_SCHEMA=1 writes the file anew. */
static void operators_are_given_the_statements_that_we_use(void **state)
{
	AUTO_BUF struct buf want = buf_init(1 << 20);
	static char have[1 << 16];

	(void)state;
	buf_lit(&want, "-- The tables of Tycho in ClickHouse, for who makes them by hand: "
		       "docs/clickhouse.md.\n"
		       "-- Servers before 19.1 know no CODEC(…): leave those out.\n");
	const struct clickhouse_table *const tables[] = { &clickhouse_flows, &clickhouse_gaps };
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		buf_printf(&want, "\n-- %s\n", tables[i]->help);
		clickhouse_create_put(&want, tables[i], true);
		buf_lit(&want, ";\n");
	}
	FILE *f = fopen(TYCHO_SCHEMA_SQL, getenv("TYCHO_WRITE_SCHEMA") ? "w+" : "r");
	assert_non_null(f);
	if (getenv("TYCHO_WRITE_SCHEMA")) {
		assert_int_equal(fwrite(want.p, 1, want.len, f), want.len);
		rewind(f);
	}
	have[fread(have, 1, sizeof have - 1, f)] = '\0';
	(void)fclose(f);
	assert_string_equal(have, buf_cstr(&want));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_of_old_and_new_servers_are_cut_to_what_matters),
		cmocka_unit_test(other_texts_are_no_failures),
		cmocka_unit_test(the_same_failure_of_a_connection_has_the_same_text),
		cmocka_unit_test(a_url_says_server_and_database),
		cmocka_unit_test(other_urls_are_refused),
		cmocka_unit_test(options_that_do_nothing_alone_are_refused),
		cmocka_unit_test(files_and_names_that_cannot_be_used_are_refused),
		cmocka_unit_test(quoted_texts_cannot_end_their_literal),
		cmocka_unit_test(rows_are_read_wherever_they_are_cut),
		cmocka_unit_test(an_answer_that_ends_within_a_row_is_not_whole),
		cmocka_unit_test(lengths_beyond_the_limit_are_bad_and_not_waited_for),
		cmocka_unit_test(times_of_one_key_are_of_one_day),
		cmocka_unit_test(operators_are_given_the_statements_that_we_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
