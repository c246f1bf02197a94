#include "observer/decode/mptcp.h"

enum {
	MP_CAPABLE,
	MP_JOIN,
	DSS,
	ADD_ADDR,
	REMOVE_ADDR,
	MP_PRIO,
	MP_FAIL,
	MP_FASTCLOSE,
	MP_TCPRST,
	SUBTYPES,
	ADDED = SUBTYPES, /* ADD_ADDR without its HMAC */

	HMAC_BYTES = 8,
	DSS_HEAD_BYTES = 4,
	DSS_MAPPING_BYTES = 10, /* with a data sequence number of 4 bytes */
	DSS_CHECKSUM_BYTES = 2,
};

/* Lengths that a subtype may have; 0 ends them. DSS and ADD_ADDR are reckoned, REMOVE_ADDR is a list. */
static const uint8_t lengths[][6] = {
	[MP_CAPABLE] = { 4, 12, 20, 22, 24 },
	[MP_JOIN] = { 12, 16, 24 },
	[MP_PRIO] = { 3, 4 },
	[MP_FAIL] = { 12 },
	[MP_FASTCLOSE] = { 12 },
	[MP_TCPRST] = { 4 },
	[ADDED] = { 8, 10, 20, 22 },
};

static bool is_one_of(unsigned subtype, size_t bytes)
{
	for (const uint8_t *l = lengths[subtype]; *l; l++)
		if (*l == bytes)
			return true;
	return false;
}

/* §3.3: what is there by its flags. */
static bool dss_is_sound(uint8_t flags, size_t bytes)
{
	enum { ACK = 1, ACK_8 = 2, MAPPING = 4, SEQUENCE_8 = 8 };
	size_t want = DSS_HEAD_BYTES;

	if (flags & ACK)
		want += flags & ACK_8 ? 8 : 4;
	if (flags & MAPPING)
		want += DSS_MAPPING_BYTES + (flags & SEQUENCE_8 ? 4 : 0);
	return bytes == want || ((flags & MAPPING) && bytes == want + DSS_CHECKSUM_BYTES);
}

/* §3.4.1: the low bits of @head are an IP version in version 0, the echo flag in version 1; an echo has no HMAC. */
static bool add_addr_is_sound(uint8_t head, size_t bytes)
{
	if ((head & 0x0f) > 1 || (head & 1))
		return is_one_of(ADDED, bytes);
	return bytes > HMAC_BYTES && is_one_of(ADDED, bytes - HMAC_BYTES);
}

bool mptcp_is_sound(const uint8_t *p, size_t len)
{
	unsigned subtype = p[2] >> 4;
	size_t bytes = p[1];

	if (!bytes || bytes > len)
		return false;
	switch (subtype) {
	case DSS:
		return bytes >= DSS_HEAD_BYTES && dss_is_sound(p[3], bytes);
	case ADD_ADDR:
		return add_addr_is_sound(p[2], bytes);
	case REMOVE_ADDR:
		return bytes >= 4;
	default:
		return subtype >= SUBTYPES || is_one_of(subtype, bytes);
	}
}
