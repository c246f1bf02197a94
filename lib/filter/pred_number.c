/* Predicates on single numbers of the record: enums, flags, event types, interfaces. */
#include "filter/pred.h"
#include "filter/zone_sets.h"
#include "flow/fields.h"
#include "flow/flow.pb-c.h"
#include "flow/wire.h"

static void number_free(struct pred *t)
{
	free(t);
}

/* --- enums held in one byte: verdict, traffic direction, IP version --------------------------- */

/* Stands for every number that a byte cannot hold; the flow's wire bytes have the number. */
enum { BYTE_BEYOND = 255 };

struct byte_pred {
	struct pred t;
	uint64_t set[4];  /* bit b%64 of set[b/64]: a byte that matches, or (BYTE_BEYOND) may */
	size_t offset;    /* of the byte in struct flow */
	uint32_t message; /* where the number stands in flow.Flow: this sub-message, or 0 … */
	uint32_t field;   /* … and this field */
	size_t beyond_count;
	int beyond[]; /* numbers asked for that a byte cannot hold */
};

static uint8_t byte_at(const struct flow *f, size_t offset)
{
	return ((const uint8_t *)f)[offset];
}

static bool beyond_matches(const struct byte_pred *b, const struct flow *f)
{
	struct str message = flow_ext(f);
	struct wire_field field;
	int32_t number = BYTE_BEYOND;

	if (!flow_is(f, FLOW_WHOLE) || (b->message && !wire_find(message, b->message, &message)))
		return false;
	for (struct wire_reader r = wire_reader_of(message); wire_next(&r, &field);)
		if (field.number == b->field && field.type == WIRE_VARINT)
			number = (int32_t)field.value;
	for (size_t i = 0; i < b->beyond_count; i++)
		if (b->beyond[i] == number)
			return true;
	return false;
}

static bool byte_matches(struct pred *t, const struct flow *f)
{
	const struct byte_pred *b = (const struct byte_pred *)t;
	uint8_t v = byte_at(f, b->offset);

	return (b->set[v / 64] >> v % 64 & 1) && (v != BYTE_BEYOND || beyond_matches(b, f));
}

static uint64_t byte_matches_block(struct pred *t, const struct block *b, uint64_t asked)
{
	const struct byte_pred *bt = (const struct byte_pred *)t;
	uint64_t bits = 0, low = bt->set[0];
	unsigned largest = 0; /* or-ed: at least as large as the largest, and below 64 if all are */

	/* backwards: the first record ends up in the lowest bit */
	for (size_t i = b->n; i-- > 0;) {
		uint8_t v = byte_at(&b->flows[i], bt->offset);

		bits = bits << 1 | (low >> v % 64 & 1);
		largest |= v;
	}
	if (largest < 64)
		return bits;
	for (bits = 0; asked; asked &= asked - 1) {
		size_t i = (size_t)__builtin_ctzll(asked);

		bits |= (uint64_t)byte_matches(t, &b->flows[i]) << i;
	}
	return bits;
}

static bool byte_may_match(struct pred *t, const struct flow_zone *z)
{
	const struct byte_pred *b = (const struct byte_pred *)t;
	const uint64_t *have = b->offset == offsetof(struct flow, verdict)     ? z->verdicts
			       : b->offset == offsetof(struct flow, direction) ? z->directions
									       : z->ip_versions;
	uint64_t both = 0;

	for (size_t i = 0; i < ARRAY_LEN(b->set); i++)
		both |= have[i] & b->set[i];
	return both;
}

static enum err_code byte_pred_new(const int *values, size_t count, size_t offset,
				   enum flow_member member, uint32_t message, uint32_t field,
				   struct pred **ret, struct err *e)
{
	if (!count)
		return ERR_OK;
	struct byte_pred *b = calloc(1, sizeof *b + count * sizeof b->beyond[0]);
	if (!b)
		return err_set(e, ERR_NOMEM, "flow filter");
	b->t = (struct pred){ .matches = byte_matches,
			      .matches_block = byte_matches_block,
			      .may_match = byte_may_match,
			      .members = FLOW_MEMBER(member),
			      .free = number_free };
	b->offset = offset;
	b->message = message;
	b->field = field;
	for (size_t i = 0; i < count; i++) {
		unsigned v = values[i] >= 0 && values[i] < BYTE_BEYOND ? (unsigned)values[i]
								       : BYTE_BEYOND;

		b->set[v / 64] |= UINT64_C(1) << v % 64;
		if (v == BYTE_BEYOND)
			b->beyond[b->beyond_count++] = values[i];
	}
	*ret = &b->t;
	return ERR_OK;
}

/* protobuf-c's enums are as wide as int (they hold INT_MAX), so their arrays can be read as such.
 */
_Static_assert(sizeof(Flow__Verdict) == sizeof(int), "enums are ints");

enum err_code pred_verdict_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
			       struct pred **ret, struct err *e)
{
	(void)dict;
	return byte_pred_new((const int *)ff->verdict, ff->n_verdict,
			     offsetof(struct flow, verdict), FLOW_MEMBER_VERDICT, 0,
			     FLOW_FIELD_VERDICT, ret, e);
}

enum err_code pred_traffic_direction_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
					 struct pred **ret, struct err *e)
{
	(void)dict;
	return byte_pred_new((const int *)ff->traffic_direction, ff->n_traffic_direction,
			     offsetof(struct flow, direction), FLOW_MEMBER_DIRECTION, 0,
			     FLOW_FIELD_TRAFFIC_DIRECTION, ret, e);
}

enum err_code pred_ip_version_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				  struct pred **ret, struct err *e)
{
	enum { IP_VERSION = 3 }; /* IP.ipVersion */

	(void)dict;
	return byte_pred_new((const int *)ff->ip_version, ff->n_ip_version,
			     offsetof(struct flow, ip_version), FLOW_MEMBER_IP_VERSION,
			     FLOW_FIELD_IP, IP_VERSION, ret, e);
}

/* --- one bit of the record -------------------------------------------------------------------- */

struct bool_pred {
	struct pred t;
	bool asked[2]; /* for false, for true */
};

/* *@ret stays NULL if nothing is asked for. */
static enum err_code bool_pred_new(const protobuf_c_boolean *values, size_t count,
				   bool (*matches)(struct pred *, const struct flow *),
				   struct bool_pred **ret, struct err *e)
{
	if (!count)
		return ERR_OK;
	struct bool_pred *b = calloc(1, sizeof *b);
	if (!b)
		return err_set(e, ERR_NOMEM, "flow filter");
	b->t = (struct pred){ .matches = matches, .free = number_free };
	for (size_t i = 0; i < count; i++)
		b->asked[values[i] != 0] = true;
	*ret = b;
	return ERR_OK;
}

/* A drop without the field counts as no reply: older clients asked for the older field, where it
 * was so. */
static bool reply_matches(struct pred *t, const struct flow *f)
{
	const struct bool_pred *b = (const struct bool_pred *)t;

	if (f->is_reply == FLOW_REPLY_ABSENT && f->verdict != FLOW__VERDICT__DROPPED)
		return false;
	return b->asked[f->is_reply == FLOW_REPLY_TRUE];
}

static bool reply_may_match(struct pred *t, const struct flow_zone *z)
{
	const struct bool_pred *b = (const struct bool_pred *)t;

	return (b->asked[0] && z->replies[0]) || (b->asked[1] && z->replies[1]);
}

enum err_code pred_reply_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
			     struct pred **ret, struct err *e)
{
	struct bool_pred *b = NULL;

	(void)dict;
	if (bool_pred_new(ff->reply, ff->n_reply, reply_matches, &b, e) != ERR_OK)
		return ERR_NOMEM;
	if (!b)
		return ERR_OK;
	b->t.may_match = reply_may_match;
	b->t.members = FLOW_MEMBER(FLOW_MEMBER_REPLY) | FLOW_MEMBER(FLOW_MEMBER_VERDICT);
	*ret = &b->t;
	return ERR_OK;
}

static bool encrypted_matches(struct pred *t, const struct flow *f)
{
	const struct bool_pred *b = (const struct bool_pred *)t;

	if (f->kind == FLOW_KIND_AGENT || f->kind == FLOW_KIND_DEBUG)
		return false;
	return b->asked[f->kind == FLOW_KIND_FLOW && flow_is(f, FLOW_ENCRYPTED)];
}

static bool encrypted_may_match(struct pred *t, const struct flow_zone *z)
{
	const struct bool_pred *b = (const struct bool_pred *)t;

	return (b->asked[0] && z->encrypted[0]) || (b->asked[1] && z->encrypted[1]);
}

enum err_code pred_encrypted_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				 struct pred **ret, struct err *e)
{
	struct bool_pred *b = NULL;

	(void)dict;
	if (bool_pred_new(ff->encrypted, ff->n_encrypted, encrypted_matches, &b, e) != ERR_OK)
		return ERR_NOMEM;
	if (!b)
		return ERR_OK;
	b->t.may_match = encrypted_may_match;
	b->t.members = FLOW_MEMBER(FLOW_MEMBER_BITS);
	b->t.sees_events = true;
	*ret = &b->t;
	return ERR_OK;
}

/* --- lists of numbers ------------------------------------------------------------------------- */

struct list_pred {
	struct pred t;
	size_t count;
	uint64_t v[];
};

static enum err_code list_pred_new(size_t count,
				   bool (*matches)(struct pred *, const struct flow *),
				   struct list_pred **ret, struct err *e)
{
	struct list_pred *l = calloc(1, sizeof *l + count * sizeof l->v[0]);

	if (!l)
		return err_set(e, ERR_NOMEM, "flow filter");
	l->t = (struct pred){ .matches = matches, .free = number_free };
	l->count = count;
	*ret = l;
	return ERR_OK;
}

static bool list_has(const struct list_pred *l, uint64_t v)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->v[i] == v)
			return true;
	return false;
}

static bool drop_reason_matches(struct pred *t, const struct flow *f)
{
	return f->verdict == FLOW__VERDICT__DROPPED &&
	       list_has((const struct list_pred *)t, f->drop_desc);
}

static bool drop_reason_may_match(struct pred *t, const struct flow_zone *z)
{
	const struct list_pred *l = (const struct list_pred *)t;

	for (size_t i = 0; i < l->count; i++)
		if (few_set_has(&z->drops, l->v[i]))
			return true;
	return false;
}

enum err_code pred_drop_reason_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				   struct pred **ret, struct err *e)
{
	struct list_pred *l = NULL;

	(void)dict;
	if (!ff->n_drop_reason_desc)
		return ERR_OK;
	if (list_pred_new(ff->n_drop_reason_desc, drop_reason_matches, &l, e) != ERR_OK)
		return ERR_NOMEM;
	for (size_t i = 0; i < l->count; i++)
		l->v[i] = (uint32_t)ff->drop_reason_desc[i];
	l->t.may_match = drop_reason_may_match;
	l->t.members = FLOW_MEMBER(FLOW_MEMBER_VERDICT) | FLOW_MEMBER(FLOW_MEMBER_DROP);
	*ret = &l->t;
	return ERR_OK;
}

static bool ip_trace_id_matches(struct pred *t, const struct flow *f)
{
	bool has = f->kind == FLOW_KIND_FLOW && flow_is(f, FLOW_HAS_IP_TRACE_ID);

	return list_has((const struct list_pred *)t, has ? f->ip_trace_id : 0);
}

static bool ip_trace_id_may_match(struct pred *t, const struct flow_zone *z)
{
	const struct list_pred *l = (const struct list_pred *)t;

	return z->traced[1] || (z->traced[0] && list_has(l, 0));
}

enum err_code pred_ip_trace_id_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				   struct pred **ret, struct err *e)
{
	struct list_pred *l = NULL;

	(void)dict;
	if (!ff->n_ip_trace_id)
		return ERR_OK;
	if (list_pred_new(ff->n_ip_trace_id, ip_trace_id_matches, &l, e) != ERR_OK)
		return ERR_NOMEM;
	for (size_t i = 0; i < l->count; i++)
		l->v[i] = ff->ip_trace_id[i];
	l->t.sees_events = true;
	l->t.may_match = ip_trace_id_may_match;
	l->t.members = FLOW_MEMBER(FLOW_MEMBER_TRACE_ID) | FLOW_MEMBER(FLOW_MEMBER_BITS);
	*ret = &l->t;
	return ERR_OK;
}

/* One flow matches if it has every flag of one of the combinations. */
static bool tcp_flags_match(struct pred *t, const struct flow *f)
{
	const struct list_pred *l = (const struct list_pred *)t;

	if (f->l4 != FLOW_L4_TCP || !flow_is(f, FLOW_HAS_TCP_FLAGS))
		return false;
	for (size_t i = 0; i < l->count; i++)
		if ((f->tcp_flags & l->v[i]) == l->v[i])
			return true;
	return false;
}

static bool tcp_flags_may_match(struct pred *t, const struct flow_zone *z)
{
	const struct list_pred *l = (const struct list_pred *)t;

	for (uint64_t flags = 0; flags < ZONE_FLAG_SETS; flags++)
		if (z->flags[flags / 64] >> flags % 64 & 1)
			for (size_t i = 0; i < l->count; i++)
				if ((flags & l->v[i]) == l->v[i])
					return true;
	return false;
}

enum err_code pred_tcp_flags_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				 struct pred **ret, struct err *e)
{
	struct list_pred *l = NULL;

	(void)dict;
	if (!ff->n_tcp_flags)
		return ERR_OK;
	if (list_pred_new(ff->n_tcp_flags, tcp_flags_match, &l, e) != ERR_OK)
		return ERR_NOMEM;
	for (size_t i = 0; i < l->count; i++) {
		const Flow__TCPFlags *m = ff->tcp_flags[i];

		l->v[i] = (m->fin ? FLOW_TCP_FIN : 0u) | (m->syn ? FLOW_TCP_SYN : 0u) |
			  (m->rst ? FLOW_TCP_RST : 0u) | (m->psh ? FLOW_TCP_PSH : 0u) |
			  (m->ack ? FLOW_TCP_ACK : 0u) | (m->urg ? FLOW_TCP_URG : 0u) |
			  (m->ece ? FLOW_TCP_ECE : 0u) | (m->cwr ? FLOW_TCP_CWR : 0u) |
			  (m->ns ? FLOW_TCP_NS : 0u);
	}
	l->t.cost = 1;
	l->t.may_match = tcp_flags_may_match;
	l->t.members = FLOW_MEMBER(FLOW_MEMBER_L4) | FLOW_MEMBER(FLOW_MEMBER_TCP_FLAGS);
	l->t.needs = FLOW_HAS_TCP_FLAGS;
	*ret = &l->t;
	return ERR_OK;
}

/* --- event types ------------------------------------------------------------------------------ */

/* pkg/monitor/api of Cilium: the number that an event without a CiliumEventType would have. */
enum { EVENT_TYPE_DEBUG = 2, EVENT_TYPE_AGENT = 130 };

struct event_type_test {
	struct pred t;
	size_t count;
	struct {
		int32_t type; /* 0: any */
		bool match_sub_type;
		int32_t sub_type;
	} v[];
};

/* Field 1, the type, of flow.AgentEvent and flow.DebugEvent. */
static int32_t event_sub_type(const struct flow *f)
{
	struct wire_field field;
	int32_t type = 0;

	for (struct wire_reader r = wire_reader_of(flow_ext(f)); wire_next(&r, &field);)
		if (field.number == 1 && field.type == WIRE_VARINT)
			type = (int32_t)field.value;
	return type;
}

static bool event_is_asked(const struct event_type_test *ev, int32_t type, int32_t sub_type)
{
	for (size_t i = 0; i < ev->count; i++)
		if ((ev->v[i].type == 0 || ev->v[i].type == type) &&
		    (!ev->v[i].match_sub_type || ev->v[i].sub_type == sub_type))
			return true;
	return false;
}

static bool event_type_matches(struct pred *t, const struct flow *f)
{
	const struct event_type_test *ev = (const struct event_type_test *)t;
	int32_t type, sub_type;

	if (f->kind == FLOW_KIND_FLOW && flow_is(f, FLOW_HAS_EVENT_TYPE)) {
		type = f->event_type;
		sub_type = f->event_sub_type;
	} else if (f->kind == FLOW_KIND_AGENT || f->kind == FLOW_KIND_DEBUG) {
		type = f->kind == FLOW_KIND_AGENT ? EVENT_TYPE_AGENT : EVENT_TYPE_DEBUG;
		sub_type = event_sub_type(f);
	} else {
		return false;
	}
	return event_is_asked(ev, type, sub_type);
}

static bool event_type_may_match(struct pred *t, const struct flow_zone *z)
{
	const struct event_type_test *ev = (const struct event_type_test *)t;

	if (few_set_is_any(&z->events))
		return true;
	for (size_t i = 0; i < z->events.count; i++)
		if (event_is_asked(ev, (int32_t)(z->events.v[i] >> 32), (int32_t)z->events.v[i]))
			return true;
	return false;
}

enum err_code pred_event_type_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				  struct pred **ret, struct err *e)
{
	size_t n = ff->n_event_type;

	(void)dict;
	if (!n)
		return ERR_OK;
	struct event_type_test *ev = calloc(1, sizeof *ev + n * sizeof ev->v[0]);
	if (!ev)
		return err_set(e, ERR_NOMEM, "flow filter");
	ev->t = (struct pred){
		.matches = event_type_matches,
		.may_match = event_type_may_match,
		.members = FLOW_MEMBER(FLOW_MEMBER_EVENT),
		.free = number_free,
		.sees_events = true,
		.cost = 1,
	};
	ev->count = n;
	for (size_t i = 0; i < n; i++) {
		ev->v[i].type = ff->event_type[i]->type;
		ev->v[i].match_sub_type = ff->event_type[i]->match_sub_type;
		ev->v[i].sub_type = ff->event_type[i]->sub_type;
	}
	*ret = &ev->t;
	return ERR_OK;
}

/* --- interfaces ------------------------------------------------------------------------------- */

struct interface_pred {
	struct pred t;
	struct strs *names;
	uint32_t index[]; /* 0: any */
};

static void interface_free(struct pred *t)
{
	struct interface_pred *i = (struct interface_pred *)t;

	free(i->names);
	free(i);
}

static bool interface_matches(struct pred *t, const struct flow *f)
{
	const struct interface_pred *want = (const struct interface_pred *)t;

	if (!flow_is(f, FLOW_HAS_IFACE))
		return false;
	for (size_t i = 0; i < want->names->count; i++) {
		struct str name = want->names->v[i];

		if ((!want->index[i] || want->index[i] == f->ifindex) &&
		    (!name.len || str_eq(name, flow_ifname(f))))
			return true;
	}
	return false;
}

static bool interface_may_match(struct pred *t, const struct flow_zone *z)
{
	(void)t;
	return z->some_bits & FLOW_HAS_IFACE;
}

enum err_code pred_interface_new(const Flow__FlowFilter *ff, const struct flow_dict *dict,
				 struct pred **ret, struct err *e)
{
	size_t n = ff->n_interface;

	(void)dict;
	if (!n)
		return ERR_OK;
	AUTO(own_free) char **names = calloc(n, sizeof *names);
	struct interface_pred *t = calloc(1, sizeof *t + n * sizeof t->index[0]);
	for (size_t i = 0; names && i < n; i++)
		names[i] = ff->interface[i]->name;
	struct strs *copy = names && t ? strs_copy(names, n) : NULL;
	if (!copy) {
		free(t);
		return err_set(e, ERR_NOMEM, "flow filter");
	}
	t->t = (struct pred){ .matches = interface_matches,
			      .may_match = interface_may_match,
			      .members = FLOW_MEMBER(FLOW_MEMBER_INTERFACE),
			      .free = interface_free,
			      .cost = 1 };
	t->names = copy;
	for (size_t i = 0; i < n; i++)
		t->index[i] = ff->interface[i]->index;
	*ret = &t->t;
	return ERR_OK;
}
