/*
 * disk - SQLite's way to its files, which tells a place that cannot be read from a disk that fails.
 *
 *	SQLite ─read─► disk ─► SQLite's own VFS ─► flows.db, flows.db-wal
 *
 * Damage   a read that fails, also when it is tried again, while other places of the file can be read,
 *          is damage of what lies there: SQLite says "corrupt" of it, as of rubbish in the same place.
 * Failure  where most of the file cannot be read it stays an I/O error. What fails to be written or
 *          synced is none of this.
 * Log      what is damaged in the write-ahead log would keep the rest of it from being moved into the
 *          file for ever: a connection may ask for such pages to be moved as zeros, which are damage
 *          there.
 * Map      a page of SQLite's pointer map that is damaged, or cannot be read, knows nothing of its pages
 *          any more; it is no damage of the rows there, of which SQLite would take it for one.
 * Threads  any; a fault is told to the thread whose read it was.
 */
#ifndef TYCHO_STORE_DISK_H
#define TYCHO_STORE_DISK_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/* A place that could not be read. */
struct disk_fault {
	bool is_log;        /* of flows.db-wal */
	bool is_everywhere; /* and so are others: the disk fails */
	uint64_t offset, bytes;
	int os; /* errno */
};

/* The name to open files with; NULL: SQLite has no memory. */
const char *disk_vfs(void);
/* The last fault of this thread since it was last asked. */
bool disk_fault_take(struct disk_fault *ret);
/* True if a write of this thread found no room since this was last asked. SQLite says "full" of pages
 * that are far beyond the end of the file, too, to which only damage leads. */
bool disk_was_full(void);
/* From here on pages of the log that cannot be read are zeros to this connection. */
void disk_fill(sqlite3 *h);
/* "page 12 (byte 45056) of flows.db: Input/output error" */
enum { DISK_WORDS = 128 };
const char *disk_words(const struct disk_fault *f, char words[DISK_WORDS]);

/* Places that are to be told, each once. */
enum { DISK_PLACES = 64 };
struct disk_faults {
	pthread_mutex_t mx;
	struct disk_fault list[DISK_PLACES]; /* guarded by mx */
	size_t count, told;                  /* guarded by mx */
};
void disk_faults_note(struct disk_faults *to, const struct disk_fault *f);
/* The next one that is not told yet. */
bool disk_faults_next(struct disk_faults *from, struct disk_fault *ret);

#endif
