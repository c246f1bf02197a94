/*
 * Help texts, made from the tables of commands and flags.
 */
#include <unistd.h>

#include "base/wrap.h"
#include "cli/command.h"

enum { HELP_MAX_BYTES = 1 << 20 };

void command_path_put(struct buf *b, const struct command *const *path, size_t depth)
{
	for (size_t i = 0; i < depth; i++)
		buf_printf(b, "%s%s", i ? " " : "", path[i]->name);
}

/* "  -f, --follow" or "      --last N". */
static void put_flag_head(struct buf *b, const struct flag_def *def)
{
	if (def->short_)
		buf_printf(b, "  -%c, --%s", def->short_, def->name);
	else
		buf_printf(b, "      --%s", def->name);
	if (!flag_stands_alone(def))
		buf_printf(b, " %s", flag_placeholder(def));
}

static void put_flag_set(struct buf *b, const struct flag_set *set, size_t columns)
{
	AUTO_BUF struct buf head = buf_init(256), text = buf_init(4096);
	size_t width = 0;

	for (size_t i = 0; i < set->count; i++) {
		buf_reset(&head);
		put_flag_head(&head, &set->flags[i]);
		if (!set->flags[i].hidden)
			width = wrap_head_width(width, buf_str(&head));
	}
	if (!width)
		return; /* all hidden */
	buf_printf(b, "\n%s Flags:\n", set->title);
	for (size_t i = 0; i < set->count; i++) {
		const struct flag_def *def = &set->flags[i];
		if (def->hidden)
			continue;
		buf_reset(&head);
		buf_reset(&text);
		put_flag_head(&head, def);
		buf_printf(&text, "%s", def->help);
		if (flag_shown_default(def))
			buf_printf(&text, " (default %s)", flag_shown_default(def));
		wrap_row_put(b, buf_str(&head), width, buf_cstr(&text), columns);
	}
}

static void put_children(struct buf *b, const struct command *command)
{
	size_t widest = 0;

	for (size_t i = 0; i < command->child_count; i++)
		if (!command->children[i]->hidden && strlen(command->children[i]->name) > widest)
			widest = strlen(command->children[i]->name);
	buf_lit(b, "\nAvailable Commands:\n");
	for (size_t i = 0; i < command->child_count; i++)
		if (!command->children[i]->hidden)
			buf_printf(b, "  %-*s   %s\n", (int)widest, command->children[i]->name,
				   command->children[i]->help);
}

void help_put(struct buf *b, const struct command *const *path, size_t depth, size_t columns)
{
	const struct command *command = path[depth - 1];

	wrap_put(b, command->details ? command->details : command->help, 0, columns);
	buf_lit(b, "\nUsage:\n");
	if (command->run) {
		buf_lit(b, "  ");
		command_path_put(b, path, depth);
		if (command->words)
			buf_printf(b, " %s", command->words);
		buf_lit(b, " [flags]\n");
	}
	if (command->child_count) {
		buf_lit(b, "  ");
		command_path_put(b, path, depth);
		buf_lit(b, " [command]\n");
	}
	if (command->alias)
		buf_printf(b, "\nAliases:\n  %s, %s\n", command->name, command->alias);
	if (command->examples)
		buf_printf(b, "\nExamples:\n%s\n", command->examples);
	if (command->child_count)
		put_children(b, command);
	for (size_t i = 0; i < command->set_count; i++)
		put_flag_set(b, command->sets[i], columns);
	if (command->uses_server)
		put_flag_set(b, &server_flags, columns);
	put_flag_set(b, &global_flags, columns);
	buf_lit(b, "\nGet help:\n  -h, --help   Help for any command or subcommand\n");
	if (command->child_count) {
		buf_lit(b, "\nUse \"");
		command_path_put(b, path, depth);
		buf_lit(b, " [command] --help\" for more information about a command.\n");
	}
}

static enum err_code run_help(struct cli *cli, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(HELP_MAX_BYTES);
	const struct command *path[COMMAND_MAX_DEPTH] = { &root_command };
	size_t depth = 1;

	if (flags_bool(cli->flags, "man")) {
		manual_put(&text);
		return cli_write(buf_str(&text), e);
	}
	for (size_t i = 0; i < flags_word_count(cli->flags) && depth < COMMAND_MAX_DEPTH; i++) {
		const struct command *child =
			command_child(path[depth - 1], flags_word(cli->flags, i));
		if (!child && depth == 1)
			buf_printf(&text, "Unknown help topic '%s'\n\n", flags_word(cli->flags, i));
		if (!child)
			break;
		path[depth++] = child;
	}
	help_put(&text, path, depth, wrap_columns(STDOUT_FILENO));
	return cli_write(buf_str(&text), e);
}

static const struct flag_def help_defs[] = {
	{ .name = "man",
	  .type = FLAG_BOOL,
	  .hidden = true,
	  .help = "Print the manual page, as mdoc" },
};
static const struct flag_set help_flags = { "Help", help_defs, ARRAY_LEN(help_defs) };
static const struct flag_set *const help_sets[] = { &help_flags };

const struct command help_command = {
	.name = "help",
	.words = "[COMMAND]",
	.help = "Help about any command",
	.sets = help_sets,
	.set_count = ARRAY_LEN(help_sets),
	.unchecked = true,
	.run = run_help,
};
