#include "metrics/server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <zlib.h>

#include "base/log.h"
#include "base/thread.h"
#include "metrics/http.h"
#include "metrics/https.h"
#include "metrics/users.h"
#include "rpc/address.h"

enum {
	LISTENERS = 4,
	BACKLOG = 64,
	REQUEST_S = 10,
	ANSWER_S = 30,
	IDLE_S = 300,
	FULL_S = 1, /* without descriptors */
	HEAD_BYTES = 1024,
	GZIP_LEVEL = 1, /* text of this kind shrinks to a fifteenth at once */
	GZIP_WINDOW = 15 + 16,
	STATUSES = 8,
};

struct conn {
	int fd;   /* -1: free */
	SSL *ssl; /* NULL: plain text */
	short events;
	struct mono_ns until; /* then it is closed */
	struct mono_ns since; /* its last answer, or its beginning */
	char in[HTTP_REQUEST_BYTES];
	size_t in_len;
	struct buf out;
	size_t out_sent;
	bool last;            /* close after this answer */
	uint64_t attempt;     /* the request in @in waits for it (users.h); 0: none */
	struct mono_ns asked; /* when it came, if so */
};

/* By status, in order of appearance. */
struct tally {
	unsigned status; /* 0: free */
	struct histogram seconds;
};

struct metrics_server {
	struct metrics *metrics;
	bool (*ready)(void *ctx, char why[METRICS_WHY_BYTES]);
	void *ctx;
	struct https *https; /* NULL: plain text */
	struct users *users; /* NULL: anybody */
	int listeners[LISTENERS];
	size_t listener_count;
	int port, stop_fd;
	pthread_t thread;
	bool running;
	/* the thread's own */
	struct conn conns[METRICS_CONNECTIONS];
	struct mono_ns accepts_from; /* not before */
	struct buf page, scratch;
	struct tally tally[STATUSES];
};

/* --- answers ------------------------------------------------------------------------------ */

static const char *status_text(unsigned status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 401:
		return "Unauthorized";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 429:
		return "Too Many Requests";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	default:
		return "Internal Server Error";
	}
}

static void put_head(struct conn *c, unsigned status, const char *type, const char *extra,
		     size_t bytes)
{
	buf_printf(&c->out,
		   "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s"
		   "X-Content-Type-Options: nosniff\r\n\r\n",
		   status, status_text(status), type, bytes, extra,
		   c->last ? "Connection: close\r\n" : "");
}

static void put_answer(struct conn *c, unsigned status, const char *extra, bool head_only,
		       struct str body)
{
	put_head(c, status, "text/plain; charset=utf-8", extra, body.len);
	if (!head_only)
		buf_str_put(&c->out, body);
}

static void put_sentence(struct conn *c, unsigned status, const char *extra, bool head_only,
			 const char *sentence)
{
	char text[ERR_MSG_BYTES + 1];
	struct buf b = buf_fixed(text, sizeof text);

	_Static_assert((int)METRICS_WHY_BYTES <= (int)ERR_MSG_BYTES,
		       "room for both, and a line feed");
	buf_str_put(&b, str_of(sentence));
	buf_char(&b, '\n');
	put_answer(c, status, extra, head_only, buf_str(&b));
}

/* Appends @body, compressed. False: no memory. */
static bool put_gzip(struct buf *to, struct str body)
{
	z_stream z = { 0 };

	if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	size_t bound = deflateBound(&z, body.len);
	char *room = buf_reserve(to, bound);
	bool ok = room != NULL;
	if (ok) {
		z.next_in = (Bytef *)(uintptr_t)body.p; /* zlib does not write to it */
		z.avail_in = (uInt)body.len;
		z.next_out = (Bytef *)room;
		z.avail_out = (uInt)bound;
		ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
		to->len += ok ? bound - z.avail_out : 0;
	}
	(void)deflateEnd(&z);
	return ok;
}

static unsigned answer_metrics(struct metrics_server *s, struct conn *c,
			       const struct http_request *r, bool head_only)
{
	enum http_format format = http_format_of(r->accept);
	bool gzip = http_accepts_gzip(r->accept_encoding);
	struct err e;

	buf_reset(&s->page);
	if (metrics_write(s->metrics, format == HTTP_FORMAT_TEXT ? PAGE_TEXT : PAGE_OPENMETRICS,
			  &s->page, &e) != ERR_OK) {
		log_warn("metrics not told", "err=%s", LOG_QUOTE(e.msg));
		put_sentence(c, 500, "", head_only, e.msg);
		return 500;
	}
	struct str body = buf_str(&s->page);
	buf_reset(&s->scratch);
	if (gzip && put_gzip(&s->scratch, body))
		body = buf_str(&s->scratch);
	else
		gzip = false;
	put_head(c, 200, http_content_type(format),
		 gzip ? "Content-Encoding: gzip\r\nVary: Accept, Accept-Encoding\r\n"
		      : "Vary: Accept, Accept-Encoding\r\n",
		 body.len);
	if (!head_only)
		buf_str_put(&c->out, body);
	return 200;
}

/* Of the user who asks, for the first time or again. */
static enum users_answer check_user(struct metrics_server *s, struct conn *c,
				    const struct http_request *r, struct mono_ns now)
{
	struct str name, password;
	char bytes[HTTP_REQUEST_BYTES];
	struct buf scratch = buf_fixed(bytes, sizeof bytes);
	enum users_answer answer = USERS_NO;

	if (!s->users)
		return USERS_YES;
	if (c->attempt)
		answer = users_answer(s->users, c->attempt);
	else if (http_basic_auth(r->authorization, &scratch, &name, &password))
		answer = users_check(s->users, name, password, now, &c->attempt);
	OPENSSL_cleanse(bytes, sizeof bytes);
	if (answer != USERS_PENDING)
		c->attempt = 0;
	return answer;
}

static unsigned refuse_user(struct conn *c, enum users_answer answer, bool head_only)
{
	if (answer == USERS_LATER) {
		put_sentence(c, 429, "Retry-After: 1\r\n", head_only, "too many attempts");
		return 429;
	}
	if (answer == USERS_BUSY) {
		put_sentence(c, 503, "Retry-After: 1\r\n", head_only,
			     "too many passwords are being checked");
		return 503;
	}
	put_sentence(c, 401, "WWW-Authenticate: Basic realm=\"metrics\"\r\n", head_only,
		     "user and password are needed");
	return 401;
}

static unsigned answer_ready(struct metrics_server *s, struct conn *c, bool head_only)
{
	char why[METRICS_WHY_BYTES] = "not ready";
	bool ready = !s->ready || s->ready(s->ctx, why);

	put_sentence(c, ready ? 200 : 503, "", head_only, ready ? "ok" : why);
	return ready ? 200 : 503;
}

static void tally(struct metrics_server *s, unsigned status, uint64_t ns)
{
	for (size_t i = 0; i < STATUSES; i++) {
		if (s->tally[i].status && s->tally[i].status != status)
			continue;
		s->tally[i].status = status;
		histogram_observe(&s->tally[i].seconds, (double)ns / (double)NS_PER_S);
		return;
	}
}

static void answer_scrape(struct metrics_server *s, struct conn *c, const struct http_request *r,
			  bool head_only, struct mono_ns now)
{
	bool is_new = !c->attempt;
	enum users_answer user = check_user(s, c, r, now);

	if (is_new)
		c->asked = now;
	if (user == USERS_PENDING)
		return;
	unsigned status = user == USERS_YES ? answer_metrics(s, c, r, head_only)
					    : refuse_user(c, user, head_only);
	tally(s, status, mono_now().v - c->asked.v);
}

/* Appends nothing while the request's user is being checked. */
static void answer(struct metrics_server *s, struct conn *c, const struct http_request *r,
		   struct mono_ns now)
{
	bool head_only = str_is(r->method, "HEAD");

	if (!head_only && !str_is(r->method, "GET")) {
		put_sentence(c, 405, "Allow: GET, HEAD\r\n", false, "only GET and HEAD");
	} else if (str_is(r->path, "/metrics")) {
		answer_scrape(s, c, r, head_only, now);
	} else if (str_is(r->path, "/healthz")) {
		put_sentence(c, 200, "", head_only, "ok");
	} else if (str_is(r->path, "/readyz")) {
		(void)answer_ready(s, c, head_only);
	} else {
		put_sentence(c, 404, "", head_only, "/metrics, /healthz and /readyz are here");
	}
}

/* What Hubble's server tells about itself. */
static void collect(void *ctx, struct metrics_page *p)
{
	struct metrics_server *s = ctx;

	for (int pass = 0; pass < 2 && s->tally[0].status; pass++) {
		if (pass == 0)
			page_family(p, "hubble_metrics_http_handler_requests_total", METRIC_COUNTER,
				    "A counter for requests to the metrics handler");
		else
			page_family(p, "hubble_metrics_http_handler_request_duration_seconds",
				    METRIC_HISTOGRAM,
				    "A histogram of latencies of the metrics handler");
		for (size_t i = 0; i < STATUSES && s->tally[i].status; i++) {
			char code[12];
			(void)snprintf(code, sizeof code, "%u", s->tally[i].status);
			struct page_label label = { "code", str_of(code) };
			const struct histogram *h = &s->tally[i].seconds;
			uint64_t n = 0;
			for (size_t j = 0; j <= HISTOGRAM_BOUNDS; j++)
				n += h->buckets[j];
			if (pass == 0)
				page_u64(p, &label, 1, n);
			else
				page_histogram(p, &label, 1, h);
		}
	}
}

/* --- connections -------------------------------------------------------------------------- */

static struct mono_ns in_seconds(struct mono_ns now, unsigned s)
{
	return (struct mono_ns){ now.v + s * NS_PER_S };
}

static void conn_close(struct metrics_server *s, struct conn *c)
{
	if (c->attempt)
		users_forget(s->users, c->attempt);
	c->attempt = 0;
	OPENSSL_cleanse(c->in, c->in_len); /* it may hold a password */
	if (c->ssl) {
		(void)SSL_shutdown(c->ssl);
		SSL_free(c->ssl);
	}
	(void)close(c->fd);
	buf_done(&c->out);
	c->fd = -1;
	c->ssl = NULL;
}

/* Bytes read or written, 0: would block (events say for what), -1: the connection is over. */
static ssize_t ssl_result(struct conn *c, int n)
{
	if (n > 0)
		return n;
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		c->events = POLLIN;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		c->events = POLLOUT;
		return 0;
	default:
		SSL_set_quiet_shutdown(c->ssl, 1); /* after a fault nothing may be sent */
		return -1;
	}
}

/* What another connection left in this thread's queue would be taken for a fault of this one. */
static ssize_t conn_read(struct conn *c, void *to, size_t n)
{
	if (c->ssl) {
		ERR_clear_error();
		return ssl_result(c, SSL_read(c->ssl, to, (int)n));
	}
	ssize_t got = recv(c->fd, to, n, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->events = POLLIN;
		return 0;
	}
	return got > 0 ? got : -1;
}

static ssize_t conn_write(struct conn *c, const void *from, size_t n)
{
	if (c->ssl) {
		ERR_clear_error();
		return ssl_result(c, SSL_write(c->ssl, from, n < 1 << 30 ? (int)n : 1 << 30));
	}
	ssize_t sent = send(c->fd, from, n, MSG_NOSIGNAL);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR)) {
		c->events = POLLOUT;
		return 0;
	}
	return sent >= 0 ? sent : -1;
}

/* Reads the requests that are there and answers the first. @return false: nothing to answer yet. */
static bool take_request(struct metrics_server *s, struct conn *c, struct mono_ns now)
{
	bool was_waiting = c->attempt;
	struct http_request r;
	size_t used;

	switch (http_request_read(str_n(c->in, c->in_len), &r, &used)) {
	case HTTP_READY:
		c->last = !r.keep_alive || r.has_body;
		answer(s, c, &r, now);
		if (c->attempt) { /* it stays where it is */
			if (!was_waiting)
				c->until = in_seconds(now, ANSWER_S);
			return false;
		}
		OPENSSL_cleanse(c->in, used); /* it may hold a password */
		memmove(c->in, c->in + used, c->in_len - used);
		c->in_len -= used;
		break;
	case HTTP_BAD:
		c->last = true;
		put_sentence(c, 400, "", false, "this is no HTTP/1.1 request");
		break;
	default:
		if (c->in_len < sizeof c->in)
			return false;
		c->last = true;
		put_sentence(c, 431, "", false, "the request is too long");
	}
	c->until = in_seconds(now, ANSWER_S);
	return true;
}

/* Up to one answer: then it is the others' turn, however much is asked. @return false: the
 * connection is over. */
static bool conn_go(struct metrics_server *s, struct conn *c, struct mono_ns now)
{
	for (bool has_answered = false;;) {
		while (c->out_sent < c->out.len) {
			ssize_t n = conn_write(c, c->out.p + c->out_sent, c->out.len - c->out_sent);
			if (n <= 0)
				return n == 0;
			c->out_sent += (size_t)n;
		}
		if (c->out.len) {
			if (c->last || c->out.failed)
				return false;
			buf_done(&c->out);
			c->out = buf_init(METRICS_PAGE_BYTES + HEAD_BYTES);
			c->out_sent = 0;
			c->since = now;
			c->until = in_seconds(now, c->in_len ? REQUEST_S : IDLE_S);
		}
		if (has_answered) { /* there may be more, where poll does not see it */
			c->events = POLLIN | POLLOUT;
			return true;
		}
		has_answered = take_request(s, c, now);
		if (has_answered)
			continue;
		if (c->attempt) { /* hear_users goes on */
			c->events = 0;
			return true;
		}
		ssize_t n = conn_read(c, c->in + c->in_len, sizeof c->in - c->in_len);
		if (n <= 0)
			return n == 0;
		if (!c->in_len)
			c->until = in_seconds(now, REQUEST_S);
		c->in_len += (size_t)n;
	}
}

static struct conn *free_conn(struct metrics_server *s)
{
	struct conn *oldest = NULL;

	for (size_t i = 0; i < METRICS_CONNECTIONS; i++) {
		struct conn *c = &s->conns[i];
		if (c->fd < 0)
			return c;
		if (!oldest || c->since.v < oldest->since.v)
			oldest = c;
	}
	conn_close(s, oldest);
	return oldest;
}

static void accept_one(struct metrics_server *s, int listener, struct mono_ns now)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;

	/* Without descriptors it stays who wants in: asked at once, poll would never sleep. */
	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
		s->accepts_from = in_seconds(now, FULL_S);
	if (fd < 0)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	SSL *ssl = s->https ? https_accept(s->https, fd) : NULL;
	if (s->https && !ssl) {
		(void)close(fd);
		return;
	}
	struct conn *c = free_conn(s);
	c->fd = fd;
	c->ssl = ssl;
	c->events = POLLIN;
	c->in_len = c->out_sent = 0;
	c->out = buf_init(METRICS_PAGE_BYTES + HEAD_BYTES);
	c->last = false;
	c->since = now;
	c->until = in_seconds(now, REQUEST_S);
}

static int wait_ms(const struct metrics_server *s, struct mono_ns now)
{
	uint64_t until = s->accepts_from.v > now.v ? s->accepts_from.v : UINT64_MAX;

	for (size_t i = 0; i < METRICS_CONNECTIONS; i++)
		if (s->conns[i].fd >= 0 && s->conns[i].until.v < until)
			until = s->conns[i].until.v;
	if (until == UINT64_MAX)
		return -1;
	return until <= now.v ? 0 : (int)((until - now.v) / NS_PER_MS + 1);
}

/* Passwords have been checked: requests that waited for that are answered. */
static void hear_users(struct metrics_server *s)
{
	users_hear(s->users);
	for (size_t i = 0; i < METRICS_CONNECTIONS; i++) {
		struct conn *c = &s->conns[i];
		if (c->fd >= 0 && c->attempt && !conn_go(s, c, mono_now()))
			conn_close(s, c);
	}
}

/* Who waits for an answer is not read from: an event is its end. */
static bool is_over(struct metrics_server *s, struct conn *c, short revents)
{
	if (!revents)
		return false;
	return c->attempt ? (revents & (POLLERR | POLLHUP)) : !conn_go(s, c, mono_now());
}

static void *serve(void *arg)
{
	struct metrics_server *s = arg;
	struct pollfd fds[2 + LISTENERS + METRICS_CONNECTIONS];

	for (;;) {
		struct mono_ns now = mono_now();
		bool is_full = now.v < s->accepts_from.v;
		nfds_t n = 0;
		fds[n++] = (struct pollfd){ .fd = s->stop_fd, .events = POLLIN };
		fds[n++] = (struct pollfd){ .fd = s->users ? users_fd(s->users) : -1,
					    .events = POLLIN };
		for (size_t i = 0; i < s->listener_count; i++)
			fds[n++] = (struct pollfd){ .fd = is_full ? -1 : s->listeners[i],
						    .events = POLLIN };
		for (size_t i = 0; i < METRICS_CONNECTIONS; i++)
			fds[n++] = (struct pollfd){ .fd = s->conns[i].fd,
						    .events = s->conns[i].events };
		if (poll(fds, n, wait_ms(s, now)) < 0 && errno != EINTR) {
			log_error("metrics are told no more: poll failed", "errno=%d", errno);
			return NULL;
		}
		if (fds[0].revents)
			return NULL;
		now = mono_now();
		for (size_t i = 0; i < METRICS_CONNECTIONS; i++) {
			struct conn *c = &s->conns[i];
			if (c->fd < 0)
				continue;
			if (is_over(s, c, fds[2 + s->listener_count + i].revents) ||
			    c->until.v <= now.v)
				conn_close(s, c);
		}
		if (fds[1].revents)
			hear_users(s);
		for (size_t i = 0; i < s->listener_count; i++)
			if (fds[2 + i].revents)
				accept_one(s, s->listeners[i], now);
	}
}

/* --- life --------------------------------------------------------------------------------- */

static enum err_code listen_on(struct metrics_server *s, const struct address *a, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
				  .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV },
			*ai;
	char port[8];
	int one = 1, zero = 0;

	(void)snprintf(port, sizeof port, "%u", a->port ? a->port : (unsigned)s->port);
	int failed = getaddrinfo(a->host, port, &hints, &ai);
	if (failed)
		return err_set(e, ERR_INVALID, "%s: %s", a->host, gai_strerror(failed));
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool ok = fd >= 0;
	if (ok) {
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		if (ai->ai_family == AF_INET6)
			(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
		ok = bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0;
	}
	int os = errno;
	freeaddrinfo(ai);
	if (!ok) {
		if (fd >= 0)
			(void)close(fd);
		return err_errno(e, os, "%s port %s", a->host, port);
	}
	struct sockaddr_storage at = { 0 };
	socklen_t len = sizeof at;
	(void)getsockname(fd, (struct sockaddr *)&at, &len);
	s->port = ntohs(at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
						 : ((struct sockaddr_in *)&at)->sin_port);
	s->listeners[s->listener_count++] = fd;
	return ERR_OK;
}

/* A name may stand for addresses of which this machine has not all ("localhost" without IPv6): one
 * that works is enough. */
static enum err_code listen_all(struct metrics_server *s, const char *text, struct err *e)
{
	struct address address, numeric[LISTENERS];
	size_t count;
	enum err_code code = address_parse(str_of(text), &address, e);

	if (code == ERR_OK && address.is_unix)
		code = err_set(e, ERR_INVALID, "host:port is needed");
	if (code == ERR_OK)
		code = address_resolve(&address, numeric, LISTENERS, &count, e);
	for (size_t i = 0; code == ERR_OK && i < count; i++) {
		code = listen_on(s, &numeric[i], e);
		if (code != ERR_OK && code != ERR_EXISTS && (i + 1 < count || s->listener_count))
			code = ERR_OK;
	}
	return code == ERR_OK ? ERR_OK : err_in(e, "metrics on '%s'", text);
}

enum err_code metrics_server_new(const struct metrics_server_config *config,
				 struct metrics_server **ret, struct err *e)
{
	struct err mine;
	e = e ? e : &mine;
	AUTO(metrics_server_free) struct metrics_server *s = calloc(1, sizeof *s);
	if (!s)
		return err_set(e, ERR_NOMEM, "metrics server");
	s->metrics = config->metrics;
	s->ready = config->ready;
	s->ctx = config->ctx;
	s->page = buf_init(METRICS_PAGE_BYTES);
	s->scratch = buf_init(METRICS_PAGE_BYTES);
	for (size_t i = 0; i < METRICS_CONNECTIONS; i++)
		s->conns[i].fd = -1;
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (s->stop_fd < 0)
		return err_os(e, "eventfd");
	if (config->tls && https_new(config->tls, "metrics", &s->https, e) != ERR_OK)
		return e->code;
	if (config->users_file && users_new(config->users_file, &s->users, e) != ERR_OK)
		return e->code;
	if (listen_all(s, config->address, e) != ERR_OK ||
	    metrics_collect(s->metrics, collect, s, e) != ERR_OK)
		return e->code;
	enum err_code code = thread_start("tycho-http", serve, s, &s->thread, e);
	if (code != ERR_OK)
		return code;
	s->running = true;
	*ret = TAKE(s);
	return ERR_OK;
}

void metrics_server_free(struct metrics_server *s)
{
	if (!s)
		return;
	if (s->running) {
		uint64_t one = 1;
		(void)!write(s->stop_fd, &one, sizeof one);
		(void)pthread_join(s->thread, NULL);
	}
	for (size_t i = 0; i < METRICS_CONNECTIONS; i++)
		if (s->conns[i].fd >= 0)
			conn_close(s, &s->conns[i]);
	for (size_t i = 0; i < s->listener_count; i++)
		(void)close(s->listeners[i]);
	if (s->stop_fd >= 0)
		(void)close(s->stop_fd);
	users_free(s->users);
	https_free(s->https);
	buf_done(&s->page);
	buf_done(&s->scratch);
	free(s);
}

int metrics_server_port(const struct metrics_server *s)
{
	return s->port;
}
