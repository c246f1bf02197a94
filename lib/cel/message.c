#include "cel/message.h"

#include "flow/fields.h"
#include "flow/wire.h"

enum { ANY_NESTING = 8, MESSAGE_MAX_BYTES = CEL_MEMORY_BYTES };

/* --- reading ------------------------------------------------------------------------------- */

/* Zigzag: sint32 and sint64. */
static int64_t unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1 ^ -(v & 1));
}

static double real_of(enum schema_type type, uint64_t bits)
{
	float narrow;
	double wide;
	uint32_t low = (uint32_t)bits;

	memcpy(&narrow, &low, sizeof narrow);
	memcpy(&wide, &bits, sizeof wide);
	return type == SCHEMA_FLOAT ? (double)narrow : wide;
}

/* What @x, whose wire type is the field's, says; zero bits and no bytes are the default. */
static struct value scalar_of(const struct schema_field *f, const struct wire_field *x)
{
	switch ((enum schema_type)f->type) {
	case SCHEMA_DOUBLE:
	case SCHEMA_FLOAT:
		return value_double(real_of((enum schema_type)f->type, x->value));
	case SCHEMA_INT64:
	case SCHEMA_SFIXED64:
		return value_int((int64_t)x->value);
	case SCHEMA_UINT64:
	case SCHEMA_FIXED64:
		return value_uint(x->value);
	case SCHEMA_UINT32:
	case SCHEMA_FIXED32:
		return value_uint((uint32_t)x->value);
	case SCHEMA_BOOL:
		return value_bool(x->value != 0);
	case SCHEMA_STRING:
		return value_string(x->bytes);
	case SCHEMA_BYTES:
		return value_bytes(x->bytes);
	case SCHEMA_SINT32:
	case SCHEMA_SINT64:
		return value_int(unzigzag(x->value));
	default: /* int32, sfixed32, enums */
		return value_int((int32_t)(uint32_t)x->value);
	}
}

static bool same_oneof(const struct schema_message *m, const struct schema_field *f,
		       uint32_t number)
{
	const struct schema_field *other = f->oneof_count ? schema_field_numbered(m, number) : NULL;

	return other && other->oneof_count && other->oneof_first == f->oneof_first;
}

/* Where a singular field stands in a message. */
struct place {
	size_t count; /* of its occurrences that count */
	size_t bytes; /* of all of these */
	struct wire_field last;
	const uint8_t *first; /* of these, in the message */
};

static struct place find_field(struct eval *ev, struct value message, const struct schema_field *f)
{
	struct place place = { .last = { .bytes = { "", 0 } } };
	struct wire_reader r = wire_reader_of(value_wire(message));

	if (!eval_spend_bytes(ev, message.len))
		return place;
	for (struct wire_field x; wire_next(&r, &x);) {
		if (x.number == f->number && x.type == f->wire_type) {
			if (!place.count++)
				place.first = (const uint8_t *)x.raw.p;
			place.bytes += x.bytes.len;
			place.last = x;
		} else if (same_oneof(message.message.schema, f, x.number)) {
			place = (struct place){ .last = { .bytes = { "", 0 } } };
		}
	}
	return place;
}

/* Messages that come in pieces are the pieces strung together. False without memory. */
static bool merge(struct eval *ev, struct value message, const struct schema_field *f,
		  const struct place *place, struct str *ret)
{
	struct str wire = value_wire(message);
	char *to;
	size_t len = 0;

	*ret = place->last.bytes;
	if (place->count <= 1)
		return true;
	if (!(to = mem_get(ev->mem, place->bytes)))
		return false;
	struct wire_reader r =
		wire_reader_of(str_from(wire, (size_t)(place->first - (const uint8_t *)wire.p)));
	for (struct wire_field x; wire_next(&r, &x);)
		if (x.number == f->number && x.type == WIRE_LEN && x.bytes.len) {
			memcpy(to + len, x.bytes.p, x.bytes.len);
			len += x.bytes.len;
		}
	*ret = str_n(to, len);
	return true;
}

/* seconds = 1, nanos = 2, of both Timestamp and Duration. */
static struct timestamp seconds_and_nanos(struct str wire)
{
	struct wire_reader r = wire_reader_of(wire);
	struct timestamp t = { 0 };

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.type == WIRE_VARINT && x.number == 1)
			t.s = (int64_t)x.value;
		else if (x.type == WIRE_VARINT && x.number == 2)
			t.ns = (int32_t)(uint32_t)x.value;
	return t;
}

static struct value duration_of(struct timestamp t)
{
	int64_t ns;

	if (__builtin_mul_overflow(t.s, (int64_t)NS_PER_S, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)t.ns, &ns))
		ns = t.s < 0 ? INT64_MIN : INT64_MAX;
	return value_duration(ns);
}

/* Times are kept with their nanoseconds in range, however they came. */
static struct timestamp normal(struct timestamp t)
{
	int64_t carry = t.ns / (int64_t)NS_PER_S, ns = t.ns % (int64_t)NS_PER_S;

	if (ns < 0) {
		ns += (int64_t)NS_PER_S;
		carry--;
	}
	if (__builtin_add_overflow(t.s, carry, &t.s))
		t.s = t.s < 0 ? INT64_MIN : INT64_MAX;
	t.ns = (int32_t)ns;
	return t;
}

/* What is in an Any, or NULL: no type is named, or one that is not known here. */
static const struct schema_message *open_any(struct str *wire)
{
	struct wire_reader r = wire_reader_of(*wire);
	struct str url = STR(""), content = STR("");

	for (struct wire_field x; wire_next(&r, &x);)
		if (x.type == WIRE_LEN && x.number == 1)
			url = x.bytes;
		else if (x.type == WIRE_LEN && x.number == 2)
			content = x.bytes;
	*wire = content;
	size_t slash = str_find_last(url, '/');
	return slash < url.len ? schema_find(str_from(url, slash + 1)) : NULL;
}

static struct value unwrap(struct eval *ev, const struct schema_message *m, struct str wire,
			   bool is_present)
{
	if (m->special == SCHEMA_ANY && !is_present)
		return value_null();
	for (int i = 0; i < ANY_NESTING && m && m->special == SCHEMA_ANY; i++)
		m = open_any(&wire);
	if (!m || m->special == SCHEMA_ANY)
		return VALUE_FAULT("unmarshal dynamic any failed: no such type");
	switch (m->special) {
	case SCHEMA_TIMESTAMP:
		return value_time(normal(seconds_and_nanos(wire)));
	case SCHEMA_DURATION:
		return duration_of(seconds_and_nanos(wire));
	case SCHEMA_WRAPPER:
		return is_present ? message_get(ev, value_message(m, wire), &m->fields[0])
				  : value_null();
	default:
		return value_message(m, wire.p ? wire : STR(""));
	}
}

static struct value element_of(struct eval *ev, const struct schema_field *f,
			       const struct wire_field *x)
{
	return f->type == SCHEMA_MESSAGE ? unwrap(ev, f->message, x->bytes, true) : scalar_of(f, x);
}

/* Numbers may come packed: one field of many values. */
static bool is_packed(const struct schema_field *f, const struct wire_field *x)
{
	return x->number == f->number && x->type == WIRE_LEN && f->wire_type != WIRE_LEN;
}

/* The next value of a packed field, cut off the front of @rest. */
static bool packed_next(struct str *rest, enum wire_type type, uint64_t *ret)
{
	size_t size = type == WIRE_I64 ? 8 : type == WIRE_I32 ? 4 : 0, i = 0;

	*ret = 0;
	if (rest->len < size || !rest->len)
		return false;
	if (size) {
		for (; i < size; i++)
			*ret |= (uint64_t)(uint8_t)rest->p[i] << 8 * i;
	} else {
		do
			*ret |= i < 10 ? (uint64_t)(rest->p[i] & 0x7f) << 7 * i : 0;
		while ((uint8_t)rest->p[i++] >= 0x80 && i < rest->len);
	}
	*rest = str_from(*rest, i);
	return true;
}

/* The elements of a repeated field to @out if that is not NULL. @return how many. */
static size_t read_elements(struct eval *ev, struct value message, const struct schema_field *f,
			    struct value *out)
{
	struct wire_reader r = wire_reader_of(value_wire(message));
	size_t n = 0;

	for (struct wire_field x; wire_next(&r, &x);) {
		if (is_packed(f, &x)) {
			struct wire_field one = x;
			struct str rest = x.bytes;

			for (; packed_next(&rest, (enum wire_type)f->wire_type, &one.value); n++)
				if (out)
					out[n] = scalar_of(f, &one);
		} else if (x.number == f->number && x.type == f->wire_type) {
			if (out)
				out[n] = element_of(ev, f, &x);
			n++;
		}
	}
	return n;
}

static struct value get_list(struct eval *ev, struct value message, const struct schema_field *f)
{
	size_t n = read_elements(ev, message, f, NULL);
	struct value *items = mem_get(ev->mem, n * sizeof *items);

	if (!items)
		return EVAL_NO_MEMORY;
	if (!eval_spend(ev, n) || !eval_spend_bytes(ev, message.len))
		return EVAL_EXHAUSTED;
	(void)read_elements(ev, message, f, items);
	return value_list(items, n);
}

struct value message_get(struct eval *ev, struct value message, const struct schema_field *f)
{
	if (f->repeated)
		return get_list(ev, message, f);
	struct place place = find_field(ev, message, f);
	struct str wire;
	if (f->type == SCHEMA_MESSAGE)
		return merge(ev, message, f, &place, &wire)
			       ? unwrap(ev, f->message, wire, place.count > 0)
			       : EVAL_NO_MEMORY;
	return scalar_of(f, &place.last);
}

static bool is_zero(struct value v)
{
	switch ((enum value_kind)v.kind) {
	case VALUE_BOOL:
		return !v.yes;
	case VALUE_DOUBLE: { /* minus zero is not the default */
		uint64_t bits;
		memcpy(&bits, &v.real, sizeof bits);
		return !bits;
	}
	case VALUE_STRING:
	case VALUE_BYTES:
		return !v.str.len;
	case VALUE_LIST:
		return !v.len;
	default:
		return !v.num;
	}
}

bool message_has(struct eval *ev, struct value message, const struct schema_field *f)
{
	if (f->repeated)
		return eval_spend_bytes(ev, message.len) && read_elements(ev, message, f, NULL) > 0;
	struct place place = find_field(ev, message, f);
	return f->has_presence ? place.count > 0 : !is_zero(scalar_of(f, &place.last));
}

static bool next_unknown(const struct schema_message *m, struct wire_reader *r,
			 struct wire_field *ret)
{
	while (wire_next(r, ret))
		if (!schema_field_numbered(m, ret->number))
			return true;
	return false;
}

static bool unknown_equal(struct value a, struct value b)
{
	struct wire_reader ra = wire_reader_of(value_wire(a)), rb = wire_reader_of(value_wire(b));

	for (struct wire_field x, y;;) {
		bool more = next_unknown(a.message.schema, &ra, &x);

		if (more != next_unknown(b.message.schema, &rb, &y))
			return false;
		if (!more)
			return true;
		if (!str_eq(x.raw, y.raw))
			return false;
	}
}

bool message_equal(struct eval *ev, struct value a, struct value b)
{
	const struct schema_message *m = a.message.schema;

	if (m != b.message.schema || !a.message.wire != !b.message.wire)
		return false;
	for (size_t i = 0; i < m->field_count; i++) {
		const struct schema_field *f = &m->fields[i];
		bool has = message_has(ev, a, f);

		if (!eval_spend(ev, 1) || has != message_has(ev, b, f))
			return false;
		if (has && !value_equal(ev, message_get(ev, a, f), message_get(ev, b, f)))
			return false;
	}
	return unknown_equal(a, b);
}

struct value message_flow(struct eval *ev)
{
	const struct schema_message *m = ev->schema;
	const struct flow *f = ev->flow;

	if (f->kind != FLOW_KIND_FLOW)
		return value_message(m, (struct str){ NULL, 0 });
	if (flow_is(f, FLOW_WHOLE))
		return value_message(m, f->ext_len ? str_n(f->ext, f->ext_len) : STR(""));
	if (!ev->has_flow_wire) {
		buf_reset(&ev->flow_wire);
		flow_encode(&ev->flow_wire, f, ev->dict);
		ev->has_flow_wire = true;
	}
	return ev->flow_wire.failed ? EVAL_NO_MEMORY : value_message(m, buf_str(&ev->flow_wire));
}

/* Fields that no member of a record holds, so that made flows have them in ext, too. */
static bool is_ext_only(uint32_t number)
{
	switch (number) {
	case FLOW_FIELD_SOURCE_NAMES:
	case FLOW_FIELD_DESTINATION_NAMES:
	case FLOW_FIELD_L7:
	case FLOW_FIELD_TRACE_CONTEXT:
	case FLOW_FIELD_FILE:
	case FLOW_FIELD_TUNNEL:
	case FLOW_FIELD_EGRESS_ALLOWED_BY:
	case FLOW_FIELD_INGRESS_ALLOWED_BY:
	case FLOW_FIELD_EGRESS_DENIED_BY:
	case FLOW_FIELD_INGRESS_DENIED_BY:
	case FLOW_FIELD_POLICY_LOG:
	case FLOW_FIELD_AGGREGATE:
	case FLOW_FIELD_EXTENSIONS:
		return true;
	default:
		return false;
	}
}

struct value message_flow_for(struct eval *ev, const struct schema_field *f)
{
	const struct flow *flow = ev->flow;
	bool looked_for = f->number != FLOW_FIELD_L7 || flow_is(flow, FLOW_HAS_L7);

	if (flow->kind != FLOW_KIND_FLOW || !is_ext_only(f->number))
		return message_flow(ev);
	return value_message(ev->schema, looked_for && flow->ext_len
						 ? str_n(flow->ext, flow->ext_len)
						 : STR(""));
}

/* --- writing ------------------------------------------------------------------------------- */

#define WRONG_TYPE VALUE_FAULT("unsupported type conversion of a field")

static uint64_t real_bits(enum schema_type type, double v)
{
	float narrow = (float)v;
	uint32_t low;
	uint64_t bits;

	memcpy(&low, &narrow, sizeof low);
	memcpy(&bits, &v, sizeof bits);
	return type == SCHEMA_FLOAT ? low : bits;
}

/* A number's bits on the wire; false if the value is of another type or does not fit. */
static bool number_bits(const struct schema_field *f, struct value v, uint64_t *ret)
{
	switch ((enum schema_type)f->type) {
	case SCHEMA_DOUBLE:
	case SCHEMA_FLOAT:
		*ret = real_bits((enum schema_type)f->type, v.real);
		return v.kind == VALUE_DOUBLE;
	case SCHEMA_INT64:
	case SCHEMA_SFIXED64:
		*ret = (uint64_t)v.num;
		return v.kind == VALUE_INT;
	case SCHEMA_UINT64:
	case SCHEMA_FIXED64:
		*ret = v.unum;
		return v.kind == VALUE_UINT;
	case SCHEMA_UINT32:
	case SCHEMA_FIXED32:
		*ret = v.unum;
		return v.kind == VALUE_UINT && v.unum <= UINT32_MAX;
	case SCHEMA_BOOL:
		*ret = v.yes;
		return v.kind == VALUE_BOOL;
	case SCHEMA_SINT32:
	case SCHEMA_SINT64:
		*ret = (uint64_t)v.num << 1 ^ (uint64_t)(v.num >> 63);
		return v.kind == VALUE_INT;
	default:
		*ret = (uint64_t)v.num;
		return v.kind == VALUE_INT && v.num >= INT32_MIN && v.num <= INT32_MAX;
	}
}

static void put_number(struct buf *b, const struct schema_field *f, uint64_t bits)
{
	enum wire_type type = (enum wire_type)f->wire_type;

	if (!bits && !f->has_presence && !f->repeated)
		return;
	wire_put_tag(b, f->number, type);
	if (type == WIRE_VARINT)
		wire_put_varint(b, bits);
	for (size_t i = 0; type != WIRE_VARINT && i < (type == WIRE_I64 ? 8 : 4); i++)
		buf_char(b, (char)(bits >> 8 * i));
}

static void put_seconds_and_nanos(struct buf *b, struct timestamp t)
{
	wire_put_u64(b, 1, (uint64_t)t.s);
	wire_put_u64(b, 2, (uint64_t)(int64_t)t.ns);
}

static bool put_scalar(struct buf *b, const struct schema_field *f, struct value v)
{
	uint64_t bits;

	if (f->type == SCHEMA_STRING || f->type == SCHEMA_BYTES) {
		if (v.kind != (f->type == SCHEMA_STRING ? VALUE_STRING : VALUE_BYTES))
			return false;
		if (v.str.len || f->has_presence || f->repeated)
			wire_put_len(b, f->number, v.str);
		return true;
	}
	if (!number_bits(f, v, &bits))
		return false;
	put_number(b, f, bits);
	return true;
}

/* The content of a message field. */
static bool put_content(struct buf *b, const struct schema_message *m, struct value v)
{
	switch (m->special) {
	case SCHEMA_TIMESTAMP:
		if (v.kind != VALUE_TIMESTAMP)
			return false;
		put_seconds_and_nanos(b, v.time);
		return true;
	case SCHEMA_DURATION:
		if (v.kind != VALUE_DURATION)
			return false;
		put_seconds_and_nanos(b,
				      (struct timestamp){ v.num / (int64_t)NS_PER_S,
							  (int32_t)(v.num % (int64_t)NS_PER_S) });
		return true;
	case SCHEMA_WRAPPER:
		return put_scalar(b, &m->fields[0], v);
	case SCHEMA_ANY: {
		if (v.kind != VALUE_MESSAGE)
			return false;
		size_t mark = wire_begin(b, 1);
		buf_lit(b, "type.googleapis.com/");
		buf_str_put(b, v.message.schema->name);
		wire_end(b, mark);
		wire_put_str(b, 2, value_wire(v));
		return true;
	}
	default:
		if (v.kind != VALUE_MESSAGE || v.message.schema != m)
			return false;
		buf_str_put(b, value_wire(v));
		return true;
	}
}

static bool put_one(struct buf *b, const struct schema_field *f, struct value v)
{
	if (f->type != SCHEMA_MESSAGE)
		return put_scalar(b, f, v);
	if (v.kind == VALUE_NULL && !f->repeated)
		return true; /* leaves the field unset */
	size_t mark = wire_begin(b, f->number);
	bool good = put_content(b, f->message, v);
	wire_end(b, mark);
	return good;
}

static bool put_field(struct buf *b, const struct schema_field *f, struct value v)
{
	if (!f->repeated)
		return put_one(b, f, v);
	for (size_t i = 0; v.kind == VALUE_LIST && i < v.len; i++)
		if (!put_one(b, f, v.items[i]))
			return false;
	return v.kind == VALUE_LIST;
}

struct value message_make(struct eval *ev, const struct expr *n, const struct value *values)
{
	AUTO_BUF struct buf b = buf_init(MESSAGE_MAX_BYTES);
	const struct expr *x = n->args;

	for (size_t i = 0; i < n->arg_count; i++, x = x->next)
		if (!put_field(&b, x->field, values[i]))
			return WRONG_TYPE;
	struct str wire = mem_str(ev->mem, buf_str(&b));
	if (b.failed || !wire.p)
		return EVAL_NO_MEMORY;
	return eval_spend_bytes(ev, wire.len) ? unwrap(ev, n->message, wire, true) : EVAL_EXHAUSTED;
}
