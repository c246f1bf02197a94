/*
 * values - JSON, as lib/flow writes it, read straight into a record's protobuf bytes.
 *
 * What is read is in the form that canon.h speaks of, text and bytes; false is "not so, or not
 * known": text that is no ASCII, control characters, numbers of twenty digits, more than there is
 * room for, messages with fields that are declared in another order than that of their numbers,
 * well-known types. The text is then anywhere, and bytes may have been appended.
 *
 * Threads  pure functions.
 */
#ifndef TYCHO_RECORD_VALUES_H
#define TYCHO_RECORD_VALUES_H

#include "record/scan.h"
#include "flow/schema.h"

/* Where bytes are appended: @p moves on, to @end at most. Behind @end there are VALUES_ROOM bytes
 * more, which may be written and read, but mean nothing. */
struct values_out {
	uint8_t *p, *end;
};
enum { VALUES_ROOM = 64 };

/* Field @f, its key read already: the value, of a repeated one all values. */
bool values_put_field(struct values_out *o, struct scan *s, const struct schema_field *f);
/* The same of a flow's IP, which is declared out of order. *@ret_source, *@ret_destination: as they
 * stand in the text. */
bool values_put_ip(struct values_out *o, struct scan *s, const struct schema_field *f,
		   struct str *ret_source, struct str *ret_destination);
/* The same of a flow's ethernet, l4 and tycho: quicker for MAC addresses, for TCP and UDP, and for an
 * event's counts. */
bool values_put_ethernet(struct values_out *o, struct scan *s, const struct schema_field *f);
bool values_put_l4(struct values_out *o, struct scan *s, const struct schema_field *f);
bool values_put_detail(struct values_out *o, struct scan *s, const struct schema_field *f);

/* Text of the second that was read last. */
struct values_second {
	char text[19]; /* 2024-03-05T09:46:40; a NUL first: none */
	int64_t s;
};
/* The same of a time, without its quotes; *@ret is how it stands in the text. From 1970 on. */
bool values_put_time(struct values_out *o, struct scan *s, const struct schema_field *f,
		     struct values_second *second, struct str *ret);

#endif
