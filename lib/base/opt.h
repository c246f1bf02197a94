/*
 * opt - the long options of a daemon: one table drives reading and --help.
 *
 *	static const struct opt_row rows[] = {
 *		[OPT_LISTEN] = { "listen", "ADDRESS", "where to answer" }, …
 *	};
 *
 *	struct opt_reader r = opt_reader_of(rows, ARRAY_LEN(rows), argc, argv);
 *	while ((code = opt_next(&r, &id, &value, e)) == ERR_OK)
 *		switch (id) { case OPT_LISTEN: … }
 *	if (code != ERR_CLOSED)
 *		return code;
 *
 * Only `--name value`, `--name=value` and `--name` are read. Faults are ERR_INVALID with one
 * sentence that names the option. Values are borrowed from argv. (The `tycho` command has a richer
 * parser of its own, cli/flags.h.)
 */
#ifndef TYCHO_BASE_OPT_H
#define TYCHO_BASE_OPT_H

#include "base/err.h"
#include "base/log.h"

struct opt_row {
	const char *name;
	const char *arg; /* what its value is, for --help; NULL: takes none */
	const char *help;
};

struct opt_reader {
	const struct opt_row *rows;
	size_t count;
	const char *const *argv;
	int argc, at;
};

/* @argv as main has it. */
static inline struct opt_reader opt_reader_of(const struct opt_row *rows, size_t count, int argc,
					      const char *const *argv)
{
	return (struct opt_reader){ rows, count, argv, argc, 1 };
}
/* *@ret_row is the option's index in the table; *@ret_value is NULL if it takes none. ERR_CLOSED:
 * that was all. */
MUST_CHECK enum err_code opt_next(struct opt_reader *r, size_t *ret_row, const char **ret_value,
				  struct err *e);

/* @intro and a blank line, then a line per option, names padded to the longest. To standard
 * output. */
void opt_help(const char *intro, const struct opt_row *rows, size_t count);

/* "--listen x: expected HOST:PORT": ERR_INVALID. */
enum err_code opt_bad(const struct opt_row *row, const char *value, const char *want,
		      struct err *e);
/* Appends to a list of room for @max. */
MUST_CHECK enum err_code opt_add(const char **list, size_t *count, size_t max,
				 const struct opt_row *row, const char *value, struct err *e);
/* debug, info, warn or error. */
MUST_CHECK enum err_code opt_log_level(const struct opt_row *row, const char *value,
				       enum log_level *ret, struct err *e);
/* A file descriptor's number. */
MUST_CHECK enum err_code opt_fd(const struct opt_row *row, const char *value, int *ret,
				struct err *e);

#endif
