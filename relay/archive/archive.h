/*
 * archive - observer.Observer, answered from ClickHouse, where observers have shipped their flows
 * (lib/clickhouse/schema.h).
 *
 *	call ──► query.c: a thread of its own ──► plan.c, where.c ──► SELECT … ──► ClickHouse
 *	              │                             scan.c ◄── rows ◄──────────────────┘
 *	client ◄── queue (bounded) ◄── exact filter, mask
 *
 *	GetFlows       flows.c     and tycho.v1's GetFlowBatches: the same by the batch
 *	ServerStatus   status.c    GetNodes, GetNamespaces; tycho.v1's GetFilteredStatus and GetTime
 *	GetCoverage    coverage.c  of tycho.v1: since when there is what of which node
 *	GetServiceMap  map.c       of tycho.v1: who talks to whom, from the flows
 *
 * What an archive has not, live flows and proofs, is refused with a word on whom to ask instead.
 *
 * Threads  methods run on the server's thread and never wait for ClickHouse; each call has a thread
 *          until it is answered, at most @queries of them. One more asks every few seconds whether
 *          ClickHouse is there.
 */
#ifndef TYCHO_RELAY_ARCHIVE_H
#define TYCHO_RELAY_ARCHIVE_H

#include "base/err.h"
#include "clickhouse/client.h"
#include "metrics/page.h"
#include "rpc/server.h"

struct archive;

struct archive_config {
	const struct clickhouse_config *clickhouse; /* all borrowed, must outlive the archive */
	const char *version;                        /* "tycho-relay v0.1.0" */
	const char *node_name;                      /* who says what we say ourselves */
	size_t queries;                             /* that are answered at a time */
	/* On the watching thread, at first and whenever it changes. @why is borrowed. */
	void (*changed)(void *ctx, bool is_well, const char *why);
	void *ctx;
};

/* Since the start. Any thread. */
struct archive_counts {
	uint64_t queries;            /* calls that ClickHouse was to be asked for … */
	uint64_t live_queries;       /* … and that have not ended */
	uint64_t refused;            /* for there were too many at a time */
	uint64_t failed;             /* that ended in a fault of ours or ClickHouse's */
	uint64_t rows, bytes;        /* of ClickHouse's answers */
	struct histogram statements; /* put to ClickHouse, by how long they took, in seconds */
};

/* Asks nobody yet. ERR_INVALID: what clickhouse_new says; ERR_NOMEM. */
MUST_CHECK enum err_code archive_new(const struct archive_config *config, struct archive **ret,
				     struct err *e);
/* Begins to watch. */
MUST_CHECK enum err_code archive_start(struct archive *a, struct err *e);
/* Watches no more, @changed is not called again. Before the server is gone. */
void archive_stop(struct archive *a);
/* After the server that uses its methods. Waits for the threads, whose statements are cut off. */
void archive_free(struct archive *a);
AUTO_DEFINE(struct archive, archive_free);

/* The methods to give to rpc_server_config; borrowed for the archive's life. */
const struct rpc_method *archive_methods(const struct archive *a, size_t *ret_count);
/* Whom to wake when there are answers. */
void archive_set_server(struct archive *a, struct rpc_server *s);

void archive_counts(struct archive *a, struct archive_counts *ret);
/* Whether ClickHouse has answered when it was last asked; else *@why is a sentence. Any thread. */
enum { ARCHIVE_WHY_BYTES = 256 };
bool archive_is_well(struct archive *a, char why[ARCHIVE_WHY_BYTES]);

#endif
