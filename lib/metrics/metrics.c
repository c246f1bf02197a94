#include "metrics/metrics.h"

#include <pthread.h>
#include <sys/random.h>

enum {
	SERIES_MIN = 64,
	BLOCK_SERIES = 64,
	FOLD_FRACTION = 16, /* of all series make room at once, so that making room is rare */
	SLOTS_FIRST = 64,
	COLLECTORS_MAX = 16,
};

/* How much of a series' labels is its own. */
enum level { LEVEL_FULL, LEVEL_OPEN_FOLDED, LEVEL_ALL_FOLDED };

struct exemplar {
	char trace[METRIC_TRACE_BYTES];
	uint8_t trace_len;
	double value;
	struct wall_ns when;
};

struct observations {
	struct histogram now, told;
};

struct series {
	struct metric_series head; /* first: refs point to it */
	uint8_t level;
	bool is_used;
	uint64_t told; /* head.count as the page said it last */
	uint64_t mark; /* head.count minus what of it still counts as activity */
	uint64_t hash;
	struct metric_family *family;
	char *text; /* own: a="b",c="d" in order of the labels' names */
	uint32_t text_len;
	struct observations *observations; /* own; histograms */
	struct exemplar *exemplars;        /* own; NULL until the first */
	struct series *next_free;
};

struct block {
	struct block *next;
	struct series series[BLOCK_SERIES];
};

struct metric_family {
	struct metrics *m;
	struct metric_family *next; /* by name */
	struct metric_spec spec;
	uint8_t order[METRIC_LABELS_MAX]; /* the spec's labels by name */
	struct series **slots;            /* open addressing by hash of text */
	size_t slot_mask, count;
	struct series **sorted; /* @count of them; valid unless is_dirty */
	size_t sorted_room;
	bool is_dirty;
	struct block *blocks;
	struct series *free;
};

struct collector {
	metrics_collect_fn *collect;
	void *ctx;
};

struct metrics {
	pthread_mutex_t mx; /* guards all below but the collectors */
	uint64_t seed;
	struct metric_family *families;
	struct metrics_counts counts;
	struct series **candidates;                  /* scratch: series_max of them */
	struct buf text;                             /* scratch: label text of a series asked for */
	struct collector collectors[COLLECTORS_MAX]; /* immutable once pages are written */
	size_t collector_count;
};

enum err_code metrics_new(size_t series_max, struct metrics **ret, struct err *e)
{
	if (series_max < SERIES_MIN)
		return err_set(e, ERR_INVALID, "a budget of %zu series: at least %d are needed",
			       series_max, SERIES_MIN);
	AUTO(metrics_free) struct metrics *m = calloc(1, sizeof *m);
	if (!m)
		return err_set(e, ERR_NOMEM, "metrics");
	(void)pthread_mutex_init(&m->mx, NULL);
	m->counts.series_max = series_max;
	m->text = buf_init(METRIC_LABELS_MAX * (METRIC_VALUE_BYTES * 3 + 128));
	m->candidates = calloc(series_max, sizeof(struct series *));
	if (!m->candidates)
		return err_set(e, ERR_NOMEM, "metrics");
	if (getrandom(&m->seed, sizeof m->seed, 0) != sizeof m->seed)
		return err_os(e, "random seed");
	*ret = TAKE(m);
	return ERR_OK;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	while (m->families)
		metric_family_free(m->families);
	buf_done(&m->text);
	free(m->candidates);
	(void)pthread_mutex_destroy(&m->mx);
	free(m);
}

void metrics_lock(struct metrics *m)
{
	(void)pthread_mutex_lock(&m->mx);
}

void metrics_unlock(struct metrics *m)
{
	(void)pthread_mutex_unlock(&m->mx);
}

/* --- families ----------------------------------------------------------------------------- */

static void sort_labels(struct metric_family *f)
{
	const struct metric_label *labels = f->spec.labels;

	for (size_t i = 0; i < f->spec.label_count; i++) {
		size_t at = i;
		for (; at && strcmp(labels[f->order[at - 1]].name, labels[i].name) > 0; at--)
			f->order[at] = f->order[at - 1];
		f->order[at] = (uint8_t)i;
	}
}

enum err_code metric_family_new(struct metrics *m, const struct metric_spec *spec,
				struct metric_family **ret, struct err *e)
{
	struct metric_family **at = &m->families;

	if (spec->label_count > METRIC_LABELS_MAX)
		return err_set(e, ERR_INVALID, "metric %s: more than %d labels", spec->name,
			       METRIC_LABELS_MAX);
	while (*at && strcmp((*at)->spec.name, spec->name) < 0)
		at = &(*at)->next;
	if (*at && strcmp((*at)->spec.name, spec->name) == 0)
		return err_set(e, ERR_EXISTS, "metric %s is there already", spec->name);
	struct metric_family *f = calloc(1, sizeof *f);
	if (!f)
		return err_set(e, ERR_NOMEM, "metric %s", spec->name);
	f->m = m;
	f->spec = *spec;
	f->slots = calloc(SLOTS_FIRST, sizeof(struct series *));
	f->slot_mask = SLOTS_FIRST - 1;
	if (!f->slots) {
		free(f);
		return err_set(e, ERR_NOMEM, "metric %s", spec->name);
	}
	sort_labels(f);
	f->next = *at;
	*at = f;
	*ret = f;
	return ERR_OK;
}

static void series_drop(struct series *s)
{
	free(s->text);
	free(s->observations);
	free(s->exemplars);
	*s = (struct series){ .head.serial = s->head.serial + 1 };
}

void metric_family_free(struct metric_family *f)
{
	if (!f)
		return;
	struct metric_family **at = &f->m->families;
	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	f->m->counts.series -= f->count;
	while (f->blocks) {
		struct block *next = f->blocks->next;
		for (size_t i = 0; i < BLOCK_SERIES; i++)
			series_drop(&f->blocks->series[i]);
		free(f->blocks);
		f->blocks = next;
	}
	free(f->slots);
	free(f->sorted);
	free(f);
}

/* --- series ------------------------------------------------------------------------------- */

static struct series **slot_of(const struct metric_family *f, uint64_t hash, struct str text)
{
	size_t i = hash & f->slot_mask;

	while (f->slots[i] && (f->slots[i]->hash != hash ||
			       !str_eq(str_n(f->slots[i]->text, f->slots[i]->text_len), text)))
		i = (i + 1) & f->slot_mask;
	return &f->slots[i];
}

static bool grow_slots(struct metric_family *f)
{
	size_t mask = f->slot_mask * 2 + 1;
	struct series **slots = calloc(mask + 1, sizeof(struct series *));

	if (!slots)
		return false;
	for (size_t i = 0; i <= f->slot_mask; i++) {
		if (!f->slots[i])
			continue;
		size_t at = f->slots[i]->hash & mask;
		while (slots[at])
			at = (at + 1) & mask;
		slots[at] = f->slots[i];
	}
	free(f->slots);
	f->slots = slots;
	f->slot_mask = mask;
	return true;
}

static bool grow_free(struct metric_family *f)
{
	struct block *b = calloc(1, sizeof *b);

	if (!b)
		return false;
	b->next = f->blocks;
	f->blocks = b;
	for (size_t i = BLOCK_SERIES; i-- > 0;) {
		b->series[i].next_free = f->free;
		f->free = &b->series[i];
	}
	return true;
}

/* NULL: no memory. There must be room in the budget. */
static struct series *series_new(struct metric_family *f, uint64_t hash, struct str text,
				 enum level level)
{
	if ((f->count + 1) * 2 > f->slot_mask && !grow_slots(f))
		return NULL;
	if (!f->free && !grow_free(f))
		return NULL;
	struct series *s = f->free;
	char *copy = malloc(text.len + 1);
	struct observations *observations =
		f->spec.type == METRIC_HISTOGRAM ? calloc(1, sizeof *observations) : NULL;
	if (!copy || (f->spec.type == METRIC_HISTOGRAM && !observations)) {
		free(copy);
		free(observations);
		return NULL;
	}
	memcpy(copy, text.p, text.len);
	copy[text.len] = 0;
	f->free = s->next_free;
	*s = (struct series){
		.head.serial = s->head.serial,
		.level = (uint8_t)level,
		.is_used = true,
		.hash = hash,
		.family = f,
		.text = copy,
		.text_len = (uint32_t)text.len,
		.observations = observations,
	};
	*slot_of(f, hash, text) = s;
	f->count++;
	f->m->counts.series++;
	f->is_dirty = true;
	return s;
}

/* Takes the series out of the table; those behind it that it stood in the way of move up. */
static void unlink_slot(struct metric_family *f, struct series *s)
{
	size_t hole = (size_t)(slot_of(f, s->hash, str_n(s->text, s->text_len)) - f->slots);

	for (size_t i = (hole + 1) & f->slot_mask; f->slots[i]; i = (i + 1) & f->slot_mask) {
		size_t home = f->slots[i]->hash & f->slot_mask;
		if (((i - home) & f->slot_mask) < ((i - hole) & f->slot_mask))
			continue;
		f->slots[hole] = f->slots[i];
		hole = i;
	}
	f->slots[hole] = NULL;
}

static void series_free(struct series *s)
{
	struct metric_family *f = s->family;

	unlink_slot(f, s);
	series_drop(s);
	s->next_free = f->free;
	f->free = s;
	f->count--;
	f->m->counts.series--;
	f->is_dirty = true;
}

/* --- folding ------------------------------------------------------------------------------ */

/* The text of @from with "other" in place of its open labels, or of all. */
static void put_folded(const struct metric_family *f, struct str from, enum level level,
		       struct buf *to)
{
	for (size_t i = 0, at = 0; i < f->spec.label_count; i++) {
		const struct metric_label *label = &f->spec.labels[f->order[i]];
		size_t begin = at, end = at + strlen(label->name) + 2; /* behind name=" */
		while (end < from.len && from.p[end] != '"')
			end += from.p[end] == '\\' ? 2 : 1;
		at = end + 2; /* behind ", */
		if (i)
			buf_char(to, ',');
		if (level == LEVEL_ALL_FOLDED || label->is_open)
			page_label_put(to, label->name, STR("other"));
		else
			buf_put(to, from.p + begin, end + 1 - begin);
	}
}

static bool has_open_label(const struct metric_family *f)
{
	for (size_t i = 0; i < f->spec.label_count; i++)
		if (f->spec.labels[i].is_open)
			return true;
	return false;
}

/* Both of one family. What @from has not told yet is @to's to tell. */
static void move_untold(struct series *to, const struct series *from)
{
	to->head.count += from->head.count - from->told;
	if (!from->observations)
		return;
	struct histogram *sum = &to->observations->now;
	const struct observations *o = from->observations;
	for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
		sum->buckets[i] += o->now.buckets[i] - o->told.buckets[i];
	sum->sum += o->now.sum - o->told.sum;
}

/* May exceed the budget by the few series that are folded into. NULL: no memory. */
static struct series *folded_into(struct metric_family *f, struct str text, enum level level)
{
	AUTO_BUF struct buf folded = buf_init(f->m->text.max);

	put_folded(f, text, level, &folded);
	if (folded.failed)
		return NULL;
	uint64_t hash = hash_bytes(folded.p, folded.len, f->m->seed);
	struct series *to = *slot_of(f, hash, buf_str(&folded));
	return to ? to : series_new(f, hash, buf_str(&folded), level);
}

static int by_activity(const void *a, const void *b)
{
	const struct series *x = *(struct series *const *)a, *y = *(struct series *const *)b;
	uint64_t ax = x->head.count - x->mark, ay = y->head.count - y->mark;

	return ax < ay ? -1 : ax > ay;
}

static size_t find_candidates(struct metrics *m, enum level below)
{
	size_t n = 0;

	for (const struct metric_family *f = m->families; f; f = f->next) {
		enum level mine = has_open_label(f) ? LEVEL_OPEN_FOLDED : LEVEL_ALL_FOLDED;
		if (mine > below)
			continue;
		for (struct block *b = f->blocks; b; b = b->next)
			for (size_t i = 0; i < BLOCK_SERIES && n < m->counts.series_max; i++)
				if (b->series[i].is_used && b->series[i].level < below)
					m->candidates[n++] = &b->series[i];
	}
	return n;
}

static void fold(struct series *s, enum level level)
{
	struct series *to = folded_into(s->family, str_n(s->text, s->text_len), level);

	if (to == s)
		return;
	if (to)
		move_untold(to, s);
	else
		s->family->m->counts.refused += s->head.count - s->told;
	s->family->m->counts.folded++;
	series_free(s);
}

/* The least active give way. Activity halves each time, so that what was busy long ago is not busy
 * for ever. @return false if all that is left are series that others were folded into. */
static bool make_room(struct metrics *m)
{
	for (enum level level = LEVEL_OPEN_FOLDED; level <= LEVEL_ALL_FOLDED; level++) {
		size_t n = find_candidates(m, level), before = m->counts.series;
		size_t go = m->counts.series_max / FOLD_FRACTION;
		qsort(m->candidates, n, sizeof(struct series *), by_activity);
		for (size_t i = 0; i < n && i < go; i++)
			fold(m->candidates[i], level);
		for (size_t i = go; i < n; i++) {
			struct series *s = m->candidates[i];
			s->mark = s->head.count - (s->head.count - s->mark) / 2;
		}
		if (m->counts.series < before && m->counts.series < m->counts.series_max)
			return true;
	}
	return m->counts.series < m->counts.series_max;
}

struct metric_ref metric_series_get(struct metric_family *f, const struct str *values)
{
	struct metrics *m = f->m;

	buf_reset(&m->text);
	for (size_t i = 0; i < f->spec.label_count; i++) {
		if (i)
			buf_char(&m->text, ',');
		page_label_put(&m->text, f->spec.labels[f->order[i]].name, values[f->order[i]]);
	}
	if (m->text.failed)
		return (struct metric_ref){ 0 };
	struct str text = buf_str(&m->text);
	uint64_t hash = hash_bytes(text.p, text.len, m->seed);
	struct series *s = *slot_of(f, hash, text);
	if (!s) {
		bool fits = m->counts.series < m->counts.series_max || make_room(m);
		s = *slot_of(f, hash, text); /* others may have been folded into just this one */
		if (!s)
			s = fits ? series_new(f, hash, text, LEVEL_FULL)
				 : folded_into(f, text, LEVEL_ALL_FOLDED);
	}
	return (struct metric_ref){ s ? &s->head : NULL, s ? s->head.serial : 0 };
}

void metric_observe(struct metric_ref ref, double value)
{
	struct series *s = (struct series *)ref.series;

	s->head.count++;
	histogram_observe(&s->observations->now, value);
}

void metric_exemplar(struct metric_ref ref, struct str trace, double value, struct wall_ns when)
{
	struct series *s = (struct series *)ref.series;
	size_t n = s->observations ? HISTOGRAM_BOUNDS + 1 : 1;

	if (!trace.len || trace.len > METRIC_TRACE_BYTES)
		return;
	if (!s->exemplars)
		s->exemplars = calloc(n, sizeof *s->exemplars);
	if (!s->exemplars)
		return; /* an exemplar is an extra */
	struct exemplar *x = &s->exemplars[s->observations ? histogram_bucket(value) : 0];
	memcpy(x->trace, trace.p, trace.len);
	x->trace_len = (uint8_t)trace.len;
	x->value = value;
	x->when = when;
}

void metric_refused(struct metrics *m, uint64_t n)
{
	m->counts.refused += n;
}

/* True if the spec's @label has the value @written (name and all, as page_label_put writes it) in
 * @text. */
static bool label_is(const struct metric_family *f, struct str text, size_t label,
		     struct str written)
{
	for (size_t i = 0, at = 0; i < f->spec.label_count; i++) {
		size_t begin = at, end = at + strlen(f->spec.labels[f->order[i]].name) + 2;
		while (end < text.len && text.p[end] != '"')
			end += text.p[end] == '\\' ? 2 : 1;
		at = end + 2;
		if (f->order[i] == label)
			return str_eq(str_n(text.p + begin, end + 1 - begin), written);
	}
	return false;
}

size_t metric_series_remove(struct metric_family *f, const struct metric_match *match, size_t n)
{
	AUTO_BUF struct buf written = buf_init(METRIC_LABELS_MAX * METRIC_VALUE_BYTES * 4);
	struct str wanted[METRIC_LABELS_MAX];
	size_t removed = 0, ends[METRIC_LABELS_MAX];

	for (size_t i = 0; i < n; i++) {
		page_label_put(&written, f->spec.labels[match[i].label].name, match[i].value);
		ends[i] = written.len;
	}
	if (written.failed)
		return 0;
	for (size_t i = 0; i < n; i++) {
		size_t from = i ? ends[i - 1] : 0;
		wanted[i] = str_n(written.p + from, ends[i] - from);
	}
	for (struct block *b = f->blocks; b; b = b->next)
		for (size_t i = 0; i < BLOCK_SERIES; i++) {
			struct series *s = &b->series[i];
			bool is_it = s->is_used;
			for (size_t j = 0; is_it && j < n; j++)
				is_it = label_is(f, str_n(s->text, s->text_len), match[j].label,
						 wanted[j]);
			if (!is_it)
				continue;
			series_free(s);
			removed++;
		}
	f->m->counts.removed += removed;
	return removed;
}

struct metrics_counts metrics_counts(struct metrics *m)
{
	metrics_lock(m);
	struct metrics_counts counts = m->counts;
	metrics_unlock(m);
	return counts;
}

enum err_code metrics_collect(struct metrics *m, metrics_collect_fn *collect, void *ctx,
			      struct err *e)
{
	if (m->collector_count == COLLECTORS_MAX)
		return err_set(e, ERR_NOMEM, "more than %d collectors of metrics", COLLECTORS_MAX);
	m->collectors[m->collector_count++] = (struct collector){ collect, ctx };
	return ERR_OK;
}

/* --- writing ------------------------------------------------------------------------------ */

static int by_text(const void *a, const void *b)
{
	const struct series *x = *(struct series *const *)a, *y = *(struct series *const *)b;

	return strcmp(x->text, y->text);
}

/* @return false: no memory for the list. */
static bool sort_series(struct metric_family *f)
{
	if (!f->is_dirty)
		return true;
	if (f->sorted_room < f->count) {
		size_t room = f->count + f->count / 2;
		struct series **p = realloc(f->sorted, room * sizeof(struct series *));
		if (!p)
			return false;
		f->sorted = p;
		f->sorted_room = room;
	}
	size_t n = 0;
	for (struct block *b = f->blocks; b; b = b->next)
		for (size_t i = 0; i < BLOCK_SERIES; i++)
			if (b->series[i].is_used)
				f->sorted[n++] = &b->series[i];
	qsort(f->sorted, n, sizeof(struct series *), by_text);
	f->is_dirty = false;
	return true;
}

static struct page_exemplar exemplar_of(const struct exemplar *x)
{
	return (struct page_exemplar){ str_n(x->trace, x->trace_len), x->value, x->when };
}

static void write_series(struct metrics_page *p, struct series *s)
{
	struct str labels = str_n(s->text, s->text_len);
	struct page_exemplar x[HISTOGRAM_BOUNDS + 1];
	size_t n = s->observations ? HISTOGRAM_BOUNDS + 1 : 1;

	for (size_t i = 0; s->exemplars && i < n; i++)
		x[i] = exemplar_of(&s->exemplars[i]);
	if (s->observations) {
		page_histogram_lines(p, labels, &s->observations->now, s->exemplars ? x : NULL);
		s->observations->told = s->observations->now;
	} else {
		page_line(p, "", labels, STR(""), s->head.count, s->exemplars ? x : NULL);
	}
	s->told = s->head.count;
}

enum err_code metrics_write_families(struct metrics *m, enum page_format format, struct buf *out,
				     struct err *e)
{
	struct metrics_page page = { .out = out, .format = format };
	bool ok = true;

	metrics_lock(m);
	for (struct metric_family *f = m->families; f && ok; f = f->next) {
		if (!f->count)
			continue;
		ok = sort_series(f);
		page_family(&page, f->spec.name, f->spec.type, f->spec.help);
		for (size_t i = 0; ok && i < f->count; i++)
			write_series(&page, f->sorted[i]);
	}
	metrics_unlock(m);
	if (!ok || out->failed)
		return err_set(e, ERR_NOMEM, "a page of metrics of more than %zu bytes", out->max);
	return ERR_OK;
}

enum err_code metrics_write(struct metrics *m, enum page_format format, struct buf *out,
			    struct err *e)
{
	struct metrics_page page = { .out = out, .format = format };
	enum err_code code = metrics_write_families(m, format, out, e);

	if (code != ERR_OK)
		return code;
	for (size_t i = 0; i < m->collector_count; i++)
		m->collectors[i].collect(m->collectors[i].ctx, &page);
	page_end(&page);
	if (out->failed)
		return err_set(e, ERR_NOMEM, "a page of metrics of more than %zu bytes", out->max);
	return ERR_OK;
}
