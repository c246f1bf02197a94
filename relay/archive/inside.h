/*
 * inside - what the files of the archive share.
 */
#ifndef TYCHO_RELAY_ARCHIVE_INSIDE_H
#define TYCHO_RELAY_ARCHIVE_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "clickhouse/rowbinary.h"
#include "relay/archive/archive.h"
#include "rpc/request.h"

struct query;

enum { ARCHIVE_METHODS = 12, ARCHIVE_SQL_MAX = 192 << 10, ARCHIVE_TEXT_MAX = 16 << 20 };

#define ARCHIVE_HAS_NO_LIVE_FLOWS                                                                  \
	"an archive in ClickHouse has no live flows to follow; ask the observers, or a relay "     \
	"over them"

struct archive {
	struct archive_config config;
	struct rpc_server *_Atomic server; /* NULL until there is one */
	struct rpc_method methods[ARCHIVE_METHODS];
	uint64_t seed; /* tells our statements from those of others */
	/* ClickHouse does not know, or its user may not set, what ends statements when we are gone:
	 * then it is told to */
	atomic_bool is_plain;
	_Atomic uint64_t statement_ids, queries, refused, failed, rows, bytes;

	pthread_mutex_t mx;
	pthread_cond_t moved;
	size_t running; /* queries' threads; guarded by mx, as is what follows */
	struct histogram statements;
	bool is_stopping, is_well, has_looked;
	char why[ARCHIVE_WHY_BYTES];

	/* watching */
	struct clickhouse *watched; /* the watching thread's; others may stop it */
	pthread_t watch;
	bool is_watching;
};

/* ---- statements, on any thread but the server's */

/* Of @sql, whose FORMAT is RowBinary: @each gets row after row and returns false when it wants no
 * more, which is ERR_OK. Counted, and cut off as @c is stopped. */
MUST_CHECK enum err_code archive_ask(struct archive *a, struct clickhouse *c, struct str sql,
				     bool (*each)(void *ctx, struct rowbinary_reader *r), void *ctx,
				     struct err *e);
/* How a call ends that has failed with *@e. */
enum rpc_status archive_status_of(const struct err *e);

/* ---- calls, on the server's thread */

/* Ends @call for what is wrong with its request, as Hubble's server does. */
void archive_refuse(struct rpc_call *call, const struct err *e);

void archive_get_flows(struct rpc_call *call, struct str request, void *ctx);
void archive_get_flow_batches(struct rpc_call *call, struct str request, void *ctx);
void archive_server_status(struct rpc_call *call, struct str request, void *ctx);
void archive_get_filtered_status(struct rpc_call *call, struct str request, void *ctx);
void archive_get_time(struct rpc_call *call, struct str request, void *ctx);
void archive_get_nodes(struct rpc_call *call, struct str request, void *ctx);
void archive_get_namespaces(struct rpc_call *call, struct str request, void *ctx);
void archive_get_coverage(struct rpc_call *call, struct str request, void *ctx);
void archive_get_service_map(struct rpc_call *call, struct str request, void *ctx);

/* The threads of queries: no more than so many. */
bool archive_enter(struct archive *a);
void archive_leave(struct archive *a);

#endif
