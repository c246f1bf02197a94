#include "rpc/request.h"

static bool is_valid(const ProtobufCFieldDescriptor *field, const void *value)
{
	if (!value)
		return true;
	return field->type == PROTOBUF_C_TYPE_STRING ? utf8_is_valid(str_of(value))
						     : rpc_texts_are_valid(value);
}

/* The depth is that of the messages' types, none of which holds itself. */
bool rpc_texts_are_valid(const ProtobufCMessage *m)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &m->descriptor->fields[i];
		const char *at = (const char *)m + field->offset;
		const char *quantifier = (const char *)m + field->quantifier_offset;
		if (field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF &&
		    *(const uint32_t *)quantifier != field->id)
			continue;
		const void *const *values = (const void *const *)at;
		size_t n = 1;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			n = *(const size_t *)quantifier;
			values = *(const void *const *const *)at;
		}
		for (size_t k = 0; k < n; k++)
			if (!is_valid(field, values[k]))
				return false;
	}
	return true;
}

ProtobufCMessage *rpc_request_unpack(struct rpc_call *call, struct str request,
				     const ProtobufCMessageDescriptor *desc)
{
	ProtobufCMessage *m =
		protobuf_c_message_unpack(desc, NULL, request.len, (const uint8_t *)request.p);

	if (m && !rpc_texts_are_valid(m)) {
		protobuf_c_message_free_unpacked(m, NULL);
		m = NULL;
	}
	if (!m)
		rpc_call_end(call, RPC_INVALID_ARGUMENT, "the request is no valid %s", desc->name);
	return m;
}

bool rpc_request_is(struct rpc_call *call, struct str request,
		    const ProtobufCMessageDescriptor *desc)
{
	ProtobufCMessage *m = rpc_request_unpack(call, request, desc);

	if (m)
		protobuf_c_message_free_unpacked(m, NULL);
	return m;
}

bool rpc_request_time(struct rpc_call *call, const Google__Protobuf__Timestamp *in,
		      struct wall_ns *ret)
{
	if (!in)
		return true;
	if (in->nanos >= 0 && in->nanos < (int)NS_PER_S &&
	    timestamp_to_wall((struct timestamp){ in->seconds, in->nanos }, ret))
		return true;
	rpc_call_end(call, RPC_INVALID_ARGUMENT,
		     "a time of the range is none between 1970 and 2554");
	return false;
}
