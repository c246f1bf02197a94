/*
 * edge - what a flow says of who talks to whom: the sides, the service's port, what was decided.
 *
 *	flow ──► source and destination of the *request* (an answer counts on the edge of the
 *	         request that it answers), the port that the service listens on, the policy that
 *	         decided, how the request went
 *
 * Threads  pure functions. Strings are borrowed from the flow or its dictionary.
 */
#ifndef TYCHO_EDGE_EDGE_H
#define TYCHO_EDGE_EDGE_H

#include "base/buf.h"
#include "flow/dict.h"
#include "flow/flow.h"

/* One end: the most telling name that its endpoint has. */
struct edge_side {
	struct str cluster, namespace_;
	struct str name; /* workload, else pod, else CIDR, else "world", "host", …, else a label */
	struct str kind; /* of a workload: "Deployment"; else "" */
};

/* @ep may be NULL: "unknown". */
struct edge_side edge_side_of(const struct endpoint *ep);

/* True if @f answers: its destination is who asked. What is no reply by its own word is judged by
 * the first packet's flags, or by a port that only clients have. */
bool edge_is_answer(const struct flow *f);
/* False where nobody talks to anybody: a packet without addresses (ARP) of no known endpoint. */
bool edge_has_ends(const struct flow *f);
/* The service's port; 0 where there are no ports, or where it has none of 16 bits. */
uint16_t edge_port(const struct flow *f);
/* A DNS name of the peer that is asked (@f's destination, or source of an answer), where it has no
 * better one: "" for pods and workloads, whatever they are asked by, and for what no name is known
 * of. */
struct str edge_dns_name(const struct flow *f, const struct flow_dict *dict);
/* Appends "namespace/name" of the policy that decided: who denied before who allowed, at most
 * EDGE_POLICY_BYTES, which are more than edge_text_put leaves. Nothing if none is known. */
void edge_policy_put(struct buf *b, const struct flow *f);

enum { EDGE_TEXT_BYTES = 512, EDGE_POLICY_BYTES = 2 * EDGE_TEXT_BYTES + 3 };
/* Appends a name as keys have it: its length in two bytes, then the name. What is longer than
 * EDGE_TEXT_BYTES is cut at a character and ends in "…": names that begin alike are one. */
void edge_text_put(struct buf *b, struct str s);

/* How a request went, of flows that carry its answer (L7). */
enum edge_l7 { EDGE_L7_NONE, EDGE_L7_OK, EDGE_L7_ERROR };
enum edge_l7 edge_l7_of(const struct flow *f);

#endif
