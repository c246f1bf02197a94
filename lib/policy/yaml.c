/* YAML text to JSON values, as Kubernetes' tools read it. */
#include <errno.h>
#include <yaml.h>

#include "policy/policy.h"

enum { NODES_MAX = 1 << 22, PLAIN_NUMBER_MAX = 64 };

#define TOO_DEEP "more than 48 levels"
_Static_assert(POLICY_DEPTH_MAX == 48, "as TOO_DEEP says");

struct yaml {
	yaml_parser_t parser;
	struct err *e;
	enum err_code code;
	size_t nodes;
};

static void fail(struct yaml *y, const yaml_mark_t *at, const char *what)
{
	if (y->code == ERR_OK)
		y->code = err_set(y->e, ERR_PARSE, "line %zu, column %zu: %s", at->line + 1,
				  at->column + 1, what);
}

static bool next(struct yaml *y, yaml_event_t *event)
{
	if (y->code != ERR_OK)
		return false;
	if (yaml_parser_parse(&y->parser, event))
		return true;
	fail(y, &y->parser.problem_mark, y->parser.problem ? y->parser.problem : "it is no YAML");
	return false;
}

static json_t *made(struct yaml *y, json_t *value, const yaml_mark_t *at)
{
	if (!value)
		fail(y, at, "text that is no UTF-8, or no memory");
	return value;
}

static bool is_one_of(struct str s, const char *const *words)
{
	for (; *words; words++)
		if (str_is(s, *words))
			return true;
	return false;
}

/* Plain scalars: null, booleans and numbers as Kubernetes' YAML reader has them; else text. */
static json_t *plain(struct str s)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes",
					   "YES",  "on",   "On",   "ON",  NULL };
	static const char *const no[] = { "false", "False", "FALSE", "no",  "No",
					  "NO",    "off",   "Off",   "OFF", NULL };
	char text[PLAIN_NUMBER_MAX];
	char *end;

	if (is_one_of(s, nulls))
		return json_null();
	if (is_one_of(s, yes))
		return json_true();
	if (is_one_of(s, no))
		return json_false();
	if (s.len < sizeof text && strchr("+-.0123456789", s.p[0])) {
		memcpy(text, s.p, s.len);
		text[s.len] = 0;
		errno = 0;
		bool octal = s.len > 2 && s.p[0] == '0' && s.p[1] == 'o';
		long long n = octal ? strtoll(text + 2, &end, 8) : strtoll(text, &end, 0);
		if (!*end && end > text && !errno)
			return json_integer(n);
		/* of what strtod knows, no "inf", "nan" or "0x1p3" */
		if (strspn(text, "+-.0123456789eE") == s.len) {
			double d = strtod(text, &end);
			if (!*end && end > text)
				return json_real(d);
		}
	}
	return json_stringn(s.p, s.len);
}

static json_t *scalar(struct yaml *y, const yaml_event_t *event)
{
	struct str s = str_n(event->data.scalar.value, event->data.scalar.length);
	json_t *v = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? plain(s)
									: json_stringn(s.p, s.len);

	return made(y, v, &event->start_mark);
}

static json_t *value(struct yaml *y, const yaml_event_t *event, int depth);

static json_t *sequence(struct yaml *y, const yaml_event_t *start, int depth)
{
	json_t *list = made(y, json_array(), &start->start_mark);

	for (;;) {
		yaml_event_t event;

		if (!next(y, &event))
			break;
		bool end = event.type == YAML_SEQUENCE_END_EVENT;
		json_t *item = end ? NULL : value(y, &event, depth);
		if (item && json_array_append_new(list, item))
			made(y, NULL, &event.start_mark);
		yaml_event_delete(&event);
		if (end || y->code != ERR_OK)
			break;
	}
	return list;
}

static void member_of(struct yaml *y, json_t *map, const yaml_event_t *key, int depth)
{
	yaml_event_t event;

	if (key->type != YAML_SCALAR_EVENT || key->data.scalar.anchor || key->data.scalar.tag) {
		fail(y, &key->start_mark, "a key must be plain text");
		return;
	}
	struct str name = str_n(key->data.scalar.value, key->data.scalar.length);
	if (str_is(name, "<<"))
		fail(y, &key->start_mark, "merge keys are not read");
	else if (memchr(name.p, 0, name.len) || !utf8_is_valid(name))
		fail(y, &key->start_mark, "a key that is no text");
	else if (json_object_get(map, name.p))
		fail(y, &key->start_mark, "the key is there twice");
	if (!next(y, &event))
		return;
	json_t *v = value(y, &event, depth);
	if (v && json_object_set_new(map, name.p, v))
		made(y, NULL, &event.start_mark);
	yaml_event_delete(&event);
}

static json_t *mapping(struct yaml *y, const yaml_event_t *start, int depth)
{
	json_t *map = made(y, json_object(), &start->start_mark);

	for (;;) {
		yaml_event_t event;

		if (!next(y, &event))
			break;
		bool end = event.type == YAML_MAPPING_END_EVENT;
		if (!end)
			member_of(y, map, &event, depth);
		yaml_event_delete(&event);
		if (end || y->code != ERR_OK)
			break;
	}
	return map;
}

static bool has_extras(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return event->data.scalar.anchor || event->data.scalar.tag;
	case YAML_SEQUENCE_START_EVENT:
		return event->data.sequence_start.anchor || event->data.sequence_start.tag;
	case YAML_MAPPING_START_EVENT:
		return event->data.mapping_start.anchor || event->data.mapping_start.tag;
	default:
		return event->type == YAML_ALIAS_EVENT;
	}
}

/* The value that begins with @event; NULL after an error. */
static json_t *value(struct yaml *y, const yaml_event_t *event, int depth)
{
	json_t *v = NULL;

	if (has_extras(event))
		fail(y, &event->start_mark, "anchors, aliases and tags are not read");
	else if (depth >= POLICY_DEPTH_MAX)
		fail(y, &event->start_mark, TOO_DEEP);
	else if (++y->nodes > NODES_MAX)
		fail(y, &event->start_mark, "too many values");
	else if (event->type == YAML_SCALAR_EVENT)
		v = scalar(y, event);
	else if (event->type == YAML_SEQUENCE_START_EVENT)
		v = sequence(y, event, depth + 1);
	else if (event->type == YAML_MAPPING_START_EVENT)
		v = mapping(y, event, depth + 1);
	else
		fail(y, &event->start_mark, "it is no YAML");
	if (y->code != ERR_OK) {
		json_decref(v);
		return NULL;
	}
	return v;
}

static void documents(struct yaml *y, json_t *to)
{
	for (bool more = true; more && y->code == ERR_OK;) {
		yaml_event_t event;

		if (!next(y, &event))
			return;
		switch (event.type) {
		case YAML_STREAM_END_EVENT:
			more = false;
			break;
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		default: {
			json_t *v = value(y, &event, 0);
			if (v && json_array_append_new(to, v))
				made(y, NULL, &event.start_mark);
		}
		}
		yaml_event_delete(&event);
	}
}

/* True if a value of this JSON is in as many collections as may be, or in more. */
static bool is_too_deep(struct str s)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		if (in_string) {
			i += c == '\\';
			in_string = c != '"';
		} else if (c == ']' || c == '}') {
			depth--;
		} else if (depth >= POLICY_DEPTH_MAX && !strchr(" \t\r\n", c)) {
			return true;
		} else {
			depth += c == '[' || c == '{';
			in_string = c == '"';
		}
	}
	return false;
}

/* JSON is YAML, and read ten times as fast. What is not quite JSON is left to the YAML reader,
 * which says what is wrong with it. */
static bool read_json(struct str text, json_t *to)
{
	struct str s = str_trim(text);

	if (!s.len || (s.p[0] != '{' && s.p[0] != '[') || is_too_deep(s))
		return false;
	json_t *v = json_loadb(s.p, s.len, JSON_REJECT_DUPLICATES, NULL);
	return v && json_array_append_new(to, v) == 0;
}

enum err_code policy_yaml(struct str text, json_t **ret, struct err *e)
{
	struct yaml y = { .e = e };

	if (text.len > POLICY_TEXT_MAX)
		return err_set(e, ERR_INVALID, "%zu bytes of text: at most %d", text.len,
			       POLICY_TEXT_MAX);
	json_t *list = json_array();
	if (list && read_json(text, list)) {
		*ret = list;
		return ERR_OK;
	}
	if (!list || !yaml_parser_initialize(&y.parser)) {
		json_decref(list);
		return err_set(e, ERR_NOMEM, "policies");
	}
	yaml_parser_set_input_string(&y.parser, (const unsigned char *)text.p, text.len);
	documents(&y, list);
	yaml_parser_delete(&y.parser);
	if (y.code != ERR_OK)
		json_decref(list);
	else
		*ret = list;
	return y.code;
}
