/*
 * nodes - the relay as one over many observers: whom it asks, whether they live, and the API that
 * asks them.
 *
 *	--peer, --peers-file, --peer-dns, --peer-service ──► list of peers ──► api.h
 *	                                                        ▲ keeper: who can be asked
 *
 * Threads  main's, which calls nodes_run whenever there is something to do; the API runs on the
 *          server's.
 */
#ifndef TYCHO_RELAY_NODES_H
#define TYCHO_RELAY_NODES_H

#include <poll.h>

#include "base/err.h"
#include "relay/api.h"
#include "relay/options.h"

struct nodes;

/* @options and @node_name are borrowed and outlive it. */
MUST_CHECK enum err_code nodes_new(const struct rly_options *options, const char *node_name,
				   struct nodes **ret, struct err *e);
/* In two steps, for the server stands between them: it uses the API, and the fan for what the API
 * has under way. */
void nodes_free_api(struct nodes *n); /* after the server */
void nodes_free(struct nodes *n);
AUTO_DEFINE(struct nodes, nodes_free);

struct api *nodes_api(struct nodes *n);
struct rpc_fan *nodes_fan(struct nodes *n);
struct peers *nodes_peers(struct nodes *n);

/* Looks after the peers. @return how many can be asked; *@ret_until: when to call again at the
 * latest. */
size_t nodes_run(struct nodes *n, struct mono_ns now, struct mono_ns *ret_until);
/* What else there is to wait for, and then to be taken. */
enum { NODES_FDS = 4 };
void nodes_fds(const struct nodes *n, struct pollfd ret[NODES_FDS]);
void nodes_take(struct nodes *n, const struct pollfd fds[NODES_FDS]);
/* SIGHUP: everything that is read, or asked for, once more. */
void nodes_reread(struct nodes *n);

#endif
