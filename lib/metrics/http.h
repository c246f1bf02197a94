/*
 * http - as much of HTTP/1.1 as a scrape needs: requests read, what they accept weighed.
 *
 * Source   RFC 9110, RFC 9112. GET and HEAD without a body; what else comes is answered and the
 *          connection closed.
 * Owner    everything in a request borrows the bytes it was read from.
 */
#ifndef TYCHO_METRICS_HTTP_H
#define TYCHO_METRICS_HTTP_H

#include "base/buf.h"

enum { HTTP_REQUEST_BYTES = 16384 };

struct http_request {
	struct str method, path;                           /* path without "?query" */
	struct str accept, accept_encoding, authorization; /* "": not given */
	bool keep_alive;                                   /* the client would go on */
	bool has_body;
};

enum http_read {
	HTTP_MORE,  /* the head is not complete yet */
	HTTP_READY, /* *@ret is filled */
	HTTP_BAD,   /* no HTTP/1.x request: 400 */
};
/* *@ret_used: bytes of the head, with its empty line. */
enum http_read http_request_read(struct str bytes, struct http_request *ret, size_t *ret_used);

enum http_format { HTTP_FORMAT_TEXT, HTTP_FORMAT_OPENMETRICS_0, HTTP_FORMAT_OPENMETRICS_1 };
/* The format that an Accept header asks for most: OpenMetrics where it is asked for by name and at
 * least as much as plain text; plain text else, whatever else is asked for. */
enum http_format http_format_of(struct str accept);
const char *http_content_type(enum http_format format);
bool http_accepts_gzip(struct str accept_encoding);

/* "Basic dXNlcjpwYXNz" to "user" and "pass", which borrow @scratch. False if it is anything else.
 */
bool http_basic_auth(struct str authorization, struct buf *scratch, struct str *ret_user,
		     struct str *ret_password);

#endif
