#include "doctor/finding.h"

#include <stdio.h>

#include "flow/json.h"

static const char *const verdict_names[] = { "ok", "warn", "fail" };
_Static_assert(ARRAY_LEN(verdict_names) == VERDICT_COUNT_, "a verdict without a name");

static void put_member(struct buf *b, const char *key, const char *text)
{
	if (!*text)
		return;
	buf_printf(b, "%s\"%s\":", b->p[b->len - 1] == '{' ? "" : ",", key);
	json_put_string(b, str_of(text));
}

/* A control character of the first 128, or what one of the next 32 stands for (ECMA-48 5.3). */
static void put_control(struct buf *b, unsigned char c)
{
	if (c < 128)
		buf_printf(b, "^%c", c ^ 64);
	else
		buf_printf(b, "^[%c", c - 64);
}

static void put_text(struct buf *b, const char *text)
{
	char clean[3 * FINDING_TEXT_BYTES];
	struct str s = str_n(clean, utf8_sanitize(str_of(text), clean, sizeof clean));

	for (size_t i = 0; i < s.len; i++) {
		const unsigned char c = (unsigned char)s.p[i];
		const unsigned char next = i + 1 < s.len ? (unsigned char)s.p[i + 1] : 0;

		if (c < ' ' || c == 127) {
			put_control(b, c);
		} else if (c == 0xc2 && next < 0xa0) { /* U+0080 … U+009F */
			put_control(b, next);
			i++;
		} else {
			buf_char(b, s.p[i]);
		}
	}
}

void findings_put(struct findings *f, struct buf *b, enum verdict verdict, const char *check,
		  const char *fix, const char *detail, va_list ap)
{
	char text[FINDING_TEXT_BYTES];

	(void)vsnprintf(text, sizeof text, detail, ap);
	f->failed += verdict == VERDICT_FAIL;
	if (f->json) {
		buf_char(b, '{');
		put_member(b, "check", check);
		put_member(b, "result", verdict_names[verdict]);
		put_member(b, "detail", text);
		put_member(b, "fix", fix);
		buf_lit(b, "}\n");
		return;
	}
	buf_printf(b, "%-5s %-*s ", verdict_names[verdict], f->check_columns, check);
	put_text(b, text);
	if (*fix) {
		buf_printf(b, "\n%-*sto do: ", 5 + 1 + f->check_columns + 1, "");
		put_text(b, fix);
	}
	buf_char(b, '\n');
}

const char *finding_fix(char *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(out, FINDING_TEXT_BYTES, fmt, ap);
	va_end(ap);
	return out;
}
