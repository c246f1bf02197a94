/*
 * epoch - where the numbers of a run begin, so that no sequence number is ever given twice on a
 * node.
 *
 *	run 1   [1700000000000000001 …
 *	run 2             [1700000360000000001 …
 *
 * Numbers start at the wall clock, in ns since 1970, and grow by one per record: a run would need
 * 10^9 records a second to catch up with the clock.
 *
 * The clock alone is not enough: it may be set back. So the start is also kept in a file, and each
 * run starts at least EPOCH_RUN_RECORDS after the one before, whatever the clock says. Numbers stay
 * below 2^63.
 *
 * Without a state directory that can be written, epoch_from_clock does, and the only way to see a
 * number twice is a clock that was set back between two runs.
 *
 * File     <dir>/seq: 20 decimal digits and a newline, replaced as a whole (written beside, synced,
 *          renamed, folder synced), or overwritten where the disk has no room for another. Where it
 *          has none for that either, the run begins all the same (epoch_is_kept).
 * Lock     the directory is locked (flock) for the life of the epoch: two observers cannot share
 *          it.
 */
#ifndef TYCHO_OBSERVER_EPOCH_H
#define TYCHO_OBSERVER_EPOCH_H

#include "base/err.h"
#include "base/time.h"

/* 18 minutes of clock; 127 days of 100,000 records a second */
#define EPOCH_RUN_RECORDS (UINT64_C(1) << 40)

struct epoch;

/* Locks @dir, which must exist, reads and moves on its file. Fails with
 *  - ERR_EXISTS: another observer runs on this directory. Do not go on.
 *  - ERR_PARSE: the file is damaged; the sentence says to remove it.
 *  - ERR_NOT_FOUND, ERR_PERMISSION, ERR_IO …: the directory cannot be used. Go on with
 *    epoch_from_clock, and say so. */
MUST_CHECK enum err_code epoch_open(const char *dir, struct wall_ns now, struct epoch **ret,
				    struct err *e);
/* Unlocks; the file stays. NULL is a no-op. */
void epoch_free(struct epoch *ep);
AUTO_DEFINE(struct epoch, epoch_free);

/* For flow_log_config.first_seq. */
uint64_t epoch_first_seq(const struct epoch *ep);
/* False: the disk is full, and the next run knows only of the start before this one: by a clock that is
 * set back, numbers may be given twice. */
bool epoch_is_kept(const struct epoch *ep);
/* The same from the clock alone. */
uint64_t epoch_from_clock(struct wall_ns now);

#endif
