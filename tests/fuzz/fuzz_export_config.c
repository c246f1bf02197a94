/* A file of exporters: what is taken is equal to itself when it is read again. */
#include <stdlib.h>

#include "observer/export/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(export_specs_free) struct export_specs *a = NULL;
	AUTO(export_specs_free) struct export_specs *b = NULL;
	struct str text = str_n(data, size);
	struct err e = { .msg = "" };

	if (export_specs_yaml(text, &a, &e) != ERR_OK) {
		if (!e.msg[0])
			abort(); /* a refusal has a sentence */
		return 0;
	}
	if (export_specs_yaml(text, &b, &e) != ERR_OK || a->count != b->count)
		abort();
	for (size_t i = 0; i < a->count; i++)
		if (!str_eq(a->specs[i].text, b->specs[i].text) || !*a->specs[i].name ||
		    !*a->specs[i].path)
			abort();
	return 0;
}
