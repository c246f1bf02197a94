/*
 * where - what Hubble's filters ask for, as a condition on columns of tycho_flows.
 *
 *	whitelist [ { verdict: DROPPED, source_pod: "shop/" }, { … } ]
 *	     └──► (verdict IN ('DROPPED') AND (source_namespace = 'shop')) OR (…)
 *
 * The condition lets through every row whose flow the filters take, and often others: what columns
 * cannot tell (labels, CEL, regular expressions, patterns, what is odd in a text) is not asked of
 * them, nor are blacklists. Who reads the rows filters them (lib/filter).
 */
#ifndef TYCHO_RELAY_WHERE_H
#define TYCHO_RELAY_WHERE_H

#include <stddef.h>

struct buf;
struct Flow__FlowFilter; /* protobuf-c: Flow__FlowFilter */

enum { WHERE_MAX_BYTES = 64 << 10 };

/* Appends at most WHERE_MAX_BYTES. @whitelist is one that flow_filter_new took. "1" is the condition
 * that lets all through: also where saying more would take more room. */
void where_put(struct buf *b, struct Flow__FlowFilter *const *whitelist, size_t count);

#endif
