/*
 * err - errors are values: a code for the program and a sentence for the person.
 *
 * A function that can fail returns an enum err_code and takes `struct err *e` as its last
 * parameter. On ERR_OK it leaves *e alone; otherwise it has filled *e and touched no other output.
 * @e may be NULL where a caller needs only the code. An err lives on the caller's stack, owns
 * nothing, allocates nothing.
 *
 *	if (!x)
 *		return err_set(e, ERR_NOMEM, "export to '%s'", path);
 *	if (fd < 0)
 *		return err_os(e, "open '%s'", path);        "open '/x': Permission denied"
 *	if (f(e) != ERR_OK)
 *		return err_in(e, "export to '%s'", path);   "export to '/x': open …", code kept
 */
#ifndef TYCHO_BASE_ERR_H
#define TYCHO_BASE_ERR_H

#include "base/own.h"

enum err_code {
	ERR_OK,
	ERR_INVALID,     /* the caller's argument or the user's input is wrong */
	ERR_PARSE,       /* text or bytes do not follow their grammar */
	ERR_NOMEM,       /* out of memory, or a limit given at construction is reached */
	ERR_NOT_FOUND,   /* no such file, interface, key, … */
	ERR_EXISTS,      /* it is there already; address in use */
	ERR_PERMISSION,  /* the rights are missing */
	ERR_UNSUPPORTED, /* this kernel, library or peer cannot do it */
	ERR_AGAIN,       /* would block, or nothing there yet */
	ERR_TIMEOUT,     /* a deadline passed */
	ERR_CLOSED,      /* end of stream, peer gone, shutting down */
	ERR_CANCELLED,   /* somebody asked us to stop */
	ERR_UNAVAILABLE, /* the peer cannot be reached */
	ERR_IO,          /* the system said no in any other way */
	ERR_INTERNAL,    /* our own mistake */
	ERR_CODE_COUNT_
};

enum { ERR_MSG_BYTES = 512 };

struct err {
	enum err_code code;
	int os; /* errno at the failing call, 0 when none was involved */
	/* outermost context first; terminated. What does not fit is cut at a character, with "…": of
	 * a context and what it is about each has half of the room at least */
	char msg[ERR_MSG_BYTES];
};

/* Fill *e and return @code. */
enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...) FORMAT(3, 4);
/* As err_set, from errno: appends ": " and the system's words, maps errno to a code. */
enum err_code err_os(struct err *e, const char *fmt, ...) FORMAT(2, 3);
/* The same for libraries that return a (positive or negative) errno value. */
enum err_code err_errno(struct err *e, int os, const char *fmt, ...) FORMAT(3, 4);
/* Prepends context to the sentence in *e and returns e->code. @e must hold an error, or be NULL
 * (then ERR_INTERNAL is returned: pass an err where the code matters). */
enum err_code err_in(struct err *e, const char *fmt, ...) FORMAT(2, 3);

/* "INVALID", "NOT_FOUND", …; never NULL. */
const char *err_code_name(enum err_code code);

#endif
