/*
 * pass - a file of SQLite's that passes each call on to another: what a VFS of one's own begins with.
 *
 *	struct file {
 *		struct pass_file pass;
 *		…
 *	};
 *	sqlite3_io_methods methods = pass_methods;
 *	methods.xRead = …;
 */
#ifndef TYCHO_STORE_PASS_H
#define TYCHO_STORE_PASS_H

#include <sqlite3.h>
#include <stddef.h>

struct pass_file {
	sqlite3_file base;
	sqlite3_file *real;
};
#define PASS(f, call, ...)                                                                         \
	((struct pass_file *)(f))                                                                  \
		->real->pMethods->call(((struct pass_file *)(f))->real __VA_OPT__(, ) __VA_ARGS__)

/* Of version 2: nothing is mapped, so that all that is read and written passes here. */
extern const sqlite3_io_methods pass_methods;

/* Opens @real, which lies behind the @bytes of @f itself, by the VFS @vfs, and gives @f its methods. */
int pass_open(sqlite3_file *f, size_t bytes, const sqlite3_io_methods *methods, sqlite3_vfs *vfs,
	      const char *name, int flags, int *ret_flags);

#endif
