/*
 * tally - what each method of a server was asked and answered, for rpc_server_method_counts.
 *
 * Threads  written by the server's thread, read by any: single numbers are right, two of them may
 *          be of different moments.
 */
#ifndef TYCHO_RPC_TALLY_H
#define TYCHO_RPC_TALLY_H

#include <stdatomic.h>

#include "base/err.h"
#include "rpc/server.h"

struct tally {
	const char *path; /* borrowed */
	enum rpc_kind kind;
	_Atomic uint64_t started, received, sent, handled[RPC_STATUS_COUNT];
	_Atomic uint64_t durations[RPC_DURATION_BOUNDS + 1], duration_ns;
};

struct reflection;
/* One for each method, and for each that is built in; own (free). NULL: out of memory. */
struct tally *tally_new(const struct rpc_method *methods, size_t count, const struct reflection *r,
			size_t *ret_count);
/* NULL for what is no method; all others accept NULL. */
struct tally *tally_find(struct tally *all, size_t count, struct str path);
void tally_started(struct tally *t);
void tally_received(struct tally *t);
void tally_sent(struct tally *t);
void tally_handled(struct tally *t, enum rpc_status status, uint64_t duration_ns);
struct rpc_method_counts tally_counts(const struct tally *t);

#endif
