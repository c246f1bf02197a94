#include "kube/tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

#include "base/buf.h"
#include "base/time.h"
#include "kube/client.h"

#define PROTOCOL "v4.channel.k8s.io"
#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 §1.3 */

enum {
	HEAD_MAX = 16 << 10, /* bytes of an answer before the first message */
	CHUNK = 16 << 10,    /* read from @fd at once, and sent as one message */
	QUEUE_MOST = 256 << 10,
	SAID_BYTES = 300,
	PORT_BYTES = 2,   /* what comes first on each channel */
	QUIET_MS = 30000, /* then a sign of life, so that nobody on the way forgets it */
	CHANNEL_DATA = 0,
	CHANNEL_ERROR = 1,
	CHANNELS = 2,
};

struct kube_tunnel {
	struct kube_port to;
	CURL *curl;
	int fd; /* curl's; borrowed */
	wslay_event_context_ptr ws;
	struct buf early; /* came with the answer's head, from @early_at on not yet read */
	size_t early_at;
	struct buf out; /* for @fd of kube_tunnel_copy, from @out_at on not yet written */
	size_t out_at;
	bool is_control; /* the frame that is being read */
	int channel;     /* of the message that is being read; -1: its first byte is to come */
	unsigned passed[CHANNELS]; /* of the port's number, in bytes */
	char said[SAID_BYTES];     /* on the channel for errors */
	size_t said_len;
	char why[CURL_ERROR_SIZE];
};

void kube_tunnel_free(struct kube_tunnel *t)
{
	if (!t)
		return;
	if (t->ws)
		wslay_event_context_free(t->ws);
	if (t->curl)
		curl_easy_cleanup(t->curl);
	buf_done(&t->early);
	buf_done(&t->out);
	free(t);
}

/* --- the upgrade (RFC 6455 §4) ----------------------------------------------------------- */

static enum err_code wait_for(const struct kube_tunnel *t, short events, struct mono_ns until,
			      struct err *e)
{
	struct pollfd p = { .fd = t->fd, .events = events };
	uint64_t now = mono_now().v;
	int left_ms = now < until.v ? (int)((until.v - now) / NS_PER_MS) + 1 : 0;

	if (poll(&p, 1, left_ms) < 0 && errno != EINTR)
		return err_os(e, "poll");
	return mono_now().v < until.v ? ERR_OK
				      : err_set(e, ERR_TIMEOUT, "the API server does not answer");
}

static enum err_code send_all(const struct kube_tunnel *t, struct str s, struct mono_ns until,
			      struct err *e)
{
	while (s.len) {
		size_t n = 0;
		CURLcode code = curl_easy_send(t->curl, s.p, s.len, &n);
		s = str_from(s, n);
		if (code == CURLE_AGAIN) {
			if (wait_for(t, POLLOUT, until, e) != ERR_OK)
				return e->code;
		} else if (code != CURLE_OK) {
			return err_set(e, ERR_UNAVAILABLE, "%s",
				       *t->why ? t->why : curl_easy_strerror(code));
		}
	}
	return ERR_OK;
}

/* Reads what is there, or waits for it. ERR_CLOSED: the end. */
static enum err_code receive(struct kube_tunnel *t, struct buf *to, struct mono_ns until,
			     struct err *e)
{
	for (;;) {
		size_t n = 0;
		char *room = buf_reserve(to, 1024);
		if (!room)
			return err_set(e, ERR_UNSUPPORTED, "the API server's answer has no end");
		CURLcode code = curl_easy_recv(t->curl, room, 1024, &n);
		to->len += n;
		if (code == CURLE_OK)
			return n ? ERR_OK
				 : err_set(e, ERR_CLOSED, "the API server closed the connection");
		if (code != CURLE_AGAIN)
			return err_set(e, ERR_UNAVAILABLE, "%s",
				       *t->why ? t->why : curl_easy_strerror(code));
		if (wait_for(t, POLLIN, until, e) != ERR_OK)
			return e->code;
	}
}

/* The value of header @name in @head; empty if there is none. */
static struct str header(struct str head, const char *name)
{
	struct str line;

	while (str_split(&head, '\n', &line)) {
		size_t colon = str_find(line, ':');
		if (colon < line.len && colon == strlen(name) &&
		    strncasecmp(line.p, name, colon) == 0)
			return str_trim(str_from(line, colon + 1));
	}
	return STR("");
}

/* A refusal's sentence is in its body: as much of it as is looked at. */
static enum err_code refused(struct kube_tunnel *t, struct buf *answer, size_t body_at, long status,
			     struct mono_ns until, struct err *e)
{
	struct str head = str_n(answer->p, body_at);
	char said[KUBE_WHY_BYTES];
	uint64_t length = 0;
	struct err ended;

	if (!parse_u64(header(head, "Content-Length"), KUBE_REFUSAL_MAX, &length))
		length = KUBE_REFUSAL_MAX; /* until it closes */
	while (answer->len - body_at < length && receive(t, answer, until, &ended) == ERR_OK)
		;
	kube_refusal_put(str_from(buf_str(answer), body_at), status, said, sizeof said);
	return err_set(e, kube_refusal_code(status), "%s", said);
}

static enum err_code check_upgrade(struct kube_tunnel *t, struct buf *answer, size_t body_at,
				   struct str accept, struct mono_ns until, struct err *e)
{
	struct str head = str_n(answer->p, body_at);
	uint64_t status = 0;

	if (!str_has_prefix(head, STR("HTTP/1.")) || head.len < 12 ||
	    !parse_u64(str_n(head.p + 9, 3), 999, &status))
		return err_set(e, ERR_UNSUPPORTED, "the API server does not answer with HTTP");
	if (status != 101)
		return refused(t, answer, body_at, (long)status, until, e);
	if (!str_eq(header(head, "Sec-WebSocket-Accept"), accept) ||
	    !str_eq(header(head, "Sec-WebSocket-Protocol"), STR(PROTOCOL)))
		return err_set(e, ERR_UNSUPPORTED, "the API server speaks no " PROTOCOL);
	buf_str_put(&t->early, str_from(buf_str(answer), body_at));
	return t->early.failed ? err_set(e, ERR_NOMEM, "a tunnel") : ERR_OK;
}

static enum err_code await_upgrade(struct kube_tunnel *t, struct str accept, struct mono_ns until,
				   struct err *e)
{
	AUTO_BUF struct buf answer = buf_init(HEAD_MAX);
	const char *end = NULL;

	while (!end) {
		if (receive(t, &answer, until, e) != ERR_OK)
			return e->code;
		end = memmem(answer.p, answer.len, "\r\n\r\n", 4);
	}
	return check_upgrade(t, &answer, (size_t)(end - answer.p) + 4, accept, until, e);
}

static bool make_key(char key[32], char accept[32])
{
	unsigned char random[16], digest[EVP_MAX_MD_SIZE];
	char text[32 + sizeof ACCEPT_GUID];
	unsigned n = 0;

	if (RAND_bytes(random, sizeof random) != 1)
		return false;
	(void)EVP_EncodeBlock((unsigned char *)key, random, sizeof random);
	int len = snprintf(text, sizeof text, "%s" ACCEPT_GUID, key);
	if (EVP_Digest(text, (size_t)len, digest, &n, EVP_sha1(), NULL) != 1)
		return false;
	(void)EVP_EncodeBlock((unsigned char *)accept, digest, (int)n);
	return true;
}

static enum err_code upgrade(struct kube_tunnel *t, const struct kube_config *config,
			     const struct curl_slist *headers, struct mono_ns until, struct err *e)
{
	AUTO_BUF struct buf b = buf_init_secret(128 << 10);
	const char *host = strstr(config->server, "://") + 3;
	size_t host_len = strcspn(host, "/");
	char key[32], accept[32];

	if (!make_key(key, accept))
		return err_set(e, ERR_INTERNAL, "no random numbers");
	buf_printf(&b, "GET %s/api/v1/namespaces/%s/pods/%s/portforward?ports=%u HTTP/1.1\r\n",
		   host + host_len, t->to.namespace_, t->to.pod, t->to.port);
	buf_printf(&b, "Host: %.*s\r\nUser-Agent: " KUBE_USER_AGENT "\r\n", (int)host_len, host);
	buf_printf(&b,
		   "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		   "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: " PROTOCOL "\r\n",
		   key);
	/* Not "Accept: application/json": an API server then answers 406. */
	for (; headers; headers = headers->next)
		if (strncmp(headers->data, "Authorization:", 14) == 0)
			buf_printf(&b, "%s\r\n", headers->data);
	buf_lit(&b, "\r\n");
	if (b.failed)
		return err_set(e, ERR_NOMEM, "a request");
	if (send_all(t, buf_str(&b), until, e) != ERR_OK)
		return e->code;
	return await_upgrade(t, str_of(accept), until, e);
}

static enum err_code connect_to(struct kube_tunnel *t, const struct kube_config *config,
				struct err *e)
{
	struct curl_slist *headers = NULL;
	curl_socket_t fd = CURL_SOCKET_BAD;

	t->curl = kube_client_new(config, t->why);
	if (!t->curl || curl_easy_setopt(t->curl, CURLOPT_URL, config->server) != CURLE_OK ||
	    curl_easy_setopt(t->curl, CURLOPT_CONNECT_ONLY, 1L) != CURLE_OK)
		return err_set(e, ERR_NOMEM, "a tunnel");
	CURLcode done = curl_easy_perform(t->curl);
	if (done != CURLE_OK || curl_easy_getinfo(t->curl, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK)
		return err_set(e, ERR_UNAVAILABLE, "%s",
			       *t->why ? t->why : curl_easy_strerror(done));
	t->fd = fd;
	const struct mono_ns until = { mono_now().v + KUBE_CONNECT_MS * NS_PER_MS };
	enum err_code code = kube_client_headers(t->curl, config, NULL, &headers, e);
	if (code == ERR_OK)
		code = upgrade(t, config, headers, until, e);
	(void)curl_easy_setopt(t->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	return code;
}

/* --- messages ---------------------------------------------------------------------------- */

static bool has_room(const struct kube_tunnel *t)
{
	return t->out.len - t->out_at < QUEUE_MOST;
}

static ssize_t on_recv(wslay_event_context_ptr ws, uint8_t *to, size_t len, int flags, void *ctx)
{
	struct kube_tunnel *t = ctx;
	size_t n = t->early.len - t->early_at;

	(void)flags;
	if (!has_room(t)) {
		wslay_event_set_error(ws, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	if (n) {
		n = n < len ? n : len;
		memcpy(to, t->early.p + t->early_at, n);
		t->early_at += n;
		return (ssize_t)n;
	}
	CURLcode code = curl_easy_recv(t->curl, to, len, &n);
	if (code == CURLE_OK && n)
		return (ssize_t)n;
	wslay_event_set_error(ws, code == CURLE_AGAIN ? WSLAY_ERR_WOULDBLOCK
						      : WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static ssize_t on_send(wslay_event_context_ptr ws, const uint8_t *p, size_t len, int flags,
		       void *ctx)
{
	struct kube_tunnel *t = ctx;
	size_t n = 0;
	CURLcode code = curl_easy_send(t->curl, p, len, &n);

	(void)flags;
	if (code == CURLE_OK && n)
		return (ssize_t)n;
	wslay_event_set_error(ws, code == CURLE_AGAIN || code == CURLE_OK
					  ? WSLAY_ERR_WOULDBLOCK
					  : WSLAY_ERR_CALLBACK_FAILURE);
	return -1;
}

static int on_mask(wslay_event_context_ptr ws, uint8_t *p, size_t len, void *ctx)
{
	(void)ws;
	(void)ctx;
	return RAND_bytes(p, (int)len) == 1 ? 0 : -1;
}

static void on_frame(wslay_event_context_ptr ws,
		     const struct wslay_event_on_frame_recv_start_arg *f, void *ctx)
{
	struct kube_tunnel *t = ctx;

	(void)ws;
	t->is_control = wslay_is_ctrl_frame(f->opcode);
	if (!t->is_control && f->opcode != WSLAY_CONTINUATION_FRAME)
		t->channel = -1;
}

static void on_chunk(wslay_event_context_ptr ws,
		     const struct wslay_event_on_frame_recv_chunk_arg *c, void *ctx)
{
	struct kube_tunnel *t = ctx;
	struct str s = str_n(c->data, c->data_length);

	(void)ws;
	if (t->is_control || !s.len)
		return;
	if (t->channel < 0) {
		t->channel = (unsigned char)*s.p;
		s = str_from(s, 1);
	}
	if (t->channel >= CHANNELS)
		return;
	size_t number = PORT_BYTES - t->passed[t->channel];
	number = number < s.len ? number : s.len;
	t->passed[t->channel] += (unsigned)number;
	s = str_from(s, number);
	if (t->channel == CHANNEL_DATA) {
		buf_str_put(&t->out, s);
		return;
	}
	s = str_upto(s, sizeof t->said - 1 - t->said_len);
	memcpy(t->said + t->said_len, s.p, s.len);
	t->said_len += s.len;
}

enum err_code kube_tunnel_open(const struct kube_config *config, const struct kube_port *to,
			       struct kube_tunnel **ret, struct err *e)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_recv,
		.send_callback = on_send,
		.genmask_callback = on_mask,
		.on_frame_recv_start_callback = on_frame,
		.on_frame_recv_chunk_callback = on_chunk,
	};
	AUTO(kube_tunnel_free) struct kube_tunnel *t = calloc(1, sizeof *t);
	struct err mine;

	e = e ? e : &mine;
	if (!t)
		return err_set(e, ERR_NOMEM, "a tunnel");
	t->to = *to;
	t->channel = -1;
	t->early = buf_init(HEAD_MAX);
	/* one read more than the bound, and what wslay has buffered */
	t->out = buf_init(2 * QUEUE_MOST);
	if (connect_to(t, config, e) != ERR_OK)
		return err_in(e, "pod '%s'", to->pod);
	if (wslay_event_context_client_init(&t->ws, &callbacks, t) != 0)
		return err_set(e, ERR_NOMEM, "a tunnel");
	wslay_event_config_set_no_buffering(t->ws, 1);
	*ret = TAKE(t);
	return ERR_OK;
}

/* --- copying ----------------------------------------------------------------------------- */

struct copying {
	struct kube_tunnel *t;
	int fd;
	bool has_ended;  /* our side: nothing more is read from @fd */
	bool is_useless; /* our side takes nothing any more */
};

/* What has come goes to our side, as far as that takes it. */
static void deliver(struct copying *c)
{
	struct kube_tunnel *t = c->t;

	while (t->out_at < t->out.len) {
		ssize_t n = send(c->fd, t->out.p + t->out_at, t->out.len - t->out_at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			c->is_useless = errno != EAGAIN && errno != EWOULDBLOCK;
			break;
		}
		t->out_at += (size_t)n;
	}
	if (t->out_at == t->out.len || c->is_useless) {
		buf_reset(&t->out);
		t->out_at = 0;
	} else if (t->out_at > QUEUE_MOST / 2) {
		memmove(t->out.p, t->out.p + t->out_at, t->out.len - t->out_at);
		t->out.len -= t->out_at;
		t->out_at = 0;
	}
}

static bool may_send(const struct copying *c)
{
	return !c->has_ended && wslay_event_get_queued_msg_length(c->t->ws) < QUEUE_MOST;
}

static void take_from_us(struct copying *c)
{
	uint8_t chunk[1 + CHUNK] = { CHANNEL_DATA };

	if (!may_send(c))
		return;
	ssize_t n = recv(c->fd, chunk + 1, CHUNK, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	const struct wslay_event_msg message = { WSLAY_BINARY_FRAME, chunk, (size_t)n + 1 };
	/* The other side cannot be told that only ours has ended. */
	c->has_ended = n <= 0 || wslay_event_queue_msg(c->t->ws, &message) != 0;
	if (c->has_ended)
		(void)wslay_event_queue_close(c->t->ws, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0);
}

/* False: it has ended, well or not. */
static bool is_open(const struct kube_tunnel *t)
{
	return wslay_event_want_read(t->ws) && !t->said_len &&
	       !wslay_event_get_close_received(t->ws) && !t->out.failed;
}

static enum err_code ended(struct kube_tunnel *t, bool is_broken, struct err *e)
{
	if (t->said_len)
		return err_set(e, ERR_UNAVAILABLE, "pod '%s': %.*s", t->to.pod,
			       STR_FMT(str_trim(str_n(t->said, t->said_len))));
	if (is_broken && !wslay_event_get_close_received(t->ws))
		return err_set(e, ERR_UNAVAILABLE, "the connection to pod '%s' broke", t->to.pod);
	return ERR_OK;
}

/* A message without content, not a ping: a node counts only messages when it looks for connections that
 * nobody uses, and passes over this one (wsstream/conn.go). */
static void say_nothing(struct kube_tunnel *t)
{
	const struct wslay_event_msg message = { WSLAY_BINARY_FRAME, NULL, 0 };

	(void)wslay_event_queue_msg(t->ws, &message);
}

enum err_code kube_tunnel_copy(struct kube_tunnel *t, int fd, int stop_fd, struct err *e)
{
	struct copying c = { .t = t, .fd = fd };
	int flags = fcntl(fd, F_GETFL);
	struct err mine;

	e = e ? e : &mine;
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_os(e, "a connection");
	for (;;) {
		bool is_broken = wslay_event_recv(t->ws) != 0;
		/* curl may hold more of what came, of which nothing shows at the socket. */
		bool is_held = !has_room(t);
		deliver(&c);
		take_from_us(&c);
		is_broken = is_broken || (wslay_event_want_write(t->ws) && wslay_event_send(t->ws));
		bool is_over = is_broken || !is_open(t) || c.is_useless ||
			       (c.has_ended && !wslay_event_want_write(t->ws));
		bool is_left = t->out_at < t->out.len && !c.is_useless;
		if (is_over && !is_left)
			return ended(t, is_broken, e);
		bool at_once = !is_over && is_held && has_room(t);
		short from_us = may_send(&c) && !is_over ? POLLIN : 0,
		      to_us = is_left ? POLLOUT : 0, from_pod = has_room(t) ? POLLIN : 0,
		      to_pod = wslay_event_want_write(t->ws) ? POLLOUT : 0;
		struct pollfd p[] = {
			{ stop_fd, POLLIN, 0 },
			{ from_us || to_us ? fd : -1, (short)(from_us | to_us), 0 },
			{ is_over ? -1 : t->fd, (short)(from_pod | to_pod), 0 },
		};
		int ready = poll(p, ARRAY_LEN(p), at_once ? 0 : QUIET_MS);
		if (ready < 0 && errno != EINTR)
			return err_os(e, "poll");
		if (p[0].revents)
			return err_set(e, ERR_CANCELLED, "stopped");
		if (ready == 0 && !at_once && !is_over)
			say_nothing(t);
	}
}
