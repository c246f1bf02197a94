#include "observer/metrics/flow_metrics.h"

#include <stdarg.h>
#include <stdio.h>

#include "flow/flow.h"
#include "observer/metrics/handler.h"

enum { HANDLERS_MAX = 16, SENTENCE_BYTES = 600, GROUP = 64 };

/* Labels that a metric has or had: they may not change. */
struct past {
	char *name, *options; /* own */
};

struct flow_metrics {
	struct handler_env env;
	struct texts texts;
	struct handler *handlers[HANDLERS_MAX];
	char *filters[HANDLERS_MAX]; /* own: the text of each handler's filters */
	size_t count;
	struct handler *own;            /* NULL: not asked for */
	struct past past[HANDLERS_MAX]; /* each kind once */
	size_t past_count;
	void (*warn)(void *ctx, const char *sentence);
	void *ctx;
};

enum err_code flow_metrics_new(const struct flow_metrics_config *config, struct flow_metrics **ret,
			       struct err *e)
{
	AUTO(flow_metrics_free) struct flow_metrics *m = calloc(1, sizeof *m);
	if (!m)
		return err_set(e, ERR_NOMEM, "metrics of flows");
	m->env = (struct handler_env){
		.metrics = config->metrics,
		.dict = config->dict,
		.texts = &m->texts,
		.kernel_drops = config->kernel_drops,
		.bytes = malloc(HANDLER_BYTES),
	};
	m->warn = config->warn;
	m->ctx = config->ctx;
	if (!m->env.bytes)
		return err_set(e, ERR_NOMEM, "metrics of flows");
	/* with the labels that its namespace's people ask for: who enforces is the local end */
	static const struct str sides[] = { STR("source_namespace"), STR("destination_namespace") };
	static const struct metric_option labels = { STR("labelsContext"), sides,
						     ARRAY_LEN(sides) };
	static const struct metric_config own = { .name = STR("tycho-policy"),
						  .options = &labels,
						  .option_count = 1 };
	enum err_code code = texts_init(&m->texts, e);
	metrics_lock(config->metrics);
	if (code == ERR_OK && config->own)
		code = handler_new(&handler_of_policies, &own, &m->env, &m->own, e);
	metrics_unlock(config->metrics);
	if (code != ERR_OK)
		return code;
	*ret = TAKE(m);
	return ERR_OK;
}

static void drop_handler(struct flow_metrics *m, size_t i)
{
	handler_free(m->handlers[i]);
	free(m->filters[i]);
	m->count--;
	m->handlers[i] = m->handlers[m->count];
	m->filters[i] = m->filters[m->count];
}

void flow_metrics_free(struct flow_metrics *m)
{
	if (!m)
		return;
	metrics_lock(m->env.metrics);
	while (m->count)
		drop_handler(m, m->count - 1);
	handler_free(m->own);
	metrics_unlock(m->env.metrics);
	for (size_t i = 0; i < m->past_count; i++) {
		free(m->past[i].name);
		free(m->past[i].options);
	}
	texts_done(&m->texts);
	free(m->env.bytes);
	free(m);
}

static size_t find_handler(const struct flow_metrics *m, struct str name)
{
	size_t i = 0;

	while (i < m->count && !str_is(name, m->handlers[i]->kind->name))
		i++;
	return i;
}

static bool lists(const struct metrics_config *config, struct str name)
{
	for (size_t i = 0; i < config->count; i++)
		if (str_eq(config->metrics[i].name, name))
			return true;
	return false;
}

/* Neither what is there nor what else is configured may exclude it. */
static enum err_code check_conflict(const struct flow_metrics *m, const struct handler_kind *kind,
				    const struct metrics_config *config, struct err *e)
{
	struct str other = str_of(handler_conflict(kind));

	if (!other.len || (!lists(config, other) && find_handler(m, other) == m->count))
		return ERR_OK;
	return err_set(e, ERR_INVALID, "plugin %s conflicts with plugin %.*s", kind->name,
		       STR_FMT(other));
}

static void warn(struct flow_metrics *m, struct str name, const char *fmt, ...) FORMAT(3, 4);
static void warn(struct flow_metrics *m, struct str name, const char *fmt, ...)
{
	char why[SENTENCE_BYTES], sentence[2 * SENTENCE_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	(void)snprintf(sentence, sizeof sentence, "metric '%s' %s", EXCERPT(name), why);
	m->warn(m->ctx, sentence);
}

/* The reference says nothing, and "labelContext" leaves the labels out. */
static void warn_of_options(struct flow_metrics *m, const struct metric_config *config)
{
	for (size_t i = 0; i < config->option_count; i++)
		if (!handler_option_is_known(config->options[i].name))
			warn(m, config->name, "has no option '%s'",
			     EXCERPT(config->options[i].name));
}

static enum err_code add_handler(struct flow_metrics *m, const struct metric_config *config,
				 const struct handler_kind *kind, struct err *e)
{
	AUTO(own_free) char *filters = str_dup(config->filters_text);
	if (!filters)
		return err_set(e, ERR_NOMEM, "metric '%s'", kind->name);
	enum err_code code = handler_new(kind, config, &m->env, &m->handlers[m->count], e);
	if (code != ERR_OK)
		return code;
	m->filters[m->count++] = TAKE(filters);
	warn_of_options(m, config);
	return ERR_OK;
}

enum err_code flow_metrics_list(struct flow_metrics *m, struct str list, struct err *e)
{
	AUTO(metrics_config_free) struct metrics_config *config = NULL;
	enum err_code code = metrics_config_list(list, &config, e);

	if (code != ERR_OK)
		return code;
	metrics_lock(m->env.metrics);
	for (size_t i = 0; code == ERR_OK && i < config->count; i++) {
		const struct metric_config *c = &config->metrics[i];
		const struct handler_kind *kind = handler_kind_find(c->name);
		if (!kind) {
			warn(m, c->name, "is left out: there is no such metric");
			continue;
		}
		if (find_handler(m, c->name) < m->count)
			code = err_set(e, ERR_INVALID, "metric '%s' is given twice", kind->name);
		if (code == ERR_OK)
			code = check_conflict(m, kind, config, e);
		if (code == ERR_OK)
			code = add_handler(m, c, kind, e);
	}
	metrics_unlock(m->env.metrics);
	if (code == ERR_OK && config->count && !m->count)
		return err_set(e, ERR_INVALID, "none of these metrics exists");
	return code;
}

/* --- the file ----------------------------------------------------------------------------- */

static struct past *find_past(struct flow_metrics *m, struct str name)
{
	for (size_t i = 0; i < m->past_count; i++)
		if (str_is(name, m->past[i].name))
			return &m->past[i];
	return NULL;
}

static enum err_code check_labels(struct flow_metrics *m, const struct metrics_config *config,
				  struct err *e)
{
	for (size_t i = 0; i < config->count; i++) {
		const struct metric_config *c = &config->metrics[i];
		const struct past *past = find_past(m, c->name);
		if (past && !str_is(c->options_text, past->options))
			return err_set(e, ERR_INVALID,
				       "the context options of metric '%.*s' cannot change while "
				       "the observer runs",
				       STR_FMT(str_upto(c->name, 100)));
	}
	return ERR_OK;
}

/* Of a metric that was made, not of one that was left out: its options may be mended. */
static enum err_code remember_labels(struct flow_metrics *m, const struct metric_config *c,
				     struct err *e)
{
	struct past past = { str_dup(c->name), str_dup(c->options_text) };

	if (find_past(m, c->name) || !past.name || !past.options) {
		bool is_known = find_past(m, c->name);
		free(past.name);
		free(past.options);
		return is_known ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
	}
	m->past[m->past_count++] = past;
	return ERR_OK;
}

static enum err_code apply_new(struct flow_metrics *m, const struct metrics_config *config,
			       const struct metric_config *c, const struct handler_kind *kind,
			       struct err *e)
{
	enum err_code code = check_conflict(m, kind, config, e);

	if (code == ERR_OK)
		code = add_handler(m, c, kind, e);
	if (code != ERR_OK)
		return code;
	code = remember_labels(m, c, e);
	if (code != ERR_OK)
		drop_handler(m, m->count - 1);
	return code;
}

static enum err_code apply_one(struct flow_metrics *m, const struct metrics_config *config,
			       const struct metric_config *c, struct err *e)
{
	const struct handler_kind *kind = handler_kind_find(c->name);
	size_t at = find_handler(m, c->name);

	if (!kind)
		return err_set(e, ERR_NOT_FOUND, "there is no such metric");
	if (at == m->count)
		return apply_new(m, config, c, kind, e);
	if (str_is(c->filters_text, m->filters[at]))
		return ERR_OK;
	AUTO(own_free) char *filters = str_dup(c->filters_text);
	if (!filters)
		return err_set(e, ERR_NOMEM, "out of memory");
	enum err_code code = handler_set_filter(m->handlers[at], c, &m->env, e);
	if (code != ERR_OK)
		return code;
	free(m->filters[at]);
	m->filters[at] = TAKE(filters);
	return ERR_OK;
}

enum err_code flow_metrics_file(struct flow_metrics *m, struct str text, struct err *e)
{
	AUTO(metrics_config_free) struct metrics_config *config = NULL;
	enum err_code code = metrics_config_yaml(text, &config, e);

	if (code != ERR_OK)
		return code;
	metrics_lock(m->env.metrics);
	code = check_labels(m, config, e);
	for (size_t i = m->count; code == ERR_OK && i-- > 0;)
		if (!lists(config, str_of(m->handlers[i]->kind->name)))
			drop_handler(m, i);
	for (size_t i = 0; code == ERR_OK && i < config->count; i++) {
		struct str name = config->metrics[i].name;
		struct err why;
		if (apply_one(m, config, &config->metrics[i], &why) == ERR_OK)
			continue;
		if (find_handler(m, name) < m->count)
			warn(m, name, "keeps its filters: %s", why.msg);
		else
			warn(m, name, "is left out: %s", why.msg);
	}
	metrics_unlock(m->env.metrics);
	return code;
}

/* --- flows -------------------------------------------------------------------------------- */

/* Metric by metric over a few flows at a time: they stay in the cache, and each metric's way
 * through them is easier to foresee than that of all metrics through one flow. */
static size_t gather(const struct flow *flows, size_t n, size_t *at, struct handler_flow *out)
{
	size_t count = 0;

	for (; *at < n && count < GROUP; ++*at) {
		const struct flow *f = &flows[*at];
		if (f->kind != FLOW_KIND_FLOW)
			continue;
		out[count].flow = f;
		out[count].l7.kind = L7_RECORD_NONE;
		if (flow_is(f, FLOW_HAS_L7))
			out[count].l7 = l7_part_of(f);
		count++;
	}
	return count;
}

void flow_metrics_count(struct flow_metrics *m, const struct flow *flows, size_t n,
			struct wall_ns now)
{
	struct handler_flow group[GROUP];

	metrics_lock(m->env.metrics);
	m->env.now = now;
	for (size_t at = 0; at < n;) {
		size_t count = gather(flows, n, &at, group);
		for (size_t i = 0; i < m->count; i++)
			handler_count(m->handlers[i], &m->env, group, count);
		if (m->own)
			handler_count(m->own, &m->env, group, count);
	}
	metrics_unlock(m->env.metrics);
}

size_t flow_metrics_forget_pod(struct flow_metrics *m, struct str namespace_, struct str pod)
{
	size_t removed = 0;

	metrics_lock(m->env.metrics);
	for (size_t i = 0; i < m->count; i++)
		for (size_t j = 0; j < HANDLER_FAMILIES; j++)
			if (m->handlers[i]->families[j])
				removed += contexts_remove_pod(&m->handlers[i]->contexts,
							       m->handlers[i]->families[j],
							       namespace_, pod);
	metrics_unlock(m->env.metrics);
	return removed;
}
