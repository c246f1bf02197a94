/*
 * dict_wire - the dictionary's contents to protobuf bytes and back.
 *
 * put writes one canonical form: ascending fields, valid UTF-8, nothing unknown. parse reads any
 * form; strings are borrowed from @wire, arrays are taken from @arena. parse fails on malformed
 * bytes and when out of memory.
 */
#ifndef TYCHO_FLOW_DICT_WIRE_H
#define TYCHO_FLOW_DICT_WIRE_H

#include "flow/dict.h"
#include "flow/fields.h"

struct arena;
struct buf;

void endpoint_put(struct buf *b, const struct endpoint *in);
void service_put(struct buf *b, const struct service *in);
void node_put(struct buf *b, const struct node *in);
bool endpoint_parse(struct str wire, struct arena *arena, struct endpoint *ret);
bool service_parse(struct str wire, struct service *ret);
bool node_parse(struct str wire, struct arena *arena, struct node *ret);

#endif
