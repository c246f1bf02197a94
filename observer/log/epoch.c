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
	bool is_kept;
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

/* @return 0 or errno. */
static int write_synced(int fd, const char *text)
{
	ssize_t put = pwrite(fd, text, TEXT_BYTES, 0);

	if (put < 0)
		return errno;
	if (put != TEXT_BYTES)
		return ENOSPC;
	return fsync(fd) == 0 ? 0 : errno;
}

static bool is_full(int os)
{
	return os == ENOSPC || os == EDQUOT;
}

/* As a whole: beside, and in its place. @return 0 or errno. */
static int replace(int dir_fd, const char *text)
{
	AUTO_FD int fd = openat(dir_fd, new_name,
				O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	int os = fd < 0 ? errno : write_synced(fd, text);

	if (!os && renameat(dir_fd, new_name, dir_fd, file_name) != 0)
		os = errno;
	if (os && fd >= 0)
		(void)unlinkat(dir_fd, new_name, 0);
	return !os && fsync(dir_fd) != 0 ? errno : os;
}

/* Over what is there, which takes no room on most disks; within a sector, so it is the old text or the
 * new one. @return 0 or errno. */
static int overwrite(int dir_fd, const char *text)
{
	AUTO_FD int fd = openat(dir_fd, file_name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? errno : write_synced(fd, text);
}

static enum err_code write_start(struct epoch *ep, const char *dir, struct err *e)
{
	char text[TEXT_BYTES + 1];

	(void)snprintf(text, sizeof text, "%020llu\n", (unsigned long long)ep->first_seq);
	int os = replace(ep->dir_fd, text);
	ep->is_kept = !os || (is_full(os) && overwrite(ep->dir_fd, text) == 0);
	return ep->is_kept || is_full(os) ? ERR_OK
					  : err_errno(e, os, "write '%s/%s'", dir, file_name);
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
	if (write_start(ep, dir, e) != ERR_OK)
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

bool epoch_is_kept(const struct epoch *ep)
{
	return ep->is_kept;
}
