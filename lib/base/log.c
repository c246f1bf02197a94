#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/time.h"

static atomic_int threshold = LOG_INFO;

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

enum log_level log_level(void)
{
	return (enum log_level)atomic_load_explicit(&threshold, memory_order_relaxed);
}

static bool is_plain(const char *z)
{
	if (!*z)
		return false;
	for (; *z; z++)
		if (*z <= ' ' || *z == '"' || *z == '=' || *z == '\\' || *z == 0x7f)
			return false;
	return true;
}

const char *log_quote(const char *z, char *out, size_t size)
{
	static const char cut[] = "…\"";
	size_t len = strlen(z), end;

	if (len < size && is_plain(z))
		return memcpy(out, z, len + 1);
	struct buf b = buf_fixed(out, size - sizeof cut);
	buf_char(&b, '"');
	for (end = b.len; *z && !b.failed; end = b.failed ? end : b.len) {
		unsigned char c = (unsigned char)*z;
		size_t n = 1; /* bytes of a character */
		if (c == '"' || c == '\\')
			buf_printf(&b, "\\%c", c);
		else if (c == '\n')
			buf_lit(&b, "\\n");
		else if (c < 0x20 || c == 0x7f)
			buf_printf(&b, "\\x%02x", c);
		else if (c == 0xc2 && (unsigned char)z[1] >= 0x80 && (unsigned char)z[1] < 0xa0)
			buf_printf(&b, "\\u%04x", (unsigned char)z[n++]); /* a control, too */
		else {
			while (c >= 0xc0 && n < 4 && ((unsigned char)z[n] & 0xc0) == 0x80)
				n++;
			buf_put(&b, z, n);
		}
		z += n;
	}
	memcpy(out + end, b.failed ? cut : "\"", b.failed ? sizeof cut : sizeof "\"");
	return out;
}

void log_line(enum log_level level, const char *msg, const char *fmt, ...)
{
	static const char *const names[] = { "DEBUG", "INFO", "WARN", "ERROR" };
	char line[2048], quoted[700];
	struct buf b = buf_fixed(line, sizeof line - 1);
	struct timestamp now = timestamp_of(wall_now());

	now.ns -= now.ns % (int32_t)NS_PER_MS;
	struct civil c = civil_of(now.s);
	buf_printf(&b, "time=%04d-%02d-%02dT%02d:%02d:%02d.%03dZ level=%s msg=%s", (int)c.year,
		   c.month, c.day, c.hour, c.minute, c.second, now.ns / (int)NS_PER_MS,
		   names[level], log_quote(msg, quoted, sizeof quoted));
	char tail[1200], shown[sizeof tail];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(tail, sizeof tail, fmt, ap);
	va_end(ap);
	bool fits = (size_t)n < sizeof tail;
	if (n > 0) {
		buf_char(&b, ' ');
		/* its last byte stands for those that did not fit */
		buf_str_put(&b, str_of(str_excerpt(str_of(tail), shown,
						   fits ? sizeof shown : sizeof shown - 1)));
	}
	line[b.len++] = '\n';
	/* Nowhere is left to report that stderr is gone. */
	(void)!write(STDERR_FILENO, line, b.len);
}
