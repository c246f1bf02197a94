/*
 * dns_names - which names DNS answers gave to which addresses, and who was told.
 *
 *	10.0.1.5 is told: shop.example A 192.0.2.7
 *		──► (192.0.2.7, shop.example, told to 10.0.1.5, until …)
 *
 * Shape    a fixed number of entries, allocated once; at most DNS_NAMES_PER_ADDRESS for one
 *          address, of which the one that ends first makes room. A full table replaces by second
 *          chance (an approximation of least recently used).
 * Time     an entry is used until its TTL (at most DNS_TTL_MAX_S) plus DNS_GRACE_S is over:
 *          connections outlive the answer that led to them, and resolvers hand out answers at the
 *          end of their TTL.
 * Loss     what makes room before its time is counted.
 * Threads  the capture thread only. No allocation after construction.
 */
#ifndef TYCHO_OBSERVER_DNS_NAMES_H
#define TYCHO_OBSERVER_DNS_NAMES_H

#include "base/err.h"
#include "flow/flow.h"

enum {
	DNS_NAMES_PER_ADDRESS = 16,
	DNS_NAME_BYTES = 253, /* RFC 1035 §2.3.4, as text without the last dot */
	DNS_GRACE_S = 3600,
	DNS_TTL_MAX_S = 7 * 24 * 3600,
};

struct dns_names;

/* @max entries, 1 … 2^24; @seed for hashing: unknown to whoever chooses the addresses in answers.
 * */
MUST_CHECK enum err_code dns_names_new(size_t max, uint64_t seed, struct dns_names **ret,
				       struct err *e);
void dns_names_free(struct dns_names *d);
AUTO_DEFINE(struct dns_names, dns_names_free);

/* Who was told, or who asks. @ep 0: no endpoint of this node. */
struct dns_client {
	const uint8_t *ip; /* 16 bytes */
	struct endpoint_id ep;
};

/* The form in which names are kept: without the last dot, in lower case. False: not one that is
 * kept, for it is empty, too long, or no printable UTF-8. */
bool dns_name_tidy(struct str name, char ret[DNS_NAME_BYTES], size_t *ret_len);
/* The order in which names are shown, as memcmp: that of Cilium, which sorts them with their last
 * dots. */
int dns_name_cmp(struct str a, struct str b);

/* @name with or without the last dot; kept in lower case. What is no name (dns_name_tidy) is
 * ignored. */
void dns_names_learn(struct dns_names *d, struct dns_client client, const uint8_t ip[16],
		     struct str name, uint32_t ttl_s, struct wall_ns now);
/* The names of @ip in order, each once: those that @client (by address or endpoint) was told, or,
 * if
 * @anyones, all. @now 0: whatever their age. @return how many; borrowed until the next that is
 * learned. */
size_t dns_names_find(struct dns_names *d, const uint8_t ip[16], struct dns_client client,
		      bool anyones, struct wall_ns now, struct str ret[DNS_NAMES_PER_ADDRESS]);
/* Entries in use. */
size_t dns_names_count(const struct dns_names *d);
/* Any thread: entries that made room for others while they still held. */
uint64_t dns_names_pushed_out(const struct dns_names *d);

#endif
