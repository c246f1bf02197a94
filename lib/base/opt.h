/*
 * opt - the long options of a daemon: tables say what they are called and where values go, and
 * drive reading and --help alike.
 *
 *	static const struct opt_row rows[] = {
 *		{ "cluster", "NAME", "cluster of this node", OPT_TEXT(struct options, cluster) },
 *		{ "interval", "TIME", "how often", OPT_DURATION(struct options, interval_ns),
 *		  .min = NS_PER_S, .max = 60 * NS_PER_S, .want = "a time from 1s to 1m" },
 *	};
 *	static const struct opt_group groups[] = {
 *		{ "Here and there", rows, ARRAY_LEN(rows), 0 },
 *		OPT_COMMON_GROUP(struct options, common),
 *	};
 *	static const struct opt_program program = { "tycho-x", "0.1", "…", groups, 2 };
 *
 *	code = opt_read(&program, argc, argv, &options, e);
 *
 * A group's fields lie in the program's struct, or in a part of it that several programs share.
 * Only `--name value`, `--name=value` and `--name` are read; who repeats an option that is not a
 * list has the last one count. Faults are ERR_INVALID with one sentence that names the option.
 * Values are borrowed from argv. (The `tycho` command has a richer parser of its own, cli/flags.h.)
 */
#ifndef TYCHO_BASE_OPT_H
#define TYCHO_BASE_OPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"

struct buf;
struct opt_row;

/* Puts @value into the struct that row's group is about. @value is NULL if the row has no arg. */
typedef enum err_code opt_take_fn(const struct opt_row *row, void *target, const char *value,
				  struct err *e);

struct opt_row {
	const char *name;
	const char *arg; /* what its value is, for --help; NULL: takes none */
	const char *help;
	opt_take_fn *take;
	size_t at;       /* the field, as an offset into the struct */
	size_t width;    /* … and its size; words and numbers */
	size_t count_at; /* lists: their size_t count, likewise */
	/* Numbers, times (ns) and sizes (bytes): what is let in, beside 0 if @or_zero. Lists: @max
	 * is their room. */
	uint64_t min, max;
	bool or_zero;
	const char *want;         /* "expected …"; NULL where the kind of the row says it */
	const char *const *words; /* the values of an enum in its order, up to a NULL */
};

/* What rows hold from .take on, checked against the field's type. */
#define OPT_FIELD_(type, field, c_type)                                                            \
	.at = offsetof(type, field) + 0 * _Generic(((type *)0)->field, c_type : 0)
#define OPT_WIDTH_(type, field) .at = offsetof(type, field), .width = sizeof(((type *)0)->field)
#define OPT_OWN(function) .take = (function)
#define OPT_FLAG(type, field) .take = opt_take_flag, OPT_FIELD_(type, field, bool)
#define OPT_UNSET(type, field) .take = opt_take_unset, OPT_FIELD_(type, field, bool)
#define OPT_BOOL(type, field) .take = opt_take_bool, OPT_FIELD_(type, field, bool)
#define OPT_TEXT(type, field) .take = opt_take_text, OPT_FIELD_(type, field, const char *)
#define OPT_LIST(type, field, count) OPT_LIST_OF(opt_take_list, type, field, count)
/* … whose values @function looks at before opt_take_list takes them. */
#define OPT_LIST_OF(function, type, field, count)                                                  \
	.take = (function), OPT_FIELD_(type, field, const char **),                                \
	.count_at = offsetof(type, count) + 0 * _Generic(((type *)0)->count, size_t : 0),          \
	.max = ARRAY_LEN(((type *)0)->field)
/* Unsigned, of any width. */
#define OPT_NUMBER(type, field) .take = opt_take_number, OPT_WIDTH_(type, field)
#define OPT_DURATION(type, field) .take = opt_take_duration, OPT_FIELD_(type, field, uint64_t)
#define OPT_SIZE(type, field) .take = opt_take_size, OPT_FIELD_(type, field, uint64_t)
#define OPT_WORD(type, field, list) .take = opt_take_word, OPT_WIDTH_(type, field), .words = (list)

opt_take_fn opt_take_flag, opt_take_unset, opt_take_bool, opt_take_text, opt_take_list;
opt_take_fn opt_take_number;   /* decimal */
opt_take_fn opt_take_duration; /* "36h", "250ms": Go's durations, and "30d", "2w" */
opt_take_fn opt_take_size;     /* "500M", "10G": powers of 1,024; plain bytes */
opt_take_fn opt_take_word;

struct opt_group {
	const char *title; /* its heading in --help; neighbours with the same one share it */
	const struct opt_row *rows;
	size_t count;
	size_t base; /* where the rows' struct lies in the program's */
};

struct opt_program {
	const char *name, *version;
	const char *about; /* a sentence */
	const struct opt_group *groups;
	size_t count;
};

/* @options is the program's struct, which holds the defaults. @argv as main has it. */
MUST_CHECK enum err_code opt_read(const struct opt_program *program, int argc,
				  const char *const *argv, void *options, struct err *e);
/* --help: the sentence, then group by group the options and what they are for, in lines of
 * @columns. */
void opt_help_put(struct buf *b, const struct opt_program *program, size_t columns);

/* "--listen x: expected HOST:PORT": ERR_INVALID. For rows that read values themselves. */
enum err_code opt_bad(const struct opt_row *row, const char *value, const char *want,
		      struct err *e);
/* "--a and --b are needed together": ERR_INVALID if just one of the two is given. */
MUST_CHECK enum err_code opt_both(const char *a, const void *a_given, const char *b,
				  const void *b_given, struct err *e);

/* The command line, which opt_read has read, has @option. */
bool opt_is_given(const struct opt_program *program, int argc, const char *const *argv,
		  const char *option);
/* An option that does nothing by itself. */
struct opt_need {
	const char *option;
	bool is_met;
	const char *what; /* "--replay" */
};
/* "--replay-speed needs --replay": ERR_INVALID if the command line, which opt_read has read, gives
 * an option whose need is not met. */
MUST_CHECK enum err_code opt_check_needs(const struct opt_program *program, int argc,
					 const char *const *argv, const struct opt_need *needs,
					 size_t count, struct err *e);

/* What every daemon is told. */
struct opt_common {
	enum log_level log_level;
	int ready_fd; /* -1: none */
	bool help, version;
};
#define OPT_COMMON_DEFAULT                                                                         \
	{                                                                                          \
		.log_level = LOG_INFO, .ready_fd = -1                                              \
	}
enum { OPT_COMMON_ROWS = 4 };
extern const struct opt_row opt_common_rows[OPT_COMMON_ROWS];
#define OPT_COMMON_TITLE "The program itself"
#define OPT_COMMON_GROUP(type, field)                                                              \
	{                                                                                          \
		OPT_COMMON_TITLE, opt_common_rows, OPT_COMMON_ROWS, offsetof(type, field)          \
	}

/* True if --help or --version was asked for: it is answered, and std_fds_end is left to do. */
bool opt_is_answered(const struct opt_program *program, const struct opt_common *common);
/* For whoever started us: "READY=1" to the service manager, @line and a newline to --ready-fd. */
void opt_tell_ready(const struct opt_common *common, const char *line);
/* For whoever started us and waits: "failed SENTENCE" to --ready-fd. */
void opt_tell_failed(const struct opt_common *common, const char *sentence);

#endif
