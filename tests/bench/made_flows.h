/*
 * made_flows - flows as an observer on a busy node would record them, without the node.
 *
 * A node with 120 pods in a cluster of 400 services and 3,000 pods, and the world outside. Who
 * calls whom follows a long tail. Each connection is what compose makes of the reports of our BPF
 * programs, as the lab records them: SYN, SYN ACK, FIN both ways, the last ACK, each seen at two
 * interfaces a few microseconds apart; long ones report every five seconds; lookups are four
 * packets with what they say beside each; one record in a thousand is a drop, with the verdict of
 * its policy. 1,000 records a second on average, in bursts.
 *
 * The same seed gives the same flows.
 */
#ifndef TYCHO_BENCH_MADE_FLOWS_H
#define TYCHO_BENCH_MADE_FLOWS_H

#include "base/err.h"
#include "flow/dict.h"
#include "flow/flow.h"

struct made_flows;

/* Names are put into @dict (borrowed; room for 8,000 endpoints). The first record has number
 * @first_seq and is of @start. */
MUST_CHECK enum err_code made_flows_new(struct flow_dict *dict, uint64_t seed, uint64_t first_seq,
					struct wall_ns start, struct made_flows **ret,
					struct err *e);
void made_flows_free(struct made_flows *m);
AUTO_DEFINE(struct made_flows, made_flows_free);
/* The next @n, ext valid until the next call. */
void made_flows_next(struct made_flows *m, struct flow *out, size_t n);

#endif
