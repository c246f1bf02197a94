/*
 * inside - what the store's files share, and nobody else.
 *
 *	store.c       life; put, seal, tick: one transaction per block
 *	file.c        the file: locked, opened, found broken; what the run before left
 *	schema.c      tables, versions                 dict_rows.c   names ◄─► numbers of the file
 *	chain_rows.c  entries of the chain             gaps.c        gaps, policies, checkpoints
 *	edges.c       the service map by the minute    edge_rows.c   a minute of it, packed
 *	edge_table.c  as SQL sees it                   merge.c       small segments into large ones
 *	shelves.c     what is in large ones, sorted    segments.c    their rows
 *	retention.c   age and size; space back         sync.c        the write-ahead log's thread
 *	reader.c      connections that read            scan.c        records, filtered
 *	mend.c        tables with a damaged page       refill.c      what else says what lay on it
 *	db.c          one connection                   disk.c        what of the file cannot be read
 *	minutes.c     ranges of minutes, asked for     pass.c        what a VFS passes on
 *
 * Numbers  "stored" ids (uint32_t) are rows of the file's dictionary tables; typed ids
 *          (endpoint_id, …) are the process's.
 */
#ifndef TYCHO_STORE_INSIDE_H
#define TYCHO_STORE_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

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
	STORE_MERGED_FLOWS = 131072, /* a segment grows to so many */
	STORE_MERGED_SPAN_S = 3600,  /* or one of such a time */
	STORE_LEVEL_WHOLE = 8,       /* segment.level: no more merging; to be sorted */
	STORE_LEVEL_DONE = 9,        /* nothing is to be done with it any more */
	STORE_CHUNK = 1024,          /* records handled at once */
	STORE_EXT_BYTES = 4 << 20,   /* a block with so much text is sealed */
};

/* Integers of SQLite have 63 bits. */
static inline int64_t store_i64(uint64_t v)
{
	return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

/* --- schema.c ------------------------------------------------------------------------------ */

/* Makes or migrates the tables. ERR_UNSUPPORTED: a newer file, or none of ours. */
MUST_CHECK enum err_code schema_prepare(struct db *db, const char *path, struct err *e);
/* For a connection that only reads: older files look as if they were of this version, and stay as they
 * are. */
MUST_CHECK enum err_code schema_read(struct db *db, const char *path, struct err *e);

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
		uint32_t last; /* highest number given out */
	} kinds[DICT_KINDS_];
	uint32_t day, day_written; /* only grow */
	struct {                   /* rows to be written */
		uint8_t kind;
		uint32_t id;
	} * due;
	size_t due_count, due_max;
};
void dict_rows_init(struct dict_rows *d, const struct flow_dict *dict);
void dict_rows_done(struct dict_rows *d);
/* What the file holds: its highest numbers. */
MUST_CHECK enum err_code dict_rows_open(struct dict_rows *d, struct db *db, struct err *e);
void dict_rows_reset(struct dict_rows *d); /* for another file */
void dict_rows_again(struct dict_rows *d); /* rows may be gone: each is looked for, and written */
void dict_rows_at(struct dict_rows *d, struct wall_ns now);
/* Translates the ids of @flows in place; looks into the file, writes nothing. */
MUST_CHECK enum err_code dict_rows_store(struct dict_rows *d, struct db *db, struct flow *flows,
					 size_t n, struct err *e);
/* Writes what is due; it is due until dict_rows_written, after the commit. */
MUST_CHECK enum err_code dict_rows_write(struct dict_rows *d, struct db *db, struct err *e);
void dict_rows_written(struct dict_rows *d);
/* Deletes rows that were last in use before @day, a portion of them. *@ret_more: call again. */
MUST_CHECK enum err_code dict_rows_prune(struct db *db, uint32_t day, bool *ret_more,
					 struct err *e);
static inline uint32_t day_of(struct wall_ns t)
{
	return (uint32_t)(t.v / (86400 * NS_PER_S));
}

/* Ids of the file to those of a dictionary, for reading; rows are read as ids are first met. */
struct dict_back;
MUST_CHECK enum err_code dict_back_new(struct flow_dict *dict, struct dict_back **ret,
				       struct err *e);
void dict_back_free(struct dict_back *d);
/* 0: the row is damaged or gone, or the dictionary is full, or dict_back_ended says why. */
uint32_t dict_back_id(struct dict_back *d, struct db *db, enum dict_kind kind, uint32_t stored);
/* The same of @n, in place. */
void dict_back_ids(struct dict_back *d, struct db *db, enum dict_kind kind, uint32_t *ids,
		   size_t n);
/* Why a row could not be read since this was last asked: ids may be 0 that are not. */
MUST_CHECK enum err_code dict_back_ended(struct dict_back *d, struct err *e);
/* How often a row was damaged or gone so far: it is looked for anew each time. */
uint64_t dict_back_unreadable(const struct dict_back *d);
/* Was one of them on a page that cannot be read? */
bool dict_back_met_damage(const struct dict_back *d);
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
/* Of the entries that were cut off: the last one's number and hash; 0: none were. */
MUST_CHECK enum err_code chain_read_anchor(struct db *db, struct chain_head *ret, struct err *e);
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

enum { GAPS_PENDING = 64, GAP_DETAIL_BYTES = 200, GAP_NODE_BYTES = 512 /* cluster and node */ };

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

/* --- segments.c ---------------------------------------------------------------------------- */

struct segment_row {
	uint64_t first_seq, last_seq, count, blocks;
	uint32_t level;
	struct wall_ns from, to; /* of records that have a time; else when it was open */
	uint64_t untimed;
	struct wall_ns sealed;
	uint64_t last_entry; /* of the chain: its newest block */
	bool damaged;
	uint64_t sum;          /* of the bytes; of what has shelves: nothing */
	uint64_t bytes;        /* how many */
	uint64_t shelves;      /* 0: all records in one piece, numbered as the first of them */
	struct str zone, data; /* to be written; not read */
};
MUST_CHECK enum err_code segment_insert(struct db *db, const struct segment_row *row,
					struct err *e);
/* With its pieces. */
MUST_CHECK enum err_code segment_delete(struct db *db, const struct segment_row *row,
					struct err *e);
/* The same but for the pieces of @stuck: they stay in the file, and nothing leads to them any more. */
MUST_CHECK enum err_code segment_prune(struct db *db, const struct segment_row *row, uint64_t stuck,
				       struct err *e);
/* Which pieces cannot be deleted, for their pages are damaged: bit i of *@ret_stuck is the i-th. Not in
 * a transaction: once SQLite has met damage in one it writes no more. */
MUST_CHECK enum err_code pieces_try(struct db *db, const struct segment_row *row,
				    uint64_t *ret_stuck, struct err *e);
/* Columns in this order, for segment_row_of. */
#define SEGMENT_COLUMNS                                                                            \
	"first_seq, last_seq, count, blocks, level, from_ns, to_ns, untimed, sealed_ns,"           \
	" last_entry, damaged, sum, bytes, shelves"
enum { SEGMENT_COLUMN_COUNT = 14 };
struct segment_row segment_row_of(sqlite3_stmt *st);
/* The first one from @at on (@backward: the last one before it), where the table cannot be read: an
 * index, which lies elsewhere, knows where it begins, when it was sealed, and what is beside it.
 * first_seq 0: there is none. */
MUST_CHECK enum err_code segment_find_bare(struct db *db, uint64_t at, bool backward,
					   struct segment_row *ret, struct err *e);
/* Bytes of a segment or a shelf, as they were written: ERR_PARSE if they are not, or cannot be
 * read. */
MUST_CHECK enum err_code piece_read(struct db *db, uint64_t id, uint64_t sum, struct buf *to,
				    struct err *e);
/* The same, behind what @to holds. */
MUST_CHECK enum err_code piece_append(struct db *db, uint64_t id, uint64_t sum, struct buf *to,
				      struct err *e);
MUST_CHECK enum err_code piece_insert(struct db *db, uint64_t id, struct str data, struct err *e);
MUST_CHECK enum err_code pieces_delete(struct db *db, const struct segment_row *row, struct err *e);
/* A large segment's records lie in several pieces, one for each shelf that has some: numbered from
 * the segment's first record's number on, which that of its last is far beyond. */
struct shelf_row {
	uint64_t id, count, sum;
	struct str zone; /* borrowed until the next step; empty if it is damaged */
};
/* Rows of the segment's shelves, for shelf_row_of. */
sqlite3_stmt *shelves_ask(struct db *db, const struct segment_row *row);
struct shelf_row shelf_row_of(sqlite3_stmt *st);
MUST_CHECK enum err_code shelf_insert(struct db *db, const struct shelf_row *row, struct err *e);
/* Its records cannot be had any more. */
void segment_note_damage(struct gaps *g, const struct segment_row *row, const char *why);
/* The same, but the row is not to be marked: it cannot be, or its records can be had, if not the
 * names of some of them. Who may meet it again asks segment_is_told. */
void segment_note_unmarked(struct gaps *g, const struct segment_row *row, const char *why);
extern const char segment_is_nameless[], segment_is_bare[]; /* why */
/* Is it an entry of the chain that the segment is damaged? */
bool segment_is_told(struct db *db, const struct segment_row *row);

/* --- policies.c ---------------------------------------------------------------------------- */

/* Those in force whose entry is up to @number get a new one; those that ended before @oldest go. */
MUST_CHECK enum err_code policies_say_again(struct db *db, struct chain_head *head, uint64_t number,
					    struct wall_ns oldest, struct wall_ns now,
					    struct err *e);

/* --- edges.c ------------------------------------------------------------------------------- */

struct edges;
MUST_CHECK enum err_code edges_new(const struct flow_dict *dict, struct edges **ret, struct err *e);
void edges_free(struct edges *ed);
/* For so many records, whatever they are; else they are due, and all of it is there once they are
 * written. At least STORE_CHUNK fit into what is empty. */
bool edges_have_room(struct edges *ed, size_t flows);
/* Counts a record; ids are the process's. Without room it is left out. */
void edges_add(struct edges *ed, const struct flow *f, struct wall_ns now);
/* A minute that has ended, or too many to be held. */
bool edges_are_due(const struct edges *ed, struct wall_ns now);
/* Begin of the oldest minute of what waits to be written; UINT64_MAX: nothing does. */
struct wall_ns edges_pending(const struct edges *ed);
uint64_t edges_nameless(const struct edges *ed); /* store_counts */
/* Adds what was counted to what the file has; it is forgotten by edges_written, after the commit. */
MUST_CHECK enum err_code edges_write(struct edges *ed, struct db *db, uint32_t day,
				     uint64_t up_to_seq, struct err *e);
void edges_written(struct edges *ed, struct wall_ns now);
void edges_not_written(struct edges *ed); /* the transaction failed */
void edges_forget(struct edges *ed);      /* all that waits; there is room for a full table */
/* The first minute, since 1970, of the file's map; @otherwise if there is none. */
MUST_CHECK enum err_code edges_oldest(struct db *db, uint64_t otherwise, uint64_t *ret,
				      struct err *e);
/* A row of edge_minute: does it say what was written? */
bool edges_is_whole(sqlite3_stmt *st);
/* Minutes before @cutoff go, a portion of them. *@ret_more: call again. */
MUST_CHECK enum err_code edges_prune(struct db *db, struct wall_ns cutoff, bool *ret_more,
				     struct err *e);

/* --- merge.c, retention.c: one portion each ------------------------------------------ */

/* Of all of these: *@ret_more becomes true if there may be more; else, and on failure, it stays. */
MUST_CHECK enum err_code merge_portion(struct store *s, struct wall_ns now, bool *ret_more,
				       struct err *e);
MUST_CHECK enum err_code prune_by_age(struct store *s, struct wall_ns now, bool *ret_more,
				      struct err *e);
MUST_CHECK enum err_code prune_by_size(struct store *s, struct wall_ns now, bool *ret_more,
				       struct err *e);
MUST_CHECK enum err_code prune_edges(struct store *s, struct wall_ns now, bool *ret_more,
				     struct err *e);
MUST_CHECK enum err_code prune_names(struct store *s, struct wall_ns now, bool *ret_more,
				     struct err *e);
MUST_CHECK enum err_code give_back(struct store *s, struct wall_ns now, bool *ret_more,
				   struct err *e);
/* Counts the records behind the last edges written: those before a crash. What waits already, of a
 * file that could not be opened before, is written first. Without success nothing is counted. */
MUST_CHECK enum err_code edges_recover(struct store *s, struct wall_ns now, struct err *e);

/* --- mend.c -------------------------------------------------------------------------------- */

/* Makes anew what is damaged of all tables but the columns' own, of the rows that can be read and of
 * what else is known; what is lost is a gap. *@ret_any: something was damaged.
 * ERR_PARSE: no more can be done. On failure the connection is to be closed. */
MUST_CHECK enum err_code mend(struct store *s, struct wall_ns now, bool *ret_any, struct err *e);
/* The same, if somebody met damage since, and it was not just tried in vain. */
MUST_CHECK enum err_code mend_if_due(struct store *s, struct wall_ns now, struct err *e);
/* @code of a portion of tending: mended at once where that helps, and *@ret_more. */
MUST_CHECK enum err_code mend_tending(struct store *s, enum err_code code, struct wall_ns now,
				      bool *ret_more, struct err *e);
/* Would it be tried now? */
bool mend_helps(struct store *s, struct wall_ns now);

/* --- shelves.c ----------------------------------------------------------------------------- */

enum {
	/* At most: one, one for each two groups of busy hosts and for each with itself, and one for
	 * each group of those that talk to others. */
	SHELF_GROUPS = 8,
	SHELF_LONE = 16,
	SHELVES = 1 + SHELF_GROUPS * (SHELF_GROUPS + 1) / 2 + SHELF_LONE,
	SHELVED_LEAST = 16384, /* records; smaller segments stay in one piece */
};
/* Sorts the records of a segment onto its shelves; *@row becomes what it then is. In a transaction.
 * On failure *@ret_is_read: it could be read, at least. */
MUST_CHECK enum err_code segment_shelve(struct store *s, struct segment_row *row, bool *ret_is_read,
					struct err *e);

/* --- sync.c -------------------------------------------------------------------------------- */

/* Moves the write-ahead log into the file, on a thread of its own: the keeper does not wait for
 * the disk, unless it writes so fast that the log would grow without end. */
struct sync;
MUST_CHECK enum err_code sync_new(const char *path, struct disk_faults *faults, struct sync **ret,
				  struct err *e);
void sync_free(struct sync *sy);
/* Writing thread, between two transactions: the log has so many pages now. Waits if these are more
 * than a dozen MiB, for two seconds at most. */
void sync_poke(struct sync *sy, uint64_t pages);

/* --- store.c ------------------------------------------------------------------------------- */

/* The block that is open: its records are in the encoder, the zone and the tree. */
struct open_block {
	size_t count;
	size_t ext_bytes;
	uint64_t first_seq, last_seq;
	struct wall_ns from, to; /* of records that have a time */
	uint64_t untimed;
	struct wall_ns opened;
	uint64_t number; /* of the entry that the tree is made for */
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
	bool is_known;     /* the file was opened at least once: head, secret are right */
	bool is_recounted; /* edges of the run before are */
	struct chain_head head;
	struct chain_secret secret;
	struct dict_rows rows;
	struct edges *edges;
	struct open_block block;
	struct segment_encoder *encoder;
	struct segment_encoder *merger; /* while segments are merged */
	struct flow_zone *zone, *merge_zone;
	struct chain_block *tree;
	struct segment *segment;             /* while segments are merged, or edges recovered */
	struct flow *scratch;                /* STORE_CHUNK */
	struct buf bytes, zone_bytes, piece; /* the last: of a shelf */
	struct wall_ns last_now;             /* what the caller passed last */
	struct wall_ns alive;                /* when the file was last written */
	struct wall_ns tried;   /* when it was last tried to open it, or to write without a block */
	bool is_failing;        /* the last write did */
	bool start_due;         /* the start entry is not written yet */
	bool stopped;           /* the stop entry is, and nothing came behind it */
	uint64_t first_seq;     /* of this run */
	unsigned damage_streak; /* blocks in a row for which the file was found broken */

	_Atomic uint64_t sealed, taken;
	_Atomic uint64_t generation; /* grows when another file takes the place of a damaged one */
	struct gaps gaps;            /* has its own lock */
	struct disk_faults faults;   /* has its own lock: what could not be read of the file */
	uint64_t segment_bytes;      /* writing thread only: of all segments held */
	struct wall_ns looked;       /* writing thread only: when old edges were last looked for */
	char aside[STORE_ASIDE_BYTES]; /* of the file that was set aside; "": that was told */
	_Atomic bool mend_due;         /* somebody met a small table that is damaged */
	struct wall_ns held_up[2];     /* writing thread only: since when pruning is */
	bool is_mended;        /* writing thread only: at @mended, and no more can be done */
	struct wall_ns mended; /* writing thread only */
	uint64_t mend_again_s; /* writing thread only: so long after it */
	uint32_t pruned_day;   /* writing thread only: names before it are gone */
	pthread_mutex_t counts_mx;
	struct store_counts counts; /* guarded by counts_mx */
};
/* @code of something that is tried again: damage makes mending due. Any thread. */
static inline enum err_code mend_after(struct store *s, enum err_code code)
{
	if (code == ERR_PARSE)
		atomic_store_explicit(&s->mend_due, true, memory_order_relaxed);
	return code;
}
/* A write failed: what is open is lost, the file perhaps opened anew. */
void store_fail(struct store *s, struct wall_ns now, const struct err *e);
/* The counts say what the chain's end is now. */
void store_published(struct store *s);

/* --- file.c -------------------------------------------------------------------------------- */

/* A step back of the clock that is worth a word. */
enum { STORE_CLOCK_STEP_NS = 1000000000 };

/* A file beside the database: SQLite's own locks are for moments, and a folder's may be taken. */
MUST_CHECK enum err_code file_lock(struct store *s, struct err *e);
/* Opens the file; one that is broken is set aside, and another begun. */
MUST_CHECK enum err_code file_open(struct store *s, struct wall_ns now, struct err *e);
/* What is held, for the counts. */
MUST_CHECK enum err_code file_count(struct store *s, struct err *e);
/* The file that cannot be used any more stays, under a name of its own that a gap tells; where that
 * cannot be done it stays where it is. */
void file_set_aside(struct store *s, struct wall_ns now);

#endif
