#include "flow/text.h"

static const char hex_digits[] = "0123456789abcdef";

static inline void put_hex8(char *p, uint8_t v)
{
	p[0] = hex_digits[v >> 4];
	p[1] = hex_digits[v & 15];
}

/* Lower-case digits to their value plus one; 0: none. */
static const uint8_t digit_values[256] = {
	['0'] = 1,  ['1'] = 2,	['2'] = 3,  ['3'] = 4,	['4'] = 5,  ['5'] = 6,	['6'] = 7,  ['7'] = 8,
	['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
};

/* Above 255 if it is none. */
static inline unsigned parse_hex8(const char *p)
{
	unsigned high = digit_values[(uint8_t)p[0]], low = digit_values[(uint8_t)p[1]];

	return high && low ? (high - 1) << 4 | (low - 1) : 256;
}

/* RFC 9562 section 4: 8-4-4-4-12 digits. Where the two digits of each byte stand. */
static const uint8_t uuid_at[16] = { 0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34 };

void uuid_put(char out[UUID_CHARS], const uint64_t uuid[2])
{
	for (int i = 0; i < 16; i++)
		put_hex8(out + uuid_at[i], (uint8_t)(uuid[i / 8] >> (56 - i % 8 * 8)));
	out[8] = out[13] = out[18] = out[23] = '-';
}

bool uuid_parse(struct str s, uint64_t ret[2])
{
	uint64_t v[2] = { 0, 0 };
	unsigned bad = 0;

	if (s.len != UUID_CHARS || s.p[8] != '-' || s.p[13] != '-' || s.p[18] != '-' || s.p[23] != '-')
		return false;
	for (int i = 0; i < 16; i++) {
		unsigned byte = parse_hex8(s.p + uuid_at[i]);
		bad |= byte;
		v[i / 8] = v[i / 8] << 8 | byte;
	}
	if (bad > UINT8_MAX)
		return false;
	ret[0] = v[0];
	ret[1] = v[1];
	return true;
}

void mac_put(char out[MAC_CHARS], const uint8_t mac[6])
{
	for (int i = 0; i < 6; i++) {
		put_hex8(out + 3 * i, mac[i]);
		if (i < 5)
			out[3 * i + 2] = ':';
	}
}

bool mac_parse(struct str s, uint8_t ret[6])
{
	uint8_t mac[6];

	if (s.len != MAC_CHARS)
		return false;
	for (int i = 0; i < 6; i++) {
		const char *p = s.p + 3 * i;
		unsigned byte = parse_hex8(p);
		if (byte > UINT8_MAX || (i < 5 && p[2] != ':'))
			return false;
		mac[i] = (uint8_t)byte;
	}
	memcpy(ret, mac, 6);
	return true;
}
