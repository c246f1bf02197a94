#define PCRE2_CODE_UNIT_WIDTH 8
#include "observer/source/nflog.h"

#include <pcre2.h>

/* Programs like to end a prefix with a blank, because the kernel's text log needs one. */
static const char default_pattern[] =
	"^tycho:(?<verdict>allow|deny|audit):(?<direction>ingress|egress):(?<policy>(?:.*\\S)?)\\s*$";

enum {
	MATCH_STEPS = 10000, /* some 100 µs at worst, for a pattern that backtracks without end */
	MATCH_HEAP_KIB = 1024,
	ERROR_BYTES = 128,
};

enum role { ROLE_VERDICT, ROLE_DIRECTION, ROLE_POLICY, ROLE_COUNT_ };

static const char *const role_names[] = {
	[ROLE_VERDICT] = "verdict",
	[ROLE_DIRECTION] = "direction",
	[ROLE_POLICY] = "policy",
};
_Static_assert(ARRAY_LEN(role_names) == ROLE_COUNT_, "a role without a name");

struct nflog_pattern {
	pcre2_code *code;
	pcre2_match_context *limits;
	pcre2_match_data *match;
	bool usual;                   /* the default form, and what others write */
	uint32_t number[ROLE_COUNT_]; /* of the capture group, 0: the pattern has none */
	uint64_t given_up;            /* prefixes */
};

struct word {
	const char *text;
	int value;
};

static const struct word verdict_words[] = {
	{ "allow", RAW_ALLOW }, { "accept", RAW_ALLOW }, { "pass", RAW_ALLOW },
	{ "deny", RAW_DENY },   { "drop", RAW_DENY },    { "reject", RAW_DENY },
	{ "block", RAW_DENY },  { "audit", RAW_AUDIT },
};
static const struct word direction_words[] = {
	{ "ingress", RAW_DIR_INGRESS }, { "in", RAW_DIR_INGRESS },
	{ "input", RAW_DIR_INGRESS },   { "inbound", RAW_DIR_INGRESS },
	{ "egress", RAW_DIR_EGRESS },   { "out", RAW_DIR_EGRESS },
	{ "output", RAW_DIR_EGRESS },   { "outbound", RAW_DIR_EGRESS },
};

static int word_value(const struct word *words, size_t n, struct str s, int otherwise)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq_nocase(s, str_of(words[i].text)))
			return words[i].value;
	return otherwise;
}

/* The numbers of the named groups; an entry of PCRE2's name table is a big-endian number and a
 * terminated name. */
static enum err_code find_groups(struct nflog_pattern *p, struct err *e)
{
	uint32_t count = 0, entry_bytes = 0;
	PCRE2_SPTR entry = NULL;

	(void)pcre2_pattern_info(p->code, PCRE2_INFO_NAMECOUNT, &count);
	(void)pcre2_pattern_info(p->code, PCRE2_INFO_NAMEENTRYSIZE, &entry_bytes);
	(void)pcre2_pattern_info(p->code, PCRE2_INFO_NAMETABLE, &entry);
	for (uint32_t i = 0; i < count; i++, entry += entry_bytes) {
		const char *name = (const char *)entry + 2;
		size_t role = 0;

		while (role < ROLE_COUNT_ && strcmp(name, role_names[role]) != 0)
			role++;
		if (role == ROLE_COUNT_)
			return err_set(e, ERR_INVALID,
				       "nflog pattern: the group '%s' has no meaning; verdict, "
				       "direction and policy do",
				       name);
		if (p->number[role])
			return err_set(e, ERR_INVALID, "nflog pattern: the group '%s' occurs twice",
				       name);
		p->number[role] = (uint32_t)entry[0] << 8 | entry[1];
	}
	return ERR_OK;
}

enum err_code nflog_pattern_new(const char *pattern, struct nflog_pattern **ret, struct err *e)
{
	AUTO(nflog_pattern_free) struct nflog_pattern *p = calloc(1, sizeof *p);
	int fault = 0;
	size_t offset = 0;

	if (!p)
		return err_set(e, ERR_NOMEM, "nflog pattern");
	p->usual = !pattern;
	/* Bytes, not UTF-8: a prefix may hold anything. */
	p->code = pcre2_compile((PCRE2_SPTR)(pattern ? pattern : default_pattern),
				PCRE2_ZERO_TERMINATED, PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C,
				&fault, &offset, NULL);
	if (!p->code) {
		PCRE2_UCHAR text[ERROR_BYTES] = "";

		(void)pcre2_get_error_message(fault, text, sizeof text);
		return err_set(e, ERR_INVALID, "nflog pattern: %s at offset %zu",
			       (const char *)text, offset);
	}
	enum err_code code = find_groups(p, e);
	if (code != ERR_OK)
		return code;
	(void)pcre2_jit_compile(
		p->code, PCRE2_JIT_COMPLETE); /* without a compiler the interpreter does it */
	p->limits = pcre2_match_context_create(NULL);
	p->match = pcre2_match_data_create_from_pattern(p->code, NULL);
	if (!p->limits || !p->match)
		return err_set(e, ERR_NOMEM, "nflog pattern");
	(void)pcre2_set_match_limit(p->limits, MATCH_STEPS);
	(void)pcre2_set_heap_limit(p->limits, MATCH_HEAP_KIB);
	*ret = TAKE(p);
	return ERR_OK;
}

void nflog_pattern_free(struct nflog_pattern *p)
{
	if (!p)
		return;
	pcre2_match_data_free(p->match);
	pcre2_match_context_free(p->limits);
	pcre2_code_free(p->code);
	free(p);
}

/* What the group of @role matched, of @count groups that were set; "" if it took no part. */
static struct str group_text(const struct nflog_pattern *p, enum role role, uint32_t count,
			     struct str subject)
{
	const size_t *at = pcre2_get_ovector_pointer(p->match);
	size_t n = p->number[role];

	/* \K in a lookahead can put the start behind the end */
	if (n == 0 || n >= count || at[2 * n] == PCRE2_UNSET || at[2 * n] > at[2 * n + 1])
		return STR("");
	return str_n(subject.p + at[2 * n], at[2 * n + 1] - at[2 * n]);
}

bool nflog_pattern_read(struct nflog_pattern *p, struct str prefix, struct raw_event *ev)
{
	ev->prefix = prefix;
	ev->verdict = RAW_AUDIT;
	ev->direction = RAW_DIR_UNKNOWN;
	ev->policy = ev->policy_namespace = ev->policy_kind = STR("");

	int count =
		pcre2_match(p->code, (PCRE2_SPTR)prefix.p, prefix.len, 0, 0, p->match, p->limits);
	p->given_up += count < 0 && count != PCRE2_ERROR_NOMATCH;
	if (count <= 0) /* no match, or a limit was reached */
		return p->usual && nflog_known_read(prefix, ev);

	struct str verdict = group_text(p, ROLE_VERDICT, (uint32_t)count, prefix);
	struct str direction = group_text(p, ROLE_DIRECTION, (uint32_t)count, prefix);
	ev->verdict = (enum raw_verdict)word_value(verdict_words, ARRAY_LEN(verdict_words), verdict,
						   RAW_AUDIT);
	ev->direction = (enum raw_direction)word_value(direction_words, ARRAY_LEN(direction_words),
						       direction, RAW_DIR_UNKNOWN);
	ev->policy = group_text(p, ROLE_POLICY, (uint32_t)count, prefix);
	return true;
}

size_t nflog_pattern_figures(const struct nflog_pattern *p,
			     struct source_figure out[SOURCE_FIGURES])
{
	static const struct source_figure_kind kind = {
		"prefixes_given_up_total",
		"Log prefixes that the pattern took too long for: verdicts without policy", true
	};

	out[0] = (struct source_figure){ &kind, p->given_up };
	return 1;
}
