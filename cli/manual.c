/*
 * The manual page tycho(1) as mdoc(7), made from the tables of commands and flags: `tycho help
 * --man`.
 */
#include "base/buf.h"
#include "cli/command.h"

/* Text that roff must not take for requests or escapes. */
static void put_text(struct buf *b, const char *text)
{
	bool line_starts = true;

	for (; *text; text++) {
		if (line_starts && (*text == '.' || *text == '\''))
			buf_lit(b, "\\&");
		if (*text == '\\')
			buf_lit(b, "\\e");
		else if (*text == '-')
			buf_lit(b, "\\-");
		else
			buf_char(b, *text);
		line_starts = *text == '\n';
	}
}

static void put_paragraphs(struct buf *b, const char *text)
{
	for (const char *end; *text; text = *end ? end + 2 : end) {
		end = strstr(text, "\n\n");
		if (!end)
			end = text + strlen(text);
		AUTO_BUF struct buf paragraph = buf_init(1 << 16);
		buf_put(&paragraph, text, (size_t)(end - text));
		put_text(b, buf_cstr(&paragraph));
		buf_str_put(b, *end ? STR("\n.Pp\n") : STR("\n"));
	}
}

static void put_flags(struct buf *b, const struct flag_set *set)
{
	bool any = false;

	for (size_t i = 0; i < set->count; i++)
		any |= !set->flags[i].hidden;
	if (!any)
		return;
	buf_printf(b, ".Pp\n%s flags:\n.Bl -tag -width indent\n", set->title);
	for (size_t i = 0; i < set->count; i++) {
		const struct flag_def *def = &set->flags[i];
		if (def->hidden)
			continue;
		buf_lit(b, ".It ");
		if (def->short_)
			buf_printf(b, "Fl %c , ", def->short_);
		buf_printf(b, "Fl \\-%s", def->name);
		if (!flag_stands_alone(def))
			buf_printf(b, " Ar %s", flag_placeholder(def));
		buf_char(b, '\n');
		put_text(b, def->help);
		if (flag_shown_default(def)) {
			buf_lit(b, " (default ");
			put_text(b, flag_shown_default(def));
			buf_char(b, ')');
		}
		buf_char(b, '\n');
	}
	buf_lit(b, ".El\n");
}

static bool sets_are_shared(const struct command *a, const struct command *b)
{
	return a->set_count && a->sets == b->sets;
}

static void put_command(struct buf *b, const struct command *const *path, size_t depth)
{
	const struct command *command = path[depth - 1];

	if (command->run && depth > 1) {
		buf_lit(b, ".Ss tycho");
		for (size_t i = 1; i < depth; i++)
			buf_printf(b, " %s", path[i]->name);
		if (command->words)
			buf_printf(b, " %s", command->words);
		buf_char(b, '\n');
		if (sets_are_shared(command, path[depth - 2])) {
			buf_printf(b, "The same as\n.Nm %s .\n", path[depth - 2]->name);
			return;
		}
		put_paragraphs(b, command->details ? command->details : command->help);
		for (size_t i = 0; i < command->set_count; i++)
			put_flags(b, command->sets[i]);
		if (command->examples) {
			buf_lit(b, ".Bd -literal\n");
			put_text(b, command->examples);
			buf_lit(b, "\n.Ed\n");
		}
	}
	if (!command->run && depth > 1 && command->details) {
		buf_printf(b, ".Ss tycho %s\n", command->name);
		put_paragraphs(b, command->details);
	}
	for (size_t i = 0; i < command->child_count; i++) {
		const struct command *deeper[COMMAND_MAX_DEPTH];
		if (command->children[i]->hidden || depth == COMMAND_MAX_DEPTH)
			continue;
		memcpy(deeper, path, depth * sizeof *deeper);
		deeper[depth] = command->children[i];
		put_command(b, deeper, depth + 1);
	}
}

void manual_put(struct buf *b)
{
	const struct command *const root[] = { &root_command };

	buf_lit(b, ".\\\" Made by 'tycho help --man'; changes belong into the tables of cli/.\n"
		   ".Dd $Mdocdate$\n.Dt TYCHO 1\n.Os\n.Sh NAME\n.Nm tycho\n.Nd ");
	put_text(b, root_command.help);
	buf_lit(b, "\n.Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar flags\n.Sh DESCRIPTION\n");
	put_paragraphs(b, root_command.details);
	buf_lit(b, ".Sh COMMANDS\n");
	put_command(b, root, 1);
	buf_lit(b, ".Sh SHARED FLAGS\nEvery command takes these; those about servers matter to "
		   "commands that ask one.\n");
	put_flags(b, &server_flags);
	put_flags(b, &global_flags);
	buf_lit(b, ".Sh ENVIRONMENT\n"
		   "Each shared flag and the flags\n.Fl \\-allowlist\nand\n.Fl \\-denylist\n"
		   "can be set by a variable:\n.Ev TYCHO_\nand the flag's name in capitals, with "
		   "underscores\n"
		   ".Pq Ev TYCHO_TLS_SERVER_NAME .\nThe same names with\n.Ev HUBBLE_\nare read "
		   "where these are not set.\n"
		   ".Bl -tag -width indent\n"
		   ".It Ev TYCHO_COMPAT\nA comma list; the word\n.Cm "
		   "legacy-json-output\nmakes\n.Fl o Cm json\n"
		   "print bare flows.\n"
		   ".It Ev NO_COLOR\nIf set and not empty, no colours unless\n.Fl \\-color Cm "
		   "always\nis given.\n.El\n"
		   ".Sh FILES\n.Bl -tag -width indent\n"
		   ".It Pa $XDG_CONFIG_HOME/tycho/config.yaml\nSettings by the names of the shared "
		   "flags, as YAML; see\n"
		   ".Nm tycho config .\nNormally below\n.Pa ~/.config .\n.El\n"
		   ".Sh EXIT STATUS\n0 on success; 1 on any error, which a line on standard error "
		   "names.\n");
}
