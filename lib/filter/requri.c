#include "filter/requri.h"

#include "base/buf.h"
#include "filter/netip.h"

enum part { PART_PATH, PART_USER, PART_HOST, PART_ZONE };

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int hex_value(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

static bool is_one_of(char c, const char *set)
{
	return c && strchr(set, c) != NULL;
}

static bool is_host_char(char c)
{
	return is_alnum(c) || is_one_of(c, "!$&'()*+,;=:[]<>\"-_.~") || (c & 0x80);
}

/* Decodes to @out (may be NULL: check only). */
static bool unescape(struct str s, enum part part, struct buf *out)
{
	bool in_host = part == PART_HOST || part == PART_ZONE;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];

		if (c == '%') {
			if (i + 2 >= s.len || hex_value(s.p[i + 1]) < 0 ||
			    hex_value(s.p[i + 2]) < 0)
				return false;
			c = (char)(hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2]));
			/* a host name may escape bytes beyond ASCII only (RFC 6874 adds "%25"
			 * before a zone), a zone also what a host could not hold plainly, but no
			 * more than that */
			if (part == PART_HOST && !(c & 0x80) && c != '%')
				return false;
			if (part == PART_ZONE && c != '%' && c != ' ' &&
			    ((c & 0x80) || !is_host_char(c)))
				return false;
			i += 2;
		} else if (in_host && !is_host_char(c)) {
			return false;
		}
		if (out)
			buf_char(out, c);
	}
	return true;
}

static bool port_is_valid(struct str s)
{
	if (!s.len)
		return true;
	if (s.p[0] != ':')
		return false;
	for (size_t i = 1; i < s.len; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

/* What stands in brackets: an IPv6 address (RFC 3986), perhaps with a zone behind "%25" (RFC 6874).
 */
static bool literal_is_valid(struct str s)
{
	AUTO_BUF struct buf plain = buf_init(s.len + 1);
	struct netip ip;
	size_t zone = 0;

	while (zone < s.len && !str_has_prefix(str_from(s, zone), STR("%25")))
		zone++;
	return unescape(str_upto(s, zone), PART_HOST, &plain) &&
	       unescape(str_from(s, zone), PART_ZONE, &plain) && !plain.failed &&
	       netip_parse(buf_str(&plain), &ip, NULL) == ERR_OK && !ip.is_v4;
}

static bool host_is_valid(struct str host)
{
	size_t open = str_find_last(host, '['), end = str_find_last(host, ']'),
	       colon = str_find_last(host, ':');

	if (open < host.len)
		return open == 0 && end < host.len && port_is_valid(str_from(host, end + 1)) &&
		       literal_is_valid(str_upto(str_from(host, 1), end - 1));
	if (colon < host.len && !port_is_valid(str_from(host, colon)))
		return false;
	return unescape(host, PART_HOST, NULL);
}

static bool authority_is_valid(struct str s)
{
	size_t at = str_find_last(s, '@');

	if (at == s.len)
		return host_is_valid(s);
	struct str user = str_upto(s, at);
	for (size_t i = 0; i < user.len; i++)
		if (!is_alnum(user.p[i]) && !is_one_of(user.p[i], "-._:~!$&'()*+,;=%@"))
			return false;
	return host_is_valid(str_from(s, at + 1)) && unescape(user, PART_USER, NULL);
}

/* Cuts "scheme:" off *@s. False if there is a ':' with nothing before it. */
static bool cut_scheme(struct str *s, bool *ret_has_scheme)
{
	*ret_has_scheme = false;
	for (size_t i = 0; i < s->len; i++) {
		char c = s->p[i];

		if (c == ':') {
			if (i == 0)
				return false;
			*s = str_from(*s, i + 1);
			*ret_has_scheme = true;
			return true;
		}
		bool letter = is_alnum(c) && !(c >= '0' && c <= '9');
		if (!letter && (i == 0 || !(is_alnum(c) || is_one_of(c, "+-."))))
			return true;
	}
	return true;
}

bool requri_path(struct str url, struct buf *out)
{
	bool has_scheme;

	if (!url.len)
		return false;
	for (size_t i = 0; i < url.len; i++)
		if ((uint8_t)url.p[i] < ' ' || url.p[i] == 0x7f)
			return false;
	if (str_is(url, "*")) {
		buf_char(out, '*');
		return true;
	}
	if (!cut_scheme(&url, &has_scheme))
		return false;
	url = str_upto(url, str_find(url, '?'));
	if (!str_has_prefix(url, STR("/")))
		return has_scheme; /* opaque: no path */
	if (has_scheme && str_has_prefix(url, STR("//"))) {
		struct str authority = str_from(url, 2);

		authority = str_upto(authority, str_find(authority, '/'));
		if (!authority_is_valid(authority))
			return false;
		url = str_from(url, 2 + authority.len);
	}
	return unescape(url, PART_PATH, out);
}
