#include "observer/export/file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "observer/export/backups.h"

enum {
	NEW_MODE = 0600,
	FOLDER_MODE = 0750,
	STREAM_WAIT_MS = 1000,
	/* what a pipe that has room takes without blocking: PIPE_BUF (POSIX) */
	STREAM_CHUNK = 4096,
};

struct export_file {
	struct export_file_config config;
	char *path;
	int fd; /* -1: to be opened by the next write */
	bool is_stdout, is_stream;
	bool is_stuck; /* a stream that took nothing when it was waited for last */
	bool is_torn;  /* it ends in the middle of a line */
	dev_t device;  /* of a file */
	ino_t inode;
	uint64_t size; /* bytes */
	/* of the file that a new one takes the place of */
	mode_t mode;
	uid_t uid;
	gid_t gid;
	bool has_mode;
	uint64_t rotations;
	struct wall_ns renamed; /* the time in the name of the last backup */
};

/* --- opening ---------------------------------------------------------------------------------- */

static enum err_code make_folders(const char *path, struct err *e)
{
	char folder[EXPORT_PATH_BYTES];

	(void)snprintf(folder, sizeof folder, "%s", path);
	for (char *slash = folder + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = 0;
		if (mkdir(folder, FOLDER_MODE) == 0)
			(void)chmod(folder, FOLDER_MODE); /* whatever the umask of a unit */
		else if (errno != EEXIST)
			return err_os(e, "make folder '%s'", folder);
	}
	return ERR_OK;
}

/* Whoever had no room to end a line, or was stopped in the middle of one. */
static bool ends_within_line(const char *path, uint64_t size)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char last = '\n';

	return size && fd >= 0 && pread(fd, &last, 1, (off_t)size - 1) == 1 && last != '\n';
}

static void take_over(struct export_file *f, const struct stat *st)
{
	f->device = st->st_dev;
	f->inode = st->st_ino;
	f->size = (uint64_t)st->st_size;
	f->mode = st->st_mode & 0777;
	f->uid = st->st_uid;
	f->gid = st->st_gid;
	f->has_mode = true;
	f->is_torn = ends_within_line(f->path, f->size);
}

/* A new file looks as the old one did, as far as we may say so. */
static void dress(const struct export_file *f, int fd)
{
	if (fchown(fd, f->uid, f->gid) < 0)
		(void)!fchown(fd, (uid_t)-1, f->gid);
	(void)fchmod(fd, f->mode);
}

/* What stands for a descriptor (/dev/stdout) is no name that a file can be renamed by. */
static bool is_no_name(const char *path)
{
	struct str s = str_of(path);

	return str_has_prefix(s, STR("/dev/std")) || str_has_prefix(s, STR("/dev/fd/")) ||
	       str_has_prefix(s, STR("/proc/"));
}

static enum err_code open_path(struct export_file *f, struct err *e)
{
	const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	enum err_code code = make_folders(f->path, e);
	struct stat st;

	if (code != ERR_OK)
		return code;
	AUTO_FD int fd = open(f->path, flags);
	if (fd < 0 && errno == ENOENT) {
		fd = open(f->path, flags | O_CREAT, NEW_MODE);
		if (fd >= 0 && f->has_mode)
			dress(f, fd);
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_os(e, "open '%s'", f->path);
	f->is_stream = !S_ISREG(st.st_mode) || is_no_name(f->path);
	if (!f->is_stream)
		take_over(f, &st);
	f->fd = TAKE_FD(fd);
	return ERR_OK;
}

enum err_code export_file_open(const struct export_file_config *config, struct export_file **ret,
			       struct err *e)
{
	AUTO(export_file_free) struct export_file *f = malloc(sizeof *f);

	if (!f)
		return err_set(e, ERR_NOMEM, "export to '%s'", config->path);
	*f = (struct export_file){ .config = *config, .fd = -1 };
	if (strlen(config->path) >= EXPORT_PATH_BYTES - 64)
		return err_set(e, ERR_INVALID, "the path is longer than %d bytes",
			       EXPORT_PATH_BYTES - 65);
	f->path = str_dup(str_of(config->path));
	if (!f->path)
		return err_set(e, ERR_NOMEM, "export to '%s'", config->path);
	f->is_stdout = f->is_stream = strcmp(f->path, "stdout") == 0;
	if (f->is_stdout)
		f->fd = STDOUT_FILENO;
	else if (open_path(f, e) != ERR_OK)
		return e ? e->code : ERR_IO;
	if (!f->is_stream) /* what the last run has left to do */
		export_backups_tend(config->backups, f->path, config->max_backups,
				    config->compress);
	*ret = TAKE(f);
	return ERR_OK;
}

static void let_go(struct export_file *f)
{
	if (f->fd >= 0 && !f->is_stdout)
		(void)close(f->fd);
	f->fd = -1;
}

void export_file_free(struct export_file *f)
{
	if (!f)
		return;
	let_go(f);
	free(f->path);
	free(f);
}

uint64_t export_file_rotations(const struct export_file *f)
{
	return f->rotations;
}

/* What others did to the file since: moved it away, or truncated it. */
static enum err_code look_again(struct export_file *f, struct err *e)
{
	struct stat st;

	if (f->is_stream && f->fd >= 0)
		return ERR_OK;
	if (f->fd >= 0 && stat(f->path, &st) < 0) {
		if (errno == ENOENT)
			let_go(f);
	} else if (f->fd >= 0 && (st.st_dev != f->device || st.st_ino != f->inode)) {
		let_go(f);
	} else if (f->fd >= 0 && f->size != (uint64_t)st.st_size) {
		take_over(f, &st);
	}
	return f->fd >= 0 ? ERR_OK : open_path(f, e);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* A stream has room, or had not for a second. */
static enum err_code wait_for_room(struct export_file *f, struct err *e)
{
	struct pollfd p = { .fd = f->fd, .events = POLLOUT };
	int n;

	do
		n = poll(&p, 1, f->is_stuck ? 0 : STREAM_WAIT_MS);
	while (n < 0 && errno == EINTR);
	f->is_stuck = n == 0;
	if (n < 0)
		return err_os(e, "wait for '%s'", f->path);
	return n ? ERR_OK : err_set(e, ERR_TIMEOUT, "'%s': nobody reads it", f->path);
}

/* @return bytes that were taken; fewer than all: *e says why. */
static size_t put(struct export_file *f, struct str s, struct err *e)
{
	size_t done = 0;

	while (done < s.len) {
		size_t n = s.len - done;
		if (f->is_stream && wait_for_room(f, e) != ERR_OK)
			return done;
		if (f->is_stream && n > STREAM_CHUNK)
			n = STREAM_CHUNK;
		ssize_t wrote = write(f->fd, s.p + done, n);
		if (wrote < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (wrote < 0) {
			(void)err_os(e, "write '%s'", f->path);
			return done;
		}
		done += (size_t)wrote;
	}
	return done;
}

/* Of a write that failed after @done bytes whole lines stay. @return bytes of them. */
static size_t cut_back(struct export_file *f, struct str s, size_t done)
{
	size_t newline = str_find_last(str_upto(s, done), '\n');
	size_t whole = newline < done ? newline + 1 : 0;

	f->size += done;
	if (whole == done)
		return whole;
	off_t end = f->is_stream ? -1 : lseek(f->fd, 0, SEEK_CUR);
	if (end < 0 || ftruncate(f->fd, end - (off_t)(done - whole)) < 0)
		f->is_torn = true;
	else
		f->size -= done - whole;
	return whole;
}

static enum err_code end_torn_line(struct export_file *f, struct err *e)
{
	if (!f->is_torn)
		return ERR_OK;
	if (put(f, STR("\n"), e) != 1)
		return e->code;
	f->is_torn = false;
	f->size++;
	return ERR_OK;
}

/* Bytes of the whole lines at the beginning of @lines for which there is room: at least one, where
 * the file is empty. 0: it is full. */
static size_t fitting(const struct export_file *f, struct str lines)
{
	uint64_t max = f->config.max_bytes, room = max > f->size ? max - f->size : 0;

	if (f->is_stream || lines.len <= room)
		return lines.len;
	size_t newline = str_find_last(str_upto(lines, (size_t)room), '\n');
	if (newline < room)
		return newline + 1;
	return f->size ? 0 : str_find(lines, '\n') + 1;
}

static enum err_code rotate(struct export_file *f, struct wall_ns now, struct err *e)
{
	/* One that is removed already leaves its name to none that is newer. */
	if (now.v < f->renamed.v + NS_PER_MS)
		now.v = f->renamed.v + NS_PER_MS;
	enum err_code code = export_backup_make(f->path, now, &f->renamed, e);

	if (code != ERR_OK)
		return code;
	f->rotations++;
	let_go(f);
	export_backups_tend(f->config.backups, f->path, f->config.max_backups, f->config.compress);
	return open_path(f, e);
}

enum err_code export_file_write(struct export_file *f, struct str lines, struct wall_ns now,
				size_t *ret_written, struct err *e)
{
	struct err mine;

	e = e ? e : &mine;
	*ret_written = 0;
	if (f->is_stdout)
		f->fd = STDOUT_FILENO;
	if (lines.len && look_again(f, e) != ERR_OK)
		return e->code;
	while (lines.len) {
		if (end_torn_line(f, e) != ERR_OK)
			return e->code;
		size_t n = fitting(f, lines);
		if (!n) {
			if (rotate(f, now, e) != ERR_OK)
				return e->code;
			continue;
		}
		size_t done = put(f, str_upto(lines, n), e);
		if (done < n) {
			*ret_written += cut_back(f, str_upto(lines, n), done);
			return e->code;
		}
		f->size += n;
		*ret_written += n;
		lines = str_from(lines, n);
	}
	return ERR_OK;
}
