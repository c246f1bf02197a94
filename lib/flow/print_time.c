#include <stdio.h>

#include "flow/print.h"

#include "base/buf.h"
#include "base/time.h"

enum time_format time_format_parse(struct str name)
{
	static const char *const names[] = {
		[TIME_FORMAT_STAMP_MILLI] = "StampMilli",
		[TIME_FORMAT_YEAR_MONTH_DAY] = "YearMonthDay",
		[TIME_FORMAT_YEAR_MONTH_DAY_HOUR] = "YearMonthDayHour",
		[TIME_FORMAT_YEAR_MONTH_DAY_HOUR_MINUTE] = "YearMonthDayHourMinute",
		[TIME_FORMAT_RFC3339] = "RFC3339",
		[TIME_FORMAT_RFC3339_MILLI] = "RFC3339Milli",
		[TIME_FORMAT_RFC3339_MICRO] = "RFC3339Micro",
		[TIME_FORMAT_RFC3339_NANO] = "RFC3339Nano",
		[TIME_FORMAT_RFC1123Z] = "RFC1123Z",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq_nocase(name, str_of(names[i])))
			return (enum time_format)i;
	return TIME_FORMAT_STAMP_MILLI;
}

/* @v in @digits digits, zeros in front. */
static char *put_digits(char *to, uint64_t v, int digits)
{
	for (int i = digits - 1; i >= 0; i--, v /= 10)
		to[i] = (char)('0' + v % 10);
	return to + digits;
}

static char *put_text(char *to, const char *text)
{
	size_t n = strlen(text);

	memcpy(to, text, n);
	return to + n;
}

/* 2024-03-01, and as much of T10:00:00 as @fields says: 0 to 3. */
static char *put_date(char *to, const struct civil *c, int fields)
{
	const int values[] = { c->hour, c->minute, c->second };

	to = put_digits(to, (uint64_t)c->year, 4);
	*to++ = '-';
	to = put_digits(to, (uint64_t)c->month, 2);
	*to++ = '-';
	to = put_digits(to, (uint64_t)c->day, 2);
	for (int i = 0; i < fields; i++) {
		*to++ = i ? ':' : 'T';
		to = put_digits(to, (uint64_t)values[i], 2);
	}
	return to;
}

/* Up to @digits of the fraction, cut rather than rounded, without trailing zeros and a point that
 * nothing follows. */
static char *put_fraction(char *to, int32_t ns, int digits)
{
	char text[10] = ".";

	(void)put_digits(text + 1, (uint64_t)ns, 9);
	int length = 1 + digits;
	while (length > 1 && text[length - 1] == '0')
		length--;
	if (length == 1)
		return to;
	memcpy(to, text, (size_t)length);
	return to + length;
}

static char *put_clock(char *to, const struct civil *c)
{
	to = put_digits(to, (uint64_t)c->hour, 2);
	*to++ = ':';
	to = put_digits(to, (uint64_t)c->minute, 2);
	*to++ = ':';
	return put_digits(to, (uint64_t)c->second, 2);
}

void time_format_put(struct buf *b, enum time_format format, struct timestamp t)
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	enum { LONGEST = 40 };
	struct civil c = civil_of(t.s);
	char *from = buf_reserve(b, LONGEST), *to = from;

	if (!from)
		return;
	switch (format) {
	case TIME_FORMAT_STAMP_MILLI:
		to = put_text(to, months[c.month - 1]);
		*to++ = ' ';
		*to++ = c.day < 10 ? ' ' : (char)('0' + c.day / 10);
		*to++ = (char)('0' + c.day % 10);
		*to++ = ' ';
		to = put_clock(to, &c);
		*to++ = '.';
		to = put_digits(to, (uint64_t)t.ns / NS_PER_MS, 3);
		break;
	case TIME_FORMAT_YEAR_MONTH_DAY:
		to = put_date(to, &c, 0);
		break;
	case TIME_FORMAT_YEAR_MONTH_DAY_HOUR:
		to = put_text(put_date(to, &c, 1), "Z");
		break;
	case TIME_FORMAT_YEAR_MONTH_DAY_HOUR_MINUTE:
		to = put_text(put_date(to, &c, 2), "Z");
		break;
	case TIME_FORMAT_RFC3339:
		to = put_text(put_date(to, &c, 3), "Z");
		break;
	case TIME_FORMAT_RFC3339_MILLI:
		to = put_text(put_fraction(put_date(to, &c, 3), t.ns, 3), "Z");
		break;
	case TIME_FORMAT_RFC3339_MICRO:
		to = put_text(put_fraction(put_date(to, &c, 3), t.ns, 6), "Z");
		break;
	case TIME_FORMAT_RFC3339_NANO:
		to = put_text(put_fraction(put_date(to, &c, 3), t.ns, 9), "Z");
		break;
	case TIME_FORMAT_RFC1123Z:
		to = put_text(put_text(to, days[c.weekday]), ", ");
		to = put_digits(to, (uint64_t)c.day, 2);
		*to++ = ' ';
		to = put_text(put_text(to, months[c.month - 1]), " ");
		to = put_digits(to, (uint64_t)c.year, 4);
		*to++ = ' ';
		to = put_text(put_clock(to, &c), " +0000");
		break;
	}
	b->len += (size_t)(to - from);
}
