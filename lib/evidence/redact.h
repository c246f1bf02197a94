/*
 * redact - values of a flow's parts replaced by keyed hashes, so that an export shows who is the
 * same without showing who it is.
 *
 *	10.0.1.5      ──► ~3f09a1c2b4d5e6f7          the same address, the same text, in one export
 *	k8s:app=shop  ──► k8s:app=~90ab12cd34ef5678
 *
 * The key is made of the store's secret and the export's nonce: two exports cannot be compared, and
 * whoever has no store secret cannot try addresses. A redacted part is *withheld*: the export has
 * its commitment, and what this file makes of it.
 *
 * Shape    what is not known to be harmless inside a withheld part is left out, the Summary of a
 *          DNS record too. Labels of "reserved:" stay: they name kinds, not parties.
 * Threads  pure functions.
 */
#ifndef TYCHO_EVIDENCE_REDACT_H
#define TYCHO_EVIDENCE_REDACT_H

#include "base/buf.h"
#include "chain/chain.h"
#include "chain/sha256.h"

enum {
	REDACT_IP = 1 << 1, /* bits by tycho.v1.Redaction */
	REDACT_LABELS = 1 << 2,
	REDACT_DNS = 1 << 3,
	REDACT_ALL = REDACT_IP | REDACT_LABELS | REDACT_DNS,
};

/* "ip", "labels", "dns"; 0: no such class. */
unsigned redact_class(struct str name);
/* ["ip","dns"] */
void redact_put_json(struct buf *b, unsigned classes);
/* "addresses, DNS names" */
void redact_put_words(struct buf *b, unsigned classes);

struct redact_key {
	uint8_t v[32];
};
struct redact_key redact_key_of(const struct chain_secret *store, struct str nonce);

/* Whether these classes withhold that part. Addresses are in labels (cidr) and DNS answers too,
 * names in labels (fqdn). */
bool redact_withholds(unsigned classes, enum chain_part part);
/* Appends what stands in the place of @bytes of a withheld part. */
void redact_part(struct buf *b, const struct redact_key *key, unsigned classes, struct str bytes);

/* What a statement's tree holds of a record: of one without withheld parts its leaf, else
 *
 *	SHA-256( 0x04 ‖ leaf ‖ SHA-256( for each withheld part: its number, four bytes of length,
 *	                                 most significant first, what is shown ) )
 *
 * so that what is shown is vouched for, too. */
void redact_shown_init(struct sha256 *s);
void redact_shown_put(struct sha256 *s, enum chain_part part, struct str shown);
struct chain_hash redact_item(const struct chain_hash *leaf, const struct chain_hash *shown);

#endif
