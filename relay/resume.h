/*
 * resume - how far a peer's stream has come, so that it goes on where it broke.
 *
 *	call:  f1 f2 f3 ✗        f3 again, to be skipped
 *	next:           ──► since f3's time: f3 f4 f5 …
 *
 * A peer is asked again for what is not older than the newest flow that came: others of just that
 * time may not have come. So those that did come once more, and are skipped by their count. A peer
 * keeps the order of flows of one time.
 *
 * Zeros to begin with; owns nothing.
 * Threads  one.
 */
#ifndef TYCHO_RELAY_RESUME_H
#define TYCHO_RELAY_RESUME_H

#include "base/str.h"
#include "base/time.h"
#include "rpc/rpc.h"

struct buf;
struct request;

/* The pause before a peer is asked again, which doubles when it fails before it has said anything.
 */
#define RESUME_PAUSE_NS (500 * NS_PER_MS)
#define RESUME_PAUSE_MAX_NS (30 * NS_PER_S)

struct resume {
	uint64_t received; /* flows, each once */
	bool has_spoken;   /* one with a time has come, ever */
	bool has_moved;    /* a flow that was new has come in this call */
	/* The newest time that came; until one has, when we first asked; 0: we have not. */
	struct wall_ns last;
	uint64_t at_last; /* flows of just that time, */
	uint64_t to_skip; /* and those of them that the call is to begin with */
	uint64_t pause_ns;
	struct mono_ns retry_at;
};

/* What to ask for: @original, of which @request was read, for as long as nothing is to be left out
 * of the answer; else what is missing, written to @b, which may fail. Of a client that wanted only
 * what happens from now on, and that nothing has come for, what has happened since it asked. */
struct str resume_request(struct resume *r, struct str original, const struct request *request,
			  struct buf *b);
/* A call with that request has begun; the client asked at @started. */
void resume_begun(struct resume *r, struct wall_ns started);
/* The peer did not know the call: it is asked by another, and if it was never asked before, for what
 * happens from then on by its own clock, not by ours. */
void resume_not_begun(struct resume *r);
/* Counts a flow that came; @time 0: it has none. @return false when it came before. */
bool resume_take(struct resume *r, struct wall_ns time);
/* The call failed: not again before @r->retry_at. */
void resume_failed(struct resume *r, struct mono_ns now);

/* A server cuts off who does not read for a while; we do not while all the other nodes have older
 * flows, or while our own client does not. Then we go on from there. */
bool resume_was_cut_off(const struct resume *r, const struct request *request,
			enum rpc_status status);
/* What the peer has against the request it will have against it the next time. */
bool resume_is_refused(const struct resume *r, enum rpc_status status);

#endif
