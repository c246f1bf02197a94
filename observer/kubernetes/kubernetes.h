/*
 * kubernetes - an API server as a provider of names and policies: who has which address, which
 * policies are in force, kept fresh.
 *
 *	API server ──► kube_follow, one a kind ──► kube_world ──► name_update(@who)
 *	                                            files ──►├──► policy_publish
 *	                                                     └──► keep_take_policies
 *
 * First    names are published once every kind has been listed, is not there, or was refused once.
 *          Policies go into the store only when all kinds of them are known: what is not named is
 *          taken for gone there.
 * Files    policies of files are in force beside those of the API server, from the start on; of two
 *          with one name that of the API server is.
 * Fresh    what an event says is published within KUBE_PUBLISH_MS; in a cluster where much happens
 *          at most a fifth of the time is spent on it.
 * Away     a server that does not answer is asked again, less and less often up to 30 s; what it
 *          last said stays in force.
 * Threads  its own (tycho-kube). counts, collect, files_changed: any thread.
 */
#ifndef TYCHO_OBSERVER_KUBERNETES_KUBERNETES_H
#define TYCHO_OBSERVER_KUBERNETES_KUBERNETES_H

#include "observer/keep/keep.h"
#include "observer/kubernetes/world.h"
#include "observer/policy/file.h"

enum { KUBE_PUBLISH_MS = 20 };

struct kubernetes;
struct metrics_page;

struct kubernetes_config {
	const char *kubeconfig; /* NULL: what is in this pod */
	const char *context;    /* NULL: the current one */
	const char *cluster, *node;
	unsigned who; /* provider slot of @names */
	struct name_table *names;
	struct policy_table *policies; /* NULL: none are published */
	const struct policy_config *meaning;
	struct policy_file *files; /* shared; NULL: none */
	struct keep *keep;         /* NULL: none are kept */
	struct local_pods *local;  /* is told of this node's pods; may be NULL */
};

/* Reads the credentials and starts the thread; a server that does not answer is no failure. Borrows
 * for the life of it, texts only for the call. Errors of kube_config_read; ERR_NOMEM. */
MUST_CHECK enum err_code kubernetes_new(const struct kubernetes_config *config,
					struct kubernetes **ret, struct err *e);
void kubernetes_free(struct kubernetes *k);
AUTO_DEFINE(struct kubernetes, kubernetes_free);

/* The files say something else now: they are asked again. */
void kubernetes_files_changed(struct kubernetes *k);

struct kubernetes_counts {
	uint64_t lists, watches, events, failures, gone, publishes;
	uint64_t objects[KUBE_KINDS];
	uint64_t left_out; /* objects */
	uint64_t policies_refused;
	uint64_t policies_partly; /* in force, with fields that are not known here */
	uint64_t kinds_stale;     /* of which the last request failed */
	struct mono_ns fresh_at;  /* of the last publication; 0: there is none yet */
};
struct kubernetes_counts kubernetes_counts(const struct kubernetes *k);
/* The same as metrics: tycho_kubernetes_… . @ctx is the kubernetes. */
void kubernetes_collect(void *ctx, struct metrics_page *page);

#endif
