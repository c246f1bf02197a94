/* Preloaded into a program (LD_PRELOAD): BAD_DISK=FROM:BEFORE:PATH, bytes [FROM, BEFORE) of that file cannot be read. */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_bad(int fd, int64_t at, size_t n)
{
	const char *where = getenv("BAD_DISK");
	struct stat bad, st;
	char *end = NULL;

	if (!where)
		return false;
	int64_t from = strtoll(where, &end, 10), before = strtoll(end + 1, &end, 10);
	return from < at + (int64_t)n && before > at && stat(end + 1, &bad) == 0 &&
	       fstat(fd, &st) == 0 && st.st_dev == bad.st_dev && st.st_ino == bad.st_ino;
}

static ssize_t read_at(const char *name, int fd, void *to, size_t n, int64_t at)
{
	ssize_t (*real)(int, void *, size_t, off_t);

	*(void **)&real = dlsym(RTLD_NEXT, name);
	if (!is_bad(fd, at, n))
		return real(fd, to, n, at);
	errno = EIO;
	return -1;
}

ssize_t pread(int fd, void *to, size_t n, off_t at)
{
	return read_at("pread", fd, to, n, at);
}

ssize_t pread64(int fd, void *to, size_t n, off64_t at)
{
	return read_at("pread64", fd, to, n, at);
}
