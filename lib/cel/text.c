/* Strings: contains, startsWith, endsWith, matches. */
#include "cel/eval.h"
#include "regex/regex.h"

/* Of a regular expression: running one may take a million times what other steps take, so few are
 * granted. */
enum { MATCH_STEPS = 500, COMPILE_STEPS = 1000 };

struct value op_text(struct eval *ev, const struct expr *n, const struct value *args, size_t count)
{
	struct str s = args[0].str, part = args[1].str;

	(void)count;
	if (args[0].kind != VALUE_STRING || args[1].kind != VALUE_STRING)
		return VALUE_NO_OVERLOAD;
	if (!eval_spend_bytes(ev, n->op == OP_CONTAINS ? s.len + part.len : part.len))
		return EVAL_EXHAUSTED;
	if (n->op == OP_STARTS_WITH)
		return value_bool(str_has_prefix(s, part));
	if (n->op == OP_ENDS_WITH)
		return value_bool(str_has_suffix(s, part));
	return value_bool(!part.len || (s.len && memmem(s.p, s.len, part.p, part.len)));
}

struct value op_matches(struct eval *ev, const struct expr *n, const struct value *args,
			size_t count)
{
	AUTO(regex_free) struct regex *made = NULL;
	const struct regex *regex = n->regex;
	struct err e;

	(void)count;
	if (args[0].kind != VALUE_STRING || args[1].kind != VALUE_STRING)
		return VALUE_NO_OVERLOAD;
	if (!eval_spend(ev, MATCH_STEPS + args[0].str.len / 8))
		return EVAL_EXHAUSTED;
	if (!regex) {
		if (!eval_spend(ev, COMPILE_STEPS + args[1].str.len * 4))
			return EVAL_EXHAUSTED;
		if (regex_new(args[1].str, &made, &e) != ERR_OK)
			return eval_fault(ev, e.msg);
		regex = made;
	}
	return value_bool(regex_match(regex, args[0].str));
}
