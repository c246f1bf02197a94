/* What Kubernetes allows as keys and values of labels: apimachinery pkg/util/validation. */
#include "base/buf.h"
#include "filter/selector.h"

enum { NAME_BYTES = 63, SUBDOMAIN_BYTES = 253 };

#define NAME_FORM "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
#define DNS_LABEL_FORM "[a-z0-9]([-a-z0-9]*[a-z0-9])?"

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* NAME_FORM */
static bool is_name(struct str s)
{
	if (!s.len || !is_alnum(s.p[0]) || !is_alnum(s.p[s.len - 1]))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
			return false;
	return true;
}

/* DNS_LABEL_FORM, joined by dots; RFC 1123 */
static bool is_subdomain(struct str s)
{
	struct str label;

	while (str_split(&s, '.', &label)) {
		if (!is_name(label))
			return false;
		for (size_t i = 0; i < label.len; i++)
			if ((label.p[i] >= 'A' && label.p[i] <= 'Z') || label.p[i] == '_')
				return false;
	}
	return true;
}

static void complain(struct buf *b, const char *what)
{
	if (b->len)
		buf_lit(b, "; ");
	buf_put(b, what, strlen(what));
}

bool label_key_is_valid(struct str key, struct buf *b)
{
	static const char form[] = "must consist of alphanumeric characters, '-', '_' or '.', and "
				   "must start and end with an "
				   "alphanumeric character (e.g. 'MyName',  or 'my.name',  or "
				   "'123-abc', regex used for "
				   "validation is '" NAME_FORM "')";
	size_t slash = str_find(key, '/'), start = b->len;
	struct str name = slash < key.len ? str_from(key, slash + 1) : key,
		   prefix = str_upto(key, slash);

	if (str_find(name, '/') < name.len) {
		complain(b, "a valid label key ");
		buf_put(b, form, sizeof form - 1);
		buf_lit(b, " with an optional DNS subdomain prefix and '/' (e.g. "
			   "'example.com/MyName')");
		return false;
	}
	if (slash < key.len && !prefix.len) {
		complain(b, "prefix part must be non-empty");
	} else if (slash < key.len) {
		if (prefix.len > SUBDOMAIN_BYTES)
			complain(b, "prefix part must be no more than 253 bytes");
		if (!is_subdomain(prefix))
			complain(b, "prefix part a lowercase RFC 1123 subdomain must consist of "
				    "lower case alphanumeric "
				    "characters, '-' or '.', and must start and end with an "
				    "alphanumeric character (e.g. "
				    "'example.com', regex used for validation is '" DNS_LABEL_FORM
				    "(\\." DNS_LABEL_FORM ")*')");
	}
	if (!name.len)
		complain(b, "name part must be non-empty");
	else if (name.len > NAME_BYTES)
		complain(b, "name part must be no more than 63 bytes");
	if (!is_name(name)) {
		complain(b, "name part ");
		buf_put(b, form, sizeof form - 1);
	}
	return b->len == start && !b->failed;
}

bool label_value_is_valid(struct str value, struct buf *b)
{
	size_t start = b->len;

	if (value.len > NAME_BYTES)
		complain(b, "must be no more than 63 bytes");
	if (value.len && !is_name(value))
		complain(b, "a valid label must be an empty string or consist of alphanumeric "
			    "characters, '-', '_' or '.', and "
			    "must start and end with an alphanumeric character (e.g. 'MyValue',  "
			    "or 'my_value',  or '12345', "
			    "regex used for validation is '(" NAME_FORM ")?')");
	return b->len == start && !b->failed;
}
