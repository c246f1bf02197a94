/*
 * tycho-port-forward - a relay in a Kubernetes cluster, as a port of this machine.
 *
 * `tycho --port-forward` starts it; by itself it keeps the port open for tycho-ui and others.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "base/log.h"
#include "base/notify.h"
#include "base/opt.h"
#include "base/signals.h"
#include "base/std_fds.h"
#include "cli/port_forward/forwarder.h"
#include "config.h"

#include <curl/curl.h>

enum { SERVICES = 16, LINE_BYTES = ERR_MSG_BYTES + 16 };

struct options {
	const char *kubeconfig, *context, *namespace_;
	const char *services[SERVICES];
	size_t service_count;
	uint16_t port;
	struct opt_common common;
};

static const struct opt_row cluster_rows[] = {
	{ "kube-context", "NAME", "context of the kubeconfig (default: its current one)",
	  OPT_TEXT(struct options, context) },
	{ "kube-namespace", "NAME", "namespace of the service (default kube-system)",
	  OPT_TEXT(struct options, namespace_) },
	{ "kubeconfig", "FILE",
	  "how to reach the API server (default: $KUBECONFIG, ~/.kube/config, or as the pod that "
	  "this runs in)",
	  OPT_TEXT(struct options, kubeconfig) },
	{ "service", "NAME",
	  "service to reach: the first of these that is there; repeatable (default tycho-relay, "
	  "hubble-relay, or that of another release of Tycho's chart)",
	  OPT_LIST(struct options, services, service_count) },
};
static const struct opt_row here_rows[] = {
	{ "port-forward-port", "N", "port of 127.0.0.1; 0: one that is free (default 4245)",
	  OPT_NUMBER(struct options, port), .max = UINT16_MAX },
};
static const struct opt_group groups[] = {
	{ "The cluster", cluster_rows, ARRAY_LEN(cluster_rows), 0 },
	{ "Here", here_rows, ARRAY_LEN(here_rows), 0 },
	OPT_COMMON_GROUP(struct options, common),
};
static const struct opt_program program = {
	"tycho-port-forward",
	TYCHO_VERSION,
	"makes a relay in a Kubernetes cluster answer on a port of this machine.",
	groups,
	ARRAY_LEN(groups),
};

static const char *const usual_services[] = { "tycho-relay", "hubble-relay" };
/* The chart's, whatever the release is called. */
static const char usual_labels[] =
	"app.kubernetes.io%2Fname%3Dtycho%2Capp.kubernetes.io%2Fcomponent%3Drelay";

/* Readable when we are to end: by SIGTERM, or Ctrl-C. But where somebody started us and waits, Ctrl-C
 * is for them: they may have to ask something yet, and we end when they do. */
static enum err_code end_signals(bool is_child, int *ret_fd, struct err *e)
{
	sigset_t ends;

	if (signals_take(ret_fd, e) != ERR_OK || !is_child)
		return e->code;
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	return signalfd(*ret_fd, &ends, 0) < 0 ? err_os(e, "signalfd") : ERR_OK;
}

static enum err_code serve(const struct options *o, struct err *e)
{
	const bool is_child = o->common.ready_fd >= 0;
	const bool by_name = o->service_count > 0;
	const struct forwarder_config config = {
		.kubeconfig = o->kubeconfig,
		.context = o->context,
		.service = {
			.namespace_ = o->namespace_,
			.names = by_name ? (const char *const *)o->services : usual_services,
			.count = by_name ? o->service_count : ARRAY_LEN(usual_services),
			.labels = by_name ? NULL : usual_labels,
		},
		.port = o->port,
	};
	AUTO(forwarder_free) struct forwarder *f = NULL;
	char line[LINE_BYTES];
	int raw = -1;

	if (end_signals(is_child, &raw, e) != ERR_OK)
		return e->code;
	AUTO_FD int signals = raw;
	if (forwarder_new(&config, &f, e) != ERR_OK)
		return e->code;
	(void)snprintf(line, sizeof line, "ready localhost:%u", forwarder_port(f));
	if (!is_child)
		log_info("forwarding", "from=127.0.0.1:%u to=%s", forwarder_port(f),
			 LOG_QUOTE(forwarder_target(f)));
	opt_tell_ready(&o->common, line);
	return forwarder_run(f, signals, e);
}

int main(int argc, char **argv)
{
	struct options o = { .namespace_ = "kube-system",
			     .port = 4245,
			     .common = OPT_COMMON_DEFAULT };
	struct err e = { .code = ERR_OK };

	std_fds_hold();
	if (opt_read(&program, argc, (const char *const *)argv, &o, &e) != ERR_OK) {
		(void)fprintf(stderr, "tycho-port-forward: %s\n", e.msg);
		return 1;
	}
	if (opt_is_answered(&program, &o.common))
		return std_fds_end("tycho-port-forward");
	log_set_level(o.common.log_level);
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		(void)fprintf(stderr, "tycho-port-forward: no memory\n");
		return 1;
	}
	enum err_code code = serve(&o, &e);
	curl_global_cleanup();
	if (code == ERR_OK)
		return 0;
	if (o.common.ready_fd >= 0)
		opt_tell_failed(&o.common, e.msg);
	else
		(void)fprintf(stderr, "tycho-port-forward: %s\n", e.msg);
	return 1;
}
