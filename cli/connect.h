/*
 * connect - from the settings to a channel, calls that print errors as the reference does, and
 * SIGINT as an end.
 *
 * Only here and in what calls it does gRPC start: everything else of the command runs without.
 */
#ifndef TYCHO_CLI_CONNECT_H
#define TYCHO_CLI_CONNECT_H

#include "cli/settings.h"
#include "rpc/client.h"

/* gRPC's life and one channel in it; embedded. */
struct connection {
	struct rpc_channel *channel;
	bool rpc_is_up;
};
#define AUTO_CONNECTION __attribute__((cleanup(connection_done)))
void connection_done(struct connection *c);

/* Checks what only a connection needs (authentication without TLS). Does not
 * wait for the server. On failure *@ret must still be passed to connection_done. */
MUST_CHECK enum err_code connection_open(const struct settings *s, struct connection *ret,
					 struct err *e);
/* The TLS files of the settings; @ca_files has CONNECTION_CA_FILES places. False: plain text. */
enum { CONNECTION_CA_FILES = 64 };
bool connection_tls(const struct settings *s, const char **ca_files, struct rpc_tls *ret);
/* One call within --request-timeout; the answer is appended to @ret_response. */
MUST_CHECK enum err_code connection_call(struct connection *c, const struct settings *s,
					 const char *method, struct str request,
					 struct buf *ret_response, struct err *e);
/* The server's address as people write it: without a scheme. Borrowed from the settings. */
const char *connection_target(const struct settings *s);

/*
 * Streams: every message goes to @on_message until the server ends, SIGINT comes (ERR_CANCELLED:
 * there may have been more) or @on_message fails.
 * @on_pause, if there is one, is called whenever no further message is here yet. SIGINT is blocked
 * in the process from before the connection until the end of the stream.
 */
struct stream_handler {
	enum err_code (*on_message)(void *ctx, struct str message, struct err *e);
	enum err_code (*on_pause)(void *ctx, struct err *e);
	void *ctx;
};
MUST_CHECK enum err_code connection_stream(const struct settings *s, const char *method,
					   struct str request, const struct stream_handler *handler,
					   struct err *e);
/* The same with the first of @calls that the server knows, all with @request. @headers, at most
 * CONNECTION_HEADERS, go with them. */
enum { CONNECTION_HEADERS = 2 };
struct stream_call {
	const char *method;
	struct stream_handler handler;
};
MUST_CHECK enum err_code connection_stream_either(const struct settings *s,
						  const struct rpc_metadata *headers,
						  size_t header_count,
						  const struct stream_call *calls, size_t count,
						  struct str request, struct err *e);

/* Is @own older than @other in major or minor version? False where either is no version. */
bool version_is_older(const char *own, struct str other);

#endif
