/*
 * regex - regular expressions of the reference's dialect (RE2), unanchored, over UTF-8.
 *
 * A pattern is checked and rewritten by re2.c and then run by PCRE2: what RE2 refuses (back
 * references, look-around, possessive and stacked repetition, counts above 1,000) is an error here
 * too, with the same sentence.
 *
 * Limits   RE2 runs in linear time; PCRE2 may not. A match gives up, and says no, after a fixed
 *          number of steps: a hostile pattern costs each flow no more than some milliseconds.
 * Threads  one thread per regex: it holds its match memory.
 */
#ifndef TYCHO_REGEX_REGEX_H
#define TYCHO_REGEX_REGEX_H

#include "base/err.h"
#include "base/str.h"

struct regex;
struct buf;

/* ERR_INVALID: "error parsing regexp: missing closing ): `(`". */
MUST_CHECK enum err_code regex_new(struct str pattern, struct regex **ret, struct err *e);
void regex_free(struct regex *r);
AUTO_DEFINE(struct regex, regex_free);
bool regex_match(const struct regex *r, struct str text);

/* Appends to @out a PCRE2 pattern that matches what @pattern matches in RE2; errors as regex_new.
 */
MUST_CHECK enum err_code re2_to_pcre(struct str pattern, struct buf *out, struct err *e);
/* Does PCRE2 know what \p{@name} is? */
bool pcre_has_property(const char *name);

#endif
