#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/gotext.h"
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

static bool is_plain(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f || strchr("\"=\\", s.p[i]))
			return false;
	return s.len > 0;
}

const char *log_quote_str(struct str s, char *out, size_t size)
{
	if (s.len >= size || !is_plain(s))
		return go_quote(s, out, size);
	memcpy(out, s.p, s.len);
	out[s.len] = '\0';
	return out;
}

const char *log_quote(const char *z, char *out, size_t size)
{
	return log_quote_str(str_of(z), out, size);
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
