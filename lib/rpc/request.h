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
/* For who does not look into it. False: as above. */
bool rpc_request_is(struct rpc_call *call, struct str request,
		    const ProtobufCMessageDescriptor *desc);
/* What proto3 asks of a message's strings, and protobuf-c leaves to others: UTF-8. */
bool rpc_texts_are_valid(const ProtobufCMessage *m);
/* A bound of a range of time; *@ret stays where there is none (@in NULL). False: no clock of ours can
 * say it, and the call has ended. */
bool rpc_request_time(struct rpc_call *call, const Google__Protobuf__Timestamp *in,
		      struct wall_ns *ret);

#endif
