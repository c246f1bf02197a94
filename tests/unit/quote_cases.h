/*
 * quote_cases - what every quoting function does with a text that is too long: at any size a
 * beginning of the whole that ends between two characters, and "…".
 */
#ifndef TYCHO_TESTS_QUOTE_CASES_H
#define TYCHO_TESTS_QUOTE_CASES_H

#include <stdio.h>

#include "base/str.h"

/* @quote: of a text into @out, as log_quote. */
static inline void assert_quotes_are_cut_between_characters(const char *(*quote)(const char *text,
										 char *out,
										 size_t size))
{
	static const char text[] = "ab\xc3\xa9\"\xe2\x82\xac\\\n\xf0\x9f\x98\x80\x01z";
	static const char whole[] = "\"ab\xc3\xa9\\\"\xe2\x82\xac\\\\\\n\xf0\x9f\x98\x80\\x01z\"";
	/* where a character of the quoted text ends, the first quote being one */
	static const uint8_t ends[] = { 1, 2, 3, 5, 7, 10, 12, 14, 18, 22, 23 };

	for (size_t size = 6; size <= sizeof whole + 4; size++) {
		char out[64], want[64];
		size_t n = ARRAY_LEN(ends);
		while (ends[n - 1] > size - sizeof "…\"")
			n--;
		(void)snprintf(want, sizeof want, "%.*s…\"", (int)ends[n - 1], whole);
		assert_string_equal(quote(text, out, size), n < ARRAY_LEN(ends) ? want : whole);
	}
}

#endif
