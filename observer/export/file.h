/*
 * export_file - an output of whole lines: a file that is renamed away when it is full, or a stream.
 *
 *	lines ──► flows.log ── would exceed max_bytes ──► flows-<UTC time>.log   (backups.h)
 *
 * Modes    a new file has 0600, one that takes the place of a full one its mode and owner; folders
 *          that are missing are made (0750).
 * Whole    a write that fails leaves no half line: the file is cut back, a stream's line is ended
 *          before the next. So is one that somebody else left.
 * Moved    who moves or removes the file (logrotate) has a new one begin with the next lines; who
 *          truncates it has it go on.
 * Streams  "stdout", whatever at the path is no regular file, and what stands for a descriptor
 *          (/dev/stdout, /proc/…) is never renamed. One that nobody reads is waited for a second,
 *          and no more until it takes something again.
 * Threads  one.
 */
#ifndef TYCHO_OBSERVER_EXPORT_FILE_H
#define TYCHO_OBSERVER_EXPORT_FILE_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct export_backups;
struct export_file;

struct export_file_config {
	const char *path; /* copied */
	uint64_t max_bytes;
	uint32_t max_backups;
	bool compress;
	struct export_backups *backups; /* borrowed */
};

/* Opens it, so that what is wrong with the path is known at once. */
MUST_CHECK enum err_code export_file_open(const struct export_file_config *config,
					  struct export_file **ret, struct err *e);
void export_file_free(struct export_file *f);
AUTO_DEFINE(struct export_file, export_file_free);

/* Appends @lines, each with its '\n'. Where it fails, *@ret_written, always set, is the bytes of the
 * lines that stay; the rest is not there, and nothing is remembered of it. */
MUST_CHECK enum err_code export_file_write(struct export_file *f, struct str lines,
					   struct wall_ns now, size_t *ret_written, struct err *e);
/* How many times it was full. */
uint64_t export_file_rotations(const struct export_file *f);

#endif
