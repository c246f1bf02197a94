#include "cli/observe_time.h"

#include "cli/flags.h"

/* A reader over what is left of the text, with a sticky fault. */
struct scan {
	struct str rest;
	bool bad;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool at_end(const struct scan *s)
{
	return !s->bad && !s->rest.len;
}

static bool next_is(const struct scan *s, char c)
{
	return !s->bad && s->rest.len && s->rest.p[0] == c;
}

static void expect(struct scan *s, char c)
{
	if (!next_is(s, c))
		s->bad = true;
	else
		s->rest = str_from(s->rest, 1);
}

/* One blank or more: as Go reads what its layout has one blank for. */
static void expect_blanks(struct scan *s)
{
	expect(s, ' ');
	while (next_is(s, ' '))
		expect(s, ' ');
}

/* A number of @least to @most digits, at most @max. */
static int number(struct scan *s, size_t least, size_t most, int max)
{
	size_t n = 0;
	int v = 0;

	while (!s->bad && n < most && n < s->rest.len && is_digit(s->rest.p[n]))
		v = v * 10 + (s->rest.p[n++] - '0');
	if (n < least || v > max)
		s->bad = true;
	s->rest = str_from(s->rest, n);
	return s->bad ? 0 : v;
}

/* ".123" or ",123": any number of digits, of which nine count. */
static int32_t fraction(struct scan *s)
{
	int32_t ns = 0, unit = 100000000;

	if (s->bad || s->rest.len < 2 || (s->rest.p[0] != '.' && s->rest.p[0] != ',') ||
	    !is_digit(s->rest.p[1]))
		return 0;
	s->rest = str_from(s->rest, 1);
	while (s->rest.len && is_digit(s->rest.p[0])) {
		ns += (s->rest.p[0] - '0') * unit;
		unit /= 10;
		s->rest = str_from(s->rest, 1);
	}
	return ns;
}

/* "Z" if allowed, "+01:00" or, without @colon, "+0100". @return seconds east of Greenwich. */
static int zone(struct scan *s, bool colon)
{
	if (colon && next_is(s, 'Z')) {
		expect(s, 'Z');
		return 0;
	}
	bool west = next_is(s, '-');
	expect(s, west ? '-' : '+');
	int hours = number(s, 2, 2, 24);
	if (colon)
		expect(s, ':');
	int minutes = number(s, 2, 2, 60);
	return (west ? -1 : 1) * (hours * 3600 + minutes * 60);
}

/* A word of @names (three letters each, in a row) in any case. @return its place from 0. */
static int word_of(struct scan *s, const char *names)
{
	for (int i = 0; !s->bad && names[3 * i]; i++) {
		if (str_eq_nocase(str_upto(s->rest, 3), str_n(names + 3 * i, 3))) {
			s->rest = str_from(s->rest, 3);
			return i;
		}
	}
	s->bad = true;
	return 0;
}

static bool day_exists(int year, int month, int day)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month >= 1 && month <= 12 && day >= 1 &&
	       day <= days[month - 1] + (month == 2 && leap);
}

static bool parse_iso(struct str text, struct timestamp *ret)
{
	struct scan s = { text, false };
	int hour = 0, minute = 0, second = 0, east = 0;
	int32_t ns = 0;

	int year = number(&s, 4, 4, 9999);
	expect(&s, '-');
	int month = number(&s, 2, 2, 12);
	expect(&s, '-');
	int day = number(&s, 2, 2, 31);
	if (!at_end(&s)) {
		expect(&s, 'T');
		hour = number(&s, 1, 2, 23);
		if (next_is(&s, ':')) {
			expect(&s, ':');
			minute = number(&s, 2, 2, 59);
			if (next_is(&s, ':')) {
				expect(&s, ':');
				second = number(&s, 2, 2, 59);
				ns = fraction(&s);
			}
		}
		east = zone(&s, true);
	}
	if (!at_end(&s) || !day_exists(year, month, day))
		return false;
	*ret = (struct timestamp){ civil_to_s(year, month, day, hour, minute, second) - east, ns };
	return true;
}

static bool parse_rfc1123(struct str text, struct timestamp *ret)
{
	struct scan s = { text, false };

	(void)word_of(&s,
		      "SunMonTueWedThuFriSat"); /* Go does not compare it with the date either */
	expect(&s, ',');
	expect_blanks(&s);
	int day = number(&s, 2, 2, 31);
	expect_blanks(&s);
	int month = word_of(&s, "JanFebMarAprMayJunJulAugSepOctNovDec") + 1;
	expect_blanks(&s);
	int year = number(&s, 4, 4, 9999);
	expect_blanks(&s);
	int hour = number(&s, 1, 2, 23);
	expect(&s, ':');
	int minute = number(&s, 2, 2, 59);
	expect(&s, ':');
	int second = number(&s, 2, 2, 59);
	int32_t ns = fraction(&s);
	expect_blanks(&s);
	int east = zone(&s, false);
	if (!at_end(&s) || !day_exists(year, month, day))
		return false;
	*ret = (struct timestamp){ civil_to_s(year, month, day, hour, minute, second) - east, ns };
	return true;
}

enum err_code observe_time_parse(struct str text, struct timestamp now, struct timestamp *ret,
				 struct err *e)
{
	const int64_t second = (int64_t)NS_PER_S;
	int64_t ago_ns;

	if (duration_parse_days(text, &ago_ns)) {
		/* the sign wraps, as Go's does: the longest time from now is as long ago */
		int64_t add_ns = (int64_t)(0 - (uint64_t)ago_ns);
		int64_t s = now.s + add_ns / second, ns = now.ns + add_ns % second;
		if (ns < 0) {
			s--;
			ns += second;
		} else if (ns >= second) {
			s++;
			ns -= second;
		}
		*ret = (struct timestamp){ s, (int32_t)ns };
		return ERR_OK;
	}
	if (parse_iso(text, ret) || parse_rfc1123(text, ret))
		return ERR_OK;
	return err_set(e, ERR_PARSE, "failed to convert %.*s to time", STR_FMT(text));
}

enum err_code observe_time_check(struct timestamp t, struct err *e)
{
	const char *fault = t.s < TIMESTAMP_MIN_S   ? "before 0001-01-01"
			    : t.s > TIMESTAMP_MAX_S ? "after 9999-12-31"
						    : NULL;

	if (!fault)
		return ERR_OK;
	if (!t.ns)
		return err_set(e, ERR_INVALID, "proto: timestamp (seconds:%lld) %s", (long long)t.s,
			       fault);
	return err_set(e, ERR_INVALID, "proto: timestamp (seconds:%lld nanos:%d) %s",
		       (long long)t.s, t.ns, fault);
}

enum err_code observe_time_flag(const struct flags *f, const char *flag, bool *ret_has,
				struct timestamp *ret, struct err *e)
{
	const char *text = flags_text(f, flag);
	struct timestamp at;
	struct err why;

	if (!*text)
		return ERR_OK;
	if (observe_time_parse(str_of(text), timestamp_of(wall_now()), &at, &why) != ERR_OK)
		return err_set(e, why.code,
			       "failed to parse the %s time: %s; expected a time such as 5m, 7d, "
			       "2026-03-01 or 2026-03-01T10:00:00Z",
			       flag, why.msg);
	if (observe_time_check(at, e) != ERR_OK)
		return err_in(e, "failed to convert `%s` timestamp to proto", flag);
	*ret = at;
	*ret_has = true;
	return ERR_OK;
}
