#include "recorded.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { FILE_MAX_BYTES = 64 << 20, CHUNK_BYTES = 1 << 16 };

const char *recorded_path(char out[RECORDED_PATH_BYTES], const char *name)
{
	const char *folder = getenv("TYCHO_SHARED");

	(void)snprintf(out, RECORDED_PATH_BYTES, "%s/%s", folder ? folder : TYCHO_SHARED, name);
	return out;
}

static void not_there(const char *path)
{
	fail_msg("%s cannot be opened; TYCHO_SHARED names the folder of the recorded data", path);
}

FILE *recorded_open(const char *name)
{
	char path[RECORDED_PATH_BYTES];
	FILE *f = fopen(recorded_path(path, name), "re");

	if (!f)
		not_there(path);
	return f;
}

struct buf recorded_read(const char *fmt, ...)
{
	char name[RECORDED_PATH_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(name, sizeof name, fmt, ap);
	va_end(ap);
	FILE *f = recorded_open(name);
	struct buf b = buf_init(FILE_MAX_BYTES);

	for (size_t n = 1; n > 0; b.len += n) {
		char *to = buf_reserve(&b, CHUNK_BYTES);
		assert_non_null(to);
		n = fread(to, 1, CHUNK_BYTES, f);
	}
	(void)fclose(f);
	return b;
}

size_t recorded_each(const char *name, const char *suffix, size_t (*each)(FILE *in))
{
	char path[RECORDED_PATH_BYTES], file[RECORDED_PATH_BYTES];
	DIR *folder = opendir(recorded_path(path, name));
	size_t sum = 0;

	if (!folder)
		not_there(path);
	for (struct dirent *entry; (entry = readdir(folder));) {
		if (!str_has_suffix(str_of(entry->d_name), str_of(suffix)))
			continue;
		(void)snprintf(file, sizeof file, "%s/%s", name, entry->d_name);
		FILE *in = recorded_open(file);
		sum += each(in);
		(void)fclose(in);
	}
	(void)closedir(folder);
	return sum;
}
