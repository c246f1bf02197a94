/*
 * wire - flows as protobuf bytes, written and read by hand, for speed;
 * tests/bench/bench_flow_wire.c prints what a flow costs.
 *
 * Writers emit known fields in ascending field order, endpoints and services as the bytes that the
 * dictionary holds. The readers accept any order, skip what they do not know, and never look beyond
 * the bytes they were given.
 */
#ifndef TYCHO_FLOW_WIRE_H
#define TYCHO_FLOW_WIRE_H

#include "base/buf.h"
#include "base/err.h"
#include "flow/dict.h"
#include "flow/flow.h"

/* Appends flow.Flow. Of a whole flow that is its ext. Of a made flow it is the members, Summary (as
 * flow_summary_put says; unless ext has one) and ext's fields, in ascending order if ext's fields
 * are; FlowDetail in ext is merged with ours. */
void flow_encode(struct buf *b, const struct flow *f, const struct flow_dict *d);
/* A made flow in pieces that protobuf merges to what flow_encode writes: DNS (source_names,
 * destination_names, and of a flow with a DNS record l7 and Summary), addresses (ethernet, IP,
 * tunnel), and the core, which is the rest. The core's endpoints are the two pieces of wire bytes
 * that the caller gives, [0].p NULL: absent. */
void flow_encode_core(struct buf *b, const struct flow *f, const struct flow_dict *d,
		      const struct str src_ep[2], const struct str dst_ep[2]);
void flow_encode_addresses(struct buf *b, const struct flow *f);
void flow_encode_dns(struct buf *b, const struct flow *f, const struct flow_dict *d);
/* Whether l7 in ext is, or could be, a DNS record: one that cannot be read is taken for one. */
bool flow_has_dns(const struct flow *f);

/* Appends observer.GetFlowsResponse for a record of any kind that GetFlows sends (flow, lost, node
 * status): the message, node_name, time. @node is who says so where the record itself does not know
 * (lost events); may be "". Agent and debug events become an observer.ExportEvent. */
void flow_encode_response(struct buf *b, const struct flow *f, const struct flow_dict *d,
			  struct str node);

/* The fields of such a response behind the message: node_name, time. */
void flow_encode_behind(struct buf *b, const struct flow *f, const struct flow_dict *d,
			struct str node);

/* Reads flow.Flow into a whole record (FLOW_WHOLE; ext = @message, borrowed). Endpoints, services,
 * node and kernel reason are interned in @d. Fails with ERR_PARSE on malformed bytes only: odd
 * content is content, and a full dictionary leaves ids
 * 0. Messages that no member repeats (l7, tunnel, policies, …) are not looked into. @ret is filled
 *    entirely. */
MUST_CHECK enum err_code flow_decode(struct str message, struct flow_dict *d, struct flow *ret,
				     struct err *e);

/* The parts of an observer.GetFlowsResponse (or ExportEvent), borrowed from its bytes. */
struct flow_response {
	enum flow_kind kind; /* which member of the oneof; see has_message */
	bool has_message;    /* false: an empty response, or a member this version does not know */
	bool has_time;
	struct str message; /* bytes of the member */
	struct str node_name;
	struct timestamp time;
};
MUST_CHECK enum err_code flow_response_split(struct str message, struct flow_response *ret,
					     struct err *e);

/* --- small tools of the trade, for everybody who touches wire bytes --------------------------- */

enum wire_type {
	WIRE_VARINT = 0,
	WIRE_I64 = 1,
	WIRE_LEN = 2,
	WIRE_GROUP = 3,
	WIRE_END_GROUP = 4,
	WIRE_I32 = 5
};

/* Reader with a sticky error: after a fault, wire_next returns false, @bad is set and p is end. */
struct wire_reader {
	const uint8_t *p, *end;
	bool bad;
};
struct wire_field {
	uint32_t number;
	uint64_t value;      /* VARINT, I64, I32; else 0 */
	struct str bytes;    /* LEN, and a group's content; else "" */
	struct str raw;      /* the whole field with its tag, to be copied on */
	enum wire_type type; /* not beside number: compilers would join the two into one load, which
			      * then waits for the two stores */
};
static inline struct wire_reader wire_reader_of(struct str s)
{
	const uint8_t *p = (const uint8_t *)(s.len ? s.p : ""); /* NULL is no place to add to */

	return (struct wire_reader){ p, p + s.len, false };
}
/* Any field: what wire_next does not do itself. */
bool wire_next_slow_(struct wire_reader *r, struct wire_field *ret);
/* The next field. False at the end, and on a fault: field 0, more than 64 bits, a value that is
 * longer than the bytes, a group that does not end or nests deeper than 64. Inline for the fields
 * of nearly all messages: VARINT and LEN with tags of up to four bytes. Always: a call for each
 * field made decoding a third slower. */
__attribute__((always_inline)) static inline bool wire_next(struct wire_reader *r,
							    struct wire_field *ret)
{
	const uint8_t *p = r->p, *end = r->end;

	if (end - p < 2)
		return p != end && wire_next_slow_(r, ret);
	uint32_t tag = *p++, more = tag;
	if (more >= 0x80) {
		tag &= 0x7f;
		for (unsigned shift = 7; more >= 0x80 && shift < 28 && p < end; shift += 7) {
			more = *p++;
			tag |= (more & 0x7f) << shift;
		}
	}
	if (more >= 0x80 || tag < 8 || p == end)
		return wire_next_slow_(r, ret);
	uint64_t v = more = *p++;
	if (more >= 0x80) {
		v &= 0x7f;
		for (unsigned shift = 7; more >= 0x80 && shift < 63 && p < end; shift += 7) {
			more = *p++;
			v |= (uint64_t)(more & 0x7f) << shift;
		}
		if (more >= 0x80)
			return wire_next_slow_(r, ret);
	}
	if ((tag & 7) == WIRE_LEN) {
		if (v > (size_t)(end - p))
			return wire_next_slow_(r, ret);
		ret->value = 0;
		ret->bytes = str_n(p, (size_t)v);
		p += v;
	} else if ((tag & 7) == WIRE_VARINT) {
		ret->value = v;
		ret->bytes = (struct str){ "", 0 };
	} else {
		return wire_next_slow_(r, ret);
	}
	ret->number = tag >> 3;
	ret->type = (enum wire_type)(tag & 7);
	ret->raw = str_n(r->p, (size_t)(p - r->p));
	r->p = p;
	return true;
}
/* A varint that is no field's; false, and @r is bad, if there is none. */
bool wire_next_varint(struct wire_reader *r, uint64_t *ret);
/* First occurrence of LEN field @number in @message; false if there is none. */
bool wire_find(struct str message, uint32_t number, struct str *ret);

/* A google.protobuf.Timestamp: members that are there take the place of @t's. False: it is malformed. */
static inline bool wire_timestamp(struct str message, struct timestamp *t)
{
	struct wire_reader r = wire_reader_of(message);

	for (struct wire_field f; wire_next(&r, &f);)
		if (f.type == WIRE_VARINT && f.number == 1)
			t->s = (int64_t)f.value;
		else if (f.type == WIRE_VARINT && f.number == 2)
			t->ns = (int32_t)(uint32_t)f.value;
	return !r.bad;
}

void wire_put_varint_slow_(struct buf *b, uint64_t v);
static inline void wire_put_varint(struct buf *b, uint64_t v)
{
	if (v < 0x80)
		buf_char(b, (char)v);
	else
		wire_put_varint_slow_(b, v);
}
static inline void wire_put_tag(struct buf *b, uint32_t number, enum wire_type type)
{
	wire_put_varint(b, (uint64_t)number << 3 | type);
}
/* Nothing is written for zero or empty, as proto3 has it. */
void wire_put_u64(struct buf *b, uint32_t number, uint64_t v);
void wire_put_str(struct buf *b, uint32_t number, struct str s);
/* Also when empty: sub-messages and repeated members. */
void wire_put_len(struct buf *b, uint32_t number, struct str s);
/* A sub-message of unknown length: begin, write its fields, end. Lengths are moved into place. */
size_t wire_begin(struct buf *b, uint32_t number);
void wire_end(struct buf *b, size_t mark);
/* Fields from @start to the end of @b, a message of the schema, into ascending order of their
 * numbers; those of one number, which stand together, keep theirs. Also writes behind the end, as
 * buf_reserve does. */
void wire_sort(struct buf *b, size_t start);

#endif
