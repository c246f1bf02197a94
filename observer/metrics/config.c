#include "observer/metrics/config.h"

#include <ctype.h>

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/intern.h"
#include "observer/yaml/doc.h"

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
	struct yaml_doc doc;
	struct err *e;
};

/* @text collects the wire bytes of all, to tell a change. */
static enum err_code read_filters(struct reader *r, const yaml_node_t *list,
				  Flow__FlowFilter ***ret, size_t *ret_count, struct buf *text)
{
	if (!list)
		return ERR_OK;
	if (list->type != YAML_SEQUENCE_NODE)
		return yaml_fault(&r->doc, list, "filters are a list");
	*ret = arena_take(&r->c->arena, (yaml_items(list) + 1) * sizeof(Flow__FlowFilter *));
	if (!*ret)
		return err_set(r->e, ERR_NOMEM, "filters");
	for (size_t i = 0; i < yaml_items(list); i++) {
		AUTO_BUF struct buf wire = buf_init(METRICS_CONFIG_BYTES);
		if (yaml_filter(&r->doc, yaml_item(&r->doc, list, i), &wire) != ERR_OK)
			return r->e->code;
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

static enum err_code read_text(struct reader *r, const yaml_node_t *n, const char *what,
			       struct str *ret)
{
	struct str text;

	if (yaml_text(&r->doc, n, what, &text) != ERR_OK)
		return r->e->code;
	*ret = keep(r->c, text);
	return ret->p ? ERR_OK : err_set(r->e, ERR_NOMEM, "out of memory");
}

static enum err_code read_file_option(struct reader *r, const yaml_node_t *n,
				      struct metric_option *ret)
{
	if (yaml_look(&r->doc, n) != ERR_OK)
		return r->e->code;
	if (yaml_check_mapping(&r->doc, n, "a context option is a mapping of name and values") !=
	    ERR_OK)
		return r->e->code;
	const yaml_node_t *name = yaml_member(&r->doc, n, "name"),
			  *values = yaml_member(&r->doc, n, "values");
	*ret = (struct metric_option){ .name = STR("") };
	if (name && read_text(r, name, "the name of an option is a text", &ret->name) != ERR_OK)
		return r->e->code;
	if (!values)
		return ERR_OK;
	if (values->type != YAML_SEQUENCE_NODE)
		return yaml_fault(&r->doc, values, "values are a list");
	struct str *list = arena_take(&r->c->arena, (yaml_items(values) + 1) * sizeof *list);
	if (!list)
		return err_set(r->e, ERR_NOMEM, "out of memory");
	ret->values = list;
	for (size_t i = 0; i < yaml_items(values); i++)
		if (read_text(r, yaml_item(&r->doc, values, i), "a value is a text",
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
		return yaml_fault(&r->doc, list, "contextOptions are a list");
	struct metric_option *options =
		arena_take(&r->c->arena, (yaml_items(list) + 1) * sizeof *options);
	if (!options)
		return err_set(r->e, ERR_NOMEM, "out of memory");
	m->options = options;
	for (size_t i = 0; i < yaml_items(list); i++)
		if (read_file_option(r, yaml_item(&r->doc, list, i), &options[m->option_count++]) !=
		    ERR_OK)
			return r->e->code;
	return ERR_OK;
}

static enum err_code read_file_metric(struct reader *r, const yaml_node_t *n,
				      struct metric_config *m)
{
	AUTO_BUF struct buf filters = buf_init(METRICS_CONFIG_BYTES * 2);

	if (yaml_check_mapping(&r->doc, n, "a metric is a mapping") != ERR_OK)
		return r->e->code;
	const yaml_node_t *name = yaml_member(&r->doc, n, "name");
	if (!name)
		return yaml_fault(&r->doc, n, "a metric without a name");
	if (read_text(r, name, "the name of a metric is a text", &m->name) != ERR_OK ||
	    read_options(r, yaml_member(&r->doc, n, "contextOptions"), m) != ERR_OK ||
	    read_filters(r, yaml_member(&r->doc, n, "includeFilters"), &m->include,
			 &m->include_count, &filters) != ERR_OK)
		return r->e->code;
	buf_char(&filters, '\n');
	if (read_filters(r, yaml_member(&r->doc, n, "excludeFilters"), &m->exclude,
			 &m->exclude_count, &filters) != ERR_OK)
		return r->e->code;
	m->filters_text = keep(r->c, buf_str(&filters));
	if (filters.failed || !m->filters_text.p || !put_options_text(r->c, m))
		return err_set(r->e, ERR_NOMEM, "out of memory");
	if (!m->name.len)
		return yaml_fault(&r->doc, n, "a metric without a name");
	for (const struct metric_config *other = r->c->metrics; other < m; other++)
		if (str_eq(other->name, m->name))
			return err_set(r->e, ERR_PARSE,
				       "line %zu: duplicate metric specified: %.*s",
				       n->start_mark.line + 1, STR_FMT(m->name));
	return ERR_OK;
}

static enum err_code read_document(struct reader *r)
{
	const yaml_node_t *root = yaml_doc_root(&r->doc);

	if (!root)
		return ERR_OK;
	if (yaml_check_mapping(&r->doc, root, "expected a mapping with 'metrics'") != ERR_OK)
		return r->e->code;
	const yaml_node_t *list = yaml_member(&r->doc, root, "metrics");
	if (!list)
		return ERR_OK;
	if (list->type != YAML_SEQUENCE_NODE)
		return yaml_fault(&r->doc, list, "metrics are a list");
	if (yaml_items(list) > METRICS_CONFIG_MAX)
		return yaml_fault(&r->doc, list, "too many metrics");
	for (size_t i = 0; i < yaml_items(list); i++)
		if (read_file_metric(r, yaml_item(&r->doc, list, i),
				     &r->c->metrics[r->c->pub.count++]) != ERR_OK)
			return r->e->code;
	return ERR_OK;
}

enum err_code metrics_config_yaml(struct str text, struct metrics_config **ret, struct err *e)
{
	struct err mine;
	struct config *c = config_new();
	AUTO(metrics_config_free) struct metrics_config *guard = c ? &c->pub : NULL;

	e = e ? e : &mine;
	if (!c)
		return err_set(e, ERR_NOMEM, "configuration of metrics");
	struct reader r = { .c = c, .e = e };
	if (yaml_doc_load(&r.doc, text, METRICS_CONFIG_BYTES, e) != ERR_OK)
		return e->code;
	enum err_code code = read_document(&r);
	yaml_doc_done(&r.doc);
	if (code == ERR_OK)
		*ret = TAKE(guard);
	return code;
}
