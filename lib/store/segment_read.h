/*
 * segment_read - an opened segment: its tables, and its columns as references into them.
 *
 * What is asked for is worked out once for the whole segment (segment_need) and stays until the
 * next open. Numbers in the arrays are valid for the tables: whoever reads them need not check.
 */
#ifndef TYCHO_STORE_SEGMENT_READ_H
#define TYCHO_STORE_SEGMENT_READ_H

#include <zstd.h>

#include "base/err.h"
#include "store/segment.h"
#include "store/segment_inside.h"

/* Groups of columns that are read together; bits. */
enum need {
	NEED_TALKS = 1 << 0,  /* hosts, links, talks, talk_of */
	NEED_SHAPES = 1 << 1, /* shapes, shape_of; and NEED_TALKS */
	NEED_POINTS = 1 << 2,
	NEED_RARES = 1 << 3,
	NEED_EXTS = 1 << 4,
	NEED_TIME = 1 << 5,
	NEED_COUNTS = 1 << 6,
	NEED_SEQ = 1 << 7,
	NEED_UUID = 1 << 8, /* and NEED_SEQ */
};

struct stored_stream {
	struct str bytes;
	size_t len; /* when unpacked */
	enum stored how;
};

enum {
	SEGMENT_LOOK = 64,             /* records looked at together */
	SEGMENT_FIRST_TALKS = 1 << 12, /* links whose first conversation is remembered */
};

/* Memory that grows. */
struct room {
	void *p;
	size_t bytes;
};

/* Memory of segments that are open together, and what is used while columns are read and means
 * nothing afterwards. */
struct segment_work {
	ZSTD_DCtx *zstd;
	struct guesses guess;
	struct room unpacked[3];         /* codes and bytes being read */
	struct work_block *blocks, **at; /* memory of the open segments; what is being used up */
	size_t used;                     /* of *at */
	struct flow looked_at[SEGMENT_LOOK];
	uint32_t first_talk[SEGMENT_FIRST_TALKS]; /* by link: any number */
	uint8_t is_expected[GUESS_TALKS];         /* by conversation */
};

struct segment {
	struct segment_work *work;
	bool is_guest; /* the work is another's */
	struct segment_start start;
	size_t count;
	size_t shape_count, host_count, link_count, talk_count, point_count, rare_count, ext_count;
	struct stored_stream streams[STREAMS_];
	const uint64_t *expected; /* bit i: record i will be loaded; NULL: any may be */
	uint64_t *new_talks;      /* bit i: record i is its conversation's first */
	bool no_memory;           /* why it failed */
	unsigned have;            /* enum need */
	/* tables */
	struct shape_row *shapes;
	uint8_t *ways;
	struct host *hosts;
	struct link *links;
	struct talk *talks;
	struct point_row *points;
	struct rare_row *rares;
	uint32_t *ext_at; /* [ext_count + 1] */
	const uint8_t *ext_bytes;
	/* [count]: of each record. NULL: rare_of: all 0; seq: one after the other; uuid_from: all
	 * from the seed at the start */
	uint32_t *talk_of, *shape_of, *point_of, *rare_of, *ext_of;
	uint64_t *time, *seq;
	struct guess_counts *counts;
	uint64_t (*uuid_seed)[2]; /* as the uuid is: see uuid_from */
	uint8_t *uuid_from;
	struct segment_ids ids;
	/* the question, and its answers since the last open (segment_match.c) */
	struct segment_question asked;
	uint8_t *answers;       /* room for both, since the last open */
	uint8_t *shape_answers; /* NULL: none */
	uint8_t *talk_answers;  /* [talk_count][2]: by swapped */
};

static inline bool segment_expects(const struct segment *s, size_t row)
{
	return !s->expected || (s->expected[row / 64] >> row % 64 & 1);
}

/* Works out what is not there yet. ERR_PARSE, ERR_NOMEM. */
MUST_CHECK enum err_code segment_need(struct segment *s, unsigned need, struct err *e);
/* --- segment_work.c --- */
struct segment_work *segment_work_new(void); /* NULL without memory */
void segment_work_free(struct segment_work *w);
void segment_work_reset(struct segment_work *w); /* what segment_room gave is free again */
/* @bytes until the segments are opened anew, @r until it is asked for again; NULL, and noted, if
 * there is no memory. */
void *segment_room(struct segment *s, size_t bytes);
void *segment_passing(struct segment *s, struct room *r, size_t bytes);
/* Without members read from elsewhere: what shapes and conversations say of a record. */
void segment_shape_members(const struct shape_row *row, struct flow *f);
void segment_talk_members(const struct segment *s, uint32_t talk, bool swapped, struct flow *f);
extern const flow_members segment_members_of_shape, segment_members_of_talk;

#endif
