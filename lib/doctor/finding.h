/*
 * finding - what an examination says of one thing, for both doctors: `tycho doctor`, from outside,
 * and the observer's own. For people a line, and below it what is to be done; for programs an
 * object a line.
 *
 *	warn  clock    the server's clock is 0.4 s ahead of this machine's
 *	               to do: let both keep time from one source
 *
 *	{"check":"clock","result":"warn","detail":"…","fix":"…"}
 *
 * Text from elsewhere (a server's, a certificate's) cannot steer the terminal: control characters
 * are shown in caret notation, as "^[", and what is no UTF-8 as U+FFFD (JSON escapes by itself).
 *
 * Threads  none of its own.
 */
#ifndef TYCHO_LIB_DOCTOR_FINDING_H
#define TYCHO_LIB_DOCTOR_FINDING_H

#include <stdarg.h>

#include "base/buf.h"

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL, VERDICT_COUNT_ };

/* How an examination tells, and how it goes. */
struct findings {
	bool json;
	int check_columns; /* room for the longest name of a check */
	unsigned failed;   /* counted by findings_put */
};

enum { FINDING_TEXT_BYTES = 1024 }; /* of a detail or a fix; what is longer is cut */

/* Appends one finding, with its line end. @fix "" where nothing is to be done. */
void findings_put(struct findings *f, struct buf *b, enum verdict verdict, const char *check,
		  const char *fix, const char *detail, va_list ap) FORMAT(6, 0);

/* A fix that has to be composed; lives as long as the enclosing block. */
#define FIX(...) finding_fix((char[FINDING_TEXT_BYTES]){ 0 }, __VA_ARGS__)
const char *finding_fix(char *out, const char *fmt, ...) FORMAT(2, 3);

#endif
