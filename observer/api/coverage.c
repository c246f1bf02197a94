/* tycho.v1.History/GetCoverage: since when there are records, and where some are missing. One
 * answer: this node's. */
#include "access/gate.h"
#include "evidence/checkpoint.h"
#include "observer/api/inside.h"
#include "observer/api/range_count.h"
#include "tycho/v1/history.pb-c.h"

/* An answer must fit a client's 4 MiB; a gap has some 100 bytes. */
enum { GAPS_MAX = 10000, NODE_MAX = 512, TEXT_MAX = 256 };

static const Tycho__V1__Gap__Cause causes[STORE_GAP_CAUSES_] = {
	[STORE_GAP_UNKNOWN] = TYCHO__V1__GAP__CAUSE__UNKNOWN,
	[STORE_GAP_DOWN] = TYCHO__V1__GAP__CAUSE__OBSERVER_DOWN,
	[STORE_GAP_CRASHED] = TYCHO__V1__GAP__CAUSE__OBSERVER_CRASHED,
	[STORE_GAP_KERNEL] = TYCHO__V1__GAP__CAUSE__KERNEL_LOST,
	[STORE_GAP_RING] = TYCHO__V1__GAP__CAUSE__RING_OVERWRITTEN,
	[STORE_GAP_WRITE] = TYCHO__V1__GAP__CAUSE__STORE_WRITE_FAILED,
	[STORE_GAP_DAMAGED] = TYCHO__V1__GAP__CAUSE__STORE_DAMAGED,
	[STORE_GAP_CLOCK] = TYCHO__V1__GAP__CAUSE__CLOCK_SET_BACK,
};

struct gap_message {
	Tycho__V1__Gap gap;
	Google__Protobuf__Timestamp from, to;
	char node[NODE_MAX], detail[TEXT_MAX];
};

struct coverage {
	struct gap_message *gaps;
	size_t count, max;
	uint64_t left_out;
	bool no_memory;
};

static void coverage_done(struct coverage *c)
{
	free(c->gaps);
}

static Google__Protobuf__Timestamp message_of(struct wall_ns w)
{
	Google__Protobuf__Timestamp m = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
	struct timestamp t = timestamp_of(w);

	m.seconds = t.s;
	m.nanos = t.ns;
	return m;
}

static void copy_text(char *to, size_t size, struct str from)
{
	to[utf8_sanitize(from, to, size - 1)] = '\0';
}

static void take_gap(void *ctx, const struct store_gap *gap)
{
	struct coverage *c = ctx;

	if (c->count == GAPS_MAX || c->no_memory) {
		c->left_out++;
		return;
	}
	if (c->count == c->max) {
		size_t max = c->max ? 2 * c->max : 16;
		struct gap_message *more = realloc(c->gaps, max * sizeof *more);
		if (!more) {
			c->no_memory = true;
			return;
		}
		c->gaps = more;
		c->max = max;
	}
	struct gap_message *m = &c->gaps[c->count++];
	tycho__v1__gap__init(&m->gap);
	m->gap.cause = causes[gap->cause];
	m->gap.lost = gap->lost;
	m->from = message_of(gap->from);
	m->to = message_of(gap->to);
	copy_text(m->node, sizeof m->node, gap->node);
	copy_text(m->detail, sizeof m->detail, gap->detail);
}

/* Pointers into the array are good once it has its place. */
static Tycho__V1__Gap **link_gaps(struct coverage *c)
{
	Tycho__V1__Gap **list = calloc(c->count + 1, sizeof *list);

	for (size_t i = 0; list && i < c->count; i++) {
		struct gap_message *m = &c->gaps[i];
		m->gap.from = &m->from;
		m->gap.to = &m->to;
		m->gap.node_name = m->node;
		m->gap.detail = m->detail;
		list[i] = &m->gap;
	}
	return list;
}

static void take_checkpoint(void *ctx, const struct store_checkpoint *c)
{
	struct wall_ns *signed_at = ctx;
	struct checkpoint_text text;

	if (checkpoint_text_parse(c->text, &text))
		*signed_at = text.time;
}

/* What the answer has of the store beyond its records. @signed_at must outlive the message. */
static enum err_code tell_store(struct api *a, const struct store_counts *counts,
				Tycho__V1__GetCoverageResponse *m,
				Google__Protobuf__Timestamp *signed_at, struct err *e)
{
	struct wall_ns time = { 0 };

	m->has_store = true;
	m->retention_s = a->retention_ns / NS_PER_S;
	m->retention_bytes = a->retention_bytes;
	/* before the first write, none has failed */
	m->not_writing = !counts->is_writing && (counts->seal_errors || counts->lost);
	enum err_code code = store_last_checkpoint(past_reader(a->past), take_checkpoint, &time, e);
	if (code == ERR_OK && time.v) {
		*signed_at = message_of(time);
		m->last_checkpoint = signed_at;
	}
	return code;
}

/* Without a store the log is all there is; its records have no gaps between them. */
static enum err_code look(struct api *a, const struct store_range *range, struct coverage *c,
			  struct wall_ns *ret_oldest, struct wall_ns *ret_newest,
			  struct wall_ns *ret_edges_oldest, struct err *e)
{
	struct flow_log_counts counts = flow_log_counts(a->log);
	enum err_code code = ERR_OK;

	*ret_oldest = counts.oldest_time;
	*ret_newest = counts.newest_time;
	ret_edges_oldest->v = 0;
	if (!a->past)
		return ERR_OK;
	struct wall_ns oldest, newest;
	code = store_extent(past_reader(a->past), &oldest, &newest, e);
	if (code == ERR_OK)
		code = store_edges_oldest(past_reader(a->past), ret_edges_oldest, e);
	if (code != ERR_OK)
		return code;
	if (oldest.v && (!ret_oldest->v || oldest.v < ret_oldest->v))
		*ret_oldest = oldest;
	if (newest.v > ret_newest->v)
		*ret_newest = newest;
	return store_gaps(past_reader(a->past), range->since, range->until, take_gap, c, e);
}

struct stream {
	struct api *api;
	struct store_range range;
	bool counts;
	struct range_count count;
};

static void done(void *state)
{
	struct stream *s = state;

	range_count_done(&s->count);
	free(s);
}

static void send(struct rpc_call *call, const ProtobufCMessage *m)
{
	size_t bytes = protobuf_c_message_get_packed_size(m);
	uint8_t *room = rpc_call_reserve(call, bytes); /* the first message: there is some */

	if (!room) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for an answer of %zu bytes",
			     bytes);
		return;
	}
	rpc_call_commit(call, protobuf_c_message_pack(m, room));
	rpc_call_end(call, RPC_OK, "%s", "");
}

static void answer(const struct stream *s, struct rpc_call *call)
{
	__attribute__((cleanup(coverage_done))) struct coverage c = { 0 };
	struct api *a = s->api;
	/* of all namespaces: for who may see all */
	const bool sees_counts = !gate_rights(call);
	struct wall_ns oldest, newest, edges_oldest;
	struct err e;

	if (look(a, &s->range, &c, &oldest, &newest, &edges_oldest, &e) != ERR_OK) {
		rpc_call_end(call, RPC_INTERNAL, "the store cannot be read: %s", e.msg);
		return;
	}
	AUTO(own_free) Tycho__V1__Gap **gaps = link_gaps(&c);
	if (!gaps || c.no_memory) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for an answer");
		return;
	}
	if (c.left_out) {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED,
			     "more than %d gaps in this range: ask for a shorter one", GAPS_MAX);
		return;
	}
	Tycho__V1__GetCoverageResponse m;
	Google__Protobuf__Timestamp from = message_of(oldest), to = message_of(newest),
				    edges_from = message_of(edges_oldest), signed_at;
	tycho__v1__get_coverage_response__init(&m);
	m.node_name = a->node_name;
	m.oldest = oldest.v ? &from : NULL;
	m.newest = newest.v ? &to : NULL;
	m.edges_oldest = sees_counts && edges_oldest.v ? &edges_from : NULL;
	m.n_gaps = c.count;
	m.gaps = gaps;
	if (a->past) {
		struct store_counts counts = past_counts(a->past);
		m.records = sees_counts ? counts.records : 0;
		m.bytes = sees_counts ? counts.file_bytes : 0;
		if (tell_store(a, &counts, &m, &signed_at, &e) != ERR_OK) {
			rpc_call_end(call, RPC_INTERNAL, "the store cannot be read: %s", e.msg);
			return;
		}
	} else {
		m.records = sees_counts ? flow_log_counts(a->log).held : 0;
	}
	m.counted = s->counts;
	m.range_records = s->count.records;
	send(call, &m.base);
}

static enum rpc_fill fill(struct rpc_call *call, void *state)
{
	struct stream *s = state;
	bool more = false;
	struct err e;

	if (s->counts && range_count_go_on(&s->count, s->api->batch, &more, &e) != ERR_OK) {
		rpc_call_end(call, RPC_INTERNAL, "the store cannot be read: %s", e.msg);
		return RPC_ENDED;
	}
	if (more)
		return RPC_MORE;
	answer(s, call);
	return RPC_ENDED;
}

static const struct rpc_stream_ops ops = { fill, done };

void api_get_coverage(struct rpc_call *call, struct str request, void *ctx)
{
	ProtobufCMessage *m =
		rpc_request_unpack(call, request, &tycho__v1__get_coverage_request__descriptor);
	const Tycho__V1__GetCoverageRequest *in = (const Tycho__V1__GetCoverageRequest *)m;
	struct stream *s = m ? calloc(1, sizeof *s) : NULL;
	struct err e;

	if (!m)
		return;
	bool is_range = false;
	if (s) {
		*s = (struct stream){ .api = ctx, .range = { .until = { UINT64_MAX } } };
		s->counts = in->count && !gate_rights(call);
		is_range = rpc_request_time(call, in->since, &s->range.since) &&
			   rpc_request_time(call, in->until, &s->range.until);
	} else {
		rpc_call_end(call, RPC_RESOURCE_EXHAUSTED, "no memory for an answer");
	}
	protobuf_c_message_free_unpacked(m, NULL);
	if (is_range && s->counts &&
	    range_count_init(&s->count, s->api->log, s->api->past, s->range.since, s->range.until,
			     &e) != ERR_OK) {
		rpc_call_end(call, e.code == ERR_NOMEM ? RPC_RESOURCE_EXHAUSTED : RPC_INTERNAL,
			     "the store cannot be read: %s", e.msg);
		is_range = false;
	}
	if (is_range)
		rpc_call_stream(call, &ops, s);
	else if (s)
		done(s);
}
