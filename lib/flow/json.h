/*
 * json - proto3 JSON for any message of proto/, driven by descriptors: bytes in, bytes out.
 *
 * Writing follows the reference (Go's protojson as Hubble's CLI uses it): proto field names,
 * declaration order (schema.h), no blanks, defaults omitted, wrappers as bare values, 64-bit
 * integers as strings, enums by name, unknown enum numbers as numbers, timestamps RFC 3339, '<' '>'
 * '&' as \u00XX. An Any of a type that proto/ lacks shows its bytes in base64, where the reference
 * gives up.
 *
 * Reading accepts what the reference accepts: both name spellings, enum numbers, numbers as
 * strings, null; and refuses what it refuses: a field twice, two members of a oneof, numbers out of
 * range, invalid UTF-8, text behind the message, an Any of unknown type.
 *
 * Threads  pure functions: any thread.
 * Limits   unknown values nest to the reference's 10,000 levels, messages within messages to 100
 *          (protobuf's own default; the types end after six, only an Any goes on). Neither depends
 *          on the size of the stack.
 */
#ifndef TYCHO_FLOW_JSON_H
#define TYCHO_FLOW_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"
#include "base/err.h"

/* Appends @message (wire bytes of a @desc) as one JSON object. ERR_PARSE on malformed bytes, on
 * times out of range and on Anys nested deeper than 100; @b is then as it was. ERR_NOMEM when @b is
 * full. */
MUST_CHECK enum err_code json_put_message(struct buf *b, const ProtobufCMessageDescriptor *desc,
					  struct str message, struct err *e);
/* As json_put_message over several lines: members indented by @indent more, Go's json.Indent
 * layout. */
MUST_CHECK enum err_code json_put_message_indented(struct buf *b,
						   const ProtobufCMessageDescriptor *desc,
						   struct str message, const char *prefix,
						   const char *indent, struct err *e);
/* Appends @s as a JSON string, quotes included. Invalid UTF-8 becomes U+FFFD. */
void json_put_string(struct buf *b, struct str s);

struct json_options {
	bool reject_unknown; /* unknown member names, enum names and untyped Anys are errors; else
				they are passed over */
};
/* Reads one JSON object (and nothing but blanks after it) as a message of @desc and appends its
 * wire bytes to @out, fields in ascending order of their numbers, in messages within it, too; @text may not lie in @out. @options NULL: nothing unknown is rejected. On
 * failure @out is as it was. ERR_PARSE with a sentence that names the place, in the reference's
 * words: "proto: (line 1:40): unknown field \"bogus\"". ERR_NOMEM when @out is full. *@ret_unknown
 * (may be NULL) is set on failure only: true if the fault was one that reject_unknown asks for. The
 * text may hold others: the reference then reads it again without, and so should callers. */
MUST_CHECK enum err_code json_read_message(struct str text, const ProtobufCMessageDescriptor *desc,
					   const struct json_options *options, struct buf *out,
					   bool *ret_unknown, struct err *e);
/* As json_read_message, but other values may follow: *ret_used is where the object ended. For
 * concatenated objects. */
MUST_CHECK enum err_code json_read_prefix(struct str text, const ProtobufCMessageDescriptor *desc,
					  const struct json_options *options, struct buf *out,
					  size_t *ret_used, struct err *e);

#endif
