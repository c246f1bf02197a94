#include "base/std_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void std_fds_hold(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		/* The lowest that is free, and that is this one. */
		if (open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY) != fd)
			abort();
	}
}

int std_fds_end(const char *program)
{
	const bool was_lost = ferror(stdout);

	errno = 0;
	if (fflush(stdout) == 0 && !was_lost)
		return 0;
	(void)fprintf(stderr, "%s: standard output: %s\n", program,
		      errno ? strerror(errno) : "could not be written");
	return 1;
}
