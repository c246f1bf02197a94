#include "record/render.h"

#include "base/pages.h"
#include "flow/fields.h"
#include "flow/json.h"
#include "flow/names.h"
#include "flow/schema.h"
#include "flow/wire.h"
#include "observer/observer.pb-c.h"

enum {
	MESSAGE_MAX_BYTES = 64 << 20,
	DICT_ENTRIES = 1 << 17,
	DICT_FULL = 1 << 16,
	FRAGMENTS = 4096,
	FRAGMENT_BYTES = 1016,
};

/* A field of a flow as JSON, by its bytes. */
struct fragment {
	uint32_t key_len, text_len; /* 0: free */
	char bytes[FRAGMENT_BYTES]; /* key, then text */
};

struct renderer {
	struct flow_dict *dict;
	struct buf message, response;
	struct flow flow;
	struct fragment *fragments;
	uint64_t seed;
	const struct schema_message *schema; /* flow.Flow */
	const struct schema_enum *verdicts, *drops, *directions;
};

enum err_code renderer_new(struct renderer **ret, struct err *e)
{
	AUTO(renderer_free) struct renderer *r = calloc(1, sizeof *r);

	if (!r)
		return err_set(e, ERR_NOMEM, "records of a bundle");
	r->message = r->response = buf_init(MESSAGE_MAX_BYTES);
	r->verdicts = schema_find_enum(STR("flow.Verdict"));
	r->drops = schema_find_enum(STR("flow.DropReason"));
	r->directions = schema_find_enum(STR("flow.TrafficDirection"));
	r->schema = schema_find(STR("flow.Flow"));
	r->fragments = pages_new(FRAGMENTS, sizeof *r->fragments);
	r->seed = (uint64_t)(uintptr_t)r ^ mono_now().v;
	if (!r->verdicts || !r->drops || !r->directions || !r->schema || !r->fragments)
		return err_set(e, ERR_NOMEM, "records of a bundle");
	enum err_code code = flow_dict_new(DICT_ENTRIES, &r->dict, e);
	if (code == ERR_OK)
		*ret = TAKE(r);
	return code;
}

void renderer_free(struct renderer *r)
{
	if (!r)
		return;
	flow_dict_free(r->dict);
	pages_free(r->fragments, FRAGMENTS, sizeof *r->fragments);
	buf_done(&r->message);
	buf_done(&r->response);
	free(r);
}

enum err_code renderer_take(struct renderer *r, const struct str parts[CHAIN_PARTS_], struct err *e)
{
	buf_reset(&r->message);
	chain_join(parts, &r->message);
	return r->message.failed ? err_set(e, ERR_NOMEM, "a record") : ERR_OK;
}

enum err_code renderer_read(struct renderer *r, struct err *e)
{
	struct flow_dict_counts c = flow_dict_counts(r->dict);

	if (c.endpoints > DICT_FULL || c.services > DICT_FULL || c.nodes > DICT_FULL)
		flow_dict_reset(r->dict);
	return flow_decode(buf_str(&r->message), r->dict, &r->flow, e);
}

/* --- JSON --- */

/*
 * Most of a line has been said before: endpoints, addresses, names. So each field of the flow is
 * written on its own, and what it came to is remembered by its bytes, in a table of fixed size
 * where a newcomer takes the place of whoever has it. Fields that hardly repeat are not remembered.
 */
/* The fields of a flow, by their place in the schema: raw bytes of each. */
struct parted {
	struct str raw[SCHEMA_MAX_FIELDS];
	struct str node, time; /* their contents */
};

/* False: fields stand apart from their likes, or are not known. That is for the general writer. */
static bool part(const struct renderer *r, struct parted *p)
{
	struct wire_reader reader = wire_reader_of(buf_str(&r->message));

	memset(p->raw, 0, sizeof p->raw);
	p->node = p->time = (struct str){ NULL, 0 };
	for (struct wire_field x; wire_next(&reader, &x);) {
		const struct schema_field *f = schema_field_numbered(r->schema, x.number);
		if (!f)
			return false;
		struct str *raw = &p->raw[f->index];
		if (raw->p && raw->p + raw->len != x.raw.p)
			return false;
		*raw = raw->p ? str_n(raw->p, raw->len + x.raw.len) : x.raw;
		if (x.type == WIRE_LEN && x.number == FLOW_FIELD_NODE_NAME)
			p->node = x.bytes;
		else if (x.type == WIRE_LEN && x.number == FLOW_FIELD_TIME)
			p->time = x.bytes;
	}
	return !reader.bad;
}

static bool hardly_repeats(uint32_t number)
{
	return number == FLOW_FIELD_TIME || number == FLOW_FIELD_UUID || number == FLOW_FIELD_L4 ||
	       number == FLOW_FIELD_TYCHO;
}

/* Appends `"name":value`, or nothing for a default. */
static enum err_code put_field(struct renderer *r, const struct schema_field *f, struct str raw,
			       struct buf *b, struct err *e)
{
	struct fragment *slot = NULL;
	size_t start = b->len;

	if (!hardly_repeats(f->number) && raw.len < FRAGMENT_BYTES / 2) {
		slot = &r->fragments[hash_bytes(raw.p, raw.len, r->seed) % FRAGMENTS];
		if (slot->key_len == raw.len && memcmp(slot->bytes, raw.p, raw.len) == 0) {
			buf_put(b, slot->bytes + slot->key_len, slot->text_len);
			return ERR_OK;
		}
	}
	enum err_code code = json_put_message(b, &flow__flow__descriptor, raw, e);
	if (code != ERR_OK || b->failed)
		return code;
	/* without the object's braces */
	size_t len = b->len - start - 2;
	memmove(b->p + start, b->p + start + 1, len);
	b->len = start + len;
	if (slot && raw.len + len <= FRAGMENT_BYTES) {
		memcpy(slot->bytes, raw.p, raw.len);
		memcpy(slot->bytes + raw.len, b->p + start, len);
		slot->key_len = (uint32_t)raw.len;
		slot->text_len = (uint32_t)len;
	}
	return ERR_OK;
}

static enum err_code put_parted(struct renderer *r, const struct parted *p, struct buf *b,
				struct err *e)
{
	size_t time_at = 0, time_len = 0;

	buf_lit(b, "{\"flow\":{");
	size_t empty = b->len;
	for (size_t i = 0; i < r->schema->field_count; i++) {
		const struct schema_field *f = &r->schema->fields[i];
		if (!p->raw[i].p)
			continue;
		size_t before = b->len;
		if (before > empty)
			buf_char(b, ',');
		size_t at = b->len;
		enum err_code code = put_field(r, f, p->raw[i], b, e);
		if (code != ERR_OK)
			return code;
		if (b->len == at)
			b->len = before; /* a default says nothing */
		if (f->number == FLOW_FIELD_TIME) {
			time_at = at;
			time_len = b->len - at;
		}
	}
	buf_char(b, '}');
	if (p->node.len) {
		buf_lit(b, ",\"node_name\":");
		json_put_string(b, p->node);
	}
	if (p->time.p) {
		buf_char(b, ',');
		char *to = buf_reserve(b, time_len);
		if (to) {
			memcpy(to, b->p + time_at, time_len);
			b->len += time_len;
		}
	}
	buf_lit(b, "}\n");
	return ERR_OK;
}

static enum err_code put_generally(struct renderer *r, struct buf *b, struct err *e)
{
	struct wire_reader reader = wire_reader_of(buf_str(&r->message));
	struct str node = { "", 0 }, time = { NULL, 0 };
	struct buf *out = &r->response;

	for (struct wire_field x; wire_next(&reader, &x);)
		if (x.type != WIRE_LEN)
			continue;
		else if (x.number == FLOW_FIELD_NODE_NAME)
			node = x.bytes;
		else if (x.number == FLOW_FIELD_TIME)
			time = x.bytes;
	buf_reset(out);
	wire_put_len(out, RESPONSE_FIELD_FLOW, buf_str(&r->message));
	wire_put_str(out, RESPONSE_FIELD_NODE_NAME, node);
	if (time.p)
		wire_put_len(out, RESPONSE_FIELD_TIME, time);
	if (out->failed)
		return err_set(e, ERR_NOMEM, "a record");
	enum err_code code =
		json_put_message(b, &observer__get_flows_response__descriptor, buf_str(out), e);
	buf_char(b, '\n');
	return code;
}

enum err_code render_json(struct renderer *r, struct buf *b, struct err *e)
{
	struct parted p;

	return part(r, &p) ? put_parted(r, &p, b, e) : put_generally(r, b, e);
}

/* --- CSV --- */

struct str render_csv_head(void)
{
	return STR("seq,time,verdict,drop_reason,direction,reply,source_namespace,source_pod,"
		   "source_ip,source_port,destination_namespace,destination_pod,destination_ip,"
		   "destination_port,protocol,node\n");
}

/* What a spreadsheet would take for a formula, and run: any text can be a name, and whoever checks
 * a bundle opens the table in one. As OWASP has it ("CSV Injection"). */
static bool is_formula(struct str s)
{
	return s.len && memchr("=+-@\t\r", s.p[0], 6);
}

static void put_cell(struct buf *b, struct str s, bool is_last)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++)
		quoted |= s.p[i] == '"' || s.p[i] == ',' || s.p[i] == '\n' || s.p[i] == '\r';
	if (quoted)
		buf_char(b, '"');
	if (is_formula(s))
		buf_char(b, '\'');
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] == '"')
			buf_char(b, '"');
		buf_char(b, s.p[i]);
	}
	if (quoted)
		buf_char(b, '"');
	buf_char(b, is_last ? '\n' : ',');
}

static void put_name(struct buf *b, const struct schema_enum *e, int32_t number)
{
	struct str name = schema_enum_name(e, number);

	if (name.len)
		put_cell(b, name, false);
	else
		buf_printf(b, "%d,", number);
}

static void put_side(struct renderer *r, struct buf *b, enum flow_side side)
{
	const struct flow *f = &r->flow;
	const struct endpoint *ep =
		flow_dict_get_endpoint(r->dict, side == FLOW_SRC ? f->src_ep : f->dst_ep);
	char tmp[FLOW_IP_TEXT_BYTES];
	uint32_t port;

	put_cell(b, ep ? ep->namespace_ : STR(""), false);
	put_cell(b, ep ? ep->pod : STR(""), false);
	put_cell(b, flow_ip_text(f, side, tmp), false);
	if (flow_port(f, side, &port) && port)
		buf_u64(b, port);
	buf_char(b, ',');
}

void render_csv(struct renderer *r, struct buf *b)
{
	const struct flow *f = &r->flow;
	const struct node *node = flow_dict_get_node(r->dict, f->node);
	struct str detail, message = buf_str(&r->message);
	struct timestamp t;
	uint64_t seq = 0;

	if (wire_find(message, FLOW_FIELD_TYCHO, &detail)) {
		struct wire_reader reader = wire_reader_of(detail);
		for (struct wire_field x; wire_next(&reader, &x);)
			if (x.number == DETAIL_FIELD_SEQ && x.type == WIRE_VARINT)
				seq = x.value;
	}
	buf_u64(b, seq);
	buf_char(b, ',');
	if (flow_time(f, &t))
		timestamp_put(b, t);
	buf_char(b, ',');
	put_name(b, r->verdicts, flow_enum(f, FLOW_FIELD_VERDICT, f->verdict));
	put_name(b, r->drops, (int32_t)f->drop_desc);
	put_name(b, r->directions, flow_enum(f, FLOW_FIELD_TRAFFIC_DIRECTION, f->direction));
	buf_str_put(b, f->is_reply == FLOW_REPLY_TRUE    ? STR("true,")
		       : f->is_reply == FLOW_REPLY_FALSE ? STR("false,")
							 : STR(","));
	put_side(r, b, FLOW_SRC);
	put_side(r, b, FLOW_DST);
	put_cell(b, str_of(l4_name(f->l4)), false);
	put_cell(b, node ? node->name : STR(""), true);
}

const struct flow *renderer_flow(const struct renderer *r)
{
	return &r->flow;
}

const struct flow_dict *renderer_dict(const struct renderer *r)
{
	return r->dict;
}
