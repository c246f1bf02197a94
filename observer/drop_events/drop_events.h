/*
 * drop_events - drops of this node's pods, told as events of Kubernetes to who owns the pods.
 *
 *	flow log ──► dropped, for a reason that is wanted, at a pod of this node ──► drop_message
 *	                                                    drop_post ◄── drop_limiter ◄──┘
 *
 * Whose    drop_whose says. Which pods are this node's, and their uids, the API server says
 *          (local_pods): nothing is told of others.
 * Threads  one of its own (tycho-drops): its cursor on the log goes on while a request is under
 *          way. counts, collect: any thread.
 * Loss     every drop that is asked about has one outcome, and is counted under it. What the log
 *          overwrote before it was read is counted, too. What waits at the end is not told.
 */
#ifndef TYCHO_OBSERVER_DROP_EVENTS_H
#define TYCHO_OBSERVER_DROP_EVENTS_H

#include "observer/drop_events/wanted.h"
#include "kube/kubeconfig.h"
#include "observer/log/log.h"

struct drop_events;
struct local_pods;
struct metrics_page;

struct drop_events_config {
	struct flow_log *log; /* all borrowed, must outlive it */
	const struct flow_dict *dict;
	struct local_pods *pods;
	struct drop_wanted wanted;
	const char *kubeconfig, *context; /* as kube_config_read has them */
	const char *node;                 /* its name in Kubernetes */
	bool kernel_drops;                /* are seen */
};

/* Reads the credentials and starts the thread; a server that does not answer is no failure. Errors
 * of kube_config_read; ERR_NOMEM. */
MUST_CHECK enum err_code drop_events_new(const struct drop_events_config *config,
					 struct drop_events **ret, struct err *e);
void drop_events_free(struct drop_events *d);
AUTO_DEFINE(struct drop_events, drop_events_free);

enum drop_outcome {
	DROP_OUT_TOLD,      /* by an event of its own, or one more in the count of one */
	DROP_OUT_REPEATED,  /* within the interval: in the count the next time */
	DROP_OUT_RATE,      /* beyond the rate */
	DROP_OUT_QUEUE,     /* too many wait */
	DROP_OUT_FAILED,    /* the API server refused */
	DROP_OUT_ELSEWHERE, /* no pod of this node */
	DROP_OUT_COUNT_
};
struct drop_events_counts {
	uint64_t outcomes[DROP_OUT_COUNT_];
	uint64_t waiting; /* of drops that have no outcome yet */
	uint64_t missed;  /* overtaken by the log, in records */
	uint64_t lag;     /* records in the log that are not read yet */
};
struct drop_events_counts drop_events_counts(const struct drop_events *d);
/* Of these the last two, for telling_reader. @ctx is the drop_events. */
void drop_events_reader(const void *ctx, uint64_t *ret_lost, uint64_t *ret_lag);
/* The others as metrics: tycho_drop_events_… . @ctx is the drop_events. */
void drop_events_collect(void *ctx, struct metrics_page *page);

#endif
