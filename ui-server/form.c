#include "ui-server/form.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(struct str text, char *out, size_t size, struct str *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];
		if (c == '%') {
			int high = text.len - i > 2 ? hex_digit(text.p[i + 1]) : -1;
			int low = text.len - i > 2 ? hex_digit(text.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		} else if (c == '+') {
			c = ' ';
		}
		if (n == size)
			return false;
		out[n++] = c;
	}
	*ret = str_n(out, n);
	return true;
}

bool ui_form_get(struct str body, const char *name, char *out, size_t size, struct str *ret)
{
	struct str field;

	while (str_split(&body, '&', &field)) {
		size_t equals = str_find(field, '=');
		if (equals < field.len && str_is(str_upto(field, equals), name))
			return decode(str_from(field, equals + 1), out, size, ret);
	}
	return false;
}

bool ui_cookie_get(struct str header, const char *name, struct str *ret)
{
	struct str pair;

	while (str_split(&header, ';', &pair)) {
		pair = str_trim(pair);
		size_t equals = str_find(pair, '=');
		if (equals == pair.len || !str_is(str_upto(pair, equals), name))
			continue;
		*ret = str_from(pair, equals + 1);
		return true;
	}
	return false;
}
