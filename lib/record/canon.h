/*
 * canon - a flow's JSON read back into the parts that its record is made of, the general way.
 *
 * Protobuf bytes of a message are not unique; a record's are: fields in ascending order of their
 * numbers, in messages within it, too, and nothing that is its default. That is what lib/flow
 * writes, and what protobuf libraries write of a message that they have read. And its JSON is
 * unique: what is not written as lib/flow writes it is refused, so that nobody can say the same
 * record in other words.
 *
 * Threads  one thread per struct canon.
 */
#ifndef TYCHO_RECORD_CANON_H
#define TYCHO_RECORD_CANON_H

#include "base/buf.h"
#include "base/err.h"
#include "chain/chain.h"

struct canon;
MUST_CHECK enum err_code canon_new(struct canon **ret, struct err *e);
void canon_free(struct canon *c);
AUTO_DEFINE(struct canon, canon_free);

/* Parts of a flow of which @object, a JSON object, has the members. Borrowed until the next call.
 * False: it is no flow's, or written otherwise. */
bool canon_object(struct canon *c, struct str object, struct str ret_parts[CHAIN_PARTS_]);
/* The same of the line at the front of @text (render.h), with *@ret_len bytes and its newline. */
bool canon_line(struct canon *c, struct str text, struct str ret_parts[CHAIN_PARTS_],
		size_t *ret_len);

#endif
