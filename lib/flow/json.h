/*
 * json - proto3 JSON for any message of proto/, driven by protobuf-c's descriptors: bytes in, bytes out.
 *
 * Writing follows the reference (Go's protojson as Hubble's CLI uses it): proto field names, declaration order (tables for the
 * messages where it differs from number order), no blanks, defaults omitted, wrappers as bare values, 64-bit integers as
 * strings, enums by name, unknown enum numbers as numbers, timestamps RFC 3339, '<' '>' '&' as \u00XX.
 * Reading accepts what proto3 JSON accepts: both name spellings, enum numbers, numbers as strings, null.
 *
 * Threads  pure functions; a json_reader is one thread's.
 * Limits   nesting depth 10,000 as the reference, and no recursion that the stack could not bear.
 */
#ifndef TYCHO_FLOW_JSON_H
#define TYCHO_FLOW_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"
#include "base/err.h"

/* Appends @message (wire bytes of a @desc) as one JSON object. ERR_PARSE on malformed bytes. */
MUST_CHECK enum err_code json_put_message(struct buf *b, const ProtobufCMessageDescriptor *desc, struct str message,
					  struct err *e);
/* As json_put_message over several lines: members indented by @indent more, Go's json.Indent layout. */
MUST_CHECK enum err_code json_put_message_indented(struct buf *b, const ProtobufCMessageDescriptor *desc,
						   struct str message, const char *prefix, const char *indent,
						   struct err *e);
/* Appends @s as a JSON string, quotes included. Invalid UTF-8 becomes U+FFFD. */
void json_put_string(struct buf *b, struct str s);

struct json_options {
	bool reject_unknown; /* unknown member names are an error: ERR_PARSE, and *ret_unknown is set */
};
/* Reads one JSON object (and nothing but blanks after it) as a message of @desc and appends its wire bytes to @out.
 * ERR_PARSE with a sentence that names the place. @ret_unknown (may be NULL): the error was an unknown member. */
MUST_CHECK enum err_code json_read_message(struct str text, const ProtobufCMessageDescriptor *desc,
					   const struct json_options *options, struct buf *out, bool *ret_unknown,
					   struct err *e);
/* As json_read_message, but other values may follow: *ret_used is where the object ended. For concatenated objects. */
MUST_CHECK enum err_code json_read_prefix(struct str text, const ProtobufCMessageDescriptor *desc,
					  const struct json_options *options, struct buf *out, size_t *ret_used,
					  struct err *e);

#endif
