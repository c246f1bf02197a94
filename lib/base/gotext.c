#include "base/gotext.h"

#include "base/buf.h"

enum { RUNE_ERROR = 0xfffd };

uint32_t rune_next(struct str *s)
{
	const uint8_t *p = (const uint8_t *)s->p;
	size_t len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

	if (len > s->len || !utf8_is_valid(str_upto(*s, len))) {
		*s = str_from(*s, 1);
		return RUNE_ERROR;
	}
	uint32_t rune = len == 1 ? p[0] : p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++)
		rune = rune << 6 | (p[i] & 0x3f);
	*s = str_from(*s, len);
	return rune;
}

bool rune_is_space(uint32_t rune)
{
	return (rune >= '\t' && rune <= '\r') || rune == ' ' || rune == 0x85 || rune == 0xa0 ||
	       rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) || rune == 0x2028 ||
	       rune == 0x2029 || rune == 0x202f || rune == 0x205f || rune == 0x3000;
}

/* strconv.IsPrint without its tables: control, format, private and non-ASCII blank characters do
 * not print. */
static bool rune_prints(uint32_t rune)
{
	if (rune < 0x7f)
		return rune >= ' ';
	return rune > 0xa0 && rune != 0xad && !rune_is_space(rune) &&
	       !(rune >= 0x200b && rune <= 0x200f) && !(rune >= 0x202a && rune <= 0x202e) &&
	       !(rune >= 0x2060 && rune <= 0x206f) && !(rune >= 0xd800 && rune <= 0xf8ff) &&
	       rune != 0xfeff && (rune & 0xfffe) != 0xfffe && rune < 0xe0000;
}

static void put_rune(struct buf *b, uint32_t rune, struct str bytes, char quote)
{
	static const char named[] = "abtnvfr"; /* for 7, 8, 9, 10, 11, 12, 13 */

	if (rune == (uint32_t)quote || rune == '\\') {
		buf_char(b, '\\');
		buf_char(b, (char)rune);
	} else if (rune == RUNE_ERROR && bytes.len == 1) {
		buf_printf(b, "\\x%02x", (unsigned)(uint8_t)bytes.p[0]);
	} else if (rune_prints(rune)) {
		buf_str_put(b, bytes);
	} else if (rune >= 7 && rune <= 13) {
		buf_char(b, '\\');
		buf_char(b, named[rune - 7]);
	} else {
		buf_printf(b,
			   rune < ' ' || rune == 0x7f ? "\\x%02x"
			   : rune < 0x10000           ? "\\u%04x"
						      : "\\U%08x",
			   (unsigned)rune);
	}
}

/* The first character of *@s, which is taken off it. */
static void put_next(struct buf *b, struct str *s)
{
	struct str before = *s;
	uint32_t rune = rune_next(s);

	put_rune(b, rune, str_upto(before, before.len - s->len), '"');
}

void go_escape_put(struct buf *b, struct str s)
{
	while (s.len)
		put_next(b, &s);
}

void go_quote_put(struct buf *b, struct str s)
{
	buf_char(b, '"');
	go_escape_put(b, s);
	buf_char(b, '"');
}

const char *go_quote(struct str s, char *out, size_t size)
{
	static const char cut[] = "…\"";
	struct buf b = buf_fixed(out, size - sizeof cut);
	size_t end;

	buf_char(&b, '"');
	for (end = b.len; s.len && !b.failed; end = b.failed ? end : b.len)
		put_next(&b, &s);
	memcpy(out + end, b.failed ? cut : "\"", b.failed ? sizeof cut : sizeof "\"");
	return out;
}

const char *go_quote_rune(uint32_t rune, char *out, size_t size)
{
	struct buf b = buf_fixed(out, size - 1);
	char bytes[4];
	size_t len = 0;

	if (rune < 0x80) {
		bytes[len++] = (char)rune;
	} else {
		if (rune >= 0x10000) {
			bytes[len++] = (char)(0xf0 | rune >> 18);
			bytes[len++] = (char)(0x80 | (rune >> 12 & 0x3f));
		} else if (rune >= 0x800) {
			bytes[len++] = (char)(0xe0 | rune >> 12);
		} else {
			bytes[len++] = (char)(0xc0 | rune >> 6);
		}
		if (rune >= 0x800)
			bytes[len++] = (char)(0x80 | (rune >> 6 & 0x3f));
		bytes[len++] = (char)(0x80 | (rune & 0x3f));
	}
	buf_char(&b, '\'');
	put_rune(&b, rune, str_n(bytes, len), '\'');
	buf_char(&b, '\'');
	out[b.len] = '\0';
	return out;
}
