/* Runs a fuzz target over its corpus without libFuzzer: replay DIR… feeds each file once. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(const char *dir, const char *name)
{
	char path[4096];
	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	if (!f || fseek(f, 0, SEEK_END) != 0) {
		perror(path);
		return 1;
	}
	long size = ftell(f);
	rewind(f);
	/* exactly as long as the input, so that the sanitizer sees the first byte read too far */
	uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
	size_t got = data ? fread(data, 1, (size_t)size, f) : 0;
	(void)fclose(f);
	if (!data || got != (size_t)size) {
		(void)fprintf(stderr, "%s: cannot be read\n", path);
		free(data);
		return 1;
	}
	(void)LLVMFuzzerTestOneInput(data, got);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	int files = 0, failed = 0;

	for (int i = 1; i < argc; i++) {
		DIR *d = opendir(argv[i]);
		if (!d) {
			perror(argv[i]);
			return 1;
		}
		for (struct dirent *e; (e = readdir(d));)
			if (e->d_name[0] != '.') {
				failed += feed(argv[i], e->d_name);
				files++;
			}
		(void)closedir(d);
	}
	(void)printf("%d inputs, %d failed\n", files, failed);
	return failed || !files;
}
