#include "cel/issue.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"

enum { REPORT_BYTES = 4 * ERR_MSG_BYTES, LONGEST_EXCERPT = 16384 };

void issue_add(struct issues *issues, uint32_t at, const char *fmt, ...)
{
	char sentence[ERR_MSG_BYTES];
	va_list args;

	if (issues->count++ >= ISSUES_MAX)
		return;
	va_start(args, fmt);
	int n = vsnprintf(sentence, sizeof sentence, fmt, args);
	va_end(args);
	size_t len = n < 0 ? 0 : (size_t)n < sizeof sentence ? (size_t)n : sizeof sentence - 1;
	struct str kept = mem_str(issues->mem, str_n(sentence, len));
	issues->v[issues->count - 1] =
		(struct issue){ at, kept.p ? kept : STR("not enough memory") };
}

/* The expression's line that @at is in: its number from 1 on, its text and the characters before
 * @at. */
static struct str line_of(struct str text, uint32_t at, size_t *ret_number, size_t *ret_column)
{
	size_t start = 0, number = 1;

	for (size_t i = 0; i < at && i < text.len; i++)
		if (text.p[i] == '\n') {
			start = i + 1;
			number++;
		}
	*ret_number = number;
	*ret_column = 0;
	for (size_t i = start; i < at && i < text.len; i++)
		*ret_column += ((uint8_t)text.p[i] & 0xc0) != 0x80;
	text = str_from(text, start);
	return str_upto(text, str_find(text, '\n'));
}

/* Marks under a character are as wide as it is: ASCII, or the full-width forms of '.' and '^'. */
static void put_mark(struct buf *b, bool wide, bool here)
{
	if (wide)
		buf_str_put(b, here ? STR("\xef\xbc\xbe") : STR("\xef\xbc\x8e"));
	else
		buf_char(b, here ? '^' : '.');
}

static void put_excerpt(struct buf *b, struct str line, size_t column)
{
	if (line.len > LONGEST_EXCERPT)
		return;
	buf_lit(b, "\n | ");
	for (size_t i = 0; i < line.len; i++)
		buf_char(b, (char)(line.p[i] == '\t' ? ' ' : line.p[i]));
	buf_lit(b, "\n | ");
	size_t i = 0;
	for (size_t n = 0; n <= column; n++) {
		put_mark(b, i < line.len && (uint8_t)line.p[i] >= 0x80, n == column);
		for (i++; i < line.len && ((uint8_t)line.p[i] & 0xc0) == 0x80;)
			i++;
	}
}

static void put_issue(struct buf *b, struct str text, const struct issue *issue)
{
	size_t number, column;

	if (issue->at == NOWHERE) {
		buf_printf(b, "ERROR: <input>:-1:0: %.*s", STR_FMT(issue->sentence));
		return;
	}
	if (!text.len) { /* no line to show: cel-go is before its first column */
		buf_printf(b, "ERROR: <input>:1:0: %.*s", STR_FMT(issue->sentence));
		return;
	}
	struct str line = line_of(text, issue->at, &number, &column);
	buf_printf(b, "ERROR: <input>:%zu:%zu: %.*s", number, column + 1, STR_FMT(issue->sentence));
	put_excerpt(b, line, column);
}

/* Nowhere comes first: cel-go gives it line -1. */
static bool is_before(const struct issue *a, const struct issue *b)
{
	return (uint32_t)(a->at + 1) < (uint32_t)(b->at + 1);
}

enum err_code issues_report(struct issues *issues, struct err *e)
{
	char space[REPORT_BYTES];
	struct buf b = buf_fixed(space, sizeof space - 1);
	size_t n = issues->count < ISSUES_MAX ? issues->count : ISSUES_MAX;

	for (size_t i = 1; i < n; i++) {
		struct issue moved = issues->v[i];
		size_t k = i;

		for (; k > 0 && is_before(&moved, &issues->v[k - 1]); k--)
			issues->v[k] = issues->v[k - 1];
		issues->v[k] = moved;
	}
	for (size_t i = 0; i < n && !b.failed; i++) {
		if (i)
			buf_char(&b, '\n');
		put_issue(&b, issues->text, &issues->v[i]);
	}
	if (issues->count > n)
		buf_printf(&b, "\n%zu more errors were truncated", issues->count - n);
	return err_set(e, ERR_INVALID, "%.*s", STR_FMT(buf_str(&b)));
}
