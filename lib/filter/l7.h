/*
 * l7 - the layer-7 part of a flow, read in place from its wire bytes.
 *
 * Source   flow.proto: Flow.l7 = 15; Layer7.dns = 100, .http = 101, .kafka = 102.
 * Owner    everything borrows the flow's @ext.
 */
#ifndef TYCHO_FILTER_L7_H
#define TYCHO_FILTER_L7_H

#include "flow/flow.h"

enum l7_kind { L7_NONE, L7_DNS, L7_HTTP, L7_KAFKA };

struct l7 {
	enum l7_kind kind;
	struct str record; /* bytes of the oneof's member */
};
/* L7_NONE where the flow has none, or none that is known. */
struct l7 l7_of(const struct flow *f);

struct l7_http {
	uint32_t code; /* 0: a request */
	struct str method, url;
	struct str record; /* for l7_http_header */
};
bool l7_http(const struct flow *f, struct l7_http *ret);
/* Walks the headers: start with *@from = record; false at the end. */
bool l7_http_header(struct str *from, struct str *ret_key, struct str *ret_value);
bool l7_dns_query(const struct flow *f, struct str *ret);

#endif
