#include "ui-server/backlog.h"

#include "base/buf.h"
#include "base/map.h"
#include "flow/flow.h"
#include "flow/wire.h"
#include "rpc/client.h"

enum {
	KEYS = 1 << 16,
	KEY_BYTES = 256,
	REQUEST_BYTES = 4 << 20,
	MESSAGES_AT_ONCE = 256,
	GET_FLOWS_NUMBER = 1, /* of observer.GetFlowsRequest */
	SEEN = 0,
	CALL_BITS = 16,
};
#define PAUSE_NS (2 * NS_PER_S)
#define PAUSE_MOST_NS (32 * NS_PER_S)

/* A call, and those flows of its answer that were not seen yet. */
struct asked {
	uint16_t number; /* 0: none */
	size_t missing;
};

struct ui_backlog {
	struct rpc_channel *channel;
	struct str filters;
	struct map *flows;     /* key to SEEN, or to the numbers of the calls it is missing from */
	bool has_forgotten;    /* some that were seen */
	bool is_again;         /* the stream is not the first */
	bool is_patchy;        /* some of the stream may never come */
	uint16_t calls;        /* made; numbers may come again after 65,535 */
	struct asked answered; /* to its end */
	struct asked asking;   /* meanwhile the answer before it counts */
	bool is_void;          /* of its answer a part is forgotten */
	struct rpc_stream *said; /* of asking; NULL: none goes on */
	struct mono_ns again_at;
	uint64_t pause_ns;
};

enum err_code ui_backlog_new(struct rpc_channel *channel, struct str filters, uint64_t seed,
			     struct ui_backlog **ret, struct err *e)
{
	AUTO(ui_backlog_free) struct ui_backlog *b = calloc(1, sizeof *b);

	if (!b)
		return err_set(e, ERR_NOMEM, "history of a view");
	*b = (struct ui_backlog){ .channel = channel, .filters = filters, .pause_ns = PAUSE_NS };
	if (map_new(KEYS, seed, &b->flows, e) != ERR_OK)
		return e->code;
	*ret = TAKE(b);
	return ERR_OK;
}

void ui_backlog_free(struct ui_backlog *b)
{
	if (!b)
		return;
	rpc_stream_free(b->said);
	map_free(b->flows);
	free(b);
}

bool ui_backlog_is_asked_for(const struct ui_backlog *b)
{
	return !b->has_forgotten;
}

void ui_backlog_begin(struct ui_backlog *b)
{
	b->is_again = map_count(b->flows) > 0;
	b->is_patchy = b->has_forgotten;
	b->answered = (struct asked){ 0 }; /* it may be another server */
	b->again_at.v = 0;
}

void ui_backlog_lost(struct ui_backlog *b)
{
	b->is_patchy = true;
}

/* --- flows -------------------------------------------------------------------------------- */

/* @f NULL: of a loss. */
static struct str key_of(const struct flow_response *r, const struct flow *f, char tmp[KEY_BYTES])
{
	struct str uuid = f ? flow_uuid_text(f, tmp) : STR("");
	struct buf b = buf_fixed(tmp, KEY_BYTES);

	if (uuid.len)
		return str_upto(uuid, KEY_BYTES);
	buf_printf(&b, "%s %lld.%d ", f ? "flow" : "loss", (long long)r->time.s, (int)r->time.ns);
	buf_str_put(&b, str_upto(r->node_name, KEY_BYTES / 2));
	return buf_str(&b);
}

static bool is_missing_from(uint32_t value, uint16_t call)
{
	return call && ((uint16_t)value == call || value >> CALL_BITS == call);
}

/* There is no room for more: a later call tells of newer ones. */
static void forget(struct ui_backlog *b)
{
	map_reset(b->flows);
	b->has_forgotten = b->is_void = true;
	b->answered = (struct asked){ 0 };
	b->asking.missing = 0;
}

static void note(struct ui_backlog *b, struct str key, uint32_t value)
{
	struct err e;

	if (map_put(b->flows, key, value, NULL, &e) == ERR_OK)
		return;
	forget(b);
	if (value == SEEN) /* it may be the one that the next call tells of */
		b->is_void |= map_put(b->flows, key, SEEN, NULL, &e) != ERR_OK;
}

bool ui_backlog_saw(struct ui_backlog *b, const struct flow_response *r, const struct flow *f)
{
	char tmp[KEY_BYTES];
	struct str key = key_of(r, f, tmp);
	uint32_t value;

	if (map_get(b->flows, key, &value)) {
		if (value == SEEN)
			return !b->is_again;
		b->answered.missing -= is_missing_from(value, b->answered.number);
		b->asking.missing -= is_missing_from(value, b->asking.number);
	}
	note(b, key, SEEN);
	return true;
}

/* --- the other call ----------------------------------------------------------------------- */

static void take_flow(struct ui_backlog *b, struct str message, struct flow_dict *dict)
{
	char tmp[KEY_BYTES];
	struct flow_response r;
	struct flow f;
	struct err e;
	uint32_t value = SEEN;

	if (flow_response_split(message, &r, &e) != ERR_OK || !r.has_message ||
	    r.kind != FLOW_KIND_FLOW || flow_decode(r.message, dict, &f, &e) != ERR_OK)
		return; /* the view says so in the log, of the same flow */
	struct str key = key_of(&r, &f, tmp);
	bool is_known = map_get(b->flows, key, &value);
	if (is_known && (value == SEEN || is_missing_from(value, b->asking.number)))
		return;
	uint32_t before = is_missing_from(value, b->answered.number) ? b->answered.number : 0;
	b->asking.missing++;
	note(b, key, before << CALL_BITS | b->asking.number);
}

static void ask(struct ui_backlog *b, struct mono_ns now)
{
	AUTO_BUF struct buf request = buf_init(REQUEST_BYTES);
	struct err e;

	b->calls = b->calls == UINT16_MAX ? 1 : (uint16_t)(b->calls + 1);
	b->asking = (struct asked){ .number = b->calls };
	b->is_void = false;
	b->again_at.v = now.v + b->pause_ns; /* should it fail */
	wire_put_u64(&request, GET_FLOWS_NUMBER, 1);
	buf_str_put(&request, b->filters);
	if (request.failed || rpc_stream_open(b->channel, "/observer.Observer/GetFlows",
					      buf_str(&request), &b->said, &e) != ERR_OK)
		b->said = NULL; /* no memory now: after the pause */
}

/* What the call has said by now. */
static void take(struct ui_backlog *b, struct mono_ns now, struct flow_dict *dict)
{
	enum err_code code = ERR_OK;
	struct str message;
	struct err e;

	for (size_t i = 0; code == ERR_OK && i < MESSAGES_AT_ONCE; i++) {
		code = rpc_stream_next(b->said, 1, &message, &e);
		if (code == ERR_OK)
			take_flow(b, message, dict);
	}
	if (code == ERR_OK || code == ERR_TIMEOUT)
		return;
	rpc_stream_free(TAKE(b->said));
	if (code == ERR_CLOSED && !b->is_void)
		b->answered = b->asking;
	b->asking = (struct asked){ 0 };
	b->again_at.v = now.v + b->pause_ns;
	b->pause_ns = b->pause_ns * 2 < PAUSE_MOST_NS ? b->pause_ns * 2 : PAUSE_MOST_NS;
}

bool ui_backlog_has_come(struct ui_backlog *b, struct mono_ns now, struct flow_dict *dict)
{
	if (b->said)
		take(b, now, dict);
	if (b->answered.number && !b->answered.missing)
		return true;
	if (b->said || now.v < b->again_at.v)
		return false;
	/* It had its time, and the stream had losses: what is missing may be among them. */
	if (b->answered.number && b->is_patchy)
		return true;
	ask(b, now);
	return false;
}
