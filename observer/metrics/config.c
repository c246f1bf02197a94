#include "observer/metrics/config.h"

#include <ctype.h>
#include <yaml.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/intern.h"
#include "flow/json.h"

enum { YAML_NODES_MAX = 100000, YAML_DEPTH_MAX = 64 };

/* What a caller sees, and the memory behind it. */
struct config {
	struct metrics_config pub; /* first */
	struct arena arena;
	struct metric_config *metrics;
};

static struct config *config_new(void)
{
	struct config *c = calloc(1, sizeof *c);

	if (c) {
		c->metrics = calloc(METRICS_CONFIG_MAX, sizeof *c->metrics);
		c->pub.metrics = c->metrics;
	}
	if (c && !c->metrics) {
		free(c);
		return NULL;
	}
	return c;
}

static void free_filters(Flow__FlowFilter **filters, size_t n)
{
	for (size_t i = 0; i < n; i++)
		protobuf_c_message_free_unpacked(&filters[i]->base, NULL);
}

void metrics_config_free(struct metrics_config *pub)
{
	struct config *c = (struct config *)pub;

	if (!c)
		return;
	for (size_t i = 0; i < METRICS_CONFIG_MAX; i++) {
		free_filters(c->metrics[i].include, c->metrics[i].include_count);
		free_filters(c->metrics[i].exclude, c->metrics[i].exclude_count);
	}
	arena_reset(&c->arena);
	free(c->metrics);
	free(c);
}

static struct str keep(struct config *c, struct str s)
{
	char *to = arena_take(&c->arena, s.len + 1);

	if (!to)
		return (struct str){ NULL, 0 };
	memcpy(to, s.p, s.len);
	return str_n(to, s.len);
}

/* One line for an option list, so that two are equal when their texts are. */
static bool put_options_text(struct config *c, struct metric_config *m)
{
	AUTO_BUF struct buf text = buf_init(METRICS_CONFIG_BYTES * 2);

	for (size_t i = 0; i < m->option_count; i++) {
		buf_str_put(&text, m->options[i].name);
		for (size_t j = 0; j < m->options[i].value_count; j++) {
			buf_char(&text, '\t');
			buf_str_put(&text, m->options[i].values[j]);
		}
		buf_char(&text, '\n');
	}
	m->options_text = keep(c, buf_str(&text));
	return !text.failed && m->options_text.p;
}

/* --- the list ----------------------------------------------------------------------------- */

/* The next item that is not empty. */
static bool next_item(struct str *rest, char sep, struct str *ret)
{
	while (str_split(rest, sep, ret))
		if (ret->len)
			return true;
	return false;
}

static size_t count_items(struct str list, char sep)
{
	struct str item;
	size_t n = 0;

	while (next_item(&list, sep, &item))
		n++;
	return n;
}

/* Values are split at '|' where there is one, else at ','. No '=' at all is one empty value. */
static bool read_option(struct config *c, struct str text, struct metric_option *ret)
{
	size_t equals = str_find(text, '=');
	struct str values = str_from(text, equals + 1), item;
	char sep = str_find(values, '|') < values.len ? '|' : ',';
	bool bare = equals == text.len;
	size_t n = bare ? 1 : count_items(values, sep);
	struct str *list = arena_take(&c->arena, (n + 1) * sizeof *list);

	*ret = (struct metric_option){ keep(c, str_upto(text, equals)), list, n };
	if (!list || !ret->name.p)
		return false;
	if (bare)
		list[0] = STR("");
	for (size_t i = 0; !bare && next_item(&values, sep, &item); i++) {
		list[i] = keep(c, item);
		if (!list[i].p)
			return false;
	}
	return true;
}

static bool read_metric(struct config *c, struct str text, struct metric_config *m)
{
	size_t colon = str_find(text, ':');
	struct str rest = str_from(text, colon + 1), item;
	size_t n = count_items(rest, ';');
	struct metric_option *options = arena_take(&c->arena, (n + 1) * sizeof *options);

	m->name = keep(c, str_upto(text, colon));
	if (!options || !m->name.p)
		return false;
	m->options = options;
	m->filters_text = STR("");
	while (next_item(&rest, ';', &item))
		if (!read_option(c, item, &options[m->option_count++]))
			return false;
	return put_options_text(c, m);
}

enum err_code metrics_config_list(struct str list, struct metrics_config **ret, struct err *e)
{
	struct config *c = config_new();
	AUTO(metrics_config_free) struct metrics_config *guard = c ? &c->pub : NULL;

	if (!c)
		return err_set(e, ERR_NOMEM, "list of metrics");
	for (size_t at = 0; at < list.len;) {
		size_t end = at;
		while (end < list.len && !isspace((unsigned char)list.p[end]))
			end++;
		struct str word = str_n(list.p + at, end - at);
		at = end + 1;
		if (!word.len)
			continue;
		if (c->pub.count == METRICS_CONFIG_MAX)
			return err_set(e, ERR_INVALID, "more than %d metrics", METRICS_CONFIG_MAX);
		if (!read_metric(c, word, &c->metrics[c->pub.count++]))
			return err_set(e, ERR_NOMEM, "list of metrics");
	}
	*ret = TAKE(guard);
	return ERR_OK;
}

/* --- the file ----------------------------------------------------------------------------- */

struct reader {
	struct config *c;
	yaml_document_t *doc;
	size_t nodes; /* looked at, aliases followed */
	struct err *e;
};

static struct str scalar_of(const yaml_node_t *n)
{
	return str_n(n->data.scalar.value, n->data.scalar.length);
}

static enum err_code fault(const struct reader *r, const yaml_node_t *at, const char *what)
{
	return err_set(r->e, ERR_PARSE, "line %zu: %s", at->start_mark.line + 1, what);
}

static bool is_plain(const yaml_node_t *n)
{
	return n->type == YAML_SCALAR_NODE && n->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool is_null(const yaml_node_t *n)
{
	struct str s = n->type == YAML_SCALAR_NODE ? scalar_of(n) : STR("x");

	return is_plain(n) && (!s.len || str_is(s, "~") || str_eq_nocase(s, STR("null")));
}

/* The value of @key in a mapping, NULL if there is none. Keys are found in any case, as Go's JSON
 * does; of a key that is there twice the last counts. */
static const yaml_node_t *member(const struct reader *r, const yaml_node_t *map, const char *key)
{
	const yaml_node_pair_t *pair = map->data.mapping.pairs.top;

	while (pair-- > map->data.mapping.pairs.start) {
		const yaml_node_t *k = yaml_document_get_node(r->doc, pair->key);
		const yaml_node_t *v = yaml_document_get_node(r->doc, pair->value);
		if (k->type == YAML_SCALAR_NODE && str_eq_nocase(scalar_of(k), str_of(key)))
			return is_null(v) ? NULL : v;
	}
	return NULL;
}

/* A mapping without YAML's merge key: passed over as one that is not known, it would take labels
 * with it. */
static enum err_code check_mapping(const struct reader *r, const yaml_node_t *n, const char *what)
{
	if (n->type != YAML_MAPPING_NODE)
		return fault(r, n, what);
	const yaml_node_pair_t *pair = n->data.mapping.pairs.start;
	for (; pair < n->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = yaml_document_get_node(r->doc, pair->key);
		if (is_plain(key) && str_is(scalar_of(key), "<<"))
			return fault(r, key, "merge keys (<<) are not understood");
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

static void put_scalar(struct buf *out, const yaml_node_t *n)
{
	struct str s = scalar_of(n);

	if (is_null(n))
		buf_lit(out, "null");
	else if (is_plain(n) && is_number(s))
		buf_str_put(out, s);
	else if (is_plain(n) && is_among(s, yes))
		buf_lit(out, "true");
	else if (is_plain(n) && is_among(s, no))
		buf_lit(out, "false");
	else
		json_put_string(out, s);
}

static enum err_code put_json(struct reader *r, const yaml_node_t *n, size_t depth, struct buf *out)
{
	enum err_code code = ERR_OK;

	if (++r->nodes > YAML_NODES_MAX || depth > YAML_DEPTH_MAX)
		return fault(r, n, "too much when its aliases are followed");
	if (n->type == YAML_SEQUENCE_NODE) {
		buf_char(out, '[');
		const yaml_node_item_t *item = n->data.sequence.items.start;
		for (; code == ERR_OK && item < n->data.sequence.items.top; item++) {
			if (item > n->data.sequence.items.start)
				buf_char(out, ',');
			code = put_json(r, yaml_document_get_node(r->doc, *item), depth + 1, out);
		}
		buf_char(out, ']');
	} else if (n->type == YAML_MAPPING_NODE) {
		buf_char(out, '{');
		const yaml_node_pair_t *pair = n->data.mapping.pairs.start;
		for (; code == ERR_OK && pair < n->data.mapping.pairs.top; pair++) {
			const yaml_node_t *key = yaml_document_get_node(r->doc, pair->key);
			if (key->type != YAML_SCALAR_NODE)
				return fault(r, key, "a key that is no text");
			if (pair > n->data.mapping.pairs.start)
				buf_char(out, ',');
			json_put_string(out, scalar_of(key));
			buf_char(out, ':');
			code = put_json(r, yaml_document_get_node(r->doc, pair->value), depth + 1,
					out);
		}
		buf_char(out, '}');
	} else {
		put_scalar(out, n);
	}
	return code;
}

static size_t items_of(const yaml_node_t *sequence)
{
	return (size_t)(sequence->data.sequence.items.top - sequence->data.sequence.items.start);
}

static const yaml_node_t *item_of(const struct reader *r, const yaml_node_t *sequence, size_t i)
{
	return yaml_document_get_node(r->doc, sequence->data.sequence.items.start[i]);
}

/* @text collects the wire bytes of all, to tell a change. */
static enum err_code read_filters(struct reader *r, const yaml_node_t *list,
				  Flow__FlowFilter ***ret, size_t *ret_count, struct buf *text)
{
	/* a misspelt filter would count everything */
	static const struct json_options strict = { .reject_unknown = true };

	if (!list)
		return ERR_OK;
	if (list->type != YAML_SEQUENCE_NODE)
		return fault(r, list, "filters are a list");
	*ret = arena_take(&r->c->arena, (items_of(list) + 1) * sizeof(Flow__FlowFilter *));
	if (!*ret)
		return err_set(r->e, ERR_NOMEM, "filters");
	for (size_t i = 0; i < items_of(list); i++) {
		AUTO_BUF struct buf json = buf_init(METRICS_CONFIG_BYTES);
		AUTO_BUF struct buf wire = buf_init(METRICS_CONFIG_BYTES);
		const yaml_node_t *item = item_of(r, list, i);
		if (item->type != YAML_MAPPING_NODE)
			return fault(r, item, "a filter is a mapping");
		if (put_json(r, item, 0, &json) != ERR_OK)
			return r->e->code;
		if (json_read_message(buf_str(&json), &flow__flow_filter__descriptor, &strict,
				      &wire, NULL, r->e) != ERR_OK)
			return err_in(r->e, "line %zu: filter", item->start_mark.line + 1);
		Flow__FlowFilter *f = flow__flow_filter__unpack(NULL, wire.len,
								(const uint8_t *)buf_str(&wire).p);
		if (!f)
			return err_set(r->e, ERR_NOMEM, "filters");
		(*ret)[(*ret_count)++] = f;
		buf_u64(text, wire.len);
		buf_char(text, ':');
		buf_str_put(text, buf_str(&wire));
	}
	return ERR_OK;
}

/* Where a text is wanted, a number or a truth is its text: [yes] is "true". */
static enum err_code read_text(struct reader *r, const yaml_node_t *n, const char *what,
			       struct str *ret)
{
	if (++r->nodes > YAML_NODES_MAX)
		return fault(r, n, "too much when its aliases are followed");
	if (n->type != YAML_SCALAR_NODE)
		return fault(r, n, what);
	struct str text = scalar_of(n);
	if (is_plain(n) && (is_among(text, yes) || is_among(text, no)))
		text = is_among(text, yes) ? STR("true") : STR("false");
	*ret = keep(r->c, text);
	return ret->p ? ERR_OK : err_set(r->e, ERR_NOMEM, "out of memory");
}

static enum err_code read_file_option(struct reader *r, const yaml_node_t *n,
				      struct metric_option *ret)
{
	if (++r->nodes > YAML_NODES_MAX)
		return fault(r, n, "too much when its aliases are followed");
	if (check_mapping(r, n, "a context option is a mapping of name and values") != ERR_OK)
		return r->e->code;
	const yaml_node_t *name = member(r, n, "name"), *values = member(r, n, "values");
	*ret = (struct metric_option){ .name = STR("") };
	if (name && read_text(r, name, "the name of an option is a text", &ret->name) != ERR_OK)
		return r->e->code;
	if (!values)
		return ERR_OK;
	if (values->type != YAML_SEQUENCE_NODE)
		return fault(r, values, "values are a list");
	struct str *list = arena_take(&r->c->arena, (items_of(values) + 1) * sizeof *list);
	if (!list)
		return err_set(r->e, ERR_NOMEM, "out of memory");
	ret->values = list;
	for (size_t i = 0; i < items_of(values); i++)
		if (read_text(r, item_of(r, values, i), "a value is a text",
			      &list[ret->value_count++]) != ERR_OK)
			return r->e->code;
	return ERR_OK;
}

static enum err_code read_options(struct reader *r, const yaml_node_t *list,
				  struct metric_config *m)
{
	if (!list)
		return ERR_OK;
	if (list->type != YAML_SEQUENCE_NODE)
		return fault(r, list, "contextOptions are a list");
	struct metric_option *options =
		arena_take(&r->c->arena, (items_of(list) + 1) * sizeof *options);
	if (!options)
		return err_set(r->e, ERR_NOMEM, "out of memory");
	m->options = options;
	for (size_t i = 0; i < items_of(list); i++)
		if (read_file_option(r, item_of(r, list, i), &options[m->option_count++]) != ERR_OK)
			return r->e->code;
	return ERR_OK;
}

static enum err_code read_file_metric(struct reader *r, const yaml_node_t *n,
				      struct metric_config *m)
{
	AUTO_BUF struct buf filters = buf_init(METRICS_CONFIG_BYTES * 2);

	if (check_mapping(r, n, "a metric is a mapping") != ERR_OK)
		return r->e->code;
	const yaml_node_t *name = member(r, n, "name");
	if (!name)
		return fault(r, n, "a metric without a name");
	if (read_text(r, name, "the name of a metric is a text", &m->name) != ERR_OK ||
	    read_options(r, member(r, n, "contextOptions"), m) != ERR_OK ||
	    read_filters(r, member(r, n, "includeFilters"), &m->include, &m->include_count,
			 &filters) != ERR_OK)
		return r->e->code;
	buf_char(&filters, '\n');
	if (read_filters(r, member(r, n, "excludeFilters"), &m->exclude, &m->exclude_count,
			 &filters) != ERR_OK)
		return r->e->code;
	m->filters_text = keep(r->c, buf_str(&filters));
	if (filters.failed || !m->filters_text.p || !put_options_text(r->c, m))
		return err_set(r->e, ERR_NOMEM, "out of memory");
	if (!m->name.len)
		return fault(r, n, "a metric without a name");
	for (const struct metric_config *other = r->c->metrics; other < m; other++)
		if (str_eq(other->name, m->name))
			return err_set(r->e, ERR_PARSE,
				       "line %zu: duplicate metric specified: %.*s",
				       n->start_mark.line + 1, STR_FMT(m->name));
	return ERR_OK;
}

static enum err_code read_document(struct reader *r)
{
	const yaml_node_t *root = yaml_document_get_root_node(r->doc);

	if (!root || is_null(root))
		return ERR_OK;
	if (check_mapping(r, root, "expected a mapping with 'metrics'") != ERR_OK)
		return r->e->code;
	const yaml_node_t *list = member(r, root, "metrics");
	if (!list)
		return ERR_OK;
	if (list->type != YAML_SEQUENCE_NODE)
		return fault(r, list, "metrics are a list");
	if (items_of(list) > METRICS_CONFIG_MAX)
		return fault(r, list, "too many metrics");
	for (size_t i = 0; i < items_of(list); i++)
		if (read_file_metric(r, item_of(r, list, i), &r->c->metrics[r->c->pub.count++]) !=
		    ERR_OK)
			return r->e->code;
	return ERR_OK;
}

enum err_code metrics_config_yaml(struct str text, struct metrics_config **ret, struct err *e)
{
	struct err mine;
	struct config *c = config_new();
	AUTO(metrics_config_free) struct metrics_config *guard = c ? &c->pub : NULL;
	yaml_parser_t parser;
	yaml_document_t doc;

	e = e ? e : &mine;
	if (text.len > METRICS_CONFIG_BYTES)
		return err_set(e, ERR_INVALID, "larger than %d bytes", METRICS_CONFIG_BYTES);
	if (!c || !yaml_parser_initialize(&parser))
		return err_set(e, ERR_NOMEM, "configuration of metrics");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text.p, text.len);
	if (!yaml_parser_load(&parser, &doc)) {
		(void)err_set(e, ERR_PARSE, "line %zu: %s", parser.problem_mark.line + 1,
			      parser.problem ? parser.problem : "no YAML");
		yaml_parser_delete(&parser);
		return e->code;
	}
	struct reader r = { .c = c, .doc = &doc, .e = e };
	enum err_code code = read_document(&r);
	yaml_document_delete(&doc);
	yaml_parser_delete(&parser);
	if (code == ERR_OK)
		*ret = TAKE(guard);
	return code;
}
