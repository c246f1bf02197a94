/*
 * file_watch - notices that a file was written, replaced or removed.
 *
 * The folder is watched, not the file: an editor or a configuration manager renames a new file over
 * the old one, and a watch on the old one would go with it. Kubernetes' way, a link "..data" that
 * is renamed over, counts as well.
 *
 * One thread. Begin to watch before the first read, and no change falls between the two.
 */
#ifndef TYCHO_BASE_WATCH_H
#define TYCHO_BASE_WATCH_H

#include "base/buf.h"
#include "base/err.h"

struct file_watch;

/* The file itself need not exist yet; its folder must. */
MUST_CHECK enum err_code file_watch_new(const char *path, struct file_watch **ret, struct err *e);
/* Everything in the folder @path concerns us. */
MUST_CHECK enum err_code folder_watch_new(const char *path, struct file_watch **ret, struct err *e);
void file_watch_free(struct file_watch *w);
AUTO_DEFINE(struct file_watch, file_watch_free);
/* Readable when something happened in the folder; then call file_watch_changed. */
int file_watch_fd(const struct file_watch *w);
/* True if it may concern the file. Never blocks. */
bool file_watch_changed(struct file_watch *w);

/* Appends the whole of the regular file at @path. ERR_INVALID: larger than @to's limit, or no
 * regular file. @what names it in the sentence: "the endpoint file". */
MUST_CHECK enum err_code file_read(const char *path, const char *what, struct buf *to,
				   struct err *e);

#endif
