/*
 * disk_log - what SQLite does to its files, written down, so that a power cut can be tried at every
 * step.
 *
 *	SQLite ─► the files, as ever, and a list of steps: write, truncate, sync, delete
 *	steps [0, n) ─► files as a disk may hold them when the power fails after n steps
 *
 * Model    what was synced is there. Of what was written since, each sector of 512 bytes is there
 *          or is not, by chance, in whatever order; so is a change of a file's length. Names are
 *          there at once: SQLite syncs folders where it matters.
 * Shape    one folder; files are told by what follows "flows.db" in their names. Syncs do not reach
 *          the real disk: tests need not wait for it.
 * Threads  all calls but those of SQLite itself: one thread, while SQLite has no file open.
 */
#ifndef TYCHO_TESTS_DISK_LOG_H
#define TYCHO_TESTS_DISK_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From now on SQLite's own way to the disk leads through here. */
void disk_log_install(void);
void disk_log_start(void); /* forgets the steps; files are taken to be empty */
void disk_log_stop(void);  /* writes nothing down any more */
size_t disk_log_steps(void);
/* Puts the files into the folder @dir. @seed: the chance. */
void disk_log_cut(size_t n, uint64_t seed, const char *dir);

#endif
