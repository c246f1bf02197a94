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
