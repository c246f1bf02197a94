/*
 * gone - which pods are not there any more, a while after they went.
 *
 *	name table: {a, b, c} ──► {a, c} ──── a minute ────► b is gone: its series may go
 *
 * A pod that comes back within the minute was never gone. Pods that no provider of names ever knew
 * (other nodes', of replayed flows) are not followed.
 *
 * Threads  one at a time. "Now" is a parameter.
 */
#ifndef TYCHO_OBSERVER_METRICS_GONE_H
#define TYCHO_OBSERVER_METRICS_GONE_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct flow_dict;
struct name_table;
struct gone;

enum { GONE_AFTER_S = 60, GONE_LOOK_EVERY_S = 10 };

/* Both borrowed. */
MUST_CHECK enum err_code gone_new(struct name_table *names, const struct flow_dict *dict,
				  struct gone **ret, struct err *e);
void gone_free(struct gone *g);
AUTO_DEFINE(struct gone, gone_free);

/* Looks whether names have changed, and calls @forget for each pod whose minute is over. Cheap when
 * nothing has happened; else all pods that are known are put in order (60 ms for 50,000), so that
 * GONE_LOOK_EVERY_S is often enough. */
void gone_look(struct gone *g, struct mono_ns now,
	       void (*forget)(void *ctx, struct str namespace_, struct str pod), void *ctx);

#endif
