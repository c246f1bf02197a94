/*
 * archive - the file of a bundle: a POSIX ustar archive in zstd frames, with a sum at the end.
 *
 *	manifest.json, small files │ a chunk │ … │ a chunk │ report.html, end of archive │ sum
 *	frame                      │ frame   │   │ frame   │ frame                       │ skippable
 *
 * `tar --zstd -x` reads it. No file spans two frames, so that frames can be read on their own, by
 * several threads. The sum is that of all frames, over sums of their pieces: nobody's signature, but a
 * bundle that was damaged or cut off on its way says so.
 *
 * Bounds   a frame of at most ARCHIVE_FRAME_MAX bytes; names of at most 100; headers only as
 *          tar_put writes them. What differs is ERR_PARSE.
 */
#ifndef TYCHO_EVIDENCE_ARCHIVE_H
#define TYCHO_EVIDENCE_ARCHIVE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"
#include "chain/sha256.h"

enum { TAR_BLOCK = 512, TAR_NAME_MAX = 100 };
#define ARCHIVE_FRAME_MAX (UINT64_C(1) << 30)

/* Appends a file. @mtime_s: seconds since the epoch. */
void tar_put(struct buf *b, const char *name, struct str content, uint64_t mtime_s);
/* Two blocks of zeros. */
void tar_end(struct buf *b);

/* Reads what tar_put wrote, one file after the other. */
struct tar_file {
	struct str name, content; /* borrowed */
};
/* False at the end of @bytes (or at the archive's end, where *@ret_end becomes true: nothing but
 * the two blocks of zeros is left) and on a fault, which sets @e and *@ret_code. */
MUST_CHECK bool tar_next(struct str *bytes, uint64_t mtime_s, struct tar_file *ret, bool *ret_end,
			 enum err_code *ret_code, struct err *e);

/* Appends one zstd frame, without a checksum: the sum at the end covers it. */
MUST_CHECK enum err_code frame_put(struct buf *b, struct str bytes, struct err *e);
/* Splits off the first frame of @bytes. */
MUST_CHECK enum err_code frame_next(struct str *bytes, struct str *ret_frame, struct err *e);
/* Decompresses a frame into @out, emptied first. */
struct frame_reader; /* keeps its memory; one thread's */
MUST_CHECK enum err_code frame_reader_new(struct frame_reader **ret, struct err *e);
void frame_reader_free(struct frame_reader *r);
AUTO_DEFINE(struct frame_reader, frame_reader_free);
MUST_CHECK enum err_code frame_read(struct frame_reader *r, struct str frame, struct buf *out,
				    struct err *e);

/* The sum over frames as they come: the SHA-256 of the SHA-256 of each ARCHIVE_PIECE bytes. Pieces do
 * not wait for each other, so that a processor works at two. */
enum { ARCHIVE_PIECE = 16 << 10 };
struct archive_sum {
	struct sha256 pieces, piece;
};
void archive_sum_init(struct archive_sum *s);
void archive_sum_add(struct archive_sum *s, struct str bytes);
void archive_sum_end(struct archive_sum *s, uint8_t ret[SHA256_BYTES]);
/* The sum at the end: what is to be appended, and a file without it. */
enum { ARCHIVE_SUM_BYTES = 8 + SHA256_BYTES };
void archive_sum_put(struct buf *b, const uint8_t sum[SHA256_BYTES]);
/* ERR_PARSE: there is none. Does not compare. */
MUST_CHECK enum err_code archive_sum_split(struct str *bytes, uint8_t ret_sum[SHA256_BYTES],
					   struct err *e);

#endif
