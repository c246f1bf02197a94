/*
 * The page over HTTP. It may load nothing but itself, run nothing but its script, and be framed by
 * nobody.
 */
#include <stdio.h>

#include "base/log.h"
#include "ui-server/asset.h"
#include "ui-server/form.h"
#include "ui-server/site_in.h"

enum {
	HEADER_BYTES = 4096,
	CHUNK_BYTES = 16 << 10,
	HOST_BYTES = 300,
	TOO_MANY_REQUESTS = 429,
	TAKE_S = 20,
	CHECK_S = 30 /* a password, those before it included */
};

static const struct {
	const char *name, *value;
} page_headers[] = {
	{ "content-security-policy:",
	  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
	  "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'" },
	{ "x-content-type-options:", "nosniff" },
	{ "x-frame-options:", "DENY" },
	/* not "no-referrer", with which a form has the origin "null" */
	{ "referrer-policy:", "same-origin" },
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
	const char *etag;              /* NULL: none */
	const char *location, *cookie; /* NULL: none */
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
	if (a->location && add_header(wsi, "location:", a->location, &p, end))
		return -1;
	if (a->cookie && add_header(wsi, "set-cookie:", a->cookie, &p, end))
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

/* Answers with a few bytes, and closes: what may follow, such as the body of a POST, is nothing
 * that we would read. */
static int end_with(struct lws *wsi, const struct answer *a)
{
	unsigned char bytes[LWS_PRE + HEADER_BYTES];

	if (a->body.len > HEADER_BYTES || write_headers(wsi, a) || a->head)
		return -1;
	memcpy(bytes + LWS_PRE, a->body.p, a->body.len);
	(void)lws_write(wsi, bytes + LWS_PRE, a->body.len, LWS_WRITE_HTTP_FINAL);
	return -1;
}

static int refuse(struct lws *wsi, unsigned code, const char *sentence)
{
	const struct answer a = { .code = code,
				  .type = "text/plain; charset=utf-8",
				  .body = str_of(sentence),
				  .close = true };

	return end_with(wsi, &a);
}

static int send_to(struct lws *wsi, const char *path, const char *cookie)
{
	const struct answer a = { .code = HTTP_STATUS_SEE_OTHER,
				  .type = "text/plain; charset=utf-8",
				  .body = STR("There.\n"),
				  .close = true,
				  .location = path,
				  .cookie = cookie };

	return end_with(wsi, &a);
}

/* --- login --- */

/* The login page again, with what was wrong where it has its marker. */
static int ask_again(struct lws *wsi, unsigned code, const char *sentence)
{
	static const char marker[] = "<!--said-->";
	char bytes[HEADER_BYTES];
	struct buf page = buf_fixed(bytes, sizeof bytes);
	struct ui_asset asset;

	if (!ui_asset_find(STR("/login"), &asset))
		return -1;
	const char *at = memmem(asset.plain.p, asset.plain.len, marker, sizeof marker - 1);
	size_t before = at ? (size_t)(at - asset.plain.p) : asset.plain.len;
	buf_str_put(&page, str_upto(asset.plain, before));
	buf_str_put(&page, str_of(sentence));
	buf_str_put(&page, str_from(asset.plain, before));
	const struct answer a = {
		.code = code, .type = asset.type, .body = buf_str(&page), .close = true
	};
	return page.failed ? -1 : end_with(wsi, &a);
}

static const char *put_cookie(const struct ui_site *site, const char *token, char *out, size_t size)
{
	char name[SITE_COOKIE_BYTES];

	(void)snprintf(out, size, "%s=%s; Path=/; HttpOnly; SameSite=Strict%s%s",
		       site_cookie_name(site, name), token,
		       site->config.cert_file ? "; Secure" : "", token[0] ? "" : "; Max-Age=0");
	return out;
}

static void wait_for_login(struct lws *wsi, struct http_session *session, struct str name)
{
	struct ui_site *site = site_of(wsi);

	memcpy(session->form, name.p, name.len); /* shorter than the form that it came in */
	session->form_bytes = name.len;
	session->wsi = wsi;
	session->before = &site->logins;
	session->next = site->logins;
	if (session->next)
		session->next->before = &session->next;
	site->logins = session;
	lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, CHECK_S);
}

/* It has its answer, or needs none. */
static void end_wait(struct http_session *session)
{
	*session->before = session->next;
	if (session->next)
		session->next->before = session->before;
	session->attempt = 0;
}

static void forget_login(struct lws *wsi, struct http_session *session)
{
	if (!session || !session->attempt)
		return;
	users_forget(ui_login_users(site_of(wsi)->config.login), session->attempt);
	end_wait(session);
}

void http_hear_logins(struct ui_site *site)
{
	users_hear(ui_login_users(site->config.login));
	for (struct http_session *s = site->logins; s; s = s->next)
		(void)lws_callback_on_writable(s->wsi);
}

static int answer_login(struct lws *wsi, enum users_answer answer, struct str name, char *token)
{
	char cookie[HOST_BYTES], shown[HOST_BYTES];
	const struct ui_site *site = site_of(wsi);

	if (answer == USERS_LATER)
		return ask_again(wsi, TOO_MANY_REQUESTS,
				 "Too many attempts. Wait a second, then try again.");
	if (answer == USERS_BUSY)
		return ask_again(
			wsi, HTTP_STATUS_SERVICE_UNAVAILABLE,
			"Too many passwords are being checked. Wait a second, then try again.");
	if (answer == USERS_NO) {
		(void)snprintf(shown, sizeof shown, "%.*s", STR_FMT(name));
		log_warn("a login was refused", "user=%s", LOG_QUOTE(shown));
		return ask_again(wsi, HTTP_STATUS_FORBIDDEN, "Wrong name or password.");
	}
	int status = send_to(wsi, "/", put_cookie(site, token, cookie, sizeof cookie));
	explicit_bzero(token, UI_LOGIN_TOKEN_BYTES);
	explicit_bzero(cookie, sizeof cookie);
	return status;
}

static int check_login(struct lws *wsi, struct http_session *session)
{
	char name[HOST_BYTES], password[LOGIN_FORM_BYTES], token[UI_LOGIN_TOKEN_BYTES];
	const struct ui_site *site = site_of(wsi);
	struct str form = str_n(session->form, session->form_bytes), user, secret;

	if (!session->posts)
		return -1;
	bool complete = ui_form_get(form, "name", name, sizeof name - 1, &user) &&
			ui_form_get(form, "password", password, sizeof password, &secret);
	explicit_bzero(session->form, sizeof session->form);
	session->form_bytes = 0;
	session->posts = false;
	enum users_answer answer = complete ? ui_login_try(site->config.login, user, secret,
							   mono_now(), token, &session->attempt)
					    : USERS_NO;
	explicit_bzero(password, sizeof password);
	if (!complete)
		user = STR("");
	if (answer != USERS_PENDING)
		return answer_login(wsi, answer, user, token);
	wait_for_login(wsi, session, user);
	return 0;
}

static int go_on_with_login(struct lws *wsi, struct http_session *session)
{
	char token[UI_LOGIN_TOKEN_BYTES];
	enum users_answer answer =
		ui_login_answer(site_of(wsi)->config.login, session->attempt, mono_now(), token);

	if (answer == USERS_PENDING)
		return 0;
	end_wait(session);
	return answer_login(wsi, answer, str_n(session->form, session->form_bytes), token);
}

static int take_form(struct lws *wsi, struct http_session *session, struct str bytes)
{
	if (!session->posts || bytes.len > sizeof session->form - session->form_bytes)
		return refuse(wsi, HTTP_STATUS_REQ_ENTITY_TOO_LARGE, "That is no login.\n");
	memcpy(session->form + session->form_bytes, bytes.p, bytes.len);
	session->form_bytes += bytes.len;
	return 0;
}

/* Only forms of our own page: nobody is logged in or out by another site. */
static int on_post(struct lws *wsi, struct http_session *session, struct str path, struct str host)
{
	char origin[HOST_BYTES], length[HOST_BYTES], cookies[SITE_COOKIES_BYTES];
	const struct ui_site *site = site_of(wsi);
	uint64_t bytes;

	if (!ui_origin_is_ours(site_header(wsi, WSI_TOKEN_ORIGIN, origin, sizeof origin), host,
			       &site->config.names, site->config.cert_file))
		return refuse(wsi, HTTP_STATUS_FORBIDDEN, "This is for our own page.\n");
	if (str_is(path, "/logout")) {
		ui_login_end(site->config.login, site_session(wsi, cookies, sizeof cookies));
		return send_to(wsi, "/login", put_cookie(site, "", origin, sizeof origin));
	}
	if (!parse_u64(site_header(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, length, sizeof length),
		       LOGIN_FORM_BYTES, &bytes) ||
	    !bytes)
		return refuse(wsi, HTTP_STATUS_REQ_ENTITY_TOO_LARGE, "That is no login.\n");
	session->posts = true;
	session->form_bytes = 0;
	return 0;
}

/* What a browser may have before it has logged in: the login page and its looks. */
static bool is_open_to_all(struct str path)
{
	return str_is(path, "/login") || str_is(path, "/page.css") || str_is(path, "/icon.svg");
}

/* --- pages --- */

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
	char cookies[SITE_COOKIES_BYTES];
	const struct ui_login *login = site->config.login;
	bool head = lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
	struct ui_asset asset;

	if (!ui_host_is_ours(site_header(wsi, WSI_TOKEN_HOST, host, sizeof host),
			     &site->config.names))
		return refuse(wsi, HTTP_STATUS_FORBIDDEN,
			      "This server does not go by that name; see --allow-host.\n");
	if (login && lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) > 0 &&
	    (str_is(path, "/login") || str_is(path, "/logout")))
		return on_post(wsi, session, path, str_of(host));
	if (!head && lws_hdr_total_length(wsi, WSI_TOKEN_GET_URI) <= 0)
		return refuse(wsi, HTTP_STATUS_METHOD_NOT_ALLOWED,
			      "There are only things to get here.\n");
	if (login && !is_open_to_all(path) &&
	    !ui_login_holds(login, site_session(wsi, cookies, sizeof cookies), mono_now()))
		return send_to(wsi, "/login", NULL);
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
	lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, TAKE_S); /* for the next piece */
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
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		/* a websocket that names no protocol, or this one, is given it */
		return site_refuse_upgrade(wsi, HTTP_STATUS_NOT_FOUND);
	case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
		site_begin_tls(wsi, user);
		return 0;
	case LWS_CALLBACK_HTTP_BODY:
		return take_form(wsi, user, str_n(in, len));
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return check_login(wsi, user);
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return ((struct http_session *)user)->attempt ? go_on_with_login(wsi, user)
							      : write_body(wsi, user);
	case LWS_CALLBACK_CLOSED_HTTP:
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
		forget_login(wsi, user);
		return lws_callback_http_dummy(wsi, reason, user, in, len);
	default:
		return lws_callback_http_dummy(wsi, reason, user, in, len);
	}
}
