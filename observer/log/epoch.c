#include "observer/log/epoch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>

/* A start beyond this (the year 2116) is no start: the file is damaged. Leaves half of the 63 bits
 * to grow. */
#define EPOCH_MAX (UINT64_C(1) << 62)

enum { TEXT_BYTES = 21 }; /* 20 digits, newline */

static const char file_name[] = "seq", new_name[] = "seq.new";

struct epoch {
	uint64_t first_seq;
	int dir_fd; /* holds the lock */
};

uint64_t epoch_from_clock(struct wall_ns now)
{
	return now.v >= EPOCH_MAX ? EPOCH_MAX : now.v + 1;
}

static enum err_code lock_dir(const char *dir, int *ret_fd, struct err *e)
{
	AUTO_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_os(e, "open the state directory '%s'", dir);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			return err_set(e, ERR_EXISTS,
				       "another observer is using the state directory '%s': stop "
				       "it, or give this one its own",
				       dir);
		return err_os(e, "lock the state directory '%s'", dir);
	}
	*ret_fd = TAKE_FD(fd);
	return ERR_OK;
}

/* 0 when there is no file yet. */
static enum err_code read_last(int dir_fd, const char *dir, uint64_t *ret, struct err *e)
{
	char text[TEXT_BYTES + 1];
	AUTO_FD int fd = openat(dir_fd, file_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT) {
		*ret = 0;
		return ERR_OK;
	}
	if (fd < 0)
		return err_os(e, "open '%s/%s'", dir, file_name);
	ssize_t got = read(fd, text, sizeof text);
	if (got < 0)
		return err_os(e, "read '%s/%s'", dir, file_name);
	uint64_t last;
	if (got != TEXT_BYTES || text[TEXT_BYTES - 1] != '\n' ||
	    !parse_u64(str_n(text, TEXT_BYTES - 1), EPOCH_MAX, &last) || !last)
		return err_set(e, ERR_PARSE,
			       "'%s/%s' does not hold a sequence number: remove it to number flows "
			       "by the clock",
			       dir, file_name);
	*ret = last;
	return ERR_OK;
}

static enum err_code write_synced(int fd, const char *text, size_t len, struct err *e)
{
	ssize_t put = write(fd, text, len);

	if (put >= 0 && (size_t)put != len)
		errno = ENOSPC;
	if (put < 0 || (size_t)put != len || fsync(fd) != 0)
		return err_os(e, "write '%s'", new_name);
	return ERR_OK;
}

static enum err_code write_start(int dir_fd, const char *dir, uint64_t first_seq, struct err *e)
{
	char text[TEXT_BYTES + 1];
	AUTO_FD int fd = openat(dir_fd, new_name,
				O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0)
		return err_os(e, "create '%s/%s'", dir, new_name);
	(void)snprintf(text, sizeof text, "%020llu\n", (unsigned long long)first_seq);
	if (write_synced(fd, text, TEXT_BYTES, e) != ERR_OK)
		return err_in(e, "state directory '%s'", dir);
	if (renameat(dir_fd, new_name, dir_fd, file_name) != 0 || fsync(dir_fd) != 0)
		return err_os(e, "replace '%s/%s'", dir, file_name);
	return ERR_OK;
}

enum err_code epoch_open(const char *dir, struct wall_ns now, struct epoch **ret, struct err *e)
{
	struct err mine;
	e = e ? e : &mine; /* the code decides below */
	AUTO(epoch_free) struct epoch *ep = malloc(sizeof *ep);
	if (!ep)
		return err_set(e, ERR_NOMEM, "epoch");
	*ep = (struct epoch){ .first_seq = epoch_from_clock(now), .dir_fd = -1 };
	uint64_t last = 0;
	if (lock_dir(dir, &ep->dir_fd, e) != ERR_OK ||
	    read_last(ep->dir_fd, dir, &last, e) != ERR_OK)
		return e->code;
	if (last && ep->first_seq < last + EPOCH_RUN_RECORDS)
		ep->first_seq = last + EPOCH_RUN_RECORDS;
	if (write_start(ep->dir_fd, dir, ep->first_seq, e) != ERR_OK)
		return e->code;
	*ret = TAKE(ep);
	return ERR_OK;
}

void epoch_free(struct epoch *ep)
{
	if (!ep)
		return;
	if (ep->dir_fd >= 0)
		(void)close(ep->dir_fd);
	free(ep);
}

uint64_t epoch_first_seq(const struct epoch *ep)
{
	return ep->first_seq;
}
