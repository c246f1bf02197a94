#include "cli/report.h"

void report_text(struct buf *b, const char *text)
{
	for (; *text; text++) {
		if (*text == '\x1b')
			buf_lit(b, "^[");
		else if (*text == '\r')
			buf_lit(b, "\\r");
		else
			buf_char(b, *text);
	}
}

void report_cell(struct buf *b, struct str text)
{
	AUTO_BUF struct buf copy = buf_init(1 << 16);

	buf_str_put(&copy, text.len ? text : STR("-"));
	for (size_t i = 0; i < copy.len; i++)
		if (copy.p[i] == '\t' || copy.p[i] == '\n' || copy.p[i] == '\v' ||
		    copy.p[i] == '\f')
			copy.p[i] = ' ';
	report_text(b, buf_cstr(&copy));
}
