#include "evidence/line.h"

#include <sys/random.h>

#include "base/pages.h"
#include "evidence/members.h"
#include "evidence/values.h"
#include "flow/fields.h"
#include "flow/wire.h"

enum {
	ENDPOINT_SLOTS = 4096,
	GUESSES = 1 << 15,
	RUN_SLOTS = 32,
	CONTEXTS = 1024,
	MADE_BYTES = 1 << 16,
};

/* Where runs are met: A to F as in line.h's picture. */
enum { RUN_A, RUN_B, RUN_C, RUN_D, RUN_E, RUN_F, RUNS };

/* The runs that were met in one place, the last ones first; and which it was behind the runs that
 * came before it in the line. */
struct runs {
	uint8_t order[RUN_SLOTS], behind[CONTEXTS];
	struct members slots[RUN_SLOTS];
};

/* Members that are read each time, in the order of their declaration. */
enum direct {
	TIME,
	UUID,
	ETHERNET,
	IP,
	L4,
	TUNNEL,
	SOURCE_NAMES,
	DESTINATION_NAMES,
	L7,
	SOURCE_SERVICE,
	DESTINATION_SERVICE,
	INTERFACE,
	SUMMARY,
	TYCHO,
	DIRECTS
};
static const uint32_t direct_numbers[DIRECTS] = {
	[TIME] = FLOW_FIELD_TIME,
	[UUID] = FLOW_FIELD_UUID,
	[ETHERNET] = FLOW_FIELD_ETHERNET,
	[IP] = FLOW_FIELD_IP,
	[L4] = FLOW_FIELD_L4,
	[TUNNEL] = FLOW_FIELD_TUNNEL,
	[SOURCE_NAMES] = FLOW_FIELD_SOURCE_NAMES,
	[DESTINATION_NAMES] = FLOW_FIELD_DESTINATION_NAMES,
	[L7] = FLOW_FIELD_L7,
	[SOURCE_SERVICE] = FLOW_FIELD_SOURCE_SERVICE,
	[DESTINATION_SERVICE] = FLOW_FIELD_DESTINATION_SERVICE,
	[INTERFACE] = FLOW_FIELD_INTERFACE,
	[SUMMARY] = FLOW_FIELD_SUMMARY,
	[TYCHO] = FLOW_FIELD_TYCHO,
};

struct line_parser {
	struct members_memory memory;
	struct members endpoints[ENDPOINT_SLOTS];
	struct runs runs[RUNS];
	/* Which endpoint it is likely to be, by side and address, and by how its text begins. */
	uint16_t by_address[GUESSES], by_front[GUESSES];
	uint64_t seed;
	const struct schema_field *directs[DIRECTS];
	uint64_t special;   /* members that no run holds, a bit for each index in the schema */
	uint64_t addresses; /* places of their fields, a bit for each */
	uint64_t dns[2];    /* the same of a flow without a DNS record, and of one with it */
	size_t node_place;
	struct values_second second;
	/* What the line at work comes to. */
	struct flow_fields fields;
	bool is_dns;
	int last;         /* index of the last member read */
	uint32_t context; /* of the runs so far */
	/* Fields that were read. */
	struct values_out out;
	uint8_t made[MADE_BYTES + VALUES_ROOM];
	struct buf parts[CHAIN_PARTS_];
};

/* --- making --- */

static uint64_t place_bit(const struct line_parser *r, uint32_t number)
{
	return UINT64_C(1) << flow_place(&r->memory.places, number);
}

static void learn_fields(struct line_parser *r)
{
	static const uint32_t endpoints[] = { FLOW_FIELD_SOURCE, FLOW_FIELD_DESTINATION };
	const struct schema_message *flow = r->memory.places.flow;

	for (size_t i = 0; i < DIRECTS; i++) {
		r->directs[i] = schema_field_numbered(flow, direct_numbers[i]);
		r->special |= UINT64_C(1) << r->directs[i]->index;
	}
	for (size_t i = 0; i < ARRAY_LEN(endpoints); i++)
		r->special |= UINT64_C(1) << schema_field_numbered(flow, endpoints[i])->index;
	r->addresses = place_bit(r, FLOW_FIELD_ETHERNET) | place_bit(r, FLOW_FIELD_IP) |
		       place_bit(r, FLOW_FIELD_TUNNEL);
	r->dns[0] =
		place_bit(r, FLOW_FIELD_SOURCE_NAMES) | place_bit(r, FLOW_FIELD_DESTINATION_NAMES);
	r->dns[1] = r->dns[0] | place_bit(r, FLOW_FIELD_L7) | place_bit(r, FLOW_FIELD_SUMMARY);
	r->node_place = flow_place(&r->memory.places, FLOW_FIELD_NODE_NAME);
}

enum err_code line_parser_new(struct line_parser **ret, struct err *e)
{
	AUTO(line_parser_free) struct line_parser *r = pages_new(1, sizeof *r);

	if (!r)
		return err_set(e, ERR_NOMEM, "lines of a bundle");
	if (getrandom(&r->seed, sizeof r->seed, 0) != (ssize_t)sizeof r->seed)
		return err_os(e, "random numbers");
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		r->parts[i] = buf_init(MADE_BYTES);
	enum err_code code = members_memory_init(&r->memory, e);
	if (code != ERR_OK)
		return code;
	for (size_t i = 0; i < RUNS; i++)
		for (size_t k = 0; k < RUN_SLOTS; k++)
			r->runs[i].order[k] = (uint8_t)k;
	learn_fields(r);
	*ret = TAKE(r);
	return ERR_OK;
}

void line_parser_free(struct line_parser *r)
{
	if (!r)
		return;
	members_memory_done(&r->memory);
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		buf_done(&r->parts[i]);
	pages_free(r, 1, sizeof *r);
}

/* --- fields --- */

/* The member after this one stands behind it in the declaration. */
static bool comes_next(struct line_parser *r, int first, int last)
{
	if (first <= r->last)
		return first < 0; /* an empty run */
	r->last = last;
	return true;
}

static inline void set_field(struct line_parser *r, size_t place, const char *p, size_t len)
{
	r->fields.has |= UINT64_C(1) << place;
	r->fields.bytes += len;
	r->fields.at[place].p = p;
	r->fields.at[place].len = len;
}

/* Puts a run into @m; its fields are used next. */
static bool remember(struct line_parser *r, struct members *m, struct str text, size_t tail_len)
{
	bool is_full = false;

	if (!members_fill(&r->memory, m, text, tail_len, &is_full))
		return false;
	if (is_full) { /* begin anew; this line is read generally */
		members_memory_reset(&r->memory);
		memset(r->endpoints, 0, sizeof r->endpoints);
		for (size_t i = 0; i < RUNS; i++)
			memset(r->runs[i].slots, 0, sizeof r->runs[i].slots);
	}
	return !is_full;
}

static bool use(struct line_parser *r, const struct members *m)
{
	if (!comes_next(r, m->first, m->last))
		return false;
	for (size_t i = 0; i < m->count; i++)
		set_field(r, m->fields[i].place, m->bytes + m->fields[i].at, m->fields[i].len);
	return true;
}

/* Behind a member stands a comma, which is stepped over, or the end of the object. */
static inline bool past_comma(struct scan *s)
{
	if (s->p == s->end || (*s->p != ',' && *s->p != '}'))
		return false;
	s->p += *s->p == ',';
	return true;
}

/* Of a few bytes of the text: whoever makes up texts that differ in others has them read slowly. */
static inline uint64_t text_hash(const char *p, size_t n)
{
	uint64_t h = few_at(p, n < 8 ? n : 8) + n;

	if (n > 8)
		h = (h ^ swar_load(p + n - 8)) * UINT64_C(0x9e3779b97f4a7c15) +
		    swar_load(p + (n - 8) / 2);
	if (n > 16)
		h = (h ^ h >> 29 ^ swar_load(p + n - 16)) * UINT64_C(0x9e3779b97f4a7c15) +
		    swar_load(p + (n - 8) / 4);
	h *= UINT64_C(0xff51afd7ed558ccd);
	return h ^ h >> 32;
}

/* --- runs --- */

/* Bytes of the run at the front: members up to the next special one. False: there is none. */
static bool find_run(const struct line_parser *r, const struct scan *at, size_t *ret_len,
		     size_t *ret_tail)
{
	struct scan s = *at;

	while (s.p < s.end && *s.p == '"') {
		struct scan key = { s.p + 1, s.end };
		size_t n = scan_find(&key, '"');
		const struct schema_field *f =
			schema_field_named(r->memory.places.flow, str_n(key.p, n));
		if (!f)
			return false;
		if (r->special >> f->index & 1)
			break;
		if (scan_left(&key) < n + 2)
			return false;
		struct scan value = { key.p + n + 2, s.end };
		size_t len = members_value(&value);
		if (!len)
			return false;
		s.p = value.p + len;
		if (!past_comma(&s))
			return false;
	}
	size_t left = scan_left(&s);
	*ret_len = (size_t)(s.p - at->p);
	*ret_tail = left && *s.p == '}' ? 1 : left < MEMBERS_TAIL ? left : MEMBERS_TAIL;
	return true;
}

/* The run that is none of those known, in the place of one that was not met for long. */
static bool remember_run(struct line_parser *r, struct scan *s, struct members *m)
{
	size_t len, tail;

	return find_run(r, s, &len, &tail) && remember(r, m, str_n(s->p, len), tail);
}

static bool search_run(struct line_parser *r, struct scan *s, struct runs *runs, uint8_t *ret_slot)
{
	size_t i = 0;

	while (i < RUN_SLOTS && !members_are_at(&runs->slots[runs->order[i]], s))
		i++;
	bool is_known = i < RUN_SLOTS;
	i -= !is_known;
	uint8_t slot = runs->order[i];
	if (!is_known && !remember_run(r, s, &runs->slots[slot]))
		return false;
	/* nearer to the front */
	memmove(&runs->order[i / 2 + 1], &runs->order[i / 2], i - i / 2);
	runs->order[i / 2] = slot;
	*ret_slot = slot;
	return true;
}

static bool read_run(struct line_parser *r, struct scan *s, int place)
{
	struct runs *runs = &r->runs[place];
	uint8_t *slot = &runs->behind[r->context % CONTEXTS];

	if (!members_are_at(&runs->slots[*slot], s) && !search_run(r, s, runs, slot))
		return false;
	const struct members *m = &runs->slots[*slot];
	r->context = r->context * RUN_SLOTS + *slot;
	r->context ^= r->context >> 12;
	s->p += m->text_len;
	return use(r, m);
}

/* --- endpoints --- */

/* Each text has two places: with one, two that are often met may push each other out for ever. @ret
 * is where it is, or where it may be put. */
static bool find_endpoint(struct line_parser *r, struct str text, struct members **ret)
{
	const struct scan s = { text.p, text.p + text.len };
	uint64_t h = hash_bytes(text.p, text.len, r->seed);
	struct members *first = &r->endpoints[h % ENDPOINT_SLOTS],
		       *second = &r->endpoints[(h >> 32) % ENDPOINT_SLOTS];

	*ret = first;
	if (first->text_len == text.len && members_are_at(first, &s))
		return true;
	if (second->text_len == text.len && members_are_at(second, &s)) {
		*ret = second;
		return true;
	}
	if (first->bytes && (!second->bytes || h >> 63))
		*ret = second;
	return false;
}

static uint16_t *by_address(struct line_parser *r, size_t side, struct str address)
{
	return &r->by_address[(text_hash(address.p, address.len) + side) % GUESSES];
}

/* Asks for the endpoint's bytes, which will be wanted soon: there are more of them than a core keeps
 * near. */
static void expect_endpoint(struct line_parser *r, size_t side, struct str address)
{
	const struct members *m = &r->endpoints[*by_address(r, side, address)];

	for (size_t at = 0; m->bytes && at < (size_t)m->labels_at + m->labels_len; at += 64)
		__builtin_prefetch(m->bytes + at);
}

/* The endpoint of an address is nearly always the one that it was before; if not, one whose text
 * begins so: with its number on the node. */
static bool read_endpoint(struct line_parser *r, struct scan *s, size_t key_len, size_t side,
			  struct str address, struct line_record *ret)
{
	enum { FRONT = 32 };
	struct scan value = { s->p + key_len, s->end };
	uint16_t *likely = by_address(r, side, address);
	struct members *m = &r->endpoints[*likely];

	if (!members_are_at(m, s)) {
		uint64_t front =
			side +
			text_hash(value.p, scan_left(&value) < FRONT ? scan_left(&value) : FRONT);
		uint16_t *by_front = &r->by_front[front & (GUESSES - 1)];
		m = &r->endpoints[*by_front];
		if (!members_are_at(m, s)) {
			struct str text = str_n(s->p, key_len + members_value(&value));
			if (!find_endpoint(r, text, &m) && !remember(r, m, text, 0))
				return false;
			*by_front = (uint16_t)(m - r->endpoints);
		}
		*likely = (uint16_t)(m - r->endpoints);
	}
	s->p += m->text_len;
	if (m->labels_len) {
		ret->parts[side ? CHAIN_DESTINATION_LABELS : CHAIN_SOURCE_LABELS] =
			str_n(m->bytes + m->labels_at, m->labels_len);
		ret->labels_key[side] = m->number;
	}
	return past_comma(s) && use(r, m);
}

/* --- members that are read --- */

static bool read_value(struct line_parser *r, struct scan *s, enum direct which, struct str *ret)
{
	const struct schema_field *f = r->directs[which];

	switch (which) {
	case TIME:
		return values_put_time(&r->out, s, f, &r->second, ret) && scan_past_lit(s, "\"");
	case IP:
		return values_put_ip(&r->out, s, f, &ret[0], &ret[1]);
	default:
		return values_put_field(&r->out, s, f);
	}
}

/* @ret: a time's text, an IP's two addresses. */
static bool read_direct(struct line_parser *r, struct scan *s, enum direct which, struct str *ret)
{
	const struct schema_field *f = r->directs[which];
	const uint8_t *at = r->out.p;

	if (!read_value(r, s, which, ret))
		return false;
	set_field(r, r->memory.places.of_index[f->index], (const char *)at,
		  (size_t)(r->out.p - at));
	return comes_next(r, f->index, f->index) && past_comma(s);
}

/* If it comes next. */
static inline bool read_if(struct line_parser *r, struct scan *s, enum direct which)
{
	return !scan_past_key(s, r->directs[which]->key) || read_direct(r, s, which, NULL);
}

/* A flow with a DNS record has another part of it, and of its Summary. */
static bool read_l7(struct line_parser *r, struct scan *s)
{
	const uint8_t *at = r->out.p;
	struct str l7, record;

	if (!scan_past_key(s, r->directs[L7]->key))
		return true;
	if (!read_direct(r, s, L7, NULL))
		return false;
	r->is_dns = wire_find(str_n(at, (size_t)(r->out.p - at)), FLOW_FIELD_L7, &l7) &&
		    wire_find(l7, L7_FIELD_DNS, &record);
	return true;
}

/* --- the line --- */

/* The fields in these places, behind each other in @b. */
static struct str put_fields(const struct line_parser *r, uint64_t places, struct buf *b)
{
	buf_reset(b);
	char *to = buf_reserve(b, r->fields.bytes + FIELD_ROOM), *from = to;
	if (!to)
		return (struct str){ NULL, 0 };
	for (uint64_t left = places; left; left &= left - 1) {
		const char *p = r->fields.at[__builtin_ctzll(left)].p;
		size_t len = r->fields.at[__builtin_ctzll(left)].len;
		memcpy(to, p, FIELD_ROOM); /* more than needed, and quicker */
		if (len > FIELD_ROOM)
			memcpy(to + FIELD_ROOM, p + FIELD_ROOM, len - FIELD_ROOM);
		to += len;
	}
	return str_n(from, (size_t)(to - from));
}

/* What a response repeats of its flow: node_name, time. */
static bool read_end(struct line_parser *r, struct scan *s, struct str time)
{
	if (s->p[-1] == ',' || !scan_past_lit(s, "}"))
		return false;
	if (r->fields.has >> r->node_place & 1) {
		const char *p = r->fields.at[r->node_place].p;
		size_t len = r->fields.at[r->node_place].len;
		/* tag and length of a short text: two bytes */
		if (len < 2 || len >= 0x80 || !scan_past_lit(s, ",\"node_name\":\"") ||
		    !is_plain(p + 2, len - 2) || !scan_past(s, p + 2, len - 2) ||
		    !scan_past_lit(s, "\""))
			return false;
	}
	return scan_past_lit(s, ",\"time\":\"") && scan_past(s, time.p, time.len) &&
	       scan_past_lit(s, "\"}\n");
}

static bool read_members(struct line_parser *r, struct scan *s, struct line_record *ret)
{
	struct str addresses[2] = { { "", 0 }, { "", 0 } };

	if (!read_if(r, s, UUID) || !read_run(r, s, RUN_A) || !read_if(r, s, ETHERNET) ||
	    (scan_past_lit(s, "\"IP\":") && !read_direct(r, s, IP, addresses)))
		return false;
	expect_endpoint(r, 0, addresses[0]);
	expect_endpoint(r, 1, addresses[1]);
	if (!read_if(r, s, L4) || !read_if(r, s, TUNNEL))
		return false;
	if (scan_at_lit(s, "\"source\":{") &&
	    !read_endpoint(r, s, sizeof "\"source\":" - 1, 0, addresses[0], ret))
		return false;
	if (scan_at_lit(s, "\"destination\":{") &&
	    !read_endpoint(r, s, sizeof "\"destination\":" - 1, 1, addresses[1], ret))
		return false;
	return read_run(r, s, RUN_B) && read_if(r, s, SOURCE_NAMES) &&
	       read_if(r, s, DESTINATION_NAMES) && read_l7(r, s) && read_run(r, s, RUN_C) &&
	       read_if(r, s, SOURCE_SERVICE) && read_if(r, s, DESTINATION_SERVICE) &&
	       read_run(r, s, RUN_D) && read_if(r, s, INTERFACE) && read_run(r, s, RUN_E) &&
	       read_if(r, s, SUMMARY) && read_run(r, s, RUN_F) && read_if(r, s, TYCHO);
}

static bool read_usual(struct line_parser *r, struct str text, struct line_record *ret)
{
	struct scan s = { text.p, text.p + text.len };
	struct str time;

	*ret = (struct line_record){ .labels_key = { 0 } };
	r->fields.has = r->fields.bytes = 0;
	r->is_dns = false;
	r->last = -1;
	r->context = 0;
	r->out = (struct values_out){ r->made, r->made + MADE_BYTES };
	if (!scan_past_lit(&s, "{\"flow\":{\"time\":\"") || !read_direct(r, &s, TIME, &time) ||
	    !read_members(r, &s, ret) || !read_end(r, &s, time))
		return false;
	uint64_t has = r->fields.has, dns = r->dns[r->is_dns];
	ret->parts[CHAIN_CORE] = put_fields(r, has & ~r->addresses & ~dns, &r->parts[CHAIN_CORE]);
	ret->parts[CHAIN_ADDRESSES] = put_fields(r, has & r->addresses, &r->parts[CHAIN_ADDRESSES]);
	ret->parts[CHAIN_DNS] = put_fields(r, has & dns, &r->parts[CHAIN_DNS]);
	ret->len = (size_t)(s.p - text.p);
	return ret->parts[CHAIN_CORE].p && ret->parts[CHAIN_ADDRESSES].p && ret->parts[CHAIN_DNS].p;
}

bool line_parse_generally(struct line_parser *r, struct str text, struct line_record *ret)
{
	*ret = (struct line_record){ .labels_key = { 0 } };
	return canon_line(r->memory.canon, text, ret->parts, &ret->len);
}

bool line_parse(struct line_parser *r, struct str text, struct line_record *ret)
{
	if (read_usual(r, text, ret))
		return true;
	return line_parse_generally(r, text, ret);
}
