/*
 * text - what others wrote, as a text of protobuf: valid UTF-8, of any length.
 *
 * Each byte of an ill-formed sequence becomes U+FFFD (Hubble's Go would fail to send the flow).
 */
#ifndef TYCHO_OBSERVER_CILIUM_TEXT_H
#define TYCHO_OBSERVER_CILIUM_TEXT_H

#include "flow/wire.h"

/* Also when empty. */
static inline void put_clean_len(struct buf *b, uint32_t field, struct str s)
{
	if (utf8_is_valid(s)) {
		wire_put_len(b, field, s);
		return;
	}
	size_t mark = wire_begin(b, field), room = s.len * 3; /* U+FFFD has three bytes */
	char *to = buf_reserve(b, room);
	if (to)
		b->len += utf8_sanitize(s, to, room);
	wire_end(b, mark);
}

static inline void put_clean(struct buf *b, uint32_t field, struct str s)
{
	if (s.len)
		put_clean_len(b, field, s);
}

#endif
