/*
 * request - what a method is asked, as a message. What is wrong with it ends the call with
 * INVALID_ARGUMENT and a sentence.
 *
 * Threads  the server's.
 */
#ifndef TYCHO_RPC_REQUEST_H
#define TYCHO_RPC_REQUEST_H

#include <protobuf-c/protobuf-c.h>

#include "base/time.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "rpc/server.h"

/* Own (protobuf_c_message_free_unpacked). NULL: @request is none of @desc, and the call has ended. */
ProtobufCMessage *rpc_request_unpack(struct rpc_call *call, struct str request,
				     const ProtobufCMessageDescriptor *desc);
/* A bound of a range of time; *@ret stays where there is none (@in NULL). False: no clock of ours can
 * say it, and the call has ended. */
bool rpc_request_time(struct rpc_call *call, const Google__Protobuf__Timestamp *in,
		      struct wall_ns *ret);

#endif
