/*
 * kube_client - what all requests to an API server have in common: whom they are put to and by whom,
 * what a refusal says, and how long one that failed waits.
 *
 * Shape    a curl handle each; who has one adds what it asks for, and where the answer goes.
 * Owner    credentials are borrowed for the life of the handle.
 * Threads  none; a handle belongs to one thread at a time.
 */
#ifndef TYCHO_KUBE_CLIENT_H
#define TYCHO_KUBE_CLIENT_H

#include <curl/curl.h>
#include <jansson.h>

#include "base/time.h"
#include "config.h"
#include "kube/kubeconfig.h"

#define KUBE_USER_AGENT "tycho/" TYCHO_VERSION

enum {
	KUBE_CONNECT_MS = 10000,
	KUBE_REFUSAL_MAX = 8 << 10, /* bytes of an answer that refuses, and are looked at */
	KUBE_WHY_BYTES = 300,
};

/* Own (curl_easy_cleanup); NULL: no memory. curl explains failures in @why, which lives as long. */
CURL *kube_client_new(const struct kube_config *config, char why[CURL_ERROR_SIZE]);

/* For the next request. *@headers are those of the last one, NULL at first, and are replaced: freed
 * by curl_slist_free_all once the handle is gone. The token is read for each request: Kubernetes
 * replaces it every hour. @content_type of the body; NULL: there is none. Errors of file_read;
 * ERR_INVALID: a token that is none; ERR_NOMEM. */
MUST_CHECK enum err_code kube_client_headers(CURL *c, const struct kube_config *config,
					     const char *content_type, struct curl_slist **headers,
					     struct err *e);

/* GET of @path, "/api/v1/…", or, with a @body, POST of that JSON text, by @c and its @why, as
 * kube_client_new made them. The answer is a JSON object of at most @max bytes; *@ret is own. Blocks,
 * up to 20 s. ERR_NOT_FOUND (404), ERR_PERMISSION (401, 403), ERR_UNAVAILABLE, ERR_PARSE, ERR_NOMEM. */
MUST_CHECK enum err_code kube_client_ask(CURL *c, const char *why, const struct kube_config *config,
					 const char *path, const char *body, size_t max,
					 json_t **ret, struct err *e);
/* The code for an answer that refuses: of those above. */
enum err_code kube_refusal_code(long status);
/* What the server says of it, a Status or text: "status 403: …". */
void kube_refusal_put(struct str body, long status, char *out, size_t size);

#define KUBE_PAUSE_MIN_NS (200 * NS_PER_MS)
/* Below @n, of *@random, which is never 0. */
uint64_t kube_random_below(uint64_t *random, uint64_t n);
/* After a failure: KUBE_PAUSE_MIN_NS, twice as long each time up to 30 s, a random half of it less. *@pause_ns:
 * the last one, as it was before chance; 0 after a success. */
uint64_t kube_next_pause(uint64_t *pause_ns, uint64_t *random);
/* Retry-After of the answer that @c has got, up to a minute; 0 without. */
uint64_t kube_retry_after_ns(CURL *c);

#endif
