/*
 * export_lines - lines on their way into a file: collected, written, and what is lost of them told.
 *
 *	message ──► JSON line ──► lines ── 64 KiB, or the end of a pass ──► export_file
 *
 * Loss     what cannot be written is counted, and told once in the log; behind the first lines that
 *          can be again, one says how much it was (lost_events, without a source). That the log
 *          overtook us is a line of HUBBLE_RING_BUFFER, at most one a second; its count stays until
 *          it is written.
 * Threads  one; export_lines_counts: any.
 */
#ifndef TYCHO_OBSERVER_EXPORT_LINES_H
#define TYCHO_OBSERVER_EXPORT_LINES_H

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"

struct export_file;
struct export_lines;

/* Now: on both clocks, read once per pass. */
struct export_now {
	struct wall_ns wall;
	struct mono_ns mono;
};

struct export_lines_config {
	const char *name, *path; /* of the exporter, for the log; borrowed for life, as is node */
	struct str node;         /* who tells of loss */
	bool tells_loss;         /* in the file; the log has it always */
};

/* @file is taken on success. */
MUST_CHECK enum err_code export_lines_new(const struct export_lines_config *config,
					  struct export_file *file, struct export_lines **ret,
					  struct err *e);
/* What is not written yet is dropped. */
void export_lines_free(struct export_lines *l);
AUTO_DEFINE(struct export_lines, export_lines_free);

/* Where the bytes of the next observer.ExportEvent go, empty. */
struct buf *export_lines_message(struct export_lines *l);
/* That message becomes a line; one that cannot is lost. */
void export_lines_add(struct export_lines *l, struct export_now now);
/* @n lines that never came to be. */
void export_lines_lose(struct export_lines *l, uint64_t n, struct export_now now);
/* @records of the log were overwritten before they were read, between @first and @last. */
void export_lines_overtaken(struct export_lines *l, uint64_t records, struct wall_ns first,
			    struct wall_ns last, struct export_now now);
/* The end of a pass: all that was added. @is_last: and what would be told later; the file is let go,
 * and nothing may be added any more. */
void export_lines_write(struct export_lines *l, bool is_last, struct export_now now);

struct export_lines_counts {
	uint64_t written; /* lines */
	uint64_t bytes;   /* of them */
	uint64_t lost;    /* lines that could not be written */
	uint64_t rotations;
};
struct export_lines_counts export_lines_counts(const struct export_lines *l);

#endif
