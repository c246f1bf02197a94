#include "relay/merge.h"

struct item {
	uint64_t time_ns, came_ns;
	struct merge_item what;
};

struct lane {
	struct item *ring; /* of cap, a power of two; grows */
	size_t cap, head, count;
	bool is_open;
	uint64_t empty_since_ns, patience_ns; /* while open */
};

struct merge {
	struct merge_config config;
	struct lane *lanes;
	size_t lane_count, lane_cap;
	size_t open, open_empty, held;
	size_t *heap; /* lanes that hold items, the oldest head first; room for all lanes */
	size_t heap_count;
	/* No empty lane is waited for beyond this; may be too late, never too early. */
	uint64_t patient_until_ns;
};

enum err_code merge_new(const struct merge_config *config, struct merge **ret, struct err *e)
{
	struct merge *m = calloc(1, sizeof *m);
	if (!m)
		return err_set(e, ERR_NOMEM, "merge");
	m->config = *config;
	*ret = m;
	return ERR_OK;
}

void merge_free(struct merge *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->lane_count; i++)
		free(m->lanes[i].ring);
	free(m->lanes);
	free(m->heap);
	free(m);
}

/* ---- the heap of heads */

static const struct item *head_of(const struct merge *m, size_t lane)
{
	const struct lane *l = &m->lanes[lane];

	return &l->ring[l->head];
}

/* Of equal times the lower lane's first, so that the order is one and the same each time. */
static bool goes_before(const struct merge *m, size_t a, size_t b)
{
	uint64_t ta = head_of(m, a)->time_ns, tb = head_of(m, b)->time_ns;

	return ta != tb ? ta < tb : a < b;
}

static void sift_up(struct merge *m, size_t i)
{
	while (i > 0 && goes_before(m, m->heap[i], m->heap[(i - 1) / 2])) {
		size_t parent = (i - 1) / 2, lane = m->heap[i];
		m->heap[i] = m->heap[parent];
		m->heap[parent] = lane;
		i = parent;
	}
}

static void sift_down(struct merge *m, size_t i)
{
	for (;;) {
		size_t first = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2; child++)
			if (child < m->heap_count && goes_before(m, m->heap[child], m->heap[first]))
				first = child;
		if (first == i)
			return;
		size_t lane = m->heap[i];
		m->heap[i] = m->heap[first];
		m->heap[first] = lane;
		i = first;
	}
}

/* ---- lanes */

static void await(struct merge *m, struct lane *l, struct mono_ns now)
{
	l->empty_since_ns = now.v;
	m->open_empty++;
	if (now.v + l->patience_ns > m->patient_until_ns)
		m->patient_until_ns = now.v + l->patience_ns;
}

enum err_code merge_lane_add(struct merge *m, struct mono_ns now, size_t *ret_lane, struct err *e)
{
	if (m->lane_count == m->lane_cap) {
		size_t cap = m->lane_cap ? 2 * m->lane_cap : 8;
		struct lane *lanes = realloc(m->lanes, cap * sizeof *lanes);
		if (lanes)
			m->lanes = lanes;
		size_t *heap = lanes ? realloc(m->heap, cap * sizeof *heap) : NULL;
		if (!heap)
			return err_set(e, ERR_NOMEM, "merge of %zu streams", cap);
		m->heap = heap;
		m->lane_cap = cap;
	}
	*ret_lane = m->lane_count++;
	m->lanes[*ret_lane] = (struct lane){ 0 };
	merge_lane_reopen(m, *ret_lane, now);
	return ERR_OK;
}

void merge_lane_reopen(struct merge *m, size_t lane, struct mono_ns now)
{
	struct lane *l = &m->lanes[lane];

	if (l->is_open)
		return;
	l->is_open = true;
	l->patience_ns = m->config.drain_ns;
	m->open++;
	if (l->count == 0)
		await(m, l, now);
}

void merge_lane_end(struct merge *m, size_t lane)
{
	struct lane *l = &m->lanes[lane];

	if (!l->is_open)
		return;
	l->is_open = false;
	m->open--;
	if (l->count == 0)
		m->open_empty--;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What its silence has cost, and what speaking has earned. */
static void settle_patience(struct merge *m, struct lane *l, struct mono_ns now)
{
	if (l->count == 0)
		l->patience_ns -= smaller(now.v - l->empty_since_ns, l->patience_ns);
	l->patience_ns = smaller(l->patience_ns + MERGE_EARN_NS, m->config.drain_ns);
}

static bool grow(struct lane *l)
{
	size_t cap = l->cap ? 2 * l->cap : 8;
	struct item *ring = malloc(cap * sizeof *ring);

	if (!ring)
		return false;
	for (size_t i = 0; i < l->count; i++)
		ring[i] = l->ring[(l->head + i) & (l->cap - 1)];
	free(l->ring);
	l->ring = ring;
	l->cap = cap;
	l->head = 0;
	return true;
}

enum err_code merge_put(struct merge *m, size_t lane, struct wall_ns time, struct merge_item item,
			struct mono_ns now, struct err *e)
{
	struct lane *l = &m->lanes[lane];

	if (l->count == l->cap && !grow(l))
		return err_set(e, ERR_NOMEM, "merge");
	if (l->is_open) {
		settle_patience(m, l, now);
		m->open_empty -= l->count == 0;
	}
	l->ring[(l->head + l->count++) & (l->cap - 1)] = (struct item){ time.v, now.v, item };
	m->held++;
	if (l->count == 1) {
		m->heap[m->heap_count] = lane;
		sift_up(m, m->heap_count++);
	}
	return ERR_OK;
}

/* Until when some empty lane is waited for: looked up exactly when the bound says "still". */
static bool is_patient(struct merge *m, struct mono_ns now)
{
	uint64_t until = 0;

	if (m->patient_until_ns <= now.v)
		return false;
	for (size_t i = 0; i < m->lane_count; i++) {
		const struct lane *l = &m->lanes[i];
		if (l->is_open && l->count == 0 && l->empty_since_ns + l->patience_ns > until)
			until = l->empty_since_ns + l->patience_ns;
	}
	m->patient_until_ns = until;
	return until > now.v;
}

static bool is_due(struct merge *m, const struct item *first, struct mono_ns now)
{
	if (m->open_empty == 0 || first->time_ns == 0)
		return true;
	if (first->time_ns < m->config.live_from.v)
		return !is_patient(m, now);
	return m->held >= m->config.window ||
	       now.v >= first->came_ns + smaller(MERGE_SETTLE_NS, m->config.drain_ns);
}

static void pop_first(struct merge *m, struct mono_ns now, struct merge_item *ret)
{
	struct lane *l = &m->lanes[m->heap[0]];

	*ret = l->ring[l->head].what;

	l->head = (l->head + 1) & (l->cap - 1);
	l->count--;
	m->held--;
	if (l->count == 0) {
		m->heap[0] = m->heap[--m->heap_count];
		if (l->is_open)
			await(m, l, now);
	}
	sift_down(m, 0);
}

bool merge_pop(struct merge *m, struct mono_ns now, struct merge_item *ret)
{
	if (m->heap_count == 0 || !is_due(m, head_of(m, m->heap[0]), now))
		return false;
	pop_first(m, now, ret);
	return true;
}

bool merge_pop_any(struct merge *m, struct merge_item *ret)
{
	if (m->heap_count == 0)
		return false;
	pop_first(m, (struct mono_ns){ 0 }, ret);
	return true;
}

size_t merge_held(const struct merge *m)
{
	return m->held;
}

size_t merge_open_lanes(const struct merge *m)
{
	return m->open;
}

bool merge_lane_is_silent(const struct merge *m, size_t lane, struct mono_ns now)
{
	const struct lane *l = &m->lanes[lane];

	return l->is_open && l->count == 0 && now.v >= l->empty_since_ns + l->patience_ns;
}
