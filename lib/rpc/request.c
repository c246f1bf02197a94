#include "rpc/request.h"

ProtobufCMessage *rpc_request_unpack(struct rpc_call *call, struct str request,
				     const ProtobufCMessageDescriptor *desc)
{
	ProtobufCMessage *m =
		protobuf_c_message_unpack(desc, NULL, request.len, (const uint8_t *)request.p);

	if (!m)
		rpc_call_end(call, RPC_INVALID_ARGUMENT, "the request is no valid %s", desc->name);
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
