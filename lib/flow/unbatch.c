#include "flow/unbatch.h"

#include <stdlib.h>

#include "base/buf.h"
#include "flow/node_status.h"
#include "flow/wire.h"

_Static_assert(FLOW_TABLE_SERVED == 262144, "what FLOW_TABLE_TEXT says");
_Static_assert(FLOW_TABLES_SERVED == 16777216, "what FLOW_TABLES_TEXT says");

struct flow_unbatch {
	struct flow_unbatch_limits limits;
	struct wire_reader fields; /* of the message */
	struct wire_reader run;    /* what is left of the run in it */
	struct packed_stream *runs_of;
	struct packed_stream *own;
	struct packed_stream **others; /* by number; NULL where there is none */
	size_t others_count, others_bytes;
	struct buf response, names;
};

/* ---- streams */

static struct packed_stream *stream_new(size_t table_bytes, struct str node_name)
{
	struct packed_stream *s = calloc(1, sizeof *s);
	char *name = s ? str_dup(node_name) : NULL;

	if (!name) {
		free(s);
		return NULL;
	}
	*s = (struct packed_stream){
		.uses = 1,
		.table_bytes = table_bytes,
		.node_name = { name, node_name.len },
	};
	return s;
}

void packed_stream_unref(struct packed_stream *s)
{
	if (!s || --s->uses)
		return;
	flow_unpacker_free(s->unpacker);
	free((void *)(uintptr_t)s->node_name.p);
	free(s);
}

enum err_code packed_stream_unpack(struct packed_stream *s, struct str record, struct buf *out,
				   bool *ret_is_void, struct err *e)
{
	if (!s->unpacker && flow_unpacker_new(s->table_bytes, &s->unpacker, e) != ERR_OK)
		return ERR_NOMEM;
	return flow_unpacker_take(s->unpacker, record, out, ret_is_void, e);
}

enum err_code flow_unbatch_new(const struct flow_unbatch_limits *limits, struct flow_unbatch **ret,
			       struct err *e)
{
	AUTO(flow_unbatch_free) struct flow_unbatch *u = calloc(1, sizeof *u);

	if (u) {
		u->limits = *limits;
		u->response = buf_init(limits->response_bytes);
		u->names = buf_init(limits->response_bytes);
		u->fields = u->run = wire_reader_of(STR(""));
		u->own = stream_new(limits->table_bytes, STR(""));
	}
	if (!u || !u->own)
		return err_set(e, ERR_NOMEM, "batches of flows");
	u->own->is_own = true;
	*ret = TAKE(u);
	return ERR_OK;
}

void flow_unbatch_free(struct flow_unbatch *u)
{
	if (!u)
		return;
	packed_stream_unref(u->own);
	for (size_t i = 0; i < u->others_count; i++)
		packed_stream_unref(u->others[i]);
	free(u->others);
	buf_done(&u->response);
	buf_done(&u->names);
	free(u);
}

static enum err_code no_batch(struct err *e)
{
	return err_set(e, ERR_PARSE, "no batch of flows");
}

static bool make_place(struct flow_unbatch *u, size_t number)
{
	if (number < u->others_count)
		return true;
	size_t count = 2 * number + 8;
	struct packed_stream **others = realloc(u->others, count * sizeof(struct packed_stream *));
	if (!others)
		return false;
	while (u->others_count < count)
		others[u->others_count++] = NULL;
	u->others = others;
	return true;
}

/* A PackedStream: each number is worth a table of FLOW_TABLE_MIN at least, so there are not many.
 */
static enum err_code begin_stream(struct flow_unbatch *u, struct str message, struct err *e)
{
	struct wire_reader fields = wire_reader_of(message);
	uint64_t number = 0, table = 0;
	struct str name = STR("");
	struct wire_field f;

	while (wire_next(&fields, &f)) {
		if (f.number == STREAM_NUMBER && f.type == WIRE_VARINT)
			number = f.value;
		else if (f.number == STREAM_TABLE && f.type == WIRE_VARINT)
			table = f.value;
		else if (f.number == STREAM_NODE && f.type == WIRE_LEN)
			name = f.bytes;
	}
	if (fields.bad || table < FLOW_TABLE_MIN || table > FLOW_TABLE_MAX ||
	    number >= u->limits.tables_bytes / FLOW_TABLE_MIN)
		return no_batch(e);
	struct packed_stream *s = make_place(u, number) ? stream_new(table, name) : NULL;
	if (!s)
		return err_set(e, ERR_NOMEM, "batches of flows");
	s->number = (uint32_t)number;
	struct packed_stream **place = &u->others[number];
	u->others_bytes += table - (*place ? (*place)->table_bytes : 0);
	packed_stream_unref(*place);
	*place = s;
	return u->others_bytes > u->limits.tables_bytes ? no_batch(e) : ERR_OK;
}

static enum err_code begin_run(struct flow_unbatch *u, struct str run, struct err *e)
{
	uint64_t number;

	u->run = wire_reader_of(run);
	if (!wire_next_varint(&u->run, &number) || number >= u->others_count || !u->others[number])
		return no_batch(e);
	u->runs_of = u->others[number];
	return ERR_OK;
}

/* ---- messages */

void flow_unbatch_message(struct flow_unbatch *u, struct str message)
{
	u->fields = wire_reader_of(message);
	u->run = wire_reader_of(STR(""));
}

static enum err_code next_of_run(struct flow_unbatch *u, struct flow_unbatch_item *ret,
				 struct err *e)
{
	uint64_t len;

	if (!wire_next_varint(&u->run, &len) || len > (size_t)(u->run.end - u->run.p))
		return no_batch(e);
	*ret = (struct flow_unbatch_item){ u->runs_of, str_n(u->run.p, (size_t)len) };
	u->run.p += len;
	return ERR_OK;
}

enum err_code flow_unbatch_item(struct flow_unbatch *u, struct flow_unbatch_item *ret,
				struct err *e)
{
	enum err_code code = ERR_OK;
	struct wire_field f;

	while (code == ERR_OK) {
		if (u->run.p != u->run.end)
			return next_of_run(u, ret, e);
		if (!wire_next(&u->fields, &f))
			return u->fields.bad ? no_batch(e)
					     : err_set(e, ERR_CLOSED, "the end of a batch");
		if (f.type != WIRE_LEN)
			continue;
		switch (f.number) {
		case BATCH_RESPONSE:
			*ret = (struct flow_unbatch_item){ NULL, f.bytes };
			return ERR_OK;
		case BATCH_PACKED:
			*ret = (struct flow_unbatch_item){ u->own, f.bytes };
			return ERR_OK;
		case BATCH_STREAM:
			code = begin_stream(u, f.bytes, e);
			break;
		case BATCH_RUN:
			code = begin_run(u, f.bytes, e);
			break;
		default:
			break;
		}
	}
	return code;
}

/* What a relay would say of the node. */
static void put_failure(struct flow_unbatch *u, struct str node_name)
{
	buf_reset(&u->names);
	buf_reset(&u->response);
	node_status_name(&u->names, node_name);
	node_status_put(&u->response, &(struct node_status){
					      .state = RELAY__NODE_STATE__NODE_ERROR,
					      .names = buf_str(&u->names),
					      .text = STR(NODE_SENT_NO_FLOW),
					      .said_by = node_name,
					      .time = wall_now(),
				      });
}

static bool is_row_of_fields(struct str bytes)
{
	struct wire_reader fields = wire_reader_of(bytes);
	struct wire_field f;

	while (wire_next(&fields, &f))
		;
	return !fields.bad;
}

/* A record's response, into @u->response. @return false: there is none. */
static bool unpack(struct flow_unbatch *u, const struct flow_unbatch_item *item)
{
	struct packed_stream *s = item->stream;
	bool is_void = false;

	if (s->is_bad)
		return false;
	buf_reset(&u->response);
	s->is_bad = packed_stream_unpack(s, item->bytes, &u->response, &is_void, NULL) != ERR_OK;
	/* What a server packs itself is as good as it is. */
	if (!s->is_bad && !s->is_own && !is_void)
		s->is_bad = !is_row_of_fields(buf_str(&u->response));
	if (s->is_bad)
		put_failure(u, s->node_name);
	return s->is_bad || !is_void;
}

enum err_code flow_unbatch_next(struct flow_unbatch *u, struct str *ret, struct err *e)
{
	struct flow_unbatch_item item;
	enum err_code code;

	while ((code = flow_unbatch_item(u, &item, e)) == ERR_OK) {
		*ret = item.bytes;
		if (!item.stream)
			return ERR_OK;
		bool is_response = unpack(u, &item);
		if (item.stream->is_own && item.stream->is_bad)
			return err_set(e, ERR_PARSE, "no packed flow");
		*ret = buf_str(&u->response);
		if (is_response)
			return ERR_OK;
	}
	return code;
}
