/* Texts of times and durations: those of --since and --until, RFC 3339 as JSON has it, and Go's
 * durations. What is read, written and read again is the same. */
#include <stdlib.h>

#include "base/buf.h"
#include "cli/observe_time.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok)
{
	if (!ok)
		abort();
}

/* @t is one that proto3 can say. */
static void check_text(struct timestamp t)
{
	char text[64];
	struct buf b = buf_fixed(text, sizeof text);
	struct timestamp again = { 0 };

	expect(t.s >= TIMESTAMP_MIN_S && t.s <= TIMESTAMP_MAX_S);
	timestamp_put(&b, t);
	expect(!b.failed && timestamp_parse(buf_str(&b), &again));
	expect(timestamp_cmp(t, again) == 0);
}

static void check_option(struct str text)
{
	static const struct timestamp now = { 1709632800, 500000000 }; /* 2024-03-05T10:00:00.5Z */
	struct timestamp t = { 7, 7 };
	struct err e = { .msg = "" };

	if (observe_time_parse(text, now, &t, &e) != ERR_OK) {
		expect(e.msg[0] && t.s == 7 && t.ns == 7);
		return;
	}
	expect(t.ns >= 0 && t.ns < (int32_t)NS_PER_S);
	if (observe_time_check(t, &e) == ERR_OK)
		check_text(t);
	else
		expect(e.msg[0]);
}

static void check_duration(struct str text)
{
	char put[64];
	struct buf b = buf_fixed(put, sizeof put);
	int64_t ns, again = 0;

	if (!duration_parse(text, &ns))
		return;
	duration_put(&b, ns);
	expect(!b.failed && duration_parse(buf_str(&b), &again));
	expect(ns == again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_n(data, size);
	struct timestamp t;

	check_option(text);
	check_duration(text);
	if (timestamp_parse(text, &t))
		check_text(t);
	return 0;
}
