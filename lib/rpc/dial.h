/*
 * dial - whom a channel calls, and how: what clients and fans need to make one of gRPC's.
 *
 * Owner    embedded in a channel; the strings of the config are copied.
 * Threads  immutable after dial_init, but for what is in @tls: one thread at a time.
 */
#ifndef TYCHO_RPC_DIAL_H
#define TYCHO_RPC_DIAL_H

#include <grpc/support/time.h>

#include "rpc/address.h"
#include "rpc/client.h"
#include "rpc/inside.h"
#include "rpc/tls.h"

struct dial {
	struct address address;
	char target[ADDRESS_TARGET_BYTES];
	char *user_agent;
	size_t max_message_bytes;
	grpc_metadata *metadata;
	size_t metadata_count;
	struct tls_files *tls; /* NULL: plain text */
};

/* Fails as rpc_channel_new; dial_done is due in either case. */
MUST_CHECK enum err_code dial_init(struct dial *d, const struct rpc_channel_config *config,
				   struct err *e);
void dial_done(struct dial *d); /* zeros are a no-op */

struct dial_pace {
	int window_bytes;       /* of a stream, and it stays that */
	int connect_timeout_ms; /* TCP, TLS and HTTP/2 together */
	/* between attempts; times 1.6 after each, a fifth more or less: the core's own rule */
	int backoff_min_ms, backoff_max_ms;
};
/* A channel with the certificates as they are now. Connects lazily. Fails with what is wrong with
 * the certificates. */
MUST_CHECK enum err_code dial_channel(const struct dial *d, const struct dial_pace *pace,
				      grpc_channel **ret, struct err *e);

/* 0, and what is centuries away: for ever. */
gpr_timespec dial_deadline(uint64_t timeout_ns);

#endif
