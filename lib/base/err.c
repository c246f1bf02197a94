#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

static const char *const code_names[] = {
	[ERR_OK] = "OK",
	[ERR_INVALID] = "INVALID",
	[ERR_PARSE] = "PARSE",
	[ERR_NOMEM] = "NOMEM",
	[ERR_NOT_FOUND] = "NOT_FOUND",
	[ERR_EXISTS] = "EXISTS",
	[ERR_PERMISSION] = "PERMISSION",
	[ERR_UNSUPPORTED] = "UNSUPPORTED",
	[ERR_AGAIN] = "AGAIN",
	[ERR_TIMEOUT] = "TIMEOUT",
	[ERR_CLOSED] = "CLOSED",
	[ERR_CANCELLED] = "CANCELLED",
	[ERR_UNAVAILABLE] = "UNAVAILABLE",
	[ERR_IO] = "IO",
	[ERR_INTERNAL] = "INTERNAL",
};
_Static_assert(ARRAY_LEN(code_names) == ERR_CODE_COUNT_, "an error code without a name");

const char *err_code_name(enum err_code code)
{
	return (unsigned)code < ERR_CODE_COUNT_ ? code_names[code] : "UNKNOWN";
}

/* A sentence that did not fit ends in "…" rather than in the middle of a character. */
static void mark_truncated(char *msg, size_t size)
{
	static const char mark[] = "…";

	memcpy(msg + utf8_upto(str_n(msg, size - 1), size - sizeof mark).len, mark, sizeof mark);
}

static void vformat(char *msg, size_t size, const char *fmt, va_list ap)
{
	int n = vsnprintf(msg, size, fmt, ap);

	if (n >= 0 && (size_t)n >= size)
		mark_truncated(msg, size);
}

enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	if (!e)
		return code;
	e->code = code;
	e->os = 0;
	va_list ap;
	va_start(ap, fmt);
	vformat(e->msg, sizeof e->msg, fmt, ap);
	va_end(ap);
	return code;
}

static enum err_code code_of_errno(int os)
{
	switch (os) {
	case EINVAL:
	case ENAMETOOLONG:
	case ENOTDIR:
	case EISDIR:
		return ERR_INVALID;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case ENOSPC:
		return ERR_NOMEM;
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return ERR_NOT_FOUND;
	case EEXIST:
	case EADDRINUSE:
	case EBUSY:
		return ERR_EXISTS;
	case EPERM:
	case EACCES:
	case EROFS:
		return ERR_PERMISSION;
	case ENOSYS:
	case EOPNOTSUPP:
	case EPROTONOSUPPORT:
	case EAFNOSUPPORT:
		return ERR_UNSUPPORTED;
	case EAGAIN:
	case EINTR:
	case EINPROGRESS:
		return ERR_AGAIN;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case EPIPE:
	case ECONNRESET:
	case ESHUTDOWN:
		return ERR_CLOSED;
	case ECANCELED:
		return ERR_CANCELLED;
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return ERR_UNAVAILABLE;
	default:
		return ERR_IO;
	}
}

/* "@context: @inner" into @msg. Where both are too long each keeps half: the reason is worth as much
 * as a foreign text in front of it. */
static void join(char msg[ERR_MSG_BYTES], const char *context, const char *inner)
{
	size_t room = ERR_MSG_BYTES - sizeof ": ", outer_len = strlen(context);
	size_t inner_len = strlen(inner), half = room / 2;
	size_t outer_room = inner_len < half ? room - inner_len : half;
	char outer[ERR_MSG_BYTES];

	if (outer_len + inner_len <= room)
		outer_room = outer_len;
	(void)str_excerpt(str_n(context, outer_len), outer, outer_room + 1);
	int n = snprintf(msg, ERR_MSG_BYTES, "%s: %s", outer, inner);
	if (n >= ERR_MSG_BYTES)
		mark_truncated(msg, ERR_MSG_BYTES);
}

static enum err_code from_errno(struct err *e, int os, const char *fmt, va_list ap)
{
	enum err_code code = code_of_errno(os);

	if (!e)
		return code;
	char what[ERR_MSG_BYTES], words[128];
	vformat(what, sizeof what, fmt, ap);
	join(e->msg, what, strerror_r(os, words, sizeof words));
	e->code = code;
	e->os = os;
	return code;
}

enum err_code err_os(struct err *e, const char *fmt, ...)
{
	int os = errno;
	va_list ap;
	va_start(ap, fmt);
	enum err_code code = from_errno(e, os, fmt, ap);
	va_end(ap);
	return code;
}

enum err_code err_errno(struct err *e, int os, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	enum err_code code = from_errno(e, os < 0 ? -os : os, fmt, ap);
	va_end(ap);
	return code;
}

enum err_code err_in(struct err *e, const char *fmt, ...)
{
	if (!e)
		return ERR_INTERNAL;
	char inner[ERR_MSG_BYTES], context[ERR_MSG_BYTES];
	memcpy(inner, e->msg, sizeof inner);
	va_list ap;
	va_start(ap, fmt);
	vformat(context, sizeof context, fmt, ap);
	va_end(ap);
	join(e->msg, context, inner);
	return e->code;
}
