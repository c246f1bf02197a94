#include "observer/cilium/redact.h"

/* The part between "//" and the path (RFC 3986 §3.2); empty if there is none. */
static struct str authority_of(struct str url)
{
	size_t at = 0;

	/* scheme ":" — a colon that comes after a slash belongs to something else */
	for (size_t i = 0; i < url.len && !strchr("/?#", url.p[i]); i++)
		if (url.p[i] == ':') {
			at = i + 1;
			break;
		}
	struct str rest = str_from(url, at);
	if (!str_has_prefix(rest, STR("//")))
		return str_n(rest.p, 0);
	rest = str_from(rest, 2);
	for (size_t i = 0; i < rest.len; i++)
		if (strchr("/?#", rest.p[i]))
			return str_upto(rest, i);
	return rest;
}

/* A password, between the first ':' and the last '@' of the authority; false if there is none. */
static bool find_password(struct str url, size_t *ret_from, size_t *ret_to)
{
	struct str authority = authority_of(url);
	size_t at = str_find_last(authority, '@');

	if (at == authority.len)
		return false;
	size_t colon = str_find(str_upto(authority, at), ':');
	if (colon == at)
		return false;
	*ret_from = (size_t)(authority.p - url.p) + colon + 1;
	*ret_to = (size_t)(authority.p - url.p) + at;
	return true;
}

/* Go takes the '?' of an empty query for a part of its own: the reference leaves it there. */
static struct str without_query(struct str url)
{
	struct str rest = str_upto(url, str_find(url, '#'));
	size_t query = str_find(rest, '?');

	return str_upto(rest, query + 1 == rest.len ? rest.len : query);
}

void redact_url_put(struct buf *b, const struct redact *r, struct str url)
{
	size_t from, to;

	if (r->enabled && r->http_urlquery)
		url = without_query(url);
	if ((r->enabled && !r->http_userinfo) || !find_password(url, &from, &to)) {
		buf_str_put(b, url);
		return;
	}
	buf_str_put(b, str_upto(url, from));
	buf_lit(b, REDACTED);
	buf_str_put(b, str_from(url, to));
}

static bool is_listed(const char *const *list, size_t count, struct str name)
{
	for (size_t i = 0; i < count; i++) {
		struct str rest = str_of(list[i]), one;
		while (str_split(&rest, ',', &one))
			if (str_eq_nocase(name, str_trim(one)))
				return true;
	}
	return false;
}

/* RFC 9110 §5.6.2: what a token is made of. */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		bool is_alnum =
			(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!is_alnum && (!c || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.len;
}

bool redact_are_headers(struct str list)
{
	struct str one;

	while (str_split(&list, ',', &one))
		if (!is_token(str_trim(one)))
			return false;
	return true;
}

bool redact_hides_header(const struct redact *r, struct str name)
{
	if (!r->enabled)
		return false;
	if (r->deny_count)
		return is_listed(r->headers_deny, r->deny_count, name);
	return !is_listed(r->headers_allow, r->allow_count, name);
}
