#include "base/opt.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/meant.h"
#include "base/notify.h"
#include "base/str.h"
#include "base/time.h"
#include "base/wrap.h"

enum { FD_MAX = 1 << 20, HELP_MAX_BYTES = 1 << 20 };

enum err_code opt_bad(const struct opt_row *row, const char *value, const char *want, struct err *e)
{
	return err_set(e, ERR_INVALID, "--%s %s: expected %s", row->name, value, want);
}

enum err_code opt_both(const char *a, const void *a_given, const char *b, const void *b_given,
		       struct err *e)
{
	if (!a_given == !b_given)
		return ERR_OK;
	return err_set(e, ERR_INVALID, "--%s and --%s are needed together", a, b);
}

/* ---- what values are made of */

static void *field(const struct opt_row *row, void *target)
{
	return (char *)target + row->at;
}

/* An unsigned number or an enum, of the field's width. */
static void store(const struct opt_row *row, void *target, uint64_t value)
{
	uint8_t v8 = (uint8_t)value;
	uint16_t v16 = (uint16_t)value;
	uint32_t v32 = (uint32_t)value;
	const void *from = row->width == 1   ? (const void *)&v8
			   : row->width == 2 ? (const void *)&v16
			   : row->width == 4 ? (const void *)&v32
					     : (const void *)&value;

	memcpy(field(row, target), from, row->width);
}

static bool is_let_in(const struct opt_row *row, uint64_t value)
{
	return (value >= row->min && value <= (row->max ? row->max : UINT64_MAX)) ||
	       (row->or_zero && !value);
}

enum err_code opt_take_flag(const struct opt_row *row, void *target, const char *value,
			    struct err *e)
{
	(void)value;
	(void)e;
	*(bool *)field(row, target) = true;
	return ERR_OK;
}

enum err_code opt_take_unset(const struct opt_row *row, void *target, const char *value,
			     struct err *e)
{
	(void)value;
	(void)e;
	*(bool *)field(row, target) = false;
	return ERR_OK;
}

enum err_code opt_take_bool(const struct opt_row *row, void *target, const char *value,
			    struct err *e)
{
	return parse_bool(str_of(value), field(row, target))
		       ? ERR_OK
		       : opt_bad(row, value, "true or false", e);
}

enum err_code opt_take_text(const struct opt_row *row, void *target, const char *value,
			    struct err *e)
{
	if (!*value && row->want)
		return opt_bad(row, value, row->want, e);
	*(const char **)field(row, target) = value;
	return ERR_OK;
}

enum err_code opt_take_list(const struct opt_row *row, void *target, const char *value,
			    struct err *e)
{
	size_t *count = (size_t *)((char *)target + row->count_at);

	if (*count == row->max)
		return err_set(e, ERR_INVALID, "--%s is given more than %llu times", row->name,
			       (unsigned long long)row->max);
	((const char **)field(row, target))[(*count)++] = value;
	return ERR_OK;
}

enum err_code opt_take_number(const struct opt_row *row, void *target, const char *value,
			      struct err *e)
{
	uint64_t n, most = row->width < sizeof n ? (UINT64_C(1) << 8 * row->width) - 1 : UINT64_MAX;

	if (!parse_u64(str_of(value), most, &n) || !is_let_in(row, n))
		return opt_bad(row, value, row->want, e);
	store(row, target, n);
	return ERR_OK;
}

enum err_code opt_take_duration(const struct opt_row *row, void *target, const char *value,
				struct err *e)
{
	int64_t ns;

	if (!duration_parse_days(str_of(value), &ns) || ns < 0 || !is_let_in(row, (uint64_t)ns))
		return opt_bad(row, value, row->want, e);
	*(uint64_t *)field(row, target) = (uint64_t)ns;
	return ERR_OK;
}

static bool parse_size(struct str s, uint64_t *ret_bytes)
{
	static const char units[] = "KMGTP";
	const char *unit = s.len ? memchr(units, s.p[s.len - 1], sizeof units - 1) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	uint64_t n;

	if (!parse_u64(str_upto(s, s.len - (unit ? 1 : 0)), UINT64_MAX >> (shift + 1), &n))
		return false;
	*ret_bytes = n << shift;
	return true;
}

enum err_code opt_take_size(const struct opt_row *row, void *target, const char *value,
			    struct err *e)
{
	uint64_t bytes;

	if (!parse_size(str_of(value), &bytes) || !is_let_in(row, bytes))
		return opt_bad(row, value, row->want, e);
	*(uint64_t *)field(row, target) = bytes;
	return ERR_OK;
}

enum err_code opt_take_word(const struct opt_row *row, void *target, const char *value,
			    struct err *e)
{
	for (size_t i = 0; row->words[i]; i++)
		if (strcmp(value, row->words[i]) == 0) {
			store(row, target, i);
			return ERR_OK;
		}
	return opt_bad(row, value, row->want, e);
}

static enum err_code take_fd(const struct opt_row *row, void *target, const char *value,
			     struct err *e)
{
	struct opt_common *common = target;
	uint64_t n;

	if (!parse_u64(str_of(value), FD_MAX, &n))
		return opt_bad(row, value, "a file descriptor", e);
	common->ready_fd = (int)n;
	return ERR_OK;
}

static const char *const log_levels[] = { "debug", "info", "warn", "error", NULL };

const struct opt_row opt_common_rows[OPT_COMMON_ROWS] = {
	{ "help", NULL, "print this text", OPT_FLAG(struct opt_common, help) },
	{ "log-level", "LEVEL", "debug, info, warn or error (default info)",
	  OPT_WORD(struct opt_common, log_level, log_levels),
	  .want = "debug, info, warn or error" },
	{ "ready-fd", "FD", "write one line to this descriptor when serving, then close it",
	  OPT_OWN(take_fd) },
	{ "version", NULL, "print the version", OPT_FLAG(struct opt_common, version) },
};

/* ---- reading and telling */

static const struct opt_row *find(const struct opt_program *program, struct str name,
				  size_t *ret_base)
{
	for (size_t g = 0; g < program->count; g++) {
		const struct opt_group *group = &program->groups[g];
		for (size_t i = 0; i < group->count; i++)
			if (str_is(name, group->rows[i].name)) {
				*ret_base = group->base;
				return &group->rows[i];
			}
	}
	return NULL;
}

static enum err_code unknown_option(const struct opt_program *program, struct str name,
				    struct err *e)
{
	struct meant meant = meant_of(name);
	AUTO_BUF struct buf hint = buf_init(256);

	for (size_t g = 0; g < program->count; g++)
		for (size_t i = 0; i < program->groups[g].count; i++)
			meant_offer(&meant, program->groups[g].rows[i].name);
	meant_put(&hint, &meant, "--");
	return err_set(e, ERR_INVALID, "unknown option --%.*s%s", STR_FMT(name),
		       hint.len ? buf_cstr(&hint) : "; see --help");
}

enum err_code opt_read(const struct opt_program *program, int argc, const char *const *argv,
		       void *options, struct err *e)
{
	for (int i = 1; i < argc; i++) {
		struct str word = str_of(argv[i]);
		if (!str_has_prefix(word, STR("--")) || word.len == 2)
			return err_set(e, ERR_INVALID, "unexpected argument \"%s\"; see --help",
				       argv[i]);
		size_t eq = str_find(word, '='), base;
		struct str name = str_from(str_upto(word, eq), 2);
		const struct opt_row *row = find(program, name, &base);
		if (!row)
			return unknown_option(program, name, e);
		const char *value = eq < word.len ? argv[i] + eq + 1 : NULL;
		if (!row->arg && value)
			return err_set(e, ERR_INVALID, "--%s takes no value", row->name);
		if (row->arg && !value && i + 1 == argc)
			return err_set(e, ERR_INVALID, "--%s needs a value: %s", row->name,
				       row->arg);
		if (row->arg && !value)
			value = argv[++i];
		enum err_code code = row->take(row, (char *)options + base, value, e);
		if (code != ERR_OK)
			return code;
	}
	return ERR_OK;
}

bool opt_is_given(const struct opt_program *program, int argc, const char *const *argv,
		  const char *option)
{
	for (int i = 1; i < argc; i++) {
		struct str word = str_from(str_of(argv[i]), 2);
		size_t eq = str_find(word, '='), base;
		struct str name = str_upto(word, eq);
		const struct opt_row *row = find(program, name, &base);
		if (str_is(name, option))
			return true;
		if (row && row->arg && eq == word.len)
			i++; /* a value, whatever it looks like */
	}
	return false;
}

enum err_code opt_check_needs(const struct opt_program *program, int argc, const char *const *argv,
			      const struct opt_need *needs, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++)
		if (!needs[i].is_met && opt_is_given(program, argc, argv, needs[i].option))
			return err_set(e, ERR_INVALID, "--%s needs %s", needs[i].option,
				       needs[i].what);
	return ERR_OK;
}

static void put_head(struct buf *b, const struct opt_row *row)
{
	buf_printf(b, "  --%s%s%s", row->name, row->arg ? " " : "", row->arg ? row->arg : "");
}

void opt_help_put(struct buf *b, const struct opt_program *program, size_t columns)
{
	AUTO_BUF struct buf head = buf_init(256);
	size_t width = 0;

	for (size_t g = 0; g < program->count; g++)
		for (size_t i = 0; i < program->groups[g].count; i++) {
			buf_reset(&head);
			put_head(&head, &program->groups[g].rows[i]);
			width = wrap_head_width(width, buf_str(&head));
		}
	wrap_put(b, program->about, 0, columns);
	buf_printf(b, "\nUsage: %s [OPTION]…\n", program->name);
	for (size_t g = 0; g < program->count; g++) {
		const struct opt_group *group = &program->groups[g];
		if (!g || strcmp(group->title, group[-1].title) != 0)
			buf_printf(b, "\n%s:\n", group->title);
		for (size_t i = 0; i < group->count; i++) {
			buf_reset(&head);
			put_head(&head, &group->rows[i]);
			wrap_row_put(b, buf_str(&head), width, group->rows[i].help, columns);
		}
	}
}

bool opt_is_answered(const struct opt_program *program, const struct opt_common *common)
{
	if (common->help) {
		AUTO_BUF struct buf text = buf_init(HELP_MAX_BYTES);
		opt_help_put(&text, program, wrap_columns(STDOUT_FILENO));
		(void)printf("%s", buf_cstr(&text));
	} else if (common->version) {
		(void)printf("%s %s\n", program->name, program->version);
	}
	return common->help || common->version;
}

/* The one line to --ready-fd. */
static void tell(const struct opt_common *common, const char *kind, const char *line)
{
	if (common->ready_fd < 0)
		return;
	if (dprintf(common->ready_fd, "%s%s\n", kind, line) < 0)
		log_warn("nobody takes the ready line", "errno=%d", errno);
	(void)close(common->ready_fd);
}

void opt_tell_ready(const struct opt_common *common, const char *line)
{
	notify_send("READY=1");
	tell(common, "", line);
}

void opt_tell_failed(const struct opt_common *common, const char *sentence)
{
	tell(common, "failed ", sentence);
}
