#include "ui-server/asset.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/own.h"

/* Symbols made by the build from the files of ui-server/web. */
#define PAGE_FILES(X)                                                                              \
	X(index_html, "/", "text/html; charset=utf-8")                                             \
	X(login_html, "/login", "text/html; charset=utf-8")                                        \
	X(page_js, "/page.js", "text/javascript; charset=utf-8")                                   \
	X(page_css, "/page.css", "text/css; charset=utf-8")                                        \
	X(icon_svg, "/icon.svg", "image/svg+xml")                                                  \
	X(licenses_txt, "/licenses.txt", "text/plain; charset=utf-8")

#define DECLARE(name, path, type)                                                                  \
	extern const unsigned char page_##name[], page_##name##_gz[];                              \
	extern const size_t page_##name##_bytes, page_##name##_gz_bytes;
PAGE_FILES(DECLARE)

#define ROW(name, path, type)                                                                      \
	{                                                                                          \
		path,                                                                              \
		type,                                                                              \
		page_##name,                                                                       \
		page_##name##_gz,                                                                  \
		&page_##name##_bytes,                                                              \
		&page_##name##_gz_bytes                                                            \
	},
static const struct {
	const char *path, *type;
	const unsigned char *plain, *gzip;
	const size_t *plain_bytes, *gzip_bytes;
} files[] = { PAGE_FILES(ROW) };

bool ui_asset_find(struct str path, struct ui_asset *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if (!str_is(path, files[i].path))
			continue;
		*ret = (struct ui_asset){ files[i].type,
					  str_n(files[i].plain, *files[i].plain_bytes),
					  str_n(files[i].gzip, *files[i].gzip_bytes) };
		return true;
	}
	return false;
}

const char *ui_asset_etag(struct str content, char out[UI_ETAG_BYTES])
{
	(void)snprintf(out, UI_ETAG_BYTES, "\"%016" PRIx64 "\"",
		       hash_bytes(content.p, content.len, 0));
	return out;
}
