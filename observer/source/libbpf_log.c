#include "observer/source/libbpf_log.h"

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINES = 3, LINE_BYTES = 160 };

static _Thread_local struct {
	char line[LINES][LINE_BYTES];
	unsigned next;
	char words[LINES * (LINE_BYTES + 2)];
} kept;

/* Frames and epilogues of libbpf's reports, which say that there was an error, not which. */
static bool is_frame(const char *line)
{
	static const char *const frames[] = { "processed ", "--", "libbpf: failed to load object",
					      "libbpf: prog '",
					      "libbpf: failed to load BPF skeleton" };

	for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
		if (strncmp(line, frames[i], strlen(frames[i])) == 0)
			return true;
	return false;
}

static int keep(enum libbpf_print_level level, const char *format, va_list args)
{
	char *text = NULL, *rest;

	/* A verifier's log is one message of any length, and its end is what matters. */
	if (level != LIBBPF_WARN || vasprintf(&text, format, args) < 0)
		return 0;
	rest = text;
	for (char *line; (line = strsep(&rest, "\n"));) {
		if (!*line || is_frame(line))
			continue;
		if (strncmp(line, "libbpf: ", 8) == 0)
			line += 8;
		(void)snprintf(kept.line[kept.next++ % LINES], LINE_BYTES, "%.*s", LINE_BYTES - 1,
			       line);
	}
	free(text);
	return 0;
}

void libbpf_log_keep(void)
{
	memset(&kept, 0, sizeof kept);
	(void)libbpf_set_print(keep);
}

const char *libbpf_log_words(void)
{
	size_t len = 0;

	kept.words[0] = 0;
	for (unsigned i = 0; i < LINES; i++) {
		const char *line = kept.line[(kept.next + i) % LINES];

		if (*line)
			len += (size_t)snprintf(kept.words + len, sizeof kept.words - len, "%s%s",
						len ? "; " : "", line);
	}
	return kept.words;
}
