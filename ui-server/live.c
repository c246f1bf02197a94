/*
 * One websocket to each open page: it says what it watches, and is sent what is new, one message at
 * a time and only when it has taken the last: off its socket, and out of its browser's hands, too,
 * if it tells us so.
 */
#include <stdio.h>

#include "base/log.h"
#include "config.h"
#include "flow/json.h"
#include "ui-server/ask.h"
#include "ui-server/frame.h"
#include "ui-server/site_in.h"

enum {
	HEADER_BYTES = 300,
	PIECE_BYTES = 32 << 10,  /* the library keeps what a socket does not take of one */
	FRAMES_BYTES = 32 << 20, /* of texts that are on their way to pages, or kept to be */
};
#define STUCK_NS (20 * NS_PER_S)
#define ASK_EVERY_NS (500 * NS_PER_MS)

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
	struct ui_site *site = site_of(wsi);
	char cookies[SITE_COOKIES_BYTES];

	*s = (struct live_session){ .wsi = wsi, .message = buf_init(UI_WIRE_ASK_BYTES) };
	if (site->config.login)
		(void)snprintf(s->session, sizeof s->session, "%.*s",
			       STR_FMT(site_session(wsi, cookies, sizeof cookies)));
	s->next = site->first;
	s->before = &site->first;
	if (s->next)
		s->next->before = &s->next;
	site->first = s;
	site->pages++;
	(void)lws_callback_on_writable(wsi);
}

static void end(struct lws *wsi, struct live_session *s)
{
	struct ui_site *site = site_of(wsi);

	if (!s->wsi)
		return;
	s->wsi = NULL;
	*s->before = s->next;
	if (s->next)
		s->next->before = s->before;
	site->pages--;
	buf_done(&s->message);
	ui_frame_unref(TAKE(s->frame));
	if (!site->hub)
		return;
	ui_hub_leave(site->hub, s->view);
	ui_hub_reap(site->hub);
}

/* Each question may begin a stream: a page that asks without end is not followed. */
static bool may_ask(struct live_session *s)
{
	uint64_t now = mono_now().v, all = (uint64_t)UI_WIRE_ASKS * ASK_EVERY_NS;

	if (s->asked_until.v < now)
		s->asked_until.v = now;
	if (s->asked_until.v - now > all - ASK_EVERY_NS)
		return false;
	s->asked_until.v += ASK_EVERY_NS;
	return true;
}

static void take_question(struct lws *wsi, struct live_session *s)
{
	struct ui_site *site = site_of(wsi);
	AUTO_BUF struct buf filters = buf_init(UI_WIRE_ASK_BYTES * 4);
	struct ui_view *view = NULL;
	struct err e;

	enum err_code code = ui_ask_read(buf_str(&s->message), &s->watch, &filters, &e);
	if (code == ERR_OK && !may_ask(s))
		code = err_set(&e, ERR_AGAIN, "too many questions; ask again in a moment");
	if (code == ERR_OK)
		code = ui_hub_join(site->hub, buf_str(&filters), &view, &e);
	ui_hub_leave(site->hub, s->view);
	s->view = view;
	s->cursor = (struct ui_view_cursor){ 0 };
	s->refused = code != ERR_OK;
	if (s->refused)
		(void)snprintf(s->refusal, sizeof s->refusal, "%s", e.msg);
	buf_done(&s->message);
	(void)lws_callback_on_writable(wsi);
}

static void take_message(struct lws *wsi, struct live_session *s)
{
	uint64_t messages;

	if (!ui_taken_read(buf_str(&s->message), &messages)) {
		take_question(wsi, s);
		return;
	}
	s->is_paced = true;
	if (messages > s->taken && messages <= s->messages)
		s->taken = messages;
	buf_done(&s->message);
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
		take_message(wsi, s);
	return 0;
}

/* --- what a page is told --- */

static struct ui_frame *hello(struct ui_site *site)
{
	char bytes[HEADER_BYTES];
	struct buf b = buf_fixed(bytes, sizeof bytes);

	buf_printf(&b, "{\"type\":\"hello\",\"protocol\":%d,\"version\":\"%s\"%s}", UI_WIRE_VERSION,
		   TYCHO_VERSION, site->config.login ? ",\"login\":true" : "");
	return ui_frame_new(&site->frames, buf_str(&b));
}

static struct ui_frame *refusal(struct ui_site *site, const struct live_session *s)
{
	AUTO_BUF struct buf b = buf_init(8 * sizeof s->refusal);

	buf_printf(&b, "{\"type\":\"refused\",\"watch\":%u,\"reason\":", s->watch);
	json_put_string(&b, str_of(s->refusal));
	buf_char(&b, '}');
	return ui_frame_new(&site->frames, buf_str(&b));
}

/* What of the status this page was not told; one text for all that were told the same. NULL: it
 * knows all, or there is no memory. Own. */
static struct ui_frame *status_news(struct ui_site *site, struct live_session *s)
{
	const struct ui_status_text *text = &site->status_text;

	if (site->status && ui_status_read(site->status, &site->status_text))
		for (size_t i = 0; i < UI_STATUS_SETS; i++)
			ui_frame_unref(TAKE(site->status_frames[i]));
	if (s->status == text->version)
		return NULL;
	unsigned parts = ui_status_text_news(text, s->status);
	struct ui_frame **frame = &site->status_frames[parts];
	if (!*frame) {
		AUTO_BUF struct buf b = buf_init(UI_STATUS_BYTES);
		ui_status_text_put(text, parts, &b);
		*frame = b.failed ? NULL : ui_frame_new(&site->frames, buf_str(&b));
	}
	if (!*frame)
		return NULL;
	s->status = text->version;
	return ui_frame_ref(*frame);
}

/* The next thing that this page should know; NULL if it knows all. Own. */
static struct ui_frame *next_frame(struct ui_site *site, struct live_session *s)
{
	const struct ui_telling telling = { mono_now(), wall_now(), site->pages, &site->frames };
	struct ui_frame *status;

	s->is_update = false;
	if (s->is_paced && s->messages - s->taken >= UI_WIRE_AHEAD)
		return NULL;
	if (!s->greeted) {
		s->greeted = true;
		return hello(site);
	}
	if (s->refused) {
		s->refused = false;
		return refusal(site, s);
	}
	status = status_news(site, s);
	if (status)
		return status;
	if (!s->view || site->frames.bytes > FRAMES_BYTES)
		return NULL;
	s->is_update = true;
	return ui_view_tell(s->view, &s->cursor, &telling);
}

/* The next piece of the message that is on its way. */
static int send_piece(struct lws *wsi, struct live_session *s)
{
	unsigned char bytes[LWS_PRE + PIECE_BYTES], *p = bytes + LWS_PRE;
	struct str rest = str_from(ui_frame_text(s->frame), s->sent);
	bool is_start = !s->sent;
	size_t n = 0;

	if (is_start && s->is_update) /* all that pages are not told alike */
		n = (size_t)snprintf((char *)p, PIECE_BYTES, "{\"type\":\"update\",\"watch\":%u,",
				     s->watch);
	struct str part = str_upto(rest, PIECE_BYTES - n);
	memcpy(p + n, part.p, part.len);
	n += part.len;
	bool is_end = part.len == rest.len;
	int how = lws_write_ws_flags(LWS_WRITE_TEXT, is_start, is_end);
	if (lws_write(wsi, p, n, (enum lws_write_protocol)how) < (int)n)
		return -1;
	s->sent += part.len;
	s->moved_at = mono_now();
	if (is_end) {
		ui_frame_unref(TAKE(s->frame));
		s->sent = 0;
	}
	/* More, once this has gone out. */
	return lws_callback_on_writable(wsi) < 0 ? -1 : 0;
}

static int send_news(struct lws *wsi, struct live_session *s)
{
	struct ui_site *site = site_of(wsi);

	if (site->config.login &&
	    !ui_login_holds(site->config.login, str_of(s->session), mono_now())) {
		lws_close_reason(wsi, (enum lws_close_status)UI_CLOSE_SESSION, NULL, 0);
		return -1;
	}
	if (site->stopping) {
		lws_close_reason(wsi, (enum lws_close_status)UI_CLOSE_STOPPING, NULL, 0);
		return -1;
	}
	if (!s->frame) {
		s->frame = next_frame(site, s);
		s->messages += s->frame != NULL;
	}
	return s->frame ? send_piece(wsi, s) : 0;
}

/* Cuts pages that take nothing: their texts are room that others wait for. With too much of it in
 * use, the one that has taken nothing for longest; it may come back at once. */
static void cut_the_stuck(struct ui_site *site)
{
	struct live_session *worst = NULL;
	uint64_t now = mono_now().v;

	for (struct live_session *s = site->first; s; s = s->next) {
		if (!s->frame)
			continue;
		if (now - s->moved_at.v > STUCK_NS)
			lws_set_timeout(s->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
		if (!worst || s->moved_at.v < worst->moved_at.v)
			worst = s;
	}
	if (worst && site->frames.bytes > FRAMES_BYTES && now - worst->moved_at.v > NS_PER_S)
		lws_set_timeout(worst->wsi, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
}

static void wake(struct ui_site *site, const struct lws_protocols *protocol)
{
	if (site->hub)
		ui_hub_reap(site->hub);
	cut_the_stuck(site);
	(void)lws_callback_on_writable_all_protocol(site->context, protocol);
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
		wake(site_of(wsi), lws_get_protocol(wsi));
		return 0;
	default:
		return 0;
	}
}
