/* Predicates on DNS and HTTP records. */
#include "base/buf.h"
#include "base/gotext.h"
#include "filter/l7.h"
#include "regex/regex.h"
#include "filter/requri.h"
#include "filter/pred.h"
#include "flow/flow.pb-c.h"

enum { EVENT_TYPE_L7 = 129, URL_BYTES = 1 << 20 };

struct l7_pred {
	struct pred t;
	struct strs *texts;  /* status codes, methods, header keys */
	struct strs *values; /* header values */
	struct regex **regexes;
	size_t regex_count;
	struct buf path;   /* of the URL being looked at */
	bool beyond_ascii; /* some text is */
};

static void l7_free(struct pred *t)
{
	struct l7_pred *l = (struct l7_pred *)t;

	for (size_t i = 0; i < l->regex_count; i++)
		regex_free(l->regexes[i]);
	buf_done(&l->path);
	free(l->regexes);
	free(l->texts);
	free(l->values);
	free(l);
}

static struct l7_pred *l7_pred_new(bool (*matches)(struct pred *, const struct flow *),
				   uint8_t cost, struct err *e)
{
	struct l7_pred *l = calloc(1, sizeof *l);

	if (!l) {
		(void)err_set(e, ERR_NOMEM, "flow filter");
		return NULL;
	}
	l->t = (struct pred){ .matches = matches,
			      .may_match = pred_needs_l7,
			      .members = FLOW_MEMBER(FLOW_MEMBER_EXT),
			      .needs = FLOW_HAS_L7,
			      .free = l7_free,
			      .cost = cost };
	l->path = buf_init(URL_BYTES);
	return l;
}

/* Only layer-7 events have HTTP records: asking for other types besides makes no sense, and the
 * reference says so. */
static enum err_code check_event_types(const Flow__FlowFilter *ff, const char *what, struct err *e)
{
	for (size_t i = 0; i < ff->n_event_type; i++)
		if (ff->event_type[i]->type == EVENT_TYPE_L7)
			return ERR_OK;
	if (!ff->n_event_type)
		return ERR_OK;
	return err_set(e, ERR_INVALID,
		       "filtering by %s requires the event type filter to only match 'l7' events",
		       what);
}

static bool matches_any(const struct l7_pred *l, struct str text)
{
	for (size_t i = 0; i < l->regex_count; i++)
		if (regex_match(l->regexes[i], text))
			return true;
	return false;
}

/* A pattern that does not compile is named before the error where @name_pattern says so. */
static enum err_code regex_pred_new(char *const *values, size_t count,
				    bool (*matches)(struct pred *, const struct flow *),
				    bool name_pattern, struct pred **ret, struct err *e)
{
	struct l7_pred *l = l7_pred_new(matches, 4, e);

	if (!l)
		return ERR_NOMEM;
	AUTO(pred_free) struct pred *made = &l->t;
	l->regexes = calloc(count, sizeof(struct regex *));
	if (!l->regexes)
		return err_set(e, ERR_NOMEM, "flow filter");
	for (; l->regex_count < count; l->regex_count++) {
		const char *pattern = values[l->regex_count];
		enum err_code code = regex_new(str_of(pattern), &l->regexes[l->regex_count], e);

		if (code != ERR_OK)
			return name_pattern ? err_in(e, "%s", pattern) : code;
	}
	*ret = TAKE(made);
	return ERR_OK;
}

/* --- DNS -------------------------------------------------------------------------------------- */

static bool dns_query_matches(struct pred *t, const struct flow *f)
{
	struct str query;

	return l7_dns_query(f, &query) && matches_any((const struct l7_pred *)t, query);
}

enum err_code pred_dns_query_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				 struct pred **ret, struct err *e)
{
	(void)dict;
	if (!ff->n_dns_query)
		return ERR_OK;
	if (regex_pred_new(ff->dns_query, ff->n_dns_query, dns_query_matches, false, ret, e) !=
	    ERR_OK)
		return err_in(e, "invalid DNS query filter: failed to compile regexp");
	return ERR_OK;
}

/* --- HTTP status ------------------------------------------------------------------------------ */

/* "NNN", or "N+" and "NN+" for a prefix; the first digit is 1 to 5. */
static bool is_status(struct str s)
{
	size_t digits = s.len && s.p[s.len - 1] == '+' ? s.len - 1 : s.len;

	if (digits < s.len ? digits < 1 || digits > 2 : digits != 3)
		return false;
	for (size_t i = 0; i < digits; i++)
		if (s.p[i] < (i ? '0' : '1') || s.p[i] > (i ? '9' : '5'))
			return false;
	return true;
}

static bool status_matches(struct pred *t, const struct flow *f)
{
	const struct strs *asked = ((const struct l7_pred *)t)->texts;
	struct l7_http http;
	char digits[16];

	if (!l7_http(f, &http) || http.code == 0)
		return false;
	struct buf b = buf_fixed(digits, sizeof digits);
	buf_printf(&b, "%03u", (unsigned)http.code);
	for (size_t i = 0; i < asked->count; i++) {
		struct str s = asked->v[i];

		if (str_has_suffix(s, STR("+"))
			    ? str_has_prefix(buf_str(&b), str_upto(s, s.len - 1))
			    : str_eq(buf_str(&b), s))
			return true;
	}
	return false;
}

enum err_code pred_http_status_code_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
					struct pred **ret, struct err *e)
{
	(void)dict;
	if (!ff->n_http_status_code)
		return ERR_OK;
	if (check_event_types(ff, "http status code", e) != ERR_OK)
		return ERR_INVALID;
	for (size_t i = 0; i < ff->n_http_status_code; i++) {
		struct str s = str_of(ff->http_status_code[i]);

		if (!is_status(s))
			return err_set(
				e, ERR_INVALID,
				"invalid http status code filter: invalid status code prefix: %s",
				GO_QUOTE(s));
	}
	struct l7_pred *l = l7_pred_new(status_matches, 3, e);
	if (!l)
		return ERR_NOMEM;
	AUTO(pred_free) struct pred *made = &l->t;
	l->texts = strs_copy(ff->http_status_code, ff->n_http_status_code);
	if (!l->texts)
		return err_set(e, ERR_NOMEM, "flow filter");
	*ret = TAKE(made);
	return ERR_OK;
}

/* --- HTTP method ------------------------------------------------------------------------------ */

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((uint8_t)s.p[i] >= 0x80)
			return false;
	return true;
}

/* Letters of all scripts are compared without case; the regular expressions know how. */
static bool method_matches(struct pred *t, const struct flow *f)
{
	const struct l7_pred *l = (const struct l7_pred *)t;
	struct l7_http http;

	if (!l7_http(f, &http) || !http.method.len)
		return false;
	for (size_t i = 0; i < l->texts->count; i++)
		if (str_eq_nocase(l->texts->v[i], http.method))
			return true;
	return (l->beyond_ascii || !is_ascii(http.method)) && matches_any(l, http.method);
}

/* "(?i)\A…\z", each character by its number. */
static enum err_code add_caseless(struct l7_pred *l, struct str text, struct err *e)
{
	AUTO_BUF struct buf b = buf_init(16 * text.len + 32);

	buf_lit(&b, "(?i)\\A");
	while (text.len)
		buf_printf(&b, "\\x{%x}", (unsigned)rune_next(&text));
	buf_lit(&b, "\\z");
	enum err_code code = regex_new(buf_str(&b), &l->regexes[l->regex_count], e);
	l->regex_count += code == ERR_OK;
	return code;
}

enum err_code pred_http_method_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				   struct pred **ret, struct err *e)
{
	(void)dict;
	if (!ff->n_http_method)
		return ERR_OK;
	if (check_event_types(ff, "http method", e) != ERR_OK)
		return ERR_INVALID;
	struct l7_pred *l = l7_pred_new(method_matches, 3, e);
	if (!l)
		return ERR_NOMEM;
	AUTO(pred_free) struct pred *made = &l->t;
	l->texts = strs_copy(ff->http_method, ff->n_http_method);
	l->regexes = calloc(ff->n_http_method, sizeof(struct regex *));
	if (!l->texts || !l->regexes)
		return err_set(e, ERR_NOMEM, "flow filter");
	for (size_t i = 0; i < ff->n_http_method; i++)
		l->beyond_ascii |= !is_ascii(l->texts->v[i]);
	for (size_t i = 0; i < ff->n_http_method; i++)
		if (add_caseless(l, l->texts->v[i], e) != ERR_OK)
			return err_in(e, "invalid http method filter");
	*ret = TAKE(made);
	return ERR_OK;
}

/* --- HTTP path and URL ------------------------------------------------------------------------ */

static bool path_matches(struct pred *t, const struct flow *f)
{
	struct l7_pred *l = (struct l7_pred *)t;
	struct l7_http http;

	if (!l7_http(f, &http) || !http.url.len)
		return false;
	buf_reset(&l->path);
	return requri_path(http.url, &l->path) && !l->path.failed &&
	       matches_any(l, buf_str(&l->path));
}

enum err_code pred_http_path_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				 struct pred **ret, struct err *e)
{
	(void)dict;
	if (!ff->n_http_path)
		return ERR_OK;
	if (check_event_types(ff, "http path", e) != ERR_OK)
		return ERR_INVALID;
	if (regex_pred_new(ff->http_path, ff->n_http_path, path_matches, true, ret, e) != ERR_OK)
		return err_in(e, "invalid http path filter");
	return ERR_OK;
}

static bool url_matches(struct pred *t, const struct flow *f)
{
	struct l7_http http;

	return l7_http(f, &http) && http.url.len &&
	       matches_any((const struct l7_pred *)t, http.url);
}

enum err_code pred_http_url_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				struct pred **ret, struct err *e)
{
	(void)dict;
	if (!ff->n_http_url)
		return ERR_OK;
	if (check_event_types(ff, "http url", e) != ERR_OK)
		return ERR_INVALID;
	if (regex_pred_new(ff->http_url, ff->n_http_url, url_matches, true, ret, e) != ERR_OK)
		return err_in(e, "invalid http url filter");
	return ERR_OK;
}

/* --- HTTP headers ----------------------------------------------------------------------------- */

static bool header_matches(struct pred *t, const struct flow *f)
{
	const struct l7_pred *l = (const struct l7_pred *)t;
	struct l7_http http;
	struct str key, value;

	if (!l7_http(f, &http))
		return false;
	for (struct str from = http.record; l7_http_header(&from, &key, &value);)
		for (size_t i = 0; i < l->texts->count; i++)
			if (str_eq(l->texts->v[i], key) && str_eq(l->values->v[i], value))
				return true;
	return false;
}

enum err_code pred_http_header_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				   struct pred **ret, struct err *e)
{
	size_t count = ff->n_http_header;

	(void)dict;
	if (!count)
		return ERR_OK;
	if (check_event_types(ff, "http headers", e) != ERR_OK)
		return ERR_INVALID;
	struct l7_pred *l = l7_pred_new(header_matches, 3, e);
	if (!l)
		return ERR_NOMEM;
	AUTO(pred_free) struct pred *made = &l->t;
	AUTO(own_free) char **keys = calloc(count, sizeof *keys);
	AUTO(own_free) char **values = calloc(count, sizeof *values);
	for (size_t i = 0; keys && values && i < count; i++) {
		keys[i] = ff->http_header[i]->key;
		values[i] = ff->http_header[i]->value;
	}
	l->texts = keys && values ? strs_copy(keys, count) : NULL;
	l->values = keys && values ? strs_copy(values, count) : NULL;
	if (!l->texts || !l->values)
		return err_set(e, ERR_NOMEM, "flow filter");
	*ret = TAKE(made);
	return ERR_OK;
}
