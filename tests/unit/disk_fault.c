#include "disk_fault.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

enum { BAD_MOST = 64 };
enum lasts { ONCE, UNTIL_WRITTEN, FOR_GOOD };

static struct {
	pthread_mutex_t mx;
	struct bad {
		dev_t device;
		ino_t inode;
		int64_t from, before;
		enum lasts lasts;
	} list[BAD_MOST];
	size_t count;
	unsigned failed;
	bool is_full;
} disk = { .mx = PTHREAD_MUTEX_INITIALIZER };

static bool is_of(const struct bad *b, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == b->device && st.st_ino == b->inode;
}

static ssize_t bad_pread(int fd, void *to, size_t n, off_t at)
{
	bool is_bad = false;

	(void)pthread_mutex_lock(&disk.mx);
	for (size_t i = 0; i < disk.count && !is_bad; i++) {
		struct bad *b = &disk.list[i];
		is_bad = b->from < at + (int64_t)n && b->before > at && is_of(b, fd);
		if (is_bad && b->lasts == ONCE)
			b->from = b->before = 0;
	}
	disk.failed += is_bad;
	(void)pthread_mutex_unlock(&disk.mx);
	if (!is_bad)
		return pread(fd, to, n, at);
	errno = EIO;
	return -1;
}

static ssize_t mending_pwrite(int fd, const void *from, size_t n, off_t at)
{
	(void)pthread_mutex_lock(&disk.mx);
	bool is_full = disk.is_full;
	(void)pthread_mutex_unlock(&disk.mx);
	ssize_t written = is_full ? -1 : pwrite(fd, from, n, at);
	int os = is_full ? ENOSPC : errno;

	(void)pthread_mutex_lock(&disk.mx);
	for (size_t i = 0; i < disk.count; i++) {
		struct bad *b = &disk.list[i];
		if (b->lasts != FOR_GOOD && written > 0 && at <= b->from &&
		    at + written >= b->before && is_of(b, fd))
			b->from = b->before = 0;
	}
	(void)pthread_mutex_unlock(&disk.mx);
	errno = os;
	return written;
}

void disk_fault_install(void)
{
	static const char *const reads[] = { "pread", "pread64" };
	static const char *const writes[] = { "pwrite", "pwrite64" };
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	int set = 0;

	/* which of them it was built to call */
	for (int i = 0; i < 2; i++) {
		if (vfs->xSetSystemCall(vfs, reads[i], (sqlite3_syscall_ptr)bad_pread) == SQLITE_OK)
			set |= 1;
		if (vfs->xSetSystemCall(vfs, writes[i], (sqlite3_syscall_ptr)mending_pwrite) ==
		    SQLITE_OK)
			set |= 2;
	}
	if (set != 3)
		abort();
}

static void add(const char *path, int64_t from, int64_t before, enum lasts lasts)
{
	struct stat st;

	(void)pthread_mutex_lock(&disk.mx);
	if (disk.count == BAD_MOST || stat(path, &st) != 0)
		abort();
	struct bad *b = &disk.list[disk.count++];
	*b = (struct bad){ st.st_dev, st.st_ino, from, before, lasts };
	(void)pthread_mutex_unlock(&disk.mx);
}

void disk_fault_add(const char *path, int64_t from, int64_t before)
{
	add(path, from, before, UNTIL_WRITTEN);
}

void disk_fault_add_once(const char *path, int64_t from, int64_t before)
{
	add(path, from, before, ONCE);
}

void disk_fault_add_for_good(const char *path, int64_t from, int64_t before)
{
	add(path, from, before, FOR_GOOD);
}

void disk_fault_clear(void)
{
	(void)pthread_mutex_lock(&disk.mx);
	disk.count = 0;
	disk.failed = 0;
	disk.is_full = false;
	(void)pthread_mutex_unlock(&disk.mx);
}

void disk_fault_full(bool is_full)
{
	(void)pthread_mutex_lock(&disk.mx);
	disk.is_full = is_full;
	(void)pthread_mutex_unlock(&disk.mx);
}

unsigned disk_fault_count(void)
{
	(void)pthread_mutex_lock(&disk.mx);
	unsigned n = disk.failed;
	(void)pthread_mutex_unlock(&disk.mx);
	return n;
}
