#include "base/wrap.h"

#include <sys/ioctl.h>

enum { COLUMNS_LEAST = 40 };

size_t wrap_columns(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || !size.ws_col || size.ws_col > WRAP_COLUMNS)
		return WRAP_COLUMNS;
	return size.ws_col < COLUMNS_LEAST ? COLUMNS_LEAST : size.ws_col;
}

/* Characters of UTF-8; each is taken to be one column wide. */
static size_t width_of(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

void wrap_put(struct buf *b, const char *text, size_t indent, size_t columns)
{
	size_t column = indent;
	bool line_is_empty = true;

	while (*text) {
		struct str word = str_n(text, strcspn(text, " \n"));
		size_t width = width_of(word);
		if (!line_is_empty && column + 1 + width > columns) {
			buf_printf(b, "\n%*s", (int)indent, "");
			column = indent;
			line_is_empty = true;
		}
		if (!line_is_empty && width) {
			buf_char(b, ' ');
			column++;
		}
		buf_str_put(b, word);
		column += width;
		line_is_empty = line_is_empty && !width;
		text += word.len;
		if (*text == '\n') {
			buf_char(b, '\n');
			if (text[1] != '\n')
				buf_printf(b, "%*s", (int)indent, "");
			column = indent;
			line_is_empty = true;
		}
		text += *text != '\0';
	}
	buf_char(b, '\n');
}

size_t wrap_head_width(size_t width, struct str head)
{
	size_t own = width_of(head);

	return own > width && own <= WRAP_HEAD_MOST ? own : width;
}

void wrap_row_put(struct buf *b, struct str head, size_t head_width, const char *text,
		  size_t columns)
{
	size_t own = width_of(head), indent = head_width + WRAP_BETWEEN;

	buf_str_put(b, head);
	if (own > head_width)
		buf_printf(b, "\n%*s", (int)indent, "");
	else
		buf_printf(b, "%*s", (int)(indent - own), "");
	wrap_put(b, text, indent, columns);
}
