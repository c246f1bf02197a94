/*
 * bundle_edit - a bundle taken apart, changed and put together again, as somebody would who wants
 * to lie and has no key: the manifest's list of files and the sum at the end are made anew.
 */
#ifndef TYCHO_TESTS_BUNDLE_EDIT_H
#define TYCHO_TESTS_BUNDLE_EDIT_H

#include <jansson.h>

#include "base/buf.h"

enum { EDIT_FILES = 64 };

struct edit_file {
	char name[104];
	char *content; /* own; NUL behind it */
	size_t len;
};

struct bundle_edit {
	struct edit_file files[EDIT_FILES]; /* without manifest.json */
	size_t count;
	json_t *manifest;
	uint64_t mtime_s;
};
void bundle_edit_open(struct bundle_edit *b, const char *path);
void bundle_edit_done(struct bundle_edit *b);
struct edit_file *bundle_edit_file(struct bundle_edit *b, const char *name);
void edit_set(struct edit_file *f, struct str content);
/* Replaces the first @from by @to; fails the test if there is none. */
void edit_replace(struct edit_file *f, const char *from, const char *to);
/* Line @n (from 0) taken out; put before line @to; said twice. */
void edit_line_remove(struct edit_file *f, size_t n);
void edit_line_move(struct edit_file *f, size_t n, size_t to);
void edit_line_repeat(struct edit_file *f, size_t n);
/* nodes[0] of the manifest. */
json_t *bundle_edit_node(struct bundle_edit *b);
/* Writes the bundle; @keep_list: the manifest's list of files stays as it was. */
void bundle_edit_write(struct bundle_edit *b, const char *path, bool keep_list);
void write_file(const char *path, struct str bytes);

#endif
