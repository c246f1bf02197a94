/*
 * command - the subcommands of `tycho`: one table that drives dispatch, help, completion and the
 * manual pages.
 */
#ifndef TYCHO_CLI_COMMAND_H
#define TYCHO_CLI_COMMAND_H

#include "cli/file.h"
#include "cli/flags.h"
#include "cli/settings.h"

struct observe_filter;
struct cli;

struct command {
	const char *name, *alias; /* alias: NULL or one other name */
	const char *words;    /* what the usage line calls its words: "KEY [VALUE]"; NULL: none */
	const char *help;     /* one line, no full stop */
	const char *details;  /* paragraphs for help and manual; NULL: none */
	const char *examples; /* indented lines; NULL: none */
	const struct flag_set *const *sets; /* its own flags, beside the shared ones */
	size_t set_count;
	const struct command *const *children;
	size_t child_count;
	bool hidden;        /* works, but help and completion do not mention it */
	bool uses_server;   /* help shows the server flags */
	bool ignores_words; /* those that it has no use for, as Hubble's command of this name */
	bool unchecked; /* runs although the shared settings contradict each other: config, help */
	/* NULL: prints its help. ERR_CLOSED means that nobody reads stdout any more, which is a
	 * quiet end. */
	enum err_code (*run)(struct cli *cli, struct err *e);
};

/* What a running command works with. */
struct cli {
	const char *argv0;
	const struct command *const *path; /* from the root down to the command itself */
	size_t depth;
	const struct flags *flags;
	struct settings *settings;
	struct observe_filter *filter; /* what the filter flags said; NULL for commands without */
};

enum { COMMAND_MAX_DEPTH = 4, COMMAND_MAX_SETS = 12 };

extern const struct command root_command;
extern const struct command observe_command, status_command, list_command, watch_command,
	reflect_command, config_command, completion_command, complete_command, version_command,
	help_command, up_command, doctor_command, policy_command, evidence_command, store_command,
	coverage_command, sql_command, map_command;

/* Follows the words of @args from the root down, as cobra does: flags may stand before a
 * subcommand's name, and what is no name of a child stays a word of the command found. The names
 * found are left out of *@ret_args (which the caller frees). @ret_path has COMMAND_MAX_DEPTH
 * places. ERR_INVALID: "unknown command …". */
MUST_CHECK enum err_code command_find(const char *const *args, size_t arg_count,
				      const struct command **ret_path, size_t *ret_depth,
				      const char ***ret_args, size_t *ret_arg_count, struct err *e);
/* Child of @parent with that name or alias, NULL if there is none. */
const struct command *command_child(const struct command *parent, const char *name);
/* All flag sets that parse for a command: its own, the shared ones, --help (and --version at the
 * root). @ret_sets has COMMAND_MAX_SETS places. @return how many. */
size_t command_sets(const struct command *command, const struct flag_set **ret_sets);

/* "tycho observe flows". */
void command_path_put(struct buf *b, const struct command *const *path, size_t depth);
/* Help of the last command of @path, in lines of @columns. */
void help_put(struct buf *b, const struct command *const *path, size_t depth, size_t columns);
/* All of `tycho` as one mdoc page, section 1. */
void manual_put(struct buf *b);
/* "tycho doctor --server …", with the server flags of this call but passwords: who finds out what is
 * wrong with the server or the way to it. */
void doctor_command_put(struct buf *b, const struct cli *cli);
/* Version as printed and compared: "0.1.0". */
const char *cli_version(void);
/* The version of Hubble whose API this command speaks: what peers announce is compared with it. */
const char *cli_api_version(void);

#endif
