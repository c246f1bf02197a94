/*
 * file - the few things the command does with files and stdout, with the words of the reference.
 */
#ifndef TYCHO_CLI_FILE_H
#define TYCHO_CLI_FILE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

/* Opens for reading: "open /x: no such file or directory", in lower case as Go has it, for scripts
 * that look for it. */
MUST_CHECK enum err_code file_open(const char *path, int *ret_fd, struct err *e);
/* Appends all that can be read there, from a pipe too. ERR_NOMEM: more than @b takes. */
MUST_CHECK enum err_code cli_read(const char *path, struct buf *b, struct err *e);
/* Writes @text to stdout whole; a terminal shows its control characters (base/terminal.h).
 * ERR_CLOSED: nobody reads. */
MUST_CHECK enum err_code cli_write(struct str text, struct err *e);
/* The same to stderr, as far as it goes. */
void cli_say(struct str text);

/*
 * line_reader - lines of a file, each at most LINE_MAX_BYTES long, until the end or SIGINT.
 *
 * Lines are handed out as soon as they are complete, so that a pipe that trickles is followed. The
 * limit is that of the reference (Go's bufio.Scanner): such a file ends with "bufio.Scanner: token
 * too long".
 */
enum { LINE_MAX_BYTES = 65535 };
struct line_reader;

/* @fd and @path, which is only for its faults, are borrowed. SIGINT is blocked for the process until
 * the reader is freed; it ends the lines. */
MUST_CHECK enum err_code line_reader_new(int fd, const char *path, struct line_reader **ret,
					 struct err *e);
void line_reader_free(struct line_reader *r);
AUTO_DEFINE(struct line_reader, line_reader_free);
/* Next line without its LF or CR LF, borrowed until the next call. ERR_CLOSED: the end.
 * ERR_CANCELLED: SIGINT. */
MUST_CHECK enum err_code line_reader_next(struct line_reader *r, struct str *ret, struct err *e);
/* True when a whole line is here already: the next call will not wait. */
bool line_reader_has_next(struct line_reader *r);

#endif
