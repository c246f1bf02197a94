#include "cli/command.h"

#include <string.h>

#include "base/buf.h"

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

/* Edits that turn @a into @b (insertions, deletions, replacements), for names of up to 30 letters.
 */
static size_t distance(const char *a, const char *b)
{
	enum { MOST = 31 };
	size_t row[MOST + 1], la = strlen(a), lb = strlen(b);

	if (la > MOST || lb > MOST)
		return MOST;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[lb];
}

static enum err_code unknown_command(const char *word, struct err *e)
{
	char meant[200] = "";
	struct buf b = buf_fixed(meant, sizeof meant - 1);

	for (size_t i = 0; i < root_command.child_count; i++) {
		const struct command *c = root_command.children[i];
		if (!c->hidden &&
		    (distance(word, c->name) <= 2 || str_has_prefix(str_of(c->name), str_of(word))))
			buf_printf(&b, "%s\t%s\n", b.len ? "" : "\n\nDid you mean this?\n",
				   c->name);
	}
	meant[b.len] = '\0';
	return err_set(e, ERR_INVALID, "unknown command %s for \"tycho\"%s", FLAG_QUOTE(word),
		       meant);
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
	if (at == &root_command && (word = first_word(at, rest, n)) < n) {
		unknown_command(rest[word], e);
		free(rest);
		return e->code;
	}
	*ret_depth = depth;
	*ret_args = rest;
	*ret_arg_count = n;
	return ERR_OK;
}
