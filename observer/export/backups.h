/*
 * export_backups - what becomes of full output files: named by the time, packed, and thrown away
 * when there are too many.
 *
 *	flows.log ──► flows-2026-03-01T10-00-05.000.log ──► flows-2026-03-01T10-00-05.000.log.gz
 *
 * Names    are Hubble's; another backup of the same millisecond takes the next one.
 * Threads  one of its own ("tycho-gzip"), so that nothing waits for it. export_backups_tend: any.
 * Stop     what is being packed is left as it was; the next start goes on.
 */
#ifndef TYCHO_OBSERVER_EXPORT_BACKUPS_H
#define TYCHO_OBSERVER_EXPORT_BACKUPS_H

#include "base/err.h"
#include "base/time.h"

enum { EXPORT_PATH_BYTES = 1024 };

struct export_backups;

MUST_CHECK enum err_code export_backups_new(struct export_backups **ret, struct err *e);
void export_backups_free(struct export_backups *b);
AUTO_DEFINE(struct export_backups, export_backups_free);

/* Soon: packs the backups of @path, if they are to be @compress'ed, and removes the oldest beyond
 * @max. Never blocks. */
void export_backups_tend(struct export_backups *b, const char *path, uint32_t max, bool compress);

/* Renames @path to the name of a backup that is not taken yet, of the time @now or a little later:
 * *@ret_when. Names of one file only grow if @now is beyond the last one's time. */
MUST_CHECK enum err_code export_backup_make(const char *path, struct wall_ns now,
					    struct wall_ns *ret_when, struct err *e);

#endif
