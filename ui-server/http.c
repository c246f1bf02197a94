/*
 * The page over HTTP. It may load nothing but itself, run nothing but its script, and be framed by
 * nobody.
 */
#include "ui-server/asset.h"
#include "ui-server/site_in.h"

enum { HEADER_BYTES = 2048, CHUNK_BYTES = 16 << 10, HOST_BYTES = 300 };

static const struct {
	const char *name, *value;
} page_headers[] = {
	{ "content-security-policy:",
	  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
	  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" },
	{ "x-content-type-options:", "nosniff" },
	{ "x-frame-options:", "DENY" },
	{ "referrer-policy:", "no-referrer" },
	{ "cross-origin-opener-policy:", "same-origin" },
	{ "cross-origin-resource-policy:", "same-origin" },
	{ "cache-control:", "no-cache" }, /* ask each time; the tag saves the transfer */
	{ "vary:", "accept-encoding" },
};

struct answer {
	unsigned code;
	const char *type;
	struct str body;
	bool gzip, head, close;
	const char *etag; /* NULL: none */
};

static int add_header(struct lws *wsi, const char *name, const char *value, unsigned char **p,
		      unsigned char *end)
{
	return lws_add_http_header_by_name(wsi, (const unsigned char *)name,
					   (const unsigned char *)value, (int)strlen(value), p,
					   end);
}

static int write_headers(struct lws *wsi, const struct answer *a)
{
	unsigned char bytes[LWS_PRE + HEADER_BYTES], *start = bytes + LWS_PRE, *p = start,
						     *end = bytes + sizeof bytes - 1;

	if (lws_add_http_common_headers(wsi, a->code, a->type, a->body.len, &p, end))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(page_headers); i++)
		if (add_header(wsi, page_headers[i].name, page_headers[i].value, &p, end))
			return -1;
	if (a->close && add_header(wsi, "connection:", "close", &p, end))
		return -1;
	if (a->gzip && add_header(wsi, "content-encoding:", "gzip", &p, end))
		return -1;
	if (a->etag && add_header(wsi, "etag:", a->etag, &p, end))
		return -1;
	if (a->code == HTTP_STATUS_METHOD_NOT_ALLOWED &&
	    add_header(wsi, "allow:", "GET, HEAD", &p, end))
		return -1;
	return lws_finalize_write_http_header(wsi, start, &p, end);
}

static int finish(struct lws *wsi)
{
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int begin_answer(struct lws *wsi, struct http_session *session, const struct answer *a)
{
	if (write_headers(wsi, a))
		return -1;
	session->rest = a->head ? (struct str){ 0 } : a->body;
	if (!session->rest.len)
		return finish(wsi);
	return lws_callback_on_writable(wsi) < 0 ? -1 : 0;
}

/* Says no, and closes: what may follow, such as the body of a POST, is nothing that we would read.
 */
static int refuse(struct lws *wsi, unsigned code, const char *sentence)
{
	unsigned char bytes[LWS_PRE + HEADER_BYTES];
	const struct answer a = { .code = code,
				  .type = "text/plain; charset=utf-8",
				  .body = str_of(sentence),
				  .close = true };

	if (write_headers(wsi, &a))
		return -1;
	memcpy(bytes + LWS_PRE, a.body.p, a.body.len);
	(void)lws_write(wsi, bytes + LWS_PRE, a.body.len, LWS_WRITE_HTTP_FINAL);
	return -1;
}

/* RFC 9110 §12.5.3, as far as browsers go: they name gzip, and none refuses it with q=0. */
static bool takes_gzip(struct lws *wsi)
{
	char bytes[HOST_BYTES];
	struct str rest = site_header(wsi, WSI_TOKEN_HTTP_ACCEPT_ENCODING, bytes, sizeof bytes);
	struct str one;

	while (str_split(&rest, ',', &one))
		if (str_is(str_trim(str_upto(one, str_find(one, ';'))), "gzip"))
			return true;
	return false;
}

static int on_request(struct lws *wsi, struct http_session *session, struct str path)
{
	struct ui_site *site = site_of(wsi);
	char host[HOST_BYTES], seen[HOST_BYTES], etag[UI_ETAG_BYTES];
	bool head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
	struct ui_asset asset;

	if (!ui_host_is_ours(site_header(wsi, WSI_TOKEN_HOST, host, sizeof host),
			     &site->config.names))
		return refuse(wsi, HTTP_STATUS_FORBIDDEN,
			      "This server does not go by that name; see --allow-host.\n");
	if (!head && lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) <= 0)
		return refuse(wsi, HTTP_STATUS_METHOD_NOT_ALLOWED,
			      "There are only things to get here.\n");
	if (!ui_asset_find(path, &asset))
		return refuse(wsi, HTTP_STATUS_NOT_FOUND, "There is no such page.\n");
	struct answer a = {
		.code = HTTP_STATUS_OK, .type = asset.type, .head = head, .gzip = takes_gzip(wsi)
	};
	a.body = a.gzip ? asset.gzip : asset.plain;
	a.etag = ui_asset_etag(a.body, etag);
	if (str_is(site_header(wsi, WSI_TOKEN_HTTP_IF_NONE_MATCH, seen, sizeof seen), etag)) {
		a.code = HTTP_STATUS_NOT_MODIFIED;
		a.body = (struct str){ 0 };
	}
	return begin_answer(wsi, session, &a);
}

static int write_body(struct lws *wsi, struct http_session *session)
{
	unsigned char bytes[LWS_PRE + CHUNK_BYTES];
	struct str part = str_upto(session->rest, CHUNK_BYTES);

	if (!part.len)
		return 0;
	session->rest = str_from(session->rest, part.len);
	memcpy(bytes + LWS_PRE, part.p, part.len);
	enum lws_write_protocol how = session->rest.len ? LWS_WRITE_HTTP : LWS_WRITE_HTTP_FINAL;
	if (lws_write(wsi, bytes + LWS_PRE, part.len, how) < (int)part.len)
		return -1;
	if (!session->rest.len)
		return finish(wsi);
	return lws_callback_on_writable(wsi) < 0 ? -1 : 0;
}

int http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t len)
{
	switch (reason) {
	case LWS_CALLBACK_HTTP:
		return on_request(wsi, user, str_n(in, len));
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return write_body(wsi, user);
	default:
		return lws_callback_http_dummy(wsi, reason, user, in, len);
	}
}
