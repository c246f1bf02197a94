#include "record/line.h"

#include <sys/random.h>

#include "base/pages.h"
#include "flow/fields.h"
#include "flow/wire.h"
#include "record/endpoints.h"
#include "record/recent.h"
#include "record/templates.h"

enum { MADE_BYTES = 1 << 16 };

/* Members whose values differ from flow to flow. */
enum slot {
	/* of which a node has few values: these are remembered */
	SOURCE_NAMES = TEMPLATE_SLOTS,
	DESTINATION_NAMES,
	SOURCE_SERVICE,
	DESTINATION_SERVICE,
	INTERFACE,
	RECENT_END,
	/* endpoints.h */
	SOURCE = RECENT_END,
	DESTINATION,
	/* and these are read */
	TIME,
	UUID,
	SUMMARY,
	ETHERNET,
	IP,
	L4,
	TUNNEL,
	L7,
	PROXY_PORT,
	TRACE_CONTEXT,
	SOCKET_COOKIE,
	CGROUP_ID,
	IP_TRACE_ID,
	TYCHO,
	SLOTS
};
static const uint32_t slot_numbers[SLOTS] = {
	[ETHERNET] = FLOW_FIELD_ETHERNET,
	[SOURCE_NAMES] = FLOW_FIELD_SOURCE_NAMES,
	[DESTINATION_NAMES] = FLOW_FIELD_DESTINATION_NAMES,
	[SOURCE_SERVICE] = FLOW_FIELD_SOURCE_SERVICE,
	[DESTINATION_SERVICE] = FLOW_FIELD_DESTINATION_SERVICE,
	[INTERFACE] = FLOW_FIELD_INTERFACE,
	[SUMMARY] = FLOW_FIELD_SUMMARY,
	[SOURCE] = FLOW_FIELD_SOURCE,
	[DESTINATION] = FLOW_FIELD_DESTINATION,
	[TIME] = FLOW_FIELD_TIME,
	[UUID] = FLOW_FIELD_UUID,
	[IP] = FLOW_FIELD_IP,
	[L4] = FLOW_FIELD_L4,
	[TUNNEL] = FLOW_FIELD_TUNNEL,
	[L7] = FLOW_FIELD_L7,
	[PROXY_PORT] = FLOW_FIELD_PROXY_PORT,
	[TRACE_CONTEXT] = FLOW_FIELD_TRACE_CONTEXT,
	[SOCKET_COOKIE] = FLOW_FIELD_SOCKET_COOKIE,
	[CGROUP_ID] = FLOW_FIELD_CGROUP_ID,
	[IP_TRACE_ID] = FLOW_FIELD_IP_TRACE_ID,
	[TYCHO] = FLOW_FIELD_TYCHO,
};
/* By how many bytes of its text a value is looked up. */
static const uint8_t recent_fronts[RECENT_END] = {
	[SOURCE_NAMES] = 24,        [DESTINATION_NAMES] = 24, [SOURCE_SERVICE] = 24,
	[DESTINATION_SERVICE] = 24, [INTERFACE] = 28,
};

struct line_parser {
	struct canon *canon;
	struct memory memory;
	struct templates templates;
	struct endpoints endpoints;
	struct recent recent[RECENT_END - TEMPLATE_SLOTS];
	const struct schema_field *fields[SLOTS];
	struct values_second second;
	/* Where lines say addresses: the last one, and one before it. */
	size_t ip_at[2];
	/* What the line at work comes to. */
	struct str values[SLOTS]; /* fields; VALUES_ROOM bytes more can be read */
	struct str time, addresses[2];
	bool is_dns;
	/* Fields that were read. */
	struct values_out out;
	uint8_t made[MADE_BYTES + VALUES_ROOM];
	struct buf parts[CHAIN_PARTS_];
};

/* --- making --- */

static bool learn_members(struct line_parser *r)
{
	const struct schema_message *flow = schema_find(STR("flow.Flow"));

	if (!flow)
		return false;
	r->templates.flow = flow;
	for (size_t i = TEMPLATE_SLOTS; i < SLOTS; i++) {
		r->fields[i] = schema_field_numbered(flow, slot_numbers[i]);
		if (!r->fields[i])
			return false;
		r->templates.slots[r->fields[i]->index] = (uint8_t)i;
	}
	return true;
}

enum err_code line_parser_new(struct line_parser **ret, struct err *e)
{
	AUTO(line_parser_free) struct line_parser *r = pages_new(1, sizeof *r);

	if (!r)
		return err_set(e, ERR_NOMEM, "lines of a bundle");
	pages_want(r, sizeof *r);
	if (getrandom(&r->endpoints.seed, sizeof r->endpoints.seed, 0) !=
	    (ssize_t)sizeof r->endpoints.seed)
		return err_os(e, "random numbers");
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		r->parts[i] = buf_init(MADE_BYTES);
	enum err_code code = memory_init(&r->memory, e);
	if (code == ERR_OK)
		code = canon_new(&r->canon, e);
	if (code == ERR_OK && !learn_members(r))
		code = err_set(e, ERR_INTERNAL, "the flow's description is not there");
	if (code != ERR_OK)
		return code;
	r->templates.memory = r->endpoints.memory = &r->memory;
	r->endpoints.canon = r->canon;
	*ret = TAKE(r);
	return ERR_OK;
}

void line_parser_free(struct line_parser *r)
{
	if (!r)
		return;
	canon_free(r->canon);
	memory_done(&r->memory);
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_done(&r->parts[i]);
	pages_free(r, 1, sizeof *r);
}

/* --- values --- */

static inline bool read_time(struct line_parser *r, struct scan *s)
{
	const char *from = s->p;
	struct str text;

	if (!scan_past_lit(s, "\"") ||
	    !values_put_time(&r->out, s, r->fields[TIME], &r->second, &text) ||
	    !scan_past_lit(s, "\""))
		return false;
	r->time = str_n(from, (size_t)(s->p - from));
	return true;
}

/* Where the addresses of the next lines will be. */
static inline void note_place(struct line_parser *r, size_t at)
{
	if (at == r->ip_at[0])
		return;
	r->ip_at[1] = r->ip_at[0];
	r->ip_at[0] = at;
}

static inline bool read_endpoint(struct line_parser *r, struct scan *s, enum flow_side side,
				 struct str *ret, struct line_record *record)
{
	const struct known_endpoint *k = endpoints_find(&r->endpoints, s, r->addresses[side]);

	if (!k)
		return false;
	s->p += k->text_len;
	*ret = known_field(k, side);
	if (k->labels[side]) {
		const struct known_labels *labels = memory_at(&r->memory, k->labels[side]);
		record->parts[side == FLOW_SRC ? CHAIN_SOURCE_LABELS : CHAIN_DESTINATION_LABELS] =
			str_n(labels->bytes, labels->len);
		record->labels_key[side] = labels->number;
	}
	return true;
}

/* A flow with a DNS record has another part of it, and of its Summary. */
static bool has_dns(struct str field)
{
	struct str l7, record;

	return wire_find(field, FLOW_FIELD_L7, &l7) && wire_find(l7, L7_FIELD_DNS, &record);
}

/* The value at the front of @s to *@ret; its text begins at @line's. */
static inline bool read_value(struct line_parser *r, struct scan *s, enum slot slot,
			      const char *line, struct str *ret, struct line_record *record)
{
	const struct schema_field *f = r->fields[slot];
	const uint8_t *at = r->out.p;
	bool is_read;

	switch (slot) {
	case SOURCE:
		return read_endpoint(r, s, FLOW_SRC, ret, record);
	case DESTINATION:
		return read_endpoint(r, s, FLOW_DST, ret, record);
	case TIME:
		is_read = read_time(r, s);
		break;
	case ETHERNET:
		is_read = values_put_ethernet(&r->out, s, f);
		break;
	case IP:
		note_place(r, (size_t)(s->p - line));
		is_read = values_put_ip(&r->out, s, f, &r->addresses[FLOW_SRC],
					&r->addresses[FLOW_DST]);
		break;
	case L4:
		is_read = values_put_l4(&r->out, s, f);
		break;
	case TYCHO:
		is_read = values_put_detail(&r->out, s, f);
		break;
	default:
		if (slot < RECENT_END)
			return recent_read(&r->recent[slot - TEMPLATE_SLOTS], s, f,
					   recent_fronts[slot], &r->out, ret);
		is_read = values_put_field(&r->out, s, f);
		break;
	}
	*ret = str_n(at, (size_t)(r->out.p - at));
	if (slot == L7)
		r->is_dns = is_read && has_dns(*ret);
	return is_read;
}

/* --- the line --- */

/* VALUES_ROOM more bytes than it has are written. */
static struct str put_part(const struct line_parser *r, const struct leaf *leaf,
			   enum chain_part part, char *to)
{
	const char *own = leaf_bytes(leaf), *from = to;
	size_t i = part ? leaf->ends[part - 1] : 0;

	for (; i < leaf->ends[part]; i++) {
		const struct chunk *c = &leaf->chunks[i];
		const char *p = c->slot ? r->values[c->slot].p : own + c->at;
		size_t len = c->slot ? r->values[c->slot].len : c->len;
		memcpy(to, p, VALUES_ROOM); /* more than needed, and quicker */
		if (len > VALUES_ROOM)
			memcpy(to + VALUES_ROOM, p + VALUES_ROOM, len - VALUES_ROOM);
		to += len;
	}
	return str_n(from, (size_t)(to - from));
}

/* Of @bytes at most, all together. */
static bool put_parts(struct line_parser *r, const struct leaf *leaf, size_t bytes, char *core,
		      size_t core_bytes, struct line_record *ret)
{
	static const enum chain_part parts[] = { CHAIN_CORE, CHAIN_ADDRESSES, CHAIN_DNS };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		enum chain_part p = parts[i];
		struct buf *b = &r->parts[p];
		buf_reset(b);
		char *to = p == CHAIN_CORE && bytes + VALUES_ROOM <= core_bytes
				   ? core
				   : buf_reserve(b, bytes + VALUES_ROOM);
		if (!to)
			return false;
		ret->parts[p] = put_part(r, leaf, p, to);
	}
	return true;
}

/* A line like others before it. */
static bool read_known(struct line_parser *r, struct str text, char *core, size_t core_bytes,
		       struct line_record *ret)
{
	static const struct str none = { "", 0 };
	struct scan s = { text.p, text.p + text.len };
	memory_ref *children = &r->templates.first;
	struct piece *p;
	size_t bytes = 0;

	/* one by one: all of it at once takes longer */
	ret->parts[CHAIN_SOURCE_LABELS] = ret->parts[CHAIN_DESTINATION_LABELS] = none;
	ret->labels_key[FLOW_SRC] = ret->labels_key[FLOW_DST] = 0;
	r->addresses[FLOW_SRC] = r->addresses[FLOW_DST] = none;
	r->is_dns = false;
	r->out = (struct values_out){ r->made, r->made + MADE_BYTES };
	while ((p = templates_next(&r->templates, children, &s, r->is_dns))) {
		s.p += p->text_len;
		if (p->slot == TEMPLATE_END)
			break;
		if (p->slot == TEMPLATE_AGAIN) {
			if (!scan_past(&s, r->time.p, r->time.len))
				return false;
		} else {
			struct str *value = &r->values[p->slot];
			if (!read_value(r, &s, p->slot, text.p, value, ret))
				return false;
			bytes += value->len;
		}
		children = &p->first;
	}
	if (!p)
		return false;
	ret->len = (size_t)(s.p - text.p);
	const struct leaf *leaf = memory_at(&r->memory, p->leaf);
	return put_parts(r, leaf, bytes + leaf->len, core, core_bytes, ret);
}

bool line_parse_generally(struct line_parser *r, struct str text, struct line_record *ret)
{
	*ret = (struct line_record){ .labels_key = { 0 } };
	return canon_line(r->canon, text, ret->parts, &ret->len);
}

/* A line unlike the others: the next one like it is known. */
static bool read_new(struct line_parser *r, struct str text, struct line_record *ret)
{
	if (!line_parse_generally(r, text, ret))
		return false;
	templates_learn(&r->templates, str_upto(text, ret->len), ret->parts);
	return true;
}

static void forget_all(struct line_parser *r)
{
	memory_reset(&r->memory);
	endpoints_forget(&r->endpoints);
	r->templates.first = 0;
}

/* --- the line after it --- */

static void expect_endpoint(const struct line_parser *r, struct scan *s)
{
	const struct str address = str_n(s->p, scan_find(s, '"'));

	endpoints_expect(&r->endpoints, address);
	s->p += address.len;
}

/* There is more in the tables than a core keeps near: what the next line needs of them, if it looks as
 * the last ones did, is asked for while this one is still worked at. */
static void expect_line(const struct line_parser *r, struct str text)
{
	enum { IP_BYTES = 128 };

	for (size_t i = 0; i < ARRAY_LEN(r->ip_at); i++) {
		struct scan s = { text.p + r->ip_at[i], text.p + r->ip_at[i] + IP_BYTES };
		if (r->ip_at[i] + IP_BYTES > text.len || !scan_past_lit(&s, "{\"source\":\""))
			continue;
		expect_endpoint(r, &s);
		if (scan_past_lit(&s, "\",\"destination\":\""))
			expect_endpoint(r, &s);
		return;
	}
}

bool line_parse_to(struct line_parser *r, struct str text, char *core, size_t core_bytes,
		   struct line_record *ret)
{
	if (r->memory.is_full)
		forget_all(r);
	if (!read_known(r, text, core, core_bytes, ret) && !read_new(r, text, ret))
		return false;
	expect_line(r, str_from(text, ret->len));
	return true;
}

bool line_parse(struct line_parser *r, struct str text, struct line_record *ret)
{
	return line_parse_to(r, text, NULL, 0, ret);
}
