#include "cli/flags.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/gotext.h"
#include "base/meant.h"
#include "base/time.h"

struct flags {
	const struct flags_config *config; /* borrowed while parsing only */
	const struct flag_set *const *sets;
	size_t set_count;
	struct flag_use *uses;
	size_t use_count;
	const char **words;
	size_t word_count;
	/* The items of repeatable flags, split: what flags_item lends. */
	struct flag_item {
		const struct flag_def *def;
		char *text;
	} * items;
	size_t item_count, item_cap;
};

const struct flag_def *flag_find(const struct flag_set *const *sets, size_t set_count,
				 struct str name)
{
	for (size_t i = 0; i < set_count; i++)
		for (size_t j = 0; j < sets[i]->count; j++)
			if (str_is(name, sets[i]->flags[j].name))
				return &sets[i]->flags[j];
	return NULL;
}

const struct flag_def *flag_find_short(const struct flag_set *const *sets, size_t set_count,
				       char short_)
{
	for (size_t i = 0; i < set_count; i++)
		for (size_t j = 0; j < sets[i]->count; j++)
			if (short_ && sets[i]->flags[j].short_ == short_)
				return &sets[i]->flags[j];
	return NULL;
}

const char *flag_placeholder(const struct flag_def *def)
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

const char *flag_shown_default(const struct flag_def *def)
{
	static const char *const usual[] = { "", "0", "false" };

	for (size_t i = 0; i < ARRAY_LEN(usual); i++)
		if (!def->def || strcmp(def->def, usual[i]) == 0)
			return NULL;
	return def->def;
}

const char *flag_quote(const char *text, char *out, size_t size)
{
	return go_quote(str_of(text), out, size);
}

static unsigned digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'z' ? (unsigned)(c - 'a') + 10 : 99;
}

/* Underscores are allowed in base 0 only: one at a time, between digits or after the base's prefix.
 */
static bool underscores_are_fine(struct str s, bool had_prefix)
{
	char before = had_prefix ? '0' : '_';

	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '_' && before == '_')
			return false;
		before = s.p[i];
	}
	return before != '_';
}

enum err_code flag_parse_uint(const char *text, unsigned base, unsigned bits, uint64_t *ret,
			      struct err *e)
{
	struct str s = str_of(text);
	bool any_base = base == 0, underscore = false, had_prefix = false, overflow = false;
	uint64_t max = bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1, v = 0;

	if (any_base) {
		base = 10;
		if (s.len > 2 && s.p[0] == '0') {
			char p = (char)(s.p[1] | 0x20);
			base = p == 'x' ? 16 : p == 'o' ? 8 : p == 'b' ? 2 : 10;
			if (base != 10) {
				s = str_from(s, 2);
				had_prefix = true;
			}
		}
		if (base == 10 && s.len > 1 && s.p[0] == '0') {
			base = 8;
			s = str_from(s, 1);
			had_prefix = true;
		}
	}
	if (!s.len)
		goto bad;
	for (size_t i = 0; i < s.len; i++) {
		if (any_base && s.p[i] == '_') {
			underscore = true;
			continue;
		}
		unsigned d = digit_value(s.p[i]);
		if (d >= base)
			goto bad;
		if (v > (max - d) / base || d > max)
			overflow = true;
		v = v * base + d;
	}
	if (underscore && !underscores_are_fine(s, had_prefix))
		goto bad;
	if (overflow)
		return err_set(e, ERR_INVALID, "strconv.ParseUint: parsing %s: value out of range",
			       FLAG_QUOTE(text));
	*ret = v;
	return ERR_OK;
bad:
	return err_set(e, ERR_INVALID, "strconv.ParseUint: parsing %s: invalid syntax",
		       FLAG_QUOTE(text));
}

enum err_code flag_check(enum flag_type type, const char *text, struct err *e)
{
	uint64_t number;
	int64_t ns;
	bool yes;

	switch (type) {
	case FLAG_BOOL:
		if (!parse_bool(str_of(text), &yes))
			return err_set(e, ERR_INVALID,
				       "strconv.ParseBool: parsing %s: invalid syntax",
				       FLAG_QUOTE(text));
		return ERR_OK;
	case FLAG_DURATION:
		if (!duration_parse(str_of(text), &ns))
			return err_set(e, ERR_INVALID, "time: invalid duration %s",
				       FLAG_QUOTE(text));
		return ERR_OK;
	case FLAG_UINT64:
		return flag_parse_uint(text, 0, 64, &number, e);
	case FLAG_UINT16:
		return flag_parse_uint(text, 0, 16, &number, e);
	case FLAG_STRING:
	case FLAG_CHOICE:
	case FLAG_STRING_SLICE:
	case FLAG_STRING_ARRAY:
	case FLAG_FILTER:
		break;
	}
	return ERR_OK;
}

/* Which of the words of @values @text is; as many as there are if none. */
static size_t choice_of(const char *values, const char *text)
{
	struct str rest = str_of(values), word;
	size_t i = 0;

	while (str_split(&rest, ' ', &word) && !str_is(word, text))
		i++;
	return i;
}

/* "expected a, b or c" */
static enum err_code check_choice(const struct flag_def *def, const char *text, struct err *e)
{
	AUTO_BUF struct buf list = buf_init(ERR_MSG_BYTES);
	struct str rest = str_of(def->values), word;
	size_t count = choice_of(def->values, NULL);

	if (choice_of(def->values, text) < count)
		return ERR_OK;
	for (size_t i = 0; str_split(&rest, ' ', &word); i++)
		buf_printf(&list, "%s%.*s",
			   !i               ? ""
			   : i + 1 == count ? " or "
					    : ", ",
			   STR_FMT(word));
	return err_set(e, ERR_INVALID, "expected %s", buf_cstr(&list));
}

static enum err_code add_item(struct flags *f, const struct flag_def *def, struct str text,
			      struct err *e)
{
	if (f->item_count == f->item_cap) {
		size_t cap = f->item_cap ? f->item_cap * 2 : 8;
		struct flag_item *grown = reallocarray(f->items, cap, sizeof *grown);
		if (!grown)
			return err_set(e, ERR_NOMEM, "arguments");
		f->items = grown;
		f->item_cap = cap;
	}
	char *copy = str_dup(text);
	if (!copy)
		return err_set(e, ERR_NOMEM, "arguments");
	f->items[f->item_count++] = (struct flag_item){ def, copy };
	return ERR_OK;
}

/* One record of RFC 4180 as Go's encoding/csv reads it: fields may be quoted, quotes are doubled
 * inside. */
static enum err_code add_csv(struct flags *f, const struct flag_def *def, struct str s,
			     struct err *e)
{
	AUTO_BUF struct buf field = buf_init(s.len + 1);
	size_t at = 0;

	if (!s.len)
		return ERR_OK;
	for (;;) {
		buf_reset(&field);
		if (at < s.len && s.p[at] == '"') {
			for (at++;; at++) {
				if (at >= s.len)
					return err_set(e, ERR_INVALID,
						       "parse error on line 1, column %zu: "
						       "extraneous or missing \" in quoted-field",
						       at + 1);
				if (s.p[at] == '"' && at + 1 < s.len && s.p[at + 1] == '"')
					at++;
				else if (s.p[at] == '"')
					break;
				buf_char(&field, s.p[at]);
			}
			at++;
			if (at < s.len && s.p[at] != ',')
				return err_set(e, ERR_INVALID,
					       "parse error on line 1, column %zu: extraneous or "
					       "missing \" in quoted-field",
					       at);
		} else {
			for (; at < s.len && s.p[at] != ','; at++) {
				if (s.p[at] == '"')
					return err_set(e, ERR_INVALID,
						       "parse error on line 1, column %zu: bare \" "
						       "in non-quoted-field",
						       at + 1);
				buf_char(&field, s.p[at]);
			}
		}
		if (add_item(f, def, buf_str(&field), e) != ERR_OK)
			return e->code;
		if (at >= s.len)
			return ERR_OK;
		at++; /* the comma */
	}
}

static enum err_code set_value(struct flags *f, const struct flag_def *def, const char *text,
			       struct err *e)
{
	enum err_code code;

	if (def->type == FLAG_FILTER)
		code = f->config->on_filter ? f->config->on_filter(f->config->ctx, def, text, e)
					    : ERR_OK;
	else if (def->type == FLAG_STRING_SLICE)
		code = add_csv(f, def, str_of(text), e);
	else if (def->type == FLAG_STRING_ARRAY)
		code = add_item(f, def, str_of(text), e);
	else if (def->type == FLAG_CHOICE)
		code = check_choice(def, text, e);
	else
		code = flag_check(def->type, text, e);
	if (code == ERR_NOMEM)
		return code;
	if (code != ERR_OK) {
		char name[80], why[ERR_MSG_BYTES];
		if (def->short_)
			snprintf(name, sizeof name, "-%c, --%s", def->short_, def->name);
		else
			snprintf(name, sizeof name, "--%s", def->name);
		snprintf(why, sizeof why, "%s", e->msg);
		return err_set(e, code, "invalid argument %s for \"%s\" flag: %s", FLAG_QUOTE(text),
			       name, why);
	}
	f->uses[f->use_count++] = (struct flag_use){ def, text };
	return ERR_OK;
}

static const char *alone_value(const struct flag_def *def)
{
	return def->no_opt ? def->no_opt : def->type == FLAG_BOOL ? "true" : NULL;
}

/* pflag's words, and what may have been meant. */
static enum err_code unknown_flag(const struct flags *f, struct str name, struct err *e)
{
	struct meant meant = meant_of(name);
	AUTO_BUF struct buf hint = buf_init(256);

	for (size_t s = 0; s < f->set_count; s++)
		for (size_t i = 0; i < f->sets[s]->count; i++)
			if (!f->sets[s]->flags[i].hidden)
				meant_offer(&meant, f->sets[s]->flags[i].name);
	meant_put(&hint, &meant, "--");
	return err_set(e, ERR_INVALID, "unknown flag: --%.*s%s", STR_FMT(name), buf_cstr(&hint));
}

/* @args[*at] starts with "--" and is longer. */
static enum err_code parse_long(struct flags *f, const char *const *args, size_t n, size_t *at,
				struct err *e)
{
	const char *word = args[*at];
	struct str name = str_of(word + 2);
	size_t eq = str_find(name, '=');
	const char *value = eq < name.len ? name.p + eq + 1 : NULL;

	name = str_upto(name, eq);
	if (!name.len || name.p[0] == '-')
		return err_set(e, ERR_INVALID, "bad flag syntax: %s", word);
	const struct flag_def *def = flag_find(f->sets, f->set_count, name);
	if (!def)
		return unknown_flag(f, name, e);
	if (!value)
		value = alone_value(def);
	if (!value && *at + 1 < n)
		value = args[++*at];
	if (!value)
		return err_set(e, ERR_INVALID, "flag needs an argument: %s", word);
	return set_value(f, def, value, e);
}

/* @args[*at] is "-x…": any number of flags that stand alone, the last may take the rest or the next
 * word. */
static enum err_code parse_short(struct flags *f, const char *const *args, size_t n, size_t *at,
				 struct err *e)
{
	const char *letters = args[*at] + 1;

	while (*letters) {
		const struct flag_def *def = flag_find_short(f->sets, f->set_count, *letters);
		if (!def)
			return err_set(e, ERR_INVALID, "unknown shorthand flag: '%c' in -%s",
				       *letters, letters);
		const char *value = alone_value(def), *rest = letters + 1;
		if (letters[1] == '=' && letters[2]) {
			value = letters + 2;
			rest = "";
		} else if (!value && letters[1]) {
			value = letters + 1;
			rest = "";
		} else if (!value && *at + 1 < n) {
			value = args[++*at];
		} else if (!value) {
			return err_set(e, ERR_INVALID, "flag needs an argument: '%c' in -%s",
				       *letters, letters);
		}
		if (set_value(f, def, value, e) != ERR_OK)
			return e->code;
		letters = rest;
	}
	return ERR_OK;
}

enum err_code flags_parse(const struct flags_config *config, const char *const *args,
			  size_t arg_count, struct flags **ret, struct err *e)
{
	size_t letters = 1;

	/* No word makes more uses than it has letters. */
	for (size_t i = 0; i < arg_count; i++)
		letters += strlen(args[i]) + 1;
	AUTO(flags_free) struct flags *f = calloc(1, sizeof *f);
	if (!f)
		return err_set(e, ERR_NOMEM, "arguments");
	f->config = config;
	f->sets = config->sets;
	f->set_count = config->set_count;
	f->uses = calloc(letters, sizeof *f->uses);
	f->words = calloc(arg_count + 1, sizeof *f->words);
	if (!f->uses || !f->words)
		return err_set(e, ERR_NOMEM, "arguments");
	for (size_t at = 0; at < arg_count; at++) {
		const char *word = args[at];
		if (word[0] != '-' || !word[1]) {
			f->words[f->word_count++] = word;
			continue;
		}
		if (strcmp(word, "--") == 0) {
			while (++at < arg_count)
				f->words[f->word_count++] = args[at];
			break;
		}
		if ((word[1] == '-' ? parse_long : parse_short)(f, args, arg_count, &at, e) !=
		    ERR_OK)
			return e->code;
	}
	f->config = NULL;
	*ret = TAKE(f);
	return ERR_OK;
}

void flags_free(struct flags *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->item_count; i++)
		free(f->items[i].text);
	free(f->items);
	free(f->uses);
	free(f->words);
	free(f);
}

size_t flags_word_count(const struct flags *f)
{
	return f->word_count;
}

const char *flags_word(const struct flags *f, size_t i)
{
	return i < f->word_count ? f->words[i] : NULL;
}

static const struct flag_use *last_use(const struct flags *f, const char *name)
{
	for (size_t i = f->use_count; i-- > 0;)
		if (strcmp(f->uses[i].def->name, name) == 0)
			return &f->uses[i];
	return NULL;
}

bool flags_given(const struct flags *f, const char *name)
{
	return last_use(f, name) != NULL;
}

const char *flags_text(const struct flags *f, const char *name)
{
	const struct flag_use *use = last_use(f, name);

	if (use)
		return use->text;
	const struct flag_def *def = flag_find(f->sets, f->set_count, str_of(name));
	return def && def->def ? def->def : "";
}

size_t flags_choice(const struct flags *f, const char *name)
{
	return choice_of(flag_find(f->sets, f->set_count, str_of(name))->values,
			 flags_text(f, name));
}

bool flags_bool(const struct flags *f, const char *name)
{
	bool yes = false;

	return parse_bool(str_of(flags_text(f, name)), &yes) && yes;
}

uint64_t flags_u64(const struct flags *f, const char *name)
{
	uint64_t v = 0;

	return flag_parse_uint(flags_text(f, name), 0, 64, &v, NULL) == ERR_OK ? v : 0;
}

const char *flags_item(const struct flags *f, const char *name, size_t i)
{
	for (size_t k = 0; k < f->item_count; k++)
		if (strcmp(f->items[k].def->name, name) == 0 && i-- == 0)
			return f->items[k].text;
	return NULL;
}
