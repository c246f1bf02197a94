#include "base/terminal.h"

#include <errno.h>
#include <unistd.h>

/* U+061C, U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069. */
static bool turns_text(struct str s, unsigned *ret_code, size_t *ret_bytes)
{
	const unsigned char *p = (const unsigned char *)s.p;

	if (s.len >= 2 && p[0] == 0xd8 && p[1] == 0x9c) {
		*ret_code = 0x61c;
		*ret_bytes = 2;
		return true;
	}
	if (s.len < 3 || p[0] != 0xe2 || (p[1] != 0x80 && p[1] != 0x81))
		return false;
	*ret_code = 0x2000U | (p[1] & 1U) << 6 | (p[2] & 0x3fU);
	*ret_bytes = 3;
	return *ret_code == 0x200e || *ret_code == 0x200f ||
	       (*ret_code >= 0x2028 && *ret_code <= 0x202e) ||
	       (*ret_code >= 0x2066 && *ret_code <= 0x2069);
}

/* Bytes at @s that pass as they are; 0: those of a control character, *@ret_code, that do not. */
static size_t passing(struct str s, unsigned *ret_code, size_t *ret_bytes)
{
	unsigned char c = (unsigned char)s.p[0], next = s.len > 1 ? (unsigned char)s.p[1] : 0;

	*ret_bytes = 1;
	*ret_code = c;
	if (c == 0x1b) { /* "\x1b[0m", "\x1b[31m" … "\x1b[36m": lib/flow/print.c's */
		bool is_end = str_has_prefix(s, STR("\x1b[0m"));
		bool is_color = s.len >= 5 && next == '[' && s.p[2] == '3' && s.p[3] >= '1' &&
				s.p[3] <= '6' && s.p[4] == 'm';
		return is_end ? 4 : is_color ? 5 : 0;
	}
	if (c == '\n' || c == '\t' || (c == '\r' && next == '\n'))
		return 1;
	if (c < 0x20 || c == 0x7f || (c >= 0xd8 && turns_text(s, ret_code, ret_bytes)))
		return 0;
	*ret_bytes = 1;
	if (c != 0xc2 || next < 0x80 || next > 0x9f)
		return 1;
	*ret_bytes = 2;
	*ret_code = next; /* U+0080 … U+009F: two bits of it are in the first byte */
	return 0;
}

void terminal_put(struct buf *b, struct str text)
{
	size_t from = 0, bytes;
	unsigned code;

	for (size_t i = 0; i < text.len;) {
		size_t n = passing(str_from(text, i), &code, &bytes);
		if (!n) {
			buf_put(b, text.p + from, i - from);
			buf_printf(b, "\\u%04x", code);
			n = bytes;
			from = i + n;
		}
		i += n;
	}
	buf_put(b, text.p + from, text.len - from);
}

static enum err_code write_all(int fd, struct str text, struct err *e)
{
	while (text.len) {
		ssize_t n = write(fd, text.p, text.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EPIPE)
			return err_set(e, ERR_CLOSED, "nobody reads the output");
		if (n < 0)
			return err_os(e, "write output");
		text = str_from(text, (size_t)n);
	}
	return ERR_OK;
}

enum err_code terminal_write(int fd, struct str text, struct err *e)
{
	if (!isatty(fd))
		return write_all(fd, text, e);
	AUTO_BUF struct buf shown = buf_init(SIZE_MAX);
	terminal_put(&shown, text);
	if (shown.failed)
		return err_set(e, ERR_NOMEM, "output");
	return write_all(fd, buf_str(&shown), e);
}
