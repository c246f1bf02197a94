/*
 * Shell completion. The scripts are small and ask the command itself (the hidden `tycho
 * __complete`), which answers from its tables: one candidate a line, a tab and what it is for;
 * ":file" where the shell is to offer files.
 */
#include <stdio.h>

#include "base/buf.h"
#include "cli/command.h"

static const char bash_script[] =
	"# bash completion for tycho: source it, or put it into bash-completion's directory as "
	"'tycho'\n"
	"_tycho()\n"
	"{\n"
	"\tlocal i word glue= reply prefix joined=()\n"
	"\t# bash splits words at = and :, which are part of ours\n"
	"\tfor ((i = 1; i <= COMP_CWORD; i++)); do\n"
	"\t\tword=${COMP_WORDS[i]}\n"
	"\t\tif ((${#joined[@]})) && [[ $glue || $word == [:=]* ]]; then\n"
	"\t\t\tjoined[${#joined[@]} - 1]+=$word\n"
	"\t\telse\n"
	"\t\t\tjoined+=(\"$word\")\n"
	"\t\tfi\n"
	"\t\tglue=\n"
	"\t\tif [[ $word == *[:=] ]]; then glue=1; fi\n"
	"\tdone\n"
	"\tword=${joined[${#joined[@]} - 1]}\n"
	"\tprefix=\n"
	"\tif [[ $word == *[:=]* ]]; then prefix=${word%\"${word##*[:=]}\"}; fi\n"
	"\tCOMPREPLY=()\n"
	"\twhile IFS=$'\\t' read -r reply _; do\n"
	"\t\tif [[ $reply == :file ]]; then compopt -o default; COMPREPLY=(); return; fi\n"
	"\t\tCOMPREPLY+=(\"${reply#\"$prefix\"}\")\n"
	"\tdone < <(\"${COMP_WORDS[0]}\" __complete -- \"${joined[@]}\" 2>/dev/null)\n"
	"}\n"
	"complete -F _tycho tycho\n";

static const char zsh_script[] =
	"#compdef tycho\n"
	"# zsh completion for tycho: put it into a directory of $fpath as '_tycho'\n"
	"_tycho()\n"
	"{\n"
	"\tlocal line tab=$'\\t'\n"
	"\tlocal -a lines described\n"
	"\tlines=(\"${(@f)$(${words[1]} __complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
	"\tif [[ ${lines[1]} == :file ]]; then _files; return; fi\n"
	"\tfor line in $lines; do\n"
	"\t\tdescribed+=(\"${${line%%$tab*}//:/\\\\:}:${line#*$tab}\")\n"
	"\tdone\n"
	"\t_describe tycho described\n"
	"}\n"
	"if [[ $funcstack[1] == _tycho ]]; then _tycho \"$@\"; else compdef _tycho tycho; fi\n";

static const char fish_script[] =
	"# fish completion for tycho: put it into ~/.config/fish/completions as 'tycho.fish'\n"
	"function __tycho_complete\n"
	"\tset -l words (commandline -opc)\n"
	"\tset -l current (commandline -ct)\n"
	"\tset -l lines ($words[1] __complete -- $words[2..-1] \"$current\" 2>/dev/null)\n"
	"\tif test \"$lines[1]\" = :file\n"
	"\t\t__fish_complete_path $current\n"
	"\telse\n"
	"\t\tprintf '%s\\n' $lines\n"
	"\tend\n"
	"end\n"
	"complete -c tycho -f -a '(__tycho_complete)'\n";

static enum err_code print_bash(struct cli *cli, struct err *e)
{
	(void)cli;
	return cli_write(str_of(bash_script), e);
}

static enum err_code print_zsh(struct cli *cli, struct err *e)
{
	(void)cli;
	return cli_write(str_of(zsh_script), e);
}

static enum err_code print_fish(struct cli *cli, struct err *e)
{
	(void)cli;
	return cli_write(str_of(fish_script), e);
}

static const struct command bash_command = { .name = "bash",
					     .help = "Completion script for bash",
					     .ignores_words = true,
					     .unchecked = true,
					     .run = print_bash };
static const struct command zsh_command = { .name = "zsh",
					    .help = "Completion script for zsh",
					    .ignores_words = true,
					    .unchecked = true,
					    .run = print_zsh };
static const struct command fish_command = { .name = "fish",
					     .help = "Completion script for fish",
					     .ignores_words = true,
					     .unchecked = true,
					     .run = print_fish };
static const struct command *const shells[] = { &bash_command, &fish_command, &zsh_command };

const struct command completion_command = {
	.name = "completion",
	.help = "Print a completion script for a shell",
	.details = "Prints a script that makes the shell complete tycho's commands, flags and "
		   "values. For bash: 'source <(tycho completion bash)'.",
	.ignores_words = true,
	.children = shells,
	.child_count = ARRAY_LEN(shells),
};

/* --- candidates --- */

/* As many words of @help as fit beside a candidate. */
static void put_short(struct buf *b, struct str help)
{
	enum { SHORT_BYTES = 64 };
	size_t end = str_find_last(str_upto(help, SHORT_BYTES), ' ');

	if (help.len <= SHORT_BYTES) {
		buf_str_put(b, help);
	} else {
		buf_str_put(b, str_upto(help, end));
		buf_lit(b, " …");
	}
}

static void offer(struct buf *b, struct str prefix, struct str word, const char *help,
		  struct str typed)
{
	AUTO_BUF struct buf whole = buf_init(1024);

	buf_str_put(&whole, prefix);
	buf_str_put(&whole, word);
	if (!str_has_prefix(buf_str(&whole), typed))
		return;
	buf_printf(b, "%.*s\t", STR_FMT(buf_str(&whole)));
	put_short(b, str_of(help));
	buf_char(b, '\n');
}

static void offer_values(struct buf *b, const struct flag_def *def, struct str prefix,
			 struct str typed)
{
	struct str rest = str_of(def->values), word;

	if (def->values && strcmp(def->values, "FILE") == 0) {
		buf_lit(b, ":file\n");
		return;
	}
	while (def->values && str_split(&rest, ' ', &word))
		offer(b, prefix, word, "", typed);
}

static void offer_flags(struct buf *b, const struct flag_set *const *sets, size_t set_count,
			struct str typed)
{
	for (size_t i = 0; i < set_count; i++)
		for (size_t k = 0; k < sets[i]->count; k++)
			if (!sets[i]->flags[k].hidden)
				offer(b, STR("--"), str_of(sets[i]->flags[k].name),
				      sets[i]->flags[k].help, typed);
}

static void offer_children(struct buf *b, const struct command *command, struct str typed)
{
	for (size_t i = 0; i < command->child_count; i++)
		if (!command->children[i]->hidden)
			offer(b, STR(""), str_of(command->children[i]->name),
			      command->children[i]->help, typed);
}

/* What 'tycho help @words…' can go on with. */
static void offer_topics(struct buf *b, const char *const *words, size_t count, struct str typed)
{
	const struct command *at = &root_command;

	for (size_t i = 0; i < count && at; i++)
		if (words[i][0] != '-')
			at = command_child(at, words[i]);
	if (at)
		offer_children(b, at, typed);
}

static void offer_words(struct buf *b, const struct command *command, const char *const *words,
			size_t count, struct str typed)
{
	static const char *const files[] = { "PATH…", "BUNDLE…", "[FILE…]" };
	const struct flag_set *const keys[] = { &global_flags, &server_flags };

	offer_children(b, command, typed);
	if (command == &help_command)
		offer_topics(b, words, count, typed);
	for (size_t i = 0; command->words && i < ARRAY_LEN(files); i++)
		if (strcmp(command->words, files[i]) == 0)
			buf_lit(b, ":file\n");
	if (!command->words || strstr(command->words, "KEY") == NULL)
		return;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		for (size_t k = 0; k < keys[i]->count; k++)
			offer(b, STR(""), str_of(keys[i]->flags[k].name), keys[i]->flags[k].help,
			      typed);
}

/* The flag whose value the word after @word is; NULL if it is none. */
static const struct flag_def *flag_waiting(const char *word, const struct flag_set *const *sets,
					   size_t set_count)
{
	const struct flag_def *def = NULL;

	if (word[0] == '-' && word[1] == '-' && !strchr(word, '='))
		def = flag_find(sets, set_count, str_of(word + 2));
	else if (word[0] == '-' && word[1] && !word[2])
		def = flag_find_short(sets, set_count, word[1]);
	return def && !flag_stands_alone(def) ? def : NULL;
}

static enum err_code run_complete(struct cli *cli, struct err *e)
{
	AUTO_BUF struct buf out = buf_init(1 << 20);
	AUTO(own_free) const char **words = NULL;
	AUTO(own_free) const char **rest = NULL;
	const struct command *path[COMMAND_MAX_DEPTH];
	const struct flag_set *sets[COMMAND_MAX_SETS];
	size_t count = flags_word_count(cli->flags), depth, rest_count;

	words = calloc(count + 1, sizeof *words);
	if (!words)
		return err_set(e, ERR_NOMEM, "completion");
	for (size_t i = 0; i < count; i++)
		words[i] = flags_word(cli->flags, i);
	struct str typed = str_of(count ? words[count - 1] : "");
	size_t before = count ? count - 1 : 0;
	if (command_find(words, before, path, &depth, &rest, &rest_count, e) != ERR_OK)
		return e->code;
	const struct command *command = path[depth - 1];
	size_t set_count = command_sets(command, sets), eq = str_find(typed, '=');
	const struct flag_def *def =
		before ? flag_waiting(words[before - 1], sets, set_count) : NULL;
	if (def) {
		offer_values(&out, def, STR(""), typed);
	} else if (str_has_prefix(typed, STR("--")) && eq < typed.len) {
		def = flag_find(sets, set_count, str_from(str_upto(typed, eq), 2));
		if (def)
			offer_values(&out, def, str_upto(typed, eq + 1), typed);
	} else if (str_has_prefix(typed, STR("-"))) {
		offer_flags(&out, sets, set_count, typed);
	} else {
		offer_words(&out, command, rest, rest_count, typed);
	}
	return cli_write(buf_str(&out), e);
}

const struct command complete_command = {
	.name = "__complete",
	.words = "-- WORD...",
	.help = "Candidates for the last word, for the completion scripts",
	.hidden = true,
	.unchecked = true,
	.run = run_complete,
};
