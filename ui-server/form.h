/*
 * form - what a browser sends beside the path: fields of a form, cookies.
 *
 * Threads  pure functions: any thread.
 * Source   WHATWG URL §5.1 (application/x-www-form-urlencoded), RFC 6265 §4.2.1.
 */
#ifndef TYCHO_UI_FORM_H
#define TYCHO_UI_FORM_H

#include "base/str.h"

/* The first field of @body by that name, decoded into @out, which *@ret borrows; not terminated.
 * False if there is none, it does not fit, or its escapes are broken. */
bool ui_form_get(struct str body, const char *name, char *out, size_t size, struct str *ret);
/* The first cookie of a Cookie header by that name; borrowed from @header. */
bool ui_cookie_get(struct str header, const char *name, struct str *ret);

#endif
