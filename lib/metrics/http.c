#include "metrics/http.h"

#include <ctype.h>
#include <math.h>

/* --- requests ----------------------------------------------------------------------------- */

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isalnum((unsigned char)s.p[i]) &&
		    (!s.p[i] || !strchr("!#$%&'*+-.^_`|~", s.p[i])))
			return false;
	return s.len > 0;
}

static bool is_printable(struct str s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f)
			return false;
	return s.len > 0;
}

static bool list_has(struct str list, struct str word)
{
	struct str item;

	while (str_split(&list, ',', &item))
		if (str_eq_nocase(str_trim(item), word))
			return true;
	return false;
}

static bool read_request_line(struct str line, struct http_request *ret)
{
	struct str target, version;

	if (!str_split(&line, ' ', &ret->method) || !str_split(&line, ' ', &target) ||
	    !str_split(&line, ' ', &version) || line.p)
		return false;
	if (!is_token(ret->method) || !is_printable(target) || target.p[0] != '/')
		return false;
	if (!str_is(version, "HTTP/1.1") && !str_is(version, "HTTP/1.0"))
		return false;
	ret->path = str_upto(target, str_find(target, '?'));
	ret->keep_alive = str_is(version, "HTTP/1.1");
	return true;
}

static bool read_header(struct str line, struct http_request *ret)
{
	size_t colon = str_find(line, ':');
	struct str name = str_upto(line, colon), value = str_trim(str_from(line, colon + 1));

	if (colon == line.len || !is_token(name) || memchr(value.p, 0, value.len))
		return false;
	if (str_eq_nocase(name, STR("accept")))
		ret->accept = value;
	else if (str_eq_nocase(name, STR("accept-encoding")))
		ret->accept_encoding = value;
	else if (str_eq_nocase(name, STR("authorization")))
		ret->authorization = value;
	else if (str_eq_nocase(name, STR("connection")) && list_has(value, STR("close")))
		ret->keep_alive = false;
	else if (str_eq_nocase(name, STR("transfer-encoding")) ||
		 (str_eq_nocase(name, STR("content-length")) && !str_is(value, "0")))
		ret->has_body = true;
	return true;
}

enum http_read http_request_read(struct str bytes, struct http_request *ret, size_t *ret_used)
{
	struct http_request r = { .accept = STR(""),
				  .accept_encoding = STR(""),
				  .authorization = STR("") };
	bool first = true;

	for (size_t at = 0;;) {
		struct str rest = str_from(bytes, at);
		size_t end = str_find(rest, '\n');
		if (end == rest.len)
			return HTTP_MORE;
		at += end + 1;
		struct str line = str_upto(rest, end);
		if (str_has_suffix(line, STR("\r")))
			line.len--;
		if (!line.len && !first) {
			*ret = r;
			*ret_used = at;
			return HTTP_READY;
		}
		if (!(first ? read_request_line(line, &r) : read_header(line, &r)))
			return HTTP_BAD;
		first = false;
	}
}

/* --- what is accepted --------------------------------------------------------------------- */

/* One item of a list with parameters: "text/plain;version=0.0.4;q=0.3". */
struct choice {
	struct str name, version; /* version "": none given */
	double q;
};

/* RFC 9110 §12.4.2: 0 to 1 with up to three digits. What is malformed counts as not wanted. */
static double read_weight(struct str s)
{
	double q = 0, digit = 1;

	if (!s.len || (s.p[0] != '0' && s.p[0] != '1') || (s.len > 1 && s.p[1] != '.') || s.len > 5)
		return 0;
	q = s.p[0] - '0';
	for (size_t i = 2; i < s.len; i++) {
		if (!isdigit((unsigned char)s.p[i]))
			return 0;
		digit /= 10;
		q += (s.p[i] - '0') * digit;
	}
	return q > 1 ? 1 : q;
}

static struct choice read_choice(struct str item)
{
	struct choice c = { .version = STR(""), .q = 1 };
	struct str part;

	(void)str_split(&item, ';', &c.name);
	c.name = str_trim(c.name);
	while (str_split(&item, ';', &part)) {
		size_t equals = str_find(part, '=');
		struct str key = str_trim(str_upto(part, equals));
		struct str value = str_trim(str_from(part, equals + 1));
		if (str_eq_nocase(key, STR("q")))
			c.q = read_weight(value);
		else if (str_eq_nocase(key, STR("version")))
			c.version = value;
	}
	return c;
}

enum http_format http_format_of(struct str accept)
{
	double text = 0, best = 0;
	enum http_format format = HTTP_FORMAT_OPENMETRICS_1;
	struct str item;

	while (str_split(&accept, ',', &item)) {
		struct choice c = read_choice(item);
		if (str_eq_nocase(c.name, STR("text/plain"))) {
			text = c.q > text ? c.q : text;
			continue;
		}
		bool zero = str_is(c.version, "0.0.1");
		if (!str_eq_nocase(c.name, STR("application/openmetrics-text")) ||
		    (c.version.len && !zero && !str_is(c.version, "1.0.0")) || c.q <= best)
			continue;
		best = c.q;
		format = zero ? HTTP_FORMAT_OPENMETRICS_0 : HTTP_FORMAT_OPENMETRICS_1;
	}
	return best > 0 && best >= text ? format : HTTP_FORMAT_TEXT;
}

const char *http_content_type(enum http_format format)
{
	static const char *const types[] = {
		[HTTP_FORMAT_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
		[HTTP_FORMAT_OPENMETRICS_0] =
			"application/openmetrics-text; version=0.0.1; charset=utf-8",
		[HTTP_FORMAT_OPENMETRICS_1] =
			"application/openmetrics-text; version=1.0.0; charset=utf-8",
	};

	return types[format];
}

bool http_accepts_gzip(struct str accept_encoding)
{
	double gzip = -1, any = 0;
	struct str item;

	while (str_split(&accept_encoding, ',', &item)) {
		struct choice c = read_choice(item);
		if (str_eq_nocase(c.name, STR("gzip")) || str_eq_nocase(c.name, STR("x-gzip")))
			gzip = c.q;
		else if (str_is(c.name, "*"))
			any = c.q;
	}
	return gzip >= 0 ? gzip > 0 : any > 0;
}

/* --- who asks ----------------------------------------------------------------------------- */

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* RFC 4648 §4. */
static bool base64_put(struct buf *b, struct str s)
{
	if (s.len % 4)
		return false;
	for (size_t i = 0; i < s.len; i += 4) {
		bool last = i + 4 == s.len;
		unsigned pad = last && s.p[i + 3] == '=' ? (s.p[i + 2] == '=' ? 2 : 1) : 0;
		uint32_t v = 0;
		for (unsigned j = 0; j < 4; j++) {
			int digit = j >= 4 - pad ? 0 : base64_value(s.p[i + j]);
			if (digit < 0)
				return false;
			v = v << 6 | (uint32_t)digit;
		}
		buf_char(b, (char)(v >> 16));
		if (pad < 2)
			buf_char(b, (char)(v >> 8));
		if (pad < 1)
			buf_char(b, (char)v);
	}
	return !b->failed;
}

bool http_basic_auth(struct str authorization, struct buf *scratch, struct str *ret_user,
		     struct str *ret_password)
{
	size_t blank = str_find(authorization, ' ');

	buf_reset(scratch);
	if (!str_eq_nocase(str_upto(authorization, blank), STR("basic")) ||
	    !base64_put(scratch, str_trim(str_from(authorization, blank))))
		return false;
	struct str both = buf_str(scratch);
	size_t colon = str_find(both, ':');
	if (colon == both.len || memchr(both.p, 0, both.len))
		return false;
	*ret_user = str_upto(both, colon);
	*ret_password = str_from(both, colon + 1);
	return true;
}
