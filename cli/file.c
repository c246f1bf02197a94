#include "cli/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "base/terminal.h"

enum {
	READ_BYTES = 256 * 1024, /* several lines of any length */
	PORTION_BYTES = 1 << 16,
};
_Static_assert((int)READ_BYTES > (int)LINE_MAX_BYTES, "a line must fit");

enum err_code file_open(const char *path, int *ret_fd, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		int os = errno;
		char why[100];
		const char *text = strerror_r(os, why, sizeof why);
		err_errno(e, os, "open");
		err_set(e, e->code, "%c%s", text[0] | 0x20, text + 1);
		return err_in(e, "open %s", path);
	}
	*ret_fd = fd;
	return ERR_OK;
}

enum err_code cli_read(const char *path, struct buf *b, struct err *e)
{
	AUTO_FD int fd = -1;

	if (file_open(path, &fd, e) != ERR_OK)
		return e->code;
	for (;;) {
		char *to = buf_reserve(b, PORTION_BYTES);
		if (!to)
			return err_set(e, ERR_NOMEM, "'%s' is too large", path);
		ssize_t n = read(fd, to, PORTION_BYTES);
		if (n < 0)
			return err_os(e, "read '%s'", path);
		if (!n)
			return ERR_OK;
		b->len += (size_t)n;
	}
}

enum err_code cli_write(struct str text, struct err *e)
{
	return terminal_write(STDOUT_FILENO, text, e);
}

void cli_say(struct str text)
{
	(void)!terminal_write(STDERR_FILENO, text, NULL); /* nobody to tell if it fails */
}

struct line_reader {
	int fd;
	const char *path;
	int signal_fd;
	sigset_t old_mask;
	size_t from, to; /* what is in @bytes and not handed out */
	size_t searched; /* no line ends before this place */
	bool ended;
	char bytes[READ_BYTES];
};

enum err_code line_reader_new(int fd, const char *path, struct line_reader **ret, struct err *e)
{
	struct line_reader *r = malloc(sizeof *r);
	sigset_t interrupts;

	if (!r)
		return err_set(e, ERR_NOMEM, "read lines");
	r->fd = fd;
	r->path = path;
	r->from = r->to = r->searched = 0;
	r->ended = false;
	sigemptyset(&interrupts);
	sigaddset(&interrupts, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &interrupts,
			      &r->old_mask); /* fails on bad arguments only */
	r->signal_fd = signalfd(-1, &interrupts, SFD_CLOEXEC | SFD_NONBLOCK);
	if (r->signal_fd < 0) {
		err_os(e, "signalfd");
		line_reader_free(r);
		return e->code;
	}
	*ret = r;
	return ERR_OK;
}

void line_reader_free(struct line_reader *r)
{
	if (!r)
		return;
	if (r->signal_fd >= 0) {
		struct signalfd_siginfo taken;
		while (read(r->signal_fd, &taken, sizeof taken) > 0)
			; /* a pending one would end the process when it is let through */
		(void)close(r->signal_fd);
	}
	(void)pthread_sigmask(SIG_SETMASK, &r->old_mask, NULL);
	free(r);
}

static const char *line_end(struct line_reader *r)
{
	const char *end = memchr(r->bytes + r->searched, '\n', r->to - r->searched);

	r->searched = end ? (size_t)(end - r->bytes) : r->to;
	return end;
}

bool line_reader_has_next(struct line_reader *r)
{
	return line_end(r) != NULL;
}

static enum err_code fill(struct line_reader *r, struct err *e)
{
	struct pollfd fds[] = { { .fd = r->fd, .events = POLLIN },
				{ .fd = r->signal_fd, .events = POLLIN } };

	if (r->from) {
		memmove(r->bytes, r->bytes + r->from, r->to - r->from);
		r->to -= r->from;
		r->searched -= r->from;
		r->from = 0;
	}
	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return err_os(e, "poll");
		if (fds[1].revents)
			return err_set(e, ERR_CANCELLED, "interrupted");
		ssize_t n = read(r->fd, r->bytes + r->to, sizeof r->bytes - r->to);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return err_os(e, "read '%s'", r->path);
		r->to += (size_t)n;
		r->ended = n == 0;
		return ERR_OK;
	}
}

enum err_code line_reader_next(struct line_reader *r, struct str *ret, struct err *e)
{
	const char *end;

	while (!(end = line_end(r)) && !r->ended) {
		if (r->to - r->from > LINE_MAX_BYTES)
			break;
		if (fill(r, e) != ERR_OK)
			return e->code;
	}
	if (!end && r->from == r->to)
		return err_set(e, ERR_CLOSED, "end of file");
	struct str line = str_n(r->bytes + r->from,
				end ? (size_t)(end - r->bytes) - r->from : r->to - r->from);
	if (line.len > LINE_MAX_BYTES)
		return err_set(e, ERR_PARSE, "bufio.Scanner: token too long");
	r->from += line.len + (end != NULL);
	r->searched = r->from;
	if (line.len && line.p[line.len - 1] == '\r')
		line.len--;
	*ret = line;
	return ERR_OK;
}
