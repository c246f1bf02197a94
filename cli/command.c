#include "cli/command.h"

#include <string.h>

#include "base/buf.h"
#include "base/meant.h"

static const struct flag_def help_defs[] = {
	{ .name = "help",
	  .short_ = 'h',
	  .type = FLAG_BOOL,
	  .help = "Help for any command or subcommand" },
};
static const struct flag_set help_flags = { "Help", help_defs, ARRAY_LEN(help_defs) };
static const struct flag_def root_defs[] = {
	{ .name = "version", .short_ = 'v', .type = FLAG_BOOL, .help = "Print the version" },
};
static const struct flag_set root_flags = { "Version", root_defs, ARRAY_LEN(root_defs) };

static const struct command *const root_children[] = {
	&complete_command, &completion_command, &config_command, &coverage_command,
	&doctor_command,   &evidence_command,   &help_command,   &list_command,
	&map_command,      &observe_command,    &policy_command, &reflect_command,
	&sql_command,      &status_command,     &store_command,  &up_command,
	&version_command,  &watch_command,
};

const struct command root_command = {
	.name = "tycho",
	.help = "Watch the flows of a node or a cluster",
	.details = "Tycho watches every network flow on a node and keeps the record: who talked to "
		   "whom, what was dropped, and which policy decided. This command asks observers "
		   "and relays, Tycho's or Hubble's, and with 'tycho up' starts an observer on "
		   "this machine.",
	.children = root_children,
	.child_count = ARRAY_LEN(root_children),
};

size_t command_sets(const struct command *command, const struct flag_set **ret_sets)
{
	size_t n = 0;

	for (size_t i = 0; i < command->set_count; i++)
		ret_sets[n++] = command->sets[i];
	ret_sets[n++] = &server_flags;
	ret_sets[n++] = &global_flags;
	ret_sets[n++] = &help_flags;
	if (command == &root_command)
		ret_sets[n++] = &root_flags;
	return n;
}

const struct command *command_child(const struct command *parent, const char *name)
{
	for (size_t i = 0; i < parent->child_count; i++) {
		const struct command *c = parent->children[i];
		if (strcmp(c->name, name) == 0 || (c->alias && strcmp(c->alias, name) == 0))
			return c;
	}
	return NULL;
}

/* Does @word take the next word as its value? Unknown flags are thought to. */
static bool takes_next(const struct command *command, const char *word)
{
	const struct flag_set *sets[COMMAND_MAX_SETS];
	size_t n = command_sets(command, sets);
	const struct flag_def *def;

	if (word[0] != '-' || strchr(word, '='))
		return false;
	if (word[1] == '-')
		def = flag_find(sets, n, str_of(word + 2));
	else if (word[1] && !word[2])
		def = flag_find_short(sets, n, word[1]);
	else
		return false;
	return !def || !flag_stands_alone(def);
}

/* Place of the first word that is neither a flag nor a flag's value; @count if there is none. */
static size_t first_word(const struct command *command, const char *const *args, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(args[i], "--") == 0)
			break;
		if (takes_next(command, args[i]))
			i++;
		else if (args[i][0] && args[i][0] != '-')
			return i;
	}
	return count;
}

/* In cobra's words. */
static enum err_code unknown_command(const struct command *parent, const char *word, struct err *e)
{
	struct meant meant = meant_of(str_of(word));
	AUTO_BUF struct buf list = buf_init(256);

	for (size_t i = 0; i < parent->child_count; i++)
		if (!parent->children[i]->hidden)
			meant_offer(&meant, parent->children[i]->name);
	for (size_t i = 0; i < meant.count; i++)
		buf_printf(&list, "%s\t%s\n", i ? "" : "\n\nDid you mean this?\n", meant.names[i]);
	return err_set(e, ERR_INVALID, "unknown command %s for \"%s%s\"%s", FLAG_QUOTE(word),
		       parent == &root_command ? "" : "tycho ", parent->name, buf_cstr(&list));
}

enum err_code command_find(const char *const *args, size_t arg_count,
			   const struct command **ret_path, size_t *ret_depth,
			   const char ***ret_args, size_t *ret_arg_count, struct err *e)
{
	const struct command *at = &root_command;
	size_t depth = 0, n = arg_count, word;
	const char **rest = calloc(arg_count + 1, sizeof *rest);

	if (!rest)
		return err_set(e, ERR_NOMEM, "arguments");
	memcpy(rest, args, arg_count * sizeof *rest);
	ret_path[depth++] = at;
	while ((word = first_word(at, rest, n)) < n && depth < COMMAND_MAX_DEPTH) {
		const struct command *child = command_child(at, rest[word]);
		if (!child)
			break;
		memmove(&rest[word], &rest[word + 1], (n - word - 1) * sizeof *rest);
		n--;
		ret_path[depth++] = at = child;
	}
	if (!at->run && !at->ignores_words && (word = first_word(at, rest, n)) < n) {
		(void)unknown_command(at, rest[word], e);
		free(rest);
		return e->code;
	}
	*ret_depth = depth;
	*ret_args = rest;
	*ret_arg_count = n;
	return ERR_OK;
}
