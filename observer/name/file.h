/*
 * name_file - the endpoint table as a YAML file, reread when it changes.
 *
 *	endpoints:
 *	- ip: 10.0.1.5                 # or ips: [...], or cidr: 10.0.2.0/24
 *	  namespace: shop
 *	  pod: cart-0
 *	  labels: [k8s:app=cart, k8s:env=prod]      # or a mapping; a key without source gets k8s:
 *	  workload: Deployment/cart
 *	  identity: 4001               # optional
 *	  local: true                  # optional: lives on this node
 *	services:
 *	- ip: 10.96.0.10
 *	  port: 53
 *	  name: kube-dns
 *	  namespace: kube-system
 *
 * A file that does not parse, is gone or too large keeps what was there; the sentence names line
 * and column. Unknown keys and addresses given twice are errors. Noticed are: the file written and
 * closed, renamed over, removed; and the swapped links of a Kubernetes ConfigMap. Where the path is
 * a link, replacing the link is noticed, writing to what it points to is not.
 *
 * Threads  one at a time; not the capture thread (reading blocks).
 */
#ifndef TYCHO_OBSERVER_NAME_FILE_H
#define TYCHO_OBSERVER_NAME_FILE_H

#include "observer/name/name.h"

struct name_file;

/* Reads the file into provider slot @who of @t and watches it (inotify on its folder, so that a
 * rename over it is seen). */
MUST_CHECK enum err_code name_file_new(const char *path, unsigned who, struct name_table *t,
				       struct name_file **ret, struct err *e);
void name_file_free(struct name_file *f);
AUTO_DEFINE(struct name_file, name_file_free);
/* Readable when something happened to the file. */
int name_file_fd(const struct name_file *f);
/* Rereads if it changed. ERR_AGAIN: it did not. Other errors: the old content stays in force. */
MUST_CHECK enum err_code name_file_poll(struct name_file *f, struct err *e);

#endif
