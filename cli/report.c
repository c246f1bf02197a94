#include "cli/report.h"

#include <stdio.h>

void report_grouped(struct buf *b, uint64_t v)
{
	char digits[24];
	int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)v);

	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			buf_char(b, ',');
		buf_char(b, digits[i]);
	}
}

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
