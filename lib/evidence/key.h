/*
 * key - a node's Ed25519 key (RFC 8032): made at the first start, or given as a file.
 *
 * Files    PEM: PKCS #8 for the private half (0600; one that everybody can read is refused),
 *          SubjectPublicKeyInfo for the public. OpenSSL's tools read both.
 * Name     a key is named by its fingerprint: the SHA-256 of its 32 public bytes, as 64 hex digits.
 * Threads  a key is immutable: any number of threads may sign and verify with it.
 */
#ifndef TYCHO_EVIDENCE_KEY_H
#define TYCHO_EVIDENCE_KEY_H

#include "base/buf.h"
#include "base/err.h"

enum { KEY_PUBLIC_BYTES = 32, KEY_SIGNATURE_BYTES = 64, KEY_FINGERPRINT_CHARS = 64 };

struct evidence_key;

/* Reads the private key in @path; with @make, one that is not there is made first. ERR_PERMISSION:
 * everybody can read it. ERR_PARSE: no Ed25519 key in PEM, or one with a passphrase. ERR_INVALID: a
 * folder. */
MUST_CHECK enum err_code evidence_key_open(const char *path, bool make, struct evidence_key **ret,
					   struct err *e);
/* A public key from its raw bytes, or from PEM text. */
MUST_CHECK enum err_code evidence_key_of_public(struct str raw, struct evidence_key **ret,
						struct err *e);
MUST_CHECK enum err_code evidence_key_of_pem(struct str pem, struct evidence_key **ret,
					     struct err *e);
void evidence_key_free(struct evidence_key *k);
AUTO_DEFINE(struct evidence_key, evidence_key_free);

/* Whether it is one of @given: PEM texts, or fingerprints. */
bool evidence_key_is_among(const struct evidence_key *k, const struct str *given, size_t count);

/* Raw public bytes and fingerprint, borrowed. */
struct str evidence_key_public(const struct evidence_key *k);
const char *evidence_key_fingerprint(const struct evidence_key *k);
/* Appends the public half as PEM. */
void evidence_key_put_pem(const struct evidence_key *k, struct buf *b);

MUST_CHECK enum err_code evidence_key_sign(const struct evidence_key *k, struct str text,
					   uint8_t ret[KEY_SIGNATURE_BYTES], struct err *e);
bool evidence_key_verifies(const struct evidence_key *k, struct str text, struct str signature);

#endif
