/* What comes with a request to the page's server, from whoever can reach it: a form, cookies. */
#include <stdlib.h>

#include "ui-server/form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = str_n(data, size), got;
	char out[32];

	if (ui_form_get(bytes, "name", out, sizeof out, &got) &&
	    (got.len > sizeof out || got.len > size))
		abort();
	if (ui_cookie_get(bytes, "tycho", &got) && got.len > size)
		abort();
	return 0;
}
