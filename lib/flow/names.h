/*
 * names - the enums of flow.proto and relay.proto by name, and the texts that people read for their
 * numbers.
 *
 * Source: reference tables of Cilium 1.19.4 (hubble-enums.tsv, drop-reasons.tsv,
 * reserved-identities.tsv); enum names come from the compiled descriptors, so they cannot fall
 * behind the .proto files.
 */
#ifndef TYCHO_FLOW_NAMES_H
#define TYCHO_FLOW_NAMES_H

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"
#include "base/str.h"

/* Name of @number in @desc, NULL when it has none. */
const char *enum_name(const ProtobufCEnumDescriptor *desc, int32_t number);
/* As enum_name; an unknown number is written in decimal. */
void enum_put(struct buf *b, const ProtobufCEnumDescriptor *desc, int32_t number);
bool enum_number(const ProtobufCEnumDescriptor *desc, struct str name, int32_t *ret);

/* "Policy denied" for 133; NULL when the code has no text (then people see "159, 0"). */
const char *drop_reason_text(uint32_t code);
/* "host" … for reserved identities 1..10 and "unknown" for 0; NULL otherwise. */
const char *identity_name(uint32_t identity);
/* The name of a reserved identity as input ("world"; not "unknown"). */
bool identity_parse_name(struct str name, uint32_t *ret);
/* "to-endpoint" … for a raw event sub type (0 = to-endpoint); NULL if unknown. */
const char *trace_point_text(uint32_t raw_sub_type);
/* "L3-Only" …; "unknown" otherwise. */
const char *policy_match_text(uint32_t match_type);
/* Type and code as the decoders of Cilium print them: "EchoRequest",
 * "DestinationUnreachable(Port)", "200(1)". */
void icmp4_text_put(struct buf *b, uint8_t type, uint8_t code);
void icmp6_text_put(struct buf *b, uint8_t type, uint8_t code);
/* "IGMP Membership Query" …; "" if unknown. */
const char *igmp_type_text(uint8_t type);
/* "A", "AAAA", … as the reference names DNS types; "Unknown" otherwise. */
const char *dns_type_text(uint16_t type);
/* "No Error", "Non-Existent Domain", …; "Unknown" otherwise. */
const char *dns_rcode_text(uint16_t rcode);
/* "TCP", "ICMPv4", … of an enum flow_l4; "" for none of them. */
const char *l4_name(uint64_t l4);
/* "drop", "trace", … for message types 0..5, 7, 129, 130; NULL otherwise. */
const char *event_type_text(int32_t type);

#endif
