#include "relay/archive/held.h"

#include "base/buf.h"
#include "clickhouse/schema.h"
#include "relay/archive/inside.h"
#include "relay/archive/query.h"

enum { NODES_MAX = 100000 };

void held_done(struct held *h)
{
	for (size_t i = 0; i < h->count; i++)
		free(h->nodes[i].name);
	free(h->nodes);
	*h = (struct held){ 0 };
}

struct taking {
	struct held *held;
	bool failed;
};

static bool take_node(void *ctx, struct rowbinary_reader *r)
{
	struct taking *t = ctx;
	struct held *h = t->held;
	struct str name = rowbinary_text(r);
	struct held_node n = { .oldest = { rowbinary_u64(r) }, .newest = { rowbinary_u64(r) } };

	n.rows = rowbinary_u64(r);
	n.flows = rowbinary_u64(r);
	n.in_range = rowbinary_u64(r);
	if (!rowbinary_is_well(r))
		return true;
	if (h->count == h->cap) {
		size_t cap = h->cap ? 2 * h->cap : 64;
		struct held_node *nodes =
			cap < 2 * NODES_MAX ? realloc(h->nodes, cap * sizeof *nodes) : NULL;
		t->failed = !nodes;
		if (!nodes)
			return false;
		h->nodes = nodes;
		h->cap = cap;
	}
	char clean[ERR_MSG_BYTES];
	n.name = str_dup(str_n(clean, utf8_sanitize(name, clean, sizeof clean)));
	t->failed = !n.name;
	if (n.name)
		h->nodes[h->count++] = n;
	return !t->failed;
}

enum err_code held_ask(struct query *q, struct wall_ns since, struct wall_ns until,
		       struct held *ret, struct err *e)
{
	char text[512];
	struct buf sql = buf_fixed(text, sizeof text);
	AUTO_HELD struct held h = { 0 };
	struct taking t = { .held = &h };

	buf_printf(&sql,
		   "SELECT node, minIf(time_ns, time_ns > 0), max(time_ns), toUInt64(count()), "
		   "toUInt64(countIf(kind = '" CLICKHOUSE_KIND_FLOW "')), "
		   "toUInt64(countIf(time_ns = 0 OR (time_ns >= %llu AND time_ns <= %llu))) "
		   "FROM " CLICKHOUSE_FLOWS " GROUP BY node ORDER BY node FORMAT RowBinary",
		   (unsigned long long)since.v, (unsigned long long)until.v);
	enum err_code code = query_ask(q, buf_str(&sql), take_node, &t, e);
	if (code == ERR_OK && t.failed)
		code = err_set(e, ERR_NOMEM, "more nodes than there is memory for");
	if (code != ERR_OK)
		return code;
	*ret = h;
	h = (struct held){ 0 };
	return ERR_OK;
}

uint64_t held_span_ns(const struct held *h)
{
	uint64_t oldest = UINT64_MAX, newest = 0;

	for (size_t i = 0; i < h->count; i++) {
		const struct held_node *n = &h->nodes[i];
		if (n->newest.v && n->oldest.v < oldest)
			oldest = n->oldest.v;
		newest = n->newest.v > newest ? n->newest.v : newest;
	}
	return newest > oldest ? newest - oldest : 0;
}
