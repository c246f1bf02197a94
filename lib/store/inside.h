/*
 * inside - what the store's files share, and nobody else.
 *
 *	store.c       life; put, seal, tick: one transaction per block
 *	schema.c      tables, versions                 dict_rows.c   names ◄─► numbers of the file
 *	chain_rows.c  entries of the chain             gaps.c        gaps, policies, checkpoints
 *	edges.c       the service map by the minute    merge.c       small segments into large ones
 *	retention.c   age and size; space back         sync.c        the write-ahead log's thread
 *	reader.c      connections that read            scan.c        records, filtered
 *
 * Numbers  "stored" ids (uint32_t) are rows of the file's dictionary tables; typed ids
 *          (endpoint_id, …) are the process's.
 */
#ifndef TYCHO_STORE_INSIDE_H
#define TYCHO_STORE_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "store/db.h"
#include "store/segment.h"
#include "store/store.h"
#include "filter/zone.h"

enum {
	STORE_SEGMENT_BYTES = 256 << 20, /* no segment is larger: bounds what a reader holds */
	STORE_BODY_BYTES = 1 << 16,      /* of an entry of the chain */
	STORE_ZONE_BYTES = 1 << 20,
	STORE_PATH_BYTES = 1024,
	STORE_MERGED_FLOWS = 65536, /* a segment of so many is large */
	STORE_MERGED_SPAN_S = 3600, /* or one of such a time */
	STORE_LEVEL_DONE = 9,       /* segment.level: no more merging */
};

/* Integers of SQLite have 63 bits. */
static inline int64_t store_i64(uint64_t v)
{
	return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

/* --- schema.c ------------------------------------------------------------------------------ */

/* Makes or migrates the tables. ERR_UNSUPPORTED: a newer file, or none of ours. */
MUST_CHECK enum err_code schema_prepare(struct db *db, const char *path, struct err *e);
/* Only looks: for readers. */
MUST_CHECK enum err_code schema_check(struct db *db, const char *path, struct err *e);

/* --- dict_rows.c --------------------------------------------------------------------------- */

enum dict_kind { DICT_ENDPOINT, DICT_SERVICE, DICT_NODE, DICT_REASON, DICT_KINDS_ };

/* Ids of the process to those of the file, for writing; rows are made as names are first met. */
struct dict_slot {
	uint32_t stored; /* 0: not known yet */
	uint32_t day;    /* when its row was last said to be in use */
};
struct dict_rows {
	const struct flow_dict *dict;
	struct {
		struct dict_slot *slots;
		size_t count;
	} kinds[DICT_KINDS_];
	uint32_t day; /* only grows */
	struct {      /* since dict_rows_begin: forgotten if the transaction fails */
		uint8_t kind;
		uint32_t id;
	} *fresh;
	size_t fresh_count, fresh_max;
};
void dict_rows_init(struct dict_rows *d, const struct flow_dict *dict);
void dict_rows_done(struct dict_rows *d);
/* The newest day in the file: reads it. */
MUST_CHECK enum err_code dict_rows_open(struct dict_rows *d, struct db *db, struct err *e);
void dict_rows_begin(struct dict_rows *d, struct wall_ns now);
void dict_rows_forget(struct dict_rows *d); /* what came since begin */
void dict_rows_reset(struct dict_rows *d);
/* Translates the ids of @flows in place. */
MUST_CHECK enum err_code dict_rows_store(struct dict_rows *d, struct db *db, struct flow *flows,
					 size_t n, struct err *e);
/* Deletes rows that no segment since @day can mean; at most some thousand. */
MUST_CHECK enum err_code dict_rows_prune(struct db *db, uint32_t day, struct err *e);
static inline uint32_t day_of(struct wall_ns t)
{
	return (uint32_t)(t.v / (86400 * NS_PER_S));
}

/* Ids of the file to those of a dictionary, for reading; rows are read as ids are first met. */
struct dict_back;
MUST_CHECK enum err_code dict_back_new(struct flow_dict *dict, struct dict_back **ret,
				       struct err *e);
void dict_back_free(struct dict_back *d);
/* 0: there is no such row, or the dictionary is full. */
uint32_t dict_back_id(struct dict_back *d, struct db *db, enum dict_kind kind, uint32_t stored);
/* Translates the ids of @members in place. */
void dict_back_flows(struct dict_back *d, struct db *db, flow_members members, struct flow *flows,
		     size_t n);

/* --- chain_rows.c -------------------------------------------------------------------------- */

enum entry_kind {
	ENTRY_BLOCK = 1,
	ENTRY_GAP,
	ENTRY_START,
	ENTRY_STOP,
	ENTRY_POLICY,
	ENTRY_PRUNED,
};

/* The chain's end as the transaction under way sees it. */
struct chain_head {
	uint64_t number; /* of the last entry; 0: none */
	struct chain_hash hash;
};
MUST_CHECK enum err_code chain_read_head(struct db *db, struct chain_head *ret, struct err *e);
/* Makes the secret if there is none. */
MUST_CHECK enum err_code chain_read_secret(struct db *db, bool make, struct chain_secret *ret,
					   struct err *e);

struct block_row {
	uint64_t first_seq, last_seq, count;
	struct wall_ns from, to, sealed;
	struct chain_hash root;
};
void chain_block_body(struct buf *b, const struct block_row *row);
MUST_CHECK enum err_code chain_append_block(struct db *db, struct chain_head *head,
					    const struct block_row *row, struct err *e);
MUST_CHECK enum err_code chain_append(struct db *db, struct chain_head *head, enum entry_kind kind,
				      struct str body, struct err *e);
/* Entries up to @number go; what came before the next one is remembered. */
MUST_CHECK enum err_code chain_cut(struct db *db, uint64_t number, struct chain_hash *ret_hash,
				   struct err *e);
void put_hex(struct buf *b, const void *p, size_t n);
/* ,"name":"RFC 3339" with nine digits of fraction */
void put_time(struct buf *b, const char *name, struct wall_ns t);
/* ,"name":"123" */
void put_number(struct buf *b, const char *name, uint64_t v);
/* ,"name":"text" */
void put_text(struct buf *b, const char *name, struct str text);

/* --- gaps.c -------------------------------------------------------------------------------- */

enum { GAPS_PENDING = 64, GAP_DETAIL_BYTES = 200, GAP_NODE_BYTES = 256 };

struct gap {
	struct store_gap gap; /* its texts are in here */
	char node[GAP_NODE_BYTES], detail[GAP_DETAIL_BYTES];
	bool lies_in_file; /* damage: the segment at gap.first_seq is to be marked */
};
/* Known and not yet written. The most recent of its cause takes up what does not fit any more. */
struct gaps {
	pthread_mutex_t mx;
	struct gap list[GAPS_PENDING]; /* guarded by mx */
	size_t count;                  /* guarded by mx */
};
void gaps_note(struct gaps *g, const struct store_gap *gap, bool lies_in_file);
/* Writes the first @n of them: as many as there were. */
MUST_CHECK enum err_code gaps_write(struct gaps *g, struct db *db, struct chain_head *head,
				    size_t *ret_written, uint64_t written[STORE_GAP_CAUSES_],
				    struct err *e);
void gaps_drop(struct gaps *g, size_t n); /* the first ones, which are written */
size_t gaps_count(struct gaps *g);

/* --- edges.c ------------------------------------------------------------------------------- */

struct edges;
MUST_CHECK enum err_code edges_new(const struct flow_dict *dict, struct edges **ret,
				   struct err *e);
void edges_free(struct edges *ed);
/* Counts a record; ids are the process's. */
void edges_add(struct edges *ed, const struct flow *f, struct wall_ns now);
bool edges_are_due(const struct edges *ed, struct wall_ns now);
/* Adds what was counted to the rows; it is forgotten by edges_written, after the commit. */
MUST_CHECK enum err_code edges_write(struct edges *ed, struct db *db, uint32_t day,
				     uint64_t up_to_seq, struct err *e);
void edges_written(struct edges *ed, struct wall_ns now);
/* Minutes before @cutoff go, a portion of them. *@ret_more: call again. */
MUST_CHECK enum err_code edges_prune(struct db *db, struct wall_ns cutoff, bool *ret_more,
				     struct err *e);

/* --- sync.c -------------------------------------------------------------------------------- */

/* Moves the write-ahead log into the file, on a thread of its own: the keeper does not wait for
 * the disk. */
struct sync;
MUST_CHECK enum err_code sync_new(const char *path, struct sync **ret, struct err *e);
void sync_free(struct sync *sy);
/* Something was written, @bytes the log has now. Never waits. */
void sync_poke(struct sync *sy, uint64_t bytes);

/* --- store.c ------------------------------------------------------------------------------- */

struct chunk {
	struct chunk *next;
	size_t size, used; /* bytes */
	uint8_t bytes[];
};
/* Records of the block that is open; ids are the process's until it is sealed. */
struct open_block {
	struct flow *flows;
	size_t count, room, max;
	struct chunk *ext, *ext_last;
	struct wall_ns opened;
	uint64_t number; /* of the entry that chain hashes for */
	struct chain_block *chain;
	bool is_hashed; /* false: a record could not be added; to be done anew */
};

struct store {
	/* immutable */
	struct store_config config;
	char *node, *version;
	char dir[STORE_PATH_BYTES], path[STORE_PATH_BYTES + 16];
	struct flow_dict *dict;

	/* writing thread only */
	int lock_fd;
	struct db db; /* h NULL: cannot be opened now */
	struct sync *sync;
	struct chain_head head;
	struct chain_secret secret;
	bool has_secret;
	struct dict_rows rows;
	struct edges *edges;
	struct open_block block;
	struct segment_encoder *encoder, *merger;
	struct flow_zone *zone;
	struct segment *segment;
	struct buf bytes, zone_bytes;
	struct wall_ns last_now; /* newest time that a caller passed */
	struct wall_ns alive;    /* when the file was last written */
	bool start_due;          /* the start entry is not written yet */
	uint64_t first_seq, run_seq;
	unsigned damage_streak;
	uint64_t unbounded_edges_look; /* wall ns of the last look at old edges */

	_Atomic uint64_t sealed, taken;
	_Atomic uint64_t generation; /* grows when another file takes the place of a damaged one */
	struct gaps gaps;            /* has its own lock */
	pthread_mutex_t counts_mx;
	struct store_counts counts; /* guarded by counts_mx */
};

#endif
