/* lib/base: errors, strings, buffers, times, maps. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "base/net.h"
#include "base/pages.h"
#include "base/signals.h"
#include "base/str.h"
#include "base/thread.h"
#include "base/time.h"
#include "base/watch.h"
#include "quote_cases.h"

static void an_error_gathers_context_from_the_inside_out(void **state)
{
	(void)state;
	struct err e;
	errno = EACCES;
	assert_int_equal(err_os(&e, "open '%s'", "/x"), ERR_PERMISSION);
	assert_int_equal(e.os, EACCES);
	assert_string_equal(e.msg, "open '/x': Permission denied");
	assert_int_equal(err_in(&e, "export"), ERR_PERMISSION);
	assert_string_equal(e.msg, "export: open '/x': Permission denied");
	assert_int_equal(err_set(NULL, ERR_PARSE, "x"), ERR_PARSE);
}

static void assert_cut(const char *text, const char *begin, const char *end)
{
	if (!str_has_prefix(str_of(text), str_of(begin)) ||
	    !str_has_suffix(str_of(text), str_of(end)) || !utf8_is_valid(str_of(text)))
		fail_msg("'%s' is not '%s' … '%s'", text, begin, end);
}

/* 3 bytes a character; the first @ascii are of one. */
static const char *long_text(size_t ascii)
{
	static char text[2000];

	memset(text, 'a', ascii);
	for (size_t i = ascii; i + 3 < sizeof text; i += 3)
		memcpy(text + i, "\xe2\x82\xac", 4);
	return text;
}

static void a_long_error_ends_in_an_ellipsis_and_stays_utf8(void **state)
{
	(void)state;
	struct err e;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(err_set(&e, ERR_INVALID, "%s", long_text(i)), ERR_INVALID);
		assert_cut(e.msg, "", "…");
		assert_in_range(strlen(e.msg), sizeof e.msg - 4, sizeof e.msg - 1);
	}
	/* what is no UTF-8 is shown, too */
	char rubbish[2000];
	memset(rubbish, 0x80, sizeof rubbish - 1);
	rubbish[sizeof rubbish - 1] = '\0';
	assert_int_equal(err_set(&e, ERR_INVALID, "%s", rubbish), ERR_INVALID);
	assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
}

/* A name of any length does not hide what is wrong with it. */
static void a_long_context_leaves_room_for_the_reason(void **state)
{
	(void)state;
	struct err e;
	char at_most[sizeof e.msg];
	for (size_t i = 0; i < 3; i++) {
		errno = ENOENT;
		assert_int_equal(err_os(&e, "open '%s'", long_text(i)), ERR_NOT_FOUND);
		assert_cut(e.msg, "open '", "€…: No such file or directory");
		assert_in_range(strlen(e.msg), sizeof e.msg - 5, sizeof e.msg - 1);
		/* two that are too long: half for each */
		assert_int_equal(err_set(&e, ERR_PARSE, "%s", long_text(i)), ERR_PARSE);
		assert_int_equal(err_in(&e, "read '%s'", long_text(i)), ERR_PARSE);
		assert_cut(e.msg, "read '", "…");
		size_t context = (size_t)(strstr(e.msg, "…: ") - e.msg);
		assert_in_range(context, sizeof e.msg / 2 - 10, sizeof e.msg / 2);
		assert_in_range(strlen(e.msg), sizeof e.msg - 4, sizeof e.msg - 1);
	}
	/* what just fits stays whole */
	memset(at_most, 'x', sizeof at_most);
	assert_int_equal(err_set(&e, ERR_PARSE, "%.*s", 400, at_most), ERR_PARSE);
	assert_int_equal(err_in(&e, "%.*s", ERR_MSG_BYTES - 3 - 400, at_most), ERR_PARSE);
	assert_int_equal(strlen(e.msg), ERR_MSG_BYTES - 1);
	assert_null(strstr(e.msg, "…"));
}

static void an_excerpt_is_whole_or_says_that_it_is_not(void **state)
{
	(void)state;
	char out[8];
	assert_string_equal(str_excerpt(STR(""), out, sizeof out), "");
	assert_string_equal(str_excerpt(STR("1234567"), out, sizeof out), "1234567");
	assert_string_equal(str_excerpt(STR("12345678"), out, sizeof out), "1234…");
	assert_string_equal(str_excerpt(STR("123\xc3\xa9"
					    "78"),
					out, sizeof out),
			    "123\xc3\xa9"
			    "78");
	assert_string_equal(str_excerpt(STR("123\xc3\xa9"
					    "789"),
					out, sizeof out),
			    "123…");
}

static void every_error_code_has_a_name(void **state)
{
	(void)state;
	for (int c = 0; c < ERR_CODE_COUNT_; c++)
		assert_true(strlen(err_code_name((enum err_code)c)) > 1);
	assert_string_equal(err_code_name((enum err_code)999), "UNKNOWN");
}

static void numbers_are_read_whole_or_refused(void **state)
{
	(void)state;
	uint16_t port = 7;
	uint64_t big = 7;
	assert_true(parse_u16(STR("65535"), &port));
	assert_int_equal(port, 65535);
	static const char *const bad[] = { "",     "65536", "-1",
					   "+1",   " 1",    "1 ",
					   "0x10", "1e3",   "99999999999999999999" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(parse_u16(str_of(bad[i]), &port));
	assert_int_equal(port, 65535);
	assert_true(parse_u64(STR("18446744073709551615"), UINT64_MAX, &big));
	assert_true(big == UINT64_MAX);
	assert_false(parse_u64(STR("18446744073709551616"), UINT64_MAX, &big));
}

static void pages_are_zero_and_can_be_written_from_end_to_end(void **state)
{
	static const size_t sizes[][2] = {
		{ 0, 8 }, { 1, 1 }, { 1, 4096 }, { 4097, 1 }, { 1000, 248 }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		size_t bytes = sizes[i][0] * sizes[i][1];
		char *p = pages_new(sizes[i][0], sizes[i][1]);

		assert_non_null(p);
		for (size_t at = 0; at < bytes; at++) {
			assert_int_equal(p[at], 0);
			p[at] = 1;
		}
		pages_free(p, sizes[i][0], sizes[i][1]);
	}
	pages_free(NULL, 1, 1);
}

static void pages_of_more_bytes_than_there_are_numbers_are_refused(void **state)
{
	(void)state;
	assert_null(pages_new(SIZE_MAX / 2, 3));
}

static void split_yields_every_piece_empty_ones_too(void **state)
{
	(void)state;
	struct str rest = STR("a,,b,"), head;
	const char *want[] = { "a", "", "b", "" };
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_true(str_split(&rest, ',', &head));
		assert_true(str_is(head, want[i]));
	}
	assert_false(str_split(&rest, ',', &head));
}

static void utf8_follows_rfc_3629(void **state)
{
	(void)state;
	static const char *const good[] = { "",
					    "abcdefghij",
					    "\xc3\xa9",
					    "\xed\x9f\xbf",
					    "\xf4\x8f\xbf\xbf",
					    "01234567\xe2\x82\xac" };
	static const char *const bad[] = { "\x80",
					   "\xc0\x80",
					   "\xc1\xbf",
					   "\xe0\x80\x80",
					   "\xed\xa0\x80",
					   "\xf4\x90\x80\x80",
					   "\xf5\x80\x80\x80",
					   "a\xc3",
					   "\xe2\x82",
					   "\xff" };
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(utf8_is_valid(str_of(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(utf8_is_valid(str_of(bad[i])));
		char out[32];
		size_t n = utf8_sanitize(str_of(bad[i]), out, sizeof out);
		assert_true(utf8_is_valid(str_n(out, n)));
	}
	char out[8];
	assert_int_equal(utf8_sanitize(STR("a\xff"
					   "b"),
				       out, sizeof out),
			 5);
	assert_memory_equal(out,
			    "a\xef\xbf\xbd"
			    "b",
			    5);
	assert_int_equal(utf8_sanitize(STR("abcdefg\xc3\xa9"), out, sizeof out), 7);
}

static void a_text_is_cut_at_a_character(void **state)
{
	(void)state;
	const struct str text =
		STR("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"); /* 1, 2, 3, 4 and 1 bytes */
	const size_t ends[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11 };
	for (size_t max = 0; max < ARRAY_LEN(ends); max++)
		assert_int_equal(utf8_upto(text, max).len, ends[max]);
	/* what is no UTF-8 is cut where it is to be */
	const struct str rubbish = STR("\x80\x80\x80\x80\x80\x80\x80\x80");
	for (size_t max = 0; max < rubbish.len + 2; max++)
		assert_int_equal(utf8_upto(rubbish, max).len,
				 max < rubbish.len ? max : rubbish.len);
	assert_int_equal(utf8_upto(STR(""), 0).len, 0);
}

static void a_buffer_stops_at_its_limit_and_says_so(void **state)
{
	(void)state;
	AUTO_BUF struct buf b = buf_init(5);
	buf_lit(&b, "abc");
	buf_lit(&b, "de");
	assert_false(b.failed);
	buf_char(&b, 'f');
	assert_true(b.failed);
	assert_true(str_is(buf_str(&b), "abcde"));
	buf_reset(&b);
	buf_printf(&b, "%d", 12345);
	assert_false(b.failed);
	char fixed[4];
	struct buf f = buf_fixed(fixed, sizeof fixed);
	buf_i64(&f, -123);
	assert_true(str_is(buf_str(&f), "-123"));
	buf_char(&f, 'x');
	assert_true(f.failed);
}

static void put_time(struct timestamp t, const char *want)
{
	AUTO_BUF struct buf b = buf_init(100);
	timestamp_put(&b, t);
	assert_string_equal(buf_cstr(&b), want);
	struct timestamp back;
	assert_true(timestamp_parse(str_of(want), &back));
	assert_int_equal(timestamp_cmp(t, back), 0);
}

static void times_are_written_as_proto3_json_does(void **state)
{
	(void)state;
	put_time((struct timestamp){ 0, 0 }, "1970-01-01T00:00:00Z");
	put_time((struct timestamp){ 1709287200, 123456789 }, "2024-03-01T10:00:00.123456789Z");
	put_time((struct timestamp){ 1709287200, 120000000 }, "2024-03-01T10:00:00.120Z");
	put_time((struct timestamp){ 1709287200, 1000 }, "2024-03-01T10:00:00.000001Z");
	put_time((struct timestamp){ -1, 999999999 }, "1969-12-31T23:59:59.999999999Z");
	put_time((struct timestamp){ TIMESTAMP_MIN_S, 0 }, "0001-01-01T00:00:00Z");
	put_time((struct timestamp){ TIMESTAMP_MAX_S, 999999999 },
		 "9999-12-31T23:59:59.999999999Z");
	put_time((struct timestamp){ 1709164800, 0 }, "2024-02-29T00:00:00Z");
}

static void bad_times_are_refused(void **state)
{
	(void)state;
	static const char *const bad[] = { "",
					   "2024-03-01",
					   "2024-03-01T10:00:00",
					   "2024-02-30T00:00:00Z",
					   "2023-02-29T00:00:00Z",
					   "2024-03-01T24:00:00Z",
					   "2024-03-01T10:60:00Z",
					   "2024-03-01T10:00:00.Z",
					   "2024-03-01T10:00:00.1234567890Z",
					   "0000-01-01T00:00:00Z",
					   "10000-01-01T00:00:00Z",
					   "2024-03-01t10:00:00Z",
					   "2024-03-01T10:00:00+1:00",
					   "2024-03-01T10:00:00ZZ",
					   "0001-01-01T00:00:00+01:00" };
	struct timestamp t = { 42, 0 };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(timestamp_parse(str_of(bad[i]), &t));
	assert_int_equal(t.s, 42);
	assert_true(timestamp_parse(STR("2024-03-01T12:00:00.5+02:00"), &t));
	assert_int_equal(t.s, 1709287200);
	assert_int_equal(t.ns, 500000000);
}

static void durations_are_gos(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ns;
		const char *back;
	} cases[] = {
		{ "0", 0, "0s" },
		{ "5m", INT64_C(300000000000), "5m0s" },
		{ "1h30m", INT64_C(5400000000000), "1h30m0s" },
		{ "1.5h", INT64_C(5400000000000), "1h30m0s" },
		{ "-90s", INT64_C(-90000000000), "-1m30s" },
		{ "1.5us", 1500, "1.5\xc2\xb5s" },
		{ "100ms", 100000000, "100ms" },
		{ "4m5.114197398s", INT64_C(245114197398), "4m5.114197398s" },
		{ "+.5s", 500000000, "500ms" },
		{ "7ns", 7, "7ns" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ns;
		assert_true(duration_parse(str_of(cases[i].text), &ns));
		assert_true(ns == cases[i].ns);
		AUTO_BUF struct buf b = buf_init(64);
		duration_put(&b, ns);
		assert_string_equal(buf_cstr(&b), cases[i].back);
	}
	static const char *const bad[] = { "",     "1",    "s",  "1d",          "1h 2m",
					   "--1s", "1.s.", ".s", "9223372037s", "1hm" };
	int64_t ns;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(duration_parse(str_of(bad[i]), &ns));
}

static void before_gos_durations_may_stand_weeks_and_days(void **state)
{
	(void)state;
	const int64_t day = INT64_C(86400000000000);
	const struct {
		const char *text;
		int64_t ns;
	} cases[] = {
		{ "7d", 7 * day },
		{ "2w", 14 * day },
		{ "1w1d", 8 * day },
		{ "1d12h", day + day / 2 },
		{ "-1d1ns", -day - 1 },
		{ "0d", 0 },
		{ "106751d", 106751 * day }, /* 2^63 ns are 106,751 days and some hours */
		{ "90s", INT64_C(90000000000) },
		{ "-5m", INT64_C(-300000000000) },
	};
	static const char *const bad[] = { "",     "d",    "-d",    "1d1",     "1d-1h", "1d+1h",
					   "1.5d", "1d1w", "1d 1h", "106752d", "1h1d",  "15251w" };

	int64_t ns;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(duration_parse_days(str_of(cases[i].text), &ns));
		assert_true(ns == cases[i].ns);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(duration_parse_days(str_of(bad[i]), &ns));
}

static void a_map_holds_what_was_put_until_it_is_full(void **state)
{
	(void)state;
	AUTO(map_free) struct map *m = NULL;
	struct err e;
	enum { N = 5000 };
	assert_int_equal(map_new(N, 7, &m, &e), ERR_OK);
	for (uint32_t i = 0; i < N; i++) {
		char key[20];
		int n = snprintf(key, sizeof key, "key-%u", i);
		assert_int_equal(map_put(m, str_n(key, (size_t)n), i, NULL, &e), ERR_OK);
	}
	assert_int_equal(map_put(m, STR("one more"), 1, NULL, &e), ERR_NOMEM);
	assert_int_equal(map_put(m, STR("key-7"), 70, NULL, &e), ERR_OK);
	for (uint32_t i = 0; i < N; i++) {
		char key[20];
		int n = snprintf(key, sizeof key, "key-%u", i);
		uint32_t v = UINT32_MAX;
		assert_true(map_get(m, str_n(key, (size_t)n), &v));
		assert_int_equal(v, i == 7 ? 70 : i);
	}
	map_reset(m);
	uint32_t v;
	assert_false(map_get(m, STR("key-7"), &v));
	assert_int_equal(map_count(m), 0);
}

/* Every length that takes another way through the function, and every byte of it. In memory of just
 * that size, so that a sanitizer sees a byte too many being read. */
static void a_hash_depends_on_every_byte_the_length_and_the_seed(void **state)
{
	(void)state;
	enum { MOST = 100 };
	uint64_t of_zeros[MOST + 1];

	for (size_t len = 0; len <= MOST; len++) {
		AUTO(own_free) uint8_t *bytes = calloc(1, len ? len : 1);
		assert_non_null(bytes);
		of_zeros[len] = hash_bytes(bytes, len, 1);
		assert_true(of_zeros[len] == hash_bytes(bytes, len, 1));
		assert_true(of_zeros[len] != hash_bytes(bytes, len, 2));
		for (size_t shorter = 0; shorter < len; shorter++)
			assert_true(of_zeros[len] != of_zeros[shorter]);
		for (size_t i = 0; i < len; i++) {
			bytes[i] = 1;
			assert_true(hash_bytes(bytes, len, 1) != of_zeros[len]);
			bytes[i] = 0;
		}
	}
}

/* The halves of a step must not be interchangeable, nor the steps. */
static void a_hash_depends_on_the_order(void **state)
{
	(void)state;
	char text[96];

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (char)('a' + i / 8);
	uint64_t in_order = hash_bytes(text, sizeof text, 1);
	for (size_t a = 0; a < sizeof text; a += 8)
		for (size_t b = a + 8; b < sizeof text; b += 8) {
			char swapped[sizeof text];
			memcpy(swapped, text, sizeof text);
			memcpy(swapped + a, text + b, 8);
			memcpy(swapped + b, text + a, 8);
			assert_true(hash_bytes(swapped, sizeof swapped, 1) != in_order);
		}
}

/* Whoever hashes in steps gives one hash as the seed of the next. */
static void a_hash_depends_on_every_bit_of_its_seed(void **state)
{
	(void)state;
	const char text[40] = "a text of forty bytes, for any length";

	for (size_t len = 0; len <= sizeof text; len++) {
		uint64_t of_zero = hash_bytes(text, len, 0);
		for (int bit = 0; bit < 64; bit++)
			assert_true(hash_bytes(text, len, UINT64_C(1) << bit) != of_zero);
	}
}

/* The number that meets each text first, of pi: without a seed in it, a text that holds it there is
 * multiplied with zero, and what it meets counts no more. */
static void no_text_takes_the_seed_out_of_a_hash(void **state)
{
	(void)state;
	static const struct {
		size_t len, at, other; /* bytes; the number's place, and that of its factor */
	} cases[] = { { 12, 0, 8 },  { 16, 0, 8 }, { 24, 0, 8 },
		      { 24, 8, 20 }, { 40, 0, 8 }, { 40, 16, 24 } };
	const uint64_t number = 0x13198a2e03707345u;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[40] = "";
		memcpy(text + cases[i].at, &number, sizeof number);
		uint64_t before = hash_bytes(text, cases[i].len, 0x5eed5eed5eedu);
		text[cases[i].other]++;
		if (hash_bytes(text, cases[i].len, 0x5eed5eed5eedu) == before)
			fail_msg("%zu bytes, at %zu", cases[i].len, cases[i].at);
	}
}

static void log_values_cannot_break_the_line(void **state)
{
	(void)state;
	char out[64];
	assert_string_equal(log_quote("plain-value/1", out, sizeof out), "plain-value/1");
	assert_string_equal(log_quote("a b\"\n\x1b", out, sizeof out), "\"a b\\\"\\n\\x1b\"");
	assert_string_equal(log_quote("", out, sizeof out), "\"\"");
	assert_string_equal(log_quote("\xc2\x9b\xc2\x80\xc2\xa0", out, sizeof out),
			    "\"\\u009b\\u0080\\u00a0\"");
	/* as Go's slog, in which the log of Hubble 1.19.4's command is written, quotes them */
	assert_string_equal(log_quote("\ta\r\xff\xe2\x80\xae", out, sizeof out),
			    "\"\\ta\\r\\xff\\u202e\"");
	assert_string_equal(log_quote_str(STR("a\0b"), out, sizeof out), "\"a\\x00b\"");
	assert_string_equal(log_quote_str(str_upto(STR("abc"), 2), out, sizeof out), "ab");
	for (size_t size = 6; size < 40; size++) { /* plain ones are quoted where they are cut */
		char want[64];
		(void)snprintf(want, sizeof want, "\"%.*s…\"", (int)(size - 6), long_text(100));
		assert_string_equal(log_quote(long_text(100), out, size), want);
	}
	assert_string_equal(log_quote("1234567", out, 8), "1234567");
}

static void what_is_too_long_for_a_log_value_is_cut_between_characters(void **state)
{
	(void)state;
	assert_quotes_are_cut_between_characters(log_quote);
}

static void an_address_is_local_only_if_nobody_else_can_reach_it(void **state)
{
	(void)state;
	static const char *const local[] = { "localhost:4245", "127.0.0.1:1", "127.8.8.8:1",
					     "[::1]:4245", "unix:///x" };
	static const char *const open_[] = { ":4245",         "0.0.0.0:1",
					     "[::]:1",        "10.0.0.1:1",
					     "example.org:1", "localhost.evil:1",
					     "128.0.0.1:1",   "" };
	for (size_t i = 0; i < ARRAY_LEN(local); i++)
		assert_true(address_is_local(local[i]));
	for (size_t i = 0; i < ARRAY_LEN(open_); i++)
		assert_false(address_is_local(open_[i]));
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(close(fd), 0);
}

static void a_watched_file_is_noticed_when_it_is_written_replaced_or_removed(void **state)
{
	(void)state;
	char folder[] = "/tmp/tycho-watch-XXXXXX", path[64], other[64];
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s/file", folder);
	(void)snprintf(other, sizeof other, "%s/other", folder);
	struct err e;
	AUTO(file_watch_free) struct file_watch *w = NULL;
	assert_int_equal(file_watch_new(path, &w, &e), ERR_OK);
	assert_false(file_watch_changed(w));
	write_file(other, "x");
	assert_false(file_watch_changed(w)); /* a neighbour's business */
	write_file(path, "one");
	assert_true(file_watch_changed(w));
	assert_false(file_watch_changed(w));
	assert_int_equal(rename(other, path), 0);
	assert_true(file_watch_changed(w));
	AUTO_BUF struct buf text = buf_init(1);
	assert_int_equal(file_read(path, "the file", &text, &e), ERR_OK);
	assert_true(str_is(buf_str(&text), "x"));
	buf_reset(&text);
	write_file(path, "xy");
	assert_int_equal(file_read(path, "the file", &text, &e),
			 ERR_INVALID); /* larger than the buffer may be */
	assert_int_equal(unlink(path), 0);
	assert_true(file_watch_changed(w));
	assert_int_equal(file_read(path, "the file", &text, &e), ERR_NOT_FOUND);
	assert_int_equal(file_read(folder, "the file", &text, &e), ERR_INVALID);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(file_watch_new("/nonexistent/file", &w, &e), ERR_NOT_FOUND);
}

static void a_signal_is_an_event(void **state)
{
	(void)state;
	struct err e;
	AUTO_FD int fd = -1;
	assert_int_equal(signals_take(&fd, &e), ERR_OK);
	assert_int_equal(signals_next(fd), 0);
	assert_int_equal(kill(getpid(), SIGHUP), 0);
	assert_int_equal(signals_next(fd), SIGHUP);
	assert_int_equal(signals_next(fd), 0);
}

struct seen {
	char name[16];
	sigset_t blocked;
};

static void *look_around(void *arg)
{
	struct seen *s = arg;

	/* its name may come a moment after it */
	while (strcmp(s->name, "looks-around") != 0)
		(void)pthread_getname_np(pthread_self(), s->name, sizeof s->name);
	(void)pthread_sigmask(SIG_SETMASK, NULL, &s->blocked);
	return NULL;
}

static void a_thread_has_a_name_and_is_left_alone_by_signals(void **state)
{
	(void)state;
	struct seen seen = { .name = "" };
	sigset_t before, behind;
	pthread_t thread;

	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
	assert_int_equal(thread_start("looks-around", look_around, &seen, &thread, NULL), ERR_OK);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_string_equal(seen.name, "looks-around");
	assert_true(sigismember(&seen.blocked, SIGTERM));
	assert_true(sigismember(&seen.blocked, SIGCHLD));
	assert_false(sigismember(&seen.blocked, SIGSEGV));
	assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &behind), 0);
	for (int i = 1; i < SIGRTMIN; i++)
		assert_int_equal(sigismember(&behind, i), sigismember(&before, i));
}

struct bell {
	pthread_mutex_t mx;
	pthread_cond_t cond;
	bool rang; /* guarded by mx */
};

static void *ring(void *arg)
{
	struct bell *b = arg;

	(void)pthread_mutex_lock(&b->mx);
	b->rang = true;
	(void)pthread_cond_signal(&b->cond);
	(void)pthread_mutex_unlock(&b->mx);
	return NULL;
}

static void a_condition_is_waited_for_until_its_time_and_no_longer(void **state)
{
	(void)state;
	struct bell b = { .mx = PTHREAD_MUTEX_INITIALIZER };
	pthread_t thread;

	thread_cond_init(&b.cond);
	(void)pthread_mutex_lock(&b.mx);
	while (thread_cond_wait(&b.cond, &b.mx, mono_now()))
		; /* nobody rings */
	assert_int_equal(thread_start("ring", ring, &b, &thread, NULL), ERR_OK);
	const struct mono_ns far = { mono_now().v + 3600 * NS_PER_S };
	while (!b.rang)
		assert_true(thread_cond_wait(&b.cond, &b.mx, far));
	(void)pthread_mutex_unlock(&b.mx);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)pthread_cond_destroy(&b.cond);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_gathers_context_from_the_inside_out),
		cmocka_unit_test(a_long_error_ends_in_an_ellipsis_and_stays_utf8),
		cmocka_unit_test(a_long_context_leaves_room_for_the_reason),
		cmocka_unit_test(an_excerpt_is_whole_or_says_that_it_is_not),
		cmocka_unit_test(every_error_code_has_a_name),
		cmocka_unit_test(numbers_are_read_whole_or_refused),
		cmocka_unit_test(split_yields_every_piece_empty_ones_too),
		cmocka_unit_test(utf8_follows_rfc_3629),
		cmocka_unit_test(a_text_is_cut_at_a_character),
		cmocka_unit_test(a_buffer_stops_at_its_limit_and_says_so),
		cmocka_unit_test(times_are_written_as_proto3_json_does),
		cmocka_unit_test(bad_times_are_refused),
		cmocka_unit_test(durations_are_gos),
		cmocka_unit_test(before_gos_durations_may_stand_weeks_and_days),
		cmocka_unit_test(a_map_holds_what_was_put_until_it_is_full),
		cmocka_unit_test(a_hash_depends_on_every_byte_the_length_and_the_seed),
		cmocka_unit_test(a_hash_depends_on_the_order),
		cmocka_unit_test(a_hash_depends_on_every_bit_of_its_seed),
		cmocka_unit_test(no_text_takes_the_seed_out_of_a_hash),
		cmocka_unit_test(log_values_cannot_break_the_line),
		cmocka_unit_test(what_is_too_long_for_a_log_value_is_cut_between_characters),
		cmocka_unit_test(an_address_is_local_only_if_nobody_else_can_reach_it),
		cmocka_unit_test(a_watched_file_is_noticed_when_it_is_written_replaced_or_removed),
		cmocka_unit_test(a_signal_is_an_event),
		cmocka_unit_test(a_thread_has_a_name_and_is_left_alone_by_signals),
		cmocka_unit_test(a_condition_is_waited_for_until_its_time_and_no_longer),
		cmocka_unit_test(pages_are_zero_and_can_be_written_from_end_to_end),
		cmocka_unit_test(pages_of_more_bytes_than_there_are_numbers_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
