/*
 * tycho - the command line: finds the subcommand, reads its flags and the settings, and runs it.
 *
 * Nothing here or before a command's own work touches gRPC: help, completion and reading files must
 * not pay for it.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/std_fds.h"
#include "base/wrap.h"
#include "cli/command.h"
#include "cli/forward.h"
#include "cli/observe_filter.h"
#include "cli/report.h"

static enum err_code on_filter(void *ctx, const struct flag_def *def, const char *text,
			       struct err *e)
{
	return observe_filter_set(ctx, def->name, text, e);
}

static enum err_code print_help(const struct cli *cli, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(1 << 20);

	help_put(&text, cli->path, cli->depth, wrap_columns(STDOUT_FILENO));
	return cli_write(buf_str(&text), e);
}

static enum err_code unexpected_word(const struct cli *cli, const char *word, struct err *e)
{
	AUTO_BUF struct buf name = buf_init(256);

	command_path_put(&name, cli->path, cli->depth);
	return err_set(e, ERR_INVALID, "unexpected argument %s; see '%s --help'", FLAG_QUOTE(word),
		       buf_cstr(&name));
}

/* Is it perhaps the server, or the way there? Said to people only: scripts have their one line. */
static bool may_be_the_way(enum err_code code, const struct command *command)
{
	return (code == ERR_UNAVAILABLE || code == ERR_TIMEOUT) && command->uses_server &&
	       command != &doctor_command && isatty(STDERR_FILENO);
}

static enum err_code point_to_doctor(const struct cli *cli, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(2 * ERR_MSG_BYTES);

	buf_printf(&text, "%s\nTo find out why: ", e->msg);
	doctor_command_put(&text, cli);
	return err_set(e, e->code, "%s", buf_cstr(&text));
}

/* What is said of servers does not matter to who asks none, and the reference does not look. */
static bool stays_here(const struct flags *f)
{
	return *flags_text(f, "input-file") || flags_bool(f, "print-raw-filters");
}

static enum err_code run(const char *argv0, const char *const *args, size_t arg_count,
			 struct err *e)
{
	const struct command *path[COMMAND_MAX_DEPTH];
	const struct flag_set *sets[COMMAND_MAX_SETS];
	struct cli cli = { .argv0 = argv0, .path = path };
	AUTO(own_free) const char **rest = NULL;
	AUTO(flags_free) struct flags *flags = NULL;
	AUTO(settings_free) struct settings *settings = NULL;
	AUTO(observe_filter_free) struct observe_filter *filter = NULL;
	size_t rest_count;

	if (command_find(args, arg_count, path, &cli.depth, &rest, &rest_count, e) != ERR_OK)
		return e->code;
	const struct command *command = path[cli.depth - 1];
	if (observe_filter_new(&filter, e) != ERR_OK)
		return e->code;
	const struct flags_config config = { sets, command_sets(command, sets), on_filter, filter };
	if (flags_parse(&config, rest, rest_count, &flags, e) != ERR_OK)
		return e->code;
	cli.flags = flags;
	cli.filter = filter;
	if (flags_bool(flags, "help"))
		return print_help(&cli, e);
	if (command == &root_command && flags_bool(flags, "version")) {
		char text[64];
		snprintf(text, sizeof text, "tycho %s\r\n", cli_version());
		return cli_write(str_of(text), e);
	}
	if (!command->run)
		return print_help(&cli, e);
	if (!command->words && !command->ignores_words && flags_word_count(flags))
		return unexpected_word(&cli, flags_word(flags, 0), e);
	if (settings_load(flags, &settings, e) != ERR_OK)
		return e->code;
	cli.settings = settings;
	log_set_level(settings_bool(settings, "debug") ? LOG_DEBUG : LOG_INFO);
	if (settings_file(settings))
		log_debug("Using config file", "configFile=%s", LOG_QUOTE(settings_file(settings)));
	const struct err *fault = settings_file_fault(settings);
	bool asks = command->uses_server && !command->unchecked && !stays_here(flags);
	if (asks && fault)
		log_warn("the configuration file is passed over", "file=%s err=%s",
			 LOG_QUOTE(settings_text(settings, "config")), LOG_QUOTE(fault->msg));
	if ((asks && settings_check_values(settings, e) != ERR_OK) ||
	    (!command->unchecked && settings_check(settings, e) != ERR_OK))
		return e->code;
	__attribute__((cleanup(forward_stop))) struct forward forward = { .server = "" };
	if (asks && forward_start(settings, &forward, e) != ERR_OK)
		return e->code;
	enum err_code code = command->run(&cli, e);
	return may_be_the_way(code, command) ? point_to_doctor(&cli, e) : code;
}

/* Sentences may quote a server, or a damaged file: that cannot steer the terminal. */
static void complain(const char *sentence)
{
	enum { REPLACED_MAX = 3 }; /* bytes for one that is not UTF-8 */
	char clean[REPLACED_MAX * ERR_MSG_BYTES + 1];
	AUTO_BUF struct buf b = buf_init(4 * sizeof clean);

	clean[utf8_sanitize(str_of(sentence), clean, sizeof clean - 1)] = '\0';
	report_text(&b, clean);
	buf_char(&b, '\n');
	cli_say(buf_str(&b));
}

int main(int argc, char **argv)
{
	struct err e = { .code = ERR_OK };

	std_fds_hold();
	/* A reader that goes away is an error code of write(2), and a quiet end. */
	(void)signal(SIGPIPE, SIG_IGN);
	enum err_code code = run(argc > 0 ? argv[0] : "tycho", (const char *const *)argv + 1,
				 argc > 0 ? (size_t)argc - 1 : 0, &e);
	if (code == ERR_OK || code == ERR_CLOSED)
		return 0;
	complain(e.msg);
	return 1;
}
