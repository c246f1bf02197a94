#include "observer/export/exporter.h"

#include "base/buf.h"
#include "base/counter.h"
#include "base/log.h"
#include "filter/filter.h"
#include "flow/dict.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/json.h"
#include "flow/lost.h"
#include "flow/mask.h"
#include "flow/wire.h"
#include "observer/export/aggregate.h"
#include "observer/export/config.h"
#include "observer/export/file.h"
#include "observer/observer.pb-c.h"

enum {
	GROUP = 64, /* records matched at once: a word of answers */
	MESSAGE_BYTES = 64 << 20,
	WRITE_BYTES = 64 << 10, /* lines that are written at once */
	TELL_EVERY_S = 1,       /* that the log overtook us, at most */
};

struct loss {
	uint64_t count;
	struct wall_ns first, last;
};

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
	struct export_file *file; /* NULL: its end has come */
	struct buf wire, scratch, lines;
	uint64_t line_count;   /* in lines */
	struct loss overtaken; /* by the log, not told yet */
	struct loss telling;   /* that, as one of the lines to be written says */
	uint64_t telling_at;   /* which of them */
	struct mono_ns told;   /* when that was told last */
	struct loss unwritten; /* since writing failed; told when it works again */
	bool failing;          /* the last write failed, and that was told */
	uint64_t failing_lost; /* lines, since then */
	atomic_bool is_active;
	_Atomic uint64_t written, bytes, lost, rotations, faults;
};

/* --- life ------------------------------------------------------------------------------------- */

static void destroy(struct exporter *x)
{
	if (!x)
		return;
	export_file_free(x->file);
	flow_filter_free(x->filter);
	flow_mask_free(x->mask);
	aggregate_free(x->aggregate);
	buf_done(&x->wire);
	buf_done(&x->scratch);
	buf_done(&x->lines);
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
	else
		log_warn("fields to aggregate flows by, but no interval: they are exported as they "
			 "are",
			 "exporter=%s", LOG_QUOTE(spec->name));
	return ERR_OK;
}

static bool has_ended(const struct exporter *x, struct export_now now)
{
	return x->has_end && timestamp_cmp(timestamp_of(now.wall), x->end) >= 0;
}

static enum err_code open_file(struct exporter *x, const struct export_spec *spec,
			       struct export_now now, struct err *e)
{
	const struct export_file_config config = { .path = spec->path,
						   .max_bytes = spec->max_bytes,
						   .max_backups = spec->max_backups,
						   .compress = spec->compress,
						   .backups = x->env.backups };

	if (has_ended(x, now))
		return ERR_OK;
	if (export_file_open(&config, &x->file, e) != ERR_OK)
		return err_in(e, "%s", spec->words->path);
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
				.wire = buf_init(MESSAGE_BYTES),
				.scratch = buf_init(MESSAGE_BYTES),
				.lines = buf_init(MESSAGE_BYTES) };
	if (!x->name || !x->path || !x->text)
		return err_set(e, ERR_NOMEM, "exporter");
	if (open_filter(x, spec, e) != ERR_OK || open_fields(x, spec, e) != ERR_OK ||
	    open_file(x, spec, now, e) != ERR_OK)
		return e->code;
	*ret = TAKE(x);
	return ERR_OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void note_loss(struct loss *l, uint64_t count, struct wall_ns first, struct wall_ns last)
{
	l->first = l->count ? l->first : first;
	l->last = last;
	l->count += count;
}

/* Of what was to be written. */
static void lose(struct exporter *x, uint64_t lines, struct export_now now)
{
	counter_add(&x->lost, lines);
	x->failing_lost += lines;
	note_loss(&x->unwritten, lines, now.wall, now.wall);
}

static void tell(struct exporter *x, enum err_code code, const struct err *e)
{
	if (code != ERR_OK && !x->failing)
		log_warn("exported flows cannot be written; tried again with the next",
			 "exporter=%s file=%s err=%s", LOG_QUOTE(x->name), LOG_QUOTE(x->path),
			 LOG_QUOTE(e->msg));
	if (code == ERR_OK && x->failing) {
		log_info("exported flows are written again", "exporter=%s file=%s lost=%llu",
			 LOG_QUOTE(x->name), LOG_QUOTE(x->path),
			 (unsigned long long)x->failing_lost);
		x->failing_lost = 0;
	}
	x->failing = code != ERR_OK;
}

static uint64_t count_lines(struct str s)
{
	uint64_t n = 0;

	for (size_t at; (at = str_find(s, '\n')) < s.len; s = str_from(s, at + 1))
		n++;
	return n;
}

/* @return false: the file took not all of @lines, of which there are @count. */
static enum err_code write_lines(struct exporter *x, struct str lines, uint64_t count,
				 struct export_now now, uint64_t *ret_written, struct err *e)
{
	size_t bytes;
	enum err_code code = export_file_write(x->file, lines, now.wall, &bytes, e);

	*ret_written = code == ERR_OK ? count : count_lines(str_upto(lines, bytes));
	counter_add(&x->written, *ret_written);
	counter_add(&x->bytes, bytes);
	atomic_store_explicit(&x->rotations, export_file_rotations(x->file), memory_order_relaxed);
	return code;
}

static void put_timestamp(struct buf *b, uint32_t field, struct timestamp t)
{
	size_t mark = wire_begin(b, field);

	wire_put_u64(b, 1, (uint64_t)t.s);
	wire_put_u64(b, 2, (uint64_t)t.ns);
	wire_end(b, mark);
}

/* Of what is no flow the bare name is told, as the reference's exporter does. */
static struct str bare_name(const struct exporter *x, const struct flow *f)
{
	const struct node *node = f ? flow_dict_get_node(x->env.dict, f->node) : NULL;
	struct str name = node ? node->name : str_of(x->env.node);
	size_t slash = str_find_last(name, '/');

	return slash < name.len ? str_from(name, slash + 1) : name;
}

/* The message in x->wire as a line in @b. @return false: it cannot be one. */
static bool put_line(const struct exporter *x, struct buf *b)
{
	if (x->wire.failed || x->scratch.failed ||
	    json_put_message(b, &observer__export_event__descriptor, buf_str(&x->wire), NULL) !=
		    ERR_OK)
		return false;
	buf_char(b, '\n');
	return !b->failed;
}

static bool put_lost_line(struct exporter *x, const struct loss *l, int32_t source, struct buf *b)
{
	const struct flow_lost lost = { .source = source,
					.count = l->count,
					.cpu = -1,
					.first = timestamp_of(l->first),
					.last = timestamp_of(l->last),
					.has_first = true,
					.has_last = true };

	buf_reset(&x->wire);
	buf_reset(&x->scratch);
	size_t mark = wire_begin(&x->wire, RESPONSE_FIELD_LOST_EVENTS);
	flow_lost_put(&x->wire, &lost);
	wire_end(&x->wire, mark);
	wire_put_str(&x->wire, RESPONSE_FIELD_NODE_NAME, bare_name(x, NULL));
	put_timestamp(&x->wire, RESPONSE_FIELD_TIME, timestamp_of(l->last));
	return put_line(x, b);
}

/* How much could not be written, now that it can: behind the first lines, as those may still fail
 * where this one finds room. */
static enum err_code write_unwritten(struct exporter *x, struct export_now now, struct err *e)
{
	AUTO_BUF struct buf line = buf_init(1024);
	uint64_t written;

	if (!x->unwritten.count)
		return ERR_OK;
	if (x->passes_lost && put_lost_line(x, &x->unwritten, 0, &line)) {
		enum err_code code = write_lines(x, buf_str(&line), 1, now, &written, e);
		if (code != ERR_OK)
			return code;
	}
	x->unwritten = (struct loss){ 0 };
	return ERR_OK;
}

static void write_out(struct exporter *x, struct export_now now)
{
	uint64_t written = 0;
	struct err e;

	if (!x->lines.len)
		return;
	enum err_code code = write_lines(x, buf_str(&x->lines), x->line_count, now, &written, &e);
	if (code == ERR_OK)
		code = write_unwritten(x, now, &e);
	uint64_t lost = x->line_count - written;
	if (x->telling.count && written <= x->telling_at) {
		lost--; /* it is told again, with what has come since */
		if (x->overtaken.count)
			note_loss(&x->telling, x->overtaken.count, x->overtaken.first,
				  x->overtaken.last);
		x->overtaken = x->telling;
	}
	x->telling = (struct loss){ 0 };
	if (lost)
		lose(x, lost, now);
	tell(x, code, &e);
	x->line_count = 0;
	buf_reset(&x->lines);
}

/* x->wire becomes a line among those to be written. */
static void add_line(struct exporter *x, struct export_now now)
{
	if (!put_line(x, &x->lines)) {
		lose(x, 1, now);
		return;
	}
	x->line_count++;
	if (x->lines.len >= WRITE_BYTES)
		write_out(x, now);
}

/* --- records ---------------------------------------------------------------------------------- */

struct telling {
	struct exporter *x;
	struct export_now now;
};

static void tell_group(void *ctx, struct str flow)
{
	struct telling *t = ctx;

	buf_reset(&t->x->wire);
	buf_reset(&t->x->scratch);
	flow_mask_response(NULL, flow, &t->x->wire);
	add_line(t->x, t->now);
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
		lose(x, 1, now);
}

static void put_flow(struct exporter *x, const struct flow *f, struct export_now now)
{
	if (x->aggregate) {
		count_flow(x, f, now);
		return;
	}
	buf_reset(&x->wire);
	buf_reset(&x->scratch);
	if (x->mask) {
		flow_encode(&x->scratch, f, x->env.dict);
		flow_mask_response(x->mask, buf_str(&x->scratch), &x->wire);
	} else {
		flow_encode_response(&x->wire, f, x->env.dict, STR(""));
	}
	add_line(x, now);
}

/* Lost, agent and debug events. */
static void put_event(struct exporter *x, const struct flow *f, struct export_now now)
{
	static const uint32_t fields[] = { [FLOW_KIND_LOST] = RESPONSE_FIELD_LOST_EVENTS,
					   [FLOW_KIND_AGENT] = RESPONSE_FIELD_AGENT_EVENT,
					   [FLOW_KIND_DEBUG] = RESPONSE_FIELD_DEBUG_EVENT };
	struct timestamp t;

	buf_reset(&x->wire);
	buf_reset(&x->scratch);
	wire_put_len(&x->wire, fields[f->kind], str_n(f->ext, f->ext_len));
	wire_put_str(&x->wire, RESPONSE_FIELD_NODE_NAME, bare_name(x, f));
	if (flow_time(f, &t))
		put_timestamp(&x->wire, RESPONSE_FIELD_TIME, t);
	add_line(x, now);
}

static void tell_overtaken(struct exporter *x, struct export_now now, bool at_once)
{
	if (!x->overtaken.count || !x->file ||
	    (!at_once && x->told.v && now.mono.v - x->told.v < TELL_EVERY_S * NS_PER_S))
		return;
	if (x->telling.count)
		write_out(x, now); /* one at a time */
	if (x->passes_lost &&
	    put_lost_line(x, &x->overtaken, FLOW__LOST_EVENT_SOURCE__HUBBLE_RING_BUFFER,
			  &x->lines)) {
		x->telling = x->overtaken;
		x->telling_at = x->line_count++;
	}
	x->overtaken = (struct loss){ 0 };
	x->told = now.mono;
}

/* Writes what there is to the last. */
static void finish(struct exporter *x, struct export_now now)
{
	if (!x->file)
		return;
	tell_overtaken(x, now, true);
	tell_groups(x, now);
	write_out(x, now);
	export_file_free(TAKE(x->file));
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
	for (size_t from = 0; x->file && from < n; from += GROUP) {
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
	note_loss(&x->overtaken, records, first, last);
	tell_overtaken(x, now, false);
}

void exporter_pass(struct exporter *x, struct export_now now)
{
	if (has_ended(x, now))
		finish(x, now);
	if (!x->file)
		return;
	tell_overtaken(x, now, false);
	if (x->aggregate && now.mono.v >= x->due.v) {
		tell_groups(x, now);
		x->due.v += x->interval_ns;
		if (x->due.v <= now.mono.v)
			x->due.v = now.mono.v + x->interval_ns;
	}
	write_out(x, now);
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
	return (struct exporter_counts){
		.is_active = atomic_load_explicit(&x->is_active, memory_order_relaxed),
		.lines = counter_get(&x->written),
		.bytes = counter_get(&x->bytes),
		.lost = counter_get(&x->lost),
		.rotations = counter_get(&x->rotations),
		.faults = counter_get(&x->faults),
	};
}
