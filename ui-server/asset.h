/*
 * ui_asset - the files of the page, built into the program, as they are and compressed.
 *
 * Threads  immutable: any thread.
 */
#ifndef TYCHO_UI_ASSET_H
#define TYCHO_UI_ASSET_H

#include "base/str.h"

struct ui_asset {
	const char *type; /* media type */
	struct str plain, gzip;
};

/* By the path of a request ("/page.js"); false if there is none. */
bool ui_asset_find(struct str path, struct ui_asset *ret);

enum { UI_ETAG_BYTES = 24 };
/* Writes a validator of @content for caches (RFC 9110 §8.8.3), quotes included, and returns it. */
const char *ui_asset_etag(struct str content, char out[UI_ETAG_BYTES]);

#endif
