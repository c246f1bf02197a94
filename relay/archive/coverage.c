/*
 * tycho.v1.History/GetCoverage: an answer for each node whose records, or gaps, are here.
 *
 *	nodes of tycho_flows   a   b       d
 *	gaps, by node          ·   b b b c ·      ──► a, b with three gaps, c without records, d
 */
#include "access/gate.h"
#include "clickhouse/schema.h"
#include "flow/wire.h"
#include "relay/archive/held.h"
#include "relay/archive/inside.h"
#include "relay/archive/query.h"
#include "tycho/v1/history.pb-c.h"

/* An answer must fit a client's 4 MiB; a gap has some 100 bytes. */
enum { GAPS_MAX = 10000, ANSWER_MAX_BYTES = 4 << 20, TEXT_MAX = 256, NODE_MAX = 512 };

enum { GAP_CAUSE = 1, GAP_FROM = 2, GAP_TO = 3, GAP_LOST = 4, GAP_NODE = 5, GAP_DETAIL = 6 };
enum {
	COVERAGE_NODE = 1,
	COVERAGE_OLDEST = 2,
	COVERAGE_NEWEST = 3,
	COVERAGE_HAS_STORE = 4,
	COVERAGE_GAPS = 5,
	COVERAGE_RECORDS = 7,
	COVERAGE_ARCHIVED = 14,
	COVERAGE_COUNTED = 15,
	COVERAGE_RANGE_RECORDS = 16,
};

struct range {
	struct wall_ns since, until;
	bool counts;
};

struct coverage {
	struct query *query;
	const struct range *range;
	struct held held;
	size_t at; /* the node of @held whose turn is next */
	/* the node whose gaps come */
	char node[NODE_MAX];
	uint64_t entry, gaps;
	bool has_node;
	struct buf message; /* its gaps */
	struct err fault;   /* code ERR_OK: none */
};

static Tycho__V1__Gap__Cause cause_of(struct str name)
{
	static const struct {
		const char *name; /* docs/store.md */
		Tycho__V1__Gap__Cause cause;
	} causes[] = {
		{ "observer-down", TYCHO__V1__GAP__CAUSE__OBSERVER_DOWN },
		{ "observer-crashed", TYCHO__V1__GAP__CAUSE__OBSERVER_CRASHED },
		{ "kernel-lost", TYCHO__V1__GAP__CAUSE__KERNEL_LOST },
		{ "ring-overwritten", TYCHO__V1__GAP__CAUSE__RING_OVERWRITTEN },
		{ "store-write-failed", TYCHO__V1__GAP__CAUSE__STORE_WRITE_FAILED },
		{ "store-damaged", TYCHO__V1__GAP__CAUSE__STORE_DAMAGED },
		{ "clock-set-back", TYCHO__V1__GAP__CAUSE__CLOCK_SET_BACK },
		{ CLICKHOUSE_CAUSE_PRUNED, TYCHO__V1__GAP__CAUSE__NOT_SHIPPED },
	};

	for (size_t i = 0; i < ARRAY_LEN(causes); i++)
		if (str_is(name, causes[i].name))
			return causes[i].cause;
	return TYCHO__V1__GAP__CAUSE__UNKNOWN;
}

static void put_time(struct buf *b, uint32_t field, struct wall_ns w)
{
	struct timestamp t = timestamp_of(w);
	size_t mark = wire_begin(b, field);

	wire_put_u64(b, 1, (uint64_t)t.s);
	wire_put_u64(b, 2, (uint64_t)t.ns);
	wire_end(b, mark);
}

static void put_text(struct buf *b, uint32_t field, struct str text)
{
	char clean[TEXT_MAX];

	wire_put_str(b, field, str_n(clean, utf8_sanitize(text, clean, sizeof clean)));
}

/* An answer: of @n, NULL for a node without records, and the gaps in the message. */
static enum err_code say(struct coverage *c, const char *name, const struct held_node *n,
			 struct str gaps, struct err *e)
{
	AUTO_BUF struct buf b = buf_init(ANSWER_MAX_BYTES);

	wire_put_str(&b, COVERAGE_NODE, str_of(name));
	if (n && n->newest.v) {
		put_time(&b, COVERAGE_OLDEST, n->oldest);
		put_time(&b, COVERAGE_NEWEST, n->newest);
	}
	wire_put_u64(&b, COVERAGE_HAS_STORE, 1);
	buf_str_put(&b, gaps);
	bool sees_counts = !query_rights(c->query); /* of all namespaces: for who may see all */
	if (n && sees_counts)
		wire_put_u64(&b, COVERAGE_RECORDS, n->rows);
	wire_put_u64(&b, COVERAGE_ARCHIVED, 1);
	wire_put_u64(&b, COVERAGE_COUNTED, c->range->counts && sees_counts);
	if (n && c->range->counts && sees_counts)
		wire_put_u64(&b, COVERAGE_RANGE_RECORDS, n->in_range);
	return b.failed ? err_set(e, ERR_NOMEM, "no memory for an answer")
			: query_say(c->query, buf_str(&b), e);
}

/* Those before @name, which have no gaps; NULL: all that are left. */
static enum err_code say_until(struct coverage *c, const char *name, struct err *e)
{
	enum err_code code = ERR_OK;

	while (code == ERR_OK && c->at < c->held.count &&
	       (!name || strcmp(c->held.nodes[c->at].name, name) < 0)) {
		const struct held_node *n = &c->held.nodes[c->at++];
		code = say(c, n->name, n, STR(""), e);
	}
	return code;
}

/* The node whose gaps have all come. */
static enum err_code finish_node(struct coverage *c, struct err *e)
{
	const struct held_node *n = NULL;

	if (!c->has_node)
		return ERR_OK;
	if (c->at < c->held.count && strcmp(c->held.nodes[c->at].name, c->node) == 0)
		n = &c->held.nodes[c->at++];
	if (c->message.failed)
		return err_set(e, ERR_NOMEM, "no memory for the gaps of a node");
	return say(c, c->node, n, buf_str(&c->message), e);
}

static enum err_code begin_node(struct coverage *c, const char *name, struct err *e)
{
	enum err_code code = finish_node(c, e);

	if (code == ERR_OK)
		code = say_until(c, name, e);
	memcpy(c->node, name, strlen(name) + 1); /* both are NODE_MAX */
	c->has_node = true;
	c->gaps = 0;
	buf_reset(&c->message);
	return code;
}

static bool take_gap(void *ctx, struct rowbinary_reader *r)
{
	struct coverage *c = ctx;
	struct buf *b = &c->message;
	struct str node = rowbinary_text(r);
	uint64_t entry = rowbinary_u64(r);
	struct str cause = rowbinary_text(r);
	struct wall_ns from = { rowbinary_u64(r) }, to = { rowbinary_u64(r) };
	uint64_t lost = rowbinary_u64(r);
	struct str of_node = rowbinary_text(r), detail = rowbinary_text(r);
	char name[NODE_MAX];

	if (!rowbinary_is_well(r))
		return true;
	name[utf8_sanitize(node, name, sizeof name - 1)] = '\0';
	bool is_same = c->has_node && strcmp(name, c->node) == 0;
	if (is_same && entry == c->entry)
		return true; /* twice */
	if (!is_same && begin_node(c, name, &c->fault) != ERR_OK)
		return false;
	if (c->gaps++ == GAPS_MAX) {
		(void)err_set(&c->fault, ERR_NOMEM,
			      "more than %d gaps of a node in this range: ask for a shorter one",
			      GAPS_MAX);
		return false;
	}
	c->entry = entry;
	size_t mark = wire_begin(b, COVERAGE_GAPS);
	wire_put_u64(b, GAP_CAUSE, (uint64_t)cause_of(cause));
	put_time(b, GAP_FROM, from);
	put_time(b, GAP_TO, to);
	wire_put_u64(b, GAP_LOST, lost);
	put_text(b, GAP_NODE, of_node);
	put_text(b, GAP_DETAIL, detail);
	wire_end(b, mark);
	return true;
}

static enum err_code tell(struct coverage *c, const struct range *range, struct err *e)
{
	char text[512];
	struct buf sql = buf_fixed(text, sizeof text);

	buf_printf(&sql,
		   "SELECT node, entry, cause, from_ns, to_ns, lost, of_node, detail "
		   "FROM " CLICKHOUSE_GAPS " WHERE to_ns >= %llu AND from_ns <= %llu "
		   "ORDER BY node, entry FORMAT RowBinary",
		   (unsigned long long)range->since.v, (unsigned long long)range->until.v);
	enum err_code code = held_ask(c->query, range->since, range->until, &c->held, e);
	if (code == ERR_OK)
		code = query_ask(c->query, buf_str(&sql), take_gap, c, e);
	if (code == ERR_OK && c->fault.code != ERR_OK) {
		if (e)
			*e = c->fault;
		return c->fault.code;
	}
	if (code == ERR_OK)
		code = finish_node(c, e);
	return code == ERR_OK ? say_until(c, NULL, e) : code;
}

static enum err_code run(struct query *q, void *work, struct err *e)
{
	AUTO(own_free) struct coverage *c = calloc(1, sizeof *c);

	if (!c)
		return err_set(e, ERR_NOMEM, "no memory for an answer");
	c->query = q;
	c->range = work;
	c->message = buf_init(ANSWER_MAX_BYTES);
	enum err_code code = tell(c, work, e);
	buf_done(&c->message);
	held_done(&c->held);
	return code;
}

void archive_get_coverage(struct rpc_call *call, struct str request, void *ctx)
{
	static const struct query_work work = { run, free };
	ProtobufCMessage *m =
		rpc_request_unpack(call, request, &tycho__v1__get_coverage_request__descriptor);
	const Tycho__V1__GetCoverageRequest *in = (const Tycho__V1__GetCoverageRequest *)m;

	if (!m)
		return;
	AUTO(own_free) struct range *range = calloc(1, sizeof *range);
	if (range)
		*range = (struct range){ .until = { UINT64_MAX }, .counts = in->count };
	if (!range)
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for a query");
	else if (rpc_request_time(call, in->since, &range->since) &&
		 rpc_request_time(call, in->until, &range->until))
		query_begin(ctx, call, QUERY_ANSWERS, &work, TAKE(range));
	protobuf_c_message_free_unpacked(m, NULL);
}
