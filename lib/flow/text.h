/*
 * text - fixed-width texts of binary values, as they stand in flow.proto's string fields: written
 * without a terminator, parsed only in the one form that is written.
 */
#ifndef TYCHO_FLOW_TEXT_H
#define TYCHO_FLOW_TEXT_H

#include "base/str.h"

enum { UUID_CHARS = 36, MAC_CHARS = 17 };

void uuid_put(char out[UUID_CHARS], const uint64_t uuid[2]);
bool uuid_parse(struct str s, uint64_t ret[2]);
void mac_put(char out[MAC_CHARS], const uint8_t mac[6]);
bool mac_parse(struct str s, uint8_t ret[6]);

#endif
