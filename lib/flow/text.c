#include "flow/text.h"

#include "flow/swar.h"

static const char hex_digits[] = "0123456789abcdef";

static inline void put_hex8(char *p, uint8_t v)
{
	p[0] = hex_digits[v >> 4];
	p[1] = hex_digits[v & 15];
}

/* Lower-case digits to their value and a bit that all digits have: it tells them from other
 * characters without a branch. */
enum { IS_DIGIT = 0x10 };
static const uint8_t digits[256] = {
	['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13, ['4'] = 0x14, ['5'] = 0x15,
	['6'] = 0x16, ['7'] = 0x17, ['8'] = 0x18, ['9'] = 0x19, ['a'] = 0x1a, ['b'] = 0x1b,
	['c'] = 0x1c, ['d'] = 0x1d, ['e'] = 0x1e, ['f'] = 0x1f,
};

/* Clears IS_DIGIT in *@ok if one of the two is none. */
static inline uint8_t parse_hex8(const char *p, unsigned *ok)
{
	unsigned high = digits[(uint8_t)p[0]], low = digits[(uint8_t)p[1]];

	*ok &= high & low;
	return (uint8_t)(high << 4 | (low & 15));
}

/* Eight digits at once: each byte of @v is spread over two, then 10 to 15 are moved up to letters. */
static inline void put_hex32(char p[8], uint32_t v)
{
	uint64_t x = __builtin_bswap32(v); /* the first two digits are the lowest byte */

	x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
	x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
	x = (x >> 4 | x << 8) & (SWAR_ONES * 0x0f);
	x += SWAR_ONES * '0' + (((x + SWAR_ONES * 6) >> 4) & SWAR_ONES) * ('a' - '0' - 10);
	swar_store(p, x);
}

/* RFC 9562 section 4: 8-4-4-4-12 digits. Where the two digits of each byte stand. */
static const uint8_t uuid_at[16] = { 0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34 };

void uuid_put(char out[UUID_CHARS], const uint64_t uuid[2])
{
	char middle[16];

	put_hex32(out, (uint32_t)(uuid[0] >> 32));
	put_hex32(middle, (uint32_t)uuid[0]);
	put_hex32(middle + 8, (uint32_t)(uuid[1] >> 32));
	for (size_t i = 0; i < 4; i++) {
		out[8 + 5 * i] = '-';
		memcpy(out + 9 + 5 * i, middle + 4 * i, 4);
	}
	put_hex32(out + 28, (uint32_t)uuid[1]);
}

bool uuid_parse(struct str s, uint64_t ret[2])
{
	uint64_t v[2] = { 0, 0 };
	unsigned ok = IS_DIGIT;

	if (s.len != UUID_CHARS || s.p[8] != '-' || s.p[13] != '-' || s.p[18] != '-' ||
	    s.p[23] != '-')
		return false;
	for (int i = 0; i < 16; i++)
		v[i / 8] = v[i / 8] << 8 | parse_hex8(s.p + uuid_at[i], &ok);
	if (!ok)
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
	unsigned ok = IS_DIGIT;

	if (s.len != MAC_CHARS)
		return false;
	for (int i = 0; i < 6; i++) {
		mac[i] = parse_hex8(s.p + 3 * i, &ok);
		if (i < 5 && s.p[3 * i + 2] != ':')
			return false;
	}
	if (!ok)
		return false;
	memcpy(ret, mac, 6);
	return true;
}
