/* Log prefixes, read by the default pattern and by two of the kind that people write. */
#include <stdlib.h>

#include "observer/source/nflog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A part of the prefix, or the empty string. */
static void check_part(struct str prefix, struct str part)
{
	if (part.len && (part.p < prefix.p || part.p + part.len > prefix.p + prefix.len))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const texts[] = {
		NULL,
		"^(?<direction>\\w+)=(?<verdict>\\w+)(?: (?<policy>.+))?$",
		"(?<verdict>[A-Z]+)\\W+(?<policy>(\\w+\\W?)+)",
	};
	static struct nflog_pattern *patterns[ARRAY_LEN(texts)]; /* for the life of the program */
	struct str prefix = str_n(data, size);

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct raw_event ev = { 0 };

		if (!patterns[i] && nflog_pattern_new(texts[i], &patterns[i], NULL) != ERR_OK)
			abort();
		(void)nflog_pattern_read(patterns[i], prefix, &ev);
		check_part(prefix, ev.policy);
		check_part(prefix, ev.policy_namespace);
		if (!str_eq(ev.prefix, prefix) || ev.verdict > RAW_AUDIT ||
		    ev.direction > RAW_DIR_EGRESS)
			abort();
	}
	return 0;
}
