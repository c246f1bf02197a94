#include "cli/port_forward/forwarder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/thread.h"
#include "kube/exec.h"
#include "kube/tunnel.h"

enum { BACKLOG = 16, TARGET_BYTES = KUBE_LABEL_BYTES + KUBE_NAME_BYTES + 8 };

struct forwarder {
	struct forwarder_config config; /* immutable */
	int listener, stop_fd;          /* @stop_fd is readable once connections are to end */
	uint16_t port;
	char target[TARGET_BYTES];
	pthread_mutex_t mx;
	pthread_cond_t gone;
	struct kube_config *kube;  /* guarded by mx: who opens a tunnel may sign in anew */
	struct kube_tunnel *spare; /* guarded by mx: the first one, which nobody has taken yet */
	struct kube_port pod;      /* guarded by mx: the last that was found */
	bool is_known;             /* guarded by mx: @pod, and nothing is wrong with it */
	size_t open;               /* guarded by mx: connections */
};

struct connection {
	struct forwarder *forwarder;
	int fd; /* own */
};

/* --- tunnels ----------------------------------------------------------------------------- */

static enum err_code find_and_open(struct forwarder *f, struct kube_tunnel **ret, struct err *e)
{
	if (kube_service_find(f->kube, &f->config.service, &f->pod, e) != ERR_OK ||
	    kube_tunnel_open(f->kube, &f->pod, ret, e) != ERR_OK)
		return e->code;
	f->is_known = true;
	return ERR_OK;
}

/* With mx held. To the pod that is known, or to one that is found: what is wrong with the known one
 * shows only when it is asked. A server that does not believe us may believe newer credentials. */
static enum err_code open_tunnel(struct forwarder *f, struct kube_tunnel **ret, struct err *e)
{
	if (kube_exec_sign_in(f->kube, wall_now(), e) != ERR_OK)
		return e->code;
	if (f->is_known && kube_tunnel_open(f->kube, &f->pod, ret, e) == ERR_OK)
		return ERR_OK;
	f->is_known = false;
	enum err_code code = find_and_open(f, ret, e);
	if (code != ERR_PERMISSION || !f->kube->exec)
		return code;
	kube_exec_forget(f->kube);
	if (kube_exec_sign_in(f->kube, wall_now(), e) != ERR_OK)
		return e->code;
	return find_and_open(f, ret, e);
}

static enum err_code take_tunnel(struct forwarder *f, struct kube_tunnel **ret, struct err *e)
{
	enum err_code code = ERR_OK;

	(void)pthread_mutex_lock(&f->mx);
	if (f->spare)
		*ret = TAKE(f->spare);
	else
		code = open_tunnel(f, ret, e);
	(void)pthread_mutex_unlock(&f->mx);
	return code;
}

/* Tunnels to the pod end: the next one looks for another. */
static void forget_pod(struct forwarder *f)
{
	(void)pthread_mutex_lock(&f->mx);
	f->is_known = false;
	(void)pthread_mutex_unlock(&f->mx);
}

static void *connection_main(void *arg)
{
	struct connection *c = arg;
	struct forwarder *f = c->forwarder;
	struct kube_tunnel *t = NULL;
	struct err e;

	enum err_code code = take_tunnel(f, &t, &e);
	if (code == ERR_OK)
		code = kube_tunnel_copy(t, c->fd, f->stop_fd, &e);
	if (code != ERR_OK && code != ERR_CANCELLED) {
		log_warn("a connection ends", "err=%s", LOG_QUOTE(e.msg));
		forget_pod(f);
	}
	kube_tunnel_free(t);
	(void)close(c->fd);
	free(c);
	(void)pthread_mutex_lock(&f->mx);
	f->open--;
	(void)pthread_cond_signal(&f->gone); /* with mx: whoever waits may free it right after */
	(void)pthread_mutex_unlock(&f->mx);
	return NULL;
}

/* --- the port ---------------------------------------------------------------------------- */

static enum err_code begin(struct forwarder *f, int raw, struct err *e)
{
	AUTO_FD int fd = raw;
	AUTO(own_free) struct connection *c = malloc(sizeof *c);
	pthread_t thread;

	if (!c)
		return err_set(e, ERR_NOMEM, "a connection");
	(void)pthread_mutex_lock(&f->mx);
	bool is_full = f->open == FORWARDER_CONNECTIONS;
	f->open += !is_full;
	(void)pthread_mutex_unlock(&f->mx);
	if (is_full)
		return err_set(e, ERR_AGAIN, "there are %d connections already",
			       FORWARDER_CONNECTIONS);
	*c = (struct connection){ f, fd };
	enum err_code code = thread_start("tycho-tunnel", connection_main, c, &thread, e);
	if (code != ERR_OK) {
		(void)pthread_mutex_lock(&f->mx);
		f->open--;
		(void)pthread_mutex_unlock(&f->mx);
		return code;
	}
	(void)pthread_detach(thread);
	(void)TAKE_FD(fd);
	(void)TAKE(c);
	return ERR_OK;
}

static enum err_code listen_at(struct forwarder *f, struct err *e)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(f->config.port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int one = 1;

	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (f->listener < 0 ||
	    setsockopt(f->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
	    bind(f->listener, (struct sockaddr *)&at, len) < 0 ||
	    listen(f->listener, BACKLOG) < 0 ||
	    getsockname(f->listener, (struct sockaddr *)&at, &len) < 0)
		return err_os(e, "listen on 127.0.0.1:%u (--port-forward-port 0 takes a free one)",
			      f->config.port);
	f->port = ntohs(at.sin_port);
	return ERR_OK;
}

static enum err_code make(struct forwarder *f, struct err *e)
{
	/* First what costs nothing: nobody types a password for a port that is taken. */
	if (listen_at(f, e) != ERR_OK)
		return e->code;
	f->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (f->stop_fd < 0)
		return err_os(e, "eventfd");
	if (kube_config_find(f->config.kubeconfig, f->config.context, &f->kube, e) != ERR_OK)
		return e->code;
	enum err_code code = open_tunnel(f, &f->spare, e);
	if (code != ERR_OK)
		return f->kube->context ? err_in(e, "context '%s'", f->kube->context) : code;
	(void)snprintf(f->target, sizeof f->target, "%s/%s:%u", f->pod.namespace_, f->pod.pod,
		       f->pod.port);
	return ERR_OK;
}

enum err_code forwarder_new(const struct forwarder_config *config, struct forwarder **ret,
			    struct err *e)
{
	AUTO(forwarder_free) struct forwarder *f = calloc(1, sizeof *f);
	struct err mine;

	e = e ? e : &mine;
	if (!f)
		return err_set(e, ERR_NOMEM, "a forwarder");
	f->config = *config;
	f->listener = f->stop_fd = -1;
	(void)pthread_mutex_init(&f->mx, NULL);
	(void)pthread_cond_init(&f->gone, NULL);
	enum err_code code = make(f, e);
	if (code == ERR_OK)
		*ret = TAKE(f);
	return code;
}

void forwarder_free(struct forwarder *f)
{
	if (!f)
		return;
	kube_tunnel_free(f->spare);
	kube_config_free(f->kube);
	if (f->listener >= 0)
		(void)close(f->listener);
	if (f->stop_fd >= 0)
		(void)close(f->stop_fd);
	(void)pthread_cond_destroy(&f->gone);
	(void)pthread_mutex_destroy(&f->mx);
	free(f);
}

uint16_t forwarder_port(const struct forwarder *f)
{
	return f->port;
}

const char *forwarder_target(const struct forwarder *f)
{
	return f->target;
}

static void end_connections(struct forwarder *f)
{
	const uint64_t one = 1;

	(void)!write(f->stop_fd, &one, sizeof one);
	(void)pthread_mutex_lock(&f->mx);
	while (f->open)
		(void)pthread_cond_wait(&f->gone, &f->mx);
	(void)pthread_mutex_unlock(&f->mx);
}

enum err_code forwarder_run(struct forwarder *f, int stop_fd, struct err *e)
{
	enum err_code code = ERR_OK;
	struct err mine;

	e = e ? e : &mine;
	for (;;) {
		struct pollfd p[] = { { stop_fd, POLLIN, 0 }, { f->listener, POLLIN, 0 } };
		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR) {
			code = err_os(e, "poll");
			break;
		}
		if (p[0].revents)
			break;
		int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
		struct err why;
		if (fd >= 0 && begin(f, fd, &why) != ERR_OK)
			log_warn("a connection is turned away", "err=%s", LOG_QUOTE(why.msg));
	}
	end_connections(f);
	return code;
}
