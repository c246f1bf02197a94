/*
 * gotext - texts as the reference's language writes them: its error sentences quote the user's
 * words that way.
 *
 * Source   Go's strconv.Quote and strconv.QuoteRune (what %q prints).
 * Threads  pure functions.
 */
#ifndef TYCHO_BASE_GOTEXT_H
#define TYCHO_BASE_GOTEXT_H

#include "base/str.h"

struct buf;

enum {
	GO_QUOTE_BYTES = 420
}; /* long enough for any name within Kubernetes' limits; beyond, the text is cut */

/* Writes @s in double quotes, escaped, terminated; returns @out, so that it can be an argument. What
 * does not fit is cut at a character and ends in "…" within the quotes. */
const char *go_quote(struct str s, char *out, size_t size);
/* The whole of it, appended to @b. */
void go_quote_put(struct buf *b, struct str s);
/* The same without the quotes around it. */
void go_escape_put(struct buf *b, struct str s);
#define GO_QUOTE(s) go_quote((s), (char[GO_QUOTE_BYTES]){ 0 }, GO_QUOTE_BYTES)
/* The same for one character, in single quotes. */
const char *go_quote_rune(uint32_t rune, char *out, size_t size);

/* Takes the first character off *@s, which must not be empty. An ill-formed byte yields U+FFFD. */
uint32_t rune_next(struct str *s);
/* White space as Go's unicode.IsSpace. */
bool rune_is_space(uint32_t rune);

#endif
