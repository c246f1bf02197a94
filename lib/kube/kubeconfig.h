/*
 * kube_config - how to reach an API server: from a kubeconfig file, from a person's kubeconfig files,
 * or from what Kubernetes puts into a pod.
 *
 * Read     clusters, users, contexts, current-context: server, certificate-authority(-data),
 *          insecure-skip-tls-verify, tls-server-name, proxy-url; client-certificate(-data),
 *          client-key(-data), token, tokenFile. Names of files are relative to the kubeconfig's
 *          folder. A person's may have exec plug-ins, too (kube/exec.h).
 * Refused  with a sentence, each: in what a daemon reads, exec plug-ins (it starts no foreign
 *          program); auth-provider, username and password, impersonation. Other keys, as
 *          extensions, are not looked at.
 * Several  files of a person's are one: of clusters, users and contexts of one name, and of what is
 *          current, the first one counts (k8s.io/client-go, tools/clientcmd/loader.go).
 * Pod      KUBERNETES_SERVICE_HOST and _PORT, token and CA of the service account.
 * Threads  none of its own. Texts are owned.
 */
#ifndef TYCHO_KUBE_KUBECONFIG_H
#define TYCHO_KUBE_KUBECONFIG_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

enum { KUBE_CONFIG_MAX = 4 << 20, KUBE_CONFIG_FILES = 32 };

struct curl_slist;
struct kube_exec;

struct kube_config {
	char *server; /* "https://host:port", or with a path; without a slash at the end */
	/* curl's CONNECT_TO: @server has the name that is in the certificate (tls-server-name), and
	 * this says where that is; NULL: there */
	struct curl_slist *connect_to;
	char *proxy;                 /* URL; NULL: none */
	bool proxy_from_environment; /* where @proxy is NULL: https_proxy and the like count */
	/* PEM texts win over files; NULL: none */
	char *ca_file, *ca_pem;
	char *cert_file, *cert_pem;
	char *key_file, *key_pem;
	char *token, *token_file; /* the file is read again for each request */
	struct kube_exec *exec;   /* who is asked for a token or certificate; NULL: nobody */
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
/* A person's: the file @path, or, NULL, the files of $KUBECONFIG (those that are there), or
 * ~/.kube/config, or, where none is there, what is in this pod. */
MUST_CHECK enum err_code kube_config_find(const char *path, const char *context,
					  struct kube_config **ret, struct err *e);
void kube_config_free(struct kube_config *c);
AUTO_DEFINE(struct kube_config, kube_config_free);

#endif
