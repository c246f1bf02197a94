/*
 * log - key=value lines on stderr, in Go slog's text form so that they mix with the reference's.
 *
 *	time=2024-03-01T10:00:00.123Z level=WARN msg="peer refused the stream" peer=edge/n1
 *	retry_ms=200
 *
 * The one sink of the process (the exception to "no global state"). Only whoever decides what to do
 * with an error logs it; lib/ returns errors and does not log. Any thread; a line is one write(2).
 */
#ifndef TYCHO_BASE_LOG_H
#define TYCHO_BASE_LOG_H

#include "base/own.h"
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Lines below @level are not written. Before any thread starts. Default LOG_INFO. */
void log_set_level(enum log_level level);
enum log_level log_level(void);

/* @fmt yields the key=value tail, or "" for none; values that may hold blanks, quotes or control
 * characters go through log_quote. */
void log_line(enum log_level level, const char *msg, const char *fmt, ...) FORMAT(3, 4);

#define log_debug(msg, ...) log_at_(LOG_DEBUG, msg, "" __VA_ARGS__)
#define log_info(msg, ...) log_at_(LOG_INFO, msg, "" __VA_ARGS__)
#define log_warn(msg, ...) log_at_(LOG_WARN, msg, "" __VA_ARGS__)
#define log_error(msg, ...) log_at_(LOG_ERROR, msg, "" __VA_ARGS__)
#define log_at_(level, msg, ...)                                                                   \
	do {                                                                                       \
		if ((level) >= log_level())                                                        \
			log_line((level), (msg), __VA_ARGS__);                                     \
	} while (0)

/* @z as one value: bare if it is plain, else quoted and escaped. Writes to @out (@size bytes,
 * always terminated) and returns it, so that it can stand in an argument list. */
const char *log_quote(const char *z, char *out, size_t size);
#define LOG_QUOTE(z) log_quote((z), (char[600]){ 0 }, 600)
/* The same of a text that may hold NULs. */
const char *log_quote_str(struct str s, char *out, size_t size);
#define LOG_QUOTE_STR(s) log_quote_str((s), (char[600]){ 0 }, 600)

#endif
