#include "observer/name/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "observer/name/endpoints.h"

struct name_file {
	char *path, *folder;
	struct str name; /* last part of path */
	struct name_table *table;
	unsigned who;
	int fd; /* inotify */
};

/* What whole writes end with: closing after writing, renaming over, removing. Not IN_CREATE: the
 * file is still empty then. */
enum { EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE };

void name_file_free(struct name_file *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		(void)close(f->fd);
	free(f->path);
	free(f->folder);
	free(f);
}

int name_file_fd(const struct name_file *f)
{
	return f->fd;
}

static enum err_code read_text(const char *path, struct buf *to, struct err *e)
{
	AUTO_FD int fd =
		open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo must not hold us up */
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_os(e, "open the endpoint file '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "the endpoint file '%s' is not a regular file",
			       path);
	for (;;) {
		char *at = buf_reserve(to, 65536);
		if (!at)
			return err_set(e, ERR_INVALID,
				       "the endpoint file '%s' is larger than %d bytes", path,
				       ENDPOINTS_TEXT_MAX);
		ssize_t got = read(fd, at, 65536);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_os(e, "read the endpoint file '%s'", path);
		if (!got)
			return ERR_OK;
		to->len += (size_t)got;
	}
}

static enum err_code load(struct name_file *f, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(ENDPOINTS_TEXT_MAX + 65536);
	AUTO(endpoints_free) struct endpoints *parsed = NULL;
	enum err_code code = read_text(f->path, &text, e);

	if (code != ERR_OK)
		return code;
	if (endpoints_parse(buf_str(&text), &parsed, e) != ERR_OK)
		return err_in(e, "endpoint file '%s'", f->path);
	struct name_view view = endpoints_view(parsed);
	if (name_update(f->table, f->who, &view, e) != ERR_OK)
		return err_in(e, "endpoint file '%s'", f->path);
	return ERR_OK;
}

enum err_code name_file_new(const char *path, unsigned who, struct name_table *t,
			    struct name_file **ret, struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	AUTO(name_file_free) struct name_file *f = malloc(sizeof *f);
	if (!f)
		return err_set(e, ERR_NOMEM, "endpoint file '%s'", path);
	struct str whole = str_of(path);
	size_t slash = str_find_last(whole, '/');
	bool bare = slash == whole.len;
	*f = (struct name_file){
		.path = str_dup(whole),
		.folder = bare ? str_dup(STR("."))
			       : str_dup(slash ? str_upto(whole, slash) : STR("/")),
		.table = t,
		.who = who,
		.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC),
	};
	if (!f->path || !f->folder)
		return err_set(e, ERR_NOMEM, "endpoint file '%s'", path);
	f->name = str_of(bare ? f->path : f->path + slash + 1);
	/* Watched before it is read, so that no change falls between the two. */
	if (f->fd < 0 || inotify_add_watch(f->fd, f->folder, EVENTS) < 0)
		return err_os(e, "watch the folder of the endpoint file '%s'", path);
	if (load(f, e) != ERR_OK)
		return e->code;
	*ret = TAKE(f);
	return ERR_OK;
}

/* Kubernetes mounts a ConfigMap as links through "..data", which is renamed over. */
static bool concerns_us(const struct name_file *f, const struct inotify_event *ev)
{
	struct str name = str_of(ev->len ? ev->name : "");

	return (ev->mask & IN_Q_OVERFLOW) || str_eq(name, f->name) || str_is(name, "..data");
}

static bool has_changed(struct name_file *f)
{
	_Alignas(struct inotify_event) char events[16384];
	bool changed = false;

	for (;;) {
		ssize_t got = read(f->fd, events, sizeof events);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return changed;
		for (char *at = events; at < events + got;) {
			const struct inotify_event *ev =
				(const struct inotify_event *)(const void *)at;
			changed |= concerns_us(f, ev);
			at += sizeof *ev + ev->len;
		}
	}
}

enum err_code name_file_poll(struct name_file *f, struct err *e)
{
	struct err mine;

	if (!has_changed(f))
		return err_set(e, ERR_AGAIN, "the endpoint file '%s' has not changed", f->path);
	return load(f, e ? e : &mine);
}
