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

enum { SEGMENT_MAX = 1 << 18, SEGMENT_EXT_MAX = 64 << 20 };

/* Encoders keep their working memory between segments. */
struct segment_encoder;
MUST_CHECK enum err_code segment_encoder_new(int zstd_level, struct segment_encoder **ret,
					     struct err *e);
void segment_encoder_free(struct segment_encoder *enc);
AUTO_DEFINE(struct segment_encoder, segment_encoder_free);

/* Adds records to the segment under way; ext is copied. Fails with ERR_INVALID (more than
 * SEGMENT_MAX records, or SEGMENT_EXT_MAX bytes) or ERR_NOMEM; none of the @n is added then, and
 * the segment can be finished and the records added to the next. */
MUST_CHECK enum err_code segment_add(struct segment_encoder *enc, const struct flow *flows,
				     size_t n, struct err *e);
/* Records added so far. */
size_t segment_added(const struct segment_encoder *enc);
/* Appends the segment's bytes; the next one begins, even after a failure. ERR_INVALID: there are
 * no records; ERR_NOMEM. */
MUST_CHECK enum err_code segment_finish(struct segment_encoder *enc, struct buf *out,
					struct err *e);
/* Forgets what was added. */
void segment_encoder_reset(struct segment_encoder *enc);
/* All in one: of nothing but @flows. */
MUST_CHECK enum err_code segment_encode(struct segment_encoder *enc, const struct flow *flows,
					size_t n, struct buf *out, struct err *e);

struct segment;
/* An empty reader that keeps its memory from segment to segment. */
MUST_CHECK enum err_code segment_new(struct segment **ret, struct err *e);
void segment_free(struct segment *s);
AUTO_DEFINE(struct segment, segment_free);
/* @bytes are borrowed until the next open. Reads the head only. After a failure it is empty. */
MUST_CHECK enum err_code segment_open(struct segment *s, struct str bytes, struct err *e);
size_t segment_count(const struct segment *s);
/* Fills the @members of records [@from, @from + @n) into @out, perhaps some of the others, and
 * leaves the rest alone; FLOW_MEMBER_EXT points into @s, until the next open. Columns are
 * decompressed when they are first asked for. */
MUST_CHECK enum err_code segment_load(struct segment *s, flow_members members, size_t from,
				      size_t n, struct flow *out, struct err *e);

#endif
