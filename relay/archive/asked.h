/*
 * asked - what a request asks of the rows, made ready: filters compiled, their condition in SQL, the
 * range of time.
 *
 * Threads  asked_init: the server's; then the query's.
 */
#ifndef TYCHO_RELAY_ASKED_H
#define TYCHO_RELAY_ASKED_H

#include "base/buf.h"
#include "base/err.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "relay/archive/scan.h"

struct Flow__FlowFilter;

/* Names of flows that are remembered at a time; those of a map all of them, up to this. */
enum { ASKED_NAMES = 16384, ASKED_NAMES_OF_MAP = 65536 };

struct asked {
	struct wall_ns from, until; /* inclusive; from > until: nothing */
	struct flow_dict *dict;
	struct flow_filter *filter; /* NULL: all */
	struct buf where;
};

/* @since, @until: NULL: open. ERR_INVALID, ERR_PARSE: with the reference's sentence. On failure there
 * is nothing to be done with @a. */
MUST_CHECK enum err_code
asked_init(struct asked *a, size_t names, struct Flow__FlowFilter *const *whitelist,
	   size_t whitelist_count, struct Flow__FlowFilter *const *blacklist,
	   size_t blacklist_count, const Google__Protobuf__Timestamp *since,
	   const Google__Protobuf__Timestamp *until, struct err *e);
void asked_done(struct asked *a); /* of zeros, a no-op */

/* All of it, forward; take and the rest are the caller's to fill in. */
struct scan_config asked_scan(const struct asked *a);

#endif
