#include "relay/request.h"

#include "base/buf.h"
#include "flow/wire.h"

/* Of observer.GetFlowsRequest and google.protobuf.Timestamp. */
enum {
	FIELD_NUMBER = 1,
	FIELD_FOLLOW = 3,
	FIELD_SINCE = 7,
	FIELD_UNTIL = 8,
	FIELD_FIRST = 9,
	TIMESTAMP_SECONDS = 1,
	TIMESTAMP_NANOS = 2
};

/* A time beyond what a clock can say is one that it never says. */
static struct wall_ns read_until(struct str message)
{
	struct wire_reader r = wire_reader_of(message);
	struct timestamp t = { 0 };
	struct wall_ns until;
	struct wire_field f;

	while (wire_next(&r, &f)) {
		if (f.type == WIRE_VARINT && f.number == TIMESTAMP_SECONDS)
			t.s = (int64_t)f.value;
		else if (f.type == WIRE_VARINT && f.number == TIMESTAMP_NANOS)
			t.ns = (int32_t)f.value;
	}
	if (timestamp_to_wall(t, &until))
		return until;
	return (struct wall_ns){ t.s < 0 ? 0 : UINT64_MAX };
}

enum err_code request_read(struct str bytes, struct request *ret, struct err *e)
{
	struct wire_reader r = wire_reader_of(bytes);
	struct wire_field f;
	struct request request = { .until = { UINT64_MAX } };

	while (wire_next(&r, &f)) {
		if (f.type == WIRE_VARINT && f.number == FIELD_NUMBER)
			request.number = f.value;
		else if (f.type == WIRE_VARINT && f.number == FIELD_FOLLOW)
			request.follow = f.value != 0;
		else if (f.type == WIRE_VARINT && f.number == FIELD_FIRST)
			request.first = f.value != 0;
		else if (f.type == WIRE_LEN && f.number == FIELD_SINCE)
			request.has_since = true;
		else if (f.type == WIRE_LEN && f.number == FIELD_UNTIL)
			request.until = read_until(f.bytes);
	}
	if (r.bad)
		return err_set(e, ERR_PARSE, "the request is no valid observer.GetFlowsRequest");
	if (request.first && request.follow)
		return err_set(e, ERR_INVALID, "first cannot be specified with follow");
	*ret = request;
	return ERR_OK;
}

/* With follow, and for the last N, number says how far back; else, how many. */
static bool is_limited(const struct request *r)
{
	return r->number && !r->follow && (r->first || r->has_since);
}

bool request_is_filled(const struct request *r, uint64_t received)
{
	return is_limited(r) && received >= r->number;
}

void request_put_resumed(struct buf *b, struct str bytes, const struct request *r,
			 struct wall_ns since, uint64_t received)
{
	struct wire_reader fields = wire_reader_of(bytes);
	struct timestamp t = timestamp_of(since);
	struct wire_field f;

	if (is_limited(r) && received < r->number)
		wire_put_u64(b, FIELD_NUMBER, r->number - received);
	while (wire_next(&fields, &f))
		if (f.number != FIELD_NUMBER && f.number != FIELD_SINCE)
			buf_str_put(b, f.raw);
	size_t mark = wire_begin(b, FIELD_SINCE);
	wire_put_u64(b, TIMESTAMP_SECONDS, (uint64_t)t.s);
	wire_put_u64(b, TIMESTAMP_NANOS, (uint64_t)t.ns);
	wire_end(b, mark);
}
