#include "base/time.h"

#include <stdio.h>
#include <time.h>

#include "base/buf.h"

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(id, &ts); /* cannot fail for the two clocks below */
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

struct mono_ns mono_now(void)
{
	return (struct mono_ns){ clock_ns(CLOCK_MONOTONIC) };
}

struct wall_ns wall_now(void)
{
	return (struct wall_ns){ clock_ns(CLOCK_REALTIME) };
}

struct timestamp timestamp_of(struct wall_ns w)
{
	return (struct timestamp){ (int64_t)(w.v / NS_PER_S), (int32_t)(w.v % NS_PER_S) };
}

bool timestamp_to_wall(struct timestamp t, struct wall_ns *ret)
{
	if (t.s < 0 || t.ns < 0 || (uint64_t)t.s > (UINT64_MAX - (uint64_t)t.ns) / NS_PER_S)
		return false;
	ret->v = (uint64_t)t.s * NS_PER_S + (uint64_t)t.ns;
	return true;
}

enum err_code timestamp_check(int64_t s, int32_t ns, struct timestamp *ret, struct err *e)
{
	char seconds[32] = "", nanos[24] = "";
	const char *fault = s < TIMESTAMP_MIN_S             ? "before 0001-01-01"
			    : s > TIMESTAMP_MAX_S           ? "after 9999-12-31"
			    : ns < 0 || ns >= (int)NS_PER_S ? "has out-of-range nanos"
							    : NULL;

	if (!fault) {
		*ret = (struct timestamp){ s, ns };
		return ERR_OK;
	}
	/* As protobuf prints a message: a member that is 0 is left out. */
	if (s)
		(void)snprintf(seconds, sizeof seconds, "seconds:%lld", (long long)s);
	if (ns)
		(void)snprintf(nanos, sizeof nanos, "%snanos:%d", s ? " " : "", ns);
	return err_set(e, ERR_PARSE, "proto: timestamp (%s%s) %s", seconds, nanos, fault);
}

int timestamp_cmp(struct timestamp a, struct timestamp b)
{
	if (a.s != b.s)
		return a.s < b.s ? -1 : 1;
	return (a.ns > b.ns) - (a.ns < b.ns);
}

/* The two calendar functions count in eras of 400 years that begin on 1 March, so that the leap day
 * is the last day of a year. */
enum { DAYS_PER_ERA = 146097, EPOCH_DAY = 719468 };

static int64_t days_of(int64_t year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * DAYS_PER_ERA + day_of_era - EPOCH_DAY;
}

int64_t civil_to_s(int64_t year, int month, int day, int hour, int minute, int second)
{
	return days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
}

struct civil civil_of(int64_t epoch_s)
{
	int64_t days = epoch_s / 86400, rest = epoch_s % 86400;
	if (rest < 0) {
		rest += 86400;
		days--;
	}
	int64_t weekday = (days + 4) % 7; /* the epoch was a Thursday */
	int64_t z = days + EPOCH_DAY;
	int64_t era = (z >= 0 ? z : z - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
	int64_t doe = z - era * DAYS_PER_ERA;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / (DAYS_PER_ERA - 1)) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	int month = (int)(mp < 10 ? mp + 3 : mp - 9);

	return (struct civil){
		.year = yoe + era * 400 + (month <= 2),
		.month = month,
		.day = (int)(doy - (153 * mp + 2) / 5 + 1),
		.hour = (int)(rest / 3600),
		.minute = (int)(rest / 60 % 60),
		.second = (int)(rest % 60),
		.weekday = (int)(weekday < 0 ? weekday + 7 : weekday),
	};
}

/* @n digits of @v, zero padded. */
static char *put_digits(char *to, uint64_t v, int n)
{
	for (int i = n - 1; i >= 0; i--) {
		to[i] = (char)('0' + v % 10);
		v /= 10;
	}
	return to + n;
}

void timestamp_put(struct buf *b, struct timestamp t)
{
	struct civil c = civil_of(t.s);
	char text[32], *p = text;

	p = put_digits(p, (uint64_t)c.year, 4);
	*p++ = '-';
	p = put_digits(p, (uint64_t)c.month, 2);
	*p++ = '-';
	p = put_digits(p, (uint64_t)c.day, 2);
	*p++ = 'T';
	p = put_digits(p, (uint64_t)c.hour, 2);
	*p++ = ':';
	p = put_digits(p, (uint64_t)c.minute, 2);
	*p++ = ':';
	p = put_digits(p, (uint64_t)c.second, 2);
	if (t.ns) {
		uint64_t frac = (uint64_t)t.ns;
		int digits = 9;
		while (digits > 3 && frac % 1000 == 0) {
			frac /= 1000;
			digits -= 3;
		}
		*p++ = '.';
		p = put_digits(p, frac, digits);
	}
	*p++ = 'Z';
	buf_put(b, text, (size_t)(p - text));
}

static bool take_digits(struct str *s, int n, int *ret)
{
	int v = 0;

	if (s->len < (size_t)n)
		return false;
	for (int i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		v = v * 10 + (s->p[i] - '0');
	}
	*s = str_from(*s, (size_t)n);
	*ret = v;
	return true;
}

static bool take_char(struct str *s, char c)
{
	if (!s->len || s->p[0] != c)
		return false;
	*s = str_from(*s, 1);
	return true;
}

static bool date_exists(int year, int month, int day, bool year_0)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return year >= 1 - year_0 && month >= 1 && month <= 12 && day >= 1 &&
	       day <= days[month - 1] + (month == 2 && leap);
}

/* @n digits of which the first may be missing where @lax. */
static bool take_hour(struct str *s, bool lax, int *ret)
{
	return take_digits(s, 2, ret) || (lax && take_digits(s, 1, ret));
}

/* A fraction behind its point, nanoseconds; @lax takes more digits than count. */
static bool take_fraction(struct str *s, bool lax, int *ret_ns)
{
	int digits = 0, ns = 0;

	for (; s->len && s->p[0] >= '0' && s->p[0] <= '9'; digits++) {
		if (digits < 9)
			ns = ns * 10 + (s->p[0] - '0');
		*s = str_from(*s, 1);
	}
	for (int i = digits; i < 9; i++)
		ns *= 10;
	*ret_ns = ns;
	return digits && (lax || digits <= 9);
}

static bool parse_timestamp(struct str s, bool lax, struct timestamp *ret)
{
	int year, month, day, hour, minute, second, ns = 0, offset_s = 0;

	if (!take_digits(&s, 4, &year) || !take_char(&s, '-') || !take_digits(&s, 2, &month) ||
	    !take_char(&s, '-') || !take_digits(&s, 2, &day) || !take_char(&s, 'T') ||
	    !take_hour(&s, lax, &hour) || !take_char(&s, ':') || !take_digits(&s, 2, &minute) ||
	    !take_char(&s, ':') || !take_digits(&s, 2, &second))
		return false;
	if (!date_exists(year, month, day, lax) || hour > 23 || minute > 59 || second > 59)
		return false;
	if ((take_char(&s, '.') || (lax && take_char(&s, ','))) && !take_fraction(&s, lax, &ns))
		return false;
	if (!take_char(&s, 'Z')) {
		int sign = s.len && s.p[0] == '-' ? -1 : 1, oh, om;
		if (!take_char(&s, '+') && !take_char(&s, '-'))
			return false;
		if (!take_digits(&s, 2, &oh) || !take_char(&s, ':') || !take_digits(&s, 2, &om) ||
		    oh > 23 + lax || om > 59 + lax)
			return false;
		offset_s = sign * (oh * 3600 + om * 60);
	}
	if (s.len)
		return false;
	int64_t t = civil_to_s(year, month, day, hour, minute, second) - offset_s;
	if (t < TIMESTAMP_MIN_S || t > TIMESTAMP_MAX_S)
		return false;
	*ret = (struct timestamp){ t, ns };
	return true;
}

bool timestamp_parse(struct str s, struct timestamp *ret)
{
	return parse_timestamp(s, false, ret);
}

bool timestamp_parse_lax(struct str s, struct timestamp *ret)
{
	return parse_timestamp(s, true, ret);
}

/* Unit at the start of @s: its length in bytes and in nanoseconds. */
static size_t unit_of(struct str s, uint64_t *ret_ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ns", 1 },
		{ "us", NS_PER_US },
		{ "\xc2\xb5s", NS_PER_US },
		{ "\xce\xbcs", NS_PER_US },
		{ "ms", NS_PER_MS },
		{ "s", NS_PER_S },
		{ "m", 60 * NS_PER_S },
		{ "h", 3600 * NS_PER_S },
	};
	size_t n = 0;

	while (n < s.len && s.p[n] != '.' && (s.p[n] < '0' || s.p[n] > '9'))
		n++;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (str_is(str_upto(s, n), units[i].name)) {
			*ret_ns = units[i].ns;
			return n;
		}
	return 0;
}

bool duration_parse(struct str s, int64_t *ret_ns)
{
	const uint64_t limit = (uint64_t)1 << 63;
	bool negative = false;
	uint64_t total = 0;

	if (s.len && (s.p[0] == '-' || s.p[0] == '+')) {
		negative = s.p[0] == '-';
		s = str_from(s, 1);
	}
	if (str_is(s, "0")) {
		*ret_ns = 0;
		return true;
	}
	if (!s.len)
		return false;
	while (s.len) {
		uint64_t whole = 0, frac = 0, unit_ns;
		double scale = 1;
		bool digits = false;
		for (; s.len && s.p[0] >= '0' && s.p[0] <= '9'; s = str_from(s, 1)) {
			if (whole > limit / 10)
				return false;
			whole = whole * 10 + (uint64_t)(s.p[0] - '0');
			digits = true;
		}
		if (s.len && s.p[0] == '.') {
			bool full = false;
			s = str_from(s, 1);
			for (; s.len && s.p[0] >= '0' && s.p[0] <= '9'; s = str_from(s, 1)) {
				digits = true;
				if (full || frac > (limit - 1) / 10 - 1) {
					full = true; /* further digits are below a nanosecond */
					continue;
				}
				frac = frac * 10 + (uint64_t)(s.p[0] - '0');
				scale *= 10;
			}
		}
		size_t unit_bytes = digits ? unit_of(s, &unit_ns) : 0;
		if (!unit_bytes || whole > limit / unit_ns)
			return false;
		s = str_from(s, unit_bytes);
		uint64_t v = whole * unit_ns;
		if (frac)
			v += (uint64_t)((double)frac * ((double)unit_ns / scale));
		if (v > limit || total + v > limit)
			return false;
		total += v;
	}
	if (negative) {
		*ret_ns = (int64_t)(0 - total);
		return true;
	}
	if (total > INT64_MAX)
		return false;
	*ret_ns = (int64_t)total;
	return true;
}

bool duration_parse_days(struct str s, int64_t *ret_ns)
{
	static const struct {
		char letter;
		uint64_t ns;
	} units[] = { { 'w', 7 * 86400 * NS_PER_S }, { 'd', 86400 * NS_PER_S } };
	bool negative = s.len && s.p[0] == '-';
	struct str rest = negative ? str_from(s, 1) : s;
	uint64_t total = 0, n;
	int64_t ns = 0;

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		size_t at = str_find(rest, units[i].letter);
		if (at == rest.len || !parse_u64(str_upto(rest, at), INT64_MAX / units[i].ns, &n))
			continue;
		total += n * units[i].ns;
		if (total > INT64_MAX)
			return false;
		rest = str_from(rest, at + 1);
	}
	if (rest.len == s.len - negative)
		return duration_parse(s, ret_ns);
	/* What follows days has no sign of its own. */
	if (rest.len && (rest.p[0] == '-' || rest.p[0] == '+' || !duration_parse(rest, &ns)))
		return false;
	if (total > INT64_MAX - (uint64_t)ns)
		return false;
	*ret_ns = (negative ? -1 : 1) * (int64_t)(total + (uint64_t)ns);
	return true;
}

/* @v / 10^@digits without trailing zeros in the fraction. */
static void put_decimal(struct buf *b, uint64_t v, int digits)
{
	uint64_t scale = 1;
	for (int i = 0; i < digits; i++)
		scale *= 10;
	uint64_t frac = v % scale;

	buf_u64(b, v / scale);
	if (!frac)
		return;
	while (frac % 10 == 0) {
		frac /= 10;
		digits--;
	}
	char text[20];
	buf_char(b, '.');
	buf_put(b, text, (size_t)(put_digits(text, frac, digits) - text));
}

void duration_put(struct buf *b, int64_t ns)
{
	uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;

	if (ns < 0)
		buf_char(b, '-');
	if (v == 0) {
		buf_lit(b, "0s");
	} else if (v < NS_PER_US) {
		buf_u64(b, v);
		buf_lit(b, "ns");
	} else if (v < NS_PER_MS) {
		put_decimal(b, v, 3);
		buf_lit(b, "\xc2\xb5s");
	} else if (v < NS_PER_S) {
		put_decimal(b, v, 6);
		buf_lit(b, "ms");
	} else {
		uint64_t minutes = v / (60 * NS_PER_S);
		if (minutes >= 60) {
			buf_u64(b, minutes / 60);
			buf_char(b, 'h');
		}
		if (minutes) {
			buf_u64(b, minutes % 60);
			buf_char(b, 'm');
		}
		put_decimal(b, v % (60 * NS_PER_S), 9);
		buf_char(b, 's');
	}
}
