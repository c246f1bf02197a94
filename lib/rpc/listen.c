/*
 * Listening, and listening again.
 *
 * gRPC 1.51 closes its eyes for good when accept() fails for want of a file descriptor
 * (CVE-2023-4785's family; later versions retry): the port stays bound and deaf. Its log line is
 * the only sign (see accept_watch). Repair:
 *
 *	failed ─► wait for free descriptors ─► stop the old grpc_server ─► start a new one
 *
 * Calls in progress stay with the old grpc_server until they end; both share the completion queue.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "rpc/serving.h"

enum {
	REQUESTS_POSTED = 8,   /* calls we are ready for; one is consumed and replaced per call */
	RESOLVED_MAX = 16,     /* numeric addresses of one listen address */
	FREE_DESCRIPTORS = 16, /* wanted before listening again: fewer would be gone at once */
	REPAIR_MS = 50,        /* between attempts */
	KEEPALIVE_MS = 60000,  /* a silent peer is pinged … */
	KEEPALIVE_TIMEOUT_MS = 20000, /* … and dropped */
	/* clients may ping this often; the default punishes less than 5 minutes */
	PING_MIN_MS = 5000,
	RECEIVED_MAX_BYTES = 64 << 20, /* of all connections, and not taken yet */
};

static struct core *core_new(struct rpc_server *s)
{
	struct core *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	*c = (struct core){ .server = s, .down = { TAG_CORE_DOWN, c } };
	/* Without one, a connection can make us hold a request less a byte for each of its streams:
	 * 4 GiB. Beyond it the core cancels streams that wait for more. */
	grpc_resource_quota *quota = grpc_resource_quota_create("server");
	grpc_resource_quota_resize(quota, RECEIVED_MAX_BYTES);
	grpc_arg args[] = {
		{ .type = GRPC_ARG_POINTER,
		  .key = (char *)(uintptr_t)GRPC_ARG_RESOURCE_QUOTA,
		  .value.pointer = { quota, grpc_resource_quota_arg_vtable() } },
		/* else a second daemon binds silently and steals calls */
		int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0),
		int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, (int)s->max_streams),
		int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, (int)s->max_request_bytes),
		leave_packed_arg(),
		int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS),
		int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_TIMEOUT_MS),
		int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
		int_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
		int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, PING_MIN_MS),
	};
	c->grpc = grpc_server_create(&(grpc_channel_args){ ARRAY_LEN(args), args }, NULL);
	grpc_resource_quota_unref(quota);
	grpc_server_register_completion_queue(c->grpc, s->cq, NULL);
	return c;
}

static enum err_code bind_port(struct core *c, const struct listener *l, const struct address *a,
			       int *ret_port, struct err *e)
{
	char name[ADDRESS_TARGET_BYTES];
	address_port_name(a, name);
	if (address_probe(a, e) != ERR_OK)
		return e->code;
	if (l->has_tls) {
		struct tls_port **ports = realloc(c->ports, (c->port_count + 1) * sizeof *ports);
		if (!ports)
			return err_set(e, ERR_NOMEM, "listen on '%s'", name);
		c->ports = ports;
		if (tls_port_new(&l->tls, &c->ports[c->port_count], e) != ERR_OK)
			return err_in(e, "listen on '%s'", name);
		c->port_count++;
		*ret_port = grpc_server_add_http2_port(c->grpc, name,
						       tls_port_creds(c->ports[c->port_count - 1]));
	} else {
		grpc_server_credentials *plain = grpc_insecure_server_credentials_create();
		*ret_port = grpc_server_add_http2_port(c->grpc, name, plain);
		grpc_server_credentials_release(plain);
	}
	/* The probe has just succeeded: somebody was faster, or gRPC dislikes a certificate that
	 * OpenSSL likes. */
	if (*ret_port == 0)
		return err_set(e, l->has_tls ? ERR_PARSE : ERR_EXISTS,
			       "listen on '%s': gRPC refuses", name);
	if (a->is_unix && l->socket_mode && chmod(a->path, l->socket_mode) < 0)
		return err_os(e, "set the permissions of '%s'", a->path);
	return ERR_OK;
}

/* A host name may stand for several addresses ("localhost": two). One that this machine does not
 * have is passed over as long as another one works. */
static enum err_code bind_listener(struct core *c, struct listener *l, struct err *e)
{
	struct address numeric[RESOLVED_MAX];
	size_t n = 0, bound = 0;
	struct err missing = { .code = ERR_OK };

	if (address_resolve(&l->address, numeric, RESOLVED_MAX, &n, e) != ERR_OK)
		return e->code;
	for (size_t i = 0; i < n; i++) {
		int port = 0;
		numeric[i].port = l->address.port; /* ":0" is decided by the first address */
		enum err_code code = bind_port(c, l, &numeric[i], &port, e);
		if (code != ERR_OK && (e->os == EADDRNOTAVAIL || e->os == EAFNOSUPPORT)) {
			missing = *e;
			continue;
		}
		if (code != ERR_OK)
			return code;
		bound++;
		/* Written at the start only: rpc_server_port reads it from any thread. */
		if (!l->address.is_unix && l->address.port == 0)
			l->address.port = (uint16_t)port;
	}
	if (bound == 0) {
		*e = missing;
		return e->code;
	}
	return ERR_OK;
}

void core_stop(struct core *c)
{
	if (c->is_going)
		return;
	c->is_going = true;
	grpc_server_shutdown_and_notify(c->grpc, c->server->cq, &c->down);
}

void core_free(struct core *c)
{
	struct core **p = &c->server->cores;

	for (; *p && *p != c; p = &(*p)->next)
		;
	if (*p)
		*p = c->next;
	grpc_server_destroy(c->grpc);
	for (size_t i = 0; i < c->port_count; i++)
		tls_port_free(c->ports[i]);
	free(c->ports);
	free(c);
}

enum err_code core_start(struct rpc_server *s, struct err *e)
{
	struct core *c = core_new(s);
	if (!c)
		return err_set(e, ERR_NOMEM, "server");
	c->next = s->cores;
	s->cores = c;
	for (size_t i = 0; i < s->listener_count; i++)
		if (bind_listener(c, &s->listeners[i], e) != ERR_OK) {
			core_stop(c); /* a server with ports can only be destroyed after its tag */
			return e->code;
		}
	grpc_server_start(c->grpc);
	core_expect(c);
	return ERR_OK;
}

void core_expect(struct core *c)
{
	while (!c->is_going && c->requests < REQUESTS_POSTED && call_post(c))
		;
}

static bool descriptors_are_free(void)
{
	int fds[FREE_DESCRIPTORS];
	size_t n = 0;

	while (n < FREE_DESCRIPTORS && (fds[n] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
		n++;
	bool enough = n == FREE_DESCRIPTORS || errno != EMFILE;
	while (n > 0)
		(void)close(fds[--n]);
	return enough;
}

/* The old grpc_server unlinks its sockets at an unknown moment: listening earlier would lose the
 * new ones. */
static bool old_sockets_are_gone(const struct rpc_server *s)
{
	struct stat st;

	for (size_t i = 0; i < s->listener_count; i++)
		if (s->listeners[i].address.is_unix &&
		    lstat(s->listeners[i].address.path, &st) == 0)
			return false;
	return true;
}

void listen_repair(struct rpc_server *s, uint64_t now_ns)
{
	if (atomic_exchange(&s->accept_failed, false) && s->rebuild_at_ns == 0) {
		log_warn("out of file descriptors, listening again as soon as some are free");
		s->rebuild_at_ns = now_ns;
		s->rebuild_tries = 0;
	}
	if (s->rebuild_at_ns == 0 || now_ns < s->rebuild_at_ns || s->is_stopping)
		return;
	s->rebuild_at_ns = now_ns + REPAIR_MS * NS_PER_MS;
	if (!descriptors_are_free())
		return;
	for (struct core *c = s->cores; c; c = c->next)
		core_stop(c);
	struct err e;
	if (!old_sockets_are_gone(s))
		return;
	if (core_start(s, &e) == ERR_OK) {
		s->rebuild_at_ns = 0;
		log_info("listening again");
	} else if (s->rebuild_tries++ % 100 == 20) {
		/* Not at once: the first tries only wait for the old sockets to close. */
		log_warn("cannot listen again, trying on", "error=%s", LOG_QUOTE(e.msg));
	}
}
