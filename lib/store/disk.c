#include "store/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/pass.h"

enum {
	PAGE = 4096,      /* SQLite's own choice, which is never changed */
	PAGE_LEAST = 512, /* of any database */
	PLACES = 8,       /* that are looked at, evenly over the file */
	LOOK_BYTES = 512,
	/* https://sqlite.org/fileformat2.html: its header, and in it */
	HEADER_BYTES = 100,
	LARGEST_ROOT = 52, /* four bytes; 0: there is no pointer map */
	APPLICATION = 68,
	/* the pointer map: from the second page on, one page for so many others */
	MAP_ENTRY_BYTES = 5, /* a kind, and the number of the page that leads there */
	MAP_ENTRIES = PAGE / MAP_ENTRY_BYTES,
	MAP_KIND_ROOT = 1, /* nothing leads there */
	MAP_KINDS = 5,
};

/* --- what was met ------------------------------------------------------------------------- */

/* As errno is: between a read within SQLite and the call that led there. */
static _Thread_local struct disk_fault met;
static _Thread_local bool met_full;

bool disk_was_full(void)
{
	bool was = met_full;

	met_full = false;
	return was;
}

bool disk_fault_take(struct disk_fault *ret)
{
	bool any = met.os != 0;

	if (ret)
		*ret = met;
	met.os = 0;
	return any;
}

const char *disk_words(const struct disk_fault *f, char words[DISK_WORDS])
{
	const char *os = strerrordesc_np(f->os);

	if (f->is_log)
		(void)snprintf(words, DISK_WORDS, "byte %llu of flows.db-wal: %s",
			       (unsigned long long)f->offset, os ? os : "unknown error");
	else
		(void)snprintf(words, DISK_WORDS, "page %llu (byte %llu) of flows.db: %s",
			       (unsigned long long)(f->offset / PAGE + 1),
			       (unsigned long long)f->offset, os ? os : "unknown error");
	return words;
}

void disk_faults_note(struct disk_faults *to, const struct disk_fault *f)
{
	bool is_known = false;

	(void)pthread_mutex_lock(&to->mx);
	for (size_t i = 0; i < to->count && !is_known; i++)
		is_known = to->list[i].is_log == f->is_log && to->list[i].offset == f->offset;
	if (!is_known && to->count < DISK_PLACES)
		to->list[to->count++] = *f;
	(void)pthread_mutex_unlock(&to->mx);
}

bool disk_faults_next(struct disk_faults *from, struct disk_fault *ret)
{
	(void)pthread_mutex_lock(&from->mx);
	bool any = from->told < from->count;
	if (any)
		*ret = from->list[from->told++];
	(void)pthread_mutex_unlock(&from->mx);
	return any;
}

/* --- a file ------------------------------------------------------------------------------- */

struct file {
	struct pass_file pass;
	bool is_log, is_other; /* a temporary one, say */
	bool fills;
	bool has_map; /* a pointer map: the header says so */
};

static struct file *of(sqlite3_file *f)
{
	return (struct file *)f;
}

static bool is_failure(int rc)
{
	return (rc & 0xff) == SQLITE_IOERR && rc != SQLITE_IOERR_SHORT_READ;
}

/* Can half of the places be read that are not in [@at, @at + @n)? */
static bool others_can_be_read(sqlite3_file *f, uint64_t at, uint64_t n)
{
	sqlite3_int64 size = 0;
	char bytes[LOOK_BYTES];
	unsigned good = 0, bad = 0;

	if (PASS(f, xFileSize, &size) != SQLITE_OK)
		return false;
	for (uint64_t i = 0; i < PLACES && good < PLACES / 2 && bad <= PLACES / 2; i++) {
		uint64_t place = (uint64_t)size / PLACES * i / LOOK_BYTES * LOOK_BYTES;
		if (place + LOOK_BYTES > at && place < at + n)
			continue;
		if (is_failure(PASS(f, xRead, bytes, sizeof bytes, (sqlite3_int64)place)))
			bad++;
		else
			good++;
	}
	return good && good >= bad;
}

/* --- the pointer map ---------------------------------------------------------------------- */

static void look_at_header(struct file *f, const uint8_t *header)
{
	static const uint8_t none[4];

	f->has_map = memcmp(header + APPLICATION, "Tych", 4) == 0 &&
		     memcmp(header + LARGEST_ROOT, none, sizeof none) != 0;
}

static bool is_of_map(const struct file *f, int n, sqlite3_int64 at)
{
	return f->has_map && n == PAGE && at % PAGE == 0 &&
	       (at / PAGE + 1) % (MAP_ENTRIES + 1) == 2;
}

/*
 * Entries that nobody can have written say that nothing leads to their pages. SQLite looks there first when it
 * deletes, or steps over, what does not fit into a row's own page, and takes any other kind, as here, for "not
 * known"; rubbish for the end. Only who moves a page must know, and gives up then. What is written later is
 * right again.
 */
static void mend_map(uint8_t *page)
{
	static const uint8_t unknown[MAP_ENTRY_BYTES] = { MAP_KIND_ROOT };

	for (uint8_t *p = page; p < page + MAP_ENTRIES * MAP_ENTRY_BYTES; p += MAP_ENTRY_BYTES)
		if (*p < MAP_KIND_ROOT || *p > MAP_KINDS)
			memcpy(p, unknown, sizeof unknown);
}

/* --- reading ------------------------------------------------------------------------------ */

/* @rc of a read that has not failed. */
static int taken(struct file *f, int rc, void *to, int n, sqlite3_int64 at)
{
	if (rc != SQLITE_OK || f->is_log || f->is_other)
		return rc;
	if (at == 0 && n >= HEADER_BYTES)
		look_at_header(f, to);
	if (is_of_map(f, n, at))
		mend_map(to);
	return rc;
}

static int on_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	int rc = PASS(f, xRead, to, n, at), os = errno;

	if (!is_failure(rc) || of(f)->is_other)
		return taken(of(f), rc, to, n, at);
	bool is_confined = others_can_be_read(f, (uint64_t)at, (uint64_t)n);
	/* It may have been for that moment only. */
	int again = PASS(f, xRead, to, n, at);
	if (!is_failure(again))
		return taken(of(f), again, to, n, at);
	if (is_confined && is_of_map(of(f), n, at)) {
		memset(to, 0, (size_t)n);
		mend_map(to);
		return SQLITE_OK;
	}
	met = (struct disk_fault){ .is_log = of(f)->is_log,
				   .is_everywhere = !is_confined,
				   .offset = (uint64_t)at,
				   .bytes = (uint64_t)n,
				   .os = os ? os : EIO };
	errno = met.os; /* which SQLite looks at */
	if (!is_confined)
		return SQLITE_IOERR_READ;
	if (!of(f)->is_log)
		return SQLITE_IOERR_CORRUPTFS;
	/* Its head, or a page with that page's own: the log as a whole is looked at, and cannot be
	 * used (https://sqlite.org/walformat.html). */
	if (n < PAGE_LEAST || (n & (n - 1)))
		return SQLITE_IOERR_READ;
	if (!of(f)->fills)
		return SQLITE_IOERR_CORRUPTFS;
	memset(to, 0, (size_t)n);
	return SQLITE_OK;
}

/* --- writing ------------------------------------------------------------------------------ */

static int on_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
	int rc = PASS(f, xWrite, bytes, n, at);

	met_full |= rc == SQLITE_FULL;
	return rc;
}

/* --- the VFS ------------------------------------------------------------------------------ */

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* SQLite's list of them is the process's: made once, and never changed. */
static sqlite3_vfs disk;
static sqlite3_io_methods methods;

void disk_fill(sqlite3 *h)
{
	sqlite3_file *f = NULL;

	if (sqlite3_file_control(h, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f) == SQLITE_OK && f &&
	    f->pMethods == &methods)
		of(f)->fills = true;
}

static sqlite3_vfs *real_of(sqlite3_vfs *vfs)
{
	return vfs->pAppData;
}

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
	*of(f) = (struct file){ .is_log = (flags & SQLITE_OPEN_WAL) != 0,
				.is_other = !(flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_DB)) };
	return pass_open(f, sizeof(struct file), &methods, real_of(vfs), name, flags, ret_flags);
}

/* What is not given here is SQLite's own: it needs no file of ours. */
static void make(void)
{
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);

	if (!real)
		return;
	methods = pass_methods;
	methods.xRead = on_read;
	methods.xWrite = on_write;
	disk = *real;
	disk.pNext = NULL;
	disk.zName = "tycho";
	disk.pAppData = real;
	disk.szOsFile = (int)sizeof(struct file) + real->szOsFile;
	disk.xOpen = on_open;
	if (sqlite3_vfs_register(&disk, 0) != SQLITE_OK)
		disk.zName = NULL;
}

const char *disk_vfs(void)
{
	(void)pthread_once(&once, make);
	return disk.zName;
}
