/*
 * One websocket to each open page: it says what it watches, and is sent what is new, one frame at
 * a time and only when it has taken the last.
 */
#include <stdio.h>

#include "base/log.h"
#include "config.h"
#include "flow/json.h"
#include "ui-server/ask.h"
#include "ui-server/site_in.h"

enum { HEADER_BYTES = 300 };

/* Browsers always send Origin with a websocket (RFC 6455 §4.1). */
static int check_upgrade(struct lws *wsi)
{
	struct ui_site *site = site_of(wsi);
	char host[HEADER_BYTES], origin[HEADER_BYTES], path[HEADER_BYTES];
	char cookies[SITE_COOKIES_BYTES];

	if (!str_is(site_header(wsi, WSI_TOKEN_GET_URI, path, sizeof path), "/live"))
		return site_refuse_upgrade(wsi, HTTP_STATUS_NOT_FOUND);
	if (!ui_origin_is_ours(site_header(wsi, WSI_TOKEN_ORIGIN, origin, sizeof origin),
			       site_header(wsi, WSI_TOKEN_HOST, host, sizeof host),
			       &site->config.names, site->config.cert_file)) {
		log_warn("a page of another site wanted a websocket, refused", "origin=%s host=%s",
			 LOG_QUOTE(origin), LOG_QUOTE(host));
		return site_refuse_upgrade(wsi, HTTP_STATUS_FORBIDDEN);
	}
	if (site->config.login &&
	    !ui_login_holds(site->config.login, site_session(wsi, cookies, sizeof cookies),
			    mono_now()))
		return site_refuse_upgrade(wsi, HTTP_STATUS_FORBIDDEN);
	if (site->pages >= UI_WIRE_PAGES) {
		log_warn("too many pages are open, refused", "pages=%zu", site->pages);
		return site_refuse_upgrade(wsi, HTTP_STATUS_SERVICE_UNAVAILABLE);
	}
	return 0;
}

static void start(struct lws *wsi, struct live_session *s)
{
	char cookies[SITE_COOKIES_BYTES];

	*s = (struct live_session){ .is_open = true, .message = buf_init(UI_WIRE_ASK_BYTES) };
	if (site_of(wsi)->config.login)
		(void)snprintf(s->session, sizeof s->session, "%.*s",
			       STR_FMT(site_session(wsi, cookies, sizeof cookies)));
	site_of(wsi)->pages++;
	(void)lws_callback_on_writable(wsi);
}

static void end(struct lws *wsi, struct live_session *s)
{
	struct ui_site *site = site_of(wsi);

	if (!s->is_open)
		return;
	s->is_open = false;
	site->pages--;
	buf_done(&s->message);
	if (!site->hub)
		return;
	ui_hub_leave(site->hub, s->view);
	ui_hub_reap(site->hub);
}

static void take_question(struct lws *wsi, struct live_session *s)
{
	struct ui_site *site = site_of(wsi);
	AUTO_BUF struct buf filters = buf_init(UI_WIRE_ASK_BYTES * 4);
	struct ui_view *view = NULL;
	struct err e;

	enum err_code code = ui_ask_read(buf_str(&s->message), &s->watch, &filters, &e);
	if (code == ERR_OK)
		code = ui_hub_join(site->hub, buf_str(&filters), &view, &e);
	ui_hub_leave(site->hub, s->view);
	s->view = view;
	s->cursor = (struct ui_view_cursor){ 0 };
	s->refused = code != ERR_OK;
	if (s->refused)
		(void)snprintf(s->refusal, sizeof s->refusal, "%s", e.msg);
	(void)lws_callback_on_writable(wsi);
}

static int take_bytes(struct lws *wsi, struct live_session *s, struct str bytes)
{
	if (lws_is_first_fragment(wsi))
		buf_reset(&s->message);
	buf_str_put(&s->message, bytes);
	if (s->message.failed) {
		lws_close_reason(wsi, (enum lws_close_status)UI_CLOSE_TOO_LONG, NULL, 0);
		return -1;
	}
	if (lws_is_final_fragment(wsi) && !lws_remaining_packet_payload(wsi))
		take_question(wsi, s);
	return 0;
}

/* The next thing that this page should know; false if it knows all. */
static bool put_news(struct ui_site *site, struct live_session *s, struct buf *b)
{
	if (!s->greeted) {
		buf_printf(b, "{\"type\":\"hello\",\"protocol\":%d,\"version\":\"%s\"%s}",
			   UI_WIRE_VERSION, TYCHO_VERSION,
			   site->config.login ? ",\"login\":true" : "");
		return s->greeted = true;
	}
	if (s->refused) {
		buf_printf(b, "{\"type\":\"refused\",\"watch\":%u,\"reason\":", s->watch);
		json_put_string(b, str_of(s->refusal));
		buf_char(b, '}');
		s->refused = false;
		return true;
	}
	if (ui_status_read(site->status, &s->status, b))
		return true;
	return s->view && ui_view_read(s->view, &s->cursor, s->watch, mono_now(), wall_now(), b);
}

static int send_news(struct lws *wsi, struct live_session *s)
{
	static const char padding[LWS_PRE];
	struct ui_site *site = site_of(wsi);
	struct buf *b = &site->frame;

	if (site->config.login &&
	    !ui_login_holds(site->config.login, str_of(s->session), mono_now())) {
		lws_close_reason(wsi, (enum lws_close_status)UI_CLOSE_SESSION, NULL, 0);
		return -1;
	}
	if (site->stopping) {
		lws_close_reason(wsi, (enum lws_close_status)UI_CLOSE_STOPPING, NULL, 0);
		return -1;
	}
	buf_reset(b);
	buf_put(b, padding, sizeof padding);
	if (b->failed || !put_news(site, s, b))
		return 0;
	size_t bytes = b->len - LWS_PRE;
	if (b->failed ||
	    lws_write(wsi, (unsigned char *)b->p + LWS_PRE, bytes, LWS_WRITE_TEXT) < (int)bytes)
		return -1;
	/* More, once this has gone out. */
	return lws_callback_on_writable(wsi) < 0 ? -1 : 0;
}

int live_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		  size_t len)
{
	struct live_session *s = user;

	switch (reason) {
	case LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION:
		return check_upgrade(wsi);
	case LWS_CALLBACK_ESTABLISHED:
		start(wsi, s);
		return 0;
	case LWS_CALLBACK_RECEIVE:
		return take_bytes(wsi, s, str_n(in, len));
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return send_news(wsi, s);
	case LWS_CALLBACK_CLOSED:
		end(wsi, s);
		return 0;
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		/* Views and the status wake us: whoever can take something is asked to. */
		if (site_of(wsi)->hub)
			ui_hub_reap(site_of(wsi)->hub);
		(void)lws_callback_on_writable_all_protocol(site_of(wsi)->context,
							    lws_get_protocol(wsi));
		return 0;
	default:
		return 0;
	}
}
