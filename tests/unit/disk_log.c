#include "disk_log.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/pass.h"

enum { FILES = 3, SECTOR = 512 };
static const char *const suffixes[FILES] = { "", "-wal", "-journal" };

enum what { WRITE, TRUNCATE, SYNC, DELETE };
struct step {
	enum what what;
	int file;
	size_t at, len; /* TRUNCATE: @at is the new length */
	uint8_t *bytes;
};

static struct {
	pthread_mutex_t mx;
	bool on;
	struct step *steps;
	size_t count, room;
	sqlite3_vfs *real, vfs;
	sqlite3_io_methods methods;
} disk = { .mx = PTHREAD_MUTEX_INITIALIZER };

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static void note(enum what what, int file, size_t at, const void *bytes, size_t len)
{
	(void)pthread_mutex_lock(&disk.mx);
	if (disk.on && file >= 0) {
		if (disk.count == disk.room) {
			disk.room = disk.room ? 2 * disk.room : 1024;
			disk.steps = must(realloc(disk.steps, disk.room * sizeof *disk.steps));
		}
		struct step *s = &disk.steps[disk.count++];
		*s = (struct step){ what, file, at, len, NULL };
		if (bytes)
			s->bytes = memcpy(must(malloc(len ? len : 1)), bytes, len);
	}
	(void)pthread_mutex_unlock(&disk.mx);
}

/* --- SQLite's side ------------------------------------------------------------------------ */

struct file {
	struct pass_file pass;
	int which; /* of suffixes; -1: another */
};

static struct file *of(sqlite3_file *f)
{
	return (struct file *)f;
}

static int on_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
	note(WRITE, of(f)->which, (size_t)at, bytes, (size_t)n);
	return PASS(f, xWrite, bytes, n, at);
}
static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	note(TRUNCATE, of(f)->which, (size_t)size, NULL, 0);
	return PASS(f, xTruncate, size);
}
static int on_sync(sqlite3_file *f, int flags)
{
	(void)flags;
	note(SYNC, of(f)->which, 0, NULL, 0);
	return SQLITE_OK;
}

static int which_of(const char *name)
{
	const char *at = name ? strstr(name, "flows.db") : NULL;

	for (int i = 0; at && i < FILES; i++)
		if (strcmp(at + strlen("flows.db"), suffixes[i]) == 0)
			return i;
	return -1;
}

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	(void)vfs;
	*of(f) = (struct file){ .which = which_of(name) };
	return pass_open(f, sizeof(struct file), &disk.methods, disk.real, name, flags, ret_flags);
}

static int on_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
	(void)vfs;
	(void)sync_folder;
	note(DELETE, which_of(name), 0, NULL, 0);
	return disk.real->xDelete(disk.real, name, 0);
}

void disk_log_install(void)
{
	if (disk.real)
		return;
	disk.real = must(sqlite3_vfs_find(NULL));
	disk.vfs = *disk.real;
	disk.vfs.zName = "disk_log";
	disk.vfs.szOsFile = (int)sizeof(struct file) + disk.real->szOsFile;
	disk.vfs.xOpen = on_open;
	disk.vfs.xDelete = on_delete;
	disk.methods = pass_methods;
	disk.methods.xWrite = on_write;
	disk.methods.xTruncate = on_truncate;
	disk.methods.xSync = on_sync;
	if (sqlite3_vfs_register(&disk.vfs, 1) != SQLITE_OK)
		abort();
}

/* --- the test's side ---------------------------------------------------------------------- */

void disk_log_start(void)
{
	for (size_t i = 0; i < disk.count; i++)
		free(disk.steps[i].bytes);
	free(disk.steps);
	disk.steps = NULL;
	disk.count = disk.room = 0;
	disk.on = true;
}

void disk_log_stop(void)
{
	disk.on = false;
}

size_t disk_log_steps(void)
{
	return disk.count;
}

/* Of the first @n steps, those up to the file's last sync. */
static size_t last_sync(size_t n, int file)
{
	while (n-- > 0)
		if (disk.steps[n].what == SYNC && disk.steps[n].file == file)
			return n + 1;
	return 0;
}

struct image {
	bool exists;
	uint8_t *bytes;
	size_t len;
};

static void set_len(struct image *m, size_t len)
{
	m->bytes = must(realloc(m->bytes, len + 1));
	if (len > m->len)
		memset(m->bytes + m->len, 0, len - m->len);
	m->len = len;
}

static void write_to(struct image *m, size_t at, const uint8_t *bytes, size_t len)
{
	if (at + len > m->len)
		set_len(m, at + len);
	memcpy(m->bytes + at, bytes, len);
}

static bool is_by_chance(uint64_t *x)
{
	*x = *x * UINT64_C(6364136223846793005) + 1442695040888963407;
	return *x >> 63;
}

/* What came after the file's last sync: @chance NULL: all of it. */
static void do_step(struct image *m, const struct step *s, uint64_t *chance)
{
	if (s->what == TRUNCATE && (!chance || is_by_chance(chance)))
		set_len(m, s->at);
	if (s->what != WRITE)
		return;
	for (size_t from = 0, n; from < s->len; from += n) {
		n = SECTOR - (s->at + from) % SECTOR;
		n = n < s->len - from ? n : s->len - from;
		if (!chance || is_by_chance(chance))
			write_to(m, s->at + from, s->bytes + from, n);
	}
}

static void put_file(const struct image *m, const char *dir, const char *suffix)
{
	char path[256];

	(void)snprintf(path, sizeof path, "%s/flows.db%s", dir, suffix);
	(void)unlink(path);
	if (!m->exists)
		return;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || (m->len && write(fd, m->bytes, m->len) != (ssize_t)m->len) || close(fd) != 0)
		abort();
}

void disk_log_cut(size_t n, uint64_t seed, const char *dir)
{
	for (int file = 0; file < FILES; file++) {
		struct image m = { .exists = file == 0 };
		size_t synced = last_sync(n, file);

		for (size_t i = 0; i < n; i++) {
			const struct step *s = &disk.steps[i];
			if (s->file != file)
				continue;
			if (s->what == DELETE)
				m.len = 0;
			m.exists = s->what != DELETE;
			do_step(&m, s, i < synced ? NULL : &seed);
		}
		put_file(&m, dir, suffixes[file]);
		free(m.bytes);
	}
}
