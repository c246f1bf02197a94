#include "base/opt.h"

#include <stdio.h>

#include "base/str.h"

enum { FD_MAX = 1 << 20 };

enum err_code opt_next(struct opt_reader *r, size_t *ret_row, const char **ret_value, struct err *e)
{
	if (r->at >= r->argc)
		return ERR_CLOSED;
	const char *arg = r->argv[r->at++];
	struct str word = str_of(arg);

	if (!str_has_prefix(word, STR("--")) || word.len == 2)
		return err_set(e, ERR_INVALID, "unexpected argument \"%s\"; see --help", arg);
	size_t eq = str_find(word, '='), row = 0;
	struct str name = str_from(str_upto(word, eq), 2);
	while (row < r->count && !str_is(name, r->rows[row].name))
		row++;
	if (row == r->count)
		return err_set(e, ERR_INVALID, "unknown option --%.*s; see --help", STR_FMT(name));
	const struct opt_row *found = &r->rows[row];
	const char *value = eq < word.len ? arg + eq + 1 : NULL;
	if (!found->arg && value)
		return err_set(e, ERR_INVALID, "--%s takes no value", found->name);
	if (found->arg && !value) {
		if (r->at == r->argc)
			return err_set(e, ERR_INVALID, "--%s needs a value: %s", found->name,
				       found->arg);
		value = r->argv[r->at++];
	}
	*ret_row = row;
	*ret_value = value;
	return ERR_OK;
}

void opt_help(const char *intro, const struct opt_row *rows, size_t count)
{
	size_t widest = 0;

	for (size_t i = 0; i < count; i++) {
		size_t width = strlen(rows[i].name) + (rows[i].arg ? 1 + strlen(rows[i].arg) : 0);
		widest = width > widest ? width : widest;
	}
	(void)printf("%s\n\n", intro);
	for (size_t i = 0; i < count; i++) {
		int used = printf("  --%s%s%s", rows[i].name, rows[i].arg ? " " : "",
				  rows[i].arg ? rows[i].arg : "");
		(void)printf("%*s%s\n", (int)widest + 6 - used, "", rows[i].help);
	}
}

enum err_code opt_bad(const struct opt_row *row, const char *value, const char *want, struct err *e)
{
	return err_set(e, ERR_INVALID, "--%s %s: expected %s", row->name, value, want);
}

enum err_code opt_add(const char **list, size_t *count, size_t max, const struct opt_row *row,
		      const char *value, struct err *e)
{
	if (*count == max)
		return err_set(e, ERR_INVALID, "--%s is given more than %zu times", row->name, max);
	list[(*count)++] = value;
	return ERR_OK;
}

enum err_code opt_log_level(const struct opt_row *row, const char *value, enum log_level *ret,
			    struct err *e)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(value, names[i]) == 0) {
			*ret = (enum log_level)i;
			return ERR_OK;
		}
	return opt_bad(row, value, "debug, info, warn or error", e);
}

enum err_code opt_fd(const struct opt_row *row, const char *value, int *ret, struct err *e)
{
	uint64_t n;

	if (!parse_u64(str_of(value), FD_MAX, &n))
		return opt_bad(row, value, "a file descriptor", e);
	*ret = (int)n;
	return ERR_OK;
}
