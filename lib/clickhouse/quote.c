#include "clickhouse/quote.h"

static bool is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr(" _-./:,;@=+*[](){}<>#%&!?~^$|", c));
}

static void put(struct buf *b, struct str text, char around)
{
	static const char digits[] = "0123456789ABCDEF";

	buf_char(b, around);
	for (size_t i = 0; i < text.len; i++) {
		const unsigned char c = (unsigned char)text.p[i];
		if (is_plain(c))
			buf_char(b, (char)c);
		else
			buf_put(b, (char[4]){ '\\', 'x', digits[c >> 4], digits[c & 15] }, 4);
	}
	buf_char(b, around);
}

void clickhouse_quote_put(struct buf *b, struct str text)
{
	put(b, text, '\'');
}

void clickhouse_name_put(struct buf *b, struct str name)
{
	put(b, name, '`');
}

void clickhouse_quote_list_put(struct buf *b, const struct str *texts, size_t count)
{
	buf_char(b, '[');
	for (size_t i = 0; i < count; i++) {
		if (i)
			buf_char(b, ',');
		clickhouse_quote_put(b, texts[i]);
	}
	buf_char(b, ']');
}
