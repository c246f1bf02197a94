/*
 * gate - access before every call of a server, and a line in the log after it.
 *
 *	call ──► who? ──┬── nobody we know ──► UNAUTHENTICATED
 *	                ├── may everything ──► method
 *	                └── some namespaces ──► the few methods that can be cut down, with a request
 *	                                        that is; all others: PERMISSION_DENIED
 *
 * Cut down   GetFlows, GetFlowBatches, GetServiceMap: by their filters. ServerStatus: becomes
 *            GetFilteredStatus. GetNodes, GetNamespaces, GetCoverage: the methods ask gate_rights
 *            what to leave out. Health and reflection are everybody's.
 * Streams    end with PERMISSION_DENIED when the file's new rules no longer give the same rights.
 * Audit      "query" when a follower begins, "query ended" when any call is over: who, from where,
 *            which method, what was asked, how many flows.
 *
 * Threads  the server's.
 */
#ifndef TYCHO_ACCESS_GATE_H
#define TYCHO_ACCESS_GATE_H

#include "base/err.h"
#include "rpc/server.h"

struct gate;
struct rights;

/* Reads the access file; fails as access_new. */
MUST_CHECK enum err_code gate_new(const char *access_file, struct gate **ret, struct err *e);
void gate_free(struct gate *g); /* after the server; NULL is a no-op */
AUTO_DEFINE(struct gate, gate_free);

/* For rpc_server_config; NULL: everybody may everything. */
struct rpc_gate gate_of(struct gate *g);

/* What the caller may see; NULL: everything. Borrowed for the call's life. */
const struct rights *gate_rights(const struct rpc_call *call);
/* For the audit: @n more flows were given out. No-op without a gate. */
void gate_count(const struct rpc_call *call, uint64_t n);

#endif
