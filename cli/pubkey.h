/*
 * pubkey - the keys that are believed, as --pubkey gives them: PEM files or fingerprints.
 */
#ifndef TYCHO_CLI_PUBKEY_H
#define TYCHO_CLI_PUBKEY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/own.h"

enum { PUBKEYS_MAX = 256 };

struct flags;

struct pubkeys {
	struct str list[PUBKEYS_MAX]; /* PEM texts, or fingerprints */
	size_t count;
	struct buf files[PUBKEYS_MAX]; /* what the list is borrowed from */
};
/* Those of the repeatable flag --pubkey. ERR_INVALID: more than there is room for, a private key, or
 * no key. */
MUST_CHECK enum err_code pubkeys_read(const struct flags *flags, struct pubkeys **ret,
				      struct err *e);
void pubkeys_free(struct pubkeys *k);
AUTO_DEFINE(struct pubkeys, pubkeys_free);

#endif
