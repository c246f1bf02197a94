#include "clickhouse/place.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/net.h"

#define WANT "expected http:// or https://host:port/database"

static enum err_code bad(const char *url, const char *want, struct err *e)
{
	return err_set(e, ERR_INVALID, "--clickhouse %s: %s", EXCERPT(str_of(url)), want);
}

/* *@ret "" where the URL has none. */
static bool part(CURLU *u, CURLUPart what, unsigned flags, char *ret, size_t size)
{
	char *text = NULL;
	bool fits = true;

	ret[0] = '\0';
	if (curl_url_get(u, what, &text, flags) == CURLUE_OK && text)
		fits = snprintf(ret, size, "%s", text) < (int)size;
	curl_free(text);
	return fits;
}

static enum err_code take_parts(CURLU *u, const char *url, struct clickhouse_place *ret,
				struct err *e)
{
	char scheme[16], host[CLICKHOUSE_NAME_BYTES], port[8], path[CLICKHOUSE_NAME_BYTES], none[8];
	struct clickhouse_place p = { 0 };

	if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK)
		return bad(url, WANT, e);
	if (!part(u, CURLUPART_USER, 0, none, sizeof none) || *none ||
	    !part(u, CURLUPART_PASSWORD, 0, none, sizeof none) || *none)
		return err_set(e, ERR_INVALID,
			       "--clickhouse: user and password do not belong into the URL but to "
			       "--clickhouse-user and --clickhouse-password-file");
	if (!part(u, CURLUPART_QUERY, 0, none, sizeof none) || *none ||
	    !part(u, CURLUPART_FRAGMENT, 0, none, sizeof none) || *none)
		return bad(url, WANT ", and nothing behind that", e);
	if (!part(u, CURLUPART_SCHEME, 0, scheme, sizeof scheme) ||
	    !part(u, CURLUPART_HOST, 0, host, sizeof host) || !*host ||
	    !part(u, CURLUPART_PORT, 0, port, sizeof port) ||
	    !part(u, CURLUPART_PATH, CURLU_URLDECODE, path, sizeof path))
		return bad(url, WANT, e);
	p.is_https = strcmp(scheme, "https") == 0;
	if (!p.is_https && strcmp(scheme, "http") != 0)
		return bad(url, WANT, e);
	(void)snprintf(p.server, sizeof p.server, "%s://%s:%s", scheme, host,
		       *port        ? port
		       : p.is_https ? "8443"
				    : "8123");
	const char *database = *path == '/' ? path + 1 : path;
	if (strchr(database, '/'))
		return bad(url, WANT, e);
	(void)snprintf(p.database, sizeof p.database, "%s", *database ? database : "default");
	p.is_local = address_is_local(p.server + strlen(scheme) + strlen("://"));
	*ret = p;
	return ERR_OK;
}

enum err_code clickhouse_place_parse(const char *url, struct clickhouse_place *ret, struct err *e)
{
	CURLU *u = curl_url();

	if (!u)
		return err_set(e, ERR_NOMEM, "--clickhouse");
	enum err_code code = take_parts(u, url, ret, e);
	curl_url_cleanup(u);
	return code;
}
