/*
 * dns - DNS messages over UDP and TCP to flow.Layer7, and what their answers say about addresses.
 *
 * Source: RFC 1035 (4.1.4 compression), RFC 7766 (TCP length prefix), RFC 3596 (AAAA). Bounded: compression pointers only backwards, at most
 * 128 labels, at most 64 answers are looked at; what is cut off is simply not there.
 */
#ifndef TYCHO_OBSERVER_DNS_H
#define TYCHO_OBSERVER_DNS_H

#include "base/buf.h"
#include "base/str.h"

enum { DNS_NAME_BYTES = 254, DNS_ANSWERS = 64, DNS_TYPES = 8 };

struct dns_answer {
	uint8_t ip[16];
	uint32_t ttl_s;
};

struct dns_message {
	bool response;
	uint8_t rcode;
	bool truncated;             /* TC bit, or the capture ended inside the message */
	char query[DNS_NAME_BYTES]; /* with trailing dot, as Hubble shows it; printable ASCII, the rest as \DDD */
	uint16_t qtypes[DNS_TYPES];
	size_t qtype_count;
	uint16_t rrtypes[DNS_ANSWERS];
	size_t rrtype_count;
	struct dns_answer answers[DNS_ANSWERS]; /* A and AAAA */
	size_t answer_count;
	char cnames[8][DNS_NAME_BYTES];
	size_t cname_count;
	uint32_t ttl_s;             /* smallest of the answers */
};

/* @tcp: the payload starts with the two-byte length. False if it is not a DNS message with one question. */
bool dns_parse(struct str payload, bool tcp, struct dns_message *ret);
/* Appends flow.Flow field l7 {type, dns{…}} for it. */
void dns_put_l7(struct buf *b, const struct dns_message *m);

#endif
