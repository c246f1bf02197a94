#include "observer/export/exporter.h"

#include "base/buf.h"
#include "base/counter.h"
#include "base/log.h"
#include "filter/filter.h"
#include "flow/dict.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/mask.h"
#include "flow/wire.h"
#include "observer/export/aggregate.h"
#include "observer/export/config.h"
#include "observer/export/file.h"

enum { GROUP = 64 /* records matched at once: a word of answers */, FLOW_BYTES = 64 << 20 };

struct exporter {
	char *name, *path, *text;
	size_t text_len;
	struct exporter_env env;
	struct flow_filter *filter;
	bool passes_lost;
	struct flow_mask *mask;      /* NULL: flows are written whole */
	struct aggregate *aggregate; /* NULL: flows are written as they are */
	uint64_t interval_ns;
	struct mono_ns due; /* when groups are written next */
	bool has_end;
	struct timestamp end;
	struct export_lines *lines; /* NULL: it has ended before it began */
	bool is_over;               /* its end has come */
	struct buf whole;           /* a flow before its mask */
	atomic_bool is_active;
	_Atomic uint64_t faults;
};

/* --- life ------------------------------------------------------------------------------------- */

static void destroy(struct exporter *x)
{
	if (!x)
		return;
	export_lines_free(x->lines);
	flow_filter_free(x->filter);
	flow_mask_free(x->mask);
	aggregate_free(x->aggregate);
	buf_done(&x->whole);
	free(x->name);
	free(x->path);
	free(x->text);
	free(x);
}
AUTO_DEFINE(struct exporter, destroy);

/* As on the reference's server, where a lost event has no field but passes a filter of event types;
 * but an exclusion of event types does not exclude it. */
static enum err_code judge_lost(struct exporter *x, const struct export_spec *spec, struct err *e)
{
	const struct flow lost = { .kind = FLOW_KIND_LOST };
	bool is_in = !spec->include_count;

	for (size_t i = 0; i < spec->include_count && !is_in; i++) {
		AUTO(flow_filter_free) struct flow_filter *one = NULL;
		Flow__FlowFilter *f = spec->include[i];
		size_t types = f->n_event_type;
		struct err why;
		f->n_event_type = 0;
		enum err_code code = flow_filter_new(&f, 1, NULL, 0, x->env.dict, &one, &why);
		f->n_event_type = types;
		if (code == ERR_NOMEM)
			return err_set(e, ERR_NOMEM, "%s", why.msg);
		/* a field that needs an event type is one that a lost event has not */
		is_in = code == ERR_OK && flow_filter_match(one, &lost);
	}
	AUTO(flow_filter_free) struct flow_filter *not = NULL;
	if (flow_filter_new(NULL, 0, spec->exclude, spec->exclude_count, x->env.dict, &not, e) !=
	    ERR_OK)
		return e->code;
	x->passes_lost = is_in && flow_filter_match(not, &lost);
	return ERR_OK;
}

static enum err_code open_filter(struct exporter *x, const struct export_spec *spec, struct err *e)
{
	AUTO(flow_filter_free) struct flow_filter *alone = NULL;

	if (flow_filter_new(spec->include, spec->include_count, NULL, 0, x->env.dict, &alone, e) !=
	    ERR_OK)
		return err_in(e, "%s", spec->words->include);
	if (flow_filter_new(spec->include, spec->include_count, spec->exclude, spec->exclude_count,
			    x->env.dict, &x->filter, e) != ERR_OK)
		return err_in(e, "%s", spec->words->exclude);
	return judge_lost(x, spec, e);
}

static enum err_code open_fields(struct exporter *x, const struct export_spec *spec, struct err *e)
{
	AUTO(aggregate_free) struct aggregate *aggregate = NULL;

	if (flow_mask_new(spec->mask, spec->mask_count, &x->mask, e) != ERR_OK)
		return err_in(e, "%s", spec->words->mask);
	if (!spec->aggregate_count)
		return ERR_OK;
	if (aggregate_new(spec->aggregate, spec->aggregate_count, &aggregate, e) != ERR_OK)
		return err_in(e, "%s", spec->words->aggregate);
	if (spec->interval_ns)
		x->aggregate = TAKE(aggregate);
	return ERR_OK;
}

static bool has_ended(const struct exporter *x, struct export_now now)
{
	return x->has_end && timestamp_cmp(timestamp_of(now.wall), x->end) >= 0;
}

/* Of what is no flow the bare name is told, as the reference's exporter does. */
static struct str bare_name(struct str name)
{
	size_t slash = str_find_last(name, '/');

	return slash < name.len ? str_from(name, slash + 1) : name;
}

static enum err_code open_file(struct exporter *x, const struct export_spec *spec,
			       struct export_now now, struct err *e)
{
	const struct export_file_config config = { .path = spec->path,
						   .max_bytes = spec->max_bytes,
						   .max_backups = spec->max_backups,
						   .compress = spec->compress,
						   .backups = x->env.backups };
	const struct export_lines_config lines = { .name = x->name,
						   .path = x->path,
						   .node = bare_name(str_of(x->env.node)),
						   .tells_loss = x->passes_lost };
	AUTO(export_file_free) struct export_file *file = NULL;

	x->is_over = has_ended(x, now);
	if (x->is_over)
		return ERR_OK;
	if (export_file_open(&config, &file, e) != ERR_OK)
		return err_in(e, "%s", spec->words->path);
	if (export_lines_new(&lines, file, &x->lines, e) != ERR_OK)
		return e->code;
	(void)TAKE(file); /* the lines' */
	x->is_active = true;
	return ERR_OK;
}

enum err_code exporter_new(const struct export_spec *spec, const struct exporter_env *env,
			   struct export_now now, struct exporter **ret, struct err *e)
{
	struct err mine;
	AUTO(destroy) struct exporter *x = calloc(1, sizeof *x);

	e = e ? e : &mine;
	if (!x)
		return err_set(e, ERR_NOMEM, "exporter");
	*x = (struct exporter){ .name = str_dup(str_of(spec->name)),
				.path = str_dup(str_of(spec->path)),
				.text = str_dup(spec->text),
				.text_len = spec->text.len,
				.env = *env,
				.interval_ns = spec->interval_ns,
				.due = { now.mono.v + spec->interval_ns },
				.has_end = spec->has_end,
				.end = spec->end,
				.whole = buf_init(FLOW_BYTES) };
	if (!x->name || !x->path || !x->text)
		return err_set(e, ERR_NOMEM, "exporter");
	if (open_filter(x, spec, e) != ERR_OK || open_fields(x, spec, e) != ERR_OK ||
	    open_file(x, spec, now, e) != ERR_OK)
		return e->code;
	if (spec->aggregate_count && !spec->interval_ns)
		log_warn("fields to aggregate flows by, but no interval: they are exported as they "
			 "are",
			 "exporter=%s", LOG_QUOTE(spec->name));
	*ret = TAKE(x);
	return ERR_OK;
}

enum err_code exporter_check(const struct export_spec *spec, const struct flow_dict *dict,
			     struct err *e)
{
	struct err mine;
	AUTO(destroy) struct exporter *x = calloc(1, sizeof *x);

	e = e ? e : &mine;
	if (!x)
		return err_set(e, ERR_NOMEM, "exporter");
	x->env.dict = dict;
	enum err_code code = open_filter(x, spec, e);
	return code == ERR_OK ? open_fields(x, spec, e) : code;
}

/* --- records ---------------------------------------------------------------------------------- */

struct telling {
	struct exporter *x;
	struct export_now now;
};

static void tell_group(void *ctx, struct str flow)
{
	struct telling *t = ctx;

	flow_mask_response(NULL, flow, export_lines_message(t->x->lines));
	export_lines_add(t->x->lines, t->now);
}

static void tell_groups(struct exporter *x, struct export_now now)
{
	struct telling t = { x, now };

	if (x->aggregate)
		aggregate_tell(x->aggregate, tell_group, &t);
}

static void count_flow(struct exporter *x, const struct flow *f, struct export_now now)
{
	if (aggregate_add(x->aggregate, f, x->env.dict))
		return;
	tell_groups(x, now); /* earlier than they would: there is no room for more */
	if (!aggregate_add(x->aggregate, f, x->env.dict))
		export_lines_lose(x->lines, 1, now);
}

static void put_flow(struct exporter *x, const struct flow *f, struct export_now now)
{
	if (x->aggregate) {
		count_flow(x, f, now);
		return;
	}
	struct buf *m = export_lines_message(x->lines);
	if (x->mask) {
		buf_reset(&x->whole);
		flow_encode(&x->whole, f, x->env.dict);
		flow_mask_response(x->mask, buf_str(&x->whole), m);
		m->failed |= x->whole.failed;
	} else {
		flow_encode_response(m, f, x->env.dict, STR(""));
	}
	export_lines_add(x->lines, now);
}

/* Lost, agent and debug events. */
static void put_event(struct exporter *x, const struct flow *f, struct export_now now)
{
	const struct node *node = flow_dict_get_node(x->env.dict, f->node);
	struct flow bare = *f;

	bare.node = (struct node_id){ 0 };
	flow_encode_response(export_lines_message(x->lines), &bare, x->env.dict,
			     bare_name(node ? node->name : str_of(x->env.node)));
	export_lines_add(x->lines, now);
}

/* Writes what there is to the last. */
static void finish(struct exporter *x, struct export_now now)
{
	if (x->is_over)
		return;
	tell_groups(x, now);
	export_lines_write(x->lines, true, now);
	x->is_over = true;
	atomic_store_explicit(&x->is_active, false, memory_order_relaxed);
}

void exporter_free(struct exporter *x, struct export_now now)
{
	if (!x)
		return;
	finish(x, now);
	destroy(x);
}

void exporter_put(struct exporter *x, const struct flow *flows, size_t n, struct export_now now)
{
	if (has_ended(x, now))
		finish(x, now);
	for (size_t from = 0; !x->is_over && from < n; from += GROUP) {
		size_t count = n - from < GROUP ? n - from : GROUP;
		uint64_t bits = 0;
		(void)flow_filter_match_n(x->filter, &flows[from], count, &bits);
		for (size_t i = 0; i < count; i++) {
			const struct flow *f = &flows[from + i];
			bool is_lost = f->kind == FLOW_KIND_LOST;
			if (!(is_lost ? x->passes_lost : bits >> i & 1))
				continue;
			if (f->kind == FLOW_KIND_FLOW)
				put_flow(x, f, now);
			else if (f->kind <= FLOW_KIND_DEBUG)
				put_event(x, f, now);
		}
	}
	const char *why;
	counter_add(&x->faults, flow_filter_faults(x->filter, &why));
}

void exporter_put_overtaken(struct exporter *x, uint64_t records, struct wall_ns first,
			    struct wall_ns last, struct export_now now)
{
	if (!x->is_over)
		export_lines_overtaken(x->lines, records, first, last, now);
}

void exporter_pass(struct exporter *x, struct export_now now)
{
	if (has_ended(x, now))
		finish(x, now);
	if (x->is_over)
		return;
	if (x->aggregate && now.mono.v >= x->due.v) {
		tell_groups(x, now);
		x->due.v += x->interval_ns;
		if (x->due.v <= now.mono.v)
			x->due.v = now.mono.v + x->interval_ns;
	}
	export_lines_write(x->lines, false, now);
}

/* --- what it is ------------------------------------------------------------------------------- */

const char *exporter_name(const struct exporter *x)
{
	return x->name;
}

const char *exporter_path(const struct exporter *x)
{
	return x->path;
}

struct str exporter_text(const struct exporter *x)
{
	return str_n(x->text, x->text_len);
}

struct exporter_counts exporter_counts(const struct exporter *x)
{
	struct exporter_counts counts = {
		.is_active = atomic_load_explicit(&x->is_active, memory_order_relaxed),
		.faults = counter_get(&x->faults),
	};

	if (!x->lines)
		return counts;
	struct export_lines_counts c = export_lines_counts(x->lines);
	counts.lines = c.written;
	counts.bytes = c.bytes;
	counts.lost = c.lost;
	counts.rotations = c.rotations;
	return counts;
}
