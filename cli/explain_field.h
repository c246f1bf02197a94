/*
 * explain_field - one condition of a flow.FlowFilter, which is a field and its values, said in
 * words and as JSON.
 *
 *	destination_port: 80     the destination port is 80             as JSON: ["80"]
 *	source_pod: shop/web     the source is a pod of namespace shop whose name begins with web
 *
 * Words follow what lib/filter does with the value, not how it is spelled. Control characters are
 * escaped: filters may come from elsewhere and must not steer the terminal.
 */
#ifndef TYCHO_CLI_EXPLAIN_FIELD_H
#define TYCHO_CLI_EXPLAIN_FIELD_H

#include "base/err.h"
#include "flow/flow.pb-c.h"

struct buf;

/* Every field of flow.FlowFilter, in the order of the .proto file. */
enum { EXPLAIN_FIELD_COUNT = 41 };

/* "source_pod", "experimental.cel_expression". */
const char *explain_field_name(size_t field);
/* How many values @f has for it; none: the filter does not ask. */
size_t explain_field_values(size_t field, const Flow__FlowFilter *f);
/* Appends the condition in words. There must be a value. */
void explain_field_put_words(size_t field, const Flow__FlowFilter *f, struct buf *b);
/* Appends the values as a JSON array, each as proto3 JSON has it. */
MUST_CHECK enum err_code explain_field_put_json(size_t field, const Flow__FlowFilter *f,
						struct buf *b, struct err *e);

#endif
