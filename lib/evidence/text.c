#include "evidence/text.h"

#include <jansson.h>
#include <stdio.h>

#include "evidence/key.h"
#include "flow/json.h"

void hex_put(struct buf *b, struct str bytes)
{
	static const char digits[] = "0123456789abcdef";
	char *to = buf_reserve(b, 2 * bytes.len);

	if (!to)
		return;
	for (size_t i = 0; i < bytes.len; i++) {
		to[2 * i] = digits[(uint8_t)bytes.p[i] >> 4];
		to[2 * i + 1] = digits[(uint8_t)bytes.p[i] & 15];
	}
	b->len += 2 * bytes.len;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_parse(struct str s, uint8_t *ret, size_t size)
{
	if (s.len != 2 * size)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (hex_digit(s.p[i]) < 0)
			return false;
	for (size_t i = 0; i < size; i++)
		ret[i] = (uint8_t)(hex_digit(s.p[2 * i]) << 4 | hex_digit(s.p[2 * i + 1]));
	return true;
}

void put_member_name(struct buf *b, const char *name)
{
	char last = b->len ? b->p[b->len - 1] : '{';

	if (last != '{' && last != '[')
		buf_char(b, ',');
	buf_printf(b, "\"%s\":", name);
}

void put_member_text(struct buf *b, const char *name, struct str text)
{
	put_member_name(b, name);
	json_put_string(b, text);
}

void put_member_u64(struct buf *b, const char *name, uint64_t v)
{
	put_member_name(b, name);
	buf_printf(b, "\"%llu\"", (unsigned long long)v);
}

void put_member_time(struct buf *b, const char *name, struct wall_ns t)
{
	struct civil c = civil_of((int64_t)(t.v / NS_PER_S));

	put_member_name(b, name);
	buf_printf(b, "\"%04lld-%02d-%02dT%02d:%02d:%02d.%09lluZ\"", (long long)c.year, c.month,
		   c.day, c.hour, c.minute, c.second, (unsigned long long)(t.v % NS_PER_S));
}

void put_member_hex(struct buf *b, const char *name, struct str bytes)
{
	put_member_name(b, name);
	buf_char(b, '"');
	hex_put(b, bytes);
	buf_char(b, '"');
}

void put_member_bool(struct buf *b, const char *name, bool v)
{
	put_member_name(b, name);
	buf_str_put(b, v ? STR("true") : STR("false"));
}

bool time_parse(struct str s, struct wall_ns *ret)
{
	struct timestamp t;

	return timestamp_parse(s, &t) && timestamp_to_wall(t, ret);
}

/* --- flat objects --- */

/* A text from the quote on. @return its end behind the closing quote; NULL: there is none. */
static const char *text_end(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : NULL;
}

static struct str without_quotes(const char *from, const char *behind)
{
	return str_n(from + 1, (size_t)(behind - from) - 2);
}

bool flat_get(struct str object, const char *name, struct str *ret)
{
	const char *p = object.p, *end = object.p + object.len;
	struct str wanted = str_of(name);

	if (!object.len || *p++ != '{')
		return false;
	while (p < end && *p == '"') {
		const char *behind = text_end(p, end);
		if (!behind || behind == end || *behind != ':')
			return false;
		struct str key = without_quotes(p, behind), value;
		p = behind + 1;
		if (p < end && *p == '"') {
			behind = text_end(p, end);
			if (!behind)
				return false;
			value = without_quotes(p, behind);
			if (str_eq(key, wanted) && memchr(value.p, '\\', value.len))
				return false;
		} else {
			for (behind = p; behind < end && *behind != ',' && *behind != '}'; behind++)
				if (*behind == '{' || *behind == '[')
					return false;
			value = str_n(p, (size_t)(behind - p));
		}
		if (str_eq(key, wanted)) {
			*ret = value;
			return true;
		}
		p = behind;
		if (p == end || *p++ != ',')
			return false;
	}
	return false;
}

bool flat_u64(struct str object, const char *name, uint64_t *ret)
{
	struct str s;

	return flat_get(object, name, &s) && parse_u64(s, UINT64_MAX, ret);
}

bool flat_time(struct str object, const char *name, struct wall_ns *ret)
{
	struct str s;

	return flat_get(object, name, &s) && time_parse(s, ret);
}

bool flat_hex(struct str object, const char *name, uint8_t *ret, size_t size)
{
	struct str s;

	return flat_get(object, name, &s) && hex_parse(s, ret, size);
}

/* --- signed texts --- */

void signed_text_put(struct buf *b, const struct signed_text *s)
{
	buf_char(b, '{');
	put_member_text(b, "text", s->text);
	put_member_hex(b, "signature", str_n(s->signature, sizeof s->signature));
	put_member_hex(b, "key", str_n(s->key, sizeof s->key));
	buf_char(b, '}');
}

enum err_code signed_text_parse(struct str line, struct buf *scratch, struct signed_text *ret,
				struct err *e)
{
	static const char wrong[] = "not a signed text";
	AUTO_BUF struct buf again = buf_init(line.len + 64);
	struct signed_text s;
	json_t *j = json_loadb(line.p, line.len, JSON_REJECT_DUPLICATES, NULL);
	json_t *text = json_object_get(j, "text");
	bool ok = json_is_string(text);

	buf_reset(scratch);
	if (ok)
		buf_put(scratch, json_string_value(text), json_string_length(text));
	ok = ok && !scratch->failed;
	s.text = buf_str(scratch);
	const char *signature = json_string_value(json_object_get(j, "signature"));
	const char *key = json_string_value(json_object_get(j, "key"));
	ok = ok && hex_parse(str_of(signature), s.signature, sizeof s.signature) &&
	     hex_parse(str_of(key), s.key, sizeof s.key);
	json_decref(j);
	if (!ok)
		return err_set(e, ERR_PARSE, wrong);
	/* In one form only: what is not signed must not be free to change either. */
	signed_text_put(&again, &s);
	if (!str_eq(buf_str(&again), line))
		return err_set(e, ERR_PARSE, wrong);
	*ret = s;
	return ERR_OK;
}

enum err_code signed_text_make(const struct evidence_key *key, struct str text,
			       struct signed_text *ret, struct err *e)
{
	struct signed_text s = { .text = text };
	enum err_code code = evidence_key_sign(key, text, s.signature, e);

	if (code != ERR_OK)
		return code;
	memcpy(s.key, evidence_key_public(key).p, sizeof s.key);
	*ret = s;
	return ERR_OK;
}
