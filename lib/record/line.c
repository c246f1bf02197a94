#include "record/line.h"

#include <sys/random.h>

#include "base/pages.h"
#include "flow/fields.h"
#include "flow/wire.h"
#include "record/endpoints.h"
#include "record/recent.h"
#include "record/runs.h"

enum { MADE_BYTES = 1 << 16 };

/* Where runs are met: A to F as in line.h's picture. */
enum { RUN_A, RUN_B, RUN_C, RUN_D, RUN_E, RUN_F, RUNS };

/* Members that are no run's, in the order of their declaration. */
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
/* Of members of which a node has few values: by how many bytes of its text is a value looked up?
 * 0: it is read. */
static const size_t recent_fronts[DIRECTS] = {
	[ETHERNET] = 64, /* middle of the first address, end of the second */
	[SOURCE_NAMES] = 24,   [DESTINATION_NAMES] = 24,
	[SOURCE_SERVICE] = 24, [DESTINATION_SERVICE] = 24,
	[INTERFACE] = 28,
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
	struct endpoints endpoints;
	struct runs runs[RUNS];
	struct recent recent[DIRECTS];
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
	uint64_t seed;

	if (!r)
		return err_set(e, ERR_NOMEM, "lines of a bundle");
	pages_wish_huge(r, sizeof *r);
	if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
		return err_os(e, "random numbers");
	for (size_t i = 0; i < CHAIN_PARTS_; i++)
		r->parts[i] = buf_init(MADE_BYTES);
	enum err_code code = members_memory_init(&r->memory, seed, e);
	if (code != ERR_OK)
		return code;
	for (size_t i = 0; i < RUNS; i++)
		runs_init(&r->runs[i]);
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

static bool use(struct line_parser *r, const struct members *m)
{
	const char *bytes = members_bytes(m);

	if (!comes_next(r, m->first, m->last))
		return false;
	for (size_t i = 0; i < m->count; i++)
		set_field(r, m->fields[i].place, bytes + m->fields[i].at, m->fields[i].len);
	return true;
}

/* --- members that are remembered --- */

static void forget_all(struct line_parser *r)
{
	members_memory_reset(&r->memory);
	memset(&r->endpoints, 0, sizeof r->endpoints);
	for (size_t i = 0; i < RUNS; i++)
		runs_forget(&r->runs[i]);
}

static bool read_run(struct line_parser *r, struct scan *s, int place)
{
	const struct members *m =
		runs_find(&r->runs[place], &r->memory, s, r->special, &r->context);

	if (!m)
		return false;
	s->p += m->text_len;
	return use(r, m);
}

static bool read_endpoint(struct line_parser *r, struct scan *s, size_t key_len,
			  enum flow_side side, struct str address, struct line_record *ret)
{
	static const enum chain_part labels_part[] = {
		[FLOW_SRC] = CHAIN_SOURCE_LABELS,
		[FLOW_DST] = CHAIN_DESTINATION_LABELS,
	};
	const struct members *m =
		endpoints_find(&r->endpoints, &r->memory, s, key_len, side, address);

	if (!m)
		return false;
	s->p += m->text_len;
	if (m->labels) {
		const struct members_labels *labels = members_labels_of(&r->memory, m->labels);
		ret->parts[labels_part[side]] = str_n(labels->bytes, labels->len);
		ret->labels_key[side] = labels->number;
	}
	return members_past_comma(s) && use(r, m);
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
	case L4:
		return values_put_l4(&r->out, s, f);
	case TYCHO:
		return values_put_detail(&r->out, s, f);
	default:
		return values_put_field(&r->out, s, f);
	}
}

/* @ret: a time's text, an IP's two addresses. */
static inline bool read_direct(struct line_parser *r, struct scan *s, enum direct which,
			       struct str *ret)
{
	const struct schema_field *f = r->directs[which];
	const uint8_t *at = r->out.p;

	if (!read_value(r, s, which, ret))
		return false;
	set_field(r, r->memory.places.of_index[f->index], (const char *)at,
		  (size_t)(r->out.p - at));
	return comes_next(r, f->index, f->index) && members_past_comma(s);
}

static bool read_recent(struct line_parser *r, struct scan *s, enum direct which)
{
	const struct schema_field *f = r->directs[which];
	struct str field;

	if (!recent_read(&r->recent[which], s, f, recent_fronts[which], &r->out, &field))
		return false;
	set_field(r, r->memory.places.of_index[f->index], field.p, field.len);
	return comes_next(r, f->index, f->index) && members_past_comma(s);
}

/* If it comes next. */
static inline bool read_if(struct line_parser *r, struct scan *s, enum direct which)
{
	if (!scan_past_key(s, r->directs[which]->key))
		return true;
	return recent_fronts[which] ? read_recent(r, s, which) : read_direct(r, s, which, NULL);
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
	if (!read_if(r, s, L4) || !read_if(r, s, TUNNEL))
		return false;
	if (scan_at_lit(s, "\"source\":{") &&
	    !read_endpoint(r, s, sizeof "\"source\":" - 1, FLOW_SRC, addresses[0], ret))
		return false;
	if (scan_at_lit(s, "\"destination\":{") &&
	    !read_endpoint(r, s, sizeof "\"destination\":" - 1, FLOW_DST, addresses[1], ret))
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

/* --- the line after it --- */

static void expect_endpoint(const struct line_parser *r, struct scan *s, enum flow_side side)
{
	const struct str address = str_n(s->p, scan_find(s, '"'));

	endpoints_expect(&r->endpoints, &r->memory, side, address);
	s->p += address.len;
}

/* There are more endpoints than a core keeps near: those of the next line, if it looks as most do,
 * are asked for while this one is still worked at. */
static void expect_line(const struct line_parser *r, struct str text)
{
	enum {
		FRONT_BYTES = 640, /* of a line, addresses and what is before them */
		TIME_BYTES = 32,
		UUID_BYTES = sizeof "\"uuid\":\"01234567-89ab-cdef-0123-456789abcdef\"," - 1,
		ETHERNET_BYTES = sizeof "\"ethernet\":{\"source\":\"01:23:45:67:89:ab\","
					"\"destination\":\"01:23:45:67:89:ab\"}," -
				 1,
	};
	const struct members *run = runs_first(&r->runs[RUN_A], &r->memory);
	struct scan s = { text.p, text.p + FRONT_BYTES };

	if (text.len < FRONT_BYTES || !scan_past_lit(&s, "{\"flow\":{\"time\":\""))
		return;
	size_t time = scan_find(&s, '"');
	if (time > TIME_BYTES || run->text_len > FRONT_BYTES / 2)
		return;
	s.p += time + 2;
	if (scan_at_lit(&s, "\"uuid\":"))
		s.p += UUID_BYTES;
	s.p += run->text_len;
	if (scan_at_lit(&s, "\"ethernet\":"))
		s.p += ETHERNET_BYTES;
	if (!scan_past_lit(&s, "\"IP\":{\"source\":\""))
		return;
	expect_endpoint(r, &s, FLOW_SRC);
	if (scan_past_lit(&s, "\",\"destination\":\""))
		expect_endpoint(r, &s, FLOW_DST);
}

bool line_parse(struct line_parser *r, struct str text, struct line_record *ret)
{
	if (r->memory.is_full)
		forget_all(r);
	if (!read_usual(r, text, ret) && !line_parse_generally(r, text, ret))
		return false;
	expect_line(r, str_from(text, ret->len));
	return true;
}
