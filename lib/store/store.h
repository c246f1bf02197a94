/*
 * store - flows that stay: one SQLite file per observer, sealed segments, a hash chain over them.
 *
 *	store_put ─► open block ─seal─► segment (columns, zstd) ─merge─► larger segment
 *	             (memory)           zone map, Merkle root            roots kept
 *	                                     │
 *	                                     └► chain: block │ gap │ start │ stop │ policy │ …
 *
 * Numbers  records keep their sequence numbers; blocks hold them in order. What is below
 *          store_sealed() can be read; what is between that and store_taken() soon will be.
 * Loss     a crash loses the open block: at most what came since the last seal (@seal_ns). What is
 *          missing is a *gap*, an entry of the chain like any other, never silence.
 * Failure  a write that fails (disk full, I/O error, read-only file system) loses the block, not
 *          the observer: it is counted, told once by ERR_… from the call, and owned up to by a gap
 *          as soon as writing works again. A damaged page or segment is a gap, too, and so is one
 *          that the disk cannot read while it reads others; a disk that reads nothing is a failure.
 * File     <dir>/flows.db (WAL), schema versions with migrations; a newer one than we know is
 *          refused (ERR_UNSUPPORTED or the nearest code). One writer: the folder's lock.
 * Threads  writing: one thread, the keeper's. Readers: any number, each with its own connection,
 *          one thread per reader; neither waits for the other. Merging and pruning: store_tend, on
 *          the writing thread, in portions.
 */
#ifndef TYCHO_STORE_STORE_H
#define TYCHO_STORE_STORE_H

#include "base/err.h"
#include "base/time.h"
#include "chain/chain.h"
#include "edge/edge.h"
#include "filter/filter.h"
#include "flow/dict.h"
#include "flow/flow.h"

struct store;

struct store_config {
	const char *dir;        /* exists; the file is made in it, 0600 */
	struct flow_dict *dict; /* of the records put; borrowed */
	const char *node;       /* "cluster/node" or "node" */
	const char *version;    /* of the program, for the chain's start entry */
	uint64_t seal_ns;       /* 0: 1 s */
	size_t seal_flows;     /* 0: 65,536; at most SEGMENT_MAX. With a ring: half of it or less */
	uint64_t retention_ns; /* 0: no limit */
	uint64_t retention_bytes;    /* of the file, its log of some MiB not counted; 0: no limit */
	uint64_t edges_retention_ns; /* service-map edges per minute; 0: 400 days */
};

/* Opens or makes the file; finds what a run before left (an end without a stop entry is a gap from
 * its last block to @now) and begins this run in the chain. */
MUST_CHECK enum err_code store_open(const struct store_config *config, struct wall_ns now,
				    uint64_t first_seq, struct store **ret, struct err *e);
/* Seals what is open and writes the stop entry, so that a checkpoint can cover that, too; close is
 * all that may follow. */
MUST_CHECK enum err_code store_stop(struct store *s, struct wall_ns now, struct err *e);
/* Stops, unless that is done. NULL is a no-op. */
void store_close(struct store *s, struct wall_ns now);

/* --- writing ------------------------------------------------------------------------------- */

/* Records in order of their numbers, of every kind, copied. Seals when the block is full. On a
 * failure the records of the failed block are gone and counted; go on. */
MUST_CHECK enum err_code store_put(struct store *s, const struct flow *flows, size_t n,
				   struct wall_ns now, struct err *e);
/* Seals the open block now, so that an entry, or a checkpoint, can follow. */
MUST_CHECK enum err_code store_seal(struct store *s, struct wall_ns now, struct err *e);
/* Seals what is older than seal_ns; once more per loop pass. */
MUST_CHECK enum err_code store_tick(struct store *s, struct wall_ns now, struct err *e);
/* One portion (some ten ms) of merging, pruning, giving space back. *@ret_more: call again at once.
 * On a failure, of which the first is told, the rest was done all the same, and nothing is lost: what
 * failed is tried again with the next call, and counted. */
MUST_CHECK enum err_code store_tend(struct store *s, struct wall_ns now, bool *ret_more,
				    struct err *e);

enum store_gap_cause {
	STORE_GAP_UNKNOWN,
	STORE_GAP_DOWN,    /* no observer ran */
	STORE_GAP_CRASHED, /* an observer ended without sealing: up to its last second */
	STORE_GAP_KERNEL,  /* a kernel ring, socket, or upstream lost events before we had them */
	STORE_GAP_RING,    /* the flow log overwrote what the store had not read yet */
	STORE_GAP_WRITE,   /* the store could not write */
	STORE_GAP_DAMAGED, /* what was written cannot be read any more */
	STORE_GAP_CLOCK,   /* the clock was set back by this much: times overlap */
	STORE_GAP_CAUSES_
};
const char *store_gap_cause_name(enum store_gap_cause cause); /* "observer-down", … */

struct store_gap {
	enum store_gap_cause cause;
	struct wall_ns from, to;      /* inclusive; may be a single instant */
	uint64_t lost;                /* records; 0: not known */
	uint64_t first_seq, last_seq; /* 0, 0: not known */
	struct str node;              /* whose; "" this one */
	struct str detail;            /* "No space left on device"; may be "" */
};
/* Enters the chain with the next block. Gaps of one cause that follow each other within a second,
 * or number after number, become one; so do, with the newest, more than can wait till then. */
void store_note_gap(struct store *s, const struct store_gap *gap);
/* A policy object as it is in force from now on (@json is its canonical text), or gone (json "").
 */
struct store_policy {
	struct str kind, namespace_, name, uid, resource_version, json;
	struct str origin;       /* who gave it: "files", "kubernetes", …; "" nobody said */
	struct wall_ns from, to; /* as known by reading; to 0: still in force */
};
MUST_CHECK enum err_code store_note_policy(struct store *s, const struct store_policy *policy,
					   struct wall_ns now, struct err *e);

/* --- what there is: any thread ------------------------------------------------------------- */

uint64_t store_sealed(const struct store *s); /* records below can be read, or are lost: a gap */
uint64_t store_taken(const struct store *s);  /* records below were put */

struct store_counts {
	uint64_t records, blocks, segments, file_bytes; /* held now */
	uint64_t put, lost;                             /* records since start */
	uint64_t seals, seal_errors, merges;
	uint64_t seal_ns_sum, seal_ns_max;
	uint64_t pruned_records, pruned_blocks;
	uint64_t tend_errors; /* calls of store_tend that failed */
	uint64_t gaps[STORE_GAP_CAUSES_];
	struct wall_ns oldest;  /* of the oldest record held; 0: none */
	bool is_writing;        /* the last write worked */
	struct chain_hash head; /* of the chain */
	uint64_t entries;       /* its length */
	/* begin of the oldest minute whose edges are not all written yet: those of flows that are
	 * read long after they happened, too; UINT64_MAX: all are */
	struct wall_ns edges_pending;
	/* flows that count on the map without the DNS name of whom they went to: there were too many
	 * different ones in a minute */
	uint64_t edges_nameless;
};
struct store_counts store_counts(struct store *s);
/* The next place of the file that could not be read and was not told yet, and why: "page 12 (byte
 * 45056) of flows.db: Input/output error". What lay there is damaged: a gap, or made anew. False:
 * there is none. Each place is told once, up to some tens. */
enum { STORE_PLACE_BYTES = 128 };
bool store_unreadable(struct store *s, char ret_place[STORE_PLACE_BYTES]);
/* What became of a file that could not be used any more, if that was not told yet: "kept as
 * flows.db.damaged-1700000000", or why it could not be. The writing thread. */
enum { STORE_ASIDE_BYTES = 160 };
bool store_was_set_aside(struct store *s, char ret_what[STORE_ASIDE_BYTES]);

/* --- reading ------------------------------------------------------------------------------- */

struct store_reader;
/* A connection of its own. Of a running store: @s given, its dictionary is used. Of a file: @dir
 * and a dictionary of the caller's, which grows by what is read. */
MUST_CHECK enum err_code store_reader_new(struct store *s, struct store_reader **ret,
					  struct err *e);
MUST_CHECK enum err_code store_reader_open(const char *dir, struct flow_dict *dict,
					   struct store_reader **ret, struct err *e);
/* From here on all that is asked is answered as of one moment, whatever is written meanwhile; the
 * file's log grows by that until the reader lets go or is freed: of a running store, not for long.
 */
MUST_CHECK enum err_code store_reader_hold(struct store_reader *r, struct err *e);
void store_reader_let_go(struct store_reader *r);
void store_reader_free(struct store_reader *r);
AUTO_DEFINE(struct store_reader, store_reader_free);

struct store_range {
	struct wall_ns since, until; /* inclusive; until UINT64_MAX: open */
	uint64_t from_seq, to_seq;   /* [from, to) */
};
/* Records of @range, in order of their numbers, or backward. Records without a time are in every
 * range of time. */
struct store_scan_config {
	struct store_range range;
	struct flow_filter *filter; /* borrowed for the scan's life; NULL: all */
	uint32_t kinds;             /* bit k: records of enum flow_kind k are wanted */
	uint32_t unfiltered;        /* bit k: of these, all, whatever the filter (lost events) */
	bool backward;
	/* Nothing else uses the reader's dictionary. Between two segments it is reset when it is more
	 * than half full, so names may be unbounded, and those of what was given out last until the
	 * next call. One segment's names for which it has no room end the scan: ERR_NOMEM. */
	bool forgets_names;
	/* Records whose names cannot be read, for the file is damaged there, come without them, and a
	 * filter takes them for nobody's. Else their whole segment is stepped over: what is to be
	 * proven is not proven in part. Either is a gap of store_gaps. */
	bool takes_nameless;
	/* Whether the rows that lead to the records lead there is looked at, too, for which all
	 * records are to be asked for, forward. ERR_INVALID: one does not. */
	bool checks_rows;
};
/* Many scans may be open on one reader. */
struct store_scan;
MUST_CHECK enum err_code store_scan_new(struct store_reader *r,
					const struct store_scan_config *config,
					struct store_scan **ret, struct err *e);
void store_scan_free(struct store_scan *sc);
AUTO_DEFINE(struct store_scan, store_scan_free);
/* Looks at one portion: at most about @work records. *@ret_flows (borrowed until the next call, ext
 * too) are what matched, all members loaded; backward: the newest first. @return false at the end.
 * A damaged segment is stepped over and is a gap of store_gaps. */
MUST_CHECK enum err_code store_scan_next(struct store_scan *sc, size_t work,
					 const struct flow **ret_flows, size_t *ret_count,
					 bool *ret_more, struct err *e);
/* Forward, numbers below are done; backward, this one and those above. */
uint64_t store_scan_at(const struct store_scan *sc);

/* How many records numbered in [from, to) there are: fewer than numbers where some were lost. */
MUST_CHECK enum err_code store_held(struct store_reader *r, uint64_t from, uint64_t to,
				    uint64_t *ret_held, struct err *e);

/* How many records of a range of time, inclusive, there are in segments that lie within it, or outside
 * but for records without a time. Of a segment across its edges, @partly is told the numbers [from,
 * to): to be scanned. */
MUST_CHECK enum err_code store_count(struct store_reader *r, struct wall_ns since,
				     struct wall_ns until, uint64_t *ret_records,
				     void (*partly)(void *ctx, uint64_t from, uint64_t to),
				     void *ctx, struct err *e);

/* What is covered: from when on, and the gaps that touch the range, by start. @each's strings are
 * borrowed for the call. */
MUST_CHECK enum err_code store_gaps(struct store_reader *r, struct wall_ns since,
				    struct wall_ns until,
				    void (*each)(void *ctx, const struct store_gap *gap), void *ctx,
				    struct err *e);
/* *@ret_oldest: from when on records are held, but for the gaps: since the first start, or since
 * the oldest record held once some were pruned. *@ret_newest: when the newest block was sealed. 0,
 * 0: there is none yet. */
MUST_CHECK enum err_code store_extent(struct store_reader *r, struct wall_ns *ret_oldest,
				      struct wall_ns *ret_newest, struct err *e);

/* The service map by the minute: who talked to whom. What a file of schema version 3 or older
 * counted knows neither cluster nor kind of a side: it has those of the only other party of its
 * namespace and name that came since, if there is just one; else neither. */
struct store_edge {
	struct wall_ns minute;
	struct str node;
	struct edge_side src, dst;
	struct str dst_dns; /* a name of an outside peer; may be "" */
	uint16_t dst_port;  /* the service's side; 0: none */
	uint8_t l4;         /* enum flow_l4 */
	uint8_t verdict;    /* flow.Verdict */
	uint32_t drop_desc; /* of drops */
	struct str policy;  /* that decided, first of them; may be "" */
	uint64_t flows, packets, bytes;
	uint64_t l7_ok, l7_errors;
};
/* In order of time, whole minutes: once @at_most edges were given, no other minute begins.
 * *@ret_next: the minute to go on with; UINT64_MAX when that was all. */
MUST_CHECK enum err_code store_edges(struct store_reader *r, struct wall_ns since,
				     struct wall_ns until, size_t at_most,
				     void (*each)(void *ctx, const struct store_edge *edge),
				     void *ctx, struct wall_ns *ret_next, struct err *e);
/* The first minute that has edges; 0: none has. */
MUST_CHECK enum err_code store_edges_oldest(struct store_reader *r, struct wall_ns *ret,
					    struct err *e);
MUST_CHECK enum err_code store_policies(struct store_reader *r, struct wall_ns since,
					struct wall_ns until,
					void (*each)(void *ctx, const struct store_policy *policy),
					void *ctx, struct err *e);

/* The chain, for evidence: entries in order from number @from on; false from @each ends it. */
struct store_entry {
	uint64_t number;
	struct chain_hash before, hash;
	struct str body; /* one line of JSON */
	bool is_block;
	/* of blocks: its records, if still held */
	uint64_t first_seq, count;
	bool is_held;
	struct chain_hash root;
};
MUST_CHECK enum err_code store_chain(struct store_reader *r, uint64_t from,
				     bool (*each)(void *ctx, const struct store_entry *entry),
				     void *ctx, struct err *e);
/* What is held now: the entries of the chain and the numbers of records from the first one to the
 * last. Retention takes from the beginnings; first = last + 1: there are none. */
struct store_bounds {
	uint64_t first_entry, last_entry;
	uint64_t first_seq, last_seq;
};
MUST_CHECK enum err_code store_bounds(struct store_reader *r, struct store_bounds *ret,
				      struct err *e);
/* The chain's own secret, for parts' secrets (chain.h). */
MUST_CHECK enum err_code store_secret(struct store_reader *r, struct chain_secret *ret,
				      struct err *e);

/* Checkpoints: signed by lib/evidence, kept here. */
struct store_checkpoint {
	uint64_t entry; /* the head's number when it was made */
	struct str text, signature, key;
};
MUST_CHECK enum err_code store_put_checkpoint(struct store *s, const struct store_checkpoint *c,
					      struct err *e);
MUST_CHECK enum err_code store_checkpoints(struct store_reader *r, uint64_t from_entry,
					   bool (*each)(void *ctx,
							const struct store_checkpoint *c),
					   void *ctx, struct err *e);
/* The newest of them; @each is not called where there is none. */
MUST_CHECK enum err_code store_last_checkpoint(struct store_reader *r,
					       void (*each)(void *ctx,
							    const struct store_checkpoint *c),
					       void *ctx, struct err *e);

#endif
