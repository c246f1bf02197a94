#include "cli/connect.h"

#include <errno.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/net.h"
#include "base/thread.h"
#include "base/watch.h"
#include "cli/command.h"

enum { CREDENTIAL_MOST = 512 };

void connection_done(struct connection *c)
{
	rpc_channel_free(c->channel);
	if (c->rpc_is_up)
		rpc_shutdown();
	*c = (struct connection){ 0 };
}

const char *connection_target(const struct settings *s)
{
	const char *server = settings_text(s, "server");

	return str_has_prefix(str_of(server), STR("tls://")) ? server + strlen("tls://") : server;
}

/* "Basic " and base64 of "user:password" (RFC 7617). */
static enum err_code basic_auth(const struct settings *s, char *out, size_t size, struct err *e)
{
	char plain[CREDENTIAL_MOST];
	unsigned char coded[CREDENTIAL_MOST * 2];
	int n = snprintf(plain, sizeof plain, "%s:%s", settings_text(s, "basic-auth-username"),
			 settings_text(s, "basic-auth-password"));

	if (n < 0 || n >= (int)sizeof plain)
		return err_set(e, ERR_INVALID,
			       "basic-auth-username and basic-auth-password: longer than %d bytes",
			       CREDENTIAL_MOST);
	(void)EVP_EncodeBlock(coded, (const unsigned char *)plain, n);
	(void)snprintf(out, size, "Basic %s", (const char *)coded);
	return ERR_OK;
}

/* "Bearer " and what the file holds. Not over plain text, where everybody could read it. */
static enum err_code bearer_auth(const struct settings *s, char *out, size_t size, struct err *e)
{
	char text[CREDENTIAL_MOST];
	struct buf token = buf_fixed(text, sizeof text);

	if (!settings_want_tls(s) && !address_is_local(settings_text(s, "server")))
		return err_set(e, ERR_INVALID, "the token would travel in plain text (use --tls)");
	if (*settings_text(s, "basic-auth-username"))
		return err_set(e, ERR_INVALID,
			       "invalid flag(s): basic-auth-username and token-file are one or the "
			       "other");
	if (file_read(settings_text(s, "token-file"), "the token file", &token, e) != ERR_OK)
		return e->code;
	(void)snprintf(out, size, "Bearer %.*s", STR_FMT(str_trim(buf_str(&token))));
	return ERR_OK;
}

bool connection_tls(const struct settings *s, const char **ca_files, struct rpc_tls *ret)
{
	const char *cert = settings_text(s, "tls-client-cert-file"),
		   *key = settings_text(s, "tls-client-key-file"),
		   *name = settings_text(s, "tls-server-name");

	*ret = (struct rpc_tls){
		.ca_files = ca_files,
		.cert_file = *cert ? cert : NULL,
		.key_file = *key ? key : NULL,
		.server_name = *name ? name : NULL,
		.allow_insecure = settings_bool(s, "tls-allow-insecure"),
	};
	while (ret->ca_file_count < CONNECTION_CA_FILES &&
	       (ca_files[ret->ca_file_count] =
			settings_item(s, "tls-ca-cert-files", ret->ca_file_count)))
		ret->ca_file_count++;
	return settings_want_tls(s);
}

static enum err_code open_with(const struct settings *s, const struct rpc_metadata *headers,
			       size_t header_count, struct connection *ret, struct err *e)
{
	const char *ca_files[CONNECTION_CA_FILES];
	struct rpc_tls tls;
	char authorization[CREDENTIAL_MOST * 2 + 16];
	struct rpc_metadata metadata[1 + CONNECTION_HEADERS];
	size_t count = 0;
	bool with_tls = connection_tls(s, ca_files, &tls),
	     with_basic = *settings_text(s, "basic-auth-username") != '\0',
	     with_token = *settings_text(s, "token-file") != '\0';

	if (with_basic && !with_tls)
		return err_set(e, ERR_INVALID,
			       "the credentials require transport level security (use --tls)");
	if (with_token && bearer_auth(s, authorization, sizeof authorization, e) != ERR_OK)
		return e->code;
	if (with_basic && basic_auth(s, authorization, sizeof authorization, e) != ERR_OK)
		return e->code;
	if (with_basic || with_token)
		metadata[count++] = (struct rpc_metadata){ "authorization", authorization };
	for (size_t i = 0; i < header_count; i++)
		metadata[count++] = headers[i];
	const struct rpc_channel_config config = {
		.address = settings_text(s, "server"),
		.tls = with_tls ? &tls : NULL,
		.metadata = metadata,
		.metadata_count = count,
	};
	rpc_init();
	ret->rpc_is_up = true;
	return rpc_channel_new(&config, &ret->channel, e);
}

enum err_code connection_open(const struct settings *s, struct connection *ret, struct err *e)
{
	return open_with(s, NULL, 0, ret, e);
}

enum err_code connection_call(struct connection *c, const struct settings *s, const char *method,
			      struct str request, struct buf *ret_response, struct err *e)
{
	int64_t timeout_ns = settings_duration_ns(s, "request-timeout");
	struct rpc_result result;

	return rpc_unary(c->channel, method, request, timeout_ns > 0 ? (uint64_t)timeout_ns : 1,
			 ret_response, &result, e);
}

/* --- streams --- */

/* Waits for SIGINT beside a stream that blocks. */
struct interrupt_watch {
	pthread_t thread;
	int signal_fd, stop_fd;
	struct rpc_stream *stream; /* immutable while the thread runs */
	bool is_hit;               /* the thread's, until it has ended */
};

/* A second SIGINT, should the server not let go, ends the process as it would any other. */
enum { EXIT_BY_SIGINT = 128 + SIGINT };

static void *watch_for_interrupt(void *arg)
{
	struct interrupt_watch *w = arg;
	struct pollfd fds[] = { { .fd = w->signal_fd, .events = POLLIN },
				{ .fd = w->stop_fd, .events = POLLIN } };
	struct signalfd_siginfo taken;
	unsigned seen = 0;

	while (poll(fds, 2, -1) >= 0 || errno == EINTR) {
		if (fds[1].revents)
			break;
		if (!(fds[0].revents & POLLIN) || read(w->signal_fd, &taken, sizeof taken) <= 0)
			continue;
		if (seen++)
			_exit(EXIT_BY_SIGINT);
		w->is_hit = true;
		rpc_stream_cancel(w->stream);
	}
	return NULL;
}

static enum err_code watch_start(struct interrupt_watch *w, struct rpc_stream *stream,
				 struct err *e)
{
	w->stream = stream;
	w->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (w->stop_fd < 0)
		return err_os(e, "eventfd");
	enum err_code code = thread_start("interrupt", watch_for_interrupt, w, &w->thread, e);
	if (code != ERR_OK)
		(void)close(w->stop_fd);
	return code;
}

static void watch_stop(struct interrupt_watch *w)
{
	uint64_t one = 1;

	(void)!write(w->stop_fd, &one, sizeof one); /* an eventfd at 0 takes it */
	(void)pthread_join(w->thread, NULL);
	(void)close(w->stop_fd);
}

bool version_is_older(const char *own, struct str other)
{
	unsigned major, minor, other_major, other_minor;
	char text[64];

	(void)snprintf(text, sizeof text, "%.*s", STR_FMT(other));
	if (sscanf(own, "%u.%u", &major, &minor) != 2 ||
	    sscanf(text[0] == 'v' ? text + 1 : text, "%u.%u", &other_major, &other_minor) != 2)
		return false;
	return other_major > major || (other_major == major && other_minor > minor);
}

/* One warning for each peer on the way that is newer than the API this command speaks. */
static void warn_of_skew(const struct rpc_stream *stream)
{
	static const struct {
		const char *header, *who;
	} peers[] = { { "hubble-relay-version", "relay" }, { "hubble-server-version", "server" } };

	for (size_t i = 0; i < ARRAY_LEN(peers); i++) {
		struct str version = rpc_stream_header(stream, peers[i].header);
		if (!version_is_older(cli_api_version(), version))
			continue;
		char text[64];
		(void)snprintf(text, sizeof text, "%.*s", STR_FMT(version));
		log_warn("The peer speaks a newer version of the API than this command; fields "
			 "that it does not know are not shown",
			 "peer=%s cli-version=%s api-version=%s peer-version=%s", peers[i].who,
			 cli_version(), cli_api_version(), LOG_QUOTE(text));
	}
}

/* *@ret_known, set true if @is_last: the server knows the method; otherwise nothing came of it. */
static enum err_code pump(struct rpc_stream *stream, const struct stream_handler *h, bool is_last,
			  bool *ret_known, struct err *e)
{
	struct str message;
	bool first = true;

	for (;;) {
		enum err_code code = rpc_stream_next(stream, 0, &message, e);
		if (code == ERR_TIMEOUT)
			continue;
		*ret_known = is_last || !first || code != ERR_UNSUPPORTED;
		if (!*ret_known)
			return code;
		if (first)
			warn_of_skew(stream);
		first = false;
		if (code == ERR_CLOSED)
			return ERR_OK;
		if (code != ERR_OK)
			return code;
		if (h->on_message(h->ctx, message, e) != ERR_OK)
			return e->code;
		if (h->on_pause && !rpc_stream_has_next(stream) && h->on_pause(h->ctx, e) != ERR_OK)
			return e->code;
	}
}

static enum err_code stream_on(struct connection *c, int signal_fd, const struct stream_call *call,
			       bool is_last, struct str request, bool *ret_known, struct err *e)
{
	AUTO(rpc_stream_free) struct rpc_stream *stream = NULL;
	struct interrupt_watch watch = { .signal_fd = signal_fd };

	if (rpc_stream_open(c->channel, call->method, request, &stream, e) != ERR_OK)
		return e->code;
	if (watch_start(&watch, stream, e) != ERR_OK)
		return e->code;
	enum err_code code = pump(stream, &call->handler, is_last, ret_known, e);
	watch_stop(&watch);
	if (code == ERR_CANCELLED && watch.is_hit)
		return err_set(e, ERR_CANCELLED, "interrupted");
	return code;
}

enum err_code connection_stream_either(const struct settings *s, const struct rpc_metadata *headers,
				       size_t header_count, const struct stream_call *calls,
				       size_t count, struct str request, struct err *e)
{
	AUTO_CONNECTION struct connection c = { 0 };
	sigset_t interrupts, old;

	/* Before gRPC's threads are born, so that none of them takes the signal. */
	sigemptyset(&interrupts);
	sigaddset(&interrupts, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &interrupts, &old);
	AUTO_FD int signal_fd = signalfd(-1, &interrupts, SFD_CLOEXEC | SFD_NONBLOCK);
	enum err_code code =
		signal_fd < 0 ? err_os(e, "signalfd") : open_with(s, headers, header_count, &c, e);
	bool is_known = code != ERR_OK;
	for (size_t i = 0; i < count && !is_known; i++) {
		is_known = true;
		code = stream_on(&c, signal_fd, &calls[i], i + 1 == count, request, &is_known, e);
	}
	struct signalfd_siginfo taken;
	while (signal_fd >= 0 && read(signal_fd, &taken, sizeof taken) > 0)
		; /* one that came last must not end the process when it is let through */
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return code;
}

enum err_code connection_stream(const struct settings *s, const char *method, struct str request,
				const struct stream_handler *handler, struct err *e)
{
	const struct stream_call call = { method, *handler };

	return connection_stream_either(s, NULL, 0, &call, 1, request, e);
}
