#include "observer/export/config.h"

#include "base/buf.h"
#include "flow/flow.pb-c.h"
#include "flow/intern.h"
#include "flow/json.h"
#include "observer/yaml/doc.h"

#define MIB (UINT64_C(1) << 20)

static const struct export_words option_words = { "--export-file-path", "--export-allowlist",
						  "--export-denylist", "--export-fieldmask",
						  "--export-fieldaggregate" };
static const struct export_words file_words = { "filePath", "includeFilters", "excludeFilters",
						"fieldMask", "fieldAggregate" };

/* What a caller sees, and the memory behind it. */
struct list {
	struct export_specs pub; /* first */
	struct arena arena;
	struct export_spec *specs;
};

static struct list *list_new(void)
{
	struct list *l = calloc(1, sizeof *l);

	if (l)
		l->specs = calloc(EXPORT_SPECS, sizeof *l->specs);
	if (l && !l->specs) {
		free(l);
		return NULL;
	}
	if (l)
		l->pub.specs = l->specs;
	return l;
}

static void free_filters(Flow__FlowFilter **filters, size_t n)
{
	for (size_t i = 0; i < n; i++)
		protobuf_c_message_free_unpacked(&filters[i]->base, NULL);
}

void export_specs_free(struct export_specs *pub)
{
	struct list *l = (struct list *)pub;

	if (!l)
		return;
	for (size_t i = 0; i < EXPORT_SPECS; i++) {
		free_filters(l->specs[i].include, l->specs[i].include_count);
		free_filters(l->specs[i].exclude, l->specs[i].exclude_count);
	}
	arena_reset(&l->arena);
	free(l->specs);
	free(l);
}

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NOMEM, "configuration of exporters");
}

static const char *keep(struct list *l, struct str s)
{
	char *to = arena_take(&l->arena, s.len + 1);

	if (!to)
		return NULL;
	memcpy(to, s.p, s.len);
	to[s.len] = 0;
	return to;
}

static enum err_code add_filter(struct str wire, Flow__FlowFilter **list, size_t *count,
				struct err *e)
{
	Flow__FlowFilter *f = flow__flow_filter__unpack(NULL, wire.len, (const uint8_t *)wire.p);

	if (!f)
		return no_memory(e);
	list[(*count)++] = f;
	return ERR_OK;
}

/* --- the text of a spec: equal where the meaning is ------------------------------------------- */

static void put_text(struct buf *b, struct str s)
{
	buf_u64(b, s.len);
	buf_char(b, ':');
	buf_str_put(b, s);
}

static void put_texts(struct buf *b, const char *const *list, size_t n)
{
	buf_u64(b, n);
	for (size_t i = 0; i < n; i++)
		put_text(b, str_of(list[i]));
}

static void put_filters(struct buf *b, Flow__FlowFilter *const *list, size_t n)
{
	buf_u64(b, n);
	for (size_t i = 0; i < n; i++) {
		size_t bytes = flow__flow_filter__get_packed_size(list[i]);
		buf_u64(b, bytes);
		buf_char(b, ':');
		char *to = buf_reserve(b, bytes);
		if (to)
			b->len += flow__flow_filter__pack(list[i], (uint8_t *)to);
	}
}

static enum err_code put_spec_text(struct list *l, struct export_spec *s, struct err *e)
{
	AUTO_BUF struct buf b = buf_init(4 * EXPORT_CONFIG_BYTES);

	put_text(&b, str_of(s->name));
	put_text(&b, str_of(s->path));
	buf_printf(&b, "%llu,%u,%d,%llu,", (unsigned long long)s->max_bytes, s->max_backups,
		   s->compress, (unsigned long long)s->interval_ns);
	if (s->has_end)
		timestamp_put(&b, s->end);
	put_texts(&b, s->mask, s->mask_count);
	put_texts(&b, s->aggregate, s->aggregate_count);
	put_filters(&b, s->include, s->include_count);
	put_filters(&b, s->exclude, s->exclude_count);
	const char *text = b.failed ? NULL : keep(l, buf_str(&b));
	if (!text)
		return no_memory(e);
	s->text = str_n(text, b.len);
	return ERR_OK;
}

/* --- options ---------------------------------------------------------------------------------- */

/* Objects one behind the other, as many as a text has. */
static enum err_code read_json_filters(struct list *l, const char *const *texts, size_t n,
				       const char *option, Flow__FlowFilter ***ret, size_t *count,
				       struct err *e)
{
	static const struct json_options strict = { .reject_unknown = true };
	size_t most = 0;

	for (size_t i = 0; i < n; i++)
		most += strlen(texts[i]) / 2; /* "{}" is the shortest */
	*ret = arena_take(&l->arena, (most + 1) * sizeof **ret);
	if (!*ret)
		return no_memory(e);
	for (size_t i = 0; i < n; i++) {
		struct str rest = str_trim(str_of(texts[i]));
		if (!rest.len)
			return err_set(e, ERR_INVALID, "%s is empty: a flow filter is needed",
				       option);
		for (; rest.len; rest = str_trim(rest)) {
			AUTO_BUF struct buf wire = buf_init(EXPORT_CONFIG_BYTES);
			size_t used;
			if (json_read_prefix(rest, &flow__flow_filter__descriptor, &strict, &wire,
					     &used, e) != ERR_OK)
				return err_in(e, "%s '%s'", option, EXCERPT(str_of(texts[i])));
			if (add_filter(buf_str(&wire), *ret, count, e) != ERR_OK)
				return e->code;
			rest = str_from(rest, used);
		}
	}
	return ERR_OK;
}

/* Parts at commas and blanks. */
static enum err_code read_paths(struct list *l, const char *text, const char *option,
				const char ***ret, size_t *count, struct err *e)
{
	size_t len = strlen(text ? text : "");
	const char *at = text;

	*ret = arena_take(&l->arena, (len / 2 + 1) * sizeof **ret);
	if (!*ret)
		return no_memory(e);
	while (at && *(at += strspn(at, ", \t\r\n"))) {
		size_t n = strcspn(at, ", \t\r\n");
		(*ret)[*count] = keep(l, str_n(at, n));
		if (!(*ret)[(*count)++])
			return no_memory(e);
		at += n;
	}
	if (text && !*count)
		return err_set(e, ERR_INVALID, "%s is empty: fields of a flow are needed", option);
	return ERR_OK;
}

enum err_code export_specs_options(const struct export_options *o, struct export_specs **ret,
				   struct err *e)
{
	struct err mine;
	struct list *l = list_new();
	AUTO(export_specs_free) struct export_specs *guard = l ? &l->pub : NULL;

	e = e ? e : &mine;
	if (!l)
		return no_memory(e);
	struct export_spec *s = &l->specs[0];
	*s = (struct export_spec){ .name = "",
				   .path = keep(l, str_of(o->path)),
				   .max_bytes = o->max_size_mb * MIB,
				   .max_backups = o->max_backups,
				   .compress = o->compress,
				   .interval_ns = o->interval_ns,
				   .words = &option_words };
	if (!s->path)
		return no_memory(e);
	if (!*s->path)
		return err_set(e, ERR_INVALID, "%s is empty: a file, or stdout, is needed",
			       option_words.path);
	enum err_code code = read_json_filters(l, o->allow, o->allow_count, option_words.include,
					       &s->include, &s->include_count, e);
	if (code == ERR_OK)
		code = read_json_filters(l, o->deny, o->deny_count, option_words.exclude,
					 &s->exclude, &s->exclude_count, e);
	if (code == ERR_OK)
		code = read_paths(l, o->mask, option_words.mask, &s->mask, &s->mask_count, e);
	if (code == ERR_OK)
		code = read_paths(l, o->aggregate, option_words.aggregate, &s->aggregate,
				  &s->aggregate_count, e);
	if (code == ERR_OK)
		code = put_spec_text(l, s, e);
	if (code != ERR_OK)
		return code;
	l->pub.count = 1;
	*ret = TAKE(guard);
	return ERR_OK;
}

/* --- the file --------------------------------------------------------------------------------- */

struct reader {
	struct list *l;
	struct yaml_doc doc;
	struct err *e;
};

static enum err_code bad(struct reader *r, const yaml_node_t *n, const char *key, const char *want)
{
	return err_set(r->e, ERR_PARSE, "line %zu: %s: expected %s", n->start_mark.line + 1, key,
		       want);
}

/* A text of at least one byte. */
static enum err_code read_word(struct reader *r, const yaml_node_t *n, const char *key,
			       const char **ret)
{
	struct str s;

	if (yaml_text(&r->doc, n, key, &s) != ERR_OK || !s.len || memchr(s.p, 0, s.len))
		return bad(r, n, key, "a text");
	*ret = keep(r->l, s);
	return *ret ? ERR_OK : no_memory(r->e);
}

static enum err_code read_needed(struct reader *r, const yaml_node_t *map, const char *key,
				 const char **ret)
{
	const yaml_node_t *n = yaml_member(&r->doc, map, key);

	if (!n)
		return err_set(r->e, ERR_PARSE, "line %zu: an entry without %s",
			       map->start_mark.line + 1, key);
	return read_word(r, n, key, ret);
}

/* 0, or no number: what the caller has put there stays. */
static enum err_code read_number(struct reader *r, const yaml_node_t *map, const char *key,
				 uint64_t max, uint64_t *io)
{
	const yaml_node_t *n = yaml_member(&r->doc, map, key);
	uint64_t v;

	if (!n)
		return ERR_OK;
	if (n->type != YAML_SCALAR_NODE || n->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
	    !parse_u64(yaml_scalar(n), max, &v))
		return err_set(r->e, ERR_PARSE, "line %zu: %s: expected a number from 0 to %llu",
			       n->start_mark.line + 1, key, (unsigned long long)max);
	*io = v ? v : *io;
	return ERR_OK;
}

static enum err_code read_list(struct reader *r, const yaml_node_t *map, const char *key,
			       const char ***ret, size_t *count)
{
	const yaml_node_t *list = yaml_member(&r->doc, map, key);

	if (!list)
		return ERR_OK;
	if (list->type != YAML_SEQUENCE_NODE)
		return bad(r, list, key, "a list of fields");
	*ret = arena_take(&r->l->arena, (yaml_items(list) + 1) * sizeof **ret);
	if (!*ret)
		return no_memory(r->e);
	for (size_t i = 0; i < yaml_items(list); i++)
		if (read_word(r, yaml_item(&r->doc, list, i), key, &(*ret)[(*count)++]) != ERR_OK)
			return r->e->code;
	return ERR_OK;
}

static enum err_code read_filters(struct reader *r, const yaml_node_t *map, const char *key,
				  Flow__FlowFilter ***ret, size_t *count)
{
	const yaml_node_t *list = yaml_member(&r->doc, map, key);

	if (!list)
		return ERR_OK;
	if (list->type != YAML_SEQUENCE_NODE)
		return bad(r, list, key, "a list of filters");
	*ret = arena_take(&r->l->arena, (yaml_items(list) + 1) * sizeof **ret);
	if (!*ret)
		return no_memory(r->e);
	for (size_t i = 0; i < yaml_items(list); i++) {
		AUTO_BUF struct buf wire = buf_init(EXPORT_CONFIG_BYTES);
		if (yaml_filter(&r->doc, yaml_item(&r->doc, list, i), &wire) != ERR_OK ||
		    add_filter(buf_str(&wire), *ret, count, r->e) != ERR_OK)
			return r->e->code;
	}
	return ERR_OK;
}

static enum err_code read_size(struct reader *r, const yaml_node_t *map, struct export_spec *s)
{
	uint64_t mb = EXPORT_DEFAULT_SIZE_MB, backups = EXPORT_DEFAULT_BACKUPS;
	const yaml_node_t *compress = yaml_member(&r->doc, map, "fileCompress");

	if (read_number(r, map, "fileMaxSizeMb", EXPORT_MAX_SIZE_MB, &mb) != ERR_OK ||
	    read_number(r, map, "fileMaxBackups", EXPORT_MAX_BACKUPS, &backups) != ERR_OK)
		return r->e->code;
	s->max_bytes = mb * MIB;
	s->max_backups = (uint32_t)backups;
	if (compress && !yaml_truth(compress, &s->compress))
		return bad(r, compress, "fileCompress", "true or false");
	return ERR_OK;
}

static enum err_code read_times(struct reader *r, const yaml_node_t *map, struct export_spec *s)
{
	const yaml_node_t *interval = yaml_member(&r->doc, map, "aggregationInterval");
	const yaml_node_t *end = yaml_member(&r->doc, map, "end");
	const char *text;
	int64_t ns;

	if (interval) {
		if (read_word(r, interval, "aggregationInterval", &text) != ERR_OK)
			return r->e->code;
		if (!duration_parse(str_of(text), &ns) || ns < 0 ||
		    (ns && (uint64_t)ns < EXPORT_INTERVAL_MIN_NS))
			return bad(r, interval, "aggregationInterval",
				   "a time from 100ms on, such as 30s, or 0");
		s->interval_ns = (uint64_t)ns;
	}
	if (!end)
		return ERR_OK;
	if (read_word(r, end, "end", &text) != ERR_OK)
		return r->e->code;
	s->has_end = timestamp_parse(str_of(text), &s->end);
	return s->has_end ? ERR_OK : bad(r, end, "end", "a time such as 2026-12-31T23:00:00Z");
}

static enum err_code check_unique(struct reader *r, const yaml_node_t *map,
				  const struct export_spec *s)
{
	for (const struct export_spec *other = r->l->specs; other < s; other++) {
		bool same_name = strcmp(other->name, s->name) == 0;
		if (same_name || strcmp(other->path, s->path) == 0)
			return err_set(r->e, ERR_PARSE, "line %zu: two entries have the %s '%s'",
				       map->start_mark.line + 1, same_name ? "name" : "filePath",
				       EXCERPT(str_of(same_name ? s->name : s->path)));
	}
	return ERR_OK;
}

static enum err_code read_entry(struct reader *r, const yaml_node_t *map, struct export_spec *s)
{
	static const char *const keys[] = { "name",
					    "filePath",
					    "fieldMask",
					    "fieldAggregate",
					    "includeFilters",
					    "excludeFilters",
					    "fileMaxSizeMb",
					    "fileMaxBackups",
					    "fileCompress",
					    "end",
					    "aggregationInterval",
					    NULL };

	s->words = &file_words;
	if (yaml_look(&r->doc, map) != ERR_OK ||
	    yaml_check_mapping(&r->doc, map, "an entry of flowLogs is a mapping") != ERR_OK ||
	    yaml_check_keys(&r->doc, map, keys) != ERR_OK ||
	    read_needed(r, map, "name", &s->name) != ERR_OK ||
	    read_needed(r, map, "filePath", &s->path) != ERR_OK ||
	    check_unique(r, map, s) != ERR_OK ||
	    read_list(r, map, "fieldMask", &s->mask, &s->mask_count) != ERR_OK ||
	    read_list(r, map, "fieldAggregate", &s->aggregate, &s->aggregate_count) != ERR_OK ||
	    read_filters(r, map, "includeFilters", &s->include, &s->include_count) != ERR_OK ||
	    read_filters(r, map, "excludeFilters", &s->exclude, &s->exclude_count) != ERR_OK ||
	    read_size(r, map, s) != ERR_OK || read_times(r, map, s) != ERR_OK)
		return r->e->code;
	return put_spec_text(r->l, s, r->e);
}

static enum err_code read_document(struct reader *r)
{
	static const char *const keys[] = { "flowLogs", NULL };
	const yaml_node_t *root = yaml_doc_root(&r->doc);

	if (!root)
		return ERR_OK;
	if (yaml_check_mapping(&r->doc, root, "expected a mapping with 'flowLogs'") != ERR_OK ||
	    yaml_check_keys(&r->doc, root, keys) != ERR_OK)
		return r->e->code;
	const yaml_node_t *list = yaml_member(&r->doc, root, "flowLogs");
	if (!list)
		return ERR_OK;
	if (list->type != YAML_SEQUENCE_NODE)
		return yaml_fault(&r->doc, list, "flowLogs are a list");
	if (yaml_items(list) > EXPORT_SPECS)
		return yaml_fault(&r->doc, list, "more than 64 flowLogs");
	_Static_assert(EXPORT_SPECS == 64, "as the sentence says");
	for (size_t i = 0; i < yaml_items(list); i++)
		if (read_entry(r, yaml_item(&r->doc, list, i), &r->l->specs[r->l->pub.count++]) !=
		    ERR_OK)
			return r->e->code;
	return ERR_OK;
}

enum err_code export_specs_yaml(struct str text, struct export_specs **ret, struct err *e)
{
	struct err mine;
	struct list *l = list_new();
	AUTO(export_specs_free) struct export_specs *guard = l ? &l->pub : NULL;

	e = e ? e : &mine;
	if (!l)
		return no_memory(e);
	struct reader r = { .l = l, .e = e };
	if (yaml_doc_load(&r.doc, text, EXPORT_CONFIG_BYTES, e) != ERR_OK)
		return e->code;
	enum err_code code = read_document(&r);
	yaml_doc_done(&r.doc);
	if (code == ERR_OK)
		*ret = TAKE(guard);
	return code;
}
