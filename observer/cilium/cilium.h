/*
 * cilium - what Cilium's datapath and agent say, read as its own parser reads it.
 *
 *	sample ──► layout ──► members ──► named (said identities) ──► direction ──► flow + ext
 *	              └─► packet (observer/decode) ─► tunnel
 *	agent's record ──► gob ──► L7 flow, or AgentEvent
 *
 * Rules    reference/cilium-events.md, of Cilium 1.19; recorded events of the reference parser
 *          (golden/events) hold them.
 * Owner    what is given is borrowed; what comes out borrows nothing but dictionary ids. The caller
 *          adds time, uuid and number.
 * Threads  the capture thread. Datapath events: no allocation, lock or system call but for names
 *          that are seen for the first time. Agent's records (L7, notifications) come in hundreds a
 *          second, not in hundreds of thousands; they may allocate within bounds.
 * Loss     an event that does not decode is refused, and counted by the caller; it yields nothing.
 *          Nothing of an event is left out but where @ext cannot hold it: then it is failed.
 */
#ifndef TYCHO_OBSERVER_CILIUM_H
#define TYCHO_OBSERVER_CILIUM_H

#include "base/buf.h"
#include "base/err.h"
#include "observer/cilium/layout.h"
#include "observer/cilium/redact.h"
#include "observer/name/name.h"

struct cilium_config {
	struct flow_dict *dict;
	struct name_table *names;
	/* Name of an interface of the node, terminated; false if unknown. May be NULL. */
	bool (*link_name)(void *ctx, uint32_t ifindex, struct mono_ns now,
			  char ret[FLOW_IFNAME_BYTES]);
	void *link_ctx;
	enum cilium_release release;
	bool keep_unknown_cgroups; /* socket traces of cgroups that belong to no known pod */
	struct redact redact;
	bool learn_dns; /* answers seen in L7 records teach the name table */
};

struct cilium;

MUST_CHECK enum err_code cilium_new(const struct cilium_config *config, struct cilium **ret,
				    struct err *e);
void cilium_free(struct cilium *c);
AUTO_DEFINE(struct cilium, cilium_free);

enum cilium_outcome {
	CILIUM_TAKEN,   /* *f and ext say what it was: a flow, or a message of f->kind */
	CILIUM_SKIPPED, /* on purpose: a socket trace of nobody we know */
	CILIUM_REFUSED, /* undecodable */
};

/* For the wire bytes of one event. An agent's record has at most 256 KiB (monitor.h) of text; thrice
 * that, if each byte is to be replaced, still fits. */
enum { CILIUM_EXT_BYTES = 1 << 20 };
/* Empty, of CILIUM_EXT_BYTES; memory is used as far as it is written. Borrowed until the next call. */
struct buf *cilium_ext(struct cilium *c);

struct cilium_sample {
	struct str bytes;
	int32_t cpu; /* -1 unknown */
	struct mono_ns now;
	bool monitor; /* from the monitor socket: may be an agent's record */
};

/* Reads @in. On CILIUM_TAKEN *@f is complete but for seq and uuid (its time, given with
 * FLOW_HAS_TIME, stays), and @ext, given empty, holds its wire bytes, or is failed where they do not
 * fit; @f->ext is not set. Otherwise both are unspecified. */
enum cilium_outcome cilium_event(struct cilium *c, const struct cilium_sample *in, struct flow *f,
				 struct buf *ext);

#endif
