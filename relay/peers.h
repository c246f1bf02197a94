/*
 * peers - whom the relay asks: the list, and a connection to each.
 *
 *	--peer, file, DNS, peer service  ──► peers ──► snapshot ──► queries
 *	                                       ▲
 *	                                     keeper: is it alive?
 *
 * A name is there once. Of two sources that claim it, the one that came first has it.
 *
 * Owner    a peer is counted: the list holds it while it is listed, a snapshot while it is used.
 *          What is taken off the list is marked gone, and its calls end.
 * Threads  main changes the list; any thread takes snapshots.
 */
#ifndef TYCHO_RELAY_PEERS_H
#define TYCHO_RELAY_PEERS_H

#include <stdatomic.h>

#include "base/err.h"
#include "base/time.h"
#include "rpc/fan.h"

struct peers;

/* Where a peer comes from. */
enum peer_source { PEER_STATIC, PEER_FILE, PEER_SERVICE, PEER_DNS };

/* One line of a list: NAME=ADDRESS[,TLS-NAME]. */
struct peer_spec {
	struct str name;     /* "cluster/node" or "node" */
	struct str address;  /* as rpc_channel_config has it */
	struct str tls_name; /* expected of its certificate; "": the address's host */
	bool tells_tls;      /* of PEER_SERVICE, which says who has TLS; else it is as configured */
	uint64_t told;       /* of PEER_SERVICE: the number of the stream that told of it */
};
/* Borrows from @text. ERR_INVALID with one sentence. */
MUST_CHECK enum err_code peer_spec_parse(struct str text, struct peer_spec *ret, struct err *e);

enum { PEER_WHY_BYTES = 256 };

struct peer {
	/* immutable */
	char *name, *address, *tls_name; /* tls_name NULL: none expected */
	enum peer_source source;
	bool has_tls;
	struct rpc_fan_channel *channel; /* NULL: it cannot be called */
	char why[PEER_WHY_BYTES];        /* … because */

	atomic_size_t refs;
	atomic_bool is_gone;
	/* Somebody waits for it in vain: the keeper should ask whether it lives. */
	atomic_bool is_suspect;
	/* Knows no tycho.v1 (a Hubble agent): asked in Hubble's words, until it connects anew. */
	atomic_bool is_foreign;

	uint64_t told; /* as of peer_spec: the last one; main only */

	/* the keeper's thread only */
	bool is_probed, is_seen, was_available;
	bool asks_why;            /* became unavailable; the call that ends next says why */
	struct mono_ns probe_at;  /* the next one; 0: not planned yet */
	struct mono_ns probed_at; /* of the last one */
	struct peer *next_probed, **prev_probed;
};

struct peers_config {
	struct rpc_fan *fan;
	const struct rpc_tls *tls;  /* NULL: plain text; server_name is each peer's own */
	void (*changed)(void *ctx); /* any thread: a peer's state is not what it was */
	void *ctx;
};

MUST_CHECK enum err_code peers_new(const struct peers_config *config, struct peers **ret,
				   struct err *e);
void peers_free(struct peers *p); /* NULL is a no-op; snapshots may remain */
AUTO_DEFINE(struct peers, peers_free);

/* The list of @source is now this, peers that stay as they were keep their connection. On failure
 * (ERR_INVALID: an address; ERR_EXISTS: a name twice; a certificate file) nothing has changed. */
MUST_CHECK enum err_code peers_set(struct peers *p, enum peer_source source,
				   const struct peer_spec *specs, size_t count, struct err *e);
/* One more of PEER_SERVICE, or another address for it. What cannot be called is listed too: it is
 * unavailable. Fails with ERR_NOMEM, ERR_EXISTS (another source's). */
MUST_CHECK enum err_code peers_put(struct peers *p, const struct peer_spec *spec, struct err *e);
void peers_drop(struct peers *p, struct str name);
/* Those of PEER_SERVICE that stream @told has not told of. @return how many that were. */
size_t peers_drop_untold(struct peers *p, uint64_t told);

/* Changes with the list; any thread. */
uint64_t peers_generation(const struct peers *p);

struct peer_list {
	struct peer **peers; /* by name; each counted */
	size_t count;
	uint64_t generation;
};
MUST_CHECK enum err_code peers_snapshot(struct peers *p, struct peer_list *ret, struct err *e);
void peer_list_done(struct peer_list *list);

struct peer *peer_ref(struct peer *p);
void peer_unref(struct peer *p); /* NULL is a no-op */
/* Worth asking. */
bool peer_is_available(const struct peer *p);

#endif
