#include "ui-server/site.h"

#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "rpc/rpc.h"
#include "ui-server/form.h"
#include "ui-server/site_in.h"

enum { RX_BYTES = 4096, GOODBYE_US = 500000, REQUEST_S = 10 };

struct ui_site *site_of(struct lws *wsi)
{
	return lws_context_user(lws_get_context(wsi));
}

struct str site_header(struct lws *wsi, enum lws_token_indexes token, char *out, int size)
{
	int n = lws_hdr_copy(wsi, out, size, token);

	if (n < 0)
		n = 0;
	out[n] = '\0';
	return str_n(out, (size_t)n);
}

const char *site_cookie_name(const struct ui_site *s, char out[SITE_COOKIE_BYTES])
{
	(void)snprintf(out, SITE_COOKIE_BYTES, "%stycho-ui-%u",
		       s->config.cert_file ? "__Host-" : "", ui_site_port(s));
	return out;
}

struct str site_session(struct lws *wsi, char *out, int size)
{
	char name[SITE_COOKIE_BYTES];
	struct str session = { 0 };

	(void)ui_cookie_get(site_header(wsi, WSI_TOKEN_HTTP_COOKIE, out, size),
			    site_cookie_name(site_of(wsi), name), &session);
	return session;
}

/* The library closes without a word where a callback says no. */
int site_refuse_upgrade(struct lws *wsi, unsigned status)
{
	(void)lws_return_http_status(wsi, status, NULL);
	return 1;
}

static int signal_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
			   size_t len)
{
	(void)user;
	(void)in;
	(void)len;
	/* Every protocol's name can be asked for by a websocket; this is none. */
	if (reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION)
		return site_refuse_upgrade(wsi, HTTP_STATUS_NOT_FOUND);
	if (reason == LWS_CALLBACK_RAW_RX_FILE) {
		site_of(wsi)->stopping = true;
		return -1; /* read no more of it */
	}
	return 0;
}

static int password_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user,
			     void *in, size_t len)
{
	(void)user;
	(void)in;
	(void)len;
	if (reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION)
		return site_refuse_upgrade(wsi, HTTP_STATUS_NOT_FOUND);
	if (reason == LWS_CALLBACK_RAW_RX_FILE)
		http_hear_logins(site_of(wsi));
	return 0;
}

/* The library's own lines, which end in a line feed and say at most what a request did wrong. */
static void take_line(int level, const char *line)
{
	char text[ERR_MSG_BYTES];

	(void)snprintf(text, sizeof text, "%.*s", (int)strcspn(line, "\n"), line);
	if (level == LLL_ERR)
		log_warn("web server", "err=%s", LOG_QUOTE(text));
	else
		log_debug("web server", "warning=%s", LOG_QUOTE(text));
}

void ui_site_free(struct ui_site *s)
{
	if (!s)
		return;
	if (s->context)
		lws_context_destroy(s->context);
	https_free(s->https);
	for (size_t i = 0; i < UI_STATUS_SETS; i++)
		ui_frame_unref(s->status_frames[i]);
	ui_status_text_done(&s->status_text);
	free(s);
}

/* Before the library reads the files once for itself, which says no more than that the port is
 * taken when they are broken. */
static enum err_code read_certificate(struct ui_site *s, struct err *e)
{
	const struct rpc_tls tls = { .cert_file = s->config.cert_file,
				     .key_file = s->config.key_file };

	return tls.cert_file ? https_new(&tls, "page", &s->https, e) : ERR_OK;
}

/* In each handshake, before an identity is shown: that of the files as they are now. What the
 * library demands of a connection beside it stays as it is. */
static int show_identity(SSL *ssl, void *https)
{
	return SSL_set_SSL_CTX(ssl, https_context(https)) ? 1 : 0;
}

void site_begin_tls(struct lws *wsi, void *context)
{
	SSL_CTX_set_cert_cb(context, show_identity, site_of(wsi)->https);
}

/* @fd is the library's from here on. */
static enum err_code adopt(struct ui_site *s, int fd, const char *protocol, struct err *e)
{
	lws_sock_file_fd_type what = { .filefd = fd };

	if (!lws_adopt_descriptor_vhost(s->vhost, LWS_ADOPT_RAW_FILE_DESC, what, protocol, NULL))
		return err_set(e, ERR_INTERNAL, "web server: %s", protocol);
	return ERR_OK;
}

static enum err_code adopt_logins(struct ui_site *s, struct err *e)
{
	int fd = fcntl(users_fd(ui_login_users(s->config.login)), F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? err_os(e, "web server") : adopt(s, fd, "password", e);
}

/* Before the library does, which says in three lines of its own that it could not. */
static enum err_code try_address(const struct ui_site_config *c, struct err *e)
{
	const struct addrinfo hints = { .ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char port[8];
	int on = 1;

	(void)snprintf(port, sizeof port, "%u", c->port);
	int fault = getaddrinfo(c->host, port, &hints, &list);
	if (fault)
		return err_set(e, ERR_INVALID, "listen on '%s:%s': %s", c->host, port,
			       gai_strerror(fault));
	AUTO_FD int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_free = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
		       bind(fd, list->ai_addr, list->ai_addrlen) == 0;
	enum err_code code = is_free ? ERR_OK : err_os(e, "listen on '%s:%s'", c->host, port);
	freeaddrinfo(list);
	return code;
}

enum err_code ui_site_new(const struct ui_site_config *config, struct ui_site **ret, struct err *e)
{
	static const lws_retry_bo_t idle = { .secs_since_valid_ping = 20,
					     .secs_since_valid_hangup = 45 };
	static const struct lws_protocols protocols[] = {
		{ "http", http_callback, sizeof(struct http_session), 0, 0, NULL, 0 },
		{ UI_WIRE_SUBPROTOCOL, live_callback, sizeof(struct live_session), RX_BYTES, 0,
		  NULL, 0 },
		{ "signal", signal_callback, 0, 0, 0, NULL, 0 },
		{ "password", password_callback, 0, 0, 0, NULL, 0 },
		{ NULL, NULL, 0, 0, 0, NULL, 0 },
	};
	AUTO(ui_site_free) struct ui_site *s = calloc(1, sizeof *s);

	if (!s)
		return err_set(e, ERR_NOMEM, "web server");
	ui_status_text_init(&s->status_text);
	s->config = *config;
	if (read_certificate(s, e) != ERR_OK || try_address(config, e) != ERR_OK)
		return e->code;
	lws_set_log_level(LLL_ERR | LLL_WARN, take_line);
	bool anywhere = str_is(str_of(config->host), "0.0.0.0");
	struct lws_context_creation_info info = {
		.port = config->port,
		.iface = anywhere                                    ? NULL
			 : str_is(str_of(config->host), "localhost") ? "127.0.0.1"
								     : config->host,
		.protocols = protocols,
		.gid = (gid_t)-1,
		.uid = (uid_t)-1,
		.user = s,
		.options = LWS_SERVER_OPTION_VALIDATE_UTF8 |
			   LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
			   LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
			   (strchr(config->host, ':') ? 0u : LWS_SERVER_OPTION_DISABLE_IPV6),
		.retry_and_idle_policy = &idle,
		.server_string = "tycho-ui",
		/* Who connects and sends nothing, or a little at a time, keeps others out for no
		 * longer; and never so many that there is no descriptor to the upstream. */
		.timeout_secs = REQUEST_S,
		.timeout_secs_ah_idle = REQUEST_S,
		.fd_limit_per_thread = UI_WIRE_CONNECTIONS,
	};
	if (config->cert_file) {
		info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
		info.alpn = "http/1.1"; /* a Host header in every request, and websockets */
		info.ssl_cert_filepath = config->cert_file;
		info.ssl_private_key_filepath = config->key_file;
		info.ssl_options_set = SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
	}
	s->context = lws_create_context(&info);
	if (!s->context)
		return err_set(e, ERR_NOMEM, "web server");
	s->vhost = lws_create_vhost(s->context, &info);
	if (!s->vhost)
		return err_set(e, ERR_EXISTS,
			       "listen on '%s:%u': no such address here, or it is in use",
			       config->host, config->port);
	if (adopt(s, config->signals, "signal", e) != ERR_OK ||
	    (config->login && adopt_logins(s, e) != ERR_OK))
		return e->code;
	*ret = TAKE(s);
	return ERR_OK;
}

uint16_t ui_site_port(const struct ui_site *s)
{
	return (uint16_t)lws_get_vhost_listen_port(s->vhost);
}

static void end_goodbye(lws_sorted_usec_list_t *sul)
{
	struct ui_site *s = lws_container_of(sul, struct ui_site, goodbye);

	s->stopping = false;
}

/* Pages are told that it was meant, for as long as that takes them; who does not listen is cut. */
static void say_goodbye(struct ui_site *s)
{
	if (!s->stopping)
		return;
	lws_sul_schedule(s->context, 0, &s->goodbye, end_goodbye, GOODBYE_US);
	(void)lws_callback_on_writable_all_protocol(
		s->context, lws_vhost_name_to_protocol(s->vhost, UI_WIRE_SUBPROTOCOL));
	while (s->stopping && s->pages && lws_service(s->context, 0) >= 0)
		;
	lws_sul_schedule(s->context, 0, &s->goodbye, end_goodbye, LWS_SET_TIMER_USEC_CANCEL);
}

void ui_site_run(struct ui_site *s, struct ui_hub *hub, struct ui_status *status)
{
	s->hub = hub;
	s->status = status;
	while (!s->stopping && lws_service(s->context, 0) >= 0)
		;
	say_goodbye(s);
	s->hub = NULL; /* pages that are still open have nothing to leave */
	s->status = NULL;
}

void ui_site_wake(void *site)
{
	lws_cancel_service(((struct ui_site *)site)->context);
}
