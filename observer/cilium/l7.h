/*
 * l7 - the agent's L7 records as flows.
 *
 *	gob ──► access_log ──► members, names ──► flow, ext: names, l7, trace_context, Summary
 *
 * Rules    reference/cilium-events.md 6.5 and 6.6. Latency and trace context of a response come
 *          from its request, found by X-Request-Id among the last L7_REQUESTS.
 * Limits   none of its own: lists and texts are as long as the message has them, and as @ext
 *          takes. One that does not fit, or finds no memory, leaves @ext failed.
 * Threads  the capture thread. Work and memory per record are bounded by its message and @ext; new
 *          names are interned.
 */
#ifndef TYCHO_OBSERVER_CILIUM_L7_H
#define TYCHO_OBSERVER_CILIUM_L7_H

#include "base/buf.h"
#include "observer/cilium/redact.h"
#include "observer/name/name.h"

enum { L7_REQUESTS = 10000 };

struct l7_config {
	struct flow_dict *dict;
	struct name_table *names;
	struct redact redact;
	bool learn_dns; /* answers teach the name table what endpoints here were told */
};

struct l7;

MUST_CHECK enum err_code l7_new(const struct l7_config *config, struct l7 **ret, struct err *e);
void l7_free(struct l7 *l);
AUTO_DEFINE(struct l7, l7_free);

/* Reads a gob stream of one record. True: *@f (with its time, and otherwise zero) and @ext are
 * filled. False: it is none. */
bool l7_record(struct l7 *l, struct str stream, struct flow *f, struct buf *ext);

#endif
