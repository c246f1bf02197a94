/*
 * kube_exec - the program that a kubeconfig names for getting credentials (aws, gke-gcloud-auth-plugin,
 * kubelogin, …): it prints a token or a certificate.
 *
 * Source   Kubernetes' documentation, "client-go credential plugins"; ExecCredential of
 *          client.authentication.k8s.io/v1 and v1beta1.
 * Told     KUBERNETES_EXEC_INFO: whether somebody can be asked, and, with provideClusterInfo, which
 *          cluster it is. Its stderr is ours; so is its stdin where a terminal is there.
 * Kept     what it said, until it ends or is asked for anew.
 * Threads  none of its own.
 */
#ifndef TYCHO_KUBE_EXEC_H
#define TYCHO_KUBE_EXEC_H

#include <jansson.h>

#include "base/err.h"
#include "base/own.h"
#include "base/time.h"

enum { KUBE_EXEC_ANSWER_MAX = 1 << 20 };

struct kube_config;
struct kube_exec;

/* A part of a kubeconfig, and the folder at which names of files in it begin. */
struct kube_piece {
	const json_t *json;
	const char *folder;
};
/* @exec of a user, for @cluster. ERR_INVALID, ERR_UNSUPPORTED (a version), ERR_NOMEM, and those of
 * reading the CA's file. */
MUST_CHECK enum err_code kube_exec_read(struct kube_piece exec, struct kube_piece cluster,
					struct kube_exec **ret, struct err *e);
void kube_exec_free(struct kube_exec *x);
AUTO_DEFINE(struct kube_exec, kube_exec_free);

/* Puts credentials that hold at @now into @config; without a program, or while what it said still
 * holds, there is nothing to do. Waits for the program, as long as it takes: somebody may be typing
 * a password. ERR_NOT_FOUND (no such program, with what the file says on installing it),
 * ERR_UNAVAILABLE (it failed), ERR_PARSE (its answer is none). */
MUST_CHECK enum err_code kube_exec_sign_in(struct kube_config *config, struct wall_ns now,
					   struct err *e);
/* Overwrites the texts of @v, which is about to go: keys and tokens may be among them. */
void kube_wipe_texts(json_t *v);
/* The server did not believe what the program said: it is asked again at the next sign-in. */
void kube_exec_forget(struct kube_config *config);

#endif
