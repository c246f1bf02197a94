/*
 * kube_tunnel - one connection to a port of a pod, through the API server and the pod's node.
 *
 *	fd ◄──copy──► tunnel ══ WebSocket over TLS ══► API server ──► kubelet ──► pod's port
 *
 * Source   RFC 6455; k8s.io/kubelet, pkg/cri/streaming/portforward/websocket.go: subprotocol
 *          v4.channel.k8s.io. The first byte of a message is its channel: 0 data, 1 errors; the
 *          first two bytes that come on each are the port's number, little-endian.
 * Shape    neither side can be closed alone: where one ends, the tunnel ends, and what came before
 *          is delivered first.
 * Bounds   some 256 KiB on their way in either direction; who sends faster waits.
 * Threads  one at a time.
 */
#ifndef TYCHO_KUBE_TUNNEL_H
#define TYCHO_KUBE_TUNNEL_H

#include "kube/service.h"

struct kube_tunnel;

/* Opens one to @to as the user of @config; waits for up to 20 s. Nobody listening on the port is
 * only found out when data comes. ERR_PERMISSION, ERR_NOT_FOUND (the pod is gone), ERR_UNSUPPORTED
 * (what answers is no such server), ERR_TIMEOUT, ERR_UNAVAILABLE, ERR_NOMEM, and those of reading
 * the token. */
MUST_CHECK enum err_code kube_tunnel_open(const struct kube_config *config,
					  const struct kube_port *to, struct kube_tunnel **ret,
					  struct err *e);
void kube_tunnel_free(struct kube_tunnel *t);
AUTO_DEFINE(struct kube_tunnel, kube_tunnel_free);

/* Copies between @fd, a stream socket of ours, and the port, until one of both ends (ERR_OK), or
 * @stop_fd is readable (ERR_CANCELLED). ERR_UNAVAILABLE: what the node said, such as that nobody
 * listens there, or the connection broke. */
MUST_CHECK enum err_code kube_tunnel_copy(struct kube_tunnel *t, int fd, int stop_fd,
					  struct err *e);

#endif
