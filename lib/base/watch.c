#include "base/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

enum {
	/* What whole writes end with: closing after writing, renaming over, removing. Not
	 * IN_CREATE: the file is still empty then. */
	EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE,
	CHUNK_BYTES = 65536,
};

struct file_watch {
	char *path;
	struct str name; /* last part of path; "": a folder, whose every file counts */
	int fd;          /* inotify */
};

enum err_code file_watch_new(const char *path, struct file_watch **ret, struct err *e)
{
	AUTO(file_watch_free) struct file_watch *w = malloc(sizeof *w);
	if (!w)
		return err_set(e, ERR_NOMEM, "watch '%s'", path);
	struct str whole = str_of(path);
	size_t slash = str_find_last(whole, '/');
	bool bare = slash == whole.len;
	*w = (struct file_watch){ .path = str_dup(whole),
				  .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC) };
	AUTO(own_free)
	char *folder =
		bare ? str_dup(STR(".")) : str_dup(slash ? str_upto(whole, slash) : STR("/"));
	if (!w->path || !folder)
		return err_set(e, ERR_NOMEM, "watch '%s'", path);
	w->name = str_of(bare ? w->path : w->path + slash + 1);
	if (w->fd < 0 || inotify_add_watch(w->fd, folder, EVENTS) < 0)
		return err_os(e, "watch the folder of '%s'", path);
	*ret = TAKE(w);
	return ERR_OK;
}

enum err_code folder_watch_new(const char *path, struct file_watch **ret, struct err *e)
{
	AUTO(file_watch_free) struct file_watch *w = malloc(sizeof *w);

	if (!w)
		return err_set(e, ERR_NOMEM, "watch '%s'", path);
	*w = (struct file_watch){ .path = str_dup(str_of(path)),
				  .name = STR(""),
				  .fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC) };
	if (!w->path)
		return err_set(e, ERR_NOMEM, "watch '%s'", path);
	if (w->fd < 0 || inotify_add_watch(w->fd, path, EVENTS) < 0)
		return err_os(e, "watch the folder '%s'", path);
	*ret = TAKE(w);
	return ERR_OK;
}

void file_watch_free(struct file_watch *w)
{
	if (!w)
		return;
	if (w->fd >= 0)
		(void)close(w->fd);
	free(w->path);
	free(w);
}

int file_watch_fd(const struct file_watch *w)
{
	return w->fd;
}

/* What inotify could not keep counts as a change. */
static bool concerns(const struct file_watch *w, const struct inotify_event *ev)
{
	struct str name = str_of(ev->len ? ev->name : "");

	return !w->name.len || (ev->mask & IN_Q_OVERFLOW) || str_eq(name, w->name) ||
	       str_is(name, "..data");
}

bool file_watch_changed(struct file_watch *w)
{
	_Alignas(struct inotify_event) char events[16384];
	bool changed = false;

	for (;;) {
		ssize_t got = read(w->fd, events, sizeof events);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return changed;
		for (char *at = events; at < events + got;) {
			const struct inotify_event *ev =
				(const struct inotify_event *)(const void *)at;
			changed |= concerns(w, ev);
			at += sizeof *ev + ev->len;
		}
	}
}

enum err_code file_read(const char *path, const char *what, struct buf *to, struct err *e)
{
	/* a fifo must not hold us up */
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_os(e, "open %s '%s'", what, path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s '%s' is not a regular file", what, path);
	if ((uint64_t)st.st_size > to->max - to->len)
		return err_set(e, ERR_INVALID, "%s '%s' is larger than %zu bytes", what, path,
			       to->max);
	for (;;) {
		size_t room = to->max - to->len;
		if (!room)
			return ERR_OK; /* it grew while we read: what fits is what is read */
		size_t chunk = room < CHUNK_BYTES ? room : CHUNK_BYTES;
		char *at = buf_reserve(to, chunk);
		if (!at)
			return err_set(e, ERR_NOMEM, "read %s '%s'", what, path);
		ssize_t got = read(fd, at, chunk);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_os(e, "read %s '%s'", what, path);
		if (!got)
			return ERR_OK;
		to->len += (size_t)got;
	}
}
