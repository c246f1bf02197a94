/*
 * endpoints - the text of an endpoint file (grammar in observer/name/file.h) to a name_view.
 *
 * Bounds   ENDPOINTS_TEXT_MAX bytes, ENDPOINTS_MAX addresses and services, ENDPOINTS_LABELS_MAX
 *          labels an endpoint; what YAML aliases repeat counts each time, and their text is bounded
 *          too.
 * Errors   ERR_PARSE with "line 3, column 5: …"; ERR_INVALID when there is too much; ERR_NOMEM.
 */
#ifndef TYCHO_OBSERVER_ENDPOINTS_H
#define TYCHO_OBSERVER_ENDPOINTS_H

#include "observer/name/name.h"

enum {
	ENDPOINTS_TEXT_MAX = 64 << 20,
	ENDPOINTS_MAX = 1 << 17,
	ENDPOINTS_LABELS_MAX = 256,
};

struct endpoints;

MUST_CHECK enum err_code endpoints_parse(struct str text, struct endpoints **ret, struct err *e);
void endpoints_free(struct endpoints *ep);
AUTO_DEFINE(struct endpoints, endpoints_free);

/* Borrowed for the life of @ep. */
struct name_view endpoints_view(const struct endpoints *ep);

#endif
