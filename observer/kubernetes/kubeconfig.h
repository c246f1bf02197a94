/*
 * kube_config - how to reach an API server: from a kubeconfig file, or from what Kubernetes puts
 * into a pod.
 *
 * Read     clusters, users, contexts, current-context: server, certificate-authority(-data),
 *          insecure-skip-tls-verify; client-certificate(-data), client-key(-data), token,
 *          tokenFile. Names of files are relative to the kubeconfig's folder.
 * Refused  with a sentence, each: exec plug-ins and auth-provider (no foreign program is started),
 *          username and password, impersonation, proxy-url, tls-server-name. Other keys, as
 *          extensions, are not looked at.
 * Pod      KUBERNETES_SERVICE_HOST and _PORT, token and CA of the service account.
 * Threads  none of its own. Texts are owned.
 */
#ifndef TYCHO_OBSERVER_KUBERNETES_KUBECONFIG_H
#define TYCHO_OBSERVER_KUBERNETES_KUBECONFIG_H

#include "base/err.h"
#include "base/str.h"

enum { KUBE_CONFIG_MAX = 4 << 20 };

struct kube_config {
	char *server; /* "https://host:port", without a slash at the end */
	/* PEM texts win over files; NULL: none */
	char *ca_file, *ca_pem;
	char *cert_file, *cert_pem;
	char *key_file, *key_pem;
	char *token, *token_file; /* the file is read again for each request */
	char *context;            /* name of it; NULL: in a pod */
	bool insecure;
};

/* @text of a kubeconfig in folder @folder; @context NULL: the current one. ERR_PARSE, ERR_INVALID,
 * ERR_UNSUPPORTED (refused), ERR_NOT_FOUND (no such context, cluster, user), ERR_NOMEM. */
MUST_CHECK enum err_code kube_config_parse(struct str text, const char *folder, const char *context,
					   struct kube_config **ret, struct err *e);
/* The file @path, or, NULL, what is in this pod. */
MUST_CHECK enum err_code kube_config_read(const char *path, const char *context,
					  struct kube_config **ret, struct err *e);
void kube_config_free(struct kube_config *c);
AUTO_DEFINE(struct kube_config, kube_config_free);

#endif
