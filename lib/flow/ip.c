#include "flow/flow.h"

/* Decimal of one byte, without leading zeros. */
static char *put_u8(char *p, uint8_t v)
{
	if (v >= 100) {
		*p++ = (char)('0' + v / 100);
		v %= 100;
		*p++ = (char)('0' + v / 10);
	} else if (v >= 10) {
		*p++ = (char)('0' + v / 10);
	}
	*p++ = (char)('0' + v % 10);
	return p;
}

static char *put_hex16(char *p, unsigned v)
{
	static const char digits[] = "0123456789abcdef";

	if (v > 0xfff)
		*p++ = digits[v >> 12];
	if (v > 0xff)
		*p++ = digits[v >> 8 & 15];
	if (v > 0xf)
		*p++ = digits[v >> 4 & 15];
	*p++ = digits[v & 15];
	return p;
}

/* RFC 5952 section 4: lower case, no leading zeros, "::" for the first longest run of two or more
 * zero groups. */
static char *put_v6(char *p, const uint8_t ip[16])
{
	unsigned group[8];
	int best = -1, best_len = 1, run = 0;

	for (int i = 0; i < 8; i++) {
		group[i] = (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
		run = group[i] ? 0 : run + 1;
		if (run > best_len) {
			best_len = run;
			best = i + 1 - run;
		}
	}
	for (int i = 0; i < 8; i++) {
		if (i == best) {
			*p++ = ':';
			*p++ = ':';
			i += best_len - 1;
			continue;
		}
		if (i && i != best + best_len)
			*p++ = ':';
		p = put_hex16(p, group[i]);
	}
	return p;
}

struct str ip_text(const uint8_t ip[16], char tmp[FLOW_IP_TEXT_BYTES])
{
	char *p = tmp;

	if (ip_is_v4(ip)) {
		for (int i = 12; i < 16; i++) {
			if (i > 12)
				*p++ = '.';
			p = put_u8(p, ip[i]);
		}
	} else {
		p = put_v6(p, ip);
	}
	*p = 0;
	return str_n(tmp, (size_t)(p - tmp));
}

static bool parse_v4(const char *p, const char *end, uint8_t ret[4])
{
	for (int i = 0; i < 4; i++) {
		if (i && (p == end || *p++ != '.'))
			return false;
		const char *from = p;
		unsigned v = 0;
		while (p < end && *p >= '0' && *p <= '9' && p - from < 3)
			v = v * 10 + (unsigned)(*p++ - '0');
		if (p == from || v > 255 || (*from == '0' && p - from > 1))
			return false;
		ret[i] = (uint8_t)v;
	}
	return p == end;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Groups of one to four hex digits; one "::" that stands for at least one group; the last 32 bits
 * may be dotted. */
static bool parse_v6(const char *p, const char *end, uint8_t ret[16])
{
	int n = 0, gap = -1;
	uint8_t out[16] = { 0 };

	if (end - p >= 2 && p[0] == ':' && p[1] == ':') {
		gap = 0;
		p += 2;
	}
	while (p < end && n < 16) {
		const char *from = p;
		unsigned v = 0;
		for (int digit; p < end && p - from < 4 && (digit = hex_value(*p)) >= 0; p++)
			v = v << 4 | (unsigned)digit;
		if (p == from)
			return false;
		if (p < end && *p == '.') {
			if (n > 12 || (gap < 0 && n != 12) || !parse_v4(from, end, out + n))
				return false;
			n += 4;
			p = end;
			break;
		}
		out[n++] = (uint8_t)(v >> 8);
		out[n++] = (uint8_t)v;
		if (p == end)
			break;
		if (*p++ != ':' || p == end)
			return false;
		if (*p == ':') {
			if (gap >= 0)
				return false;
			gap = n;
			p++;
		}
	}
	if (p != end || (gap < 0 ? n != 16 : n == 16))
		return false;
	if (gap >= 0) {
		memmove(out + 16 - (n - gap), out + gap, (size_t)(n - gap));
		memset(out + gap, 0, (size_t)(16 - n));
	}
	memcpy(ret, out, 16);
	return true;
}

bool ip_parse(struct str s, uint8_t ret[16])
{
	const char *p = s.len ? s.p : "", *end = p + s.len;
	uint8_t v4[4];

	for (size_t i = 0; i < s.len && i < 5;
	     i++) { /* one or the other comes before the fifth byte is over */
		if (p[i] == ':')
			return parse_v6(p, end, ret);
		if (p[i] == '.') {
			if (!parse_v4(p, end, v4))
				return false;
			ip_from_v4(ret, v4);
			return true;
		}
	}
	return false;
}
