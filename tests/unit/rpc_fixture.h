/*
 * rpc_fixture - a server with a handful of methods, and a client to call them, for the tests of
 * lib/rpc.
 *
 *	/test.T/Echo    answers with the request
 *	/test.T/Fail    ends with INVALID_ARGUMENT and the request as text
 *	/test.T/Count   streams the decimal numbers 0 … n-1, n from the request, then OK
 *	/test.T/Heavy   streams as many messages of 1 MiB as have room at once, then OK
 *	/test.T/Flood   streams 1 KiB messages for ever
 *	/test.T/Idle    streams nothing; "tick" each time it was asked if the request is "tick"
 *	/test.T/Toil    works for ever and says nothing, giving way each time; a number as the
 *	                request: after so many microseconds
 *	/test.T/Silent  forgets to answer
 */
#ifndef TYCHO_TEST_RPC_FIXTURE_H
#define TYCHO_TEST_RPC_FIXTURE_H

#include <stdatomic.h>

#include "rpc/client.h"
#include "rpc/server.h"

extern atomic_size_t fixture_done;    /* streams whose state was given back */
extern atomic_size_t fixture_streams; /* streams that began */
extern atomic_size_t fixture_toils;   /* turns that Toil had */

/* Fills in the methods, and the address 127.0.0.1:0 unless @config has some, and starts. Fails the
 * test if it cannot. */
struct rpc_server *fixture_serve(struct rpc_server_config config);
/* A plain-text channel to listener 0 of @s. */
struct rpc_channel *fixture_channel(const struct rpc_server *s);
/* The same with any address and TLS. */
struct rpc_channel *fixture_channel_to(const char *address, const struct rpc_tls *tls);
/* Calls @fn until it is true; fails the test after 30 s. */
void fixture_wait(bool (*fn)(void *), void *arg, const char *what);
/* Open descriptors of this process. */
size_t fixture_fds(void);
/* A private directory under the build's temporary directory; own (free). Removed with what is in it
 * at exit. */
const char *fixture_dir(void);

struct rpc_stream *fixture_open(struct rpc_channel *ch, const char *method, const char *request);
/* One message as text; NULL at the end. Valid until the next call. */
const char *fixture_next(struct rpc_stream *s);

#endif
