/*
 * flags - command-line arguments against a table of flags, with the grammar of spf13/pflag, which
 * Hubble's CLI uses.
 *
 *	--name value   --name=value   --bool   --bool=false   -n value   -nvalue   -n=value
 *	-abc           --
 *
 * The same tables make the help text, the shell completion and the manual pages, so none can fall
 * behind. Every occurrence is kept in order, and each value is checked where it stands: the first
 * fault in the order of the words is the one that is reported, in pflag's words.
 *
 * Owner    tables and argument words are borrowed for the life of a struct flags.
 */
#ifndef TYCHO_CLI_FLAGS_H
#define TYCHO_CLI_FLAGS_H

#include "base/err.h"
#include "base/str.h"

enum flag_type {
	FLAG_BOOL,
	FLAG_STRING,
	FLAG_CHOICE,       /* one of the words of @values */
	FLAG_STRING_SLICE, /* comma-separated, repeatable */
	FLAG_STRING_ARRAY, /* repeatable, taken as it is */
	FLAG_DURATION,     /* Go's "1m30s" */
	FLAG_UINT64,
	FLAG_UINT16,
	FLAG_FILTER, /* a value for the filter builder: flags_config.on_filter checks and takes it
		      */
};

struct flag_def {
	const char *name;
	char short_; /* 0: none */
	enum flag_type type;
	const char *def;    /* default as text; NULL: "", "false", "0" or nothing */
	const char *no_opt; /* the value of a flag that stands alone, so that it takes no word;
			       NULL: it takes one */
	const char *help;
	const char *values;      /* words for completion, of FLAG_CHOICE all there are, separated by
				    blanks; NULL: none, "FILE": file      names */
	const char *placeholder; /* what help and manual call the value; NULL: after the type */
	bool hidden;
};

/* Flags that belong together: one heading in the help. */
struct flag_set {
	const char *title; /* "Selectors" */
	const struct flag_def *flags;
	size_t count;
};

struct flag_use {
	const struct flag_def *def;
	const char *text;
};

struct flags_config {
	const struct flag_set *const *sets;
	size_t set_count;
	/* Called for each FLAG_FILTER in turn; its sentence becomes that of the argument error. */
	enum err_code (*on_filter)(void *ctx, const struct flag_def *def, const char *text,
				   struct err *e);
	void *ctx;
};

struct flags;

/* @args without the program's and the subcommands' names. ERR_INVALID with pflag's sentence:
 * "unknown flag: --x", "flag needs an argument: 'o' in -o", `invalid argument "x" for "-t, --type"
 * flag: …`. */
MUST_CHECK enum err_code flags_parse(const struct flags_config *config, const char *const *args,
				     size_t arg_count, struct flags **ret, struct err *e);
void flags_free(struct flags *f);
AUTO_DEFINE(struct flags, flags_free);

/* Words that are no flags, in order. */
size_t flags_word_count(const struct flags *f);
const char *flags_word(const struct flags *f, size_t i);

/* Was the flag given? */
bool flags_given(const struct flags *f, const char *name);
/* Text of the last use, or the default ("" if there is none). */
const char *flags_text(const struct flags *f, const char *name);
bool flags_bool(const struct flags *f, const char *name);
uint64_t flags_u64(const struct flags *f, const char *name);
/* Which of its @values a FLAG_CHOICE has, from 0; as many as there are: none, as it was not given
 * and has no default. */
size_t flags_choice(const struct flags *f, const char *name);
/* All uses in order; slices are split. Call with @i from 0 until NULL. Borrowed for the life of @f.
 */
const char *flags_item(const struct flags *f, const char *name, size_t i);

/* The definition of --@name in @sets, or NULL; of -@short_. */
const struct flag_def *flag_find(const struct flag_set *const *sets, size_t set_count,
				 struct str name);
const struct flag_def *flag_find_short(const struct flag_set *const *sets, size_t set_count,
				       char short_);
/* True if the flag never takes the next word as its value. */
static inline bool flag_stands_alone(const struct flag_def *def)
{
	return def->no_opt != NULL || def->type == FLAG_BOOL;
}

/* What help and manual call its value: "FILE", "N", …. */
const char *flag_placeholder(const struct flag_def *def);
/* The default that help and manual mention; NULL where it goes without saying. */
const char *flag_shown_default(const struct flag_def *def);

/* One value of @type checked, with the sentence of Go's parsers: `strconv.ParseUint: parsing "x":
 * invalid syntax`. */
MUST_CHECK enum err_code flag_check(enum flag_type type, const char *text, struct err *e);
/* Unsigned numbers as Go's strconv.ParseUint takes them; @base 0 knows 0x, 0o, 0b, a leading 0 and
 * underscores. */
MUST_CHECK enum err_code flag_parse_uint(const char *text, unsigned base, unsigned bits,
					 uint64_t *ret, struct err *e);
/* @text as Go's %q prints it, into @out (always terminated, cut where it does not fit); returns
 * @out. */
const char *flag_quote(const char *text, char *out, size_t size);
#define FLAG_QUOTE(text) flag_quote((text), (char[400]){ 0 }, 400)

#endif
