/*
 * dns - DNS messages over UDP and TCP to flow.Layer7, and what their answers say about addresses.
 *
 *	payload ──► dns_parse ──► struct dns_message ─┬─► dns_put_l7: flow.Flow.l7
 *	                                              └─► answers: address ──► name
 *
 * Source   RFC 1035 (4.1 messages, 4.1.4 compression, 5.1 escapes), RFC 3596 (AAAA), RFC 6891
 *          (extended RCODE), RFC 7766 (length over TCP). l7 holds what Hubble's DNS records do.
 * Bounds   compression pointers lead backwards only; a name has at most 128 labels and 255 bytes
 *          (RFC 1035 2.3.4); no more than DNS_RECORDS records are read. What is cut off is not
 *          there, and the message says so (@cut). Never reads past the payload, never allocates.
 */
#ifndef TYCHO_OBSERVER_DNS_H
#define TYCHO_OBSERVER_DNS_H

#include "base/buf.h"
#include "base/str.h"

enum {
	/* The longest legal name as text: 250 bytes in four labels, each written \DDD, four dots
	   and the terminator. */
	DNS_TEXT_BYTES = 4 * 250 + 4 + 1,
	DNS_TYPES = 8,
	/* In all sections together; only answers are kept. More than a captured message can have
	 * (compose.c asserts it). */
	DNS_RECORDS = 136,
};

struct dns_answer {
	uint8_t ip[16]; /* of an A record: IPv4 mapped */
	uint32_t ttl_s;
};

struct dns_message {
	bool response;
	bool truncated; /* TC bit, or cut */
	bool cut; /* not all that it has is here: the capture ended inside the message, a record is
		   * malformed, or there are more than DNS_RECORDS */
	uint16_t rcode; /* 12 bits: extended by OPT if there is one */
	/* The name asked for: with trailing dot, as Hubble shows it. Bytes that are not printable
	 * ASCII are \DDD, those with a meaning in zone files have a backslash before them. */
	char query[DNS_TEXT_BYTES];
	uint16_t qtypes[DNS_TYPES];
	size_t qtype_count;
	uint16_t rrtypes[DNS_RECORDS]; /* of the answer section, in order */
	size_t rrtype_count;
	struct dns_answer answers[DNS_RECORDS]; /* A and AAAA */
	size_t answer_count;
	uint32_t cname_at[DNS_RECORDS]; /* dns_cname */
	size_t cname_count;
	struct str bytes; /* borrowed: the message, from its header on */
	uint32_t ttl_s;   /* smallest of the answer section; 0 without answers */
};

/* @tcp: the payload starts with the two-byte length; further messages behind the first are not
 * looked at.
 * @return false, with *@ret unspecified, if it is not the start of a standard query or response
 * (opcode 0) with exactly one question whose name is there to the end. */
bool dns_parse(struct str payload, bool tcp, struct dns_message *ret);
/* The name that CNAME record @i, below cname_count, leads to; the payload must still be there. */
void dns_cname(const struct dns_message *m, size_t i, char out[DNS_TEXT_BYTES]);
/* Appends flow.Flow field l7 {type, dns{…}} for it; the payload must still be there. A request has
 * query, observation_source and qtypes only. */
void dns_put_l7(struct buf *b, const struct dns_message *m);

#endif
