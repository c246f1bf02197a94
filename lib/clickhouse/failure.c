#include "clickhouse/failure.h"

#include "base/buf.h"

enum { CODE_MAX = 1 << 20, TEXT_BYTES = 400 };

/* Where @what begins in @s, or s.len. */
static size_t find(struct str s, const char *what)
{
	const void *at = s.len ? memmem(s.p, s.len, what, strlen(what)) : NULL;

	return at ? (size_t)((const char *)at - s.p) : s.len;
}

static struct str without(struct str s, const char *prefix)
{
	return str_has_prefix(s, str_of(prefix)) ? str_from(s, strlen(prefix)) : s;
}

/* Behind the last " (" that begins with @what, nothing is for people. */
static struct str without_tail(struct str s, const char *what)
{
	return str_upto(s, find(s, what));
}

/* " (UNKNOWN_TABLE)" at the end. */
static struct str without_name(struct str s)
{
	size_t open = str_find_last(s, '(');

	if (!str_has_suffix(s, STR(")")) || open < 1 || open + 2 >= s.len || s.p[open - 1] != ' ')
		return s;
	for (size_t i = open + 1; i + 1 < s.len; i++)
		if (!(s.p[i] >= 'A' && s.p[i] <= 'Z') && !(s.p[i] >= '0' && s.p[i] <= '9') &&
		    s.p[i] != '_')
			return s;
	return str_upto(s, open - 1);
}

bool clickhouse_failure_read(struct str s, struct clickhouse_failure *ret)
{
	uint64_t code;
	size_t digits = 0;

	s = str_trim(s);
	if (!str_has_prefix(s, STR("Code: ")))
		return false;
	s = str_from(s, strlen("Code: "));
	while (digits < s.len && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	if (!parse_u64(str_upto(s, digits), CODE_MAX, &code))
		return false;
	s = str_from(s, digits);
	if (str_has_prefix(s, STR(", e.displayText() = ")))
		s = without_tail(without(s, ", e.displayText() = "), ", e.what() = ");
	else if (str_has_prefix(s, STR(". ")))
		s = str_from(s, 2);
	else
		return false;
	s = without_tail(without(s, "DB::Exception: "), ", Stack trace");
	s = without_name(str_trim(without_tail(s, " (version ")));
	while (str_has_suffix(s, STR(".")))
		s = str_upto(s, s.len - 1);
	*ret = (struct clickhouse_failure){ (int)code, str_trim(s) };
	return true;
}

enum err_code clickhouse_failure_code(int code)
{
	switch ((enum clickhouse_error)code) {
	case CLICKHOUSE_READONLY:
	case CLICKHOUSE_UNKNOWN_USER:
	case CLICKHOUSE_WRONG_PASSWORD:
	case CLICKHOUSE_REQUIRED_PASSWORD:
	case CLICKHOUSE_DATABASE_ACCESS_DENIED:
	case CLICKHOUSE_ACCESS_DENIED:
	case CLICKHOUSE_AUTHENTICATION_FAILED:
		return ERR_PERMISSION;
	case CLICKHOUSE_NO_SUCH_COLUMN:
	case CLICKHOUSE_UNKNOWN_IDENTIFIER:
	case CLICKHOUSE_UNKNOWN_TABLE:
	case CLICKHOUSE_UNKNOWN_DATABASE:
		return ERR_NOT_FOUND;
	case CLICKHOUSE_TABLE_EXISTS:
		return ERR_EXISTS;
	case CLICKHOUSE_SAME_QUERY_ID:
		return ERR_AGAIN;
	case CLICKHOUSE_TIMEOUT_EXCEEDED:
		return ERR_TIMEOUT;
	case CLICKHOUSE_TOO_MANY_QUERIES:
	case CLICKHOUSE_MEMORY_LIMIT:
	case CLICKHOUSE_TOO_MANY_PARTS:
	case CLICKHOUSE_CANCELLED: /* by somebody else: by us it is not said any more */
		return ERR_UNAVAILABLE;
	case CLICKHOUSE_SYNTAX_ERROR:
	case CLICKHOUSE_UNKNOWN_SETTING:
		break;
	}
	return ERR_IO;
}

enum err_code clickhouse_failure_set(struct err *e, const char *where,
				     const struct clickhouse_failure *f)
{
	char line[TEXT_BYTES];
	size_t n = utf8_sanitize(f->text, line, sizeof line);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = ' ';
	return err_set(e, clickhouse_failure_code(f->code), "%s says: %.*s (code %d)", where,
		       (int)n, n ? line : "", f->code);
}

void clickhouse_failure_steady(char *text)
{
	static const char *const units[] = { " milliseconds", " ms" };
	char *from = strstr(text, " after "), *end;

	if (!from)
		return;
	char *digits = from + strlen(" after ");
	(void)strtoull(digits, &end, 10);
	for (size_t i = 0; end > digits && i < ARRAY_LEN(units); i++) {
		size_t len = strlen(units[i]);
		if (strncmp(end, units[i], len) == 0) {
			(void)memmove(from, end + len, strlen(end + len) + 1);
			return;
		}
	}
}
