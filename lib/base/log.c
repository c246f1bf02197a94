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
	if (is_plain(z)) {
		(void)snprintf(out, size, "%s", z);
		return out;
	}
	size_t n = 0;
	out[n++] = '"';
	for (; *z && n + 6 < size; z++) {
		unsigned char c = (unsigned char)*z;
		if (c == '"' || c == '\\') {
			out[n++] = '\\';
			out[n++] = (char)c;
		} else if (c == '\n') {
			out[n++] = '\\';
			out[n++] = 'n';
		} else if (c < 0x20 || c == 0x7f) {
			n += (size_t)snprintf(out + n, size - n, "\\x%02x", c);
		} else {
			out[n++] = (char)c;
		}
	}
	out[n++] = '"';
	out[n] = 0;
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
	char tail[1200];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(tail, sizeof tail, fmt, ap);
	va_end(ap);
	if (n > 0) {
		buf_char(&b, ' ');
		buf_str_put(&b, str_of(tail));
	}
	line[b.len++] = '\n';
	/* Nowhere is left to report that stderr is gone. */
	(void)!write(STDERR_FILENO, line, b.len);
}
