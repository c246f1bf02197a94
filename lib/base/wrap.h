/*
 * wrap - help texts in lines that fit a terminal.
 *
 *	  --listen ADDRESS    where to answer: host:port or unix:///path; repeatable
 *	                      (default localhost:4245)
 */
#ifndef TYCHO_BASE_WRAP_H
#define TYCHO_BASE_WRAP_H

#include "base/buf.h"

/* Heads up to WRAP_HEAD_MOST columns make the left column as wide as they are; wider ones have a
 * line of their own. */
enum { WRAP_COLUMNS = 100, WRAP_HEAD_MOST = 34, WRAP_BETWEEN = 3 };

/* Columns of the terminal on @fd, from 40 to WRAP_COLUMNS; WRAP_COLUMNS if it is none. */
size_t wrap_columns(int fd);
/* @text in lines of at most @columns, and a newline. The first starts at column @indent, where the
 * cursor is; the others are moved there. Newlines in it stay. A word is never broken. */
void wrap_put(struct buf *b, const char *text, size_t indent, size_t columns);
/* The width of the left column with one more head in it. */
size_t wrap_head_width(size_t width, struct str head);
/* @head, and @text beside it. */
void wrap_row_put(struct buf *b, struct str head, size_t head_width, const char *text,
		  size_t columns);

#endif
