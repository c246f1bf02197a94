/*
 * kube_thing - one object of Kubernetes, read and made small.
 *
 * Shape    one block of memory each: the struct, its lists, its texts. Labels of pods are shared
 *          (label_sets); which of the lists are filled, its kind says.
 * Source   what Cilium makes of these objects: pkg/k8s (pod.go, workload.go), pkg/labelsfilter.
 */
#ifndef TYCHO_OBSERVER_KUBERNETES_THING_H
#define TYCHO_OBSERVER_KUBERNETES_THING_H

#include "base/buf.h"
#include "observer/kubernetes/world.h"

struct kube_labels {
	uint64_t hash;
	struct kube_labels *next;
	size_t refs, count, bytes; /* bytes: of the texts, with a NUL each */
	/* while a view is made: these and what the namespace adds */
	size_t from, shown;
	uint64_t view;
	struct str list[];
};

enum kube_flags {
	KUBE_LEAVING = 1 << 0,    /* deletionTimestamp */
	KUBE_LOCAL = 1 << 1,      /* on this node; the node itself */
	KUBE_API_SERVER = 1 << 2, /* endpoints of default/kubernetes */
};

struct kube_thing {
	struct kube_thing *next; /* in its bucket */
	uint64_t hash, content;
	uint64_t generation;
	struct kube_labels *labels; /* pods; NULL: none */
	struct str namespace_, name, workload_kind, workload;
	struct str created; /* RFC 3339, UTC: sorts by time */
	struct str json;    /* for the evaluator and the store; "" if neither wants it */
	uint8_t (*ips)[16];
	uint16_t *ports, *node_ports;
	struct str *own_labels; /* namespaces, identities */
	uint32_t ip_count, port_count, node_port_count, own_label_count;
	uint32_t identity;
	uint32_t flags; /* enum kube_flags */
};

/* What objects are read into. Embedded; the bufs are made by who embeds it. */
struct kube_reading {
	const char *cluster, *node;
	uint64_t seed; /* of kube_thing's content */
	struct buf text, label_text;
	struct buf ips, ports, node_ports; /* uint8_t[16], uint16_t each */
};
void kube_reading_done(struct kube_reading *r);

/* NULL: it cannot be read, or there is no memory. @ret_labels: the text of a pod's labels, each
 * ended by NUL, borrowed until the next call. */
struct kube_thing *kube_thing_read(struct kube_reading *r, enum kube_kind kind, json_t *object,
				   struct str *ret_labels);
/* Member @key of metadata; "" if there is none. */
struct str kube_metadata(const json_t *object, const char *key);

#endif
