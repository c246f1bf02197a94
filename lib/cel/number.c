#include "cel/number.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"

enum {
	NUMBER_CHARS = 512, /* longer texts are no numbers that people write */
	MOST_DIGITS = 17,   /* tell any two doubles apart */
	PLAIN_DIGITS = 6,   /* from this exponent on, %g writes one */
};

/* What strtod takes and ParseFloat does not: leading blanks, "nan(…)", half of an exponent's sign.
 */
static bool looks_like_number(struct str s)
{
	static const char allowed[] = "+-.0123456789abcdefABCDEFxXpPinfINFatyATY";

	for (size_t i = 0; i < s.len; i++)
		if (!s.p[i] || !strchr(allowed, s.p[i]))
			return false;
	return s.len > 0;
}

bool parse_double(struct str s, double *ret)
{
	char text[NUMBER_CHARS], *end;

	if (s.len >= sizeof text || !looks_like_number(s))
		return false;
	memcpy(text, s.p, s.len);
	text[s.len] = '\0';
	bool hex = strpbrk(text, "xX") != NULL, power = strpbrk(text, "pP") != NULL;
	errno = 0;
	double v = strtod(text, &end);
	/* hexadecimal needs its power of two; what is too small to be told from zero is zero */
	if (*end || end == text || hex != power || (errno == ERANGE && isinf(v)))
		return false;
	*ret = v;
	return true;
}

bool parse_int(struct str s, int64_t *ret)
{
	bool negative = s.len && s.p[0] == '-', sign = negative || (s.len && s.p[0] == '+');
	uint64_t v;

	if (!parse_u64(str_from(s, sign), (uint64_t)INT64_MAX + negative, &v))
		return false;
	*ret = (int64_t)(negative ? -v : v);
	return true;
}

/* "d.ddde±x" with the fewest digits that read back as @v. */
static void shortest(double v, char out[40])
{
	for (int digits = 0; digits < MOST_DIGITS; digits++) {
		(void)snprintf(out, 40, "%.*e", digits, v);
		if (strtod(out, NULL) == v)
			return;
	}
}

static bool put_special(struct buf *b, double v)
{
	if (isnan(v))
		buf_lit(b, "NaN");
	else if (isinf(v))
		buf_str_put(b, v > 0 ? STR("+Inf") : STR("-Inf"));
	return isnan(v) || isinf(v);
}

/* The digits of "d.ddde±x" with the point where the exponent says. */
static void put_plain(struct buf *b, const char *text)
{
	const char *e = strchr(text, 'e');
	int exponent = atoi(e + 1), point = exponent + 1, written = 0;

	if (*text == '-')
		buf_char(b, *text++);
	if (point <= 0) {
		buf_lit(b, "0.");
		for (int i = point; i < 0; i++)
			buf_char(b, '0');
	}
	for (; text < e; text++) {
		if (*text == '.')
			continue;
		if (written && written == point)
			buf_char(b, '.');
		buf_char(b, *text);
		written++;
	}
	for (; written < point; written++)
		buf_char(b, '0');
}

void double_put(struct buf *b, double v)
{
	char text[40];

	if (put_special(b, v))
		return;
	shortest(v, text);
	int exponent = atoi(strchr(text, 'e') + 1);
	if (v != 0 && (exponent < -4 || exponent >= PLAIN_DIGITS))
		buf_str_put(b,
			    str_of(text)); /* both C and Go write at least two digits of exponent */
	else
		put_plain(b, text);
}

void double_put_plain(struct buf *b, double v)
{
	char text[40];

	if (put_special(b, v))
		return;
	shortest(v, text);
	put_plain(b, text);
}
