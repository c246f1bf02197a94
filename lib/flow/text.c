#include "flow/text.h"

static const char hex_digits[] = "0123456789abcdef";

static char *put_hex8(char *p, uint8_t v)
{
	*p++ = hex_digits[v >> 4];
	*p++ = hex_digits[v & 15];
	return p;
}

/* Lower case only; -1 otherwise. */
static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int parse_hex8(const char *p)
{
	int high = digit_value(p[0]), low = digit_value(p[1]);

	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* RFC 9562 section 4: 8-4-4-4-12 digits. True for the byte before which a dash stands. */
static bool dash_before(int byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void uuid_put(char out[UUID_CHARS], const uint64_t uuid[2])
{
	for (int i = 0; i < 16; i++) {
		if (dash_before(i))
			*out++ = '-';
		out = put_hex8(out, (uint8_t)(uuid[i / 8] >> (56 - i % 8 * 8)));
	}
}

bool uuid_parse(struct str s, uint64_t ret[2])
{
	uint64_t v[2] = { 0, 0 };

	if (s.len != UUID_CHARS)
		return false;
	const char *p = s.p;
	for (int i = 0; i < 16; i++, p += 2) {
		if (dash_before(i) && *p++ != '-')
			return false;
		int byte = parse_hex8(p);
		if (byte < 0)
			return false;
		v[i / 8] = v[i / 8] << 8 | (unsigned)byte;
	}
	ret[0] = v[0];
	ret[1] = v[1];
	return true;
}

void mac_put(char out[MAC_CHARS], const uint8_t mac[6])
{
	for (int i = 0; i < 6; i++) {
		if (i)
			*out++ = ':';
		out = put_hex8(out, mac[i]);
	}
}

bool mac_parse(struct str s, uint8_t ret[6])
{
	uint8_t mac[6];

	if (s.len != MAC_CHARS)
		return false;
	for (int i = 0; i < 6; i++) {
		const char *p = s.p + 3 * i;
		int byte = parse_hex8(p);
		if (byte < 0 || (i < 5 && p[2] != ':'))
			return false;
		mac[i] = (uint8_t)byte;
	}
	memcpy(ret, mac, 6);
	return true;
}
