/*
 * resume - what has come from a server that speaks for many nodes, known well enough to go on after
 * a break with neither hole nor duplicate.
 *
 *	node n:  ── 10:00:01 ── 10:00:04 ── 10:00:07 ╳ break
 *	         since = 10:00:02 ├─ seen ──── seen ──┤ new, new …       no hole: the seam was seen
 *	                          ├───────────────────── new …           nothing seen: a gap, told
 *
 * The server is asked again from OVERLAP before the newest time of the node that is furthest
 * behind. What comes is recognised by its id (uuid, or all its bytes) and time. The ring of a
 * server is one piece: if it still holds something of a node that we have, then nothing lies
 * between that and the first new flow. If it does not, nobody knows what was there: a gap.
 *
 * Order    of a node's flows may be off by less than OVERLAP. A newest time that falls back further
 *          is a clock that was set back, and is followed.
 * Shape    the newest @remembered ids are remembered, of all nodes together; what is older than a
 *          node's forgotten ones counts as seen after a break. At most RESUME_NODES_MAX nodes are
 *          told apart; the others share one entry, and their gaps.
 * Quiet    a node that was silent RESUME_QUIET longer than the others does not hold the start back:
 *          the others' flows would all come again. When it speaks, its gap is told; it may be
 *          empty.
 * Threads  one.
 */
#ifndef TYCHO_OBSERVER_RESUME_H
#define TYCHO_OBSERVER_RESUME_H

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

#define RESUME_OVERLAP_NS (5 * NS_PER_S)
#define RESUME_QUIET_NS (3600 * NS_PER_S)
enum { RESUME_NODES_MAX = 10000, RESUME_NAME_BYTES = 512 };

struct resume;

/* @remembered: how many ids, a power of two. @seed: any random number. */
MUST_CHECK enum err_code resume_new(size_t remembered, uint64_t seed, struct resume **ret,
				    struct err *e);
void resume_free(struct resume *r);
AUTO_DEFINE(struct resume, resume_free);

/* Of @node nobody knows what was between @from and @to. */
struct resume_gap {
	struct str node; /* borrowed until the next call */
	struct wall_ns from, to;
};

/* One item of @node has come: @id tells it from the node's others of that @time. True: it is new;
 * so is everything without a time (0), which no server can be asked again for. *@ret_has_gap:
 * *@ret_gap lies before it. Without memory to note a new node it counts as one of the others. */
bool resume_take(struct resume *r, struct str node, struct str id, struct wall_ns time,
		 bool *ret_has_gap, struct resume_gap *ret_gap);
/* The stream broke: of all nodes, or of one that the server says it lost. The latter may be told
 * late: what the node has sent again since @not_before (a count of resume_takes) excuses it. */
void resume_break(struct resume *r);
void resume_break_node(struct resume *r, struct str node, uint64_t not_before);
/* How often resume_take was called. */
uint64_t resume_taken(const struct resume *r);
/* Where to go on; never later than OVERLAP before @now, whatever clocks the nodes have. False:
 * nothing has come with a time. */
bool resume_since(const struct resume *r, struct wall_ns now, struct wall_ns *ret);
/* After a break, when the server can hold nothing of what came before (it was started anew) and is
 * idle: the gap up to @now of one node that has said nothing yet. False: none is left. */
bool resume_next_gap(struct resume *r, struct wall_ns now, struct resume_gap *ret);
size_t resume_nodes(const struct resume *r);

#endif
