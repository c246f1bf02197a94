/*
 * segment - many records as columns, compressed: what a row of the store holds.
 *
 *	records ──► segment_add … segment_finish ──► bytes:  head │ column │ column │ … │ ext
 *
 * A reader opens the bytes and loads the columns that it needs, in chunks, into struct flow.
 *
 * Shape    1 … SEGMENT_MAX records, in order of their numbers, with at most SEGMENT_EXT_MAX bytes
 *          of ext in all. Every member of struct flow comes back as it was; ext too.
 * Ids      endpoints, services, nodes and kernel reasons are numbers to the codec: callers put in
 *          and get back what they mean by them.
 * Uuids    that follow from the record's number (flow/uuid.h) take no room.
 * Memory   an encoder holds some 60 bytes and the ext of each record added; flows need not be kept
 *          by the caller until the segment is finished.
 * Bounds   bytes are not trusted: a damaged segment is ERR_PARSE, never a read beyond the bytes or
 *          more memory than its record count justifies.
 * Threads  pure functions; one thread per struct segment.
 */
#ifndef TYCHO_STORE_SEGMENT_H
#define TYCHO_STORE_SEGMENT_H

#include "base/buf.h"
#include "base/err.h"
#include "flow/flow.h"
#include "flow/members.h"

struct flow_filter;

enum { SEGMENT_MAX = 1 << 18, SEGMENT_EXT_MAX = 64 << 20 };

/* Encoders keep their working memory between segments. */
struct segment_encoder;
MUST_CHECK enum err_code segment_encoder_new(int zstd_level, struct segment_encoder **ret,
					     struct err *e);
void segment_encoder_free(struct segment_encoder *enc);
AUTO_DEFINE(struct segment_encoder, segment_encoder_free);

/* Adds records to the segment under way; ext is copied. ERR_INVALID: more than SEGMENT_MAX records,
 * or SEGMENT_EXT_MAX bytes; none of the @n is added then, and the segment can be finished and the
 * records added to the next. ERR_NOMEM: what was added before is forgotten, too. */
MUST_CHECK enum err_code segment_add(struct segment_encoder *enc, const struct flow *flows,
				     size_t n, struct err *e);
/* Appends the segment's bytes; the next one begins, even after a failure. ERR_INVALID: there are
 * no records; ERR_NOMEM. */
MUST_CHECK enum err_code segment_finish(struct segment_encoder *enc, struct buf *out,
					struct err *e);
/* Forgets what was added. */
void segment_encoder_reset(struct segment_encoder *enc);

struct segment;
/* An empty reader that keeps its memory from segment to segment. */
MUST_CHECK enum err_code segment_new(struct segment **ret, struct err *e);
/* Another one beside @other, for the same question and ids; borrows its memory: only one thread may
 * use the two, @other goes last, and opening it closes those beside it. */
MUST_CHECK enum err_code segment_new_beside(struct segment *other, struct segment **ret,
					    struct err *e);
void segment_free(struct segment *s);
AUTO_DEFINE(struct segment, segment_free);
/* @bytes are borrowed until the next open. Reads the head only. After a failure it is empty. */
MUST_CHECK enum err_code segment_open(struct segment *s, struct str bytes, struct err *e);
size_t segment_count(const struct segment *s);
/* What ids in segments mean to the reader, for all segments opened from now on; functions that are
 * NULL leave them as they are. Called once for each different id of a segment. @ids is copied. */
struct segment_ids {
	uint32_t (*endpoint)(void *ctx, uint32_t stored);
	uint32_t (*service)(void *ctx, uint32_t stored);
	uint32_t (*node)(void *ctx, uint32_t stored);
	uint16_t (*kernel_reason)(void *ctx, uint16_t stored);
	void *ctx;
};
void segment_translate(struct segment *s, const struct segment_ids *ids);
/* Fills the @members of records [@from, @from + @n) into @out, perhaps some of the others, and
 * leaves the rest alone; FLOW_MEMBER_EXT points into @s, until the next open. Columns are
 * decompressed when they are first asked for. */
MUST_CHECK enum err_code segment_load(struct segment *s, flow_members members, size_t from,
				      size_t n, struct flow *out, struct err *e);
/* The same of any @n records: @rows are their places, in any order. */
MUST_CHECK enum err_code segment_load_rows(struct segment *s, flow_members members,
					   const uint32_t *rows, size_t n, struct flow *out,
					   struct err *e);
/* All members of @n records, and nothing else: that at @rows[i] becomes out[places[i]]. */
MUST_CHECK enum err_code segment_load_whole(struct segment *s, const uint32_t *rows,
					    const uint32_t *places, size_t n, struct flow *out,
					    struct err *e);

/* Numbers of the @n records at @rows. */
MUST_CHECK enum err_code segment_numbers(struct segment *s, const uint32_t *rows, size_t n,
					 uint64_t *ret, struct err *e);

/* Only the records whose bits are set in @bits (bit i % 64 of bits[i / 64]: record i) will be
 * loaded until the next open: what the others refer to need not be worked out. Loading others is
 * ERR_INVALID, but for members that segment_match and ranges ask for. Copied. */
MUST_CHECK enum err_code segment_expect(struct segment *s, const uint64_t *bits, struct err *e);

/* Which records are asked for. */
struct segment_question {
	struct flow_filter *filter; /* NULL: all. Its dictionary is that of the ids translated */
	uint32_t kinds;             /* bit k: records of enum flow_kind k are wanted */
	uint32_t unfiltered;        /* bit k: of these, all, whatever the filter */
};
/* The question for this segment and those opened after it; copied, the filter borrowed until
 * another is asked. Before any: everything is asked for. */
void segment_ask(struct segment *s, const struct segment_question *q);
/* Bit i % 64 of ret_bits[i / 64] is the answer for record @from + i; *@ret_found is how many bits
 * are set. Exact. Asks the filter about each kind of event and each conversation of the segment
 * first, and looks only at the records that are left then: what matches little costs a few
 * nanoseconds a record. */
MUST_CHECK enum err_code segment_match(struct segment *s, size_t from, size_t n, uint64_t *ret_bits,
				       size_t *ret_found, struct err *e);

#endif
