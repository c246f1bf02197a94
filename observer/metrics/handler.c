#include "observer/metrics/handler.h"

#include <ctype.h>

#include "filter/filter.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"

enum {
	CACHE_FIRST = 64,
	CACHE_MAX = 1 << 17, /* entries: a few for each series of the usual budget */
	ENTRY_HEAD = 2,      /* words before the key: serial, series */
};

/* --- the layer-7 part --------------------------------------------------------------------- */

static void read_l7(struct str message, struct l7_part *l7)
{
	struct wire_reader r = wire_reader_of(message);

	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.type == WIRE_VARINT && x.number == 1)
			l7->type = (uint32_t)x.value;
		else if (x.type == WIRE_VARINT && x.number == 2)
			l7->latency_ns = x.value;
		if (x.type != WIRE_LEN || x.number < 100 || x.number > 102)
			continue;
		l7->kind = (enum l7_record)(x.number - 100 + L7_RECORD_DNS);
		l7->record = x.bytes;
	}
}

struct l7_part l7_part_of(const struct flow *f)
{
	struct l7_part l7 = { .record = STR("") };
	struct str message;

	if (flow_is(f, FLOW_HAS_L7) &&
	    wire_find(str_n(f->ext, f->ext_len), FLOW_FIELD_L7, &message))
		read_l7(message, &l7);
	return l7;
}

/* --- kinds -------------------------------------------------------------------------------- */

const struct handler_kind *handler_kind_find(struct str name)
{
	for (size_t i = 0; i < handlers_of_flows_count; i++)
		if (str_is(name, handlers_of_flows[i].name))
			return &handlers_of_flows[i];
	for (size_t i = 0; i < handlers_of_l7_count; i++)
		if (str_is(name, handlers_of_l7[i].name))
			return &handlers_of_l7[i];
	return NULL;
}

const char *handler_conflict(const struct handler_kind *kind)
{
	return kind->conflict;
}

/* --- life --------------------------------------------------------------------------------- */

static bool has_option(const struct metric_config *m, const char *name)
{
	for (size_t i = 0; i < m->option_count; i++)
		if (str_eq_nocase(m->options[i].name, str_of(name)))
			return true;
	return false;
}

bool handler_option_is_known(struct str name)
{
	static const char *const own[] = { "query", "ignoreAAAA", "any-drop",
					   "port",  "syn-only",   "exemplars" };

	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (str_eq_nocase(name, str_of(own[i])))
			return true;
	return contexts_option_is_known(name);
}

/* Of an option that is given more than once the first counts here, unlike elsewhere. */
static bool first_value_is_true(const struct metric_config *m, const char *name)
{
	for (size_t i = 0; i < m->option_count; i++)
		if (str_eq_nocase(m->options[i].name, str_of(name)))
			return m->options[i].value_count && str_is(m->options[i].values[0], "true");
	return false;
}

/* Labels of the contexts first, then the kind's own, but for those that an option adds. */
static size_t put_labels(struct handler *h, size_t family)
{
	const char *const *own = h->kind->families[family].labels;
	struct metric_label *labels = h->labels[family];
	size_t n = contexts_labels(&h->contexts, labels);

	for (size_t i = 0; i < ARRAY_LEN(h->kind->families[0].labels) && own[i]; i++) {
		bool open = own[i][0] == '*';
		const char *name = own[i] + open;
		if ((strcmp(name, "query") == 0 && !h->query) ||
		    (strcmp(name, "port") == 0 && !h->port))
			continue;
		labels[n++] = (struct metric_label){ name, open };
	}
	return n;
}

static enum err_code add_families(struct handler *h, struct handler_env *env, struct err *e)
{
	for (size_t i = 0; i < HANDLER_FAMILIES && h->kind->families[i].name; i++) {
		const struct metric_spec spec = {
			.name = h->kind->families[i].name,
			.help = h->kind->families[i].help,
			.type = h->kind->families[i].type,
			.labels = h->labels[i],
			.label_count = put_labels(h, i),
		};
		enum err_code code = metric_family_new(env->metrics, &spec, &h->families[i], e);
		if (code != ERR_OK)
			return code;
	}
	return ERR_OK;
}

enum err_code handler_new(const struct handler_kind *kind, const struct metric_config *config,
			  struct handler_env *env, struct handler **ret, struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	AUTO(handler_free) struct handler *h = calloc(1, sizeof *h);
	if (!h)
		return err_set(e, ERR_NOMEM, "metric '%s'", kind->name);
	h->kind = kind;
	h->gate = (struct handler_gate){
		.l4s = kind->gate.l4s ? kind->gate.l4s : UINT32_MAX,
		.verdicts = kind->gate.verdicts ? kind->gate.verdicts : UINT32_MAX,
		.tcp_flags = kind->gate.tcp_flags ? kind->gate.tcp_flags : UINT32_MAX,
		.l7_only = kind->gate.l7_only,
	};
	h->query = has_option(config, "query");
	h->ignore_aaaa = has_option(config, "ignoreAAAA");
	h->any_drop = has_option(config, "any-drop");
	/* only one of the kinds with such a label has it as an option */
	h->port = strcmp(kind->name, "flows-to-world") != 0 || has_option(config, "port");
	h->syn_only = has_option(config, "syn-only");
	h->exemplars = kind->exemplars && first_value_is_true(config, "exemplars");
	if (contexts_read(config, kind->swapped, &h->contexts, e) != ERR_OK)
		return err_in(e, "unable to initialize metric '%s'", kind->name);
	h->words = h->contexts.words + kind->own_word;
	h->cache.stride = ENTRY_HEAD + h->words;
	h->cache.entries = calloc(CACHE_FIRST * h->cache.stride, sizeof *h->cache.entries);
	h->cache.mask = CACHE_FIRST - 1;
	if (!h->cache.entries)
		return err_set(e, ERR_NOMEM, "metric '%s'", kind->name);
	enum err_code code = handler_set_filter(h, config, env, e);
	if (code == ERR_OK)
		code = add_families(h, env, e);
	if (code != ERR_OK)
		return err_in(e, "unable to initialize metric '%s'", kind->name);
	*ret = TAKE(h);
	return ERR_OK;
}

void handler_free(struct handler *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < HANDLER_FAMILIES; i++)
		metric_family_free(h->families[i]);
	flow_filter_free(h->filter);
	free(h->cache.entries);
	free(h);
}

enum err_code handler_set_filter(struct handler *h, const struct metric_config *config,
				 struct handler_env *env, struct err *e)
{
	struct flow_filter *filter = NULL;

	if (config->include_count || config->exclude_count) {
		enum err_code code =
			flow_filter_new(config->include, config->include_count, config->exclude,
					config->exclude_count, env->dict, &filter, e);
		if (code != ERR_OK)
			return code;
	}
	flow_filter_free(h->filter);
	h->filter = filter;
	return ERR_OK;
}

/* Most flows are of no concern to most metrics: the gate is all that these cost. */
void handler_count(struct handler *h, struct handler_env *env, const struct handler_flow *flows,
		   size_t n)
{
	const struct handler_gate gate = h->gate;
	const bool any_flags = gate.tcp_flags == UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		const struct flow *f = flows[i].flow;
		unsigned verdict = f->verdict < 31 ? f->verdict : 31;
		/* one branch for all four: flows come in no order that could be foreseen */
		bool flags = any_flags | !!(f->tcp_flags & gate.tcp_flags);
		bool l7 = !gate.l7_only | !!flows[i].l7.kind;
		uint32_t mine = gate.l4s >> f->l4 & gate.verdicts >> verdict & flags & l7;
		if (!(mine & 1))
			continue;
		if (!h->filter || flow_filter_match(h->filter, f))
			h->kind->count(h, env, f, &flows[i].l7);
	}
}

/* --- series ------------------------------------------------------------------------------- */

static uint64_t hash_key(const uint64_t *key, size_t words)
{
	uint64_t h = 0;

	for (size_t i = 0; i < words; i++) {
		h = (h ^ key[i]) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h ^ h >> 32;
}

static bool same_key(const uint64_t *a, const uint64_t *b, size_t words)
{
	for (size_t i = 0; i < words; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

static uint64_t *entry_of(const struct ref_cache *c, const uint64_t *key)
{
	size_t words = c->stride - ENTRY_HEAD;

	size_t at = (hash_key(key, words) & c->mask) * c->stride;
	const size_t end = (c->mask + 1) * c->stride;

	for (;; at = at + c->stride < end ? at + c->stride : 0) {
		uint64_t *entry = &c->entries[at];
		if (!entry[1] ||
		    (entry[ENTRY_HEAD] == key[0] && same_key(entry + ENTRY_HEAD, key, words)))
			return entry;
	}
}

static struct metric_ref ref_of(const uint64_t *entry)
{
	return (struct metric_ref){ (struct metric_series *)(uintptr_t)entry[1],
				    (uint32_t)entry[0] };
}

/* Twice as large, or, at the limit or without memory, empty. */
static void cache_grow(struct ref_cache *c)
{
	struct ref_cache old = *c;
	size_t slots = (c->mask + 1) * 2;

	c->entries = slots <= CACHE_MAX * 2 ? calloc(slots * c->stride, sizeof *c->entries) : NULL;
	if (!c->entries) {
		*c = old;
		memset(c->entries, 0, (c->mask + 1) * c->stride * sizeof *c->entries);
		c->count = 0;
		return;
	}
	c->mask = slots - 1;
	for (size_t i = 0; i <= old.mask; i++) {
		const uint64_t *from = &old.entries[i * c->stride];
		if (from[1])
			memcpy(entry_of(c, from + ENTRY_HEAD), from, c->stride * sizeof *from);
	}
	free(old.entries);
}

static void cache_put(struct ref_cache *c, const uint64_t *key, struct metric_ref ref)
{
	if ((c->count + 1) * 2 > c->mask)
		cache_grow(c);
	uint64_t *entry = entry_of(c, key);
	c->count += !entry[1];
	entry[0] = ref.serial;
	entry[1] = (uintptr_t)ref.series;
	memcpy(entry + ENTRY_HEAD, key, (c->stride - ENTRY_HEAD) * sizeof *key);
}

struct metric_ref handler_ref_slow(struct handler *h, struct handler_env *env, const struct flow *f,
				   const struct l7_part *l7, unsigned family, handler_put_fn *put)
{
	/* fixed: values stay where they are */
	struct buf text = buf_fixed(env->bytes, HANDLER_VALUES_BYTES);
	struct buf scratch = buf_fixed(env->bytes + HANDLER_VALUES_BYTES, HANDLER_VALUES_BYTES);
	struct str values[METRIC_LABELS_MAX];
	struct handler_values own = { .scratch = &scratch, .dict = env->dict };
	size_t n = contexts_values(&h->contexts, f, env->dict, &text, values);

	put(h, f, l7, &own);
	for (size_t i = 0; n < METRIC_LABELS_MAX && i < HANDLER_VALUES; i++)
		values[n++] = own.values[i].p ? own.values[i] : STR("");
	return metric_series_get(h->families[family], values);
}

struct metric_ref handler_ref(struct handler *h, struct handler_env *env, const struct flow *f,
			      const struct l7_part *l7, unsigned family, uint64_t own,
			      uint64_t second, handler_put_fn *put)
{
	uint64_t key[HANDLER_KEY_WORDS];

	key[0] = own << 2 | family;
	if (!contexts_key(&h->contexts, f, env->texts, key))
		return handler_ref_slow(h, env, f, l7, family, put);
	if (h->kind->own_word)
		key[h->words - 1] = second;
	if (h->cache.generation != env->texts->generation) {
		h->cache.generation = env->texts->generation;
		memset(h->cache.entries, 0, (h->cache.mask + 1) * h->cache.stride * sizeof *key);
		h->cache.count = 0;
	}
	struct metric_ref ref = ref_of(entry_of(&h->cache, key));
	if (metric_ref_is_live(ref))
		return ref;
	ref = handler_ref_slow(h, env, f, l7, family, put);
	if (ref.series)
		cache_put(&h->cache, key, ref);
	return ref;
}

void handler_add(struct handler_env *env, struct metric_ref ref)
{
	if (ref.series)
		metric_add(ref, 1);
	else
		metric_refused(env->metrics, 1);
}

struct str handler_lower(struct handler_values *v, struct str s)
{
	size_t from = v->scratch->len;

	for (size_t i = 0; i < s.len; i++)
		buf_char(v->scratch, (char)tolower((unsigned char)s.p[i]));
	return v->scratch->failed ? STR("") : str_n(v->scratch->p + from, v->scratch->len - from);
}
