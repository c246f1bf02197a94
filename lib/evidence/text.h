/*
 * text - the small texts of evidence: hex, times, flat JSON objects, and texts with a signature.
 *
 * A flat object is {"name":"text","name":12,…}: what entries, checkpoints and their like consist
 * of. Numbers are written as texts ("12"), as proto3 JSON does with 64 bits; readers take both.
 */
#ifndef TYCHO_EVIDENCE_TEXT_H
#define TYCHO_EVIDENCE_TEXT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/time.h"

struct evidence_key;

void hex_put(struct buf *b, struct str bytes);
/* Exactly @size bytes, lower case. */
bool hex_parse(struct str s, uint8_t *ret, size_t size);

/* ,"name":"text" and the like; without the comma after '{' or '['. */
void put_member_text(struct buf *b, const char *name, struct str text);
void put_member_u64(struct buf *b, const char *name, uint64_t v);
void put_member_time(struct buf *b, const char *name,
		     struct wall_ns t); /* nine digits of fraction */
void put_member_hex(struct buf *b, const char *name, struct str bytes);
void put_member_bool(struct buf *b, const char *name, bool v);
void put_member_name(struct buf *b, const char *name); /* ,"name": */
bool time_parse(struct str s, struct wall_ns *ret);

/* A flat object's member as it stands; a text loses its quotes and is false if it holds a
 * backslash or the object nests. Bounded by @object; tolerant of what comes behind. */
bool flat_get(struct str object, const char *name, struct str *ret);
bool flat_u64(struct str object, const char *name, uint64_t *ret);
bool flat_time(struct str object, const char *name, struct wall_ns *ret);
bool flat_hex(struct str object, const char *name, uint8_t *ret, size_t size);

/* A line {"text":"…","signature":"hex","key":"hex"}: @text, signed as it stands. */
struct signed_text {
	struct str text;
	uint8_t signature[64], key[32];
};
void signed_text_put(struct buf *b, const struct signed_text *s);
/* @scratch keeps the text. ERR_PARSE: not such a line, or not as signed_text_put writes it. */
MUST_CHECK enum err_code signed_text_parse(struct str line, struct buf *scratch,
					   struct signed_text *ret, struct err *e);
MUST_CHECK enum err_code signed_text_make(const struct evidence_key *key, struct str text,
					  struct signed_text *ret, struct err *e);

#endif
