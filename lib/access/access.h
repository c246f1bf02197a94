/*
 * access - who may see the flows of which namespaces: a file, read again when it changes.
 *
 *	# WHO                                          NAMESPACES
 *	cert        ui.hubble-relay.cilium.io          *
 *	cert        *.payments.example                 payments, payments-test
 *	token-file  /etc/tycho/tokens/shop             shop
 *	local                                          *
 *	anyone                                         public
 *
 * The first line that fits decides. `cert` is a name in the client's certificate ("*." stands for
 * one label); `token-file` holds a bearer token, of at least ACCESS_TOKEN_MIN bytes, and must not
 * be readable by others; `local` is who comes by a unix socket; `anyone` needs no proof. "*" is
 * everything, and only that is more than flows and what is counted of them.
 *
 * A file that cannot be read, or of which one line is wrong, changes nothing; at the start it is an
 * error. Tokens are kept as SHA-256 and compared in constant time.
 *
 * Threads  one at a time (the server's); rights that were found may be used and let go anywhere.
 */
#ifndef TYCHO_ACCESS_ACCESS_H
#define TYCHO_ACCESS_ACCESS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "base/time.h"

struct access;

enum { ACCESS_TOKEN_MIN = 16, ACCESS_RULES_MAX = 10000, ACCESS_NAMESPACES_MAX = 1000 };
/* The file is looked at at most this often. */
#define ACCESS_LOOK_NS NS_PER_S

/* What somebody may see. */
struct rights {
	const char *who;               /* for the log: the rule's words, no secret */
	bool all;                      /* "*" */
	const char *const *namespaces; /* !all: sorted; none: nothing */
	size_t namespace_count;
};

/* What a caller shows. */
struct credentials {
	const char *const *cert_names;
	size_t cert_name_count;
	struct str authorization; /* "Bearer …"; "": none */
	bool is_local;
};

/* Fails as open does; ERR_PARSE names the line; ERR_PERMISSION: a token others can read. */
MUST_CHECK enum err_code access_new(const char *path, struct access **ret, struct err *e);
void access_free(struct access *a); /* NULL is a no-op */
AUTO_DEFINE(struct access, access_free);

/* Reads the file again if it, or a token's, has changed. ERR_AGAIN: it has not, or it is not time
 * to look. Anything else: what is wrong with it, once for each change; the old rules stay. */
MUST_CHECK enum err_code access_poll(struct access *a, struct mono_ns now, struct err *e);
/* Grows with every reading. */
uint64_t access_generation(const struct access *a);

/* NULL: nobody we know. Counted: rights_unref. */
const struct rights *access_find(const struct access *a, const struct credentials *c);
const struct rights *rights_ref(const struct rights *r);
void rights_unref(const struct rights *r); /* NULL is a no-op */
/* The same person may see the same as before. */
bool rights_equal(const struct rights *a, const struct rights *b);
bool rights_see(const struct rights *r, struct str namespace_);

#endif
