/*
 * requri - the path of a request URI, as the reference takes it from an HTTP flow's URL.
 *
 * Source   Go's net/url: ParseRequestURI and URL.Path. "#" is no fragment here; "mailto:x" has an
 *          empty path.
 * Threads  pure function.
 */
#ifndef TYCHO_FILTER_REQURI_H
#define TYCHO_FILTER_REQURI_H

#include "base/str.h"

struct buf;

/* Appends the path of @url, percent signs decoded, to @out. False if @url is no request URI. */
bool requri_path(struct str url, struct buf *out);

#endif
