/*
 * Help texts, made from the tables of commands and flags.
 */
#include "base/buf.h"
#include "cli/command.h"

enum { HELP_COLUMNS = 100, HELP_MAX_BYTES = 1 << 20, COLUMN_MOST = 34 };

/* @text in lines of at most HELP_COLUMNS, each after the first indented by @indent; the first
 * starts at @indent. */
static void put_wrapped(struct buf *b, const char *text, size_t indent)
{
	size_t column = indent;
	bool line_is_empty = true;

	while (*text) {
		size_t word = strcspn(text, " \n");
		if (!line_is_empty && column + 1 + word > HELP_COLUMNS) {
			buf_printf(b, "\n%*s", (int)indent, "");
			column = indent;
			line_is_empty = true;
		}
		if (!line_is_empty && word) {
			buf_char(b, ' ');
			column++;
		}
		buf_put(b, text, word);
		column += word;
		line_is_empty = line_is_empty && !word;
		text += word;
		if (*text == '\n') {
			buf_char(b, '\n');
			if (text[1] != '\n')
				buf_printf(b, "%*s", (int)indent, "");
			column = indent;
			line_is_empty = true;
		}
		text += *text != '\0';
	}
	buf_char(b, '\n');
}

static void put_path(struct buf *b, const struct command *const *path, size_t depth)
{
	for (size_t i = 0; i < depth; i++)
		buf_printf(b, "%s%s", i ? " " : "", path[i]->name);
}

static const char *placeholder(const struct flag_def *def)
{
	if (def->placeholder)
		return def->placeholder;
	switch (def->type) {
	case FLAG_UINT64:
	case FLAG_UINT16:
		return "N";
	case FLAG_DURATION:
		return "DURATION";
	default:
		return "STRING";
	}
}

/* "  -f, --follow" or "      --last N"; @return its width. */
static size_t put_flag_head(struct buf *b, const struct flag_def *def)
{
	size_t from = b->len;

	if (def->short_)
		buf_printf(b, "  -%c, --%s", def->short_, def->name);
	else
		buf_printf(b, "      --%s", def->name);
	if (!flag_stands_alone(def))
		buf_printf(b, " %s", placeholder(def));
	return b->len - from;
}

static bool default_is_worth_saying(const struct flag_def *def)
{
	return def->def && *def->def && strcmp(def->def, "0") != 0 &&
	       strcmp(def->def, "false") != 0;
}

static void put_flag_set(struct buf *b, const struct flag_set *set)
{
	size_t widest = 0;

	for (size_t i = 0; i < set->count; i++) {
		AUTO_BUF struct buf head = buf_init(256);
		size_t width = set->flags[i].hidden ? 0 : put_flag_head(&head, &set->flags[i]);
		if (width > widest && width <= COLUMN_MOST)
			widest = width;
	}
	if (!widest)
		return; /* all hidden */
	buf_printf(b, "\n%s Flags:\n", set->title);
	for (size_t i = 0; i < set->count; i++) {
		const struct flag_def *def = &set->flags[i];
		AUTO_BUF struct buf text = buf_init(4096);
		if (def->hidden)
			continue;
		size_t width = put_flag_head(b, def);
		if (width > widest)
			buf_printf(b, "\n%*s", (int)widest + 3, "");
		else
			buf_printf(b, "%*s", (int)(widest + 3 - width), "");
		buf_printf(&text, "%s", def->help);
		if (default_is_worth_saying(def))
			buf_printf(&text, " (default %s)", def->def);
		put_wrapped(b, buf_cstr(&text), widest + 3);
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

void help_put(struct buf *b, const struct command *const *path, size_t depth)
{
	const struct command *command = path[depth - 1];

	put_wrapped(b, command->details ? command->details : command->help, 0);
	buf_lit(b, "\nUsage:\n");
	if (command->run) {
		buf_lit(b, "  ");
		put_path(b, path, depth);
		if (command->words)
			buf_printf(b, " %s", command->words);
		buf_lit(b, " [flags]\n");
	}
	if (command->child_count) {
		buf_lit(b, "  ");
		put_path(b, path, depth);
		buf_lit(b, " [command]\n");
	}
	if (command->alias)
		buf_printf(b, "\nAliases:\n  %s, %s\n", command->name, command->alias);
	if (command->examples)
		buf_printf(b, "\nExamples:\n%s\n", command->examples);
	if (command->child_count)
		put_children(b, command);
	for (size_t i = 0; i < command->set_count; i++)
		put_flag_set(b, command->sets[i]);
	if (command->uses_server)
		put_flag_set(b, &server_flags);
	put_flag_set(b, &global_flags);
	buf_lit(b, "\nGet help:\n  -h, --help   Help for any command or subcommand\n");
	if (command->child_count) {
		buf_lit(b, "\nUse \"");
		put_path(b, path, depth);
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
	help_put(&text, path, depth);
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
