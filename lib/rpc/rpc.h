/*
 * rpc - what servers and clients share: status codes, addresses, TLS, library life.
 *
 * lib/rpc owns every grpc_* call of the project (gRPC C core 1.51 … 1.6x). Messages are opaque
 * bytes here.
 *
 * Fork only before rpc_init: the C core does not survive it afterwards (fork + exec is fine).
 */
#ifndef TYCHO_RPC_RPC_H
#define TYCHO_RPC_RPC_H

#include "base/err.h"
#include "base/str.h"

/* gRPC's status codes, numbers as on the wire. */
enum rpc_status {
	RPC_OK = 0,
	RPC_CANCELLED = 1,
	RPC_UNKNOWN = 2,
	RPC_INVALID_ARGUMENT = 3,
	RPC_DEADLINE_EXCEEDED = 4,
	RPC_NOT_FOUND = 5,
	RPC_ALREADY_EXISTS = 6,
	RPC_PERMISSION_DENIED = 7,
	RPC_RESOURCE_EXHAUSTED = 8,
	RPC_FAILED_PRECONDITION = 9,
	RPC_ABORTED = 10,
	RPC_OUT_OF_RANGE = 11,
	RPC_UNIMPLEMENTED = 12,
	RPC_INTERNAL = 13,
	RPC_UNAVAILABLE = 14,
	RPC_DATA_LOSS = 15,
	RPC_UNAUTHENTICATED = 16,
};

/* As Go prints them: "OK", "Canceled", "InvalidArgument", "Unavailable", …; "Code(99)" style
 * numbers are the caller's to print: NULL for an unknown code. */
const char *rpc_status_name(enum rpc_status status);
/* The one table from our codes to gRPC's. */
enum rpc_status rpc_status_of(enum err_code code);
enum err_code rpc_status_to_err(enum rpc_status status);

struct rpc_metadata {
	const char *key, *value; /* ASCII; key in lower case */
};

/* One header of a request as it came. Keys that end in "-bin" have any bytes as their value. */
struct rpc_header {
	struct str key, value;
};

/* Files of a TLS identity. They are read again when they change (time, size or inode: looked at in
 * each handshake of a server, and for each call of a channel), so that certificates can be rotated
 * without a restart; a broken new file keeps the old identity and is logged. */
struct rpc_tls {
	/* PEM; our own certificate chain and key; both or neither */
	const char *cert_file, *key_file;
	/* PEM; server: whom to accept as client (given = mutual TLS) */
	const char *const *ca_files;
	size_t ca_file_count;    /* client: whom to believe; none = the system's store */
	const char *server_name; /* client: name to expect instead of the address's host */
	bool allow_insecure;     /* client: encrypt, but believe anyone */
};

/* First and last call into the room, from main; once each. rpc_init ignores SIGPIPE, routes gRPC's
 * own error lines into base/log (ten a second at most) as warnings, or for debugging where there is
 * no server, and lets the system's resolver look up names. gRPC's threads leave signals as they
 * find them: block yours before. */
void rpc_init(void);
/* After every server, channel and stream is freed; waits for gRPC's threads. */
void rpc_shutdown(void);

#endif
