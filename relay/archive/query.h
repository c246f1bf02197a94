/*
 * query - a call that a thread of its own answers, which may wait for ClickHouse.
 *
 *	work's run ──► query_say ──► queue ──► fill ──► client
 *	  (thread)     waits while it is full   (server's thread)
 *
 * Slow     a client that reads slowly has its own thread wait, which lets ClickHouse wait: nothing
 *          is read on.
 * Gone     when the client is gone the statement under way is cut off at once, and run is told.
 * Limits   QUERY_QUEUE_BYTES wait for the client, or one larger message; the archive says how many
 *          queries there are at a time: one too many ends with RESOURCE_EXHAUSTED.
 */
#ifndef TYCHO_RELAY_QUERY_H
#define TYCHO_RELAY_QUERY_H

#include "base/err.h"
#include "base/str.h"
#include "rpc/server.h"

struct archive;
struct query;
struct rights;
struct rowbinary_reader;

enum { QUERY_QUEUE_BYTES = 256 << 10 };

struct query_work {
	/* On the query's thread. The call ends as it says; ERR_CANCELLED once nobody listens. */
	enum err_code (*run)(struct query *q, void *work, struct err *e);
	void (*free)(void *work); /* on any thread, once */
};

/* QUERY_FLOWS: messages are responses of GetFlows, and counted for the audit; QUERY_BATCHES: they go
 * out in batches, packed if the caller can unpack; QUERY_ANSWERS: as they are. */
enum query_form { QUERY_ANSWERS, QUERY_FLOWS, QUERY_BATCHES };

/* The server's thread. Makes @call a stream, or ends it; takes @work either way. */
void query_begin(struct archive *a, struct rpc_call *call, enum query_form form,
		 const struct query_work *how, void *work);

/* ---- for run */

struct archive *query_archive(const struct query *q);
/* What the caller may see; NULL: everything. */
const struct rights *query_rights(const struct query *q);
/* Waits for room. ERR_CANCELLED: nobody listens any more; return. */
MUST_CHECK enum err_code query_say(struct query *q, struct str message, struct err *e);
/* As archive_ask, with the query's own connection. */
MUST_CHECK enum err_code query_ask(struct query *q, struct str sql,
				   bool (*each)(void *ctx, struct rowbinary_reader *r), void *ctx,
				   struct err *e);

#endif
