/* Label selectors as users write them; what parses is asked about a few labels, some of them odd.
 */
#include <stdlib.h>

#include "filter/selector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct str labels[] = {
		{ "k8s:app=web", 11 },
		{ "reserved:host", 13 },
		{ "cidr:10.1.2.3/32", 16 },
		{ ":=", 2 },
		{ "", 0 },
		{ "$x=1", 4 },
		{ "n=-7", 4 },
	};
	AUTO(selector_free) struct selector *s = NULL;
	struct err e = { .msg = "" };

	if (selector_new(str_n(data, size), &s, &e) != ERR_OK) {
		if (!e.msg[0] || s)
			abort(); /* a refusal has a sentence and yields nothing */
		return 0;
	}
	for (size_t n = 0; n <= ARRAY_LEN(labels); n++)
		(void)selector_match(s, labels, n);
	return 0;
}
