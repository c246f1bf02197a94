#include "relay/peers_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "relay/peers.h"

enum { FILE_MAX_BYTES = 8 << 20, CHUNK_BYTES = 65536 };
/* What whole writes end with: closing after writing, renaming over, removing. Not IN_CREATE: the
 * file is still empty then. */
enum { EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE };

struct peers_file {
	char *path, *folder;
	struct str name; /* last part of path */
	struct peers *peers;
	int fd; /* inotify */
};

void peers_file_free(struct peers_file *f)
{
	if (!f)
		return;
	if (f->fd >= 0)
		(void)close(f->fd);
	free(f->path);
	free(f->folder);
	free(f);
}

int peers_file_fd(const struct peers_file *f)
{
	return f->fd;
}

static enum err_code read_text(const char *path, struct buf *to, struct err *e)
{
	/* a fifo must not hold us up */
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_os(e, "open the peers file '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "the peers file '%s' is not a regular file", path);
	for (;;) {
		char *at = buf_reserve(to, CHUNK_BYTES);
		if (!at)
			return err_set(e, ERR_INVALID,
				       "the peers file '%s' is larger than %d bytes", path,
				       FILE_MAX_BYTES);
		ssize_t got = read(fd, at, CHUNK_BYTES);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_os(e, "read the peers file '%s'", path);
		if (!got)
			return ERR_OK;
		to->len += (size_t)got;
	}
}

static enum err_code load(struct peers_file *f, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(FILE_MAX_BYTES + CHUNK_BYTES);
	size_t line_number = 0, count = 0, lines = 1;
	struct str line;

	enum err_code code = read_text(f->path, &text, e);
	if (code != ERR_OK)
		return code;
	for (size_t i = 0; i < text.len; i++)
		lines += text.p[i] == '\n';
	AUTO(own_free) struct peer_spec *specs = calloc(lines, sizeof *specs);
	if (!specs)
		return err_set(e, ERR_NOMEM, "the peers file '%s'", f->path);
	for (struct str rest = buf_str(&text); str_split(&rest, '\n', &line);) {
		line_number++;
		line = str_trim(str_upto(line, str_find(line, '#')));
		if (!line.len)
			continue;
		if (peer_spec_parse(line, &specs[count++], e) != ERR_OK) {
			(void)err_in(e, "the peers file '%s', line %zu", f->path, line_number);
			return e->code = ERR_PARSE;
		}
	}
	if (peers_set(f->peers, PEER_FILE, specs, count, e) != ERR_OK)
		return err_in(e, "the peers file '%s'", f->path);
	return ERR_OK;
}

enum err_code peers_file_new(const char *path, struct peers *peers, struct peers_file **ret,
			     struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	AUTO(peers_file_free) struct peers_file *f = malloc(sizeof *f);
	if (!f)
		return err_set(e, ERR_NOMEM, "the peers file '%s'", path);
	struct str whole = str_of(path);
	size_t slash = str_find_last(whole, '/');
	bool bare = slash == whole.len;
	*f = (struct peers_file){
		.path = str_dup(whole),
		.folder = bare ? str_dup(STR("."))
			       : str_dup(slash ? str_upto(whole, slash) : STR("/")),
		.peers = peers,
		.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC),
	};
	if (!f->path || !f->folder)
		return err_set(e, ERR_NOMEM, "the peers file '%s'", path);
	f->name = str_of(bare ? f->path : f->path + slash + 1);
	/* Watched before it is read, so that no change falls between the two. */
	if (f->fd < 0 || inotify_add_watch(f->fd, f->folder, EVENTS) < 0)
		return err_os(e, "watch the folder of the peers file '%s'", path);
	if (load(f, e) != ERR_OK)
		return e->code;
	*ret = TAKE(f);
	return ERR_OK;
}

/* Kubernetes mounts a ConfigMap as links through "..data", which is renamed over. */
static bool concerns_us(const struct peers_file *f, const struct inotify_event *ev)
{
	struct str name = str_of(ev->len ? ev->name : "");

	return (ev->mask & IN_Q_OVERFLOW) || str_eq(name, f->name) || str_is(name, "..data");
}

static bool has_changed(struct peers_file *f)
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

enum err_code peers_file_poll(struct peers_file *f, bool always, struct err *e)
{
	struct err mine;

	if (!has_changed(f) && !always)
		return err_set(e, ERR_AGAIN, "the peers file '%s' has not changed", f->path);
	return load(f, e ? e : &mine);
}
