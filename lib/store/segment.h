/*
 * segment - many records as columns, compressed: what a row of the store holds.
 *
 *	records ──► segment_encode ──► bytes:  head │ column │ column │ … │ ext
 *	                                               each: transformed (delta, dictionary, …),
 *zstd
 *
 * A reader opens the bytes and loads the columns that it needs, in chunks, into struct flow.
 *
 * Shape    1 … SEGMENT_MAX records, in order of their numbers. Every member of struct flow comes
 *          back as it was; ext too.
 * Ids      endpoints, services, nodes and kernel reasons are numbers to the codec: callers put in
 *          and get back what they mean by them.
 * Uuids    that follow from the record's number (flow_uuid_of) take no room.
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

enum { SEGMENT_MAX = 1 << 18 };

/* Encoders keep their working memory between calls. */
struct segment_encoder;
MUST_CHECK enum err_code segment_encoder_new(int zstd_level, struct segment_encoder **ret,
					     struct err *e);
void segment_encoder_free(struct segment_encoder *enc);
AUTO_DEFINE(struct segment_encoder, segment_encoder_free);
/* Appends the segment's bytes. */
MUST_CHECK enum err_code segment_encode(struct segment_encoder *enc, const struct flow *flows,
					size_t n, struct buf *out, struct err *e);

struct segment;
/* An empty reader that keeps its memory from segment to segment. */
MUST_CHECK enum err_code segment_new(struct segment **ret, struct err *e);
void segment_free(struct segment *s);
AUTO_DEFINE(struct segment, segment_free);
/* @bytes are borrowed until the next open. Reads the head only. */
MUST_CHECK enum err_code segment_open(struct segment *s, struct str bytes, struct err *e);
size_t segment_count(const struct segment *s);
/* Fills the @members of records [@from, @from + @n) into @out, whose other members it leaves alone;
 * FLOW_MEMBER_EXT points into @s, until the next open. Columns are decompressed when they are first
 * asked for. */
MUST_CHECK enum err_code segment_load(struct segment *s, flow_members members, size_t from,
				      size_t n, struct flow *out, struct err *e);

#endif
