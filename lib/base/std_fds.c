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
		int flags = fcntl(fd, F_GETFD);
		/* What is to be closed by exec has not come by it: gRPC tries an eventfd before
		 * main, and forgets the one that got number 0. */
		bool taken = flags >= 0 && flags & FD_CLOEXEC;
		if (!taken && (flags >= 0 || errno != EBADF))
			continue;
		int held = open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
		if (held != fd && (held < 0 || dup2(held, fd) != fd || close(held) != 0))
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
