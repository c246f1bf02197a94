#include "observer/yaml/doc.h"

#include <ctype.h>

#include "flow/flow.pb-c.h"
#include "flow/json.h"

enum err_code yaml_doc_load(struct yaml_doc *d, struct str text, size_t max_bytes, struct err *e)
{
	if (text.len > max_bytes)
		return err_set(e, ERR_INVALID, "larger than %zu bytes", max_bytes);
	*d = (struct yaml_doc){ .e = e };
	if (!yaml_parser_initialize(&d->parser))
		return err_set(e, ERR_NOMEM, "YAML");
	yaml_parser_set_input_string(&d->parser, (const unsigned char *)text.p, text.len);
	if (yaml_parser_load(&d->parser, &d->doc))
		return ERR_OK;
	enum err_code code = ERR_NOMEM;
	if (d->parser.error == YAML_MEMORY_ERROR)
		(void)err_set(e, code, "YAML");
	else
		code = err_set(e, ERR_PARSE, "line %zu: %s", d->parser.problem_mark.line + 1,
			       d->parser.problem ? d->parser.problem : "no YAML");
	yaml_parser_delete(&d->parser);
	return code;
}

void yaml_doc_done(struct yaml_doc *d)
{
	yaml_document_delete(&d->doc);
	yaml_parser_delete(&d->parser);
}

const yaml_node_t *yaml_doc_root(struct yaml_doc *d)
{
	const yaml_node_t *root = yaml_document_get_root_node(&d->doc);

	return !root || yaml_is_null(root) ? NULL : root;
}

struct str yaml_scalar(const yaml_node_t *n)
{
	return str_n(n->data.scalar.value, n->data.scalar.length);
}

enum err_code yaml_fault(const struct yaml_doc *d, const yaml_node_t *at, const char *what)
{
	return err_set(d->e, ERR_PARSE, "line %zu: %s", at->start_mark.line + 1, what);
}

enum err_code yaml_look(struct yaml_doc *d, const yaml_node_t *n)
{
	return ++d->nodes > YAML_DOC_NODES
		       ? yaml_fault(d, n, "too much when its aliases are followed")
		       : ERR_OK;
}

static bool is_plain(const yaml_node_t *n)
{
	return n->type == YAML_SCALAR_NODE && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

bool yaml_is_null(const yaml_node_t *n)
{
	struct str s = n->type == YAML_SCALAR_NODE ? yaml_scalar(n) : STR("x");

	return is_plain(n) && (!s.len || str_is(s, "~") || str_eq_nocase(s, STR("null")));
}

const yaml_node_t *yaml_member(struct yaml_doc *d, const yaml_node_t *map, const char *key)
{
	const yaml_node_pair_t *pair = map->data.mapping.pairs.top;

	while (pair-- > map->data.mapping.pairs.start) {
		const yaml_node_t *k = yaml_document_get_node(&d->doc, pair->key);
		const yaml_node_t *v = yaml_document_get_node(&d->doc, pair->value);
		if (k->type == YAML_SCALAR_NODE && str_eq_nocase(yaml_scalar(k), str_of(key)))
			return yaml_is_null(v) ? NULL : v;
	}
	return NULL;
}

enum err_code yaml_check_mapping(struct yaml_doc *d, const yaml_node_t *n, const char *what)
{
	if (n->type != YAML_MAPPING_NODE)
		return yaml_fault(d, n, what);
	const yaml_node_pair_t *pair = n->data.mapping.pairs.start;
	for (; pair < n->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(&d->doc, pair->key);
		if (is_plain(key) && str_is(yaml_scalar(key), "<<"))
			return yaml_fault(d, key, "merge keys (<<) are not understood");
	}
	return ERR_OK;
}

enum err_code yaml_check_keys(struct yaml_doc *d, const yaml_node_t *map, const char *const *keys)
{
	const yaml_node_pair_t *pair = map->data.mapping.pairs.start;

	for (; pair < map->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(&d->doc, pair->key);
		size_t i = 0;
		if (key->type != YAML_SCALAR_NODE)
			return yaml_fault(d, key, "a key that is no text");
		while (keys[i] && !str_eq_nocase(yaml_scalar(key), str_of(keys[i])))
			i++;
		if (!keys[i])
			return err_set(d->e, ERR_PARSE, "line %zu: unknown key '%s'",
				       key->start_mark.line + 1, EXCERPT(yaml_scalar(key)));
	}
	return ERR_OK;
}

/* JSON's grammar of numbers: what YAML calls one beyond that (octal, .5) stays a text. */
static bool is_number(struct str s)
{
	size_t i = s.len && s.p[0] == '-';
	size_t digits = i;

	while (i < s.len && isdigit((unsigned char)s.p[i]))
		i++;
	if (i == digits || (s.p[digits] == '0' && i > digits + 1))
		return false;
	if (i < s.len && s.p[i] == '.') {
		size_t from = ++i;
		while (i < s.len && isdigit((unsigned char)s.p[i]))
			i++;
		if (i == from)
			return false;
	}
	return i == s.len;
}

/* YAML 1.1, as the reference reads it. */
static const char *const yes[] = { "true", "True", "TRUE", "yes", "Yes", "YES",
				   "on",   "On",   "ON",   "y",   "Y",   NULL };
static const char *const no[] = { "false", "False", "FALSE", "no", "No", "NO",
				  "off",   "Off",   "OFF",   "n",  "N",  NULL };

static bool is_among(struct str s, const char *const *words)
{
	while (*words && !str_is(s, *words))
		words++;
	return *words;
}

bool yaml_truth(const yaml_node_t *n, bool *ret)
{
	if (!is_plain(n) || !(is_among(yaml_scalar(n), yes) || is_among(yaml_scalar(n), no)))
		return false;
	*ret = is_among(yaml_scalar(n), yes);
	return true;
}

static void put_scalar(struct buf *out, const yaml_node_t *n)
{
	struct str s = yaml_scalar(n);
	bool truth;

	if (yaml_is_null(n))
		buf_lit(out, "null");
	else if (is_plain(n) && is_number(s))
		buf_str_put(out, s);
	else if (yaml_truth(n, &truth))
		buf_str_put(out, truth ? STR("true") : STR("false"));
	else
		json_put_string(out, s);
}

static enum err_code put_json(struct yaml_doc *d, const yaml_node_t *n, size_t depth,
			      struct buf *out)
{
	enum err_code code = ERR_OK;

	if (++d->nodes > YAML_DOC_NODES || depth > YAML_DOC_DEPTH)
		return yaml_fault(d, n, "too much when its aliases are followed");
	if (n->type == YAML_SEQUENCE_NODE) {
		buf_char(out, '[');
		const yaml_node_item_t *item = n->data.sequence.items.start;
		for (; code == ERR_OK && item < n->data.sequence.items.top; item++) {
			if (item > n->data.sequence.items.start)
				buf_char(out, ',');
			code = put_json(d, yaml_document_get_node(&d->doc, *item), depth + 1, out);
		}
		buf_char(out, ']');
	} else if (n->type == YAML_MAPPING_NODE) {
		buf_char(out, '{');
		const yaml_node_pair_t *pair = n->data.mapping.pairs.start;
		for (; code == ERR_OK && pair < n->data.mapping.pairs.top; pair++) {
			const yaml_node_t *key = yaml_document_get_node(&d->doc, pair->key);
			if (key->type != YAML_SCALAR_NODE)
				return yaml_fault(d, key, "a key that is no text");
			if (pair > n->data.mapping.pairs.start)
				buf_char(out, ',');
			json_put_string(out, yaml_scalar(key));
			buf_char(out, ':');
			code = put_json(d, yaml_document_get_node(&d->doc, pair->value), depth + 1,
					out);
		}
		buf_char(out, '}');
	} else {
		put_scalar(out, n);
	}
	return code;
}

size_t yaml_items(const yaml_node_t *sequence)
{
	return (size_t)(sequence->data.sequence.items.top - sequence->data.sequence.items.start);
}

const yaml_node_t *yaml_item(struct yaml_doc *d, const yaml_node_t *sequence, size_t i)
{
	return yaml_document_get_node(&d->doc, sequence->data.sequence.items.start[i]);
}

enum err_code yaml_text(struct yaml_doc *d, const yaml_node_t *n, const char *what, struct str *ret)
{
	bool truth;

	if (yaml_look(d, n) != ERR_OK)
		return d->e->code;
	if (n->type != YAML_SCALAR_NODE)
		return yaml_fault(d, n, what);
	*ret = yaml_scalar(n);
	if (yaml_truth(n, &truth))
		*ret = truth ? STR("true") : STR("false");
	return ERR_OK;
}

enum err_code yaml_filter(struct yaml_doc *d, const yaml_node_t *n, struct buf *wire)
{
	static const struct json_options strict = { .reject_unknown = true };
	AUTO_BUF struct buf json = buf_init(wire->max);

	if (n->type != YAML_MAPPING_NODE)
		return yaml_fault(d, n, "a filter is a mapping");
	if (put_json(d, n, 0, &json) != ERR_OK)
		return d->e->code;
	if (json.failed)
		return err_set(d->e, ERR_NOMEM, "filters");
	if (json_read_message(buf_str(&json), &flow__flow_filter__descriptor, &strict, wire, NULL,
			      d->e) != ERR_OK)
		return err_in(d->e, "line %zu: filter", n->start_mark.line + 1);
	return ERR_OK;
}
