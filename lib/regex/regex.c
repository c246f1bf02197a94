#define PCRE2_CODE_UNIT_WIDTH 8
#include "regex/regex.h"

#include <pcre2.h>
#include <stdio.h>

#include "base/buf.h"

enum {
	STEPS = 100000,  /* of one match; a step takes about 10 ns */
	HEAP_KIB = 1024, /* of one match */
	NESTING = 1000,  /* parentheses, as RE2 */
	PATTERN_BYTES = 1 << 16,
};

struct regex {
	pcre2_code *code;
	pcre2_match_data *data;
	pcre2_match_context *limits;
};

static enum err_code compile(struct regex *r, struct str pattern, struct str source, struct err *e)
{
	/* '$' and '^' as in RE2: the one does not stop before a last newline, the other (with "m")
	 * stands behind it. */
	static const uint32_t options =
		PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_CIRCUMFLEX;
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);
	int error = 0;
	size_t where = 0;

	if (!context)
		return err_set(e, ERR_NOMEM, "regular expression");
	pcre2_set_newline(context, PCRE2_NEWLINE_LF);
	pcre2_set_parens_nest_limit(context, NESTING + 1);
	r->code =
		pcre2_compile((PCRE2_SPTR)pattern.p, pattern.len, options, &error, &where, context);
	pcre2_compile_context_free(context);
	if (r->code)
		return ERR_OK;
	if (error == PCRE2_ERROR_PATTERN_TOO_LARGE || error == PCRE2_ERROR_PATTERN_STRING_TOO_LONG)
		return err_set(e, ERR_INVALID, "error parsing regexp: expression too large: `%.*s`",
			       STR_FMT(source));
	char words[128] = "";
	(void)pcre2_get_error_message(error, (PCRE2_UCHAR *)words, sizeof words);
	return err_set(e, ERR_INVALID, "error parsing regexp: %s: `%.*s`", words, STR_FMT(source));
}

bool pcre_has_property(const char *name)
{
	char pattern[80];
	int error = 0;
	size_t where = 0;

	(void)snprintf(pattern, sizeof pattern, "\\p{%s}", name);
	pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF,
					 &error, &where, NULL);
	pcre2_code_free(code);
	return error != PCRE2_ERROR_UNKNOWN_UNICODE_PROPERTY &&
	       error != PCRE2_ERROR_MALFORMED_UNICODE_PROPERTY;
}

enum err_code regex_new(struct str pattern, struct regex **ret, struct err *e)
{
	AUTO_BUF struct buf translated = buf_init(16 * PATTERN_BYTES);
	AUTO(regex_free) struct regex *r = calloc(1, sizeof *r);
	enum err_code code;

	if (!r)
		return err_set(e, ERR_NOMEM, "regular expression");
	if (pattern.len > PATTERN_BYTES)
		return err_set(e, ERR_INVALID, "error parsing regexp: expression too large");
	code = re2_to_pcre(pattern, &translated, e);
	if (code == ERR_OK)
		code = compile(r, buf_str(&translated), pattern, e);
	if (code != ERR_OK)
		return code;
	r->data = pcre2_match_data_create(1, NULL);
	r->limits = pcre2_match_context_create(NULL);
	if (!r->data || !r->limits)
		return err_set(e, ERR_NOMEM, "regular expression");
	pcre2_set_match_limit(r->limits, STEPS);
	pcre2_set_heap_limit(r->limits, HEAP_KIB);
	*ret = TAKE(r);
	return ERR_OK;
}

void regex_free(struct regex *r)
{
	if (!r)
		return;
	pcre2_code_free(r->code);
	pcre2_match_data_free(r->data);
	pcre2_match_context_free(r->limits);
	free(r);
}

static int match(const struct regex *r, struct str text)
{
	return pcre2_match(r->code, (PCRE2_SPTR)text.p, text.len, 0, 0, r->data, r->limits);
}

/* To RE2 each byte that is no UTF-8 is a U+FFFD, which '.' matches like any other: a path may hold
 * such bytes, escaped ("/caf%e9"). */
static int match_mended(const struct regex *r, struct str text)
{
	AUTO_BUF struct buf mended = buf_init(SIZE_MAX);
	size_t room = 3 * text.len; /* of which an ill-formed byte takes all */
	char *to = buf_reserve(&mended, room);

	if (!to)
		return PCRE2_ERROR_NOMEMORY;
	mended.len = utf8_sanitize(text, to, room);
	return match(r, buf_str(&mended));
}

bool regex_match(const struct regex *r, struct str text)
{
	int answer = match(r, text);

	if (answer <= PCRE2_ERROR_UTF8_ERR1 && answer >= PCRE2_ERROR_UTF8_ERR21)
		answer = match_mended(r, text);
	/* any negative answer, be it "no match" or a limit, is a no */
	return answer >= 0;
}
