#include "cli/policy_suggest.h"

#include "cli/yaml_text.h"
#include "flow/json.h"
#include "policy/suggest.h"

enum { INDENT = 2 };

/* --- YAML ------------------------------------------------------------------------------------- */

static void put_indent(struct buf *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_char(b, ' ');
}

/* Bytes of one character that a comment can hold; 0: of a control character, a line break of any
 * YAML, what turns the direction of writing, or no character at all. */
static size_t plain_length(struct str s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

	if (n == 1)
		return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
	if (n > s.len || !utf8_is_valid(str_upto(s, n)))
		return 0;
	if (n == 2 && p[0] == 0xc2 && p[1] < 0xa0)
		return 0; /* C1 */
	if (n == 3 && p[0] == 0xe2 &&
	    ((p[1] == 0x80 && (p[2] >= 0xa8 || (p[2] >= 0x8b && p[2] <= 0x8f))) ||
	     (p[1] == 0x81 && p[2] >= 0xa0)))
		return 0; /* U+200B–200F, U+2028–202E, U+2060–206F */
	if (n == 3 && p[0] == 0xef &&
	    ((p[1] == 0xbb && p[2] == 0xbf) || (p[1] == 0xbf && p[2] >= 0xbe)))
		return 0;      /* U+FEFF, U+FFFE, U+FFFF */
	return n == 4 ? 0 : n; /* readers of YAML 1.1 differ on what is beyond 16 bits */
}

void suggest_put_comment(struct buf *b, struct str line, size_t indent)
{
	put_indent(b, indent);
	buf_str_put(b, line.len ? STR("# ") : STR("#"));
	while (line.len) {
		size_t n = plain_length(line);

		if (n)
			buf_put(b, line.p, n);
		else
			buf_printf(b, "\\x%02x", (unsigned char)*line.p);
		line = str_from(line, n ? n : 1);
	}
	buf_char(b, '\n');
}

static struct str text_of(const json_t *value)
{
	return str_n(json_string_value(value), json_string_length(value));
}

static void put_comment_of(struct buf *b, const json_t *mapping, size_t indent)
{
	const json_t *comment = json_object_get(mapping, SUGGEST_COMMENT), *line;
	size_t i;

	json_array_foreach(comment, i, line) suggest_put_comment(b, text_of(line), indent);
}

static bool is_scalar(const json_t *value)
{
	return !json_is_object(value) && !json_is_array(value);
}

static void put_scalar(struct buf *b, const json_t *value)
{
	if (json_is_integer(value))
		buf_i64(b, json_integer_value(value));
	else
		yaml_put_string(b, text_of(value));
}

static size_t member_count(const json_t *object)
{
	return json_object_size(object) - (json_object_get(object, SUGGEST_COMMENT) != NULL);
}

static void put_members(struct buf *b, const json_t *object, size_t indent, bool has_indent);
static void put_items(struct buf *b, const json_t *array, size_t indent);

/* What comes after "key:", to the end of its last line. */
static void put_value(struct buf *b, const json_t *value, size_t indent)
{
	if (is_scalar(value)) {
		buf_char(b, ' ');
		put_scalar(b, value);
		buf_char(b, '\n');
	} else if (json_is_array(value)) {
		buf_str_put(b, json_array_size(value) ? STR("\n") : STR(" []\n"));
		put_items(b, value, indent);
	} else {
		buf_str_put(b, member_count(value) ? STR("\n") : STR(" {}\n"));
		put_members(b, value, indent + INDENT, false);
	}
}

/* @has_indent: the first line has it already. */
static void put_members(struct buf *b, const json_t *object, size_t indent, bool has_indent)
{
	const char *key;
	json_t *value;

	/* jansson's iterators take what they do not change without const */
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		if (str_is(str_of(key), SUGGEST_COMMENT))
			continue;
		put_indent(b, has_indent ? 0 : indent);
		has_indent = false;
		yaml_put_string(b, str_of(key));
		buf_char(b, ':');
		put_value(b, value, indent);
	}
}

static void put_items(struct buf *b, const json_t *array, size_t indent)
{
	const json_t *item;
	size_t i;

	json_array_foreach(array, i, item)
	{
		put_comment_of(b, item, indent);
		put_indent(b, indent);
		buf_lit(b, "- ");
		if (json_is_object(item) && member_count(item)) {
			put_members(b, item, indent + INDENT, true);
			continue;
		}
		if (json_is_object(item))
			buf_lit(b, "{}");
		else
			put_scalar(b, item);
		buf_char(b, '\n');
	}
}

void suggest_put_yaml(struct buf *b, const json_t *object)
{
	buf_lit(b, "---\n");
	put_comment_of(b, object, 0);
	put_members(b, object, 0, false);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void put_json(struct buf *b, const json_t *value)
{
	const json_t *item;
	const char *key, *comma = "";
	json_t *member;
	size_t i;

	if (json_is_array(value)) {
		buf_char(b, '[');
		json_array_foreach(value, i, item)
		{
			buf_str_put(b, i ? STR(",") : STR(""));
			put_json(b, item);
		}
		buf_char(b, ']');
	} else if (json_is_object(value)) {
		buf_char(b, '{');
		json_object_foreach((json_t *)(uintptr_t)value, key, member)
		{
			if (str_is(str_of(key), SUGGEST_COMMENT))
				continue;
			buf_printf(b, "%s", comma);
			comma = ",";
			json_put_string(b, str_of(key));
			buf_char(b, ':');
			put_json(b, member);
		}
		buf_char(b, '}');
	} else if (json_is_integer(value)) {
		buf_i64(b, json_integer_value(value));
	} else {
		json_put_string(b, text_of(value));
	}
}

void suggest_put_json(struct buf *b, const json_t *policies)
{
	buf_lit(b, "{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":");
	put_json(b, policies);
	buf_lit(b, "}\n");
}
