/*
 * disk_fault - places of SQLite's files that the disk cannot read.
 *
 *	SQLite ─pread─► the file, or EIO where a place is bad
 *	SQLite ─pwrite─► the file; a bad place that is written is good again, as drives remap it
 *
 * Shape    a place stays with its file, whatever that is called later; as many as fit into a small
 *          table.
 * Threads  any; they change while no store is open, or nothing is written or read.
 */
#ifndef TYCHO_TESTS_DISK_FAULT_H
#define TYCHO_TESTS_DISK_FAULT_H

#include <stdbool.h>
#include <stdint.h>

/* Before SQLite opens its first file. */
void disk_fault_install(void);
/* Bytes [@from, @before) of the file, which is there. */
void disk_fault_add(const char *path, int64_t from, int64_t before);
/* The next read fails, and no other. */
void disk_fault_add_once(const char *path, int64_t from, int64_t before);
/* No write makes it good: the disk is gone. */
void disk_fault_add_for_good(const char *path, int64_t from, int64_t before);
/* Or there is no room: no write works. */
void disk_fault_full(bool is_full);
void disk_fault_clear(void);
/* How many reads have failed since the last clear. */
unsigned disk_fault_count(void);

#endif
