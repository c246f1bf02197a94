#include <stdio.h>

#include "base/buf.h"
#include "base/time.h"
#include "cli/command.h"

/* @LIST_MOST: as many as a word of WORD_BYTES can hold. */
enum { TEXT_MAX_BYTES = 4 << 20, WORD_BYTES = 1024, LIST_MOST = WORD_BYTES / 2 };

/* Words joined for a sentence about them. */
static const char *joined(const struct flags *f, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < flags_word_count(f) && at < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%s", i ? " " : "", flags_word(f, i));
	return out;
}
#define JOINED(f) joined((f), (char[300]){ 0 }, 300)

static enum err_code config_view(struct cli *cli, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(TEXT_MAX_BYTES);

	settings_put_yaml(cli->settings, &text);
	return cli_write(buf_str(&text), e);
}

static enum err_code config_get(struct cli *cli, struct err *e)
{
	AUTO_BUF struct buf text = buf_init(TEXT_MAX_BYTES);

	if (flags_word_count(cli->flags) == 0)
		return config_view(cli, e);
	if (flags_word_count(cli->flags) > 1)
		return err_set(e, ERR_INVALID,
			       "invalid arguments: get requires exactly 0 or 1 argument: got '%s'",
			       JOINED(cli->flags));
	if (settings_put_one(cli->settings, flags_word(cli->flags, 0), &text, e) != ERR_OK)
		return e->code;
	return cli_write(buf_str(&text), e);
}

/* @text as the file shall hold it. ERR_INVALID where it does not fit the type. */
static enum err_code normal_word(const struct flag_def *def, const char *text, struct buf *ret,
				 struct err *e)
{
	AUTO_BUF struct buf with_unit = buf_init(256);
	int64_t ns;
	bool yes = false;

	if (def->type == FLAG_BOOL) {
		if (flag_check(FLAG_BOOL, text, e) != ERR_OK)
			return e->code;
		(void)parse_bool(str_of(text), &yes);
		buf_str_put(ret, yes ? STR("true") : STR("false"));
	} else if (def->type == FLAG_DURATION) {
		/* No unit at all means nanoseconds, as in the reference. */
		bool has_unit = strpbrk(text, "nsuµmh") != NULL;
		buf_printf(&with_unit, "%s%s", text, has_unit ? "" : "ns");
		if (flag_check(FLAG_DURATION, buf_cstr(&with_unit), e) != ERR_OK)
			return e->code;
		(void)duration_parse(buf_str(&with_unit), &ns);
		duration_put(ret, ns);
	} else {
		buf_str_put(ret, str_of(text));
	}
	return ERR_OK;
}

/* "a,b", or "[a,b]" as lists are shown. */
static enum err_code set_list(struct config_file *file, const struct flag_def *def,
			      const char *text, struct err *e)
{
	const struct flag_set set = { "", def, 1 };
	const struct flag_set *const sets[] = { &set };
	const struct flags_config config = { .sets = sets, .set_count = 1 };
	AUTO(flags_free) struct flags *split = NULL;
	char word[WORD_BYTES];
	const char *items[LIST_MOST];
	size_t n = 0;
	struct str list = str_of(text);

	list = str_from(list, str_has_prefix(list, STR("[")));
	list = str_upto(list, list.len - str_has_suffix(list, STR("]")));
	/* The flag's own grammar splits the list. */
	if ((size_t)snprintf(word, sizeof word, "--%s=%.*s", def->name, STR_FMT(list)) >=
	    sizeof word)
		return err_set(e, ERR_INVALID, "value of %s: too long", def->name);
	const char *const args[] = { word };
	if (flags_parse(&config, args, 1, &split, e) != ERR_OK)
		return e->code;
	while (n < LIST_MOST && (items[n] = flags_item(split, def->name, n)))
		n++;
	return config_file_set(file, def->name, items, n, true, true, e);
}

/* An empty @text stands for the default. */
static enum err_code set_one(const struct cli *cli, struct config_file *file, const char *key,
			     const char *text, struct err *e)
{
	static const char *const type_names[] = {
		[FLAG_BOOL] = "bool",
		[FLAG_STRING] = "string",
		[FLAG_STRING_SLICE] = "stringSlice",
		[FLAG_DURATION] = "duration",
		[FLAG_UINT64] = "uint64",
		[FLAG_UINT16] = "uint16",
	};
	const struct flag_def *def = settings_flag(key);
	AUTO_BUF struct buf word = buf_init(TEXT_MAX_BYTES);

	if (!settings_has_key(cli->settings, key))
		return err_set(e, ERR_NOT_FOUND, "unknown key: %s", key);
	if (!def)
		return err_set(e, ERR_INVALID, "key=%s not bound to a flag", key);
	if (def->type == FLAG_UINT16)
		return err_set(e, ERR_UNSUPPORTED, "unhandeld type uint16, please open an issue");
	const char *value = *text ? text : settings_default(cli->settings, def);
	const char *item;
	enum err_code code;
	if (!utf8_is_valid(str_of(value))) { /* it would be a file that nobody can read */
		code = err_set(e, ERR_INVALID, "no valid UTF-8");
	} else if (def->type == FLAG_STRING_SLICE) {
		code = set_list(file, def, value, e);
	} else if ((code = normal_word(def, value, &word, e)) == ERR_OK) {
		item = buf_cstr(&word);
		code = config_file_set(file, def->name, &item, 1, false, def->type != FLAG_BOOL, e);
	}
	if (code != ERR_OK)
		return err_in(e, "cannot assign value=%s for key=%s, expected type=%s", text, key,
			      type_names[def->type]);
	return ERR_OK;
}

/* Only what stands in the file is kept: neither defaults nor what flags and variables say is
 * written to it. */
static enum err_code open_file(const struct cli *cli, struct config_file *ret,
			       const char **ret_path, struct err *e)
{
	*ret_path = settings_text(cli->settings, "config");
	if (!**ret_path)
		return err_set(e, ERR_INVALID, "config file undefined");
	if (config_file_load(*ret_path, ret, e) != ERR_OK && e->code != ERR_NOT_FOUND)
		return e->code;
	return ERR_OK;
}

static enum err_code config_set(struct cli *cli, struct err *e)
{
	AUTO_CONFIG_FILE struct config_file file = { 0 };
	size_t words = flags_word_count(cli->flags);
	const char *path;

	if (words < 1 || words > 2)
		return err_set(
			e, ERR_INVALID,
			"invalid arguments: set requires exactly 1 or 2 argument(s): got '%s'",
			JOINED(cli->flags));
	if (open_file(cli, &file, &path, e) != ERR_OK ||
	    set_one(cli, &file, flags_word(cli->flags, 0),
		    words == 2 ? flags_word(cli->flags, 1) : "", e) != ERR_OK)
		return e->code;
	return config_file_save(&file, path, e);
}

static enum err_code config_reset(struct cli *cli, struct err *e)
{
	AUTO_CONFIG_FILE struct config_file file = { 0 };
	const struct flag_set *const sets[] = { &global_flags, &server_flags };
	struct err first = { .code = ERR_OK }, fault;
	const char *path;

	if (flags_word_count(cli->flags) > 1)
		return err_set(
			e, ERR_INVALID,
			"invalid arguments: reset requires exactly 0 or 1 argument: got '%s'",
			JOINED(cli->flags));
	if (open_file(cli, &file, &path, e) != ERR_OK)
		return e->code;
	if (flags_word_count(cli->flags) == 1) {
		if (set_one(cli, &file, flags_word(cli->flags, 0), "", e) != ERR_OK)
			return e->code;
		return config_file_save(&file, path, e);
	}
	/* One key cannot be set, so this fails as in the reference; but what can be reset, is. */
	for (size_t s = 0; s < ARRAY_LEN(sets); s++)
		for (size_t i = 0; i < sets[s]->count; i++)
			if (strcmp(sets[s]->flags[i].name, "config") !=
				    0 && /* a file need not say where it is */
			    set_one(cli, &file, sets[s]->flags[i].name, "", &fault) != ERR_OK &&
			    first.code == ERR_OK)
				first = fault;
	if (config_file_save(&file, path, e) != ERR_OK)
		return e->code;
	if (first.code != ERR_OK)
		*e = first;
	return first.code;
}

static const struct command config_get_command = {
	.name = "get",
	.words = "[KEY]",
	.help = "Print a setting",
	.details = "Prints the value that a setting has after flags, environment, file and "
		   "defaults. Without KEY it is the same as 'view'.",
	.unchecked = true,
	.run = config_get,
};
static const struct command config_set_command = {
	.name = "set",
	.words = "KEY [VALUE]",
	.help = "Change a setting in the configuration file",
	.details = "Writes a value to the configuration file, which is made if need be. Without "
		   "VALUE the default is written.",
	.unchecked = true,
	.run = config_set,
};
static const struct command config_reset_command = {
	.name = "reset",
	.words = "[KEY]",
	.help = "Reset settings in the configuration file",
	.details = "Writes the default of KEY, or of every setting, to the configuration file.",
	.unchecked = true,
	.run = config_reset,
};
static const struct command config_view_command = {
	.name = "view",
	.help = "Print all settings",
	.details = "Prints all settings as YAML: what flags, environment, file and defaults amount "
		   "to.",
	.ignores_words = true,
	.unchecked = true,
	.run = config_view,
};

static const struct command *const config_children[] = { &config_get_command, &config_reset_command,
							 &config_set_command,
							 &config_view_command };

const struct command config_command = {
	.name = "config",
	.help = "Show and change settings",
	.details = "Settings come from flags, from the environment (TYCHO_SERVER for --server; "
		   "HUBBLE_SERVER is read too), from the configuration file "
		   "($XDG_CONFIG_HOME/tycho/config.yaml or --config) and from defaults, in that "
		   "order.",
	.ignores_words = true,
	.children = config_children,
	.child_count = ARRAY_LEN(config_children),
};
