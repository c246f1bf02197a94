#include "filter/selector.h"

#include "base/buf.h"
#include "base/gotext.h"
#include "filter/netip.h"

enum { SELECTOR_BYTES = 1 << 16 };

enum op { OP_EXISTS, OP_ABSENT, OP_IN, OP_NOT_IN, OP_GREATER, OP_LESS };

struct requirement {
	enum op op;
	struct str source, key; /* source "any": every source */
	size_t first, count;    /* into selector.values */
	int64_t number;         /* OP_GREATER, OP_LESS */
	struct netip_prefix cidr;
	bool is_cidr; /* source is "cidr" and key is a prefix */
};

struct selector {
	/* The selector with dots for the colons of sources; all strings below point into it. */
	struct buf text;
	struct requirement *requirements;
	struct str *values;
	size_t requirement_count, value_count;
};

/* --- from the user's text to Kubernetes' syntax, which knows no colon ------------------------- */

static struct str take(struct buf *out, struct str *in)
{
	struct str before = *in;
	uint32_t rune = rune_next(in);
	struct str bytes = str_upto(before, before.len - in->len);

	/* ill-formed bytes become U+FFFD, as in every reader of runes */
	if (out && rune == 0xfffd)
		buf_lit(out, "\xef\xbf\xbd");
	else if (out)
		buf_str_put(out, bytes);
	return bytes;
}

static bool next_is_space(struct str in)
{
	return rune_is_space(rune_next(&in));
}

/* "k8s:a in (b:c), !d" becomes "k8s.a in (b:c), !any.d". A key ends at white space or one of "=!,".
 */
static void translate(struct str in, struct buf *out)
{
	while (in.len) {
		while (in.len && (next_is_space(in) || in.p[0] == '!'))
			(void)take(out, &in);
		struct str key = in;
		while (in.len && !next_is_space(in) && !memchr("=!,", in.p[0], 3))
			(void)take(NULL, &in);
		key = str_upto(key, key.len - in.len);
		size_t colon = str_find(key, ':');
		if (colon == key.len)
			buf_lit(out, "any.");
		for (struct str rest = key; rest.len;) {
			if (key.len - rest.len == colon) {
				buf_char(out, '.');
				rest = str_from(rest, 1);
			} else {
				(void)take(out, &rest);
			}
		}
		for (int nesting = 0; in.len;) {
			char c = take(out, &in).p[0];

			nesting += c == '(' ? 1 : c == ')' ? -1 : 0;
			if (c == ',' && nesting == 0)
				break;
		}
	}
}

/* --- words ------------------------------------------------------------------------------------ */

enum token {
	TOKEN_END,
	TOKEN_WORD,
	TOKEN_CLOSE,
	TOKEN_COMMA,
	TOKEN_NOT,
	TOKEN_EQUAL,
	TOKEN_EQUAL_EQUAL,
	TOKEN_GREATER,
	TOKEN_LESS,
	TOKEN_NOT_EQUAL,
	TOKEN_OPEN,
};

struct lexer {
	struct str rest;
	enum token token; /* the next one */
	struct str text;
};

static bool is_symbol(char c)
{
	return c && strchr("=!(),><", c) != NULL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Moves on to the next token. A NUL byte ends a word, and where a token should begin it ends the
 * text. */
static void advance(struct lexer *l)
{
	static const struct {
		const char *text;
		enum token token;
	} symbols[] = {
		{ "==", TOKEN_EQUAL_EQUAL }, { "!=", TOKEN_NOT_EQUAL }, { "=", TOKEN_EQUAL },
		{ "!", TOKEN_NOT },          { "(", TOKEN_OPEN },       { ")", TOKEN_CLOSE },
		{ ",", TOKEN_COMMA },        { ">", TOKEN_GREATER },    { "<", TOKEN_LESS },
	};
	struct str s = l->rest;

	while (s.len && is_blank(s.p[0]))
		s = str_from(s, 1);
	if (!s.len || !s.p[0]) {
		*l = (struct lexer){ .rest = str_upto(s, 0), .token = TOKEN_END, .text = STR("") };
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(symbols); i++) {
		if (str_has_prefix(s, str_of(symbols[i].text))) {
			size_t len = strlen(symbols[i].text);

			*l = (struct lexer){ str_from(s, len), symbols[i].token, str_upto(s, len) };
			return;
		}
	}
	size_t len = 0;
	while (len < s.len && s.p[len] && !is_symbol(s.p[len]) && !is_blank(s.p[len]))
		len++;
	size_t used = len < s.len && !s.p[len] ? len + 1 : len;
	*l = (struct lexer){ str_from(s, used), TOKEN_WORD, str_upto(s, len) };
}

/* --- grammar ---------------------------------------------------------------------------------- */

/* An IPv6 prefix stands in a label with '-' for ':'. */
static bool label_prefix(struct str key, struct netip_prefix *ret)
{
	char text[64];

	if (key.len > sizeof text)
		return false;
	for (size_t i = 0; i < key.len; i++)
		text[i] = key.p[i] == '-' ? ':' : key.p[i];
	return netip_prefix_parse(str_n(text, key.len), ret, NULL) == ERR_OK;
}

static bool parse_i64(struct str s, int64_t *ret)
{
	bool negative = s.len && s.p[0] == '-';
	uint64_t n;

	if (s.len && (s.p[0] == '-' || s.p[0] == '+'))
		s = str_from(s, 1);
	if (!parse_u64(s, (uint64_t)INT64_MAX + negative, &n))
		return false;
	*ret = negative ? (int64_t)(0 - n) : (int64_t)n;
	return true;
}

static enum err_code unexpected(const struct lexer *l, const char *expected, struct err *e)
{
	return err_set(e, ERR_INVALID, "found '%.*s', expected: %s", STR_FMT(l->text), expected);
}

/* The array has room: see selector_new. */
static void add_value(struct selector *s, struct requirement *r, struct str value)
{
	s->values[s->value_count++] = value;
	r->count++;
}

static int compare_values(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Values of a requirement are a set, in byte order. */
static void sort_values(struct selector *s, struct requirement *r)
{
	struct str *v = s->values + r->first;
	size_t kept = 0;

	qsort(v, r->count, sizeof *v, compare_values);
	for (size_t i = 0; i < r->count; i++)
		if (kept == 0 || !str_eq(v[kept - 1], v[i]))
			v[kept++] = v[i];
	r->count = kept;
	s->value_count = r->first + kept;
}

/* "(a,b)", also "()" and "(a,,)": an empty value is a value. */
static enum err_code parse_values(struct selector *s, struct lexer *l, struct requirement *r,
				  struct err *e)
{
	if (l->token != TOKEN_OPEN)
		return err_set(e, ERR_INVALID, "found '%.*s' expected: '('", STR_FMT(l->text));
	advance(l);
	if (l->token == TOKEN_CLOSE) {
		add_value(s, r, STR(""));
		advance(l);
		return ERR_OK;
	}
	if (l->token != TOKEN_WORD && l->token != TOKEN_COMMA)
		return unexpected(l, "',', ')' or identifier", e);
	for (;;) {
		if (l->token == TOKEN_WORD) {
			add_value(s, r, l->text);
			advance(l);
			if (l->token != TOKEN_COMMA && l->token != TOKEN_CLOSE)
				return unexpected(l, "',' or ')'", e);
		} else if (l->token == TOKEN_COMMA) {
			if (!r->count)
				add_value(s, r, STR(""));
			advance(l);
			if (l->token == TOKEN_COMMA || l->token == TOKEN_CLOSE)
				add_value(s, r, STR(""));
		} else {
			return unexpected(l, "',', or identifier", e);
		}
		if (l->token == TOKEN_CLOSE) {
			advance(l);
			return ERR_OK;
		}
	}
}

/* Checks the finished requirement; several complaints are listed in brackets, as Kubernetes does.
 */
static enum err_code check_values(const struct selector *s, struct str key, struct requirement *r,
				  struct err *e)
{
	AUTO_BUF struct buf all = buf_init(4 * ERR_MSG_BYTES);
	size_t complaints = 0;

	if (r->op == OP_GREATER || r->op == OP_LESS) {
		if (!parse_i64(s->values[r->first], &r->number)) {
			buf_printf(&all,
				   "values[0]: Invalid value: %s: for 'Gt', 'Lt' operators, the "
				   "value must be an integer",
				   GO_QUOTE(s->values[r->first]));
			complaints++;
		}
	}
	for (size_t i = 0; i < r->count; i++) {
		AUTO_BUF struct buf what = buf_init(ERR_MSG_BYTES);
		struct str value = s->values[r->first + i];

		if (label_value_is_valid(value, &what))
			continue;
		buf_printf(&all, "%svalues[%zu][%.*s]: Invalid value: %s: %s",
			   complaints++ ? ", " : "", i, STR_FMT(key), GO_QUOTE(value),
			   buf_cstr(&what));
	}
	if (complaints > 1)
		return err_set(e, ERR_INVALID, "[%s]", buf_cstr(&all));
	return complaints ? err_set(e, ERR_INVALID, "%s", buf_cstr(&all)) : ERR_OK;
}

static enum err_code parse_operator(struct lexer *l, struct requirement *r, struct err *e)
{
	bool is_word = l->token == TOKEN_WORD;

	if (is_word && str_is(l->text, "in"))
		r->op = OP_IN;
	else if (is_word && str_is(l->text, "notin"))
		r->op = OP_NOT_IN;
	else if (l->token == TOKEN_EQUAL || l->token == TOKEN_EQUAL_EQUAL)
		r->op = OP_IN;
	else if (l->token == TOKEN_NOT_EQUAL)
		r->op = OP_NOT_IN;
	else if (l->token == TOKEN_GREATER || l->token == TOKEN_LESS)
		r->op = l->token == TOKEN_GREATER ? OP_GREATER : OP_LESS;
	else
		return unexpected(l, "in, notin, =, ==, !=, gt, lt", e);
	return ERR_OK;
}

static enum err_code parse_requirement(struct selector *s, struct lexer *l, struct requirement *r,
				       struct err *e)
{
	bool negated = l->token == TOKEN_NOT;
	AUTO_BUF struct buf what = buf_init(4 * ERR_MSG_BYTES);
	enum err_code code;

	*r = (struct requirement){ .first = s->value_count };
	if (negated)
		advance(l);
	if (l->token != TOKEN_WORD)
		return unexpected(l, "identifier", e);
	struct str key = l->text;
	if (!label_key_is_valid(key, &what))
		return err_set(e, ERR_INVALID, "<nil>: Invalid value: %s: %s", GO_QUOTE(key),
			       buf_cstr(&what));
	advance(l);

	/* translation put a '.' into every key: what stands before the first one is the source */
	size_t dot = str_find(key, '.');
	r->source = str_upto(key, dot);
	if (str_is(r->source, "unspec")) /* of a selector, that is any */
		r->source = STR("any");
	r->key = str_from(key, dot + 1);
	r->is_cidr = str_is(r->source, "cidr") && label_prefix(r->key, &r->cidr);

	if (negated || l->token == TOKEN_END || l->token == TOKEN_COMMA) {
		r->op = negated ? OP_ABSENT : OP_EXISTS;
		return ERR_OK;
	}
	code = parse_operator(l, r, e);
	if (code != ERR_OK)
		return code;
	bool is_list = l->token == TOKEN_WORD;
	advance(l);
	if (is_list) {
		code = parse_values(s, l, r, e);
		if (code != ERR_OK)
			return code;
	} else if (l->token == TOKEN_END || l->token == TOKEN_COMMA) {
		add_value(s, r, STR(""));
	} else if (l->token == TOKEN_WORD) {
		add_value(s, r, l->text);
		advance(l);
	} else {
		return unexpected(l, "identifier", e);
	}
	sort_values(s, r);
	return check_values(s, key, r, e);
}

static enum err_code parse(struct selector *s, struct err *e)
{
	struct lexer l = { .rest = buf_str(&s->text) };

	advance(&l);
	while (l.token != TOKEN_END) {
		if (l.token != TOKEN_WORD && l.token != TOKEN_NOT)
			return unexpected(&l, "!, identifier, or 'end of string'", e);
		if (parse_requirement(s, &l, &s->requirements[s->requirement_count], e) != ERR_OK)
			return err_in(e, "unable to parse requirement");
		s->requirement_count++;
		if (l.token == TOKEN_END)
			break;
		if (l.token != TOKEN_COMMA)
			return unexpected(&l, "',' or 'end of string'", e);
		advance(&l);
		if (l.token != TOKEN_WORD && l.token != TOKEN_NOT)
			return unexpected(&l, "identifier after ','", e);
	}
	return ERR_OK;
}

enum err_code selector_new(struct str text, struct selector **ret, struct err *e)
{
	AUTO(selector_free) struct selector *s = calloc(1, sizeof *s);
	enum err_code code;
	struct err local;

	if (text.len > SELECTOR_BYTES)
		return err_set(e, ERR_INVALID, "label selector longer than %d bytes",
			       SELECTOR_BYTES);
	if (!s)
		return err_set(e, ERR_NOMEM, "label selector");
	/* "any." is added to a key, and no key takes less than a byte and its comma; an ill-formed
	 * byte becomes three */
	s->text = buf_init(8 * text.len + 8);
	translate(text, &s->text);
	size_t commas = 0;
	for (size_t i = 0; i < s->text.len; i++)
		commas += s->text.p[i] == ',';
	/* A comma begins a requirement or a value, and each may add an empty value before and
	 * behind itself; so may the first requirement. */
	s->requirements = calloc(commas + 1, sizeof *s->requirements);
	s->values = calloc(3 * (commas + 1), sizeof *s->values);
	if (s->text.failed || !s->requirements || !s->values)
		return err_set(e, ERR_NOMEM, "label selector");
	code = parse(s, e ? e : &local);
	if (code == ERR_OK)
		*ret = TAKE(s);
	return code;
}

void selector_free(struct selector *s)
{
	if (!s)
		return;
	buf_done(&s->text);
	free(s->requirements);
	free(s->values);
	free(s);
}

/* --- matching --------------------------------------------------------------------------------- */

struct label {
	struct str source, key, value;
};

/* "source:key=value"; also "$key" and "reserved.key" for source "reserved", and a bare "key" of
 * source "unspec". */
static struct label label_of(struct str s)
{
	struct label l = { .source = STR("unspec"), .key = s, .value = STR("") };
	size_t colon = str_find(s, ':');

	if (str_has_prefix(s, STR("$"))) {
		l.source = STR("reserved");
		l.key = str_from(s, 1);
	} else if (colon < s.len) {
		if (colon)
			l.source = str_upto(s, colon);
		l.key = str_from(s, colon + 1);
	} else if (str_has_prefix(s, STR("reserved."))) {
		l.source = STR("reserved");
		l.key = str_from(s, strlen("reserved."));
	}
	size_t equals = str_find(l.key, '=');
	if (equals == 0 && l.key.len && str_is(l.source, "reserved")) {
		l.key = str_from(l.key, 1);
	} else if (equals < l.key.len) {
		l.value = str_from(l.key, equals + 1);
		l.key = str_upto(l.key, equals);
	}
	return l;
}

static bool asks_for(const struct requirement *r, const struct label *l)
{
	struct netip_prefix p;

	if (!str_is(r->source, "any") && !str_eq(r->source, l->source))
		return false;
	if (!str_is(r->source, "cidr"))
		return str_eq(r->key, l->key);
	return r->is_cidr && label_prefix(l->key, &p) && r->cidr.bits <= p.bits &&
	       netip_prefix_contains(&r->cidr, &p.addr);
}

static bool find_value(const struct requirement *r, const struct str *labels, size_t count,
		       struct str *ret)
{
	for (size_t i = 0; i < count; i++) {
		struct label l = label_of(labels[i]);

		if (asks_for(r, &l)) {
			*ret = l.value;
			return true;
		}
	}
	return false;
}

static bool has_value(const struct selector *s, const struct requirement *r, struct str value)
{
	for (size_t i = 0; i < r->count; i++)
		if (str_eq(s->values[r->first + i], value))
			return true;
	return false;
}

static bool requirement_holds(const struct selector *s, const struct requirement *r,
			      const struct str *labels, size_t count)
{
	struct str value = STR("");
	bool found = find_value(r, labels, count, &value);
	int64_t n;

	switch (r->op) {
	case OP_EXISTS:
		return found;
	case OP_ABSENT:
		return !found;
	case OP_IN:
		return found && has_value(s, r, value);
	case OP_NOT_IN:
		return !found || !has_value(s, r, value);
	case OP_GREATER:
		return found && parse_i64(value, &n) && n > r->number;
	case OP_LESS:
		return found && parse_i64(value, &n) && n < r->number;
	}
	return false;
}

bool selector_match(const struct selector *s, const struct str *labels, size_t count)
{
	for (size_t i = 0; i < s->requirement_count; i++)
		if (!requirement_holds(s, &s->requirements[i], labels, count))
			return false;
	return true;
}
