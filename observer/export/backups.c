#include "observer/export/backups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/thread.h"
#include "observer/export/config.h"

enum {
	STAMP_BYTES = 23, /* 2006-01-02T15-04-05.000 */
	JOBS = EXPORT_SPECS + 1,
	CHUNK_BYTES = 256 << 10,
	TRIES = 1000,
};

struct job {
	char path[EXPORT_PATH_BYTES];
	uint32_t max;
	bool compress;
};

struct export_backups {
	pthread_mutex_t mx;
	pthread_cond_t changed;
	struct job jobs[JOBS]; /* guarded by mx */
	size_t job_count;      /* guarded by mx */
	atomic_bool stop;      /* set under mx */
	pthread_t thread;
	bool running;
};

/* --- names ------------------------------------------------------------------------------------ */

/* folder / stem "-" stamp ext */
struct parts {
	struct str folder, stem, ext; /* folder: with its slash, or "" */
};

static struct parts parts_of(const char *path)
{
	struct str whole = str_of(path);
	size_t slash = str_find_last(whole, '/');
	struct str name = slash < whole.len ? str_from(whole, slash + 1) : whole;
	size_t dot = str_find_last(name, '.');

	return (struct parts){ str_upto(whole, whole.len - name.len), str_upto(name, dot),
			       str_from(name, dot) };
}

static void put_stamp(struct wall_ns w, char out[STAMP_BYTES + 1])
{
	struct timestamp t = timestamp_of(w);
	struct civil c = civil_of(t.s);
	struct buf b = buf_fixed(out, STAMP_BYTES + 1);

	buf_printf(&b, "%04d-%02d-%02dT%02d-%02d-%02d.%03d", (int)c.year, c.month, c.day, c.hour,
		   c.minute, c.second, (int)(t.ns / 1000000));
	(void)buf_cstr(&b);
}

static bool is_stamp(struct str s)
{
	static const char form[] = "0000-00-00T00-00-00.000";

	if (s.len != STAMP_BYTES)
		return false;
	for (size_t i = 0; i < STAMP_BYTES; i++)
		if (form[i] == '0' ? s.p[i] < '0' || s.p[i] > '9' : s.p[i] != form[i])
			return false;
	return true;
}

/* The stamp of a backup's name; *@ret_rest: what is behind it, "", ".gz" or ".gz.part". */
static bool backup_stamp(const struct parts *p, struct str name, struct str *ret_stamp,
			 struct str *ret_rest)
{
	if (!str_has_prefix(name, p->stem) || name.len < p->stem.len + 1 + STAMP_BYTES ||
	    name.p[p->stem.len] != '-')
		return false;
	*ret_stamp = str_upto(str_from(name, p->stem.len + 1), STAMP_BYTES);
	struct str rest = str_from(name, p->stem.len + 1 + STAMP_BYTES);
	if (!is_stamp(*ret_stamp) || !str_has_prefix(rest, p->ext))
		return false;
	*ret_rest = str_from(rest, p->ext.len);
	return !ret_rest->len || str_is(*ret_rest, ".gz") || str_is(*ret_rest, ".gz.part");
}

static bool is_taken(const char *path)
{
	char packed[EXPORT_PATH_BYTES + 8];

	(void)snprintf(packed, sizeof packed, "%s.gz", path);
	return access(path, F_OK) == 0 || access(packed, F_OK) == 0;
}

enum err_code export_backup_make(const char *path, struct wall_ns now, struct wall_ns *ret_when,
				 struct err *e)
{
	struct parts p = parts_of(path);
	char stamp[STAMP_BYTES + 1], to[EXPORT_PATH_BYTES];

	for (int i = 0; i < TRIES; i++, now.v += NS_PER_MS) {
		put_stamp(now, stamp);
		int n = snprintf(to, sizeof to, "%.*s%.*s-%s%.*s", STR_FMT(p.folder),
				 STR_FMT(p.stem), stamp, STR_FMT(p.ext));
		if (n < 0 || (size_t)n >= sizeof to)
			return err_set(e, ERR_INVALID, "'%s' is too long", path);
		if (is_taken(to))
			continue;
		if (rename(path, to) < 0)
			return err_os(e, "rename '%s'", path);
		*ret_when = now;
		return ERR_OK;
	}
	return err_set(e, ERR_EXISTS, "'%s': no name is left for what is full", path);
}

/* --- one folder ------------------------------------------------------------------------------- */

struct backup {
	char stamp[STAMP_BYTES];
	bool plain, packed;
};

struct backups {
	struct backup *items;
	size_t count, room;
};

static int newest_first(const void *a, const void *b)
{
	return -memcmp(((const struct backup *)a)->stamp, ((const struct backup *)b)->stamp,
		       STAMP_BYTES);
}

static bool add_backup(struct backups *list, struct str stamp, bool packed)
{
	size_t i = 0;

	while (i < list->count && memcmp(list->items[i].stamp, stamp.p, STAMP_BYTES) != 0)
		i++;
	if (i == list->count) {
		if (list->count == list->room) {
			size_t room = list->room ? 2 * list->room : 16;
			void *items = reallocarray(list->items, room, sizeof *list->items);
			if (!items)
				return false;
			list->items = items;
			list->room = room;
		}
		list->items[list->count++] = (struct backup){ 0 };
		memcpy(list->items[i].stamp, stamp.p, STAMP_BYTES);
	}
	*(packed ? &list->items[i].packed : &list->items[i].plain) = true;
	return true;
}

static void remove_in(const struct parts *p, const char *name)
{
	char path[EXPORT_PATH_BYTES];
	int n = snprintf(path, sizeof path, "%.*s%s", STR_FMT(p->folder), name);

	if (n < 0 || (size_t)n >= sizeof path || (unlink(path) < 0 && errno != ENOENT))
		log_warn("an exported file that is too old is not removed", "file=%s errno=%d",
			 LOG_QUOTE(path), errno);
}

/* What a stop has left half packed goes. */
static void list_backups(const struct parts *p, struct backups *list)
{
	char folder[EXPORT_PATH_BYTES];

	(void)snprintf(folder, sizeof folder, "%.*s", STR_FMT(p->folder));
	DIR *dir = opendir(*folder ? folder : ".");
	if (!dir) {
		log_warn("exported files cannot be listed, and are neither packed nor removed",
			 "folder=%s errno=%d", LOG_QUOTE(folder), errno);
		return;
	}
	for (const struct dirent *d; (d = readdir(dir));) {
		struct str stamp, rest;
		if (!backup_stamp(p, str_of(d->d_name), &stamp, &rest))
			continue;
		if (str_is(rest, ".gz.part"))
			remove_in(p, d->d_name);
		else if (!add_backup(list, stamp, rest.len > 0))
			break; /* no memory: the others next time */
	}
	(void)closedir(dir);
	if (list->count)
		qsort(list->items, list->count, sizeof *list->items, newest_first);
}

static bool backup_path(const struct parts *p, const struct backup *b, const char *end,
			char out[EXPORT_PATH_BYTES])
{
	int n = snprintf(out, EXPORT_PATH_BYTES, "%.*s%.*s-%.*s%.*s%s", STR_FMT(p->folder),
			 STR_FMT(p->stem), STAMP_BYTES, b->stamp, STR_FMT(p->ext), end);

	return n >= 0 && n < EXPORT_PATH_BYTES;
}

static void remove_backup(const struct parts *p, const struct backup *b)
{
	static const char *const ends[] = { "", ".gz" };
	char path[EXPORT_PATH_BYTES];

	for (size_t i = 0; i < 2; i++)
		if ((i ? b->packed : b->plain) && backup_path(p, b, ends[i], path))
			remove_in(&(struct parts){ .folder = STR("") }, path);
}

/* --- packing ---------------------------------------------------------------------------------- */

/* ERR_CANCELLED: it is time to stop. */
static enum err_code pack_into(const struct export_backups *b, int from, gzFile to, struct err *e)
{
	AUTO(own_free) char *chunk = malloc(CHUNK_BYTES);

	if (!chunk)
		return err_set(e, ERR_NOMEM, "pack");
	for (;;) {
		if (atomic_load_explicit(&b->stop, memory_order_relaxed))
			return err_set(e, ERR_CANCELLED, "stopped");
		ssize_t n = read(from, chunk, CHUNK_BYTES);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_os(e, "read");
		if (!n)
			return ERR_OK;
		if (gzwrite(to, chunk, (unsigned)n) != n)
			return err_os(e, "write");
	}
}

static enum err_code pack_file(const struct export_backups *b, const char *plain, const char *part,
			       struct err *e)
{
	AUTO_FD int from = open(plain, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0)
		return err_os(e, "open '%s'", plain);
	AUTO_FD int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_os(e, "open '%s'", part);
	if (fchown(fd, st.st_uid, st.st_gid) < 0)
		(void)!fchown(fd, (uid_t)-1, st.st_gid);
	(void)fchmod(fd, st.st_mode & 0777);
	gzFile to = gzdopen(fd, "wb");
	if (!to)
		return err_set(e, ERR_NOMEM, "pack '%s'", plain);
	(void)TAKE_FD(fd); /* zlib's now */
	enum err_code code = pack_into(b, from, to, e);
	errno = 0;
	if (gzclose(to) != Z_OK && code == ERR_OK)
		code = err_os(e, "write");
	return code == ERR_OK ? code : err_in(e, "pack '%s'", plain);
}

static void pack(const struct export_backups *b, const struct parts *p, const struct backup *item)
{
	char plain[EXPORT_PATH_BYTES], part[EXPORT_PATH_BYTES], packed[EXPORT_PATH_BYTES];
	struct err e;

	if (!backup_path(p, item, "", plain) || !backup_path(p, item, ".gz.part", part) ||
	    !backup_path(p, item, ".gz", packed))
		return;
	enum err_code code = pack_file(b, plain, part, &e);
	if (code == ERR_OK && rename(part, packed) < 0)
		code = err_os(&e, "rename '%s'", part);
	if (code == ERR_OK && unlink(plain) < 0)
		code = err_os(&e, "remove '%s'", plain);
	if (code == ERR_OK)
		return;
	(void)unlink(part);
	if (code != ERR_CANCELLED)
		log_warn("an exported file is not packed; it stays as it is", "err=%s",
			 LOG_QUOTE(e.msg));
}

static void tend(const struct export_backups *b, const struct job *job)
{
	struct parts p = parts_of(job->path);
	struct backups list = { 0 };

	list_backups(&p, &list);
	for (size_t i = job->max; i < list.count; i++)
		remove_backup(&p, &list.items[i]);
	for (size_t i = 0; job->compress && i < list.count && i < job->max; i++)
		if (list.items[i].plain)
			pack(b, &p, &list.items[i]);
	free(list.items);
}

/* --- the thread ------------------------------------------------------------------------------- */

static void *tend_main(void *arg)
{
	struct export_backups *b = arg;
	struct job job;

	(void)pthread_mutex_lock(&b->mx);
	for (;;) {
		if (b->job_count) {
			job = b->jobs[0];
			b->jobs[0] = b->jobs[--b->job_count];
			(void)pthread_mutex_unlock(&b->mx);
			tend(b, &job);
			(void)pthread_mutex_lock(&b->mx);
		} else if (b->stop) {
			break;
		} else {
			(void)pthread_cond_wait(&b->changed, &b->mx);
		}
	}
	(void)pthread_mutex_unlock(&b->mx);
	return NULL;
}

enum err_code export_backups_new(struct export_backups **ret, struct err *e)
{
	AUTO(export_backups_free) struct export_backups *b = calloc(1, sizeof *b);

	if (!b)
		return err_set(e, ERR_NOMEM, "backups of exported files");
	(void)pthread_mutex_init(&b->mx, NULL);
	(void)pthread_cond_init(&b->changed, NULL);
	enum err_code code = thread_start("tycho-gzip", tend_main, b, &b->thread, e);
	if (code != ERR_OK)
		return code;
	b->running = true;
	*ret = TAKE(b);
	return ERR_OK;
}

void export_backups_free(struct export_backups *b)
{
	if (!b)
		return;
	if (b->running) {
		(void)pthread_mutex_lock(&b->mx);
		b->stop = true;
		(void)pthread_cond_signal(&b->changed);
		(void)pthread_mutex_unlock(&b->mx);
		(void)pthread_join(b->thread, NULL);
	}
	(void)pthread_cond_destroy(&b->changed);
	(void)pthread_mutex_destroy(&b->mx);
	free(b);
}

void export_backups_tend(struct export_backups *b, const char *path, uint32_t max, bool compress)
{
	size_t i = 0;

	(void)pthread_mutex_lock(&b->mx);
	while (i < b->job_count && strcmp(b->jobs[i].path, path) != 0)
		i++;
	if (i < JOBS) { /* else: a file that changes its place often; with its next backup */
		b->job_count += i == b->job_count;
		(void)snprintf(b->jobs[i].path, sizeof b->jobs[i].path, "%s", path);
		b->jobs[i].max = max;
		b->jobs[i].compress = compress;
		(void)pthread_cond_signal(&b->changed);
	}
	(void)pthread_mutex_unlock(&b->mx);
}
