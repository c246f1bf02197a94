/*
 * message - protobuf messages as CEL sees them, read from and written to their bytes.
 *
 * Well-known types are never seen as messages: a Timestamp is a timestamp, a wrapper its value or
 * null, an Any what is in it. Of a field that occurs twice the last one counts; messages are
 * merged; a oneof has the member that came last.
 */
#ifndef TYCHO_CEL_MESSAGE_H
#define TYCHO_CEL_MESSAGE_H

#include "cel/eval.h"
#include "flow/schema.h"

/* The field's value, or what stands for an absent one: zero, "", an empty message, null for
 * wrappers. */
struct value message_get(struct eval *ev, struct value message, const struct schema_field *f);
/* Presence: of fields without it, whether they differ from zero. */
bool message_has(struct eval *ev, struct value message, const struct schema_field *f);
bool message_equal(struct eval *ev, struct value a, struct value b);
/* A message of @n's fields, whose values are @values. */
struct value message_make(struct eval *ev, const struct expr *n, const struct value *values);
/* The flow as a message. */
struct value message_flow(struct eval *ev);
/* A message that has the flow's field @f as the flow has it; of others it need not. */
struct value message_flow_for(struct eval *ev, const struct schema_field *f);

#endif
