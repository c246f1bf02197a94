#include "base/str.h"

#include <stdlib.h>

int str_cmp(struct str a, struct str b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : (a.len > b.len) - (a.len < b.len);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	return true;
}

size_t str_find(struct str s, char c)
{
	const char *at = s.len ? memchr(s.p, c, s.len) : NULL;

	return at ? (size_t)(at - s.p) : s.len;
}

size_t str_find_last(struct str s, char c)
{
	const char *at = s.len ? memrchr(s.p, c, s.len) : NULL;

	return at ? (size_t)(at - s.p) : s.len;
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
	while (s.len && is_space(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len && is_space(s.p[s.len - 1]))
		s.len--;
	return s;
}

bool str_split(struct str *s, char sep, struct str *ret_head)
{
	if (!s->p)
		return false;
	size_t at = str_find(*s, sep);
	*ret_head = str_upto(*s, at);
	if (at == s->len)
		*s = (struct str){ NULL, 0 };
	else
		*s = str_from(*s, at + 1);
	return true;
}

char *str_dup(struct str s)
{
	char *z = malloc(s.len + 1);

	if (!z)
		return NULL;
	if (s.len)
		memcpy(z, s.p, s.len);
	z[s.len] = 0;
	return z;
}

bool parse_u64(struct str s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!s.len)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(s.p[i] - '0');
		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	if (v > max)
		return false;
	*ret = v;
	return true;
}

bool parse_u32(struct str s, uint32_t *ret)
{
	uint64_t v;

	if (!parse_u64(s, UINT32_MAX, &v))
		return false;
	*ret = (uint32_t)v;
	return true;
}

bool parse_u16(struct str s, uint16_t *ret)
{
	uint64_t v;

	if (!parse_u64(s, UINT16_MAX, &v))
		return false;
	*ret = (uint16_t)v;
	return true;
}

bool parse_u8(struct str s, uint8_t *ret)
{
	uint64_t v;

	if (!parse_u64(s, UINT8_MAX, &v))
		return false;
	*ret = (uint8_t)v;
	return true;
}

bool parse_bool(struct str s, bool *ret)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
		if (str_is(s, yes[i])) {
			*ret = true;
			return true;
		}
		if (str_is(s, no[i])) {
			*ret = false;
			return true;
		}
	}
	return false;
}

/* Bytes of the well-formed character at @p, 0 if ill-formed (table 3-7 of the Unicode standard). */
static size_t utf8_char(const unsigned char *p, size_t left)
{
	unsigned char c = p[0], lo = 0x80, hi = 0xbf;
	size_t need;

	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf) {
		need = 1;
	} else if (c >= 0xe0 && c <= 0xef) {
		need = 2;
		if (c == 0xe0)
			lo = 0xa0;
		else if (c == 0xed)
			hi = 0x9f;
	} else if (c >= 0xf0 && c <= 0xf4) {
		need = 3;
		if (c == 0xf0)
			lo = 0x90;
		else if (c == 0xf4)
			hi = 0x8f;
	} else {
		return 0;
	}
	if (left <= need || p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i <= need; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return need + 1;
}

/* First byte that is not ASCII, eight at a time: nearly all names are ASCII throughout. */
static size_t ascii_prefix(const char *p, size_t len)
{
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t w;
		memcpy(&w, p + i, 8);
		if (w & 0x8080808080808080u)
			break;
	}
	while (i < len && (unsigned char)p[i] < 0x80)
		i++;
	return i;
}

bool utf8_is_valid(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	for (size_t i = ascii_prefix(s.p, s.len); i < s.len;) {
		size_t n = utf8_char(p + i, s.len - i);
		if (!n)
			return false;
		i += n;
	}
	return true;
}

struct str utf8_upto(struct str s, size_t max)
{
	enum { TAIL = 3 }; /* bytes of a character behind its first */
	size_t at = max;

	if (s.len <= max)
		return s;
	while (at && max - at < TAIL && ((unsigned char)s.p[at] & 0xc0) == 0x80)
		at--;
	if (((unsigned char)s.p[at] & 0xc0) == 0x80)
		at = max; /* no UTF-8: one place is as good as another */
	return str_n(s.p, at);
}

const char *str_excerpt(struct str s, char *out, size_t size)
{
	static const char mark[] = "…";
	struct str shown = s.len < size ? s : utf8_upto(s, size - sizeof mark);

	if (shown.len)
		memcpy(out, shown.p, shown.len);
	out[shown.len] = '\0';
	if (shown.len < s.len)
		memcpy(out + shown.len, mark, sizeof mark);
	return out;
}

size_t utf8_sanitize(struct str s, char *out, size_t size)
{
	static const char replacement[3] = "\xef\xbf\xbd";
	const unsigned char *p = (const unsigned char *)s.p;
	size_t used = 0;

	for (size_t i = 0; i < s.len;) {
		size_t n = utf8_char(p + i, s.len - i);
		const char *from = n ? s.p + i : replacement;
		size_t bytes = n ? n : sizeof replacement;
		if (used + bytes > size)
			break;
		memcpy(out + used, from, bytes);
		used += bytes;
		i += n ? n : 1;
	}
	return used;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t load64(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return v;
}

static uint64_t load32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

/* Multiply and fold, in two lanes that do not wait for each other, 16 bytes of each a step; the odd
 * constants are digits of pi. The last bytes may be read twice, which saves copying them: the
 * length, which goes in at the end, tells such texts apart. */
uint64_t hash_bytes(const void *bytes, size_t len, uint64_t seed)
{
	const uint64_t k0 = 0x243f6a8885a308d3u, k2 = 0xa4093822299f31d1u;
	/* a text that holds this number makes a product zero, whatever the other factor: it must
	 * not be known */
	const uint64_t k1 = 0x13198a2e03707345u ^ (seed << 21 | seed >> 43);
	const unsigned char *p = bytes;
	/* turned by half: else h + g would not feel a bit of the seed where k0 and k2 differ; of
	 * seed 0 the store keeps hashes, they stay as they are */
	uint64_t h = seed ^ k0, g = (seed << 32 | seed >> 32) ^ k2, first, last;
	size_t left = len;

	for (; left > 32; left -= 32, p += 32) {
		h = mix(load64(p) ^ k1, load64(p + 8) ^ h);
		g = mix(load64(p + 16) ^ k2, load64(p + 24) ^ g);
	}
	if (left > 16) {
		h = mix(load64(p) ^ k1, load64(p + 8) ^ h);
		left -= 16;
		p += 16;
	}
	if (left >= 8) {
		first = load64(p);
		last = load64(p + left - 8);
	} else if (left >= 4) {
		first = load32(p);
		last = load32(p + left - 4);
	} else {
		first = left ? (uint64_t)p[0] << 16 | (uint64_t)p[left / 2] << 8 | p[left - 1] : 0;
		last = 0;
	}
	h = mix(first ^ k1, last ^ (h + g)); /* not ^: the seed would cancel out */
	return mix(h ^ k0, len ^ k1);
}
