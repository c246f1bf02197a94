/*
 * rest - GET over a local socket: what a Cilium agent answers, as JSON.
 *
 * Limits   an answer of at most REST_ANSWER_MAX bytes, within REST_TIMEOUT_MS in all; what goes
 *          beyond is an error.
 * Threads  one at a time; stop from any.
 */
#ifndef TYCHO_OBSERVER_UPSTREAM_REST_H
#define TYCHO_OBSERVER_UPSTREAM_REST_H

#include <jansson.h>
#include <stdatomic.h>

#include "base/err.h"

enum { REST_ANSWER_MAX = 128 << 20, REST_TIMEOUT_MS = 20000 };

struct rest;

/* @socket: path of a unix socket. Nothing is connected yet. ERR_NOMEM. */
MUST_CHECK enum err_code rest_new(const char *socket, struct rest **ret, struct err *e);
void rest_free(struct rest *r);
AUTO_DEFINE(struct rest, rest_free);

/* The answer to GET @path ("/v1/endpoint"); own (json_decref). ERR_NOT_FOUND: 404, the agent has no
 * such thing, or nothing of it. ERR_UNAVAILABLE: nobody listens, or it says that it cannot just
 * now. ERR_PARSE: no JSON. ERR_CANCELLED: rest_stop. ERR_TIMEOUT, ERR_NOMEM. */
MUST_CHECK enum err_code rest_get(struct rest *r, const char *path, json_t **ret, struct err *e);
/* Any thread: what is under way fails soon, and so does all that comes later. */
void rest_stop(struct rest *r);

#endif
