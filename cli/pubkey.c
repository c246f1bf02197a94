#include "cli/pubkey.h"

#include <stdlib.h>

#include "cli/file.h"
#include "cli/flags.h"
#include "evidence/key.h"

enum { KEY_FILE_BYTES = 1 << 20 };

static bool is_fingerprint(const char *text)
{
	return strlen(text) == KEY_FINGERPRINT_CHARS &&
	       strspn(text, "0123456789abcdef") == KEY_FINGERPRINT_CHARS;
}

static enum err_code read_one(const char *text, struct pubkeys *k, struct err *e)
{
	AUTO(evidence_key_free) struct evidence_key *key = NULL;
	struct buf *file = &k->files[k->count];
	struct str *one = &k->list[k->count++];

	*file = buf_init(KEY_FILE_BYTES);
	*one = str_of(text);
	if (is_fingerprint(text))
		return ERR_OK;
	if (cli_read(text, file, e) != ERR_OK)
		return err_in(e, "--pubkey takes a PEM file or a fingerprint (%d hex digits)",
			      KEY_FINGERPRINT_CHARS);
	*one = buf_str(file);
	if (memmem(one->p, one->len, "PRIVATE KEY", 11))
		return err_set(e, ERR_INVALID,
			       "--pubkey %s is a private key: `tycho evidence keys --pem` on its "
			       "node says the public half",
			       text);
	if (evidence_key_of_pem(*one, &key, e) != ERR_OK)
		return err_in(e, "--pubkey %s", text);
	return ERR_OK;
}

enum err_code pubkeys_read(const struct flags *flags, struct pubkeys **ret, struct err *e)
{
	AUTO(pubkeys_free) struct pubkeys *k = calloc(1, sizeof *k);
	const char *text;

	if (!k)
		return err_set(e, ERR_NOMEM, "keys");
	for (size_t i = 0; (text = flags_item(flags, "pubkey", i)); i++) {
		if (i == PUBKEYS_MAX)
			return err_set(e, ERR_INVALID, "--pubkey is given more than %d times",
				       PUBKEYS_MAX);
		if (read_one(text, k, e) != ERR_OK)
			return e->code;
	}
	*ret = TAKE(k);
	return ERR_OK;
}

void pubkeys_free(struct pubkeys *k)
{
	for (size_t i = 0; k && i < k->count; i++)
		buf_done(&k->files[i]);
	free(k);
}
